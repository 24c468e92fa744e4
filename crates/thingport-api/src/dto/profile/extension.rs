//! `profileData.thingport`: what ThingsBoard's profiles do not have. Shown only when it says something,
//! because clients made for ThingsBoard choke on members they do not know (G-21).

use serde::{Deserialize, Serialize};
use thingport_core::registry::profiles::extension::{ClientRpcDraft, ExtensionDraft, WebhookDraft};
use thingport_core::registry::profiles::said::Said;
use thingport_model::profile::extension::{ClientRpc, ProfileExtension};
use utoipa::ToSchema;

use super::forwarding::{ForwardTargetInput, TargetBody};
use super::said::{from, said};
use crate::error::Refusal;

/// Our own part of a device profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeviceProfileExtension)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExtensionBody {
    /// Who answers what devices ask and the server itself does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_rpc: Option<ClientRpcBody>,
    /// Who else gets what devices say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forwarding: Vec<TargetBody>,
}

/// Who answers client calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ClientRpc)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ClientRpcBody {
    /// A receiver that is posted to.
    #[serde(rename = "WEBHOOK")]
    Webhook {
        /// Where to.
        url: String,
        /// Whether requests are signed. The secret itself is not shown.
        secret_set: bool,
        /// How long one attempt may take.
        timeout_ms: u32,
        /// How often it is tried again.
        retries: u8,
    },
    /// Whichever application takes requests at `/api/thingport/client-rpc`.
    #[serde(rename = "APP")]
    Application {},
}

impl ExtensionBody {
    pub(super) fn of(it: &ProfileExtension) -> Option<Self> {
        if it.is_empty() {
            return None;
        }
        let client_rpc = it.client_rpc.as_ref().map(|it| match it {
            ClientRpc::Webhook(it) => ClientRpcBody::Webhook {
                url: it.url.as_str().to_owned(),
                secret_set: it.secret.is_some(),
                timeout_ms: it.timeout_ms,
                retries: it.retries,
            },
            ClientRpc::Application => ClientRpcBody::Application {},
        });
        Some(Self { client_rpc, forwarding: it.forwarding.iter().map(TargetBody::of).collect() })
    }
}

/// Our own part of a device profile. Members that are absent stay as they are; null clears them.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExtensionInput {
    /// Who answers what devices ask and the server itself does not.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<ClientRpcInput>)]
    client_rpc: Option<Option<ClientRpcInput>>,
    /// Who else gets what devices say: all targets, at most 8; one that is not named goes.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<Vec<ForwardTargetInput>>)]
    forwarding: Option<Option<Vec<ForwardTargetInput>>>,
}

/// Who answers client calls.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClientRpcInput {
    /// `WEBHOOK` or `APP`.
    #[serde(rename = "type")]
    kind: String,
    /// `WEBHOOK`: where to, `http` or `https`.
    url: Option<String>,
    /// `WEBHOOK`: what requests are signed with, 16 to 256 bytes. When absent it stays as it is; null
    /// clears it.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    secret: Option<Option<String>>,
    /// `WEBHOOK`: how long one attempt may take, 100 to 55000; 5000 when absent.
    timeout_ms: Option<i64>,
    /// `WEBHOOK`: how often it is tried again, 0 to 5; once when absent.
    retries: Option<i64>,
    /// What an answer says; nothing here.
    #[serde(rename = "secretSet")]
    _secret_set: Option<bool>,
}

/// `profileData.thingport`, absent, null, or there.
pub(super) fn draft(sent: Option<Option<ExtensionInput>>) -> Result<ExtensionDraft, Refusal> {
    let sent = match sent {
        None => return Ok(ExtensionDraft::default()),
        Some(None) => return Ok(ExtensionDraft::cleared()),
        Some(Some(sent)) => sent,
    };
    let client_rpc = match from(sent.client_rpc) {
        Said::Unsaid => Said::Unsaid,
        Said::Cleared => Said::Cleared,
        Said::Set(it) => Said::Set(it.into_draft()?),
    };
    let forwarding = match from(sent.forwarding) {
        Said::Unsaid => Said::Unsaid,
        Said::Cleared => Said::Cleared,
        Said::Set(targets) => {
            let drafts = targets.into_iter().map(ForwardTargetInput::into_draft);
            Said::Set(drafts.collect::<Result<_, _>>()?)
        }
    };
    Ok(ExtensionDraft { client_rpc, forwarding })
}

