//! What the session writes to a client that is let in.

use crate::packet::PacketType;
use crate::packet::ack::{Recipient, write_ack, write_codes};
use crate::packet::subscribe::{Subscribe, SubscribeRequest};
use crate::reason::ReasonCode;
use crate::session::Session;
use crate::session::inbound::{Slot, SlotKind};
use crate::session::outbound::{PublishId, ServerPublish, Waiting, seconds_left};
use crate::session::subscriptions::Subscriptions;
use crate::topic::TopicName;
use crate::version::Qos;
use crate::violation::Violation;

impl Session {
    /// Writes the answers whose turn it is. `sentence` belongs to the oldest publication, if that
    /// was the one just answered.
    #[inline]
    pub(super) fn write_answers(&mut self, sentence: Option<&str>, out: &mut Vec<u8>) {
        let mut sentence = sentence;
        while let Some((slot, reason, waited)) = self.line.take_answered() {
            let sentence = waited.as_deref().or_else(|| sentence.take());
            self.write_answer(slot, reason, sentence, out);
        }
    }

    #[inline]
    fn write_answer(
        &mut self,
        slot: Slot,
        reason: ReasonCode,
        sentence: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let (packet, reason) = match slot.kind {
            SlotKind::Qos1 => {
                self.unfinished = self.unfinished.saturating_sub(1);
                (PacketType::Puback, reason)
            }
            SlotKind::Qos2 => {
                self.note_pubrec(slot.packet_id, reason);
                (PacketType::Pubrec, reason)
            }
            SlotKind::Qos2Again => (PacketType::Pubrec, self.reason_again(slot.packet_id)),
            SlotKind::Qos2Clash => (PacketType::Pubrec, reason),
        };
        write_ack(out, packet, slot.packet_id, reason, sentence, self.recipient());
    }

    /// After a refusing PUBREC a version 5 client forgets the identifier; an older one cannot be
    /// refused and will release it.
    fn note_pubrec(&mut self, packet_id: u16, reason: ReasonCode) {
        let stays_open = !self.version.is_v5() || !reason.is_error();
        if let Some(ids) = &mut self.open_ids {
            ids.received(packet_id, stays_open);
        }
        if !stays_open {
            self.unfinished = self.unfinished.saturating_sub(1);
            self.give_back_open_ids();
        }
    }

    /// A repetition is as successful as the publication it repeats.
    fn reason_again(&self, packet_id: u16) -> ReasonCode {
        if self.open_ids.as_ref().is_some_and(|ids| ids.contains(packet_id)) {
            ReasonCode::Success
        } else {
            ReasonCode::UnspecifiedError
        }
    }

    pub(super) fn give_back_open_ids(&mut self) {
        self.open_ids = self.open_ids.take().filter(|ids| !ids.is_empty());
    }

