"""Rules of a connection that is open: framing, qualities of service, subscriptions, endings."""

import subprocess
import time

import paho.mqtt.client as paho
import pytest

import wire as w
from rest import fresh
from server import until
from wire import PUBACK, V5, V31, V311, VERSIONS, publish, subscribe, unsubscribe

ATTRIBUTES = "v1/devices/me/attributes"
PUBACK_1 = bytes.fromhex("40020001")


# row, what version 3.1.1 sends (closed without a word), what version 5 sends, its DISCONNECT code.
# None: the row does not concern that version.
VIOLATIONS = [
    ("F-1 flags of PINGREQ", b"\xc1\0", b"\xc1\0", 0x81),
    ("F-1 flags of SUBSCRIBE", subscribe(1, [("a", 0)], V311, first=0x80),
     subscribe(1, [("a", 0)], V5, first=0x80), 0x81),
    ("F-1 flags of UNSUBSCRIBE", unsubscribe(1, ["a"], V311, first=0xA0),
     unsubscribe(1, ["a"], V5, first=0xA0), 0x81),
    ("F-1 flags of PUBREL", b"\x60\2\0\1", b"\x60\2\0\1", 0x81),
    ("F-1 flags of DISCONNECT", b"\xe1\0", b"\xe1\0", 0x81),
    ("F-2 type 0", b"\0\0", b"\0\0", 0x81),
    ("F-2 AUTH before 5", b"\xf0\0", None, None),
    ("F-3 CONNACK", b"\x20\2\0\0", b"\x20\3\0\0\0", 0x82),
    ("F-3 SUBACK", b"\x90\3\0\1\0", b"\x90\4\0\1\0\0", 0x82),
    ("F-3 UNSUBACK", b"\xb0\2\0\1", b"\xb0\4\0\1\0\0", 0x82),
    ("F-3 PINGRESP", b"\xd0\0", b"\xd0\0", 0x82),
    ("F-4 five length bytes", b"\x30\xff\xff\xff\xff", b"\x30\xff\xff\xff\xff", 0x81),
    ("F-5 packet too large", b"\x30" + w.var(65537), b"\x30" + w.var(65537), 0x95),
    ("F-5 announced a quarter of a gigabyte", b"\x30\xff\xff\xff\x7f", b"\x30\xff\xff\xff\x7f", 0x95),
    ("F-6 PINGREQ with a body", b"\xc0\1x", b"\xc0\1x", 0x81),
    ("F-6 DISCONNECT with a body", b"\xe0\1x", None, None),
    ("F-6 PUBACK too long", b"\x40\3\0\1x", b"\x40\1x", 0x81),
    ("F-6 PUBLISH ends in its topic", b"\x30\3\0\5x", b"\x30\3\0\5x", 0x81),
    ("F-6 PUBLISH without packet id", b"\x32\3\0\1x", b"\x32\3\0\1x", 0x81),
    ("F-6 SUBSCRIBE ends in a filter", b"\x82\5\0\1\0\5a", b"\x82\6\0\1\0\0\5a", 0x81),
    ("F-7 property length not shortest", None, w.packet(0x30, w.text("v2/t") + b"\x80\0"), 0x81),
    ("F-8 topic not UTF-8", publish(b"v2/\xff"), publish(b"v2/\xff", version=V5), 0x81),
    ("F-8 overlong form", publish(b"\xc0\x80"), publish(b"\xc0\x80", version=V5), 0x81),
    ("F-8 surrogate in a filter", subscribe(1, [(b"\xed\xa0\x80", 0)]),
     subscribe(1, [(b"\xed\xa0\x80", 0)], V5), 0x81),
    ("F-10 packet id 0 of PUBLISH", publish("v2/t", "{}", 1, 0), publish("v2/t", "{}", 1, 0, V5), 0x81),
    ("F-10 packet id 0 of SUBSCRIBE", subscribe(0, [("a", 0)]), subscribe(0, [("a", 0)], V5), 0x81),
    ("F-11 unknown property", None, publish("v2/t", "{}", version=V5, properties=w.props(b"\x7f\0")), 0x81),
    ("F-12 misplaced property", None, publish("v2/t", "{}", version=V5, properties=[(w.RECEIVE_MAXIMUM, 5)]),
     0x82),
    ("F-12 property twice", None, publish("v2/t", "{}", version=V5, properties=[(w.PAYLOAD_FORMAT, 1)] * 2),
     0x82),
    ("F-16 reason code of PUBACK", None, b"\x40\4\0\1\x84\0", 0x82),
    ("P-1 QoS 3", publish("v2/t", "{}", 3), publish("v2/t", "{}", 3, version=V5), 0x81),
    ("P-2 DUP at QoS 0", publish("v2/t", "{}", dup=True), publish("v2/t", "{}", version=V5, dup=True), 0x81),
    ("P-6 wildcard in the topic", publish("v1/+/me", "{}", 1), publish("v1/#", "{}", 1, version=V5), 0x90),
    ("P-7 empty topic", publish("", "{}", 1), publish("", "{}", 1, version=V5), 0x82),
    ("P-8 NUL in the topic", publish("v2\0t", "{}", 1), publish("v2\0t", "{}", 1, version=V5), 0x81),
    ("P-13 payload format 2", None, publish("v2/t", "{}", 1, version=V5, properties=[(w.PAYLOAD_FORMAT, 2)]),
     0x82),
    ("P-14 alias 0", None, publish("v2/t", "{}", 1, version=V5, properties=[(w.TOPIC_ALIAS, 0)]), 0x94),
    ("P-14 alias above the maximum", None,
     publish("v2/t", "{}", 1, version=V5, properties=[(w.TOPIC_ALIAS, 17)]), 0x94),
    ("P-14 alias never set", None, publish("", "{}", 1, version=V5, properties=[(w.TOPIC_ALIAS, 3)]), 0x82),
    ("P-17 subscription id from a client", None,
     publish("v2/t", "{}", 1, version=V5, properties=[(w.SUBSCRIPTION_ID, 1)]), 0x82),
    ("P-18 response topic with wildcard", None,
     publish("v2/t", "{}", 1, version=V5, properties=[(w.RESPONSE_TOPIC, "a/#")]), 0x82),
    ("P PUBREC for nothing", b"\x50\2\0\1", None, None),
    ("U-1 no filter", b"\x82\2\0\1", b"\x82\3\0\1\0", 0x82),
    ("U-1 nothing to unsubscribe", b"\xa2\2\0\1", b"\xa2\3\0\1\0", 0x82),
    ("U-2 reserved bits", subscribe(1, [("a", 0x04)]), subscribe(1, [("a", 0x40)], V5), 0x81),
    ("U-2 QoS 3", subscribe(1, [("a", 3)]), subscribe(1, [("a", 3)], V5), 0x82),
    ("U-2 retain handling 3", None, subscribe(1, [("a", 0x30)], V5), 0x82),
    ("U-7 empty filter", subscribe(1, [("", 0)]), subscribe(1, [("", 0)], V5), 0x81),
    ("U-7 empty filter to unsubscribe", unsubscribe(1, [""]), unsubscribe(1, [""], V5), 0x81),
    ("U-9 subscription id 0", None, subscribe(1, [("v2/a", 0)], V5, [(w.SUBSCRIPTION_ID, 0)]), 0x82),
    ("S-3 expiry raised", None, w.disconnect(V5, 0, [(w.SESSION_EXPIRY, 10)]), 0x82),
    ("D-3 AUTH", None, b"\xf0\0", 0x82),
    ("L-5 too many user properties", None,
     publish("v2/t", "{}", version=V5, properties=[(w.USER_PROPERTY, ("", ""))] * 65), 0x95),
]


