//! The ledger's log as others may follow it: everything committed, in order, each follower with a
//! durable position of its own.
//!
//! What a follower has not passed stays on the disk, up to a bound; what is older is given up for it
//! and told. Nobody who appends ever waits for a follower.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::attribute::Scope;
use crate::id::EntityRef;
use crate::port::error::PortError;
use crate::port::ledger::Committed;
use crate::time::Timestamp;

/// Who follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowerId(pub Uuid);

/// A place in the log: everything before it was passed. Places ascend; the number means nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u64);

impl Place {
    /// Before everything that is still there.
    pub const OLDEST: Self = Self(0);
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Readings were kept.
    Telemetry,
    /// Attributes were set.
    AttributesSet(Scope),
    /// Attributes were removed.
    AttributesDeleted(Scope),
    /// Readings were removed.
    TelemetryDeleted,
    /// The entity is gone.
    Purged,
}

/// Asked before a record is decoded: one that nobody wants costs next to nothing.
pub trait Wants: Send + Sync {
    /// Whether such a record of this entity is to be read.
    fn wants(&self, entity: EntityRef, subject: Subject) -> bool;
}

/// One committed change.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Whose.
    pub entity: EntityRef,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// What.
    pub change: Committed,
    /// The place behind it.
    pub next: Place,
}

/// What was read at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    /// What was wanted, in order; may be empty.
    pub changes: Vec<Logged>,
    /// Where to read on. Behind the last of `changes`, and behind whatever was not wanted.
    pub next: Place,
}

/// How much is read at once, at most.
#[derive(Clone, Copy, Debug)]
pub struct StretchMax {
    /// Changes that are wanted.
    pub changes: usize,
    /// Bytes of log, wanted or not; one commit may exceed it.
    pub bytes: u64,
}

/// How far behind a follower is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Commits it has not passed.
    pub commits: u64,
    /// Bytes of log they take, of all devices.
    pub bytes: u64,
    /// When the oldest of them was committed, as far as it is known; none when it is behind nothing.
    pub since: Option<Timestamp>,
    /// Records it will never see, of all devices: they were given up for it since the start.
    pub given_up: u64,
}

/// Lets others follow the log. The ledger on this machine is one.
#[async_trait]
pub trait Trail: Send + Sync {
    /// The place behind everything committed.
    fn here(&self) -> Place;

    /// Says who follows from now on, and where one begins that is not known yet. Whoever is not named
    /// is forgotten. Answers where each of them is, in the order of the names; durable by then.
    ///
    /// # Errors
    /// When the disk refuses, or more follow than [`FOLLOWERS_MAX`]; nothing has changed then.
    async fn keep(&self, followers: Vec<(FollowerId, Place)>) -> Result<Vec<Place>, PortError>;

    /// Reads on from a place; waits until something is committed behind it. May answer with nothing
    /// that is wanted and a place further on.
    ///
    /// # Errors
    /// When the log cannot be read now, or the ledger is closed.
    async fn read(
        &self,
        follower: FollowerId,
        from: Place,
        wants: Arc<dyn Wants>,
        max: StretchMax,
    ) -> Result<Stretch, PortError>;

    /// Everything before `next` was passed. Becomes durable soon, and at the latest when the ledger is
    /// closed; until then a crash repeats it.
    fn passed(&self, follower: FollowerId, next: Place);

    /// How far behind a follower is; all zero for one that nobody named.
    fn lag(&self, follower: FollowerId) -> Lag;
}

/// Followers of one log.
pub const FOLLOWERS_MAX: usize = 128;
