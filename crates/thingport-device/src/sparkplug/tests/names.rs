//! Topics, filters and certificates.

use prost::Message;
use thingport_model::time::Timestamp;

use super::super::topic::{Place, Wish, is_ours, state_topic};
use super::super::{Certificate, Settings, Will};
use super::rig::{PayloadOut, Rig, metric};

#[test]
fn every_topic_has_one_verdict() {
    let rows = [
        // tck-id-topic-structure, tck-id-topic-structure-namespace-a
        ("spBv1.0/G/NBIRTH/E", "done 1"),
        // tck-id-topics-ndata-topic
        ("spBv1.0/G/NDATA/E", "done 1"),
        ("spBv1.0/G/NDEATH/E", "done 1"),
        // tck-id-topics-ddata-topic
        ("spBv1.0/G/DDATA/E/D", "done 1"),
        ("spBv1.0/G/DDEATH/E/D", "done 1"),
        ("spBv1.0/G/DBIRTH/E/D", "declined 1 sparkplug.not_born"),
        ("$sparkplug/certificates/spBv1.0/G/NBIRTH/E", "done 1"),
        // tck-id-message-flow-device-birth-publish-dbirth-match-edge-node-topic
        ("spBv1.0/H/NBIRTH/E", "refused 1 sparkplug.foreign"),
        ("spBv1.0/G/DBIRTH/F/D", "refused 1 sparkplug.foreign"),
        ("spBv1.0/g/NBIRTH/E", "refused 1 sparkplug.foreign"),
        // Commands flow from the host to the edge node, and STATE is the host's own word, so nobody can
        // say that it is away (tck-id-message-flow-hid-sparkplug-state-message-delivered).
        ("spBv1.0/G/NCMD/E", "refused 1 sparkplug.not_for_nodes"),
        ("spBv1.0/G/DCMD/E/D", "refused 1 sparkplug.not_for_nodes"),
        ("spBv1.0/STATE/thingport", "refused 1 sparkplug.not_for_nodes"),
        ("spBv1.0/G/nbirth/E", "refused 1 publish.topic_unknown"),
        ("spBv1.0/G/NRECORD/E", "refused 1 publish.topic_unknown"),
        // tck-id-topic-structure-namespace-device-id-non-associated-message-types
        ("spBv1.0/G/NBIRTH/E/D", "refused 1 publish.topic_unknown"),
        // tck-id-topic-structure-namespace-device-id-associated-message-types
        ("spBv1.0/G/DBIRTH/E", "refused 1 publish.topic_unknown"),
        // tck-id-topic-structure-namespace-valid-device-id
        ("spBv1.0/G/DBIRTH/E/+", "refused 1 publish.topic_unknown"),
        ("spBv1.0/G/DBIRTH/E/#", "refused 1 publish.topic_unknown"),
        ("spBv1.0/G/DBIRTH/E/", "refused 1 publish.topic_unknown"),
        ("spBv1.0/G/DBIRTH/E/D/x", "refused 1 publish.topic_unknown"),
        ("spBv1.0/G", "refused 1 publish.topic_unknown"),
        ("spBv1.0", "refused 1 publish.topic_unknown"),
    ];
    for (topic, expected) in rows {
        let mut rig = Rig::new(Settings::default());
        let told = rig.publish(topic, &PayloadOut::default().encode_to_vec());
        assert_eq!(told.lines().last(), Some(expected), "{topic}");
        assert!(is_ours(topic), "{topic}");
    }
    for topic in ["v1/devices/me/telemetry", "spBv1.0x/G/NBIRTH/E", "spAv1.0/G/NBIRTH/E"] {
        assert!(!is_ours(topic), "{topic}");
    }
}

#[test]
fn every_filter_has_one_verdict() {
    let place = Place { group: "G".into(), node: "E".into() };
    let rows = [
        ("spBv1.0/G/NCMD/E", Some(Wish::Commands)),
        ("spBv1.0/G/NCMD/E/#", Some(Wish::Commands)),
        ("spBv1.0/G/DCMD/E/#", Some(Wish::Commands)),
        ("spBv1.0/G/DCMD/E/+", Some(Wish::Commands)),
        ("spBv1.0/G/DCMD/E/D", Some(Wish::Commands)),
        ("spBv1.0/STATE/thingport", Some(Wish::State)),
        ("spBv1.0/STATE/+", Some(Wish::State)),
        ("spBv1.0/STATE/#", Some(Wish::State)),
        // tck-id-operational-behavior-host-application-host-id
        ("spBv1.0/STATE/other", None),
        ("spBv1.0/STATE/thingport/x", None),
        ("spBv1.0/#", None),
        ("spBv1.0/G/#", None),
        ("spBv1.0/G/NCMD/+", None),
        ("spBv1.0/+/NCMD/E", None),
        ("spBv1.0/G/NCMD/F", None),
        ("spBv1.0/G/DCMD/E", None),
        ("spBv1.0/G/DCMD/F/#", None),
        ("spBv1.0/G/NDATA/E", None),
        ("spBv1.0/G/DDATA/E/#", None),
        ("spBv1.0/H/NCMD/E", None),
    ];
    for (filter, expected) in rows {
        assert_eq!(place.wish(filter, "thingport"), expected, "{filter}");
    }
    assert_eq!(state_topic("h"), "spBv1.0/STATE/h", "tck-id-host-topic-phid-birth-topic");
}

