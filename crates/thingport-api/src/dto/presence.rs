//! The two truths about a device, apart: whether it is connected, and whether it reports.

use serde::Serialize;
use thingport_core::activity::Reporting;
use thingport_core::presence::Line;
use thingport_model::attribute::Attribute;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;
use utoipa::ToSchema;

/// Whether a device is connected, and whether it reports.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresenceBody {
    connected: ConnectedBody,
    reporting: ReportingBody,
}

/// Whether a connection of the device is open, and how.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectedBody {
    connected: bool,
    /// When the device last logged in, in milliseconds; null for never.
    last_connect_time: Option<i64>,
    /// When its last connection ended, in milliseconds; null for never.
    last_disconnect_time: Option<i64>,
    /// How the device is connected; null when it is not, or when its connection does not say.
    line: Option<LineBody>,
}

/// How a device is connected.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineBody {
    /// `MQTT 3.1.1`, `MQTT 5`, ...
    protocol: &'static str,
    /// `tcp`, `tls` or `websocket`.
    transport: &'static str,
    /// Address of the peer, `ip:port`.
    address: String,
    client_id: String,
    /// Null without TLS, or when it ends before this server.
    tls: Option<TlsBody>,
}

/// What was agreed on in the TLS handshake.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TlsBody {
    version: &'static str,
    cipher: &'static str,
}

/// Whether the device said something within its inactivity timeout.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportingBody {
    active: bool,
    /// When the device was last heard, in milliseconds, to this very moment; null for never.
    last_activity_time: Option<i64>,
    /// When the device became inactive, in milliseconds; null for never.
    inactivity_alarm_time: Option<i64>,
}

impl PresenceBody {
    pub(crate) fn of(
        is_connected: bool,
        line: Option<Line>,
        reporting: Reporting,
        attributes: &[Attribute],
    ) -> Self {
        let moment = |key| moment(attributes, key);
        Self {
            connected: ConnectedBody {
                connected: is_connected,
                last_connect_time: moment(thingport_core::activity::LAST_CONNECT_TIME),
                last_disconnect_time: moment(thingport_core::activity::LAST_DISCONNECT_TIME),
                line: line.map(LineBody::from),
            },
            reporting: ReportingBody {
                active: reporting.is_active,
                last_activity_time: reporting.heard_at.map(Timestamp::ms),
                inactivity_alarm_time: moment(thingport_core::activity::INACTIVITY_ALARM_TIME),
            },
        }
    }
}

impl From<Line> for LineBody {
    fn from(line: Line) -> Self {
        Self {
            protocol: line.protocol,
            transport: line.carrier.name(),
            address: line.remote,
            client_id: line.client_id,
            tls: line.tls.map(|(version, cipher)| TlsBody { version, cipher }),
        }
    }
}

fn moment(attributes: &[Attribute], key: &str) -> Option<i64> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value {
        Value::Long(ms) if ms > 0 => Some(ms),
        _ => None,
    }
}
