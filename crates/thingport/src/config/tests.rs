//! Promises of the configuration, as rows: texts in, values or sentences out.

use std::path::Path;
use std::time::Duration;

use super::keys::KEYS;
use super::setting::{Form, Found};
use super::{Config, Problem, Sources, assemble, effective, reference};

fn file(text: &str) -> Sources {
    Sources { file: Some(("t.toml".to_owned(), text.to_owned())), ..Sources::default() }
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn set(pairs: &[&str]) -> Vec<String> {
    pairs.iter().map(|pair| (*pair).to_owned()).collect()
}

/// The value of `key` in force, as TOML.
fn value(config: &Config, key: &str) -> String {
    let key = KEYS.iter().find(|known| known.name == key).unwrap();
    (key.show)(config)
}

fn sentences(sources: &Sources) -> Vec<String> {
    assemble(sources).unwrap_err().iter().map(Problem::to_string).collect()
}

#[test]
fn without_any_source_the_documented_defaults_hold() {
    let config = assemble(&Sources::default()).unwrap();
    assert_eq!(config, Config::default());
    for (key, expected) in [
        ("mqtt.bind", "\"0.0.0.0:1883\""),
        ("mqtt.tls_bind", "\"0.0.0.0:8883\""),
        ("http.bind", "\"0.0.0.0:8080\""),
        ("storage.dir", "\"thingport-data\""),
        ("mqtt.packet_size_max", "\"64KiB\""),
        ("mqtt.keep_alive_max", "\"0\""),
        ("mqtt.session_inactivity_timeout", "\"10m\""),
        ("storage.ttl", "\"0\""),
        ("compat.disconnect_after_refusal", "false"),
    ] {
        assert_eq!(value(&config, key), expected, "{key}");
    }
    assert_eq!(config.auth.token_lifetime, Duration::from_secs(9000));
    assert_eq!(config.auth.refresh_lifetime, Duration::from_secs(604_800));
}

#[test]
fn the_later_source_wins() {
    let mut sources = file("[mqtt]\nbind = \":1\"\n[storage]\ndir = \"file\"\n");
    let mut check = |expected_bind: &str, expected_dir: &str, change: &dyn Fn(&mut Sources)| {
        change(&mut sources);
        let config = assemble(&sources).unwrap();
        assert_eq!(value(&config, "mqtt.bind"), expected_bind);
        assert_eq!(value(&config, "storage.dir"), expected_dir);
    };
    check("\"0.0.0.0:1\"", "\"file\"", &|_| ());
    check("\"0.0.0.0:2\"", "\"env\"", &|s| {
        s.environment =
            environment(&[("THINGPORT__MQTT__BIND", "2"), ("THINGPORT__STORAGE__DIR", "env")]);
    });
    check("\"0.0.0.0:4\"", "\"set\"", &|s| {
        s.set = set(&["mqtt.bind=:3", "mqtt.bind = :4", "storage.dir=set"]);
    });
    check("\"0.0.0.0:4\"", "\"data\"", &|s| s.data = Some("data".to_owned()));
}

#[test]
fn demo_listens_on_loopback_unless_a_host_is_given() {
    for (bind, expected) in [
        (None, "\"127.0.0.1:1883\""),
        (Some("mqtt.bind=1900"), "\"127.0.0.1:1900\""),
        (Some("mqtt.bind=:1900"), "\"127.0.0.1:1900\""),
        (Some("mqtt.bind=0.0.0.0:1883"), "\"0.0.0.0:1883\""),
        (Some("mqtt.bind=[::]:1883"), "\"[::]:1883\""),
    ] {
        let set = bind.map(str::to_owned).into_iter().collect();
        let config = assemble(&Sources { demo: true, set, ..Sources::default() }).unwrap();
        assert_eq!(value(&config, "mqtt.bind"), expected, "{bind:?}");
        assert_eq!(value(&config, "http.bind"), "\"127.0.0.1:8080\"", "{bind:?}");
    }
}

#[test]
fn values_are_read_in_the_forms_the_reference_names() {
    for (line, key, expected) in [
        ("mqtt.bind = 1884", "mqtt.bind", "\"0.0.0.0:1884\""),
        ("mqtt.bind = \"localhost:1884\"", "mqtt.bind", "\"localhost:1884\""),
        ("mqtt.bind = \"[::1]:0\"", "mqtt.bind", "\"[::1]:0\""),
        ("mqtt.connect_timeout = \"1500ms\"", "mqtt.connect_timeout", "\"1500ms\""),
        ("mqtt.connect_timeout = \"60 s\"", "mqtt.connect_timeout", "\"1m\""),
        ("storage.ttl = 0", "storage.ttl", "\"0\""),
        ("storage.ttl = \"365d\"", "storage.ttl", "\"365d\""),
        ("mqtt.packet_size_max = \"65536B\"", "mqtt.packet_size_max", "\"64KiB\""),
        ("mqtt.receive_maximum = 0x10", "mqtt.receive_maximum", "16"),
        ("mqtt.connections_max = 1_000", "mqtt.connections_max", "1000"),
        ("log.level = 'debug'", "log.level", "\"debug\""),
        ("log = { format = \"json\" }", "log.format", "\"json\""),
        ("compat.disconnect_after_refusal = true", "compat.disconnect_after_refusal", "true"),
        ("mqtt.tls_bind = 'off'", "mqtt.tls_bind", "\"off\""),
        ("http.tls_bind = 8443", "http.tls_bind", "\"0.0.0.0:8443\""),
        ("tls.certificate = 'a.pem'", "tls.certificate", "\"a.pem\""),
        ("tls.certificate = ''", "tls.certificate", "\"\""),
        ("tls.names = 'a.example, ::1'", "tls.names", "[\"a.example\", \"::1\"]"),
        ("tls.names = ['*.example', '10.0.0.5']", "tls.names", "[\"*.example\", \"10.0.0.5\"]"),
        ("tls.names = []", "tls.names", "\"\""),
        ("tls.min_version = '1.3'", "tls.min_version", "\"1.3\""),
    ] {
        let config = assemble(&file(line)).unwrap_or_else(|e| panic!("{line}: {e:?}"));
        assert_eq!(value(&config, key), expected, "{line}");
    }
}

#[test]
fn a_wrong_value_is_told_with_line_key_expectation_and_finding() {
    for (line, expected) in [
        (
            "mqtt.receive_maximum = \"many\"",
            "mqtt.receive_maximum: expected a whole number from 1 to 65535, \
             found the string \"many\"",
        ),
        (
            "mqtt.receive_maximum = 0",
            "mqtt.receive_maximum: expected a whole number from 1 to 65535, found the number 0",
        ),
        (
            "mqtt.connect_timeout = 10",
            "mqtt.connect_timeout: expected a duration with its unit (ms, s, m, h, d) such as \
             \"10s\" from 1s to 5m, found the number 10",
        ),
        (
            "mqtt.packet_size_max = \"64kb\"",
            "mqtt.packet_size_max: expected a size with its unit (B, KiB, MiB, GiB) such as \
             \"64KiB\" from 1KiB to 16MiB, found the string \"64kb\"",
        ),
        (
            "mqtt.bind = [1]",
            "mqtt.bind: expected an address such as \"0.0.0.0:1883\", \":1883\" or 1883, \
             found a list",
        ),
        (
            "mqtt.bind = {}",
            "mqtt.bind: expected an address such as \"0.0.0.0:1883\", \":1883\" or 1883, \
             found a table",
        ),
        (
            "compat.disconnect_after_refusal = \"true\"",
            "compat.disconnect_after_refusal: expected true or false, found the string \"true\"",
        ),
        ("log.format = 1.5", "log.format: expected \"text\" or \"json\", found the number 1.5"),
        (
            "storage.dir = \"\"",
            "storage.dir: expected a path in UTF-8 that is not empty, found the string \"\"",
        ),
    ] {
        let text = format!("# first line\n\n{line}\n");
        assert_eq!(sentences(&file(&text)), [format!("t.toml:3: {expected}")], "{line}");
    }
}

#[test]
fn addresses_that_cannot_be_listened_on_are_refused() {
    for bind in
        ["", ":", "host", "host:", ":65536", ":-1", ":+1", "a b:1", "::1:1", "[x]:1", "[]:1"]
    {
        let sources = Sources { set: set(&[&format!("mqtt.bind={bind}")]), ..Sources::default() };
        assert_eq!(sentences(&sources).len(), 1, "{bind:?}");
    }
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    for (text, expected) in [
        ("[mqtt]\nbnd = 1", "t.toml:2: unknown key \"mqtt.bnd\"; did you mean \"mqtt.bind\"?"),
        ("[mqqt]\nbind = 1", "t.toml:2: unknown key \"mqqt.bind\"; did you mean \"mqtt.bind\"?"),
        (
            "packet_size_max = 1",
            "t.toml:1: unknown key \"packet_size_max\"; did you mean \"mqtt.packet_size_max\"?",
        ),
        (
            "[http]\ntoken_lifetime = 1",
            "t.toml:2: unknown key \"http.token_lifetime\"; \
             did you mean \"auth.token_lifetime\"?",
        ),
        (
            "[kafka.brokers]",
            "t.toml:1: unknown key \"kafka.brokers\"; `thingport check --reference` lists all keys",
        ),
        ("mqtt = 3", "t.toml:1: unknown key \"mqtt\"; write it as a section: [mqtt]"),
    ] {
        assert_eq!(sentences(&file(text)), [expected], "{text}");
    }
    let sources = Sources {
        environment: environment(&[
            ("THINGPORT__MQTT__BNID", "1"),
            ("THINGPORT_PORT", "tcp://10.0.0.1:1883"),
            ("PATH", "/bin"),
        ]),
        set: set(&["http.bin=8080", "demo"]),
        ..Sources::default()
    };
    // The argument that is not a pair is found while the arguments are taken apart, so it comes first.
    assert_eq!(
        sentences(&sources),
        [
            "--set demo: expected KEY=VALUE, such as --set mqtt.bind=127.0.0.1:1883",
            "environment variable THINGPORT__MQTT__BNID: unknown key \"mqtt.bnid\"; \
             did you mean \"mqtt.bind\"?",
            "--set http.bin=...: unknown key \"http.bin\"; did you mean \"http.bind\"?",
        ]
    );
}

#[test]
fn a_secret_is_shown_nowhere() {
    const SECRET: &str = "hunter2";
    let mut sources = file(&format!("tls.key_passphrase = \"{SECRET}\""));
    let config = assemble(&sources).unwrap();
    assert_eq!(config.tls.key_passphrase.0, SECRET);
    assert!(!format!("{config:?}").contains(SECRET));
    let printed = effective(&config);
    assert!(!printed.contains(SECRET), "{printed}");
    assert!(printed.contains("key_passphrase = \"\" # set, not shown"), "{printed}");

    sources.set = set(&[
        "tls.key_passphrse=hunter2",
        "tls.key_passphrase = \u{1}hunter2",
        "tls.key_passphrase_file=f",
    ]);
    sources.environment = environment(&[("THINGPORT__TLS__KEY_PASSPHRASE", "hunter2\u{7}")]);
    let told = sentences(&sources);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|line| !line.contains(SECRET)), "{told:?}");
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let told = sentences(&file("[log]\nlevl = 1\n[http]\nbind = true\n[auth]\nissuer = 3\n"));
    let places: Vec<_> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["t.toml:2", "t.toml:4", "t.toml:6"]);
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_lines() {
    for (text, line) in [
        ("[mqtt\nbind = 1", 1),
        ("a = 1\n\nb = = 2", 3),
        ("[mqtt]\nbind = 1\nbind = 2", 3),
        ("\u{0}", 1),
    ] {
        let told = sentences(&file(text));
        let expected = format!("t.toml:{line}: not valid TOML: ");
        assert!(told.iter().all(|one| one.starts_with("t.toml:")), "{told:?}");
        assert!(told.iter().any(|one| one.starts_with(&expected)), "{text:?}: {told:?}");
    }
}

