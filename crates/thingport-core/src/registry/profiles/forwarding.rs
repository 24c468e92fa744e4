//! Targets of a profile, checked and brought into their stored form.

use thingport_model::profile::forwarding::{
    BrokerUrl, Destination, ForwardKafka, ForwardKinds, ForwardMqtt, ForwardTarget, ForwardWebhook,
    KafkaLogin, KafkaMechanism, KafkaSecurity, TopicTemplate,
};
use thingport_model::webhook::Secret;

use super::said::{Said, settle_secret, settle_url};
use crate::error::Error;

/// A target as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetDraft {
    /// `name`
    pub name: String,
    /// `kinds`; everything when absent.
    pub kinds: Option<Vec<String>>,
    /// Where to.
    pub destination: DestinationDraft,
}

/// Where to, as sent. Secrets that are unsaid stay as they are.
#[derive(Clone, PartialEq, Eq)]
pub enum DestinationDraft {
    /// `WEBHOOK`
    Webhook {
        /// `url`
        url: String,
        /// `secret`
        secret: Said<String>,
        /// `timeoutMs`; 10,000 when absent.
        timeout_ms: Option<i64>,
        /// `batchMax`; 100 when absent.
        batch_max: Option<i64>,
    },
    /// `KAFKA`
    Kafka {
        /// `brokers`
        brokers: String,
        /// `topic`
        topic: String,
        /// `security`; `PLAINTEXT` when absent.
        security: Option<String>,
        /// `mechanism`; `PLAIN` when absent.
        mechanism: Option<String>,
        /// `user`; nobody when absent.
        user: Option<String>,
        /// `password`
        password: Said<String>,
    },
    /// `MQTT`
    Mqtt {
        /// `url`
        url: String,
        /// `version`, `3.1.1` or `5`; `5` when absent.
        version: Option<String>,
        /// `topic`; see [`TOPIC`] when absent.
        topic: Option<String>,
        /// `clientId`
        client_id: Option<String>,
        /// `user`
        user: Option<String>,
        /// `password`
        password: Said<String>,
    },
}

/// The targets as they are stored.
pub(super) fn settled(
    sent: Vec<TargetDraft>,
    stored: &[ForwardTarget],
) -> Result<Vec<ForwardTarget>, Error> {
    if sent.len() > TARGETS_MAX {
        return Err(invalid(format!("a profile has at most {TARGETS_MAX} targets of forwarding")));
    }
    let mut targets: Vec<ForwardTarget> = Vec::with_capacity(sent.len());
    for draft in sent {
        if targets.iter().any(|it| it.name == draft.name) {
            let name = draft.name;
            return Err(invalid(format!("two targets of forwarding are called {name:?}")));
        }
        let known = stored.iter().find(|it| it.name == draft.name);
        targets.push(settle(draft, known.map(|it| &it.destination))?);
    }
    Ok(targets)
}

fn settle(draft: TargetDraft, stored: Option<&Destination>) -> Result<ForwardTarget, Error> {
    let name = draft.name;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    if !(1..=NAME_MAX).contains(&name.len()) || !name.chars().all(is_name) || name.trim() != name {
        return Err(invalid(format!(
            "the name of a target of forwarding has 1 to {NAME_MAX} letters, digits, blanks, -, _ and .; {name:?} has not"
        )));
    }
    let target = format!("the target {name:?} of forwarding");
    let kinds = settle_kinds(&target, draft.kinds)?;
    let destination = settle_destination(&target, draft.destination, stored)?;
    Ok(ForwardTarget { name, kinds, destination })
}

fn settle_kinds(target: &str, sent: Option<Vec<String>>) -> Result<ForwardKinds, Error> {
    let Some(sent) = sent else { return Ok(ForwardKinds::ALL) };
    let mut kinds = ForwardKinds { telemetry: false, attributes: false };
    for kind in &sent {
        match kind.as_str() {
            "TELEMETRY" => kinds.telemetry = true,
            "ATTRIBUTES" => kinds.attributes = true,
            other => {
                return Err(invalid(format!(
                    "the kinds of {target} are TELEMETRY and ATTRIBUTES, not {other:?}"
                )));
            }
        }
    }
    if sent.is_empty() {
        return Err(invalid(format!("{target} has no kinds: name one, or leave kinds out")));
    }
    Ok(kinds)
}

