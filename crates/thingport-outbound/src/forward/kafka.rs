//! A topic of a Kafka cluster: one record for each object of a message, the device's id as its key.
//!
//! The producer is idempotent and waits for all replicas that are in sync, so the library's own retries
//! neither lose nor repeat a record. A message is handed over when all its records are acknowledged.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use thingport_core::forwarding::Message;
use thingport_model::profile::forwarding::{ForwardKafka, KafkaSecurity};

use super::body::objects;
use super::{Outlet, Trouble, Undelivered};
use crate::webhook::Webhooks;

pub(super) struct KafkaOutlet {
    settings: Arc<Webhooks>,
    spec: ForwardKafka,
    producer: Option<FutureProducer>,
}

impl KafkaOutlet {
    pub(super) const fn new(settings: Arc<Webhooks>, spec: ForwardKafka) -> Self {
        Self { settings, spec, producer: None }
    }

    async fn open(&self) -> Result<FutureProducer, String> {
        self.check_reach().await?;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.spec.brokers)
            .set("client.id", "thingport")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", RECONNECT_MAX_MS)
            .set("queue.buffering.max.kbytes", QUEUE_KIB)
            .set("security.protocol", self.protocol());
        if let Some(login) = &self.spec.login {
            config
                .set("sasl.mechanism", login.mechanism.name())
                .set("sasl.username", &login.user)
                .set("sasl.password", login.password.reveal());
        }
        config.create().map_err(|error| match error {
            // Its text would name the value, which may be a password.
            KafkaError::ClientConfig(_, why, key, _) => format!(
                "{key} cannot be used: {why}. TLS and SCRAM need a build with the feature kafka-tls"
            ),
            other => other.to_string(),
        })
    }

    /// The brokers that are named here; those that they name in turn are the cluster's word.
    async fn check_reach(&self) -> Result<(), String> {
        let (brokers, settings) = (self.spec.brokers.clone(), Arc::clone(&self.settings));
        let look_up = move || {
            for broker in brokers.split(',') {
                let found = broker.to_socket_addrs().into_iter().flatten();
                let reach = &settings.config().reach;
                if let Some(far) = found.map(|it| it.ip()).find(|ip| !reach.permits(*ip)) {
                    return Err(format!("{far} may not be called; see outbound.allow"));
                }
            }
            Ok(())
        };
        tokio::task::spawn_blocking(look_up).await.map_err(|error| error.to_string())?
    }

    const fn protocol(&self) -> &'static str {
        match (self.spec.security, self.spec.login.is_some()) {
            (KafkaSecurity::Plaintext, false) => "plaintext",
            (KafkaSecurity::Plaintext, true) => "sasl_plaintext",
            (KafkaSecurity::Tls, false) => "ssl",
            (KafkaSecurity::Tls, true) => "sasl_ssl",
        }
    }
}

#[async_trait]
impl Outlet for KafkaOutlet {
    async fn deliver(&mut self, messages: &[Message]) -> Result<(), Undelivered> {
        let later = |why| Undelivered { done: 0, trouble: Trouble::Later, why };
        let producer = match self.producer.clone() {
            Some(producer) => producer,
            None => self.producer.insert(self.open().await.map_err(later)?).clone(),
        };
        // All records are given to the library at once, in order; then their outcomes are awaited.
        let (mut sent, mut failed) = (Vec::with_capacity(messages.len()), None);
        'messages: for (index, message) in messages.iter().enumerate() {
            let key = message.origin.device_id.to_string();
            for object in objects(message) {
                let record = FutureRecord::to(&self.spec.topic).key(&key).payload(&object);
                match producer.send_result(record) {
                    Ok(outcome) => sent.push((index, outcome)),
                    Err((error, _)) => {
                        failed = Some((index, error));
                        break 'messages;
                    }
                }
            }
        }
        for (index, outcome) in sent {
            let error = match outcome.await {
                Ok(Ok(_)) => continue,
                Ok(Err((error, _))) => error,
                Err(_) => KafkaError::Canceled,
            };
            failed = Some((index, error));
            break;
        }
        let Some((done, error)) = failed else { return Ok(()) };
        let trouble = if is_final(&error) { Trouble::ThisOne } else { Trouble::Later };
        if producer.client().fatal_error().is_some() {
            self.producer = None; // the library says that only another producer can go on
        }
        Err(Undelivered { done, trouble, why: error.to_string() })
    }
}

/// Whether the cluster spoke of this record.
const fn is_final(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageProduction(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidRecord
        )
    )
}

/// How long the library tries by itself, in milliseconds.
const MESSAGE_TIMEOUT_MS: &str = "20000";
/// How long the library waits at most before it connects again, in milliseconds.
const RECONNECT_MAX_MS: &str = "2000";
/// Bytes that wait in the library.
const QUEUE_KIB: &str = "32768";

#[cfg(test)]
mod tests;
