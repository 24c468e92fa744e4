//! Publications of the client that are in work: acknowledged in the order of their arrival (P-20),
//! and the identifiers of quality of service 2 that wait for PUBREL (P-4).
//!
//! The line keeps four publications in place and moves to the heap only beyond that, so a client
//! that waits for each PUBACK costs no allocation.

use std::collections::VecDeque;

use crate::reason::ReasonCode;
use crate::version::Qos;

/// Names one received publication until it is acknowledged.
///
/// It is worth something to the session that handed it out and to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub(crate) sequence: u32,
    pub(crate) packet_id: u16,
    pub(crate) qos: Qos,
}

impl Delivery {
    /// One that is never answered.
    pub const UNANSWERED: Self = Self { sequence: 0, packet_id: 0, qos: Qos::AtMostOnce };

    /// What the client asked for. With [`Qos::AtMostOnce`] nothing is ever answered.
    pub const fn qos(self) -> Qos {
        self.qos
    }

    /// The packet identifier; 0 with [`Qos::AtMostOnce`].
    pub const fn packet_id(self) -> u16 {
        self.packet_id
    }
}

/// One publication that has no answer on the wire yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) packet_id: u16,
    pub(super) kind: SlotKind,
    /// What to answer, once it is known.
    pub(super) answer: Option<ReasonCode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotKind {
    /// Answered by PUBACK.
    Qos1,
    /// Answered by PUBREC.
    Qos2,
    /// A repetition of an open identifier: PUBREC says again what the first one said.
    Qos2Again,
    /// Another publication under an open identifier: PUBREC refuses it.
    Qos2Clash,
}

/// The publications without an answer, oldest first.
#[derive(Debug)]
pub(super) struct Line {
    /// Sequence number of the oldest.
    front: u32,
    slots: Slots,
}

#[derive(Debug)]
enum Slots {
    InPlace { slots: [Slot; IN_PLACE], used: u8 },
    OnHeap(Box<HeapSlots>),
}

#[derive(Debug)]
struct HeapSlots {
    slots: VecDeque<Slot>,
    /// Sentences for answers that wait for their turn, few and short-lived.
    sentences: Vec<(u32, Box<str>)>,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { front: 0, slots: Slots::EMPTY }
    }

    pub(super) fn len(&self) -> usize {
        match &self.slots {
            Slots::InPlace { used, .. } => usize::from(*used),
            Slots::OnHeap(heap) => heap.slots.len(),
        }
    }

    #[cfg(test)]
    pub(super) const fn is_in_place(&self) -> bool {
        matches!(self.slots, Slots::InPlace { .. })
    }

    /// Adds the newest and gives its sequence number.
    #[inline]
    pub(super) fn push(&mut self, slot: Slot) -> u32 {
        let sequence = self.front.wrapping_add(self.len() as u32);
        if let Slots::InPlace { slots, used } = &mut self.slots
            && let Some(free) = slots.get_mut(usize::from(*used))
        {
            *free = slot;
            *used += 1;
            return sequence;
        }
        self.heap().slots.push_back(slot);
        sequence
    }

    /// Notes an answer; `false` when no such publication waits for one.
    #[inline]
    pub(super) fn answer(
        &mut self,
        sequence: u32,
        reason: ReasonCode,
        sentence: Option<&str>,
    ) -> bool {
        let position = sequence.wrapping_sub(self.front) as usize;
        let Some(slot) = self.slot(position).filter(|slot| slot.answer.is_none()) else {
            return false;
        };
        slot.answer = Some(reason);
        if let Some(sentence) = sentence
            && position > 0
        {
            self.heap().sentences.push((sequence, sentence.into()));
        }
        true
    }

    /// Takes the oldest if its answer is known, with the sentence it waited with.
    #[inline]
    pub(super) fn take_answered(&mut self) -> Option<(Slot, ReasonCode, Option<Box<str>>)> {
        let slot = *self.slot(0)?;
        let reason = slot.answer?;
        let sentence = self.remove_front();
        self.front = self.front.wrapping_add(1);
        Some((slot, reason, sentence))
    }

    fn slot(&mut self, position: usize) -> Option<&mut Slot> {
        match &mut self.slots {
            Slots::InPlace { slots, used } if position < usize::from(*used) => {
                slots.get_mut(position)
            }
            Slots::InPlace { .. } => None,
            Slots::OnHeap(heap) => heap.slots.get_mut(position),
        }
    }

    fn remove_front(&mut self) -> Option<Box<str>> {
        match &mut self.slots {
            Slots::InPlace { slots, used } => {
                slots.rotate_left(1);
                *used -= 1;
                None
            }
            Slots::OnHeap(heap) => {
                heap.slots.pop_front();
                let front = self.front;
                let at = heap.sentences.iter().position(|(sequence, _)| *sequence == front);
                let sentence = at.map(|at| heap.sentences.swap_remove(at).1);
                if heap.slots.is_empty() {
                    self.slots = Slots::EMPTY;
                }
                sentence
            }
        }
    }

    /// Moves to the heap, if not there yet.
    fn heap(&mut self) -> &mut HeapSlots {
        if let Slots::InPlace { slots, used } = &self.slots {
            let slots = slots.iter().take(usize::from(*used)).copied().collect();
            self.slots = Slots::OnHeap(Box::new(HeapSlots { slots, sentences: Vec::new() }));
        }
        match &mut self.slots {
            Slots::OnHeap(heap) => heap,
            Slots::InPlace { .. } => unreachable!("moved to the heap above"),
        }
    }
}

