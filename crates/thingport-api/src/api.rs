//! What every request of people shares: the node, the settings, the keys and the bounds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use thingport_core::access::Caller;
use thingport_core::allowance::{Allowances, PeopleRules};
use thingport_core::error::Error;
use thingport_core::node::Node;
use thingport_core::registry::certificates::ServerCertificate;
use thingport_model::id::TenantId;
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;
use tokio::sync::{Mutex, OnceCell, Semaphore, oneshot, watch};

use crate::auth::password::Hashing;
use crate::auth::policy::SecuritySettings;
use crate::auth::sessions::EndedSessions;
use crate::auth::throttle::Throttle;
use crate::auth::token::JwtKeys;
use crate::config::ApiConfig;
use crate::error::Refusal;
use crate::limits::{RuleBook, refusal};
use crate::room::Rooms;
use crate::workbench::Workbench;

/// The server's own certificates, for the certificate board. Asked at each request, since they may
/// change while the server runs.
pub type ServerCertificates = Arc<dyn Fn() -> Vec<ServerCertificate> + Send + Sync>;

/// Turns the body of a telemetry or attribute request into readings; the text of an error is for the
/// caller. The device API owns that JSON, so the roof lends its decoder to this room.
///
/// Readings without a time of their own get the given one. A `null` member is an error (T-42), and so
/// is a body without any reading.
pub type DecodeBody =
    Arc<dyn Fn(&[u8], Timestamp, BodyKind, &mut Readings) -> Result<(), String> + Send + Sync>;

/// The CA certificate that devices need to trust this server, PEM; none when there is nothing to give.
/// Asked at each request, since it may change while the server runs.
pub type CaPem = Arc<dyn Fn() -> Option<Arc<str>> + Send + Sync>;

/// Makes the OpenAPI document for a version of the server.
pub(crate) type Describe = fn(&str) -> String;

/// Which form a body has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `{"k":v}`, `{"ts":1,"values":{"k":v}}` or an array of such objects (REST API 14.4).
    Telemetry,
    /// One flat object `{"k":v}` (T-2).
    Attributes,
}

/// The people's side of one node.
pub struct Api {
    node: Arc<Node>,
    config: ApiConfig,
    keys: JwtKeys,
    decode: DecodeBody,
    ca_pem: CaPem,
    pub(crate) hashing: Hashing,
    pub(crate) throttle: Throttle,
    pub(crate) ended: EndedSessions,
    /// Password policy and the like; none before they were asked for.
    pub(crate) security: Mutex<Option<Arc<SecuritySettings>>>,
    pub(crate) rules: RuleBook,
    pub(crate) allowances: Allowances,
    pub(crate) rooms: Rooms,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) waiting: Semaphore,
    feeds: AtomicUsize,
    strangers: AtomicUsize,
    draining: watch::Sender<bool>,
    server_certificates: ServerCertificates,
    workbench: Option<Arc<dyn Workbench>>,
    /// How the OpenAPI document is made; known when the router is.
    describe: OnceLock<Describe>,
    /// The OpenAPI document, once somebody asked for it.
    document: OnceCell<Bytes>,
}

impl Api {
    /// The people's side of `node`. `keys` sign tokens; `decode` reads bodies of readings.
    #[must_use]
    pub fn new(node: Arc<Node>, config: ApiConfig, keys: JwtKeys, decode: DecodeBody) -> Self {
        Self {
            hashing: Hashing::new(config.hashing_max, config.logins_waiting_max),
            throttle: Throttle::new(),
            ended: EndedSessions::new(),
            security: Mutex::const_new(None),
            rules: RuleBook::new(),
            allowances: Allowances::new(Arc::clone(&node.metrics)),
            rooms: Rooms::new(config.bodies_max, Arc::clone(&node.metrics)),
            requests: Arc::new(Semaphore::new(config.requests_max)),
            waiting: Semaphore::new(config.waiting_max),
            feeds: AtomicUsize::new(0),
            strangers: AtomicUsize::new(0),
            draining: watch::Sender::new(false),
            server_certificates: Arc::new(Vec::new),
            workbench: None,
            describe: OnceLock::new(),
            document: OnceCell::new(),
            node,
            config,
            keys,
            decode,
            ca_pem: Arc::new(|| None),
        }
    }

    /// Lets devices' owners download what `ca_pem` tells; without it there is nothing to download.
    #[must_use]
    pub fn with_ca_pem(mut self, ca_pem: CaPem) -> Self {
        self.ca_pem = ca_pem;
        self
    }

    /// Lists the certificates that `server` tells among the others; without it there are none.
    #[must_use]
    pub fn with_server_certificates(mut self, server: ServerCertificates) -> Self {
        self.server_certificates = server;
        self
    }

    /// Lets people try schemas and topics on `workbench`; without it there is nothing to try them on.
    #[must_use]
    pub fn with_workbench(mut self, workbench: Arc<dyn Workbench>) -> Self {
        self.workbench = Some(workbench);
        self
    }

