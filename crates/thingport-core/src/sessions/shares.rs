//! What each tenant has of the places and the memory for kept sessions, so that none takes all.

use std::collections::HashMap;

use thingport_model::id::TenantId;

use super::{KEPT_BYTES_MAX, TENANT_BYTES_MAX};

/// Sessions and bytes, of all and of each tenant that has any.
#[derive(Default)]
pub(super) struct Shares {
    of: HashMap<TenantId, Share, foldhash::fast::RandomState>,
    bytes: usize,
}

#[derive(Clone, Copy, Default)]
struct Share {
    sessions: usize,
    bytes: usize,
}

impl Shares {
    /// Sessions that are kept for a tenant.
    pub(super) fn sessions(&self, tenant: TenantId) -> usize {
        self.share(tenant).sessions
    }

    /// Bytes that a session of this tenant may still take.
    pub(super) fn room(&self, tenant: TenantId) -> usize {
        let of_tenant = TENANT_BYTES_MAX.saturating_sub(self.share(tenant).bytes);
        KEPT_BYTES_MAX.saturating_sub(self.bytes).min(of_tenant)
    }

    /// One more session, which weighs nothing yet.
    pub(super) fn enter(&mut self, tenant: TenantId) {
        self.of.entry(tenant).or_default().sessions += 1;
    }

    /// A session weighs something else than before.
    pub(super) fn weigh(&mut self, tenant: TenantId, before: usize, now: usize) {
        self.bytes = (self.bytes + now).saturating_sub(before);
        let share = self.of.entry(tenant).or_default();
        share.bytes = (share.bytes + now).saturating_sub(before);
    }

    /// A session is gone, with so many bytes.
    pub(super) fn leave(&mut self, tenant: TenantId, bytes: usize) {
        self.weigh(tenant, bytes, 0);
        let share = self.of.entry(tenant).or_default();
        share.sessions = share.sessions.saturating_sub(1);
        if share.sessions == 0 {
            self.of.remove(&tenant);
        }
    }

    fn share(&self, tenant: TenantId) -> Share {
        self.of.get(&tenant).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_tenant_leaves_room_for_the_others() {
        let [one, other] = [1, 2].map(|number| TenantId(Uuid::from_u128(number)));
        let mut shares = Shares::default();
        shares.enter(one);
        shares.weigh(one, 0, TENANT_BYTES_MAX - 1);
        assert_eq!((shares.room(one), shares.sessions(one)), (1, 1));
        assert_eq!(shares.room(other), KEPT_BYTES_MAX - TENANT_BYTES_MAX + 1);
        shares.enter(other);
        shares.weigh(other, 0, 10);
        // What is weighed anew counts once.
        shares.weigh(one, TENANT_BYTES_MAX - 1, 5);
        assert_eq!(shares.room(one), TENANT_BYTES_MAX - 5);
        shares.leave(one, 5);
        shares.leave(other, 10);
        assert_eq!((shares.sessions(one), shares.room(one)), (0, TENANT_BYTES_MAX));
        assert!(shares.of.is_empty() && shares.bytes == 0, "nobody is remembered for ever");
    }
}
