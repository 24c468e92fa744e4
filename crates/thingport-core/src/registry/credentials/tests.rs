use super::*;
use CredentialsType::{AccessToken, Lwm2m, MqttBasic, X509Certificate};

fn basic(client_id: &str, user_name: &str, password: &str) -> Secret {
    Secret::MqttBasic {
        client_id: Some(client_id.to_owned()),
        user_name: Some(user_name.to_owned()),
        password: (!password.is_empty()).then(|| password.to_owned()),
    }
}

fn token(text: &str) -> Secret {
    Secret::AccessToken(text.to_owned())
}

fn certificate(text: &str) -> Secret {
    Secret::X509Certificate(text.to_owned())
}

#[test]
fn each_secret_has_one_stored_form() {
    let lwm2m = Secret::Lwm2m { credentials_id: "e".to_owned(), value: "{}".to_owned() };
    let rows = [
        (token("abc"), AccessToken, "abc".to_owned(), None),
        (
            basic("", "u", "p"),
            MqttBasic,
            "u".to_owned(),
            Some(r#"{"clientId":null,"userName":"u","password":"p"}"#),
        ),
        (
            basic("c", "", ""),
            MqttBasic,
            hash_one("c"),
            Some(r#"{"clientId":"c","userName":null,"password":null}"#),
        ),
        (
            basic("c", "u", ""),
            MqttBasic,
            hash_one("c|u"),
            Some(r#"{"clientId":"c","userName":"u","password":null}"#),
        ),
        (lwm2m, Lwm2m, "e".to_owned(), Some("{}")),
    ];
    for (secret, kind, id, value) in rows {
        let value = value.map(str::to_owned);
        let expected = StoredForm { kind, credentials_id: id, value, expires_at: None };
        assert_eq!(stored_form(&secret), Ok(expected));
    }
}

#[test]
fn a_certificate_is_stored_as_one_line_however_it_was_pasted() {
    let body: String = DEVICE.lines().filter(|line| !line.starts_with('-')).collect();
    let chain = format!("subject=CN = pump\n{DEVICE}{}", DEVICE.replace('\n', "\r\n"));
    for pasted in [DEVICE.to_owned(), DEVICE.replace('\n', "\r\n"), body.clone(), chain] {
        let stored = stored_form(&certificate(&pasted)).unwrap();
        assert_eq!((stored.kind, &stored.value), (X509Certificate, &Some(body.clone())));
        assert_eq!(stored.credentials_id, hash_one(&body), "AU-010");
        assert!(stored.expires_at.is_some());
    }
}

#[test]
fn what_is_no_certificate_is_refused_with_its_name() {
    for (pasted, expected) in [
        ("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", "private key"),
        (&DEVICE[..300], "the end of the certificate is missing"),
        ("secret!", "base64"),
    ] {
        let refused = stored_form(&certificate(pasted)).unwrap_err();
        let Error::Invalid(sentence) = refused else { panic!("{refused:?}") };
        assert!(sentence.contains(expected), "{sentence}");
    }
}

const DEVICE: &str = include_str!("../../../../thingport-x509/testdata/device.pem");

#[test]
fn secrets_that_nobody_could_use_are_refused() {
    let long = "x".repeat(256);
    let rows = [
        token(""),
        token(" "),
        token("a\nb"),
        token("a\0b"),
        token(&long),
        basic("", "", ""),
        basic("", "", "p"),
        basic("c", "", "p"),
        basic("c\t", "u", ""),
        basic("c", "u", "p\r"),
        basic("", &long, ""),
        certificate(""),
        certificate("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"),
        certificate("not base64!"),
    ];
    for (row, secret) in rows.iter().enumerate() {
        assert!(matches!(stored_form(secret), Err(Error::Invalid(_))), "row {row}");
    }
}
