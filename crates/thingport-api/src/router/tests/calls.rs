//! Calls as people make them, to a device that is a mailbox.

use core::task::{Context, Waker};
use std::sync::Arc;

use axum::http::StatusCode;
use thingport_core::presence::{Letter, Mailbox, Wants};
use thingport_core::registry::DeviceLogin;
use thingport_model::downlink::Downlink;
use thingport_model::rpc::{Call, CallProgress, CallToken};

use crate::config::ApiConfig;
use crate::fake::World;

/// The first demo device, connected and listening.
struct Stage {
    world: World,
    login: Arc<DeviceLogin>,
    mailbox: Arc<Mailbox>,
    tenant: String,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let tenant = world.tenant().await;
        let node = world.api.node();
        let login = node.registry.login_by_credentials_id("A1_TEST_TOKEN").await;
        let login = login.expect("the store answers").expect("a demo device");
        let mailbox = node.presence.open(login.device_id);
        Self { world, login, mailbox, tenant }
    }

    fn listen(&self) {
        self.mailbox.set_wants(Wants { attributes: false, calls: true });
    }

    /// What the device is told; none if nothing.
    fn call(&self) -> Option<(Arc<Call>, CallToken)> {
        let mail = self.mailbox.poll_mail(&Context::from_waker(Waker::noop()))?;
        mail.into_iter().find_map(|letter| match letter {
            Letter::Told(Downlink::Call { call, token, .. }) => Some((call, token)),
            _ => None,
        })
    }

    /// Makes a call, lets the device do something when it is there, and gives the answer.
    async fn ask(
        &self,
        path: &str,
        body: &str,
        device: impl AsyncFnOnce(&Self, Option<(Arc<Call>, CallToken)>),
    ) -> crate::fake::Answer {
        let path = format!("{path}/{}", self.login.device_id);
        let asked = self.world.post(&path, &self.tenant, body);
        let device = async {
            while self.world.api.node().metrics.calls_pending.value() == 0 {
                tokio::task::yield_now().await;
            }
            device(self, self.call()).await;
        };
        tokio::join!(asked, device).0
    }
}

const FINE: &str = r#"{"method":"m","params":{ "a" : 1.50 },"timeout":1}"#;

#[tokio::test]
async fn the_answer_of_a_device_is_the_answer() {
    let stage = Stage::new().await;
    stage.listen();
    let rows = [
        (r#"{"a":1.50}"#, 200, r#"{"a":1.50}"#),
        ("", 200, ""),
        ("1 2", 406, "the device answered something that is not JSON"),
    ];
    for (number, (text, status, body)) in (0..).zip(rows) {
        for path in ["/api/rpc/twoway", "/api/plugins/rpc/twoway"] {
            let answer = stage.ask(path, FINE, async |stage, call| {
                let (call, _) = call.expect("the device is called");
                assert_eq!((call.method.as_str(), call.params.as_str()), ("m", r#"{"a":1.50}"#));
                assert_eq!(call.id / 2, number);
                let calls = &stage.world.api.node().calls;
                calls
                    .answered(stage.login.device_id, call.id, text.to_owned())
                    .await
                    .expect("taken");
            });
            let answer = answer.await;
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, body), "{path}");
        }
    }
}

#[tokio::test]
async fn each_contract_has_its_own_words_for_nothing() {
    for (path, silent, absent) in [("/api/rpc", 504, 504), ("/api/plugins/rpc", 408, 409)] {
        for (way, listens, status) in
            [("twoway", true, silent), ("twoway", false, absent), ("oneway", false, absent)]
        {
            let stage = Stage::new().await;
            if listens {
                stage.listen();
            }
            let path = format!("{path}/{way}");
            let answer = stage.ask(&path, FINE, async |stage, call| {
                assert_eq!(call.is_some(), listens);
                stage.world.clock.advance(4_999);
                assert!(stage.world.api.node().calls.tick().is_some());
                stage.world.clock.advance(1);
                assert_eq!(stage.world.api.node().calls.tick(), None);
            });
            assert_eq!(answer.await.status.as_u16(), status, "{path} {way} {listens}");
        }
    }
}

#[tokio::test]
async fn a_call_that_cannot_be_sent_is_told_in_the_words_of_the_contract() {
    let stage = Stage::new().await;
    stage.listen();
    for way in ["oneway", "twoway"] {
        let path = format!("/api/rpc/{way}");
        let answer = stage.ask(&path, FINE, async |stage, call| {
            let (_, token) = call.expect("the device is called");
            let calls = &stage.world.api.node().calls;
            calls.progress(stage.login.device_id, token, CallProgress::Impossible);
        });
        let answer = answer.await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["result"], "INVALID_ARGUMENTS");
    }
}

#[tokio::test]
async fn who_waits_for_a_device_keeps_nobody_else_out_and_not_the_server_running() {
    let stage = Stage::new().await;
    let answer = stage.ask("/api/rpc/twoway", FINE, async |stage, _| stage.world.api.drain());
    assert_eq!(answer.await.status, StatusCode::SERVICE_UNAVAILABLE);

    let world = World::with(ApiConfig { waiting_max: 0, ..ApiConfig::default() }).await;
    let tenant = world.tenant().await;
    let path = format!("/api/rpc/twoway/{}", stage.login.device_id);
    let answer = world.post(&path, &tenant, FINE).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.get("/api/auth/user", &tenant).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_wrong_is_told_as_plain_text() {
    let stage = Stage::new().await;
    let path = format!("/api/rpc/twoway/{}", stage.login.device_id);
    for body in ["[]", "{", "{}", r#"{"method":"m"}"#, r#"{"method":"","params":1}"#] {
        let answer = stage.world.post(&path, &stage.tenant, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let missing = "/api/rpc/twoway/2c7d1e40-5a7e-11f0-9a01-0f2d5c7e8a11";
    let answer = stage.world.post(missing, &stage.tenant, FINE).await;
    assert_eq!((answer.status, answer.text.contains("errorCode")), (StatusCode::NOT_FOUND, false));
}
