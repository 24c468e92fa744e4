//! Builds everything, runs it, and takes it down in good order.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use thingport_api::api::{Api, BodyKind, DecodeBody};
use thingport_api::auth::load_or_create_keys;
use thingport_api::config::ApiConfig;
use thingport_core::node::{Node, NodeConfig};
use thingport_device::payload::Typing;
use thingport_device::payload::json::Decoder;
use thingport_mqtt::limits::Bounds;
use thingport_store::config::LedgerConfig;
use thingport_store::disk::RealDisk;
use thingport_store::entities::SqliteEntities;
use thingport_store::ledger::{LogLedger, Progress};
use thingport_transport::drain::Drain;
use thingport_transport::listen::Listener;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Bind, Config};
use crate::failure::Failure;
use crate::first_run;
use crate::observe;
use crate::system::{SystemClock, SystemEntropy, give_memory_back, wall_now};

/// Runs until told to stop.
pub(crate) fn run(config: &Config, demo: bool) -> Result<(), Failure> {
    observe::start_log(config.log.level, config.log.format);
    let node = Arc::new(build(config)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(serve(config, demo, node))
}

/// Opens the stores and builds the house over them.
fn build(config: &Config) -> Result<Node, Failure> {
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
        ..LedgerConfig::default()
    };
    let disk = Arc::new(RealDisk::new(dir).map_err(|error| {
        Failure::new(format!("the data directory {} cannot be used: {error}", dir.display()))
    })?);
    let mut shown = Duration::ZERO;
    let ledger = LogLedger::open(ledger_config, disk, Arc::new(wall_now), &mut |progress| {
        // A quick start says nothing; a slow one says where it is, once a second.
        if started.elapsed() >= shown + Duration::from_secs(1) {
            shown = started.elapsed();
            let Progress { done, total } = progress;
            tracing::info!("recovering: {done} of {total} log segments read");
        }
    });
    let ledger = ledger.map_err(|error| Failure::new(error.to_string()))?;
    let entities = SqliteEntities::open(dir).map_err(|error| Failure::new(error.to_string()))?;
    let default_ttl_s = u32::try_from(config.storage.ttl.as_secs()).unwrap_or(u32::MAX);
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    Ok(Node::new(entities, ledger, clock, entropy, NodeConfig { default_ttl_s, ..NodeConfig::default() }))
}

async fn serve(config: &Config, demo: bool, node: Arc<Node>) -> Result<(), Failure> {
    let drain = Arc::new(Drain::default());
    // Both ports first: passwords made for a start that fails would never be shown.
    let http = TcpListener::bind(address("http.bind", &config.http.bind)?);
    let http = http.await.map_err(|error| cannot_bind("http.bind", &config.http.bind, &error))?;
    let http_at = http.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    // Devices need not wait until the first passwords are hashed.
    let mqtt = listen_mqtt(config, &node, &drain)?;
    let mqtt_at = mqtt.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let mqtt = tokio::spawn(mqtt.serve());

    let people = first_run::prepare(&node, &config.storage.dir, demo).await?;
    let keys = load_or_create_keys(&node.registry, &*node.entropy)
        .await
        .map_err(|error| Failure::new(format!("the key that signs tokens: {error:?}")))?;
    let api = Arc::new(Api::new(Arc::clone(&node), api_config(config), keys, decoder()));

    let routes = thingport_api::router::router(Arc::clone(&api))
        .merge(observe::routes(Arc::clone(&node), Arc::clone(&drain)));
    let stop_http = Arc::clone(&drain);
    let http = axum::serve(http, routes.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { stop_http.begun().await });
    let http = tokio::spawn(http.into_future());
    let chores = tokio::spawn(keep_house(Arc::clone(&node)));
    greet(&Greeting {
        mqtt_at,
        http_at,
        dir: &config.storage.dir,
        demo,
        people: people.as_deref(),
    });

    stop_signal().await?;
    tracing::info!("stopping: no new packets, everything received is finished");
    drain.begin();
    api.drain();
    let all = async { tokio::join!(mqtt, http) };
    if tokio::time::timeout(DRAIN_MAX, all).await.is_err() {
        tracing::warn!("some connections did not finish in time and are cut off");
    }
    chores.abort();
    node.journal.flush();
    node.ledger
        .close()
        .await
        .map_err(|error| Failure::new(format!("closing the ledger: {error}")))?;
    tracing::info!("stopped; everything acknowledged is on disk");
    Ok(())
}

/// What must be done now and then: repeated incidents, purges of deleted entities.
async fn keep_house(node: Arc<Node>) {
    for second in 0_u64.. {
        if let Err(error) = node.purge_deleted().await {
            tracing::warn!(?error, "deleted entities could not be purged yet");
        }
        tokio::select! {
            () = node.deleted.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => node.journal.tick(),
        }
        // Soon after the start, where first passwords are hashed, and now and then.
        if second % 10 == 0 {
            give_memory_back();
        }
    }
}

fn listen_mqtt(config: &Config, node: &Arc<Node>, drain: &Arc<Drain>) -> Result<Listener, Failure> {
    let mqtt = &config.mqtt;
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
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
        connections_max: u64::from(mqtt.connections_max),
        bounds,
        typing: Typing::default(),
    };
    Listener::bind(settings, Arc::clone(node), Arc::clone(drain))
        .map_err(|error| cannot_bind("mqtt.bind", &mqtt.bind, &error))
}

fn api_config(config: &Config) -> ApiConfig {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    ApiConfig {
        token_lifetime_s: seconds(config.auth.token_lifetime),
        refresh_lifetime_s: seconds(config.auth.refresh_lifetime),
        issuer: config.auth.issuer.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        body_max: config.http.body_max.as_usize(),
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
    let on = |kind| {
        signal(kind).map_err(|error| Failure::new(format!("signals cannot be caught: {error}")))
    };
    let (mut terminate, mut interrupt) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// What a person sees once the server runs.
struct Greeting<'a> {
    mqtt_at: SocketAddr,
    http_at: SocketAddr,
    dir: &'a Path,
    demo: bool,
    people: Option<&'a str>,
}

fn greet(it: &Greeting<'_>) {
    let host = |at: SocketAddr| {
        if at.ip().is_unspecified() { "localhost".to_owned() } else { at.ip().to_string() }
    };
    let mut text = format!(
        "Thingport {} is ready.\n  MQTT  {}\n  HTTP  http://{}:{}\n  data  {}\n",
        env!("CARGO_PKG_VERSION"),
        it.mqtt_at,
        host(it.http_at),
        it.http_at.port(),
        it.dir.display(),
    );
    text += it.people.unwrap_or_default();
    let token = if it.demo { "A1_TEST_TOKEN" } else { "$ACCESS_TOKEN" };
    let port = match it.mqtt_at.port() {
        1883 => String::new(),
        port => format!(" -p {port}"),
    };
    text += &format!(
        "Try:\n  mosquitto_pub -d -q 1 -h {}{port} -t v2/t -u {token} -m '{{\"temperature\": 25}}'\n",
        host(it.mqtt_at),
    );
    // Nobody may be reading; the server runs all the same.
    let _ = io::stdout().write_all(text.as_bytes());
    let _ = io::stdout().flush();
}

/// How long connections may take to finish after a stop signal; the whole stop takes at most 5 s.
const DRAIN_MAX: Duration = Duration::from_secs(4);
