//! What must be done now and then while the house is open, each by a task of its own.

use std::sync::Arc;
use std::time::Duration;

use thingport_core::activity::ROUND_MS;
use thingport_core::node::Node;
use tokio::signal::unix::Signal;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::system::{give_memory_back, wall_now};
use crate::tls::Tls;

/// The tasks.
pub(crate) struct Chores(Vec<JoinHandle<()>>);

impl Chores {
    /// Begins all of them. `hangup` lets certificates be looked at.
    pub(crate) fn begin(node: &Arc<Node>, tls: Option<Arc<Tls>>, hangup: Signal) -> Self {
        Self(vec![
            tokio::spawn(keep_house(Arc::clone(node))),
            tokio::spawn(end_calls(Arc::clone(node))),
            tokio::spawn(save_calls(Arc::clone(node))),
            tokio::spawn(forget_calls(Arc::clone(node))),
            tokio::spawn(keep_sessions(Arc::clone(node))),
            tokio::spawn(recall_activity(Arc::clone(node))),
            tokio::spawn(keep_activity(Arc::clone(node))),
            tokio::spawn(keep_months(Arc::clone(node))),
            tokio::spawn(keep_certificates(tls, hangup)),
        ])
    }

    /// Ends all of them where they are.
    pub(crate) fn end(self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// What must be done now and then: repeated incidents, traces that are over, purges of deleted entities,
/// packages that devices must be told of.
async fn keep_house(node: Arc<Node>) {
    for second in 0_u64.. {
        if let Err(error) = node.purge_deleted().await {
            tracing::warn!(?error, "deleted entities could not be purged yet");
        }
        if let Err(error) = node.packages.sweep().await {
            tracing::warn!(?error, "files of deleted packages could not be removed yet");
        }
        if let Err(error) = node.packages.announce(&*node.ledger).await {
            tracing::warn!(?error, "devices could not be told of their packages yet");
        }
        tokio::select! {
            () = node.deleted.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                node.journal.tick();
                node.traces.sweep();
                node.latencies.tick(&*node.ledger, (node.clock.now(), node.clock.monotonic_ms()));
            }
        }
        // Soon after the start, where first passwords are hashed, and now and then.
        if second % 10 == 0 {
            give_memory_back();
        }
    }
}

/// Finds the devices that were active before the start, beside everything else.
async fn recall_activity(node: Arc<Node>) {
    node.activity.recall(breath).await;
}

/// Writes down which devices were heard, and finds those that fell silent.
async fn keep_activity(node: Arc<Node>) {
    let mut rounds = tokio::time::interval(Duration::from_millis(ROUND_MS));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => node.activity.round(breath).await,
            () = node.activity.newcomers() => {
                // Others come at about the same time, and share a write.
                tokio::time::sleep(NEWCOMERS_GATHER).await;
                node.activity.welcome(breath).await;
            }
        }
    }
}

/// Keeps account of what tenants used of their monthly quotas.
async fn keep_months(node: Arc<Node>) {
    loop {
        tokio::select! {
            () = node.limits.month_opened() => {}
            () = tokio::time::sleep(MONTHS_ROUND) => {}
        }
        node.limits.keep_months(&*node.ledger, &node.journal, node.clock.now()).await;
    }
}

/// Long work stands aside for what devices and people wait for.
async fn breath() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Ends calls to devices when their time is over.
async fn end_calls(node: Arc<Node>) {
    loop {
        let next_ms = node.calls.tick();
        let wait_ms = next_ms.map(|at| at.saturating_sub(node.clock.monotonic_ms()));
        let wait = wait_ms.map_or(CALLS_LOOK, Duration::from_millis).min(CALLS_LOOK);
        tokio::select! {
            () = node.calls.sooner() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Writes how far persistent calls have come.
async fn save_calls(node: Arc<Node>) {
    loop {
        node.calls.unsaved().await;
        while let Err(error) = node.calls.save().await {
            tracing::warn!(?error, "how far calls have come could not be kept yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Writes kept sessions and ends those whose time is over.
async fn keep_sessions(node: Arc<Node>) {
    loop {
        tokio::select! {
            () = node.sessions.unsaved() => {}
            () = tokio::time::sleep(SESSIONS_LOOK) => {}
        }
        while let Err(error) = node.keep_sessions().await {
            tracing::warn!(?error, "sessions could not be kept yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Forgets persistent calls that ended long ago.
async fn forget_calls(node: Arc<Node>) {
    loop {
        if let Err(error) = node.calls.forget_old().await {
            tracing::warn!(?error, "old calls could not be forgotten yet");
        }
        tokio::time::sleep(CALLS_FORGET).await;
    }
}

/// Takes up changed certificates, renews made ones, and does so at once at SIGHUP.
async fn keep_certificates(tls: Option<Arc<Tls>>, mut hangup: Signal) {
    loop {
        let told = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(CERTIFICATES_LOOK) => false,
        };
        let Some(tls) = tls.clone() else { continue };
        // Files may lie on a slow disk, and a key may be sealed with a slow function.
        let look = tokio::task::spawn_blocking(move || tls.look(wall_now().0, told));
        if let Err(error) = look.await {
            tracing::error!(%error, "looking at the certificate files failed");
        }
    }
}

/// How long newcomers are gathered before they become active.
const NEWCOMERS_GATHER: Duration = Duration::from_millis(100);
/// How often calls are looked at when none is due.
const CALLS_LOOK: Duration = Duration::from_secs(60);
/// How often sessions whose time is over are looked for.
const SESSIONS_LOOK: Duration = Duration::from_secs(1);
/// How much of a month's count a crash may forget.
const MONTHS_ROUND: Duration = Duration::from_secs(5);
/// How often calls that ended long ago are looked for.
const CALLS_FORGET: Duration = Duration::from_secs(600);
/// How often the files of certificates are looked at.
const CERTIFICATES_LOOK: Duration = Duration::from_secs(1);
