//! What kept sessions are owed: changes of shared attributes that a device has not acknowledged.
//!
//! Each change notes its keys, with a number that counts up, before it is made; both are durable before
//! whoever made it hears of that. What is noted of a key is its newest change alone, so a device that was
//! away hears of the newest value, once. A connection tells changes as they come; when all it told is
//! acknowledged, the notes up to the newest of them are removed. A connection that takes up a session is
//! reminded of what is noted behind the last one its session was told.
//!
//! Everything here happens in the device's turn.

use std::collections::BTreeSet;

use thingport_model::attribute::{Attribute, Scope};
use thingport_model::downlink::Downlink;
use thingport_model::id::DeviceId;
use thingport_model::port::ledger::{Change, Keys};
use thingport_model::reading::Readings;
use thingport_model::value::{Value, ValueRef};

use super::Attributes;
use crate::error::Error;
use crate::presence::ConnectionNumber;
use crate::sessions::{Mark, Room, Settling};
use crate::telemetry::{append, put};

/// For connections.
impl Attributes {
    /// Tells the connection that took up a device's session of everything that changed behind `told`.
    ///
    /// # Errors
    /// The store's trouble; the changes are still owed.
    pub async fn remind(&self, device: DeviceId, told: u64) -> Result<(), Error> {
        let _turn = self.turns.of(device).await;
        self.remind_in_turn(device, told).await
    }

    /// A connection told its device all that it was given, up to `told`, and was acknowledged: that is
    /// not owed any more.
    ///
    /// # Errors
    /// The store's trouble; what was told may be told again.
    pub async fn settle(
        &self,
        device: DeviceId,
        connection: ConnectionNumber,
        told: u64,
    ) -> Result<(), Error> {
        let _turn = self.turns.of(device).await;
        match self.sessions.settling(device, connection) {
            Settling::Nothing => Ok(()),
            Settling::Again(floor) => self.remind_in_turn(device, floor).await,
            Settling::Told => {
                let left = self.forget(device, told).await?;
                self.sessions.settled(device, left);
                Ok(())
            }
        }
    }
}

impl Attributes {
    /// A device's session ended: what it was owed is forgotten.
    pub(crate) async fn forget_owed(&self, device: DeviceId) -> Result<(), Error> {
        let _turn = self.turns.of(device).await;
        // Another one may have begun.
        let floor = self.sessions.floor(device).unwrap_or(u64::MAX);
        self.forget(device, floor).await.map(drop)
    }

    /// Notes that these keys are about to change, if a session is owed that. They are durable when the
    /// change is that is put in line behind.
    pub(super) async fn note<'a>(
        &self,
        device: DeviceId,
        keys: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<Option<Mark>, Error> {
        let Some(mark) = self.sessions.mark(device, keys.len()) else { return Ok(None) };
        let keys: Vec<&str> = keys.collect();
        let has_room = match mark.room {
            Room::Enough => true,
            Room::AllOwed => return Ok(Some(mark)),
            Room::Unknown => {
                let noted = self.noted(device).await?;
                let known: BTreeSet<&str> = noted.iter().map(|(key, _)| &**key).collect();
                let more = keys.iter().filter(|key| !known.contains(*key)).count();
                let has_room = self.sessions.counted(device, noted.len(), more);
                if !has_room {
                    self.put_marks(device, core::iter::once(ALL), mark).await?;
                    let noted: Vec<_> = noted.into_iter().map(|(key, _)| key).collect();
                    self.remove_marks(device, &noted).await?;
                }
                has_room
            }
        };
        if has_room {
            self.put_marks(device, keys.into_iter(), mark).await?;
        }
        Ok(Some(mark))
    }

    /// Whether anybody is to be told of a change now.
    pub(super) fn is_heard(&self, device: DeviceId, mark: Option<Mark>) -> bool {
        mark.is_some_and(|it| it.holder.is_some()) || self.presence.wants(device).attributes
    }

    /// Tells a device of a change that was made.
    pub(super) fn tell(&self, device: DeviceId, mark: Option<Mark>, downlink: Downlink) {
        match mark {
            None => drop(self.presence.tell(device, downlink)),
            Some(mark) => {
                let told = self.presence.tell_owed(device, (mark.holder, mark.number), downlink);
                if !told && mark.holder.is_some() {
                    self.sessions.missed(device);
                }
            }
        }
    }

