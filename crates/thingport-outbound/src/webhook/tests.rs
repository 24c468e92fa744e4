use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use thingport_core::guard::Network;
use thingport_model::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(1_764_104_722_000)
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }
}

impl Entropy for Fixed {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

fn webhooks(config: OutboundConfig) -> Webhooks {
    Webhooks::new(config, Arc::new(Metrics::default()), Arc::new(Fixed), Arc::new(Fixed))
}

/// Whoever may call this machine.
fn near() -> OutboundConfig {
    let allowed = vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6];
    OutboundConfig { reach: Reach { allowed, ..Reach::default() }, ..OutboundConfig::default() }
}

/// What a receiver was sent, and what it answers to each request in turn; the last one for ever.
struct Receiver {
    answers: Vec<String>,
    asked: AtomicU32,
    heads: Mutex<Vec<String>>,
}

impl Receiver {
    fn new(answers: &[&str]) -> Arc<Self> {
        let answers = answers.iter().map(|&it| it.to_owned()).collect();
        Arc::new(Self { answers, asked: AtomicU32::new(0), heads: Mutex::default() })
    }

    async fn listen(self: &Arc<Self>, tls: Option<TlsAcceptor>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let receiver = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (receiver, tls) = (Arc::clone(&receiver), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => receiver.answer(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                receiver.answer(stream).await;
                            }
                        }
                    }
                });
            }
        });
        at
    }

    async fn answer(&self, mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n{}") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        self.heads.lock().push(String::from_utf8_lossy(&head).to_ascii_lowercase());
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let turn = usize::try_from(turn).unwrap_or(usize::MAX).min(self.answers.len() - 1);
        match self.answers[turn].as_str() {
            "silence" => std::future::pending().await,
            answer => drop(stream.write_all(answer.as_bytes()).await),
        }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn post(url: &WebhookUrl) -> Post<'_> {
    Post {
        lane: Uuid::nil(),
        url,
        secret: None,
        content_type: "application/json",
        body: Bytes::from_static(b"{}"),
        timeout: Duration::from_secs(20),
        retries: 2,
        within: Duration::from_secs(60),
        answer_max: 16,
    }
}

fn url(text: &str) -> WebhookUrl {
    WebhookUrl::parse(text).expect("a URL")
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood";
const LONG: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\n12345678901234567";
const ENDLESS: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12345678901234567890";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const UNKNOWN: &str = "HTTP/1.1 404 Unknown\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const MOVED: &str =
    "HTTP/1.1 307 Moved\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_sent_again_where_that_may_help() {
    type Row<'a> = (&'a [&'a str], Result<&'a str, PostError>, u32);
    let rows: [Row<'_>; 7] = [
        (&[GOOD], Ok("good"), 1),
        (&[BUSY, GOOD], Ok("good"), 2),
        (&[BUSY], Err(PostError::Status(503)), 3),
        (&[UNKNOWN, GOOD], Err(PostError::Status(404)), 1),
        (&[MOVED, GOOD], Err(PostError::Status(307)), 1),
        (&[LONG, GOOD], Err(PostError::TooLarge), 1),
        (&[ENDLESS, GOOD], Err(PostError::TooLarge), 1),
    ];
    let webhooks = webhooks(near());
    for (answers, expected, asked) in rows {
        let receiver = Receiver::new(answers);
        let at = receiver.listen(None).await;
        let url = url(&format!("http://{at}/in"));
        let answer = webhooks.post(post(&url)).await;
        assert_eq!(answer, expected.map(|it| Bytes::from(it.to_owned())), "{answers:?}");
        assert_eq!(receiver.asked(), asked, "{answers:?}");
    }
}

#[tokio::test]
async fn no_attempt_and_no_request_takes_longer_than_it_may() {
    let receiver = Receiver::new(&["silence"]);
    let url = url(&format!("http://{}/", receiver.listen(None).await));
    let webhooks = webhooks(near());
    let attempt = Post { timeout: Duration::from_millis(50), retries: 1, ..post(&url) };
    assert_eq!(webhooks.post(attempt).await, Err(PostError::TimedOut));
    assert_eq!(receiver.asked(), 2);
    let whole = Post { within: Duration::from_millis(50), ..post(&url) };
    assert_eq!(webhooks.post(whole).await, Err(PostError::TimedOut));
    assert_eq!(
        (webhooks.metrics.webhook_requests.value(), webhooks.metrics.webhook_failures.value()),
        (2, 2)
    );
}

