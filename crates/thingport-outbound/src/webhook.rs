//! Posting to a receiver: with a bound on time, size and number, again where that may help, and signed.
//!
//! A request is sent at least once and perhaps more often: a receiver that was slow to answer may get it
//! again. All sendings of one request carry the same `X-Thingport-Delivery`. A redirection is no answer:
//! what the operator allowed is this receiver, not whoever it names.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use thingport_core::clock::{Clock, Entropy};
use thingport_core::metrics::Metrics;
use thingport_model::webhook::{Secret, WebhookUrl};
use uuid::Uuid;

use crate::config::OutboundConfig;
use crate::lane::Lanes;
use crate::reach::Reach;
use crate::resolve::{OutOfReach, Resolver, Unresolved};
use crate::signature::signature;
use crate::tls::client_config;

/// Posts to receivers.
pub struct Webhooks {
    reach: Arc<Reach>,
    config: OutboundConfig,
    lanes: Lanes,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Built for the first request.
    client: OnceLock<Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>>,
}

/// One request for a receiver.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// Whose share of the requests under way it takes: the profile or the target that names the receiver.
    pub lane: Uuid,
    /// Where to.
    pub url: &'a WebhookUrl,
    /// What it is signed with; without one it is not signed.
    pub secret: Option<&'a Secret>,
    /// Of the body, such as `application/json`.
    pub content_type: &'static str,
    /// What is said.
    pub body: Bytes,
    /// How long one attempt may take, from the first look for an address to the last byte of the answer.
    pub timeout: Duration,
    /// How often it is tried again.
    pub retries: u32,
    /// How long all of it may take: waiting for a place, attempts, and pauses between them.
    pub within: Duration,
    /// Most bytes of an answer.
    pub answer_max: usize,
}

/// Why a request failed. None of them holds what was sent, the secret, or the receiver's path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostError {
    /// So many requests wait in the lane that this one was not sent.
    Busy,
    /// The name has no address, or the system could not find it out.
    Unresolved,
    /// The address may not be called; see [`crate::reach`].
    OutOfReach(IpAddr),
    /// Nobody listens at the address, or it cannot be reached.
    Unreachable(String),
    /// The receiver did not prove who it is, or cannot speak TLS as we do.
    Tls(String),
    /// No complete answer came in time.
    TimedOut,
    /// The connection broke, or the answer was not HTTP.
    Broken(String),
    /// The answer is longer than it may be.
    TooLarge,
    /// The receiver answered with a status other than 2xx.
    Status(u16),
}

/// How one attempt failed, and how long the receiver asked to be left alone.
struct Failed {
    error: PostError,
    pause: Option<Duration>,
}

impl Webhooks {
    /// Takes no memory to speak of until the first request.
    #[must_use]
    pub fn new(
        config: OutboundConfig,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            reach: Arc::new(config.reach.clone()),
            lanes: Lanes::new(config.lane_max, Arc::clone(&metrics)),
            config,
            metrics,
            clock,
            entropy,
            client: OnceLock::new(),
        }
    }

    /// Posts until a receiver answered with 2xx, trying again was of no use, or the time was over. Gives
    /// the body of the answer. Dropping the future ends it.
    ///
    /// # Errors
    /// Why the last attempt failed.
    pub async fn post(&self, post: Post<'_>) -> Result<Bytes, PostError> {
        self.metrics.webhook_requests.add(1);
        let mut last = None;
        let done = tokio::time::timeout(post.within, self.attempts(&post, &mut last)).await;
        let done = done.unwrap_or_else(|_| Err(last.unwrap_or(PostError::TimedOut)));
        if done.is_err() {
            self.metrics.webhook_failures.add(1);
        }
        done
    }

    async fn attempts(
        &self,
        post: &Post<'_>,
        last: &mut Option<PostError>,
    ) -> Result<Bytes, PostError> {
        self.check(post.url)?;
        let lane = self.lanes.enter(post.lane).map_err(|_| PostError::Busy)?;
        let delivery = self.new_id();
        for attempt in 0.. {
            // Nobody else waits for the place while this request pauses.
            let turn = lane.turn().await;
            let failed = match self.attempt(post, delivery).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            drop(turn);
            if attempt >= post.retries || !failed.error.may_pass() {
                return Err(failed.error);
            }
            *last = Some(failed.error);
            tokio::time::sleep(self.pause(attempt).max(failed.pause.unwrap_or_default())).await;
        }
        Err(PostError::TimedOut)
    }

    /// Addresses that are written in the URL; those behind names are checked when they are known.
    fn check(&self, url: &WebhookUrl) -> Result<(), PostError> {
        match url.host().parse() {
            Ok(ip) if !self.reach.permits(ip) => Err(PostError::OutOfReach(ip)),
            _ => Ok(()),
        }
    }

    async fn attempt(&self, post: &Post<'_>, delivery: Uuid) -> Result<Bytes, Failed> {
        let answered = async {
            let request = self.request(post, delivery)?;
            let client = self.client.get_or_init(|| client(&self.config, &self.reach));
            let answer = client.request(request).await.map_err(|error| why(&error))?;
            take(answer, post.answer_max).await
        };
        match tokio::time::timeout(post.timeout, answered).await {
            Ok(answered) => answered,
            Err(_) => Err(PostError::TimedOut.into()),
        }
    }

    fn request(&self, post: &Post<'_>, delivery: Uuid) -> Result<Request<Full<Bytes>>, PostError> {
        let mut request = Request::post(post.url.as_str())
            .header(CONTENT_TYPE, post.content_type)
            .header(USER_AGENT, self.config.user_agent.as_str())
            .header(DELIVERY, delivery.to_string());
        if let Some(secret) = post.secret {
            request = request.header(SIGNATURE, signature(secret, self.clock.now(), &post.body));
        }
        let request = request.body(Full::new(post.body.clone()));
        request.map_err(|error| PostError::Broken(error.to_string()))
    }

    pub(crate) const fn config(&self) -> &OutboundConfig {
        &self.config
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A quarter of a second, doubled each time up to half a minute, and shortened by up to a half: those
    /// who failed together shall not come back together.
    fn pause(&self, attempt: u32) -> Duration {
        let full_ms = (PAUSE_MS << attempt.min(16)).min(PAUSE_MAX_MS);
        let mut random = [0; 8];
        self.entropy.fill(&mut random);
        Duration::from_millis(full_ms - u64::from_le_bytes(random) % (full_ms / 2))
    }

    /// A number for something that is said.
    pub(crate) fn new_id(&self) -> Uuid {
        let mut random = [0; 16];
        self.entropy.fill(&mut random);
        uuid::Builder::from_random_bytes(random).into_uuid()
    }
}

