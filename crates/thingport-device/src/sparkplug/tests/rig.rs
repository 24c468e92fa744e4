//! A script of what an edge node says, and in words what became of it.
//!
//! One event per line: `NBIRTH seq=0 bdSeq:Int64=3 m#5:Int32=4`, `DDATA D seq=2 #5=6`, `+2000` to let time
//! pass, `END` for the end of the connection. A metric is `name#alias:Type=value@time`, each part optional,
//! with `h!` in front for a historical and `t!` for a transient one;
//! `_` in a name stands for a blank, no value for null. Time begins at 1000 and each event takes 1.

use core::fmt::Write as _;
use std::sync::Arc;

use prost::Message;
use thingport_model::reading::Readings;
use thingport_model::time::Timestamp;

use super::super::datatype::DataType;
use super::super::topic::Place;
use super::super::{Certificate, EdgeNode, Life, Moment, Settings, Step};
use crate::payload::write::write_value;

#[derive(Clone, PartialEq, Message)]
pub(super) struct PayloadOut {
    #[prost(uint64, optional, tag = "1")]
    pub(super) timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub(super) metrics: Vec<MetricOut>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) seq: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricOut {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub(super) is_historical: Option<bool>,
    #[prost(bool, optional, tag = "6")]
    pub(super) is_transient: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub(super) is_null: Option<bool>,
    #[prost(message, optional, tag = "8")]
    pub(super) metadata: Option<MetadataOut>,
    #[prost(message, optional, tag = "9")]
    pub(super) properties: Option<SetOut>,
    #[prost(uint32, optional, tag = "10")]
    pub(super) int: Option<u32>,
    #[prost(uint64, optional, tag = "11")]
    pub(super) long: Option<u64>,
    #[prost(float, optional, tag = "12")]
    pub(super) float: Option<f32>,
    #[prost(double, optional, tag = "13")]
    pub(super) double: Option<f64>,
    #[prost(bool, optional, tag = "14")]
    pub(super) boolean: Option<bool>,
    #[prost(string, optional, tag = "15")]
    pub(super) string: Option<String>,
    #[prost(bytes = "vec", optional, tag = "16")]
    pub(super) bytes: Option<Vec<u8>>,
    #[prost(message, optional, tag = "17")]
    pub(super) dataset: Option<DataSetOut>,
    #[prost(message, optional, tag = "18")]
    pub(super) template: Option<TemplateOut>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetadataOut {
    #[prost(string, optional, tag = "5")]
    pub(super) file_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DataSetOut {
    #[prost(uint64, optional, tag = "1")]
    pub(super) count: Option<u64>,
    #[prost(string, repeated, tag = "2")]
    pub(super) columns: Vec<String>,
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub(super) types: Vec<u32>,
    #[prost(message, repeated, tag = "4")]
    pub(super) rows: Vec<RowOut>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RowOut {
    #[prost(message, repeated, tag = "1")]
    pub(super) elements: Vec<ElementOut>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ElementOut {
    #[prost(uint32, optional, tag = "1")]
    pub(super) int: Option<u32>,
    #[prost(double, optional, tag = "4")]
    pub(super) double: Option<f64>,
    #[prost(string, optional, tag = "6")]
    pub(super) string: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TemplateOut {
    #[prost(string, optional, tag = "1")]
    pub(super) version: Option<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) metrics: Vec<MetricOut>,
    #[prost(message, repeated, tag = "3")]
    pub(super) parameters: Vec<ParameterOut>,
    #[prost(string, optional, tag = "4")]
    pub(super) reference: Option<String>,
    #[prost(bool, optional, tag = "5")]
    pub(super) is_definition: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParameterOut {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) kind: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    pub(super) int: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetOut {
    #[prost(string, repeated, tag = "1")]
    pub(super) keys: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) values: Vec<PropertyOut>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PropertyOut {
    #[prost(uint32, optional, tag = "1")]
    pub(super) kind: Option<u32>,
    #[prost(bool, optional, tag = "2")]
    pub(super) is_null: Option<bool>,
    #[prost(uint32, optional, tag = "3")]
    pub(super) int: Option<u32>,
    #[prost(string, optional, tag = "8")]
    pub(super) string: Option<String>,
    #[prost(message, optional, boxed, tag = "9")]
    pub(super) set: Option<Box<SetOut>>,
    #[prost(message, optional, tag = "10")]
    pub(super) sets: Option<SetsOut>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetsOut {
    #[prost(message, repeated, tag = "1")]
    pub(super) sets: Vec<SetOut>,
}

/// An edge node and its clock.
pub(super) struct Rig {
    pub(super) node: EdgeNode<u32>,
    pub(super) now: i64,
    tag: u32,
    told: String,
}

impl Rig {
    /// Edge node E of group G, with bdSeq 3.
    pub(super) fn new(settings: Settings) -> Self {
        let certificate = Certificate {
            place: Place { group: "G".into(), node: "E".into() },
            bd_seq: 3,
            readings: Readings::default(),
            remark: None,
        };
        let node = EdgeNode::open(&certificate, Arc::new(settings), Timestamp(1000));
        Self { node, now: 1000, tag: 0, told: String::new() }
    }

    /// Runs a script; the answer has one line per step.
    pub(super) fn run(&mut self, script: &str) -> String {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.event(line);
        }
        core::mem::take(&mut self.told)
    }

    /// Publishes a payload.
    pub(super) fn publish(&mut self, topic: &str, payload: &[u8]) -> String {
        self.tag += 1;
        self.node.handle_publish(topic, payload, self.moment(), self.tag);
        self.drain();
        core::mem::take(&mut self.told)
    }

    fn event(&mut self, line: &str) {
        self.now += 1;
        let mut words = line.split(' ');
        let first = words.next().unwrap();
        if first == "END" {
            self.node.handle_end(self.moment());
        } else if let Some(ms) = first.strip_prefix('+') {
            let until = self.now + ms.parse::<i64>().unwrap();
            while let Some(at) = self.node.poll_timeout().filter(|at| at.cast_signed() <= until) {
                self.now = self.now.max(at.cast_signed());
                self.node.handle_timeout(self.moment());
                self.drain();
                assert_ne!(self.node.poll_timeout(), Some(at), "a deadline passes once");
            }
            self.now = until;
        } else {
            self.tag += 1;
            let (topic, payload) = self.publication(first, words);
            self.node.handle_publish(&topic, &payload, self.moment(), self.tag);
        }
        self.drain();
    }

    fn publication<'w>(
        &self,
        kind: &str,
        words: impl Iterator<Item = &'w str>,
    ) -> (String, Vec<u8>) {
        let mut words = words.peekable();
        let mut topic = format!("spBv1.0/G/{kind}/E");
        if kind.starts_with('D') {
            topic = format!("{topic}/{}", words.next().unwrap());
        }
        let mut out =
            PayloadOut { timestamp: Some(self.now.cast_unsigned()), ..PayloadOut::default() };
        for word in words {
            match word.split_once('=') {
                Some(("seq", seq)) => out.seq = Some(seq.parse().unwrap()),
                Some(("at", at)) => out.timestamp = at.parse().ok(),
                _ => out.metrics.push(metric(word)),
            }
        }
        (topic, out.encode_to_vec())
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { now: Timestamp(self.now), now_ms: self.now.cast_unsigned() }
    }

    fn drain(&mut self) {
        while let Some(step) = self.node.poll_step() {
            if !self.told.is_empty() {
                self.told.push('\n');
            }
            self.told.push_str(&words(&step));
        }
    }
}

/// A metric as the script has it.
pub(super) fn metric(word: &str) -> MetricOut {
    let (flag, word) = word.split_once('!').unwrap_or(("", word));
    let (word, at) =
        word.rsplit_once('@').map_or((word, None), |(word, at)| (word, at.parse().ok()));
    let (head, value) = word.split_once('=').map_or((word, None), |(head, it)| (head, Some(it)));
    let (head, kind) = head.split_once(':').map_or((head, None), |(head, it)| (head, Some(it)));
    let (name, alias) =
        head.split_once('#').map_or((head, None), |(name, alias)| (name, alias.parse().ok()));
    let is_kind = |it: &&DataType| kind == Some(it.name());
    let kind = DataType::ALL.iter().find(is_kind).copied();
    let mut out = MetricOut {
        name: (!name.is_empty()).then(|| name.replace('_', " ")),
        alias,
        timestamp: at,
        datatype: kind.map(|it| it as u32),
        is_historical: (flag == "h").then_some(true),
        is_transient: (flag == "t").then_some(true),
        is_null: value.is_none().then_some(true),
        ..MetricOut::default()
    };
    if let Some(value) = value {
        put(&mut out, kind, value);
    }
    out
}

fn put(out: &mut MetricOut, kind: Option<DataType>, value: &str) {
    use DataType as K;
    match kind {
        Some(K::Boolean) => out.boolean = Some(value == "true"),
        Some(K::Int64 | K::UInt64 | K::DateTime) => out.long = Some(value.parse().unwrap()),
        Some(K::Float) => out.float = Some(value.parse().unwrap()),
        Some(K::Double) => out.double = Some(value.parse().unwrap()),
        Some(K::String | K::Text | K::UUID) => out.string = Some(value.to_owned()),
        _ if value.contains('.') => out.double = Some(value.parse().unwrap()),
        _ => match value.parse() {
            Ok(number) => out.int = Some(number),
            Err(_) => out.string = Some(value.to_owned()),
        },
    }
}

/// A step in words.
pub(super) fn words(step: &Step<u32>) -> String {
    match step {
        Step::Said(said) => {
            let whom = said.whom.as_deref().unwrap_or("node");
            let life = match said.life {
                Some(Life::Born) => " born",
                Some(Life::Dead) => " dead",
                None => "",
            };
            let mut out = format!("{whom}{life}");
            let scopes =
                [("", &said.telemetry), ("shared ", &said.shared), ("client ", &said.client)];
            for (scope, readings) in scopes {
                for reading in readings.iter() {
                    let _ = write!(out, " {scope}{}@{}=", reading.key, reading.at.ms());
                    write_value(&mut out, reading.value);
                }
            }
            out
        }
        Step::Done(tag) => format!("done {tag}"),
        Step::Refused(tag, reject) => format!("refused {tag} {}", reject.reason.id()),
        Step::Declined(tag, reject) => format!("declined {tag} {}", reject.reason.id()),
        Step::Noted(reject) => format!("noted {}", reject.reason.id()),
        Step::Send(command) => {
            let payload = PayloadOut::decode(&*command.payload).unwrap();
            format!("send {} {}", command.topic, shown(&payload))
        }
    }
}

/// What a command says: never a number of its own.
pub(super) fn shown(payload: &PayloadOut) -> String {
    assert_eq!(payload.seq, None, "tck-id-payloads-ncmd-seq, tck-id-payloads-dcmd-seq");
    // tck-id-topics-ncmd-timestamp, tck-id-topics-dcmd-timestamp
    let is_timed = payload.timestamp.is_some();
    assert!(is_timed, "tck-id-payloads-ncmd-timestamp, tck-id-payloads-dcmd-timestamp");
    let mut out = String::new();
    for it in &payload.metrics {
        let alias = it.alias.map(|alias| format!("#{alias}")).unwrap_or_default();
        let kind = it.datatype.and_then(DataType::of).map_or("?", DataType::name);
        let _ = write!(out, "{}{alias}:{kind}=", it.name.as_deref().unwrap_or_default());
        let fields = [
            it.int.map(|it| format!("int {it}")),
            it.long.map(|it| format!("long {it}")),
            it.float.map(|it| format!("float {it}")),
            it.double.map(|it| format!("double {it}")),
            it.boolean.map(|it| format!("boolean {it}")),
            it.string.as_ref().map(|it| format!("string {it}")),
            it.bytes.as_ref().map(|it| format!("bytes {it:?}")),
        ];
        out.push_str(&fields.into_iter().flatten().collect::<Vec<_>>().join("+"));
    }
    out
}
