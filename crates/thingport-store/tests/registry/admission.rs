//! Who is let in (device API section 2): the rows of the password table, certificates, and chains.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use thingport_core::admit::{Entrance, Offer, Refused, admit};
use thingport_core::metrics::Metrics;
use thingport_core::provision::Provisions;
use thingport_core::registry::DeviceLogin;
use thingport_core::registry::credentials::{CredentialsDraft, Secret};
use thingport_core::registry::devices::{DeviceDraft, ProfileChoice};
use thingport_core::registry::profiles::{ProfileDraft, ProfileTransport};
use thingport_model::credentials::CredentialsType;
use thingport_model::device::Device;
use thingport_model::id::DeviceProfileId;
use thingport_model::profile::{ChainStrictness, Provisioning, TransportType, X509Chain};
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use thingport_model::time::Timestamp;

use crate::house::{Event, House, Invented, is_invalid, link};
use crate::provisioning::Book;

pub(crate) async fn every_row_of_the_password_table_is_answered(house: House) {
    let gate = Gate::of(house);
    for (name, secret) in [
        ("token", Secret::AccessToken("T".to_owned())),
        ("id", basic("C", "", "")),
        ("id+user", basic("D", "U", "")),
        ("all", basic("E", "V", "P")),
        ("shadow", Secret::AccessToken("V".to_owned())),
        ("token of the basic name", Secret::AccessToken("U".to_owned())),
        ("user", basic("", "W", "")),
        ("user+password", basic("", "X", "P")),
    ] {
        gate.device(name, secret).await;
    }
    use Reason::{
        ClientIdUnknown, CredentialsUnknown, PasswordWithoutUserName, PasswordWrong,
        TokenMalformed, TokenMissing,
    };
    let long = "x".repeat(256);
    let rows: &[PasswordRow<'_>] = &[
        ("AU-020", "any", Some("T"), None, Ok("token")),
        ("AU-020", "", Some("T"), Some("any"), Ok("token")),
        ("AU-021", "C", None, None, Ok("id")),
        ("AU-021", "C", Some(""), None, Ok("id")),
        ("AU-022", "C", None, Some("any"), Ok("id")),
        ("AU-023", "D", Some("U"), None, Ok("id+user")),
        ("AU-024", "E", Some("V"), Some("P"), Ok("all")),
        ("AU-025", "E", Some("V"), Some("Q"), Err(PasswordWrong)),
        ("AU-025", "E", Some("V"), None, Err(PasswordWrong)),
        ("AU-026", "other", Some("V"), Some("any"), Ok("shadow")),
        ("AU-027", "D", Some("U"), Some("any"), Ok("id+user")),
        ("AU-027", "other", Some("U"), None, Ok("token of the basic name")),
        ("AU-028", "D", None, None, Err(ClientIdUnknown)),
        ("AU-029", "any", Some("W"), None, Ok("user")),
        ("AU-029", "", Some("W"), Some("any"), Ok("user")),
        ("AU-029", "any", Some("X"), Some("P"), Ok("user+password")),
        ("AU-029", "any", Some("X"), Some("p"), Err(PasswordWrong)),
        ("AU-029", "any", Some("X"), None, Err(PasswordWrong)),
        ("AU-030", "C", Some("nobody"), None, Err(CredentialsUnknown)),
        ("AU-031", "any", Some("nobody"), Some("T"), Err(CredentialsUnknown)),
        ("AU-031", "T", None, None, Err(ClientIdUnknown)),
        ("AU-032", "", None, None, Err(TokenMissing)),
        ("AU-033", "E", Some("V"), Some("P\u{fc}"), Err(PasswordWrong)),
        ("2.6", "nobody", None, Some("P"), Err(PasswordWithoutUserName)),
        ("2.6", " ", None, None, Err(TokenMissing)),
        ("2.6", "any", Some(" "), None, Err(TokenMalformed)),
        ("2.6", "any", Some("a\nb"), None, Err(TokenMalformed)),
        ("2.6", "any", Some(&long), None, Err(TokenMalformed)),
    ];
    for (row, client_id, user_name, password, expected) in rows {
        let offer = Offer {
            client_id,
            user_name: *user_name,
            password: password.map(str::as_bytes),
            security: None,
        };
        let found = admit(&gate.entrance(), &offer).await;
        if let Err(refused) = &found {
            let told = format!("{} {}", refused.detail, refused.tried);
            assert!(!refused.tried.is_empty() && !told.contains('P'), "{row}: {told}");
        }
        let found = match found {
            Ok(login) => Ok(gate.name_of(&login).await),
            Err(refused) => Err(refused.reason),
        };
        assert_eq!(found.as_deref(), expected.as_ref().copied(), "{row} {client_id} {user_name:?}");
    }
}

