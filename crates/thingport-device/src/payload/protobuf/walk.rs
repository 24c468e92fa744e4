//! From Protobuf bytes to readings, along the tables of a schema.
//!
//! The result is what ThingsBoard gets by turning the message into JSON and reading that (5.2), without
//! the JSON: only what is not a scalar becomes text. Nothing is allocated once buffers have grown.

use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::json::{Pen, Scalar, is_present, join, key_text, not_finite, raw_of, room, scalar};
use super::scan::{Frame, Frames, Slot, straight};
use super::schema::Schema;
use super::table::{Field, Kind, Label, Message, ROOT, Shape};
use super::wire::{Part, Raw};
use crate::payload::sink::{Plain, Sink};
use crate::payload::{Typing, json, number};
use crate::reject::{Reject, quoted};

/// Walks messages. Owned by one thread and used for one payload after the other; what it keeps in
/// between is memory, a small multiple of the largest payload so far.
#[derive(Debug, Default)]
pub struct Walk {
    frames: Frames,
    text: String,
    plain: Plain,
    /// Reads values that have a JSON form of their own.
    json: json::Decoder,
}

impl Walk {
    /// Fills `out` with the readings of a telemetry message. A root with members `ts` and `values`
    /// is timestamped when both are there (PB-014, PB-015); everything else is stamped `now`.
    ///
    /// # Errors
    /// The first thing wrong with the message; `out` is empty then.
    pub fn telemetry(
        &mut self,
        schema: &Schema,
        payload: &[u8],
        now: Timestamp,
        typing: &Typing,
        out: &mut Readings,
    ) -> Result<(), Reject> {
        self.decode(schema, payload, now, typing, out, true)
    }

    /// Fills `out` with the attributes of a message, all of them stamped `now` (PB-017, JS-053).
    ///
    /// # Errors
    /// The first thing wrong with the message; `out` is empty then.
    pub fn attributes(
        &mut self,
        schema: &Schema,
        payload: &[u8],
        now: Timestamp,
        typing: &Typing,
        out: &mut Readings,
    ) -> Result<(), Reject> {
        self.decode(schema, payload, now, typing, out, false)
    }

    /// A whole message as JSON text (PB-023).
    ///
    /// # Errors
    /// The first thing wrong with the message.
    pub fn text(&mut self, schema: &Schema, payload: &[u8]) -> Result<&str, Reject> {
        self.begin(payload);
        let Self { frames, text, .. } = self;
        let mut pen = Pen { table: schema.table(), frames, text, room: room(payload.len()) };
        pen.message(ROOT, Part::of(payload))?;
        Ok(&self.text)
    }

    fn begin(&mut self, payload: &[u8]) {
        self.frames.begin(payload.len());
        self.plain.begin();
        self.text.clear();
        self.text.shrink_to(KEPT_MAX);
    }

    fn decode(
        &mut self,
        schema: &Schema,
        payload: &[u8],
        now: Timestamp,
        typing: &Typing,
        out: &mut Readings,
        is_telemetry: bool,
    ) -> Result<(), Reject> {
        out.clear();
        self.begin(payload);
        let Self { frames, text, plain, json } = self;
        let table = schema.table();
        let mut record = Record {
            pen: Pen { table, frames, text, room: room(payload.len()) },
            sink: Sink { at: now, typing, plain, out },
            json,
        };
        let (root, part) = (table.message(ROOT), Part::of(payload));
        let timestamped = schema.timestamped().filter(|_| is_telemetry);
        if timestamped.is_none() && record.single(root, part).is_some() {
            return Ok(());
        }
        record.begin_again(payload);
        let decoded = record.root(root, timestamped, part);
        decoded.inspect_err(|_| out.clear())
    }
}

/// One message that becomes readings.
struct Record<'r> {
    pen: Pen<'r>,
    sink: Sink<'r>,
    json: &'r mut json::Decoder,
}

