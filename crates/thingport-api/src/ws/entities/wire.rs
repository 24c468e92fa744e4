//! Answers and updates of the second generation on the wire (17-E).

use serde_json::{Value, json};
use thingport_core::query::CANDIDATES_MAX;

use super::super::command::{BAD_REQUEST, INTERNAL, NOT_ALLOWED};
use crate::dto::entity_query::EntityDataBody;
use crate::dto::page::PageBody;
use crate::error::Refusal;

/// How answers to a kind of command are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ws) enum Kind {
    Entities,
    Count,
}

impl Kind {
    const fn update_type(self) -> &'static str {
        match self {
            Self::Entities => "ENTITY_DATA",
            Self::Count => "COUNT_DATA",
        }
    }
}

/// The page that was asked for, without the command's number, which [`numbered`] puts before it.
pub(super) fn page(rows: &PageBody<EntityDataBody>) -> String {
    json!({
        "errorCode": 0, "errorMsg": null, "update": null, "allowedEntities": CANDIDATES_MAX,
        "data": rows, "cmdUpdateType": Kind::Entities.update_type(),
    })
    .to_string()
}

/// Entities of the page that changed, in the same way.
pub(super) fn update(rows: &[EntityDataBody]) -> String {
    json!({
        "errorCode": 0, "errorMsg": null, "update": rows, "allowedEntities": CANDIDATES_MAX,
        "data": null, "cmdUpdateType": Kind::Entities.update_type(),
    })
    .to_string()
}

/// How many entities there are.
pub(super) fn count(count: u64) -> String {
    json!({
        "errorCode": 0, "errorMsg": null, "count": count,
        "cmdUpdateType": Kind::Count.update_type(),
    })
    .to_string()
}

/// The message of the command `id`, of a text that any number of commands may share: an object with
/// members.
pub(super) fn numbered(id: i64, text: &str) -> String {
    let members = text.strip_prefix('{').unwrap_or(text);
    format!("{{\"cmdId\":{id},{members}")
}

/// The message that refuses a command (W-16).
pub(in crate::ws) fn refused(id: i64, kind: Kind, code: u8, text: &str) -> String {
    let mut message = json!({ "cmdId": id, "errorCode": code, "errorMsg": text });
    let rest = match kind {
        Kind::Entities => {
            json!({ "data": null, "update": null, "allowedEntities": CANDIDATES_MAX })
        }
        Kind::Count => json!({ "count": 0 }),
    };
    if let (Value::Object(message), Value::Object(rest)) = (&mut message, rest) {
        message.extend(rest);
        message.insert("cmdUpdateType".to_owned(), kind.update_type().into());
    }
    message.to_string()
}

/// The same for a refusal.
pub(in crate::ws) fn refusal(id: i64, kind: Kind, refusal: &Refusal) -> String {
    let code = match refusal.status().as_u16() {
        403 | 404 => NOT_ALLOWED,
        500.. => INTERNAL,
        _ => BAD_REQUEST,
    };
    refused(id, kind, code, refusal.message())
}

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::id::{DeviceId, NIL};
    use thingport_model::page::{Page, PageLink};

    #[test]
    fn every_message_has_the_members_of_the_contract() {
        let expected: Value =
            serde_json::from_str(include_str!("../../../testdata/17-E.json")).expect("JSON");
        let members = |value: &Value| {
            let mut keys: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
            keys.sort();
            keys
        };
        let link = PageLink { page: 0, size: 20, text_search: None, sort: None };
        let row = EntityDataBody::of(DeviceId(NIL).entity());
        let found = PageBody::of(Page { rows: vec![row.clone()], total: 1 }, &link, |row| row);
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let first = parse(&numbered(5, &page(&found)));
        let later = parse(&numbered(5, &update(&[row])));
        let wrong = parse(&refused(5, Kind::Entities, BAD_REQUEST, "why"));
        for message in [&first, &later, &wrong] {
            assert_eq!(members(message), members(&expected));
            assert_eq!(
                (&message["cmdId"], &message["cmdUpdateType"]),
                (&json!(5), &json!("ENTITY_DATA"))
            );
        }
        assert_eq!(members(&first["data"]), members(&expected["data"]));
        assert!(first["update"].is_null() && later["data"].is_null() && later["update"].is_array());
        let counted = parse(&numbered(7, &count(7)));
        assert_eq!(
            counted.to_string(),
            r#"{"cmdId":7,"errorCode":0,"errorMsg":null,"count":7,"cmdUpdateType":"COUNT_DATA"}"#
        );
        assert_eq!(members(&parse(&refused(7, Kind::Count, 2, "why"))), members(&counted));
    }
}
