//! The payload on the wire: `org.eclipse.tahu.protobuf.Payload`, read without copying or building a
//! tree. Whoever reads one has checked its bounds.

use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;

use crate::payload::protobuf::wire::{Part, Wire, WireType};
use crate::reject::Reject;

/// A payload whose metrics are known to be readable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) at: Option<Timestamp>,
    pub(crate) seq: Option<u64>,
    part: Part<'a>,
}

/// One metric, as it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Metric<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) alias: Option<u64>,
    pub(crate) at: Option<Timestamp>,
    /// A number that need not be that of a type; 0 counts as absent.
    pub(crate) datatype: Option<u32>,
    /// A value of the past that comes late.
    pub(crate) is_historical: bool,
    pub(crate) is_null: bool,
    pub(crate) field: Field<'a>,
    pub(crate) properties: Option<Part<'a>>,
    pub(crate) file_name: Option<&'a str>,
}

/// The field a value was sent in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Field<'a> {
    #[default]
    None,
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    String(Part<'a>),
    Bytes(&'a [u8]),
    DataSet(Part<'a>),
    Template(Part<'a>),
    Extension,
}

/// The fields of a message, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    wire: Wire<'a>,
    part: Part<'a>,
}

impl<'a> Payload<'a> {
    /// Reads a payload of at most `metrics_max` metrics.
    ///
    /// # Errors
    /// `SparkplugPayload` when it is none, `SparkplugTooManyMetrics`.
    pub(crate) fn read(bytes: &'a [u8], metrics_max: usize) -> Result<Self, Reject> {
        let part = Part::of(bytes);
        let mut it = Self { at: None, seq: None, part };
        let mut metrics = 0;
        let mut fields = Fields::of(part);
        while let Some((tag, bits, sub)) = fields.next().map_err(unreadable)? {
            match tag {
                AT => it.at = time(bits),
                SEQ => it.seq = Some(bits),
                METRICS => {
                    metrics += 1;
                    if metrics > metrics_max {
                        let what = format!("more than {metrics_max} in one payload");
                        return Err(Reject::new(Reason::SparkplugTooManyMetrics, what));
                    }
                    Metric::read(sub).map_err(unreadable)?;
                }
                UUID if sub.bytes() == COMPRESSED => {
                    let what = "compressed payloads are not understood; send them as they are";
                    return Err(Reject::new(Reason::SparkplugPayload, what));
                }
                _ => {}
            }
        }
        Ok(it)
    }

    /// All of it.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.part.bytes()
    }

    /// Its metrics in order.
    pub(crate) fn metrics(self) -> impl Iterator<Item = Metric<'a>> {
        let mut fields = Fields::of(self.part);
        core::iter::from_fn(move || {
            // What was read once can be read again.
            while let Ok(Some((tag, _, sub))) = fields.next() {
                if tag == METRICS {
                    return Metric::read(sub).ok();
                }
            }
            None
        })
    }
}

impl<'a> Metric<'a> {
    /// Reads a metric; of a field that is there several times the last counts.
    pub(crate) fn read(part: Part<'a>) -> Result<Self, Reject> {
        let mut it = Self::default();
        let mut fields = Fields::of(part);
        while let Some((tag, bits, sub)) = fields.next()? {
            match tag {
                NAME => it.name = Some(sub.text()?),
                ALIAS => it.alias = Some(bits),
                METRIC_AT => it.at = time(bits),
                DATATYPE => {
                    let code = u32::try_from(bits).unwrap_or(u32::MAX);
                    it.datatype = Some(code).filter(|code| *code > 0);
                }
                IS_HISTORICAL => it.is_historical = bits != 0,
                IS_NULL => it.is_null = bits != 0,
                METADATA => it.file_name = file_name(sub)?,
                PROPERTIES => it.properties = Some(sub),
                BYTES => it.field = Field::Bytes(sub.bytes()),
                DATASET => it.field = Field::DataSet(sub),
                TEMPLATE => it.field = Field::Template(sub),
                EXTENSION => it.field = Field::Extension,
                tag => it.field = Field::of(tag, bits, sub, FIRST_FIELD).unwrap_or(it.field),
            }
        }
        Ok(it)
    }
}

