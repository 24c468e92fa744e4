//! A page of entities, and what changes of them.
//!
//! Every entity of the page is watched before its values are read, so nothing that is stored after the
//! first answer is missed (W-20). Which entities the page has is looked at again now and then, if the
//! query says so.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, unfold};
use thingport_core::metrics::Bound;
use thingport_core::query::subject::Subject;
use thingport_core::query::{ValueKey, ValueSource};
use thingport_core::registry::Generation;
use thingport_core::watch::{Notice, Watch};
use thingport_model::id::EntityKind;
use thingport_model::page::Page;
use thingport_model::user::Authority;
use thingport_model::value::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval};

use super::super::command::TOO_MANY_UPDATES;
use super::command::EntityCommand;
use super::live::{Meaning, Row};
use super::wire::{self, Kind};
use super::{Desk, ENTITIES_WATCHED_MAX};
use crate::dto::entity_query::EntityDataBody;
use crate::dto::page::PageBody;
use crate::error::Refusal;

/// A page that was told, and what is heard of its entities.
struct Told {
    rows: Vec<Row>,
    notices: SelectAll<BoxStream<'static, Heard>>,
    /// What the page looked like.
    look: Look,
    _room: OwnedSemaphorePermit,
}

/// The row, and what its watch says; none when that has given up.
type Heard = (usize, Option<Arc<Notice>>);

/// By which a page is known: its entities with their fields, and how many there are on all pages.
type Look = (u64, Vec<(uuid::Uuid, Vec<Option<Value>>)>);

impl Desk {
    /// Tells the page of the command and follows it until the session ends it.
    pub(in crate::ws) async fn entities(self, command: Arc<EntityCommand>) {
        let mut goes_on = command.goes_on;
        loop {
            let seen = self.api.node().registry.logins_generation();
            let told = match self.tell(&command, goes_on).await {
                Ok(told) => told,
                Err(refusal) => {
                    let text = wire::refusal(self.cmd_id, Kind::Entities, &refusal);
                    return self.outbox.send(text);
                }
            };
            if !command.is_live() || !self.follow(&command, told, seen).await {
                return;
            }
            // The page has other entities now, and is told anew.
            goes_on = false;
        }
    }

    async fn tell(&self, command: &EntityCommand, goes_on: bool) -> Result<Told, Refusal> {
        let (node, query) = (self.api.node(), &command.query);
        let found = node.queries.find(&self.caller, &query.filter, &query.conditions, &query.page);
        let found = found.await?;
        let room = self.room_for(if command.is_live() { found.rows.len() } else { 0 })?;
        let mut notices = SelectAll::new();
        if command.latest.is_some() || command.series.is_some() {
            for (place, subject) in found.rows.iter().enumerate() {
                notices.push(heard(place, node.watches.watch(subject.entity())));
            }
        }
        let look = look(&found, &query.keys);
        let (mut rows, mut bodies) = (Vec::new(), Vec::new());
        let mut points = POINTS_MAX;
        for subject in found.rows {
            let (row, body) = self.row(command, subject, goes_on, &mut points).await?;
            rows.push(row);
            bodies.push(body);
        }
        let text = if goes_on {
            wire::update(&bodies)
        } else {
            let page = Page { rows: bodies, total: found.total };
            wire::page(&PageBody::of(page, &query.link(), |row| row))
        };
        self.outbox.send(wire::numbered(self.cmd_id, &text));
        Ok(Told { rows, notices, look, _room: room })
    }

    /// An entity with everything that is asked for.
    async fn row(
        &self,
        command: &EntityCommand,
        subject: Subject,
        goes_on: bool,
        points: &mut usize,
    ) -> Result<(Row, EntityDataBody), Refusal> {
        let queries = &self.api.node().queries;
        let latest = command.latest.as_deref().unwrap_or_default();
        let asked: &[ValueKey] = if goes_on { &[] } else { &command.query.keys };
        let values = queries.values(&subject, asked).await?;
        let mut body = EntityDataBody::with(&subject, asked, &values);
        let followed = queries.values(&subject, latest).await?;
        for (key, value) in latest.iter().zip(&followed) {
            body.put(key, value.as_ref());
        }
        for series in [&command.history, &command.series].into_iter().flatten() {
            body.timeseries.extend(self.points(&subject, series, points).await?);
        }
        body.agg_latest = self.folds(&subject, &command.folds).await?;
        Ok((Row::new(subject, &followed), body))
    }

