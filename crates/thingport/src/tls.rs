//! The server's own certificate: given or made, served on every secure listener, taken up again when its
//! files change.
//!
//! What always holds: a listener serves whole material, whose key fits its certificate; what cannot be
//! used is told once and changes nothing. At the start it is the other way round: a certificate that was
//! given and cannot be used stops the start, because a server that left out a listener would leave
//! devices outside without a word.

pub(crate) mod facts;
pub(crate) mod file;
pub(crate) mod issue;
pub(crate) mod key;
pub(crate) mod machine;
pub(crate) mod made;
pub(crate) mod material;
mod problem;
mod serving;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use thingport_x509::certificate::{Certificate, Validity};

use crate::config::{TlsSettings, TlsVersion};
use file::Stamp;
use material::{Material, PemFile};
pub(crate) use problem::Problem;
use serving::Chosen;

/// The server's certificate and everything that serves it.
pub(crate) struct Tls {
    source: Source,
    min_version: TlsVersion,
    chosen: Arc<Chosen>,
    standing: ArcSwap<Standing>,
    watch: Mutex<Watch>,
    /// How often new material was taken up.
    taken_up: AtomicU64,
    /// How often new material could not be used.
    refused: AtomicU64,
    /// Whether the last attempt failed, so that what is served is not what lies in the files.
    is_stale: AtomicBool,
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
struct Source {
    given: Option<Given>,
    /// Folder of the made certificates.
    folder: PathBuf,
    /// Names for the made certificate, besides the machine's own.
    names: Vec<String>,
    /// The file to hand out, instead of what the certificate implies.
    ca: Option<PathBuf>,
}

/// The operator's own certificate.
#[derive(Clone, Debug)]
struct Given {
    certificate: PathBuf,
    key: Option<PathBuf>,
    passphrase: Passphrase,
}

#[derive(Clone)]
enum Passphrase {
    None,
    Text(String),
    File(PathBuf),
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Text(_) => "Text(..)",
            Self::File(_) => "File(..)",
        })
    }
}

/// What is served now.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The server's certificate.
    pub(crate) server: Certificate,
    /// The names it is good for.
    pub(crate) names: Vec<String>,
    /// What devices are given to trust, PEM; none when a public CA issued the certificate.
    pub(crate) ca_pem: Option<Arc<str>>,
    /// The first certificate of the above.
    pub(crate) ca: Option<Certificate>,
    /// Where the above lies, when it is a file of its own.
    pub(crate) ca_file: Option<PathBuf>,
    /// When a made certificate is due, milliseconds since 1970.
    renew_at_ms: Option<i64>,
}

/// Freshly read material.
struct Loaded {
    material: Material,
    standing: Standing,
}

#[derive(Debug)]
struct Watch {
    /// The files as they were when they were last read.
    read: Vec<Stamp>,
    /// The files as they were at the last look.
    seen: Vec<Stamp>,
    /// Not to be tried before this moment, milliseconds since 1970: a renewal that failed.
    not_before_ms: i64,
}

/// Whether the files named in the settings can be used; makes nothing.
pub(crate) fn check(settings: &TlsSettings) -> Result<(), Problem> {
    let source = Source::new(settings, Path::new(""));
    source.given.as_ref().map(Given::read).transpose()?;
    source.ca.as_deref().map(read_all).transpose()?;
    Ok(())
}

impl Tls {
    /// Reads or makes the certificate. To be called where blocking is allowed.
    pub(crate) fn open(settings: &TlsSettings, data: &Path, now_ms: i64) -> Result<Self, Problem> {
        let source = Source::new(settings, data);
        let before = file::stamps(&source.files());
        let Loaded { material, standing } = source.load(now_ms)?;
        let read = source.stamps_after(before);
        warn_of_dates(&standing, now_ms);
        Ok(Self {
            min_version: settings.min_version,
            chosen: Arc::new(Chosen::new(material.certified)),
            standing: ArcSwap::from_pointee(standing),
            watch: Mutex::new(Watch { seen: read.clone(), read, not_before_ms: 0 }),
            taken_up: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            is_stale: AtomicBool::new(false),
            source,
        })
    }

    /// Set-up of the listener for devices.
    pub(crate) fn for_devices(&self) -> Result<Arc<ServerConfig>, Problem> {
        serving::for_devices(&self.chosen, self.min_version).map(Arc::new)
    }

    /// Set-up of the listener for people, where nobody is asked for a certificate.
    pub(crate) fn for_people(&self) -> Result<Arc<ServerConfig>, Problem> {
        serving::for_people(&self.chosen, self.min_version).map(Arc::new)
    }

    /// What is served now.
    pub(crate) fn standing(&self) -> Arc<Standing> {
        self.standing.load_full()
    }

    /// How often material was taken up and refused since the start, and whether it is refused now.
    pub(crate) fn reloads(&self) -> (u64, u64, bool) {
        let count = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (count(&self.taken_up), count(&self.refused), self.is_stale.load(Ordering::Relaxed))
    }

    /// Looks whether the files changed or a renewal is due, and takes up what is new. `told` says that a
    /// person asked for it. To be called about once a second, where blocking is allowed.
    ///
    /// A change is taken up when the files look the same at two looks, so that nobody reads a file that
    /// is still being written, or a certificate whose key is about to follow.
    pub(crate) fn look(&self, now_ms: i64, told: bool) {
        let mut watch = self.watch.lock();
        let stamps = file::stamps(&self.source.files());
        let is_quiet = stamps == watch.seen;
        let is_new = stamps != watch.read;
        watch.seen.clone_from(&stamps);
        let due = self.standing.load().renew_at_ms.is_some_and(|at| now_ms >= at);
        if told || (is_new && is_quiet) || (due && now_ms >= watch.not_before_ms) {
            self.take_up(now_ms, stamps, &mut watch);
        }
    }

