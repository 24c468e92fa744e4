//! What a device with a token says and asks over HTTP (REST API section 16, H-1 to H-10). Bodies are read
//! exactly as over MQTT; a POST is answered when what it says is durable (H-9).

use core::future::poll_fn;
use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use thingport_core::client_calls::{Question, about, words};
use thingport_core::presence::Wants;
use thingport_device::link::body_for_http;
use thingport_device::payload::json::Decoder;
use thingport_device::reject::Reject;
use thingport_model::downlink::{ClientAnswer, Downlink};
use thingport_model::port::ledger::{AppendError, Receipt, committed};
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::uplink::{CallAnswer, ClientCall, Uplink};

use super::answer::Failed;
use super::shared::{DeviceHttp, Http, NOWHERE, Remote};
use super::visit::Visit;
use super::{answer, packages, poll, tap};
use crate::mqtt;

/// The routes of devices that have a token. To be served with the peer's address as
/// [`axum::extract::ConnectInfo`]; without a fallback, so that they can be merged with others.
pub fn devices(http: DeviceHttp) -> Router {
    let http = Arc::new(http);
    Router::new()
        .route("/api/v1/{token}/telemetry", post(telemetry))
        .route("/api/v1/{token}/attributes", post(attributes).get(poll::attributes))
        .route("/api/v1/{token}/attributes/updates", get(poll::updates))
        .route("/api/v1/{token}/rpc", post(client_call).get(poll::calls))
        .route("/api/v1/{token}/rpc/{id}", post(call_answer))
        .route("/api/v1/{token}/claim", post(claim))
        .route("/api/v1/{token}/firmware", get(packages::firmware))
        .route("/api/v1/{token}/software", get(packages::software))
        // Each handler has a bound of its own for its body.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&http.node), tap::look_on))
        .with_state(http)
}

/// `POST telemetry`
async fn telemetry(http: Http, remote: Remote, path: Path<String>, request: Request) -> Response {
    said(&http, remote, &path, request, true).await.into_response()
}

/// `POST attributes`: of the client scope.
async fn attributes(http: Http, remote: Remote, path: Path<String>, request: Request) -> Response {
    said(&http, remote, &path, request, false).await.into_response()
}

async fn said(
    http: &DeviceHttp,
    remote: Remote,
    token: &str,
    request: Request,
    is_telemetry: bool,
) -> Result<Response, Failed> {
    let visit = Visit::begin(http, remote, token).await?;
    let body = visit.body(request, http.bounds.body_max).await?;
    let mut readings = Readings::default();
    let now = http.node.clock.now();
    let mut decoder = Decoder::new();
    let decoded = if is_telemetry {
        decoder.telemetry(&body, now, &http.typing, &mut readings)
    } else {
        decoder.attributes(&body, now, &http.typing, &mut readings)
    };
    decoded.map_err(|reject| visit.reject(&reject))?;
    let uplink = || {
        if is_telemetry { Uplink::Telemetry(&readings) } else { Uplink::Attributes(&readings) }
    };
    visit.show(&uplink());
    visit.charge(readings.len()).await?;
    let receipt = receive(&visit, uplink).await?;
    if let Some(receipt) = receipt {
        let kept = committed(&*http.node.ledger, receipt).await;
        kept.map_err(|error| visit.refuse(mqtt::answer::append(error), ""))?;
        http.node.metrics.acknowledged.add(1);
        visit.show_commit();
    }
    Ok(answer::done())
}

/// Puts an uplink in line, and waits for a while when the line is full.
async fn receive<'a>(
    visit: &Visit<'_>,
    uplink: impl Fn() -> Uplink<'a>,
) -> Result<Option<Receipt>, Failed> {
    let node = &visit.http.node;
    let receiving = async {
        loop {
            match node.reception.receive(&visit.login, uplink()) {
                Err(AppendError::Busy) => poll_fn(|cx| node.ledger.poll_ready(cx)).await,
                other => return other,
            }
        }
    };
    let received = tokio::time::timeout(ROOM_TIME, receiving).await;
    let received = received.unwrap_or(Err(AppendError::Busy));
    received.map_err(|error| visit.refuse(mqtt::answer::append(error), ""))
}

/// `POST rpc/{id}`: the answer to a call. Any text, as over MQTT (RP-006).
async fn call_answer(
    http: Http,
    remote: Remote,
    path: Path<(String, String)>,
    request: Request,
) -> Response {
    answered(&http, remote, &path, request).await.into_response()
}

