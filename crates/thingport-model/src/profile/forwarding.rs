//! Where what devices of a profile say goes besides (`profileData.thingport.forwarding`).

use crate::webhook::{Secret, WebhookUrl};

/// Somebody outside who gets what devices of a profile say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardTarget {
    /// Unique in the profile: its place in the log is kept by profile and name, so that it goes on
    /// where it was whatever else is changed. 1 to 64 characters.
    pub name: String,
    /// What goes there.
    pub kinds: ForwardKinds,
    /// Where to.
    pub destination: Destination,
}

/// What is forwarded; at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardKinds {
    /// `TELEMETRY`: readings.
    pub telemetry: bool,
    /// `ATTRIBUTES`: client attributes that were set or removed.
    pub attributes: bool,
}

impl ForwardKinds {
    /// Everything.
    pub const ALL: Self = Self { telemetry: true, attributes: true };
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `WEBHOOK`: requests with a few messages each.
    Webhook(ForwardWebhook),
    /// `KAFKA`: records of a topic.
    Kafka(ForwardKafka),
    /// `MQTT`: publishes to another broker.
    Mqtt(ForwardMqtt),
}

impl Destination {
    /// Our word in REST, in the store and in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "WEBHOOK",
            Self::Kafka(_) => "KAFKA",
            Self::Mqtt(_) => "MQTT",
        }
    }
}

/// A receiver of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardWebhook {
    /// Where to.
    pub url: WebhookUrl,
    /// What requests are signed with; without one they are not signed.
    pub secret: Option<Secret>,
    /// How long one request may take, 100 to 60,000 ms.
    pub timeout_ms: u32,
    /// Messages in one request, 1 to 1,000.
    pub batch_max: u16,
}

/// A topic of a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardKafka {
    /// `host:port`, and more of them behind commas: where the cluster is found.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// How the way there is protected.
    pub security: KafkaSecurity,
    /// How the user proves who it is, and as whom; nobody when absent.
    pub login: Option<KafkaLogin>,
}

/// `security.protocol` of Kafka, without its word for the login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KafkaSecurity {
    /// `PLAINTEXT`
    #[default]
    Plaintext,
    /// `TLS`
    Tls,
}

impl KafkaSecurity {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Plaintext, Self::Tls];

    /// Our word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Tls => "TLS",
        }
    }
}

/// A user of a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaLogin {
    /// How it proves who it is.
    pub mechanism: KafkaMechanism,
    /// Who.
    pub user: String,
    /// What only the two know.
    pub password: Secret,
}

/// `sasl.mechanism` of Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KafkaMechanism {
    /// `PLAIN`
    #[default]
    Plain,
    /// `SCRAM-SHA-256`
    ScramSha256,
    /// `SCRAM-SHA-512`
    ScramSha512,
}

impl KafkaMechanism {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Kafka's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Another broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardMqtt {
    /// Where it is.
    pub url: BrokerUrl,
    /// Whether MQTT 5 is spoken, otherwise 3.1.1.
    pub is_version_5: bool,
    /// The topic of a message: its parts in braces stand for what the message says of them.
    pub topic: TopicTemplate,
    /// The client id; made of the target's identity when absent.
    pub client_id: Option<String>,
    /// User name, if one is needed.
    pub user: Option<String>,
    /// Password, if one is needed.
    pub password: Option<Secret>,
}

/// `mqtt://host:1883` or `mqtts://host:8883`; the ports may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Name or address; an IPv6 address is without its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether the way there is encrypted.
    pub is_secure: bool,
}

impl BrokerUrl {
    /// Reads a URL; none when it is not of this form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (is_secure, otherwise) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return None,
        };
        // The rules of host and port are those of every other URL.
        let same = format!("http://{}", rest.strip_suffix('/').unwrap_or(rest));
        let url = WebhookUrl::parse(&same).ok().filter(|url| url.origin() == same)?;
        let authority = same.strip_prefix("http://")?;
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let port = port.map_or(Ok(otherwise), |(_, port)| port.parse()).ok()?;
        Some(Self { host: url.host().to_owned(), port, is_secure })
    }
}

