//! The stored form of what a profile says beyond ThingsBoard's.

use serde::{Deserialize, Serialize};
use thingport_model::port::error::PortError;
use thingport_model::profile::extension::{ClientRpc, ProfileExtension, RpcWebhook};
use thingport_model::webhook::Secret;

use super::forwarding::TargetForm;
use super::url::known_url;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExtensionForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_rpc: Option<ClientRpcForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forwarding: Vec<TargetForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ClientRpcForm {
    Webhook { url: String, secret: Option<String>, timeout_ms: u32, retries: u8 },
    Application,
}

impl ExtensionForm {
    /// None for nothing: profiles without it are stored as before there was any.
    pub(super) fn of(extension: &ProfileExtension) -> Option<Self> {
        if extension.is_empty() {
            return None;
        }
        let client_rpc = extension.client_rpc.as_ref().map(ClientRpcForm::of);
        Some(Self {
            client_rpc,
            forwarding: extension.forwarding.iter().map(TargetForm::of).collect(),
        })
    }

    pub(super) fn into_model(self) -> Result<ProfileExtension, PortError> {
        let client_rpc = self.client_rpc.map(ClientRpcForm::into_model).transpose()?;
        let forwarding = self.forwarding.into_iter().map(TargetForm::into_model);
        Ok(ProfileExtension { client_rpc, forwarding: forwarding.collect::<Result<_, _>>()? })
    }
}

impl ClientRpcForm {
    fn of(client_rpc: &ClientRpc) -> Self {
        match client_rpc {
            ClientRpc::Webhook(it) => Self::Webhook {
                url: it.url.as_str().to_owned(),
                secret: it.secret.as_ref().map(|it| it.reveal().to_owned()),
                timeout_ms: it.timeout_ms,
                retries: it.retries,
            },
            ClientRpc::Application => Self::Application,
        }
    }

    fn into_model(self) -> Result<ClientRpc, PortError> {
        Ok(match self {
            Self::Webhook { url, secret, timeout_ms, retries } => ClientRpc::Webhook(RpcWebhook {
                url: known_url(&url)?,
                secret: secret.map(Secret::new),
                timeout_ms,
                retries,
            }),
            Self::Application => ClientRpc::Application,
        })
    }
}
