//! The stored form of a profile's targets.

use serde::{Deserialize, Serialize};
use thingport_model::port::error::PortError;
use thingport_model::profile::forwarding::{
    BrokerUrl, Destination, ForwardKafka, ForwardKinds, ForwardMqtt, ForwardTarget, ForwardWebhook,
    KafkaLogin, KafkaMechanism, KafkaSecurity, TopicTemplate,
};
use thingport_model::webhook::Secret;

use super::url::known_url;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetForm {
    name: String,
    telemetry: bool,
    attributes: bool,
    #[serde(flatten)]
    destination: DestinationForm,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum DestinationForm {
    Webhook {
        url: String,
        secret: Option<String>,
        timeout_ms: u32,
        batch_max: u16,
    },
    Kafka {
        brokers: String,
        topic: String,
        security: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login: Option<LoginForm>,
    },
    Mqtt {
        url: String,
        is_version_5: bool,
        topic: String,
        client_id: Option<String>,
        user: Option<String>,
        password: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct LoginForm {
    mechanism: String,
    user: String,
    password: String,
}

impl TargetForm {
    pub(super) fn of(target: &ForwardTarget) -> Self {
        let ForwardKinds { telemetry, attributes } = target.kinds;
        let destination = DestinationForm::of(&target.destination);
        Self { name: target.name.clone(), telemetry, attributes, destination }
    }

    pub(super) fn into_model(self) -> Result<ForwardTarget, PortError> {
        let Self { name, telemetry, attributes, destination } = self;
        let kinds = ForwardKinds { telemetry, attributes };
        Ok(ForwardTarget { name, kinds, destination: destination.into_model()? })
    }
}

impl DestinationForm {
    fn of(destination: &Destination) -> Self {
        let text = |secret: &Option<Secret>| secret.as_ref().map(|it| it.reveal().to_owned());
        match destination {
            Destination::Webhook(it) => Self::Webhook {
                url: it.url.as_str().to_owned(),
                secret: text(&it.secret),
                timeout_ms: it.timeout_ms,
                batch_max: it.batch_max,
            },
            Destination::Kafka(it) => Self::Kafka {
                brokers: it.brokers.clone(),
                topic: it.topic.clone(),
                security: it.security.name().to_owned(),
                login: it.login.as_ref().map(|it| LoginForm {
                    mechanism: it.mechanism.name().to_owned(),
                    user: it.user.clone(),
                    password: it.password.reveal().to_owned(),
                }),
            },
            Destination::Mqtt(it) => Self::Mqtt {
                url: it.url.to_string(),
                is_version_5: it.is_version_5,
                topic: it.topic.as_str().to_owned(),
                client_id: it.client_id.clone(),
                user: it.user.clone(),
                password: text(&it.password),
            },
        }
    }

    fn into_model(self) -> Result<Destination, PortError> {
        Ok(match self {
            Self::Webhook { url, secret, timeout_ms, batch_max } => {
                Destination::Webhook(ForwardWebhook {
                    url: known_url(&url)?,
                    secret: secret.map(Secret::new),
                    timeout_ms,
                    batch_max,
                })
            }
            Self::Kafka { brokers, topic, security, login } => {
                let known = KafkaSecurity::ALL.into_iter().find(|it| it.name() == security);
                let security = known.ok_or_else(|| unknown("security of a Kafka cluster"))?;
                let login = login.map(LoginForm::into_model).transpose()?;
                Destination::Kafka(ForwardKafka { brokers, topic, security, login })
            }
            Self::Mqtt { url, is_version_5, topic, client_id, user, password } => {
                Destination::Mqtt(ForwardMqtt {
                    url: BrokerUrl::parse(&url).ok_or_else(|| unknown("URL of a broker"))?,
                    is_version_5,
                    topic: TopicTemplate::parse(&topic).map_err(|_| unknown("topic"))?,
                    client_id,
                    user,
                    password: password.map(Secret::new),
                })
            }
        })
    }
}

impl LoginForm {
    fn into_model(self) -> Result<KafkaLogin, PortError> {
        let known = KafkaMechanism::ALL.into_iter().find(|it| it.name() == self.mechanism);
        let mechanism = known.ok_or_else(|| unknown("mechanism of a login"))?;
        Ok(KafkaLogin { mechanism, user: self.user, password: Secret::new(self.password) })
    }
}

fn unknown(what: &str) -> PortError {
    PortError::Corrupt(format!("a stored {what} is not known"))
}
