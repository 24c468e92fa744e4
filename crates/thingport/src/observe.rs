//! What we say about our own work: log lines, health, metrics.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use thingport_core::forwarding::TargetState;
use thingport_core::node::Node;
use thingport_model::port::ledger::{LedgerState, LedgerStats};
use thingport_model::reason::Reason;
use thingport_transport::drain::Drain;
use thingport_x509::certificate::Certificate;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};
use crate::tls::Tls;

/// Sends log lines to standard error, in the form asked for.
pub(crate) fn start_log(level: LogLevel, format: LogFormat) {
    let filter = EnvFilter::new(format!("warn,thingport={0}", level.name()))
        .add_directive_for_house(level.name());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process keeps the first log; only tests do that.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

trait House: Sized {
    fn add_directive_for_house(self, level: &str) -> Self;
}

impl House for EnvFilter {
    fn add_directive_for_house(self, level: &str) -> Self {
        ROOMS.iter().fold(self, |filter, room| match format!("{room}={level}").parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        })
    }
}

/// Health and metrics, served beside the people's API.
pub(crate) fn routes(node: Arc<Node>, drain: Arc<Drain>, tls: Option<Arc<Tls>>) -> Router {
    let watched = Watched { node, drain, tls };
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/actuator/health", get(ready))
        .route("/actuator/health/liveness", get(live))
        .route("/actuator/health/readiness", get(ready))
        .route("/actuator/info", get(info))
        .route("/metrics", get(metrics))
        .route("/actuator/prometheus", get(metrics))
        .with_state(watched)
}

#[derive(Clone)]
struct Watched {
    node: Arc<Node>,
    drain: Arc<Drain>,
    tls: Option<Arc<Tls>>,
}

async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "UP"}))
}

async fn info() -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "build": {"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}
    }))
}

/// Ready: what devices send can be kept. Reads stay up when it is not.
async fn ready(State(watched): State<Watched>) -> Response {
    match watched.trouble() {
        None => Json(serde_json::json!({"status": "UP"})).into_response(),
        Some(reason) => {
            let body = serde_json::json!({
                "status": "DOWN",
                "reason": reason.id(),
                "sentence": reason.sentence(),
                "remedy": reason.remedy(),
            });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

impl Watched {
    fn trouble(&self) -> Option<Reason> {
        if self.drain.has_begun() {
            return Some(Reason::ServerShuttingDown);
        }
        match self.node.ledger.state() {
            LedgerState::Healthy => None,
            LedgerState::Full => Some(Reason::StorageFull),
            LedgerState::Failed => Some(Reason::StorageFailed),
        }
    }
}

async fn metrics(State(watched): State<Watched>) -> Response {
    let mut registry = Registry::with_prefix("thingport");
    registry.register_collector(Box::new(Page(watched.node, watched.tls)));
    let mut text = String::new();
    if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, form)], text).into_response()
}

/// Everything that is counted, as one collector.
struct Page(Arc<Node>, Option<Arc<Tls>>);

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet(encoder);
        self.connections(&mut sheet)?;
        self.messages(&mut sheet)?;
        self.people(&mut sheet)?;
        self.reasons(&mut sheet)?;
        if let Some(tls) = &self.1 {
            certificates(&mut sheet, tls)?;
        }
        storage(&mut sheet, self.0.ledger.state(), &self.0.ledger.stats())?;
        sheet.gauge("resident_memory_bytes", "Resident memory of this process.", resident_bytes())
    }
}

impl Page {
    fn connections(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let it = &self.0.metrics;
        sheet.gauge("mqtt_connections", "Open MQTT connections.", it.connections.value())?;
        sheet.gauge("mqtt_sessions", "Open MQTT connections logged in.", it.sessions.value())?;
        let waiting = it.provisioning_sessions.value();
        let help = "Devices that speak through the connection of a gateway or an edge node.";
        sheet.gauge("children", help, it.children.value())?;
        let help = "Open MQTT connections that wait to be provisioned.";
        sheet.gauge("mqtt_provisioning_sessions", help, waiting)?;
        let help = "Devices provisioned on request.";
        sheet.counter("devices_provisioned", help, it.provisioned.value())?;
        let active = it.devices_active.value();
        let help = "Devices that said something within their inactivity timeout.";
        sheet.gauge("devices_active", help, active)?;
        let accepted = it.connections_accepted.value();
        sheet.counter("mqtt_connections_accepted", "MQTT connections accepted.", accepted)?;
        let underway = it.tls_handshakes.value();
        sheet.gauge("mqtt_tls_handshakes_open", "TLS handshakes under way.", underway)?;
        let resumed = it.tls_resumed.value();
        let full = it.tls_accepted.value().saturating_sub(resumed);
        let kinds = [("full", full), ("resumed", resumed)];
        sheet.counters("mqtt_tls_handshakes", "TLS handshakes completed.", "kind", kinds)?;
        let name = "mqtt_logins";
        let help = "CONNECT packets answered.";
        let results =
            [("accepted", it.logins_accepted.value()), ("refused", it.logins_refused.value())];
        sheet.counters(name, help, "result", results)
    }