    /// Tells changes. True when the page has other entities, false when it is over.
    async fn follow(&self, command: &EntityCommand, mut told: Told, mut seen: Generation) -> bool {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.tick().await;
        let (mut held_back, mut quiet) = (false, 0);
        loop {
            let is_watching = !told.notices.is_empty();
            tokio::select! {
                Some((place, notice)) = told.notices.next(), if is_watching => {
                    let Some(notice) = notice else {
                        self.outbox.overflow();
                        return false;
                    };
                    let Some(row) = told.rows.get_mut(place) else { continue };
                    if self.pass_on(command, row, &notice, &mut held_back).await.is_err() {
                        return false;
                    }
                }
                _ = looks.tick(), if command.query.dynamic => {
                    let now = self.api.node().registry.logins_generation();
                    quiet += 1;
                    if now == seen && quiet < LOOKS_QUIET_MAX {
                        continue;
                    }
                    (seen, quiet) = (now, 0);
                    if self.looks_different(command, &told.look).await {
                        return true;
                    }
                }
                else => return false,
            }
        }
    }

    async fn pass_on(
        &self,
        command: &EntityCommand,
        row: &mut Row,
        notice: &Notice,
        held_back: &mut bool,
    ) -> Result<(), Refusal> {
        if row.is_gone {
            return Ok(());
        }
        let text = match row.meaning(command, notice) {
            Meaning::Nothing => return Ok(()),
            Meaning::Gone => {
                row.is_gone = true;
                return Ok(());
            }
            Meaning::Tell(text) => text,
            Meaning::Read(places) => {
                let all = command.latest.as_deref().unwrap_or_default();
                let keys: Vec<_> = places.iter().filter_map(|it| all.get(*it).cloned()).collect();
                let values = self.api.node().queries.values(&row.subject, &keys).await?;
                row.told_again(all, &places, &values).into()
            }
        };
        row.is_gone = !self.may_still_read(row).await;
        if !row.is_gone {
            self.send_update(&text, held_back);
        }
        Ok(())
    }

    fn send_update(&self, text: &str, held_back: &mut bool) {
        let node = self.api.node();
        let allowed = self.allowance.take(node.clock.monotonic_ms());
        if allowed {
            self.outbox.send(wire::numbered(self.cmd_id, text));
        } else {
            node.metrics.count_bound(Bound::WebSocketUpdates);
            if !*held_back {
                let kind = Kind::Entities;
                self.outbox.send(wire::refused(self.cmd_id, kind, TOO_MANY_UPDATES, HELD_BACK));
            }
        }
        *held_back = !allowed;
    }

    /// Only what a customer user may see can change while the entity lives (W-19). It is asked for
    /// again when some device was written since.
    async fn may_still_read(&self, row: &mut Row) -> bool {
        let entity = row.subject.entity();
        if self.caller.authority != Authority::CustomerUser || entity.kind != EntityKind::Device {
            return true;
        }
        let registry = &self.api.node().registry;
        let now = Some(registry.logins_generation());
        if row.allowed_at == now {
            return true;
        }
        let device = thingport_model::id::DeviceId(entity.id);
        let is_allowed = registry.device(&self.caller, device).await.is_ok();
        row.allowed_at = now.filter(|_| is_allowed);
        is_allowed
    }

    async fn looks_different(&self, command: &EntityCommand, told: &Look) -> bool {
        let (queries, query) = (&self.api.node().queries, &command.query);
        let found = queries.find(&self.caller, &query.filter, &query.conditions, &query.page).await;
        // What cannot be found out now is found out next time.
        found.is_ok_and(|found| look(&found, &query.keys) != *told)
    }

    fn room_for(&self, entities: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let wanted = u32::try_from(entities).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(wanted).map_err(|_| {
            self.api.node().metrics.count_bound(Bound::WebSocketLimits);
            Refusal::bad_request(format!(
                "this session would watch more than {ENTITIES_WATCHED_MAX} entities; ask for a \
                 smaller page"
            ))
        })
    }
}

/// What a watch says, with the row's place.
fn heard(place: usize, watch: Watch) -> BoxStream<'static, Heard> {
    let next = move |watch: Option<Watch>| async move {
        let mut watch = watch?;
        match watch.next().await {
            Some(notice) => Some(((place, Some(notice)), Some(watch))),
            None => Some(((place, None), None)),
        }
    };
    unfold(Some(watch), next).boxed()
}

fn look(found: &Page<Subject>, keys: &[ValueKey]) -> Look {
    let fields = |subject: &Subject| {
        let fields = keys.iter().filter(|key| key.source == ValueSource::Field);
        fields.map(|key| subject.field(&key.key)).collect()
    };
    let rows = found.rows.iter().map(|subject| (subject.entity().id, fields(subject)));
    (found.total, rows.collect())
}

const HELD_BACK: &str = "more updates than the tenant profile allows this session \
                         (wsUpdatesPerSessionRateLimit); updates are left out until there is room again";
/// Points of one answer, all entities and keys together.
const POINTS_MAX: usize = 50_000;
/// How often it is looked whether entities were written, and the page or the count may be another.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Looks that found nothing written, before the question is asked again nevertheless: values may have
/// changed what fits.
pub(super) const LOOKS_QUIET_MAX: u32 = 30;
