//! Provisioning (device API 7.2, PR-020 to PR-034): rules of the domain on both engines, with a ledger
//! that remembers attributes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use parking_lot::Mutex;
use thingport_core::access::Caller;
use thingport_core::metrics::Metrics;
use thingport_core::provision::{NotProvisioned, PROVISIONS_MAX, Provisions};
use thingport_core::registry::accounts::TenantProfileDraft;
use thingport_core::registry::credentials::{hash_one, hash_two};
use thingport_core::registry::devices::{DeviceChoice, DeviceDraft, ProfileChoice};
use thingport_core::registry::profiles::ProfileDraft;
use thingport_model::aggregate::Fold;
use thingport_model::attribute::{Attribute, Scope};
use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::id::{DeviceProfileId, EntityRef};
use thingport_model::incident::Incident;
use thingport_model::port::error::PortError;
use thingport_model::port::ledger::{
    AppendError, Change, Keys, Ledger, LedgerState, LedgerStats, Observer, RangeQuery, Receipt,
    Waiter,
};
use thingport_model::profile::Provisioning;
use thingport_model::provision::{ProvisionRequest, Supplied};
use thingport_model::reading::Reading;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::Value;

use crate::house::{House, Invented, is_invalid, link};

pub(crate) async fn whoever_knows_key_and_secret_becomes_a_device(house: House) {
    let office = Office::of(house);
    let profile = office.profile("p", allow_create("K", "S")).await;
    for (asked, name) in [(Some("pump"), "pump"), (Some("  pump 2\t"), "pump 2")] {
        let granted = office.ask(&request("K", "S", asked)).await.unwrap();
        let device = office.house.registry.device_by_name(&office.house.admin, name).await.unwrap();
        assert_eq!((device.id, device.profile_id), (granted.device_id, profile), "PR-021");
        assert!(!device.is_gateway && device.additional_info.is_none());
        assert_eq!(granted.kind, CredentialsType::AccessToken);
        assert_eq!(granted.credentials_id.len(), 20, "PR-030");
        assert!(granted.credentials_id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(office.house.login(&granted.credentials_id).await, Some(device.id));
        assert!(office.book.is_marked(device.id.entity()), "PR-031");
    }
    let unnamed = office.ask(&request("K", "S", None)).await.unwrap();
    let device = office.house.registry.device(&office.house.admin, unnamed.device_id).await;
    assert_eq!(device.unwrap().name.len(), 20, "a name of its own");
    let gateway = ProvisionRequest { is_gateway: true, ..request("K", "S", Some("gate")) };
    let gateway = office.ask(&gateway).await.unwrap();
    let gateway = office.house.registry.device(&office.house.admin, gateway.device_id).await;
    let gateway = gateway.unwrap();
    assert!(gateway.is_gateway, "PR-032");
    assert_eq!(gateway.additional_info.as_deref(), Some(r#"{"gateway":true}"#));
    assert_eq!(office.devices().await, 4);
    assert_eq!(office.metrics.provisioned.value(), 4);
}

pub(crate) async fn without_key_and_secret_nothing_is_found(house: House) {
    let office = Office::of(house);
    office.profile("p", allow_create("K", "S")).await;
    let tenant = office.house.admin.tenant_id;
    for (key, secret, reason, told) in [
        ("", "S", Reason::ProvisionKeyEmpty, None),
        ("K", "", Reason::ProvisionKeyEmpty, None),
        ("L", "S", Reason::ProvisionKeyUnknown, None),
        ("k", "S", Reason::ProvisionKeyUnknown, None),
        ("K", "s", Reason::ProvisionSecretWrong, Some(tenant)),
        ("K", "SS", Reason::ProvisionSecretWrong, Some(tenant)),
    ] {
        let refused = office.ask(&request(key, secret, Some("d"))).await.unwrap_err();
        assert_eq!((refused.reason, refused.tenant), (reason, told), "PR-020 {key} {secret}");
        assert!(!refused.detail.contains('S'), "no secret is told");
    }
    assert_eq!(office.devices().await, 0);
    assert_eq!(office.book.marked(), 0);
}

pub(crate) async fn a_key_counts_as_long_as_a_profile_has_it(house: House) {
    let office = Office::of(house);
    let profile = office.profile("p", allow_create("K", "S")).await;
    office.ask(&request("K", "S", Some("a"))).await.unwrap();
    let save = async |provisioning| {
        let draft = ProfileDraft { id: Some(profile), provisioning, ..ProfileDraft::new("p") };
        office.house.registry.save_profile(&office.house.admin, draft).await.map(drop)
    };
    save(Provisioning::Disabled { configured: true }).await.unwrap();
    let refused = office.ask(&request("K", "S", Some("b"))).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ProvisionKeyUnknown, "P-12");
    save(allow_create("K", "T")).await.unwrap();
    office.ask(&request("K", "T", Some("b"))).await.unwrap();
    save(check_pre_provisioned("K", "T")).await.unwrap();
    let refused = office.ask(&request("K", "T", Some("c"))).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ProvisionDeviceUnknown, "the new strategy is in force");
    // Keys are unique in the installation (P-10), so one tenant's key never finds another's profile.
    let other = ProfileDraft { provisioning: allow_create("K", "x"), ..ProfileDraft::new("q") };
    let saved = office.house.registry.save_profile(&office.house.stranger, other).await;
    assert!(is_invalid(&saved));
}

pub(crate) async fn a_device_may_bring_its_own_credentials(house: House) {
    let office = Office::of(house);
    office.profile("p", allow_create("K", "S")).await;
    let basic = |client: &str, user: &str, password: &str| Supplied {
        client_id: client.to_owned(),
        user_name: user.to_owned(),
        password: password.to_owned(),
        ..Supplied::default()
    };
    let token = Supplied { token: "mine".to_owned(), ..Supplied::default() };
    use CredentialsType as Type;
    for (name, kind, supplied, id) in [
        ("token", Type::AccessToken, token.clone(), "mine".to_owned()),
        ("user", Type::MqttBasic, basic("", "u", "p"), "u".to_owned()),
        ("client", Type::MqttBasic, basic("c", "", ""), hash_one("c")),
        ("all", Type::MqttBasic, basic("c", "u", "p"), hash_two("c", "u")),
    ] {
        let granted = office.ask(&with(name, kind, supplied)).await.unwrap();
        assert_eq!((granted.kind, granted.credentials_id.as_str()), (kind, id.as_str()), "{name}");
        assert_eq!(office.house.login(&id).await, Some(granted.device_id), "{name}");
    }
    let nothing = office.ask(&with("nothing", Type::MqttBasic, Supplied::default())).await;
    assert_eq!(nothing.unwrap().kind, Type::AccessToken, "PR-030");
    let certificate = |text: &str| Supplied { certificate: text.to_owned(), ..Supplied::default() };
    let (invalid, taken) = (Reason::ProvisionCredentialsInvalid, Reason::ProvisionCredentialsTaken);
    let devices = office.devices().await;
    for (kind, supplied, reason) in [
        (Type::AccessToken, token, taken),
        (Type::AccessToken, Supplied { token: "u".to_owned(), ..Supplied::default() }, taken),
        (Type::MqttBasic, basic("c", "u", "other"), taken),
        (Type::MqttBasic, basic("", "", "p"), invalid),
        (Type::MqttBasic, basic("x", "", "p"), invalid),
        (Type::AccessToken, Supplied { token: "a\nb".to_owned(), ..Supplied::default() }, invalid),
        (Type::AccessToken, basic("c2", "", ""), invalid),
        (Type::X509Certificate, certificate("no certificate!"), invalid),
        (Type::X509Certificate, basic("c2", "", ""), invalid),
        (Type::Lwm2m, basic("c2", "", ""), invalid),
    ] {
        let refused = office.ask(&with("left", kind, supplied)).await.unwrap_err();
        assert_eq!(refused.reason, reason, "PR-024 {kind:?} {}", refused.detail);
        assert_eq!(refused.tenant, Some(office.house.admin.tenant_id));
    }
    assert_eq!(office.devices().await, devices, "PR-024: no device is left behind");
    assert_eq!(office.book.marked(), devices);
}

pub(crate) async fn a_refused_request_leaves_nothing(house: House) {
    let office = Office::of(house);
    office.profile("p", allow_create("K", "S")).await;
    let long = "x".repeat(256);
    office.house.device("taken", "T").await;
    for (name, reason) in [
        ("taken", Reason::ProvisionNameTaken),
        (" taken ", Reason::ProvisionNameTaken),
        ("", Reason::ProvisionNameInvalid),
        ("  ", Reason::ProvisionNameInvalid),
        ("<b>x</b>", Reason::ProvisionNameInvalid),
        (long.as_str(), Reason::ProvisionNameInvalid),
    ] {
        let refused = office.ask(&request("K", "S", Some(name))).await.unwrap_err();
        assert_eq!(refused.reason, reason, "PR-022, PR-023 [{name}]");
    }
    office.book.refuse(Some(AppendError::Full));
    let refused = office.ask(&request("K", "S", Some("new"))).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ProvisionFailed);
    office.book.refuse(None);
    assert_eq!(office.devices().await, 1);
    assert_eq!(office.book.marked(), 0);
    office.ask(&request("K", "S", Some("new"))).await.unwrap();
}

