//! One request of a device: who it is, its body, its limits, and why it was refused.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use futures_util::StreamExt as _;
use thingport_core::journal::{Report, Subject};
use thingport_core::limits::Bite;
use thingport_core::metrics::Bound;
use thingport_core::presence::{Ear, Wants};
use thingport_core::registry::DeviceLogin;
use thingport_device::reject::Reject;
use thingport_model::credentials::CredentialsType;
use thingport_model::profile::TransportType;
use thingport_model::reason::Reason;
use thingport_model::uplink::Uplink;
use tokio::sync::SemaphorePermit;

use super::PROTOCOL;
use super::answer::Failed;
use super::shared::{DeviceHttp, Remote};
use super::tap::Tap;

/// A request whose token was found.
pub(super) struct Visit<'a> {
    pub(super) http: &'a DeviceHttp,
    pub(super) login: Arc<DeviceLogin>,
    remote: SocketAddr,
    tap: Option<Arc<Tap>>,
}

/// A body, and its share of what all bodies may take.
pub(super) struct Body<'a> {
    bytes: Vec<u8>,
    _share: SemaphorePermit<'a>,
}

impl core::ops::Deref for Body<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> Visit<'a> {
    /// Finds the device of a token, before anything of the body is read. That it is here counts as
    /// activity (AC-012).
    pub(super) async fn begin(
        http: &'a DeviceHttp,
        Remote { address: remote, tap }: Remote,
        token: &str,
    ) -> Result<Self, Failed> {
        let node = &http.node;
        let now_ms = node.clock.monotonic_ms();
        let found = match node.guard.may_log_in(remote.ip(), now_ms) {
            Ok(()) => find(http, token).await,
            Err(reason) => Err((reason, None)),
        };
        match found {
            Ok(login) => {
                node.guard.succeeded(remote.ip());
                node.activity.heard(login.device_id);
                if let Some(tap) = &tap {
                    tap.found(node, &login, token, remote);
                }
                Ok(Self { http, login, remote, tap })
            }
            Err((reason, login)) => {
                node.guard.failed(remote.ip(), reason, now_ms);
                node.metrics.logins_refused.add(1);
                record(http, login.as_deref(), remote, reason, "");
                if let (Some(tap), Some(login)) = (&tap, &login) {
                    tap.found(node, login, token, remote);
                    tap.reason(reason, "");
                }
                Err(reason.into())
            }
        }
    }

    /// The body, of at most `max` bytes (H-6).
    pub(super) async fn body(&self, request: Request, max: usize) -> Result<Body<'a>, Failed> {
        let header = request.headers().get(CONTENT_LENGTH);
        let announced = header.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|size| size > max) {
            return Err(self.refuse(Reason::MessageTooLarge, ""));
        }
        let share = u32::try_from(announced.unwrap_or(max)).unwrap_or(u32::MAX);
        let Ok(share) =
            tokio::time::timeout(SHARE_TIME, self.http.bodies.acquire_many(share)).await
        else {
            self.http.node.metrics.count_bound(Bound::DeviceBodies);
            return Err(self.refuse(Reason::StorageBusy, "too many bodies arrive at once"));
        };
        // Nobody closes it.
        let share = share.map_err(|_| Failed::from(Reason::Internal))?;
        match tokio::time::timeout(BODY_TIME, arrive(request, max)).await {
            Ok(Ok(bytes)) => {
                if let Some(tap) = &self.tap {
                    tap.body(&bytes);
                }
                Ok(Body { bytes, _share: share })
            }
            Ok(Err(reason)) => Err(self.refuse(reason, "")),
            Err(_) => Err(self.refuse(Reason::PacketTimeout, "the body of the request")),
        }
    }

    /// Takes the tokens of a message with so many values; a little too early is delayed, not refused.
    pub(super) async fn charge(&self, points: usize) -> Result<(), Failed> {
        let node = &self.http.node;
        let now_ms = node.clock.monotonic_ms();
        let Some(quota) = node.limits.of_device(&self.login, now_ms) else { return Ok(()) };
        self.wait_or_refuse(quota.charge(points, now_ms)).await
    }

    /// As [`Self::charge`], for what counts for no month.
    pub(super) async fn charge_uncounted(&self) -> Result<(), Failed> {
        let node = &self.http.node;
        let now_ms = node.clock.monotonic_ms();
        let Some(quota) = node.limits.of_device(&self.login, now_ms) else { return Ok(()) };
        self.wait_or_refuse(quota.charge_uncounted(now_ms)).await
    }

    async fn wait_or_refuse(&self, charged: Result<Option<Bite>, Bite>) -> Result<(), Failed> {
        match charged {
            Ok(None) => {}
            Ok(Some(bite)) => {
                self.record(Reason::RateSlowed, &bite.to_string());
                let wait_ms = bite.wait_ms.unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
            Err(bite) => return Err(self.refuse(bite.reason(), &bite.to_string())),
        }
        Ok(())
    }

    /// A place among the requests that wait, with what they are to be told.
    pub(super) fn wait_for(&self, wants: Wants) -> Result<Ear, Failed> {
        let ear = self.http.node.presence.listen(self.login.device_id, wants);
        ear.ok_or_else(|| self.refuse(Reason::TooManyPolls, ""))
    }

    pub(super) fn reject(&self, reject: &Reject) -> Failed {
        self.refuse(reject.reason, &reject.detail)
    }

    /// Keeps a refusal, and answers it.
    pub(super) fn refuse(&self, reason: Reason, detail: &str) -> Failed {
        self.http.node.metrics.messages_rejected.add(1);
        self.record(reason, detail);
        reason.into()
    }

    pub(super) fn record(&self, reason: Reason, detail: &str) {
        record(self.http, Some(&self.login), self.remote, reason, detail);
        if let Some(tap) = &self.tap {
            tap.reason(reason, detail);
        }
    }

    /// Shows what the device says.
    pub(super) fn show(&self, uplink: &Uplink<'_>) {
        if let Some(tap) = &self.tap {
            tap.means(uplink);
        }
    }

    /// Shows that it is durable.
    pub(super) fn show_commit(&self) {
        if let Some(tap) = &self.tap {
            tap.committed();
        }
    }
}

