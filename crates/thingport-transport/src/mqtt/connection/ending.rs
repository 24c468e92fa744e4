//! The end of a connection, and the bytes that leave it.

use core::task::{Context, Poll};
use std::io;

use thingport_core::journal::{Report, Subject};
use thingport_core::metrics::Bound;
use thingport_model::reason::Reason;

use super::{Connection, Stage, Unsent};
use crate::config::{LINGER_BYTES, LINGER_MS, UNSENT_MAX};
use crate::mqtt::login;

/// The end.
impl Connection {
    /// Keeps an incident of this connection.
    pub(super) fn record(&self, reason: Reason, detail: &str) {
        let (open, client_id) = match &self.stage {
            Stage::Open(open) => (Some(open), &*open.greeting.client_id),
            Stage::Refreshing(refreshing) => {
                (Some(&refreshing.open), &*refreshing.open.greeting.client_id)
            }
            // That nobody's device left is nothing to keep.
            Stage::Provisioning(_) if reason.is_ordinary() => return,
            Stage::Provisioning(candidate) => (None, &*candidate.client_id),
            _ => (None, ""),
        };
        if let Some(open) = open {
            self.show_reason(open, reason, detail);
        }
        let remote = self.remote.to_string();
        self.shared.node.journal.record(&Report {
            subject: open.map_or(Subject::Stranger, |open| login::subject_of(&open.login)),
            reason,
            detail,
            remote: &remote,
            client_id,
            user_name: "",
            protocol: login::protocol(self.session.version()),
            attempt: None,
        });
    }

    /// The connection is gone, or not worth another byte.
    pub(super) fn lose(&mut self, reason: Reason, detail: &str) {
        // A peer that leaves before CONNECT, such as a port probe, is nobody's incident.
        let is_known = matches!(self.stage, Stage::Open(_) | Stage::Refreshing(_));
        if is_known {
            self.record(reason, detail);
        }
        self.leave();
        self.stage = Stage::Done;
    }

    /// The session is over: sends what is left, then closes.
    pub(super) fn linger(&mut self, now_ms: u64) {
        self.leave();
        self.stage = Stage::Lingering { until_ms: now_ms + LINGER_MS, left: LINGER_BYTES };
    }

    /// Gives up the place among the connected devices.
    pub(super) fn leave(&mut self) {
        self.pending.clear();
        self.stalled = None;
        self.leave_edge();
        self.leave_presence();
        self.leave_session();
    }

    fn leave_presence(&mut self) {
        let open = match &mut self.stage {
            Stage::Open(open) => open,
            Stage::Refreshing(refreshing) => &mut refreshing.open,
            _ => return,
        };
        if let Some(mut children) = open.children.take() {
            children.end_all(&self.shared.node);
        }
        let device = open.login.device_id;
        let is_last = self.shared.node.presence.close(device, &open.mailbox);
        if is_last {
            self.shared.node.activity.closed(device, &open.mailbox);
        }
        if is_last && open.mailbox.wants().calls {
            self.shared.node.calls.unwanted(device);
        }
        self.shared.node.metrics.sessions.sub(1);
    }

    /// Throws away what still comes until the peer has read our last packet and closed (D-5).
    pub(super) fn poll_linger(&mut self, cx: &mut Context<'_>, now_ms: u64, until_ms: u64) {
        if now_ms >= until_ms {
            self.stage = Stage::Done;
        }
        if self.unsent.is_some() || matches!(self.stage, Stage::Done) {
            return;
        }
        match self.stream.poll_shutdown(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => {
                self.stage = Stage::Done;
                return;
            }
            Poll::Pending => return,
        }
        let mut bin = [0; 1024];
        while let Stage::Lingering { left, .. } = &mut self.stage {
            match self.stream.poll_discard(cx, &mut bin) {
                Poll::Pending => return,
                Poll::Ready(Ok(size)) if size > 0 && *left > 0 => {
                    *left = left.saturating_sub(size);
                }
                Poll::Ready(_) => self.stage = Stage::Done,
            }
        }
    }

    /// Writes what the socket takes and keeps the rest, within its bound.
    pub(super) fn flush(
        &mut self,
        cx: &mut Context<'_>,
        now_ms: u64,
        out: &[u8],
        wire: &mut Vec<u8>,
    ) -> io::Result<()> {
        if matches!(self.stage, Stage::Done) {
            return Ok(());
        }
        let is_last = matches!(self.stage, Stage::Lingering { .. });
        let out = self.stream.seal(out, wire, is_last)?;
        let Some(mut unsent) = self.unsent.take() else {
            let sent = self.write(cx, out)?;
            let rest = out.get(sent..).unwrap_or_default();
            if !rest.is_empty() {
                let bytes = rest.to_vec();
                self.unsent = Some(Box::new(Unsent { bytes, since_ms: now_ms }));
            }
            return Ok(());
        };
        if unsent.bytes.len() + out.len() > UNSENT_MAX {
            self.shared.node.metrics.count_bound(Bound::UnsentBytes);
            self.lose(Reason::SlowReader, "256 KiB wait to be read");
            return Ok(());
        }
        unsent.bytes.extend_from_slice(out);
        let sent = self.write(cx, &unsent.bytes)?;
        if sent > 0 {
            unsent.bytes.drain(..sent);
            unsent.since_ms = now_ms;
        }
        if unsent.bytes.is_empty() {
            // The socket is read again.
            cx.waker().wake_by_ref();
        } else {
            self.unsent = Some(unsent);
        }
        Ok(())
    }

    pub(super) fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.poll_write(cx, rest) {
                Poll::Pending => break,
                Poll::Ready(written) => sent += written?,
            }
        }
        // A stream that cannot pass on everything yet has registered for the rest of it.
        if let Poll::Ready(flushed) = self.stream.poll_flush(cx) {
            flushed?;
        }
        self.shared.node.metrics.bytes_out.add(sent as u64);
        Ok(sent)
    }
}
