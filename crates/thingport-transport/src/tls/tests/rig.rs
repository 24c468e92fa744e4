//! Both ends of a TLS stream on real sockets: ours echoes, the library's client is the peer.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::client::{ResolvesClientCert, Resumption, Tls12Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use thingport_model::reason::Reason;
use thingport_model::security::Security;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::server::with_provider;
use crate::tls::{Broken, Room, Tls};

/// What our end saw.
pub(crate) struct Seen {
    pub(crate) received: Vec<u8>,
    pub(crate) security: Option<Security>,
    pub(crate) resumed: bool,
    pub(crate) end: Result<(), (Reason, String)>,
    /// Bytes kept for an unfinished record: the most there ever were, and how many stay allocated.
    pub(crate) kept: (usize, usize),
}

/// A certificate with its key, as an end presents it.
pub(crate) fn identity(params: CertificateParams, key: &KeyPair) -> Arc<CertifiedKey> {
    let cert = params.self_signed(key).unwrap();
    certified(vec![cert.der().clone()], key.serialize_der())
}

pub(crate) fn certified(chain: Vec<CertificateDer<'static>>, key: Vec<u8>) -> Arc<CertifiedKey> {
    let key = any_supported_type(&PrivateKeyDer::Pkcs8(key.into())).unwrap();
    Arc::new(CertifiedKey::new(chain, key))
}

/// A self-signed certificate of a device that has expired long ago.
pub(crate) fn device(key: &KeyPair) -> Arc<CertifiedKey> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    identity(params, key)
}

pub(crate) fn pem(text: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(text.as_bytes()).unwrap()
}

/// One server with its certificate.
pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) config: Arc<ServerConfig>,
    root: CertificateDer<'static>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(default_provider(), &KeyPair::generate().unwrap()).await
    }

    /// With other algorithms and this key.
    pub(crate) async fn with(provider: CryptoProvider, key: &KeyPair) -> Self {
        let (config, root) = server(provider, key);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, config, root }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Serves the next connection to its end.
    pub(crate) async fn serve(&self) -> Seen {
        let (tcp, _) = self.listener.accept().await.unwrap();
        self.serve_stream(tcp).await
    }

    pub(crate) async fn serve_stream(&self, tcp: TcpStream) -> Seen {
        echo(Tls::new(tcp, Arc::clone(&self.config)).unwrap()).await
    }

    pub(crate) fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        cert: Option<Arc<CertifiedKey>>,
    ) -> ClientConfig {
        let mut config = client(core::slice::from_ref(&self.root), version);
        if let Some(cert) = cert {
            config.client_auth_cert_resolver = Arc::new(Always(cert));
        }
        config
    }
}

/// A set-up of the server and the certificate by which clients trust it.
fn server(provider: CryptoProvider, key: &KeyPair) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let identity = identity(params, key);
    let root = identity.cert[0].clone();
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(identity));
    let config = with_provider(provider, resolver, rustls::ALL_VERSIONS).unwrap();
    (Arc::new(config), root)
}

pub(crate) fn client(
    roots: &[CertificateDer<'static>],
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

/// As a client of TLS 1.2 that knows no tickets.
pub(crate) fn without_tickets(mut config: ClientConfig) -> ClientConfig {
    config.resumption = config.resumption.tls12_resumption(Tls12Resumption::SessionIdOnly);
    config
}

pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

pub(crate) async fn connect(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::clone(config)).connect(name(), tcp).await
}

/// Presents a certificate whatever the server asks for; it need not belong to the key.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, roots: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        assert!(roots.is_empty(), "no CA is named in the request (AU-044)");
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Sends back what comes, until it is over.
async fn echo(mut tls: Tls) -> Seen {
    let mut seen =
        Seen { received: Vec::new(), security: None, resumed: false, end: Ok(()), kept: (0, 0) };
    let (mut room, mut into) = (Room::default(), vec![0; 64 * 1024]);
    loop {
        let polled = poll_fn(|cx| {
            let polled = poll_step(&mut tls, cx, &mut into, &mut room);
            seen.kept.0 = seen.kept.0.max(tls.kept.len());
            polled
        });
        let polled = polled.await;
        if !tls.is_handshaking() && seen.security.is_none() {
            seen.security = tls.take_security().map(|it| *it);
            seen.resumed = tls.is_resumed();
        }
        match polled {
            Ok(None) => {}
            Ok(Some(0)) => {
                tls.seal_end(&mut room.wire);
                break;
            }
            Ok(Some(size)) => {
                seen.received.extend_from_slice(&into[..size]);
                if let Err(error) = tls.seal(&into[..size], &mut room.wire) {
                    seen.end = Err((Reason::ConnectionLost, error.to_string()));
                    break;
                }
            }
            Err(broken) => {
                seen.end = Err(match broken {
                    Broken::Lost(detail) => (Reason::ConnectionLost, detail),
                    Broken::Refused(failure) => (failure.reason, failure.detail),
                });
                break;
            }
        }
        let wire = core::mem::take(&mut room.wire);
        tls.tcp.write_all(&wire).await.unwrap();
    }
    seen.kept.1 = tls.kept.capacity();
    // The peer may be gone already.
    let _ = tls.tcp.write_all(&room.wire).await;
    let _ = tls.tcp.shutdown().await;
    seen
}

/// Reads; `None` when the peer must be answered first.
fn poll_step(
    tls: &mut Tls,
    cx: &mut Context<'_>,
    into: &mut [u8],
    room: &mut Room,
) -> Poll<Result<Option<usize>, Broken>> {
    match tls.poll_read(cx, into, room) {
        Poll::Ready(result) => Poll::Ready(result.map(Some)),
        Poll::Pending if room.wire.is_empty() => Poll::Pending,
        Poll::Pending => Poll::Ready(Ok(None)),
    }
}

/// A TCP stream that passes bytes on one by one and lets the other end run in between.
pub(crate) struct Dribble {
    tcp: TcpStream,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Dribble {
    pub(crate) const fn new(tcp: TcpStream) -> Self {
        Self { tcp, pause: None }
    }
}

impl AsyncWrite for Dribble {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        self.pause = Some(Box::pin(tokio::task::yield_now()));
        Pin::new(&mut self.tcp).poll_write(cx, bytes.get(..1).unwrap_or_default())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl AsyncRead for Dribble {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}
