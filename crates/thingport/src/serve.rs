//! Builds everything, runs it, and takes it down in good order.

use std::fs::DirBuilder;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use rustix::fs::Mode;
use rustls::ServerConfig;
use thingport_api::api::{Api, BodyKind, CaPem, DecodeBody, ServerCertificates};
use thingport_api::auth::load_or_create_keys;
use thingport_api::config::{ApiConfig, Listeners, WsConfig};
use thingport_core::activity::ActivityConfig;
use thingport_core::calls::{CallRules, SubmitStrategy};
use thingport_core::claims::ClaimRules;
use thingport_core::client_calls::SessionBounds;
use thingport_core::guard::crowd::Crowd;
use thingport_core::guard::{GuardConfig, Network};
use thingport_core::node::{Node, NodeConfig};
use thingport_core::presence::EarBounds;
use thingport_core::registry::certificates::ServerCertificate;
use thingport_core::sessions::SessionRules;
use thingport_device::payload::Typing;
use thingport_device::payload::json::Decoder;
use thingport_mqtt::limits::Bounds;
use thingport_outbound::forward::Forwarder;
use thingport_outbound::webhook::Webhooks;
use thingport_store::config::LedgerConfig;
use thingport_store::entities::SqliteEntities;
use thingport_store::ledger::{LogLedger, Progress};
use thingport_store::packages::DirPackages;
use thingport_transport::config::{ProxyConfig, SparkplugConfig, TLS_HANDSHAKES_MAX, TlsConfig};
use thingport_transport::drain::Drain;
use thingport_transport::http::{DeviceHttp, DeviceHttpBounds};
use thingport_transport::listen::{BindError, Listener};
use thingport_x509::certificate::Certificate;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::chores::Chores;
use crate::config::{Bind, Config, Strategy};
use crate::failure::Failure;
use crate::first_run;
use crate::greeting::{Greeting, greet};
use crate::http::{Http, Proxies};
use crate::observe;
use crate::outbound;
use crate::system::{SystemClock, SystemEntropy, take_descriptors, wall_now};
use crate::tls::{self, Problem, Tls};
use crate::workbench::Dialects;

/// Runs until told to stop.
pub(crate) fn run(config: &Config, demo: bool) -> Result<(), Failure> {
    observe::start_log(config.log.level, config.log.format);
    // A given certificate is tried before anybody is let in. A made one may take a while (the library
    // gathers its first randomness for 55 ms): it is looked at when plain MQTT is served already.
    let given = config.tls.certificate.0.is_some();
    let tls = if given { open_tls(config)? } else { None };
    let (node, webhooks) = build(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(serve(config, demo, (Arc::new(node), webhooks), tls))
}

/// Whether a start would find the certificates it was given.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    outbound::roots(config)?;
    if speaks_tls(config) { tls::check(&config.tls).map_err(unusable) } else { Ok(()) }
}

