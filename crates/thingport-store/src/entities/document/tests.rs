use super::*;
use crate::entities::calls::CallDocument;
use std::path::PathBuf;
use thingport_model::id::{DeviceProfileId, NIL, PackageId, TenantId};
use thingport_model::limit::{LimitKind, LimitScope};
use thingport_model::ota::{AssignedPackages, PackageKind};
use thingport_model::profile::extension::{ClientRpc, ProfileExtension, RpcWebhook};
use thingport_model::profile::forwarding::{
    BrokerUrl, Destination, ForwardKafka, ForwardKinds, ForwardMqtt, ForwardTarget, ForwardWebhook,
    KafkaLogin, KafkaMechanism, KafkaSecurity, TopicTemplate,
};
use thingport_model::profile::{
    ChainStrictness, DeviceProfile, MqttTransport, PayloadType, ProtobufPayload, ProtobufRoots,
    Provisioning, TransportType, X509Chain,
};
use thingport_model::webhook::{Secret, WebhookUrl};

/// Each document with the file that holds its stored text.
fn rows() -> Vec<(&'static str, String)> {
    let place = PlaceDocument {
        region: Some("Global".to_owned()),
        state: Some("Bavaria".to_owned()),
        address: Some("Street 1".to_owned()),
        address2: None,
        zip: Some("80331".to_owned()),
        phone: Some("+49 1".to_owned()),
        additional_info: Some(r#"{"isPublic":true}"#.to_owned()),
    };
    let tenant_profile = TenantProfileDocument {
        isolated_rule_engine: true,
        profile_data: r#"{"configuration":{"type":"DEFAULT"}}"#.to_owned(),
        storage_ttl_days: 30,
        rpc_ttl_days: 7,
        devices_max: 100,
        customers_max: 10,
        users_max: 20,
        package_bytes_max: 30,
        rate_limits: limit_texts(&limits()),
    };
    let login = LoginDocument {
        enabled: true,
        password_hash: Some("$argon2id$v=19$...".to_owned()),
        tokens_valid_from: 1_767_225_600_000,
        last_login_at: Some(1_767_225_600_001),
        password_set_at: Some(1_767_225_600_000),
        former_passwords: vec![FormerForm {
            hash: "$argon2id$v=19$..".to_owned(),
            used_until: 1_767_225_600_000,
        }],
    };
    let device = DeviceDocument {
        additional_info: Some(r#"{"gateway":true}"#.to_owned()),
        device_data: r#"{"configuration":{"type":"DEFAULT"}}"#.to_owned(),
    };
    let person = PersonDocument { additional_info: Some("{}".to_owned()) };
    let call = CallDocument {
        method: "setValve".to_owned(),
        params: r#"{"open":true}"#.to_owned(),
        retries: Some(2),
        additional_info: Some("{}".to_owned()),
    };
    let credentials = CredentialsDocument { value: Some(r#"{"clientId":null}"#.to_owned()) };
    vec![
        ("package", PackageDocument::from(&package()).write().unwrap()),
        ("place", place.write().unwrap()),
        ("tenant_profile", tenant_profile.write().unwrap()),
        ("person", person.write().unwrap()),
        ("person_login", login.write().unwrap()),
        ("device", device.write().unwrap()),
        ("rpc", call.write().unwrap()),
        ("device_credentials", credentials.write().unwrap()),
        ("device_profile_default", ProfileDocument::from(&plain()).write().unwrap()),
        ("device_profile_mqtt", ProfileDocument::from(&rich()).write().unwrap()),
        ("device_profile_rooted", ProfileDocument::from(&rooted()).write().unwrap()),
        ("device_profile_cbor", {
            ProfileDocument::from(&compact(PayloadType::Cbor)).write().unwrap()
        }),
        ("device_profile_extended", ProfileDocument::from(&extended()).write().unwrap()),
        ("device_profile_forwarding", ProfileDocument::from(&forwarding()).write().unwrap()),
    ]
}

fn package() -> Package {
    Package {
        id: PackageId(NIL),
        created_at: Timestamp(1),
        tenant_id: TenantId(NIL),
        profile_id: DeviceProfileId(NIL),
        kind: PackageKind::Firmware,
        title: "t".to_owned(),
        version: "1".to_owned(),
        tag: None,
        additional_info: Some("{}".to_owned()),
        content: PackageContent::Data(PackageData {
            file: PackageFileId(NIL),
            size: 5,
            algorithm: ChecksumAlgorithm::Murmur128,
            checksum: "abc".to_owned(),
            file_name: "image.bin".to_owned(),
            content_type: "application/octet-stream".to_owned(),
        }),
        revision: 1,
    }
}

fn limits() -> RateLimits {
    let mut limits = RateLimits::default();
    let (scope, kind) = (LimitScope::Device, LimitKind::TelemetryMessages);
    limits.set(scope, kind, RateLimit::parse("10:1,300:60").unwrap());
    limits
}

fn plain() -> DeviceProfile {
    DeviceProfile {
        id: DeviceProfileId(NIL),
        created_at: Timestamp(1),
        tenant_id: TenantId(NIL),
        name: "default".to_owned(),
        description: None,
        image: None,
        is_default: true,
        transport: TransportType::Default,
        mqtt: None,
        opaque_transport: None,
        provisioning: Provisioning::Disabled { configured: false },
        alarms: None,
        queue_name: None,
        packages: AssignedPackages::default(),
        extension: ProfileExtension::default(),
        version: 1,
    }
}

fn extended() -> DeviceProfile {
    DeviceProfile { extension: extension(), ..plain() }
}

fn extension() -> ProfileExtension {
    let url = WebhookUrl::parse("https://hooks.example.com/rpc").unwrap();
    let secret = Some(Secret::new("0123456789abcdef".to_owned()));
    let webhook = RpcWebhook { url, secret, timeout_ms: 5_000, retries: 1 };
    let client_rpc = Some(ClientRpc::Webhook(webhook));
    ProfileExtension { client_rpc, ..ProfileExtension::default() }
}

fn forwarding() -> DeviceProfile {
    let secret = || Secret::new("0123456789abcdef".to_owned());
    let webhook = ForwardWebhook {
        url: WebhookUrl::parse("https://hooks.example.com/in").unwrap(),
        secret: Some(secret()),
        timeout_ms: 10_000,
        batch_max: 100,
    };
    let login = KafkaLogin {
        mechanism: KafkaMechanism::ScramSha256,
        user: "u".to_owned(),
        password: secret(),
    };
    let kafka = ForwardKafka {
        brokers: "a:9092,b:9092".to_owned(),
        topic: "plant".to_owned(),
        security: KafkaSecurity::Tls,
        login: Some(login),
    };
    let mqtt = ForwardMqtt {
        url: BrokerUrl::parse("mqtts://broker.example.com").unwrap(),
        is_version_5: true,
        topic: TopicTemplate::parse("plant/${deviceName}").unwrap(),
        client_id: Some("c".to_owned()),
        user: Some("u".to_owned()),
        password: Some(secret()),
    };
    let target = |name: &str, destination| ForwardTarget {
        name: name.to_owned(),
        kinds: ForwardKinds { telemetry: true, attributes: name == "hook" },
        destination,
    };
    let forwarding = vec![
        target("hook", Destination::Webhook(webhook)),
        target("bus", Destination::Kafka(kafka)),
        target("site", Destination::Mqtt(mqtt)),
    ];
    let extension = ProfileExtension { forwarding, ..ProfileExtension::default() };
    DeviceProfile { extension, ..plain() }
}

/// Forms of bodies that came later.
fn rooted() -> DeviceProfile {
    let mut profile = rich();
    if let Some(PayloadType::Protobuf(payload)) = profile.mqtt.as_mut().map(|it| &mut it.payload) {
        payload.roots.telemetry = Some("T".to_owned());
        payload.roots.rpc_response = Some("R".to_owned());
    }
    profile
}

fn compact(payload: PayloadType) -> DeviceProfile {
    let mqtt = Some(MqttTransport { payload, ..MqttTransport::default() });
    DeviceProfile { mqtt, ..rich() }
}

fn rich() -> DeviceProfile {
    let payload = ProtobufPayload {
        telemetry_schema: "t".to_owned(),
        attributes_schema: "a".to_owned(),
        rpc_request_schema: "q".to_owned(),
        rpc_response_schema: "r".to_owned(),
        json_compatibility: true,
        json_for_default_downlinks: true,
        roots: ProtobufRoots::default(),
    };
    let mqtt = MqttTransport {
        payload: PayloadType::Protobuf(Box::new(payload)),
        sparkplug: true,
        sparkplug_attribute_metrics: Some(vec!["Node Control/*".to_owned()]),
        ack_on_validation_exception: true,
        ..MqttTransport::default()
    };
    DeviceProfile {
        transport: TransportType::Mqtt,
        mqtt: Some(mqtt),
        image: Some("data:".to_owned()),
        provisioning: Provisioning::X509Chain(Box::new(X509Chain {
            key: "k".to_owned(),
            ca_name: "n".to_owned(),
            chain: "c".to_owned(),
            cn_pattern: "(.*)".to_owned(),
            allow_create: true,
            strictness: ChainStrictness::Compatible,
            crl: Some("r".to_owned()),
        })),
        alarms: Some("[]".to_owned()),
        queue_name: Some("Main".to_owned()),
        packages: AssignedPackages::default(),
        extension: ProfileExtension::default(),
        ..plain()
    }
}

#[test]
fn stored_texts_stay_as_they_are() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/entities");
    for (name, written) in rows() {
        let path = directory.join(format!("{name}.v1.json"));
        let held = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, held.trim_end(), "{}", path.display());
    }
}

#[test]
fn profiles_survive_their_stored_text() {
    let compact = [PayloadType::Cbor, PayloadType::MessagePack].map(compact);
    for profile in [plain(), rich(), rooted(), extended(), forwarding()].iter().chain(&compact) {
        let mut read =
            ProfileDocument::read(&ProfileDocument::from(profile).write().unwrap()).unwrap();
        assert_eq!(read.mqtt(), profile.mqtt);
        assert_eq!(read.extension().unwrap(), profile.extension);
        let key = provision_key(&profile.provisioning).map(str::to_owned);
        assert_eq!(key.is_some(), profile.mqtt.is_some());
        let ca_name = ca_name(&profile.provisioning).map(str::to_owned);
        assert!(read.provisioning(key, ca_name).unwrap() == profile.provisioning);
        let rest = (&read.image, &read.alarms, &read.queue_name, &read.opaque_transport);
        let wanted =
            (&profile.image, &profile.alarms, &profile.queue_name, &profile.opaque_transport);
        assert_eq!(rest, wanted);
    }
}

#[test]
fn a_text_of_another_version_or_form_is_refused() {
    for wrong in ["", "{}", r#"{"v":2,"value":null}"#, r#"{"value":null}"#, r#"{"v":1,"value":1}"#]
    {
        assert!(matches!(CredentialsDocument::read(wrong), Err(PortError::Corrupt(_))), "{wrong}");
    }
}

#[test]
fn texts_from_before_a_member_was_added_are_read() {
    let login = r#"{"v":1,"enabled":true,"passwordHash":"h","tokensValidFrom":1,"lastLoginAt":2}"#;
    let mut login = LoginDocument::read(login).unwrap();
    assert!(login.password_set_at.is_none() && login.former_passwords().is_empty());
    let profile =
        r#"{"v":1,"isolatedRuleEngine":true,"profileData":"{}","storageTtlDays":3,"devicesMax":1}"#;
    let profile = TenantProfileDocument::read(profile).unwrap();
    assert_eq!((profile.customers_max, profile.users_max, profile.rpc_ttl_days), (0, 0, 0));
    let form = r#"{"type":"x509Chain","chain":"c","cnPattern":"p","allowCreate":true}"#;
    let profile = format!(r#"{{"v":1,"provisioning":{form}}}"#);
    let profile = ProfileDocument::read(&profile).unwrap();
    let read = profile.provisioning(Some("k".to_owned()), None).unwrap();
    let Provisioning::X509Chain(chain) = read else { panic!("another form") };
    assert_eq!((chain.strictness, chain.crl), (ChainStrictness::Strict, None));
}
