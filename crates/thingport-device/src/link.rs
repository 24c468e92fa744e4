//! A link: one conversation with one device.
//!
//! It remembers what the device subscribed to and nothing else. It never sees who the device is.

mod downlink;
mod gateway;
mod kept;

pub use downlink::{Page, Publication, body_for_http};

use std::sync::Arc;

use thingport_model::profile::ATTRIBUTES_TOPIC;
use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::rpc::ReplyTo;
use thingport_model::time::Timestamp;
use thingport_model::uplink::{AttributeRequest, CallAnswer, ClientCall, PackageRequest, Uplink};

use crate::dialect::Dialect;
use crate::payload::Typing;
use crate::payload::json::chunk_size;
use crate::reader::{Body, Reader};
use crate::reject::{Reject, quoted};
use crate::topic::filter::{Filter, is_well_formed};
use crate::topic::{Endpoint, Family, Form, Gateway, Subscription};

/// One device's conversation on one connection. Small: there is one per connection.
#[derive(Clone, Debug)]
pub struct Link {
    dialect: Arc<Dialect>,
    /// One bit per filter of the table, and [`OWN_FILTER`].
    granted: u32,
    attribute_updates: Option<Family>,
    rpc_requests: Option<Family>,
    is_gateway: bool,
    /// Errors of software are told on a topic of their own.
    tells_software_errors_apart: bool,
    /// Where attribute updates go when they were asked for through a filter of the profile's own.
    // A box of a box: one word in the many links that never do.
    #[allow(clippy::box_collection)]
    own_topic: Option<Box<String>>,
}

impl Link {
    /// Opens a link for a device of a profile. `is_gateway`: the device is marked as a gateway.
    #[must_use]
    pub const fn open(dialect: Arc<Dialect>, is_gateway: bool) -> Self {
        Self {
            dialect,
            granted: 0,
            attribute_updates: None,
            rpc_requests: None,
            is_gateway,
            tells_software_errors_apart: false,
            own_topic: None,
        }
    }

    /// Tells errors of software on `v2/sw/error`, where devices can subscribe to them, and not where
    /// ThingsBoard tells them, on the topic of firmware (OT-018).
    #[must_use]
    pub const fn with_software_errors_apart(mut self, are_apart: bool) -> Self {
        self.tells_software_errors_apart = are_apart;
        self
    }