/// Opens the stores and builds the house over them.
fn build(config: &Config) -> Result<(Node, Arc<Webhooks>), Failure> {
    // Whatever is made in the data directory is for its owner only: it holds the devices' tokens.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let dir = &config.storage.dir;
    // It holds tokens: nobody else's to read. A directory that is there keeps the rights it has.
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        Failure::new(format!("the data directory {} cannot be created: {error}", dir.display()))
    })?;
    let started = Instant::now();
    let ledger_config = LedgerConfig {
        dir: dir.clone(),
        segment_bytes: config.storage.log_segment_size.0,
        commit_queue_max_bytes: config.storage.commit_queue_max.as_usize(),
        head_bytes_max: config.storage.head_memory_max.as_usize(),
        accept_loss: config.storage.accept_loss.0.clone(),
        follow_bytes_max: config.forward.backlog_max.0,
        ..LedgerConfig::default()
    };
    let mut shown = Duration::ZERO;
    let ledger = LogLedger::open_dir(ledger_config, Arc::new(wall_now), &mut |progress| {
        // A quick start says nothing; a slow one says where it is, once a second.
        if started.elapsed() >= shown + Duration::from_secs(1) {
            shown = started.elapsed();
            let Progress { done, total } = progress;
            tracing::info!("recovering: {done} of {total} log segments read");
        }
    });
    let ledger = ledger.map_err(|error| Failure::new(error.to_string()))?;
    let entities = SqliteEntities::open_beside(dir, &ledger, &config.storage.accept_loss.0)
        .map_err(|error| Failure::new(error.to_string()))?;
    let default_ttl_s = u32::try_from(config.storage.ttl.as_secs()).unwrap_or(u32::MAX);
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    let settings = NodeConfig {
        default_ttl_s,
        guard: guard(config),
        skip_client_validity: config.tls.skip_client_validity,
        calls: call_rules(config),
        activity: ActivityConfig {
            inactivity_timeout_ms: ms(config.activity.inactivity_timeout),
            report_interval_ms: ms(config.activity.report_interval),
        },
        claims: ClaimRules {
            allowed_by_default: config.device.allow_claiming_by_default,
            duration_ms: ms(config.device.claim_duration),
        },
        sessions: SessionRules {
            expiry_max_s: u32::try_from(config.mqtt.session_expiry_max.as_secs())
                .unwrap_or(u32::MAX),
            kept_max: config.mqtt.sessions_kept_max as usize,
            kept_per_tenant_max: match config.mqtt.sessions_kept_per_tenant_max {
                0 => usize::MAX,
                bound => bound as usize,
            },
        },
        ears: EarBounds {
            all: config.http.device_polls_max as usize,
            per_device: config.http.device_polls_per_device_max as usize,
        },
    };
    let packages = DirPackages::open(dir).map_err(|error| {
        Failure::new(format!("the packages in {} cannot be read: {error}", dir.display()))
    })?;
    let mut node = Node::new(entities, Arc::clone(&ledger) as Arc<_>, clock, entropy, settings);
    node.forwarding.set_trail(ledger);
    let chunk_max = u32::try_from(config.mqtt.packet_size_max.0).unwrap_or(u32::MAX);
    node.packages.set_files(Arc::new(packages), chunk_max);
    let webhooks = outbound::open(config, &node)?;
    Ok((node, webhooks))
}

/// The server's certificate, unless no listener needs one. One that was given and cannot be used stops
/// the start: leaving the listener out would leave its devices outside without a word.
fn open_tls(config: &Config) -> Result<Option<Tls>, Failure> {
    if !speaks_tls(config) {
        return Ok(None);
    }
    let tls = Tls::open(&config.tls, &config.storage.dir, wall_now().0);
    tls.map(Some).map_err(unusable)
}

/// The certificate that was given, or the made one. To be called within the runtime.
fn given_or_made(config: &Config, given: Option<Tls>) -> Result<Option<Arc<Tls>>, Failure> {
    let tls = match given {
        None => tokio::task::block_in_place(|| open_tls(config))?,
        given => given,
    };
    Ok(tls.map(Arc::new))
}

const fn speaks_tls(config: &Config) -> bool {
    config.mqtt.tls_bind.0.is_some() || config.http.tls_bind.0.is_some()
}

fn unusable(problem: Problem) -> Failure {
    Failure::new(format!(
        "the server certificate cannot be used: {problem}\n(to start without TLS: \
         --set mqtt.tls_bind=off --set http.tls_bind=off)"
    ))
}

