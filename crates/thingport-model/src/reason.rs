//! Why: the closed list of every refusal, rejected message and disconnect.
//!
//! Explaining is a room of the domain, not logging. Whatever refuses returns one of these; the answer
//! in each protocol is derived from it elsewhere. A reason has a stable id (for REST, metrics and
//! logs), a stable number (for storage), whose move it is, one plain sentence, and a remedy.

#[macro_use]
mod connecting;
mod fault;

pub use fault::Fault;

macro_rules! reasons {
    ($($name:ident = $number:literal, $id:literal, $fault:ident, $sentence:literal, $remedy:literal;)*) => {
        /// Why something was refused, rejected or ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Reason {
            $(#[doc = $sentence] $name = $number,)*
        }

        impl Reason {
            /// Every reason, in order of number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Stable id, `area.what`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// Stable number of the stored form.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The reason with this stored number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// Whose move it is.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }

            /// What was wrong and what was expected, one sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }

            /// What to do about it, one sentence; empty when there is nothing to do.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

/// The rows from 4xx on, behind those of [`connecting`].
macro_rules! rest {
    ($($before:tt)*) => { reasons! { $($before)*

    // 4xx: topics and payloads.
    TopicUnknown = 400, "publish.topic_unknown", Device,
        "The topic is not one of the device API.",
        "Publish telemetry to v1/devices/me/telemetry or v2/t, attributes to v1/devices/me/attributes or v2/a.";
    TopicInvalid = 401, "publish.topic_invalid", Device,
        "The topic name is empty, too long, contains a wildcard, or lacks the number that is due.",
        "Publish to a concrete topic without + or #, with a whole number where the topic ends in one.";
    TopicNotServed = 402, "publish.topic_not_served", Operator,
        "The topic belongs to a part of the device API that this version does not serve.",
        "See docs/compatibility.md for what is served.";
    NotAGateway = 403, "publish.not_a_gateway", Operator,
        "A gateway topic was used by a device that is not a gateway.",
        "Mark the device as a gateway, or use v1/devices/me topics.";
    PayloadNotJson = 410, "payload.not_json", Device,
        "The payload is not a JSON document.",
        "Send a JSON object such as {\"temperature\": 25}.";
    PayloadShape = 411, "payload.shape", Device,
        "The payload is JSON, but not of the shape this topic expects.",
        "Send a JSON object: keys and values, or what this topic asks for; telemetry may also be {\"ts\":...,\"values\":{...}} or a list.";
    PayloadTimestamp = 412, "payload.timestamp", Device,
        "The member ts is not a number of milliseconds.",
        "Send ts as milliseconds since 1970, for example 1767225600000.";
    PayloadNumber = 413, "payload.number", Device,
        "A number has more digits or a larger exponent than can be kept.",
        "Send numbers of at most 400 digits with an exponent between -400 and 400.";
    PayloadKey = 414, "payload.key", Device,
        "A key is empty or longer than 255 characters.",
        "Use keys of 1 to 255 characters.";
    PayloadTooManyKeys = 415, "payload.too_many_keys", Device,
        "The payload has more keys than one message may carry.",
        "Split the message.";
    PayloadTooDeep = 416, "payload.too_deep", Device,
        "The payload is nested more deeply than can be kept.",
        "Flatten the payload.";
    PayloadStringTooLong = 417, "payload.string_too_long", Operator,
        "A text value is longer than the configured maximum.",
        "Send shorter texts, or raise the limit.";
    PayloadNotUtf8 = 418, "payload.not_utf8", Device,
        "The payload is marked as UTF-8 text but is not.",
        "Send UTF-8, or do not set the payload format indicator.";
    PayloadNotProtobuf = 419, "payload.not_protobuf", Device,
        "The payload is not the Protobuf message that is expected here.",
        "Encode it with the schema of the device profile, or see in the schema workbench what it holds.";
    MessageTooLarge = 420, "payload.too_large", Device,
        "The message carries more data than can be kept at once.",
        "Split the message, or raise storage.log_segment_size: half of it is the bound.";
    SchemaMissing = 421, "payload.no_schema", Operator,
        "The topic asks for a Protobuf schema, which the device profile does not have.",
        "Send JSON, or set the profile's payload type to Protobuf with a schema.";
    PayloadNotCbor = 422, "payload.not_cbor", Device,
        "The payload is not one CBOR item.",
        "Send a CBOR map such as {\"temperature\": 25}, without bytes before or behind it.";
    PayloadNotMessagePack = 423, "payload.not_msgpack", Device,
        "The payload is not one MessagePack value.",
        "Send a MessagePack map such as {\"temperature\": 25}, without bytes before or behind it.";

    // 43x, 44x: what devices ask and are told.
    PackageNotFound = 430, "package.not_found", Operator,
        "The device asked for firmware or software, but no package is assigned to it.",
        "Assign a package to the device or to its profile.";
    PackageChunkTooLarge = 431, "package.chunk_too_large", Device,
        "The device asked for a larger part of a package than it may have.",
        "Let it ask for smaller parts, or raise mqtt.packet_size_max.";
    PackageFailed = 432, "package.failed", Operator,
        "The package assigned to the device lies elsewhere or cannot be read, so it cannot be sent.",
        "Let the device download it from the address in its attributes, or upload the package.";
    PackageRequest = 433, "package.request", Device,
        "The device asked for firmware or software in a way that cannot be answered.",
        "Ask for title and version as in the shared attributes, with size and chunk as whole numbers from 0.";
    PollTime = 434, "http.timeout", Device,
        "The request says in a way that cannot be read how long it wants to wait.",
        "Give timeout as a whole number of milliseconds, such as ?timeout=60000, or leave it out.";
    ClientCallUnhandled = 440, "rpc.unhandled", Operator,
        "The device asked for a method that nobody handles.",
        "Set up a handler for the methods that devices of this profile call, or correct the method in the device.";
    TooManyClientCalls = 441, "rpc.too_many", Device,
        "The device asked again before enough of its earlier questions were answered.",
        "Let the device wait for answers before it asks again.";
    DownlinkTooLarge = 442, "downlink.too_large", Device,
        "A message for the device is larger than the client takes, so it was not sent.",
        "Raise Maximum Packet Size in the client, or send the device less at once.";
    TooManyDownlinks = 443, "downlink.too_many", Device,
        "The device does not acknowledge what it is sent, so a message for it was lost.",
        "Check the client's acknowledgements, or subscribe with quality of service 0.";
    DownlinkFormat = 444, "downlink.format", Operator,
        "A message to the device does not fit the form that the device wants.",
        "Give the call parameters that fit the rpc request schema of the device profile.";

    // 45x: claims.
    ClaimOwned = 450, "claim.owned", Operator,
        "The device said that it may be claimed, but it belongs to a customer already.",
        "Take the device from its customer if somebody else is to claim it.";
    ClaimNotAllowed = 451, "claim.not_allowed", Operator,
        "The device said that it may be claimed, but claiming is not allowed for it.",
        "Set its server attribute claimingAllowed to true, or device.allow_claiming_by_default.";
    ClaimTaken = 452, "claim.taken", Operator,
        "A user claimed the device, but it belongs to a customer already.",
        "Take the device from its customer if somebody else is to claim it.";
    ClaimNotOffered = 453, "claim.not_offered", Device,
        "A user claimed the device, but nothing says that it may be claimed.",
        "Let the device publish to v1/devices/me/claim first, or write its server attribute claimingData.";
    ClaimWrongSecret = 454, "claim.wrong_secret", Operator,
        "A user claimed the device with a wrong secret.",
        "Use the secretKey the device published; after a wrong one the device must publish it again.";
    ClaimExpired = 455, "claim.expired", Operator,
        "A user claimed the device after the time in which it may be claimed.",
        "Let the device publish to v1/devices/me/claim again, with a longer durationMs if need be.";
    ClaimGuessing = 456, "claim.guessing", Operator,
        "A user claimed the device after so many wrong secrets that it cannot be claimed for ten minutes.",
        "Wait ten minutes, then use the right secret.";

    // 46x: whoever answers what devices ask.
    ClientCallNoApplication = 460, "rpc.no_application", Operator,
        "The device asked for what an application answers, but no application takes requests.",
        "Start the application, and let it take requests at /api/thingport/client-rpc.";
    ClientCallNotAnswered = 461, "rpc.not_answered", Operator,
        "Nobody answered in time what the device asked.",
        "See why the application or webhook of the device profile is slow, or did not answer.";
    ClientCallsFull = 462, "rpc.full", Operator,
        "So many questions of devices wait for applications that another one was refused.",
        "Let applications answer faster, or let more of them take requests.";
    WebhookUnreachable = 463, "webhook.unreachable", Operator,
        "The webhook that answers the device's questions could not be reached.",
        "Check the URL in the device profile, and that the server can reach it.";
    WebhookUntrusted = 464, "webhook.untrusted", Operator,
        "The webhook that answers the device's questions did not prove who it is.",
        "Give it a certificate for the host of its URL, from a public CA or one of outbound.ca_file.";
    WebhookNotAllowed = 465, "webhook.not_allowed", Operator,
        "The webhook that answers the device's questions is at an address that may not be called.",
        "Correct the URL in the device profile, or add the address to outbound.allow.";
    WebhookTimedOut = 466, "webhook.timeout", Operator,
        "The webhook that answers the device's questions did not answer in time.",
        "Make the webhook faster, or raise timeoutMs of clientRpc in the device profile.";
    WebhookStatus = 467, "webhook.status", Operator,
        "The webhook that answers the device's questions answered with an error status.",
        "See in the log of the webhook why it refused; it is to answer with 200 and JSON.";
    WebhookAnswer = 468, "webhook.answer", Operator,
        "The webhook that answers the device's questions answered with no JSON, or with more than 64 KiB.",
        "Let the webhook answer with the JSON that the device is to get.";
    WebhookBusy = 469, "webhook.busy", Operator,
        "So many questions wait for the webhook of the device profile that another one was not sent.",
        "Make the webhook faster, or raise outbound.requests_max.";

    // 47x: forwarding.
    ForwardingFailed = 470, "forwarding.failed", Operator,
        "A target that messages are forwarded to does not take them now; they are kept and tried again.",
        "See at /api/thingport/forwarding what it answers, and check the target and its settings.";
    ForwardingRefused = 471, "forwarding.refused", Operator,
        "A target that messages are forwarded to refused a message of the device for good; it was set aside.",
        "Check what the target accepts: size, form, and the topic that the device's name makes.";
    ForwardingGivenUp = 472, "forwarding.given_up", Operator,
        "A target fell so far behind that the oldest messages for it were given up.",
        "Bring the target back or remove it from the device profile; raise forward.backlog_max for longer outages.";

    // 49x: Sparkplug B.
    SparkplugForeign = 490, "sparkplug.foreign", Device,
        "An edge node published in the name of another group or edge node than its will names.",
        "Let each edge node publish under its own group id and edge node id.";
    SparkplugNotForNodes = 491, "sparkplug.not_for_nodes", Device,
        "An edge node published a command or a STATE message, which only hosts may.",
        "Let the edge node publish births, data and deaths only.";
    SparkplugPayload = 492, "sparkplug.payload", Device,
        "The payload is not a Sparkplug B payload.",
        "Encode it with Sparkplug's own schema, uncompressed.";
    SparkplugTooManyMetrics = 493, "sparkplug.too_many_metrics", Operator,
        "An edge node declares or sends more metrics than it may.",
        "Split it into several edge nodes, or raise sparkplug.metrics_max.";
    SparkplugBirth = 494, "sparkplug.birth", Device,
        "A birth certificate breaks the rules, so it does not count.",
        "Give every metric a name and an alias of its own, and repeat the bdSeq of the will in NBIRTH.";
    SparkplugMetric = 495, "sparkplug.metric", Device,
        "A metric could not be kept; the rest of its payload was.",
        "Send values in the field that belongs to their type, within its range.";
    SparkplugOrder = 496, "sparkplug.order", Device,
        "The numbers of an edge node's messages have a gap, so it is asked for its births again.",
        "Look for messages that were lost, or not counted, between the edge node's program and its MQTT client.";
    SparkplugNotBorn = 497, "sparkplug.not_born", Device,
        "An edge node sent what no birth certificate declared, so it is asked for its births again.",
        "Let it publish NBIRTH, then DBIRTH of each device, before data, and all metrics in them.";
    SparkplugNoRebirth = 498, "sparkplug.no_rebirth", Device,
        "An edge node needs to send its births again and cannot be asked, or does not answer.",
        "Let it declare Node Control/Rebirth in its NBIRTH, subscribe to its NCMD topic, and send its births when asked.";
    SparkplugRemark = 499, "sparkplug.remark", Device,
        "An edge node does something in another way than the standard has it; no harm is done.",
        "Nothing, unless its maker would like to know.";


    // 48x: devices that speak through another.
    GatewayMessage = 480, "gateway.message", Device,
        "A gateway's message about its devices is not of the shape this topic expects.",
        "Send an object: the device's name in the member device, or for telemetry, attributes and claims one member per device.";
    ChildMessage = 481, "gateway.device_message", Device,
        "A part of a gateway's message that concerns one device cannot be read; the other devices' parts count.",
        "Correct what the gateway sends for the device that the detail names.";
    ChildName = 482, "gateway.device_name", Device,
        "A gateway spoke for a device whose name cannot be one.",
        "Use names of 1 to 255 characters, and not the gateway's own.";
    ChildLimit = 483, "gateway.device_limit", Operator,
        "A gateway spoke for a device that does not exist, and the tenant has as many devices as its profile allows.",
        "Delete devices, or raise maxDevices in the tenant profile.";
    ChildNotMade = 484, "gateway.device_not_made", Server,
        "A device behind a gateway could not be found or created because the store did not answer.",
        "Look at the server's health; the gateway may send it again.";
    TooManyChildren = 485, "gateway.too_many_devices", Operator,
        "A gateway speaks for more devices at once than it may.",
        "Let it disconnect devices it does not need, or divide them among several gateways.";

    // 5xx: subscriptions.
    FilterUnknown = 500, "subscribe.filter_unknown", Device,
        "The topic filter is not one of the device API; filters are matched as whole strings.",
        "Subscribe to v1/devices/me/attributes, v1/devices/me/rpc/request/+ or another filter of the device API.";
    FilterInvalid = 501, "subscribe.filter_invalid", Device,
        "The topic filter is not well formed.",
        "Use + only as a whole level and # only as the last level.";
    FilterShared = 502, "subscribe.shared", Device,
        "Shared subscriptions are not offered.",
        "Subscribe without $share/.";
    TooManyFilters = 503, "subscribe.too_many", Device,
        "One SUBSCRIBE packet carries more topic filters than are handled.",
        "Subscribe to the device API's filters only.";

    // 6xx: the session's end.
    ClientDisconnected = 600, "disconnect.client", Nobody,
        "The client said goodbye.", "";
    ConnectionLost = 601, "disconnect.lost", Network,
        "The connection ended without DISCONNECT.",
        "Check power and network of the device if this happens often.";
    KeepAliveTimeout = 602, "disconnect.keep_alive", Network,
        "Nothing was heard for one and a half times the keep alive the client announced.",
        "Check the network, or let the client send PINGREQ in time.";
    Inactive = 603, "disconnect.inactive", Device,
        "The session did nothing for longer than the session inactivity timeout.",
        "Set a keep alive in the client so that it pings.";
    TakenOver = 604, "disconnect.taken_over", Operator,
        "Another connection logged in as the same device; a device has one connection.",
        "If this repeats, two clients share one access token: give each its own device.";
    ServerShuttingDown = 605, "disconnect.shutdown", Server,
        "The server is shutting down.",
        "The device will succeed when it reconnects.";
    DeviceDeleted = 606, "disconnect.device_deleted", Operator,
        "The device was deleted.", "Create the device again, or switch the hardware off.";
    CredentialsChanged = 607, "disconnect.credentials_changed", Operator,
        "The device's credentials were changed.",
        "Give the device its new credentials.";
    SlowReader = 608, "disconnect.slow_reader", Device,
        "The client does not read what the server sends.",
        "Check the client's receive loop and the network.";
    ProfileChanged = 609, "disconnect.profile_changed", Operator,
        "The device's profile changed so that it may no longer use MQTT.",
        "Give the device a profile with transport type DEFAULT or MQTT.";

    ProvisioningDone = 620, "disconnect.provisioned", Nobody,
        "The peer was given its answer and did not leave by itself.", "";
    ProvisioningIdle = 621, "disconnect.provisioning_idle", Device,
        "A connection that logged in as provision did not ask for anything in time.",
        "Publish to /provision/request, or log in with the device's own credentials.";

    // 7xx: the server's own troubles.
    StorageFull = 700, "storage.full", Server,
        "The disk is full, so nothing can be kept and nothing is acknowledged.",
        "Free disk space; Thingport resumes by itself.";
    StorageFailed = 701, "storage.failed", Server,
        "The disk reported an error, so nothing is acknowledged until the server was restarted.",
        "Check the disk and the log, then restart the server.";
    StorageBusy = 702, "storage.busy", Server,
        "The storage cannot take more at the moment.",
        "Send again; if it persists, look at the commit latency metrics.";
    Internal = 703, "server.internal", Server,
        "The server met an error of its own.",
        "Look at the log around this time and report it.";

    AnswerFailed = 704, "server.answer_failed", Server,
        "The store could not be read, so a question of the device was not answered.",
        "Look at the server's health; the device may ask again.";

    CallNotDelivered = 710, "call.not_delivered", Device,
        "A call to the device ended before the device listened to calls.",
        "Let the device connect and subscribe to v1/devices/me/rpc/request/+ before its time is over.";
    CallNotAcknowledged = 711, "call.not_acknowledged", Device,
        "The device did not acknowledge a call in time.",
        "Let the device send PUBACK as soon as it has read a message, or subscribe with QoS 0.";
    CallNotAnswered = 712, "call.not_answered", Device,
        "The device was given a call and did not answer it in time.",
        "Let the device publish its answer to v1/devices/me/rpc/response/ and the number of the call.";
    CallOverdue = 714, "call.overdue", Operator,
        "A call to the device was not sent, since its expirationTime had passed when it was made.",
        "Give a moment to come, in milliseconds since 1970 (UTC), or a timeout; check the clock of whoever calls.";
    CallsFull = 713, "call.too_many", Operator,
        "So many calls wait for the device that another one was refused.",
        "Let the device connect and answer, delete calls that wait, or give calls a shorter life.";

    // 8xx: limits.
    RateLimited = 800, "limit.rate", Operator,
        "A rate limit was reached.",
        "Send less often, or raise the limit in the tenant profile.";
    RateSlowed = 801, "limit.slowed", Operator,
        "A rate limit was reached, so the device is listened to more slowly.",
        "Send less often, or raise the limit in the tenant profile.";
    TooManyPolls = 802, "limit.polls", Device,
        "Too many HTTP requests of devices wait for something already.",
        "Wait with few requests at a time for one device, or let the devices use MQTT.";
    QuotaReached = 803, "limit.month", Operator,
        "The tenant has used up its quota of this month.",
        "Raise maxTransportMessages or maxTransportDataPoints in the tenant profile, or wait for the next month (UTC).";
    QuotaNear = 804, "limit.month_near", Operator,
        "The tenant has used four fifths of its quota of this month.",
        "Raise maxTransportMessages or maxTransportDataPoints in the tenant profile before devices are refused.";
    SessionNotKept = 810, "session.not_kept", Server,
        "So many sessions are kept already that the one of this device is not.",
        "Raise mqtt.sessions_kept_max or mqtt.sessions_kept_per_tenant_max, or let devices that need none ask for clean sessions.";
    SessionReplaced = 811, "session.replaced", Operator,
        "The kept session of the device ended because the device opened one under another client id.",
        "Let the device use the same client id each time it connects.";
    SessionExpired = 812, "session.expired", Device,
        "The device did not come back in time, so its kept session ended.",
        "Let the device connect more often, or ask for a longer session; mqtt.session_expiry_max is the longest.";
    SessionMessagesLost = 813, "session.messages_lost", Device,
        "Messages that the device did not acknowledge are not kept with its session, because there is no room.",
        "Let the device acknowledge messages as they come, and ask again for what it misses.";
    SessionKeysFull = 814, "session.too_many_changes", Operator,
        "So many shared attributes changed while the device was away that it will be told all of them, but not which were deleted before.",
        "Let the device connect more often, or ask for its attributes when it has connected.";

    // 90x: the TLS handshake. 92x and more: certificates of devices.
    TlsHandshakeTimeout = 900, "tls.timeout", Network,
        "The TLS handshake was not completed in time.",
        "Check the network between device and server, and that a TLS client, not a probe, uses this port.";
    PlainOnTlsPort = 901, "tls.plain_client", Device,
        "The client speaks no TLS, but this port does.",
        "Turn TLS on in the client, or let it use the port for MQTT without TLS.";
    TlsOnPlainPort = 902, "tls.on_plain_port", Device,
        "The client begins a TLS handshake, but this port speaks plain MQTT.",
        "Let the client use the port for MQTT over TLS, or turn TLS off in it.";
    TlsVersionTooOld = 903, "tls.version", Device,
        "The client and the server have no TLS version in common; 1.2 and 1.3 are spoken here.",
        "Allow TLS 1.2 or 1.3 in the client, or update its TLS library.";
    TlsNoCommonCipher = 904, "tls.cipher", Device,
        "The client and the server have no cipher suite, curve or kind of signature in common.",
        "Allow a suite with ECDHE and AES-GCM or ChaCha20 in the client, and the curve P-256 or X25519.";
    ServerCertificateRejected = 905, "tls.server_certificate_rejected", Operator,
        "The client does not trust the server's certificate.",
        "Give the client the CA file of the server's certificate, and let it connect to a name the certificate holds.";
    ClientKeyWrong = 906, "tls.client_key", Device,
        "The client does not hold the private key of the certificate it presented.",
        "Give the device the certificate and the private key that were made together.";
    ClientCertificateUnusable = 907, "tls.client_certificate", Device,
        "The certificate the client presented cannot be used.",
        "Use a certificate with an RSA key of at least 2048 bits, an EC key on P-256 or P-384, or an Ed25519 key.";
    TlsHandshakeAborted = 908, "tls.aborted", Device,
        "The client ended the TLS handshake.",
        "Look at the client's log; most often it does not trust the server's certificate and needs its CA file.";
    TlsMalformed = 909, "tls.malformed", Device,
        "What the client sent breaks the rules of TLS.",
        "Check the client's TLS library, and that nothing between client and server changes the bytes.";
    TooManyHandshakes = 910, "tls.too_many", Server,
        "The server is already busy with as many TLS handshakes as it may be.",
        "The device will succeed when it tries again; if it persists, look for clients that connect and say nothing.";

    CertificateUnknown = 920, "certificate.unknown", Operator,
        "No device has the certificate, and no device profile names a CA that issued it.",
        "Paste the certificate into the device's credentials, or its CA's into a device profile; the fingerprint in the detail must be the credentials id.";
    CertificateExpired = 921, "certificate.expired", Operator,
        "The certificate of the device has expired.",
        "Give the device a new certificate and register it; tls.skip_client_validity lets old ones in meanwhile.";
    CertificateNotYetValid = 922, "certificate.not_yet_valid", Operator,
        "The certificate of the device is not valid yet.",
        "Check the server's clock and the clock of the computer that issued the certificate.";
    CertificateUnreadable = 923, "certificate.unreadable", Device,
        "The certificate of the device could not be read.",
        "Make the certificate again with an ordinary tool such as openssl.";
    CertificateNotExpected = 924, "certificate.other_credentials", Operator,
        "The certificate names a device whose credentials are not a certificate.",
        "Set the device's credentials type to X.509, or let it log in the way its credentials ask for.";
    CertificateRevoked = 925, "certificate.revoked", Operator,
        "The certificate is on the revocation list of the device's profile.",
        "Give the device a new certificate, or take the old one from the list.";
    CertificateOlder = 926, "certificate.older", Operator,
        "The certificate is older than the one that the device of its name has.",
        "Let the device use its newest certificate; paste this one into the device's credentials if it shall count after all.";
    ChainBroken = 930, "chain.broken", Operator,
        "The certificate claims to be issued below a profile's CA, but no valid path leads there.",
        "Let the device present every certificate between its own and the CA's, and make it with the CA's own key.";
    ChainExpired = 931, "chain.expired", Operator,
        "A certificate between the device's and the profile's CA, or the CA's own, is out of its period.",
        "Renew that certificate, and put the new one into the profile or the device's chain.";
    ChainNotCa = 932, "chain.not_ca", Operator,
        "A certificate issued another one without being allowed to.",
        "Make the issuer's certificate with basicConstraints=CA:TRUE and, if it has a keyUsage, keyCertSign.";
    ChainLeaf = 933, "chain.leaf", Operator,
        "The certificate is not one for a device to log in with.",
        "Make it without CA:TRUE and keyCertSign; a keyUsage needs digitalSignature, an extendedKeyUsage clientAuth.";
    ChainAlgorithm = 934, "chain.algorithm", Operator,
        "A certificate is signed with an algorithm or a key that is no longer trusted.",
        "Issue it again with SHA-256 and RSA of at least 2048 bits, P-256, P-384 or Ed25519.";
    ChainExtension = 935, "chain.extension", Operator,
        "A certificate has a critical extension that is not understood.",
        "Issue it again without the extension, or set the profile's chainVerification to COMPATIBLE.";
    ChainListStale = 936, "chain.list_stale", Operator,
        "The revocation list of the device profile is older than it may be.",
        "Put the CA's newest list into the profile.";
    ChainNameMissing = 940, "chain.name_missing", Operator,
        "The profile's expression finds no device name in the common name of the certificate.",
        "Correct certificateRegExPattern in the device profile, or the common name of the certificate.";
    ChainNameInvalid = 941, "chain.name_invalid", Operator,
        "What the profile's expression finds in the common name cannot be a device name.",
        "Let its first group find 1 to 255 characters without control characters.";
    ChainDeviceUnknown = 942, "chain.device_unknown", Operator,
        "The certificate is good, but there is no device of its name and the profile creates none.",
        "Create the device with this profile and X.509 credentials, or allow the profile to create new devices.";
    ChainDeviceElsewhere = 943, "chain.device_elsewhere", Operator,
        "The certificate is good, but the device of its name has another profile.",
        "Move the device to the profile whose CA issued the certificate, or name it otherwise.";
    ChainDisputed = 944, "chain.disputed", Operator,
        "The certificate is issued below CAs that device profiles of several tenants name, so it is nobody's.",
        "Take the CA from the profiles of all tenants but one, or give each tenant a CA of its own; a certificate pasted into a device's credentials counts at once.";
    } };
}

connecting! { rest }

impl Reason {
    /// Whether this is an ordinary ending that needs nobody's attention.
    #[must_use]
    pub fn is_ordinary(self) -> bool {
        self.fault() == Fault::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_is_found_again_and_explains_itself() {
        let mut ids = BTreeSet::new();
        for reason in Reason::ALL.iter().copied() {
            assert_eq!(Reason::from_number(reason.number()), Some(reason));
            assert!(ids.insert(reason.id()), "{} twice", reason.id());
            assert!(reason.id().contains('.') && !reason.id().contains(' '));
            assert!(reason.sentence().ends_with('.'), "{}", reason.id());
            assert!(reason.is_ordinary() || reason.remedy().ends_with('.'), "{}", reason.id());
        }
        assert_eq!(Reason::from_number(0), None);
    }
}