impl Record<'_> {
    /// The readings of a message of single fields that can be read straight through, which most are.
    fn single(&mut self, root: &Message, part: Part<'_>) -> Option<()> {
        if root.shape == Shape::Any {
            return None;
        }
        self.pen.frames.enter(root, part).ok()?;
        straight(root, part, |field, raw| {
            let read = if field.is_chained() {
                self.composed(&field.name, field, Slot::One(raw), part)
            } else {
                self.scalar(&field.name, field.kind, raw, part)
            };
            read.ok()
        })
    }

    /// Undoes what reading straight through did.
    fn begin_again(&mut self, payload: &[u8]) {
        self.sink.out.clear();
        self.sink.plain.begin();
        self.pen.frames.begin(payload.len());
        self.pen.text.clear();
    }

    fn root(
        &mut self,
        root: &Message,
        timestamped: Option<(usize, usize)>,
        part: Part<'_>,
    ) -> Result<(), Reject> {
        let frame = self.pen.frames.open(root, part)?;
        if let Some((ts, values)) = timestamped
            && let (Some(ts_field), Some(values_field)) =
                (root.fields.get(ts), root.fields.get(values))
        {
            let frames = &self.pen.frames;
            let (ts, values) = (frames.slot(frame, ts), frames.slot(frame, values));
            if is_present(ts_field, ts)? && is_present(values_field, values)? {
                self.check_others(root, frame, part)?;
                self.sink.at = self.timestamp(ts_field, ts, part)?;
                return self.values(values_field, values, part);
            }
        }
        self.fields(root, frame, part)
    }

    /// The readings of a message whose frame is open.
    fn fields(&mut self, message: &Message, frame: Frame, part: Part<'_>) -> Result<(), Reject> {
        for (at, field) in message.fields.iter().enumerate() {
            let slot = self.pen.frames.slot(frame, at);
            if is_present(field, slot)? {
                self.field(&field.name, field, slot, part)?;
            }
        }
        self.pen.frames.close(frame);
        Ok(())
    }

    #[inline]
    fn field(
        &mut self,
        key: &str,
        field: &Field,
        slot: Slot,
        part: Part<'_>,
    ) -> Result<(), Reject> {
        if field.is_chained() {
            return self.composed(key, field, slot, part);
        }
        self.scalar(key, field.kind, raw_of(slot), part)
    }

    #[inline]
    fn scalar(&mut self, key: &str, kind: Kind, raw: Raw, part: Part<'_>) -> Result<(), Reject> {
        // The most frequent kinds without a detour.
        match kind {
            Kind::Double if f64::from_bits(raw.bits()).is_finite() => {
                self.sink.double(key, f64::from_bits(raw.bits()))
            }
            Kind::Int32 => {
                #[allow(clippy::cast_possible_truncation)]
                let value = i64::from(raw.bits() as i32);
                self.sink.put(key, ValueRef::Long(value))
            }
            Kind::Bool => self.sink.put(key, ValueRef::Bool(raw.bits() != 0)),
            Kind::String => self.sink.text(key, part.sub(raw).text()?),
            kind => {
                let value = scalar(self.pen.table, kind, raw, part)?;
                self.put(key, value)
            }
        }
    }

    /// Adds a scalar as its JSON form would be added.
    fn put(&mut self, key: &str, value: Scalar<'_>) -> Result<(), Reject> {
        let Self { sink, pen, .. } = self;
        match value {
            Scalar::Bool(it) => sink.put(key, ValueRef::Bool(it)),
            Scalar::Long(it) => sink.put(key, ValueRef::Long(it)),
            Scalar::Int64(it) if sink.typing.type_cast => sink.put(key, ValueRef::Long(it)),
            Scalar::Uint64(it) if sink.typing.type_cast && it <= LONG_MAX => {
                sink.put(key, ValueRef::Long(it.cast_signed()))
            }
            // As the texts they are in JSON, which are cast no more.
            Scalar::Int64(it) => sink.put(key, ValueRef::String(&it.to_string())),
            Scalar::Uint64(it) => sink.put(key, ValueRef::String(&it.to_string())),
            Scalar::Double(it) if it.is_finite() => sink.double(key, it),
            Scalar::Double(it) => sink.put(key, ValueRef::String(not_finite(it))),
            Scalar::String(it) => sink.text(key, it),
            Scalar::Bytes(it) => {
                pen.text.clear();
                super::json::write_base64(pen.text, it);
                sink.text(key, pen.text)
            }
        }
    }

    /// Adds an object or a list as its text.
    fn composed(
        &mut self,
        key: &str,
        field: &Field,
        slot: Slot,
        part: Part<'_>,
    ) -> Result<(), Reject> {
        self.pen.text.clear();
        self.pen.field(field, slot, part)?;
        let Self { pen, sink, json } = self;
        // Types with a form of their own may be anything in JSON.
        if pen.text.starts_with(['{', '[']) {
            return sink.put(key, ValueRef::Json(pen.text));
        }
        json.put_value(pen.text, key, sink)
    }

    /// The members of `values`, which must be an object (JS-023).
    fn values(&mut self, field: &Field, slot: Slot, part: Part<'_>) -> Result<(), Reject> {
        match (field.label, field.kind) {
            (Label::Map, Kind::Message(at)) => self.entries(at, slot, part),
            (Label::Optional | Label::Required, Kind::Message(at)) => {
                let joined = join(self.pen.frames, slot, part);
                let part = joined.as_deref().map_or_else(|| part.sub(raw_of(slot)), Part::of);
                let table = self.pen.table;
                let message = table.message(at);
                if message.well_known.is_some() {
                    return Err(no_object());
                }
                let frame = self.pen.frames.open(message, part)?;
                self.fields(message, frame, part)
            }
            _ => Err(no_object()),
        }
    }

    /// Each entry of a map is a reading.
    fn entries(&mut self, at: usize, slot: Slot, part: Part<'_>) -> Result<(), Reject> {
        let table = self.pen.table;
        let message = table.message(at);
        let [key, value] = message.fields.as_slice() else { return Err(no_object()) };
        let mut chain = slot;
        while let Some((raw, rest)) = self.pen.frames.next(chain) {
            chain = rest;
            let part = part.sub(raw);
            let frame = self.pen.frames.open(message, part)?;
            let frames = &self.pen.frames;
            let (key_slot, value_slot) = (frames.slot(frame, 0), frames.slot(frame, 1));
            let mut plain = String::new();
            let name = key_text(scalar(table, key.kind, raw_of(key_slot), part)?, &mut plain);
            self.field(name, value, value_slot, part)?;
            self.pen.frames.close(frame);
        }
        Ok(())
    }

    /// What stands beside `ts` and `values` does not count (JS-017), but it must be readable.
    fn check_others(&mut self, root: &Message, frame: Frame, part: Part<'_>) -> Result<(), Reject> {
        if root.fields.len() == 2 {
            return Ok(());
        }
        for (at, field) in root.fields.iter().enumerate() {
            let slot = self.pen.frames.slot(frame, at);
            if is_present(field, slot)? {
                self.pen.text.clear();
                self.pen.field(field, slot, part)?;
            }
        }
        Ok(())
    }

    /// The time for which `ts` stands (device API 4.3).
    fn timestamp(
        &mut self,
        field: &Field,
        slot: Slot,
        part: Part<'_>,
    ) -> Result<Timestamp, Reject> {
        if !field.is_chained()
            && let Scalar::Int64(ms) | Scalar::Long(ms) =
                scalar(self.pen.table, field.kind, raw_of(slot), part)?
        {
            return Ok(Timestamp(ms));
        }
        self.pen.text.clear();
        self.pen.field(field, slot, part)?;
        let text = self.pen.text.trim_matches(['"', '[', ']']);
        let ms = number::whole_part(text);
        ms.map(Timestamp).ok_or_else(|| Reject::new(Reason::PayloadTimestamp, quoted(text)))
    }
}

fn no_object() -> Reject {
    Reject::new(Reason::PayloadShape, "values is not an object")
}

const LONG_MAX: u64 = i64::MAX as u64;
/// Most bytes of text that are kept from one payload to the next.
const KEPT_MAX: usize = 64 * 1024;
