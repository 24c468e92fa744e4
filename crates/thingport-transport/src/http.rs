//! The device API over HTTP, for devices that speak no MQTT (REST API section 16):
//! provisioning here, and what devices with a token may do in [`devices`].
//!
//! Served beside the people's API, on its listener. Refusals have an empty body (H-1, H-5); the reason is
//! in the journal.

mod answer;
mod device;
mod packages;
mod poll;
mod shared;
mod tap;
mod visit;

pub use device::devices;
pub use shared::{DeviceHttp, DeviceHttpBounds};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use thingport_core::journal::{Report, Subject};
use thingport_core::node::Node;
use thingport_device::provision::{ProvisionAnswer, ProvisionForm, read_json};
use thingport_model::reason::Reason;

use crate::provision::{Origin, note, provision};

/// The routes. To be served with the peer's address as [`ConnectInfo`]; without a fallback, so that they
/// can be merged with others.
/// A body has `body_time` to arrive; shorter than an answer, since it holds a place of a guest.
pub fn router(node: Arc<Node>, body_time: Duration) -> Router {
    Router::new()
        .route("/api/v1/provision", post(provision_device))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(Provisioning { node, body_time })
}

#[derive(Clone)]
struct Provisioning {
    node: Arc<Node>,
    body_time: Duration,
}

/// `POST /api/v1/provision`: body and answer as over MQTT, always 200 when there is an answer (section 11).
async fn provision_device(
    State(Provisioning { node, body_time }): State<Provisioning>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let refuse = |reason, detail: &str| {
        record(&node, reason, detail, remote);
        answer::refused(reason)
    };
    // A request is a guest while it arrives and is answered, like a connection before its login.
    if let Err(reason) = node.guard.enter(remote.ip(), node.clock.monotonic_ms()) {
        return refuse(reason, "");
    }
    let _guest = Guest { node: &node, remote };
    let arriving = Bytes::from_request(request, &());
    let body = match tokio::time::timeout(body_time, arriving).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) => return rejection.into_response(),
        Err(_) => return refuse(Reason::PacketTimeout, "the body of the request"),
    };
    let request = match read_json(&body) {
        Ok(request) => request,
        Err(reject) => return refuse(reject.reason, &reject.detail),
    };
    let provisioned = provision(Arc::clone(&node), request).await;
    note(&node, &provisioned, &Origin { remote, client_id: "", protocol: PROTOCOL });
    match &provisioned {
        Ok(credentials) => json(&ProvisionAnswer::Granted(credentials)),
        Err(not) => match ProvisionAnswer::of(not.reason) {
            Some(answer) => json(&answer),
            None => answer::refused(not.reason),
        },
    }
}

fn json(answer: &ProvisionAnswer<'_>) -> Response {
    ([(CONTENT_TYPE, "application/json")], answer.write(ProvisionForm::Json)).into_response()
}

fn record(node: &Node, reason: Reason, detail: &str, remote: SocketAddr) {
    node.metrics.messages_rejected.add(1);
    node.journal.record(&Report {
        subject: Subject::Stranger,
        reason,
        detail,
        remote: &remote.to_string(),
        client_id: "",
        user_name: "",
        protocol: PROTOCOL,
        attempt: None,
    });
}

/// Gives the place back when the request ends, in whatever way.
struct Guest<'a> {
    node: &'a Node,
    remote: SocketAddr,
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.node.guard.leave(self.remote.ip());
    }
}

const PROTOCOL: &str = "HTTP";
/// As large as an MQTT packet may be by default.
const BODY_MAX: usize = 64 * 1024;
