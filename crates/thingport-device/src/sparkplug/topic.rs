//! The name space of Sparkplug B: `spBv1.0/<group>/<type>/<edge node>[/<device>]`, and the host's STATE.
//!
//! Compared byte by byte; levels are never empty. Nothing is kept per topic, so a flood of topics costs
//! nothing (tck-id-topic-structure-*).

use thingport_model::reason::Reason;

use crate::reject::{Reject, quoted};

/// Group and edge node: who speaks on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The group id.
    pub group: Box<str>,
    /// The edge node id.
    pub node: Box<str>,
}

/// What an edge node may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NodeBirth,
    NodeData,
    NodeDeath,
    DeviceBirth,
    DeviceData,
    DeviceDeath,
}

/// What a filter of the name space asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The edge node's own commands, or those of its devices.
    Commands,
    /// Whether the host is there.
    State,
}

/// Whether a topic or filter belongs to the name space at all.
#[must_use]
pub fn is_ours(topic: &str) -> bool {
    topic == NAMESPACE || levels_below(bare(topic)).is_some() || topic.starts_with(CERTIFICATES)
}

impl Place {
    /// Group and edge node of the topic of a death certificate; none when it is no such topic
    /// (tck-id-message-flow-edge-node-birth-publish-will-message-topic).
    #[must_use]
    pub fn of_certificate(topic: &str) -> Option<Self> {
        let mut levels = levels_below(topic)?.split('/');
        let (group, kind, node) = (levels.next()?, levels.next()?, levels.next()?);
        let is_good = kind == "NDEATH" && levels.next().is_none();
        (is_good && is_id(group) && is_id(node))
            .then(|| Self { group: group.into(), node: node.into() })
    }

    /// What `topic` says, and the device it names.
    ///
    /// # Errors
    /// `SparkplugForeign` for another group or edge node, `SparkplugNotForNodes` for what only hosts
    /// may say, `TopicUnknown` for everything else.
    pub(crate) fn read<'t>(&self, topic: &'t str) -> Result<(Kind, Option<&'t str>), Reject> {
        let unknown = || Reject::new(Reason::TopicUnknown, quoted(topic));
        let mut levels = levels_below(bare(topic)).ok_or_else(unknown)?.split('/');
        let group = levels.next().unwrap_or_default();
        let kind = levels.next().ok_or_else(unknown)?;
        if group == "STATE" {
            return Err(Reject::new(Reason::SparkplugNotForNodes, quoted(topic)));
        }
        let node = levels.next().ok_or_else(unknown)?;
        let device = levels.next();
        if levels.next().is_some() || device.is_some_and(|it| !is_id(it)) {
            return Err(unknown());
        }
        let kind = match (kind, device.is_some()) {
            ("NBIRTH", false) => Kind::NodeBirth,
            ("NDATA", false) => Kind::NodeData,
            ("NDEATH", false) => Kind::NodeDeath,
            ("DBIRTH", true) => Kind::DeviceBirth,
            ("DDATA", true) => Kind::DeviceData,
            ("DDEATH", true) => Kind::DeviceDeath,
            ("NCMD", false) | ("DCMD", true) => {
                return Err(Reject::new(Reason::SparkplugNotForNodes, quoted(topic)));
            }
            _ => return Err(unknown()),
        };
        if group != &*self.group || node != &*self.node {
            return Err(Reject::new(Reason::SparkplugForeign, quoted(topic)));
        }
        Ok((kind, device))
    }

    /// What a filter asks for; none when the edge node may not have it.
    #[must_use]
    pub fn wish(&self, filter: &str, host_id: &str) -> Option<Wish> {
        let mut levels = levels_below(filter)?.split('/');
        let (first, second) = (levels.next()?, levels.next()?);
        let (third, fourth, end) = (levels.next(), levels.next(), levels.next());
        if first == "STATE" {
            let is_host = second == host_id || second == "+" || second == "#";
            return (is_host && third.is_none()).then_some(Wish::State);
        }
        let is_own = first == &*self.group && third == Some(&*self.node) && end.is_none();
        let is_granted = match (second, fourth) {
            ("NCMD", None | Some("#")) | ("DCMD", Some("#" | "+")) => true,
            ("DCMD", Some(device)) => is_id(device),
            _ => false,
        };
        (is_own && is_granted).then_some(Wish::Commands)
    }

    /// Where commands go: to the edge node, or to the device of this Sparkplug id (SP-081).
    pub(crate) fn command(&self, device: Option<&str>) -> String {
        let Self { group, node } = self;
        match device {
            None => format!("{NAMESPACE}/{group}/NCMD/{node}"),
            Some(device) => format!("{NAMESPACE}/{group}/DCMD/{node}/{device}"),
        }
    }

    /// The name of the child device with a Sparkplug id (SP-033).
    #[must_use]
    pub fn child(&self, device: &str) -> String {
        format!("{}:{}:{device}", self.group, self.node)
    }

    /// The Sparkplug id in a topic level that may hold the whole name of the child (SP-035).
    pub(crate) fn bare_id<'t>(&self, level: &'t str) -> Option<&'t str> {
        let rest = level.strip_prefix(&*self.group)?.strip_prefix(':')?;
        rest.strip_prefix(&*self.node)?.strip_prefix(':').filter(|it| !it.is_empty())
    }
}

/// Where the host says whether it is there (tck-id-host-topic-phid-birth-topic).
#[must_use]
pub fn state_topic(host_id: &str) -> String {
    format!("{NAMESPACE}/STATE/{host_id}")
}

/// Whether a text can be a group, an edge node, a device or a host
/// (tck-id-topic-structure-namespace-valid-group-id).
#[must_use]
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && !text.contains(['+', '/', '#'])
}

/// Certificates are read as the births they are (SP-011).
fn bare(topic: &str) -> &str {
    topic.strip_prefix(CERTIFICATES).unwrap_or(topic)
}

fn levels_below(topic: &str) -> Option<&str> {
    topic.strip_prefix(NAMESPACE)?.strip_prefix('/')
}

const NAMESPACE: &str = "spBv1.0";
const CERTIFICATES: &str = "$sparkplug/certificates/";
