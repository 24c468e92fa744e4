//! Whom the house believes when it calls out.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::config::OutboundConfig;

/// TLS 1.2 and 1.3, trusting the public authorities and those of the configuration.
pub(crate) fn client_config(config: &OutboundConfig) -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // The roof has read them; one that is no authority's is left out here, and proves nobody.
    roots.add_parsable_certificates(config.roots.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider speaks both versions");
    versions.with_root_certificates(roots).with_no_client_auth()
}