@pytest.mark.parametrize("row", VIOLATIONS, ids=lambda row: row[0])
def test_broken_rules_end_the_connection(wire, tenant, device, row):
    """Also F-13: what stands behind the bad packet in the same segment is not processed."""
    _, before_5, in_5, code = row
    behind = publish("v2/t", '{"behind":1}', 1, 99)
    if before_5 is not None:
        connection = wire(V311, device.token)
        connection.send(before_5 + behind)
        assert connection.outcome() == "close"
    if in_5 is not None:
        connection = wire(V5, device.token)
        connection.send(in_5 + publish("v2/t", '{"behind":1}', 1, 99, V5))
        assert connection.outcome() == f"DISCONNECT {code:#04x} close"
    assert device.keys() == []
    until("a reason", lambda: any(it["fault"] == "device" and it["sentence"] for it in tenant.events(device)))


def test_version_31_does_not_reserve_the_low_bits(wire, device):
    connection = wire(V31, device.token)
    assert connection.ask(b"\xcf\0", w.PINGRESP)
    assert connection.ask(subscribe(1, [(ATTRIBUTES, 1)], V31, first=0x8A), w.SUBACK).codes == [1]
    assert connection.ask(unsubscribe(2, [ATTRIBUTES], V31, first=0xAA), w.UNSUBACK)


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_bytes_on_the_wire(wire, device, version):
    """0.3. A version 5 client that wants no problem information gets exactly the short form."""
    options = {"properties": [(w.PROBLEM_INFORMATION, 0)]} if version == V5 else {}
    connection = wire(version, device.token, **options)
    assert connection.ask(publish("v2/t", '{"a":1}', 1, 0x0102, version)).raw.hex() == "40020102"
    expected = "400401029000" if version == V5 else "40020102"
    assert connection.ask(publish("x", '{"a":1}', 1, 0x0102, version)).raw.hex() == expected
    assert connection.ask(w.PING).raw.hex() == "d000"
    data = subscribe(0x0A0B, [(ATTRIBUTES, 2), ("x/y", 1), ("v2/a", 0)], version)
    expected = "90060a0b00018f00" if version == V5 else "90050a0b018000"
    assert connection.ask(data).raw.hex() == expected
    expected = "b0050a0b000011" if version == V5 else "b0020a0b"
    assert connection.ask(unsubscribe(0x0A0B, [ATTRIBUTES, "x/y"], version)).raw.hex() == expected


