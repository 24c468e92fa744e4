//! Why something was refused (our own endpoints).

use serde::Serialize;
use thingport_model::incident::Incident;
use thingport_model::reason::Reason;
use utoipa::ToSchema;

use super::id::EntityId;

/// One refusal, rejected message or disconnect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Incident)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IncidentBody {
    /// When it last happened.
    at: i64,
    /// When it first happened.
    first_at: i64,
    /// How often since then.
    count: u32,
    /// Stable id of the reason.
    #[schema(value_type = String, example = "login.unknown")]
    reason: &'static str,
    /// Whose move it is: `device`, `operator`, `server`, `network` or `nobody`.
    #[schema(value_type = String)]
    fault: &'static str,
    /// What was wrong and what was expected.
    #[schema(value_type = String)]
    sentence: &'static str,
    /// What to do about it; empty when nothing needs to be done.
    #[schema(value_type = String)]
    remedy: &'static str,
    /// What exactly was wrong this time.
    detail: String,
    /// The device it concerns; null when no device was found.
    device_id: Option<EntityId>,
    /// Address of the peer.
    remote: String,
    /// MQTT client id as sent; empty when unknown.
    client_id: String,
    /// User name as sent, all but its beginning hidden; empty when unknown.
    user_name: String,
    /// Protocol and version; empty when unknown.
    protocol: String,
}

impl From<Incident> for IncidentBody {
    fn from(it: Incident) -> Self {
        Self {
            at: it.at.ms(),
            first_at: it.first_at.ms(),
            count: it.count,
            reason: it.reason.id(),
            fault: it.reason.fault().name(),
            sentence: it.reason.sentence(),
            remedy: it.reason.remedy(),
            detail: it.detail,
            device_id: it.device.map(|device| device.entity().into()),
            remote: it.remote,
            client_id: it.client_id,
            user_name: it.user_name,
            protocol: it.protocol,
        }
    }
}

/// One reason of the closed list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Reason)]
pub(crate) struct ReasonBody {
    /// Stable id.
    #[schema(value_type = String)]
    id: &'static str,
    /// Whose move it is.
    #[schema(value_type = String)]
    fault: &'static str,
    /// What was wrong and what was expected.
    #[schema(value_type = String)]
    sentence: &'static str,
    /// What to do about it.
    #[schema(value_type = String)]
    remedy: &'static str,
}

impl From<Reason> for ReasonBody {
    fn from(it: Reason) -> Self {
        let fault = it.fault().name();
        Self { id: it.id(), fault, sentence: it.sentence(), remedy: it.remedy() }
    }
}