#[test]
fn contradictions_are_told_where_the_later_value_stands() {
    for (text, expected) in [
        (
            "[http]\nbind = 1883",
            "t.toml:2: http.bind and mqtt.bind both say 0.0.0.0:1883; give each its own port",
        ),
        (
            "[mqtt]\nbind = \"127.0.0.1:8080\"",
            "t.toml:2: http.bind and mqtt.bind both say 0.0.0.0:8080; give each its own port",
        ),
        (
            "[http]\ntls_bind = \":8883\"",
            "t.toml:2: http.tls_bind and mqtt.tls_bind both say 0.0.0.0:8883; give each its own \
             port",
        ),
        (
            "[mqtt]\nproxy_protocol = true",
            "t.toml:2: mqtt.proxy_protocol is on and mqtt.proxies is empty: whoever reaches the port \
             could claim any address; list the proxies in mqtt.proxies, or write \
             \"0.0.0.0/0, ::/0\" if nobody else can reach it",
        ),
        (
            "[http]\nproxy_protocol = true",
            "t.toml:2: http.proxy_protocol is on and http.proxies is empty: whoever reaches the port \
             could claim any address; list the proxies in http.proxies, or write \
             \"0.0.0.0/0, ::/0\" if nobody else can reach it",
        ),
        (
            "[tls]\nkey = \"k.pem\"",
            "t.toml:2: tls.key is given without tls.certificate; give both, or neither for a made \
             certificate",
        ),
        (
            "[tls]\nkey_passphrase = \"p\"\nkey_passphrase_file = \"f\"",
            "t.toml:3: tls.key_passphrase and tls.key_passphrase_file are both given; keep one",
        ),
        (
            "[storage]\nlog_segment_size = \"8MiB\"",
            "t.toml:2: storage.commit_queue_max is more than half of storage.log_segment_size; \
             make it smaller or the log files larger",
        ),
        (
            "[storage]\nlog_segment_size = \"67108865B\"",
            "t.toml:2: storage.log_segment_size is not a multiple of 4KiB; disks write whole blocks",
        ),
        (
            "[auth]\ntoken_lifetime = \"8d\"",
            "t.toml:2: auth.refresh_lifetime is shorter than auth.token_lifetime: nobody could \
             refresh; make it at least as long",
        ),
    ] {
        assert_eq!(sentences(&file(text)), [expected], "{text}");
    }
    for text in [
        "[mqtt]\nbind = 0\ntls_bind = 0",
        "http.bind = \"127.0.0.1:1\"\nmqtt.bind = \"[::1]:1\"",
        "[mqtt]\nproxy_protocol = true\nproxies = \"0.0.0.0/0, ::/0\"",
    ] {
        assert!(assemble(&file(text)).is_ok(), "{text}");
    }
}