# Qualities of service


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_quality_0_is_never_answered(wire, device, version):
    connection = wire(version, device.token)
    connection.send(publish("v2/t", '{"a":1}', 0, version=version))
    assert connection.is_alive()
    until("the reading", lambda: device.keys() == ["a"])


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_quality_2_is_the_full_handshake(wire, device, version):
    """P-4: durable before PUBREC, and the id is free again after PUBCOMP."""
    connection = wire(version, device.token)
    for ts in (1, 2):
        data = publish("v2/t", '{"ts":%d,"values":{"a":1}}' % ts, 2, 7, version)
        answer = connection.ask(data, w.PUBREC)
        assert (answer.packet_id, answer.code) == (7, 0)
        assert (ts, "1") in device.history("a", 1, 10)
        answer = connection.ask(w.pubrel(7), w.PUBCOMP)
        assert (answer.packet_id, answer.code) == (7, 0)


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_the_same_publication_repeated_with_an_open_id_is_stored_once(wire, device, version):
    connection = wire(version, device.token)
    data = '{"a":1}'
    for dup in (False, True, True):
        assert connection.ask(publish("v2/t", data, 2, 7, version, dup=dup), w.PUBREC).code == 0
    assert connection.ask(w.pubrel(7), w.PUBCOMP).code == 0
    now = int(time.time() * 1000)
    assert len(device.history("a", now - 60_000, now + 60_000)) == 1


def test_an_unknown_pubrel_is_completed(wire, device):
    """P-5."""
    assert wire(V311, device.token).ask(w.pubrel(9)).raw.hex() == "70020009"
    assert wire(V5, device.token).ask(w.pubrel(9), w.PUBCOMP).code == 0x92


def test_paho_finishes_quality_2(paho_client, device):
    for protocol in (paho.MQTTv31, paho.MQTTv311, paho.MQTTv5):
        client = paho_client(protocol, device.token)
        client.connect()
        assert client.publish("v2/t", {"q": 2}, qos=2).value == 0
        assert device.value("q") == "2"


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_acknowledgements_come_in_the_order_of_arrival(wire, device, version):
    """P-20, with ids that are not in order themselves. At QoS 1 an id may be in use twice."""
    connection = wire(version, device.token)
    ids = [(n * 37) % 50 + 1 for n in range(90)]
    connection.send(b"".join(
        publish("v2/t", '{"ts":%d,"values":{"n":%d}}' % (n, n), 1, packet_id, version)
        for n, packet_id in enumerate(ids, 1)))
    assert [connection.expect(PUBACK).packet_id for _ in ids] == ids
    assert device.history("n", 1, 1000) == [(n, str(n)) for n in range(1, 91)]


def test_older_clients_may_send_more_than_the_receive_maximum(wire, device):
    """Their protocol has no such word: the socket is simply not read meanwhile."""
    connection = wire(V311, device.token)
    connection.send(b"".join(publish("v2/t", '{"n":%d}' % n, 1, n) for n in range(1, 1001)))
    assert [connection.expect(PUBACK).packet_id for _ in range(1000)] == list(range(1, 1001))


