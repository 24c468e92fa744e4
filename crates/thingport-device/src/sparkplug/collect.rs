//! The values of births and data, as readings.

use core::hash::{Hash, Hasher as _};
use std::hash::DefaultHasher;
use std::sync::Arc;

use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::certificate::BD_SEQ;
use super::compound::{Scene, TemplateHead, write_properties};
use super::datatype::DataType;
use super::model::{Found, described, is_key};
use super::payload::{Field, Metric};
use super::value::{Room, Unfit};
use super::{EdgeNode, Publication, Said, Step};
use crate::payload::protobuf::wire::Part;

/// Values.
impl<T> EdgeNode<T> {
    pub(super) fn handle_data(&mut self, said: Publication<'_, T>) {
        let kind = if said.device.is_some() { "DDATA" } else { "NDATA" };
        let mut heard = Said { whom: said.device.map(Into::into), ..Said::default() };
        self.collect(&said, kind, &mut heard);
        self.finish(heard, said.tag);
    }

    pub(super) fn finish(&mut self, heard: Said, tag: T) {
        if heard.life.is_some() || !heard.is_empty() {
            self.steps.push_back(Step::Said(Box::new(heard)));
        }
        self.steps.push_back(Step::Done(tag));
    }

    /// Collects the values of a payload in their order
    /// (tck-id-operational-behavior-data-publish-nbirth-order and -dbirth-order).
    pub(super) fn collect(
        &mut self,
        said: &Publication<'_, T>,
        kind: &'static str,
        heard: &mut Said,
    ) {
        let mut room = Room::of(said.size);
        let (mut unfit, mut unfit_count, mut is_strange) = (None, 0, false);
        for metric in said.payload.metrics() {
            match self.take(&metric, said, kind, heard, &mut room) {
                Ok(()) => {}
                Err(Trouble::Unfit(name, Unfit(why))) => {
                    unfit_count += 1;
                    unfit.get_or_insert_with(|| described(&name, why));
                }
                Err(Trouble::Strange) => is_strange = true,
            }
        }
        if let Some(first) = unfit {
            let more = if unfit_count > 1 {
                format!(", and {} more", unfit_count - 1)
            } else {
                String::new()
            };
            self.note(Reason::SparkplugMetric, first + &more);
        }
        if is_strange {
            let why = "a message names metrics or templates that no birth declared";
            self.want_rebirth(Reason::SparkplugNotBorn, why, said.moment);
        }
    }

    fn take(
        &mut self,
        metric: &Metric<'_>,
        said: &Publication<'_, T>,
        message: &str,
        heard: &mut Said,
        room: &mut Room,
    ) -> Result<(), Trouble> {
        let whom = heard.whom.as_deref();
        let (name, kind, known) = match self.model.find(whom, metric) {
            Found::Known(name, definition) => (name, Some(definition.kind), Some(definition)),
            Found::Undeclared(name) => (name, None, None),
            Found::Unknown => return Err(Trouble::Strange),
        };
        let is_birth = heard.life.is_some();
        let unfit = |why| Trouble::Unfit(Arc::clone(&name), why);
        if !is_key(&name) {
            return Err(unfit(Unfit("a name has 1 to 255 characters")));
        }
        let sent = metric.datatype.map(|code| DataType::of(code).ok_or(Unfit(NO_TYPE)));
        let kind = sent.transpose().map_err(unfit)?.or(kind);
        let Some(kind) = kind else {
            return Err(if is_birth { unfit(Unfit(NO_TYPE)) } else { Trouble::Strange });
        };
        let at = metric.at.or(said.payload.at).unwrap_or(said.moment.now);
        // What was so in the past says nothing about attributes, which only have a present.
        if let Some(part) = metric.properties.filter(|_| !metric.is_historical) {
            self.take_properties(&name, part, said.moment.now, heard, room).map_err(unfit)?;
        }
        let is_strange = known.is_none() || self.is_unknown_template(metric);
        if !metric.is_null && !is_definition(metric) {
            let scene =
                Scene { templates: &self.model.templates, text_max: self.settings.text_max };
            let value = scene.value(kind, metric, room).map_err(unfit)?;
            if self.settings.is_attribute(&name) {
                if !metric.is_historical {
                    heard.shared.push(said.moment.now, &name, value);
                }
            } else if &*name == BD_SEQ {
                heard.telemetry.push(at, &format!("{message} {BD_SEQ}"), value);
            } else {
                heard.telemetry.push(at, &name, value);
            }
        }
        if is_strange { Err(Trouble::Strange) } else { Ok(()) }
    }

    /// Properties are kept as an attribute, when they have changed.
    fn take_properties(
        &mut self,
        name: &str,
        part: Part<'_>,
        now: Timestamp,
        heard: &mut Said,
        room: &mut Room,
    ) -> Result<(), Unfit> {
        room.begin();
        write_properties(part, room, 0)?;
        let mut hasher = DefaultHasher::new();
        room.text.hash(&mut hasher);
        let fingerprint = hasher.finish().max(1);
        let key = format!("{name} properties");
        let Some(subject) = self.model.subject_mut(heard.whom.as_deref()) else { return Ok(()) };
        let is_same = subject.metric(name).is_some_and(|it| it.properties == fingerprint);
        if !is_same && is_key(&key) && room.text != "{}" {
            subject.note_properties(name, fingerprint);
            heard.client.push(now, &key, ValueRef::Json(&room.text));
        }
        Ok(())
    }

    /// tck-id-payloads-template-instance-ref
    fn is_unknown_template(&self, metric: &Metric<'_>) -> bool {
        let Field::Template(part) = metric.field else { return false };
        let Ok(it) = TemplateHead::read(part) else { return false };
        let is_known = |name| self.model.templates.contains_key(name);
        !it.is_definition && it.reference.is_some_and(|name| !is_known(name))
    }
}

/// What became of one metric that is of no use.
enum Trouble {
    /// Its value cannot be kept.
    Unfit(Arc<str>, Unfit),
    /// No birth declared it.
    Strange,
}

fn is_definition(metric: &Metric<'_>) -> bool {
    let Field::Template(part) = metric.field else { return false };
    TemplateHead::read(part).is_ok_and(|it| it.is_definition)
}

const NO_TYPE: &str = "it has no type of the standard";
