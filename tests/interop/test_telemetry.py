"""What a device may say and what is read back: topics, shapes, times and typing of section 4."""

import json
import time

import paho.mqtt.client as paho
import pytest

import wire as w
from clients import mosquitto_pub
from server import until
from wire import PUBACK, V5, V31, V311, VERSIONS

TELEMETRY_TOPICS = ["v1/devices/me/telemetry", "v2/t", "v2/t/j"]
ATTRIBUTE_TOPICS = ["v1/devices/me/attributes", "v2/a", "v2/a/j"]


@pytest.fixture(scope="module")
def typed(tenant, subject):
    """One device and one connection for the rows of a table; each row has a key of its own."""
    device = tenant.new_device()
    with w.Wire(subject.mqtt, V5) as connection:
        connection.login(device.token)
        yield device, connection


def send(connection, topic, payload, packet_id=9):
    answer = connection.ask(w.publish(topic, payload, 1, packet_id, connection.version), PUBACK)
    assert answer.packet_id == packet_id
    return answer


@pytest.mark.parametrize("protocol", [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5], ids=["3.1", "3.1.1", "5"])
@pytest.mark.parametrize("topic", TELEMETRY_TOPICS)
def test_what_paho_publishes_is_read_back(paho_client, device, topic, protocol):
    """TV-017: five keys of five types, readable as soon as the acknowledgement is there."""
    client = paho_client(protocol, device.token)
    client.connect()
    nested = {"someNumber": 42, "someArray": [1, 2, 3], "someNestedObject": {"key": "value"}}
    assert client.publish(topic, {"k1": "value1", "k2": True, "k3": 3.0, "k4": 4, "k5": nested}).value == 0
    found = {key: points[0]["value"] for key, points in device.latest().items()}
    assert json.loads(found.pop("k5")) == nested
    assert found == {"k1": "value1", "k2": "true", "k3": "3.0", "k4": "4"}


@pytest.mark.parametrize("topic", TELEMETRY_TOPICS)
def test_a_time_of_the_device_is_kept(typed, topic):
    """TV-018."""
    device, connection = typed
    key = "at" + topic.replace("/", "")
    send(connection, topic, f'{{"ts":10000,"values":{{"{key}":1}}}}')
    assert device.latest(key)[key] == [{"ts": 10000, "value": "1"}]


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
@pytest.mark.parametrize("topic", ATTRIBUTE_TOPICS)
def test_client_attributes_are_read_back(wire, device, topic, version):
    connection = wire(version, device.token)
    payload = '{"a":1,"b":"x","c":true,"d":2.5,"e":{"f":[1]},"g":null,"ts":5,"values":{"h":1}}'
    assert send(connection, topic, payload).code == 0
    expected = {"a": 1, "b": "x", "c": True, "d": 2.5, "e": {"f": [1]}, "ts": 5, "values": {"h": 1}}
    assert device.attributes() == expected, "JS-053: ts and values are ordinary here"
    assert device.keys() == [], "attributes are no telemetry"
    send(connection, topic, '{"a":null,"b":"y"}')
    assert device.attributes() == expected | {"b": "y"}, "JS-052: null deletes nothing"


def test_mosquitto_pub_as_the_manual_shows(subject, device):
    for payload, expected in (('{"temperature": 25}', "25"), ("{temperature:26}", "26")):
        status, said = mosquitto_pub(subject.mqtt, "-d", "-q", "1", "-t", "v2/t", "-u", device.token,
                                     "-m", payload)
        assert status == 0 and "received PUBACK (Mid: 1, RC:0)" in said, said
        assert device.value("temperature") == expected
    status, said = mosquitto_pub(subject.mqtt, "-d", "-q", "1", "-t", "v2/t", "-u", "WRONG", "-m", "{}")
    assert status != 0 and "PUBACK" not in said, said


@pytest.mark.parametrize("version, name", [("mqttv31", "3.1"), ("mqttv311", "3.1.1"), ("mqttv5", "5")])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquitto_pub_in_every_version_and_quality(subject, device, version, name, qos):
    status, said = mosquitto_pub(subject.mqtt, "-V", version, "-q", qos, "-t", "v1/devices/me/telemetry",
                                 "-u", device.token, "-i", "meter", "-m", '{"energy": 12.5}')
    assert status == 0, said
    until("the reading is there", lambda: device.keys() == ["energy"])
    assert device.value("energy") == "12.5"


