use core::future::Future;
use core::task::{Context, Poll, Waker};

use thingport_model::credentials::CredentialsType;
use thingport_model::id::{DeviceId, DeviceProfileId, TenantId};
use thingport_model::limit::{LimitKind, RateLimit};
use thingport_model::profile::{DeviceProfile, Provisioning, TransportType};
use thingport_model::rpc::ReplyTo;
use thingport_model::time::Timestamp;
use thingport_model::webhook::WebhookUrl;

use super::*;
use crate::clock::Entropy;
use crate::fake::FakeClock;
use crate::metrics::Metrics;

pub(super) fn login(is_gateway: bool, limits: Option<RateLimits>) -> DeviceLogin {
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
        extension: thingport_model::profile::extension::ProfileExtension::default(),
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
        keeps_children_active: false,
    }
}

fn call(method: &str) -> ClientCall<'_> {
    ClientCall { reply_to: ReplyTo { way: 0, id: 1 }, method, params: "null" }
}

struct Zeroes;

impl Entropy for Zeroes {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

fn calls(clock: Arc<FakeClock>) -> ClientCalls {
    let metrics = Arc::new(Metrics::default());
    let applications =
        Applications::new(Arc::<FakeClock>::clone(&clock), Arc::new(Zeroes), metrics);
    ClientCalls::new(clock, Arc::new(applications))
}

const BOUNDS: SessionBounds = SessionBounds { packet_size_max: 65_536, receive_maximum: 100 };

#[test]
fn a_device_is_told_its_limits_as_they_are_configured() {
    let calls = calls(Arc::new(FakeClock::default()));
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
    let calls = calls(clock);
    let answer = calls.built_in(&login(false, None), call("getCurrentTime"), BOUNDS);
    assert_eq!(answer, Some(ClientAnswer::Time(Timestamp(1234))));
    assert_eq!(calls.built_in(&login(false, None), call("getcurrenttime"), BOUNDS), None);
}

/// Answers one method, and fails at others.
struct Echo;

#[async_trait]
impl AskWebhook for Echo {
    async fn ask(
        &self,
        _: &DeviceLogin,
        webhook: &RpcWebhook,
        question: Question,
    ) -> Result<ClientAnswer, Failure> {
        if question.method == "echo" {
            return Ok(ClientAnswer::Json(question.params));
        }
        let detail = webhook.url.origin().to_owned();
        Err(Failure { reason: Reason::WebhookStatus, detail })
    }
}

#[test]
fn a_question_goes_to_whom_the_profile_names() {
    let webhook = ClientRpc::Webhook(RpcWebhook {
        url: WebhookUrl::parse("http://a/b").expect("a URL"),
        secret: None,
        timeout_ms: 1_000,
        retries: 0,
    });
    let calls = calls(Arc::new(FakeClock::default()));
    let ask = |client_rpc: Option<ClientRpc>, method| {
        let mut login = login(false, None);
        Arc::make_mut(&mut login.profile).extension.client_rpc = client_rpc;
        let asked = core::pin::pin!(calls.ask(&login, call(method).into()));
        match asked.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("nothing to wait for"),
        }
    };
    let unhandled = || Err(Reason::ClientCallUnhandled.into());
    assert_eq!(ask(Some(webhook.clone()), "echo"), unhandled(), "nobody can ask it");
    calls.set_webhook(Arc::new(Echo));
    assert_eq!(ask(None, "echo"), unhandled());
    assert_eq!(ask(Some(webhook.clone()), "echo"), Ok(ClientAnswer::Json("null".to_owned())));
    let failed = Failure { reason: Reason::WebhookStatus, detail: "http://a".to_owned() };
    assert_eq!(about("a\n", &failed), "method a\\n: http://a");
    assert_eq!(ask(Some(webhook), "other"), Err(failed));
    let nobody = Reason::ClientCallNoApplication;
    assert_eq!(ask(Some(ClientRpc::Application), "echo"), Err(nobody.into()));
    assert_eq!(about("m", &nobody.into()), "method m");
}

#[test]
fn a_device_knows_the_word_for_too_late() {
    let rows = [
        (Reason::ClientCallNotAnswered, "timeout"),
        (Reason::WebhookTimedOut, "timeout"),
        (Reason::WebhookStatus, Reason::WebhookStatus.sentence()),
    ];
    for (reason, expected) in rows {
        assert_eq!(words(reason), ClientAnswer::Error(expected.to_owned()), "CR-006, CR-007");
    }
}
