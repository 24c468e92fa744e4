//! Licences of everything that is linked in, judged from what cargo knows of each package.

use serde_json::Value;

use super::Finding;

/// Findings in the JSON of `cargo metadata`.
pub(super) fn check(metadata: &str) -> Result<Vec<Finding>, String> {
    let metadata: Value = serde_json::from_str(metadata)
        .map_err(|error| format!("cargo metadata is not JSON: {error}\n"))?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if packages.is_empty() {
        return Err("cargo metadata names no packages\n".to_owned());
    }
    Ok(packages.iter().filter_map(check_package).collect())
}

fn check_package(package: &Value) -> Option<Finding> {
    let name = package["name"].as_str().unwrap_or("?");
    let licence = package["license"].as_str().unwrap_or("no licence");
    (!is_allowed(licence)).then(|| Finding {
        place: "Cargo.lock".to_owned(),
        what: format!("{name} comes under {licence}"),
        why: "users must be able to ship Thingport under Apache-2.0 without asking anybody",
        remedy: "use another crate, or add the licence in xtask/src/tidy/licences.rs if it is as free",
    })
}

/// Whether an SPDX expression leaves a choice that is allowed. `/` is the old spelling of `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) && rest.is_empty()
}

fn either(rest: &mut &[&str]) -> bool {
    let mut allowed = both(rest);
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        allowed |= both(rest);
    }
    allowed
}

fn both(rest: &mut &[&str]) -> bool {
    let mut allowed = one(rest);
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        allowed &= one(rest);
    }
    allowed
}

fn one(rest: &mut &[&str]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let allowed = either(rest);
            *rest = rest.strip_prefix(&[")"]).unwrap_or_default();
            allowed
        }
        // An exception only ever adds freedom.
        [name, "WITH", _, tail @ ..] | [name, tail @ ..] => {
            *rest = tail;
            ALLOWED.contains(name)
        }
        [] => false,
    }
}

const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BlueOak-1.0.0", // asks for its own text to be kept, and nothing else
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