async fn serve(
    config: &Config,
    demo: bool,
    (node, webhooks): (Arc<Node>, Arc<Webhooks>),
    given: Option<Tls>,
) -> Result<(), Failure> {
    let drain = Arc::new(Drain::default());
    let own_address = |error: io::Error| Failure::new(error.to_string());
    // All ports first: passwords made for a start that fails would never be shown.
    let http = listen_http("http.bind", &config.http.bind).await?;
    let http_at = http.local_addr().map_err(own_address)?;
    let https = listen_https(config).await?;
    let https_at = https.as_ref().map(TcpListener::local_addr).transpose().map_err(own_address)?;
    // Before the first device: its answers must find their calls.
    recall(&node).await?;
    // Devices need not wait until keys are made and the first passwords are hashed.
    let (secure, to_be_secure) = watch::channel(None);
    let mqtt = listen_mqtt(config, to_be_secure, &node, &drain)?;
    let mqtt_at = mqtt.local_addr().map_err(own_address)?;
    let mqtts_at = mqtt.tls_addr().map_err(own_address)?;
    let websockets = thingport_transport::websocket::router(mqtt.door());
    let mqtt = tokio::spawn(mqtt.serve());
    let tls = given_or_made(config, given)?;
    if let Some(tls) = &tls {
        secure.send_replace(Some(tls.for_devices().map_err(unusable)?));
    }
    let https = secured(https, tls.as_deref())?;

    let people = first_run::prepare(&node, &config.storage.dir, demo).await?;
    let port = |at: SocketAddr| at.port();
    let listeners = Listeners {
        http: Some(port(http_at)),
        https: https_at.map(port),
        mqtt: Some(port(mqtt_at)),
        mqtts: mqtts_at.map(port),
    };
    let api = open_api(config, listeners, &node, tls.as_ref()).await?;
    let routes = thingport_api::router::router(Arc::clone(&api))
        .merge(thingport_transport::http::router(Arc::clone(&node), config.http.arrival_timeout))
        .merge(thingport_transport::http::devices(device_http(config, &node, &drain)))
        .merge(websockets)
        .merge(observe::routes(Arc::clone(&node), Arc::clone(&drain), tls.clone()));
    let web = web(config, routes.with_state(()), &node, &drain);
    let http = tokio::spawn(web.clone().serve(http));
    let https = tokio::spawn(async move {
        if let Some((listener, set_up)) = https {
            web.serve_tls(listener, set_up).await;
        }
    });
    let forwarder = forward(&node, webhooks);
    let chores = Chores::begin(&node, tls.clone(), signal_of(SignalKind::hangup())?);
    greet(&Greeting {
        mqtt_at,
        mqtts_at,
        http_at,
        https_at,
        dir: &config.storage.dir,
        demo,
        people: people.as_deref(),
        certificate: tls.as_deref().map(Tls::standing).as_deref(),
    });

    stop_signal().await?;
    tracing::info!("stopping: no new packets, everything received is finished");
    drain.begin();
    api.drain();
    let all = async { tokio::join!(mqtt, http, https, forwarder.end()) };
    if tokio::time::timeout(DRAIN_MAX, all).await.is_err() {
        tracing::warn!("some connections did not finish in time and are cut off");
    }
    close(&node, chores).await?;
    tracing::info!("stopped; everything acknowledged is on disk");
    Ok(())
}

/// Takes up what an earlier process left: calls that are pending, and sessions that are kept.
async fn recall(node: &Node) -> Result<(), Failure> {
    let failed = |what: &str, error| Failure::new(format!("{what}: {error:?}"));
    let calls = node.calls.recall().await;
    calls.map_err(|error| failed("the calls that are pending", error))?;
    let sessions = node.sessions.recall().await;
    sessions.map_err(|error| failed("the sessions that are kept", error))?;
    // A full disk is no reason to stay away: devices are told what they may send.
    if let Err(error) = node.edge_nodes.begin(&*node.ledger, node.clock.now()).await {
        tracing::warn!(
            ?error,
            "since when Sparkplug's host is there, or who died with it, is not kept"
        );
    }
    Ok(())
}

fn forward(node: &Node, webhooks: Arc<Webhooks>) -> Forwarder {
    Forwarder::begin(Arc::clone(&node.forwarding), webhooks, Arc::clone(&node.entropy))
}

/// The people's side of the node.
async fn open_api(
    config: &Config,
    listeners: Listeners,
    node: &Arc<Node>,
    tls: Option<&Arc<Tls>>,
) -> Result<Arc<Api>, Failure> {
    let keys = load_or_create_keys(&node.registry, &*node.entropy)
        .await
        .map_err(|error| Failure::new(format!("the key that signs tokens: {error:?}")))?;
    let api = Api::new(Arc::clone(node), api_config(config, listeners), keys, decoder());
    let api = api.with_server_certificates(server_certificates(tls.cloned()));
    let dialects = Dialects::new(Typing::default());
    node.registry.check_payloads_with(dialects.clone());
    let api = api.with_workbench(dialects);
    let api = Arc::new(api.with_ca_pem(ca_pem(tls.cloned())));
    api.recall()
        .await
        .map_err(|error| Failure::new(format!("the sessions that ended: {error:?}")))?;
    Ok(api)
}

