//! What was acknowledged and is not there any more, told so that a person can act on it.

use std::fmt;

use uuid::Uuid;

use crate::log::mark::Mark;
use crate::log::recovery::{Found, Hole};
use crate::log::segment_name;

/// Something that was acknowledged and that a start did not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The file `mark` is missing or damaged, so nobody knows what else is.
    Mark {
        /// Whether the file is there.
        is_there: bool,
    },
    /// A segment of the log that was begun is not there.
    SegmentMissing {
        /// Its file name.
        name: String,
    },
    /// A segment of the log is shorter than it was made.
    SegmentShort {
        /// Its file name.
        name: String,
        /// Bytes it has, and bytes it had.
        bytes: (u64, u64),
    },
    /// A segment holds groups of the log of another data directory.
    SegmentForeign {
        /// Its file name.
        name: String,
    },
    /// Committed groups of the log are not there.
    Groups {
        /// The first and the last one.
        numbers: (u64, u64),
        /// When the ones around were written, in milliseconds since 1970; 0 for unknown.
        between: (i64, i64),
    },
    /// The chunk store is missing, or an older one.
    Chunks {
        /// The newest group it holds, and the newest one it held.
        flushed: (u64, u64),
        /// When that was written down, in milliseconds since 1970.
        at: i64,
    },
    /// A part of the chunk store is missing, or an older one.
    ChunksPart {
        /// Its key space.
        space: &'static str,
    },
    /// The entity database is missing or empty.
    Entities,
    /// The entity database belongs to another data directory.
    EntitiesForeign,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark { is_there: true } => f.write_str("the file mark is damaged"),
            Self::Mark { is_there: false } => {
                f.write_str("the file mark is missing beside data that it belongs to")
            }
            Self::SegmentMissing { name } => write!(f, "the log segment {name} is missing"),
            Self::SegmentShort { name, bytes: (has, had) } => {
                write!(f, "the log segment {name} was cut from {had} to {has} bytes")
            }
            Self::SegmentForeign { name } => {
                write!(f, "the log segment {name} belongs to another data directory")
            }
            Self::Groups { numbers: (first, last), between } => {
                let count = last + 1 - first;
                write!(f, "{count} commits of the log ({first} to {last}) are missing")?;
                stretch(f, *between)
            }
            Self::Chunks { flushed: (0, _), at } => {
                f.write_str("the directory chunks is missing or empty, so everything written before ")?;
                moment(f, *at)?;
                f.write_str(" is gone but for what the log still holds")
            }
            Self::Chunks { flushed: (has, had), at } => {
                write!(f, "the directory chunks is an older one: it ends with commit {has}, but at ")?;
                moment(f, *at)?;
                write!(f, " it held commit {had}")
            }
            Self::ChunksPart { space } => write!(
                f,
                "a file of the directory chunks is missing or damaged: {} or a part of them",
                match *space {
                    "rows" => "the newest readings of devices, their latest values,",
                    "chunks" => "older readings",
                    "expiry" => "notes of what expires when",
                    "attributes" => "attributes",
                    "incidents" => "incidents",
                    _ => "names of devices and keys",
                }
            ),
            Self::Entities => f.write_str(
                "entities.db is missing or empty: tenants, people, devices and their credentials are gone",
            ),
            Self::EntitiesForeign => f.write_str("entities.db belongs to another data directory"),
        }
    }
}

/// Several losses and how to go on without what was lost.
pub(crate) fn report(f: &mut fmt::Formatter<'_>, losses: &[Loss], code: &str) -> fmt::Result {
    for loss in losses {
        write!(f, "\n  - {loss};")?;
    }
    write!(
        f,
        "\nNothing was changed. Put back what is missing, or restore the whole data directory from a backup. \
         To go on without it, for good: start once with --set storage.accept_loss={code}"
    )
}

/// Which state of which data directory a loss was found in, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) identity: Uuid,
    /// How far the log had come.
    pub(crate) lsn: u64,
}

/// The word that accepts exactly these losses and no others: neither those of another directory, nor
/// the same ones when the directory has gone on.
pub(crate) fn code(whose: Whose, losses: &[Loss]) -> String {
    let text: Vec<String> = losses.iter().map(ToString::to_string).collect();
    let mut bytes = text.join("\n").into_bytes();
    bytes.extend_from_slice(whose.identity.as_bytes());
    bytes.extend_from_slice(&whose.lsn.to_le_bytes());
    format!("{:08x}", crc32c::crc32c(&bytes))
}

/// What the mark promises and the log does not hold.
pub(super) fn of_log(mark: &Mark, found: &Found) -> Vec<Loss> {
    let foreign = found.foreign.iter().map(|name| Loss::SegmentForeign { name: name.clone() });
    let groups = found.holes.iter().map(|hole| {
        let Hole { first, last, after, before } = *hole;
        let before = if before == 0 && last <= mark.lsn { mark.at } else { before };
        Loss::Groups { numbers: (first, last), between: (after, before) }
    });
    segment(mark, found).into_iter().chain(foreign).chain(groups).collect()
}

fn segment(mark: &Mark, found: &Found) -> Option<Loss> {
    let had = Some(mark.segment_bytes).filter(|_| mark.segment > 0)?;
    let name = segment_name(mark.segment);
    let live = found.live.iter().chain(&found.held).map(|segment| (&segment.name, segment.bytes));
    let free = found.free.iter().map(|(name, bytes)| (name, *bytes));
    match live.chain(free).find(|(it, _)| **it == name) {
        None => Some(Loss::SegmentMissing { name }),
        Some((_, has)) if has < had => Some(Loss::SegmentShort { name, bytes: (has, had) }),
        Some(_) => None,
    }
}

fn stretch(f: &mut fmt::Formatter<'_>, (after, before): (i64, i64)) -> fmt::Result {
    if after != 0 {
        f.write_str(", written after ")?;
        moment(f, after)?;
    }
    if before != 0 {
        f.write_str(if after == 0 { ", written before " } else { " and before " })?;
        moment(f, before)?;
    }
    Ok(())
}

fn moment(f: &mut fmt::Formatter<'_>, ms: i64) -> fmt::Result {
    match time::OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)) {
        Ok(at) => {
            let (year, month, day) = at.to_calendar_date();
            let (hour, minute, second) = at.to_hms();
            let month = u8::from(month);
            write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
        }
        Err(_) => write!(f, "{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_good_for_one_loss_of_one_directory_in_one_state() {
        let here = Whose { identity: Uuid::from_u128(1), lsn: 7 };
        let word = code(here, &[Loss::Entities]);
        assert_eq!(code(here, &[Loss::Entities]), word);
        let others = [
            (Whose { identity: Uuid::from_u128(2), ..here }, Loss::Entities),
            (Whose { lsn: 8, ..here }, Loss::Entities),
            (here, Loss::EntitiesForeign),
        ];
        for (whose, loss) in others {
            assert_ne!(code(whose, &[loss]), word, "{whose:?}");
        }
    }
}
