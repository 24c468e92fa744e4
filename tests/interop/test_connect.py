"""Who is let in, and what everybody else is told: MQTT 3.1, 3.1.1 and 5, byte for byte."""

import pytest
import paho.mqtt.client as paho

import wire as w
from rest import fresh
from server import until
from wire import CONNACK, V5, V31, V311, VERSIONS, connect

REFUSED, LET_IN = None, 0


@pytest.fixture(scope="module")
def logins(tenant):
    """One device per kind of credentials. `names` maps the words of the table to what is sent."""
    names = {word: fresh(word) for word in ("C", "CU", "U", "CUP", "U3", "UP", "U4", "T", "unknown", "COAP")}
    basics = {
        "client id": {"clientId": names["C"]},
        "client id and user": {"clientId": names["CU"], "userName": names["U"]},
        "all three": {"clientId": names["CUP"], "userName": names["U3"], "password": "P"},
        "user and password": {"userName": names["U4"], "password": "P"},
    }
    devices = {"token": tenant.new_device(names["T"])}
    for name, value in basics.items():
        devices[name] = tenant.new_device()
        tenant.save_credentials(devices[name], "MQTT_BASIC", value=value)
    # A device whose access token is also the user name of "all three" (AU-025, AU-026).
    devices["token like a user"] = tenant.new_device(names["U3"])
    coap = tenant.new_profile("COAP")
    devices["coap"] = tenant.new_device(names["COAP"], deviceProfileId=coap["id"])
    return names, devices


# id, client id, user name, password, v3 return code, v5 reason code, device reached.
# Words in capitals stand for names of the fixture, "-" is an absent field.
LOGIN_TABLE = [
    ("AU-020 token", "any", "T", "-", 0, 0, "token"),
    ("AU-020 token and password", "any", "T", "whatever", 0, 0, "token"),
    ("AU-021 client id", "C", "-", "-", 0, 0, "client id"),
    ("AU-023 client id and user", "CU", "U", "-", 0, 0, "client id and user"),
    ("AU-024 all three", "CUP", "U3", "P", 0, 0, "all three"),
    ("AU-025 wrong password", "CUP", "U3", "wrong", 5, 0x86, None),
    ("AU-025 no password", "CUP", "U3", "-", 5, 0x86, None),
    ("AU-026 other client id is the token", "any", "U3", "whatever", 0, 0, "token like a user"),
    ("AU-028 user missing", "CU", "-", "-", 4, 0x85, None),
    ("AU-029 user and password", "any", "U4", "P", 0, 0, "user and password"),
    ("AU-029 wrong password", "any", "U4", "wrong", 5, 0x86, None),
    ("AU-030 user beside a client id record", "C", "unknown", "-", 5, 0x86, None),
    ("AU-031 token as client id", "T", "-", "-", 4, 0x85, None),
    ("AU-031 token as password", "any", "unknown", "T", 5, 0x86, None),
    ("TV-002 unknown token", "any", "unknown", "-", 5, 0x86, None),
    ("2.6 unknown user and password", "any", "unknown", "P", 5, 0x86, None),
    ("TV-003 unknown client id alone", "unknown", "-", "-", 4, 0x85, None),
    ("TV-004 nothing at all", "", "-", "-", 4, 0x87, None),
    ("2.6 blank token", "any", " ", "-", 4, 0x86, None),
    ("2.6 token too long", "any", "x" * 256, "-", 4, 0x86, None),
    ("2.6 token with control characters", "any", "a\tb", "-", 4, 0x86, None),
    ("2.6 longest token", "any", "x" * 255, "-", 5, 0x86, None),
    ("AU-009 profile of another transport", "any", "COAP", "-", 3, 0x88, None),
]


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
@pytest.mark.parametrize("row", LOGIN_TABLE, ids=lambda row: row[0])
def test_every_row_of_the_login_table(wire, logins, row, version):
    names, devices = logins
    name, client_id, user, password, v3, v5, reached = row
    client_id, user, password = (
        None if it == "-" else names.get(it, it) for it in (client_id, user, password))
    if client_id == "" and version == V31:
        v3 = 2  # C-9: 3.1 knows no empty client id
    answer = wire(version).ask(connect(version, client_id, user, password), CONNACK)
    assert answer.code == (v5 if version == V5 else v3)
    if reached is None:
        return
    # Let in, and as the right device: what is published now is read back from it.
    connection = wire(version)
    connection.ask(connect(version, client_id, user, password), CONNACK)
    mark = fresh("mark")
    connection.ask(w.publish("v2/t", f'{{"mark":"{mark}"}}', 1, 7, version), w.PUBACK)
    assert devices[reached].value("mark") == mark


