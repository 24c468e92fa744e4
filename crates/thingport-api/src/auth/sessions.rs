//! Sessions that were ended by a logout before their tokens expired.
//!
//! The store keeps them, so that a restart brings no token back; each request is judged by the copy in
//! memory. Both forget a session once its tokens have expired by themselves.

use std::collections::HashMap;

use parking_lot::Mutex;
use thingport_model::time::Timestamp;
use thingport_model::user::EndedSession;
use tokio::sync::watch;
use uuid::Uuid;

/// Ended sessions, and a bell that rings when one ends.
#[derive(Debug)]
pub(crate) struct EndedSessions {
    /// Session id and when its last token expires.
    ended: Mutex<HashMap<Uuid, Timestamp>>,
    bell: watch::Sender<u64>,
}

/// Whose session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A user's.
    Users,
    /// A guest's: whoever wants can have any number of them, so they get a part of the room only.
    Guests,
}

impl EndedSessions {
    pub(crate) fn new() -> Self {
        Self { ended: Mutex::default(), bell: watch::Sender::new(0) }
    }

    /// Takes over what the store kept.
    pub(crate) fn recall(&self, kept: Vec<EndedSession>) {
        let kept = kept.into_iter().map(|it| (it.session, it.expires_at));
        self.ended.lock().extend(kept);
    }

    /// Ends a session whose last token expires at `expires_at`. False when there is no room left: the
    /// caller must then end it another way.
    pub(crate) fn end(&self, session: EndedSession, whose: Whose, now: Timestamp) -> bool {
        let room = match whose {
            Whose::Users => ENDED_MAX,
            Whose::Guests => GUESTS_MAX,
        };
        let mut ended = self.ended.lock();
        if ended.len() >= room {
            ended.retain(|_, expires_at| *expires_at > now);
        }
        let fits = ended.len() < room;
        if fits {
            ended.insert(session.session, session.expires_at);
        }
        drop(ended);
        self.ring();
        fits
    }

    pub(crate) fn contains(&self, session: Uuid) -> bool {
        self.ended.lock().contains_key(&session)
    }

    /// Tells open feeds to look again whether their session still holds.
    pub(crate) fn ring(&self) {
        self.bell.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes each time a session may have ended.
    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }
}

/// Ended sessions remembered (some 3 MiB).
const ENDED_MAX: usize = 65_536;
/// How many there may be for a guest's to be remembered too.
const GUESTS_MAX: usize = ENDED_MAX / 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_session_is_remembered_until_its_tokens_expire() {
        let sessions = EndedSessions::new();
        let ended = |n, expires_at| EndedSession {
            session: Uuid::from_u128(n),
            expires_at: Timestamp(expires_at),
        };
        let end = |it, whose, now| sessions.end(it, whose, Timestamp(now));
        sessions.recall((0..GUESTS_MAX as u128).map(|n| ended(n, 10)).collect());
        assert!(sessions.contains(Uuid::from_u128(7)), "what the store kept");
        assert!(!end(ended(u128::MAX, 10), Whose::Guests, 0));
        for n in GUESTS_MAX as u128..ENDED_MAX as u128 {
            assert!(end(ended(n, 10), Whose::Users, 0));
        }
        assert!(!end(ended(u128::MAX, 10), Whose::Users, 9));
        assert!(sessions.contains(Uuid::from_u128(0)));
        assert!(end(ended(u128::MAX, 20), Whose::Guests, 10));
        assert!(!sessions.contains(Uuid::from_u128(0)));
        assert!(sessions.contains(Uuid::from_u128(u128::MAX)));
    }
}
