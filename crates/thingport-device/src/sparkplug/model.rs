//! What an edge node has said of itself: metrics, types and aliases from its births.

use std::collections::BTreeMap;
use std::sync::Arc;

use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;

use super::compound::{TemplateHead, Templates};
use super::datatype::DataType;
use super::payload::{Field, Metric, Payload};
use crate::reject::{Reject, quoted};

/// The edge node itself, or the device with this Sparkplug id.
pub type Whom = Option<Arc<str>>;

/// A metric as its birth declared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) kind: DataType,
    pub(crate) alias: Option<u64>,
    /// Fingerprint of the properties that were kept last; 0: of none.
    pub(crate) properties: u64,
}

/// What one birth declares.
#[derive(Debug, Default)]
pub(crate) struct Birth {
    metrics: BTreeMap<Arc<str>, Definition>,
    aliases: BTreeMap<u64, Arc<str>>,
    templates: Templates,
    text: usize,
}

/// The edge node, or one of its devices.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    metrics: BTreeMap<Arc<str>, Definition>,
    text: usize,
    /// When it was born, by its own clock; none of the dead.
    pub(crate) born_at: Option<Timestamp>,
}

/// Everything that an edge node has declared.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) node: Subject,
    pub(crate) devices: BTreeMap<Arc<str>, Subject>,
    aliases: BTreeMap<u64, (Whom, Arc<str>)>,
    pub(crate) templates: Templates,
}

/// Which metric is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// One of the birth.
    Known(Arc<str>, Definition),
    /// One with this name that the birth did not declare.
    Undeclared(Arc<str>),
    /// An alias that nobody declared, or neither name nor alias.
    Unknown,
}

impl Birth {
    /// What a birth declares. Metrics that cannot be are left out; the payload is read again for their
    /// values, which tells of them.
    ///
    /// # Errors
    /// `SparkplugBirth` for a metric without name and for an alias of two.
    pub(crate) fn read(payload: Payload<'_>, is_node: bool) -> Result<Self, Reject> {
        let mut it = Self::default();
        for metric in payload.metrics() {
            let name = metric.name.filter(|name| !name.is_empty());
            // tck-id-payloads-name-requirement, tck-id-payloads-alias-birth-requirement
            let name = name.ok_or_else(|| refused("a metric has no name"))?;
            let Some(kind) = metric.datatype.and_then(DataType::of) else { continue };
            if !is_key(name) {
                continue;
            }
            it.declare(name, kind, metric.alias)?;
            // tck-id-payloads-template-definition-nbirth-only
            if is_node {
                it.define(name, &metric);
            }
        }
        Ok(it)
    }

    fn declare(&mut self, name: &str, kind: DataType, alias: Option<u64>) -> Result<(), Reject> {
        let name: Arc<str> = name.into();
        if let Some(alias) = alias {
            let other = self.aliases.insert(alias, Arc::clone(&name));
            if other.is_some_and(|other| other != name) {
                return Err(twice(alias));
            }
        }
        self.text += name.len();
        self.metrics.insert(name, Definition { kind, alias, properties: 0 });
        Ok(())
    }

    /// Keeps the types of the members of a template that is defined.
    fn define(&mut self, name: &str, metric: &Metric<'_>) {
        let Field::Template(part) = metric.field else { return };
        let Ok(template) = TemplateHead::read(part) else { return };
        if !template.is_definition {
            return;
        }
        let mut members = BTreeMap::new();
        for member in &template.members {
            let kind = member.datatype.and_then(DataType::of);
            if let (Some(name), Some(kind)) = (member.name, kind) {
                self.text += name.len();
                members.insert(name.into(), kind);
            }
        }
        self.templates.insert(name.into(), members);
    }

    fn count(&self) -> usize {
        self.metrics.len() + self.templates.values().map(|it| 1 + it.len()).sum::<usize>()
    }
}

impl Subject {
    /// The metric of this name, if it was declared.
    pub(crate) fn metric(&self, name: &str) -> Option<Definition> {
        self.metrics.get(name).copied()
    }

    /// Remembers which properties of a metric were kept.
    pub(crate) fn note_properties(&mut self, name: &str, fingerprint: u64) {
        if let Some(definition) = self.metrics.get_mut(name) {
            definition.properties = fingerprint;
        }
    }

    fn take(&mut self, birth: Birth) {
        (self.metrics, self.text) = (birth.metrics, birth.text);
    }
}

impl Model {
    /// The edge node or one of its devices.
    pub(crate) fn subject(&self, whom: Option<&str>) -> Option<&Subject> {
        match whom {
            None => Some(&self.node),
            Some(device) => self.devices.get(device),
        }
    }

    /// The same, to be changed.
    pub(crate) fn subject_mut(&mut self, whom: Option<&str>) -> Option<&mut Subject> {
        match whom {
            None => Some(&mut self.node),
            Some(device) => self.devices.get_mut(device),
        }
    }

