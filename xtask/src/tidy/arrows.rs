//! Which crate may use which. The table is the picture at the head of ARCHITECTURE.md.

use toml::{Table, Value};

use super::Finding;

/// Findings of one manifest; `place` is its path and names the package by its folder.
pub(super) fn check(place: &str, manifest: &str) -> Vec<Finding> {
    let finding =
        |what: String, remedy| Finding { place: place.to_owned(), what, why: WHY, remedy };
    let package = place.rsplit('/').nth(1).unwrap_or_default();
    let Some((_, used, tested)) = ARROWS.iter().find(|(name, ..)| *name == package) else {
        return vec![finding(format!("{package} is not in the table of crates"), ADD_ROW)];
    };
    let table: Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![finding(format!("the manifest is not TOML: {error}"), MEND)],
    };
    let mut findings = Vec::new();
    for (kind, name) in house_dependencies(&table) {
        let for_tests = kind == "dev-dependencies" && tested.contains(&name.as_str());
        if !used.contains(&name.as_str()) && !for_tests {
            findings.push(finding(format!("{package} uses {name} ({kind})"), REMOVE));
        }
    }
    findings
}

/// Kind and package name of every dependency on a crate of this house.
fn house_dependencies(manifest: &Table) -> Vec<(&'static str, String)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let per_target = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(per_target) {
        for kind in KINDS {
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                if name.starts_with("thingport") {
                    found.push((kind, name.to_owned()));
                }
            }
        }
    }
    found
}

const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

const MODEL: &str = "thingport-model";
const X509: &str = "thingport-x509";
const MQTT: &str = "thingport-mqtt";
const DEVICE: &str = "thingport-device";
const CORE: &str = "thingport-core";
const STORE: &str = "thingport-store";
const TRANSPORT: &str = "thingport-transport";
const API: &str = "thingport-api";
const OUTBOUND: &str = "thingport-outbound";
const UI: &str = "thingport-ui";
const EVERY: &[&str] = &[MODEL, X509, MQTT, DEVICE, CORE, STORE, TRANSPORT, API, OUTBOUND, UI];

/// Package, what it may use, what its tests may use besides.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    (MODEL, &[], &[]),
    (X509, &[], &[]),
    (MQTT, &[], &[]),
    (DEVICE, &[MODEL], &[]),
    (CORE, &[X509, MODEL], &[]),
    // The registry's rules are told as stories on every engine of the store.
    (STORE, &[MODEL], &[CORE, X509]),
    // Connections are tested over a real ledger.
    (TRANSPORT, &[MQTT, X509, DEVICE, CORE, MODEL], &[STORE]),
    (API, &[CORE, MODEL, UI], &[]),
    (UI, &[], &[]),
    // Brokers that are forwarded to are spoken to in the house's own MQTT.
    (OUTBOUND, &[MQTT, CORE, MODEL], &[]),
    ("thingport", EVERY, &[]),
    ("xtask", &[], &[]),
    ("bench", &[MQTT, STORE, MODEL], &[]),
    ("fuzz", EVERY, &[]),
];

const WHY: &str =
    "each wall between crates forbids something that matters (ARCHITECTURE.md, rooms)";
const REMOVE: &str = "move the code to a room that may use both, or pass what is needed as an argument from the roof";
const ADD_ROW: &str = "add its row in xtask/src/tidy/arrows.rs and draw it in ARCHITECTURE.md";
const MEND: &str = "mend the manifest";
