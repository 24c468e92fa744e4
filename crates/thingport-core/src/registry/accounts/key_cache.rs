//! API keys remembered between requests, by the hash of their value.
//!
//! As for logins of devices: each write counts the generation up after it is durable, and an answer
//! read under an older generation is used but not kept. A key that was taken away is therefore never
//! found here once the request that took it away has been answered.

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use thingport_model::user::{ApiKey, KeyHash};

/// Keys that exist. Values nobody has are not remembered: guesses would drive out what is used.
pub(in crate::registry) struct KeyCache {
    keys: Cache<KeyHash, ApiKey>,
    generation: Mutex<u64>,
}

impl KeyCache {
    pub(in crate::registry) fn new() -> Self {
        Self { keys: Cache::new(KEYS_CACHED_MAX), generation: Mutex::new(0) }
    }

    /// To be asked before the store is read.
    pub(super) fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    pub(super) fn find(&self, hash: &KeyHash) -> Option<ApiKey> {
        self.keys.get(hash)
    }

    pub(super) fn keep(&self, read_at: u64, key: &ApiKey) {
        // Held while inserting, so that no write can slip between the comparison and the insertion.
        let generation = self.generation.lock();
        if *generation == read_at {
            self.keys.insert(key.hash, key.clone());
        }
    }

    /// Forgets everything: keys or users changed.
    pub(super) fn forget_all(&self) {
        let mut generation = self.generation.lock();
        *generation += 1;
        self.keys.clear();
    }
}

/// Keys remembered; the one longest unused is forgotten first.
const KEYS_CACHED_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use thingport_model::id::{ApiKeyId, NIL, TenantId, UserId};
    use thingport_model::time::Timestamp;

    fn key() -> ApiKey {
        ApiKey {
            id: ApiKeyId(NIL),
            created_at: Timestamp(0),
            tenant_id: TenantId::SYSTEM,
            user_id: UserId(NIL),
            description: "d".to_owned(),
            enabled: true,
            expires_at: None,
            hash: [1; 32],
            version: 1,
        }
    }

    #[test]
    fn an_answer_older_than_a_write_is_not_kept() {
        let cache = KeyCache::new();
        let before = cache.generation();
        cache.forget_all();
        cache.keep(before, &key());
        assert_eq!(cache.find(&[1; 32]), None);
        cache.keep(cache.generation(), &key());
        assert_eq!(cache.find(&[1; 32]), Some(key()));
        cache.forget_all();
        assert_eq!(cache.find(&[1; 32]), None);
    }
}
