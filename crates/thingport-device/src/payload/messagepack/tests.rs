//! MessagePack means what the same JSON would mean.

use super::*;

#[test]
fn values_become_the_json_they_stand_for() {
    let rows = [
        ("05", "5"),
        ("e0", "-32"),
        ("cc ff", "255"),
        ("cd 01 00", "256"),
        ("ce 00 01 00 00", "65536"),
        ("cf ff ff ff ff ff ff ff ff", "18446744073709551615"),
        ("d0 80", "-128"),
        ("d1 80 00", "-32768"),
        ("d2 80 00 00 00", "-2147483648"),
        ("d3 80 00 00 00 00 00 00 00", "-9223372036854775808"),
        ("ca 3d cc cc cd", "0.1"),
        ("cb 3f f1 99 99 99 99 99 9a", "1.1"),
        ("cb 7f f8 00 00 00 00 00 00", "\"NaN\""),
        ("c0", "null"),
        ("c2", "false"),
        ("c3", "true"),
        ("a2 68 69", "\"hi\""),
        ("d9 02 68 69", "\"hi\""),
        ("da 00 02 68 69", "\"hi\""),
        ("db 00 00 00 02 68 69", "\"hi\""),
        ("c4 02 ff 00", "\"/wA=\""),
        ("93 01 90 80", "[1,[],{}]"),
        ("dc 00 01 05", "[5]"),
        ("de 00 01 a1 61 05", "{\"a\":5}"),
        ("82 a1 61 01 07 c3", "{\"a\":1,\"7\":true}"),
        // The three layouts of times; other extensions.
        ("d6 ff 51 4b 67 b0", "1363896240000"),
        ("d7 ff 77 35 94 00 51 4b 67 b0", "1363896240500"),
        ("c7 0c ff 1d cd 65 00 00 00 00 00 51 4b 67 b0", "1363896240500"),
        ("d4 05 ff", "\"/w==\""),
    ];
    for (bytes, expected) in rows {
        assert_eq!(shown(&hex(bytes)), expected, "{bytes}");
    }
}

#[test]
fn what_is_no_value_says_where() {
    let rows = [
        ("", "payload.not_msgpack the payload ends in the middle of a value at byte 0"),
        ("cd 01", "payload.not_msgpack the payload ends in the middle of a value at byte 1"),
        ("00 00", "payload.not_msgpack bytes follow the end of the value at byte 1"),
        ("c1", "payload.not_msgpack a byte that is never used at byte 1"),
        ("a1 ff", "payload.not_msgpack a text is not UTF-8 at byte 2"),
        ("81 c0 00", "payload.not_msgpack a key is neither a text nor a whole number at byte 2"),
        (
            "dd ff ff ff ff",
            "payload.not_msgpack the payload ends in the middle of a value at byte 5",
        ),
        (
            "db ff ff ff ff 61",
            "payload.not_msgpack the payload ends in the middle of a value at byte 5",
        ),
    ];
    for (bytes, expected) in rows {
        assert_eq!(shown(&hex(bytes)), expected, "{bytes}");
    }
    let mut deep = [0x91].repeat(64);
    deep.push(0);
    assert!(shown(&deep).ends_with(']'), "64 levels are read");
    deep.insert(0, 0x91);
    assert_eq!(shown(&deep), "payload.too_deep more than 64 levels at byte 65");
}

#[test]
fn json_becomes_the_value_it_stands_for() {
    let rows = [
        ("{\"a\":1,\"b\":[true,null]}", "82 a1 61 01 a1 62 92 c3 c0"),
        ("-25", "e7"),
        ("1.0", "cb 3f f0 00 00 00 00 00 00"),
        ("18446744073709551615", "cf ff ff ff ff ff ff ff ff"),
        ("\"x\"", "a1 78"),
    ];
    for (json, expected) in rows {
        let mut out = Vec::new();
        from_json(&serde_json::from_str(json).unwrap(), &mut out);
        assert_eq!(out, hex(expected), "{json}");
    }
}

fn shown(payload: &[u8]) -> String {
    let mut out = String::new();
    match to_json(payload, &mut out) {
        Ok(()) => out,
        Err(Reject { reason, detail }) => format!("{} {detail}", reason.id()),
    }
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
