//! Takes request bodies in as they arrive, within bounds: strangers may send little and must be quick,
//! and nobody holds room or a place among the requests for what they only announce (G-4, G-6).

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use thingport_core::metrics::Bound;

use crate::api::Api;
use crate::error::{Refusal, too_large};
use crate::room::{Room, Sender};

/// A body that arrived, with its share of the room for bodies.
pub(crate) struct Arrived {
    pub(crate) bytes: Bytes,
    /// Held while the bytes are.
    _room: Room,
}

impl Arrived {
    #[cfg(test)]
    pub(crate) fn of(bytes: Bytes) -> Self {
        Self { bytes, _room: Room::default() }
    }
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
        Sender::Stranger => {
            (STRANGER_BODY_MAX.min(api.config().body_max), api.config().arrival_timeout)
        }
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
    let mut room = Room::default();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| {
            Refusal::bad_request(format!("the body did not arrive: {error}")).into_response()
        })?;
        let length = bytes.len().saturating_add(piece.len());
        if length > limit {
            return Err(over(api, sender, limit));
        }
        if !room.grow(&api.rooms, sender, length).await {
            let full = "no room for the request body; try again in a moment";
            return Err(Refusal::unavailable(full).into_response());
        }
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

/// Longest body of somebody who has not signed in: a login, a password, a token.
const STRANGER_BODY_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