pub(crate) async fn a_certificate_is_known_by_its_hash_alone(house: House) {
    let gate = Gate::of(house);
    let ca = Ca::new("CA");
    let (known, stranger) = (ca.device("pump"), ca.device("pump"));
    let device = gate.device("pump", certificate(&known)).await;
    gate.device("token", Secret::AccessToken("T".to_owned())).await;
    assert_eq!(gate.connect(&[&known]).await, Ok("pump".to_owned()));
    // Whatever else it says does not matter (AU-002).
    let said = Offer { client_id: "x", user_name: Some("T"), password: Some(b"p"), security: None };
    let (good, bad) = (security(&[&known]), security(&[&stranger, &known]));
    let found = admit(&gate.entrance(), &Offer { security: Some(&good), ..said }).await;
    assert_eq!(found.unwrap().device_id, device.id, "AU-002");
    let refused = admit(&gate.entrance(), &Offer { security: Some(&bad), ..said }).await;
    assert_eq!(refused.unwrap_err().reason, Reason::CertificateUnknown, "AU-048");
    let none = security(&[]);
    let found = admit(&gate.entrance(), &Offer { security: Some(&none), ..said }).await;
    assert_eq!(gate.name_of(&found.unwrap()).await, "token", "AU-040");
    // Its id is worth nothing as a user name (AU-004).
    let id = gate.house.token_of(device.id).await;
    let refused = admit(&gate.entrance(), &Offer { user_name: Some(&id), ..said }).await;
    assert_eq!(refused.unwrap_err().reason, Reason::CredentialsTypeUnsupported);
    let garbage = Security { chain: vec![vec![0x30; 40].into()], ..security(&[]) };
    let refused = admit(&gate.entrance(), &Offer { security: Some(&garbage), ..said }).await;
    assert_eq!(refused.unwrap_err().reason, Reason::CertificateUnreadable);
    // Registered after it was refused (AU-034).
    assert_eq!(gate.connect(&[&stranger]).await, Err(Reason::CertificateUnknown));
    gate.device("other", certificate(&stranger)).await;
    assert_eq!(gate.connect(&[&stranger]).await, Ok("other".to_owned()));
}

pub(crate) async fn a_certificate_out_of_its_period_is_refused_unless_told_otherwise(house: House) {
    let mut gate = Gate::of(house);
    let ca = Ca::new("CA");
    let old = ca.issue("old", |it| it.not_after = date_time_ymd(2025, 6, 1));
    let new = ca.issue("new", |it| it.not_before = date_time_ymd(2039, 6, 1));
    gate.device("old", certificate(&old)).await;
    gate.device("new", certificate(&new)).await;
    assert_eq!(gate.connect(&[&old]).await, Err(Reason::CertificateExpired), "AU-045");
    assert_eq!(gate.connect(&[&new]).await, Err(Reason::CertificateNotYetValid), "AU-045");
    let refused = gate.refused(&[&old]).await;
    let id = gate.house.token_of(gate.named("old").await.id).await;
    for said in ["CN=old", "2025-06-01T00:00:00Z", &id] {
        assert!(refused.detail.contains(said), "{}", refused.detail);
    }
    gate.skip_client_validity = true;
    assert_eq!(gate.connect(&[&old]).await, Ok("old".to_owned()));
    assert_eq!(gate.connect(&[&new]).await, Ok("new".to_owned()));
}

