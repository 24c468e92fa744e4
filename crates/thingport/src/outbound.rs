//! Sets up the house's own calls out.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thingport_core::node::Node;
use thingport_outbound::config::OutboundConfig;
use thingport_outbound::reach::Reach;
use thingport_outbound::rpc::RpcWebhooks;
use thingport_outbound::webhook::Webhooks;

use crate::config::Config;
use crate::failure::Failure;

/// Whoever posts to receivers; devices' questions among what is posted.
pub(crate) fn open(config: &Config, node: &Node) -> Result<Arc<Webhooks>, Failure> {
    let outbound = &config.outbound;
    let settings = OutboundConfig {
        reach: Reach { allowed: outbound.allow.0.clone(), refused: outbound.refuse.0.clone() },
        roots: roots(config)?,
        lane_max: outbound.requests_max,
        user_agent: concat!("thingport/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let (metrics, clock) = (Arc::clone(&node.metrics), Arc::clone(&node.clock));
    let webhooks = Arc::new(Webhooks::new(settings, metrics, clock, Arc::clone(&node.entropy)));
    node.client_calls.set_webhook(Arc::new(RpcWebhooks::new(Arc::clone(&webhooks))));
    Ok(webhooks)
}

/// The certificates of `outbound.ca_file`.
pub(crate) fn roots(config: &Config) -> Result<Vec<CertificateDer<'static>>, Failure> {
    match &config.outbound.ca_file.0 {
        None => Ok(Vec::new()),
        Some(path) => read(path).map_err(|problem| {
            let path = path.display();
            Failure::new(format!("outbound.ca_file = \"{path}\" cannot be used: {problem}"))
        }),
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("it is not PEM: {error}"))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|error| format!("a certificate of it: {error}"))?;
    }
    if found.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_no_file_of_authorities() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).expect("made");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let rows = [
            (made.cert.pem(), Ok(1)),
            (format!("{0}{0}", made.cert.pem()), Ok(2)),
            (String::new(), Err("it holds no certificate")),
            (broken.to_owned(), Err("a certificate of it: ")),
        ];
        for (text, expected) in rows {
            std::fs::write(&path, &text).expect("written");
            match (read(&path), expected) {
                (Ok(found), Ok(count)) => assert_eq!(found.len(), count),
                (Err(problem), Err(start)) => assert!(problem.starts_with(start), "{problem}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
        assert!(read(&dir.path().join("none")).is_err());
    }
}