/// Keeps what only memory holds, and closes the stores. Devices and people have ended.
async fn close(node: &Node, chores: Chores) -> Result<(), Failure> {
    // Nothing more becomes of calls.
    if let Err(error) = node.calls.save().await {
        tracing::warn!(?error, "how far some calls have come is not kept");
    }
    // Connections have left their sessions.
    if let Err(error) = node.keep_sessions().await {
        tracing::warn!(?error, "what was on its way to some devices is not kept");
    }
    chores.end();
    node.activity.finish().await;
    node.limits.keep_months(&*node.ledger, &node.journal, node.clock.now()).await;
    node.journal.flush();
    let closed = node.ledger.close().await;
    closed.map_err(|error| Failure::new(format!("closing the ledger: {error}")))
}

fn ca_pem(tls: Option<Arc<Tls>>) -> CaPem {
    Arc::new(move || tls.as_ref().and_then(|tls| tls.standing().ca_pem.clone()))
}

/// What is served now, for the certificate board.
fn server_certificates(tls: Option<Arc<Tls>>) -> ServerCertificates {
    Arc::new(move || {
        let Some(standing) = tls.as_ref().map(|tls| tls.standing()) else { return Vec::new() };
        let one = |is_ca, it: &Certificate| ServerCertificate { is_ca, der: it.der().to_vec() };
        let ca = standing.ca.iter().map(|it| one(true, it));
        core::iter::once(one(false, &standing.server)).chain(ca).collect()
    })
}

async fn listen_http(key: &str, bind: &Bind) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address(key, bind)?).await;
    listener.map_err(|error| cannot_bind(key, bind, &error))
}

async fn listen_https(config: &Config) -> Result<Option<TcpListener>, Failure> {
    match &config.http.tls_bind.0 {
        Some(bind) => Ok(Some(listen_http("http.tls_bind", bind).await?)),
        None => Ok(None),
    }
}

/// The listener for HTTPS with how TLS is spoken, if there is one.
fn secured(
    listener: Option<TcpListener>,
    tls: Option<&Tls>,
) -> Result<Option<(TcpListener, Arc<ServerConfig>)>, Failure> {
    let (Some(listener), Some(tls)) = (listener, tls) else { return Ok(None) };
    let set_up = tls.for_people().map_err(unusable)?;
    Ok(Some((listener, set_up)))
}

fn web(config: &Config, routes: Router, node: &Node, drain: &Arc<Drain>) -> Http {
    Http {
        routes,
        places: http_places(config),
        proxies: http_proxies(config),
        arrival_timeout: config.http.arrival_timeout,
        metrics: Arc::clone(&node.metrics),
        journal: Arc::clone(&node.journal),
        drain: Arc::clone(drain),
    }
}

/// Places for connections of people. Devices use the same open files, so most are left to them.
fn http_places(config: &Config) -> Arc<Crowd> {
    let http = &config.http;
    let max = http.connections_max.min(u32::try_from(http_share()).unwrap_or(u32::MAX));
    if max < http.connections_max {
        tracing::warn!(
            "the limit of open files allows {max} HTTP connections, not {} as \
             http.connections_max says; raise it (ulimit -n, LimitNOFILE)",
            http.connections_max
        );
    }
    let exempt = not_by_header(&http.guard_exempt.0, http.proxy_protocol);
    Crowd::new(max, http.connections_per_address_max, exempt)
}

fn http_proxies(config: &Config) -> Option<Arc<Proxies>> {
    let http = &config.http;
    http.proxy_protocol.then(|| Arc::new(Proxies::new(http.proxies.0.clone())))
}

/// Open files that HTTP may use; and once more as many its WebSockets, which are counted apart.
fn http_share() -> u64 {
    take_descriptors().map_or(u64::MAX, |all| (all / HTTP_SHARE).max(1))
}