pub(crate) async fn a_tenant_has_no_more_devices_than_it_may(house: House) {
    let office = Office::of(house);
    office.profile("p", allow_create("K", "S")).await;
    let (registry, system) = (&office.house.registry, Caller::system());
    let profile = registry.default_tenant_profile(&system).await.unwrap();
    let draft = TenantProfileDraft {
        id: Some(profile.id),
        name: profile.name,
        description: None,
        isolated_rule_engine: false,
        profile_data: profile.profile_data,
        storage_ttl_days: 0,
        rpc_ttl_days: 0,
        devices_max: 2,
        customers_max: 0,
        users_max: 0,
        package_bytes_max: 0,
        rate_limits: profile.rate_limits,
    };
    registry.save_tenant_profile(&system, draft).await.unwrap();
    office.ask(&request("K", "S", Some("a"))).await.unwrap();
    // Two that both saw room for one.
    let (b, c) = (request("K", "S", Some("b")), request("K", "S", Some("c")));
    let both = tokio::join!(office.ask(&b), office.ask(&c));
    let refused = [both.0, both.1].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].reason, Reason::ProvisionDeviceLimit, "PR-025");
    let refused = office.ask(&request("K", "S", Some("d"))).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ProvisionDeviceLimit, "PR-025");
    assert_eq!((office.devices().await, office.book.marked()), (2, 2));
}