impl Slots {
    const EMPTY: Self = Self::InPlace { slots: [NO_SLOT; IN_PLACE], used: 0 };
}

/// Identifiers of quality of service 2 that the client has not released.
#[derive(Debug, Default)]
pub(super) struct OpenIds {
    ids: Vec<OpenId>,
}

#[derive(Debug)]
struct OpenId {
    packet_id: u16,
    /// PUBREC has been sent.
    received: bool,
    /// Tells a repetition from another publication.
    fingerprint: u64,
}

/// How a publication of quality of service 2 stands to the open identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    New,
    Again,
    Clash,
    Full,
}

impl OpenIds {
    /// Opens an identifier, unless it is open or there are too many.
    pub(super) fn open(&mut self, packet_id: u16, fingerprint: u64, max: u16) -> Opening {
        match self.ids.iter().find(|open| open.packet_id == packet_id) {
            Some(open) if open.fingerprint == fingerprint => Opening::Again,
            Some(_) => Opening::Clash,
            None if self.ids.len() >= usize::from(max) => Opening::Full,
            None => {
                self.ids.push(OpenId { packet_id, received: false, fingerprint });
                Opening::New
            }
        }
    }

    /// PUBREC goes out: with success the identifier stays open, otherwise it is free again.
    pub(super) fn received(&mut self, packet_id: u16, stays_open: bool) {
        if !stays_open {
            self.ids.retain(|open| open.packet_id != packet_id);
        } else if let Some(open) = self.ids.iter_mut().find(|open| open.packet_id == packet_id) {
            open.received = true;
        }
    }

    /// Identifiers whose publications were acknowledged, with their fingerprints.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (u16, u64)> {
        let received = self.ids.iter().filter(|open| open.received);
        received.map(|open| (open.packet_id, open.fingerprint))
    }

    /// Opens an identifier again that was acknowledged on an earlier connection.
    pub(super) fn restore(&mut self, packet_id: u16, fingerprint: u64) {
        self.ids.push(OpenId { packet_id, received: true, fingerprint });
    }

    pub(super) fn contains(&self, packet_id: u16) -> bool {
        self.ids.iter().any(|open| open.packet_id == packet_id)
    }

    /// PUBREL came in.
    pub(super) fn release(&mut self, packet_id: u16) -> Release {
        match self.ids.iter().position(|open| open.packet_id == packet_id) {
            None => Release::Unknown,
            Some(at) if self.ids.get(at).is_some_and(|open| open.received) => {
                self.ids.swap_remove(at);
                Release::Done
            }
            Some(_) => Release::TooEarly,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// What PUBREL found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    Done,
    Unknown,
    TooEarly,
}

const IN_PLACE: usize = 4;
const NO_SLOT: Slot = Slot { packet_id: 0, kind: SlotKind::Qos1, answer: None };