/// Where the listener for devices finds how TLS is spoken, as soon as that is known.
type Secure = watch::Receiver<Option<Arc<ServerConfig>>>;

fn listen_mqtt(
    config: &Config,
    secure: Secure,
    node: &Arc<Node>,
    drain: &Arc<Drain>,
) -> Result<Listener, Failure> {
    let mqtt = &config.mqtt;
    let keep_alive_max = match mqtt.keep_alive_max.as_secs() {
        0 => u16::MAX,
        seconds => u16::try_from(seconds).unwrap_or(u16::MAX),
    };
    let bounds = Bounds {
        packet_size_max: u32::try_from(mqtt.packet_size_max.0).unwrap_or(u32::MAX),
        receive_maximum: mqtt.receive_maximum,
        // A client that uses what it was granted must not be blamed, whatever the QoS (P-16, L-7).
        open_ids_max: mqtt.receive_maximum.max(64),
        connect_timeout_ms: ms(mqtt.connect_timeout),
        inactivity_timeout_ms: ms(mqtt.session_inactivity_timeout),
        keep_alive_max,
        disconnect_after_refusal: config.compat.disconnect_after_refusal,
        ..Bounds::default()
    };
    let settings = thingport_transport::config::Config {
        bind: address("mqtt.bind", &mqtt.bind)?,
        tls: mqtt_tls(config, secure)?,
        proxy: mqtt.proxy_protocol.then(|| ProxyConfig { trusted: mqtt.proxies.0.clone() }),
        rate_limit_disconnect: config.compat.rate_limit_disconnect,
        mirror_session_present: config.compat.mirror_session_present,
        software_errors_apart: config.compat.software_errors_apart,
        sparkplug: SparkplugConfig {
            host_id: config.sparkplug.host_id.0.clone(),
            reorder_timeout_ms: ms(config.sparkplug.reorder_timeout),
            requires_bd_seq: config.sparkplug.require_bdseq,
            confirms_commands: config.sparkplug.command_qos == 1,
            metrics_max: config.sparkplug.metrics_max as usize,
            strict_wills: config.sparkplug.strict_wills,
        },
        provisioning_timeout_ms: ms(mqtt.provisioning_timeout),
        connections_max: u64::from(mqtt.connections_max),
        bounds,
        typing: Typing::default(),
    };
    let listener = Listener::bind(settings, Arc::clone(node), Arc::clone(drain));
    listener.map_err(|error| match (error, &mqtt.tls_bind.0) {
        (BindError::Tls(error), Some(bind)) => cannot_bind("mqtt.tls_bind", bind, &error),
        (BindError::Tls(error) | BindError::Plain(error), _) => {
            cannot_bind("mqtt.bind", &mqtt.bind, &error)
        }
    })
}