pub(crate) async fn a_device_that_exists_is_handed_over_once(house: House) {
    let office = Office::of(house);
    let profile = office.profile("p", check_pre_provisioned("K", "S")).await;
    let draft = DeviceDraft { profile: ProfileChoice::Id(profile), ..DeviceDraft::new("pump") };
    let (registry, admin) = (&office.house.registry, &office.house.admin);
    let device = registry.save_device(admin, draft, Some("T")).await.unwrap();
    office.house.device("elsewhere", "E").await;
    for name in [Some("missing"), Some("elsewhere"), Some(""), None] {
        let refused = office.ask(&request("K", "S", name)).await.unwrap_err();
        assert_eq!(refused.reason, Reason::ProvisionDeviceUnknown, "PR-028 {name:?}");
    }
    let own = Supplied { token: "mine".to_owned(), ..Supplied::default() };
    let asked = ProvisionRequest { supplied: own, ..request("K", "S", Some(" pump")) };
    let granted = office.ask(&asked).await.unwrap();
    assert_eq!((granted.device_id, granted.credentials_id.as_str()), (device.id, "T"), "PR-026");
    assert!(office.book.is_marked(device.id.entity()), "PR-031");
    let refused = office.ask(&asked).await.unwrap_err();
    assert_eq!((refused.reason, refused.device), (Reason::ProvisionedAlready, Some(device.id)));
    // What the remedy says.
    office.book.forget(device.id.entity());
    office.book.refuse(Some(AppendError::Failed));
    assert_eq!(office.ask(&asked).await.unwrap_err().reason, Reason::ProvisionFailed);
    office.book.refuse(None);
    office.ask(&asked).await.unwrap();
    assert_eq!(office.devices().await, 2);
}

