//! What the registry asks of whoever keeps tenants, people, profiles, devices and credentials.
//!
//! Reads are questions with typed answers. Writes are a closed list applied all or none, so that no
//! engine needs to know which combinations the registry makes.

use async_trait::async_trait;

use crate::activity::{DeviceActivity, WatchedDevice};
use crate::credentials::{DeviceCertificate, DeviceCredentials};
use crate::device::{Device, DeviceFilter, DeviceOverview};
use crate::id::{
    ApiKeyId, CustomerId, DeviceId, DeviceProfileId, EntityKind, EntityRef, PackageId, RpcId,
    TenantId, TenantProfileId, UserId,
};
use crate::ota::{Announcement, Package, PackageKind};
use crate::page::{Page, PageLink};
use crate::port::error::PortError;
use crate::port::packages::PackageRecords;
use crate::port::relations::RelationRecords;
use crate::port::sessions::SessionRecords;
use crate::profile::DeviceProfile;
use crate::relation::{Relation, RelationGroup, RelationKey};
use crate::rpc::{CallFilter, KeptProgress, PersistentCall};
use crate::session::KeptSession;
use crate::tenant::{Customer, Tenant, TenantProfile};
use crate::time::Timestamp;
use crate::user::{ApiKey, EndedSession, KeyHash, LoginChange, User, UserCredentials};
use uuid::Uuid;

/// One step of a write. The entity carries the version it shall have after the write; the engine
/// refuses with [`crate::port::error::Conflict::Version`] unless the stored version is one less (or
/// the entity is new and the version is 1).
#[derive(Clone, Debug)]
pub enum Write {
    /// Create or replace.
    Tenant(Tenant),
    /// Create or replace; a profile saved as default takes the flag from the former one.
    TenantProfile(TenantProfile),
    /// Create or replace.
    Customer(Customer),
    /// Create or replace.
    User(User),
    /// Create or replace; has no version.
    UserCredentials(UserCredentials),
    /// Changes what is stored of a user's login, whatever others change meanwhile.
    ChangeLogin(UserId, LoginChange),
    /// Create or replace.
    ApiKey(ApiKey),
    /// Remove.
    DeleteApiKey(ApiKeyId),
    /// Note that a session ended, and forget those whose tokens expired before the given moment.
    EndSession(EndedSession, Timestamp),
    /// Create or replace the settings of a user's own: opaque text.
    UserSettings(UserId, String),
    /// Create or replace; a profile saved as default takes the flag from the former one of its tenant;
    /// a changed name is written to its devices.
    DeviceProfile(DeviceProfile),
    /// Create or replace.
    Device(Device),
    /// Note whether a device reports; a new one is [`DeviceActivity::New`]. Changes nothing when there is no
    /// such device, and no version.
    DeviceActivity(DeviceId, DeviceActivity),
    /// Create or replace; a device has exactly one record.
    DeviceCredentials(DeviceCredentials),
    /// Remove with what belongs to it (a device's credentials and persistent calls; a customer's users, and its devices
    /// become unassigned; everything of a tenant; the relations of whatever goes). Leaves a note in the outbox so that the ledger
    /// is purged even after a crash.
    Delete(EntityRef),
    /// Refuses the whole write with [`crate::port::error::Conflict::TooMany`] if the tenant, after the
    /// steps before this one, has more than this many devices, customers or users. Other kinds are not
    /// counted.
    AtMost(TenantId, EntityKind, u64),
    /// Create; refused with [`crate::port::error::Conflict::RpcId`] if there is one of this id, and with
    /// [`crate::port::error::Conflict::Reference`] if there is no such device.
    Call(PersistentCall),
    /// How far a persistent call has come; nothing happens if it is gone.
    CallProgress(RpcId, KeptProgress),
    /// Remove.
    DeleteCall(RpcId),
    /// Forget calls of a tenant that ended and were made before the given moment, the oldest first and
    /// at most so many.
    ForgetCalls(TenantId, Timestamp, u32),
    /// Create or replace the kept session of a device; nothing happens when there is no such device.
    KeepSession(KeptSession),
    /// Remove the kept session of a device; no error when there is none.
    ForgetSession(DeviceId),
    /// Create or replace; refused with [`crate::port::error::Conflict::Reference`] unless both ends exist.
    Relation(Relation),
    /// Remove.
    DeleteRelation(RelationKey),
    /// Remove all relations of a group that begin or end at this entity; no error when there is none.
    DeleteRelations(EntityRef, RelationGroup),
    /// Create or replace.
    Package(Package),
    /// Remove; refused with [`crate::port::error::Conflict::InUse`] while a device or profile has it.
    DeletePackage(PackageId),
    /// Refuses the whole write with [`crate::port::error::Conflict::PackageBytes`] if the tenant's
    /// packages, after the steps before this one, have more bytes of data than this together.
    PackageBytesAtMost(TenantId, u64),
    /// A device is to be told of its package; takes the place of an older announcement.
    Announce(Announcement),
    /// The same for all devices of a profile that have no package of this kind of their own; the turn
    /// of all of them.
    AnnounceToFleet(DeviceProfileId, PackageKind, Uuid),
    /// That a device is queued was written: it is told when its turn has come.
    AnnouncementQueued(Announcement),
    /// A device was told; a later announcement stays.
    Announced(Announcement),
    /// Installation-wide setting: key and opaque text.
    Setting(String, String),
    /// The ledger has purged this entity: remove the note.
    Purged(EntityRef),
}