    async fn remind_in_turn(&self, device: DeviceId, told: u64) -> Result<(), Error> {
        let Some(holder) = self.sessions.holder(device) else { return Ok(()) };
        let mut owed = self.noted(device).await?;
        owed.retain(|(_, number)| *number > told);
        let Some(newest) = owed.iter().map(|(_, number)| *number).max() else { return Ok(()) };
        let owes_all = owed.iter().any(|(key, _)| key == ALL);
        let mut keys: Vec<String> = owed.into_iter().map(|(key, _)| key).collect();
        keys.retain(|key| key != ALL);
        keys.sort_unstable();
        let wanted = if owes_all { Keys::All } else { Keys::Named(keys.clone()) };
        let present = self.ledger.attributes(device.entity(), Scope::Shared, wanted).await?;
        keys.retain(|key| !present.iter().any(|it| it.key == *key));
        let mark = (Some(holder), newest);
        let mut is_told = true;
        for some in messages(&present) {
            is_told &= self.presence.tell_owed(device, mark, Downlink::AttributesSet(some.into()));
        }
        if !keys.is_empty() {
            let gone = Downlink::AttributesDeleted(keys.into());
            is_told &= self.presence.tell_owed(device, mark, gone);
        }
        if !is_told {
            self.sessions.missed(device);
        }
        Ok(())
    }

    /// What is noted of a device: keys and numbers.
    async fn noted(&self, device: DeviceId) -> Result<Vec<(String, u64)>, Error> {
        let noted = self.ledger.attributes(device.entity(), Scope::Owed, Keys::All).await?;
        let number = |value: &Value| match value {
            Value::Long(number) => u64::try_from(*number).unwrap_or(0),
            _ => 0,
        };
        let noted: Vec<_> = noted.into_iter().map(|it| (it.key, number(&it.value))).collect();
        // Those of an earlier process may be ahead of a clock that was set back.
        self.sessions.saw(noted.iter().map(|(_, number)| *number).max().unwrap_or(0));
        Ok(noted)
    }

    /// Removes what is noted up to a number; how much is left.
    async fn forget(&self, device: DeviceId, number: u64) -> Result<usize, Error> {
        let noted = self.noted(device).await?;
        let all = noted.len();
        let old = noted.into_iter().filter(|(_, it)| *it <= number);
        let old: Vec<String> = old.map(|(key, _)| key).collect();
        self.remove_marks(device, &old).await?;
        Ok(all - old.len())
    }

    async fn put_marks<'a>(
        &self,
        device: DeviceId,
        keys: impl Iterator<Item = &'a str>,
        mark: Mark,
    ) -> Result<(), Error> {
        let number = i64::try_from(mark.number).unwrap_or(i64::MAX);
        let (now, mut marks) = (self.clock.now(), Readings::default());
        for key in keys {
            marks.push(now, key, ValueRef::Long(number));
        }
        if marks.is_empty() {
            return Ok(());
        }
        let (entity, scope) = (device.entity(), Scope::Owed);
        let change = Change::SetAttributes { entity, scope, attributes: &marks };
        put(&*self.ledger, change).await.map(drop)
    }

    async fn remove_marks(&self, device: DeviceId, keys: &[String]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let (entity, scope) = (device.entity(), Scope::Owed);
        append(&*self.ledger, Change::DeleteAttributes { entity, scope, keys }).await
    }
}

/// Attributes in messages of a few each, so that a device that takes small packets is told, too.
fn messages(attributes: &[Attribute]) -> impl Iterator<Item = &[Attribute]> {
    let mut rest = attributes;
    core::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |it: &&Attribute| {
            bytes += it.key.len() + weight(&it.value);
            bytes <= MESSAGE_BYTES
        };
        let some = rest.iter().take_while(fits).count().max(1);
        let (message, behind) = rest.split_at_checked(some)?;
        rest = behind;
        Some(message)
    })
}

const fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) | Value::Json(text) => text.len(),
        Value::Bool(_) | Value::Long(_) | Value::Double(_) => 8,
    }
}

/// The key that stands for all: no attribute has it.
const ALL: &str = "";
/// Bytes of keys and values after which a reminder goes on in another message.
const MESSAGE_BYTES: usize = 4 * 1024;
