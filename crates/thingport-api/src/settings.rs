//! Settings of the installation that system administrators change while it runs. Each is one JSON text
//! in the store; what is not stored has its default.

use std::sync::Arc;

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::Api;
use crate::auth::policy::SecuritySettings;
use crate::config::Listeners;
use crate::error::Refusal;
use crate::rest::connectivity::CONNECTIVITY_SETTING;

/// What `/api/admin/settings` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminKey {
    /// How people reach this server.
    General,
    /// How devices reach this server.
    Connectivity,
}

impl AdminKey {
    const ALL: [Self; 2] = [Self::General, Self::Connectivity];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Connectivity => "connectivity",
        }
    }

    /// An id for clients that expect one; the same everywhere.
    pub(crate) const fn id(self) -> Uuid {
        Uuid::from_u128(0x1381_4000_1dd2_11b2_8080_8080_8080_8100 + self as u128)
    }

    const fn stored_as(self) -> &'static str {
        match self {
            Self::General => "admin.general",
            Self::Connectivity => CONNECTIVITY_SETTING,
        }
    }
}

/// How people reach this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct General {
    base_url: String,
    /// Whether links always begin with `baseUrl` instead of the address that the request came by.
    prohibit_different_url: bool,
}

impl Default for General {
    fn default() -> Self {
        Self { base_url: "http://localhost:8080".to_owned(), prohibit_different_url: false }
    }
}

impl General {
    fn check(&self) -> Result<(), Refusal> {
        let rest = ["http://", "https://"].iter().find_map(|it| self.base_url.strip_prefix(it));
        let plain = |letter: char| letter.is_ascii_graphic() && !"<>\"\\^`{|}".contains(letter);
        match rest {
            Some(rest) if !rest.is_empty() && rest.len() <= 255 && rest.chars().all(plain) => {
                Ok(())
            }
            _ => Err(Refusal::bad_request(
                "baseUrl reads http://host:port or https://host:port, such as https://iot.example.org",
            )),
        }
    }
}

/// How devices reach this server: what the commands of the connectivity dialog name (13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Connectivity {
    http: Reach,
    https: Reach,
    mqtt: Reach,
    mqtts: Reach,
    coap: Reach,
    coaps: Reach,
}

/// How devices reach this server by one protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Reach {
    /// Whether commands for it are shown.
    enabled: bool,
    /// Empty: the host of the request.
    host: String,
    #[serde(deserialize_with = "text_or_number")]
    port: String,
}

impl Reach {
    fn at(port: &str, enabled: bool) -> Self {
        Self { enabled, host: String::new(), port: port.to_owned() }
    }

    fn check(&self, protocol: &str) -> Result<(), Refusal> {
        // Both become part of shell commands that people paste.
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]%".contains(letter);
        if self.host.len() > 255 || !self.host.chars().all(plain) {
            return Err(Refusal::bad_request(format!(
                "{protocol}.host is a host name or an address, or empty for the host of the request"
            )));
        }
        if self.port.parse::<u16>().is_ok_and(|port| port > 0) || self.port.is_empty() {
            return Ok(());
        }
        Err(Refusal::bad_request(format!("{protocol}.port is a number from 1 to 65535")))
    }
}

impl Default for Connectivity {
    fn default() -> Self {
        Self {
            http: Reach::at("8080", true),
            https: Reach::at("443", false),
            mqtt: Reach::at("1883", true),
            mqtts: Reach::at("8883", false),
            // This server speaks no CoAP.
            coap: Reach::at("5683", false),
            coaps: Reach::at("5684", false),
        }
    }
}

impl Connectivity {
    /// Where this server listens; the usual ports as long as it listens nowhere.
    fn of(own: Listeners) -> Self {
        if own == Listeners::default() {
            return Self::default();
        }
        let reach = |port: Option<u16>, usual: Reach| {
            let shown = port.map(|port| port.to_string());
            Reach { enabled: port.is_some(), port: shown.unwrap_or(usual.port), ..usual }
        };
        let usual = Self::default();
        Self {
            http: reach(own.http, usual.http),
            https: reach(own.https, usual.https),
            mqtt: reach(own.mqtt, usual.mqtt),
            mqtts: reach(own.mqtts, usual.mqtts),
            ..Self::default()
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        let all = [
            ("http", &self.http),
            ("https", &self.https),
            ("mqtt", &self.mqtt),
            ("mqtts", &self.mqtts),
            ("coap", &self.coap),
            ("coaps", &self.coaps),
        ];
        all.into_iter().try_for_each(|(protocol, reach)| reach.check(protocol))
    }
}

impl Api {
    /// The `jsonValue` of a setting, as JSON text.
    pub(crate) async fn admin_setting(&self, key: AdminKey) -> Result<String, Refusal> {
        match key {
            AdminKey::General => text(&self.general().await?),
            AdminKey::Connectivity => {
                let own = Connectivity::of(self.config().listeners);
                text(&self.stored_or(AdminKey::Connectivity.stored_as(), own).await?)
            }
        }
    }