fn client(
    config: &OutboundConfig,
    reach: &Arc<Reach>,
) -> Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>> {
    let tls = client_config(config);
    let mut http = HttpConnector::new_with_resolver(Resolver::new(Arc::clone(reach)));
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .http1_max_buf_size(HEAD_MAX)
        .build(connector)
}

/// The body of an answer of 2xx.
async fn take(answer: Response<Incoming>, max: usize) -> Result<Bytes, Failed> {
    let status = answer.status();
    if !status.is_success() {
        let pause = answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok());
        let pause = pause.and_then(|it| it.trim().parse().ok()).map(Duration::from_secs);
        let error = PostError::Status(status.as_u16());
        return Err(Failed { error, pause: pause.map(|it| it.min(RETRY_AFTER_MAX)) });
    }
    match Limited::new(answer.into_body(), max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(PostError::TooLarge.into()),
        Err(error) => Err(PostError::Broken(innermost(&*error)).into()),
    }
}

/// What the client's error means.
fn why(error: &hyper_util::client::legacy::Error) -> PostError {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(it) = at {
        if let Some(OutOfReach(ip)) = it.downcast_ref() {
            return PostError::OutOfReach(*ip);
        }
        if it.is::<Unresolved>() {
            return PostError::Unresolved;
        }
        if let Some(tls) = it.downcast_ref::<rustls::Error>() {
            return PostError::Tls(tls.to_string());
        }
        if it.downcast_ref::<std::io::Error>().is_some_and(is_timeout) {
            return PostError::TimedOut;
        }
        at = below(it);
    }
    match innermost(error) {
        text if error.is_connect() => PostError::Unreachable(text),
        text => PostError::Broken(text),
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::TimedOut
}

/// The error behind an error. What an I/O error gives as its source is behind what it wraps.
fn below<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|it| it as &(dyn std::error::Error + 'static)),
        None => error.source(),
    }
}

/// The words of the error at the bottom, which say what happened rather than who noticed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(source) = below(at) {
        at = source;
    }
    at.to_string().chars().take(DETAIL_MAX).flat_map(char::escape_debug).collect()
}

impl PostError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Unresolved | Self::Unreachable(_) | Self::TimedOut | Self::Broken(_) => true,
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..=599),
            Self::Busy | Self::OutOfReach(_) | Self::Tls(_) | Self::TooLarge => false,
        }
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many requests wait for this receiver"),
            Self::Unresolved => f.write_str("the name has no address"),
            Self::OutOfReach(ip) => write!(f, "{ip} may not be called"),
            Self::Unreachable(detail) => write!(f, "no connection: {detail}"),
            Self::Tls(detail) => write!(f, "no trusted connection: {detail}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Broken(detail) => write!(f, "no whole answer: {detail}"),
            Self::TooLarge => f.write_str("the answer is too long"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

impl std::error::Error for PostError {}

impl From<PostError> for Failed {
    fn from(error: PostError) -> Self {
        Self { error, pause: None }
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

/// The same for all sendings of one request.
pub const DELIVERY: &str = "x-thingport-delivery";
/// See [`crate::signature`].
pub const SIGNATURE: &str = "x-thingport-signature";
/// The first pause before another attempt.
const PAUSE_MS: u64 = 250;
/// The longest one.
const PAUSE_MAX_MS: u64 = 30_000;
/// The longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// How long a connection may take until it stands; the attempt's own time may be shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Connections kept for one host.
const IDLE_PER_HOST_MAX: usize = 8;
/// Most bytes of the head of an answer.
const HEAD_MAX: usize = 32 * 1024;
/// Most characters of a detail.
const DETAIL_MAX: usize = 120;

#[cfg(test)]
mod tests;
