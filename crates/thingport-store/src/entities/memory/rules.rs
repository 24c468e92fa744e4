//! Versions, uniqueness, references and cascades over plain maps.

use std::collections::BTreeMap;

use thingport_model::device::Device;
use thingport_model::id::{
    CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef, TenantId, TenantProfileId, UserId,
};
use thingport_model::port::entities::Write;
use thingport_model::port::error::Conflict;
use thingport_model::profile::DeviceProfile;
use thingport_model::tenant::TenantProfile;
use thingport_model::time::Timestamp;
use thingport_model::user::{ApiKey, EndedSession, User};

use super::State;
use crate::entities::document::provision_key;

impl State {
    /// Applies one step; after an error the state is to be thrown away.
    pub(super) fn apply(&mut self, write: Write) -> Result<(), Conflict> {
        match write {
            Write::Tenant(row) => {
                known(&self.tenant_profiles, &row.tenant_profile_id)?;
                follows(self.tenants.get(&row.id).map(|old| old.version), row.version)?;
                self.tenants.insert(row.id, row);
            }
            Write::TenantProfile(row) => self.put_tenant_profile(row)?,
            Write::Customer(row) => {
                known(&self.tenants, &row.tenant_id)?;
                follows(self.customers.get(&row.id).map(|old| old.version), row.version)?;
                let mut others = self.customers.values().filter(|old| old.id != row.id);
                let taken =
                    others.any(|old| old.tenant_id == row.tenant_id && old.title == row.title);
                free(!taken, Conflict::CustomerTitle)?;
                self.customers.insert(row.id, row);
            }
            Write::User(row) => self.put_user(row)?,
            Write::UserCredentials(row) => {
                known(&self.users, &row.user_id)?;
                self.logins.insert(row.user_id, row);
            }
            Write::ChangeLogin(user, change) => {
                let stored = self.logins.remove(&user).ok_or(Conflict::Missing)?;
                self.logins.insert(user, change.apply(stored)?);
            }
            Write::ApiKey(row) => self.put_api_key(row)?,
            Write::DeleteApiKey(id) => {
                free(self.api_keys.remove(&id).is_some(), Conflict::Missing)?;
            }
            Write::EndSession(ended, now) => self.end_session(ended, now),
            Write::UserSettings(user, value) => {
                known(&self.users, &user)?;
                self.user_settings.insert(user, value);
            }
            Write::AtMost(tenant, kind, max) => {
                free(self.count(tenant, kind) <= max, Conflict::TooMany)?;
            }
            Write::DeviceProfile(row) => self.put_profile(row)?,
            Write::Device(row) => self.put_device(row)?,
            Write::DeviceActivity(device, state) => self.put_activity(device, state),
            Write::DeviceCredentials(row) => {
                known(&self.devices, &row.device_id)?;
                follows(self.credentials.get(&row.id).map(|old| old.version), row.version)?;
                let others = || self.credentials.values().filter(|old| old.id != row.id);
                let taken = others().any(|old| old.credentials_id == row.credentials_id);
                free(!taken, Conflict::CredentialsId)?;
                free(!others().any(|old| old.device_id == row.device_id), Conflict::Version)?;
                self.credentials.insert(row.id, row);
            }
            Write::Delete(entity) => self.delete(entity)?,
            Write::Call(row) => self.put_call(row)?,
            Write::CallProgress(id, progress) => self.call_progress(id, progress),
            Write::DeleteCall(id) => free(self.calls.remove(&id).is_some(), Conflict::Missing)?,
            Write::ForgetCalls(tenant, before, limit) => self.forget_calls(tenant, before, limit),
            Write::KeepSession(_) | Write::ForgetSession(_) => self.apply_to_session(write),
            Write::Relation(row) => self.put_relation(row)?,
            Write::DeleteRelation(key) => self.delete_relation(&key)?,
            Write::DeleteRelations(entity, group) => self.delete_relations(entity, group),
            Write::Package(_)
            | Write::DeletePackage(_)
            | Write::PackageBytesAtMost(..)
            | Write::Announce(_)
            | Write::AnnounceToFleet(..)
            | Write::AnnouncementQueued(_)
            | Write::Announced(_) => self.apply_to_packages(write)?,
            Write::Setting(key, value) => drop(self.settings.insert(key, value)),
            Write::Purged(entity) => drop(self.outbox.remove(&entity)),
        }
        Ok(())
    }

