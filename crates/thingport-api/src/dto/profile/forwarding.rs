//! `profileData.thingport.forwarding`: who else gets what devices say.

use serde::{Deserialize, Serialize};
use thingport_core::registry::profiles::forwarding::{DestinationDraft, TargetDraft};
use thingport_model::profile::forwarding::{Destination, ForwardKinds, ForwardTarget};
use utoipa::ToSchema;

use super::said::{from, said};
use crate::error::Refusal;

/// A target of forwarding. Secrets are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ForwardTarget)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetBody {
    /// Unique in the profile.
    name: String,
    /// `TELEMETRY`, `ATTRIBUTES`.
    kinds: Vec<&'static str>,
    #[serde(flatten)]
    destination: DestinationBody,
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ForwardDestination)]
#[serde(tag = "type", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
enum DestinationBody {
    /// A receiver of requests.
    Webhook { url: String, secret_set: bool, timeout_ms: u32, batch_max: u16 },
    /// A topic of a Kafka cluster.
    Kafka {
        brokers: String,
        topic: String,
        security: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        mechanism: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        password_set: bool,
    },
    /// Another broker.
    Mqtt {
        url: String,
        version: &'static str,
        topic: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        password_set: bool,
    },
}

impl TargetBody {
    pub(super) fn of(it: &ForwardTarget) -> Self {
        let ForwardKinds { telemetry, attributes } = it.kinds;
        let kinds = [("TELEMETRY", telemetry), ("ATTRIBUTES", attributes)];
        let kinds = kinds.into_iter().filter(|(_, is_in)| *is_in).map(|(name, _)| name);
        let destination = DestinationBody::of(&it.destination);
        Self { name: it.name.clone(), kinds: kinds.collect(), destination }
    }
}

impl DestinationBody {
    fn of(it: &Destination) -> Self {
        match it {
            Destination::Webhook(it) => Self::Webhook {
                url: it.url.as_str().to_owned(),
                secret_set: it.secret.is_some(),
                timeout_ms: it.timeout_ms,
                batch_max: it.batch_max,
            },
            Destination::Kafka(it) => Self::Kafka {
                brokers: it.brokers.clone(),
                topic: it.topic.clone(),
                security: it.security.name(),
                mechanism: it.login.as_ref().map(|it| it.mechanism.name()),
                user: it.login.as_ref().map(|it| it.user.clone()),
                password_set: it.login.is_some(),
            },
            Destination::Mqtt(it) => Self::Mqtt {
                url: it.url.to_string(),
                version: if it.is_version_5 { "5" } else { "3.1.1" },
                topic: it.topic.as_str().to_owned(),
                client_id: it.client_id.clone(),
                user: it.user.clone(),
                password_set: it.password.is_some(),
            },
        }
    }
}

/// A target of forwarding.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ForwardTargetInput {
    /// Unique in the profile: a target goes on where it was as long as its name stays.
    name: String,
    /// `WEBHOOK`, `KAFKA` or `MQTT`.
    #[serde(rename = "type")]
    kind: String,
    /// `TELEMETRY`, `ATTRIBUTES`; both when absent.
    kinds: Option<Vec<String>>,
    /// `WEBHOOK`: `http://` or `https://`. `MQTT`: `mqtt://HOST:PORT` or `mqtts://HOST:PORT`.
    url: Option<String>,
    /// `WEBHOOK`: what requests are signed with, 16 to 256 bytes. When absent it stays as it is; null
    /// clears it.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    secret: Option<Option<String>>,
    /// `WEBHOOK`: how long one request may take, 100 to 60000; 10000 when absent.
    timeout_ms: Option<i64>,
    /// `WEBHOOK`: messages in one request, 1 to 1000; 100 when absent.
    batch_max: Option<i64>,
    /// `KAFKA`: `HOST:PORT`, further ones behind commas.
    brokers: Option<String>,
    /// `KAFKA`: the topic. `MQTT`: the topic, in which `${deviceName}`, `${deviceId}`, `${deviceType}`
    /// and `${kind}` are filled in.
    topic: Option<String>,
    /// `KAFKA`: `PLAINTEXT` or `TLS`; `PLAINTEXT` when absent.
    security: Option<String>,
    /// `KAFKA`: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; `PLAIN` when absent.
    mechanism: Option<String>,
    /// `MQTT`: `5` or `3.1.1`; `5` when absent.
    version: Option<String>,
    /// `MQTT`: the client id; made of the target's identity when absent.
    client_id: Option<String>,
    /// `KAFKA`, `MQTT`: who logs in.
    user: Option<String>,
    /// `KAFKA`, `MQTT`: when absent it stays as it is; null clears it.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    password: Option<Option<String>>,
    /// What an answer says; nothing here.
    #[serde(rename = "secretSet")]
    _secret_set: Option<bool>,
    /// What an answer says; nothing here.
    #[serde(rename = "passwordSet")]
    _password_set: Option<bool>,
}

