//! Births, deaths, order and rebirths.

use super::super::Settings;
use super::rig::Rig;

const BORN: &str = "NBIRTH seq=0 bdSeq:Int64=3 Node_Control/Rebirth:Boolean=false n#1:Int32=4
    DBIRTH D seq=1 d#2:Double=2.5";

/// What the edge node says after `BORN` (or from the begin, for rows that start with it), and what
/// becomes of that.
fn check(id: &str, before: &str, script: &str, expected: &str) {
    let mut rig = Rig::new(Settings::default());
    rig.run(before);
    let told = rig.run(script);
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{id}");
}

const ASKED: &str = "send spBv1.0/G/NCMD/E Node Control/Rebirth:Boolean=boolean true";

#[test]
#[expect(clippy::too_many_lines, reason = "rows")]
fn births_and_data_are_kept_as_the_standard_has_them() {
    let rows = [
        (
            "tck-id-message-flow-edge-node-birth-publish-nbirth-topic, tck-id-topics-nbirth-topic,
             tck-id-payloads-nbirth-timestamp, tck-id-topics-nbirth-timestamp",
            "",
            "NBIRTH seq=0 at=900 bdSeq:Int64=3 a:Int32=7",
            "node born sparkplugConnectionState@900=\"ONLINE\" sparkplugConnectionState@1001=\"ONLINE\" NBIRTH bdSeq@900=3 a@900=7
            done 1",
        ),
        (
            "tck-id-payloads-timestamp-in-UTC: none, so the time of receipt",
            "",
            "NBIRTH seq=0 at=- a:Int32=7 b:Int32=8@1500",
            "node born sparkplugConnectionState@1001=\"ONLINE\" a@1001=7 b@1500=8
            done 1",
        ),
        (
            "tck-id-topics-dbirth-topic, tck-id-message-flow-device-birth-publish-dbirth-topic,
             tck-id-payloads-dbirth-seq",
            "NBIRTH seq=0 bdSeq:Int64=3",
            "DBIRTH D seq=1 x:Boolean=true",
            "D born sparkplugConnectionState@1002=\"ONLINE\" DBIRTH seq@1002=1 x@1002=true
            done 2",
        ),
        (
            "tck-id-payloads-alias-data-cmd-requirement, tck-id-payloads-metric-datatype-not-req",
            BORN,
            "NDATA seq=2 #1=5\nDDATA D seq=3 #2=7.25",
            "node n@1003=5\ndone 3\nD d@1004=7.25\ndone 4",
        ),
        (
            "tck-id-operational-behavior-data-publish-nbirth-values: null has no value",
            BORN,
            "NDATA seq=2 n",
            "done 3",
        ),
        (
            "tck-id-operational-behavior-data-publish-nbirth-order: in order, each at its time",
            BORN,
            "NDATA seq=2 n=5@10 n=6@20 n=7@20",
            "node n@10=5 n@20=6 n@20=7\ndone 3",
        ),
        (
            "tck-id-payloads-name-requirement, tck-id-payloads-alias-birth-requirement",
            "",
            "NBIRTH seq=0 #9:Int32=7",
            "send spBv1.0/G/NCMD/E Node Control/Rebirth:Boolean=boolean true
            declined 1 sparkplug.birth",
        ),
        (
            "tck-id-payloads-alias-uniqueness: in one birth",
            "",
            "NBIRTH seq=0 a#1:Int32=7 b#1:Int32=7",
            "send spBv1.0/G/NCMD/E Node Control/Rebirth:Boolean=boolean true
            declined 1 sparkplug.birth",
        ),
        (
            "tck-id-payloads-alias-uniqueness: over the edge node and its devices",
            BORN,
            "DBIRTH E2 seq=2 a#1:Int32=7\nDDATA D seq=3 #2=1.5",
            "send spBv1.0/G/NCMD/E Node Control/Rebirth:Boolean=boolean true
            declined 3 sparkplug.birth\nD d@1004=1.5\ndone 4",
        ),
        (
            "tck-id-payloads-metric-datatype-req: that metric alone",
            "",
            "NBIRTH seq=0 a=7 b:Int32=8",
            "noted sparkplug.metric\nnode born sparkplugConnectionState@1001=\"ONLINE\" b@1001=8\ndone 1",
        ),
        (
            "tck-id-case-sensitivity-metric-names: two keys",
            "",
            "NBIRTH seq=0 a:Int32=7 A:Int32=8",
            "node born sparkplugConnectionState@1001=\"ONLINE\" a@1001=7 A@1001=8\ndone 1",
        ),
        (
            "tck-id-topics-nbirth-bdseq-matching, tck-id-payloads-nbirth-bdseq-repeat,
             tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
            "",
            "NBIRTH seq=0 bdSeq:Int64=4 a:Int32=7",
            "send spBv1.0/G/NCMD/E Node Control/Rebirth:Boolean=boolean true
            declined 1 sparkplug.birth",
        ),
        (
            "tck-id-operational-behavior-data-commands-rebirth-action-2: all births anew,
             tck-id-operational-behavior-data-commands-rebirth-action-3: with the same bdSeq",
            BORN,
            "NBIRTH seq=0 at=1500 bdSeq:Int64=3 n#1:Int32=4\nDBIRTH D seq=1 at=1501 d#2:Double=2.5",
            "D dead sparkplugConnectionState@1500=\"OFFLINE\"
            node born sparkplugConnectionState@1500=\"ONLINE\" NBIRTH bdSeq@1500=3 n@1500=4
            done 3
            D born sparkplugConnectionState@1501=\"ONLINE\" DBIRTH seq@1501=1 d@1501=2.5
            done 4",
        ),
        (
            "tck-id-payloads-alias-uniqueness: aliases may be dealt anew with a birth",
            BORN,
            "NBIRTH seq=9 bdSeq:Int64=3 n#2:Int32=4\nDBIRTH D seq=10 d#1:Double=2.5\nDDATA D seq=11 #1=1.5",
            "D dead sparkplugConnectionState@1003=\"OFFLINE\"
            node born sparkplugConnectionState@1003=\"ONLINE\" NBIRTH bdSeq@1003=3 n@1003=4
            done 3
            D born sparkplugConnectionState@1004=\"ONLINE\" DBIRTH seq@1004=10 d@1004=2.5
            done 4
            D d@1005=1.5
            done 5",
        ),
        (
            "tck-id-topics-dbirth-metric-reqs: a device again, with other metrics",
            BORN,
            "DBIRTH D seq=2 e#2:Int32=1\nDDATA D seq=3 #2=9",
            "D born sparkplugConnectionState@1003=\"ONLINE\" DBIRTH seq@1003=2 e@1003=1
            done 3\nD e@1004=9\ndone 4",
        ),
        (
            "tck-id-payloads-ndata-timestamp, tck-id-payloads-ddata-timestamp,
             tck-id-payloads-dbirth-timestamp, tck-id-payloads-ddeath-timestamp,
             tck-id-topics-ndata-timestamp, tck-id-topics-ddata-timestamp, tck-id-topics-dbirth-timestamp",
            BORN,
            "NDATA seq=2 at=1500 n=5\nDDATA D seq=3 at=1501 d=1.5
             DBIRTH D seq=4 at=1502 d#2:Double=2.5\nDDEATH D seq=5 at=1503",
            "node n@1500=5\ndone 3\nD d@1501=1.5\ndone 4
            D born sparkplugConnectionState@1502=\"ONLINE\" DBIRTH seq@1502=4 d@1502=2.5
            done 5\nD dead sparkplugConnectionState@1503=\"OFFLINE\"\ndone 6",
        ),
        (
            "tck-id-payloads-name-birth-data-requirement, tck-id-payloads-metric-timestamp-in-UTC:
             without one the time of the payload, then that of receipt",
            BORN,
            "NDATA seq=2 at=1500 n=5@1400 n=6\nNDATA seq=3 at=- n=7",
            "node n@1400=5 n@1500=6\ndone 3\nnode n@1004=7\ndone 4",
        ),
        (
            "tck-id-operational-behavior-data-publish-dbirth-values: null has no value",
            BORN,
            "DBIRTH D seq=2 d#2:Double x:Int32",
            "D born sparkplugConnectionState@1003=\"ONLINE\" DBIRTH seq@1003=2\ndone 3",
        ),
        (
            "tck-id-operational-behavior-data-publish-dbirth-order: in order, each at its time",
            BORN,
            "DDATA D seq=2 d=1.5@10 d=2.5@20 d=3.5@20",
            "D d@10=1.5 d@20=2.5 d@20=3.5\ndone 3",
        ),
        (
            "is_historical: at its own time; is_transient: as any other",
            BORN,
            "NDATA seq=2 h!n=5@10\nNDATA seq=3 t!n=6",
            "node n@10=5\ndone 3\nnode n@1004=6\ndone 4",
        ),
        (
            "tck-id-case-sensitivity-sparkplug-ids: two devices,
             tck-id-topic-structure-namespace-unique-device-id",
            BORN,
            "DBIRTH d seq=2 e:Int32=1\nDDATA D seq=3 #2=1.5",
            "d born sparkplugConnectionState@1003=\"ONLINE\" DBIRTH seq@1003=2 e@1003=1
            done 3\nD d@1004=1.5\ndone 4",
        ),
        (
            "tck-id-topics-nbirth-seq-num, tck-id-payloads-nbirth-seq: none counts as 0",
            "",
            "NBIRTH bdSeq:Int64=3 n:Int32=1\nNDATA seq=1 n=2\n+60000",
            "node born sparkplugConnectionState@1001=\"ONLINE\" NBIRTH bdSeq@1001=3 n@1001=1
            done 1\nnode n@1002=2\ndone 2",
        ),
        (
            "tck-id-topics-dbirth-metrics, tck-id-topics-nbirth-metrics: that metric alone",
            BORN,
            "DBIRTH D seq=2 a=7 b:Int32=8",
            "noted sparkplug.metric
            D born sparkplugConnectionState@1003=\"ONLINE\" DBIRTH seq@1003=2 b@1003=8\ndone 3",
        ),
    ];
    for (id, before, script, expected) in rows {
        check(id, before, script, expected);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "rows")]
