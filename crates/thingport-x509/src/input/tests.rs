use super::*;
use crate::error::NotACertificate as Not;

const EC: &str = include_str!("../../testdata/ec.pem");
const CHAIN: &str = include_str!("../../testdata/chain.pem");

#[test]
fn one_certificate_is_read_in_every_form_people_paste() {
    let expected = read_one(EC.as_bytes()).unwrap();
    let body = expected.to_base64();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("DER", expected.der().to_vec()),
        ("PEM of our own", expected.to_pem().into_bytes()),
        ("CRLF", EC.replace('\n', "\r\n").into_bytes()),
        ("text before", include_bytes!("../../testdata/text.pem").to_vec()),
        ("blanks around", format!("\n\n  {EC} \t\n").into_bytes()),
        ("indented", EC.replace('\n', "\n    ").into_bytes()),
        ("byte order mark", format!("\u{feff}{EC}").into_bytes()),
        ("without frame", body.clone().into_bytes()),
        (
            "without frame, in lines",
            EC.lines()
                .filter(|line| !line.contains('-'))
                .fold(String::new(), |all, line| all + line + "\r\n")
                .into_bytes(),
        ),
        ("without padding", body.trim_end_matches('=').as_bytes().to_vec()),
        ("one line with frame", EC.replace('\n', " ").into_bytes()),
        ("line ends of JSON", EC.replace('\n', "\\n").into_bytes()),
        ("end of frame only", EC.split_once("-----\n").unwrap().1.as_bytes().to_vec()),
        ("old label", EC.replace("CERTIFICATE", "X509 CERTIFICATE").into_bytes()),
        (
            "parameters before",
            format!(
                "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{EC}"
            )
            .into_bytes(),
        ),
        ("twice", format!("{EC}{EC}").into_bytes()),
    ];
    for (what, input) in rows {
        assert_eq!(read_one(&input).as_ref(), Ok(&expected), "{what}");
    }
}

#[test]
fn a_chain_is_read_in_its_order_and_its_first_certificate_counts() {
    let chain = read_chain(CHAIN.as_bytes()).unwrap();
    let names: Vec<_> = chain.iter().map(|one| one.facts().subject.as_str()).collect();
    assert_eq!(names, ["CN=pump-21@company.com,O=ACME", "CN=Intermediate", "CN=Root"]);
    assert_eq!(read_one(CHAIN.as_bytes()).as_ref(), Ok(&chain[0]));
}

#[test]
fn whatever_else_is_pasted_is_called_by_its_name() {
    let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n";
    let pkcs8 = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQ";
    let without_frame =
        |pem: &str| pem.lines().filter(|line| !line.contains("--")).collect::<String>();
    let request = include_str!("../../testdata/request.pem");
    let public = include_str!("../../testdata/public.pem");
    let crl = include_str!("../../testdata/crl.pem");
    let half = &EC[..EC.len() / 2];
    let rows: Vec<(String, Not)> = vec![
        (String::new(), Not::Empty),
        (" \r\n ".to_owned(), Not::Empty),
        ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".to_owned(), Not::Empty),
        (key.to_owned(), Not::PrivateKey),
        (format!("{EC}{key}"), Not::PrivateKey),
        (key.replace("EC ", "ENCRYPTED "), Not::PrivateKey),
        (pkcs8.to_owned(), Not::PrivateKey),
        (request.to_owned(), Not::Request),
        (without_frame(request), Not::Request),
        (public.to_owned(), Not::PublicKey),
        (without_frame(public), Not::PublicKey),
        (crl.to_owned(), Not::RevocationList),
        (without_frame(crl), Not::RevocationList),
        (include_str!("../../testdata/bundle.p7b").to_owned(), Not::Pkcs7),
        (include_str!("../../testdata/trusted.pem").to_owned(), Not::Trusted),
        (
            "-----BEGIN PGP MESSAGE-----\nAA==\n-----END PGP MESSAGE-----".to_owned(),
            Not::OtherBlock("PGP MESSAGE".to_owned()),
        ),
        (half.to_owned(), Not::Truncated),
        (format!("{half}\n{EC}"), Not::Truncated),
        ("-----BEGIN CERTIFICATE".to_owned(), Not::Truncated),
        (without_frame(EC)[..200].to_owned(), Not::Truncated),
        ("secret token!".to_owned(), Not::NotBase64 { letter: Some('!') }),
        ("AAAAA".to_owned(), Not::NotBase64 { letter: None }),
        ("AAAA".to_owned(), Not::Malformed),
        (hex_of_certificate(), Not::Fingerprint),
        (
            format!("sha256 Fingerprint={}", read_one(EC.as_bytes()).unwrap().sha256()),
            Not::Fingerprint,
        ),
        ("A".repeat(INPUT_MAX + 1), Not::TooLong { max: INPUT_MAX }),
        (EC.repeat(CERTIFICATES_MAX + 1), Not::TooMany { max: CERTIFICATES_MAX }),
    ];
    for (input, expected) in rows {
        let shown: String = input.chars().take(60).collect();
        let refused = read_chain(input.as_bytes()).expect_err(&shown);
        assert_eq!(refused, expected, "{shown}");
        let sentence = refused.to_string();
        assert!(sentence.len() > 30 && !sentence.contains("MHcCAQ"), "{sentence}");
    }
}

#[test]
fn bytes_behind_a_certificate_are_refused() {
    let mut der = read_one(EC.as_bytes()).unwrap().der().to_vec();
    der.push(0);
    assert_eq!(read_one(&der), Err(Not::Trailing));
}

fn hex_of_certificate() -> String {
    read_one(EC.as_bytes()).unwrap().credentials_id()
}

mod never_panics {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn on_any_bytes(input in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_chain(&input);
        }

        #[test]
        fn on_damaged_certificates(at in 0usize..600, byte: u8, cut in 0usize..600) {
            for pem in [EC, include_str!("../../testdata/intermediate.pem")] {
                let mut der = read_one(pem.as_bytes()).unwrap().der().to_vec();
                let place = at % der.len();
                der[place] = byte;
                if let Ok(one) = read_one(&der) {
                    let shown = format!("{one:?}");
                    prop_assert!(!shown.contains(char::is_control), "{}", shown);
                }
                der.truncate(cut);
                let _ = read_one(&der);
            }
        }

        #[test]
        fn on_damaged_texts(at in 0usize..5_000, letter: char) {
            let text: String = CHAIN
                .chars()
                .enumerate()
                .map(|(place, old)| if place == at { letter } else { old })
                .collect();
            let _ = read_chain(text.as_bytes());
        }
    }
}
