//! A node with one device and both listeners, on an invented clock.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use thingport_core::access::Caller;
use thingport_core::clock::{Clock, Entropy};
use thingport_core::node::{Node, NodeConfig};
use thingport_core::registry::devices::DeviceDraft;
use thingport_core::registry::first_run::FirstPeople;
use thingport_device::payload::Typing;
use thingport_model::page::PageLink;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_mqtt::limits::Bounds;
use thingport_store::config::LedgerConfig;
use thingport_store::disk::RealDisk;
use thingport_store::entities::memory::MemoryEntities;
use thingport_store::ledger::LogLedger;
use thingport_transport::config::{Config, TlsConfig};
use thingport_transport::door::Door;
use thingport_transport::drain::Drain;
use thingport_transport::listen::Listener;
use thingport_transport::tls::server_config;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const TOKEN: &str = "A1_TEST_TOKEN";

pub(crate) struct House {
    pub(crate) node: Arc<Node>,
    pub(crate) clock: Arc<Invented>,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) door: Door,
    pub(crate) drain: Arc<Drain>,
    pub(crate) served: JoinHandle<()>,
    pub(crate) server: watch::Sender<Option<Arc<ServerConfig>>>,
    pub(crate) root: CertificateDer<'static>,
    _dir: TempDir,
}

impl House {
    pub(crate) async fn with_handshakes(handshakes_max: u64) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(Invented(AtomicU64::new(1_000_000)));
        let node = Arc::new(node(&dir, Arc::clone(&clock)));
        found(&node).await;
        let (server, root) = certificate();
        let (server, current) = watch::channel(Some(Arc::new(server)));
        let drain = Arc::new(Drain::default());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let tls = TlsConfig { bind: any, server: current, handshakes_max };
        let config = Config {
            bind: any,
            tls: Some(tls),
            proxy: None,
            connections_max: 100,
            bounds: Bounds::default(),
            typing: Typing::default(),
            rate_limit_disconnect: false,
            mirror_session_present: false,
            software_errors_apart: false,
            sparkplug: Default::default(),
            provisioning_timeout_ms: 60_000,
        };
        let listener = Listener::bind(config, Arc::clone(&node), Arc::clone(&drain)).unwrap();
        let plain = listener.local_addr().unwrap();
        let tls = listener.tls_addr().unwrap().unwrap();
        let door = listener.door();
        let served = tokio::spawn(listener.serve());
        Self { node, clock, plain, tls, door, drain, served, server, root, _dir: dir }
    }

    pub(crate) async fn open() -> Self {
        Self::with_handshakes(100).await
    }

    /// How often this reason was told.
    pub(crate) fn told(&self, reason: Reason) -> u64 {
        self.node.metrics.reasons().find(|(it, _)| *it == reason).unwrap().1
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "it is not so: {what}");
    }

    pub(crate) async fn connect(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.tls).await?;
        self.secure(tcp, version).await
    }

    pub(crate) async fn secure(
        &self,
        tcp: TcpStream,
        version: &'static SupportedProtocolVersion,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }
}

fn node(dir: &TempDir, clock: Arc<Invented>) -> Node {
    let config = LedgerConfig {
        dir: dir.path().to_owned(),
        segment_bytes: 1024 * 1024,
        commit_queue_max_bytes: 64 * 1024,
        reserve_bytes: 0,
        ..LedgerConfig::default()
    };
    let disk = Arc::new(RealDisk::new(dir.path()).unwrap());
    let now = Arc::new(|| Timestamp(1_767_225_600_000));
    let ledger = LogLedger::open(config, disk, now, &mut |_| {}).unwrap();
    let entities = Arc::new(MemoryEntities::default());
    Node::new(entities, ledger, clock, Arc::new(Chance::default()), NodeConfig::default())
}

/// One tenant with one device.
async fn found(node: &Node) {
    let people = FirstPeople {
        system_email: "root@example.org".to_owned(),
        system_password: "one".to_owned(),
        tenant_title: "First".to_owned(),
        tenant_email: "admin@example.org".to_owned(),
        tenant_password: "two".to_owned(),
    };
    node.registry.found(&people, &|text| format!("hash of {text}")).await.unwrap();
    let link = PageLink { page: 0, size: 10, text_search: None, sort: None };
    let tenants = node.registry.tenants(&Caller::system(), link).await.unwrap();
    let admin = Caller::tenant(tenants.rows[0].id);
    node.registry.save_device(&admin, DeviceDraft::new("pump"), Some(TOKEN)).await.unwrap();
}

/// A set-up of the server, and the certificate by which clients trust it.
pub(crate) fn certificate() -> (ServerConfig, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let root = params.self_signed(&key).unwrap().der().clone();
    let key = any_supported_type(&PrivateKeyDer::Pkcs8(key.serialize_der().into())).unwrap();
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![root.clone()], key));
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(shown);
    (server_config(resolver, rustls::ALL_VERSIONS).unwrap(), root)
}

/// CONNECT of MQTT 3.1.1 with a user name.
pub(crate) fn connect_packet(user_name: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\x82\x00\x00\x00\x00".to_vec();
    body.extend(u16::try_from(user_name.len()).unwrap().to_be_bytes());
    body.extend(user_name.as_bytes());
    packet(0x10, &body)
}

/// PUBLISH of quality of service 1.
pub(crate) fn publish_packet(packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = b"\x00\x17v1/devices/me/telemetry".to_vec();
    body.extend(packet_id.to_be_bytes());
    body.extend(payload);
    packet(0x32, &body)
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 128, "one byte of length is enough here");
    [&[kind, length], body].concat()
}

/// Sends a packet and reads an answer of so many bytes.
pub(crate) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    packet: &[u8],
    size: usize,
) -> Vec<u8> {
    stream.write_all(packet).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = vec![0; size];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    answer
}

/// What still comes until the stream ends, and whether it ended in good order.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    read.expect("the stream ends").map(|_| rest)
}

/// A clock that stands until it is moved.
pub(crate) struct Invented(AtomicU64);

impl Invented {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Invented {
    fn now(&self) -> Timestamp {
        Timestamp(1_767_225_600_000)
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Bytes that never repeat, from a counter.
#[derive(Default)]
struct Chance(AtomicU64);

impl Entropy for Chance {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }
}

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);
