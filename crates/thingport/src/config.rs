//! Configuration: one TOML file, then the environment, then the command line; the later one wins.
//!
//! All keys stand in one table, [`keys`]. Reading, the search for the nearest key, `check --print` and
//! `docs/config.md` are made from it. [`assemble`] is a pure function from texts to a typed [`Config`]
//! or to every problem found in them; only [`load`] touches a file and the environment.

mod file;
mod keys;
mod reference;
mod setting;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub(crate) use keys::Config;
pub(crate) use keys::Tls as TlsSettings;
use keys::{KEYS, SECTIONS};
pub(crate) use reference::{effective, reference};
pub(crate) use setting::{Bind, Format as LogFormat, Level as LogLevel, Strategy, TlsVersion};
use setting::{Form, Found};
use table::Key;

/// Where settings come from, by name only. [`load`] reads what is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The TOML file; none is read when this is absent.
    pub(crate) file: Option<PathBuf>,
    /// `KEY=VALUE` pairs of the command line, in order.
    pub(crate) set: Vec<String>,
    /// Short form of `storage.dir`.
    pub(crate) data: Option<String>,
    /// Listen on loopback where no host is given.
    pub(crate) demo: bool,
}

/// The texts behind [`Options`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Name and text of the TOML file.
    pub(crate) file: Option<(String, String)>,
    /// Environment variables; those that do not begin with `THINGPORT__` are ignored.
    pub(crate) environment: Vec<(String, String)>,
    /// As in [`Options::set`].
    pub(crate) set: Vec<String>,
    /// As in [`Options::data`].
    pub(crate) data: Option<String>,
    /// As in [`Options::demo`].
    pub(crate) demo: bool,
}

/// One thing wrong with the configuration: where it stands, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `thingport.toml:3`, the name of an environment variable, or a flag.
    pub(crate) place: String,
    /// What was found, what was expected, what to do.
    pub(crate) sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.sentence)
    }
}

/// Reads the file and the environment named by `options`, then calls [`assemble`].
pub(crate) fn load(options: Options) -> Result<Config, Vec<Problem>> {
    let file = match options.file {
        None => None,
        Some(path) => {
            let place = path.display().to_string();
            match std::fs::read_to_string(&path) {
                Ok(text) => Some((place, text)),
                Err(error) => {
                    let sentence = format!("the configuration file cannot be read: {error}");
                    return Err(vec![Problem { place, sentence }]);
                }
            }
        }
    };
    // A value that is not UTF-8 keeps its replacement characters and is refused by the key's type.
    let environment = std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect();
    let Options { set, data, demo, .. } = options;
    assemble(&Sources { file, environment, set, data, demo })
}

/// Turns texts into a configuration, or into all problems they have.
pub(crate) fn assemble(sources: &Sources) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut given = Vec::new();
    if let Some((name, text)) = &sources.file {
        file::read(name, text, &mut given, &mut problems);
    }
    read_environment(&sources.environment, &mut given);
    read_flags(sources, &mut given, &mut problems);

    let mut config = Config::from_table();
    let mut places = BTreeMap::new();
    for one in &given {
        match apply(one, &mut config) {
            Ok(key) => drop(places.insert(key.name, one.place.as_str())),
            Err(sentence) => problems.push(Problem { place: one.place.clone(), sentence }),
        }
    }
    config.complete_hosts(if sources.demo { LOOPBACK } else { EVERY_ADDRESS });
    if problems.is_empty() {
        contradictions(&config, &places, &mut problems);
    }
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// One `key = value` of some source.
struct Given {
    place: String,
    key: String,
    found: Found,
}

fn read_environment(variables: &[(String, String)], given: &mut Vec<Given>) {
    let mut ours: Vec<_> =
        variables.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
    ours.sort();
    for (name, value) in ours {
        let key = name[ENVIRONMENT_PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        let place = format!("environment variable {name}");
        given.push(Given { place, key, found: Found::new(Form::Bare, value) });
    }
}

fn read_flags(sources: &Sources, given: &mut Vec<Given>, problems: &mut Vec<Problem>) {
    for pair in &sources.set {
        let place = place_of_flag(pair);
        match pair.split_once('=') {
            Some((key, value)) => {
                let found = Found::new(Form::Bare, value.trim());
                given.push(Given { place, key: key.trim().to_owned(), found });
            }
            None => problems.push(Problem {
                place,
                sentence: "expected KEY=VALUE, such as --set mqtt.bind=127.0.0.1:1883".to_owned(),
            }),
        }
    }
    if let Some(data) = &sources.data {
        let found = Found::new(Form::Bare, data);
        given.push(Given { place: "--data".to_owned(), key: "storage.dir".to_owned(), found });
    }
}

/// The flag as it was written, without what may be a secret: what follows a key we do not know could be.
fn place_of_flag(pair: &str) -> String {
    let Some((name, _)) = pair.split_once('=') else { return format!("--set {pair}") };
    let name = name.trim();
    let is_open = KEYS.iter().any(|key| key.name == name && !key.is_secret);
    let shown = if is_open { pair } else { &format!("{name}=...") };
    format!("--set {shown}")
}

fn apply(given: &Given, config: &mut Config) -> Result<&'static Key<Config>, String> {
    let Some(key) = KEYS.iter().find(|key| key.name == given.key) else {
        return Err(unknown(&given.key));
    };
    match (key.set)(config, &given.found) {
        Ok(()) => Ok(key),
        Err(expected) if key.is_secret => Err(format!("{}: expected {expected}", key.name)),
        Err(expected) => Err(format!("{}: expected {expected}, found {}", key.name, given.found)),
    }
}