    /// The edge node is born: everything said before is forgotten, that of its devices too. Gives the
    /// devices that were there, with the times of their births.
    ///
    /// # Errors
    /// `SparkplugTooManyMetrics`; nothing has changed.
    pub(crate) fn bear_node(
        &mut self,
        mut birth: Birth,
        metrics_max: usize,
    ) -> Result<Vec<(Arc<str>, Timestamp)>, Reject> {
        bound(birth.count(), birth.text, metrics_max)?;
        let aliases = core::mem::take(&mut birth.aliases);
        self.aliases = aliases.into_iter().map(|(alias, name)| (alias, (None, name))).collect();
        self.templates = core::mem::take(&mut birth.templates);
        self.node.take(birth);
        let devices = core::mem::take(&mut self.devices);
        Ok(devices.into_iter().filter_map(|(id, it)| Some((id, it.born_at?))).collect())
    }

    /// A device is born: what it said before is forgotten.
    ///
    /// # Errors
    /// `SparkplugBirth` for an alias that another has, `SparkplugTooManyMetrics`; nothing has changed.
    pub(crate) fn bear_device(
        &mut self,
        device: &str,
        mut birth: Birth,
        metrics_max: usize,
    ) -> Result<Arc<str>, Reject> {
        let is_other = |alias: &u64| {
            self.aliases.get(alias).is_some_and(|(whom, _)| whom.as_deref() != Some(device))
        };
        // tck-id-payloads-alias-uniqueness
        if let Some(alias) = birth.aliases.keys().copied().find(is_other) {
            return Err(twice(alias));
        }
        let others = || self.devices.iter().filter(|(id, _)| ***id != *device);
        let metrics = others().map(|(_, it)| 1 + it.metrics.len()).sum::<usize>();
        let text = others().map(|(id, it)| id.len() + it.text).sum::<usize>();
        let templates = self.templates.values().map(|it| 1 + it.len()).sum::<usize>();
        let metrics = metrics + self.node.metrics.len() + templates + birth.count();
        bound(metrics, text + self.node.text + birth.text, metrics_max)?;
        let id: Arc<str> = match self.devices.get_key_value(device) {
            Some((id, _)) => Arc::clone(id),
            None => device.into(),
        };
        self.aliases.retain(|_, (whom, _)| whom.as_deref() != Some(device));
        for (alias, name) in core::mem::take(&mut birth.aliases) {
            self.aliases.insert(alias, (Some(Arc::clone(&id)), name));
        }
        self.devices.entry(Arc::clone(&id)).or_default().take(birth);
        Ok(id)
    }

    /// Which metric of the edge node or a device is meant.
    pub(crate) fn find(&self, whom: Option<&str>, metric: &Metric<'_>) -> Found {
        let subject = self.subject(whom);
        if let Some(name) = metric.name.filter(|name| !name.is_empty()) {
            let known = subject.and_then(|it| it.metrics.get_key_value(name));
            return match known {
                Some((name, definition)) => Found::Known(Arc::clone(name), *definition),
                None => Found::Undeclared(name.into()),
            };
        }
        let named = metric.alias.and_then(|alias| self.aliases.get(&alias));
        let own = named.filter(|(owner, _)| owner.as_deref() == whom);
        let found = own.and_then(|(_, name)| Some((name, subject?.metric(name)?)));
        found.map_or(Found::Unknown, |(name, it)| Found::Known(Arc::clone(name), it))
    }
}

/// Whether a name can be a key (JS-041).
pub(crate) fn is_key(name: &str) -> bool {
    !name.is_empty() && (name.len() <= KEY_MAX || name.chars().count() <= KEY_MAX)
}

fn bound(metrics: usize, text: usize, metrics_max: usize) -> Result<(), Reject> {
    if metrics > metrics_max {
        let what = format!("more than {metrics_max} of the edge node and its devices");
        return Err(Reject::new(Reason::SparkplugTooManyMetrics, what));
    }
    if text > NAMES_MAX {
        let what = format!("their names take more than {NAMES_MAX} bytes");
        return Err(Reject::new(Reason::SparkplugTooManyMetrics, what));
    }
    Ok(())
}

#[cold]
fn twice(alias: u64) -> Reject {
    refused(format!("alias {alias} stands for two metrics"))
}

#[cold]
pub(crate) fn refused(what: impl Into<String>) -> Reject {
    Reject::new(Reason::SparkplugBirth, what)
}

/// A metric that was not understood, in words.
pub(crate) fn described(name: &str, why: &str) -> String {
    format!("{}: {why}", quoted(name))
}

/// Longest key in characters.
const KEY_MAX: usize = 255;
/// Bytes of the names that one edge node and its devices may declare.
const NAMES_MAX: usize = 2 * 1024 * 1024;