#[test]
fn what_print_shows_reads_back_as_the_same_configuration() {
    let mut sources =
        file("[mqtt]\nbind = \"[::1]:9\"\n[storage]\nttl = \"90d\"\ndir = 'a\"\\b'\n");
    sources.set = set(&["log.level=trace", "mqtt.packet_size_max=3KiB"]);
    let config = assemble(&sources).unwrap();
    assert_eq!(assemble(&file(&effective(&config))).unwrap(), config);
}

#[test]
fn every_row_of_the_table_can_be_read_is_in_range_and_is_documented() {
    let mut config = Config::default();
    for key in KEYS {
        let default = (key.show)(&config);
        // As it would be written outside of TOML.
        let text = default.replace(['"', '[', ']'], "");
        (key.set)(&mut config, &Found::new(Form::Bare, &text)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((key.show)(&config), default, "{}", key.name);
        assert!(!key.doc.is_empty(), "{}", key.name);
        for end in key.range.map(|(low, high)| [low, high]).into_iter().flatten() {
            let found = Found::new(Form::Bare, end);
            (key.set)(&mut config, &found).unwrap_or_else(|e| panic!("{} {end}: {e}", key.name));
        }
        config = Config::default();
    }
    assert!(KEYS.len() < 80, "fewer than eighty keys in all");
}

#[test]
fn the_committed_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == reference(),
        "docs/config.md does not match the key table; run `cargo xtask codegen`"
    );
}
