//! CBOR means what the same JSON would mean.

use super::*;

#[test]
fn items_become_the_json_they_stand_for() {
    let rows = [
        // Of RFC 8949, appendix A, and what its numbers are here.
        ("00", "0"),
        ("18 64", "100"),
        ("1b ff ff ff ff ff ff ff ff", "18446744073709551615"),
        ("3b ff ff ff ff ff ff ff ff", "-18446744073709551616"),
        ("20", "-1"),
        ("f9 3c 00", "1.0"),
        ("f9 7e 00", "\"NaN\""),
        ("fa 47 c3 50 00", "100000.0"),
        ("fa 3d cc cc cd", "0.1"),
        ("fb 3f f1 99 99 99 99 99 9a", "1.1"),
        ("f9 fc 00", "\"-Infinity\""),
        ("f4", "false"),
        ("f6", "null"),
        ("f7", "null"),
        ("f0", "16"),
        ("44 01 02 03 04", "\"AQIDBA==\""),
        ("62 22 5c", "\"\\\"\\\\\""),
        ("7f 65 73 74 72 65 61 64 6d 69 6e 67 ff", "\"streaming\""),
        ("5f 42 01 02 43 03 04 05 ff", "\"AQIDBAU=\""),
        ("83 01 82 02 03 82 04 05", "[1,[2,3],[4,5]]"),
        ("9f 01 82 02 03 9f 04 05 ff ff", "[1,[2,3],[4,5]]"),
        ("a2 61 61 01 61 62 82 02 03", "{\"a\":1,\"b\":[2,3]}"),
        ("bf 61 61 01 ff", "{\"a\":1}"),
        ("a1 05 f5", "{\"5\":true}"),
        ("a1 20 f5", "{\"-1\":true}"),
        // Tags: times are milliseconds, everything else is what it holds.
        ("c1 1a 51 4b 67 b0", "1363896240000"),
        ("c1 fb 41 d4 52 d9 ec 20 00 00", "1363896240500"),
        ("c0 61 78", "\"x\""),
        ("d7 44 01 02 03 04", "\"AQIDBA==\""),
    ];
    for (bytes, expected) in rows {
        let mut out = "left over".to_owned();
        assert_eq!(to_json(&hex(bytes), &mut out), Ok(()), "{bytes}");
        assert_eq!(out, expected, "{bytes}");
    }
}

#[test]
fn what_is_no_item_says_where() {
    let rows = [
        ("", "payload.not_cbor the payload ends in the middle of an item at byte 0"),
        ("18", "payload.not_cbor the payload ends in the middle of an item"),
        ("00 00", "payload.not_cbor bytes follow the end of the item at byte 1"),
        ("ff", "payload.not_cbor no item begins here at byte 0"),
        ("61 ff", "payload.not_cbor what begins here is not well formed"),
        ("a1 f5 00", "payload.not_cbor a key is neither a text nor a whole number at byte 1"),
        ("9b ff ff ff ff ff ff ff ff 00", "payload.not_cbor the payload ends"),
        ("bf 61 61", "payload.not_cbor the payload ends"),
        ("9f", "payload.not_cbor the payload ends"),
    ];
    for (bytes, expected) in rows {
        let found = shown(&hex(bytes));
        assert!(found.starts_with(expected), "{bytes}: {found}");
    }
    for (open, levels) in [(0x81, 66), (0x9F, 66), (0xC2, 66), (0xD8, 200)] {
        let found = shown(&[open].repeat(levels));
        assert!(found.starts_with("payload."), "{found}");
    }
    let mut deep = [0x81].repeat(64);
    deep.push(0);
    assert!(shown(&deep).ends_with(']'), "64 levels are read");
    deep.insert(0, 0x81);
    assert_eq!(shown(&deep), "payload.too_deep more than 64 levels at byte 65");
}

#[test]
fn json_becomes_the_item_it_stands_for() {
    let rows = [
        ("{\"a\":1,\"b\":[true,null]}", "a2 61 61 01 61 62 82 f5 f6"),
        ("-25", "38 18"),
        ("1.0", "fb 3f f0 00 00 00 00 00 00"),
        ("18446744073709551615", "1b ff ff ff ff ff ff ff ff"),
        ("\"x\"", "61 78"),
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
