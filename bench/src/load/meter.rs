//! The message: a smart meter's reading of three points, other digits each time.

use crate::packet;

/// A PUBLISH packet that is copied out with its id and readings filled in.
pub(crate) struct Meter {
    packet: Vec<u8>,
    id_at: usize,
    /// Where the digits of each reading end, in `packet`.
    readings: [Reading; 3],
    count: u64,
}

#[derive(Clone, Copy)]
struct Reading {
    end: usize,
    digits: usize,
    /// Odd, so that all values of that many digits come up before one repeats.
    stride: u64,
}

impl Meter {
    pub(crate) fn new(topic: &str) -> Self {
        let (packet, id_at) = packet::publish(topic, PAYLOAD.as_bytes());
        let base = packet.len() - PAYLOAD.len();
        let reading = |name: &str, digits, stride| {
            let value = PAYLOAD.find(name).map_or(0, |at| at + name.len());
            let end = PAYLOAD[value..].find([',', '}']).map_or(value, |length| value + length);
            Reading { end: base + end, digits, stride }
        };
        let readings = [
            reading(r#"ImportedWattHours":"#, 6, 7),
            reading(r#"VoltagePhaseOne":"#, 2, 13),
            reading(r#"PowerWatts":"#, 3, 31),
        ];
        Self { packet, id_at, readings, count: 0 }
    }

    /// Appends the next message with packet id `id` to `out`.
    pub(crate) fn append(&mut self, id: u16, out: &mut Vec<u8>) {
        self.count += 1;
        self.packet[self.id_at..self.id_at + 2].copy_from_slice(&id.to_be_bytes());
        for Reading { end, digits, stride } in self.readings {
            let mut rest = self.count.wrapping_mul(stride);
            for digit in self.packet[end - digits..end].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        out.extend_from_slice(&self.packet);
    }
}

/// 100 bytes; an integer, a value with two decimals and one with none behind a large first digit.
const PAYLOAD: &str = r#"{"activeEnergyImportedWattHours":123456789,"lineVoltagePhaseOne":231.57,"activePowerWatts":2345.250}"#;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_message_is_a_reading_of_its_own() {
        let mut meter = Meter::new("v1/devices/me/telemetry");
        let mut seen = HashSet::new();
        for id in 1..=1_000_u16 {
            let mut packet = Vec::new();
            meter.append(id, &mut packet);
            let frame = packet::frame(&packet, 0).unwrap().unwrap();
            assert_eq!(frame.body.end, packet.len());
            assert_eq!(packet::publish_id(&packet[frame.body]), Some(id.to_be_bytes()));
            let payload = &packet[packet.len() - 100..];
            let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
            assert_eq!(value.as_object().unwrap().len(), 3);
            assert!(value["activeEnergyImportedWattHours"].as_u64().unwrap() >= 123_000_000);
            assert!(value["lineVoltagePhaseOne"].as_f64().unwrap() >= 231.0);
            assert!(value["activePowerWatts"].as_f64().unwrap() >= 2_345.0);
            assert!(seen.insert(payload.to_vec()));
        }
    }
}