/// Keeps entities. Every call may wait for a disk or a network.
#[async_trait]
pub trait Entities: PackageRecords + RelationRecords + SessionRecords {
    /// Applies all writes or none, durably.
    async fn write(&self, writes: Vec<Write>) -> Result<(), PortError>;

    /// One tenant.
    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, PortError>;
    /// A page of tenants; text search on the title.
    async fn tenants(&self, link: PageLink) -> Result<Page<Tenant>, PortError>;
    /// One tenant profile.
    async fn tenant_profile(&self, id: TenantProfileId)
    -> Result<Option<TenantProfile>, PortError>;
    /// The tenant profile new tenants get.
    async fn default_tenant_profile(&self) -> Result<Option<TenantProfile>, PortError>;
    /// A page of tenant profiles; text search on the name.
    async fn tenant_profiles(&self, link: PageLink) -> Result<Page<TenantProfile>, PortError>;

    /// One customer.
    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, PortError>;
    /// The customer of a tenant with this title.
    async fn customer_by_title(
        &self,
        tenant: TenantId,
        title: &str,
    ) -> Result<Option<Customer>, PortError>;
    /// A page of a tenant's customers; text search on the title.
    async fn customers(
        &self,
        tenant: TenantId,
        link: PageLink,
    ) -> Result<Page<Customer>, PortError>;

    /// One user.
    async fn user(&self, id: UserId) -> Result<Option<User>, PortError>;
    /// The user with this login name, in whatever letter case.
    async fn user_by_email(&self, email: &str) -> Result<Option<User>, PortError>;
    /// How a user proves who they are.
    async fn user_credentials(&self, id: UserId) -> Result<Option<UserCredentials>, PortError>;
    /// A page of a tenant's users, of one customer only if given; text search on e-mail and names.
    async fn users(
        &self,
        tenant: TenantId,
        customer: Option<CustomerId>,
        link: PageLink,
    ) -> Result<Page<User>, PortError>;
    /// What a user's own pages remember, opaque.
    async fn user_settings(&self, id: UserId) -> Result<Option<String>, PortError>;

    /// One API key.
    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, PortError>;
    /// The API key whose value has this hash.
    async fn api_key_by_hash(&self, hash: KeyHash) -> Result<Option<ApiKey>, PortError>;
    /// A page of a user's API keys; text search on the description.
    async fn api_keys(&self, user: UserId, link: PageLink) -> Result<Page<ApiKey>, PortError>;
    /// Sessions that ended and whose tokens may not have expired yet.
    async fn ended_sessions(&self) -> Result<Vec<EndedSession>, PortError>;

