//! What the listeners are given: the certificate in force, and how TLS is spoken.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::problem::Problem;
use crate::config::TlsVersion;

/// The certificate in force; each handshake asks for it. The set-ups stay the same when it changes,
/// so that devices can still resume their sessions.
#[derive(Debug)]
pub(super) struct Chosen(ArcSwap<CertifiedKey>);

impl Chosen {
    pub(super) fn new(certified: Arc<CertifiedKey>) -> Self {
        Self(ArcSwap::new(certified))
    }

    pub(super) fn replace(&self, certified: Arc<CertifiedKey>) {
        self.0.store(certified);
    }
}

impl ResolvesServerCert for Chosen {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// For devices: any client certificate is taken, and judged at CONNECT.
pub(super) fn for_devices(
    chosen: &Arc<Chosen>,
    oldest: TlsVersion,
) -> Result<ServerConfig, Problem> {
    let chosen = Arc::clone(chosen);
    thingport_transport::tls::server_config(chosen, versions(oldest)).map_err(cannot)
}

/// For people: nobody is asked for a certificate, and HTTP/1.1 is spoken.
pub(super) fn for_people(
    chosen: &Arc<Chosen>,
    oldest: TlsVersion,
) -> Result<ServerConfig, Problem> {
    let chosen = Arc::clone(chosen);
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions(oldest))
        .map_err(cannot)?
        .with_no_client_auth()
        .with_cert_resolver(chosen);
    // Its own tickets: a session that began here must not be resumed where certificates count.
    config.ticketer = Ticketer::new().map_err(cannot)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match oldest {
        TlsVersion::Tls12 => &BOTH,
        TlsVersion::Tls13 => &NEWEST,
    }
}

fn cannot(error: rustls::Error) -> Problem {
    Problem::CannotMake(format!("TLS cannot be set up: {error}"))
}

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];
