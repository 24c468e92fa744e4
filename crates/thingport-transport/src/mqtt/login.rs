//! From CONNECT to a device, or to a refusal with its reason.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use thingport_core::admit::{Offer, Refused, admit};
use thingport_core::attempt::shown;
use thingport_core::edge_nodes::{EdgeNodeHold, EdgeNodeKey, NotNow};
use thingport_core::journal::{Report, Subject};
use thingport_core::node::Node;
use thingport_core::provision::asks_for_it;
use thingport_core::registry::{DeviceLogin, Generation};
use thingport_core::sessions::SessionWish;
use thingport_core::trace::REDACTED;
use thingport_device::sparkplug::topic::Place;
use thingport_device::sparkplug::{Certificate, Will};
use thingport_model::attempt::Attempt;
use thingport_model::credentials::CredentialsType;
use thingport_model::downlink::Downlink;
use thingport_model::id::DeviceProfileId;
use thingport_model::profile::{DeviceProfile, TransportType};
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use thingport_mqtt::packet::connect::Connect;
use thingport_mqtt::version::Version;
use tokio::task::JoinError;

use super::tap::{ConnectFields, Login, connect_fields};

/// What a CONNECT said, kept while the credentials are looked up.
pub(super) struct Caller {
    pub(super) client_id: Box<str>,
    user_name: Option<Box<str>>,
    password: Option<Box<[u8]>>,
    security: Option<Box<Security>>,
    pub(super) version: Version,
    pub(super) wish: SessionWish,
    /// Its will, which edge nodes are known by.
    will: Option<Box<OwnWill>>,
    /// What a trace would show besides; none while nothing is traced.
    fields: Option<Box<ConnectFields>>,
}

/// What came of it.
pub(super) type Decision = (Caller, Result<Admitted, Refused>);

/// Who was found, and when that was true.
pub(super) struct Admitted {
    pub(super) login: Arc<DeviceLogin>,
    /// State of the registry before it was asked: it may have changed since.
    pub(super) seen: Generation,
    /// How often it was asked before, because of such a change.
    pub(super) round: u8,
    /// Of an edge node of Sparkplug B.
    pub(super) edge: Option<EdgeStart>,
}

/// A will that outlives its packet.
struct OwnWill {
    topic: Box<str>,
    payload: Box<[u8]>,
    qos: u8,
    retain: bool,
}

/// What the will of an edge node says; nobody else may be that edge node meanwhile.
pub(super) struct EdgeStart {
    pub(super) certificate: Box<Certificate>,
    pub(super) hold: EdgeNodeHold,
}

/// Names, but no secrets: a user name may be a token.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offer = self.offer();
        f.debug_struct("Caller").field("offer", &offer).field("version", &self.version).finish()
    }
}

impl Caller {
    pub(super) fn of(
        connect: &Connect<'_>,
        security: Option<Box<Security>>,
        is_any_traced: bool,
    ) -> Self {
        Self {
            client_id: connect.client_id.into(),
            user_name: connect.user_name.map(Into::into),
            password: connect.password.map(Into::into),
            security,
            version: connect.version,
            wish: wish_of(connect),
            will: connect.will.as_ref().map(|will| {
                Box::new(OwnWill {
                    topic: will.topic.as_str().into(),
                    payload: will.payload.into(),
                    qos: will.qos as u8,
                    retain: will.retain,
                })
            }),
            fields: is_any_traced.then(|| Box::new(connect_fields(connect))),
        }
    }

    /// What a trace may show of it with credentials of this type, and what not.
    pub(super) fn shown(&self, kind: CredentialsType) -> Login<'_> {
        let user_name = self.user_name.as_deref();
        let is_name = kind == CredentialsType::MqttBasic;
        let token = user_name.filter(|_| kind == CredentialsType::AccessToken);
        let password = self.password.as_deref().and_then(|it| core::str::from_utf8(it).ok());
        Login {
            client_id: &self.client_id,
            user_name: user_name.map(|name| if is_name { name } else { REDACTED }),
            has_password: self.password.is_some(),
            secrets: token.into_iter().chain(password).collect(),
        }
    }

    /// What a trace would show besides.
    pub(super) fn take_fields(&mut self) -> ConnectFields {
        self.fields.take().map(|fields| *fields).unwrap_or_default()
    }

    /// Version and cipher suite of TLS, if there is TLS.
    pub(super) fn tls(&self) -> Option<(&'static str, &'static str)> {
        self.security.as_deref().map(|security| (security.version, security.cipher))
    }

    /// AU-001: before anything else, also with a certificate.
    pub(super) fn asks_to_be_provisioned(&self) -> bool {
        asks_for_it(&self.client_id, self.user_name.as_deref())
    }

    fn offer(&self) -> Offer<'_> {
        Offer {
            client_id: &self.client_id,
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
            security: self.security.as_deref(),
        }
    }
}