#[test]
#[expect(clippy::too_many_lines, reason = "rows")]
fn a_will_is_a_death_certificate_or_the_reason_why_not() {
    const TOPIC: &str = "spBv1.0/G/NDEATH/E";
    let payload = |metrics: &str, seq| {
        let metrics = metrics.split_whitespace().map(metric).collect();
        PayloadOut { timestamp: Some(50), metrics, seq }.encode_to_vec()
    };
    let good = payload("bdSeq:Int64=7", None);
    let rows = [
        (
            "tck-id-payloads-ndeath-will-message, tck-id-message-flow-edge-node-birth-publish-will-message",
            None,
            "there is none",
        ),
        ("it is good", Some((TOPIC, good.clone(), 1, false)), "7"),
        (
            "tck-id-message-flow-edge-node-birth-publish-will-message-topic, tck-id-topics-ndeath-topic",
            Some(("spBv1.0/G/NDATA/E", good.clone(), 1, false)),
            "its topic is",
        ),
        (
            "a device cannot die so",
            Some(("spBv1.0/G/NDEATH/E/D", good.clone(), 1, false)),
            "its topic is",
        ),
        (
            "tck-id-topic-structure-namespace-valid-group-id",
            Some(("spBv1.0//NDEATH/E", good.clone(), 1, false)),
            "its topic is",
        ),
        (
            "tck-id-topic-structure-namespace-valid-group-id: no wildcards",
            Some(("spBv1.0/G+/NDEATH/E", good.clone(), 1, false)),
            "its topic is",
        ),
        (
            "tck-id-topic-structure-namespace-valid-edge-node-id",
            Some(("spBv1.0/G/NDEATH/", good.clone(), 1, false)),
            "its topic is",
        ),
        (
            "tck-id-topic-structure-namespace-valid-edge-node-id: no wildcards",
            Some(("spBv1.0/G/NDEATH/#", good.clone(), 1, false)),
            "its topic is",
        ),
        ("v1", Some(("v1/devices/me/telemetry", good.clone(), 1, false)), "its topic is"),
        (
            "tck-id-message-flow-edge-node-birth-publish-will-message-qos",
            Some((TOPIC, good.clone(), 0, false)),
            "7 sparkplug.remark",
        ),
        (
            "tck-id-payloads-ndeath-will-message-qos",
            Some((TOPIC, good.clone(), 2, false)),
            "its quality of service is 2",
        ),
        (
            "tck-id-payloads-ndeath-will-message-retain,
             tck-id-message-flow-edge-node-birth-publish-will-message-will-retained",
            Some((TOPIC, good.clone(), 1, true)),
            "it is to be retained",
        ),
        (
            "tck-id-message-flow-edge-node-birth-publish-will-message-payload",
            Some((TOPIC, b"\xff".to_vec(), 1, false)),
            "the message ends in the middle of a field",
        ),
        (
            "tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
            Some((TOPIC, payload("other:Int64=7", None), 1, false)),
            "its payload has no metric bdSeq",
        ),
        (
            "tck-id-payloads-ndeath-bdseq",
            Some((TOPIC, payload("bdSeq:Int64=256", None), 1, false)),
            "bdSeq is no number",
        ),
        (
            "it has no value",
            Some((TOPIC, payload("bdSeq:Int64", None), 1, false)),
            "bdSeq is no number",
        ),
        (
            "tck-id-topics-ndeath-payload: told, not refused",
            Some((TOPIC, payload("bdSeq:Int64=7 a:Int32=1", None), 1, false)),
            "7 sparkplug.remark",
        ),
        (
            "tck-id-topics-ndeath-seq, tck-id-payloads-ndeath-seq: told, not refused",
            Some((TOPIC, payload("bdSeq:Int64=7", Some(1)), 1, false)),
            "7 sparkplug.remark",
        ),
        (
            "other whole types do, as some libraries send them",
            Some((TOPIC, payload("bdSeq:UInt64=7", None), 1, false)),
            "7",
        ),
    ];
    for (id, will, expected) in rows {
        let will = will.as_ref().map(|(topic, payload, qos, retain)| Will {
            topic,
            payload,
            qos: *qos,
            retain: *retain,
        });
        let told = match Certificate::read(will, false, Timestamp(1)) {
            Ok(it) => {
                assert_eq!((&*it.place.group, &*it.place.node), ("G", "E"), "{id}");
                let reading = it.readings.iter().next().unwrap();
                assert_eq!((reading.key, reading.at), ("NDEATH bdSeq", Timestamp(50)), "SP-008");
                let remark = it.remark.map(|it| format!(" {}", it.reason.id()));
                format!("{}{}", it.bd_seq, remark.unwrap_or_default())
            }
            Err(reject) => {
                assert_eq!(reject.reason.id(), "connect.sparkplug_will", "{id}");
                reject.detail
            }
        };
        assert!(told.starts_with(expected), "{id}: {told}");
    }
    let will = Will { topic: TOPIC, payload: &good, qos: 0, retain: false };
    let strict = Certificate::read(Some(will), true, Timestamp(1));
    assert!(strict.is_err_and(|it| it.detail == "its quality of service is 0"), "strict");
}
