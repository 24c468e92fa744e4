//! Persistent calls over real stores: what was promised is there, whatever happens to the process.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thingport_core::access::Caller;
use thingport_core::calls::{CALLS_PER_DEVICE_MAX, CallDraft, Outcome};
use thingport_core::clock::{Clock, Entropy};
use thingport_core::error::Error;
use thingport_core::node::{Node, NodeConfig};
use thingport_core::presence::Wants;
use thingport_core::registry::DeviceLogin;
use thingport_core::registry::accounts::TenantProfileDraft;
use thingport_core::registry::devices::DeviceDraft;
use thingport_core::registry::first_run::FirstPeople;
use thingport_model::device::Device;
use thingport_model::id::RpcId;
use thingport_model::page::PageLink;
use thingport_model::rpc::{CallFilter, CallResponse, CallStatus, CallWay};
use thingport_model::time::Timestamp;
use thingport_store::config::LedgerConfig;
use thingport_store::entities::SqliteEntities;
use thingport_store::ledger::LogLedger;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// One life of the process, with a device.
struct House {
    node: Arc<Node>,
    clock: Arc<Invented>,
    admin: Caller,
    device: Device,
    login: Arc<DeviceLogin>,
    saver: JoinHandle<()>,
}

impl House {
    async fn start(dir: &Path, clock: &Arc<Invented>) -> Self {
        let config =
            LedgerConfig { dir: dir.to_owned(), reserve_bytes: 0, ..LedgerConfig::default() };
        let now = Arc::new(|| Timestamp(START_MS));
        let ledger = LogLedger::open_dir(config, now, &mut |_| {}).unwrap();
        let entities = SqliteEntities::open(dir).unwrap();
        let (chance, settings) = (Arc::new(Chance::default()), NodeConfig::default());
        let node = Arc::new(Node::new(entities, ledger, clock.clone(), chance, settings));
        node.registry.found(&people(), &|text| format!("hash of {text}")).await.unwrap();
        let link = PageLink { page: 0, size: 10, text_search: None, sort: None };
        let tenants = node.registry.tenants(&Caller::system(), link).await.unwrap();
        let admin = Caller::tenant(tenants.rows[0].id);
        let device = match node.registry.device_by_name(&admin, "Pump").await {
            Ok(device) => device,
            Err(_) => {
                let draft = DeviceDraft::new("Pump");
                node.registry.save_device(&admin, draft, Some("token")).await.unwrap()
            }
        };
        let login = node.registry.login_by_credentials_id("token").await.unwrap().unwrap();
        node.calls.recall().await.unwrap();
        let calls = Arc::clone(&node.calls);
        let saver = tokio::spawn(async move {
            loop {
                calls.unsaved().await;
                calls.save().await.unwrap();
            }
        });
        Self { node, clock: Arc::clone(clock), admin, device, login, saver }
    }

    /// The process is gone, with everything that is not durable.
    async fn kill(self) {
        self.saver.abort();
        let _ = self.saver.await;
        self.node.ledger.close().await.unwrap();
    }

    async fn keep(&self, draft: CallDraft) -> Result<RpcId, Error> {
        self.node.calls.call_persistently(&self.admin, self.device.id, draft).await
    }

    async fn status(&self, id: RpcId) -> CallStatus {
        self.node.calls.kept(&self.admin, id).await.unwrap().progress.status
    }
}

fn draft(way: CallWay) -> CallDraft {
    CallDraft {
        method: "m".to_owned(),
        params: "1".to_owned(),
        way,
        expires_at: None,
        timeout_ms: Some(60_000),
        retries: None,
        id: None,
        additional_info: None,
    }
}

#[tokio::test]
async fn a_kept_call_survives_and_its_answer_is_kept_before_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Invented::default());
    let house = House::start(dir.path(), &clock).await;
    let first = house.keep(draft(CallWay::TwoWay)).await.unwrap();
    let second = house.keep(draft(CallWay::TwoWay)).await.unwrap();
    house.kill().await;

    let house = House::start(dir.path(), &clock).await;
    assert_eq!(house.status(first).await, CallStatus::Queued);
    house.node.calls.answered(house.login.device_id, 1, "yes".to_owned()).await.unwrap();
    assert_eq!(house.status(second).await, CallStatus::Successful);
    house.kill().await;

    let house = House::start(dir.path(), &clock).await;
    let answered = house.node.calls.kept(&house.admin, second).await.unwrap();
    assert_eq!(answered.progress.response, Some(CallResponse::Answer("yes".to_owned())));
    // A repetition is nobody's any more.
    house.node.calls.answered(house.login.device_id, 1, "no".to_owned()).await.unwrap();
    clock.advance(60_000);
    let _ = house.node.calls.tick();
    house.node.calls.save().await.unwrap();
    assert_eq!(house.status(first).await, CallStatus::Expired);
    assert_eq!(house.status(second).await, CallStatus::Successful);
    house.kill().await;
}

