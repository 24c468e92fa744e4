//! The closed list of what is counted. Plain numbers; the roof turns them into a metrics page.

use core::sync::atomic::{AtomicU64, Ordering};

use thingport_model::reason::Reason;

/// One number that many threads add to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes `n` away; only for numbers that count what is there now.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Makes it `n`; only for numbers that count what is there now.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! bounds {
    ($($(#[$doc:meta])* $name:ident = $id:literal,)*) => {
        /// Every bound that can bite: a queue, a table, a size. Each has a name and is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bound {
            $($(#[$doc])* $name,)*
        }

        impl Bound {
            /// Every bound.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in metrics.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }
        }
    };
}

bounds! {
    /// Connections of this process; the newcomer is refused.
    ConnectionsMax = "connections_max",
    /// Bytes of one packet; the connection is closed.
    PacketSizeMax = "packet_size_max",
    /// Uplinks in work of one connection; its socket is not read.
    UplinksInWork = "uplinks_in_work_max",
    /// Bytes waiting for a commit; sockets are not read.
    CommitQueue = "commit_queue_max",
    /// Downlinks waiting for one connection; the newest is refused.
    Mailbox = "mailbox_max",
    /// Updates waiting for one watch; they collapse to the newest value per key.
    WatchQueue = "watch_queue_max",
    /// Different keys in one collapsed watch; the watch ends.
    WatchKeys = "watch_keys_max",
    /// Different incidents remembered for repetition; further ones are counted, not kept.
    Incidents = "incidents_max",
    /// Bytes waiting for a client that does not read; the connection is closed.
    UnsentBytes = "unsent_bytes_max",
    /// Messages waiting for a slow WebSocket; it is closed.
    WebSocketQueue = "websocket_queue_max",
    /// Connections that have not logged in, all addresses together; the newcomer is closed at accept.
    Guests = "guests_max",
    /// Connections of one address that have not logged in; the newcomer is closed at accept.
    GuestsPerAddress = "guests_per_address_max",
    /// Connections accepted in a second; further ones are closed at accept.
    AcceptRate = "accept_rate_max",
    /// Addresses whose failed logins are remembered; further ones are not counted.
    GuardedAddresses = "guarded_addresses_max",
    /// Connections whose PROXY header is waited for; the newcomer is closed at accept.
    ProxyHeaders = "proxy_headers_max",
    /// Rate limits remembered for devices that are not connected; some begin afresh.
    LimitBuckets = "limit_buckets_max",
    /// TLS handshakes under way; the newcomer is closed at accept.
    TlsHandshakes = "tls_handshakes_max",
    /// HTTP and HTTPS connections that are no WebSocket; the newcomer is closed at accept.
    HttpConnections = "http_connections_max",
    /// HTTP and HTTPS connections of one address; the newcomer is closed at accept.
    HttpConnectionsPerAddress = "http_connections_per_address_max",
    /// Time for the head of a request; the connection is closed.
    HttpHeadTime = "http_head_time_max",
    /// Time for the body of a request by somebody who has not signed in; the request is answered 408.
    StrangerBodyTime = "stranger_body_time_max",
    /// Bytes of a body by somebody who has not signed in; the request is answered 413.
    StrangerBodySize = "stranger_body_size_max",
    /// Bytes of all such bodies at once; the request is answered 503.
    StrangerBodies = "stranger_bodies_max",
    /// Bytes of all request bodies of people at once; the next bytes wait, then the request is answered 503.
    RequestBodies = "request_bodies_max",
    /// HTTPS handshakes under way; the newcomer is closed at accept.
    HttpsHandshakes = "https_handshakes_max",
    /// Requests of a tenant or customer in a time (tenant profile); the request is answered 429.
    RestRateLimits = "rest_rate_limits",
    /// WebSocket sessions or subscriptions of somebody (tenant profile); the newcomer is refused.
    WebSocketLimits = "websocket_limits",
    /// Updates of a WebSocket session in a time (tenant profile); further ones are dropped.
    WebSocketUpdates = "websocket_updates",
    /// Password checks at once; the next one waits.
    PasswordChecks = "password_checks_max",
    /// Downlinks that wait until a client acknowledges earlier ones; the newest is lost.
    Downlinks = "downlinks_max",
    /// Devices that speak through one connection; a further one is refused.
    Children = "children_max",
    /// Gateways and connectors whose times are noted; those of further ones are not.
    Latencies = "latencies_max",
    /// Questions of one connection that are looked up at once; its socket is not read.
    Errands = "errands_max",
    /// Client calls of one connection that wait for their answer; a further one gets an error.
    ClientCalls = "client_calls_max",
    /// Provisioning requests worked at at once; the next one waits.
    Provisions = "provisions_max",
    /// Connections that wait to be provisioned; the newcomer is refused.
    ProvisioningSessions = "provisioning_sessions_max",
    /// Calls pending for one device; the next one is refused.
    CallsPerDevice = "calls_per_device_max",
    /// Calls pending for all devices together, or their bytes; the next one is refused.
    Calls = "calls_max",
    /// REST requests that wait for a device; the next one is refused.
    WaitingRequests = "waiting_requests_max",
    /// Requests of devices over HTTP that wait for something, long polls above all; the next is refused.
    LongPolls = "long_polls_max",
    /// The same of one device; the next is refused.
    LongPollsPerDevice = "long_polls_per_device_max",
    /// Bytes of all request bodies of devices over HTTP; the next one waits, then it is refused.
    DeviceBodies = "device_bodies_max",
    /// Devices remembered as active or new; another one shows as what it was until there is room.
    ActiveDevices = "active_devices_max",
    /// Moments of connecting and leaving that wait for a ledger without room; the newest is lost.
    ActivityOwed = "activity_owed_max",
    /// Claims that devices allowed; the oldest of the tenant with the most goes.
    Claims = "claims_max",
    /// Uploads of packages at once; the next one is refused.
    Uploads = "uploads_max",
    /// Downloads of packages remembered of one connection; the oldest is forgotten.
    Downloads = "downloads_per_connection_max",
    /// Devices traced at once; the next trace is refused.
    Traces = "traces_max",
    /// The same of one tenant; the next trace is refused.
    TracesPerTenant = "traces_per_tenant_max",
    /// Records of one trace; the oldest goes.
    TraceRecords = "trace_records_max",
    /// Bytes of one trace; the oldest record goes.
    TraceBytes = "trace_bytes_max",
    /// Bytes of one payload in a trace; the rest is left out, its length is kept.
    TracePayload = "trace_payload_max",
    /// Sessions that are kept over connections; a further one is not.
    KeptSessions = "kept_sessions_max",
    /// The same of one tenant; a further one is not.
    KeptSessionsPerTenant = "kept_sessions_per_tenant_max",
    /// Messages of a kept session that wait for their acknowledgement; what is larger is not kept.
    SessionMessages = "session_messages_max",
    /// Shared attributes whose change a session is owed; then it is owed all of them.
    SessionKeys = "session_keys_max",
    /// REST requests at once; the next one waits.
    RestRequests = "rest_requests_max",
    /// Client calls of one tenant or of all that wait for applications; the next one is refused.
    ClientCallRequests = "client_call_requests_max",
    /// Applications of one tenant or of all that take client calls; the next one is refused.
    ClientCallTakers = "client_call_takers_max",
    /// Requests to the receivers of one profile under way; the next one waits.
    WebhookRequestsPerLane = "webhook_requests_per_lane_max",
    /// Requests to all receivers under way; the next one waits.
    WebhookRequests = "webhook_requests_max",
    /// Requests that wait for the receivers of one profile; the next one fails.
    WebhookLine = "webhook_line_max",
    /// Targets of forwarding in the installation; further ones get nothing.
    ForwardingTargets = "forwarding_targets_max",
    /// Bytes of log kept for targets of forwarding; the oldest are given up for those that need them.
    ForwardingBacklog = "forwarding_backlog_max",
}

/// How calls to devices end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A one-way call was handed over or acknowledged.
    Delivered,
    /// The device answered.
    Answered,
    /// The device was given the call and did not answer or acknowledge in time.
    TimedOut,
    /// The device did not listen in time.
    NotConnected,
    /// The call could not be sent to the device.
    Impossible,
    /// Somebody took it back, or the device was deleted.
    Withdrawn,
}

impl Ending {
    /// Every ending, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Delivered,
        Self::Answered,
        Self::TimedOut,
        Self::NotConnected,
        Self::Impossible,
        Self::Withdrawn,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Answered => "answered",
            Self::TimedOut => "timed_out",
            Self::NotConnected => "not_connected",
            Self::Impossible => "impossible",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    /// Open MQTT connections, logged in or not.
    pub connections: Counter,
    /// Open MQTT connections that are logged in.
    pub sessions: Counter,
    /// Open MQTT connections that logged in to be provisioned.
    pub provisioning_sessions: Counter,
    /// Devices that speak through the connection of another.
    pub children: Counter,
    /// Devices that were provisioned on request since the start.
    pub provisioned: Counter,
    /// MQTT connections accepted since the start.
    pub connections_accepted: Counter,
    /// TLS handshakes of devices under way.
    pub tls_handshakes: Counter,
    /// TLS handshakes of devices completed since the start.
    pub tls_accepted: Counter,
    /// Those among them that took up an earlier session.
    pub tls_resumed: Counter,
    /// CONNECT packets that were answered with success.
    pub logins_accepted: Counter,
    /// CONNECT packets that were refused.
    pub logins_refused: Counter,
    /// Devices that said something within their inactivity timeout.
    pub devices_active: Counter,
    /// Telemetry messages accepted.
    pub telemetry_messages: Counter,
    /// Attribute messages accepted.
    pub attribute_messages: Counter,
    /// Readings and attributes in them.
    pub points: Counter,
    /// What devices asked, claimed and answered to calls.
    pub questions: Counter,
    /// Messages that were rejected.
    pub messages_rejected: Counter,
    /// PUBACK and PUBREC packets that promise durability.
    pub acknowledged: Counter,
    /// Messages sent to devices, or waiting for their acknowledgements to go out.
    pub downlinks: Counter,
    /// Messages that devices acknowledged.
    pub downlinks_delivered: Counter,
    /// Sessions that are kept over connections, with and without one now.
    pub kept_sessions: Counter,
    /// Sessions that were taken up again on another connection.
    pub sessions_resumed: Counter,
    /// Calls to devices that have not ended.
    pub calls_pending: Counter,
    calls: [Counter; Ending::ALL.len()],
    /// Bytes read from devices.
    pub bytes_in: Counter,
    /// Bytes written to devices.
    pub bytes_out: Counter,
    /// What was to be said to receivers outside: webhooks, each counted once however often it was tried.
    pub webhook_requests: Counter,
    /// Those among them that failed in the end.
    pub webhook_failures: Counter,
    /// Live watches of people.
    pub watches: Counter,
    /// Devices that are traced.
    pub traces: Counter,
    /// WebSocket sessions of people, open now.
    pub websockets: Counter,
    /// REST requests answered, by hundreds of their status: 1xx to 5xx.
    pub rest_answers: [Counter; 5],
    reasons: Vec<Counter>,
    bounds: Vec<Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let counters = |n: usize| (0..n).map(|_| Counter::default()).collect();
        Self {
            connections: Counter::default(),
            sessions: Counter::default(),
            provisioning_sessions: Counter::default(),
            children: Counter::default(),
            provisioned: Counter::default(),
            connections_accepted: Counter::default(),
            tls_handshakes: Counter::default(),
            tls_accepted: Counter::default(),
            tls_resumed: Counter::default(),
            logins_accepted: Counter::default(),
            logins_refused: Counter::default(),
            devices_active: Counter::default(),
            telemetry_messages: Counter::default(),
            attribute_messages: Counter::default(),
            points: Counter::default(),
            questions: Counter::default(),
            messages_rejected: Counter::default(),
            acknowledged: Counter::default(),
            downlinks: Counter::default(),
            downlinks_delivered: Counter::default(),
            kept_sessions: Counter::default(),
            sessions_resumed: Counter::default(),
            calls_pending: Counter::default(),
            calls: Default::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            webhook_requests: Counter::default(),
            webhook_failures: Counter::default(),
            watches: Counter::default(),
            traces: Counter::default(),
            websockets: Counter::default(),
            rest_answers: Default::default(),
            reasons: counters(Reason::ALL.len()),
            bounds: counters(Bound::ALL.len()),
        }
    }
}

