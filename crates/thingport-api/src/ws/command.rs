//! Commands and updates on the wire (REST API 17.1, 17.2).

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::entities::command::RawCommand;

/// What one message of a client asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Incoming {
    pub(crate) auth: Option<Auth>,
    pub(crate) commands: Vec<Command>,
}

/// A credential inside a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Auth {
    pub(crate) token: Option<String>,
    pub(crate) api_key: Option<String>,
}

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Latest values, or history, then live readings.
    Series(Subscription),
    /// Attributes, then their changes.
    Attributes(Subscription),
    /// History only.
    History(Subscription),
    /// The trace of a device; our own.
    Trace(Subscription),
    /// A page of entities, then what changes of them.
    Entities(RawCommand),
    /// How many entities there are, then whenever that changes.
    Count(RawCommand),
    /// Ends one of the two.
    EndEntities(i64),
    /// Something this server does not serve: answered with an error, or with nothing where there can
    /// never be anything.
    Unknown(Unknown),
}

/// The members of the three first-generation commands; which ones count depends on the command.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Subscription {
    pub(crate) cmd_id: i64,
    entity_type: Option<String>,
    entity_id: Option<String>,
    keys: Option<String>,
    scope: Option<String>,
    unsubscribe: Option<bool>,
    start_ts: Option<i64>,
    end_ts: Option<i64>,
    time_window: Option<i64>,
    interval: Option<i64>,
    limit: Option<i64>,
    agg: Option<String>,
    interval_type: Option<String>,
    #[serde(alias = "timeZone")]
    time_zone_id: Option<String>,
}

impl Subscription {
    pub(crate) fn unsubscribes(&self) -> bool {
        self.unsubscribe == Some(true)
    }

    /// The entity's type and id, if named.
    pub(crate) fn entity(&self) -> Option<(&str, &str)> {
        let id = self.entity_id.as_deref().filter(|id| !id.is_empty())?;
        Some((self.entity_type.as_deref().unwrap_or("DEVICE"), id))
    }

    /// The keys, sorted and each once; none when all are meant.
    pub(crate) fn keys(&self) -> Option<Vec<String>> {
        let text = self.keys.as_deref().unwrap_or_default();
        let mut keys: Vec<_> =
            text.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
        keys.sort();
        keys.dedup();
        (!keys.is_empty()).then_some(keys)
    }

    /// The scope's name, if one is meant.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.scope.as_deref().filter(|scope| !scope.is_empty())
    }

    /// Start and end of the history wanted before live readings, if any is.
    pub(crate) fn window(&self) -> Option<(Timestamp, Timestamp)> {
        let (start, length) = (self.start_ts?, self.time_window?);
        let start = Timestamp(start);
        (start.ms() > 0 && length > 0).then(|| (start, start.plus_ms(length)))
    }

    /// Start and end of a history command.
    pub(crate) fn range(&self) -> (Timestamp, Timestamp) {
        (Timestamp(self.start_ts.unwrap_or(0)), Timestamp(self.end_ts.unwrap_or(0)))
    }

    pub(crate) fn interval(&self) -> i64 {
        self.interval.unwrap_or(0)
    }

    pub(crate) const fn limit(&self) -> Option<i64> {
        self.limit
    }

    /// The calendar unit that buckets have, and in which time zone.
    pub(crate) fn calendar(&self) -> (Option<&str>, Option<&str>) {
        let unit = self.interval_type.as_deref().filter(|text| !text.is_empty());
        (unit, self.time_zone_id.as_deref().filter(|text| !text.is_empty()))
    }

    pub(crate) fn aggregation(&self) -> &str {
        self.agg.as_deref().filter(|agg| !agg.is_empty()).unwrap_or("NONE")
    }
}

/// A command this server does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    cmd_id: i64,
    kind: String,
}

impl Incoming {
    /// Reads a message of either format (17.1).
    ///
    /// # Errors
    /// When the text is not such a message; the session stays (W-8).
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let message: Map<String, Value> = serde_json::from_str(text)?;
        let mut incoming = Self::default();
        for (name, value) in message {
            incoming.take(&name, value)?;
        }
        Ok(incoming)
    }

    fn take(&mut self, name: &str, value: Value) -> Result<(), serde_json::Error> {
        if value.is_null() {
            return Ok(());
        }
        if name == "authCmd" {
            self.auth = Some(serde_json::from_value(value)?);
            return Ok(());
        }
        let commands: Vec<Map<String, Value>> = serde_json::from_value(value)?;
        for command in commands {
            let kind = match name {
                "cmds" => command.get("type").and_then(Value::as_str).unwrap_or_default(),
                other => other,
            };
            let kind = kind.to_owned();
            self.commands.extend(read_command(&kind, command)?);
        }
        Ok(())
    }
}

