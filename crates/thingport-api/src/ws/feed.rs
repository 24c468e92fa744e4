//! One subscription: first what is there, then what changes (REST API 17.2).
//!
//! The watch is opened before anything is read, so nothing stored after the first answer can be missed
//! (W-20). What was stored in between comes both ways; it is sent once.

use std::collections::HashMap;
use std::sync::Arc;

use thingport_core::access::Caller;
use thingport_core::allowance::UpdateAllowance;
use thingport_core::metrics::Bound;
use thingport_core::registry::Generation;
use thingport_core::watch::{Notice, TextKey, Watch};
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::id::{DeviceId, EntityKind, EntityRef};
use thingport_model::port::ledger::{Committed, Keys};
use thingport_model::reading::Reading;
use thingport_model::time::Timestamp;
use thingport_model::user::Authority;
use thingport_model::value::Value;

use super::command::{
    BAD_REQUEST, INTERNAL, NOT_ALLOWED, Subscription, TOO_MANY_UPDATES, Update, error, message,
};
use super::outbox::Outbox;
use super::window::Wish;
use crate::api::Api;
use crate::dto::id::parse_entity;
use crate::error::Refusal;
use crate::rest::telemetry::query::{History, Select};

/// What a subscription needs to work.
pub(crate) struct Feed {
    pub(crate) api: Arc<Api>,
    pub(crate) caller: Caller,
    pub(crate) outbox: Outbox,
    /// Updates that may be sent to the whole session.
    pub(crate) allowance: Arc<UpdateAllowance>,
    pub(crate) command: Subscription,
}

/// Whose values, and of which keys.
struct Subject {
    entity: EntityRef,
    keys: Option<Vec<String>>,
}

impl Subject {
    fn wants(&self, key: &str) -> bool {
        self.keys
            .as_ref()
            .is_none_or(|keys| keys.binary_search_by(|it| it.as_str().cmp(key)).is_ok())
    }

    fn keys(&self) -> Keys {
        self.keys.clone().map_or(Keys::All, Keys::Named)
    }
}