fn unknown(name: &str) -> String {
    if SECTIONS.iter().any(|section| section.name == name) {
        return format!("unknown key \"{name}\"; write it as a section: [{name}]");
    }
    match nearest(name) {
        Some(key) => format!("unknown key \"{name}\"; did you mean \"{key}\"?"),
        None => format!("unknown key \"{name}\"; `thingport check --reference` lists all keys"),
    }
}

/// The key most like `name`, if any is like it. A right last part under a wrong section counts too.
fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |key: &str| {
        let whole = strsim::normalized_damerau_levenshtein(name, key);
        let last =
            strsim::normalized_damerau_levenshtein(after_last_dot(name), after_last_dot(key));
        whole.max(last * LAST_PART_WEIGHT + whole * (1.0 - LAST_PART_WEIGHT))
    };
    KEYS.iter()
        .map(|key| (likeness(key.name), key.name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .map(|(_, key)| key)
}

fn after_last_dot(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Values that are right alone and wrong together, told at the place of one that was given.
fn contradictions(config: &Config, places: &BTreeMap<&str, &str>, problems: &mut Vec<Problem>) {
    let mut refuse = |keys: [&str; 2], sentence: String| {
        let place = keys.iter().find_map(|key| places.get(key)).copied().unwrap_or("defaults");
        problems.push(Problem { place: place.to_owned(), sentence });
    };
    let binds = [
        ("mqtt.bind", Some(&config.mqtt.bind)),
        ("mqtt.tls_bind", config.mqtt.tls_bind.0.as_ref()),
        ("http.bind", Some(&config.http.bind)),
        ("http.tls_bind", config.http.tls_bind.0.as_ref()),
    ];
    let binds: Vec<_> = binds.into_iter().filter_map(|(key, bind)| Some((key, bind?))).collect();
    for (index, (later, bind)) in binds.iter().enumerate() {
        for (earlier, _) in binds[..index].iter().filter(|(_, other)| bind.overlaps(other)) {
            let sentence = format!("{later} and {earlier} both say {bind}; give each its own port");
            refuse([later, earlier], sentence);
        }
    }
    let (mqtt, http) = (&config.mqtt, &config.http);
    for (keys, is_on, proxies) in [
        (["mqtt.proxy_protocol", "mqtt.proxies"], mqtt.proxy_protocol, &mqtt.proxies),
        (["http.proxy_protocol", "http.proxies"], http.proxy_protocol, &http.proxies),
    ] {
        if is_on && proxies.0.is_empty() {
            let [switch, list] = keys;
            let sentence = format!(
                "{switch} is on and {list} is empty: whoever reaches the port could claim any \
                 address; list the proxies in {list}, or write \"0.0.0.0/0, ::/0\" if nobody else \
                 can reach it"
            );
            refuse(keys, sentence);
        }
    }
    let tls = &config.tls;
    if tls.certificate.0.is_none() && tls.key.0.is_some() {
        let sentence = "tls.key is given without tls.certificate; give both, or neither for a made \
                        certificate";
        refuse(["tls.key", "tls.certificate"], sentence.to_owned());
    }
    if !tls.key_passphrase.0.is_empty() && tls.key_passphrase_file.0.is_some() {
        let sentence = "tls.key_passphrase and tls.key_passphrase_file are both given; keep one";
        refuse(["tls.key_passphrase_file", "tls.key_passphrase"], sentence.to_owned());
    }
    let storage = &config.storage;
    if !storage.log_segment_size.0.is_multiple_of(SEGMENT_UNIT) {
        let sentence =
            "storage.log_segment_size is not a multiple of 4KiB; disks write whole blocks";
        refuse(["storage.log_segment_size"; 2], sentence.to_owned());
    }
    if storage.commit_queue_max.0 > storage.log_segment_size.0 / 2 {
        let sentence = "storage.commit_queue_max is more than half of storage.log_segment_size; \
                        make it smaller or the log files larger";
        let keys = ["storage.commit_queue_max", "storage.log_segment_size"];
        refuse(keys, sentence.to_owned());
    }
    if config.auth.refresh_lifetime < config.auth.token_lifetime {
        let sentence = "auth.refresh_lifetime is shorter than auth.token_lifetime: nobody could \
                        refresh; make it at least as long";
        refuse(["auth.refresh_lifetime", "auth.token_lifetime"], sentence.to_owned());
    }
}

const ENVIRONMENT_PREFIX: &str = "THINGPORT__";
/// Bytes; the smallest piece of a log file that is written.
const SEGMENT_UNIT: u64 = 4096;
const EVERY_ADDRESS: &str = "0.0.0.0";
const LOOPBACK: &str = "127.0.0.1";
/// How much the last part of a name counts beside the whole when looking for the nearest key.
const LAST_PART_WEIGHT: f64 = 0.8;
const LIKE_ENOUGH: f64 = 0.6;
