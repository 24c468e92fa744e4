//! `thingport certs`, told by the files it leaves.

use std::fs;
use std::path::Path;

use clap::Parser;
use thingport_x509::input;

use super::{Certs, run};
use crate::tls::Problem;

const NOW: i64 = 1_795_600_000_000;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Certs,
}

/// Runs `thingport certs LINE` in `folder`.
fn certs(folder: &Path, line: &str) -> Result<String, Problem> {
    let line = line.replace("DIR", folder.to_str().unwrap());
    let mut words: Vec<_> = std::iter::once("certs").chain(line.split_whitespace()).collect();
    if words[1] != "show" {
        words.extend(["--out", folder.to_str().unwrap()]);
    }
    run(Line::try_parse_from(words).unwrap().command, NOW)
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Subjects of a file's certificates.
fn subjects(folder: &Path, name: &str) -> Vec<String> {
    let chain = input::read_chain(&fs::read(folder.join(name)).unwrap()).unwrap();
    chain.iter().map(|it| it.facts().common_name.clone().unwrap()).collect()
}

#[test]
fn each_command_leaves_its_files_and_says_what_to_do_with_them() {
    for (lines, expected, told) in [
        (&["ca"][..], &["ca-key.pem", "ca.pem"][..], "keep its key to yourself"),
        (
            &["ca", "server --name localhost"],
            &["ca-key.pem", "ca.pem", "server-key.pem", "server.pem"],
            "--cafile DIR/ca.pem -h localhost -p 8883",
        ),
        (
            &["device --name a/../b"],
            &["a_.._b-key.pem", "a_.._b.pem"],
            "into the device: Manage credentials -> X.509 Certificate",
        ),
        (
            &["ca", "device --name d --ca DIR/ca.pem"],
            &["ca-key.pem", "ca.pem", "d-chain.pem", "d-key.pem", "d.pem"],
            "--key DIR/d-key.pem --cert DIR/d-chain.pem",
        ),
        (
            &["chain --name d"],
            &[
                "d-chain.pem",
                "d-key.pem",
                "d.pem",
                "intermediate-key.pem",
                "intermediate.pem",
                "root-key.pem",
                "root.pem",
            ],
            "Device provisioning -> X.509 certificate chain",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut said = String::new();
        for line in lines {
            said = certs(folder.path(), line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        assert_eq!(files(folder.path()), expected, "{lines:?}");
        let told = told.replace("DIR", folder.path().to_str().unwrap());
        assert!(said.contains(&told), "{said}");
        assert!(said.contains("id (SHA3)") && said.contains("SHA-256"), "{said}");
    }
}

#[test]
fn chains_are_sent_without_the_root_and_grow_by_further_devices() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certs(folder, "chain --name one --key-type p384").unwrap();
    certs(folder, "device --name two --ca DIR/intermediate.pem").unwrap();
    for name in ["one", "two"] {
        let chain = subjects(folder, &format!("{name}-chain.pem"));
        assert_eq!(chain, [name, "Thingport test intermediate"]);
    }
    // The server sends what stands between it and the root.
    certs(folder, "server --name localhost --ca DIR/intermediate.pem").unwrap();
    assert_eq!(subjects(folder, "server.pem"), ["localhost", "Thingport test intermediate"]);
}

#[test]
fn fingerprints_are_those_the_server_computes() {
    let folder = tempfile::tempdir().unwrap();
    let said = certs(folder.path(), "device --name d").unwrap();
    let certificate = input::read_one(&fs::read(folder.path().join("d.pem")).unwrap()).unwrap();
    let shown = certs(folder.path(), "show DIR/d.pem").unwrap();
    for text in [&said, &shown] {
        assert!(text.contains(&certificate.credentials_id()), "{text}");
        assert!(text.contains(&certificate.sha256()), "{text}");
    }
    assert!(shown.contains("key         P-256"), "{shown}");
}

#[test]
fn nothing_is_overwritten_unless_asked_and_then_nothing_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("d-key.pem"), "mine").unwrap();
    assert_eq!(
        certs(folder, "device --name d").err(),
        Some(Problem::Exists(folder.join("d-key.pem")))
    );
    assert_eq!(files(folder), ["d-key.pem"]);
    assert_eq!(fs::read_to_string(folder.join("d-key.pem")).unwrap(), "mine");
    certs(folder, "device --name d --force").unwrap();
    assert_ne!(fs::read_to_string(folder.join("d-key.pem")).unwrap(), "mine");
}

#[test]
fn what_cannot_be_done_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certs(folder, "device --name d").unwrap();
    let path = |name: &str| folder.join(name);
    for (line, expected) in [
        ("server --name localhost", Problem::NoCa(path("ca.pem"))),
        ("server --ca DIR/none.pem", Problem::NoCa(path("none.pem"))),
        ("device --name e --ca DIR/d.pem", Problem::NotACa(path("d.pem"), "CN=d".to_owned())),
        ("chain --name root-key", Problem::SameName(path("root-key.pem"))),
        ("show DIR/none.pem", Problem::Missing(path("none.pem"))),
    ] {
        assert_eq!(certs(folder, line).err(), Some(expected), "{line}");
    }
    certs(folder, "ca").unwrap();
    let other = certs(folder, "device --name e --ca DIR/ca.pem --ca-key DIR/d-key.pem").err();
    assert!(matches!(other, Some(Problem::OtherKey(..))), "{other:?}");
    assert_eq!(files(folder), ["ca-key.pem", "ca.pem", "d-key.pem", "d.pem"]);
}
