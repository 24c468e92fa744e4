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
    let pem = "x\n-----BEGIN CERTIFICATE-----\r\nAB\r\nC=\r\n-----END CERTIFICATE-----\n\
               -----BEGIN CERTIFICATE-----\nZ\n-----END CERTIFICATE-----\n";
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
        (certificate(pem), X509Certificate, hash_one("ABC="), Some("ABC=")),
        (certificate("A B\nC="), X509Certificate, hash_one("ABC="), Some("ABC=")),
        (lwm2m, Lwm2m, "e".to_owned(), Some("{}")),
    ];
    for (secret, kind, id, value) in rows {
        assert_eq!(stored_form(&secret), Ok((kind, id, value.map(str::to_owned))));
    }
}

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
