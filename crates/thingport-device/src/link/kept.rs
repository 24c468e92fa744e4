//! What of a link outlives the connection: which filters were granted, and which of them are the latest of
//! their kind.

use crate::topic::Subscription;

use super::{Link, OWN_FILTER, own_topic};

impl Link {
    /// Grants a filter of an earlier connection again; false when it means nothing any more, such as one
    /// of the profile's own that was changed since. `is_chosen`: it was the latest of its kind (LS-089).
    pub fn restore(&mut self, filter: &str, is_chosen: bool) -> bool {
        let Some((bit, meaning)) = self.find(filter) else { return false };
        self.granted |= bit;
        if is_chosen {
            self.choose(filter, bit, meaning);
        }
        true
    }

    /// Whether a filter is the latest of its kind, so that it says in which form the device is told.
    #[must_use]
    pub fn is_chosen(&self, filter: &str) -> bool {
        let Some((bit, meaning)) = self.find(filter) else { return false };
        match meaning {
            Subscription::AttributeUpdates(family) => {
                let own = (bit == OWN_FILTER).then(|| own_topic(filter));
                let chosen = self.own_topic.as_ref().map(|it| it.as_str());
                self.attribute_updates == Some(family) && chosen == own.as_deref()
            }
            Subscription::RpcRequests(family) => self.rpc_requests == Some(family),
            _ => false,
        }
    }

    /// Where changes of shared attributes go; none when they are not wanted.
    #[must_use]
    pub fn updates_topic(&self) -> Option<&str> {
        let family = self.attribute_updates?;
        let own = self.own_topic.as_ref().map(|it| it.as_str());
        Some(own.unwrap_or_else(|| family.attribute_updates()))
    }
}