    fn take_up(&self, now_ms: i64, stamps: Vec<Stamp>, watch: &mut Watch) {
        match self.source.load(now_ms) {
            Ok(Loaded { material, standing }) => {
                let facts = standing.server.facts();
                tracing::info!(
                    subject = facts.subject,
                    serial = facts.serial,
                    names = standing.names.join(", "),
                    "the server certificate was taken up; open connections stay"
                );
                warn_of_dates(&standing, now_ms);
                self.chosen.replace(material.certified);
                self.standing.store(Arc::new(standing));
                self.taken_up.fetch_add(1, Ordering::Relaxed);
                self.is_stale.store(false, Ordering::Relaxed);
            }
            Err(problem) => {
                tracing::error!(
                    %problem,
                    "the changed server certificate cannot be used; the former one stays in force"
                );
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.is_stale.store(true, Ordering::Relaxed);
                watch.not_before_ms = now_ms + RETRY_MS;
            }
        }
        watch.read = self.source.stamps_after(stamps);
        watch.seen.clone_from(&watch.read);
    }
}

impl Source {
    fn new(settings: &TlsSettings, data: &Path) -> Self {
        let passphrase = match (&settings.key_passphrase_file.0, &settings.key_passphrase.0) {
            (Some(file), _) => Passphrase::File(file.clone()),
            (None, text) if text.is_empty() => Passphrase::None,
            (None, text) => Passphrase::Text(text.clone()),
        };
        let given = settings.certificate.0.clone().map(|certificate| Given {
            certificate,
            key: settings.key.0.clone(),
            passphrase,
        });
        Self {
            given,
            folder: data.join(FOLDER),
            names: settings.names.0.clone(),
            ca: settings.ca.0.clone(),
        }
    }

    /// Every file that is read.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = match &self.given {
            None => made::files(&self.folder).to_vec(),
            Some(given) => {
                let passphrase = match &given.passphrase {
                    Passphrase::File(file) => Some(file),
                    _ => None,
                };
                [Some(&given.certificate), given.key.as_ref(), passphrase]
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect()
            }
        };
        files.extend(self.ca.clone());
        files
    }

    /// The stamps to compare with later. Of files that others write, those from before they were read;
    /// of made ones those from after, since reading them may have made them.
    fn stamps_after(&self, before: Vec<Stamp>) -> Vec<Stamp> {
        if self.given.is_some() { before } else { file::stamps(&self.files()) }
    }

    fn load(&self, now_ms: i64) -> Result<Loaded, Problem> {
        let (material, implied, renew_at_ms) = match &self.given {
            Some(given) => {
                let material = given.read()?;
                let root = material.root();
                (material, root, None)
            }
            None => {
                let names = machine::names(&self.names);
                let made = made::prepare(&self.folder, &names, now_ms)?;
                (made.material, Some(made.ca), Some(made.renew_at_ms))
            }
        };
        let (ca_pem, ca, ca_file) = match &self.ca {
            Some(path) => {
                let all = read_all(path)?;
                // Written anew: a key that somebody left in the file must not be handed out.
                let pem: String = all.iter().map(Certificate::to_pem).collect();
                (Some(pem.into()), all.into_iter().next(), Some(path.clone()))
            }
            None => {
                let file = self.given.is_none().then(|| made::ca_file(&self.folder));
                (implied.as_ref().map(|ca| ca.to_pem().into()), implied, file)
            }
        };
        let names = facts::names(material.certificate.der());
        let server = material.certificate.clone();
        let standing = Standing { server, names, ca_pem, ca, ca_file, renew_at_ms };
        Ok(Loaded { material, standing })
    }
}

impl Given {
    fn read(&self) -> Result<Material, Problem> {
        let certificate = file::read(&self.certificate)?;
        let key = self.key.as_deref().map(|path| file::read(path).map(|bytes| (path, bytes)));
        let key = key.transpose()?;
        let passphrase = match &self.passphrase {
            Passphrase::None => None,
            Passphrase::Text(text) => Some(text.clone()),
            Passphrase::File(path) => Some(first_line(path)?),
        };
        Material::read(
            PemFile { path: &self.certificate, bytes: &certificate },
            key.as_ref().map(|(path, bytes)| PemFile { path, bytes }),
            passphrase.as_deref(),
        )
    }
}

/// Every certificate of a PEM file, at least one.
fn read_all(path: &Path) -> Result<Vec<Certificate>, Problem> {
    let bytes = file::read(path)?;
    let blocks = material::blocks(PemFile { path, bytes: &bytes })?;
    let chain = material::certificates(path, &blocks)?;
    Ok(chain.iter().filter_map(|der| Certificate::from_der(der).ok()).collect())
}

fn first_line(path: &Path) -> Result<String, Problem> {
    let text = String::from_utf8(file::read(path)?).map_err(|_| {
        Problem::Inaccessible(path.to_owned(), "holds a passphrase that is not UTF-8".to_owned())
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// An expired certificate is served all the same: devices that do not look at dates still get in.
fn warn_of_dates(standing: &Standing, now_ms: i64) {
    let certificates = [("server", Some(&standing.server)), ("CA", standing.ca.as_ref())];
    for (which, certificate) in certificates {
        let Some(facts) = certificate.map(Certificate::facts) else { continue };
        let state = match facts.validity_at(now_ms) {
            Validity::Valid => continue,
            Validity::Expired => "has expired",
            Validity::NotYet => "is not valid yet",
        };
        tracing::warn!(
            subject = facts.subject,
            "the {which} certificate {state}: clients that look at dates will not connect"
        );
    }
}

/// A renewal that failed is tried again after this long.
const RETRY_MS: i64 = 3_600_000;
const FOLDER: &str = "tls";
