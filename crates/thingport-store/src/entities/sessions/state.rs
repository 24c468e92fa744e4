//! The state of a kept session as bytes (docs/storage-format.md).

use thingport_model::session::{About, KeptMessage, KeptSubscription, OpenPacketId, SessionState};

use crate::codec::{Cursor, put_bytes, put_varint};

/// What is kept of a state: calls are kept elsewhere, so messages about them are left out.
pub(super) fn encode(state: &SessionState) -> Vec<u8> {
    let mut out = vec![VERSION << 4 | u8::from(state.wants_updates)];
    put_varint(&mut out, state.told);
    put_varint(&mut out, u64::from(state.last_packet_id));
    put_varint(&mut out, state.subscriptions.len() as u64);
    for it in &state.subscriptions {
        put_bytes(&mut out, it.filter.as_bytes());
        out.push(u8::from(it.is_acknowledged) | u8::from(it.is_chosen) << 1);
        put_varint(&mut out, u64::from(it.id));
    }
    let stored = || state.messages.iter().filter(|it| !matches!(it.about, About::Call(_)));
    put_varint(&mut out, stored().count() as u64);
    for it in stored() {
        put_varint(&mut out, u64::from(it.packet_id));
        out.push(if it.about == About::Update { UPDATE } else { OTHER });
        put_bytes(&mut out, it.topic.as_bytes());
        put_bytes(&mut out, &it.payload);
    }
    put_varint(&mut out, state.open_ids.len() as u64);
    for it in &state.open_ids {
        put_varint(&mut out, u64::from(it.packet_id));
        out.extend_from_slice(&it.fingerprint.to_le_bytes());
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Option<SessionState> {
    let mut rest = Cursor(bytes);
    let first = rest.byte()?;
    if first >> 4 != VERSION {
        return None;
    }
    let state = SessionState {
        wants_updates: first & 1 != 0,
        told: rest.varint()?,
        last_packet_id: packet_id(&mut rest)?,
        subscriptions: each(&mut rest, subscription)?,
        messages: each(&mut rest, message)?,
        open_ids: each(&mut rest, open_id)?,
    };
    rest.is_empty().then_some(state)
}

/// As many as are announced; memory grows with what is there, never with what is announced.
fn each<'a, T>(
    rest: &mut Cursor<'a>,
    read: impl Fn(&mut Cursor<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = rest.varint()?;
    (0..count).map(|_| read(rest)).collect()
}

fn subscription(rest: &mut Cursor<'_>) -> Option<KeptSubscription> {
    let filter = rest.text()?.to_owned();
    let flags = rest.byte()?;
    Some(KeptSubscription {
        filter,
        is_acknowledged: flags & 1 != 0,
        is_chosen: flags & 2 != 0,
        id: rest.varint_u32()?,
    })
}

fn message(rest: &mut Cursor<'_>) -> Option<KeptMessage> {
    let packet_id = packet_id(rest)?;
    let about = match rest.byte()? {
        OTHER => About::Other,
        UPDATE => About::Update,
        _ => return None,
    };
    let (topic, payload) = (rest.text()?.to_owned(), rest.counted()?.into());
    Some(KeptMessage { packet_id, topic, payload, about, expires_ms: None })
}

fn open_id(rest: &mut Cursor<'_>) -> Option<OpenPacketId> {
    let packet_id = packet_id(rest)?;
    Some(OpenPacketId { packet_id, fingerprint: u64::from_le_bytes(rest.array()?) })
}

fn packet_id(rest: &mut Cursor<'_>) -> Option<u16> {
    u16::try_from(rest.varint()?).ok()
}

const VERSION: u8 = 1;
const OTHER: u8 = 0;
const UPDATE: u8 = 1;

#[cfg(test)]
mod tests {
    use core::num::NonZeroU64;

    use thingport_model::rpc::CallToken;

    use super::*;

    /// Golden bytes of version 1: they never change.
    #[test]
    fn a_state_is_these_bytes() {
        let call = About::Call(CallToken(NonZeroU64::MIN));
        let state =
            SessionState { messages: messages(&[About::Update, call, About::Other]), ..full() };
        let bytes = encode(&state);
        let expected = [
            // Version 1, updates are wanted; told; last packet identifier.
            "11 ac02 7f",
            // Two subscriptions: filter, granted and chosen, identifier.
            "02 0476322f61 03 07 0162 00 00",
            // Two messages, the call left out: packet identifier, about, topic, payload.
            "02 01 01 0476322f61 027b7d 03 00 0476322f61 027b7d",
            // One identifier of quality of service 2 with its fingerprint.
            "01 09 0201000000000000",
        ];
        assert_eq!(hex(&bytes), expected.concat().replace(' ', ""));
    }

    #[test]
    fn a_state_comes_back_and_cut_bytes_are_refused() {
        let state = SessionState { messages: messages(&[About::Update, About::Other]), ..full() };
        let bytes = encode(&state);
        assert_eq!(decode(&bytes), Some(state));
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None);
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(decode(&[0x20]), None, "a newer version");
        // Announced counts cost nothing.
        assert_eq!(decode(&[0x10, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), None);
    }

    fn full() -> SessionState {
        SessionState {
            told: 300,
            wants_updates: true,
            subscriptions: vec![
                KeptSubscription {
                    filter: "v2/a".to_owned(),
                    is_acknowledged: true,
                    is_chosen: true,
                    id: 7,
                },
                KeptSubscription {
                    filter: "b".to_owned(),
                    is_acknowledged: false,
                    is_chosen: false,
                    id: 0,
                },
            ],
            messages: Vec::new(),
            open_ids: vec![OpenPacketId { packet_id: 9, fingerprint: 0x0102 }],
            last_packet_id: 127,
        }
    }

    fn messages(about: &[About]) -> Vec<KeptMessage> {
        let message = |(packet_id, about): (u16, &About)| KeptMessage {
            packet_id,
            topic: "v2/a".to_owned(),
            payload: b"{}".as_slice().into(),
            about: *about,
            expires_ms: None,
        };
        (1..).zip(about).map(message).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
