//! The file that says which format a data directory has. Read before anything else is touched.
//!
//! Format 1 had no mark; a directory of it gets one and becomes format 2.

use std::io;

use super::OpenError;
use crate::disk::{Aligned, BLOCK, Disk};

/// Refuses a directory of a newer format. A missing or damaged file is no hindrance: the groups of the
/// log carry their version too.
pub(super) fn check(disk: &dyn Disk, place: &str) -> Result<(), OpenError> {
    match read(disk) {
        Some(found) if found > FORMAT => {
            Err(OpenError::NewerFormat { place: place.to_owned(), found, known: FORMAT })
        }
        Some(_) | None => Ok(()),
    }
}

/// Writes the file unless it is there.
pub(super) fn write(disk: &dyn Disk) -> io::Result<()> {
    if read(disk) == Some(FORMAT) {
        return Ok(());
    }
    let mut block = Aligned::default();
    let text = line(FORMAT);
    block.reset(BLOCK)[..text.len()].copy_from_slice(text.as_bytes());
    let file = disk.allocate(TEMPORARY, BLOCK as u64)?;
    file.write_at(0, block.filled())?;
    file.sync()?;
    disk.rename(TEMPORARY, NAME)?;
    disk.sync_dir()
}

/// The format; None when the file is missing or its checksum does not fit.
pub(super) fn read(disk: &dyn Disk) -> Option<u32> {
    let mut bytes = [0; BLOCK];
    let len = disk.open(NAME).ok()?.read_at(0, &mut bytes).ok()?;
    let text = core::str::from_utf8(bytes.get(..len)?).ok()?;
    let first = text.lines().next()?;
    let format = first.strip_prefix(PREFIX)?.split(' ').next()?.parse().ok()?;
    (line(format).trim_end() == first).then_some(format)
}

fn line(format: u32) -> String {
    let text = format!("{PREFIX}{format}");
    format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

const NAME: &str = "format";
const TEMPORARY: &str = "format.new";
const PREFIX: &str = "thingport ledger ";
/// The newest format that had no mark.
pub(super) const WITHOUT_MARK: u32 = 1;
const FORMAT: u32 = 2;
