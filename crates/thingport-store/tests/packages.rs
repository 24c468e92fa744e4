//! Packages on their whole way within the house: uploaded to files, assigned, announced, read in parts.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tempfile::TempDir;
use thingport_core::access::Caller;
use thingport_core::clock::{Clock, Entropy};
use thingport_core::error::Error;
use thingport_core::node::{Node, NodeConfig};
use thingport_core::packages::{Downloads, NotServed};
use thingport_core::registry::DeviceLogin;
use thingport_core::registry::accounts::TenantProfileDraft;
use thingport_core::registry::devices::{DeviceDraft, ProfileChoice};
use thingport_core::registry::packages::PackageDraft;
use thingport_core::registry::profiles::ProfileDraft;
use thingport_model::attribute::Scope;
use thingport_model::device::Device;
use thingport_model::id::{DeviceProfileId, PackageId};
use thingport_model::limit::RateLimits;
use thingport_model::ota::{
    AssignedPackages, ChecksumAlgorithm, Package, PackageError, PackageKind, PackageUrl,
};
use thingport_model::page::PageLink;
use thingport_model::port::ledger::Keys;
use thingport_model::profile::DeviceProfile;
use thingport_model::time::Timestamp;
use thingport_model::uplink::PackageRequest;
use thingport_model::value::Value;
use thingport_store::config::LedgerConfig;
use thingport_store::disk::RealDisk;
use thingport_store::entities::SqliteEntities;
use thingport_store::ledger::LogLedger;
use thingport_store::packages::DirPackages;