impl<'a> Field<'a> {
    /// The field of a value, where the six simple ones are numbered from `first`.
    pub(crate) fn of(tag: u32, bits: u64, sub: Part<'a>, first: u32) -> Option<Self> {
        if tag == WireType::Bytes.tag(first + 5) {
            return Some(Self::String(sub));
        }
        // Senders extend the sign of what they write into 32 bits.
        #[allow(clippy::cast_possible_truncation)]
        let low = bits as u32;
        let kinds = [
            (WireType::Varint, Self::Int(low)),
            (WireType::Varint, Self::Long(bits)),
            (WireType::Fixed32, Self::Float(f32::from_bits(low))),
            (WireType::Fixed64, Self::Double(f64::from_bits(bits))),
            (WireType::Varint, Self::Boolean(bits != 0)),
        ];
        let mut numbered = kinds.into_iter().zip(first..);
        numbered.find(|((kind, _), number)| kind.tag(*number) == tag).map(|((_, it), _)| it)
    }
}

impl<'a> Fields<'a> {
    /// The fields of a message.
    pub(crate) fn of(part: Part<'a>) -> Self {
        Self { wire: Wire::new(part), part }
    }

    /// Tag of the next field, its number, and the part that it is; each is empty where it is the other.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, u64, Part<'a>)>, Reject> {
        let Some(tag) = self.wire.tag()? else { return Ok(None) };
        let raw = self.wire.value(tag)?;
        Ok(Some((tag, raw.bits(), self.part.sub(raw))))
    }
}

fn file_name(part: Part<'_>) -> Result<Option<&str>, Reject> {
    let mut found = None;
    let mut fields = Fields::of(part);
    while let Some((tag, _, sub)) = fields.next()? {
        if tag == FILE_NAME {
            found = Some(sub.text()?);
        }
    }
    Ok(found)
}

/// A time; none for 0 and what is out of range, as if it had not been sent.
fn time(ms: u64) -> Option<Timestamp> {
    i64::try_from(ms).ok().filter(|ms| (1..=TIME_MAX).contains(ms)).map(Timestamp)
}

fn unreadable(reject: Reject) -> Reject {
    match reject.reason {
        Reason::PayloadNotProtobuf => Reject { reason: Reason::SparkplugPayload, ..reject },
        _ => reject,
    }
}

const AT: u32 = WireType::Varint.tag(1);
const METRICS: u32 = WireType::Bytes.tag(2);
const SEQ: u32 = WireType::Varint.tag(3);
const UUID: u32 = WireType::Bytes.tag(4);

const NAME: u32 = WireType::Bytes.tag(1);
const ALIAS: u32 = WireType::Varint.tag(2);
const METRIC_AT: u32 = WireType::Varint.tag(3);
const DATATYPE: u32 = WireType::Varint.tag(4);
const IS_HISTORICAL: u32 = WireType::Varint.tag(5);
const IS_NULL: u32 = WireType::Varint.tag(7);
const METADATA: u32 = WireType::Bytes.tag(8);
const PROPERTIES: u32 = WireType::Bytes.tag(9);
const FIRST_FIELD: u32 = 10;
const BYTES: u32 = WireType::Bytes.tag(16);
const DATASET: u32 = WireType::Bytes.tag(17);
const TEMPLATE: u32 = WireType::Bytes.tag(18);
const EXTENSION: u32 = WireType::Bytes.tag(19);
const FILE_NAME: u32 = WireType::Bytes.tag(5);

/// What payloads say of themselves that Tahu's libraries have compressed.
const COMPRESSED: &[u8] = b"SPBV1.0_COMPRESSED";
/// 9999-12-31, the end of what JSON clients can show.
const TIME_MAX: i64 = 253_402_300_799_999;