async fn answered(
    http: &DeviceHttp,
    remote: Remote,
    (token, id): &(String, String),
    request: Request,
) -> Result<Response, Failed> {
    let visit = Visit::begin(http, remote, token).await?;
    let id: u32 = id.parse().map_err(|_| {
        let detail = "the number of a call is expected behind rpc/";
        visit.reject(&Reject::new(Reason::TopicInvalid, detail))
    })?;
    let body = visit.body(request, RPC_BODY_MAX).await?;
    visit.charge(0).await?;
    let text = Decoder::new().text(&body).to_owned();
    visit.show(&Uplink::CallAnswer(CallAnswer { id, body: &text }));
    http.node.metrics.questions.add(1);
    let kept = http.node.calls.answered(visit.login.device_id, id, text).await;
    kept.map_err(|reason| visit.refuse(reason, ""))?;
    Ok(answer::done())
}

/// `POST rpc`: a client call. Answered in words when nobody handles it, and with 408 when its handler
/// takes too long (H-2).
async fn client_call(http: Http, remote: Remote, path: Path<String>, request: Request) -> Response {
    asked(&http, remote, &path, request).await.into_response()
}

async fn asked(
    http: &DeviceHttp,
    remote: Remote,
    token: &str,
    request: Request,
) -> Result<Response, Failed> {
    let visit = Visit::begin(http, remote, token).await?;
    let body = visit.body(request, RPC_BODY_MAX).await?;
    let node = &http.node;
    let (built_in, question) = understood(http, &visit, &body)?;
    node.metrics.questions.add(1);
    let found = match built_in {
        // CR-021: uncounted.
        Some(found) => found,
        None => {
            visit.charge_uncounted().await?;
            let _waits = visit.wait_for(Wants::default())?;
            let method = question.method.clone();
            let asking = node.client_calls.ask(&visit.login, question);
            let asked = tokio::select! {
                asked = tokio::time::timeout(CLIENT_CALL_TIMEOUT, asking) => asked,
                () = http.drain.begun() => return Err(Reason::ServerShuttingDown.into()),
            };
            match asked {
                Ok(Ok(found)) => found,
                Ok(Err(failure)) => {
                    visit.record(failure.reason, &about(&method, &failure));
                    words(failure.reason)
                }
                Err(_) => {
                    let failure = Reason::ClientCallNotAnswered.into();
                    visit.record(Reason::ClientCallNotAnswered, &about(&method, &failure));
                    return Err(Failed::TooLate);
                }
            }
        }
    };
    let (reply_to, answer) = (NOWHERE, Box::new(found));
    let told = body_for_http(&Downlink::ClientAnswer { reply_to, answer });
    Ok(answer::json(told.unwrap_or_default()))
}

fn understood(
    http: &DeviceHttp,
    visit: &Visit<'_>,
    body: &[u8],
) -> Result<(Option<ClientAnswer>, Question), Failed> {
    let mut decoder = Decoder::new();
    let (method, params) = decoder.client_call(body).map_err(|reject| visit.reject(&reject))?;
    let call = ClientCall { reply_to: NOWHERE, method, params };
    visit.show(&Uplink::ClientCall(call));
    let built_in = http.node.client_calls.built_in(&visit.login, call, http.granted);
    Ok((built_in, call.into()))
}

/// `POST claim`: the device may be claimed (CL-001 to CL-010).
async fn claim(http: Http, remote: Remote, path: Path<String>, request: Request) -> Response {
    claimed(&http, remote, &path, request).await.into_response()
}

async fn claimed(
    http: &DeviceHttp,
    remote: Remote,
    token: &str,
    request: Request,
) -> Result<Response, Failed> {
    let visit = Visit::begin(http, remote, token).await?;
    let body = visit.body(request, RPC_BODY_MAX).await?;
    visit.charge_uncounted().await?;
    let (secret, duration_ms) = {
        let mut decoder = Decoder::new();
        let claim = decoder.claim(&body).map_err(|reject| visit.reject(&reject))?;
        visit.show(&Uplink::Claim(claim));
        (claim.secret.to_owned(), claim.duration_ms)
    };
    http.node.metrics.questions.add(1);
    let kept = http
        .node
        .claims
        .offer((visit.login.device_id, visit.login.tenant_id), secret, duration_ms)
        .await;
    kept.map_err(|reason| visit.refuse(reason, ""))?;
    Ok(answer::done())
}

/// Bytes of a body about calls (H-6), or of a claim.
const RPC_BODY_MAX: usize = 64 * 1024;
/// How long a full line of commits is waited for.
const ROOM_TIME: Duration = Duration::from_secs(10);
/// How long a handler of client calls may take (CR-007).
const CLIENT_CALL_TIMEOUT: Duration = Duration::from_secs(60);
