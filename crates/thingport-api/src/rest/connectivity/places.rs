//! Where devices find the server: what the administrator set, else where it listens, else the host that
//! the person's browser asked (REST API section 13).

use serde::Deserialize;
use serde_json::Value;

use super::commands::{Place, Places};
use crate::config::Listeners;

/// The setting `connectivity`, as far as it is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    http: Option<Setting>,
    https: Option<Setting>,
    mqtt: Option<Setting>,
    mqtts: Option<Setting>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Setting {
    enabled: bool,
    host: Option<String>,
    /// A text in the original, a number from whoever thinks it is one.
    port: Value,
}

/// The places, from the stored setting (JSON text) if there is one. `asked` is the `Host` header.
pub(super) fn places(stored: Option<&str>, own: &Listeners, asked: &str) -> Places {
    let settings = stored.and_then(|text| serde_json::from_str(text).ok());
    let settings: Settings = settings.unwrap_or_default();
    let asked = without_port(asked);
    let place = |setting: &Option<Setting>, own: Option<u16>, standard: u16| match setting {
        Some(setting) if !setting.enabled => None,
        Some(setting) => {
            let host = setting.host.as_deref().map(str::trim).filter(|host| !host.is_empty());
            let port = port(&setting.port).or(own).unwrap_or(standard);
            Some(Place { host: host.unwrap_or(asked).to_owned(), port })
        }
        None => own.map(|port| Place { host: asked.to_owned(), port }),
    };
    Places {
        http: place(&settings.http, own.http, 80),
        https: place(&settings.https, own.https, 443),
        mqtt: place(&settings.mqtt, own.mqtt, 1883),
        mqtts: place(&settings.mqtts, own.mqtts, 8883),
    }
}

fn port(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        _ => None,
    }
    .filter(|port| *port > 0)
}

/// The host of a `Host` header; `localhost` when nobody said.
fn without_port(asked: &str) -> &str {
    let host = match asked.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => asked.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() { "localhost" } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Listeners =
        Listeners { http: Some(8080), https: None, mqtt: Some(1883), mqtts: Some(18_883) };

    fn shown(stored: Option<&str>, asked: &str) -> Vec<String> {
        let places = places(stored, &OWN, asked);
        let all = [places.http, places.https, places.mqtt, places.mqtts];
        let text = |place: Option<Place>| {
            place.map_or_else(|| "-".to_owned(), |it| format!("{} {}", it.host, it.port))
        };
        all.into_iter().map(text).collect()
    }

    #[test]
    fn a_setting_wins_then_the_listeners_then_the_host_that_was_asked() {
        let rows = [
            (None, "iot.example.com:8080", ["iot.example.com 8080", "-", "iot.example.com 1883"]),
            (None, "[::1]:8080", ["::1 8080", "-", "::1 1883"]),
            (None, "", ["localhost 8080", "-", "localhost 1883"]),
            (Some("not JSON"), "h", ["h 8080", "-", "h 1883"]),
            (Some(r#"{"mqtt":{"enabled":false}}"#), "h", ["h 8080", "-", "-"]),
            (
                Some(
                    r#"{"https":{"enabled":true,"host":" w ","port":"8443"},"mqtt":{"enabled":true,"port":1884}}"#,
                ),
                "h",
                ["h 8080", "w 8443", "h 1884"],
            ),
            (
                Some(
                    r#"{"https":{"enabled":true,"host":null,"port":""},"http":{"enabled":true,"port":"no"}}"#,
                ),
                "h:1",
                ["h 8080", "h 443", "h 1883"],
            ),
        ];
        for (stored, asked, expected) in rows {
            let shown = shown(stored, asked);
            assert_eq!(
                shown.get(..3),
                Some(&expected.map(str::to_owned)[..]),
                "{stored:?} {asked}"
            );
            assert!(shown[3].ends_with(" 18883"), "{shown:?}");
        }
    }
}
