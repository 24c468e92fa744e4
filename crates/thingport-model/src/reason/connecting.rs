//! The reasons that concern connections, logins and packets: 1xx to 3xx of the one list.

/// Hands its rows to the macro that is named, which adds the others.
macro_rules! connecting {
    ($then:ident) => { $then! {
    // 1xx: the connection, before or beside any login.
    ConnectTimeout = 100, "connect.timeout", Device,
        "The peer opened a connection but did not complete an MQTT CONNECT in time.",
        "Check that an MQTT client, not a browser or a probe, uses this port, and that it sends CONNECT at once.";
    NotConnectFirst = 101, "connect.not_first", Device,
        "The first packet was not CONNECT, as MQTT demands.",
        "Check that the client speaks plain MQTT on this port; a TLS client belongs on the TLS port.";
    SecondConnect = 102, "connect.second", Device,
        "A second CONNECT arrived on a connection that was already open.",
        "Open a new connection instead of sending CONNECT again.";
    UnknownProtocolName = 103, "connect.protocol_name", Device,
        "The CONNECT packet names a protocol other than MQTT or MQIsdp.",
        "Use an MQTT 3.1, 3.1.1 or 5 client.";
    UnsupportedProtocolVersion = 104, "connect.protocol_version", Device,
        "The CONNECT packet asks for an MQTT version that does not exist here; 3.1, 3.1.1 and 5 do.",
        "Set the client to MQTT 3.1.1 or 5.";
    ClientIdInvalid = 105, "connect.client_id", Device,
        "The client id is empty where one is needed, or longer than 256 bytes.",
        "Set a client id of 1 to 256 bytes, or ask for a clean session.";
    EnhancedAuthentication = 106, "connect.auth_method", Device,
        "The CONNECT packet asks for an authentication method; only user name and password are understood.",
        "Remove the authentication method from the client's settings.";
    WillInvalid = 107, "connect.will", Device,
        "The will in the CONNECT packet is not valid.",
        "Give the will a topic without wildcards and a QoS of 0 or 1, or remove it.";
    TooManyConnections = 108, "connect.too_many", Server,
        "The server already holds as many connections as it may.",
        "Try again later, or raise mqtt.connections_max.";
    TooManyBeforeConnack = 109, "connect.pipelined", Device,
        "The client sent more packets before CONNACK than may wait.",
        "Wait for CONNACK before publishing.";
    AddressBlocked = 110, "connect.address_blocked", Operator,
        "Too many logins from this address failed, so its new connections are closed for a minute.",
        "Correct the credentials of the devices behind this address; the incidents before this one name them.";
    TooManyFromAddress = 111, "connect.too_many_from_address", Device,
        "Too many connections from this address are open without having logged in.",
        "Let clients send CONNECT as soon as they have connected; for a proxy, see mqtt.guard_exempt.";
    TooManyGuests = 112, "connect.too_many_guests", Server,
        "Too many connections are open without having logged in, so new ones are closed.",
        "Look for the addresses that open them, or raise mqtt.guests_max.";
    AcceptRateReached = 113, "connect.rate", Server,
        "More connections arrive per second than are accepted, so some are closed.",
        "Nothing, if it passes by itself as after a restart; otherwise raise mqtt.accept_rate_max.";
    ProxyHeaderInvalid = 114, "connect.proxy_header", Operator,
        "The connection did not begin with a valid PROXY protocol header, as the configuration demands.",
        "Let the proxy send PROXY protocol 1 or 2, or turn proxy_protocol off for this port (mqtt or http).";
    ProxyUntrusted = 115, "connect.proxy_untrusted", Operator,
        "The connection did not come from one of the proxies that are trusted.",
        "Connect through the proxy, or add its address to mqtt.proxies or http.proxies.";
    SparkplugWill = 120, "connect.sparkplug_will", Device,
        "The device's profile is for Sparkplug B edge nodes, and the will in the CONNECT packet is no death certificate.",
        "Let the client set a will with the topic spBv1.0/<group>/NDEATH/<edge node>, quality of service 1, not retained, and a payload with the metric bdSeq; for a device that is no edge node, choose another profile.";
    SparkplugSession = 121, "connect.sparkplug_session", Device,
        "A Sparkplug B edge node asked for a session that outlives its connection.",
        "Let the client ask for a clean session, and in MQTT 5 for a session expiry of 0.";
    SparkplugNodeTaken = 122, "connect.sparkplug_taken", Operator,
        "Another device of the tenant is connected as the same Sparkplug B edge node.",
        "Give each edge node its own group id and edge node id, and its own device.";

    // 2xx: login.
    TokenMissing = 200, "login.token_missing", Device,
        "Neither a user name nor a client id was sent; the access token belongs in the user name.",
        "Set the device's access token as the MQTT user name.";
    TokenMalformed = 201, "login.token_malformed", Device,
        "The user name is longer than 255 bytes or contains control characters, so it cannot be an access token.",
        "Copy the token again from the device's credentials, without line breaks.";
    CredentialsUnknown = 202, "login.unknown", Operator,
        "No device has these credentials.",
        "Compare the token with the one shown under the device's credentials; the device may have been deleted or its token changed.";
    PasswordWrong = 203, "login.password_wrong", Operator,
        "The user name is known, but the password does not match.",
        "Correct the password in the device or in its credentials.";
    CredentialsTypeUnsupported = 204, "login.type_unsupported", Operator,
        "The credentials belong to a device that logs in another way.",
        "Choose access token credentials for the device, or connect the way its credentials ask for.";
    ProfileNotMqtt = 205, "login.profile_transport", Operator,
        "The device's profile uses a transport other than MQTT.",
        "Set the profile's transport type to DEFAULT or MQTT, or give the device another profile.";
    LoginStoreUnavailable = 206, "login.store_unavailable", Server,
        "The credentials could not be checked because their store did not answer.",
        "Look at the server's health; the device will succeed when it retries.";
    ProvisioningUnavailable = 207, "login.provisioning_unavailable", Server,
        "The server already holds as many connections that wait to be provisioned as it may.",
        "Try again in a minute; if it persists, look for clients that log in as provision and stay.";

    ClientIdUnknown = 208, "login.client_id_unknown", Operator,
        "No user name was sent, and no device logs in with this client id.",
        "Set the device's access token as the MQTT user name, or register the client id in its credentials.";
    PasswordWithoutUserName = 209, "login.password_only", Device,
        "A password was sent without a user name.",
        "Set the device's access token as the MQTT user name; no password is needed with it.";
    ProfileNotHttp = 210, "login.profile_http", Operator,
        "The device's profile uses a transport other than HTTP.",
        "Set the profile's transport type to DEFAULT, or give the device another profile.";

    // 24x, 25x: provisioning.
    ProvisionMalformed = 240, "provision.malformed", Device,
        "The provisioning request lacks a member, or holds one of the wrong kind.",
        "Send provisionDeviceKey and provisionDeviceSecret as texts, and no null members.";
    ProvisionKeyEmpty = 241, "provision.key_empty", Device,
        "The provisioning request carries an empty key or secret.",
        "Copy key and secret from the device profile's provisioning settings.";
    ProvisionKeyUnknown = 242, "provision.key_unknown", Operator,
        "No device profile has this provisioning key, or its provisioning is switched off.",
        "Compare the key with the one in the device profile's provisioning settings.";
    ProvisionSecretWrong = 243, "provision.secret_wrong", Operator,
        "The provisioning key belongs to a device profile, but the secret does not match.",
        "Compare the secret with the one in the device profile's provisioning settings.";
    ProvisionByCertificate = 244, "provision.by_certificate", Operator,
        "The device profile provisions devices by their certificates, not by requests.",
        "Let the device connect over TLS with its certificate, or choose another provisioning strategy.";
    ProvisionNameInvalid = 245, "provision.name_invalid", Device,
        "The device name in the provisioning request is blank, too long or holds a tag.",
        "Send a name of 1 to 255 characters, or none to be given a random one.";
    ProvisionNameTaken = 246, "provision.name_taken", Operator,
        "A device of this name exists already, so it cannot be provisioned as a new one.",
        "Delete the device, let the peer ask under another name, or choose the strategy for devices that exist already.";
    ProvisionDeviceUnknown = 247, "provision.device_unknown", Operator,
        "The device profile provisions only devices that exist, and it has none of this name.",
        "Create the device with this profile first, or correct the name in the device.";
    ProvisionedAlready = 248, "provision.already", Operator,
        "The device was provisioned before, which happens once.",
        "If it lost its credentials, delete its server attribute provisionState and let it ask again.";
    ProvisionCredentialsInvalid = 249, "provision.credentials_invalid", Device,
        "The credentials in the provisioning request cannot be used.",
        "Send what the credentials type needs, or none to be given an access token.";
    ProvisionCredentialsTaken = 250, "provision.credentials_taken", Operator,
        "The credentials in the provisioning request belong to another device already.",
        "Give each device credentials of its own.";
    ProvisionDeviceLimit = 251, "provision.device_limit", Operator,
        "The tenant has as many devices as its profile allows.",
        "Delete devices, or raise maxDevices in the tenant profile.";
    ProvisionFailed = 252, "provision.failed", Server,
        "The device could not be provisioned because the store did not answer in time.",
        "Look at the server's health; the device may ask again.";
    ProvisionTopic = 253, "provision.topic", Device,
        "A connection that logged in as provision published to another topic than /provision/request.",
        "Log in with the device's own credentials to send data.";
    ProvisionFilter = 254, "provision.filter", Device,
        "A connection that logged in as provision may subscribe to /provision/response only.",
        "Log in with the device's own credentials to subscribe to anything else.";

    ProvisionGuesses = 255, "provision.guesses", Device,
        "A connection that logged in as provision asked too often with a wrong key or secret.",
        "Correct key and secret in the device before it connects again.";

    // 3xx: packets.
    MalformedPacket = 300, "packet.malformed", Device,
        "A packet could not be read as MQTT.",
        "Check the client library; the detail names the rule that was broken.";
    ProtocolViolation = 301, "packet.protocol_violation", Device,
        "A packet was readable but not allowed here by the MQTT rules.",
        "Check the client library; the detail names the rule that was broken.";
    PacketTooLarge = 302, "packet.too_large", Device,
        "A packet is larger than the server accepts.",
        "Send smaller messages, or raise mqtt.packet_size_max.";
    PacketTimeout = 303, "packet.timeout", Network,
        "A packet was begun but not completed in time.",
        "Check the network between device and server.";
    ReceiveMaximumExceeded = 304, "packet.receive_maximum", Device,
        "The client sent more unacknowledged messages than the server allowed in CONNACK.",
        "Let the client respect Receive Maximum.";
    TopicAliasInvalid = 305, "packet.topic_alias", Device,
        "A topic alias is zero, above the maximum from CONNACK, or was never set.",
        "Let the client respect Topic Alias Maximum.";
    TooManyProperties = 306, "packet.properties", Device,
        "A packet carries more or larger properties than the server accepts.",
        "Send fewer user properties.";
    QosNotSupported = 307, "packet.qos", Device,
        "The quality of service asked for does not exist.",
        "Use QoS 0, 1 or 2.";

    TextMessage = 308, "packet.text_message", Device,
        "A WebSocket client sent a text message, but MQTT over WebSocket is binary.",
        "Let the client send binary messages, as every MQTT library does.";
    } };
}
