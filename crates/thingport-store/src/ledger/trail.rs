//! The log as others may follow it: a thread that reads it for all of them, and none before somebody
//! follows. Nobody who appends ever waits for it; a commit only wakes those who wait for the next one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use thingport_model::id::EntityRef;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::Committed;
use thingport_model::port::trail::{
    FOLLOWERS_MAX, FollowerId, Lag, Logged, Place, Stretch, StretchMax, Subject, Trail, Wants,
};
use thingport_model::time::Timestamp;

use super::thread::spawn;
use super::{LogLedger, Shared, change};
use crate::book::{Book, Position};
use crate::disk::{Disk, is_full};
use crate::log::segment_number;
use crate::log::trail::{TrailReader, records_from};
use crate::record::Record;

/// Where followers hand in what they want to know.
pub(super) struct Desk {
    disk: Arc<dyn Disk>,
    /// The line in front of the thread; none before it is started.
    line: Mutex<DeskLine>,
}

#[derive(Default)]
struct DeskLine {
    sender: Option<SyncSender<Errand>>,
    is_closed: bool,
}

type Errand = Box<dyn FnOnce(&mut Clerk) + Send>;

/// The thread's own things.
struct Clerk {
    shared: Arc<Shared>,
    reader: TrailReader,
    saved: Instant,
}

#[async_trait]
impl Trail for LogLedger {
    fn here(&self) -> Place {
        Place(behind(self.shared.committed.load(Ordering::Acquire)).number())
    }

    async fn keep(&self, followers: Vec<(FollowerId, Place)>) -> Result<Vec<Place>, PortError> {
        if followers.len() > FOLLOWERS_MAX {
            let why = format!("more than {FOLLOWERS_MAX} would follow the log");
            return Err(PortError::Unavailable(why));
        }
        if followers.is_empty() && self.shared.roster.is_empty() {
            return Ok(Vec::new());
        }
        self.ask(move |clerk| clerk.keep(&followers)).await
    }

    async fn read(
        &self,
        follower: FollowerId,
        from: Place,
        wants: Arc<dyn Wants>,
        max: StretchMax,
    ) -> Result<Stretch, PortError> {
        let from = Position::from_number(from.0);
        loop {
            let committed = self.shared.followed.notified();
            if from.lsn <= self.shared.committed.load(Ordering::Acquire) || self.desk.is_closed() {
                break;
            }
            committed.await;
        }
        self.ask(move |clerk| clerk.read(follower, from, &*wants, max)).await
    }

    fn passed(&self, follower: FollowerId, next: Place) {
        self.shared.roster.passes(follower, Position::from_number(next.0));
    }

    fn lag(&self, follower: FollowerId) -> Lag {
        let Some(standing) = self.shared.roster.standing(follower) else { return Lag::default() };
        let committed = self.shared.committed.load(Ordering::Acquire);
        let lsn = standing.next.lsn;
        let commits = (committed + 1).saturating_sub(lsn.max(1));
        let bytes = if commits == 0 { 0 } else { self.shared.yard.bytes_from(lsn, committed) };
        let since = standing.since.filter(|_| commits > 0).map(Timestamp);
        Lag { commits, bytes, since, given_up: standing.given_up }
    }
}

impl LogLedger {
    async fn ask<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Clerk) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let errand: Errand = Box::new(move |clerk| {
            let _ = answer.send(errand(clerk)); // nobody waits any more
        });
        self.hand_in(errand)?;
        answered.await.map_err(|_| closed())?
    }

    fn hand_in(&self, errand: Errand) -> Result<(), PortError> {
        let mut line = self.desk.line.lock();
        if line.is_closed {
            return Err(closed());
        }
        let sender = match &line.sender {
            Some(sender) => sender.clone(),
            None => {
                let (sender, errands) = sync_channel(ERRANDS_MAX);
                let clerk = Clerk::new(&self.shared, &self.desk);
                let thread = spawn("ledger-trail", move || clerk.run(&errands));
                let thread = thread.map_err(|error| PortError::Unavailable(error.to_string()))?;
                self.threads.lock().push(thread);
                line.sender.insert(sender).clone()
            }
        };
        sender.try_send(errand).map_err(|error| match error {
            TrySendError::Full(_) => {
                PortError::Unavailable(format!("{ERRANDS_MAX} wait for the log already"))
            }
            TrySendError::Disconnected(_) => closed(),
        })
    }
}

impl Desk {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, line: Mutex::default() }
    }

    /// No more questions; positions are written down.
    pub(super) fn close(&self) {
        let mut line = self.line.lock();
        line.is_closed = true;
        line.sender = None;
    }

    fn is_closed(&self) -> bool {
        self.line.lock().is_closed
    }
}

impl Clerk {
    fn new(shared: &Arc<Shared>, desk: &Desk) -> Self {
        let (disk, yard) = (Arc::clone(&desk.disk), Arc::clone(&shared.yard));
        let reader = TrailReader::new(disk, yard, shared.marker.mark().salt);
        Self { shared: Arc::clone(shared), reader, saved: Instant::now() }
    }

