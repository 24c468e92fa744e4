//! Commands: shared attributes and calls.

use prost::Message;
use thingport_model::attribute::Attribute;
use thingport_model::rpc::Call;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

use super::super::command::state;
use super::super::{Command, Settings};
use super::rig::{PayloadOut, Rig, shown};

fn born() -> Rig {
    let mut rig = Rig::new(Settings::default());
    rig.run(
        "NBIRTH seq=0 bdSeq:Int64=3 Node_Control/Rebirth:Boolean=false a#1:Int32=1 b:Double=1.5 x#9:Bytes
         DBIRTH D seq=1 d#2:Boolean=true s:String=x",
    );
    rig
}

fn said(command: &Command) -> String {
    let payload = PayloadOut::decode(&*command.payload).unwrap();
    format!("{} {}", command.topic, shown(&payload))
}

#[test]
fn shared_attributes_become_commands() {
    let rows = [
        // tck-id-topics-ncmd-topic, tck-id-topics-ncmd-payload, tck-id-payloads-alias-data-cmd-requirement,
        // tck-id-operational-behavior-data-commands-ncmd-verb
        (None, "a", Value::Long(7), "spBv1.0/G/NCMD/E #1:Int32=int 7"),
        (None, "b", Value::Long(7), "spBv1.0/G/NCMD/E b:Double=double 7"),
        // tck-id-operational-behavior-data-commands-ncmd-rebirth-name: by name,
        // tck-id-operational-behavior-data-commands-ncmd-rebirth-verb,
        // tck-id-operational-behavior-data-commands-ncmd-rebirth-value
        (
            None,
            "Node Control/Rebirth",
            Value::Bool(true),
            "spBv1.0/G/NCMD/E Node Control/Rebirth:Boolean=boolean true",
        ),
        // tck-id-topics-dcmd-topic, SP-081: the Sparkplug id, not the name of the child,
        // tck-id-topics-dcmd-payload, tck-id-operational-behavior-data-commands-dcmd-verb
        (Some("D"), "d", Value::Bool(false), "spBv1.0/G/DCMD/E/D #2:Boolean=boolean false"),
        (Some("D"), "s", Value::Double(1.5), "spBv1.0/G/DCMD/E/D s:String=string 1.5"),
        (None, "NCMD", Value::Json("{\"b\":2.25}".into()), "spBv1.0/G/NCMD/E b:Double=double 2.25"),
        (
            Some("D"),
            "DCMD",
            Value::Json("{\"s\":1}".into()),
            "spBv1.0/G/DCMD/E/D s:String=string 1",
        ),
        (
            None,
            "x",
            Value::Json("[1,-1,255]".into()),
            "spBv1.0/G/NCMD/E #9:Bytes=bytes [1, 255, 255]",
        ),
        // SP-084, tck-id-operational-behavior-data-commands-ncmd-metric-name,
        // tck-id-operational-behavior-data-commands-dcmd-metric-name
        (None, "unknown", Value::Long(1), ""),
        (Some("D"), "a", Value::Long(1), ""),
        (Some("X"), "a", Value::Long(1), ""),
        (None, "NCMD", Value::Json("{\"unknown\":2}".into()), ""),
        // SP-085, tck-id-operational-behavior-data-commands-ncmd-metric-value
        (None, "a", Value::String("x".into()), "downlink.format"),
        (None, "a", Value::Json("{}".into()), "downlink.format"),
        // tck-id-operational-behavior-data-commands-dcmd-metric-value
        (Some("D"), "d", Value::String("x".into()), "downlink.format"),
    ];
    let rig = born();
    for (whom, key, value, expected) in rows {
        let attribute = Attribute { key: key.into(), value, updated_at: Timestamp(1) };
        let (commands, rejects) = rig.node.updates(whom, &[attribute], Timestamp(2000));
        let told: Vec<String> = commands
            .iter()
            .map(said)
            .chain(rejects.iter().map(|it| it.reason.id().to_owned()))
            .collect();
        assert_eq!(told.join(";"), expected, "{whom:?} {key}");
    }
}

