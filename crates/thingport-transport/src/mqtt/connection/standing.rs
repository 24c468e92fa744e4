//! Login, mail, deadlines: what decides whether a connection stays.

use core::task::{Context, Poll};
use std::sync::Arc;

use thingport_core::admit::{Refused, readmit};
use thingport_core::presence::Letter;
use thingport_core::registry::DeviceLogin;
use thingport_device::link::Link;
use thingport_model::reason::Reason;
use thingport_mqtt::session::{Acceptance, Refusal};

use super::keeping::Keeping;
use super::{Connection, Greeting, Open, Refreshing, Stage};
use crate::config::UNSENT_STALL_MS;
use crate::mqtt::answer;
use crate::mqtt::login::{self, Admitted, Caller};
use crate::mqtt::scratch::Desk;

/// Login, mail, deadlines.
impl Connection {
    pub(super) fn poll_decision(&mut self, cx: &mut Context<'_>, now_ms: u64, desk: &mut Desk) {
        match &mut self.stage {
            Stage::Deciding(deciding) => {
                if let Poll::Ready((mut caller, result)) = deciding.as_mut().poll(cx) {
                    match result {
                        Ok(admitted) => self.accept(caller, admitted, cx, now_ms, desk),
                        Err(refused) => self.turn_away(&mut caller, &refused, now_ms, desk),
                    }
                }
            }
            Stage::Refreshing(refreshing) => {
                if let Poll::Ready(found) = refreshing.found.as_mut().poll(cx) {
                    self.finish_refresh(found, now_ms, desk);
                    // Mail that came meanwhile woke this task in vain.
                    self.handle_mail(cx, desk);
                }
            }
            Stage::Provisioning(_) => self.poll_request(cx, now_ms, desk),
            Stage::Securing { .. }
            | Stage::Arriving
            | Stage::Open(_)
            | Stage::Lingering { .. }
            | Stage::Done => {}
        }
    }

    /// CONNACK with a refusal, and the end.
    pub(super) fn turn_away(
        &mut self,
        caller: &mut Caller,
        refused: &Refused,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        self.show_refusal(caller, refused, desk);
        let remote = self.remote.to_string();
        let node = &self.shared.node;
        login::record_refusal(node, caller, refused, &remote);
        node.guard.failed(self.remote.ip(), refused.reason, now_ms);
        let (reason, return_code) = answer::connack(refused.reason);
        let sentence = Some(refused.reason.sentence());
        let refusal = Refusal { reason, return_code, sentence };
        self.session.refuse(&refusal, &mut desk.out);
        self.linger(now_ms);
    }

    /// CONNACK goes out only once everything the client will use is there (C-12).
    ///
    /// A change of the device, its credentials or profile is told to open mailboxes alone. One that came
    /// after the look-up and before the mailbox was open therefore has the login looked up again.
    pub(super) fn accept(
        &mut self,
        mut caller: Caller,
        Admitted { login, seen, round, edge }: Admitted,
        cx: &mut Context<'_>,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        let node = &self.shared.node;
        let is_stale = || node.registry.logins_generation() != seen;
        // Before the mailbox is opened, too: that would close the connection of who is right now.
        if is_stale() {
            return self.decide_again(caller, round, cx);
        }
        let epoch = low(node.presence.epoch());
        let mailbox = node.presence.open(login.device_id);
        if is_stale() {
            if node.presence.close(login.device_id, &mailbox) {
                node.activity.closed(login.device_id, &mailbox);
            }
            return self.decide_again(caller, round, cx);
        }
        node.activity.opened(login.device_id, &mailbox);
        let quota = node.limits.of_device(&login, now_ms);
        let link = Link::open(self.shared.dialects.of(&login.profile), login.is_gateway)
            .with_software_errors_apart(self.shared.config.software_errors_apart);
        node.guard.succeeded(self.remote.ip());
        self.guest = None;
        node.metrics.logins_accepted.add(1);
        node.metrics.sessions.add(1);
        self.show_login(&mut caller, &login, &mailbox, desk);
        let tls = caller.tls().map(Box::new);
        let assigned = caller.client_id.is_empty().then(|| self.assigned_client_id());
        let client_id = assigned.as_deref().map_or(caller.client_id, Into::into);
        let opened = node.sessions.open(&login, &client_id, caller.wish, mailbox.number());
        let greeting = Box::new(Greeting { client_id, tls });
        self.stage = Stage::Open(Open {
            login,
            link,
            mailbox,
            quota,
            greeting,
            epoch,
            posts: low(node.presence.posts()).wrapping_sub(1),
            questions: None,
            keeping: Keeping::of(&opened),
            children: None,
            edge: None,
        });
        self.open_edge(edge);
        let is_present = opened.state.is_some();
        let mirrors = self.shared.config.mirror_session_present;
        let terms = Acceptance {
            session_present: if mirrors { !caller.wish.clean_start } else { is_present },
            assigned_client_id: assigned.as_deref(),
            session_expiry: opened.expiry_s,
            is_kept: opened.is_kept,
        };
        self.welcome(&terms, now_ms, desk);
        self.resume_edge(desk);
        if let Some(state) = opened.state {
            self.resume(state, desk);
        }
        // Registers for mail; another login may have taken the device over already.
        self.handle_mail(cx, desk);
    }