    fn put_user(&mut self, row: User) -> Result<(), Conflict> {
        row.customer_id.map_or(Ok(()), |id| known(&self.customers, &id))?;
        follows(self.users.get(&row.id).map(|old| old.version), row.version)?;
        let email = row.email.to_lowercase();
        let mut others = self.users.values().filter(|old| old.id != row.id);
        free(!others.any(|old| old.email.to_lowercase() == email), Conflict::UserEmail)?;
        self.users.insert(row.id, row);
        Ok(())
    }

    fn put_api_key(&mut self, row: ApiKey) -> Result<(), Conflict> {
        known(&self.users, &row.user_id)?;
        follows(self.api_keys.get(&row.id).map(|old| old.version), row.version)?;
        let mut others = self.api_keys.values().filter(|old| old.id != row.id);
        free(!others.any(|old| old.hash == row.hash), Conflict::ApiKeyHash)?;
        self.api_keys.insert(row.id, row);
        Ok(())
    }

    fn end_session(&mut self, ended: EndedSession, now: Timestamp) {
        self.ended.retain(|_, expires_at| *expires_at > now);
        self.ended.insert(ended.session, ended.expires_at);
    }

    /// How many a tenant has of a kind that can be limited.
    fn count(&self, tenant: TenantId, kind: EntityKind) -> u64 {
        let count = match kind {
            EntityKind::Device => {
                self.devices.values().filter(|row| row.tenant_id == tenant).count()
            }
            EntityKind::Customer => {
                self.customers.values().filter(|row| row.tenant_id == tenant).count()
            }
            EntityKind::User => self.users.values().filter(|row| row.tenant_id == tenant).count(),
            EntityKind::Tenant | EntityKind::TenantProfile | EntityKind::DeviceProfile => 0,
        };
        count as u64
    }

    fn put_device(&mut self, row: Device) -> Result<(), Conflict> {
        known(&self.tenants, &row.tenant_id)?;
        known(&self.profiles, &row.profile_id)?;
        row.customer_id.map_or(Ok(()), |id| known(&self.customers, &id))?;
        follows(self.devices.get(&row.id).map(|old| old.version), row.version)?;
        let mut others = self.devices.values().filter(|old| old.id != row.id);
        let taken = others.any(|old| old.tenant_id == row.tenant_id && old.name == row.name);
        free(!taken, Conflict::DeviceName)?;
        self.known_packages(&row.packages)?;
        self.devices.insert(row.id, row);
        Ok(())
    }

    fn put_tenant_profile(&mut self, row: TenantProfile) -> Result<(), Conflict> {
        let mut others = self.tenant_profiles.values_mut().filter(|old| old.id != row.id);
        free(!others.any(|old| old.name == row.name), Conflict::TenantProfileName)?;
        if row.is_default {
            self.tenant_profiles.values_mut().for_each(|old| old.is_default = false);
        }
        self.tenant_profiles.insert(row.id, row);
        Ok(())
    }

    fn put_profile(&mut self, row: DeviceProfile) -> Result<(), Conflict> {
        known(&self.tenants, &row.tenant_id)?;
        follows(self.profiles.get(&row.id).map(|old| old.version), row.version)?;
        let others = || self.profiles.values().filter(|old| old.id != row.id);
        let taken = others().any(|old| old.tenant_id == row.tenant_id && old.name == row.name);
        free(!taken, Conflict::ProfileName)?;
        self.known_packages(&row.packages)?;
        if let Some(key) = provision_key(&row.provisioning) {
            let taken = others().any(|old| provision_key(&old.provisioning) == Some(key));
            free(!taken, Conflict::ProvisionKey)?;
        }
        if row.is_default {
            let own = self.profiles.values_mut().filter(|old| old.tenant_id == row.tenant_id);
            own.for_each(|old| old.is_default = false);
        }
        self.profiles.insert(row.id, row);
        Ok(())
    }