impl ClientRpcInput {
    fn into_draft(self) -> Result<ClientRpcDraft, Refusal> {
        match self.kind.as_str() {
            "WEBHOOK" => Ok(ClientRpcDraft::Webhook(WebhookDraft {
                url: self.url.unwrap_or_default(),
                secret: from(self.secret),
                timeout_ms: self.timeout_ms,
                retries: self.retries,
            })),
            "APP" => Ok(ClientRpcDraft::Application),
            other => Err(Refusal::bad_request(format!(
                "the type of clientRpc is WEBHOOK or APP, not {other:?}"
            ))),
        }
    }
}

impl core::fmt::Debug for ClientRpcInput {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Neither the secret nor a URL that may hold another one.
        f.debug_struct("ClientRpcInput").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::profile::extension::RpcWebhook;
    use thingport_model::webhook::{Secret, WebhookUrl};

    #[derive(Deserialize)]
    struct Data {
        #[serde(default, deserialize_with = "said")]
        thingport: Option<Option<ExtensionInput>>,
    }

    fn sent(json: &str) -> Result<ExtensionDraft, String> {
        let data: Data = serde_json::from_str(json).map_err(|error| error.to_string())?;
        draft(data.thingport).map_err(|refusal| format!("{refusal:?}"))
    }

    #[test]
    fn what_is_absent_null_or_there_is_told_apart() {
        let webhook = |secret, timeout_ms| {
            let webhook = WebhookDraft { url: "u".to_owned(), secret, timeout_ms, retries: None };
            ExtensionDraft {
                client_rpc: Said::Set(ClientRpcDraft::Webhook(webhook)),
                ..ExtensionDraft::default()
            }
        };
        let rows = [
            ("{}", ExtensionDraft::default()),
            (r#"{"thingport":null}"#, ExtensionDraft::cleared()),
            (r#"{"thingport":{}}"#, ExtensionDraft::default()),
            (
                r#"{"thingport":{"clientRpc":null}}"#,
                ExtensionDraft { client_rpc: Said::Cleared, ..ExtensionDraft::default() },
            ),
            (
                r#"{"thingport":{"clientRpc":{"type":"APP"}}}"#,
                ExtensionDraft {
                    client_rpc: Said::Set(ClientRpcDraft::Application),
                    ..ExtensionDraft::default()
                },
            ),
            (
                r#"{"thingport":{"clientRpc":{"type":"WEBHOOK","url":"u","secretSet":true}}}"#,
                webhook(Said::Unsaid, None),
            ),
            (
                r#"{"thingport":{"clientRpc":{"type":"WEBHOOK","url":"u","secret":null,"timeoutMs":7}}}"#,
                webhook(Said::Cleared, Some(7)),
            ),
        ];
        for (json, expected) in rows {
            assert_eq!(sent(json), Ok(expected), "{json}");
        }
        for (json, word) in [
            (r#"{"thingport":{"clientRPC":{"type":"APP"}}}"#, "unknown field `clientRPC`"),
            (r#"{"thingport":{"clientRpc":{"type":"app"}}}"#, "WEBHOOK or APP"),
            (r#"{"thingport":{"clientRpc":{"type":"WEBHOOK","uri":"u"}}}"#, "unknown field `uri`"),
        ] {
            let refused = sent(json).expect_err(json);
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = WebhookUrl::parse("https://a/b").expect("a URL");
        let secret = Some(Secret::new("0123456789abcdef".to_owned()));
        let webhook = RpcWebhook { url, secret, timeout_ms: 1_000, retries: 2 };
        let extension = ProfileExtension {
            client_rpc: Some(ClientRpc::Webhook(webhook)),
            ..ProfileExtension::default()
        };
        let application = ProfileExtension {
            client_rpc: Some(ClientRpc::Application),
            ..ProfileExtension::default()
        };
        let rows = [
            (
                &extension,
                r#"{"clientRpc":{"type":"WEBHOOK","url":"https://a/b","secretSet":true,"timeoutMs":1000,"retries":2}}"#,
            ),
            (&application, r#"{"clientRpc":{"type":"APP"}}"#),
        ];
        for (extension, expected) in rows {
            let body = ExtensionBody::of(extension).expect("something");
            let text = serde_json::to_string(&body).expect("serializes");
            assert_eq!(text, expected);
            assert!(sent(&format!(r#"{{"thingport":{text}}}"#)).is_ok(), "it may be sent back");
        }
        assert_eq!(ExtensionBody::of(&ProfileExtension::default()), None);
    }
}