# fact, payload, {key: (ts or None for the receive time, text)}
SHAPES = [
    ("JS-010 plain", '{"t":21,"on":true}', {"t": (None, "21"), "on": (None, "true")}),
    ("JS-011 with time", '{"ts":1700000000000,"values":{"t":21}}', {"t": (1700000000000, "21")}),
    ("JS-012 list", '[{"t":1},{"h":2}]', {"t": (None, "1"), "h": (None, "2")}),
    ("JS-013 list with times", '[{"ts":1,"values":{"t":1}},{"ts":2,"values":{"t":2}}]', {"t": (2, "2")}),
    ("JS-014 mixed list", '[{"ts":7,"values":{"t":1}},{"h":2}]', {"t": (7, "1"), "h": (None, "2")}),
    ("JS-015 ts without values", '{"ts":1700000000000,"t":21}',
     {"ts": (None, "1700000000000"), "t": (None, "21")}),
    ("JS-016 values without ts", '{"values":{"t":1}}', {"values": (None, '{"t":1}')}),
    ("JS-017 more beside", '{"ts":1,"values":{"t":1},"x":5}', {"t": (1, "1")}),
    ("JS-018 empty", "{}", {}),
    ("JS-018 null", '{"a":null}', {}),
    ("JS-019 list of empty", "[{}]", {}),
    ("JS-020 empty list", "[]", {}),
    ("JS-027 the later one wins", '[{"ts":5,"values":{"t":1}},{"ts":5,"values":{"t":2}}]', {"t": (5, "2")}),
    ("4.3 text", '{"ts":"1700000000000","values":{"t":1}}', {"t": (1700000000000, "1")}),
    ("4.3 fraction", '{"ts":1.9,"values":{"t":1}}', {"t": (1, "1")}),
    ("4.3 exponent", '{"ts":1e3,"values":{"t":1}}', {"t": (1000, "1")}),
    ("4.3 list of one", '{"ts":[5],"values":{"t":1}}', {"t": (5, "1")}),
    ("4.3 zero", '{"ts":0,"values":{"t":1}}', {"t": (0, "1")}),
    ("4.3 the far future", '{"ts":9000000000000,"values":{"t":1}}', {"t": (9000000000000, "1")}),
    ("JS-002 unquoted", "{a:'x',b:on}", {"a": (None, "x"), "b": (None, "on")}),
    ("JS-002 other marks", "{a=1;b=>2}", {"a": (None, "1"), "b": (None, "2")}),
    ("JS-002 comments", "// one\n{a:1 /* two */} # three", {"a": (None, "1")}),
    ("JS-002 guard", ")]}'\n{\"a\":1}", {"a": (None, "1")}),
    ("JS-002 byte-order mark", b'\xef\xbb\xbf{"a":1}', {"a": (None, "1")}),
    ("JS-002 literals in any case", "{a:TRUE,b:False,c:NULL}", {"a": (None, "true"), "b": (None, "false")}),
    ("JS-002 not a number", "{a:NaN,b:-Infinity}", {"a": (None, "NaN"), "b": (None, "-Infinity")}),
    ("JS-002 odd numbers", "{a:01,b:.5,c:+1,d:1.,e:0x10}",
     {"a": (None, "1"), "b": (None, "0.5"), "c": (None, "+1"), "d": (None, "1."), "e": (None, "0x10")}),
    ("JS-002 duplicate names", '{"a":1,"a":2}', {"a": (None, "2")}),
    ("JS-002 line break in a text", '{"a":"x\ny"}', {"a": (None, "x\ny")}),
    ("JS-032 numbers inside keep their form", '{"a":{"b":1.00,"c":null,"d":"5"}}',
     {"a": (None, '{"b":1.00,"c":null,"d":"5"}')}),
    ("JS-041 keys as they are", '{"A b/c.d":1,"a b/c.d":2}', {"A b/c.d": (None, "1"), "a b/c.d": (None, "2")}),
    ("JS-004 broken UTF-8 is replaced", b'{"a":"x\xffy"}', {"a": (None, "x\ufffdy")}),
]


@pytest.mark.parametrize("row", SHAPES, ids=lambda row: row[0])
def test_shapes_of_telemetry(wire, device, row):
    _, payload, expected = row
    before = int(time.time() * 1000)
    assert send(wire(V5, device.token), "v2/t", payload).code == 0
    after = int(time.time() * 1000)
    found = device.latest() if expected else dict.fromkeys(device.keys())
    assert set(found) == set(expected)
    for key, (ts, text) in expected.items():
        point = found[key][0]
        assert point["value"] == text, key
        if ts is None:
            assert before <= point["ts"] <= after, key
        else:
            assert point["ts"] == ts, key


def test_parts_without_time_share_the_receive_time(wire, device):
    """JS-024."""
    send(wire(V5, device.token), "v2/t", '[{"a":1},{"b":2},{"c":3}]')
    assert len({points[0]["ts"] for points in device.latest().values()}) == 1


