//! Shows a trace what a device asks over HTTP and what it is answered. While nothing is traced anywhere, a
//! request pays for one relaxed load.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use thingport_core::node::Node;
use thingport_core::registry::DeviceLogin;
use thingport_core::trace::{
    Direction, Noted, Packet, Payload, REDACTED, Record, Shown, Trace, Verdict, Why,
};
use thingport_model::reason::Reason;
use thingport_model::uplink::Uplink;

use super::PROTOCOL;
use crate::traced;

/// What looks on at one request.
pub(super) struct Tap {
    kind: &'static str,
    /// Without the token.
    path: String,
    query: Option<String>,
    /// Set once the device is known, if it is traced.
    shown: Mutex<Option<Showing>>,
}

/// A request of a device that is traced.
struct Showing {
    trace: Arc<Trace>,
    node: Arc<Node>,
    remote: SocketAddr,
    /// Of the record, once there is one.
    number: Option<u64>,
}

/// Lets every request be looked at while anything is traced.
pub(super) async fn look_on(
    State(node): State<Arc<Node>>,
    mut request: Request,
    next: Next,
) -> Response {
    if !node.traces.any() {
        return next.run(request).await;
    }
    let tap = Arc::new(Tap::of(&request));
    request.extensions_mut().insert(Arc::clone(&tap));
    let response = next.run(request).await;
    tap.answered(response).await
}

impl Tap {
    fn of(request: &Request) -> Self {
        let kind = match *request.method() {
            Method::GET => "GET",
            Method::POST => "POST",
            _ => "REQUEST",
        };
        let query = request.uri().query().map(str::to_owned);
        Self { kind, path: without_token(request.uri().path()), query, shown: Mutex::new(None) }
    }

    /// Whose request it is. One that has a body is shown when that has arrived.
    pub(super) fn found(
        &self,
        node: &Arc<Node>,
        login: &DeviceLogin,
        token: &str,
        remote: SocketAddr,
    ) {
        let Some(trace) = node.traces.running(login.device_id) else { return };
        trace.learn_secret(token);
        let node = Arc::clone(node);
        *self.shown.lock() = Some(Showing { trace, node, remote, number: None });
        if self.kind != "POST" {
            self.record(None);
        }
    }

    /// Its body.
    pub(super) fn body(&self, body: &[u8]) {
        let is_secret = self.path.ends_with("/claim");
        self.record(Some(if is_secret {
            Payload::hidden(body.len())
        } else {
            traced::payload(body)
        }));
    }

    /// What the device says by it.
    pub(super) fn means(&self, uplink: &Uplink<'_>) {
        self.amend(|record| {
            record.meaning = Some(traced::meaning(uplink));
            if let Some(payload) = &mut record.packet.payload {
                payload.decoded = traced::decoded(uplink, &payload.bytes);
            }
        });
    }

    /// What it said is durable.
    pub(super) fn committed(&self) {
        let at = self.shown.lock().as_ref().map(|it| it.node.clock.now());
        if let Some(at) = at {
            self.amend(|record| record.verdict = Verdict::Committed { at });
        }
    }

    /// A reason was noted about it.
    pub(super) fn reason(&self, reason: Reason, detail: &str) {
        self.record(None);
        let why = Why { reason, detail: detail.to_owned() };
        self.amend(|record| record.reasons.push(why));
    }

    /// Shows the answer, and passes it on.
    async fn answered(&self, response: Response) -> Response {
        if self.shown.lock().is_none() {
            return response;
        }
        let status = response.status().as_u16();
        // That nothing happened in time is no fault of the request.
        let taken = response.status().is_success() || status == TIMED_OUT;
        self.record(None);
        self.amend(|record| {
            record.answered = vec![status];
            record.verdict = match record.verdict {
                Verdict::Open if taken => Verdict::Accepted,
                Verdict::Open => Verdict::Refused,
                other => other,
            };
        });
        let (parts, body) = response.into_parts();
        let mut fields = vec![("status", Shown::Number(status.into()))];
        if let Some(length) = parts.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()) {
            fields.push(("contentLength", Shown::Text(length.to_owned())));
        }
        let (body, bytes) = looked_into(body).await;
        let payload = bytes.filter(|it| !it.is_empty()).map(|it| traced::payload(&it));
        let packet = Packet { kind: "RESPONSE", size: 0, fields, payload };
        self.note(Direction::Out, packet, Verdict::None);
        Response::from_parts(parts, body)
    }

    /// Records the request, unless it is recorded.
    fn record(&self, payload: Option<Payload>) {
        let remote = match &*self.shown.lock() {
            Some(Showing { number: None, remote, .. }) => *remote,
            _ => return,
        };
        let mut fields = vec![("path", Shown::Text(self.path.clone()))];
        if let Some(query) = &self.query {
            fields.push(("query", Shown::Text(query.clone())));
        }
        fields.push(("remote", Shown::Text(remote.to_string())));
        let packet = Packet { kind: self.kind, size: 0, fields, payload };
        let number = self.note(Direction::In, packet, Verdict::Open);
        if let Some(showing) = &mut *self.shown.lock() {
            showing.number = number;
        }
    }

    fn note(&self, direction: Direction, packet: Packet, verdict: Verdict) -> Option<u64> {
        let shown = self.shown.lock();
        let Showing { trace, node, .. } = shown.as_ref()?;
        Some(trace.note(Noted {
            at: node.clock.now(),
            connection: None,
            direction,
            protocol: PROTOCOL,
            packet,
            packet_id: 0,
            receipt: None,
            meaning: None,
            verdict,
            why: None,
        }))
    }

    fn amend(&self, change: impl FnOnce(&mut Record)) {
        if let Some(Showing { trace, number: Some(number), .. }) = &*self.shown.lock() {
            trace.amend(*number, change);
        }
    }
}

/// `/api/v1/{token}/...` with nothing of the token.
fn without_token(path: &str) -> String {
    let mut parts: Vec<_> = path.split('/').collect();
    if let Some(token) = parts.get_mut(TOKEN_PLACE) {
        *token = REDACTED;
    }
    parts.join("/")
}

/// A body that is there as a whole, with its bytes; one that is streamed as it is.
async fn looked_into(body: Body) -> (Body, Option<Bytes>) {
    if body.size_hint().exact().is_none_or(|size| size > BODY_MAX) {
        return (body, None);
    }
    let max = usize::try_from(BODY_MAX).unwrap_or(usize::MAX);
    match to_bytes(body, max).await {
        Ok(bytes) => (Body::from(bytes.clone()), Some(bytes)),
        Err(_) => (Body::empty(), None),
    }
}

/// Behind the empty part, `api` and `v1`.
const TOKEN_PLACE: usize = 3;
/// The status of a request for which nothing happened in time (H-2).
const TIMED_OUT: u16 = 408;
/// Larger answers are not looked into.
const BODY_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_without_their_token() {
        let rows = [
            ("/api/v1/TOKEN/telemetry", "/api/v1/***/telemetry"),
            ("/api/v1/%54OKEN/rpc/7", "/api/v1/***/rpc/7"),
            ("/api/v1/TOKEN", "/api/v1/***"),
            ("/", "/"),
        ];
        for (path, shown) in rows {
            assert_eq!(without_token(path), shown);
        }
    }
}
