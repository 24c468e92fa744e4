//! Provisioning in JSON, as lenient as every body of a device (JS-001, JS-002).

use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::provision::{ProvisionRequest, Supplied};

use super::{ProvisionAnswer, malformed};
use crate::payload::fault::{Fault, What};
use crate::payload::lexer::{Lexer, Place, Token};
use crate::payload::nested::Nested;
use crate::payload::write::write_string;
use crate::reject::Reject;

/// Reads a request.
pub(super) fn read(payload: &[u8]) -> Result<ProvisionRequest, Reject> {
    // As with every body, bad UTF-8 becomes U+FFFD (JS-004).
    let text = String::from_utf8_lossy(payload);
    let mut lexer = Lexer::new(&text);
    let mut members = Members::default();
    members.read(&mut lexer)?;
    members.request()
}

/// Writes an answer.
pub(super) fn write(answer: &ProvisionAnswer<'_>) -> String {
    let refusal =
        |text: &str, status: &str| format!("{{\"errorMsg\":\"{text}\",\"status\":\"{status}\"}}");
    match answer {
        ProvisionAnswer::Granted(credentials) => granted(credentials),
        ProvisionAnswer::NotFound => refusal(super::NOT_FOUND, "NOT_FOUND"),
        ProvisionAnswer::Failure => refusal(super::FAILURE, "FAILURE"),
    }
}

fn granted(credentials: &DeviceCredentials) -> String {
    let mut out = "{\"credentialsValue\":".to_owned();
    let value = super::value_of(credentials);
    if credentials.kind == CredentialsType::MqttBasic {
        // It is stored as the object that devices get.
        out.push_str(value);
    } else {
        write_string(&mut out, value);
    }
    out.push_str(",\"credentialsType\":\"");
    out.push_str(credentials.kind.name());
    out.push_str("\",\"status\":\"SUCCESS\"}");
    out
}

/// Members met so far; of two with one name the later counts.
#[derive(Default)]
struct Members {
    key: Option<String>,
    secret: Option<String>,
    device_name: Option<String>,
    kind: Option<String>,
    supplied: Supplied,
    is_gateway: bool,
    /// The first member that cannot be what it must be.
    wrong: Option<String>,
}

impl Members {
    fn read(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Fault> {
        let (mut unescaped, mut nested) = (String::new(), Nested::default());
        lexer.skip_prefix()?;
        match lexer.value(Place::Single, &mut unescaped)? {
            Token::Object => {}
            Token::Word(_) => return Err(lexer.fault(What::BareWord)),
            _ => return Err(lexer.fault(What::NoObject)),
        }
        let mut is_first = true;
        while let Some(name) = lexer.member(is_first, &mut unescaped)? {
            is_first = false;
            let token = lexer.value(Place::Single, &mut unescaped)?;
            if matches!(token, Token::Object | Token::Array) {
                nested.clear();
                nested.write(lexer, &mut unescaped, token, 1)?;
            }
            let value = match token {
                Token::String(text) => Some(text.of(lexer, &unescaped)),
                Token::Word(span) | Token::Number(span) => Some(lexer.slice(span)),
                Token::Bool(true) => Some("true"),
                Token::Bool(false) => Some("false"),
                Token::Null | Token::Object | Token::Array => None,
            };
            self.member(name.of(lexer, &unescaped), value);
        }
        lexer.end()
    }

    /// Takes one member; a value that is no text is none.
    fn member(&mut self, name: &str, value: Option<&str>) {
        let supplied = &mut self.supplied;
        let place = match name {
            "provisionDeviceKey" => self.key.get_or_insert_default(),
            "provisionDeviceSecret" => self.secret.get_or_insert_default(),
            "deviceName" => self.device_name.get_or_insert_default(),
            "credentialsType" => self.kind.get_or_insert_default(),
            "token" => &mut supplied.token,
            "clientId" => &mut supplied.client_id,
            "username" => &mut supplied.user_name,
            "password" => &mut supplied.password,
            "hash" => &mut supplied.certificate,
            "gateway" => {
                self.is_gateway = value.is_some_and(|text| text.eq_ignore_ascii_case("true"));
                self.note(name, value);
                return;
            }
            _ => return,
        };
        value.unwrap_or_default().clone_into(place);
        self.note(name, value);
    }

    fn note(&mut self, name: &str, value: Option<&str>) {
        if value.is_none() && self.wrong.is_none() {
            self.wrong = Some(format!("{name} must be a text"));
        }
    }

    fn request(self) -> Result<ProvisionRequest, Reject> {
        if let Some(wrong) = self.wrong {
            return Err(malformed(wrong));
        }
        let kind = match self.kind {
            None => CredentialsType::AccessToken,
            Some(name) => CredentialsType::from_name(&name).ok_or_else(|| {
                malformed(format!("there is no credentialsType {}", crate::reject::quoted(&name)))
            })?,
        };
        Ok(ProvisionRequest {
            key: self.key.ok_or_else(|| malformed("provisionDeviceKey is missing"))?,
            secret: self.secret.ok_or_else(|| malformed("provisionDeviceSecret is missing"))?,
            device_name: self.device_name,
            kind,
            supplied: self.supplied,
            is_gateway: self.is_gateway,
        })
    }
}
