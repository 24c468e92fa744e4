//! Payloads that mean harm are refused, within bounds.

use prost::Message;

use super::super::datatype::DataType;
use super::super::{Settings, topic};
use super::rig::{MetricOut, PayloadOut, Rig, metric};

#[test]
fn unreadable_payloads_are_refused_and_unreadable_births_asked_about() {
    let rows: [(&str, &[u8], &str); 6] = [
        ("NDATA/E", b"\xff", "refused 1 sparkplug.payload"),
        ("NDATA/E", b"\x12\x05\x0a", "refused 1 sparkplug.payload"),
        // A name that is not UTF-8.
        ("NDATA/E", b"\x12\x03\x0a\x01\xff", "refused 1 sparkplug.payload"),
        // SPBV1.0_COMPRESSED
        ("NDATA/E", b"\x22\x12SPBV1.0_COMPRESSED", "refused 1 sparkplug.payload"),
        // tck-id-message-flow-edge-node-birth-publish-nbirth-payload
        ("NBIRTH/E", b"\xff", "refused 1 sparkplug.payload"),
        // tck-id-message-flow-device-birth-publish-dbirth-payload
        ("DBIRTH/E/D", b"\xff", "refused 1 sparkplug.payload"),
    ];
    for (topic, payload, expected) in rows {
        let mut rig = Rig::new(Settings::default());
        let told = rig.publish(&format!("spBv1.0/G/{topic}"), payload);
        assert_eq!(told.lines().last(), Some(expected), "{topic} {payload:?}");
        assert_eq!(told.contains("send "), topic.contains("BIRTH"), "{topic} {payload:?}");
    }
}

#[test]
fn counts_are_bounded() {
    let settings = Settings { metrics_max: 10, ..Settings::default() };
    let birth = |count: usize, prefix: &str| {
        let metrics = (0..count).map(|at| metric(&format!("{prefix}{at}:Int32=1"))).collect();
        PayloadOut { timestamp: None, metrics, seq: Some(0) }.encode_to_vec()
    };
    let mut rig = Rig::new(settings);
    let told = rig.publish("spBv1.0/G/NBIRTH/E", &birth(11, "a"));
    assert_eq!(told.lines().last(), Some("refused 1 sparkplug.too_many_metrics"), "one payload");
    let told = rig.publish("spBv1.0/G/NBIRTH/E", &birth(6, "a"));
    assert!(told.ends_with("done 2"), "{told}");
    let told = rig.run("DBIRTH D seq=1 a:Int32=1 b:Int32=1 c:Int32=1");
    assert!(told.ends_with("done 3"), "{told}");
    let told = rig.run("DBIRTH F seq=2 a:Int32=1");
    assert!(told.ends_with("declined 4 sparkplug.too_many_metrics"), "all of them: {told}");
    let told = rig.run("DBIRTH D seq=3 a:Int32=1 b:Int32=1 c:Int32=1");
    assert!(told.ends_with("done 5"), "one takes the place of another: {told}");
}

#[test]
fn names_are_bounded() {
    let name = "n".repeat(255);
    let metrics_max = 200_000;
    let metrics = (0..9_000)
        .map(|at| MetricOut { name: Some(format!("{at:05}{}", &name[5..])), ..metric(":Int32=1") })
        .collect();
    let payload = PayloadOut { timestamp: None, metrics, seq: Some(0) }.encode_to_vec();
    let mut rig = Rig::new(Settings { metrics_max, ..Settings::default() });
    let told = rig.publish("spBv1.0/G/NBIRTH/E", &payload);
    assert!(told.ends_with("declined 1 sparkplug.too_many_metrics"));
    let told = rig.run(&format!("NBIRTH seq=0 {name}x:Int32=1 {name}:Int32=1"));
    assert!(told.contains("noted sparkplug.metric"), "a key that is too long, alone");
    assert!(told.contains(&format!("{name}@1001=1")));
}

#[test]
fn values_do_not_grow_beyond_their_bound() {
    let bits = vec![0; 512 * 1024];
    let count = u32::try_from(bits.len() * 8).unwrap().to_le_bytes();
    let metric = MetricOut {
        datatype: Some(DataType::BooleanArray as u32),
        bytes: Some([&count[..], &bits].concat()),
        ..metric("m")
    };
    let metric = MetricOut { is_null: None, ..metric };
    let payload = PayloadOut { timestamp: None, metrics: vec![metric], seq: Some(0) };
    let mut rig = Rig::new(Settings::default());
    let told = rig.publish("spBv1.0/G/NBIRTH/E", &payload.encode_to_vec());
    assert!(told.contains("noted sparkplug.metric"), "48 times as large as its bytes");
}

#[test]
fn texts_may_have_a_longest() {
    let mut rig = Rig::new(Settings { text_max: 3, ..Settings::default() });
    let told = rig.run("NBIRTH seq=0 a:String=abc b:String=abcd");
    assert!(told.contains("a@1001=\"abc\"") && !told.contains("b@"), "{told}");
}

/// Bytes from a small generator: whatever comes, nothing panics and nothing waits for ever.
#[test]
fn noise_does_no_harm() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let base = {
        let words = "NBIRTH seq=0 bdSeq:Int64=3 a#1:Int32=1 b#2:String=x c:Double=1.5";
        let metrics = words.split(' ').skip(2).map(metric).collect();
        PayloadOut { timestamp: Some(7), metrics, seq: Some(0) }.encode_to_vec()
    };
    for round in 0..3000_u64 {
        let mut rig = Rig::new(Settings::default());
        rig.publish("spBv1.0/G/NBIRTH/E", &base);
        let mut payload = base.clone();
        for _ in 0..=round % 8 {
            let at = usize::try_from(next()).unwrap_or_default() % payload.len();
            payload[at] = u8::try_from(next() & 0xFF).unwrap();
        }
        for kind in ["NBIRTH/E", "DBIRTH/E/D", "NDATA/E", "DDATA/E/D", "DDEATH/E/D", "NDEATH/E"] {
            rig.publish(&format!("spBv1.0/G/{kind}"), &payload);
        }
        rig.run("+20000\nEND");
        assert!(rig.node.poll_timeout().is_none_or(|it| it < 1_000_000), "time goes on");
    }
}

#[test]
fn topics_cost_nothing() {
    let mut rig = Rig::new(Settings::default());
    for at in 0..1000 {
        let topic = format!("spBv1.0/G/x{at}/E");
        assert!(topic::is_ours(&topic));
        assert!(rig.publish(&topic, b"").starts_with("refused"));
    }
    assert_eq!(rig.node.poll_timeout(), None);
    rig.node.handle_end(rig.moment());
    assert!(rig.node.poll_step().is_none());
}