fn deaths_count_once_and_for_the_right_session() {
    let rows = [
        (
            "tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline,
             tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline",
            BORN,
            "END\nEND",
            "node dead sparkplugConnectionState@1003=\"OFFLINE\"
            D dead sparkplugConnectionState@1003=\"OFFLINE\"",
        ),
        ("nothing was born, so nothing dies", "", "END", ""),
        (
            "tck-id-payloads-ndeath-bdseq: that of the session",
            BORN,
            "NDEATH bdSeq:Int64=3\nEND",
            "node dead sparkplugConnectionState@1003=\"OFFLINE\"
            D dead sparkplugConnectionState@1003=\"OFFLINE\"\ndone 3",
        ),
        (
            "tck-id-payloads-ndeath-bdseq: that of another session",
            BORN,
            "NDEATH bdSeq:Int64=2\nNDATA seq=2 n=5",
            "noted sparkplug.remark\ndone 3\nnode n@1004=5\ndone 4",
        ),
        (
            "tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale,
             tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale:
             data after the death is data before a birth",
            BORN,
            "NDEATH bdSeq:Int64=3\nNDATA seq=2 #1=5\nNBIRTH seq=0 bdSeq:Int64=3",
            "node dead sparkplugConnectionState@1003=\"OFFLINE\"
            D dead sparkplugConnectionState@1003=\"OFFLINE\"
            done 3\nnoted sparkplug.not_born
            send spBv1.0/G/NCMD/E Node Control/Rebirth:Boolean=boolean true
            done 4
            node born sparkplugConnectionState@1005=\"ONLINE\" NBIRTH bdSeq@1005=3\ndone 5",
        ),
        (
            "tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline,
             tck-id-operational-behavior-device-ddeath, tck-id-topics-ddeath-topic",
            BORN,
            "DDEATH D seq=2 at=1500\nEND",
            "D dead sparkplugConnectionState@1500=\"OFFLINE\"\ndone 3
            node dead sparkplugConnectionState@1004=\"OFFLINE\"",
        ),
        (
            "SP-035: by the whole name of the child",
            BORN,
            "DDEATH G:E:D seq=2",
            "D dead sparkplugConnectionState@1003=\"OFFLINE\"\ndone 3",
        ),
        (
            "tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale:
             data after the death is data before a birth",
            BORN,
            "DDEATH D seq=2\nDDATA D seq=3 d:Double=1.5",
            "D dead sparkplugConnectionState@1003=\"OFFLINE\"\ndone 3
            noted sparkplug.not_born
            send spBv1.0/G/NCMD/E Node Control/Rebirth:Boolean=boolean true
            D d@1004=1.5\ndone 4",
        ),
        ("a device that nobody knows", BORN, "DDEATH X seq=2", "done 3"),
        (
            "the clock of the edge node is ahead: its death is still the newest word",
            "NBIRTH seq=0 at=9000 bdSeq:Int64=3",
            "END",
            "node dead sparkplugConnectionState@9000=\"OFFLINE\"",
        ),
        (
            "the clock of the edge node is behind: its second birth is still the newest word",
            "NBIRTH seq=0 at=500 bdSeq:Int64=3\nNDEATH bdSeq:Int64=3",
            "NBIRTH seq=0 at=502 bdSeq:Int64=3",
            "node born sparkplugConnectionState@502=\"ONLINE\" sparkplugConnectionState@1003=\"ONLINE\" NBIRTH bdSeq@502=3
            done 3",
        ),
    ];
    for (id, before, script, expected) in rows {
        check(id, before, script, expected);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "rows")]