impl Feed {
    /// Latest values or a history, then live readings.
    pub(crate) async fn series(self) {
        match self.begin_series().await {
            Ok((subject, watch, sent)) => self.follow_series(&subject, watch, sent).await,
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Attributes, then their changes.
    pub(crate) async fn attributes(self) {
        match self.begin_attributes().await {
            Ok((subject, scopes, watch)) => self.follow_attributes(&subject, &scopes, watch).await,
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// A history and nothing more.
    pub(crate) async fn history(self) {
        if let Err(refusal) = self.answer_history().await {
            self.refuse(&refusal);
        }
    }

    async fn begin_series(&self) -> Result<(Subject, Watch, Sent), Refusal> {
        let subject = self.subject()?;
        let watch = self.api.node().watches.watch(subject.entity);
        let found = match self.command.window() {
            Some((start, end)) => self.read_history(&subject, start, end).await?,
            None => self.read_latest(&subject).await?,
        };
        let mut sent = Sent::default();
        let mut update = Update::default();
        for reading in &found {
            update.point(&reading.key, reading.at, reading.value.borrowed());
            sent.remember(reading);
        }
        self.outbox.send(message(self.command.cmd_id, &update.text()));
        sent.first = found;
        Ok((subject, watch, sent))
    }

    async fn follow_series(&self, subject: &Subject, mut watch: Watch, mut sent: Sent) {
        let mut delivery = Delivery::default();
        while let Some(notice) = self.next(&mut watch).await {
            let text = match &notice.change {
                Committed::Telemetry(readings) => sent.take(subject, readings, &notice),
                Committed::TelemetryDeleted(keys) => {
                    let keys = keys.iter().filter(|key| subject.wants(key)).cloned().collect();
                    match self.reread(subject, keys, &mut sent).await {
                        Ok(update) => (!update.is_empty()).then(|| update.text().into()),
                        Err(_) => return,
                    }
                }
                Committed::Purged => return,
                Committed::AttributesSet(..) | Committed::AttributesDeleted(..) => None,
            };
            if !self.deliver(subject.entity, text, &mut delivery).await {
                return;
            }
        }
    }

    /// After a deletion: what is gone is announced, what became the latest value instead is sent.
    async fn reread(
        &self,
        subject: &Subject,
        keys: Vec<String>,
        sent: &mut Sent,
    ) -> Result<Update, Refusal> {
        let mut update = Update::default();
        let telemetry = &self.api.node().telemetry;
        let named = Keys::Named(keys.clone());
        let left = telemetry.latest(&self.caller, subject.entity, named).await?;
        for key in keys {
            match left.iter().find(|reading| reading.key == key) {
                None => {
                    sent.newest.remove(&key);
                    update.gone(&key);
                }
                Some(reading) if sent.newest.get(&key) != Some(&reading.at) => {
                    sent.newest.insert(key, reading.at);
                    update.point(&reading.key, reading.at, reading.value.borrowed());
                }
                Some(_) => {}
            }
        }
        Ok(update)
    }

    async fn begin_attributes(&self) -> Result<(Subject, Vec<Scope>, Watch), Refusal> {
        let subject = self.subject()?;
        let scopes = match self.command.scope() {
            None => Scope::ALL.to_vec(),
            Some(name) => vec![Scope::from_name(name).ok_or_else(|| {
                Refusal::bad_request(format!("{name:?} is not a scope of attributes"))
            })?],
        };
        let watch = self.api.node().watches.watch(subject.entity);
        let mut update = Update::default();
        for scope in &scopes {
            let attributes = &self.api.node().attributes;
            let found = attributes.read(&self.caller, subject.entity, *scope, subject.keys());
            put(&mut update, found.await?.iter());
        }
        self.outbox.send(message(self.command.cmd_id, &update.text()));
        Ok((subject, scopes, watch))
    }

    async fn follow_attributes(&self, subject: &Subject, scopes: &[Scope], mut watch: Watch) {
        let mut delivery = Delivery::default();
        while let Some(notice) = self.next(&mut watch).await {
            let text = match &notice.change {
                Committed::AttributesSet(scope, set) if scopes.contains(scope) => {
                    let set: Vec<_> = set.iter().enumerate().collect();
                    let wanted = set.iter().filter(|(_, it)| subject.wants(&it.key)).copied();
                    shared(&notice, ATTRIBUTES, wanted, |update, it| put(update, [it].into_iter()))
                }
                Committed::AttributesDeleted(scope, keys) if scopes.contains(scope) => {
                    let wanted = keys.iter().enumerate().filter(|(_, key)| subject.wants(key));
                    shared(&notice, ATTRIBUTES, wanted, |update, key| update.gone(key))
                }
                Committed::Purged => return,
                Committed::AttributesSet(..)
                | Committed::AttributesDeleted(..)
                | Committed::Telemetry(_)
                | Committed::TelemetryDeleted(_) => None,
            };
            if !self.deliver(subject.entity, text, &mut delivery).await {
                return;
            }
        }
    }

    async fn answer_history(&self) -> Result<(), Refusal> {
        let subject = self.subject()?;
        if subject.keys.is_none() {
            return Err(Refusal::bad_request("a history needs keys"));
        }
        let (start, end) = self.command.range();
        let mut update = Update::default();
        for reading in self.read_history(&subject, start, end).await? {
            update.point(&reading.key, reading.at, reading.value.borrowed());
        }
        self.outbox.send(message(self.command.cmd_id, &update.text()));
        Ok(())
    }

    fn subject(&self) -> Result<Subject, Refusal> {
        if self.command.cmd_id < 0 {
            return Err(Refusal::bad_request("cmdId must not be negative"));
        }
        let (kind, id) = self.command.entity().ok_or_else(|| {
            Refusal::bad_request("entityType and entityId must name what is subscribed to")
        })?;
        Ok(Subject { entity: parse_entity(kind, id)?, keys: self.command.keys() })
    }

    async fn read_latest(&self, subject: &Subject) -> Result<Vec<Reading>, Refusal> {
        let telemetry = &self.api.node().telemetry;
        Ok(telemetry.latest(&self.caller, subject.entity, subject.keys()).await?)
    }

    async fn read_history(
        &self,
        subject: &Subject,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Reading>, Refusal> {
        let select = self.select(start, end)?;
        let keys = match &subject.keys {
            Some(keys) => keys.clone(),
            None => self.api.node().telemetry.keys(&self.caller, subject.entity).await?,
        };
        let history = History {
            api: &self.api,
            caller: &self.caller,
            entity: subject.entity,
            points_max: POINTS_MAX,
        };
        let series = history.read(keys, &select).await?;
        let readings = series.into_iter().flat_map(|(key, points)| {
            points.into_iter().map(move |(at, value)| Reading { at, key: key.clone(), value })
        });
        Ok(readings.collect())
    }

    fn select(&self, start: Timestamp, end: Timestamp) -> Result<Select, Refusal> {
        let wish = Wish {
            aggregation: self.command.aggregation(),
            calendar: self.command.calendar(),
            interval: self.command.interval(),
            limit: self.command.limit(),
        };
        wish.select(start, end, self.api.config().buckets_max)
    }

    /// The next change; none ends the subscription. A watch that gave up ends the session.
    async fn next(&self, watch: &mut Watch) -> Option<Arc<Notice>> {
        let change = watch.next().await;
        if change.is_none() {
            self.outbox.overflow();
        }
        change
    }

    /// Sends an update, if there is one, or says once that the session has had too many (W-7). False
    /// when the caller may no longer see it (W-19).
    async fn deliver(
        &self,
        entity: EntityRef,
        text: Option<Arc<str>>,
        delivery: &mut Delivery,
    ) -> bool {
        let Some(text) = text else { return true };
        if !self.may_still_read(entity, delivery).await {
            return false;
        }
        let node = self.api.node();
        let allowed = self.allowance.take(node.clock.monotonic_ms());
        if allowed {
            self.outbox.send(message(self.command.cmd_id, &text));
        } else {
            node.metrics.count_bound(Bound::WebSocketUpdates);
            if !delivery.held_back {
                self.outbox.send(error(self.command.cmd_id, TOO_MANY_UPDATES, HELD_BACK));
            }
        }
        delivery.held_back = !allowed;
        true
    }

    /// Only what a customer user may see can change while the entity lives: by another assignment. It
    /// is asked for again when some device was written since.
    async fn may_still_read(&self, entity: EntityRef, delivery: &mut Delivery) -> bool {
        if self.caller.authority != Authority::CustomerUser || entity.kind != EntityKind::Device {
            return true;
        }
        let registry = &self.api.node().registry;
        let asked_at = Some(registry.logins_generation());
        if delivery.allowed_at == asked_at {
            return true;
        }
        let is_allowed = registry.device(&self.caller, DeviceId(entity.id)).await.is_ok();
        delivery.allowed_at = asked_at.filter(|_| is_allowed);
        is_allowed
    }

    pub(super) fn refuse(&self, refusal: &Refusal) {
        let code = match refusal.status().as_u16() {
            403 | 404 => NOT_ALLOWED,
            500.. => INTERNAL,
            _ => BAD_REQUEST,
        };
        self.outbox.send(error(self.command.cmd_id, code, refusal.message()));
    }
}

/// What delivering to one subscription remembers.
#[derive(Default)]
struct Delivery {
    /// It was said that updates are left out.
    held_back: bool,
    /// When the caller was last found to see the entity.
    allowed_at: Option<Generation>,
}

/// The text of these parts of a change, written once for all who want the same; none when there is no
/// part.
fn shared<T>(
    notice: &Notice,
    form: u8,
    parts: impl Iterator<Item = (usize, T)>,
    put: impl Fn(&mut Update, T),
) -> Option<Arc<str>> {
    let parts: Vec<_> = parts.collect();
    let places = parts.iter().map(|(at, _)| u32::try_from(*at).ok().filter(|at| *at < u64::BITS));
    let bits = places.map(|at| at.map(|at| 1_u64 << at)).try_fold(0, |all, bit| Some(all | bit?));
    if parts.is_empty() {
        return None;
    }
    let write = || {
        let mut update = Update::default();
        parts.into_iter().for_each(|(_, part)| put(&mut update, part));
        update.text()
    };
    Some(match bits {
        Some(parts) => notice.text(TextKey { form, parts }, write),
        // More parts than there are bits: seldom, and not worth sharing.
        None => write().into(),
    })
}

/// What a subscription to readings has sent so far.
#[derive(Default)]
struct Sent {
    /// The newest moment sent per key (W-14).
    newest: HashMap<String, Timestamp>,
    /// The first answer, as long as its readings may arrive a second time.
    first: Vec<Reading>,
}

impl Sent {
    fn remember(&mut self, reading: &Reading) {
        match self.newest.get_mut(&reading.key) {
            Some(newest) => *newest = (*newest).max(reading.at),
            None => {
                self.newest.insert(reading.key.clone(), reading.at);
            }
        }
    }

    /// The text of what one message brought, without what is older than what was sent of its key
    /// (W-12, W-14); none when nothing is left.
    fn take(
        &mut self,
        subject: &Subject,
        readings: &[Reading],
        notice: &Notice,
    ) -> Option<Arc<str>> {
        let fresh: Vec<_> = readings
            .iter()
            .enumerate()
            .filter(|(_, it)| subject.wants(&it.key))
            .filter(|(_, it)| self.newest.get(&it.key).is_none_or(|newest| *newest <= it.at))
            .collect();
        if fresh.iter().all(|(_, reading)| self.first.contains(reading)) {
            return None;
        }
        self.first = Vec::new();
        fresh.iter().for_each(|(_, reading)| self.remember(reading));
        shared(notice, SERIES, fresh.into_iter(), |update, it| {
            update.point(&it.key, it.at, it.value.borrowed());
        })
    }
}

fn put<'a>(update: &mut Update, attributes: impl Iterator<Item = &'a Attribute>) {
    for attribute in attributes {
        let value: &Value = &attribute.value;
        update.point(&attribute.key, attribute.updated_at, value.borrowed());
    }
}

const HELD_BACK: &str = "more updates than the tenant profile allows this session \
                         (wsUpdatesPerSessionRateLimit); updates are left out until there is room again";
/// Forms of shared texts.
const SERIES: u8 = 0;
const ATTRIBUTES: u8 = 1;
/// Points of one answer, all keys together.
const POINTS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::id::NIL;

    fn reading(key: &str, at: i64, value: i64) -> Reading {
        Reading { at: Timestamp(at), key: key.into(), value: Value::Long(value) }
    }

    fn subject(keys: Option<&[&str]>) -> Subject {
        let keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
        Subject { entity: DeviceId(NIL).entity(), keys }
    }

    fn take(sent: &mut Sent, subject: &Subject, readings: &[Reading]) -> Option<String> {
        let notice = Notice::new(Committed::Telemetry(readings.to_vec()));
        let text = sent.take(subject, readings, &notice)?;
        let message: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        Some(message["data"].to_string())
    }

    #[test]
    fn one_message_makes_one_update_and_old_points_are_left_out() {
        let mut sent = Sent::default();
        let all = subject(None);
        let both = [reading("a", 10, 1), reading("b", 10, 2)];
        assert_eq!(
            take(&mut sent, &all, &both).as_deref(),
            Some(r#"{"a":[[10,"1"]],"b":[[10,"2"]]}"#)
        );
        assert_eq!(take(&mut sent, &all, &[reading("a", 9, 3)]), None);
        assert_eq!(
            take(&mut sent, &all, &[reading("a", 10, 4)]).as_deref(),
            Some(r#"{"a":[[10,"4"]]}"#)
        );
        assert_eq!(
            take(&mut sent, &all, &[reading("c", 1, 5)]).as_deref(),
            Some(r#"{"c":[[1,"5"]]}"#)
        );
        let burst = [reading("d", 1, 1), reading("d", 3, 3), reading("d", 2, 2)];
        assert_eq!(
            take(&mut sent, &all, &burst).as_deref(),
            Some(r#"{"d":[[3,"3"],[2,"2"],[1,"1"]]}"#)
        );
    }

    #[test]
    fn only_wanted_keys_are_sent() {
        let mut sent = Sent::default();
        let some = subject(Some(&["a", "c"]));
        let readings = [reading("a", 1, 1), reading("b", 1, 1)];
        assert_eq!(take(&mut sent, &some, &readings).as_deref(), Some(r#"{"a":[[1,"1"]]}"#));
        assert_eq!(take(&mut sent, &some, &[reading("b", 2, 1)]), None);
    }

    #[test]
    fn what_the_first_answer_held_is_not_sent_twice_but_a_later_repetition_is() {
        let first = reading("a", 10, 1);
        let mut sent = Sent { first: vec![first.clone()], ..Sent::default() };
        sent.remember(&first);
        let all = subject(None);
        assert_eq!(take(&mut sent, &all, std::slice::from_ref(&first)), None);
        assert!(take(&mut sent, &all, &[reading("a", 11, 1)]).is_some());
        assert!(take(&mut sent, &all, &[reading("a", 11, 1)]).is_some());
    }
}
