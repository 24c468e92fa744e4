//! Passwords: Argon2id with 19 MiB and two passes, away from the threads that serve sockets.
//!
//! At most `hashing_max` are worked on at a time, so that a flood of logins cannot exhaust memory, and
//! a bounded number waits. An unknown user costs the same as a known one: [`Hashing::verify`]
//! without a hash verifies against one that nothing fits.

use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordVerifier, Version};
use thingport_core::clock::Entropy;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Refusal;

/// Hashes `password` with a salt from `entropy`; the answer is PHC text. Takes tens of milliseconds:
/// not for threads that serve sockets, see [`Hashing::hash`].
///
/// # Errors
/// When the password is longer than Argon2 takes (4 GiB), which no request can reach.
pub fn hash(password: &str, entropy: &dyn Entropy) -> Result<String, HashError> {
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    hash_with_salt(password, &salt)
}

/// Whether `password` fits the PHC text `hash`. Takes as long as hashing.
#[must_use]
pub fn verify(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    argon2().verify_password(password.as_bytes(), &hash).is_ok()
}

/// A password could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashError;

impl core::fmt::Display for HashError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the password cannot be hashed")
    }
}

impl std::error::Error for HashError {}

/// The bounded place where passwords are hashed and verified.
#[derive(Debug)]
pub(crate) struct Hashing {
    turns: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// The right to hash now; nobody else's failures are counted meanwhile beyond `hashing_max`.
#[derive(Debug)]
pub(crate) struct Turn<'a>(#[allow(dead_code)] SemaphorePermit<'a>); // held, never read

impl Hashing {
    pub(crate) const fn new(hashing_max: usize, waiting_max: usize) -> Self {
        let turns = Semaphore::const_new(hashing_max);
        Self { turns, waiting: AtomicUsize::new(0), waiting_max }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// 503 when too many wait already.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Refusal> {
        if let Ok(permit) = self.turns.try_acquire() {
            return Ok(Turn(permit));
        }
        let place = Place::take(&self.waiting, self.waiting_max).ok_or_else(|| {
            Refusal::unavailable("too many logins at once; try again in a moment")
        })?;
        let permit = self.turns.acquire().await;
        drop(place);
        // The semaphore is never closed.
        permit.map(Turn).map_err(|_| Refusal::unavailable("logins are closed"))
    }

    /// Whether `password` fits; without a hash it never does, at the same cost.
    pub(crate) async fn verify(
        &self,
        _: &Turn<'_>,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Refusal> {
        off_thread(move || {
            let known = hash.is_some();
            let fits = verify(&password, hash.as_deref().unwrap_or(FITS_NOTHING));
            fits && known
        })
        .await
    }

    /// Hashes a new password.
    pub(crate) async fn hash(
        &self,
        _: &Turn<'_>,
        password: String,
        salt: [u8; 16],
    ) -> Result<String, Refusal> {
        let hash = off_thread(move || hash_with_salt(&password, &salt)).await?;
        hash.map_err(|error| Refusal::bad_request(error.to_string()))
    }
}

/// One place in the line, given back when dropped (also when the caller hangs up).
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::SeqCst) < max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "hashing a password failed");
        Refusal::internal("the password could not be checked")
    })
}

fn hash_with_salt(password: &str, salt: &[u8]) -> Result<String, HashError> {
    let hash: Result<PasswordHash, _> = argon2().hash_password_with_salt(password.as_bytes(), salt);
    hash.map(|hash| hash.to_string()).map_err(|_| HashError)
}

fn argon2() -> Argon2<'static> {
    // The constants lie inside the range that Params accepts.
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// A hash of the right cost whose output is all zeros: no password is known that fits.
const FITS_NOTHING: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    struct Salt;
    impl Entropy for Salt {
        fn fill(&self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    #[test]
    fn a_password_fits_its_hash_and_no_other() {
        let kept = hash("tenant", &Salt).expect("hashes");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(verify("tenant", &kept));
        for wrong in ["Tenant", "tenant ", ""] {
            assert!(!verify(wrong, &kept), "{wrong}");
        }
        assert!(!verify("tenant", "no hash at all"));
    }

    #[test]
    fn the_hash_for_unknown_users_costs_the_same_and_fits_nothing() {
        let hash = PasswordHash::new(FITS_NOTHING).expect("well formed");
        let params = Params::try_from(&hash).expect("parameters");
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (MEMORY_KIB, PASSES, 1));
        assert!(!verify("", FITS_NOTHING) && !verify("tenant", FITS_NOTHING));
    }

    #[tokio::test]
    async fn the_line_for_logins_is_bounded() {
        let hashing = Hashing::new(1, 0);
        let turn = hashing.turn().await.expect("free");
        assert_eq!(hashing.turn().await.expect_err("full").status().as_u16(), 503);
        drop(turn);
        assert!(hashing.turn().await.is_ok());
    }
}
