//! What is held of claims, and of attempts that failed.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use sha3::{Digest, Sha3_256};
use subtle::ConstantTimeEq;
use thingport_model::id::{DeviceId, TenantId};
use thingport_model::reason::Reason;

/// What one device said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registration {
    pub(super) tenant: TenantId,
    pub(super) secret: SecretHash,
    pub(super) since_ms: u64,
    pub(super) expires_ms: u64,
}

/// A hash of a secret: of the same size however long the secret is, and of no use to whoever sees it.
#[derive(Clone, Copy)]
pub(super) struct SecretHash([u8; 32]);

/// Registrations and failed attempts, both bounded.
#[derive(Debug, Default)]
pub(super) struct Held {
    registrations: HashMap<DeviceId, Registration, RandomState>,
    wrong: HashMap<DeviceId, Wrong, RandomState>,
}

/// Wrong secrets since a moment.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    count: u32,
    since_ms: u64,
}

impl Held {
    /// Keeps a device's newest word. True when another one had to go for it: the oldest of the tenant that
    /// has the most, so that nobody's devices push out another's.
    pub(super) fn put(&mut self, device: DeviceId, new: Registration, now_ms: u64) -> bool {
        let has_room = |it: &Self| {
            it.registrations.len() < CLAIMS_MAX || it.registrations.contains_key(&device)
        };
        if !has_room(self) {
            self.registrations.retain(|_, it| it.expires_ms > now_ms);
        }
        let is_full = !has_room(self);
        if is_full && let Some(oldest) = self.oldest_of_the_largest() {
            self.registrations.remove(&oldest);
        }
        self.registrations.insert(device, new);
        is_full
    }

    /// Whether a secret is right. What the device said counts before what people wrote, which `other`
    /// judges. A wrong or late attempt ends the registration; what people wrote stays, and after
    /// [`WRONG_MAX`] wrong secrets nothing is right for [`WRONG_MS`].
    pub(super) fn judge(
        &mut self,
        device: DeviceId,
        secret: SecretHash,
        now_ms: u64,
        other: impl FnOnce(SecretHash) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        if self.wrong.get(&device).is_some_and(|it| it.count >= WRONG_MAX && !it.is_over(now_ms)) {
            return Err(Reason::ClaimGuessing);
        }
        let judged = match self.registrations.get(&device) {
            Some(held) if held.expires_ms <= now_ms => Err(Reason::ClaimExpired),
            Some(held) if held.secret != secret => Err(Reason::ClaimWrongSecret),
            Some(_) => Ok(()),
            None => other(secret),
        };
        if judged.is_err() {
            self.registrations.remove(&device);
        }
        if judged == Err(Reason::ClaimWrongSecret) {
            self.count_wrong(device, now_ms);
        }
        judged
    }

    pub(super) fn forget(&mut self, device: DeviceId) {
        self.registrations.remove(&device);
        self.wrong.remove(&device);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.registrations.len(), self.wrong.len())
    }

    fn count_wrong(&mut self, device: DeviceId, now_ms: u64) {
        if self.wrong.len() >= CLAIMS_MAX {
            self.wrong.retain(|_, it| !it.is_over(now_ms));
        }
        if self.wrong.len() >= CLAIMS_MAX && !self.wrong.contains_key(&device) {
            let oldest = self.wrong.iter().min_by_key(|(_, it)| it.since_ms);
            if let Some(oldest) = oldest.map(|(device, _)| *device) {
                self.wrong.remove(&oldest);
            }
        }
        let fresh = Wrong { count: 0, since_ms: now_ms };
        let wrong = self.wrong.entry(device).or_insert(fresh);
        if wrong.is_over(now_ms) {
            *wrong = fresh;
        }
        wrong.count += 1;
    }

    fn oldest_of_the_largest(&self) -> Option<DeviceId> {
        let mut sizes: HashMap<TenantId, usize, RandomState> = HashMap::default();
        for held in self.registrations.values() {
            *sizes.entry(held.tenant).or_default() += 1;
        }
        let (largest, _) = sizes.into_iter().max_by_key(|(_, size)| *size)?;
        let own = self.registrations.iter().filter(|(_, held)| held.tenant == largest);
        own.min_by_key(|(_, held)| held.since_ms).map(|(device, _)| *device)
    }
}

impl Wrong {
    const fn is_over(&self, now_ms: u64) -> bool {
        self.since_ms + WRONG_MS <= now_ms
    }
}

impl SecretHash {
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha3_256::digest(secret).into())
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl core::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SecretHash")
    }
}

/// Claims held at once (`claims_max`), and devices whose wrong secrets are counted.
pub const CLAIMS_MAX: usize = 1_000;
/// Wrong secrets after which a device cannot be claimed for a while.
pub const WRONG_MAX: u32 = 10;
/// How long that is, in milliseconds, since the first of them.
pub const WRONG_MS: u64 = 600_000;