pub(crate) async fn of_two_at_once_one_succeeds(house: House) {
    let office = Office::of(house);
    let (create, check) = (allow_create("K", "S"), check_pre_provisioned("L", "S"));
    office.profile("create", create).await;
    let profile = office.profile("check", check).await;
    let draft = DeviceDraft { profile: ProfileChoice::Id(profile), ..DeviceDraft::new("old") };
    office.house.registry.save_device(&office.house.admin, draft, None).await.unwrap();
    for (asked, reason) in [
        (request("K", "S", Some("new")), Reason::ProvisionNameTaken),
        (request("L", "S", Some("old")), Reason::ProvisionedAlready),
    ] {
        let both = tokio::join!(office.ask(&asked), office.ask(&asked));
        let (granted, refused) = match both {
            (Ok(granted), Err(refused)) | (Err(refused), Ok(granted)) => (granted, refused),
            other => unreachable!("PR-034: {other:?}"),
        };
        assert_eq!(refused.reason, reason, "PR-034");
        assert!(office.book.is_marked(granted.device_id.entity()));
    }
    assert_eq!((office.devices().await, office.book.marked()), (2, 2), "the loser left nothing");
}

pub(crate) async fn what_comes_too_late_leaves_nothing(house: House) {
    let office = Office::of(house);
    office.profile("create", allow_create("K", "S")).await;
    let profile = office.profile("check", check_pre_provisioned("L", "S")).await;
    let draft = DeviceDraft { profile: ProfileChoice::Id(profile), ..DeviceDraft::new("old") };
    office.house.registry.save_device(&office.house.admin, draft, None).await.unwrap();
    for asked in [request("K", "S", Some("new")), request("L", "S", Some("old"))] {
        let place = office.provisions.place().await.unwrap();
        let refused = office.provisions.provision(place, &asked, 0).await.unwrap_err();
        assert_eq!(refused.reason, Reason::ProvisionFailed);
        assert_eq!((office.devices().await, office.book.marked()), (1, 0));
    }
    // A place is given back whatever became of the request.
    for _ in 0..=PROVISIONS_MAX {
        let _ = office.ask(&request("K", "wrong", None)).await;
    }
}

/// Where devices are made.
struct Office {
    house: House,
    book: Arc<Book>,
    metrics: Arc<Metrics>,
    provisions: Provisions,
}

impl Office {
    fn of(house: House) -> Self {
        let (book, metrics) = (Arc::new(Book::default()), Arc::new(Metrics::default()));
        let clock = Arc::new(Invented::default());
        let registry = Arc::clone(&house.registry);
        let provisions = Provisions::new(registry, book.clone(), clock, Arc::clone(&metrics));
        Self { house, book, metrics, provisions }
    }

    async fn profile(&self, name: &str, provisioning: Provisioning) -> DeviceProfileId {
        let draft = ProfileDraft { provisioning, ..ProfileDraft::new(name) };
        self.house.registry.save_profile(&self.house.admin, draft).await.unwrap().id
    }

    async fn ask(&self, request: &ProvisionRequest) -> Result<DeviceCredentials, NotProvisioned> {
        let place = self.provisions.place().await.unwrap();
        self.provisions.provision(place, request, u64::MAX).await
    }

    async fn devices(&self) -> usize {
        let choice = DeviceChoice::default();
        let page = self.house.registry.devices(&self.house.admin, choice, link()).await.unwrap();
        page.rows.len()
    }
}

