//! docs/compatibility.md: every section of the contracts has a row, and a row that promises something
//! names a test that exists.

use std::collections::HashSet;

use super::Finding;

/// Findings in the document. `read` gives the text of a file of the repository, if there is one.
pub(super) fn check(document: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = HashSet::new();
    let known: HashSet<String> = sections().collect();
    for (at, line) in document.lines().enumerate() {
        let Some(row) = Row::of(line) else { continue };
        let found = |what: String, remedy| Finding {
            place: format!("{DOCUMENT}:{}", at + 1),
            what,
            why: "whoever comes from ThingsBoard relies on this list, so it must be whole and proven",
            remedy,
        };
        if !known.contains(row.section) {
            findings.push(found(format!("there is no section {}", row.section), SECTION));
        } else if !seen.insert(row.section.to_owned()) {
            findings.push(found(format!("a second row for {}", row.section), "keep one"));
        }
        if !STATES.contains(&row.state) {
            let what = format!("{} is {:?}", row.section, row.state);
            findings.push(found(what, "say same, better, absent yet, absent or no rule"));
        }
        let tests: Vec<_> = row.tests().collect();
        if PROMISES.contains(&row.state) && tests.is_empty() {
            findings.push(found(format!("{} names no test", row.section), "name one"));
        }
        let missing = tests.into_iter().filter(|test| !exists(test, &read));
        findings.extend(missing.map(|test| found(format!("there is no test {test}"), TEST)));
    }
    findings.extend(sections().filter(|it| !seen.contains(it)).map(|section| Finding {
        place: DOCUMENT.to_owned(),
        what: format!("section {section} has no row"),
        why: "what is in no row is not known to be the same, better or absent",
        remedy: "add a row for it",
    }));
    findings
}

/// A row of the tables that go section by section.
struct Row<'a> {
    section: &'a str,
    state: &'a str,
    tests: &'a str,
}

impl<'a> Row<'a> {
    /// None: the line is something else.
    fn of(line: &'a str) -> Option<Self> {
        let mut cells = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
        let section = cells.next().filter(|it| it.starts_with("D ") || it.starts_with("R "))?;
        let (_subject, state) = (cells.next()?, cells.next()?);
        Some(Self { section, state, tests: cells.next()? })
    }

    /// What stands between backticks.
    fn tests(&self) -> impl Iterator<Item = &'a str> {
        self.tests.split('`').skip(1).step_by(2)
    }
}

/// Whether there is such a file, and such a function in it.
fn exists(test: &str, read: impl Fn(&str) -> Option<String>) -> bool {
    let (file, name) = test.split_once("::").map_or((test, None), |(file, it)| (file, Some(it)));
    let (path, any) = if file.ends_with(".py") {
        (format!("tests/interop/{file}"), "def test_")
    } else {
        (format!("crates/{file}"), "fn ")
    };
    let text = read(&path).filter(|_| file.contains("test")).unwrap_or_default();
    match name {
        Some(name) => ["def", "fn"].iter().any(|it| text.contains(&format!("{it} {name}("))),
        None => text.contains(any),
    }
}

/// Every section: `D 3.3` of the device API, `R 7.3` of REST and WebSocket.
fn sections() -> impl Iterator<Item = String> {
    [("D", DEVICE), ("R", REST)].into_iter().flat_map(|(contract, chapters)| {
        chapters.iter().flat_map(move |(chapter, first, last)| {
            let whole = (*last == 0).then(|| format!("{contract} {chapter}"));
            let parts = (*first..=*last).filter(|_| *last > 0);
            whole.into_iter().chain(parts.map(move |part| format!("{contract} {chapter}.{part}")))
        })
    })
}

const DOCUMENT: &str = "docs/compatibility.md";
const STATES: &[&str] = &["same", "better", "absent yet", "absent", "no rule"];
const PROMISES: &[&str] = &["same", "better"];
const SECTION: &str =
    "take a number of the contract, or add the section in xtask/src/tidy/compatibility.rs";
const TEST: &str = "name a file below tests/interop or crates, and behind :: a function in it";

/// Chapter, first and last section; no sections: the chapter is one.
type Chapter = (&'static str, u32, u32);

const DEVICE: &[Chapter] = &[
    ("0", 1, 3),
    ("1", 1, 13),
    ("2", 1, 6),
    ("3", 1, 5),
    ("4", 1, 7),
    ("5", 1, 5),
    ("6", 1, 7),
    ("7", 1, 3),
    ("8", 1, 9),
    ("9", 1, 7),
    ("10", 1, 4),
    ("11", 0, 0),
    ("12", 1, 6),
    ("13", 0, 0),
    ("14", 0, 0),
    ("A", 0, 0),
    ("B", 0, 0),
];

const REST: &[Chapter] = &[
    ("1", 1, 8),
    ("2", 1, 6),
    ("3", 0, 0),
    ("4", 1, 2),
    ("5", 0, 0),
    ("6", 0, 0),
    ("7", 1, 4),
    ("8", 1, 3),
    ("9", 0, 0),
    ("10", 0, 0),
    ("11", 0, 0),
    ("12", 0, 0),
    ("13", 0, 0),
    ("14", 1, 5),
    ("15", 1, 2),
    ("16", 0, 0),
    ("17", 1, 4),
    ("18", 1, 3),
    ("19", 0, 0),
    ("20", 1, 5),
    ("21", 0, 0),
    ("22", 0, 0),
];