#[test]
fn calls_become_commands_and_are_answered_at_once() {
    let rows = [
        (
            None,
            "NCMD",
            "{\"metricName\":\"a\",\"value\":5}",
            "spBv1.0/G/NCMD/E #1:Int32=int 5",
            "{\"result\":\"Success: NCMD\"}",
        ),
        (
            Some("D"),
            "DCMD",
            "{\"metricName\":\"d\",\"value\":1}",
            "spBv1.0/G/DCMD/E/D #2:Boolean=boolean true",
            "{\"result\":\"Success: DCMD\"}",
        ),
        (
            None,
            "NCMD",
            "{\"metricName\":\"x\",\"value\":5}",
            "",
            "{\"result\":\"INVALID_ARGUMENTS\",\"error\":\"Failed to convert device RPC command to MQTT msg: NCMD{\\\"metricName\\\":\\\"x\\\",\\\"value\\\":5}\"}",
        ),
        (
            None,
            "NCMD",
            "{\"metricName\":\"q\",\"value\":5}",
            "",
            "{\"result\":\"BAD_REQUEST_PARAMS\",\"error\":\"Failed send To Node Rpc Request: NCMD. This node does not have a metricName: [q]\"}",
        ),
        (
            Some("D"),
            "DCMD",
            "{\"metricName\":\"q\",\"value\":5}",
            "",
            "{\"result\":\"BAD_REQUEST_PARAMS\",\"error\":\" Failed send To Device Rpc Request: DCMD. This device does not have a metricName: [q]\"}",
        ),
        (
            None,
            "RCMD",
            "{}",
            "",
            "{\"result\":\"INVALID_ARGUMENTS\",\"error\":\"Failed to convert device RPC command to MQTT msg: RCMD{}\"}",
        ),
        (
            None,
            "NCMD",
            "null",
            "",
            "{\"result\":\"INVALID_ARGUMENTS\",\"error\":\"Failed to convert device RPC command to MQTT msg: NCMDnull\"}",
        ),
    ];
    let rig = born();
    for (whom, method, params, command, answer) in rows {
        let call = Call { id: 1, method: method.into(), params: params.into() };
        let told = rig.node.call(whom, &call, Timestamp(2000));
        assert_eq!(
            told.command.as_ref().map(said).unwrap_or_default(),
            command,
            "{method} {params}"
        );
        assert_eq!(told.answer, answer, "{method} {params}");
    }
}