def test_the_receive_maximum_is_enforced(wire, tenant, device):
    """P-16: quality 2 ids stay unfinished until PUBREL, so the 101st is one too many."""
    connection = wire(V5, device.token)
    connection.send(b"".join(publish("v2/t", '{"a":1}', 2, n, V5) for n in range(1, 102)))
    told = []
    while (found := connection.packet()) is not None:
        told.append(found)
    assert str(told[-1]) == "DISCONNECT 0x93"
    assert all(it.kind == w.PUBREC for it in told[:-1]) and len(told) <= 101
    tenant.event("packet.receive_maximum", device)


def test_topic_aliases(wire, tenant):
    """P-14, P-15: set, used, moved; one connection's aliases are not another's."""
    device, other = tenant.new_device(), tenant.new_device()
    connection, stranger = wire(V5, device.token), wire(V5, other.token)

    def alias(number, topic=""):
        return {"topic": topic, "version": V5, "properties": [(w.TOPIC_ALIAS, number)]}

    def say(payload, **options):
        return connection.ask(publish(payload=payload, qos=1, packet_id=3, **options), PUBACK).code

    assert say('{"a":1}', **alias(16, "v2/t")) == 0
    assert say('{"b":2}', **alias(16)) == 0
    assert say('{"c":3}', **alias(16, "v2/a")) == 0
    assert say('{"d":4}', **alias(16)) == 0
    assert sorted(device.keys()) == ["a", "b"]
    assert device.attributes() == {"c": 3, "d": 4}
    stranger.send(publish("", '{"a":1}', 1, 3, V5, [(w.TOPIC_ALIAS, 16)]))
    assert stranger.outcome() == "DISCONNECT 0x82 close"


def test_the_largest_packet_passes_and_one_byte_more_does_not(wire, device):
    """L-2, LS-027: the limit is that of the Remaining Length."""
    topic = "v2/t"
    room = 65536 - 2 - len(topic) - 2
    payload = '{"a":"' + "x" * (room - 8) + '"}'
    connection = wire(V311, device.token)
    assert connection.ask(publish(topic, payload, 1, 3), PUBACK)
    assert len(device.value("a")) == room - 8
    connection.send(publish(topic, payload + " ", 1, 4))
    assert connection.outcome() == "close"
    connection = wire(V5, device.token)
    connection.send(publish(topic, payload, 1, 4, V5))
    assert connection.outcome() == "DISCONNECT 0x95 close"


# Subscriptions


FILTERS = [
    ATTRIBUTES, "v1/devices/me/attributes/response/+", "v1/devices/me/rpc/request/+",
    "v1/devices/me/rpc/response/+", "v2/a", "v2/a/j", "v2/a/p", "v2/a/res/+", "v2/a/res/j/+", "v2/a/res/p/+",
    "v2/r/req/+", "v2/r/req/j/+", "v2/r/req/p/+", "v2/r/res/+", "v2/r/res/j/+", "v2/r/res/p/+",
    "v2/fw/response/+/chunk/+", "v2/fw/error", "v2/sw/response/+/chunk/+", "v2/sw/error",
    "v1/gateway/attributes", "v1/gateway/attributes/response", "v1/gateway/rpc",
]
REFUSED = ["#", "+", "v1/#", "v1/devices/me/+", "v1/devices/me/rpc/request/#", "$SYS/#", "wrong/topic/+",
           "v1/devices/me/telemetry", "v1/gateway/connect", "/provision/response", "v2/a/", "a#", "a/#/b", "a+",
           "v2/fw/response/+", "x" * 1025]


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_one_code_per_filter_in_order(wire, device, version):
    """U-3, U-4, U-6, U-7, LS-080 to LS-084, TV-009, TV-010."""
    connection = wire(version, device.token)
    refused = 0x8F if version == V5 else 0x80
    for granted, asked in ((0, 0), (1, 1), (1, 2)):
        answer = connection.ask(subscribe(5, [(it, asked) for it in FILTERS], version), w.SUBACK)
        assert answer.codes == [granted] * len(FILTERS) and answer.packet_id == 5
    answer = connection.ask(subscribe(6, [(it, 1) for it in REFUSED], version), w.SUBACK)
    assert dict(zip(REFUSED, answer.codes)) == dict.fromkeys(REFUSED, refused)
    mixed = [("#", 1), ("v2/a", 2), ("nope", 0), (ATTRIBUTES, 0)]
    assert connection.ask(subscribe(7, mixed, version), w.SUBACK).codes == [refused, 1, refused, 0]
    assert connection.is_alive()


