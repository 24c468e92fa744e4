use super::{check as check_promises, *};
use HeaderError::{Form, Line, Signature, TooLong};

fn reads(bytes: &[u8], expected: Result<Option<&str>, HeaderError>) {
    let shown = bytes.escape_ascii().to_string();
    let followed = [bytes, b"\x10\x0c\0\x04MQTT"].concat();
    match expected {
        Ok(source) => {
            let source = source.map(|it| it.parse().expect("an address"));
            let complete = Ok(Header::Complete { size: bytes.len(), source });
            assert_eq!(parse(&followed), complete, "{shown}");
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(Header::Partial), "{shown} to {end}");
            }
        }
        Err(error) => assert_eq!(parse(&followed), Err(error), "{shown}"),
    }
}

#[test]
fn lines_of_version_1_are_read() {
    reads(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n", Ok(Some("192.0.2.1:56324")));
    reads(
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n",
        Ok(Some("255.255.255.255:65535")),
    );
    reads(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 8883\r\n", Ok(Some("[2001:db8::1]:1")));
    reads(b"PROXY UNKNOWN\r\n", Ok(None));
    reads(b"PROXY UNKNOWN ffff:f...f:ffff ffff 65535 65535\r\n", Ok(None));
}

#[test]
fn lines_that_are_wrong_are_refused() {
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100], b"\r\n"].concat();
    let rows: &[(&[u8], HeaderError)] = &[
        (b"\x10\x0c\0\x04MQTT", Signature),
        (b"\x16\x03\x01\x02\0", Signature),
        (b"GET / HTTP/1.1\r\n", Signature),
        (b"proxy tcp4 192.0.2.1 192.0.2.2 1 2\r\n", Signature),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", Line),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Line),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", Line),
        (b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", Line),
        (b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", Line),
        (b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", Line),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", Line),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", Line),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", Line),
        (b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", Line),
        (b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", Line),
        (b"PROXY \r\n", Line),
        (b"PROXY TCP4 \xff\xfe 192.0.2.2 1 2\r\n", Line),
        (&long, TooLong),
    ];
    for (bytes, error) in rows {
        reads(bytes, Err(*error));
    }
}

fn version_2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a short body");
    let [high, low] = length.to_be_bytes();
    [SIGNATURE_2, &[version_command, family, high, low], body].concat()
}

#[test]
fn headers_of_version_2_are_read() {
    let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0x07, 0x5B];
    let mut six = [0; 36];
    (six[0], six[1], six[15], six[33]) = (0x20, 0x01, 1, 7);
    let more = [&four[..], &[0x20, 0, 3, 1, 2, 3, 0x04, 0, 0]].concat();
    reads(&version_2(0x21, 0x11, &four), Ok(Some("192.0.2.1:56324")));
    reads(&version_2(0x21, 0x11, &more), Ok(Some("192.0.2.1:56324")));
    reads(&version_2(0x21, 0x21, &six), Ok(Some("[2001::1]:7")));
    reads(&version_2(0x20, 0x00, &[]), Ok(None));
    reads(&version_2(0x20, 0x11, &four), Ok(None));
    reads(&version_2(0x21, 0x00, &[9; 30]), Ok(None));
    reads(&version_2(0x21, 0x31, &[b'/'; 216]), Ok(None));
}

#[test]
fn headers_of_version_2_that_are_wrong_are_refused() {
    let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0x07, 0x5B];
    let rows = [
        (version_2(0x11, 0x11, &four), Form),
        (version_2(0x22, 0x11, &four), Form),
        (version_2(0x21, 0x12, &four), Form),
        (version_2(0x21, 0x41, &four), Form),
        (version_2(0x21, 0x11, &four[..11]), Form),
        (version_2(0x21, 0x21, &four), Form),
        (version_2(0x21, 0x11, &[0; HEADER_MAX]), TooLong),
    ];
    for (bytes, error) in rows {
        reads(&bytes, Err(error));
    }
}

#[test]
fn a_header_that_is_too_long_is_refused_at_its_length() {
    let bytes = [SIGNATURE_2, &[0x21, 0x11, 0xFF, 0xFF]].concat();
    assert_eq!(parse(&bytes), Err(TooLong));
}

#[test]
fn the_corpus_of_headers_breaks_nothing() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/proxy_header");
    let files: Vec<_> = std::fs::read_dir(root).expect("the corpus").collect();
    assert!(files.len() >= 14);
    for file in files {
        check_promises(&std::fs::read(file.expect("a file").path()).expect("its bytes"));
    }
}

/// Random bytes rarely become a header, so headers are bent instead.
#[test]
fn bent_headers_keep_the_promises() {
    let mut seed = 3_u64;
    let headers = [
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n".to_vec(),
        version_2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0x07, 0x5B]),
    ];
    for header in headers {
        for _ in 0..20_000 {
            let mut bytes = header.clone();
            for _ in 0..2 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let [at, byte, ..] = seed.to_be_bytes();
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            check_promises(&bytes);
        }
    }
}