#[test]
fn values_are_put_where_their_type_has_them_or_refused() {
    let rows = [
        ("Int8", "-1", "int 255"),
        ("Int8", "200", "-"),
        ("Int8", "-128", "int 128"),
        ("Int16", "-1", "int 65535"),
        ("Int16", "32768", "-"),
        ("Int32", "-1", "int 4294967295"),
        ("Int32", "2147483648", "-"),
        ("Int64", "-1", "long 18446744073709551615"),
        ("Int64", "9223372036854775808", "-"),
        ("UInt8", "255", "int 255"),
        ("UInt8", "-1", "-"),
        ("UInt16", "65535", "int 65535"),
        ("UInt32", "4294967295", "int 4294967295"),
        ("UInt32", "4294967296", "-"),
        ("UInt64", "18446744073709551615", "long 18446744073709551615"),
        ("UInt64", "\"18446744073709551615\"", "long 18446744073709551615"),
        ("UInt64", "1e30", "-"),
        ("Int32", "3.9", "int 3"),
        ("Int32", "\"-3.9\"", "int 4294967293"),
        ("Int32", "true", "int 1"),
        ("Int32", "\"x\"", "-"),
        ("Int32", "null", "-"),
        ("Int32", "[1]", "-"),
        ("DateTime", "1700000000000", "long 1700000000000"),
        ("Float", "0.1", "float 0.1"),
        ("Float", "1e39", "-"),
        ("Double", "\"1.5\"", "double 1.5"),
        ("Double", "true", "double 1"),
        ("Double", "1e999", "-"),
        ("Double", "\"NaN\"", "double NaN"),
        ("Boolean", "0", "boolean false"),
        ("Boolean", "2.5", "boolean true"),
        ("Boolean", "\"true\"", "boolean true"),
        ("Boolean", "\"x\"", "-"),
        ("String", "5", "string 5"),
        ("Text", "\"a\"", "string a"),
        ("UUID", "false", "string false"),
        ("String", "{}", "-"),
        ("Bytes", "[256]", "-"),
        ("File", "[1,2]", "bytes [1, 2]"),
        ("Int16Array", "[-1,7]", "bytes [255, 255, 7, 0]"),
        ("Int16Array", "[40000]", "-"),
        ("UInt64Array", "[1]", "bytes [1, 0, 0, 0, 0, 0, 0, 0]"),
        ("FloatArray", "[0.1]", "bytes [205, 204, 204, 61]"),
        ("DoubleArray", "[1]", "bytes [0, 0, 0, 0, 0, 0, 240, 63]"),
        (
            "BooleanArray",
            "[false,false,true,true,false,true,false,false,true,true,false,true]",
            "bytes [12, 0, 0, 0, 52, 208]",
        ),
        ("StringArray", "[\"A\",\"\"]", "bytes [65, 0, 0]"),
        ("StringArray", "[\"A\\u0000\"]", "-"),
        ("DateTimeArray", "[1]", "bytes [1, 0, 0, 0, 0, 0, 0, 0]"),
        ("DataSet", "{}", "-"),
    ];
    for (kind, value, expected) in rows {
        let mut rig = Rig::new(Settings::default());
        rig.run(&format!("NBIRTH seq=0 m:{kind}"));
        let params = format!("{{\"metricName\":\"m\",\"value\":{value}}}");
        let call = Call { id: 1, method: "NCMD".into(), params };
        let told = rig.node.call(None, &call, Timestamp(2000));
        let told = told.command.as_ref().map(said);
        let prefix = format!("spBv1.0/G/NCMD/E m:{kind}=");
        let told = told.as_deref().map_or(Some("-"), |it| it.strip_prefix(&prefix));
        assert_eq!(told, Some(expected), "{kind} {value}");
    }
}

#[test]
fn commands_wait_for_a_birth_and_end_with_a_death() {
    let call =
        Call { id: 1, method: "NCMD".into(), params: "{\"metricName\":\"a\",\"value\":1}".into() };
    let mut rig = born();
    assert!(rig.node.is_born(None) && rig.node.is_born(Some("D")) && !rig.node.is_born(Some("X")));
    assert!(rig.node.call(None, &call, Timestamp(1)).command.is_some());
    rig.run("END");
    assert!(!rig.node.is_born(None) && !rig.node.is_born(Some("D")));
    assert!(rig.node.call(None, &call, Timestamp(1)).command.is_none());
}

#[test]
fn the_state_of_the_host_has_two_members() {
    let rows = [
        // tck-id-host-topic-phid-birth-topic, tck-id-host-topic-phid-birth-payload,
        // tck-id-payloads-state-birth-payload, tck-id-message-flow-phid-sparkplug-state-publish-payload,
        // tck-id-operational-behavior-host-application-connect-birth-topic,
        // tck-id-operational-behavior-host-application-connect-birth-payload
        (true, "{\"online\":true,\"timestamp\":5}"),
        // tck-id-host-topic-phid-death-topic, tck-id-host-topic-phid-death-payload,
        // tck-id-payloads-state-will-message-payload,
        // tck-id-operational-behavior-host-application-death-topic,
        // tck-id-operational-behavior-host-application-death-payload,
        // tck-id-operational-behavior-host-application-connect-will-topic,
        // tck-id-operational-behavior-host-application-connect-will-payload
        (false, "{\"online\":false,\"timestamp\":5}"),
    ];
    for (is_online, expected) in rows {
        let it = state("h", is_online, Timestamp(5));
        assert_eq!(
            (it.topic.as_str(), it.payload.as_slice()),
            ("spBv1.0/STATE/h", expected.as_bytes())
        );
    }
}
