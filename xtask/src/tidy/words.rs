//! Rules on the text of one file: size, module comment, alphabet, and words that do not belong.

use super::Finding;
use super::source::{Source, find_word, line_at};

/// Findings of one file.
pub(super) fn check(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(size(file));
    findings.extend(module_comment(file));
    findings.extend(alphabet(file));
    for ban in BANS {
        if (ban.applies)(&file.path) {
            let code = if ban.in_tests { &file.blanked } else { &file.code };
            findings.extend(ban.words.iter().filter_map(|word| banned(file, code, word, ban)));
        }
    }
    findings
}

fn size(file: &Source) -> Option<Finding> {
    let lines = file.code.trim_end().lines().count();
    (lines > LINES_MAX).then(|| Finding {
        place: file.path.clone(),
        what: format!("{lines} lines before the tests, more than {LINES_MAX}"),
        why: "a file is read at one sitting",
        remedy: "split it by kind of knowledge: name.rs beside name/",
    })
}

fn module_comment(file: &Source) -> Option<Finding> {
    let is_missing = !file.code.is_empty() && !file.text.trim_start().starts_with("//!");
    is_missing.then(|| Finding {
        place: format!("{}:1", file.path),
        what: "no module comment".to_owned(),
        why: "a newcomer asks what a file is and what always holds in it",
        remedy: "begin the file with `//!` and a sentence",
    })
}

fn alphabet(file: &Source) -> Option<Finding> {
    let (at, c) = file.text.char_indices().find(|(_, c)| !c.is_ascii())?;
    Some(Finding {
        place: format!("{}:{}", file.path, line_at(&file.text, at)),
        what: format!("the character U+{:04X}", u32::from(c)),
        why: "look-alike letters and invisible marks hide in source that is not ASCII",
        remedy: "write it in ASCII, or as an escape in a literal",
    })
}

/// The first place where `word` stands in `code` or is imported.
fn banned(file: &Source, code: &str, word: &str, ban: &Ban) -> Option<Finding> {
    let written = places_of(code, word)
        .find(|at| !ban.unless.iter().any(|free| code[*at..].starts_with(free)))
        .map(|at| line_at(code, at));
    let imported = || {
        file.imports()
            .into_iter()
            .find(|(_, path)| find_word(path, word, 0) == Some(0))
            .map(|i| i.0)
    };
    let line = written.or_else(imported)?;
    Some(Finding {
        place: format!("{}:{line}", file.path),
        what: format!("`{word}`"),
        why: ban.why,
        remedy: ban.remedy,
    })
}

/// Every place where `word` stands alone in `code`.
fn places_of<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let next = move |from| find_word(code, word, from);
    std::iter::successors(next(0), move |at| next(at + word.len()))
}

/// Words that may not stand in some files.
struct Ban {
    words: &'static [&'static str],
    /// Longer words that begin with one of them and may stand.
    unless: &'static [&'static str],
    applies: fn(&str) -> bool,
    in_tests: bool,
    why: &'static str,
    remedy: &'static str,
}

fn everywhere(_: &str) -> bool {
    true
}

fn is_pure(path: &str) -> bool {
    ["model", "x509", "mqtt", "device", "core"]
        .iter()
        .any(|room| path.starts_with(&format!("crates/thingport-{room}/src/")))
}

fn is_outside(path: &str, allowed: &[&str]) -> bool {
    path.starts_with("crates/") && !allowed.iter().any(|prefix| path.starts_with(prefix))
}

const BANS: &[Ban] = &[
    Ban {
        words: &[
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "SystemTime::now",
            "Instant::now",
            "thread::sleep",
            "thread::spawn",
            "tokio::spawn",
            "tokio::time",
            "tokio::net",
            "tokio::fs",
            "getrandom",
        ],
        unless: &[],
        applies: is_pure,
        in_tests: false,
        why: "model, mqtt, device and core run in one thread on an invented clock",
        remedy: "take the time, the bytes or the randomness as an argument; the roof supplies it",
    },
    Ban {
        words: &["async", "await"],
        unless: &[],
        applies: |path| !path.contains("-core/") && is_pure(path) && !path.contains("/src/port"),
        in_tests: false,
        why: "protocol, dialects and words never wait; only the ports that core asks for do",
        remedy: "return what is known now, and let the caller wait",
    },
    Ban {
        words: &["#[ignore"],
        unless: &[],
        applies: everywhere,
        in_tests: true,
        why: "a test that does not run proves nothing and is forgotten",
        remedy: "assert what happens today and say that it is wrong, or delete the test",
    },
    Ban {
        words: &["todo!", "unimplemented!"],
        unless: &[],
        applies: everywhere,
        in_tests: true,
        why: "what is on the main branch works",
        remedy: "finish it, or refuse with a reason",
    },
    Ban {
        words: &["unbounded_channel", "mpsc::channel()", "std::sync::mpsc::channel"],
        unless: &[],
        applies: everywhere,
        in_tests: false,
        why: "every queue has a bound, a name, an answer when full, and a metric",
        remedy: "use a bounded queue and say what happens when it is full",
    },
    Ban {
        words: &["ReasonCode::"],
        unless: &["ReasonCode::Success"],
        applies: |path| is_outside(path, REASON_CODE_FILES),
        in_tests: false,
        why: "one map from errors to reason codes, or two places answer the same fault differently",
        remedy: "return the reason and let thingport-transport mqtt/answer.rs choose the code",
    },
    Ban {
        words: &["StatusCode::"],
        unless: &["StatusCode::OK"],
        applies: |path| is_outside(path, STATUS_CODE_FILES),
        in_tests: false,
        why: "one map from errors to HTTP statuses, or two places answer the same fault differently",
        remedy: "return the error and let thingport-api error.rs choose the status",
    },
];

/// Files, or folders, that may name MQTT reason codes.
const REASON_CODE_FILES: &[&str] =
    &["crates/thingport-mqtt/", "crates/thingport-transport/src/mqtt/answer.rs"];

/// Files that may name HTTP statuses: the map for people, the one for devices (a device is told by its
/// reason, not by an error of the domain), and health, whose status is its answer and no error.
const STATUS_CODE_FILES: &[&str] = &[
    "crates/thingport-api/src/error.rs",
    "crates/thingport-transport/src/http/answer.rs",
    "crates/thingport/src/observe.rs",
];

const LINES_MAX: usize = 600;