#[tokio::test]
async fn all_sendings_of_a_request_are_signed_and_carry_its_number() {
    let receiver = Receiver::new(&[BUSY, GOOD]);
    let url = url(&format!("http://{}/in?x=1", receiver.listen(None).await));
    let secret = Secret::new("hush".to_owned());
    let webhooks = webhooks(near());
    let signed = webhooks.post(Post { secret: Some(&secret), ..post(&url) }).await;
    assert!(signed.is_ok());
    let heads = receiver.heads.lock().clone();
    let numbers: Vec<_> =
        heads.iter().filter_map(|it| it.lines().find(|line| line.starts_with(DELIVERY))).collect();
    assert_eq!(numbers.len(), 2);
    assert_eq!(numbers[0], numbers[1]);
    let expected = signature(&secret, Fixed.now(), b"{}");
    for head in &heads {
        assert!(head.starts_with("post /in?x=1 http/1.1"), "{head}");
        assert!(head.contains(&format!("{SIGNATURE}: {expected}\r\n")), "{head}");
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
    }
    let plain = webhooks.post(post(&url)).await;
    assert!(plain.is_ok());
    assert!(!receiver.heads.lock().last().expect("a head").contains(SIGNATURE));
}

#[tokio::test]
async fn addresses_out_of_reach_are_not_called() {
    let receiver = Receiver::new(&[GOOD]);
    let at = receiver.listen(None).await;
    let webhooks = webhooks(OutboundConfig::default());
    for host in
        ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254", "[::ffff:127.0.0.1]"]
    {
        let url = url(&format!("http://{host}:{}/", at.port()));
        let answer = webhooks.post(post(&url)).await;
        assert!(matches!(answer, Err(PostError::OutOfReach(_))), "{host}: {answer:?}");
    }
    assert_eq!(receiver.asked(), 0);
}

#[tokio::test]
async fn nobody_at_home_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    drop(listener);
    let webhooks = webhooks(near());
    let refused = url(&format!("http://{at}/"));
    let answer = webhooks.post(Post { retries: 0, ..post(&refused) }).await;
    assert!(matches!(answer, Err(PostError::Unreachable(_))), "{answer:?}");
    let unknown = url("http://nobody.invalid/");
    let answer = webhooks.post(Post { retries: 0, ..post(&unknown) }).await;
    assert_eq!(answer, Err(PostError::Unresolved));
    let receiver = Receiver::new(&["HTTP/1.1 "]);
    let broken = url(&format!("http://{}/", receiver.listen(None).await));
    let answer = webhooks.post(Post { retries: 0, ..post(&broken) }).await;
    assert!(matches!(answer, Err(PostError::Broken(_))), "{answer:?}");
}

#[tokio::test]
async fn a_receiver_proves_who_it_is() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    let receiver = Receiver::new(&[GOOD]);
    let at = receiver.listen(Some(TlsAcceptor::from(Arc::new(server)))).await;
    let (known, other) = (
        url(&format!("https://localhost:{}/", at.port())),
        url(&format!("https://127.0.0.1:{}/", at.port())),
    );
    let strangers = webhooks(near());
    let answer = strangers.post(post(&known)).await;
    assert!(matches!(answer, Err(PostError::Tls(_))), "{answer:?}");
    let friends = webhooks(OutboundConfig { roots: vec![made.cert.der().clone()], ..near() });
    assert_eq!(friends.post(post(&known)).await, Ok(Bytes::from_static(b"good")));
    let answer = friends.post(post(&other)).await;
    assert!(matches!(answer, Err(PostError::Tls(_))), "another name: {answer:?}");
    assert_eq!(receiver.asked(), 1);
}

#[test]
fn pauses_grow_and_differ() {
    let webhooks = webhooks(OutboundConfig::default());
    let rows = [(0, 250), (1, 500), (3, 2_000), (7, 30_000), (40, 30_000), (u32::MAX, 30_000)];
    for (attempt, full_ms) in rows {
        let pause = webhooks.pause(attempt);
        let (least, most) = (Duration::from_millis(full_ms / 2), Duration::from_millis(full_ms));
        assert!(least < pause && pause <= most, "{attempt}: {pause:?}");
    }
}

proptest::proptest! {
    #[test]
    fn every_url_that_may_be_kept_can_be_called(text in "https?://[a-z0-9._\\[\\]:-]{0,20}[/?!-~]{0,20}") {
        if let Ok(url) = WebhookUrl::parse(&text) {
            let webhooks = webhooks(OutboundConfig::default());
            let request = webhooks.request(&post(&url), Uuid::nil()).expect("a request");
            let host = request.uri().host().expect("a host");
            proptest::prop_assert_eq!(host.trim_matches(['[', ']']), url.host());
        }
    }
}