fn device_http(config: &Config, node: &Arc<Node>, drain: &Arc<Drain>) -> DeviceHttp {
    let granted = SessionBounds {
        packet_size_max: u32::try_from(config.mqtt.packet_size_max.0).unwrap_or(u32::MAX),
        receive_maximum: config.mqtt.receive_maximum,
    };
    let http = &config.http;
    let bounds = DeviceHttpBounds {
        body_max: usize::try_from(http.device_body_max.0).unwrap_or(usize::MAX),
        poll_ms: ms(http.device_poll_timeout),
        poll_max_ms: ms(http.device_poll_timeout_max),
    };
    DeviceHttp::new(Arc::clone(node), Arc::clone(drain), Typing::default(), granted, bounds)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn call_rules(config: &Config) -> CallRules {
    CallRules {
        strategy: match config.rpc.submit_strategy {
            Strategy::Burst => SubmitStrategy::Burst,
            Strategy::OnAcknowledgement => SubmitStrategy::OnAcknowledgement,
            Strategy::OnAnswer => SubmitStrategy::OnAnswer,
        },
        delivery_timeout_ms: ms(config.rpc.delivery_timeout),
        response_timeout_ms: ms(config.rpc.response_timeout),
        close_on_timeout: config.rpc.close_session_on_delivery_timeout,
        retries_max: config.rpc.retries_max,
    }
}

fn guard(config: &Config) -> GuardConfig {
    let mqtt = &config.mqtt;
    GuardConfig {
        guests_max: mqtt.guests_max,
        guests_per_address_max: mqtt.guests_per_address_max,
        accept_rate_max: mqtt.accept_rate_max,
        failed_logins_max: mqtt.failed_logins_max,
        exempt: not_by_header(
            &mqtt.guard_exempt.0,
            mqtt.proxy_protocol || config.http.proxy_protocol,
        ),
    }
}

/// Behind a proxy, addresses are what headers say: one that names this machine is not of this machine.
fn not_by_header(exempt: &[Network], is_behind_proxy: bool) -> Vec<Network> {
    let loopback = [Network::LOOPBACK_V4, Network::LOOPBACK_V6];
    let is_meant = |it: &&Network| !(is_behind_proxy && loopback.contains(it));
    exempt.iter().filter(is_meant).copied().collect()
}

fn mqtt_tls(config: &Config, server: Secure) -> Result<Option<TlsConfig>, Failure> {
    let Some(bind) = &config.mqtt.tls_bind.0 else { return Ok(None) };
    let bind = address("mqtt.tls_bind", bind)?;
    Ok(Some(TlsConfig { bind, server, handshakes_max: TLS_HANDSHAKES_MAX }))
}

fn api_config(config: &Config, listeners: Listeners) -> ApiConfig {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let websockets = usize::try_from(http_share()).unwrap_or(usize::MAX);
    ApiConfig {
        token_lifetime_s: seconds(config.auth.token_lifetime),
        refresh_lifetime_s: seconds(config.auth.refresh_lifetime),
        issuer: config.auth.issuer.clone(),
        user_token_access: config.auth.user_token_access,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        body_max: config.http.body_max.as_usize(),
        upload_max: config.http.upload_max.0,
        arrival_timeout: config.http.arrival_timeout,
        listeners,
        ws: WsConfig {
            auth_timeout: config.http.arrival_timeout,
            sessions_max: WsConfig::default().sessions_max.min(websockets),
            ..WsConfig::default()
        },
        ..ApiConfig::default()
    }
}

/// Lends the device room's decoder to the people's side, with the rules of REST (T-42, T-43).
fn decoder() -> DecodeBody {
    Arc::new(|body, now, kind, out| {
        let typing = Typing::rest(true, 0);
        let mut decoder = Decoder::new();
        let done = match kind {
            BodyKind::Telemetry => decoder.telemetry(body, now, &typing, out),
            BodyKind::Attributes => decoder.attributes(body, now, &typing, out),
        };
        done.map_err(|reject| format!("{} ({})", reject.reason.sentence(), reject.detail))?;
        if out.is_empty() { Err("the body holds no key and value".to_owned()) } else { Ok(()) }
    })
}

fn address(key: &str, bind: &Bind) -> Result<SocketAddr, Failure> {
    let mut found = (bind.host.as_str(), bind.port).to_socket_addrs().map_err(|error| {
        Failure::new(format!("{key} = \"{bind}\": the host is unknown: {error}"))
    })?;
    found.next().ok_or_else(|| Failure::new(format!("{key} = \"{bind}\": the host has no address")))
}

fn cannot_bind(key: &str, bind: &Bind, error: &io::Error) -> Failure {
    Failure::new(format!(
        "{key} = \"{bind}\" cannot be listened on: {error}; is another server running there? \
         Choose another with --set {key}=HOST:PORT"
    ))
}

async fn stop_signal() -> Result<(), Failure> {
    let mut terminate = signal_of(SignalKind::terminate())?;
    let mut interrupt = signal_of(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn signal_of(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(format!("signals cannot be caught: {error}")))
}

/// How long connections may take to finish after a stop signal; the whole stop takes at most 5 s.
const DRAIN_MAX: Duration = Duration::from_secs(4);
/// HTTP takes at most one of so many open files.
const HTTP_SHARE: u64 = 4;