fn allow_create(key: &str, secret: &str) -> Provisioning {
    Provisioning::AllowCreate { key: key.to_owned(), secret: secret.to_owned() }
}

fn check_pre_provisioned(key: &str, secret: &str) -> Provisioning {
    Provisioning::CheckPreProvisioned { key: key.to_owned(), secret: secret.to_owned() }
}

fn request(key: &str, secret: &str, name: Option<&str>) -> ProvisionRequest {
    ProvisionRequest {
        key: key.to_owned(),
        secret: secret.to_owned(),
        device_name: name.map(str::to_owned),
        kind: CredentialsType::AccessToken,
        supplied: Supplied::default(),
        is_gateway: false,
    }
}

fn with(name: &str, kind: CredentialsType, supplied: Supplied) -> ProvisionRequest {
    ProvisionRequest { kind, supplied, ..request("K", "S", Some(name)) }
}

/// A ledger that keeps server attributes of devices, and commits at once.
#[derive(Default)]
pub(crate) struct Book {
    marked: Mutex<BTreeSet<EntityRef>>,
    refuses: Mutex<Option<AppendError>>,
}

impl Book {
    pub(crate) fn is_marked(&self, entity: EntityRef) -> bool {
        self.marked.lock().contains(&entity)
    }

    fn marked(&self) -> usize {
        self.marked.lock().len()
    }

    fn forget(&self, entity: EntityRef) {
        self.marked.lock().remove(&entity);
    }

    fn refuse(&self, error: Option<AppendError>) {
        *self.refuses.lock() = error;
    }
}

#[async_trait]
impl Ledger for Book {
    fn append(&self, change: Change<'_>) -> Result<Receipt, AppendError> {
        if let Some(error) = *self.refuses.lock() {
            return Err(error);
        }
        match change {
            Change::SetAttributes { entity, scope: Scope::Server, attributes } => {
                let all: Vec<_> =
                    attributes.iter().map(|it| (it.key.to_owned(), it.value.to_owned())).collect();
                let state = Value::String("provisioned".to_owned());
                assert_eq!(all, [("provisionState".to_owned(), state)]);
                self.marked.lock().insert(entity);
            }
            Change::Purge { entity } => self.forget(entity),
            other => unreachable!("{other:?}"),
        }
        Ok(Receipt(1))
    }

    fn poll_committed(
        &self,
        _: Receipt,
        _: &mut Waiter,
        _: &mut Context<'_>,
    ) -> Poll<Result<(), AppendError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn set_observer(&self, _: Arc<dyn Observer>) {}

    async fn latest(&self, _: EntityRef, _: Keys) -> Result<Vec<Reading>, PortError> {
        Ok(Vec::new())
    }

    async fn range(&self, _: RangeQuery) -> Result<Vec<(Timestamp, Value)>, PortError> {
        Ok(Vec::new())
    }

    async fn aggregate(&self, _: EntityRef, _: String, fold: Fold) -> Result<Fold, PortError> {
        Ok(fold)
    }

    async fn keys(&self, _: EntityRef) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    async fn attributes(
        &self,
        entity: EntityRef,
        scope: Scope,
        _: Keys,
    ) -> Result<Vec<Attribute>, PortError> {
        // Somebody else's turn, as with a real store.
        tokio::task::yield_now().await;
        let is_marked = scope == Scope::Server && self.is_marked(entity);
        let (key, value) = ("provisionState".to_owned(), Value::String("provisioned".to_owned()));
        let mark = Attribute { key, value, updated_at: Timestamp(1) };
        Ok(is_marked.then_some(mark).into_iter().collect())
    }

    async fn incidents(&self, _: EntityRef, _: usize) -> Result<Vec<Incident>, PortError> {
        Ok(Vec::new())
    }

    fn state(&self) -> LedgerState {
        LedgerState::Healthy
    }

    fn stats(&self) -> LedgerStats {
        LedgerStats::default()
    }

    async fn close(&self) -> Result<(), PortError> {
        Ok(())
    }
}