struct House {
    node: Node,
    clock: Arc<Invented>,
    tenant: Caller,
    profile: DeviceProfile,
    _dir: Option<TempDir>,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = Self::open(dir.path()).await;
        Self { _dir: Some(dir), ..house }
    }

    async fn open(dir: &Path) -> Self {
        let clock = Arc::new(Invented(AtomicU64::new(1_767_225_600_000)));
        let config = LedgerConfig {
            dir: dir.to_owned(),
            segment_bytes: 1024 * 1024,
            commit_queue_max_bytes: 64 * 1024,
            reserve_bytes: 0,
            ..LedgerConfig::default()
        };
        let disk = Arc::new(RealDisk::new(dir).unwrap());
        let now = Arc::new(|| Timestamp(1_767_225_600_000));
        let ledger = LogLedger::open(config, disk, now, &mut |_| {}).unwrap();
        let entities = SqliteEntities::open(dir).unwrap();
        let chance: Arc<dyn Entropy> = Arc::new(Chance(AtomicU64::new(clock.monotonic_ms())));
        let mut node = Node::new(entities, ledger, clock.clone(), chance, NodeConfig::default());
        node.packages.set_files(Arc::new(DirPackages::open(dir).unwrap()), 100);
        node.registry.found_demo(&|text| format!("hash of {text}")).await.unwrap();
        let tenant = node.registry.tenants(&Caller::system(), link()).await.unwrap().rows.remove(0);
        let tenant = Caller::tenant(tenant.id);
        let profile = node.registry.default_profile(&tenant).await.unwrap();
        Self { node, clock, tenant, profile, _dir: None }
    }

    async fn package(&self, title: &str, version: &str) -> Result<Package, Error> {
        self.node.registry.save_package(&self.tenant, self.draft(title, version)).await
    }

    fn draft(&self, title: &str, version: &str) -> PackageDraft {
        PackageDraft {
            id: None,
            profile_id: self.profile.id,
            kind: PackageKind::Firmware,
            title: title.to_owned(),
            version: version.to_owned(),
            tag: None,
            additional_info: None,
            url: None,
        }
    }

    async fn upload(&self, id: PackageId, data: &[u8]) -> Result<Package, Error> {
        let algorithm = ChecksumAlgorithm::Crc32;
        let mut upload = self.node.packages.upload(&self.tenant, id, algorithm).await?;
        for piece in data.chunks(7) {
            upload.write(Bytes::copy_from_slice(piece)).await?;
        }
        upload.finish("image.bin", "application/octet-stream", None).await
    }

    async fn filled(&self, version: &str, data: &[u8]) -> PackageId {
        let package = self.package("image", version).await.unwrap();
        self.upload(package.id, data).await.unwrap().id
    }

    async fn device(&self, name: &str) -> Device {
        // Later devices have later ids.
        self.clock.0.fetch_add(1, Ordering::Relaxed);
        let draft = DeviceDraft::new(name);
        self.node.registry.save_device(&self.tenant, draft, Some(name)).await.unwrap()
    }

    async fn login(&self, device: &Device) -> Arc<DeviceLogin> {
        self.node.registry.login_of(device.id).await.unwrap().unwrap()
    }

    async fn give(&self, device: &Device, firmware: Option<PackageId>) -> Result<Device, Error> {
        let draft = DeviceDraft {
            id: Some(device.id),
            profile: ProfileChoice::Id(device.profile_id),
            packages: AssignedPackages { firmware, software: None },
            ..DeviceDraft::new(&device.name)
        };
        self.node.registry.save_device(&self.tenant, draft, None).await
    }

    async fn give_all(&self, firmware: Option<PackageId>) {
        let draft = ProfileDraft {
            id: Some(self.profile.id),
            packages: AssignedPackages { firmware, software: None },
            ..ProfileDraft::new(&self.profile.name)
        };
        self.node.registry.save_profile(&self.tenant, draft).await.unwrap();
    }

    async fn announce(&self) {
        self.node.packages.announce(&*self.node.ledger).await.unwrap();
    }

    /// Shared attributes of a device, as `key=value` with blanks between them.
    async fn told(&self, device: &Device) -> String {
        let entity = device.id.entity();
        let rows = self.node.ledger.attributes(entity, Scope::Shared, Keys::All).await.unwrap();
        let rows = rows.iter().map(|row| format!("{}={}", row.key, shown(&row.value)));
        rows.collect::<Vec<_>>().join(" ")
    }

    async fn state(&self, device: &Device) -> String {
        let keys = Keys::Named(vec!["fw_state".to_owned()]);
        let rows = self.node.ledger.latest(device.id.entity(), keys).await.unwrap();
        rows.first().map(|row| shown(&row.value)).unwrap_or_default()
    }

    async fn chunk(
        &self,
        device: &Device,
        downloads: &Downloads,
        (request, chunk, size): (u32, u32, Option<u32>),
    ) -> Result<String, PackageError> {
        let request = PackageRequest { kind: PackageKind::Firmware, request, chunk, size };
        let login = self.login(device).await;
        let bytes = self.node.packages.chunk(&login, downloads, request).await?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Long(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn link() -> PageLink {
    PageLink { page: 0, size: 100, text_search: None, sort: None }
}

/// OT-010 to OT-022, row by row on one connection.
#[tokio::test]
async fn parts_are_answered_as_devices_expect() {
    let house = House::new().await;
    let device = house.device("d").await;
    let first = house.filled("1", b"0123456789").await;
    let second = house.filled("2", b"abcde").await;
    let nothing = house.chunk(&device, &Downloads::default(), (1, 0, Some(4))).await;
    assert_eq!(nothing, Err(PackageError::NotFound));
    let downloads = Downloads::default();
    house.give(&device, Some(first)).await.unwrap();
    for (row, expected) in [
        ((1, 0, Some(4)), "0123"),
        ((1, 1, None), "4567"),
        ((1, 2, None), "89"),
        ((1, 3, None), ""),
        ((1, 1, None), "4567"),
        ((1, u32::MAX, None), ""),
        ((1, 1, Some(5)), "56789"),
        ((1, 2, None), ""),
        ((2, 0, None), "0123456789"),
        ((2, 9, None), "0123456789"),
        ((2, 0, Some(100)), "0123456789"),
        ((2, 1, Some(100)), ""),
        ((3, u32::MAX, Some(100)), ""),
    ] {
        assert_eq!(house.chunk(&device, &downloads, row).await.as_deref(), Ok(expected), "{row:?}");
    }
    let large = house.chunk(&device, &downloads, (1, 0, Some(101))).await;
    assert_eq!(large, Err(PackageError::PayloadTooLarge));
    house.give(&device, Some(second)).await.unwrap();
    for (row, expected) in [((1, 0, Some(4)), "0123"), ((4, 0, Some(4)), "abcd")] {
        let chunk = house.chunk(&device, &downloads, row).await;
        assert_eq!(chunk.as_deref(), Ok(expected), "the first request pins the package (OT-015)");
    }
    let again = Downloads::default();
    assert_eq!(house.chunk(&device, &again, (1, 0, Some(4))).await.as_deref(), Ok("abcd"));
    let software = PackageRequest { kind: PackageKind::Software, request: 1, chunk: 0, size: None };
    let login = house.login(&device).await;
    let other = house.node.packages.chunk(&login, &again, software).await;
    assert_eq!(other, Err(PackageError::NotFound), "kinds have numbers of their own (OT-016)");
}

#[tokio::test]
async fn a_device_that_names_its_package_gets_that_and_no_other() {
    let house = House::new().await;
    let device = house.device("d").await;
    let login = house.login(&device).await;
    let named = async |title: &str, version: &str| {
        let found = house.node.packages.named(&login, PackageKind::Firmware, title, version).await;
        found.map(|data| data.size)
    };
    assert_eq!(named("image", "1").await, Err(NotServed::NotAssigned));
    let first = house.filled("1", b"0123456789").await;
    house.give(&device, Some(first)).await.unwrap();
    assert_eq!(named("image", "1").await, Ok(10));
    assert_eq!(named("image", "2").await, Err(NotServed::Other));
    assert_eq!(named("other", "1").await, Err(NotServed::Other));
    let url = Some(url());
    let draft = PackageDraft { url, ..house.draft("far", "1") };
    let far = house.node.registry.save_package(&house.tenant, draft).await.unwrap();
    house.give(&device, Some(far.id)).await.unwrap();
    assert_eq!(named("far", "1").await, Err(NotServed::Elsewhere));
    let failed = house.chunk(&device, &Downloads::default(), (1, 0, None)).await;
    assert_eq!(failed, Err(PackageError::Failure));
}

#[tokio::test]
async fn uploads_are_checked_and_leave_nothing_when_refused() {
    let house = House::new().await;
    let package = house.package("image", "1").await.unwrap();
    let files = |house: &House| {
        std::fs::read_dir(house._dir.as_ref().unwrap().path().join("packages")).unwrap().count()
    };
    let algorithm = ChecksumAlgorithm::Sha256;
    let begin = || house.node.packages.upload(&house.tenant, package.id, algorithm);
    let mut wrong = begin().await.unwrap();
    wrong.write(Bytes::from_static(b"data")).await.unwrap();
    let refused = wrong.finish("f", "t", Some("00")).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert!(begin().await.unwrap().finish("f", "t", None).await.is_err(), "no data at all");
    drop(begin().await.unwrap());
    assert_eq!(files(&house), 0);

    // Two at once: one becomes the package's, the other leaves nothing.
    let (mut one, mut other) = (begin().await.unwrap(), begin().await.unwrap());
    one.write(Bytes::from_static(b"one")).await.unwrap();
    other.write(Bytes::from_static(b"other")).await.unwrap();
    let sum = "7692C3AD3540BB803C020B3AEE66CD8887123234EA0C6E7143C0ADD73FF431ED";
    let filled = one.finish("one.bin", "t", Some(sum)).await.unwrap();
    let data = filled.content.data().unwrap();
    assert_eq!((data.size, data.checksum.clone()), (3, sum.to_lowercase()));
    assert!(other.finish("f", "t", None).await.is_err());
    assert!(begin().await.is_err(), "data do not change (O-2)");
    assert_eq!(files(&house), 1);

    limit(&house, 8).await;
    let next = house.package("image", "2").await.unwrap();
    assert!(house.upload(next.id, b"123456").await.is_err(), "three of eight are used (O-3)");
    assert!(house.upload(next.id, b"12345").await.is_ok());
    assert_eq!(files(&house), 2);
    house.node.registry.delete_package(&house.tenant, next.id).await.unwrap();
    house.node.packages.sweep().await.unwrap();
    assert_eq!(files(&house), 1, "its file goes with a package");
}

async fn limit(house: &House, bytes: u64) {
    let registry = &house.node.registry;
    let stored = registry.default_tenant_profile(&Caller::system()).await.unwrap();
    let draft = TenantProfileDraft {
        id: Some(stored.id),
        name: stored.name,
        description: None,
        isolated_rule_engine: false,
        profile_data: stored.profile_data,
        storage_ttl_days: 0,
        rpc_ttl_days: 0,
        devices_max: 0,
        customers_max: 0,
        users_max: 0,
        package_bytes_max: bytes,
        rate_limits: RateLimits::default(),
    };
    registry.save_tenant_profile(&Caller::system(), draft).await.unwrap();
}

#[tokio::test]
async fn what_is_known_of_a_package_with_data_hardly_changes() {
    let house = House::new().await;
    let first = house.filled("1", b"0123456789").await;
    let save = async |draft| house.node.registry.save_package(&house.tenant, draft).await;
    assert!(save(house.draft("image", "1")).await.is_err(), "title and version are unique (O-1)");
    let same = PackageDraft { id: Some(first), ..house.draft("image", "1") };
    for (draft, fine) in [
        (PackageDraft { title: "renamed".to_owned(), ..same.clone() }, true),
        (PackageDraft { tag: Some("tag".to_owned()), ..same.clone() }, true),
        (PackageDraft { version: "2".to_owned(), ..same.clone() }, false),
        (PackageDraft { kind: PackageKind::Software, ..same.clone() }, false),
        (PackageDraft { url: Some(url()), ..same.clone() }, false),
        (PackageDraft { title: String::new(), ..same.clone() }, false),
        (PackageDraft { profile_id: DeviceProfileId(uuid::Uuid::nil()), ..same }, false),
    ] {
        assert_eq!(save(draft.clone()).await.is_ok(), fine, "{draft:?}");
    }
}

/// D-6.
#[tokio::test]
async fn only_packages_that_fit_can_be_assigned() {
    let house = House::new().await;
    let device = house.device("d").await;
    let empty = house.package("empty", "1").await.unwrap().id;
    let software = PackageDraft {
        kind: PackageKind::Software,
        url: Some(url()),
        ..house.draft("software", "1")
    };
    let software = house.node.registry.save_package(&house.tenant, software).await.unwrap().id;
    let other = ProfileDraft::new("other");
    let other = house.node.registry.save_profile(&house.tenant, other).await.unwrap();
    let elsewhere =
        PackageDraft { profile_id: other.id, url: Some(url()), ..house.draft("elsewhere", "1") };
    let elsewhere = house.node.registry.save_package(&house.tenant, elsewhere).await.unwrap().id;
    for id in [empty, software, elsewhere, PackageId(uuid::Uuid::nil())] {
        let given = house.give(&device, Some(id)).await;
        assert!(matches!(given, Err(Error::Invalid(_))), "{given:?}");
    }
    let fits = house.filled("1", b"x").await;
    house.give(&device, Some(fits)).await.unwrap();
    let deleted = house.node.registry.delete_package(&house.tenant, fits).await;
    assert!(matches!(deleted, Err(Error::Invalid(_))), "it is in use: {deleted:?}");
    house.give(&device, None).await.unwrap();
    house.node.registry.delete_package(&house.tenant, fits).await.unwrap();
}

#[tokio::test]
async fn a_device_is_told_of_its_package_and_of_its_end() {
    let house = House::new().await;
    let device = house.device("d").await;
    let first = house.filled("1", b"0123456789").await;
    house.give(&device, Some(first)).await.unwrap();
    house.announce().await;
    let told = "fw_checksum=c67eca68 fw_checksum_algorithm=CRC32 fw_size=10 fw_title=image \
                fw_version=1";
    assert_eq!(house.told(&device).await, told.replace("c67eca68", &crc(b"0123456789")));
    assert_eq!(house.state(&device).await, "INITIATED");
    let draft = PackageDraft { url: Some(url()), ..house.draft("far", "2") };
    let far = house.node.registry.save_package(&house.tenant, draft).await.unwrap();
    house.give(&device, Some(far.id)).await.unwrap();
    house.announce().await;
    let told = "fw_title=far fw_url=https://example.org/x fw_version=2";
    assert_eq!(house.told(&device).await, told, "what does not apply is deleted (OT-001)");
    house.give(&device, None).await.unwrap();
    house.announce().await;
    assert_eq!(house.told(&device).await, "", "OT-002");
}

/// OT-004, over a restart.
#[tokio::test]
async fn a_fleet_is_told_in_turn_and_a_restart_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::open(dir.path()).await;
    let mut devices = Vec::new();
    for number in 0..150 {
        devices.push(house.device(&format!("fleet {number}")).await);
    }
    let own = house.filled("own", b"own").await;
    house.give(&devices[0], Some(own)).await.unwrap();
    house.announce().await;
    let first = house.filled("1", b"0123456789").await;
    house.give_all(Some(first)).await;
    house.announce().await;
    let told = async |house: &House, version: &str| {
        let mut count = 0;
        for device in &devices {
            count += usize::from(house.told(device).await.contains(&format!("version={version}")));
        }
        count
    };
    // The demo has seven devices of this profile, which are older.
    let demo = 7;
    assert_eq!(told(&house, "1").await, 100 - demo);
    assert_eq!(told(&house, "own").await, 1, "whoever has one of its own keeps it");
    assert_eq!(house.state(&devices[149]).await, "QUEUED");
    house.clock.0.fetch_add(59_000, Ordering::Relaxed);
    house.announce().await;
    assert_eq!(told(&house, "1").await, 100 - demo, "not before the minute is over");
    house.node.ledger.close().await.unwrap();
    // A copy, because a node in a test does not give its directory back.
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    house = House::open(copy.path()).await;
    house.clock.0.fetch_add(600_000, Ordering::Relaxed);
    house.announce().await;
    assert_eq!(told(&house, "1").await, 149);
    assert_eq!(house.state(&devices[149]).await, "INITIATED");
    house.give_all(None).await;
    house.announce().await;
    assert_eq!(told(&house, "1").await, 0, "that there is none is told at once");
    assert_eq!(told(&house, "own").await, 1);
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_dir(&path, &to);
        } else {
            // The engine tidies up in the background: what it removes meanwhile is not needed.
            let copied = std::fs::copy(path, to);
            let is_gone = copied.as_ref().is_err_and(|it| it.kind() == ErrorKind::NotFound);
            assert!(copied.is_ok() || is_gone, "{copied:?}");
        }
    }
}

fn crc(data: &[u8]) -> String {
    let mut register = u32::MAX;
    for byte in data {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            register = (register >> 1) ^ (0xedb8_8320 * (register & 1));
        }
    }
    (!register).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn url() -> PackageUrl {
    let url = "https://example.org/x".to_owned();
    PackageUrl { url, size: None, algorithm: None, checksum: None }
}

struct Invented(AtomicU64);

impl Clock for Invented {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.monotonic_ms()).unwrap())
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Chance(AtomicU64);

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        for byte in out {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            let mixed = next.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *byte = (mixed >> 56) as u8;
        }
    }
}
