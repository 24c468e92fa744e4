//! Sessions that were ended by a logout before their tokens expired.
//!
//! Kept in memory and bounded; a session is forgotten once its tokens have expired by themselves.

use std::collections::HashMap;

use parking_lot::Mutex;
use thingport_model::time::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

/// Ended sessions, and a bell that rings when one ends.
#[derive(Debug)]
pub(crate) struct EndedSessions {
    /// Session id and when its last token expires.
    ended: Mutex<HashMap<Uuid, Timestamp>>,
    bell: watch::Sender<u64>,
}

impl EndedSessions {
    pub(crate) fn new() -> Self {
        Self { ended: Mutex::default(), bell: watch::Sender::new(0) }
    }

    /// Ends a session whose last token expires at `expires_at`. False when there is no room left: the
    /// caller must then end it another way.
    pub(crate) fn end(&self, session: Uuid, expires_at: Timestamp, now: Timestamp) -> bool {
        let mut ended = self.ended.lock();
        if ended.len() >= ENDED_MAX {
            ended.retain(|_, expires_at| *expires_at > now);
        }
        let fits = ended.len() < ENDED_MAX;
        if fits {
            ended.insert(session, expires_at);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_session_is_remembered_until_its_tokens_expire() {
        let sessions = EndedSessions::new();
        for n in 0..ENDED_MAX as u128 {
            assert!(sessions.end(Uuid::from_u128(n), Timestamp(10), Timestamp(0)));
        }
        assert!(!sessions.end(Uuid::from_u128(u128::MAX), Timestamp(10), Timestamp(9)));
        assert!(sessions.contains(Uuid::from_u128(0)));
        assert!(sessions.end(Uuid::from_u128(u128::MAX), Timestamp(20), Timestamp(10)));
        assert!(!sessions.contains(Uuid::from_u128(0)));
        assert!(sessions.contains(Uuid::from_u128(u128::MAX)));
    }
}