def test_shared_subscriptions_are_named_as_such(wire, device):
    """U-8."""
    for version, code in ((V311, 0x80), (V5, 0x9E)):
        answer = wire(version, device.token).ask(subscribe(1, [("$share/g/v2/a", 1)], version), w.SUBACK)
        assert answer.codes == [code]


def test_more_filters_than_are_handled(wire, device):
    """L-4: the first hundred are looked at, the rest is answered with quota exceeded."""
    for version, unknown, beyond in ((V311, 0x80, 0x80), (V5, 0x8F, 0x97)):
        filters = [(f"x/{n}", 0) for n in range(120)]
        answer = wire(version, device.token).ask(subscribe(1, filters, version), w.SUBACK)
        assert answer.codes == [unknown] * 100 + [beyond] * 20


def test_unsubscribe_says_what_was_subscribed(wire, device):
    """U-11, TV-011; a filter is never a pattern."""
    connection = wire(V5, device.token)
    connection.ask(subscribe(1, [(ATTRIBUTES, 1)], V5), w.SUBACK)
    filters = [ATTRIBUTES, "v2/a", "((((", ATTRIBUTES]
    assert connection.ask(unsubscribe(2, filters, V5), w.UNSUBACK).codes == [0, 0x11, 0x11, 0x11]
    older = wire(V311, device.token)
    assert older.ask(unsubscribe(3, ["((((", "v2/a"])).raw.hex() == "b0020003"
    assert older.is_alive()


def test_subscription_options_of_version_5_change_nothing(wire, device):
    """U-9, U-10."""
    connection = wire(V5, device.token)
    data = subscribe(1, [(ATTRIBUTES, 0x2D)], V5, [(w.SUBSCRIPTION_ID, 268435455)])
    assert connection.ask(data, w.SUBACK).codes == [1]


def test_paho_subscribes_to_what_the_sdks_need(paho_client, device):
    """CD-015."""
    seven = [ATTRIBUTES, "v1/devices/me/attributes/response/+", "v1/devices/me/rpc/request/+",
             "v1/devices/me/rpc/response/+", "v1/gateway/attributes", "v1/gateway/attributes/response",
             "v1/gateway/rpc"]
    for protocol in (paho.MQTTv311, paho.MQTTv5):
        client = paho_client(protocol, device.token)
        client.connect()
        assert [code.value for code in client.subscribe([(it, 1) for it in seven])] == [1] * 7
        assert all(code.is_failure for code in client.subscribe([("#", 1)]))


# Endings


def ending(code):
    return {V31: "close", V311: "close", V5: f"DISCONNECT {code:#04x} close"}


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_the_later_connection_of_a_device_wins(wire, tenant, version):
    """C-17, TV-046: per device, whatever the client id; another device's client id harms nobody."""
    device, other = tenant.new_device(), tenant.new_device()
    first = wire(version, device.token, client_id="one")
    stranger = wire(version, other.token, client_id="one")
    assert first.is_alive(), "a client id of another device never disconnects anybody"
    second = wire(version, device.token, client_id="two")
    assert first.outcome() == ending(0x8E)[version]
    assert second.is_alive() and stranger.is_alive()
    assert second.ask(publish("v2/t", '{"a":1}', 1, 3, version), PUBACK)
    tenant.event("disconnect.taken_over", device)


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_a_deleted_device_is_disconnected(wire, tenant, version):
    """TV-047, D-9; and its token is worth nothing any more."""
    device = tenant.new_device()
    connection = wire(version, device.token)
    tenant.ok("DELETE", f"/api/device/{device.id}")
    assert connection.outcome() == ending(0x98)[version]
    refused = wire(version).ask(w.connect(version, "a", device.token), w.CONNACK)
    assert refused.code == (0x86 if version == V5 else 5)


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_changed_credentials_disconnect(wire, tenant, version):
    """LS-047, C-7: the old token is refused, the new one accepted."""
    device = tenant.new_device()
    connection = wire(version, device.token)
    tenant.save_credentials(device, "ACCESS_TOKEN", device.token + "-new")
    assert connection.outcome() == ending(0x98)[version]
    refused = wire(version).ask(w.connect(version, "a", device.token), w.CONNACK)
    assert refused.code == (0x86 if version == V5 else 5)
    wire(version).login(device.token + "-new")
    tenant.event("disconnect.credentials_changed", device)