fn gaps_are_waited_for_and_then_asked_about() {
    let rows = [
        (
            "tck-id-payloads-sequence-num-incrementing: 255 is followed by 0,
             tck-id-payloads-ndata-seq-inc, tck-id-topics-ndata-seq-num,
             tck-id-payloads-sequence-num-req-nbirth: any number begins,
             tck-id-message-flow-edge-node-birth-publish-nbirth-payload-seq",
            "NBIRTH seq=254 bdSeq:Int64=3 n:Int32=1",
            "NDATA seq=255 n=2\nNDATA seq=0 n=3\n+60000",
            "node n@1002=2\ndone 2\nnode n@1003=3\ndone 3".to_owned(),
        ),
        (
            "tck-id-operational-behavior-host-reordering-start,
             tck-id-operational-behavior-host-reordering-success",
            BORN,
            "NDATA seq=4 n=6\nNDATA seq=3 n=5\n+1000\nNDATA seq=2 n=4\nNDATA seq=5 n=7\n+60000",
            "node n@2006=4\ndone 5\nnode n@1004=5\ndone 4\nnode n@1003=6\ndone 3\nnode n@2007=7\ndone 6"
                .to_owned(),
        ),
        (
            "tck-id-operational-behavior-host-reordering-rebirth: nothing is thrown away",
            BORN,
            "NDATA seq=4 n=6\n+1900\n+200\nNDATA seq=5 n=7",
            format!("node n@1003=6\ndone 3\nnoted sparkplug.order\n{ASKED}\nnode n@3106=7\ndone 4"),
        ),
        (
            "the connection ends while messages are held back",
            BORN,
            "NDATA seq=4 n=6\nEND",
            "node n@1003=6\ndone 3
            node dead sparkplugConnectionState@1004=\"OFFLINE\"
            D dead sparkplugConnectionState@1004=\"OFFLINE\""
                .to_owned(),
        ),
        (
            "tck-id-payloads-sequence-num-always-included, tck-id-payloads-ndata-seq",
            BORN,
            "NDATA n=6",
            format!("noted sparkplug.order\n{ASKED}\nnode n@1003=6\ndone 3"),
        ),
        (
            "numbers are 0 to 255",
            BORN,
            "NDATA seq=258 n=6",
            format!("noted sparkplug.order\n{ASKED}\nnode n@1003=6\ndone 3"),
        ),
        (
            "tck-id-payloads-ndata-order, tck-id-principles-birth-certificates-order,
             tck-id-message-flow-device-birth-publish-nbirth-wait, tck-id-payloads-dbirth-order:
             data before any birth, with name and type",
            "",
            "NDATA seq=1 n:Int32=6 m=3\nDDATA D seq=2 x:Int32=1\nDBIRTH D seq=3 x:Int32=1\nDDEATH D seq=4",
            format!(
                "noted sparkplug.not_born\n{ASKED}\nnode n@1001=6\ndone 1\nD x@1002=1\ndone 2
                declined 3 sparkplug.not_born\ndone 4"
            ),
        ),
        (
            "tck-id-payloads-ddata-order: data of a device before its birth",
            BORN,
            "DDATA X seq=2 x:Int32=1",
            format!("noted sparkplug.not_born\n{ASKED}\nX x@1003=1\ndone 3"),
        ),
        (
            "an alias that nobody declared, and one of another",
            BORN,
            "NDATA seq=2 #77=1\nDDATA D seq=3 #1=5",
            format!("noted sparkplug.not_born\n{ASKED}\ndone 3\ndone 4"),
        ),
        (
            "tck-id-topics-nbirth-metric-reqs, tck-id-operational-behavior-data-publish-nbirth:
             a metric that is not in the birth",
            BORN,
            "NDATA seq=2 new:Int32=1 other=2 n=5",
            format!("noted sparkplug.not_born\n{ASKED}\nnode new@1003=1 n@1003=5\ndone 3"),
        ),
        (
            "tck-id-operational-behavior-data-publish-dbirth: the same of a device",
            BORN,
            "DDATA D seq=2 new:Int32=1 d=1.5",
            format!("noted sparkplug.not_born\n{ASKED}\nD new@1003=1 d@1003=1.5\ndone 3"),
        ),
        (
            "tck-id-payloads-ddata-seq-inc, tck-id-topics-ddata-seq-num, tck-id-payloads-ddeath-seq-inc,
             tck-id-topics-ddeath-seq-num, tck-id-payloads-ddeath-seq-number: all count in one row",
            BORN,
            "DDEATH D seq=3\nDDATA D seq=2 d=1.5\n+60000",
            "D d@1004=1.5\ndone 4\nD dead sparkplugConnectionState@1003=\"OFFLINE\"\ndone 3".to_owned(),
        ),
        (
            "tck-id-payloads-dbirth-seq-inc, tck-id-topics-dbirth-seq,
             tck-id-message-flow-device-birth-publish-dbirth-payload-seq",
            BORN,
            "DBIRTH X seq=3 x:Int32=1\nDBIRTH D seq=2 d#2:Double=2.5\n+60000",
            "D born sparkplugConnectionState@1004=\"ONLINE\" DBIRTH seq@1004=2 d@1004=2.5\ndone 4
            X born sparkplugConnectionState@1003=\"ONLINE\" DBIRTH seq@1003=3 x@1003=1\ndone 3"
                .to_owned(),
        ),
        (
            "tck-id-payloads-ddata-seq, tck-id-payloads-ddeath-seq: without a number, kept and asked about",
            BORN,
            "DDATA D d=1.5\nDDEATH D",
            format!(
                "noted sparkplug.order\n{ASKED}\nD d@1003=1.5\ndone 3
                D dead sparkplugConnectionState@1004=\"OFFLINE\"\ndone 4"
            ),
        ),
    ];
    for (id, before, script, expected) in rows {
        check(id, before, script, &expected);
    }
}