    fn delete(&mut self, entity: EntityRef) -> Result<(), Conflict> {
        let existed = match entity.kind {
            EntityKind::Tenant => self.delete_tenant(TenantId(entity.id)),
            EntityKind::TenantProfile => self.delete_tenant_profile(TenantProfileId(entity.id))?,
            EntityKind::Customer => self.delete_customer(CustomerId(entity.id)),
            EntityKind::User => self.delete_user(UserId(entity.id)),
            EntityKind::Device => self.delete_device(DeviceId(entity.id)),
            EntityKind::DeviceProfile => self.delete_profile(DeviceProfileId(entity.id))?,
        };
        free(existed, Conflict::Missing)?;
        self.forget_relations(entity);
        self.outbox.insert(entity);
        Ok(())
    }

    fn delete_tenant(&mut self, id: TenantId) -> bool {
        for device in ids(&self.devices, |row| row.tenant_id == id) {
            self.delete_device(device);
            self.outbox.insert(device.entity());
        }
        for profile in ids(&self.profiles, |row| row.tenant_id == id) {
            self.profiles.remove(&profile);
            self.outbox.insert(profile.entity());
        }
        self.relations.retain(|_, row| row.tenant_id != id);
        self.packages.retain(|_, row| row.tenant_id != id);
        for user in ids(&self.users, |row| row.tenant_id == id) {
            self.delete_user(user);
            self.outbox.insert(user.entity());
        }
        for customer in ids(&self.customers, |row| row.tenant_id == id) {
            self.customers.remove(&customer);
            self.outbox.insert(customer.entity());
        }
        self.tenants.remove(&id).is_some()
    }

    fn delete_tenant_profile(&mut self, id: TenantProfileId) -> Result<bool, Conflict> {
        let used = self.tenants.values().any(|row| row.tenant_profile_id == id);
        free(!used, Conflict::InUse)?;
        Ok(self.tenant_profiles.remove(&id).is_some())
    }

    fn delete_customer(&mut self, id: CustomerId) -> bool {
        for user in ids(&self.users, |row| row.customer_id == Some(id)) {
            self.forget_relations(user.entity());
            self.delete_user(user);
            self.outbox.insert(user.entity());
        }
        for device in self.devices.values_mut().filter(|row| row.customer_id == Some(id)) {
            device.customer_id = None;
            device.version += 1;
        }
        self.customers.remove(&id).is_some()
    }

    fn delete_user(&mut self, id: UserId) -> bool {
        self.logins.remove(&id);
        self.user_settings.remove(&id);
        self.api_keys.retain(|_, key| key.user_id != id);
        self.users.remove(&id).is_some()
    }

    fn delete_device(&mut self, id: DeviceId) -> bool {
        self.credentials.retain(|_, row| row.device_id != id);
        self.announcements.retain(|(device, _), _| *device != id);
        self.calls.retain(|_, row| row.device_id != id);
        self.kept_sessions.remove(&id);
        self.activities.remove(&id);
        self.devices.remove(&id).is_some()
    }

    fn delete_profile(&mut self, id: DeviceProfileId) -> Result<bool, Conflict> {
        let used = self.devices.values().any(|row| row.profile_id == id);
        free(!used, Conflict::InUse)?;
        self.packages.retain(|_, row| row.profile_id != id);
        Ok(self.profiles.remove(&id).is_some())
    }
}

fn ids<K: Copy, V>(rows: &BTreeMap<K, V>, chosen: impl Fn(&V) -> bool) -> Vec<K> {
    rows.iter().filter(|(_, row)| chosen(row)).map(|(id, _)| *id).collect()
}

/// A reference must lead somewhere.
pub(super) fn known<K: Ord, V>(rows: &BTreeMap<K, V>, id: &K) -> Result<(), Conflict> {
    free(rows.contains_key(id), Conflict::Reference)
}

/// A new row begins with 1, a changed one has one more than before.
pub(super) const fn follows(stored: Option<i64>, version: i64) -> Result<(), Conflict> {
    match stored {
        None if version == 1 => Ok(()),
        None => Err(Conflict::Missing),
        Some(stored) if version == stored + 1 => Ok(()),
        Some(_) => Err(Conflict::Version),
    }
}

pub(super) fn free(is_free: bool, otherwise: Conflict) -> Result<(), Conflict> {
    if is_free { Ok(()) } else { Err(otherwise) }
}