# JS-035 and JS-036: written, text read back, JSON read back with strict types.
NUMBERS = [
    ("1", "1", 1), ("-0", "0", 0), ("1.0", "1.0", 1.0), ("42.50", "42.5", 42.5), ("-0.0", "-0.0", -0.0),
    ("1e3", "1000", 1000), ("1.0E3", "1000", 1000), ("1.5E2", "150", 150), ("1E-1", "0.1", 0.1),
    ("101E-1", "10.1", 10.1), ("12345678.0", "12345678", 12345678), ("12345678.9", "1.23456789E7", 12345678.9),
    ("1.0E7", "10000000", 10000000),
    ("100000000000000000000.0", "100000000000000000000", "100000000000000000000"),
    ("9223372036854775807", "9223372036854775807", 9223372036854775807),
    ("-9223372036854775808", "-9223372036854775808", -9223372036854775808),
    ("9223372036854775808", "9223372036854775808", "9223372036854775808"),
    ("1E19", "10000000000000000000", "10000000000000000000"),
    ("9.9701010061400066E19", "99701010061400066000", "99701010061400066000"),
    ("0.1234567890123456", "0.1234567890123456", 0.1234567890123456),
    ("0.12345678901234567", "0.12345678901234567", "0.12345678901234567"),
    ("0.30000000000000004", "0.30000000000000004", "0.30000000000000004"),
    ("1e-16", "0.00000000000000010", "0.00000000000000010"),
    ("1e-17", "0.00000000000000001", "0.00000000000000001"),
    ("0.0001", "1.0E-4", 0.0001), ("0.001", "0.001", 0.001),
    ("true", "true", True), ("false", "false", False),
    ('"true"', "true", "true"), ('"x"', "x", "x"), ('""', "", ""),
    ('"00012"', "12", 12), ('"1.50"', "1.5", 1.5), ('"-.5"', "-0.5", -0.5), ('".5"', "0.5", 0.5),
    ('"12"', "12", 12), ('"1e3"', "1e3", "1e3"), ('"+5"', "+5", "+5"), ('" 5"', " 5", " 5"),
    ('"5."', "5.", "5."), ('"-"', "-", "-"), ('"0x1F"', "0x1F", "0x1F"),
    ('"\u0661"', "\u0661", "\u0661"), ('"caf\u00e9 \U0001f600"', "caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600"),
    ("[1,2]", "[1,2]", [1, 2]), ('{"a":{"b":[]}}', '{"a":{"b":[]}}', {"a": {"b": []}}),
    ("[1,,2]", "[1,null,2]", [1, None, 2]),
]


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: ascii(row[0]))
def test_typing_of_values(typed, row):
    device, connection = typed
    written, text, strict = row
    key = f"k{NUMBERS.index(row)}"
    assert send(connection, "v2/t", f'{{"{key}":{written}}}').code == 0
    assert device.value(key) == text
    found = device.value(key, strict=True)
    assert found == strict and type(found) is type(strict)


@pytest.mark.parametrize("written, digits", [("5e-324", 326), ("1E400", 401), ("1.7976931348623157E308", 309)])
def test_numbers_beyond_a_double_become_text(typed, written, digits):
    device, connection = typed
    key = f"big{digits}"
    assert send(connection, "v2/t", f'{{"{key}":{written}}}').code == 0
    assert len(device.value(key)) == digits


@pytest.mark.parametrize("depth, code", [(255, 0), (256, 0x99), (30000, 0x99)])
def test_nesting_has_a_bound(typed, depth, code):
    """JS-003, which is wider than L-14."""
    _, connection = typed
    payload = '{"deep":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    assert send(connection, "v2/t", payload).code == code


def test_retain_and_dup_change_nothing(wire, device):
    """P-19, LS-064."""
    connection = wire(V311, device.token)
    connection.send(w.publish("v2/t", '{"a":1}', 1, 5, retain=True))
    connection.expect(PUBACK)
    connection.send(w.publish("v2/t", '{"a":2}', 1, 5, dup=True))
    connection.expect(PUBACK)
    assert device.value("a") == "2"


def test_publish_properties_are_accepted_and_ignored(wire, device):
    """P-21, LS-069."""
    connection = wire(V5, device.token)
    properties = [(0x02, 60), (0x03, "application/json"), (w.RESPONSE_TOPIC, "r"), (0x09, b"c"),
                  (w.USER_PROPERTY, ("k", "v")), (w.PAYLOAD_FORMAT, 1)]
    connection.send(w.publish("v2/t", '{"a":1}', 1, 5, V5, properties))
    assert connection.expect(PUBACK).code == 0
    assert device.value("a") == "1"


def test_nobody_hears_what_another_device_says(wire, tenant):
    """LS-070: no subscription receives a publication of a device, its own included (JS-055)."""
    speaker, listener = tenant.new_device(), tenant.new_device()
    hearing = [wire(V311, it.token) for it in (listener,)]
    for connection in hearing:
        connection.ask(w.subscribe(1, [("v1/devices/me/attributes", 1), ("v2/a", 1)]), w.SUBACK)
    own = wire(V311, speaker.token)
    own.ask(w.subscribe(1, [("v1/devices/me/attributes", 1)]), w.SUBACK)
    own.ask(w.publish("v1/devices/me/attributes", '{"a":1}', 1, 2), PUBACK)
    assert own.is_alive()
    for connection in hearing:
        assert connection.is_alive(), "and nothing came before PINGRESP"
    assert listener.attributes() == {}
