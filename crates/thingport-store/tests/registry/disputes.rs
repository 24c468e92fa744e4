//! Whose a certificate is when several profiles might say so, and which of a device's certificates
//! counts (AU-042, AU-052).

use rcgen::{CertificateParams, SerialNumber, date_time_ymd};
use thingport_core::registry::credentials::CredentialsDraft;
use thingport_core::registry::devices::{DeviceDraft, ProfileChoice};
use thingport_core::registry::profiles::ProfileDraft;
use thingport_model::id::DeviceProfileId;
use thingport_model::profile::{ChainStrictness, X509Chain};
use thingport_model::reason::Reason;

use crate::admission::{Ca, Gate, certificate, chain};
use crate::house::House;

/// Anybody may put anybody's CA into a profile.
pub(crate) async fn a_ca_that_two_tenants_name_gives_neither_a_new_device(house: House) {
    let gate = Gate::of(house);
    let root = Ca::new("Root");
    let fleet = root.below("Fleet", |_| {});
    let ours = gate.profile("ours", root.chain(), true).await;
    let device = |name: &str| fleet.device(&format!("{name}@company.com"));
    let (first, second, third) = (device("pump"), device("pump"), device("pump"));
    let connect = async |leaf: &[u8]| gate.connect(&[leaf, &fleet.der]).await;
    assert_eq!(connect(&first).await, Ok("pump".to_owned()));
    let theirs = squat(&gate, "theirs", fleet.chain()).await;
    // A new name: both tenants see it, and neither reads of the other.
    let valve = device("valve");
    let refused = gate.refused(&[&valve, &fleet.der]).await;
    assert_eq!(refused.reason, Reason::ChainDisputed);
    let mut told: Vec<_> = refused.profiles.iter().map(|it| it.id).collect();
    told.sort_unstable();
    assert_eq!(told, [ours, theirs]);
    let texts = format!("{} {}", refused.detail, refused.tried);
    assert!(!texts.contains("ours") && !texts.contains("theirs"), "{texts}");
    // A device that is there goes on, also with its next certificate.
    assert_eq!(connect(&first).await, Ok("pump".to_owned()));
    assert_eq!(connect(&second).await, Ok("pump".to_owned()), "just one tenant has it");
    // A certificate that was pasted counts at once.
    gate.device("valve", certificate(&valve)).await;
    assert_eq!(connect(&valve).await, Ok("valve".to_owned()));
    // A certificate from elsewhere does not make somebody the owner of a name; one of the CA does.
    let stranger = &gate.house.stranger;
    let profile = ProfileChoice::Id(theirs);
    let pump = DeviceDraft { profile, ..DeviceDraft::new("pump") };
    let give = |der: &[u8]| CredentialsDraft { id: None, version: None, secret: certificate(der) };
    let forged = give(&Ca::new("Fleet").device("pump@company.com"));
    let registry = &gate.house.registry;
    let theirs = registry.save_device_with_credentials(stranger, pump, forged).await.unwrap();
    assert_eq!(connect(&third).await, Ok("pump".to_owned()));
    registry.save_credentials(stranger, theirs.id, &give(&first)).await.unwrap();
    assert_eq!(connect(&device("pump")).await, Err(Reason::ChainDisputed), "both have it");
}

/// Else whoever names a CA gets the devices that its owner turns away.
pub(crate) async fn a_refusal_of_one_tenant_is_no_invitation_of_another(house: House) {
    let gate = Gate::of(house);
    let (root, serial) = (Ca::new("Root"), 0x8001);
    let fleet = root.below("Fleet", |_| {});
    let leaf =
        fleet.issue("pump@company.com", |it| it.serial_number = Some(SerialNumber::from(serial)));
    let crl = Some(fleet.revocation_list(&[serial], 2039));
    gate.profile("ours", X509Chain { crl, ..fleet.chain() }, true).await;
    assert_eq!(gate.connect(&[&leaf, &fleet.der]).await, Err(Reason::CertificateRevoked));
    squat(&gate, "theirs", root.chain()).await;
    assert_eq!(gate.connect(&[&leaf, &fleet.der]).await, Err(Reason::ChainDisputed));
}

