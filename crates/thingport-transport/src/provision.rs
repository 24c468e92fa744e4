//! Provisioning requests of any protocol: worked at to their end, and waited for only so long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thingport_core::journal::Report;
use thingport_core::node::Node;
use thingport_core::provision::NotProvisioned;
use thingport_model::credentials::DeviceCredentials;
use thingport_model::provision::ProvisionRequest;
use thingport_model::reason::Reason;

/// What came of a request.
pub(crate) type Provisioned = Result<DeviceCredentials, NotProvisioned>;

/// Where a request came from, for the journal.
pub(crate) struct Origin<'a> {
    pub(crate) remote: SocketAddr,
    pub(crate) client_id: &'a str,
    pub(crate) protocol: &'a str,
}

/// Has a request worked at by a task of its own, which a peer that leaves does not stop halfway.
pub(crate) async fn provision(node: Arc<Node>, request: ProvisionRequest) -> Provisioned {
    let deadline_ms = node.clock.monotonic_ms() + PATIENCE_MS;
    let work = async {
        // Taken before the task begins, so that those who wait for a place are no more than the peers.
        let place = node.provisions.place().await.ok_or("the server is going down")?;
        let node = Arc::clone(&node);
        let work = async move { node.provisions.provision(place, &request, deadline_ms).await };
        tokio::spawn(work).await.map_err(|_| "the server met an error of its own")
    };
    match tokio::time::timeout(Duration::from_millis(PATIENCE_MS), work).await {
        Ok(Ok(provisioned)) => provisioned,
        Ok(Err(detail)) => Err(failed(detail)),
        Err(_) => Err(failed("it took longer than ten seconds")),
    }
}

/// Tells the guard and the journal.
pub(crate) fn note(node: &Node, provisioned: &Provisioned, origin: &Origin<'_>) {
    let ip = origin.remote.ip();
    let Err(not) = provisioned else { return node.guard.succeeded(ip) };
    if is_guess(not.reason) {
        node.guard.failed(ip, not.reason, node.clock.monotonic_ms());
    }
    node.metrics.messages_rejected.add(1);
    node.journal.record(&Report {
        subject: not.subject(),
        reason: not.reason,
        detail: &not.detail,
        remote: &origin.remote.to_string(),
        client_id: origin.client_id,
        user_name: "",
        protocol: origin.protocol,
        attempt: None,
    });
}

/// Whether somebody who tries keys and secrets would be refused for this.
pub(crate) const fn is_guess(reason: Reason) -> bool {
    matches!(reason, Reason::ProvisionKeyUnknown | Reason::ProvisionSecretWrong)
}

fn failed(detail: &str) -> NotProvisioned {
    let (reason, detail) = (Reason::ProvisionFailed, detail.to_owned());
    NotProvisioned { reason, tenant: None, device: None, detail }
}

/// How long a request may take (PR-006).
const PATIENCE_MS: u64 = 10_000;