pub(crate) async fn below_a_profiles_ca_devices_come_to_be(house: House) {
    let gate = Gate::of(house);
    let ca = Ca::new("CA");
    let profile = gate.profile("fleet", ca.chain(), false).await;
    let pump = ca.device("pump@company.com");
    assert_eq!(gate.connect(&[&pump]).await, Err(Reason::ChainDeviceUnknown), "AU-053");
    let refused = gate.refused(&[&pump]).await;
    assert_eq!(refused.profiles.iter().map(|it| it.id).collect::<Vec<_>>(), [profile]);
    gate.save_profile(Some(profile), "fleet", ca.chain(), true).await;
    assert_eq!(gate.connect(&[&pump]).await, Ok("pump".to_owned()), "AU-051");
    let device = gate.named("pump").await;
    assert_eq!(device.profile_id, profile);
    assert!(gate.book.is_marked(device.id.entity()), "AU-053");
    let stored = gate.house.registry.credentials(&gate.house.admin, device.id).await.unwrap();
    assert_eq!(stored.kind, CredentialsType::X509Certificate);
    assert_eq!(gate.connect(&[&pump]).await, Ok("pump".to_owned()), "and again");
    for nameless in ["valve", "@company.com"] {
        let refused = gate.connect(&[&ca.device(nameless)]).await;
        assert_eq!(refused, Err(Reason::ChainNameMissing), "{nameless}");
    }
    let wrong = gate.connect(&[&ca.device(&format!("{}@company.com", "x".repeat(300)))]).await;
    assert_eq!(wrong, Err(Reason::ChainNameInvalid));
    let unnamed = ca.issue("", |it| it.distinguished_name = rcgen::DistinguishedName::new());
    assert_eq!(gate.connect(&[&unnamed]).await, Err(Reason::ChainNameMissing));
}

pub(crate) async fn the_device_of_the_name_takes_the_new_certificate(house: House) {
    let gate = Gate::of(house);
    let ca = Ca::new("CA");
    gate.profile("fleet", ca.chain(), true).await;
    let (first, second) = (ca.device("pump@company.com"), ca.device("pump@company.com"));
    assert_eq!(gate.connect(&[&first]).await, Ok("pump".to_owned()));
    let device = gate.named("pump").await;
    let heard = || std::mem::take(&mut *gate.house.heard.0.lock());
    heard();
    assert_eq!(gate.connect(&[&second]).await, Ok("pump".to_owned()), "AU-052");
    assert_eq!(heard(), [Event::CredentialsChanged(device.id)], "old sessions are closed");
    assert_eq!(gate.named("pump").await.id, device.id);
    assert_eq!(gate.connect(&[&second]).await, Ok("pump".to_owned()));
    assert_eq!(heard(), []);
    // Two at once: both come in, as one device.
    let third = ca.device("twin@company.com");
    let presented = [third.as_slice()];
    let (one, other) = tokio::join!(gate.connect(&presented), gate.connect(&presented));
    assert_eq!((one.as_deref(), other.as_deref()), (Ok("twin"), Ok("twin")));
}

pub(crate) async fn only_the_device_of_the_profile_takes_a_certificate(house: House) {
    let gate = Gate::of(house);
    let ca = Ca::new("CA");
    let fleet = gate.profile("fleet", ca.chain(), true).await;
    gate.device("pump", Secret::AccessToken("T".to_owned())).await;
    let pump = ca.device("pump@company.com");
    assert_eq!(gate.connect(&[&pump]).await, Err(Reason::ChainDeviceElsewhere), "AU-053");
    let draft = DeviceDraft { profile: ProfileChoice::Id(fleet), ..DeviceDraft::new("valve") };
    let valve = gate.house.registry.save_device(&gate.house.admin, draft, Some("V")).await.unwrap();
    let refused = gate.refused(&[&ca.device("valve@company.com")]).await;
    assert_eq!(refused.reason, Reason::CertificateNotExpected, "AU-052");
    assert_eq!(refused.device.map(|it| it.device_id), Some(valve.id));
    assert_eq!(gate.house.token_of(valve.id).await, "V", "nothing changed");
    // Another tenant's device of the name is another one.
    let draft = DeviceDraft::new("tap");
    gate.house.registry.save_device(&gate.house.stranger, draft, None).await.unwrap();
    assert_eq!(gate.connect(&[&ca.device("tap@company.com")]).await, Ok("tap".to_owned()));
    let coap = ProfileDraft {
        transport: ProfileTransport::Opaque(TransportType::Coap, "{}".to_owned()),
        id: Some(gate.profile("coap", Ca::new("x").chain(), true).await),
        ..ProfileDraft::new("coap")
    };
    let other = Ca::new("other");
    let coap = ProfileDraft { provisioning: chain(other.chain(), true), ..coap };
    gate.house.registry.save_profile(&gate.house.admin, coap).await.unwrap();
    let refused = gate.connect(&[&other.device("a@company.com")]).await;
    assert_eq!(refused, Err(Reason::ProfileNotMqtt), "AU-009");
}

