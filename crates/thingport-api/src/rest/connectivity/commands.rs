//! Ready-made commands with which a person tries whether a device can connect (REST API section 13).
//!
//! Pure: who the device is, where the server is to be found, and which protocols are offered go in;
//! command lines for a POSIX shell come out. A device's texts are quoted, never trusted.

use serde_json::{Map, Value, json};
use thingport_core::registry::credentials::Basic;
use thingport_model::credentials::{CredentialsType, DeviceCredentials};
use thingport_model::profile::{DeviceProfile, PayloadType, TELEMETRY_TOPIC, TransportType};

/// Where one protocol is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Where the server is to be found; a protocol that is not offered has no place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) http: Option<Place>,
    pub(super) https: Option<Place>,
    pub(super) mqtt: Option<Place>,
    pub(super) mqtts: Option<Place>,
}

/// The commands for one device, as the object the contract describes: `http`, `mqtt`.
pub(super) fn commands(
    profile: &DeviceProfile,
    credentials: &DeviceCredentials,
    places: &Places,
) -> Value {
    let mut all = Map::new();
    if profile.transport == TransportType::Default
        && let Some(http) = http(credentials, places)
    {
        all.insert("http".to_owned(), http);
    }
    if profile.transport.speaks_mqtt()
        && let Some(mqtt) = mqtt(profile, credentials, places)
    {
        all.insert("mqtt".to_owned(), mqtt);
    }
    Value::Object(all)
}

fn http(credentials: &DeviceCredentials, places: &Places) -> Option<Value> {
    if credentials.kind != CredentialsType::AccessToken {
        return None;
    }
    let mut found = Map::new();
    for (scheme, place) in [("http", &places.http), ("https", &places.https)] {
        let Some(place) = place else { continue };
        let url = format!(
            "{}/api/v1/{}/telemetry",
            place.url(scheme),
            url_segment(&credentials.credentials_id)
        );
        let command = format!(
            "curl -v -X POST {} --header Content-Type:application/json --data {PAYLOAD}",
            word(&url)
        );
        found.insert(scheme.to_owned(), command.into());
    }
    (!found.is_empty()).then_some(Value::Object(found))
}

fn mqtt(
    profile: &DeviceProfile,
    credentials: &DeviceCredentials,
    places: &Places,
) -> Option<Value> {
    if profile.mqtt.as_ref().is_some_and(|mqtt| mqtt.sparkplug) {
        return Some(json!({ "sparkplug": SPARKPLUG }));
    }
    let topic = topic(profile);
    let login = login(credentials)?;
    let mut found = Map::new();
    let mut docker = Map::new();
    if let Some(place) = places.mqtt.as_ref().filter(|_| !login.needs_tls) {
        found.insert("mqtt".to_owned(), place.publish("", 1883, &topic, &login.words).into());
        docker.insert("mqtt".to_owned(), in_docker(place, &topic, &login, 1883, None).into());
    }
    let ca = places.https.as_ref().map(|it| (it, "https"));
    let ca = places.http.as_ref().map(|it| (it, "http")).or(ca);
    if let (Some(place), Some((web, scheme))) = (&places.mqtts, ca) {
        let fetch = format!("curl -f -S -o {CA_FILE} {}", word(&ca_url(web, scheme)));
        let publish = place.publish(TRUST, 8883, &topic, &login.words);
        found.insert("mqtts".to_owned(), json!([fetch, publish]));
        let ca = Some((web, scheme));
        docker.insert("mqtts".to_owned(), in_docker(place, &topic, &login, 8883, ca).into());
    }
    if !docker.is_empty() {
        found.insert("docker".to_owned(), Value::Object(docker));
    }
    (!found.is_empty()).then_some(Value::Object(found))
}

/// What of a command line the credentials decide.
struct Login {
    words: String,
    needs_tls: bool,
}

fn login(credentials: &DeviceCredentials) -> Option<Login> {
    match credentials.kind {
        CredentialsType::AccessToken => {
            let words = format!(" -u {}", quoted(&credentials.credentials_id));
            Some(Login { words, needs_tls: false })
        }
        CredentialsType::MqttBasic => {
            let basic = Basic::from_json(credentials.value.as_deref().unwrap_or_default())?;
            let parts =
                [(" -i ", &basic.client_id), (" -u ", &basic.user_name), (" -P ", &basic.password)];
            let words = parts.into_iter().filter_map(|(option, text)| {
                text.as_deref().map(|text| format!("{option}{}", quoted(text)))
            });
            Some(Login { words: words.collect(), needs_tls: false })
        }
        // Whoever holds the key knows where; the names are those of the manual.
        CredentialsType::X509Certificate => {
            Some(Login { words: " --key key.pem --cert cert.pem".to_owned(), needs_tls: true })
        }
        CredentialsType::Lwm2m => None,
    }
}