    /// What the device says by publishing `payload` to `topic`; received `now`.
    ///
    /// The readings are in `readings`, which is cleared when the uplink holds any; texts are in the
    /// payload or in `reader`. Both may be used for the next message of any device once the uplink was
    /// handed on.
    ///
    /// # Errors
    /// Why it says nothing; [`Reject::class`] tells how to answer.
    pub fn uplink<'a>(
        &mut self,
        topic: &str,
        payload: &'a [u8],
        now: Timestamp,
        reader: &'a mut Reader,
        readings: &'a mut Readings,
        typing: &Typing,
    ) -> Result<Uplink<'a>, Reject> {
        match self.dialect.endpoint(topic)? {
            Endpoint::Telemetry(form) => {
                let form = self.dialect.up(form);
                reader.telemetry(Body { form, payload, now, typing }, readings)?;
                Ok(Uplink::Telemetry(readings))
            }
            Endpoint::Attributes(form) => {
                let form = self.dialect.up(form);
                reader.attributes(Body { form, payload, now, typing }, readings)?;
                Ok(Uplink::Attributes(readings))
            }
            Endpoint::Gateway(_) if !self.is_gateway => {
                Err(Reject::new(Reason::NotAGateway, quoted(topic)))
            }
            Endpoint::Gateway(Gateway::Unknown) => {
                Err(Reject::new(Reason::TopicUnknown, quoted(topic)))
            }
            Endpoint::Provision => {
                let what = "only a connection that logged in as provision may be provisioned";
                Err(Reject::new(Reason::TopicUnknown, what))
            }
            Endpoint::Gateway(topic) => {
                let form = self.dialect.up(Form::Profile);
                Ok(Uplink::Children(reader.gateway(topic, Body { form, payload, now, typing })?))
            }
            Endpoint::Sparkplug => {
                let what = "the device profile is not for Sparkplug B";
                Err(Reject::new(Reason::TopicUnknown, what))
            }
            asked => self.question(asked, payload, reader),
        }
    }

    /// What the device asks or answers: everything that carries no reading.
    fn question<'a>(
        &self,
        endpoint: Endpoint,
        payload: &'a [u8],
        reader: &'a mut Reader,
    ) -> Result<Uplink<'a>, Reject> {
        Ok(match endpoint {
            Endpoint::AttributesRequest { family, id } => {
                let form = self.dialect.up(family.form());
                let (client, shared) = reader.attribute_request(form, payload)?;
                let reply_to = reply_to(family, id);
                Uplink::AttributeRequest(AttributeRequest { reply_to, client, shared })
            }
            Endpoint::RpcResponse { family, id } => {
                let form = self.dialect.up(family.form());
                Uplink::CallAnswer(CallAnswer { id, body: reader.call_answer(form, payload)? })
            }
            Endpoint::RpcRequest { family, id } => {
                let form = self.dialect.up(family.form());
                let (method, params) = reader.client_call(form, payload)?;
                let reply_to = reply_to(family, id);
                Uplink::ClientCall(ClientCall { reply_to, method, params })
            }
            Endpoint::Claim(form) => {
                let form = self.dialect.up(form);
                Uplink::Claim(reader.claim(form, payload)?)
            }
            Endpoint::Package { kind, request, chunk } => {
                let size = chunk_size(payload)?;
                Uplink::PackageRequest(PackageRequest { kind, request, chunk, size })
            }
            Endpoint::Telemetry(_)
            | Endpoint::Attributes(_)
            | Endpoint::Gateway(_)
            | Endpoint::Sparkplug
            | Endpoint::Provision => return Err(Reject::new(Reason::TopicNotServed, "")),
        })
    }

    /// Grants one filter of a SUBSCRIBE packet. Granted QoS is the caller's affair (LS-080).
    ///
    /// # Errors
    /// `FilterShared`, `FilterInvalid` or `FilterUnknown`; what was granted before stays.
    pub fn subscribe(&mut self, filter: &str) -> Result<(), Reject> {
        if filter == "$share" || filter.starts_with("$share/") {
            return Err(Reject::new(Reason::FilterShared, quoted(filter)));
        }
        if !is_well_formed(filter) {
            return Err(Reject::new(Reason::FilterInvalid, quoted(filter)));
        }
        let Some((bit, meaning)) = self.find(filter) else {
            return Err(Reject::new(Reason::FilterUnknown, quoted(filter)));
        };
        self.granted |= bit;
        self.choose(filter, bit, meaning);
        Ok(())
    }

    /// The filter is the latest of its kind (LS-089).
    fn choose(&mut self, filter: &str, bit: u32, meaning: Subscription) {
        match meaning {
            Subscription::AttributeUpdates(family) => {
                self.attribute_updates = Some(family);
                self.own_topic = (bit == OWN_FILTER).then(|| Box::new(own_topic(filter)));
            }
            Subscription::RpcRequests(family) => self.rpc_requests = Some(family),
            _ => {}
        }
    }

    /// Takes one filter back; whether it was subscribed.
    ///
    /// Taking back any filter for attribute updates, or for calls, ends all of that kind (LS-092).
    pub fn unsubscribe(&mut self, filter: &str) -> bool {
        let Some((bit, meaning)) = self.find(filter) else { return false };
        let was_granted = self.granted & bit != 0;
        self.granted &= !bit;
        match meaning {
            Subscription::AttributeUpdates(_) if was_granted => self.attribute_updates = None,
            Subscription::RpcRequests(_) if was_granted => self.rpc_requests = None,
            _ => {}
        }
        was_granted
    }

    /// The profile was edited: its new dialect is in force from the next message on (LS-051). What is
    /// subscribed stays subscribed.
    pub fn change_dialect(&mut self, dialect: Arc<Dialect>) {
        self.dialect = dialect;
    }

    /// Whether what is published to this topic holds secrets: a claim, or a request to be provisioned.
    #[must_use]
    pub fn carries_secrets(&self, topic: &str) -> bool {
        let endpoint = self.dialect.endpoint(topic);
        let is_claim = matches!(endpoint, Ok(Endpoint::Gateway(Gateway::Claim)));
        is_claim || matches!(endpoint, Ok(Endpoint::Claim(_) | Endpoint::Provision))
    }

    /// Whether a body that cannot be decoded is acknowledged to MQTT 3 clients (P-11).
    #[must_use]
    pub fn acks_invalid(&self) -> bool {
        self.dialect.acks_invalid()
    }

    /// The family in which attribute updates are wanted, that of the latest subscription (LS-089).
    #[must_use]
    pub const fn attribute_updates(&self) -> Option<Family> {
        self.attribute_updates
    }

    /// The family in which calls are wanted, that of the latest subscription (LS-089).
    #[must_use]
    pub const fn rpc_requests(&self) -> Option<Family> {
        self.rpc_requests
    }

    /// Bit and meaning of a filter: of the table, or the profile's own, whose updates come in the
    /// first family (TP-012, TP-013).
    fn find(&self, filter: &str) -> Option<(u32, Subscription)> {
        let in_table = Subscription::of(filter).map(|(at, meaning)| (1 << at, meaning));
        in_table.or_else(|| {
            let is_own = self.dialect.is_attributes_subscribe(filter);
            is_own.then_some((OWN_FILTER, Subscription::AttributeUpdates(Family::V1)))
        })
    }
}

/// Where updates go that were asked for through a filter of the profile's own: on a topic that the
/// filter matches, since clients drop what they did not subscribe to (O-2). ThingsBoard sends them on
/// the standard topic (TP-013), so that one is taken where it matches.
fn own_topic(filter: &str) -> String {
    if Filter::new(filter).matches(ATTRIBUTES_TOPIC) {
        ATTRIBUTES_TOPIC.to_owned()
    } else {
        Filter::example(filter)
    }
}

const fn reply_to(family: Family, id: u32) -> ReplyTo {
    ReplyTo { way: family as u8, id }
}

/// The bit of the profile's own filter; the table needs fewer than 31.
const OWN_FILTER: u32 = 1 << 31;

#[cfg(test)]
mod tests;