impl ForwardTargetInput {
    pub(super) fn into_draft(self) -> Result<TargetDraft, Refusal> {
        self.check_members()?;
        let destination = match self.kind.as_str() {
            "WEBHOOK" => DestinationDraft::Webhook {
                url: self.url.unwrap_or_default(),
                secret: from(self.secret),
                timeout_ms: self.timeout_ms,
                batch_max: self.batch_max,
            },
            "KAFKA" => DestinationDraft::Kafka {
                brokers: self.brokers.unwrap_or_default(),
                topic: self.topic.unwrap_or_default(),
                security: self.security,
                mechanism: self.mechanism,
                user: self.user,
                password: from(self.password),
            },
            _ => DestinationDraft::Mqtt {
                url: self.url.unwrap_or_default(),
                version: self.version,
                topic: self.topic,
                client_id: self.client_id,
                user: self.user,
                password: from(self.password),
            },
        };
        Ok(TargetDraft { name: self.name, kinds: self.kinds, destination })
    }

    /// A member that belongs to another type would be overlooked without a word.
    fn check_members(&self) -> Result<(), Refusal> {
        let of_types: &[(&str, bool, &[&str])] = &[
            ("url", self.url.is_some(), &["WEBHOOK", "MQTT"]),
            ("secret", self.secret.is_some(), &["WEBHOOK"]),
            ("timeoutMs", self.timeout_ms.is_some(), &["WEBHOOK"]),
            ("batchMax", self.batch_max.is_some(), &["WEBHOOK"]),
            ("brokers", self.brokers.is_some(), &["KAFKA"]),
            ("topic", self.topic.is_some(), &["KAFKA", "MQTT"]),
            ("security", self.security.is_some(), &["KAFKA"]),
            ("mechanism", self.mechanism.is_some(), &["KAFKA"]),
            ("version", self.version.is_some(), &["MQTT"]),
            ("clientId", self.client_id.is_some(), &["MQTT"]),
            ("user", self.user.is_some(), &["KAFKA", "MQTT"]),
            ("password", self.password.is_some(), &["KAFKA", "MQTT"]),
        ];
        let (name, kind) = (&self.name, self.kind.as_str());
        if !["WEBHOOK", "KAFKA", "MQTT"].contains(&kind) {
            return Err(Refusal::bad_request(format!(
                "the type of the target {name:?} of forwarding is WEBHOOK, KAFKA or MQTT, not {kind:?}"
            )));
        }
        let stray = of_types.iter().find(|(_, is_said, types)| *is_said && !types.contains(&kind));
        stray.map_or(Ok(()), |(member, ..)| {
            Err(Refusal::bad_request(format!(
                "the target {name:?} of forwarding is of type {kind}, which has no {member}"
            )))
        })
    }
}

impl core::fmt::Debug for ForwardTargetInput {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Neither secrets nor a URL that may hold another one.
        f.debug_struct("ForwardTargetInput").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use thingport_core::registry::profiles::said::Said;

    fn read(body: serde_json::Value) -> Result<TargetDraft, Refusal> {
        let input: ForwardTargetInput = serde_json::from_value(body).expect("members we know");
        input.into_draft()
    }

    #[test]
    fn a_target_is_a_few_lines() {
        let draft = read(json!({"name": "a", "type": "WEBHOOK", "url": "https://a"}));
        let expected = DestinationDraft::Webhook {
            url: "https://a".to_owned(),
            secret: Said::Unsaid,
            timeout_ms: None,
            batch_max: None,
        };
        let expected = TargetDraft { name: "a".to_owned(), kinds: None, destination: expected };
        assert_eq!(draft.expect("sound"), expected);
    }

    #[test]
    fn a_member_of_another_type_is_not_overlooked() {
        for body in [
            json!({"name": "a", "type": "WEBHOOK", "url": "https://a", "topic": "t"}),
            json!({"name": "a", "type": "KAFKA", "brokers": "a:1", "topic": "t", "url": "https://a"}),
            json!({"name": "a", "type": "MQTT", "url": "mqtt://a", "secret": null}),
            json!({"name": "a", "type": "AMQP"}),
        ] {
            assert!(read(body.clone()).is_err(), "{body}");
        }
    }
}