#[tokio::test]
async fn one_that_breaks_a_rule_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let id = RpcId(Uuid::from_u128(7));
    let named = || CallDraft { id: Some(id), ..draft(CallWay::OneWay) };
    let past = CallDraft { expires_at: Some(Timestamp(1)), ..draft(CallWay::OneWay) };
    let (first, second, third, fourth) = tokio::join!(
        house.keep(named()),
        house.keep(named()),
        house.keep(draft(CallWay::OneWay)),
        house.keep(past),
    );
    let (kept, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    assert_eq!(kept, Ok(id));
    assert!(matches!(refused, Err(Error::Invalid(_))));
    assert_eq!(house.status(third.unwrap()).await, CallStatus::Queued);
    // RP-020: over before it began.
    assert_eq!(house.status(fourth.unwrap()).await, CallStatus::Expired);
    assert_eq!(house.node.metrics.calls_pending.value(), 2);
    house.kill().await;
}

#[tokio::test]
async fn a_device_that_never_comes_holds_so_many_calls_and_its_end_is_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let call = || {
        let (node, admin, device) = (Arc::clone(&house.node), house.admin, house.device.id);
        async move { node.calls.call(&admin, device, draft(CallWay::TwoWay)).await }
    };
    let waiting: Vec<_> = (0..CALLS_PER_DEVICE_MAX).map(|_| tokio::spawn(call())).collect();
    while house.node.metrics.calls_pending.value() < CALLS_PER_DEVICE_MAX as u64 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(call().await, Err(Error::Busy(_))));
    house.node.registry.delete_device(&house.admin, house.device.id).await.unwrap();
    for one in waiting {
        assert_eq!(one.await.unwrap(), Ok(Outcome::Gone));
    }
    assert!(matches!(call().await, Err(Error::NotFound(_))));
    assert_eq!(house.node.metrics.calls_pending.value(), 0);
    house.kill().await;
}

#[tokio::test]
async fn a_device_that_listens_hears_and_a_caller_who_went_disturbs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let mailbox = house.node.presence.open(house.device.id);
    mailbox.set_wants(Wants { attributes: false, calls: true });
    let call = house.node.calls.call(&house.admin, house.device.id, draft(CallWay::TwoWay));
    let impatient = tokio::time::timeout(std::time::Duration::ZERO, call).await;
    assert!(impatient.is_err());
    while house.node.metrics.calls_pending.value() > 0 {
        house.clock.advance(60_000);
        let _ = house.node.calls.tick();
        tokio::task::yield_now().await;
    }
    house.kill().await;
}

#[tokio::test]
async fn ended_calls_are_forgotten_when_the_tenant_profile_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::start(dir.path(), &Arc::default()).await;
    let past = CallDraft { expires_at: Some(Timestamp(1)), ..draft(CallWay::OneWay) };
    let ended = house.keep(past).await.unwrap();
    let open = house.keep(CallDraft { timeout_ms: Some(u64::MAX), ..draft(CallWay::OneWay) });
    let open = open.await.unwrap();
    house.clock.advance(3 * DAY_MS);
    house.node.calls.forget_old().await.unwrap();
    assert_eq!(house.status(ended).await, CallStatus::Expired);
    keep_calls_for(&house, 2).await;
    house.node.calls.forget_old().await.unwrap();
    let gone = house.node.calls.kept(&house.admin, ended).await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
    assert_eq!(house.status(open).await, CallStatus::Queued);
    let filter = CallFilter { device_id: house.device.id, status: None };
    let link = PageLink { page: 0, size: 10, text_search: None, sort: None };
    let page = house.node.calls.kept_of(&house.admin, filter, link).await.unwrap();
    assert_eq!(page.total, 1);
    house.kill().await;
}

async fn keep_calls_for(house: &House, days: u32) {
    let system = Caller::system();
    let stored = house.node.registry.default_tenant_profile(&system).await.unwrap();
    let draft = TenantProfileDraft {
        id: Some(stored.id),
        name: stored.name,
        description: stored.description,
        isolated_rule_engine: stored.isolated_rule_engine,
        profile_data: stored.profile_data,
        storage_ttl_days: stored.storage_ttl_days,
        rpc_ttl_days: days,
        devices_max: stored.devices_max,
        customers_max: stored.customers_max,
        users_max: stored.users_max,
        package_bytes_max: stored.package_bytes_max,
        rate_limits: stored.rate_limits,
    };
    house.node.registry.save_tenant_profile(&system, draft).await.unwrap();
}

fn people() -> FirstPeople {
    FirstPeople {
        system_email: "root@example.org".to_owned(),
        system_password: "one".to_owned(),
        tenant_title: "First".to_owned(),
        tenant_email: "admin@example.org".to_owned(),
        tenant_password: "two".to_owned(),
    }
}

/// Both clocks stand still until they are moved.
#[derive(Default)]
struct Invented(AtomicU64);

impl Invented {
    fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Invented {
    fn now(&self) -> Timestamp {
        Timestamp(START_MS + i64::try_from(self.monotonic_ms()).unwrap())
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes that do not repeat within a test.
struct Chance(AtomicU64);

impl Default for Chance {
    fn default() -> Self {
        // Each life of the process draws others.
        static LIVES: AtomicU64 = AtomicU64::new(1);
        Self(AtomicU64::new(LIVES.fetch_add(1, Ordering::Relaxed) << 32))
    }
}

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        for part in out.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            let drawn = next.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
    }
}

const START_MS: i64 = 1_767_225_600_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