def test_a_password_without_user_name_is_legal_in_version_5_alone(wire):
    assert wire(V5).ask(connect(V5, "any", None, "P"), CONNACK).code == 0x86
    for version in (V31, V311):  # C-7
        connection = wire(version)
        connection.send(connect(version, "any", None, "P"))
        assert connection.outcome() == "close"


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
@pytest.mark.parametrize("client_id, clean, v31, v311, v5", [
    ("", True, 2, 0, 0),
    ("", False, 2, 2, 0),
    ("x" * 23, True, 0, 0, 0),
    ("x" * 24, True, 0, 0, 0),
    ("x" * 256, True, 0, 0, 0),
    ("x" * 257, True, 2, 2, 0x85),
])
def test_client_identifiers(wire, device, version, client_id, clean, v31, v311, v5):
    """C-9."""
    answer = wire(version).ask(connect(version, client_id, device.token, clean=clean), CONNACK)
    assert answer.code == {V31: v31, V311: v311, V5: v5}[version]
    if version == V5 and client_id == "":
        assert answer.properties[w.ASSIGNED_CLIENT_ID], "an empty client id is given one"


def test_refusals_look_exactly_like_this(wire):
    """0.3: nothing but CONNACK, then the end; never DISCONNECT (C-16)."""
    for version, expected in ((V31, "20020005"), (V311, "20020005")):
        connection = wire(version)
        connection.send(connect(version, "any", fresh("nobody"), clean=False))
        assert connection.packet().raw.hex() == expected
        assert connection.packet() is None
    connection = wire(V5)
    connection.send(connect(V5, "any", fresh("nobody"), clean=False))
    assert connection.outcome() == "CONNACK 0x86 close"


def test_acceptance_says_what_is_granted(wire, device):
    """0.3, C-13, C-18: session present is the truth; version 5 hears every limit."""
    for version in (V31, V311):
        for clean in (True, False):
            assert wire(version).ask(connect(version, "a", device.token, clean=clean)).raw.hex() == "20020000"
    answer = wire(V5).ask(connect(V5, "a", device.token, clean=False,
                                  properties=[(w.SESSION_EXPIRY, 0xFFFFFFFF)]), CONNACK)
    assert answer.session_present == 1
    stated = answer.properties
    assert stated[w.PACKET_SIZE_MAX] == 65536
    assert stated[w.RECEIVE_MAXIMUM] == 100
    assert stated[w.ALIAS_MAXIMUM] == 16
    assert stated[w.SHARED] == 0
    assert stated[w.SESSION_EXPIRY] == 7 * 24 * 3600, "S-1: for so long at most, and the client is told"
    assert w.ASSIGNED_CLIENT_ID not in stated and w.SERVER_KEEP_ALIVE not in stated