    fn run(mut self, errands: &Receiver<Errand>) {
        loop {
            match errands.recv_timeout(SAVE_EVERY) {
                Ok(errand) => errand(&mut self),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.save(),
            }
            if self.saved.elapsed() >= SAVE_EVERY {
                self.save();
            }
        }
    }

    fn keep(&mut self, named: &[(FollowerId, Place)]) -> Result<Vec<Place>, PortError> {
        let followers: Vec<FollowerId> = named.iter().map(|(follower, _)| *follower).collect();
        self.reader.retain(&followers);
        let positions: Vec<_> =
            named.iter().map(|(it, place)| (*it, Position::from_number(place.0))).collect();
        let kept = self.shared.roster.keep(&positions);
        self.shared.yard.set_passed(self.shared.roster.passed_by_all());
        let kept = kept.map_err(|error| match is_full(&error) {
            true => PortError::Full,
            false => PortError::Unavailable(error.to_string()),
        })?;
        Ok(kept.into_iter().map(|position| Place(position.number())).collect())
    }

    fn read(
        &mut self,
        follower: FollowerId,
        from: Position,
        wants: &dyn Wants,
        max: StretchMax,
    ) -> Result<Stretch, PortError> {
        let Some(standing) = self.shared.roster.standing(follower) else {
            return Err(PortError::Unavailable("nobody of that name follows the log".to_owned()));
        };
        let committed = self.shared.committed.load(Ordering::Acquire);
        let from = from.max(standing.next);
        let mut changes = Vec::new();
        let book = &self.shared.book;
        let mut visit = |bytes: &[u8], at, next: Position| {
            changes.extend(wanted(book, bytes, wants).map(|(entity, change)| Logged {
                entity,
                committed_at: Timestamp(at),
                change,
                next: Place(next.number()),
            }));
            if changes.len() < max.changes {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let read = self.reader.read(follower, from, (committed, max.bytes), &mut visit);
        let end = read.map_err(|error| PortError::Unavailable(error.to_string()))?;
        self.shared.roster.reads(follower, end.since);
        let is_given_up = self.shared.roster.standing(follower).is_none_or(|it| it.next > from);
        self.miss(follower, if is_given_up { 0 } else { end.missing });
        Ok(Stretch { changes, next: Place(end.next.number()) })
    }

    /// Groups that a follower needed are not there, unless they were given up meanwhile.
    fn miss(&self, follower: FollowerId, groups: u64) {
        if groups == 0 {
            return;
        }
        tracing::error!(follower = %follower.0, groups, "commits to be forwarded are not in the log");
        self.shared.roster.misses(follower, groups);
    }

    fn save(&mut self) {
        self.saved = Instant::now();
        match self.shared.roster.save() {
            Ok(()) => self.shared.yard.set_passed(self.shared.roster.passed_by_all()),
            Err(error) => {
                tracing::warn!(%error, "how far forwarding has come could not be written down");
            }
        }
    }
}

impl Shared {
    /// Lets go of segments that are kept for followers alone and take more than they may; on a full
    /// disk of one segment in any case, because devices need the space.
    pub(super) fn retire(&self, disk: &dyn Disk, is_full: bool) {
        let bytes_max = if is_full { 0 } else { self.config.follow_bytes_max };
        while let Some(oldest) = self.yard.excess(bytes_max) {
            let number = segment_number(&oldest.name).unwrap_or(0);
            let salt = self.marker.mark().salt;
            let lost = |lsn| records_from(disk, number, salt, lsn).unwrap_or(1);
            for (follower, records) in self.roster.give_up(oldest.last_lsn, &lost) {
                tracing::error!(
                    follower = %follower.0, records, is_full,
                    "records were given up for a target that does not keep up"
                );
            }
            self.yard.set_passed(self.roster.passed_by_all());
            if let Err(error) = self.yard.release(0) {
                tracing::warn!(%error, "a segment could not be removed");
                return;
            }
            if is_full {
                return;
            }
        }
    }
}

/// The change in a record, if it is wanted.
fn wanted(book: &Book, bytes: &[u8], wants: &dyn Wants) -> Option<(EntityRef, Committed)> {
    let record = Record::read(bytes)?;
    let subject = match record {
        Record::Telemetry { .. } => Subject::Telemetry,
        Record::SetAttributes { scope, .. } => Subject::AttributesSet(scope),
        Record::DeleteAttributes { scope, .. } => Subject::AttributesDeleted(scope),
        Record::DeleteTelemetry { .. } => Subject::TelemetryDeleted,
        Record::Purge { .. } => Subject::Purged,
        Record::EntityName { .. }
        | Record::KeyName { .. }
        | Record::Incident { .. }
        | Record::Closed => return None,
    };
    let entity = book.names.read().entity_name(record.entity()?)?;
    if !wants.wants(entity, subject) {
        return None;
    }
    Some((entity, change(book, &record)))
}

const fn behind(lsn: u64) -> Position {
    Position { lsn: lsn + 1, index: 0 }
}

fn closed() -> PortError {
    PortError::Unavailable("the ledger is closed".to_owned())
}

/// How long a crash may repeat what was passed already.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// One for each follower, and as many that name others.
const ERRANDS_MAX: usize = 2 * FOLLOWERS_MAX;
