//! `thingport certs`: test certificates in one command, and what to do with them.
//!
//! Nothing is overwritten unless asked, and nothing is written before everything was made.

mod report;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rcgen::{Issuer, KeyPair};
use thingport_x509::certificate::Certificate;

use crate::tls::Problem;
use crate::tls::file::{self, Readers};
use crate::tls::issue::{Issued, KeyType, Order, Purpose, issue, new_key};
use crate::tls::material::{PemFile, blocks, certificates};
use crate::tls::{key, machine, made};
use report::Report;

/// Make certificates for tests and small fleets, or look at one.
#[derive(Debug, Subcommand)]
pub(crate) enum Certs {
    /// Make a CA: ca.pem and ca-key.pem.
    Ca {
        /// Its common name.
        #[arg(long, default_value = "Thingport test CA")]
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Make a server certificate, signed by a CA: server.pem and server-key.pem.
    Server {
        /// A DNS name or address of the server; may be repeated. Without it, those of this machine.
        #[arg(long, value_name = "NAME")]
        name: Vec<String>,
        #[command(flatten)]
        signer: Signer,
        #[command(flatten)]
        how: How,
    },
    /// Make a device certificate, signed by itself or by a CA: NAME.pem and NAME-key.pem.
    Device {
        /// The device's name: the common name of the certificate.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        signer: Signer,
        #[command(flatten)]
        how: How,
    },
    /// Make a root, an intermediate and a device certificate in one go.
    Chain {
        /// The device's name: the common name of its certificate.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Say what stands in a file of certificates, with their fingerprints.
    Show {
        /// A PEM or DER file.
        file: PathBuf,
    },
}

/// How certificates are made and kept.
#[derive(Args, Debug)]
pub(crate) struct How {
    /// The directory to write to; it is created when missing.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// How many days the certificate is good; 3650 for CAs and 365 for others unless told.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// The kind of key.
    #[arg(long, value_enum, default_value_t = KeyType::P256)]
    key_type: KeyType,
    /// Overwrite files that are there.
    #[arg(long)]
    force: bool,
}

/// Who signs.
#[derive(Args, Debug)]
pub(crate) struct Signer {
    /// The CA's certificate, PEM. A server without it is signed by ca.pem of the directory.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The CA's key, PEM; without it, it is in the same file or in NAME-key.pem beside NAME.pem.
    #[arg(long, value_name = "FILE", requires = "ca")]
    ca_key: Option<PathBuf>,
}

/// Does what `command` says; the text is for the person who asked.
pub(crate) fn run(command: Certs, now_ms: i64) -> Result<String, Problem> {
    match command {
        Certs::Ca { name, how } => ca(&name, &Workshop { how, now_ms }),
        Certs::Server { name, signer, how } => server(name, &signer, &Workshop { how, now_ms }),
        Certs::Device { name, signer, how } => device(&name, &signer, &Workshop { how, now_ms }),
        Certs::Chain { name, how } => chain(&name, &Workshop { how, now_ms }),
        Certs::Show { file } => report::show(&file, now_ms),
    }
}

fn ca(name: &str, workshop: &Workshop) -> Result<String, Problem> {
    let made = workshop.make(name, Purpose::Authority(1), CA_DAYS, None)?;
    let mut files = Files::default();
    let certificate = files.add_pair(workshop, "ca", &made.pem, &made);
    files.write(workshop)?;
    Ok(Report::new(&files.paths())
        .certificate(&made.der)
        .text(&format!(
            "Give {0} to whoever must trust what this CA signs; keep its key to yourself. Next:\n  \
             thingport certs server --out {1} --ca {0}\n  \
             thingport certs device --out {1} --ca {0} --name sensor-1\n\
             To let in every device with a certificate of this CA, paste {0} into the device profile:\n  \
             Device provisioning -> X.509 certificate chain\n",
            certificate.display(),
            workshop.how.out.display(),
        ))
        .finish())
}

fn server(names: Vec<String>, signer: &Signer, workshop: &Workshop) -> Result<String, Problem> {
    let names = if names.is_empty() { machine::names(&[]) } else { names };
    let default = workshop.how.out.join("ca.pem");
    let authority = Authority::read(signer.ca.as_deref().unwrap_or(&default), signer)?;
    let first = names.first().map_or("localhost", String::as_str).to_owned();
    let purpose = Purpose::Server(names);
    let made = workshop.make(&first, purpose, DAYS, Some(&authority.issuer))?;
    let text = format!("{}{}", made.pem, authority.intermediates());
    let mut files = Files::default();
    let certificate = files.add_pair(workshop, "server", &text, &made);
    files.write(workshop)?;
    Ok(Report::new(&files.paths())
        .certificate(&made.der)
        .text(&format!(
            "Put into the configuration; a running server takes up changed files by itself:\n  \
             [tls]\n  certificate = \"{}\"\n  key = \"{}\"\n  ca = \"{}\"\n\
             Try:\n  mosquitto_pub -d -q 1 --cafile {} -h {first} -p 8883 -t v2/t -u $ACCESS_TOKEN \
             -m '{{\"temperature\": 25}}'\n",
            certificate.display(),
            key_path(&certificate).display(),
            authority.path.display(),
            authority.path.display(),
        ))
        .finish())
}

fn device(name: &str, signer: &Signer, workshop: &Workshop) -> Result<String, Problem> {
    let authority = signer.ca.as_deref().map(|path| Authority::read(path, signer)).transpose()?;
    let issuer = authority.as_ref().map(|authority| &authority.issuer);
    let made = workshop.make(name, Purpose::Device, DAYS, issuer)?;
    let mut files = Files::default();
    let stem = file_stem(name);
    let certificate = files.add_pair(workshop, &stem, &made.pem, &made);
    let mut shown = certificate.clone();
    let mut paste = format!(
        "Paste {} into the device: Manage credentials -> X.509 Certificate\n",
        certificate.display()
    );
    if let Some(authority) = &authority {
        // The CA is sent along, so that the server finds the profile that names it.
        let text = format!("{}{}", made.pem, authority.pem);
        shown = files.add(workshop, &format!("{stem}-chain.pem"), text, Readers::Everybody);
        paste += &format!(
            "or, for every device of this CA, {} into the device profile:\n  \
             Device provisioning -> X.509 certificate chain\n",
            authority.path.display()
        );
    }
    files.write(workshop)?;
    Ok(Report::new(&files.paths())
        .certificate(&made.der)
        .text(&paste)
        .text(&try_with(&shown, &key_path(&certificate)))
        .finish())
}

fn chain(name: &str, workshop: &Workshop) -> Result<String, Problem> {
    let days = workshop.how.days.unwrap_or(DAYS);
    let long = CA_DAYS.max(days);
    let root = workshop.make_for("Thingport test root", Purpose::Authority(1), long, None)?;
    let mut files = Files::default();
    files.add_pair(workshop, "root", &root.pem, &root);
    let root = root.into_issuer()?;
    let middle = workshop.make_for(
        "Thingport test intermediate",
        Purpose::Authority(0),
        long,
        Some(&root),
    )?;
    let middle_path = files.add_pair(workshop, "intermediate", &middle.pem, &middle);
    let middle_pem = middle.pem.clone();
    let middle_der = middle.der.clone();
    let middle = middle.into_issuer()?;
    let leaf = workshop.make_for(name, Purpose::Device, days, Some(&middle))?;
    let stem = file_stem(name);
    let leaf_path = files.add_pair(workshop, &stem, &leaf.pem, &leaf);
    let text = format!("{}{middle_pem}", leaf.pem);
    let chain_path = files.add(workshop, &format!("{stem}-chain.pem"), text, Readers::Everybody);
    files.write(workshop)?;
    Ok(Report::new(&files.paths())
        .certificate(&middle_der)
        .certificate(&leaf.der)
        .text(&format!(
            "Paste {0} into the device profile:\n  \
             Device provisioning -> X.509 certificate chain, with the expression (.*) and devices \
             created when needed\n\
             Another device of the same chain:\n  \
             thingport certs device --out {1} --ca {0} --name NAME\n",
            middle_path.display(),
            workshop.how.out.display(),
        ))
        .text(&try_with(&chain_path, &key_path(&leaf_path)))
        .finish())
}

fn try_with(certificate: &Path, key: &Path) -> String {
    format!(
        "Try:\n  curl -so ca-root.pem \
         http://localhost:8080/api/device-connectivity/mqtts/certificate/download\n  \
         mosquitto_pub --cafile ca-root.pem -d -q 1 -h localhost -p 8883 -t v2/t --key {} --cert {} \
         -m '{{\"temperature\": 25}}'\n",
        key.display(),
        certificate.display()
    )
}

/// What all commands that make something share.
struct Workshop {
    how: How,
    now_ms: i64,
}

impl Workshop {
    fn make(
        &self,
        name: &str,
        purpose: Purpose,
        days: u32,
        issuer: Option<&Issuer<'_, KeyPair>>,
    ) -> Result<Issued, Problem> {
        self.make_for(name, purpose, self.how.days.unwrap_or(days), issuer)
    }

    fn make_for(
        &self,
        name: &str,
        purpose: Purpose,
        days: u32,
        issuer: Option<&Issuer<'_, KeyPair>>,
    ) -> Result<Issued, Problem> {
        let order = Order { name, purpose, now_ms: self.now_ms, days };
        issue(&order, new_key(self.how.key_type)?, issuer)
    }
}

/// A CA that can sign.
struct Authority {
    path: PathBuf,
    /// Its certificates, PEM, the signing one first.
    pem: String,
    chain: Vec<Certificate>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn read(path: &Path, signer: &Signer) -> Result<Self, Problem> {
        let bytes = match file::read(path) {
            Err(Problem::Missing(path)) => return Err(Problem::NoCa(path)),
            other => other?,
        };
        let found = blocks(PemFile { path, bytes: &bytes })?;
        let chain: Vec<_> = certificates(path, &found)?
            .iter()
            .filter_map(|der| Certificate::from_der(der).ok())
            .collect();
        let beside = key_path(path);
        let has_key = found.iter().any(|block| block.tag().ends_with("PRIVATE KEY"));
        let key = match &signer.ca_key {
            None if has_key => key::find(path, &found, None)?,
            given => {
                let path = given.as_deref().unwrap_or(&beside);
                let bytes = file::read(path)?;
                key::find(path, &blocks(PemFile { path, bytes: &bytes })?, None)?
            }
        };
        let facts = chain[0].facts();
        if !facts.is_ca() {
            return Err(Problem::NotACa(path.to_owned(), facts.subject.clone()));
        }
        let issuer = made::issuer(path, &chain[0], &key)?;
        let pem = chain.iter().map(Certificate::to_pem).collect();
        Ok(Self { path: path.to_owned(), pem, chain, issuer })
    }

    /// What a server must send besides its own certificate: everything but the root, which clients have.
    fn intermediates(&self) -> String {
        let sent = self.chain.iter().filter(|one| !one.facts().is_self_issued);
        sent.map(Certificate::to_pem).collect()
    }
}

/// Files to be written together.
#[derive(Default)]
struct Files(Vec<(PathBuf, String, Readers)>);

impl Files {
    /// A certificate with its key beside it; the path of the former.
    fn add_pair(&mut self, workshop: &Workshop, stem: &str, pem: &str, made: &Issued) -> PathBuf {
        let certificate =
            self.add(workshop, &format!("{stem}.pem"), pem.to_owned(), Readers::Everybody);
        let key = made.key.serialize_pem();
        self.0.push((key_path(&certificate), key, Readers::Owner));
        certificate
    }

    fn add(&mut self, workshop: &Workshop, name: &str, text: String, who: Readers) -> PathBuf {
        let path = workshop.how.out.join(name);
        self.0.push((path.clone(), text, who));
        path
    }

    fn write(&self, workshop: &Workshop) -> Result<(), Problem> {
        let out = &workshop.how.out;
        std::fs::create_dir_all(out).map_err(|error| {
            Problem::Inaccessible(out.clone(), format!("cannot be created: {error}"))
        })?;
        let twice =
            self.0.iter().enumerate().find(|(index, (path, ..))| {
                self.0[..*index].iter().any(|(other, ..)| other == path)
            });
        if let Some((_, (path, ..))) = twice {
            return Err(Problem::SameName(path.clone()));
        }
        let present = self.0.iter().find(|(path, ..)| path.symlink_metadata().is_ok());
        if let Some((path, ..)) = present.filter(|_| !workshop.how.force) {
            return Err(Problem::Exists(path.clone()));
        }
        self.0.iter().try_for_each(|(path, text, who)| file::replace(path, text.as_bytes(), *who))
    }

    fn paths(&self) -> Vec<&Path> {
        self.0.iter().map(|(path, ..)| path.as_path()).collect()
    }
}

/// Where the key of a certificate lies: `ca-key.pem` for `ca.pem`.
fn key_path(certificate: &Path) -> PathBuf {
    let stem = certificate.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    certificate.with_file_name(format!("{stem}-key.pem"))
}

/// A device's name as the beginning of a file name.
fn file_stem(name: &str) -> String {
    let plain = |letter: char| {
        let is_plain = letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if is_plain { letter } else { '_' }
    };
    let stem: String = name.chars().map(plain).take(100).collect();
    // No hidden file, and no option of the next command.
    let stem = stem.trim_start_matches(['.', '-']);
    if stem.is_empty() { "device".to_owned() } else { stem.to_owned() }
}

const CA_DAYS: u32 = 3_650;
const DAYS: u32 = 365;
