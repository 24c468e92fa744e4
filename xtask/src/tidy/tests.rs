//! Each rule on a tiny tree that breaks it, and on one that does not; then the tree itself.

use std::fs;
use std::path::Path;

use super::source::Source;
use super::{arrows, compatibility, imports, licences, tree, words};

fn check_words(path: &str, text: &str, expected: &[&str]) {
    let found = words::check(&Source::new(path.to_owned(), text.to_owned()));
    let told: Vec<_> = found.iter().map(|one| format!("{}: {}", one.place, one.what)).collect();
    assert_eq!(told, expected, "{path}\n{text}");
}

#[test]
fn words_that_do_not_belong_are_found_where_they_stand() {
    let core = "crates/thingport-core/src/a.rs";
    let roof = "crates/thingport/src/a.rs";
    for (path, text, expected) in [
        (core, "//! A.\nfn f() { std::fs::read(p); }\n", Some(":2: `std::fs`")),
        (core, "//! A.\nuse std::{\n    fmt,\n    net::{IpAddr},\n};\n", Some(":2: `std::net`")),
        (core, "//! A.\nlet now = Instant::now();\n", Some(":2: `Instant::now`")),
        (core, "//! A.\nlet now = MyInstant::now();\n", None),
        (core, "//! std::fs\n/* std::net /* std::env */ */ const A: &str = \"std::fs\";\n", None),
        (
            core,
            "//! A.\nconst A: &str = r#\"\"std::fs\"#; const B: char = '\"'; // std::fs\n",
            None,
        ),
        (core, "//! A.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n", None),
        (core, "//! A.\n#[cfg(test)]\nmod tests;\nuse std::fs;\n", Some(":4: `std::fs`")),
        (core, "//! A.\nasync fn f() {}\n", None),
        ("crates/thingport-device/src/a.rs", "//! A.\nasync fn f() {}\n", Some(":2: `async`")),
        (roof, "//! A.\nuse std::fs;\n", None),
        (
            roof,
            "//! A.\n#[cfg(test)]\nmod tests {\n#[ignore]\nfn f() {}\n}",
            Some(":4: `#[ignore`"),
        ),
        (roof, "//! A.\nfn f() { todo!() }\n", Some(":2: `todo!`")),
        (roof, "//! A.\nlet c = mpsc::channel();\n", Some(":2: `mpsc::channel()`")),
        (roof, "//! A.\nlet c = mpsc::channel(8);\n", None),
        (roof, "//! A.\nReasonCode::Success;\nReasonCode::Other;\n", Some(":3: `ReasonCode::`")),
        (roof, "fn main() {}\n", Some(":1: no module comment")),
        (roof, "//! A \u{201c}quote\u{201d}.\n", Some(":1: the character U+201C")),
    ] {
        let expected: Vec<_> = expected.map(|rest| format!("{path}{rest}")).into_iter().collect();
        check_words(path, text, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }
    check_words("crates/thingport-mqtt/src/a.rs", "//! A.\nReasonCode::Other;\n", &[]);
    check_words("crates/thingport-api/src/error.rs", "//! A.\nStatusCode::NOT_FOUND\n", &[]);
}

#[test]
fn every_section_of_the_contracts_has_a_row_with_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let whole = fs::read_to_string(root.join("docs/compatibility.md")).unwrap();
    let rows: Vec<_> = whole.lines().filter(|line| line.starts_with("| D 3.3 ")).collect();
    let row = *rows.first().unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    for (instead, expected) in [
        (row, None),
        ("", Some("section D 3.3 has no row")),
        ("| D 3.3 | topics | same | |", Some("D 3.3 names no test")),
        ("| D 3.3 | topics | absent yet | |", None),
        ("| D 3.3 | topics | nearly | |", Some("D 3.3 is \"nearly\"")),
        (
            "| D 3.3 | a | same | `test_rest.py::test_no_such` |",
            Some("no test test_rest.py::test_no"),
        ),
        ("| D 3.3 | a | same | `test_no_such.py` |", Some("there is no test test_no_such.py")),
        ("| D 3.3 | a | same | `thingport-core/src/lib.rs::no` |", Some("there is no test")),
        ("| D 3.3 | a | no rule | |\n| D 3.3 | a | no rule | |", Some("a second row for D 3.3")),
        ("| D 3.3 | a | no rule | |\n| D 3.9 | a | no rule | |", Some("there is no section D 3.9")),
    ] {
        let found = compatibility::check(&whole.replace(row, instead), read);
        let told: Vec<_> = found.iter().map(|one| one.what.as_str()).collect();
        match (expected, told.as_slice()) {
            (None, []) => {}
            (Some(expected), [one]) if one.contains(expected) => {}
            _ => panic!("{instead}: {told:?}"),
        }
    }
}

#[test]
fn only_lines_above_the_tests_count_towards_the_size_of_a_file() {
    let path = "crates/thingport-core/src/a.rs";
    let code = format!("//! A.\n{}", "fn f() {}\n".repeat(599));
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// row\n".repeat(900));
    check_words(path, &format!("{code}{tests}"), &[]);
    let told = format!("{path}: 601 lines before the tests, more than 600");
    check_words(path, &format!("{code}fn g() {{}}\n{tests}"), &[&told]);
    check_words("crates/thingport-core/src/a/tests.rs", &tests, &[]);
}