impl Metrics {
    /// Counts one incident.
    pub fn count_reason(&self, reason: Reason) {
        let place = Reason::ALL.iter().position(|it| *it == reason);
        if let Some(counter) = place.and_then(|at| self.reasons.get(at)) {
            counter.add(1);
        }
    }

    /// Counts that a bound bit.
    pub fn count_bound(&self, bound: Bound) {
        if let Some(counter) = self.bounds.get(bound as usize) {
            counter.add(1);
        }
    }

    /// Counts a call that has ended.
    pub fn count_call(&self, ending: Ending) {
        if let Some(counter) = self.calls.get(ending as usize) {
            counter.add(1);
        }
    }

    /// Calls per ending.
    pub fn calls(&self) -> impl Iterator<Item = (Ending, u64)> {
        Ending::ALL.into_iter().zip(self.calls.iter().map(Counter::value))
    }

    /// Counts an answered REST request.
    pub fn count_rest(&self, status: u16) {
        if let Some(counter) = self.rest_answers.get(usize::from(status / 100).saturating_sub(1)) {
            counter.add(1);
        }
    }

    /// Incidents per reason.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().copied().zip(self.reasons.iter().map(Counter::value))
    }

    /// How often each bound bit.
    pub fn bounds(&self) -> impl Iterator<Item = (Bound, u64)> {
        Bound::ALL.iter().copied().zip(self.bounds.iter().map(Counter::value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_and_bound_has_its_own_counter() {
        let metrics = Metrics::default();
        for (at, reason) in Reason::ALL.iter().copied().enumerate() {
            for _ in 0..=at {
                metrics.count_reason(reason);
            }
        }
        for bound in Bound::ALL.iter().copied() {
            metrics.count_bound(bound);
        }
        assert!(metrics.reasons().enumerate().all(|(at, (_, n))| n == at as u64 + 1));
        assert!(metrics.bounds().all(|(_, n)| n == 1));
        metrics.count_rest(204);
        metrics.count_rest(599);
        let rest: Vec<_> = metrics.rest_answers.iter().map(Counter::value).collect();
        assert_eq!(rest, [0, 1, 0, 0, 1]);
    }
}