# row, first bytes of a connection, what follows. The rows of sections 2 and 3 that concern CONNECT.
TOKEN = "@"  # replaced by a device's token
CONNECT_TABLE = [
    ("C-1 ping first", w.PING, "close"),
    ("C-1 publish first", w.publish("v2/t", "{}"), "close"),
    ("C-1 not MQTT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "close"),
    ("C-1 TLS", bytes.fromhex("16030100c8010000c40303") + bytes(50), "close"),
    ("C-3 unknown name", connect(V311, "a", TOKEN, name="MQTS"), "close"),
    ("C-3 lower case", connect(V311, "a", TOKEN, name="mqtt"), "close"),
    ("C-4 level 6", connect(V311, "a", TOKEN, level=6), "CONNACK 0x84 close"),
    ("C-4 level 3 of MQTT", connect(V311, "a", TOKEN, level=3), "CONNACK 0x01 close"),
    ("C-4 level 4 of MQIsdp", connect(V31, "a", TOKEN, level=4), "CONNACK 0x01 close"),
    ("C-4 bridge bit", connect(V31, "a", TOKEN, level=0x83), "CONNACK 0x84 close"),
    ("C-5 reserved flag, 3.1.1", connect(V311, "a", flags=0x03), "close"),
    ("C-5 reserved flag, 5", connect(V5, "a", flags=0x03), "CONNACK 0x81 close"),
    ("C-6 will QoS 3, 3.1.1", connect(V311, "a", will=("t", "x", 3, 0)), "close"),
    ("C-6 will QoS 3, 5", connect(V5, "a", will=("t", "x", 3, 0)), "CONNACK 0x81 close"),
    ("C-6 will QoS without will, 3.1.1", connect(V311, "a", flags=0x0A), "close"),
    ("C-6 will retain without will, 5", connect(V5, "a", flags=0x22), "CONNACK 0x81 close"),
    ("C-6 will topic wildcard, 3.1.1", connect(V311, "a", will=("a/#", "x", 0, 0)), "close"),
    ("C-6 will topic wildcard, 5", connect(V5, "a", will=("a/+", "x", 0, 0)), "CONNACK 0x90 close"),
    ("C-8 bytes behind, 3.1.1", connect(V311, "a", TOKEN, tail=b"x"), "close"),
    ("C-8 bytes behind, 5", connect(V5, "a", TOKEN, tail=b"x"), "CONNACK 0x81 close"),
    ("C-8 user announced, absent, 3.1.1", connect(V311, "a", flags=0x82), "close"),
    ("C-8 user announced, absent, 5", connect(V5, "a", flags=0x82), "CONNACK 0x81 close"),
    ("C-10 receive maximum 0", connect(V5, "a", TOKEN, properties=[(w.RECEIVE_MAXIMUM, 0)]),
     "CONNACK 0x82 close"),
    ("C-10 packet size 0", connect(V5, "a", TOKEN, properties=[(w.PACKET_SIZE_MAX, 0)]),
     "CONNACK 0x82 close"),
    ("C-10 problem information 2", connect(V5, "a", TOKEN, properties=[(w.PROBLEM_INFORMATION, 2)]),
     "CONNACK 0x82 close"),
    ("C-10 expiry twice", connect(V5, "a", TOKEN, properties=[(w.SESSION_EXPIRY, 1)] * 2),
     "CONNACK 0x82 close"),
    ("C-10 data without method", connect(V5, "a", TOKEN, properties=[(w.AUTH_DATA, b"x")]),
     "CONNACK 0x82 close"),
    ("C-11 authentication method", connect(V5, "a", TOKEN, properties=[(w.AUTH_METHOD, "SCRAM")]),
     "CONNACK 0x8c close"),
    ("F-1 flags of CONNECT, 3.1.1", connect(V311, "a", TOKEN, first=0x11), "close"),
    ("F-1 flags of CONNECT, 5", connect(V5, "a", TOKEN, first=0x11), "CONNACK 0x81 close"),
    ("F-4 five length bytes", b"\x10\xff\xff\xff\xff", "close"),
    ("F-5 CONNECT too large, 3.1.1", b"\x10" + w.var(70_000) + b"\0\4MQTT\4\2\0\0", "close"),
    ("F-5 CONNECT too large, 5", b"\x10" + w.var(70_000) + b"\0\4MQTT\5\2\0\0", "CONNACK 0x95 close"),
    ("F-8 client id not UTF-8, 3.1.1", connect(V311, b"\xff\xfe", TOKEN), "close"),
    ("F-8 client id not UTF-8, 5", connect(V5, b"\xc0\xaf", TOKEN), "CONNACK 0x81 close"),
    ("F-8 surrogate in user name", connect(V5, "a", b"\xed\xa0\x80"), "CONNACK 0x81 close"),
    ("F-8 NUL in user name, 3.1.1", connect(V311, "a", "a\0b"), "close"),
    ("F-11 unknown property", connect(V5, "a", TOKEN, properties=w.props(b"\x7f\x00")), "CONNACK 0x81 close"),
    ("F-12 misplaced property", connect(V5, "a", TOKEN, properties=[(w.TOPIC_ALIAS, 1)]),
     "CONNACK 0x82 close"),
    ("L-5 too many user properties", connect(V5, "a", TOKEN, properties=[(w.USER_PROPERTY, ("k", "v"))] * 65),
     "CONNACK 0x95 close"),
    ("O-5 no room for CONNACK", connect(V5, "a", TOKEN, properties=[(w.PACKET_SIZE_MAX, 4)]), "close"),
    # And what is legal, however unusual.
    ("F-9 U+FEFF is data", connect(V5, "\ufeffa", TOKEN), "CONNACK 0x00 alive"),
    ("F-15 control character in client id", connect(V311, "a\x01b", TOKEN), "CONNACK 0x00 alive"),
    ("3.1: any flags of CONNECT", connect(V31, "a", TOKEN, first=0x1F), "CONNACK 0x00 alive"),
    ("3.1: user announced, string missing", connect(V31, "a", flags=0x82), "CONNACK 0x04 close"),
    ("3.1: reserved connect flag", connect(V31, "a", TOKEN, flags=0x83), "CONNACK 0x00 alive"),
    ("S-5 a will is accepted", connect(V311, "a", TOKEN, will=("t", "x", 1, 1)), "CONNACK 0x00 alive"),
    ("S-5 a will is accepted in 5", connect(V5, "a", TOKEN, will=("t", "x", 2, 0)), "CONNACK 0x00 alive"),
    ("O-5 room for a bare CONNACK", connect(V5, "a", TOKEN, properties=[(w.PACKET_SIZE_MAX, 5)]),
     "CONNACK 0x00 alive"),
    ("C-10 user properties may repeat", connect(V5, "a", TOKEN, properties=[(w.USER_PROPERTY, ("k", "v"))] * 64),
     "CONNACK 0x00 alive"),
]


@pytest.mark.parametrize("row", CONNECT_TABLE, ids=lambda row: row[0])
def test_connect_packets_at_the_edge_of_the_rules(wire, device, row):
    _, data, expected = row
    connection = wire()
    connection.send(with_token(data, device.token))
    assert connection.outcome() == expected


def with_token(data, token):
    """Puts the token where the row says '@', with the new length of the packet."""
    mark = w.text(TOKEN)
    if not data.endswith(mark) and mark not in data[-8:]:
        return data
    length, at = w.read_var(data, 1)
    head, _, tail = data[at:].rpartition(mark)
    body = head + w.text(token) + tail
    return w.packet(data[0], body)


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_connect_split_at_every_byte(subject, device, version):
    data = connect(version, "split", device.token)
    # Two pieces at each place; the socket is flushed between them, so the server sees both orders.
    for at in range(1, len(data)):
        with w.Wire(subject.mqtt, version) as connection:
            connection.send(data[:at])
            connection.send(data[at:])
            assert connection.expect(CONNACK).code == 0, f"split after {at} bytes"
    with w.Wire(subject.mqtt, version) as connection:
        for byte in data:
            connection.send(bytes([byte]))
        assert connection.expect(CONNACK).code == 0


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_packets_behind_connect_wait_and_are_handled(wire, device, version):
    """C-15, LS-031, LS-034: all in one segment, DISCONNECT included."""
    connection = wire(version)
    connection.send(
        connect(version, "pipeline", device.token)
        + w.subscribe(1, [("v1/devices/me/attributes", 1)], version)
        + w.publish("v1/devices/me/telemetry", '{"pipelined":1}', 1, 2, version)
        + w.PING
        + w.publish("v2/t", '{"pipelined":2}', 1, 3, version)
        + w.disconnect(version))
    assert connection.expect(CONNACK).code == 0
    rest = []
    while (found := connection.packet()) is not None:
        rest.append(found)
    kinds = [it.kind for it in rest]
    assert kinds.count(w.SUBACK) == kinds.count(w.PINGRESP) == 1
    until("both publications are kept", lambda: device.keys() and device.value("pipelined") == "2")
    assert {it.packet_id for it in rest if it.kind == w.PUBACK} <= {2, 3}


def test_packets_behind_a_refused_connect_are_dropped(wire, device):
    connection = wire(V311)
    connection.send(connect(V311, "a", fresh("nobody")) + connect(V311, "a", device.token)
                    + w.publish("v2/t", '{"dropped":1}', 1, 2))
    assert connection.outcome() == "CONNACK 0x05 close"
    assert device.keys() == []


def test_too_many_packets_behind_connect(wire, device):
    """L-9: at most 100 packets or 64 KiB may wait; afterwards the server is as before."""
    connection = wire(V5)
    connection.send(connect(V5, "a", device.token) + w.PING * 5000)
    answer = connection.packet()
    assert answer is None or answer.kind == CONNACK
    fine = wire(V5, device.token)
    assert fine.is_alive()


def test_silence_and_slow_connects_are_ended(impatient):
    """L-1: complete CONNECT within connect_timeout, however the bytes drip."""
    with w.Wire(impatient.mqtt) as silent, w.Wire(impatient.mqtt) as dripping:
        dripping.send(connect(V311, "a", "A1_TEST_TOKEN")[:-1])
        assert silent.packet(5) is None
        assert dripping.packet(5) is None


def test_a_second_connect_is_a_violation(wire, device):
    """C-2."""
    for version, expected in ((V31, "close"), (V311, "close"), (V5, "DISCONNECT 0x82 close")):
        connection = wire(version, device.token)
        connection.send(connect(version, "b", device.token))
        assert connection.outcome() == expected


@pytest.mark.parametrize("protocol, accepted, refused", [
    (paho.MQTTv31, "Success", "Not authorized"),
    (paho.MQTTv311, "Success", "Not authorized"),
    (paho.MQTTv5, "Success", "Bad user name or password"),
], ids=["3.1", "3.1.1", "5"])
def test_paho_is_told_the_same(paho_client, device, protocol, accepted, refused):
    assert str(paho_client(protocol, device.token).connect()) == accepted
    assert str(paho_client(protocol, fresh("nobody")).connect()) == refused