/// Looks the credentials up. A certificate may make a device or change what it logs in with: that is
/// done to its end by a task of its own, which a peer that leaves does not stop halfway.
pub(super) async fn decide(
    node: Arc<Node>,
    caller: Caller,
    round: u8,
    strict_wills: bool,
) -> Decision {
    let presents = |security: &Security| !security.chain.is_empty();
    if !caller.security.as_deref().is_some_and(presents) {
        return look_up(node, caller, round, strict_wills).await;
    }
    match tokio::spawn(look_up(node, caller, round, strict_wills))
        .await
        .map_err(JoinError::try_into_panic)
    {
        Ok(decision) => decision,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime goes down, and this task with it.
        Err(Err(_)) => core::future::pending().await,
    }
}

async fn look_up(node: Arc<Node>, caller: Caller, round: u8, strict_wills: bool) -> Decision {
    if round > ROUNDS_MAX {
        let detail = "credentials and profiles change faster than they can be looked up".to_owned();
        let refused = Refused { detail, ..Reason::LoginStoreUnavailable.into() };
        return (caller, Err(refused.having_tried("the same several times")));
    }
    let seen = node.registry.logins_generation();
    let result: Result<Arc<DeviceLogin>, Refused> =
        match admit(&node.entrance(), &caller.offer()).await {
            // What the login costs was paid in the first round.
            Ok(login) if round == 0 => pace(&node, login).await,
            result => result,
        };
    let admitted = match result {
        Ok(login) => {
            take_over(&node, &caller, &login).await;
            let edge = edge_node(&node, &caller, &login, strict_wills).await;
            edge.map(|edge| Admitted { login, seen, round, edge })
        }
        Err(refused) => Err(refused),
    };
    (caller, admitted)
}

/// Who the edge node is, if the device is one, and that nobody else is it. Its connection before tells of
/// its death first.
async fn edge_node(
    node: &Node,
    caller: &Caller,
    login: &Arc<DeviceLogin>,
    strict_wills: bool,
) -> Result<Option<EdgeStart>, Refused> {
    let mqtt =
        login.profile.mqtt.as_ref().filter(|_| login.profile.transport == TransportType::Mqtt);
    if !mqtt.is_some_and(|mqtt| mqtt.sparkplug) {
        return Ok(None);
    }
    let refused = |reason: Reason, detail: String| Refused {
        device: Some(Arc::clone(login)),
        detail,
        tried: "the credentials fit; the device's profile is for Sparkplug B".to_owned(),
        ..reason.into()
    };
    // SP-005, and the standard's default of a session expiry that is absent.
    if !caller.wish.clean_start || caller.wish.expiry_s != 0 {
        return Err(refused(Reason::SparkplugSession, String::new()));
    }
    let will = caller.will.as_deref().map(|it| Will {
        topic: &it.topic,
        payload: &it.payload,
        qos: it.qos,
        retain: it.retain,
    });
    let certificate = Certificate::read(will, strict_wills, node.clock.now())
        .map_err(|reject| refused(reject.reason, reject.detail))?;
    let Place { group, node: id } = &certificate.place;
    let (tenant, device) = (login.tenant_id, login.device_id);
    let key = EdgeNodeKey { tenant, group: group.clone(), node: id.clone() };
    let mut has_waited = false;
    loop {
        match node.edge_nodes.hold(key.clone(), device) {
            Ok(hold) => {
                let certificate = Box::new(certificate);
                return Ok(Some(EdgeStart { certificate, hold }));
            }
            Err(NotNow::Held) if !has_waited => {
                has_waited = true;
                node.presence.tell(device, Downlink::Close(Reason::TakenOver));
                let _ = tokio::time::timeout(LET_GO, node.edge_nodes.let_go(device)).await;
            }
            Err(_) => return Err(refused(Reason::SparkplugNodeTaken, format!("{group}/{id}"))),
        }
    }
}