#[test]
fn rebirths_are_asked_for_rarely_and_not_for_ever() {
    let mut rig = Rig::new(Settings::default());
    rig.run(BORN);
    let mut asked = 0;
    for seq in 0..120 {
        // Each time an alias that nobody knows: every two seconds, for four minutes.
        let told = rig.run(&format!("NDATA seq={} #77=1\n+2000", (2 + seq) % 256));
        asked += told.matches("send").count();
    }
    assert_eq!(asked, 3, "at most one in ten seconds, and three without a birth");
    rig.run("NBIRTH seq=0 bdSeq:Int64=3 Node_Control/Rebirth:Boolean=false");
    assert!(rig.run("NDATA seq=1 #77=1").contains("send"), "a birth ends the silence");
}

#[test]
fn a_wish_within_ten_seconds_is_not_forgotten() {
    let mut rig = Rig::new(Settings::default());
    rig.run(BORN);
    assert!(rig.run("NDATA seq=2 #77=1").contains("send"));
    assert!(!rig.run("NDATA seq=3 #77=1\n+5000").contains("send"));
    assert!(rig.run("+5000").contains("send"), "when ten seconds are over");
    assert_eq!(rig.run("+60000"), "", "once");
}

#[test]
fn an_edge_node_is_asked_if_its_birth_has_the_metric() {
    let rows = [
        ("tck-id-topics-nbirth-rebirth-metric, tck-id-payloads-nbirth-rebirth-req", "", false),
        (
            "tck-id-operational-behavior-data-commands-rebirth-name",
            "Node_Control/Rebirth:Boolean=false",
            true,
        ),
        (
            "tck-id-operational-behavior-data-commands-rebirth-datatype",
            "Node_Control/Rebirth:Int32=0",
            false,
        ),
        (
            "tck-id-operational-behavior-data-commands-rebirth-value: whatever it is",
            "Node_Control/Rebirth:Boolean=true",
            true,
        ),
        (
            "tck-id-operational-behavior-data-commands-rebirth-name-aliases: by name all the same",
            "Node_Control/Rebirth#9:Boolean=false",
            true,
        ),
    ];
    for (id, metric, is_asked) in rows {
        let mut rig = Rig::new(Settings::default());
        rig.run(&format!("NBIRTH seq=0 bdSeq:Int64=3 {metric}"));
        let told = rig.run("NDATA seq=1 #77=1");
        let note = "noted sparkplug.no_rebirth\ndone 2".to_owned();
        let asked = format!("noted sparkplug.not_born\n{ASKED}\ndone 2");
        assert_eq!(told, if is_asked { asked } else { note }, "{id}");
        assert!(!rig.run("NDATA seq=2 #77=1").contains("noted"), "{id}: told once");
    }
}

