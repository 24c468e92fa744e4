//! The TLS handshake of a connection: from accept to the moment in which CONNECT may come.

use std::sync::Arc;

use thingport_model::reason::Reason;
use thingport_mqtt::session::Session;

use super::{Connection, Stage};
use crate::config::{TLS_CONNECT_MS, TLS_HANDSHAKE_MS};
use crate::tls::Broken;

/// The handshake.
impl Connection {
    /// Goes on to MQTT when the handshake has just been completed.
    pub(super) fn handle_handshake(&mut self, now_ms: u64) {
        let Stage::Securing { since_ms, .. } = self.stage else { return };
        let Some(tls) = self.stream.tls() else { return };
        if tls.is_handshaking() {
            return;
        }
        let metrics = &self.shared.node.metrics;
        metrics.tls_accepted.add(1);
        if tls.is_resumed() {
            metrics.tls_resumed.add(1);
        }
        // CONNECT has its own time from here, within the time for both.
        let connect_ms = self.shared.bounds.connect_timeout_ms;
        let latest_ms = since_ms + TLS_CONNECT_MS.saturating_sub(connect_ms);
        self.session = Session::new(Arc::clone(&self.shared.bounds), now_ms.min(latest_ms));
        self.stage = Stage::Arriving;
    }

    /// When the handshake must be completed.
    pub(super) const fn handshake_deadline(&self) -> Option<u64> {
        match self.stage {
            Stage::Securing { since_ms, .. } => Some(since_ms + TLS_HANDSHAKE_MS),
            _ => None,
        }
    }

    /// Ends a handshake that takes too long (L-1).
    pub(super) fn handle_handshake_timeout(&mut self, now_ms: u64) {
        if self.handshake_deadline().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            self.record(Reason::TlsHandshakeTimeout, "");
            self.linger(now_ms);
        }
    }

    /// The stream cannot go on.
    pub(super) fn handle_broken(&mut self, broken: Broken, now_ms: u64) {
        match broken {
            Broken::Lost(detail) => self.lose(Reason::ConnectionLost, &detail),
            Broken::Refused(failure) => {
                self.record(failure.reason, &failure.detail);
                // The alert is on its way.
                self.linger(now_ms);
            }
        }
    }
}