pub(crate) async fn within_a_tenant_the_nearest_ca_decides(house: House) {
    let gate = Gate::of(house);
    let (root, serial) = (Ca::new("Root"), 0x8001);
    let fleet = root.below("Fleet", |_| {});
    let leaf =
        fleet.issue("pump@company.com", |it| it.serial_number = Some(SerialNumber::from(serial)));
    let crl = Some(fleet.revocation_list(&[serial], 2039));
    gate.profile("root", root.chain(), true).await;
    gate.profile("fleet", X509Chain { crl, ..fleet.chain() }, true).await;
    for presented in
        [vec![&*leaf], vec![&*leaf, &*fleet.der], vec![&*leaf, &*fleet.der, &*root.der]]
    {
        assert_eq!(gate.connect(&presented).await, Err(Reason::CertificateRevoked));
    }
}

pub(crate) async fn many_namesakes_of_others_hide_nobodys_ca(house: House) {
    let gate = Gate::of(house);
    // More than are looked at, and all of them older.
    for number in 0..40 {
        squat(&gate, &format!("theirs {number}"), Ca::new("CA").chain()).await;
    }
    let ca = Ca::new("CA");
    gate.profile("ours", ca.chain(), true).await;
    assert_eq!(gate.connect(&[&ca.device("pump@company.com")]).await, Ok("pump".to_owned()));
}

/// Else anybody could fill a tenant's events by naming its CA, which is no secret.
pub(crate) async fn a_refusal_concerns_a_tenant_only_if_its_ca_signed(house: House) {
    let gate = Gate::of(house);
    let (ca, impostor) = (Ca::new("CA"), Ca::new("CA"));
    let fleet = gate.profile("fleet", ca.chain(), true).await;
    let name = "pump@company.com";
    let late = ca.below("late", |it| it.not_after = date_time_ymd(2025, 1, 1));
    let rows: [Refusal<'_>; 4] = [
        (&[&impostor.device(name)], Reason::ChainBroken, &[]),
        (&[&impostor.device(name), &ca.der], Reason::ChainBroken, &[]),
        (&[&late.device(name), &late.der], Reason::ChainExpired, &[fleet]),
        (&[&ca.device("nameless")], Reason::ChainNameMissing, &[fleet]),
    ];
    for (row, (presented, reason, concerned)) in rows.iter().enumerate() {
        let refused = gate.refused(presented).await;
        let profiles: Vec<_> = refused.profiles.iter().map(|it| it.id).collect();
        assert_eq!((refused.reason, &*profiles), (*reason, *concerned), "row {row}");
        let names_it = refused.tried.contains("fleet");
        assert_eq!(names_it, !concerned.is_empty(), "row {row}: {}", refused.tried);
    }
}

pub(crate) async fn an_older_certificate_does_not_take_the_device_back(house: House) {
    let gate = Gate::of(house);
    let ca = Ca::new("CA");
    let fleet = gate.profile("fleet", ca.chain(), true).await;
    let from = |year: i32| {
        let wish = move |it: &mut CertificateParams| it.not_before = date_time_ymd(year, 1, 1);
        ca.issue("pump@company.com", wish)
    };
    let (old, new, newer) = (from(2021), from(2022), from(2023));
    let good = Ok("pump".to_owned());
    assert_eq!(gate.connect(&[&old]).await, good);
    assert_eq!(gate.connect(&[&new]).await, good);
    let refused = gate.refused(&[&old]).await;
    assert_eq!(refused.reason, Reason::CertificateOlder);
    assert_eq!(refused.profiles.iter().map(|it| it.id).collect::<Vec<_>>(), [fleet]);
    for told in ["2021-01-01", "2022-01-01", "pump"] {
        assert!(refused.detail.contains(told), "{}", refused.detail);
    }
    assert_eq!(gate.connect(&[&new]).await, good, "nothing changed");
    assert_eq!(gate.connect(&[&from(2022)]).await, good, "as old as the other");
    assert_eq!(gate.connect(&[&newer]).await, good);
    // As ThingsBoard does.
    let compatible = X509Chain { strictness: ChainStrictness::Compatible, ..ca.chain() };
    gate.save_profile(Some(fleet), "fleet", compatible, true).await;
    assert_eq!(gate.connect(&[&from(2021)]).await, good);
}

/// What is presented, why it is refused, whose profiles it concerns.
type Refusal<'a> = (&'a [&'a [u8]], Reason, &'a [DeviceProfileId]);

/// A profile of the other tenant.
async fn squat(gate: &Gate, name: &str, certificates: X509Chain) -> DeviceProfileId {
    let draft = ProfileDraft { provisioning: chain(certificates, true), ..ProfileDraft::new(name) };
    gate.house.registry.save_profile(&gate.house.stranger, draft).await.unwrap().id
}
