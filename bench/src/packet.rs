//! The little MQTT 3.1.1 both ends need: framing, and the packets as bytes.
//!
//! Apart from the product's own protocol crate on purpose: the yardstick must not get faster or
//! slower with the thing it measures.

use std::ops::Range;

/// CONNACK, accepted, no session present.
pub(crate) const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
/// PINGRESP.
pub(crate) const PINGRESP: [u8; 2] = [0xD0, 0];
/// DISCONNECT.
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// Packet types, the upper four bits of the first byte.
pub(crate) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const SUBACK: u8 = 9;
    pub(crate) const PINGREQ: u8 = 12;
}

/// One whole packet found in a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// First byte: type and flags.
    pub first: u8,
    /// Variable header and payload, as positions in the buffer; its end is the packet's end.
    pub body: Range<usize>,
}

impl Frame {
    /// The packet's type, one of [`kind`].
    pub(crate) fn kind(&self) -> u8 {
        self.first >> 4
    }
}

/// The remaining length is longer than four bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLength;

/// The packet that starts at `start`, or `None` when `bytes` ends before the packet does.
pub(crate) fn frame(bytes: &[u8], start: usize) -> Result<Option<Frame>, BadLength> {
    let Some(&first) = bytes.get(start) else { return Ok(None) };
    let mut length = 0;
    for position in 0..4 {
        let at = start + 1 + position;
        let Some(&byte) = bytes.get(at) else { return Ok(None) };
        length |= usize::from(byte & 0x7F) << (7 * position);
        if byte & 0x80 == 0 {
            let body = at + 1..at + 1 + length;
            return Ok((body.end <= bytes.len()).then_some(Frame { first, body }));
        }
    }
    Err(BadLength)
}

/// The packet id of a QoS 1 PUBLISH with this variable header, or `None` when it is cut short.
pub(crate) fn publish_id(body: &[u8]) -> Option<[u8; 2]> {
    let topic = usize::from(u16::from_be_bytes(body.first_chunk().copied()?));
    body.get(2 + topic..)?.first_chunk().copied()
}

/// CONNECT with a clean session; `token` is client id and user name.
pub(crate) fn connect(token: &str, keep_alive_seconds: u16) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, CLEAN_SESSION | USER_NAME];
    body.extend(keep_alive_seconds.to_be_bytes());
    put_string(&mut body, token);
    put_string(&mut body, token);
    whole(0x10, &body)
}

/// PUBLISH with QoS 1 and packet id 0, and where in it the id stands; the payload ends the packet.
pub(crate) fn publish(topic: &str, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut body = Vec::new();
    put_string(&mut body, topic);
    let id_from_end = 2 + payload.len();
    body.extend([0, 0]);
    body.extend(payload);
    let packet = whole(0x32, &body);
    let id_at = packet.len() - id_from_end;
    (packet, id_at)
}

/// SUBSCRIBE with QoS 1 to one filter, packet id 1.
pub(crate) fn subscribe(filter: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    put_string(&mut body, filter);
    body.push(1);
    whole(0x82, &body)
}

fn whole(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let low = (length & 0x7F) as u8;
        length >>= 7;
        packet.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    // Tokens and topics come from the command line of this tool; `Options` bounds them.
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

const CLEAN_SESSION: u8 = 0x02;
const USER_NAME: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_found_only_when_whole() {
        let (packet, id_at) = publish("a/b", &[b'x'; 200]);
        assert_eq!(packet[1..3], [0xCF, 0x01], "2 + 3 + 2 + 200 = 207 in two bytes");
        for cut in 0..packet.len() {
            assert_eq!(frame(&packet[..cut], 0), Ok(None), "cut at {cut}");
        }
        let found = frame(&packet, 0).unwrap().unwrap();
        assert_eq!((found.kind(), found.body.clone()), (kind::PUBLISH, 3..packet.len()));
        assert_eq!(publish_id(&packet[found.body]), Some([packet[id_at], packet[id_at + 1]]));
    }

    #[test]
    fn a_fifth_length_byte_is_refused() {
        assert_eq!(frame(&[0x30, 0x80, 0x80, 0x80, 0x80, 1], 0), Err(BadLength));
    }

    #[test]
    fn connect_says_who_it_is() {
        let expected = b"\x10\x12\x00\x04MQTT\x04\x82\x00\x3c\x00\x02ab\x00\x02ab";
        assert_eq!(connect("ab", 60), expected);
    }

    #[test]
    fn a_publish_cut_in_its_topic_has_no_id() {
        for body in [&[][..], &[0], &[0, 3, b'a'], &[0, 1, b'a', 7]] {
            assert_eq!(publish_id(body), None);
        }
        assert_eq!(publish_id(&[0, 1, b'a', 7, 9]), Some([7, 9]));
    }
}