    /// Where schemas and topics are tried.
    ///
    /// # Errors
    /// There is no workbench.
    pub(crate) fn workbench(&self) -> Result<Arc<dyn Workbench>, Refusal> {
        let workbench = self.workbench.clone();
        workbench.ok_or_else(|| Refusal::not_found("this server has no schema workbench"))
    }

    /// The server's own certificates.
    pub(crate) fn server_certificates(&self) -> Vec<ServerCertificate> {
        (self.server_certificates)()
    }

    /// Remembers what the store kept of sessions that ended. To be called before anybody is served, or
    /// tokens of people who logged out would work again.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn recall(&self) -> Result<(), Error> {
        self.ended.recall(self.node.registry.ended_sessions().await?);
        Ok(())
    }

    /// What the people of a tenant are held to.
    pub(crate) async fn rules_of(&self, tenant: TenantId) -> Result<Arc<PeopleRules>, Refusal> {
        self.rules.of(&self.node.registry, tenant).await
    }

    /// Counts a request of somebody who signed in (429, code 33, when it is one too many).
    pub(crate) async fn count_request(&self, caller: &Caller) -> Result<(), Refusal> {
        let rules = self.rules_of(caller.tenant_id).await?;
        let now_ms = self.node.clock.monotonic_ms();
        self.allowances.request(caller, &rules, now_ms).map_err(|refused| refusal(&refused))
    }

    /// Closes all WebSocket sessions with 1012 and opens no new ones (W-5).
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Open WebSocket sessions, for metrics.
    #[must_use]
    pub fn feeds_open(&self) -> usize {
        self.feeds.load(Ordering::Relaxed)
    }

    /// The OpenAPI document; empty before there is a router.
    ///
    /// It is made when it is first asked for: most servers never are.
    pub(crate) async fn document(&self) -> Bytes {
        // Without a thread to make it there is none yet.
        let made = self.document.get_or_try_init(|| self.make_document()).await;
        made.cloned().unwrap_or_default()
    }

    /// Makes it in a thread of its own, because what it is made of leaves 10 MB full of holes behind,
    /// which go with the thread if nothing in them lives longer.
    async fn make_document(&self) -> Result<Bytes, oneshot::error::RecvError> {
        let Some(describe) = self.describe.get().copied() else { return Ok(Bytes::new()) };
        let version = self.config.version.clone();
        let (give, given) = oneshot::channel::<String>();
        let (copied, is_copied) = oneshot::channel::<()>();
        let started = std::thread::Builder::new().name("describe".to_owned()).spawn(move || {
            // Who asked may have gone.
            let _ = give.send(describe(&version));
            // It ends when the other side does.
            let _ = is_copied.blocking_recv();
        });
        let document = Bytes::copy_from_slice(given.await?.as_bytes());
        drop((started, copied));
        Ok(document)
    }

    pub(crate) fn set_describe(&self, describe: Describe) {
        // A second router has the same routes, so how they are described is the same, too.
        let _ = self.describe.set(describe);
    }

    /// The CA certificate to hand out.
    pub(crate) fn ca_pem(&self) -> Option<Arc<str>> {
        (self.ca_pem)()
    }

    pub(crate) const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(crate) const fn config(&self) -> &ApiConfig {
        &self.config
    }

    pub(crate) const fn keys(&self) -> &JwtKeys {
        &self.keys
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.node.clock.now()
    }

    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// The readings of a body.
    pub(crate) fn decode(&self, body: &[u8], kind: BodyKind) -> Result<Readings, Refusal> {
        let mut readings = Readings::default();
        (self.decode)(body, self.now(), kind, &mut readings).map_err(Refusal::bad_request)?;
        Ok(readings)
    }

    /// A place for one more signed-in WebSocket session, if there is one.
    pub(crate) fn take_feed(self: &Arc<Self>) -> Option<FeedPlace> {
        self.take(|api| &api.feeds)
    }

    /// A place for one more WebSocket that has not signed in, counted apart so that strangers cannot
    /// keep people out.
    pub(crate) fn take_stranger(self: &Arc<Self>) -> Option<FeedPlace> {
        self.take(|api| &api.strangers)
    }

    fn take(self: &Arc<Self>, counter: fn(&Self) -> &AtomicUsize) -> Option<FeedPlace> {
        let place = FeedPlace { api: Arc::clone(self), counter };
        let before = counter(self).fetch_add(1, Ordering::Relaxed);
        (before < self.config.ws.sessions_max).then_some(place)
    }
}

/// The place of one WebSocket session, given back when dropped.
pub(crate) struct FeedPlace {
    api: Arc<Api>,
    counter: fn(&Api) -> &AtomicUsize,
}

impl Drop for FeedPlace {
    fn drop(&mut self) {
        (self.counter)(&self.api).fetch_sub(1, Ordering::Relaxed);
    }
}