def test_a_token_that_was_refused_works_once_it_exists(wire, tenant):
    """AU-034: nothing remembers the refusal."""
    token = fresh("later")
    for _ in range(2):
        assert wire(V311).ask(w.connect(V311, "a", token), w.CONNACK).code == 5
    tenant.new_device(token)
    wire(V311).login(token)


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_keep_alive_is_one_and_a_half_times(wire, tenant, device, version):
    """K-1: not before, and not much later. Dripping bytes do not count."""
    connection = wire(version, device.token, keep_alive=1)
    started = time.monotonic()
    connection.send(b"\x30\x0a")
    assert connection.outcome() == ending(0x8D)[version]
    assert 1.4 <= time.monotonic() - started <= 3.5
    tenant.event("disconnect.keep_alive", device)


def test_pings_keep_a_connection(paho_client, device):
    """K-4: paho pings by itself and stays connected for several keep alives."""
    client = paho_client(paho.MQTTv311, device.token)
    client.connect(keepalive=1)
    started = time.monotonic()
    until("three keep alives have passed", lambda: time.monotonic() - started > 3.2)
    assert client.client.is_connected() and client.told.empty()


def test_an_inactive_session_is_ended(impatient):
    """K-3, LS-060: nothing arrives for the session inactivity timeout, keep alive or not."""
    with w.Wire(impatient.mqtt, V5) as new, w.Wire(impatient.mqtt, V311) as older:
        new.login("A1_TEST_TOKEN", keep_alive=0)
        older.login("A2_TEST_TOKEN", keep_alive=600)
        started = time.monotonic()
        assert new.outcome() == "DISCONNECT 0xa0 close"
        assert older.outcome() == "close"
        assert 2.5 <= time.monotonic() - started <= 8


def test_disconnect_ends_without_an_answer(wire, device):
    """D-1: nothing behind it is processed, nothing is said."""
    for version in VERSIONS:
        connection = wire(version, device.token)
        connection.send(w.disconnect(version) + publish("v2/t", '{"late":1}', 1, 3, version))
        assert connection.packet() is None
    connection = wire(V5, device.token)
    connection.send(w.disconnect(V5, 0x04))
    assert connection.packet() is None
    assert device.keys() == []


def test_unknown_pubacks_are_ignored(wire, device):
    for version in VERSIONS:
        connection = wire(version, device.token)
        connection.send(PUBACK_1)
        assert connection.is_alive()


def test_one_bad_neighbour_is_not_noticed(wire, tenant):
    """A polite device is served while others break every rule there is."""
    polite, rude = tenant.new_device(), tenant.new_device()
    connection = wire(V311, polite.token)
    for n, (_, data, _, _) in enumerate(VIOLATIONS, 1):
        wire(V311, rude.token).send(data or b"\xff\xff")
        assert connection.ask(publish("v2/t", '{"n":%d}' % n, 1, n), PUBACK).packet_id == n
    assert polite.value("n") == str(len(VIOLATIONS))


def test_mosquitto_sub_is_granted_and_refused(subject, device):
    host, port = subject.mqtt
    line = ["mosquitto_sub", "-h", host, "-p", str(port), "-u", device.token, "-W", "1", "-d", "-t"]
    granted = subprocess.run([*line, ATTRIBUTES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert "Subscribed (mid: 1): 0" in granted.stdout, granted.stdout
    refused = subprocess.run([*line, "#"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert "Subscribed (mid: 1): 128" in refused.stdout or "denied" in refused.stdout, refused.stdout


def test_mosquitto_pub_sends_many_lines(subject, device):
    """-l publishes each line of its input; all arrive in order on one connection."""
    host, port = subject.mqtt
    lines = "".join('{"ts":%d,"values":{"line":%d}}\n' % (n, n) for n in range(1, 201))
    done = subprocess.run(["mosquitto_pub", "-h", host, "-p", str(port), "-u", device.token, "-q", "1",
                           "-t", "v2/t", "-l"], input=lines, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert device.history("line", 1, 1000) == [(n, str(n)) for n in range(1, 201)]