impl core::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let scheme = if self.is_secure { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// A topic with places to be filled in: `${deviceName}`, `${deviceId}`, `${deviceType}`, `${kind}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate(String);

/// What the places of a topic stand for.
#[derive(Clone, Copy, Debug)]
pub struct TopicValues<'a> {
    /// `${deviceName}`
    pub device_name: &'a str,
    /// `${deviceId}`
    pub device_id: &'a str,
    /// `${deviceType}`
    pub device_type: &'a str,
    /// `${kind}`: `telemetry` or `attributes`
    pub kind: &'a str,
}

impl TopicTemplate {
    /// Reads a template: 1 to 1,024 bytes, no wildcards, no control characters, no unknown place.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > TOPIC_MAX {
            return Err("is empty or longer than 1,024 bytes");
        }
        if text.contains(['+', '#']) || text.chars().any(char::is_control) {
            return Err("holds a wildcard (+, #) or a control character");
        }
        let mut rest = text;
        while let Some((_, behind)) = rest.split_once("${") {
            let (place, behind) = behind.split_once('}').unwrap_or_default();
            if !PLACES.contains(&place) {
                return Err(
                    "holds a place that is none of ${deviceName}, ${deviceId}, ${deviceType}, ${kind}",
                );
            }
            rest = behind;
        }
        Ok(Self(text.to_owned()))
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic of a message. What devices are called must not choose another topic: a slash, a
    /// wildcard or a control character in a name becomes `_`.
    #[must_use]
    pub fn fill(&self, values: &TopicValues<'_>) -> String {
        let mut topic = String::with_capacity(self.0.len() + 64);
        let mut rest = self.0.as_str();
        while let Some((before, behind)) = rest.split_once("${") {
            let (place, behind) = behind.split_once('}').unwrap_or_default();
            topic.push_str(before);
            let value = match place {
                "deviceName" => values.device_name,
                "deviceId" => values.device_id,
                "deviceType" => values.device_type,
                _ => values.kind,
            };
            let special = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
            topic.extend(value.chars().map(|c| if special(c) { '_' } else { c }));
            rest = behind;
        }
        topic + rest
    }
}

const PLACES: [&str; 4] = ["deviceName", "deviceId", "deviceType", "kind"];
const TOPIC_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_by_scheme_host_and_port() {
        for (text, expected) in [
            ("mqtt://a.example", Some(("a.example", 1883, false))),
            ("mqtts://a.example/", Some(("a.example", 8883, true))),
            ("mqtt://10.0.0.1:77", Some(("10.0.0.1", 77, false))),
            ("mqtt://[::1]:77", Some(("::1", 77, false))),
            ("mqtts://[::1]", Some(("::1", 8883, true))),
            ("mqtt://", None),
            ("mqtt://a:0", None),
            ("mqtt://a/b", None),
            ("mqtt://a?b", None),
            ("mqtt://user:password@a", None),
            ("tcp://a", None),
            ("a:1883", None),
        ] {
            let read = BrokerUrl::parse(text);
            let parts = read.as_ref().map(|it| (it.host.as_str(), it.port, it.is_secure));
            assert_eq!(parts, expected, "{text}");
            assert_eq!(read.as_ref().and_then(|it| BrokerUrl::parse(&it.to_string())), read);
        }
    }

    #[test]
    fn places_of_a_topic_are_filled_in_and_no_name_chooses_another_topic() {
        let values = TopicValues {
            device_name: "a/+b\n#",
            device_id: "1-2",
            device_type: "${kind}",
            kind: "telemetry",
        };
        for (template, expected) in [
            ("plain", "plain"),
            ("x/${deviceName}/y", "x/a__b__/y"),
            ("${deviceId}${deviceType}", "1-2${kind}"),
            ("$/${kind}", "$/telemetry"),
        ] {
            let template = TopicTemplate::parse(template).expect("sound");
            assert_eq!(template.fill(&values), expected);
        }
        for wrong in ["", "a/#", "+", "a\0", "${device}", "${deviceName", &"x".repeat(1_025)] {
            assert!(TopicTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