    fn decide_again(&mut self, caller: Caller, round: u8, cx: &Context<'_>) {
        let node = Arc::clone(&self.shared.node);
        self.stage =
            Stage::Deciding(Box::pin(login::decide(node, caller, round + 1, self.strict_wills())));
        cx.waker().wake_by_ref();
    }

    /// CONNACK with success.
    pub(super) fn welcome(&mut self, terms: &Acceptance<'_>, now_ms: u64, desk: &mut Desk) {
        if let Err(violation) = self.session.accept(now_ms, terms, &mut desk.out) {
            self.record(answer::violation(violation), &violation.to_string());
            self.linger(now_ms);
        }
    }

    /// A client id for a client that came without one (C-9): random, so that nobody can guess it.
    pub(super) fn assigned_client_id(&self) -> String {
        let mut random = [0; 10];
        self.shared.node.entropy.fill(&mut random);
        random.iter().fold("auto-".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    pub(super) fn handle_mail(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let Stage::Open(open) = &mut self.stage else { return };
        let posts = low(self.shared.node.presence.posts());
        if open.posts == posts {
            return;
        }
        open.posts = posts;
        let mailbox = Arc::clone(&open.mailbox);
        // Until it is empty, which registers for the next mail.
        while let Some(mail) = mailbox.poll_mail(cx) {
            // What is acknowledged by now is acknowledged before anything is answered (JS-072).
            self.poll_committed(cx, desk);
            for letter in *mail {
                match letter {
                    Letter::Told(downlink) => self.tell(&downlink, desk),
                    Letter::Owed { downlink, mark } => self.tell_owed(&downlink, mark, desk),
                    Letter::Asked(inquiry) => {
                        if let Some(line) = self.line() {
                            inquiry.answer(line);
                        }
                    }
                    Letter::Rang(child) => self.handle_child_mail(child, desk),
                    Letter::Done { ticket, outcome } => self.handle_done(ticket, outcome, desk),
                }
            }
        }
    }

    /// Ends the session for a reason of ours.
    pub(super) fn close(&mut self, reason: Reason, desk: &mut Desk) {
        let is_ended = matches!(self.stage, Stage::Lingering { .. } | Stage::Done);
        if is_ended || matches!(self.stage, Stage::Refreshing(_) | Stage::Securing { .. }) {
            return;
        }
        self.record(reason, "");
        if reason == Reason::DeviceDeleted {
            self.forget_edge();
        }
        self.session.disconnect(answer::disconnect(reason), Some(reason.sentence()), &mut desk.out);
        let now_ms = self.shared.node.clock.monotonic_ms();
        self.linger(now_ms);
    }

    pub(super) fn handle_timeout(&mut self, now_ms: u64, desk: &mut Desk) {
        if self.unsent.as_ref().is_some_and(|it| it.since_ms + UNSENT_STALL_MS <= now_ms)
            && !matches!(self.stage, Stage::Lingering { .. })
        {
            self.lose(Reason::SlowReader, "nothing was read for ten seconds");
            return;
        }
        if matches!(self.stage, Stage::Securing { .. }) {
            self.handle_handshake_timeout(now_ms);
            return;
        }
        if !self.is_listening() {
            return;
        }
        self.handle_edge_timeout(now_ms, desk);
        self.handle_impatience(now_ms, desk);
        if let Some(violation) = self.session.handle_timeout(now_ms, &mut desk.out) {
            self.record(answer::violation(violation), &violation.to_string());
            self.linger(now_ms);
        }
    }

    /// Goes down in good order: what was received is finished first (D-4).
    pub(super) fn handle_drain(&mut self, now_ms: u64, desk: &mut Desk) {
        if !self.shared.drain.has_begun() || self.stalled.is_some() || !self.pending.is_empty() {
            return;
        }
        match self.stage {
            Stage::Provisioning(ref candidate) if !candidate.is_idle() => {}
            Stage::Open(_) | Stage::Deciding(_) | Stage::Provisioning(_) => {
                // tck-id-host-topic-phid-death-required
                self.send_state(false, desk);
                self.close(Reason::ServerShuttingDown, desk);
            }
            Stage::Securing { .. } | Stage::Arriving => self.linger(now_ms),
            Stage::Refreshing(_) | Stage::Lingering { .. } | Stage::Done => {}
        }
    }

    pub(super) fn must_refresh(&self) -> bool {
        match &self.stage {
            Stage::Open(open) => open.epoch != low(self.shared.node.presence.epoch()),
            _ => false,
        }
    }

    pub(super) fn refresh(&mut self) {
        let Stage::Open(open) = core::mem::replace(&mut self.stage, Stage::Arriving) else {
            return;
        };
        let node = Arc::clone(&self.shared.node);
        let epoch = low(node.presence.epoch());
        let known = Arc::clone(&open.login);
        let found = Box::pin(async move { readmit(&node.registry, &known).await });
        self.stage = Stage::Refreshing(Box::new(Refreshing { open, epoch, found }));
    }

    pub(super) fn finish_refresh(
        &mut self,
        found: Result<Arc<DeviceLogin>, Reason>,
        now_ms: u64,
        desk: &mut Desk,
    ) {
        let Stage::Refreshing(refreshing) = core::mem::replace(&mut self.stage, Stage::Arriving)
        else {
            return;
        };
        let Refreshing { mut open, epoch, .. } = *refreshing;
        open.epoch = epoch;
        let over = found.as_ref().err().copied();
        if let Ok(login) = found {
            // A device that moved to another profile keeps its topics until it reconnects (LS-052), and
            // a changed gateway flag waits for the next login too (LS-053).
            if login.profile.id == open.login.profile.id {
                open.link.change_dialect(self.shared.dialects.of(&login.profile));
            }
            // A limit that stayed the same keeps its fill (RL-004).
            open.quota = self.shared.node.limits.of_device(&login, now_ms);
            if let Some(children) = &mut open.children {
                children.refresh(&self.shared.node, Arc::clone(&login));
            }
            open.login = login;
        }
        self.stage = Stage::Open(open);
        if let Some(reason) = over {
            self.close(reason, desk);
        } else {
            self.handle_bytes(now_ms, &[], desk);
        }
    }

    /// Asks the timers for the next deadline, unless they will wake this task soon enough anyway.
    pub(super) fn schedule(&mut self, now_ms: u64) {
        let linger = match self.stage {
            Stage::Lingering { until_ms, .. } => Some(until_ms),
            Stage::Provisioning(ref candidate) => candidate.deadline(),
            // What waits goes on before time does.
            Stage::Open(ref open) if self.stalled.is_none() => {
                open.edge.as_ref().and_then(|edge| edge.poll_timeout())
            }
            _ => None,
        };
        let unsent = self.unsent.as_ref().map(|unsent| unsent.since_ms + UNSENT_STALL_MS);
        let session = self
            .handshake_deadline()
            .or_else(|| self.session.poll_timeout().map(|(deadline_ms, _)| deadline_ms));
        let Some(deadline_ms) = [linger, unsent, session].into_iter().flatten().min() else {
            return;
        };
        if self.wakes_at_ms <= now_ms || deadline_ms < self.wakes_at_ms {
            self.wakes_at_ms = deadline_ms.max(now_ms + 1);
            if let Some(key) = self.key {
                self.shared.timers.set(key, self.wakes_at_ms);
            }
        }
    }
}

/// Enough of a number that counts up to see that it went on: each connection keeps two of them.
// Cut on purpose.
#[allow(clippy::cast_possible_truncation)]
const fn low(number: u64) -> u32 {
    number as u32
}