/// A reason, and the device if its credentials were found.
type Unknown = (Reason, Option<Arc<DeviceLogin>>);

async fn find(http: &DeviceHttp, token: &str) -> Result<Arc<DeviceLogin>, Unknown> {
    if token.trim().is_empty() || token.len() > TOKEN_MAX || token.chars().any(char::is_control) {
        return Err((Reason::TokenMalformed, None));
    }
    let found = http.node.registry.login_by_credentials_id(token).await;
    let found = found.map_err(|_| (Reason::LoginStoreUnavailable, None))?;
    let login = found.ok_or((Reason::CredentialsUnknown, None))?;
    if login.kind != CredentialsType::AccessToken {
        return Err((Reason::CredentialsTypeUnsupported, Some(login)));
    }
    if login.profile.transport != TransportType::Default {
        return Err((Reason::ProfileNotHttp, Some(login)));
    }
    Ok(login)
}

fn record(
    http: &DeviceHttp,
    login: Option<&DeviceLogin>,
    remote: SocketAddr,
    reason: Reason,
    detail: &str,
) {
    http.node.journal.record(&Report {
        subject: login
            .map_or(Subject::Stranger, |login| Subject::Device(login.device_id, login.tenant_id)),
        reason,
        detail,
        remote: &remote.to_string(),
        client_id: "",
        user_name: "",
        protocol: PROTOCOL,
        attempt: None,
    });
}

async fn arrive(request: Request, max: usize) -> Result<Vec<u8>, Reason> {
    let mut arriving = request.into_body().into_data_stream();
    let mut bytes = Vec::new();
    while let Some(part) = arriving.next().await {
        let part = part.map_err(|_| Reason::ConnectionLost)?;
        if bytes.len() + part.len() > max {
            return Err(Reason::MessageTooLarge);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Longest access token in bytes.
const TOKEN_MAX: usize = 255;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a place for a body is waited for.
const SHARE_TIME: Duration = Duration::from_secs(5);
