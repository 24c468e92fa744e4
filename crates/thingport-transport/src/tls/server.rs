//! How the server's side of TLS is set up (L-18): versions 1.2 and 1.3, modern suites, any client's
//! certificate, sessions that can be resumed.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ResolvesServerCert, ServerSessionMemoryCache};
use rustls::{
    CipherSuite, CommonState, Error, ProtocolVersion, ServerConfig, SupportedProtocolVersion,
};
use thingport_model::security::Security;

use super::client::AnyClient;

/// The set-up of a listener for devices whose certificate is chosen by `resolver` at each handshake,
/// and that speaks `versions`.
///
/// Whoever changes only the certificate should let the resolver return another one and keep this
/// set-up: devices then can still resume their sessions.
///
/// # Errors
/// When the library finds no randomness, or no version is left.
pub fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, Error> {
    with_provider(default_provider(), resolver, versions)
}

/// The same over another set of algorithms.
pub(super) fn with_provider(
    provider: CryptoProvider,
    resolver: Arc<dyn ResolvesServerCert>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, Error> {
    let clients = AnyClient::new(provider.signature_verification_algorithms);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(Arc::new(clients))
        .with_cert_resolver(resolver);
    // Records are protected here once the handshake is over; see `records`.
    config.enable_secret_extraction = true;
    // Tickets hold the session on the client's side, with its certificates, so they cost no memory.
    config.ticketer = Ticketer::new()?;
    // Each ticket is used once, and each resumed session brings a new one.
    config.send_tls13_tickets = 1;
    // For clients of TLS 1.2 that know no tickets.
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_CACHED_MAX);
    Ok(config)
}

/// What the handshake of a TLS connection told, with a copy of the client's certificates.
#[must_use]
pub fn security(connection: &CommonState) -> Box<Security> {
    let certificates = connection.peer_certificates().unwrap_or_default();
    Box::new(Security {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        },
        cipher: connection.negotiated_cipher_suite().map_or("", |suite| cipher(suite.suite())),
        chain: certificates.iter().take(Security::CHAIN_MAX).map(|it| it.as_ref().into()).collect(),
    })
}

/// The name IANA gives to a suite; the library's differ for version 1.3.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

/// Sessions remembered for clients of TLS 1.2 that know no tickets; the oldest go.
pub const SESSIONS_CACHED_MAX: usize = 1024;