/// The command of this kind: a type of the general format or an array name of the older one. None for
/// those that end something that cannot have begun.
fn read_command(
    kind: &str,
    members: Map<String, Value>,
) -> Result<Option<Command>, serde_json::Error> {
    let cmd_id = members.get("cmdId").and_then(Value::as_i64).unwrap_or(0);
    let command = |members| serde_json::from_value::<Subscription>(Value::Object(members));
    Ok(Some(match kind {
        "tsSubCmds" | "TIMESERIES" => Command::Series(command(members)?),
        "attrSubCmds" | "ATTRIBUTES" => Command::Attributes(command(members)?),
        "historyCmds" | "TIMESERIES_HISTORY" => Command::History(command(members)?),
        "TRACE" => Command::Trace(command(members)?),
        "TRACE_UNSUBSCRIBE" => Command::Trace(Subscription {
            unsubscribe: Some(true),
            // So that it does not end everything (W-18).
            entity_id: Some("one".to_owned()),
            ..command(members)?
        }),
        "entityDataCmds" | "ENTITY_DATA" => Command::Entities(RawCommand::new(cmd_id, members)),
        "entityCountCmds" | "ENTITY_COUNT" => Command::Count(RawCommand::new(cmd_id, members)),
        "entityDataUnsubscribeCmds"
        | "ENTITY_DATA_UNSUBSCRIBE"
        | "entityCountUnsubscribeCmds"
        | "ENTITY_COUNT_UNSUBSCRIBE" => Command::EndEntities(cmd_id),
        ended if ended.ends_with("UNSUBSCRIBE") || ended.ends_with("UnsubscribeCmds") => {
            return Ok(None);
        }
        other => Command::Unknown(Unknown { cmd_id, kind: other.to_owned() }),
    }))
}

impl Unknown {
    /// The answer: that there is nothing, to what asks for alarms and notices of which there are none
    /// here, so that nobody asks again; an error to everything else (W-9).
    pub(crate) fn answer(&self) -> String {
        let nothing = match self.kind.as_str() {
            "ALARM_DATA" | "alarmDataCmds" => json!({
                "data": { "data": [], "totalPages": 0, "totalElements": 0, "hasNext": false },
                "update": null, "allowedEntities": 0, "totalEntities": 0,
                "cmdUpdateType": "ALARM_DATA",
            }),
            "ALARM_COUNT" | "alarmCountCmds" => {
                json!({ "count": 0, "cmdUpdateType": "ALARM_COUNT_DATA" })
            }
            "ALARM_STATUS" | "alarmStatusCmds" => {
                json!({ "active": false, "cmdUpdateType": "ALARM_STATUS" })
            }
            "NOTIFICATIONS" | "unreadSubCmds" => json!({
                "notifications": [], "update": null, "totalUnreadCount": 0, "sequenceNumber": 0,
                "cmdUpdateType": "NOTIFICATIONS",
            }),
            "NOTIFICATIONS_COUNT" | "unreadCountSubCmds" => json!({
                "totalUnreadCount": 0, "sequenceNumber": 0, "cmdUpdateType": "NOTIFICATIONS_COUNT",
            }),
            other => {
                let text = format!("commands of the kind {other:?} are not served here");
                return error(self.cmd_id, BAD_REQUEST, &text);
            }
        };
        let mut message = json!({ "cmdId": self.cmd_id, "errorCode": 0, "errorMsg": null });
        if let (Value::Object(message), Value::Object(nothing)) = (&mut message, nothing) {
            message.extend(nothing);
        }
        message.to_string()
    }
}

/// An update being written: points per key, keys sorted (17-C, W-11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    data: std::collections::BTreeMap<String, Vec<(Timestamp, String)>>,
}

impl Update {
    /// Adds a point; points of a key may be added in any order.
    pub(crate) fn point(&mut self, key: &str, at: Timestamp, value: ValueRef<'_>) {
        self.push(key, at, value.to_string());
    }

