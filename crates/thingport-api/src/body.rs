//! Takes request bodies in as they arrive, within bounds: strangers may send little and must be quick,
//! and nobody holds room or a place among the requests for what they only announce (G-4, G-6).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use thingport_core::metrics::Bound;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::Api;
use crate::error::{Refusal, too_large};

/// A body that arrived, with its share of the room for bodies.
pub(crate) struct Arrived {
    pub(crate) bytes: Bytes,
    /// Held while the bytes are.
    _room: Room,
}

impl Arrived {
    #[cfg(test)]
    pub(crate) const fn of(bytes: Bytes) -> Self {
        Self { bytes, _room: Room(None) }
    }
}

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Somebody who has not signed in.
    Stranger,
    /// Somebody who has.
    Person,
}

/// Takes a body in, whole.
///
/// # Errors
/// The answer: the body is too large, too slow, broken off, or there is no room for it.
pub(crate) async fn take_in(
    api: &Api,
    sender: Sender,
    headers: &HeaderMap,
    body: Body,
) -> Result<Arrived, Response> {
    let (limit, time) = match sender {
        Sender::Stranger => (STRANGER_BODY_MAX.min(api.config().body_max), STRANGER_BODY_TIME),
        Sender::Person => (api.config().body_max, api.config().request_timeout),
    };
    if announced(headers).is_some_and(|length| length > limit) {
        return Err(over(api, sender, limit));
    }
    let taking = gather(api, sender, limit, body.into_data_stream());
    if let Ok(taken) = tokio::time::timeout(time, taking).await {
        return taken;
    }
    if sender == Sender::Stranger {
        api.node().metrics.count_bound(Bound::StrangerBodyTime);
    }
    let text = format!("the request body did not arrive within {} s", time.as_secs());
    Err(Refusal::too_slow(text).into_response())
}

async fn gather(
    api: &Api,
    sender: Sender,
    limit: usize,
    mut body: BodyDataStream,
) -> Result<Arrived, Response> {
    let mut bytes = BytesMut::new();
    let mut room = Room(None);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| {
            Refusal::bad_request(format!("the body did not arrive: {error}")).into_response()
        })?;
        let length = bytes.len().saturating_add(piece.len());
        if length > limit {
            return Err(over(api, sender, limit));
        }
        room.grow(api, sender, length).await.map_err(IntoResponse::into_response)?;
        bytes.extend_from_slice(&piece);
    }
    Ok(Arrived { bytes: bytes.freeze(), _room: room })
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn over(api: &Api, sender: Sender, limit: usize) -> Response {
    if sender == Sender::Stranger {
        api.node().metrics.count_bound(Bound::StrangerBodySize);
    }
    too_large(limit)
}

/// Bytes of bodies that may be held at once; strangers cannot take the room of people.
#[derive(Debug)]
pub(crate) struct Rooms {
    people: Arc<Semaphore>,
    people_units: usize,
    strangers: Arc<Semaphore>,
}

impl Rooms {
    /// Room for `bodies_max` bytes of people, and some for strangers.
    pub(crate) fn new(bodies_max: usize) -> Self {
        let people_units = (bodies_max / ROOM_UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            people: Arc::new(Semaphore::new(people_units)),
            people_units,
            strangers: Arc::new(Semaphore::new(STRANGER_BODIES_MAX / ROOM_UNIT)),
        }
    }

    async fn take(&self, api: &Api, sender: Sender, units: u32) -> Option<OwnedSemaphorePermit> {
        let metrics = &api.node().metrics;
        let (room, bound) = match sender {
            Sender::Stranger => (&self.strangers, Bound::StrangerBodies),
            Sender::Person => (&self.people, Bound::RequestBodies),
        };
        if let Ok(taken) = Arc::clone(room).try_acquire_many_owned(units) {
            return Some(taken);
        }
        metrics.count_bound(bound);
        if sender == Sender::Stranger {
            return None;
        }
        // Those who wait may each hold a part and need another, so waiting has an end.
        let waiting = Arc::clone(room).acquire_many_owned(units);
        tokio::time::timeout(ROOM_WAIT, waiting).await.ok()?.ok()
    }
}

/// The share of one body.
struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Makes it large enough for `length` bytes.
    async fn grow(&mut self, api: &Api, sender: Sender, length: usize) -> Result<(), Refusal> {
        let units = length.saturating_sub(FREE_BYTES).div_ceil(ROOM_UNIT);
        // One body may take all the room, so that none is refused for ever.
        let units = units.min(api.rooms.people_units);
        let held = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(more @ 1..) = u32::try_from(units.saturating_sub(held)) else { return Ok(()) };
        let full = || Refusal::unavailable("no room for the request body; try again in a moment");
        let taken = api.rooms.take(api, sender, more).await.ok_or_else(full)?;
        match &mut self.0 {
            Some(room) => room.merge(taken),
            none => *none = Some(taken),
        }
        Ok(())
    }
}

/// Longest body of somebody who has not signed in: a login, a password, a token.
const STRANGER_BODY_MAX: usize = 64 * 1024;
/// How long it may take to arrive.
const STRANGER_BODY_TIME: Duration = Duration::from_secs(10);
/// Bytes of all of them at once.
const STRANGER_BODIES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of each body that take no room: the number of connections bounds them.
const FREE_BYTES: usize = 4 * 1024;
const ROOM_UNIT: usize = 1024;
/// How long a body of somebody who signed in waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