    /// Changes a setting; members that are left out get their default.
    pub(crate) async fn put_admin_setting(&self, key: AdminKey, json: &str) -> Result<(), Refusal> {
        let wrong = |error| Refusal::bad_request(format!("jsonValue is not what is due: {error}"));
        let stored = match key {
            AdminKey::General => {
                let value: General = serde_json::from_str(json).map_err(wrong)?;
                value.check()?;
                text(&value)?
            }
            AdminKey::Connectivity => {
                let value: Connectivity = serde_json::from_str(json).map_err(wrong)?;
                value.check()?;
                text(&value)?
            }
        };
        self.put(key.stored_as(), &stored).await
    }

    /// With what a link to this server begins: the address by which the client reached it, unless
    /// administrators fixed it.
    pub(crate) async fn base_url(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let general = self.general().await?;
        if general.prohibit_different_url {
            return Ok(general.base_url.trim_end_matches('/').to_owned());
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let scheme = if header("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        Ok(format!("{scheme}://{}", header("host").unwrap_or("localhost")))
    }

    /// Password policy, locking of accounts, life of links; read once and remembered.
    pub(crate) async fn security(&self) -> Result<Arc<SecuritySettings>, Refusal> {
        let mut remembered = self.security.lock().await;
        if let Some(settings) = &*remembered {
            return Ok(Arc::clone(settings));
        }
        let settings = Arc::new(self.stored(SECURITY).await?);
        *remembered = Some(Arc::clone(&settings));
        Ok(settings)
    }

    /// Changes them.
    pub(crate) async fn put_security(&self, settings: SecuritySettings) -> Result<(), Refusal> {
        settings.check().map_err(Refusal::bad_request)?;
        // Held while storing, so that nobody remembers what is no longer stored.
        let mut remembered = self.security.lock().await;
        *remembered = None;
        self.put(SECURITY, &text(&settings)?).await?;
        *remembered = Some(Arc::new(settings));
        Ok(())
    }

    async fn general(&self) -> Result<General, Refusal> {
        self.stored(AdminKey::General.stored_as()).await
    }

    async fn stored<T: Default + for<'de> Deserialize<'de>>(
        &self,
        key: &str,
    ) -> Result<T, Refusal> {
        self.stored_or(key, T::default()).await
    }

    async fn stored_or<T: for<'de> Deserialize<'de>>(
        &self,
        key: &str,
        otherwise: T,
    ) -> Result<T, Refusal> {
        let stored = self.node().registry.setting(key).await;
        let Some(text) = stored.map_err(thingport_core::error::Error::from)? else {
            return Ok(otherwise);
        };
        serde_json::from_str(&text).map_err(|error| {
            tracing::error!(key, %error, "a stored setting cannot be read");
            Refusal::internal("a stored setting cannot be read")
        })
    }

    async fn put(&self, key: &str, text: &str) -> Result<(), Refusal> {
        let put = self.node().registry.put_setting(key, text).await;
        Ok(put.map_err(thingport_core::error::Error::from)?)
    }
}

fn text<T: Serialize>(value: &T) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal::internal(error.to_string()))
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Port {
        Text(String),
        Number(u16),
        Null(()),
    }
    Ok(match Port::deserialize(deserializer)? {
        Port::Text(text) => text,
        Port::Number(number) => number.to_string(),
        Port::Null(()) => String::new(),
    })
}

const SECURITY: &str = "admin.security";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_would_lead_astray_are_refused() {
        let general =
            |url: &str| General { base_url: url.to_owned(), prohibit_different_url: false }.check();
        for right in ["http://localhost:8080", "https://iot.example.org", "http://[::1]:80/x"] {
            assert_eq!(general(right), Ok(()), "{right}");
        }
        for wrong in ["", "localhost", "ftp://a", "http://", "http://a b", "http://a\"b"] {
            assert!(general(wrong).is_err(), "{wrong}");
        }
        let reach = |host: &str, port: &str| {
            Reach { enabled: true, host: host.to_owned(), port: port.to_owned() }.check("mqtt")
        };
        for (host, port) in [("", "1883"), ("iot.example.org", ""), ("[::1]", "65535")] {
            assert_eq!(reach(host, port), Ok(()), "{host} {port}");
        }
        for (host, port) in [("a;b", "1"), ("a b", "1"), ("$(x)", "1"), ("a", "0"), ("a", "x")] {
            assert!(reach(host, port).is_err(), "{host} {port}");
        }
    }

    #[test]
    fn what_nobody_set_is_where_the_server_listens() {
        let own = Listeners { http: Some(9090), https: None, mqtt: Some(1883), mqtts: Some(8884) };
        let shown = Connectivity::of(own);
        let rows = [
            (shown.http, "9090", true),
            (shown.https, "443", false),
            (shown.mqtt, "1883", true),
            (shown.mqtts, "8884", true),
            (shown.coap, "5683", false),
        ];
        for (reach, port, enabled) in rows {
            assert_eq!(reach, Reach::at(port, enabled));
        }
        assert_eq!(Connectivity::of(Listeners::default()), Connectivity::default());
    }

    #[test]
    fn ports_are_texts_and_may_come_as_numbers() {
        let value: Connectivity =
            serde_json::from_str(r#"{"mqtt":{"enabled":true,"port":1884}}"#).expect("reads");
        assert_eq!(value.mqtt, Reach::at("1884", true));
        assert_eq!(value.http, Reach::at("8080", true));
        assert!(!value.coap.enabled);
    }
}
