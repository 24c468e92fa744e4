//! MQTT basic credentials: what is compared at login, and the one text they are stored and shown as
//! (AU-013, REST API section 9), `{"clientId":null,"userName":"u","password":"p"}`.

use std::fmt::Write as _;

/// The three members; an absent one is not compared. Never empty texts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Basic {
    /// MQTT client id.
    pub client_id: Option<Box<str>>,
    /// MQTT user name.
    pub user_name: Option<Box<str>>,
    /// MQTT password.
    pub password: Option<Box<str>>,
}

impl core::fmt::Debug for Basic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Secrets are not printed.
        f.write_str("Basic")
    }
}

impl Basic {
    /// The three members, where an empty text counts as absent.
    #[must_use]
    pub fn new(client_id: Option<&str>, user_name: Option<&str>, password: Option<&str>) -> Self {
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Box::<str>::from);
        Self { client_id: text(client_id), user_name: text(user_name), password: text(password) }
    }

    /// The stored text. No member may hold control characters, so only quotes and backslashes need
    /// an escape.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        for (lead, name, text) in [
            ('{', "clientId", &self.client_id),
            (',', "userName", &self.user_name),
            (',', "password", &self.password),
        ] {
            // Writing to a String cannot fail.
            let _ = write!(json, "{lead}\"{name}\":");
            push_text(&mut json, text.as_deref());
        }
        json.push('}');
        json
    }

    /// Reads what [`Self::to_json`] wrote; `None` for any other text.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        let mut rest = json;
        let client_id = take_member(&mut rest, "{\"clientId\":")?;
        let user_name = take_member(&mut rest, ",\"userName\":")?;
        let password = take_member(&mut rest, ",\"password\":")?;
        (rest == "}").then_some(Self { client_id, user_name, password })
    }
}

fn push_text(json: &mut String, text: Option<&str>) {
    let Some(text) = text else {
        json.push_str("null");
        return;
    };
    json.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            json.push('\\');
        }
        json.push(letter);
    }
    json.push('"');
}

/// Takes `lead` and the text or null behind it from the front of `rest`.
fn take_member(rest: &mut &str, lead: &str) -> Option<Option<Box<str>>> {
    let value = rest.strip_prefix(lead)?;
    if let Some(behind) = value.strip_prefix("null") {
        *rest = behind;
        return Some(None);
    }
    let mut text = String::new();
    let mut letters = value.strip_prefix('"')?.chars();
    loop {
        match letters.next()? {
            '"' => break,
            '\\' => text.push(letters.next().filter(|letter| matches!(letter, '"' | '\\'))?),
            letter => text.push(letter),
        }
    }
    *rest = letters.as_str();
    Some(Some(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_survive_their_stored_text() {
        let rows = [
            (
                Basic::new(None, Some("u"), Some("")),
                r#"{"clientId":null,"userName":"u","password":null}"#,
            ),
            (
                Basic::new(Some("c\"\\"), Some("\u{fc},}"), Some("null")),
                "{\"clientId\":\"c\\\"\\\\\",\"userName\":\"\u{fc},}\",\"password\":\"null\"}",
            ),
        ];
        for (basic, json) in rows {
            assert_eq!(basic.to_json(), json);
            assert!(Basic::from_json(json) == Some(basic));
        }
    }

    #[test]
    fn other_texts_are_no_basic_credentials() {
        for wrong in [
            "",
            "{}",
            "null",
            r#"{"clientId":"a","userName":null,"password":"b\n"}"#,
            r#"{"clientId":"a","userName":null,"password":null}x"#,
            r#"{"clientId":"a","userName":nul"#,
            r#"{"clientId":"a"#,
        ] {
            assert!(Basic::from_json(wrong).is_none(), "{wrong}");
        }
    }
}