#[test]
fn an_arrow_that_is_not_in_the_picture_is_refused() {
    for (package, manifest, expected) in [
        ("thingport-core", "[dependencies]\nthingport-model.workspace = true\n", 0),
        ("thingport-core", "[dependencies]\nthingport-store.workspace = true\n", 1),
        ("thingport-core", "[dev-dependencies]\nthingport-store.workspace = true\n", 1),
        ("thingport-core", "[dependencies]\nx = { package = \"thingport-api\" }\n", 1),
        ("thingport-core", "[target.'cfg(unix)'.dependencies]\nthingport-mqtt = \"0\"\n", 1),
        ("thingport-model", "[dependencies]\nthingport-mqtt = \"0\"\nuuid = \"1\"\n", 1),
        ("thingport", "[dependencies]\nthingport-store = \"0\"\nthingport-api = \"0\"\n", 0),
        ("thingport-extra", "", 1),
        ("thingport-core", "[dependencies\n", 1),
    ] {
        let found = arrows::check(&format!("crates/{package}/Cargo.toml"), manifest);
        assert_eq!(found.len(), expected, "{package}: {manifest}: {found:?}");
    }
}

fn check_imports(files: &[(&str, &str)], expected: &[&str]) {
    let sources: Vec<_> = files
        .iter()
        .map(|(name, text)| Source::new(format!("crates/x/src/{name}"), (*text).to_owned()))
        .collect();
    let found = imports::check(&sources.iter().collect::<Vec<_>>());
    let told: Vec<_> = found.iter().map(|one| one.what.rsplit(": ").next().unwrap()).collect();
    assert_eq!(told, expected, "{files:?}");
}

#[test]
fn files_that_import_each_other_are_found() {
    let root = ("lib.rs", "mod a; mod b; mod c;");
    check_imports(&[root, ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;")], &[]);
    check_imports(
        &[root, ("a.rs", "use crate::{b::B, c};"), ("b.rs", "fn f(a: crate::a::A) {}")],
        &["a uses b; b uses a"],
    );
    check_imports(
        &[root, ("a.rs", "use super::b::B;"), ("b.rs", "use crate::c;"), ("c.rs", "use super::a;")],
        &["a uses b; b uses c; c uses a"],
    );
    check_imports(&[root, ("a.rs", "// use crate::b;"), ("b.rs", "use crate::a::A;")], &[]);
    // A part may use the whole it belongs to, but two parts may not use each other.
    check_imports(
        &[("a.rs", "mod p; use p::P;"), ("a/p.rs", "use super::A; use crate::a::B;")],
        &[],
    );
    check_imports(
        &[
            ("a.rs", "mod p; mod q;"),
            ("a/p.rs", "use super::q::Q;"),
            ("a/q.rs", "use super::p::P;"),
        ],
        &["a::p uses a::q; a::q uses a::p"],
    );
    check_imports(
        &[("a.rs", "mod p;"), ("a/p.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;")],
        &["a uses a::p; a::p uses b; b uses a"],
    );
}

#[test]
fn a_licence_is_allowed_when_it_leaves_a_choice_that_is() {
    for (expression, expected) in [
        ("\"MIT OR Apache-2.0\"", 0),
        ("\"MIT/Apache-2.0\"", 0),
        ("\"GPL-3.0-only OR MIT\"", 0),
        ("\"(MIT OR GPL-2.0-only) AND Unicode-3.0\"", 0),
        ("\"Apache-2.0 WITH LLVM-exception\"", 0),
        ("\"MIT AND GPL-2.0-only\"", 1),
        ("\"AGPL-3.0-only\"", 1),
        ("\"MIT MIT\"", 1),
        ("null", 1),
    ] {
        let metadata =
            format!("{{\"packages\": [{{\"name\": \"x\", \"license\": {expression}}}]}}");
        assert_eq!(licences::check(&metadata).unwrap().len(), expected, "{expression}");
    }
    assert!(licences::check("{}").is_err(), "no packages means nothing was checked");
}

#[test]
fn a_tree_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("crates/thingport-core/Cargo.toml", "[dependencies]\nthingport-api = \"0\"\n");
    write("crates/thingport-core/src/lib.rs", "//! Core.\npub mod deep;\n");
    write("crates/thingport-core/src/deep/file.rs", "fn f() { todo!() }\n");
    write("crates/thingport-core/tests/one.rs", "#[ignore]\nfn f() {}\n");
    write("crates/thingport-core/target/skipped.rs", "#[ignore]");
    let mut places: Vec<_> =
        tree(folder.path()).unwrap().into_iter().map(|finding| finding.place).collect();
    places.sort();
    let expected = ["Cargo.toml", "src/deep/file.rs:1", "src/deep/file.rs:1", "tests/one.rs:1"];
    assert_eq!(places, expected.map(|rest| format!("crates/thingport-core/{rest}")));
}

#[test]
fn this_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if let Err(findings) = super::run(&root) {
        panic!("{findings}");
    }
}
