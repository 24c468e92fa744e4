//! The death certificate: the will of an edge node, which says who it is (mqtt-device-api SP-001 to
//! SP-009). It is kept with the session and never published.

use thingport_model::reading::Readings;
use thingport_model::reason::Reason;
use thingport_model::time::Timestamp;
use thingport_model::value::ValueRef;

use super::datatype::DataType;
use super::payload::{Metric, Payload};
use super::topic::Place;
use super::value::{Scalar, scalar};
use crate::reject::{Reject, quoted};

/// The will of a CONNECT packet.
#[derive(Clone, Copy, Debug)]
pub struct Will<'a> {
    /// Where it would be published.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
    /// Its quality of service.
    pub qos: u8,
    /// Whether it would be retained.
    pub retain: bool,
}

/// Who an edge node is, and how its death will be known.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Group and edge node.
    pub place: Place,
    /// The number that the birth of this session has to repeat.
    pub bd_seq: u8,
    /// What is kept of it at once (SP-008).
    pub readings: Readings,
    /// What is not as it should be and does no harm.
    pub remark: Option<Reject>,
}

impl Certificate {
    /// Reads the will of a CONNECT packet that came `now`. Quality of service 0 is told of, or refused where
    /// `is_strict`: libraries in wide use send it so, and the will is never published.
    ///
    /// # Errors
    /// `SparkplugWill`: what is missing or wrong.
    pub fn read(will: Option<Will<'_>>, is_strict: bool, now: Timestamp) -> Result<Self, Reject> {
        let will = will.ok_or_else(|| wrong("there is none"))?;
        let place = Place::of_certificate(will.topic)
            .ok_or_else(|| wrong(format!("its topic is {}", quoted(will.topic))))?;
        // tck-id-message-flow-edge-node-birth-publish-will-message-qos
        if will.qos > 1 || (is_strict && will.qos == 0) {
            return Err(wrong(format!("its quality of service is {}", will.qos)));
        }
        // tck-id-message-flow-edge-node-birth-publish-will-message-will-retained
        if will.retain {
            return Err(wrong("it is to be retained"));
        }
        let payload =
            Payload::read(will.payload, METRICS_MAX).map_err(|reject| wrong(reject.detail))?;
        let found = payload.metrics().find(|metric| metric.name == Some(BD_SEQ));
        let metric = found.ok_or_else(|| wrong("its payload has no metric bdSeq"))?;
        let bd_seq = bd_seq(&metric).ok_or_else(|| wrong("bdSeq is no number from 0 to 255"))?;
        let mut readings = Readings::default();
        let at = metric.at.or(payload.at).unwrap_or(now);
        readings.push(at, "NDEATH bdSeq", ValueRef::Long(bd_seq.into()));
        let is_pure = payload.seq.is_none() && payload.metrics().nth(1).is_none();
        // tck-id-topics-ndeath-payload, tck-id-topics-ndeath-seq
        let remark = match (is_pure, will.qos) {
            (false, _) => Some("the will holds more than the metric bdSeq"),
            (true, 0) => Some("the quality of service of the will is 0, and ought to be 1"),
            (true, _) => None,
        };
        let remark = remark.map(|what| Reject::new(Reason::SparkplugRemark, what));
        Ok(Self { place, bd_seq, readings, remark })
    }
}

/// The number of births and deaths that a metric holds; it ought to be Int64, and whole types will do.
pub(crate) fn bd_seq(metric: &Metric<'_>) -> Option<u8> {
    let kind = metric.datatype.and_then(DataType::of).unwrap_or(DataType::Int64);
    match scalar(kind, metric.field) {
        Ok(Scalar::Long(it)) => u8::try_from(it).ok(),
        _ => None,
    }
}

#[cold]
fn wrong(what: impl Into<String>) -> Reject {
    Reject::new(Reason::SparkplugWill, what)
}

/// The metric that ties a death to a birth.
pub(crate) const BD_SEQ: &str = "bdSeq";
/// Metrics of a will that are looked at.
const METRICS_MAX: usize = 64;