fn settle_destination(
    target: &str,
    draft: DestinationDraft,
    stored: Option<&Destination>,
) -> Result<Destination, Error> {
    Ok(match draft {
        DestinationDraft::Webhook { url, secret, timeout_ms, batch_max } => {
            let stored = match stored {
                Some(Destination::Webhook(stored)) => stored.secret.clone(),
                _ => None,
            };
            let timeout_ms = within(target, "timeoutMs", timeout_ms, TIMEOUT_MS, (100, 60_000))?;
            let batch_max = within(target, "batchMax", batch_max, BATCH, (1, 1_000))?;
            Destination::Webhook(ForwardWebhook {
                url: settle_url(target, &url)?,
                secret: settle_secret(target, secret, stored)?,
                timeout_ms: u32::try_from(timeout_ms).unwrap_or(u32::MAX),
                batch_max: u16::try_from(batch_max).unwrap_or(u16::MAX),
            })
        }
        DestinationDraft::Kafka { brokers, topic, security, mechanism, user, password } => {
            let stored = match stored {
                Some(Destination::Kafka(stored)) => stored.login.as_ref(),
                _ => None,
            };
            let stored = stored.map(|it| it.password.clone());
            Destination::Kafka(ForwardKafka {
                brokers: settle_brokers(target, brokers)?,
                topic: settle_kafka_topic(target, topic)?,
                security: settle_security(target, security.as_deref())?,
                login: settle_login(target, mechanism.as_deref(), user, password, stored)?,
            })
        }
        DestinationDraft::Mqtt { url, version, topic, client_id, user, password } => {
            let stored = match stored {
                Some(Destination::Mqtt(stored)) => stored.password.clone(),
                _ => None,
            };
            let password = settle_password(target, password, stored)?;
            let user = settle_text(target, "user", user)?;
            let is_version_5 = match version.as_deref() {
                None | Some("5") => true,
                Some("3.1.1") => false,
                Some(other) => {
                    return Err(invalid(format!(
                        "the version of {target} is \"5\" or \"3.1.1\", not {other:?}"
                    )));
                }
            };
            // MQTT 3.1.1 knows no password without a user (MQTT-3.1.2-22).
            if password.is_some() && user.is_none() {
                return Err(invalid(format!("{target} has a password and no user")));
            }
            let topic = topic.unwrap_or_else(|| TOPIC.to_owned());
            Destination::Mqtt(ForwardMqtt {
                url: BrokerUrl::parse(&url).ok_or_else(|| {
                    invalid(format!(
                        "the url of {target} must be mqtt://HOST:PORT or mqtts://HOST:PORT, without a user or a path"
                    ))
                })?,
                is_version_5,
                topic: TopicTemplate::parse(&topic)
                    .map_err(|problem| invalid(format!("the topic of {target} {problem}")))?,
                client_id: settle_text(target, "clientId", client_id)?,
                user,
                password,
            })
        }
    })
}

fn settle_brokers(target: &str, brokers: String) -> Result<String, Error> {
    let is_one = |broker: &str| {
        broker.contains(':') && BrokerUrl::parse(&format!("mqtt://{broker}")).is_some()
    };
    if brokers.len() <= BROKERS_MAX && brokers.split(',').all(is_one) {
        return Ok(brokers);
    }
    Err(invalid(format!(
        "the brokers of {target} are HOST:PORT, further ones behind commas without blanks, {BROKERS_MAX} characters at most"
    )))
}

fn settle_kafka_topic(target: &str, topic: String) -> Result<String, Error> {
    let is_of_a_topic = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_topic = (1..=KAFKA_TOPIC_MAX).contains(&topic.len())
        && topic.chars().all(is_of_a_topic)
        && ![".", ".."].contains(&topic.as_str());
    if is_topic {
        return Ok(topic);
    }
    Err(invalid(format!(
        "the topic of {target} has 1 to {KAFKA_TOPIC_MAX} letters, digits, dots, - and _"
    )))
}