    fn messages(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let it = &self.0.metrics;
        let kinds = [
            ("telemetry", it.telemetry_messages.value()),
            ("attributes", it.attribute_messages.value()),
            ("questions", it.questions.value()),
        ];
        sheet.counters("messages", "Messages of devices accepted.", "kind", kinds)?;
        let rejected = it.messages_rejected.value();
        sheet.counter("messages_rejected", "Messages of devices rejected.", rejected)?;
        sheet.counter("points", "Readings and attributes accepted.", it.points.value())?;
        let acknowledged = it.acknowledged.value();
        sheet.counter("acknowledged", "Messages acknowledged after their commit.", acknowledged)?;
        let sent = it.downlinks.value();
        sheet.counter("downlinks", "Messages sent to devices.", sent)?;
        let delivered = it.downlinks_delivered.value();
        sheet.counter("downlinks_delivered", "Messages that devices acknowledged.", delivered)?;
        let kept = it.kept_sessions.value();
        sheet.gauge("kept_sessions", "Sessions kept over connections.", kept)?;
        let resumed = it.sessions_resumed.value();
        sheet.counter("sessions_resumed", "Sessions taken up on another connection.", resumed)?;
        let pending = it.calls_pending.value();
        sheet.gauge("calls_pending", "Calls to devices that have not ended.", pending)?;
        let calls = it.calls().map(|(ending, n)| (ending.id(), n));
        sheet.counters("calls", "Calls to devices that ended.", "ending", calls)?;
        let bytes = [("in", it.bytes_in.value()), ("out", it.bytes_out.value())];
        sheet.counters("mqtt_bytes", "Bytes of MQTT connections.", "direction", bytes)
    }

    fn people(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let it = &self.0.metrics;
        let requests = it.webhook_requests.value();
        sheet.counter("webhook_requests", "Requests to receivers outside.", requests)?;
        let failures = it.webhook_failures.value();
        sheet.counter("webhook_failures", "Those among them that failed.", failures)?;
        sheet.gauge("watches", "Live watches of people.", it.watches.value())?;
        sheet.gauge("traces", "Devices that are traced.", it.traces.value())?;
        sheet.gauge("websockets", "WebSocket sessions of people.", it.websockets.value())?;
        let answers = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let answers = answers.into_iter().zip(it.rest_answers.iter().map(|n| n.value()));
        sheet.counters("rest_answers", "REST requests answered.", "status", answers)
    }

    fn reasons(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        forwarding(sheet, &self.0)?;
        let it = &self.0.metrics;
        let reasons = it.reasons().map(|(reason, n)| (reason.id(), n));
        sheet.counters("incidents", "Refusals, rejections and disconnects.", "reason", reasons)?;
        let files = self.0.packages.bites();
        let files = [("packages_open_max", files.open), ("package_jobs_waiting_max", files.jobs)];
        let bounds = it.bounds().map(|(bound, n)| (bound.id(), n)).chain(files);
        sheet.counters("bound_hits", "How often each bound bit.", "bound", bounds)
    }
}

fn certificates(sheet: &mut Sheet<'_>, tls: &Tls) -> fmt::Result {
    let standing = tls.standing();
    let expiry = |which, certificate: &Certificate| {
        (which, u64::try_from(certificate.facts().not_after_ms / 1000).unwrap_or(0))
    };
    let ca = standing.ca.as_ref().map(|ca| expiry("ca", ca));
    let rows = std::iter::once(expiry("server", &standing.server)).chain(ca);
    let help = "When a certificate of this server expires, seconds since 1970.";
    sheet.gauges("certificate_expiry_seconds", help, "certificate", rows)?;
    let (taken_up, refused, is_stale) = tls.reloads();
    let results = [("taken_up", taken_up), ("refused", refused)];
    let help = "Times the server certificate was read again.";
    sheet.counters("certificate_reloads", help, "result", results)?;
    let help = "1 while the certificate in the files cannot be used and a former one is served.";
    sheet.gauge("certificate_stale", help, u64::from(is_stale))
}

