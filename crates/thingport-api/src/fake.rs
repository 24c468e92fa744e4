//! A whole node in memory for tests: demo data, a clock that stands still, bodies of plain JSON.

mod entities;
mod ledger;
mod relations;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use thingport_core::clock::{Clock, Entropy};
use thingport_core::node::{Node, NodeConfig};
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;
use tower::ServiceExt;

use crate::api::{Api, BodyKind, DecodeBody};
use crate::auth::password;
use crate::auth::token::{JwtKeys, SECRET_BYTES};
use crate::config::ApiConfig;
use crate::router::router;

/// A node with demo data and its router.
pub(crate) struct World {
    pub(crate) api: Arc<Api>,
    pub(crate) clock: Arc<FakeClock>,
    router: Router,
}

/// What a request was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// Status and `errorCode`.
    pub(crate) fn refusal(&self) -> (u16, u64) {
        (self.status.as_u16(), self.json()["errorCode"].as_u64().unwrap_or(0))
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ApiConfig::default()).await
    }

    pub(crate) async fn with(config: ApiConfig) -> Self {
        let clock = Arc::new(FakeClock(AtomicU64::new(1_767_225_600_000)));
        let entropy = Arc::new(Counting(AtomicU64::new(1)));
        let ledger = Arc::new(ledger::FakeLedger::default());
        let entities = Arc::new(entities::FakeEntities::default());
        let node = Arc::new(Node::new(
            entities,
            ledger,
            clock.clone(),
            entropy.clone(),
            NodeConfig::default(),
        ));
        node.registry.found_demo(&hashed).await.expect("demo data");
        let keys = JwtKeys::new(&[7; SECRET_BYTES]).expect("long enough");
        let api = Api::new(node, config, keys, decode());
        let api = Arc::new(api.with_ca_pem(Arc::new(|| Some("the CA".into()))));
        Self { router: router(Arc::clone(&api)), api, clock }
    }

    /// The same house after a restart of the people's side: what was only in memory is gone.
    pub(crate) async fn restarted(&self) -> Self {
        let keys = JwtKeys::new(&[7; SECRET_BYTES]).expect("long enough");
        let (node, config) = (Arc::clone(self.api.node()), self.api.config().clone());
        let api = Arc::new(Api::new(node, config, keys, decode()));
        api.recall().await.expect("the store answers");
        Self { router: router(Arc::clone(&api)), api, clock: Arc::clone(&self.clock) }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// A request with a token (none if empty) and a body (none if empty).
    pub(crate) async fn ask(&self, method: Method, path: &str, token: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("X-Authorization", format!("Bearer {token}"));
        }
        self.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, token, "").await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &str) -> Answer {
        self.ask(Method::POST, path, token, body).await
    }

    pub(crate) async fn try_login(&self, user: &str, password: &str) -> Answer {
        let body = serde_json::json!({"username": user, "password": password}).to_string();
        self.post("/api/auth/login", "", &body).await
    }

    /// The pair of tokens of a demo user.
    pub(crate) async fn login(&self, user: &str, password: &str) -> Value {
        let answer = self.try_login(&format!("{user}@thingsboard.org"), password).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    /// The access token of the demo tenant's administrator.
    pub(crate) async fn tenant(&self) -> String {
        token(&self.login("tenant", "tenant").await)
    }
}

/// Hashing is slow on purpose; the demo passwords are hashed once for all tests.
fn hashed(password: &str) -> String {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let hash = || password::hash(password, &Counting(AtomicU64::new(1))).expect("hashes");
    KNOWN.lock().entry(password.to_owned()).or_insert_with(hash).clone()
}

/// The access token of a pair.
pub(crate) fn token(pair: &Value) -> String {
    pair["token"].as_str().expect("a token").to_owned()
}

/// Both clocks show the same number until they are moved.
pub(crate) struct FakeClock(AtomicU64);

impl FakeClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, ms: u64) {
        self.0.fetch_sub(ms, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.monotonic_ms()).expect("fits"))
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Bytes that never repeat.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            chunk.copy_from_slice(&number.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// Flat objects of numbers and texts, with or without `ts` and `values`.
fn decode() -> DecodeBody {
    Arc::new(|body, now, kind, readings| {
        let value: Value = serde_json::from_slice(body).map_err(|fault| fault.to_string())?;
        let at = value["ts"].as_i64().map_or(now, Timestamp);
        let inner = value.get("values").filter(|_| kind == BodyKind::Telemetry);
        let members = inner.unwrap_or(&value).as_object().ok_or("an object is due")?;
        members.iter().for_each(|(key, value)| push(readings, at, key, value));
        Ok(())
    })
}

fn push(readings: &mut Readings, at: Timestamp, key: &str, value: &Value) {
    match (value.as_i64(), value.as_f64(), value) {
        (Some(long), ..) => readings.push(at, key, ValueRef::Long(long)),
        (_, Some(double), _) => readings.push(at, key, ValueRef::Double(double)),
        (.., Value::Bool(it)) => readings.push(at, key, ValueRef::Bool(*it)),
        (.., Value::String(it)) => readings.push(at, key, ValueRef::String(it)),
        (.., other) => readings.push(at, key, ValueRef::Json(&other.to_string())),
    }
}
