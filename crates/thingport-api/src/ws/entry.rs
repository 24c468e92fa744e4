//! Who may have a session: the credential, the bounds of the server and of the tenant profile.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use thingport_core::allowance::{PeopleRules, Place, Whom};
use thingport_core::metrics::Bound;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::command::{Command, Incoming};
use super::end::{End, INVALID, POLICY, RESTART, TOO_LONG, UNEXPECTED, broken, end};
use crate::api::{Api, FeedPlace};
use crate::auth::{Presented, SignedIn, sign_in};

/// Somebody who may have a session, which is counted as long as this lives.
pub(super) struct Entry {
    pub(super) signed_in: SignedIn,
    /// What the tenant profile says about people.
    pub(super) rules: Arc<PeopleRules>,
    /// Among all sessions of the server, and among those of the tenant.
    _places: (FeedPlace, Place),
}

impl Entry {
    /// By the token of the address (W-2). To be asked before the handshake is answered: whoever has got
    /// that answer is counted, so that sessions are counted in the order in which they were opened.
    pub(super) async fn by_token(api: &Arc<Api>, token: &str) -> Result<Self, End> {
        let bad = |_| end(UNEXPECTED, "the token is not valid or has expired");
        let signed_in = sign_in(api, Presented::Token(token)).await.map_err(bad)?;
        Self::of(api, signed_in).await
    }

    /// By the first message (W-1, W-2), whose commands are handed on.
    pub(super) async fn by_message(
        api: &Arc<Api>,
        stream: &mut SplitStream<WebSocket>,
    ) -> Result<(Self, Vec<Command>), Option<End>> {
        let stranger = api.take_stranger().ok_or(Some(TOO_MANY))?;
        let (signed_in, commands) = first_message(api, stream).await?;
        let entry = Self::of(api, signed_in).await?;
        drop(stranger);
        Ok((entry, commands))
    }

    async fn of(api: &Arc<Api>, signed_in: SignedIn) -> Result<Self, End> {
        let full = || {
            api.node().metrics.count_bound(Bound::WebSocketLimits);
            TOO_MANY
        };
        let place = api.take_feed().ok_or_else(full)?;
        let caller = signed_in.caller;
        let failed = |_| end(UNEXPECTED, "the limits of the tenant cannot be read");
        let rules = api.rules_of(caller.tenant_id).await.map_err(failed)?;
        let own = api.allowances.session(&caller, &rules);
        let own = own.map_err(|refused| end(POLICY, no_session(refused.whom)))?;
        Ok(Self { signed_in, rules, _places: (place, own) })
    }
}

/// The first message: it must carry a credential and may carry commands.
async fn first_message(
    api: &Arc<Api>,
    stream: &mut SplitStream<WebSocket>,
) -> Result<(SignedIn, Vec<Command>), Option<End>> {
    let deadline = Instant::now() + api.config().ws.auth_timeout;
    let mut draining = api.draining();
    let text = loop {
        let message = tokio::select! {
            message = stream.next() => message,
            () = sleep_until(deadline) => {
                return Err(Some(end(POLICY, "no credential arrived in time")));
            }
            () = told_to_drain(&mut draining) => {
                return Err(Some(end(RESTART, "the server is going down")));
            }
        };
        match message {
            Some(Ok(Message::Text(text))) => break text,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => {}
            Some(Ok(Message::Close(_))) | None => return Err(None),
            Some(Err(fault)) => return Err(Some(broken(&fault))),
        }
    };
    if text.len() > api.config().ws.message_max {
        return Err(Some(TOO_LONG));
    }
    let missing = || Some(end(POLICY, "the first message must carry authCmd"));
    let incoming = Incoming::parse(&text).map_err(|_| missing())?;
    let auth = incoming.auth.ok_or_else(missing)?;
    let bad = || Some(end(INVALID, "the credential is not valid"));
    let presented = match (&auth.token, &auth.api_key) {
        (Some(token), _) => Presented::Token(token),
        (None, Some(key)) => Presented::Key(key),
        (None, None) => return Err(bad()),
    };
    let signed_in = sign_in(api, presented).await.map_err(|_| bad())?;
    Ok((signed_in, incoming.commands))
}

/// Returns once the server is going down.
pub(super) async fn told_to_drain(draining: &mut watch::Receiver<bool>) {
    // The session keeps the sender alive, so waiting cannot fail.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// What a client is told that is one session too many (W-6).
const fn no_session(whom: Whom) -> &'static str {
    match whom {
        Whom::Tenant(_) => "the tenant has as many sessions as its profile allows",
        Whom::Customer(_) => "the customer has as many sessions as the tenant profile allows",
        Whom::User(_) => "you have as many sessions as the tenant profile allows",
        Whom::Guest(_) => "there are as many guests as the tenant profile allows",
    }
}

const TOO_MANY: End = end(POLICY, "too many sessions");