/// A topic that may be published on: a profile's filter with its wildcards filled in. A profile that
/// wants Protobuf is given JSON on the topic that takes it.
fn topic(profile: &DeviceProfile) -> String {
    let Some(mqtt) = profile.mqtt.as_ref() else { return TELEMETRY_TOPIC.to_owned() };
    let takes_json = match &mqtt.payload {
        PayloadType::Json => true,
        PayloadType::Protobuf(schemas) => schemas.json_compatibility,
        PayloadType::Cbor | PayloadType::MessagePack => false,
    };
    if takes_json {
        let level = |level| if matches!(level, "+" | "#") { FILLED_IN } else { level };
        mqtt.telemetry_topic.split('/').map(level).collect::<Vec<_>>().join("/")
    } else {
        "v2/t/j".to_owned()
    }
}

impl Place {
    fn url(&self, scheme: &str) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let default = if scheme == "https" { 443 } else { 80 };
        match self.port {
            port if port == default => format!("{scheme}://{host}"),
            port => format!("{scheme}://{host}:{port}"),
        }
    }

    fn publish(&self, trust: &str, default_port: u16, topic: &str, login: &str) -> String {
        let port = match self.port {
            port if port == default_port => String::new(),
            port => format!(" -p {port}"),
        };
        format!(
            "mosquitto_pub -d -q 1{trust} -h {}{port} -t {}{login} -m {PAYLOAD}",
            word(&self.host),
            word(topic),
        )
    }

    fn is_this_machine(&self) -> bool {
        self.host == "localhost" || self.host == "::1" || self.host.starts_with("127.")
    }

    /// As seen from a container.
    fn in_container(&self) -> Self {
        let host = if self.is_this_machine() { DOCKER_HOST } else { &self.host };
        Self { host: host.to_owned(), port: self.port }
    }
}

fn ca_url(web: &Place, scheme: &str) -> String {
    format!("{}/api/device-connectivity/mqtts/certificate/download", web.url(scheme))
}

/// The same inside a container. The image has `wget`, and no `curl`.
fn in_docker(
    place: &Place,
    topic: &str,
    login: &Login,
    default_port: u16,
    ca: Option<(&Place, &str)>,
) -> String {
    let is_here = place.is_this_machine() || ca.is_some_and(|(web, _)| web.is_this_machine());
    let map = if is_here { " --add-host=host.docker.internal:host-gateway" } else { "" };
    let files = if login.needs_tls { " -v \"$PWD:/certs\" -w /certs" } else { "" };
    let run = format!("docker run --rm -it{map}{files} {IMAGE}");
    let seen = place.in_container();
    let Some((web, scheme)) = ca else {
        return format!("{run} {}", seen.publish("", default_port, topic, &login.words));
    };
    let publish = seen.publish(TRUST, default_port, topic, &login.words);
    let url = ca_url(&web.in_container(), scheme);
    let both = format!("wget -q -O {CA_FILE} {} && {publish}", word(&url));
    format!("{run} /bin/sh -c {}", single_quoted(&both))
}

/// A text between double quotes, safe in a shell.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
    out
}

fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A word of the command line, quoted only where that matters.
fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._:/[]%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { quoted(text) }
}

/// A token as one segment of a path.
fn url_segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What is sent: the form of the original's dialog.
const PAYLOAD: &str = "\"{temperature:25}\"";
const CA_FILE: &str = "ca-root.pem";
const TRUST: &str = " --cafile ca-root.pem";
const DOCKER_HOST: &str = "host.docker.internal";
/// An image with `mosquitto_pub`, by the makers of mosquitto.
const IMAGE: &str = "eclipse-mosquitto:2";
/// What stands in a topic where a filter leaves the choice.
const FILLED_IN: &str = "me";
const SPARKPLUG: &str = "This profile is for Sparkplug B edge nodes: connect one with this device's \
                         credentials and let it send its NBIRTH; a single publication is not enough.";

#[cfg(test)]
mod tests;