    /// One device profile.
    async fn profile(&self, id: DeviceProfileId) -> Result<Option<DeviceProfile>, PortError>;
    /// The profile of a tenant with this name.
    async fn profile_by_name(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<DeviceProfile>, PortError>;
    /// The profile, of whatever tenant, whose devices are provisioned with this key.
    async fn profile_by_provision_key(&self, key: &str)
    -> Result<Option<DeviceProfile>, PortError>;
    /// At most `limit` profiles, of whatever tenants, whose CA has this name
    /// ([`X509Chain::ca_name`](crate::profile::X509Chain)): the oldest of each tenant, then the second
    /// of each, and so on, so that no tenant's profiles can keep another's out.
    async fn profiles_by_ca_name(
        &self,
        ca_name: &str,
        limit: u32,
    ) -> Result<Vec<DeviceProfile>, PortError>;
    /// The profile that a tenant's devices get when they name none.
    async fn default_profile(&self, tenant: TenantId) -> Result<Option<DeviceProfile>, PortError>;
    /// A page of a tenant's profiles; text search on the name.
    async fn profiles(
        &self,
        tenant: TenantId,
        link: PageLink,
    ) -> Result<Page<DeviceProfile>, PortError>;
    /// How many devices use a profile.
    async fn profile_use(&self, id: DeviceProfileId) -> Result<u64, PortError>;

    /// One device.
    async fn device(&self, id: DeviceId) -> Result<Option<Device>, PortError>;
    /// The device of a tenant with this name.
    async fn device_by_name(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Device>, PortError>;
    /// Devices of a tenant with these names, in any order; unknown ones are left out.
    async fn devices_by_names(
        &self,
        tenant: TenantId,
        names: Vec<String>,
    ) -> Result<Vec<Device>, PortError> {
        let mut found = Vec::new();
        for name in names {
            found.extend(self.device_by_name(tenant, &name).await?);
        }
        Ok(found)
    }
    /// A page of devices; text search on name, label, profile name and customer title.
    async fn devices(
        &self,
        filter: DeviceFilter,
        link: PageLink,
    ) -> Result<Page<DeviceOverview>, PortError>;
    /// Devices with these ids, in order of id; unknown ones are left out.
    async fn devices_by_ids(&self, ids: Vec<DeviceId>) -> Result<Vec<Device>, PortError>;
    /// Whether a device reports; none when there is no such device.
    async fn device_activity(&self, id: DeviceId) -> Result<Option<DeviceActivity>, PortError>;
    /// Devices of whatever tenants that are not [`DeviceActivity::Inactive`], in order of id, behind the
    /// given one; at most `limit`.
    async fn watched_devices(
        &self,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<WatchedDevice>, PortError>;
    /// Names of profiles that a tenant's devices use, sorted.
    async fn device_types(&self, tenant: TenantId) -> Result<Vec<String>, PortError>;
    /// How many devices a tenant has.
    async fn device_count(&self, tenant: TenantId) -> Result<u64, PortError>;

    /// The credentials of a device.
    async fn credentials_of(
        &self,
        device: DeviceId,
    ) -> Result<Option<DeviceCredentials>, PortError>;
    /// The credentials with this id, in whatever tenant.
    async fn credentials_by_id(
        &self,
        credentials_id: &str,
    ) -> Result<Option<DeviceCredentials>, PortError>;
    /// A page of a tenant's certificates that expire before a moment, soonest first; of one customer's
    /// devices only if given. Order and text search of the link are not looked at.
    async fn certificates_by_expiry(
        &self,
        tenant: TenantId,
        customer: Option<CustomerId>,
        before: Timestamp,
        link: PageLink,
    ) -> Result<Page<DeviceCertificate>, PortError>;

    /// One persistent call.
    async fn call(&self, id: RpcId) -> Result<Option<PersistentCall>, PortError>;
    /// A page of a device's persistent calls; text search on method and parameters.
    async fn calls(
        &self,
        filter: CallFilter,
        link: PageLink,
    ) -> Result<Page<PersistentCall>, PortError>;
    /// Persistent calls of all devices that may still be sent or answered, in the order in which they
    /// were made; at most `limit`.
    async fn open_calls(&self, limit: u32) -> Result<Vec<PersistentCall>, PortError>;

    /// An installation-wide setting.
    async fn setting(&self, key: &str) -> Result<Option<String>, PortError>;
    /// Entities deleted here whose purge the ledger has not confirmed.
    async fn outbox(&self) -> Result<Vec<EntityRef>, PortError>;
}