fn settle_security(target: &str, sent: Option<&str>) -> Result<KafkaSecurity, Error> {
    let Some(sent) = sent else { return Ok(KafkaSecurity::default()) };
    KafkaSecurity::ALL.into_iter().find(|it| it.name() == sent).ok_or_else(|| {
        invalid(format!("the security of {target} is PLAINTEXT or TLS, not {sent:?}"))
    })
}

fn settle_login(
    target: &str,
    mechanism: Option<&str>,
    user: Option<String>,
    password: Said<String>,
    stored: Option<Secret>,
) -> Result<Option<KafkaLogin>, Error> {
    let mechanism = match mechanism {
        None => KafkaMechanism::default(),
        Some(sent) => KafkaMechanism::ALL.into_iter().find(|it| it.name() == sent).ok_or_else(
            || {
                invalid(format!(
                    "the mechanism of {target} is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, not {sent:?}"
                ))
            },
        )?,
    };
    let password = settle_password(target, password, stored)?;
    match (settle_text(target, "user", user)?, password) {
        (Some(user), Some(password)) => Ok(Some(KafkaLogin { mechanism, user, password })),
        (None, _) => Ok(None),
        (Some(_), None) => Err(invalid(format!("{target} has a user and no password"))),
    }
}

fn settle_password(
    target: &str,
    sent: Said<String>,
    stored: Option<Secret>,
) -> Result<Option<Secret>, Error> {
    match sent {
        Said::Unsaid => Ok(stored),
        Said::Cleared => Ok(None),
        Said::Set(text) if (1..=TEXT_MAX).contains(&text.len()) => Ok(Some(Secret::new(text))),
        Said::Set(_) => Err(invalid(format!("the password of {target} has 1 to {TEXT_MAX} bytes"))),
    }
}

/// A text that the other side gets as it is.
fn settle_text(target: &str, member: &str, sent: Option<String>) -> Result<Option<String>, Error> {
    match sent {
        Some(text)
            if text.is_empty() || text.len() > TEXT_MAX || text.contains(char::is_control) =>
        {
            Err(invalid(format!(
                "{member} of {target} has 1 to {TEXT_MAX} bytes and no control characters"
            )))
        }
        other => Ok(other),
    }
}

fn within(
    target: &str,
    member: &str,
    sent: Option<i64>,
    otherwise: i64,
    (min, max): (i64, i64),
) -> Result<i64, Error> {
    let value = sent.unwrap_or(otherwise);
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(invalid(format!("{member} of {target} is {min} to {max}, not {value}")))
}

fn invalid(text: String) -> Error {
    Error::Invalid(text)
}

impl core::fmt::Debug for DestinationDraft {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Neither secrets nor a URL that may hold another one.
        f.write_str(match self {
            Self::Webhook { .. } => "Webhook",
            Self::Kafka { .. } => "Kafka",
            Self::Mqtt { .. } => "Mqtt",
        })
    }
}

