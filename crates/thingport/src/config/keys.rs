//! The table of all keys: name, type, default, range and meaning. Nothing about a key stands elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use super::setting::{
    Bind, ByteSize, Format, HostId, Level, Names, Networks, OptionalBind, OptionalPath,
    OptionalText, Secret, Strategy, TlsVersion,
};
use super::table::sections;

sections! {
    /// The devices' side: MQTT.
    mqtt: Mqtt {
        /// Where MQTT over plain TCP is listened for. Without a host it is every address, or loopback
        /// with `--demo`.
        bind: Bind = ":1883";
        /// Where MQTT over TLS is listened for, with the certificate of section `tls`; `"off"` for nowhere.
        tls_bind: OptionalBind = ":8883";
        /// The largest MQTT packet a device may send. A larger one ends the connection with
        /// *packet too large*. The default is ThingsBoard's.
        packet_size_max: ByteSize = "64KiB" from "1KiB" to "16MiB";
        /// How many QoS 1 and QoS 2 messages a device may have unanswered. When so many are in work its
        /// socket is not read. More is faster over long distances and costs memory per busy connection.
        receive_maximum: u16 = "100" from "1" to "65535";
        /// How long a new connection may take until its CONNECT is complete. Shorter frees sockets of
        /// silent strangers earlier; longer helps devices on slow radio links.
        connect_timeout: Duration = "10s" from "1s" to "5m";
        /// How long a connection may stay that asks to be provisioned: until it has asked, and after its
        /// first answer. Shorter frees places sooner; longer helps devices that ask for many others.
        provisioning_timeout: Duration = "60s" from "1s" to "1h";
        /// The longest keep-alive granted to a device; `0` grants what the device asks for. An MQTT 5
        /// device that asks for more is told this value; an older one is held to it.
        keep_alive_max: Duration = "0" from "0" to "65535s";
        /// A connection on which nothing arrived for so long is closed, whatever its keep-alive; `0`
        /// turns this off. The default is ThingsBoard's.
        session_inactivity_timeout: Duration = "10m" from "0" to "30d";
        /// How long a session outlives its connection at most: what the device subscribed to, and what it
        /// did not acknowledge or missed of changes of its shared attributes. Holds for MQTT 5 devices that
        /// ask for a session expiry interval, which are told a shorter one, and for older ones that connect
        /// without clean session. `0` keeps no session.
        session_expiry_max: Duration = "7d" from "0" to "3650d";
        /// How many sessions may be kept, with and without a connection, one for a device. A further one
        /// ends with its connection. Each costs about 1 KiB of memory, and what it did not acknowledge.
        sessions_kept_max: u32 = "100000" from "0" to "10000000";
        /// The same for one tenant, so that no tenant takes all places; `0` is no bound of its own, as
        /// suits an installation with one tenant. What a tenant's sessions did not acknowledge may take
        /// three quarters of the memory for that, 48 of 64 MiB.
        sessions_kept_per_tenant_max: u32 = "0" from "0" to "10000000";
        /// How many device connections may be open at once. The next one is closed at accept. The limit
        /// of open files (`ulimit -n`) must allow as many.
        connections_max: u32 = "200000" from "1" to "10000000";
        /// How many connections may be open that have not logged in yet. The next one is closed at
        /// accept; `0` is no bound. More helps a large fleet that comes back all at once; fewer cost less
        /// memory when strangers knock.
        guests_max: u32 = "2000" from "0" to "10000000";
        /// The same for one address, or one /64 of IPv6. Raise it where many devices share an address;
        /// `0` is no bound.
        guests_per_address_max: u32 = "200" from "0" to "10000000";
        /// How many connections are accepted in a second; further ones are closed. `0` is no bound. Each
        /// costs a handshake and a login, so more of them slow the devices that are there already.
        accept_rate_max: u32 = "1000" from "0" to "1000000";
        /// After so many failed logins from one address within a minute its new connections are closed
        /// for a minute, or until a device logs in from there; `0` turns this off. The default is
        /// ThingsBoard's.
        failed_logins_max: u32 = "10" from "0" to "1000000";
        /// Addresses and networks that these four bounds do not concern, such as proxies and gateways you
        /// trust: `["10.0.0.0/8", "::1"]` or the same with commas. With `mqtt.proxy_protocol` the addresses
        /// are what headers say, so `127.0.0.0/8` and `::1` are not taken for this machine and exempt
        /// nobody.
        guard_exempt: Networks = "127.0.0.0/8, ::1";
        /// Every connection comes through a proxy that begins it with a PROXY protocol header, version 1
        /// or 2; the device's address is the one in the header. Connections without one are closed. Holds
        /// for both listeners; for HTTP there is `http.proxy_protocol`.
        proxy_protocol: bool = "false";
        /// Addresses and networks of the proxies, needed with `mqtt.proxy_protocol`. Connections from
        /// elsewhere are closed. `"0.0.0.0/0, ::/0"` believes whoever reaches the port: only for a port that
        /// nobody but the proxy can reach.
        proxies: Networks = "";
    }

    /// The people's side: REST, WebSocket, health and metrics.
    http: Http {
        /// Where HTTP is listened for. Without a host it is every address, or loopback with `--demo`.
        bind: Bind = ":8080";
        /// Where HTTPS is listened for, with the certificate of section `tls` and everything that HTTP has;
        /// `"off"` for nowhere. Clients are not asked for a certificate.
        tls_bind: OptionalBind = "off";
        /// The largest request body of the REST API. A larger one is answered with 413. The default is
        /// ThingsBoard's.
        body_max: ByteSize = "16MiB" from "64KiB" to "1GiB";
        /// How many HTTP and HTTPS connections may be open at once; WebSockets have bounds of their own. The
        /// next one is closed at accept. Each may cost about 80 KiB while it sends a request. A quarter of
        /// the limit of open files (`ulimit -n`) is the most, so that devices keep the rest.
        connections_max: u32 = "5000" from "10" to "1000000";
        /// The same for one address, or one /64 of IPv6. Raise it, or exempt the address, where many people
        /// or programs share one; `0` is no bound.
        connections_per_address_max: u32 = "512" from "0" to "1000000";
        /// Addresses and networks that the bound for one address does not concern, such as reverse proxies:
        /// `["10.0.0.0/8", "::1"]` or the same with commas.
        guard_exempt: Networks = "127.0.0.0/8, ::1";
        /// Every HTTP and HTTPS connection begins with a PROXY protocol header, version 1 or 2, that names the
        /// client. One that names none is taken as the proxy's own, so that it can ask for `/health`.
        proxy_protocol: bool = "false";
        /// Addresses and networks of the proxies, needed with `http.proxy_protocol`. Connections from
        /// elsewhere are closed. `"0.0.0.0/0, ::/0"` believes whoever reaches the port: only for a port that
        /// nobody but the proxy can reach.
        proxies: Networks = "";
        /// How long each of these may take to arrive: a TLS handshake, the head of a request, the body of
        /// somebody who has not signed in, and what a WebSocket signs in with. Who is slower is closed.
        arrival_timeout: Duration = "10s" from "1s" to "5m";
        /// The largest body of a device that speaks HTTP (`/api/v1/{token}/...`); 64 KiB where it is about
        /// calls and claims. A larger one is answered with 413. Bodies of all devices may take 64 MiB.
        device_body_max: ByteSize = "1MiB" from "1KiB" to "50MiB";
        /// How long a request of a device waits for a call or a change of attributes that names no time.
        /// The default is ThingsBoard's.
        device_poll_timeout: Duration = "60s" from "1s" to "1h";
        /// How long it waits at most, whatever it asks for.
        device_poll_timeout_max: Duration = "5m" from "1s" to "1h";
        /// How many requests of devices may wait at once. The next one is answered with 429. Each is an HTTP
        /// connection, so fewer than `http.connections_max` leave room for people.
        device_polls_max: u32 = "4000" from "1" to "1000000";
        /// The same for one device.
        device_polls_per_device_max: u32 = "4" from "1" to "1000";
        /// The largest firmware or software package that can be uploaded. A larger one is answered with
        /// 413. It is written to disk as it arrives, so a higher bound costs no memory. The default is
        /// ThingsBoard's.
        upload_max: ByteSize = "50MiB" from "64KiB" to "2GiB";
    }

    /// The server's certificate, for MQTT over TLS and for HTTPS. Without one of your own, a CA and a server
    /// certificate are made at the first start and kept in the data directory. Files are looked at every
    /// second and taken up when they change, or at SIGHUP; open connections stay.
    tls: Tls {
        /// Your own server certificate: a PEM file with the certificate first, then its chain if there is
        /// one, and the key unless `tls.key` names it. Empty: a made one. A file that cannot be used stops
        /// the start; one that turns bad later is told once, and the former certificate stays in force.
        certificate: OptionalPath = "";
        /// The PEM file with the private key of `tls.certificate`: PKCS#8, PKCS#1 or SEC1. Empty: it is in
        /// the same file.
        key: OptionalPath = "";
        /// The passphrase of an encrypted key. It is never shown. Prefer `tls.key_passphrase_file` or the
        /// environment variable `THINGPORT__TLS__KEY_PASSPHRASE`: command lines are seen by everybody.
        key_passphrase: Secret = "";
        /// A file whose first line is the passphrase.
        key_passphrase_file: OptionalPath = "";
        /// The PEM file offered for download as `ca-root.pem`, which devices need to trust this server.
        /// Empty: the made CA, or the last certificate of the file of `tls.certificate`.
        ca: OptionalPath = "";
        /// Names and addresses the made certificate is good for, besides `localhost`, the name of this
        /// machine and its addresses: `["iot.example.com", "203.0.113.5"]` or the same with commas.
        names: Names = "";
        /// The oldest version of TLS that is spoken. `1.3` shuts out many older devices.
        min_version: TlsVersion = "1.2";
        /// Let devices in whose certificate has expired or is not valid yet.
        skip_client_validity: bool = "false";
    }

    /// Where things are kept.
    storage: Storage {
        /// The data directory. It is created when missing, and one process may use it at a time.
        dir: PathBuf = "thingport-data";
        /// The word with which a start that was refused because acknowledged data is missing goes on without
        /// it. It accepts exactly the loss it was shown for and is of no use afterwards.
        accept_loss: OptionalText = "";
        /// How long readings are kept; `0` keeps them for ever. A shorter time frees disk space, and what
        /// has expired cannot be brought back. Latest values and attributes do not expire.
        ttl: Duration = "0" from "0" to "36500d";
        /// Size of one file of the ingest log, in whole units of 4 KiB. Larger files are recycled less often
        /// and make the part replayed after a crash longer.
        log_segment_size: ByteSize = "64MiB" from "1MiB" to "1GiB";
        /// How much may wait for the next commit, at most half of a log file. When it is full, sockets of
        /// devices are not read. More rides out a slow disk longer; less shortens the longest wait for an
        /// acknowledgement.
        commit_queue_max: ByteSize = "8MiB" from "64KiB" to "512MiB";
        /// How much acknowledged data may wait in memory to be written as compressed chunks. When it is
        /// full, sockets of devices are not read until a part has been written.
        head_memory_max: ByteSize = "256MiB" from "16MiB" to "64GiB";
    }

    /// When devices count as active. A device is active from its first word until it said nothing for its
    /// inactivity timeout, whether it is connected or not.
    activity: Activity {
        /// For how long a device may say nothing before it becomes inactive, unless its server attribute
        /// `inactivityTimeout` (milliseconds) says otherwise. The default is ThingsBoard's.
        inactivity_timeout: Duration = "10m" from "1s" to "3650d";
        /// How often the server attribute `lastActivityTime` of a device that sends is written. More often is
        /// more to store: at most one attribute per device in this time. The default is ThingsBoard's.
        report_interval: Duration = "3s" from "3s" to "1h";
    }

    /// How devices become a customer's.
    device: Device {
        /// Whether devices may be claimed without more. `false` demands the server attribute
        /// `claimingAllowed` = true. The default is ThingsBoard's.
        allow_claiming_by_default: bool = "true";
        /// For how long a device may be claimed that names no time of its own. The default is ThingsBoard's.
        claim_duration: Duration = "24h" from "1s" to "3650d";
    }

    /// Calls that people make to devices (RPC).
    rpc: Rpc {
        /// The order in which the pending calls of a device are sent: `BURST`, all at once, each time the
        /// device subscribes; `SEQUENTIAL_ON_ACK_FROM_DEVICE`, the next one when the device has
        /// acknowledged the one before; `SEQUENTIAL_ON_RESPONSE_FROM_DEVICE`, the next one when it has
        /// answered. The default is ThingsBoard's.
        submit_strategy: Strategy = "BURST";
        /// How long a device may take to acknowledge a call; then it counts as not delivered and is tried
        /// again when its turn comes. The default is ThingsBoard's.
        delivery_timeout: Duration = "10s" from "1s" to "1h";
        /// How long the answer to a delivered call may hold up the next one, where the strategy waits for
        /// answers; then the call has failed. The default is ThingsBoard's.
        response_timeout: Duration = "30s" from "1s" to "1h";
        /// How often a call that was not acknowledged may be tried again, whatever its caller asked for. The
        /// default is ThingsBoard's.
        retries_max: u32 = "5" from "0" to "1000";
        /// Disconnect a device that does not acknowledge a call however often it is tried; the call begins
        /// anew when the device is back. Without, the call has failed and the device stays.
        close_session_on_delivery_timeout: bool = "false";
    }

    /// Calls out to receivers that device profiles name: webhooks.
    outbound: Outbound {
        /// Addresses and networks that may be called although they are near this machine:
        /// `["127.0.0.0/8", "::1"]` for receivers on the machine itself. Without, loopback, link-local and
        /// group addresses and those where clouds answer their machines are not called, because whoever
        /// may edit a device profile need not be somebody who may reach them.
        allow: Networks = "";
        /// Addresses and networks that are not called unless `outbound.allow` holds them, such as
        /// `"10.0.0.0/8"`. `"0.0.0.0/0, ::/0"` leaves only those of `outbound.allow`.
        refuse: Networks = "";
        /// A PEM file with certificates of authorities that receivers over HTTPS may be certified by, besides
        /// the public ones. A file that cannot be used stops the start.
        ca_file: OptionalPath = "";
        /// How many requests for one device profile may be under way at once; the next ones wait. More
        /// helps where receivers are slow; each takes an open file on both sides.
        requests_max: u32 = "32" from "1" to "512";
    }

    /// Forwarding of what devices say to targets that device profiles name.
    forward: Forward {
        /// How much of the ingest log is kept for targets that are behind, all together. What is older is
        /// given up for those that need it, with an incident. More rides out longer outages and takes
        /// that much more disk while one lasts; targets that keep up need none of it.
        backlog_max: ByteSize = "1GiB" from "16MiB" to "10240GiB";
    }

    /// Edge nodes of Sparkplug B: devices of profiles with that flag.
    sparkplug: Sparkplug {
        /// The name of this host in the topic `spBv1.0/STATE/<host id>`, on which edge nodes hear whether it
        /// is there: what they have as their primary host. One for the whole server.
        host_id: HostId = "thingport";
        /// How long a message of an edge node that comes too early waits for those that are missing. When
        /// they have not come, the edge node is asked for its births again. `0s` waits for none.
        reorder_timeout: Duration = "2s" from "0s" to "60s";
        /// How many metrics an edge node may declare together with its devices, and send in one payload.
        /// Each costs some 150 bytes while the edge node is connected, beside its name.
        metrics_max: u32 = "10000" from "100" to "1000000";
        /// The quality of service of commands: `0`, which the standard asks for, or `1`, which tells whether
        /// the edge node has them.
        command_qos: u32 = "0" from "0" to "1";
        /// Refuse an NBIRTH without the metric bdSeq. One that differs from that of the will always is.
        require_bdseq: bool = "false";
        /// Refuse wills with quality of service 0, as ThingsBoard does. The standard asks for 1, but
        /// sparkplug-client and pysparkplug, which many edge nodes are made with, send 0. Since the will is
        /// never published, nothing depends on it; an event tells of it.
        strict_wills: bool = "false";
    }

    /// Logins of people and programs.
    auth: Auth {
        /// How long an access token is good. Shorter limits the harm of a stolen one. The default is
        /// ThingsBoard's.
        token_lifetime: Duration = "9000s" from "1m" to "365d";
        /// How long a refresh token is good: after so long without use a person logs in again.
        /// The default is ThingsBoard's.
        refresh_lifetime: Duration = "7d" from "1m" to "3650d";
        /// Whether administrators may get tokens of their users, that is act as them
        /// (`GET /api/user/{userId}/token`).
        user_token_access: bool = "false";
        /// The `iss` claim of tokens. Give each installation its own name when one program talks to several.
        issuer: String = "thingport";
    }

    /// What is said about our own work.
    log: Log {
        /// The least severe line written. `debug` follows single sessions; `trace` follows single packets
        /// and may show payloads.
        level: Level = "info";
        /// Lines for people (`text`) or for a log collector (`json`).
        format: Format = "text";
    }

    /// ThingsBoard behaviours we left on purpose and some clients still expect.
    compat: Compat {
        /// Send an MQTT 5 DISCONNECT after a CONNACK that refused, as ThingsBoard does. The standard
        /// forbids it (MQTT 5, section 3.14), so it is off.
        disconnect_after_refusal: bool = "false";
        /// Answer *session present* with the opposite of clean session, as ThingsBoard does, for client
        /// libraries that refuse a CONNACK without it. Otherwise it tells the truth; with this a device that
        /// relies on it may hear nothing, since its subscriptions may not be there.
        mirror_session_present: bool = "false";
        /// Tell errors of software downloads on `v2/sw/error`, to which devices can subscribe. Otherwise they
        /// come on `v2/fw/error`, as with ThingsBoard, whichever package was asked for.
        software_errors_apart: bool = "false";
        /// Close the connection when a rate limit refuses a message. Without, an MQTT 5 device is told by
        /// PUBACK *quota exceeded* and stays; older versions have no such answer and are closed anyway.
        rate_limit_disconnect: bool = "true";
    }
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Self::from_table();
        config.complete_hosts(super::EVERY_ADDRESS);
        config
    }
}

impl Config {
    /// Gives `host` to every bind that has only a port.
    pub(crate) fn complete_hosts(&mut self, host: &str) {
        let secure = [&mut self.mqtt.tls_bind.0, &mut self.http.tls_bind.0];
        let plain = [&mut self.mqtt.bind, &mut self.http.bind];
        for bind in plain.into_iter().chain(secure.into_iter().flatten()) {
            bind.complete_host(host);
        }
    }
}