/// What is asked of the session. Before version 5 one that is not clean has no end of its own.
fn wish_of(connect: &Connect<'_>) -> SessionWish {
    let clean_start = connect.clean_start;
    let expiry_s = match (connect.version.is_v5(), clean_start) {
        (true, _) => connect.session_expiry(),
        (false, true) => 0,
        (false, false) => u32::MAX,
    };
    SessionWish { clean_start, expiry_s }
}

/// Lets the connection that has the session end before this one takes it up (C-17), so that nothing on
/// its way is lost. One that does not let go in time takes with it what it had not recorded.
async fn take_over(node: &Node, caller: &Caller, login: &DeviceLogin) {
    let (device, client_id) = (login.device_id, &*caller.client_id);
    if !caller.wish.clean_start && node.sessions.is_held(device, client_id) {
        node.presence.tell(device, Downlink::Close(Reason::TakenOver));
        let let_go = node.sessions.let_go(device, client_id);
        let _ = tokio::time::timeout(LET_GO, let_go).await;
    }
}

/// Takes the tokens of a login; a little too early is delayed, not refused (RL-020).
async fn pace(node: &Node, login: Arc<DeviceLogin>) -> Result<Arc<DeviceLogin>, Refused> {
    let now_ms = node.clock.monotonic_ms();
    let Some(quota) = node.limits.of_device(&login, now_ms) else { return Ok(login) };
    match quota.charge_uncounted(now_ms) {
        Ok(bite) => {
            let wait_ms = bite.and_then(|bite| bite.wait_ms).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            Ok(login)
        }
        Err(bite) => Err(Refused {
            device: Some(login),
            detail: bite.to_string(),
            tried: "the credentials fit, a limit does not".to_owned(),
            ..bite.reason().into()
        }),
    }
}

/// Keeps a refusal, with the device if its credentials were found.
pub(super) fn record_refusal(node: &Node, caller: &Caller, refused: &Refused, remote: &str) {
    let attempt = Attempt { tried: refused.tried.clone(), ..shown(caller.security.as_deref()) };
    node.metrics.logins_refused.add(1);
    for (subject, profile) in subjects_of_refused(refused) {
        node.journal.record(&Report {
            subject,
            reason: refused.reason,
            detail: &refused.detail,
            remote,
            client_id: &caller.client_id,
            user_name: caller.user_name.as_deref().unwrap_or_default(),
            protocol: protocol(Some(caller.version)),
            attempt: Some(&Attempt { profile, ..attempt.clone() }),
        });
    }
}

/// Whom a refusal concerns: the device, else the tenants whose profiles were tried, else nobody.
fn subjects_of_refused(refused: &Refused) -> Vec<(Subject, Option<DeviceProfileId>)> {
    let of_tenant =
        |profile: &Arc<DeviceProfile>| (Subject::Tenant(profile.tenant_id), Some(profile.id));
    match (&refused.device, &*refused.profiles) {
        (Some(login), profiles) => {
            vec![(subject_of(login), profiles.first().map(|profile| profile.id))]
        }
        (None, []) => vec![(Subject::Stranger, None)],
        (None, profiles) => profiles.iter().map(of_tenant).collect(),
    }
}

/// The subject of incidents of a device that is logged in.
pub(super) const fn subject_of(login: &DeviceLogin) -> Subject {
    Subject::Device(login.device_id, login.tenant_id)
}

/// How people call a version.
pub(super) const fn protocol(version: Option<Version>) -> &'static str {
    match version {
        Some(Version::V31) => "MQTT 3.1",
        Some(Version::V311) => "MQTT 3.1.1",
        Some(Version::V5) => "MQTT 5",
        None => "MQTT",
    }
}

/// How long the connection before may take to let go of a session.
const LET_GO: Duration = Duration::from_secs(5);
/// How often a login is looked up again because something changed meanwhile.
const ROUNDS_MAX: u8 = 8;

#[cfg(test)]
mod tests {
    use thingport_mqtt::client::plain_connect;

    use super::*;

    #[test]
    fn what_a_client_offers_is_shown_without_its_secrets() {
        let mut connect = plain_connect(Version::V5, "pump");
        connect.user_name = Some("TOKEN");
        connect.password = Some(b"PASSWORD");
        let caller = Caller::of(&connect, None, true);
        let (bytes, shown) = (format!("{:?}", b"PASSWORD"), format!("{caller:?}"));
        assert!(shown.contains("pump") && shown.contains("has_password: true"), "{shown}");
        for secret in ["TOKEN", "PASSWORD", bytes.trim_matches(['[', ']'])] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
