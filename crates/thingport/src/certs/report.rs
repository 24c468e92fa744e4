//! What `thingport certs` says: files, facts, fingerprints.

use std::path::Path;

use thingport_x509::certificate::{Certificate, Validity};
use thingport_x509::input;
use time::OffsetDateTime;

use crate::tls::Problem;
use crate::tls::facts;
use crate::tls::file;
use crate::tls::material::{PemFile, blocks, certificates};

/// The answer to a command that made files.
pub(super) struct Report(String);

impl Report {
    pub(super) fn new(files: &[&Path]) -> Self {
        let mut text = "Written:\n".to_owned();
        for file in files {
            text += &format!("  {}\n", file.display());
        }
        Self(text)
    }

    /// Adds what identifies a certificate.
    pub(super) fn certificate(mut self, der: &[u8]) -> Self {
        if let Ok(certificate) = Certificate::from_der(der) {
            let facts = certificate.facts();
            self.0 += &format!("{}, good until {}\n", facts.subject, date(facts.not_after_ms));
            self.0 += &fingerprints(&certificate);
        }
        self
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.0 += text;
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Everything that stands in a file of certificates.
pub(super) fn show(path: &Path, now_ms: i64) -> Result<String, Problem> {
    let bytes = file::read(path)?;
    let found = blocks(PemFile { path, bytes: &bytes })?;
    let chain = if found.is_empty() {
        // No frame: DER, or base64 alone.
        let read = input::read_chain(&bytes);
        read.map_err(|why| Problem::BadCertificate(path.to_owned(), 1, why.to_string()))?
    } else {
        let ders = certificates(path, &found)?;
        ders.iter().filter_map(|der| Certificate::from_der(der).ok()).collect()
    };
    let mut text = String::new();
    for (index, certificate) in chain.iter().enumerate() {
        text += &format!("Certificate {} of {}\n", index + 1, chain.len());
        text += &described(certificate, now_ms);
    }
    if found.iter().any(|block| block.tag().ends_with("PRIVATE KEY")) {
        text += "The file holds a private key too: do not hand it out.\n";
    }
    Ok(text)
}

fn described(certificate: &Certificate, now_ms: i64) -> String {
    let facts = certificate.facts();
    let state = match facts.validity_at(now_ms) {
        Validity::Valid => "",
        Validity::NotYet => " (not valid yet)",
        Validity::Expired => " (expired)",
    };
    let role = if facts.is_ca() { "may sign others" } else { "may not sign others" };
    let names = facts::names(certificate.der()).join(", ");
    let mut text = String::new();
    for (label, value) in [
        ("subject", facts.subject.as_str()),
        ("issuer", &facts.issuer),
        ("serial", &facts.serial),
        ("valid from", &date(facts.not_before_ms)),
        ("valid until", &format!("{}{state}", date(facts.not_after_ms))),
        ("key", &facts.key.to_string()),
        ("signature", &facts.signature_algorithm),
        ("version", &facts.version.to_string()),
        ("CA", role),
        ("names", &names),
    ] {
        if !value.is_empty() {
            text += &format!("  {label:<12}{value}\n");
        }
    }
    text + &fingerprints(certificate)
}

fn fingerprints(certificate: &Certificate) -> String {
    format!(
        "  {:<12}{}\n  {:<12}{}\n",
        "id (SHA3)",
        certificate.credentials_id(),
        "SHA-256",
        certificate.sha256()
    )
}

/// `2027-01-31 12:00 UTC`.
fn date(ms: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)) {
        Ok(it) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02} UTC",
            it.year(),
            u8::from(it.month()),
            it.day(),
            it.hour(),
            it.minute()
        ),
        Err(_) => "an impossible date".to_owned(),
    }
}
