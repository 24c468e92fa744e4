//! What a profile says beyond ThingsBoard's, checked and brought into its stored form.
//!
//! Clients made for ThingsBoard leave it out, and must not undo it; a client that reads a profile and
//! sends it back was not shown the secrets, and must not lose them.

use thingport_model::profile::extension::{ClientRpc, ProfileExtension, RpcWebhook};
use thingport_model::webhook::Secret;

use super::forwarding::{self, TargetDraft};
use super::said::{Said, settle_secret, settle_url};
use crate::error::Error;

/// `profileData.thingport` as sent. Said nothing, it stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionDraft {
    /// `clientRpc`
    pub client_rpc: Said<ClientRpcDraft>,
    /// `forwarding`: all targets; one that is not named goes.
    pub forwarding: Said<Vec<TargetDraft>>,
}

/// `clientRpc` as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRpcDraft {
    /// `WEBHOOK`
    Webhook(WebhookDraft),
    /// `APP`
    Application,
}

/// A receiver as sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebhookDraft {
    /// `url`
    pub url: String,
    /// `secret`; what is unsaid stays as it is.
    pub secret: Said<String>,
    /// `timeoutMs`; 5,000 when absent.
    pub timeout_ms: Option<i64>,
    /// `retries`; 1 when absent.
    pub retries: Option<i64>,
}

impl ExtensionDraft {
    /// Says that nothing is left of it.
    #[must_use]
    pub const fn cleared() -> Self {
        Self { client_rpc: Said::Cleared, forwarding: Said::Cleared }
    }
}

/// The extension as it is stored.
pub(super) fn settled(
    sent: ExtensionDraft,
    stored: Option<&ProfileExtension>,
) -> Result<ProfileExtension, Error> {
    let mut settled = stored.cloned().unwrap_or_default();
    settled.client_rpc = match sent.client_rpc {
        Said::Unsaid => settled.client_rpc,
        Said::Cleared => None,
        Said::Set(ClientRpcDraft::Application) => Some(ClientRpc::Application),
        Said::Set(ClientRpcDraft::Webhook(sent)) => {
            let stored = match settled.client_rpc {
                Some(ClientRpc::Webhook(stored)) => stored.secret,
                _ => None,
            };
            Some(ClientRpc::Webhook(settle_webhook(sent, stored)?))
        }
    };
    settled.forwarding = match sent.forwarding {
        Said::Unsaid => settled.forwarding,
        Said::Cleared => Vec::new(),
        Said::Set(targets) => forwarding::settled(targets, &settled.forwarding)?,
    };
    Ok(settled)
}

fn settle_webhook(sent: WebhookDraft, stored: Option<Secret>) -> Result<RpcWebhook, Error> {
    let timeout_ms = within("timeoutMs", sent.timeout_ms, TIMEOUT_MS, 100, 55_000)?;
    let retries = within("retries", sent.retries, RETRIES, 0, 5)?;
    Ok(RpcWebhook {
        url: settle_url("clientRpc", &sent.url)?,
        secret: settle_secret("clientRpc", sent.secret, stored)?,
        timeout_ms: u32::try_from(timeout_ms).unwrap_or(u32::MAX),
        retries: u8::try_from(retries).unwrap_or(u8::MAX),
    })
}

fn within(
    member: &str,
    sent: Option<i64>,
    otherwise: i64,
    min: i64,
    max: i64,
) -> Result<i64, Error> {
    let value = sent.unwrap_or(otherwise);
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(Error::Invalid(format!("{member} of clientRpc is {min} to {max}, not {value}")))
}

impl core::fmt::Debug for WebhookDraft {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Neither the secret nor a URL that may hold another one.
        f.debug_struct("WebhookDraft").finish_non_exhaustive()
    }
}

const TIMEOUT_MS: i64 = 5_000;
const RETRIES: i64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn webhook(draft: WebhookDraft) -> ExtensionDraft {
        let client_rpc = Said::Set(ClientRpcDraft::Webhook(draft));
        ExtensionDraft { client_rpc, ..ExtensionDraft::default() }
    }

    fn draft() -> WebhookDraft {
        WebhookDraft { url: "https://a/b".to_owned(), ..WebhookDraft::default() }
    }

    #[test]
    fn what_is_left_out_gets_its_default_or_stays() {
        let secret = Said::Set(SECRET.to_owned());
        let first = settled(webhook(WebhookDraft { secret, ..draft() }), None).expect("accepted");
        let Some(ClientRpc::Webhook(kept)) = &first.client_rpc else { panic!("a webhook") };
        assert_eq!((kept.timeout_ms, kept.retries), (5_000, 1));
        let with_secret = Some(Secret::new(SECRET.to_owned()));
        assert_eq!(kept.secret, with_secret);
        let unsaid = settled(ExtensionDraft::default(), Some(&first));
        assert_eq!(unsaid.expect("accepted"), first);
        let rows = [(Said::Unsaid, with_secret), (Said::Cleared, None)];
        for (secret, expected) in rows {
            let again = settled(webhook(WebhookDraft { secret, ..draft() }), Some(&first));
            let Some(ClientRpc::Webhook(it)) = again.expect("accepted").client_rpc else {
                panic!("a webhook")
            };
            assert_eq!(it.secret, expected);
        }
        let gone = settled(ExtensionDraft::cleared(), Some(&first)).expect("accepted");
        assert!(gone.is_empty());
        let client_rpc = Said::Set(ClientRpcDraft::Application);
        let application = ExtensionDraft { client_rpc, ..ExtensionDraft::default() };
        let application = settled(application, Some(&first)).expect("accepted");
        assert_eq!(application.client_rpc, Some(ClientRpc::Application));
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_sentence() {
        let url = |url: &str| WebhookDraft { url: url.to_owned(), ..draft() };
        let secret =
            |secret: &str| WebhookDraft { secret: Said::Set(secret.to_owned()), ..draft() };
        let rows = [
            (url(""), "the url of clientRpc is empty or longer"),
            (url("ftp://a"), "the url of clientRpc must begin with http:// or https://"),
            (url("http://user@a"), "the url of clientRpc has a user"),
            (secret("short"), "the secret of clientRpc has 16 to 256 bytes"),
            (secret(&"x".repeat(257)), "the secret of clientRpc has 16 to 256 bytes"),
            (
                WebhookDraft { timeout_ms: Some(99), ..draft() },
                "timeoutMs of clientRpc is 100 to 55000, not 99",
            ),
            (
                WebhookDraft { timeout_ms: Some(i64::MAX), ..draft() },
                "timeoutMs of clientRpc is 100 to 55000",
            ),
            (
                WebhookDraft { retries: Some(-1), ..draft() },
                "retries of clientRpc is 0 to 5, not -1",
            ),
        ];
        for (draft, expected) in rows {
            match settled(webhook(draft), None) {
                Err(Error::Invalid(text)) => assert!(text.starts_with(expected), "{text}"),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_draft_shows_no_secret() {
        let shown = format!(
            "{:?}",
            webhook(WebhookDraft { secret: Said::Set(SECRET.to_owned()), ..draft() })
        );
        assert!(!shown.contains(SECRET) && !shown.contains("https"), "{shown}");
    }
}
