//! Schemas that mean harm are refused or cost little: text, fields, nesting, names, and what follows from
//! them.

use core::fmt::Write as _;
use std::time::{Duration, Instant};

use super::super::schema::SCHEMA_BYTES_MAX;
use super::*;

/// What becomes of a schema.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It compiles.
    Good,
    /// It is refused, and the first finding begins or contains this.
    Bad(&'static str),
}

#[test]
fn schemas_that_mean_harm_are_bounded() {
    let rows: Vec<(&str, String, Fate)> = vec![
        (
            "one byte too many",
            filled("//", "x", SCHEMA_BYTES_MAX + 1),
            Fate::Bad("has 65537 bytes"),
        ),
        ("as many fields as may be", fields(1_000), Fate::Good),
        ("one field too many", fields(1_001), Fate::Bad("has 1001 fields")),
        ("fields of many messages", messages(501, 2), Fate::Bad("has 1002 fields")),
        ("messages without fields", messages(3_000, 0), Fate::Bad("no field")),
        ("enums of many values", enumeration(3_000), Fate::Good),
        ("messages in each other", nested(30), Fate::Good),
        ("messages in each other, too deep", nested(70), Fate::Bad("too many brackets")),
        ("brackets in a comment", format!("{HEAD} // {}", "{".repeat(70)), Fate::Bad("brackets")),
        ("options in each other", options(30), Fate::Bad("")),
        ("options in each other, too deep", options(70), Fate::Bad("too many brackets")),
        ("messages that hold each other", ring(200), Fate::Good),
        ("a long name", named(60_000), Fate::Bad("a name has 60000 bytes")),
        ("a name as long as a key", named(255), Fate::Good),
        ("a long package", packaged(20_000, 1), Fate::Bad("a name has 40001 bytes")),
        ("many references in a long package", packaged(10_000, 900), Fate::Bad("a name has")),
        ("many references in a package", packaged(127, 900), Fate::Good),
        (
            "a long reference",
            format!("{HEAD} message T {{ {}T t = 1; }}", "a.".repeat(20_000)),
            Fate::Bad("a name has"),
        ),
        (
            "a long message",
            format!("{HEAD} message {} {{}} {T}", "M".repeat(256)),
            Fate::Bad("a name has 256"),
        ),
        (
            "many imports",
            filled("", "import \"google/protobuf/any.proto\";", 60_000),
            Fate::Bad(""),
        ),
        (
            "an import of itself",
            format!("{HEAD} import \"schema.proto\"; {T}"),
            Fate::Bad("import"),
        ),
        ("an import upwards", format!("{HEAD} import \"../x.proto\"; {T}"), Fate::Bad("import")),
        ("an import of a path", format!("{HEAD} import \"/etc/passwd\"; {T}"), Fate::Bad("import")),
        ("a file of another name", format!("{HEAD} import \"google/x\"; {T}"), Fate::Bad("import")),
        ("many reserved numbers", reserved(6_000), Fate::Good),
        ("many oneofs", oneofs(990), Fate::Good),
        (
            "quotes that do not end",
            format!("{HEAD} import \"{}", "a".repeat(60_000)),
            Fate::Bad(""),
        ),
        ("a comment that does not end", format!("{HEAD} /* {}", "*".repeat(60_000)), Fate::Bad("")),
        ("escapes", format!("{HEAD} import \"{}\"; {T}", "\\377".repeat(15_000)), Fate::Bad("")),
        (
            "numbers that are too large",
            format!("{HEAD} message T {{ int32 a = {}; }}", "9".repeat(60_000)),
            Fate::Bad(""),
        ),
        ("services", format!("{HEAD} {T} service S {{ rpc A(T) returns (T); }}"), Fate::Good),
        (
            "nothing but blanks",
            filled("", " ", 60_000).replace(HEAD, ""),
            Fate::Bad("syntax is not named"),
        ),
    ];
    let mut differ = Vec::new();
    for (name, text, expected) in rows {
        let began = Instant::now();
        let found = Schema::compile(SchemaKind::Telemetry, &text, None);
        let took = began.elapsed();
        // The worst of them takes some 30 ms without optimization.
        assert!(took < LONGEST, "{name} took {took:?}");
        let is_expected = match (&found, expected) {
            (Ok(_), Fate::Good) => true,
            (Err(found), Fate::Bad(word)) => {
                let all: Vec<String> = found.iter().map(ToString::to_string).collect();
                let is_short = all.iter().all(|it| it.len() < 2_000);
                is_short && all.first().is_some_and(|it| it.contains(word))
            }
            _ => false,
        };
        if !is_expected {
            let shown = found.map(|it| it.root_name().to_owned());
            differ.push(format!("{name}: {expected:?}, {:.300}", format!("{shown:?}")));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// A text of about so many bytes: a line again and again, `#` in it a number.
fn filled(before: &str, line: &str, bytes: usize) -> String {
    let mut text = format!("{HEAD} {before}");
    let mut at = 0;
    while text.len() < bytes {
        text.push_str(&line.replace('#', &at.to_string()));
        at += 1;
    }
    text.truncate(bytes);
    text
}

fn fields(count: usize) -> String {
    let fields = (1..=count).fold(String::new(), |mut text, at| {
        let _ = write!(text, "int32 f{at} = {at};");
        text
    });
    format!("{HEAD} message T {{ {fields} }}")
}

fn messages(count: usize, fields: usize) -> String {
    (0..count).fold(HEAD.to_owned(), |mut text, at| {
        let fields: String = (1..=fields).map(|it| format!("bool b{it} = {it};")).collect();
        let _ = write!(text, "message M{at} {{ {fields} }}");
        text
    })
}

fn enumeration(count: usize) -> String {
    let values: String = (0..count).map(|at| format!("V{at} = {at};")).collect();
    format!("{HEAD} enum E {{ {values} }} message T {{ E e = 1; }}")
}

fn nested(depth: usize) -> String {
    let open: String = (0..depth).map(|at| format!("message M{at} {{ ")).collect();
    format!("{HEAD} message T {{ int32 a = 1; {open} {} }}", "}".repeat(depth))
}

fn options(depth: usize) -> String {
    format!("{HEAD} option x = {}1{}; {T}", "{a:".repeat(depth), "}".repeat(depth))
}

/// Each message holds the next two, the last ones the first.
fn ring(count: usize) -> String {
    (0..count).fold(HEAD.to_owned(), |mut text, at| {
        let (next, other) = ((at + 1) % count, (at + 7) % count);
        let _ = write!(text, "message M{at} {{ M{next} a = 1; repeated M{other} b = 2; }}");
        text
    })
}

fn packaged(parts: usize, references: usize) -> String {
    let fields: String = (2..2 + references).map(|at| format!("T f{at} = {at};")).collect();
    format!("{HEAD} package {}x; message T {{ int32 a = 1; {fields} }}", "p.".repeat(parts))
}

fn named(length: usize) -> String {
    format!("{HEAD} message T {{ int32 {} = 1; }}", "a".repeat(length))
}

fn reserved(count: usize) -> String {
    let numbers: Vec<String> = (0..count).map(|at| (at * 2 + 2).to_string()).collect();
    format!("{HEAD} message T {{ int32 a = 1; reserved {}; }}", numbers.join(","))
}

fn oneofs(count: usize) -> String {
    let fields = (1..=count).fold(String::new(), |mut text, at| {
        let _ = write!(text, "oneof o{at} {{ int32 f{at} = {at}; }}");
        text
    });
    format!("{HEAD} message T {{ {fields} }}")
}

const LONGEST: Duration = Duration::from_secs(5);
const HEAD: &str = "syntax = \"proto3\";";
const T: &str = "message T { int32 a = 1; }";
