//! Which incidents of an entity stay when there are too many: whoever caused the most loses its
//! oldest, so that one noisy device or one scanner does not push out what is known of the others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use thingport_model::incident::{Incident, Source};

use crate::record::read_incident;

/// Incidents by their position in the log, as stored.
pub(crate) type Ring = BTreeMap<u64, Vec<u8>>;

/// Leaves at most `max`. Each source keeps its newest, all sources equally many as far as they have
/// so many.
pub(crate) fn trim(ring: &mut Ring, max: usize) {
    if ring.len() <= max {
        return;
    }
    let mut counts: HashMap<Source, usize> = HashMap::new();
    let newest_first = ring.iter().rev();
    let mut ranks: Vec<_> = newest_first
        .map(|(position, body)| {
            let source = read_incident(body).as_ref().map_or(Source::Unknown, Incident::source);
            let rank = counts.entry(source).or_default();
            *rank += 1;
            (*rank, Reverse(*position))
        })
        .collect();
    ranks.sort_unstable();
    for (_, Reverse(position)) in ranks.drain(max..) {
        ring.remove(&position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::id::DeviceId;
    use thingport_model::reason::Reason;
    use thingport_model::time::Timestamp;
    use uuid::Uuid;

    fn body(device: Option<u128>, remote: &str) -> Vec<u8> {
        let incident = Incident {
            at: Timestamp(0),
            reason: Reason::CredentialsUnknown,
            detail: String::new(),
            device: device.map(|it| DeviceId(Uuid::from_u128(it))),
            remote: remote.to_owned(),
            client_id: String::new(),
            user_name: String::new(),
            protocol: String::new(),
            count: 1,
            first_at: Timestamp(0),
            attempt: None,
        };
        let mut out = Vec::new();
        crate::record::write_incident(&mut out, 1, &incident);
        out.split_off(2)
    }

    fn kept(bodies: Vec<Vec<u8>>, max: usize) -> Vec<u64> {
        let mut ring: Ring = (0..).zip(bodies).collect();
        trim(&mut ring, max);
        ring.into_keys().collect()
    }

    #[test]
    fn a_scanner_does_not_push_out_a_device() {
        let mut bodies = vec![body(None, "192.0.2.1:1"), body(None, "192.0.2.2:1")];
        bodies.extend((0..500).map(|port| body(None, &format!("198.51.100.9:{port}"))));
        assert_eq!(kept(bodies, 4), [0, 1, 500, 501]);
    }

    #[test]
    fn of_one_source_the_newest_stay() {
        let bodies = (0..9).map(|port| body(None, &format!("192.0.2.1:{port}"))).collect();
        assert_eq!(kept(bodies, 3), [6, 7, 8]);
        let bodies = (0..9).map(|port| body(Some(1), &format!("192.0.2.{port}:1"))).collect();
        assert_eq!(kept(bodies, 3), [6, 7, 8]);
        assert_eq!(kept(vec![b"damaged".to_vec(); 9], 3), [6, 7, 8]);
    }

    #[test]
    fn of_too_many_sources_the_newest_stay() {
        let bodies = (0..9).map(|it| body(Some(it), "")).collect();
        assert_eq!(kept(bodies, 3), [6, 7, 8]);
        assert_eq!(kept(vec![body(None, ""), body(Some(1), "")], 3), [0, 1]);
    }
}
