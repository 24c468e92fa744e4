//! One message on the wire, sorted by field: the first half of a walk.
//!
//! Each message that is being walked has a frame: a slot per field. Fields of which every occurrence
//! counts are chained through the entries. Frames lie one upon the other, so that two buffers do for
//! any message, and are reused for the next one.

use super::table::{Field, Label, Message};
use super::wire::{DEPTH_MAX, Fault, Part, Raw, What, Wire};

/// The frames of the messages being walked.
#[derive(Debug, Default)]
pub(super) struct Frames {
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    depth: usize,
    /// How many fields may still be looked at.
    budget: usize,
}

/// What was found of one field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Slot {
    /// Nothing.
    #[default]
    Absent,
    /// One value, or the last of a field of which the last counts.
    One(Raw),
    /// Several: where the chain begins and ends.
    Several(u32, u32),
    /// Of a oneof: which field holds.
    Holds(u32),
}

/// A frame: where its slots and entries begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    slots: usize,
    entries: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    raw: Raw,
    next: u32,
}

impl Frames {
    /// Begins a payload of `length` bytes.
    pub(super) fn begin(&mut self, length: usize) {
        self.slots.clear();
        self.entries.clear();
        self.depth = 0;
        self.budget = FREE + EXPANSION_MAX * length;
    }

    /// Sorts a message. Give the frame back with [`Self::close`].
    pub(super) fn open(&mut self, message: &Message, part: Part<'_>) -> Result<Frame, Fault> {
        let frame = Frame { slots: self.slots.len(), entries: self.entries.len() };
        self.enter(message, part)?;
        self.slots.resize(frame.slots + message.fields.len() + message.oneofs, Slot::Absent);
        let mut wire = Wire::new(part);
        // Fields mostly come in the order of their numbers.
        let mut guess = 0;
        while let Some(tag) = wire.tag()? {
            let expected = message.fields.get(guess).filter(|field| field.tag == tag);
            let found = expected.map(|field| (guess, field)).or_else(|| known(message, tag));
            let raw = wire.value(tag)?;
            if let Some((at, field)) = found {
                guess = if field.is_chained() { at } else { at + 1 };
                if field.is_chained() {
                    self.charge(1, part)?;
                }
                self.keep(frame, message, at, field, raw);
            }
        }
        Ok(frame)
    }

    /// Enters a message that is not sorted, or not yet. Come back with [`Self::leave`].
    #[inline]
    pub(super) fn enter(&mut self, message: &Message, part: Part<'_>) -> Result<(), Fault> {
        if self.depth >= DEPTH_MAX {
            return Err(part.fault(What::TooDeep));
        }
        self.depth += 1;
        self.charge(message.fields.len(), part)
    }

    /// Leaves a message that was entered.
    #[inline]
    pub(super) const fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Forgets a frame and all above it.
    pub(super) fn close(&mut self, frame: Frame) {
        self.leave();
        self.slots.truncate(frame.slots);
        self.entries.truncate(frame.entries);
    }

    /// What was found of the field at this position.
    #[inline]
    pub(super) fn slot(&self, frame: Frame, at: usize) -> Slot {
        self.slots.get(frame.slots + at).copied().unwrap_or_default()
    }

    /// The next value of a chain, and the chain behind it.
    pub(super) fn next(&self, slot: Slot) -> Option<(Raw, Slot)> {
        match slot {
            Slot::Absent | Slot::Holds(_) => None,
            Slot::One(raw) => Some((raw, Slot::Absent)),
            Slot::Several(first, last) => {
                let entry = self.entries.get(first as usize)?;
                let is_last = first == last;
                let rest = if is_last { Slot::Absent } else { Slot::Several(entry.next, last) };
                Some((entry.raw, rest))
            }
        }
    }

    #[inline]
    fn keep(&mut self, frame: Frame, message: &Message, at: usize, field: &Field, raw: Raw) {
        if let Some(oneof) = field.oneof {
            self.hold(frame, message, oneof, at);
        }
        let Some(slot) = self.slots.get_mut(frame.slots + at) else { return };
        *slot = match *slot {
            Slot::One(first) if field.is_chained() => {
                let at = self.entries.len() as u32;
                self.entries.push(Entry { raw: first, next: at + 1 });
                self.entries.push(Entry { raw, next: 0 });
                Slot::Several(at, at + 1)
            }
            Slot::Several(first, last) => {
                let at = self.entries.len() as u32;
                self.entries.push(Entry { raw, next: 0 });
                if let Some(entry) = self.entries.get_mut(last as usize) {
                    entry.next = at;
                }
                Slot::Several(first, at)
            }
            _ => Slot::One(raw),
        };
    }

    /// Of the fields of a oneof the last on the wire counts.
    #[cold]
    fn hold(&mut self, frame: Frame, message: &Message, oneof: usize, at: usize) {
        let Some(slot) = self.slots.get_mut(frame.slots + message.fields.len() + oneof) else {
            return;
        };
        let before = core::mem::replace(slot, Slot::Holds(at as u32));
        if let Slot::Holds(before) = before
            && before as usize != at
            && let Some(slot) = self.slots.get_mut(frame.slots + before as usize)
        {
            *slot = Slot::Absent;
        }
    }

    /// Counts fields that are looked at: small messages of large schemas must not cost more than large
    /// messages.
    pub(super) fn charge(&mut self, fields: usize, part: Part<'_>) -> Result<(), Fault> {
        self.budget = self.budget.checked_sub(fields).ok_or_else(|| part.fault(What::TooMuch))?;
        Ok(())
    }
}

/// Reads a message straight through: every field that is there once, in the order of numbers, as all
/// libraries write them, and the defaults in between. `each` is told all that sorting would find.
///
/// None: the message is not like that, or something is wrong with it. Then it is to be sorted, which
/// finds out what; whatever `each` did is to be undone.
#[inline]
pub(super) fn straight(
    message: &Message,
    part: Part<'_>,
    mut each: impl FnMut(&Field, Raw) -> Option<()>,
) -> Option<()> {
    let mut wire = Wire::new(part);
    let mut tag = wire.tag().ok()?;
    for field in &message.fields {
        if tag == Some(field.tag) {
            each(field, wire.value(field.tag).ok()?)?;
            tag = wire.tag().ok()?;
        } else {
            match field.label {
                Label::Implicit => each(field, Raw::NOTHING)?,
                Label::Optional => {}
                Label::Required | Label::Repeated | Label::Map => return None,
            }
        }
    }
    tag.is_none().then_some(())
}

/// The field that a tag belongs to. A field that came in another wire type is not it, as in every
/// Protobuf library.
#[inline(never)]
fn known(message: &Message, tag: u32) -> Option<(usize, &Field)> {
    let at = message.find(tag >> 3)?;
    message.fields.get(at).filter(|field| field.takes(tag)).map(|field| (at, field))
}

/// Fields that any payload may cost.
const FREE: usize = 64 * 1024;
/// Fields, and bytes of text, that each byte of a payload may cost besides.
pub(super) const EXPANSION_MAX: usize = 16;