/// How far targets are; nothing without any.
fn forwarding(sheet: &mut Sheet<'_>, node: &Node) -> fmt::Result {
    let states = node.forwarding.states();
    if states.is_empty() {
        return Ok(());
    }
    let now = node.clock.now().ms();
    let age_s = |it: &TargetState| {
        let ms = it.lag.since.map_or(0, |since| now.saturating_sub(since.ms()));
        u64::try_from(ms / 1000).unwrap_or(0)
    };
    sheet.targets("forward_lag_commits", "Commits not passed.", &states, true, |it| {
        it.lag.commits
    })?;
    sheet.targets("forward_lag_bytes", "Bytes of log not passed.", &states, true, |it| {
        it.lag.bytes
    })?;
    sheet.targets("forward_lag_seconds", "Age of the oldest of them.", &states, true, age_s)?;
    sheet.targets("forward_delivered", "Messages taken.", &states, false, |it| it.delivered)?;
    sheet.targets("forward_failures", "Tries that failed.", &states, false, |it| it.failures)?;
    sheet.targets("forward_set_aside", "Messages refused for good.", &states, false, |it| {
        it.set_aside
    })?;
    sheet.targets("forward_orphaned", "Messages of deleted devices.", &states, false, |it| {
        it.orphaned
    })?;
    let help = "Records given up for a target that was too far behind, at most.";
    sheet.targets("forward_given_up", help, &states, false, |it| it.given_up)
}

fn storage(sheet: &mut Sheet<'_>, state: LedgerState, it: &LedgerStats) -> fmt::Result {
    let healthy = u64::from(state == LedgerState::Healthy);
    sheet.gauge("storage_healthy", "1 while the ledger keeps what it is given.", healthy)?;
    sheet.counter("commits", "Group commits.", it.commits)?;
    sheet.counter("committed_changes", "Changes kept.", it.changes)?;
    sheet.counter("committed_points", "Readings kept.", it.points)?;
    sheet.gauge("commit_queue_bytes", "Bytes waiting for the next commit.", it.queue_bytes)?;
    sheet.gauge("commit_queue_max_bytes", "Bound of the above.", it.queue_bytes_max)?;
    sheet.counter("commit_queue_full", "How often the queue was full.", it.queue_full)?;
    sheet.gauge("head_bytes", "Acknowledged bytes not yet in chunks.", it.head_bytes)?;
    sheet.gauge("head_max_bytes", "Bound of the above.", it.head_bytes_max)?;
    sheet.counter("head_full", "How often the head was full.", it.head_full)?;
    sheet.gauge("backlog_bytes", "Log that is not yet in chunks.", it.backlog_bytes)?;
    sheet.gauge("backlog_max_bytes", "Bound of the above.", it.backlog_bytes_max)?;
    sheet.counter("backlog_full", "How often that bound was reached.", it.backlog_full)?;
    sheet.gauge("log_segments", "Segments of the ingest log.", it.log_segments)?;
    sheet.gauge("disk_bytes", "Bytes of all data files.", it.disk_bytes)?;
    sheet.gauge("damaged_records", "Damaged records met at the last start.", it.damaged_records)?;
    sheet.latencies("commit_seconds", "Time of one group commit.", it)
}

/// Short ways to write one family of metrics.
struct Sheet<'a>(DescriptorEncoder<'a>);

impl Sheet<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        rows: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, count) in rows {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        rows: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in rows {
            ConstCounter::new(count).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    /// One row for each target of forwarding.
    fn targets(
        &mut self,
        name: &str,
        help: &str,
        states: &[TargetState],
        is_gauge: bool,
        value: impl Fn(&TargetState) -> u64,
    ) -> fmt::Result {
        let kind = if is_gauge { MetricType::Gauge } else { MetricType::Counter };
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for it in states {
            let (target, profile) = (it.target.spec.name.as_str(), it.target.profile_name.as_str());
            let tenant = it.target.tenant_id.to_string();
            let labels = [("target", target), ("profile", profile), ("tenant", tenant.as_str())];
            let (labelled, value) = (family.encode_family(&labels)?, value(it));
            if is_gauge {
                ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(labelled)?;
            } else {
                ConstCounter::new(value).encode(labelled)?;
            }
        }
        Ok(())
    }

    fn latencies(&mut self, name: &str, help: &str, stats: &LedgerStats) -> fmt::Result {
        let mut below = 0;
        let mut buckets = Vec::new();
        for (bound_us, count) in &stats.commit_us_buckets {
            buckets.push((seconds(*bound_us), count.saturating_sub(below)));
            below = *count;
        }
        buckets.push((f64::INFINITY, stats.commits.saturating_sub(below)));
        let mut histogram = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let none = None::<&std::collections::HashMap<usize, _>>;
        histogram.encode_histogram::<NoLabels>(
            seconds(stats.commit_us_sum),
            stats.commits,
            &buckets,
            none,
        )
    }
}

/// Microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "latencies stay far below 2^53 microseconds")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

type NoLabels = [(&'static str, &'static str); 0];

/// Checks at compile time that the label set above is one.
const _: fn() = || {
    fn is_label_set<T: EncodeLabelSet>() {}
    is_label_set::<NoLabels>();
};

/// Resident memory of this process in bytes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).map(str::trim);
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The rooms whose log lines follow the configured level; everybody else only warns.
const ROOMS: [&str; 5] = [
    "thingport_core",
    "thingport_store",
    "thingport_transport",
    "thingport_api",
    "thingport_device",
];