    /// Judges one filter and takes it up when it is granted.
    pub(super) fn subscribe(
        &mut self,
        packet: &Subscribe<'_>,
        request: &SubscribeRequest<'_>,
        judge: &mut impl FnMut(&SubscribeRequest<'_>) -> Result<(), ReasonCode>,
    ) -> ReasonCode {
        if let Some(refusal) = request.refusal {
            return refusal;
        }
        if let Err(reason) = judge(request) {
            return reason;
        }
        let qos = request.qos.min(Qos::AtLeastOnce);
        let id = packet.subscription_id().unwrap_or(0);
        let held = self.subscriptions.get_or_insert_default();
        if !held.set(request.filter, qos, id, self.bounds.filters_max) {
            return ReasonCode::QuotaExceeded;
        }
        match qos {
            Qos::AtMostOnce => ReasonCode::Success,
            Qos::AtLeastOnce | Qos::ExactlyOnce => ReasonCode::GrantedQos1,
        }
    }

    /// Removes one filter, if it is held and may be given up.
    pub(super) fn unsubscribe(
        &mut self,
        filter: &str,
        judge: &mut impl FnMut(&str) -> Result<(), ReasonCode>,
    ) -> ReasonCode {
        let Some(held) = self.subscriptions.as_mut().filter(|held| held.contains(filter)) else {
            return ReasonCode::NoSubscriptionExisted;
        };
        if let Err(reason) = judge(filter) {
            return reason;
        }
        held.remove(filter);
        self.subscriptions = self.subscriptions.take().filter(|held| !held.is_empty());
        ReasonCode::Success
    }

    /// Version 3 knows one failure only.
    pub(super) const fn suback_code(&self, reason: ReasonCode) -> u8 {
        if reason.is_error() && !self.version.is_v5() { 0x80 } else { reason.byte() }
    }

    pub(super) fn write_codes(
        &mut self,
        packet: PacketType,
        packet_id: u16,
        codes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        if write_codes(out, packet, packet_id, codes, self.recipient()) {
            Ok(())
        } else {
            Err(self.fail(Violation::AnswerTooLarge, out))
        }
    }

    /// Ends a message of ours and sends those that waited for its place.
    pub(super) fn finish_message(&mut self, packet_id: u16, out: &mut Vec<u8>) -> Option<u64> {
        let token = self.outbound.as_mut()?.finish(packet_id)?;
        self.send_waiting(out);
        self.outbound = self.outbound.take().filter(|outbound| !outbound.is_empty());
        Some(token)
    }

    fn send_waiting(&mut self, out: &mut Vec<u8>) {
        let to = self.recipient();
        let Some(outbound) = &mut self.outbound else { return };
        let now_ms = self.last_packet_ms;
        while outbound.in_flight() < usize::from(self.window) {
            let Some(waiting) = outbound.take_waiting() else { return };
            let expiry_s = waiting.expires_ms.and_then(|at| seconds_left(at, now_ms));
            let is_new = waiting.packet_id == 0;
            if is_new && waiting.expires_ms.is_some() && expiry_s.is_none() {
                // Nobody began to deliver it in time (MQTT 5, 3.3.2.3.3).
                continue;
            }
            if !bare(&waiting, expiry_s).fits(true, to) {
                // The client of an earlier connection took more. It counts as sent (O-5).
                continue;
            }
            let id = if is_new {
                self.last_packet_id = outbound.next_id(self.last_packet_id);
                PublishId::First(self.last_packet_id)
            } else {
                PublishId::Again(waiting.packet_id)
            };
            write_waiting(&waiting, expiry_s, self.subscriptions.as_deref(), (id, to), out);
            let bytes_max = self.bounds.waiting_bytes_max;
            outbound.put_in_flight(id, waiting, self.is_kept.then_some(bytes_max));
        }
    }

    /// Takes up what an earlier connection left, and sends what can be sent.
    pub(super) fn send_restored(&mut self, out: &mut Vec<u8>) {
        self.send_waiting(out);
        self.outbound = self.outbound.take().filter(|outbound| !outbound.is_empty());
    }

    /// Whether PUBACK and the like may carry a sentence (C-21).
    pub(super) fn explains(&self) -> bool {
        self.bounds.reason_strings && self.wants_problem_information && self.version.is_v5()
    }

    pub(super) const fn recipient(&self) -> Recipient {
        Recipient { version: self.version, packet_size_max: self.packet_size_max }
    }
}

/// Writes a publication that waited, with the identifiers of subscriptions if it fits with them: some may
/// have been added since it came.
fn write_waiting(
    waiting: &Waiting,
    expiry_s: Option<u32>,
    subscriptions: Option<&Subscriptions>,
    (id, to): (PublishId, Recipient),
    out: &mut Vec<u8>,
) {
    let (topic, payload) = (&*waiting.topic, &*waiting.payload);
    let name = TopicName::parse(topic);
    let ids = name.into_iter().flat_map(|name| matching_ids(subscriptions, name));
    let named = ServerPublish { topic, payload, ids, expiry_s, retain: waiting.retain };
    if named.fits(true, to) {
        named.write(id, to, out);
    } else {
        bare(waiting, expiry_s).write(id, to, out);
    }
}

fn bare(waiting: &Waiting, expiry_s: Option<u32>) -> ServerPublish<'_, core::iter::Empty<u32>> {
    let (topic, payload) = (&*waiting.topic, &*waiting.payload);
    let ids = core::iter::empty();
    ServerPublish { topic, payload, ids, expiry_s, retain: waiting.retain }
}

/// The identifiers of all subscriptions that match a topic (U-9).
pub(super) fn matching_ids<'a>(
    subscriptions: Option<&'a Subscriptions>,
    topic: TopicName<'a>,
) -> impl Iterator<Item = u32> + Clone + 'a {
    subscriptions.into_iter().flat_map(move |held| held.ids(topic))
}