    /// Announces that a key is gone (W-15).
    pub(crate) fn gone(&mut self, key: &str) {
        self.push(key, Timestamp::EPOCH, String::new());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The message without the subscription's number, which [`message`] puts before it.
    pub(crate) fn text(mut self) -> String {
        for points in self.data.values_mut() {
            // Stable: of two points of one moment the one added last is the newer.
            points.reverse();
            points.sort_by_key(|(at, _)| core::cmp::Reverse(*at));
        }
        let newest: Map<String, Value> = self
            .data
            .iter()
            .filter_map(|(key, points)| Some((key.clone(), json!(points.first()?.0.ms()))))
            .collect();
        let data: Map<String, Value> = self.data.into_iter().map(series).collect();
        json!({ "errorCode": 0, "errorMsg": null, "data": data, "latestValues": newest })
            .to_string()
    }

    fn push(&mut self, key: &str, at: Timestamp, text: String) {
        match self.data.get_mut(key) {
            Some(points) => points.push((at, text)),
            None => {
                self.data.insert(key.to_owned(), vec![(at, text)]);
            }
        }
    }
}

fn series((key, points): (String, Vec<(Timestamp, String)>)) -> (String, Value) {
    let points = points.into_iter().map(|(at, text)| json!([at.ms(), text]));
    (key, points.collect())
}

/// The message for subscription `id`, of a text that any number of subscriptions may share: an object
/// with members.
pub(crate) fn message(id: i64, text: &str) -> String {
    let members = text.strip_prefix('{').unwrap_or(text);
    format!("{{\"subscriptionId\":{id},{members}")
}

/// The message that refuses a command (W-16).
pub(crate) fn error(id: i64, code: u8, text: &str) -> String {
    json!({
        "subscriptionId": id, "errorCode": code, "errorMsg": text,
        "data": null, "latestValues": {},
    })
    .to_string()
}

/// `errorCode`: we failed.
pub(crate) const INTERNAL: u8 = 1;
/// `errorCode`: the command is wrong.
pub(crate) const BAD_REQUEST: u8 = 2;
/// `errorCode`: not allowed.
pub(crate) const NOT_ALLOWED: u8 = 3;
/// `errorCode`: more updates than the tenant profile allows (W-7).
pub(crate) const TOO_MANY_UPDATES: u8 = 34;
/// The subscription id that answers a message nobody understood (W-8).
pub(crate) const NO_SUBSCRIPTION: i64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11";

    #[test]
    fn the_older_format_is_read() {
        let incoming = Incoming::parse(include_str!("../../testdata/17-A.json")).expect("parses");
        let [Command::Series(command)] = incoming.commands.as_slice() else {
            panic!("{incoming:?}")
        };
        assert_eq!((command.cmd_id, command.entity()), (17, Some(("DEVICE", DEVICE))));
        assert_eq!((command.keys(), command.window()), (None, None));
        assert_eq!(incoming.auth, None);
    }

    #[test]
    fn the_general_format_is_read_with_its_credential() {
        let incoming = Incoming::parse(include_str!("../../testdata/17-B.json")).expect("parses");
        assert_eq!(incoming.auth, Some(Auth { token: Some("eyJ".into()), api_key: None }));
        let [Command::Attributes(command)] = incoming.commands.as_slice() else {
            panic!("{incoming:?}")
        };
        assert_eq!(command.scope(), Some("SHARED_SCOPE"));
        assert_eq!(command.keys(), Some(vec!["fw_title".into(), "limit".into()]));
    }