#[test]
fn without_a_timeout_nothing_is_held_back() {
    // tck-id-operational-behavior-host-reordering-param
    let mut rig = Rig::new(Settings { reorder_timeout_ms: 0, ..Settings::default() });
    rig.run(BORN);
    let told = rig.run("NDATA seq=4 n=6\nNDATA seq=5 n=7");
    let expected =
        format!("node n@1003=6\ndone 3\nnoted sparkplug.order\n{ASKED}\nnode n@1004=7\ndone 4");
    assert_eq!(told, expected);
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut rig = Rig::new(Settings::default());
    rig.run(BORN);
    let early: String = (10..74).map(|seq| format!("NDATA seq={seq} n=1\n")).collect();
    assert_eq!(rig.run(&early), "");
    let told = rig.run("NDATA seq=74 n=1");
    assert_eq!(told.matches("done").count(), 65, "all of them in order of arrival");
    assert_eq!(told.matches("send").count(), 1);
}

#[test]
fn births_without_bd_seq_may_be_refused() {
    let mut rig = Rig::new(Settings { requires_bd_seq: true, ..Settings::default() });
    let told = rig.run("NBIRTH seq=0 a:Int32=1");
    // tck-id-topics-nbirth-bdseq-included, tck-id-payloads-nbirth-bdseq
    assert!(told.ends_with("declined 1 sparkplug.birth"), "{told}");
}

#[test]
fn metrics_of_the_profile_are_attributes() {
    let attribute_metrics = vec!["serial".to_owned(), "cfg/*".to_owned()];
    let mut rig = Rig::new(Settings { attribute_metrics, ..Settings::default() });
    let told =
        rig.run("NBIRTH seq=0 serial:String=x serial2:Int32=1 cfg/a:Int32=2@5 xcfg/a:Int32=3");
    assert_eq!(
        told,
        "node born sparkplugConnectionState@1001=\"ONLINE\" serial2@1001=1 xcfg/a@1001=3 \
         shared serial@1001=\"x\" shared cfg/a@1001=2\ndone 1"
    );
    let told = rig.run("NDATA seq=1 h!serial=y@5 h!serial2=2@6");
    assert_eq!(told, "node serial2@6=2\ndone 2", "attributes have no past");
}