/// The topic of a message for another broker when none is given.
pub const TOPIC: &str = "thingport/${deviceName}/${kind}";
/// Targets of one profile.
pub const TARGETS_MAX: usize = 8;
const NAME_MAX: usize = 64;
const TIMEOUT_MS: i64 = 10_000;
const BATCH: i64 = 100;
const BROKERS_MAX: usize = 1_024;
const KAFKA_TOPIC_MAX: usize = 249;
const TEXT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str) -> DestinationDraft {
        let (timeout_ms, batch_max) = (None, None);
        DestinationDraft::Webhook {
            url: url.to_owned(),
            secret: Said::Unsaid,
            timeout_ms,
            batch_max,
        }
    }

    fn kafka() -> DestinationDraft {
        DestinationDraft::Kafka {
            brokers: "a:9092,[::1]:9093".to_owned(),
            topic: "plant.1".to_owned(),
            security: None,
            mechanism: None,
            user: None,
            password: Said::Unsaid,
        }
    }

    fn mqtt(url: &str, topic: Option<&str>) -> DestinationDraft {
        DestinationDraft::Mqtt {
            url: url.to_owned(),
            version: None,
            topic: topic.map(str::to_owned),
            client_id: None,
            user: None,
            password: Said::Unsaid,
        }
    }

    fn draft(name: &str, destination: DestinationDraft) -> TargetDraft {
        TargetDraft { name: name.to_owned(), kinds: None, destination }
    }

    #[test]
    fn a_few_lines_are_enough_and_secrets_stay_until_somebody_says_otherwise() {
        let mut first = draft("lake", webhook("https://a/b"));
        let DestinationDraft::Webhook { secret, .. } = &mut first.destination else { panic!() };
        *secret = Said::Set("0123456789abcdef".to_owned());
        let sent = vec![first, draft("bus", kafka()), draft("site", mqtt("mqtts://b", None))];
        let stored = settled(sent, &[]).expect("sound");
        let Destination::Webhook(webhook_kept) = &stored[0].destination else { panic!() };
        assert_eq!((webhook_kept.timeout_ms, webhook_kept.batch_max), (10_000, 100));
        let Destination::Mqtt(site) = &stored[2].destination else { panic!() };
        assert_eq!((site.topic.as_str(), site.is_version_5, site.url.port), (TOPIC, true, 8883));
        let again = vec![draft("lake", webhook("https://c")), draft("new", webhook("https://a/b"))];
        let again = settled(again, &stored).expect("sound");
        let secrets: Vec<bool> = again
            .iter()
            .map(|it| matches!(&it.destination, Destination::Webhook(it) if it.secret.is_some()))
            .collect();
        assert_eq!(secrets, [true, false], "by name");
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_sentence() {
        let kafka_with = |change: fn(&mut ForKafka<'_>)| {
            let mut destination = kafka();
            if let DestinationDraft::Kafka { brokers, topic, security, mechanism, user, password } =
                &mut destination
            {
                change(&mut (brokers, topic, security, mechanism, user, password));
            }
            draft("t", destination)
        };
        let rows = [
            (draft("", kafka()), "the name of a target"),
            (draft(" a", kafka()), "the name of a target"),
            (draft("a/b", kafka()), "the name of a target"),
            (
                draft("t", webhook("ftp://a")),
                "the url of the target \"t\" of forwarding must begin",
            ),
            (
                draft("t", mqtt("http://a", None)),
                "the url of the target \"t\" of forwarding must be mqtt://",
            ),
            (
                draft("t", mqtt("mqtt://a", Some("a/#"))),
                "the topic of the target \"t\" of forwarding holds a wildcard",
            ),
            (kafka_with(|it| *it.0 = "a".to_owned()), "the brokers of"),
            (kafka_with(|it| *it.0 = "a:1, b:2".to_owned()), "the brokers of"),
            (kafka_with(|it| *it.1 = "a b".to_owned()), "the topic of"),
            (kafka_with(|it| *it.2 = Some("SSL".to_owned())), "the security of"),
            (kafka_with(|it| *it.3 = Some("GSSAPI".to_owned())), "the mechanism of"),
            (
                kafka_with(|it| *it.4 = Some("u".to_owned())),
                "the target \"t\" of forwarding has a user and no",
            ),
            (
                TargetDraft { kinds: Some(vec![]), ..draft("t", kafka()) },
                "the target \"t\" of forwarding has no kinds",
            ),
            (
                TargetDraft { kinds: Some(vec!["ALL".to_owned()]), ..draft("t", kafka()) },
                "the kinds of",
            ),
        ];
        for (draft, expected) in rows {
            match settled(vec![draft], &[]) {
                Err(Error::Invalid(text)) => assert!(text.starts_with(expected), "{text}"),
                other => panic!("{expected}: {other:?}"),
            }
        }
        for sent in [vec![draft("t", kafka()); 2], {
            (0..=TARGETS_MAX).map(|it| draft(&format!("t{it}"), kafka())).collect()
        }] {
            assert!(matches!(settled(sent, &[]), Err(Error::Invalid(_))));
        }
    }

    type ForKafka<'a> = (
        &'a mut String,
        &'a mut String,
        &'a mut Option<String>,
        &'a mut Option<String>,
        &'a mut Option<String>,
        &'a mut Said<String>,
    );
}
