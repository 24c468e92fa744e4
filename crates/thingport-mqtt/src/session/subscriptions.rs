//! The filters a client holds, and the quality of service granted for each.

use crate::topic::{TopicFilter, TopicName};
use crate::version::Qos;

/// A few filters, in the order they were first subscribed.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    held: Vec<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    filter: Box<str>,
    qos: Qos,
    /// 0: none.
    id: u32,
}

impl Subscriptions {
    /// Adds a filter or replaces it (U-5); `false` when there are `max` already.
    pub(super) fn set(&mut self, filter: &str, qos: Qos, id: u32, max: u16) -> bool {
        if let Some(held) = self.held.iter_mut().find(|held| &*held.filter == filter) {
            (held.qos, held.id) = (qos, id);
        } else if self.held.len() >= usize::from(max) {
            return false;
        } else {
            self.held.push(Subscription { filter: filter.into(), qos, id });
        }
        true
    }

    pub(super) fn contains(&self, filter: &str) -> bool {
        self.held.iter().any(|held| &*held.filter == filter)
    }

    pub(super) fn remove(&mut self, filter: &str) {
        self.held.retain(|held| &*held.filter != filter);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn filters(&self) -> impl Iterator<Item = &str> {
        self.held.iter().map(|held| &*held.filter)
    }

    /// Filter, quality of service and identifier of each, 0 for none.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, Qos, u32)> {
        self.held.iter().map(|held| (&*held.filter, held.qos, held.id))
    }

    /// The highest quality of service granted for a topic; `None` when no filter matches.
    pub(super) fn granted(&self, topic: TopicName<'_>) -> Option<Qos> {
        self.matching(topic).map(|held| held.qos).max()
    }

    /// The identifiers of the subscriptions that match a topic (U-9).
    pub(super) fn ids<'a>(
        &'a self,
        topic: TopicName<'a>,
    ) -> impl Iterator<Item = u32> + Clone + 'a {
        self.matching(topic).map(|held| held.id).filter(|id| *id != 0)
    }

    fn matching<'a>(
        &'a self,
        topic: TopicName<'a>,
    ) -> impl Iterator<Item = &'a Subscription> + Clone + 'a {
        self.held.iter().filter(move |held| {
            TopicFilter::parse(&held.filter).is_ok_and(|filter| filter.matches(topic))
        })
    }
}
