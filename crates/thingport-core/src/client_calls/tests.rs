use core::task::{Context, Poll, Waker};

use thingport_model::credentials::CredentialsType;
use thingport_model::id::{DeviceId, DeviceProfileId, TenantId};
use thingport_model::limit::{LimitKind, RateLimit};
use thingport_model::profile::{DeviceProfile, Provisioning, TransportType};
use thingport_model::rpc::ReplyTo;
use thingport_model::time::Timestamp;

use super::*;
use crate::fake::FakeClock;

fn login(is_gateway: bool, limits: Option<RateLimits>) -> DeviceLogin {
    let profile = DeviceProfile {
        id: DeviceProfileId(uuid::Uuid::from_u128(1)),
        created_at: Timestamp(0),
        tenant_id: TenantId::SYSTEM,
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
        packages: thingport_model::ota::AssignedPackages::default(),
        version: 1,
    };
    DeviceLogin {
        device_id: DeviceId(uuid::Uuid::from_u128(2)),
        tenant_id: TenantId::SYSTEM,
        customer_id: None,
        profile: Arc::new(profile),
        basic: None,
        ttl_s: 0,
        limits: limits.map(Arc::new),
        kind: CredentialsType::AccessToken,
        is_gateway,
    }
}

fn call(method: &str) -> ClientCall<'_> {
    ClientCall { reply_to: ReplyTo { way: 0, id: 1 }, method, params: "null" }
}

const BOUNDS: SessionBounds = SessionBounds { packet_size_max: 65_536, receive_maximum: 100 };

#[test]
fn a_device_is_told_its_limits_as_they_are_configured() {
    let calls = ClientCalls::new(Arc::new(FakeClock::default()));
    let mut limits = RateLimits::default();
    let limit = |text| RateLimit::parse(text).expect("a limit");
    limits.set(LimitScope::Device, LimitKind::Messages, limit("200:1,6000:60"));
    limits.set(LimitScope::GatewayDevice, LimitKind::Messages, limit("1:1"));
    limits.set(LimitScope::Gateway, LimitKind::TelemetryMessages, limit("2:1"));
    let rows = [
        (false, None, [None; 3], None),
        (false, Some(limits.clone()), [Some("200:1,6000:60"), None, None], None),
        (true, Some(limits), [Some("1:1"), None, None], Some([None, Some("2:1"), None])),
    ];
    for (is_gateway, limits, own, children) in rows {
        let login = login(is_gateway, limits);
        let answer = calls.built_in(&login, call("getSessionLimits"), BOUNDS);
        let Some(ClientAnswer::Limits(answer)) = answer else { panic!("limits") };
        let texts =
            |rates: &[RateLimit; 3]| rates.each_ref().map(|it| it.text().map(str::to_owned));
        let expected = |texts: [Option<&str>; 3]| texts.map(|it| it.map(str::to_owned));
        assert_eq!(texts(&answer.rates), expected(own));
        assert_eq!(answer.gateway_rates.as_ref().map(texts), children.map(expected));
        assert_eq!((answer.max_payload_size, answer.max_inflight_messages), (65_536, 100));
    }
}

#[test]
fn a_device_is_told_the_time() {
    let clock = Arc::new(FakeClock::default());
    clock.advance(1234);
    let calls = ClientCalls::new(clock);
    let answer = calls.built_in(&login(false, None), call("getCurrentTime"), BOUNDS);
    assert_eq!(answer, Some(ClientAnswer::Time(Timestamp(1234))));
    assert_eq!(calls.built_in(&login(false, None), call("getcurrenttime"), BOUNDS), None);
}

struct Echo;

#[async_trait]
impl ClientCallHandler for Echo {
    async fn answer(&self, _: &DeviceLogin, question: Question) -> Option<ClientAnswer> {
        (question.method == "echo").then_some(ClientAnswer::Json(question.params))
    }
}

#[test]
fn what_nobody_handles_is_said_so() {
    let calls = ClientCalls::new(Arc::new(FakeClock::default()));
    let login = login(false, None);
    let ask = |method| {
        let asked = core::pin::pin!(calls.ask(&login, call(method).into()));
        match asked.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("nothing to wait for"),
        }
    };
    assert_eq!(ask("echo"), Err(Reason::ClientCallUnhandled));
    calls.set_handler(Arc::new(Echo));
    assert_eq!(ask("echo"), Ok(ClientAnswer::Json("null".to_owned())));
    assert_eq!(ask("other"), Err(Reason::ClientCallUnhandled));
}