pub(crate) async fn what_is_not_sound_names_no_device(house: House) {
    let gate = Gate::of(house);
    let (ca, impostor) = (Ca::new("CA"), Ca::new("CA"));
    gate.profile("fleet", ca.chain(), true).await;
    let name = "pump@company.com";
    // A device of the fleet that signs for others (WK-040).
    let member = ca.below("member@company.com", |it| it.is_ca = IsCa::NoCa);
    let signer = ca.below("signer@company.com", |it| {
        it.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let late = ca.below("late", |it| it.not_after = date_time_ymd(2025, 1, 1));
    let a_ca = ca.issue(name, |it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let rows = [
        (vec![impostor.device(name)], Reason::ChainBroken),
        (vec![impostor.device(name), ca.der.clone()], Reason::ChainBroken),
        (vec![member.device(name), member.der.clone(), ca.der.clone()], Reason::ChainNotCa),
        (vec![signer.device(name), signer.der.clone()], Reason::ChainNotCa),
        (vec![late.device(name), late.der.clone()], Reason::ChainExpired),
        (vec![a_ca], Reason::ChainLeaf),
        (vec![ca.der.clone()], Reason::ChainLeaf),
        (vec![Ca::new("other").device(name)], Reason::CertificateUnknown),
    ];
    for (row, (presented, expected)) in rows.iter().enumerate() {
        let presented: Vec<_> = presented.iter().map(|der| &**der).collect();
        let refused = gate.refused(&presented).await;
        assert_eq!(refused.reason, *expected, "row {row}: {}", refused.detail);
        assert!(refused.detail.contains("CN="), "{}", refused.detail);
    }
    let devices = gate.house.registry.device_types(&gate.house.admin).await.unwrap();
    assert!(!devices.contains(&"fleet".to_owned()), "{devices:?}");
}

pub(crate) async fn a_profile_may_judge_as_thingsboard_does(house: House) {
    let gate = Gate::of(house);
    let ca = Ca::new("CA");
    let member = ca.below("member@company.com", |it| it.is_ca = IsCa::NoCa);
    let compatible = X509Chain { strictness: ChainStrictness::Compatible, ..ca.chain() };
    gate.profile("fleet", compatible, true).await;
    let below = member.device("pump@company.com");
    let presented = [&*below, &*member.der, &*ca.der];
    assert_eq!(gate.connect(&presented).await, Ok("pump".to_owned()), "AU-041");
    let stranger = Ca::new("CA").device("pump@company.com");
    assert_eq!(gate.connect(&[&stranger]).await, Err(Reason::ChainBroken));
}

pub(crate) async fn what_was_called_back_stays_outside(house: House) {
    let gate = Gate::of(house);
    let ca = Ca::new("CA");
    let profile = gate.profile("fleet", ca.chain(), true).await;
    let numbered = |name: &str, number: u64| {
        ca.issue(name, |it| it.serial_number = Some(SerialNumber::from(number)))
    };
    let (known, unknown) = (numbered("a@company.com", 0x8001), numbered("b@company.com", 0x8002));
    let good = numbered("c@company.com", 0x8003);
    assert_eq!(gate.connect(&[&known]).await, Ok("a".to_owned()));
    let crl = Some(ca.revocation_list(&[0x8001, 0x8002], 2039));
    gate.save_profile(Some(profile), "fleet", X509Chain { crl, ..ca.chain() }, true).await;
    assert_eq!(gate.connect(&[&known]).await, Err(Reason::CertificateRevoked));
    assert_eq!(gate.connect(&[&unknown]).await, Err(Reason::CertificateRevoked));
    assert_eq!(gate.connect(&[&good]).await, Ok("c".to_owned()));
    let crl = Some(ca.revocation_list(&[0x8001], 2025));
    gate.save_profile(Some(profile), "fleet", X509Chain { crl, ..ca.chain() }, true).await;
    assert_eq!(gate.connect(&[&unknown]).await, Err(Reason::ChainListStale));
    assert_eq!(gate.connect(&[&good]).await, Ok("c".to_owned()), "who is known may stay");
    let foreign = Some(Ca::new("CA").revocation_list(&[1], 2039));
    let draft = ProfileDraft {
        id: Some(profile),
        provisioning: chain(X509Chain { crl: foreign, ..ca.chain() }, true),
        ..ProfileDraft::new("fleet")
    };
    assert!(is_invalid(&gate.house.registry.save_profile(&gate.house.admin, draft).await));
}

pub(crate) async fn the_ca_may_be_presented_or_not(house: House) {
    let gate = Gate::of(house);
    let root = Ca::new("Root");
    let (one, two) = (root.below("One", |_| {}), root.below("Two", |_| {}));
    gate.profile("one", one.chain(), true).await;
    gate.profile("root", root.chain(), true).await;
    let types = async |name: &str| gate.named(name).await.profile_name;
    let leaf = one.device("a@company.com");
    assert_eq!(gate.connect(&[&leaf]).await, Ok("a".to_owned()), "the leaf alone");
    assert_eq!(types("a").await, "one");
    let leaf = one.device("b@company.com");
    assert_eq!(gate.connect(&[&leaf, &one.der, &root.der]).await, Ok("b".to_owned()));
    assert_eq!(types("b").await, "one", "AU-042: from the leaf upward");
    let leaf = two.device("c@company.com");
    assert_eq!(gate.connect(&[&leaf, &two.der]).await, Ok("c".to_owned()));
    assert_eq!(types("c").await, "root");
    let leaf = two.device("d@company.com");
    assert_eq!(gate.connect(&[&leaf]).await, Err(Reason::CertificateUnknown));
    // One CA serves one profile (AU-050); a namesake with another key may serve another.
    let again = ProfileDraft { provisioning: chain(one.chain(), true), ..ProfileDraft::new("two") };
    assert!(is_invalid(&gate.house.registry.save_profile(&gate.house.stranger, again).await));
    let namesake = Ca::new("One");
    gate.profile("namesake", namesake.chain(), true).await;
    let leaf = namesake.device("e@company.com");
    assert_eq!(gate.connect(&[&leaf]).await, Ok("e".to_owned()));
    assert_eq!(types("e").await, "namesake");
}

pub(crate) async fn certificates_are_listed_by_the_end_of_their_period(house: House) {
    let gate = Gate::of(house);
    let ca = Ca::new("CA");
    for (name, year) in [("late", 2033), ("soon", 2027), ("middle", 2030)] {
        let pem = ca.issue(name, |it| it.not_after = date_time_ymd(year, 1, 1));
        gate.device(name, certificate(&pem)).await;
    }
    gate.device("token", Secret::AccessToken("T".to_owned())).await;
    let registry = &gate.house.registry;
    let list = async |caller, before| {
        let page = registry.certificates(caller, &[], Timestamp(before), link()).await.unwrap();
        let names = page.rows.iter().map(|row| row.certificate.subject.clone());
        (names.collect::<Vec<_>>(), page.total)
    };
    let all = (vec!["CN=soon".to_owned(), "CN=middle".to_owned(), "CN=late".to_owned()], 3);
    assert_eq!(list(&gate.house.admin, i64::MAX).await, all);
    // 1 January 2031.
    assert_eq!(list(&gate.house.admin, 1_924_992_000_000).await.1, 2);
    assert_eq!(list(&gate.house.stranger, i64::MAX).await.1, 0);
    assert_eq!(list(&gate.house.customer_user, i64::MAX).await.1, 0);
    let soon = gate.named("soon").await.id;
    registry.assign_device(&gate.house.admin, soon, gate.house.customer).await.unwrap();
    assert_eq!(list(&gate.house.customer_user, i64::MAX).await.1, 1);
    let token = CredentialsDraft::access_token("other");
    registry.save_credentials(&gate.house.admin, soon, &token).await.unwrap();
    assert_eq!(list(&gate.house.admin, i64::MAX).await.1, 2, "a token does not expire");
}

/// Row, client id, user name, password; device or reason.
type PasswordRow<'a> =
    (&'a str, &'a str, Option<&'a str>, Option<&'a str>, Result<&'a str, Reason>);

/// A house with an entrance.
pub(crate) struct Gate {
    pub(crate) house: House,
    book: Arc<Book>,
    provisions: Provisions,
    clock: Arc<Invented>,
    skip_client_validity: bool,
}

impl Gate {
    pub(crate) fn of(house: House) -> Self {
        let (book, clock) = (Arc::new(Book::default()), Arc::new(Invented::default()));
        let provisions = Provisions::new(
            Arc::clone(&house.registry),
            book.clone(),
            clock.clone(),
            Arc::new(Metrics::default()),
        );
        Self { house, book, provisions, clock, skip_client_validity: false }
    }

    fn entrance(&self) -> Entrance<'_> {
        Entrance {
            registry: &self.house.registry,
            provisions: &self.provisions,
            clock: &*self.clock,
            skip_client_validity: self.skip_client_validity,
        }
    }

    async fn try_connect(&self, presented: &[&[u8]]) -> Result<Arc<DeviceLogin>, Refused> {
        let security = security(presented);
        let offer =
            Offer { client_id: "", user_name: None, password: None, security: Some(&security) };
        admit(&self.entrance(), &offer).await
    }

    /// Name of the device that is let in.
    pub(crate) async fn connect(&self, presented: &[&[u8]]) -> Result<String, Reason> {
        match self.try_connect(presented).await {
            Ok(login) => Ok(self.name_of(&login).await),
            Err(refused) => Err(refused.reason),
        }
    }

    pub(crate) async fn refused(&self, presented: &[&[u8]]) -> Refused {
        let refused = self.try_connect(presented).await.unwrap_err();
        assert!(!refused.tried.is_empty(), "{refused:?}");
        refused
    }

    async fn name_of(&self, login: &DeviceLogin) -> String {
        let device = self.house.registry.device(&self.house.admin, login.device_id).await;
        device.unwrap().name
    }

    pub(crate) async fn named(&self, name: &str) -> Device {
        self.house.registry.device_by_name(&self.house.admin, name).await.unwrap()
    }

    pub(crate) async fn device(&self, name: &str, secret: Secret) -> Device {
        let draft = CredentialsDraft { id: None, version: None, secret };
        let device = DeviceDraft::new(name);
        let registry = &self.house.registry;
        registry.save_device_with_credentials(&self.house.admin, device, draft).await.unwrap()
    }

    pub(crate) async fn profile(
        &self,
        name: &str,
        chain: X509Chain,
        allow_create: bool,
    ) -> DeviceProfileId {
        self.save_profile(None, name, chain, allow_create).await
    }

    pub(crate) async fn save_profile(
        &self,
        id: Option<DeviceProfileId>,
        name: &str,
        certificates: X509Chain,
        allow_create: bool,
    ) -> DeviceProfileId {
        let provisioning = chain(certificates, allow_create);
        let draft = ProfileDraft { id, provisioning, ..ProfileDraft::new(name) };
        self.house.registry.save_profile(&self.house.admin, draft).await.unwrap().id
    }
}

pub(crate) fn chain(certificates: X509Chain, allow_create: bool) -> Provisioning {
    Provisioning::X509Chain(Box::new(X509Chain { allow_create, ..certificates }))
}

fn basic(client_id: &str, user_name: &str, password: &str) -> Secret {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Secret::MqttBasic {
        client_id: text(client_id),
        user_name: text(user_name),
        password: text(password),
    }
}

pub(crate) fn certificate(der: &[u8]) -> Secret {
    Secret::X509Certificate(pem(der))
}

fn security(presented: &[&[u8]]) -> Security {
    Security {
        version: "TLS 1.3",
        cipher: "TLS13_AES_128_GCM_SHA256",
        chain: presented.iter().map(|der| (*der).into()).collect(),
    }
}

/// A CA with its key, valid from 2020 to 2040.
pub(crate) struct Ca {
    pub(crate) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let (params, key) = (ca_params(name), KeyPair::generate().unwrap());
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn below(&self, name: &str, wish: impl Fn(&mut CertificateParams)) -> Self {
        let (mut params, key) = (ca_params(name), KeyPair::generate().unwrap());
        wish(&mut params);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn device(&self, name: &str) -> Vec<u8> {
        self.issue(name, |_| {})
    }

    pub(crate) fn issue(&self, name: &str, wish: impl Fn(&mut CertificateParams)) -> Vec<u8> {
        let (mut params, key) = (params(name), KeyPair::generate().unwrap());
        wish(&mut params);
        params.signed_by(&key, &self.issuer).unwrap().der().to_vec()
    }

    /// Settings of a profile with this CA.
    pub(crate) fn chain(&self) -> X509Chain {
        X509Chain {
            chain: pem(&self.der),
            cn_pattern: "(.*)@company.com".to_owned(),
            ..X509Chain::default()
        }
    }

    pub(crate) fn revocation_list(&self, serials: &[u64], next_update: i32) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

fn pem(der: &[u8]) -> String {
    thingport_x509::certificate::Certificate::from_der(der).unwrap().to_pem()
}