    #[test]
    fn windows_and_ranges_are_read() {
        let text = r#"{"historyCmds":[{"cmdId":1,"startTs":5,"endTs":9,"limit":0,"agg":""}],
            "tsSubCmds":[{"cmdId":2,"startTs":5,"timeWindow":10},{"cmdId":3,"startTs":5},
                         {"cmdId":4,"unsubscribe":true}],"attrSubCmds":null}"#;
        let commands = Incoming::parse(text).expect("parses").commands;
        let [
            Command::History(history),
            Command::Series(window),
            Command::Series(latest),
            Command::Series(end),
        ] = commands.as_slice()
        else {
            panic!("{commands:?}")
        };
        assert_eq!(history.range(), (Timestamp(5), Timestamp(9)));
        assert_eq!((history.aggregation(), history.limit()), ("NONE", Some(0)));
        assert_eq!(window.window(), Some((Timestamp(5), Timestamp(15))));
        assert_eq!(
            (latest.window(), latest.unsubscribes(), end.unsubscribes()),
            (None, false, true)
        );
    }

    #[test]
    fn a_live_trace_is_asked_for_and_ended_alone() {
        let text = r#"{"cmds":[{"type":"TRACE","cmdId":3,"entityId":"d","limit":9},
            {"type":"TRACE_UNSUBSCRIBE","cmdId":3}]}"#;
        let commands = Incoming::parse(text).expect("parses").commands;
        let [Command::Trace(begin), Command::Trace(end)] = commands.as_slice() else {
            panic!("{commands:?}")
        };
        assert_eq!(
            (begin.cmd_id, begin.entity(), begin.limit()),
            (3, Some(("DEVICE", "d")), Some(9))
        );
        assert!(!begin.unsubscribes() && end.unsubscribes());
        assert!(end.entity().is_some(), "without an entity all would end (W-18)");
    }

    #[test]
    fn what_nobody_understands_is_an_error_and_what_is_unknown_has_an_answer() {
        for wrong in ["", "[]", "x", r#"{"cmds":5}"#, r#"{"tsSubCmds":[{"cmdId":"a"}]}"#] {
            assert!(Incoming::parse(wrong).is_err(), "{wrong}");
        }
        let text = r#"{"cmds":[{"type":"ALARM_COUNT","cmdId":5},{"type":"ALARM_DATA_UNSUBSCRIBE"},
            {"cmdId":6}],"alarmDataCmds":[{"cmdId":7}],"unreadCountSubCmds":[{"cmdId":8}]}"#;
        let commands = Incoming::parse(text).expect("parses").commands;
        let answers: Vec<Value> = commands
            .iter()
            .map(|command| {
                let Command::Unknown(unknown) = command else { panic!("{command:?}") };
                serde_json::from_str(&unknown.answer()).expect("JSON")
            })
            .collect();
        let rows: Vec<_> = answers.iter().map(|it| (&it["cmdId"], &it["errorCode"])).collect();
        let (none, wrong) = (json!(0), json!(2));
        let expected =
            [(&json!(5), &none), (&Value::Null, &wrong), (&json!(7), &none), (&json!(8), &none)];
        assert_eq!(rows, expected);
        assert_eq!((&answers[0]["count"], &answers[3]["totalUnreadCount"]), (&json!(0), &json!(0)));
        assert_eq!(answers[1]["subscriptionId"], 6);
        assert_eq!(answers[2]["data"]["data"], json!([]));
    }

    #[test]
    fn commands_of_the_second_generation_are_read_in_both_formats() {
        let text = r#"{"cmds":[{"type":"ENTITY_DATA","cmdId":5},{"type":"ENTITY_COUNT","cmdId":6},
            {"type":"ENTITY_DATA_UNSUBSCRIBE","cmdId":5}],"entityDataCmds":[{"cmdId":7}],
            "entityCountCmds":[{"cmdId":8}],"entityDataUnsubscribeCmds":[{"cmdId":7}]}"#;
        let commands = Incoming::parse(text).expect("parses").commands;
        let shown: Vec<_> = commands
            .iter()
            .map(|command| match command {
                Command::Entities(it) => ("entities", it.cmd_id),
                Command::Count(it) => ("count", it.cmd_id),
                Command::EndEntities(id) => ("end", *id),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected =
            [("entities", 5), ("count", 6), ("end", 5), ("entities", 7), ("count", 8), ("end", 7)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_update_is_written_as_the_contract_shows() {
        let mut update = Update::default();
        let at = Timestamp(1_751_880_400_000);
        update.point("longKey", at, ValueRef::Long(73));
        update.point("doubleKey", at, ValueRef::Double(42.0));
        let expected: Value =
            serde_json::from_str(include_str!("../../testdata/17-C.json")).expect("JSON");
        assert_eq!(message(17, &update.text()), expected.to_string());
    }

    #[test]
    fn points_come_newest_first_and_a_gone_key_is_announced() {
        let mut update = Update::default();
        update.point("a", Timestamp(1), ValueRef::Bool(true));
        update.point("a", Timestamp(3), ValueRef::String("x"));
        update.point("a", Timestamp(3), ValueRef::String("y"));
        update.gone("b");
        let message: Value = serde_json::from_str(&update.text()).expect("JSON");
        assert_eq!(
            message["data"].to_string(),
            r#"{"a":[[3,"y"],[3,"x"],[1,"true"]],"b":[[0,""]]}"#
        );
        assert_eq!(message["latestValues"], json!({"a": 3, "b": 0}));
        let empty: Value = serde_json::from_str(&Update::default().text()).expect("JSON");
        assert_eq!((&empty["data"], &empty["latestValues"]), (&json!({}), &json!({})));
    }
}
