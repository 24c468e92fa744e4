"""Payloads that cannot be kept, topics that mean nothing, and the profile's PUBACK flag."""

import pytest

import wire as w
from wire import V5, V31, V311, VERSIONS

V3 = (V31, V311)

# fact, topic, payload, reason
INVALID = [
    ("JS-006 no JSON", "v2/t", "temp 5", "payload.not_json"),
    ("JS-005 empty", "v2/t", "", None),
    ("JS-005 blank", "v2/t", " \n", None),
    ("JS-005 only a comment", "v2/t", "// nothing", None),
    ("JS-001 two documents", "v2/t", '{"a":1}{"b":2}', "payload.not_json"),
    ("JS-003 comma at the end", "v2/t", '{"a":1,}', "payload.not_json"),
    ("JS-003 value missing", "v2/t", '{"a":}', "payload.not_json"),
    ("JS-003 colon missing", "v2/t", '{"a"}', "payload.not_json"),
    ("JS-003 not terminated", "v2/t", '{"a":1', "payload.not_json"),
    ("JS-003 bad escape", "v2/t", r'{"a":"\q"}', "payload.not_json"),
    ("JS-021 list of numbers", "v2/t", '[{"a":1},1]', "payload.shape"),
    ("JS-021 list of null", "v2/t", "[null]", "payload.shape"),
    ("JS-021 list of lists", "v2/t", "[[]]", "payload.shape"),
    ("JS-022 number", "v2/t", "5", "payload.shape"),
    ("JS-022 text", "v2/t", '"x"', "payload.shape"),
    ("JS-022 null", "v2/t", "null", "payload.shape"),
    ("JS-023 values is a list", "v2/t", '{"ts":1,"values":[]}', "payload.shape"),
    ("JS-023 values is null", "v2/t", '{"ts":1,"values":null}', "payload.shape"),
    ("4.3 ts is a word", "v2/t", '{"ts":"now","values":{"a":1}}', "payload.timestamp"),
    ("4.3 ts is true", "v2/t", '{"ts":true,"values":{"a":1}}', "payload.timestamp"),
    ("4.3 ts is null", "v2/t", '{"ts":null,"values":{"a":1}}', "payload.timestamp"),
    ("4.3 ts is an object", "v2/t", '{"ts":{},"values":{"a":1}}', "payload.timestamp"),
    ("4.3 ts is a list of two", "v2/t", '{"ts":[1,2],"values":{"a":1}}', "payload.timestamp"),
    ("4.3 ts beyond 64 bits", "v2/t", '{"ts":9223372036854775808,"values":{"a":1}}', "payload.timestamp"),
    ("JS-037 a number of a gigabyte", "v2/t", '{"a":1e1000000000}', "payload.number"),
    ("L-14 too many digits", "v2/t", '{"a":' + "9" * 500 + "}", "payload.number"),
    ("JS-040 empty key", "v2/t", '{"":1}', "payload.key"),
    ("JS-040 key too long", "v2/t", '{"' + "k" * 256 + '":1}', "payload.key"),
    ("TP-006 no schema", "v2/t/p", b"\x08\x01", None),
    ("JS-050 attributes: list", "v2/a", '[{"a":1}]', "payload.shape"),
    ("JS-050 attributes: number", "v1/devices/me/attributes", "5", "payload.shape"),
    ("JS-050 attributes: empty", "v2/a/j", "", None),
    ("JS-065 request: list", "v1/devices/me/attributes/request/1", "[]", "payload.shape"),
    ("JS-065 request: empty", "v2/a/req/1", "", None),
    ("JS-068 request: null", "v2/a/req/j/1", '{"clientKeys":null}', "payload.shape"),
    ("JS-079 request: no number", "v1/devices/me/attributes/request/x", "{}", "publish.topic_invalid"),
    ("RP-008 answer: no number", "v2/r/res/x", "{}", "publish.topic_invalid"),
    ("CR-004 call: list", "v2/r/req/1", "[]", "payload.shape"),
    ("CR-004 call: no method", "v1/devices/me/rpc/request/1", '{"params":1}', "payload.shape"),
    ("CL-002 claim: list", "v1/devices/me/claim", "[]", "payload.shape"),
    ("CL-002 claim: duration", "v2/c", '{"durationMs":true}', "payload.shape"),
    ("OT-019 chunk size", "v2/fw/request/1/chunk/0", "4k", "package.request"),
    ("TV-008 attributes: no JSON", "v1/devices/me/attributes", "some text", "payload.not_json"),
    ("TV-013 telemetry: value missing", "v1/devices/me/telemetry", '{"key1":, "key2":true}', "payload.not_json"),
]


@pytest.mark.parametrize("row", INVALID, ids=lambda row: row[0])
def test_version_5_hears_that_the_payload_is_invalid(wire, tenant, row):
    """P-11, P-12: PUBACK 0x99 and the connection stays; at QoS 0 there is only DISCONNECT."""
    _, topic, payload, reason = row
    device = tenant.new_device()
    connection = wire(V5, device.token)
    answer = connection.ask(w.publish(topic, payload, 1, 77, V5), w.PUBACK)
    assert (answer.code, answer.packet_id) == (0x99, 77)
    assert connection.is_alive()
    connection.send(w.publish(topic, payload, 2, 78, V5))
    assert connection.expect(w.PUBREC).code == 0x99
    connection.send(w.publish(topic, payload, 0, version=V5))
    assert connection.outcome() == "DISCONNECT 0x99 close"
    assert device.keys() == [] and device.attributes() == {}
    entry = tenant.event(reason or "payload.", device)
    assert entry["sentence"] and entry["remedy"]


@pytest.mark.parametrize("version", V3, ids=w.NAMES.get)
@pytest.mark.parametrize("row", INVALID, ids=lambda row: row[0])
def test_older_versions_are_closed_unless_the_profile_acknowledges(wire, strict, lenient, row, version):
    """TV-013, TV-014."""
    _, topic, payload, _ = row
    for qos in (0, 1, 2):
        connection = wire(version, strict.token)
        connection.send(w.publish(topic, payload, qos, 77, version))
        assert connection.outcome() == "close", f"QoS {qos}"
    connection = wire(version, lenient.token)
    answer = connection.ask(w.publish(topic, payload, 1, 77, version), w.PUBACK)
    assert answer.raw.hex() == "4002004d"
    assert connection.is_alive()
    connection.send(w.publish(topic, payload, 0, version=version))
    assert connection.outcome() == "close", "at QoS 0 nothing can be acknowledged"
    assert strict.keys() == [] == lenient.keys()


@pytest.fixture(scope="module")
def strict(tenant):
    profile = tenant.new_profile(acks_invalid=False)
    return tenant.new_device(deviceProfileId=profile["id"])


@pytest.fixture(scope="module")
def lenient(tenant):
    profile = tenant.new_profile(acks_invalid=True)
    return tenant.new_device(deviceProfileId=profile["id"])


def test_the_flag_of_the_profile_reaches_live_sessions(wire, tenant):
    """LS-051: no reconnect needed, in both directions."""
    profile = tenant.new_profile(acks_invalid=False)
    device = tenant.new_device(deviceProfileId=profile["id"])
    connection = wire(V311, device.token)

    def save(flag):
        found = tenant.ok("GET", f"/api/deviceProfile/{profile['id']['id']}")
        found["profileData"]["transportConfiguration"]["sendAckOnValidationException"] = flag
        saved = tenant.ok("POST", "/api/deviceProfile", found)
        assert saved["profileData"]["transportConfiguration"]["sendAckOnValidationException"] is flag

    save(True)
    assert connection.ask(w.publish("v2/t", "no json", 1, 5)).raw.hex() == "40020005"
    assert connection.is_alive()
    save(False)
    connection.send(w.publish("v2/t", "no json", 1, 6))
    assert connection.outcome() == "close"


UNKNOWN = ["wrong/topic/", "v1/devices/me/telemetry/", "V1/devices/me/telemetry", "v2/T", "v2/t/x", "v2", "$SYS/x",
           "v1/devices/me", "x" * 1025]


@pytest.mark.parametrize("topic", UNKNOWN, ids=lambda topic: topic[:30])
def test_an_unknown_topic_is_acknowledged_and_dropped(wire, tenant, topic):
    """P-9, TV-007, E-TOPIC."""
    device = tenant.new_device()
    for version in V3:
        connection = wire(version, device.token)
        connection.send(w.publish(topic, '{"a":1}', 0, version=version))
        assert connection.is_alive(), "QoS 0: silence"
        assert connection.ask(w.publish(topic, '{"a":1}', 1, 3, version)).raw.hex() == "40020003"
        assert connection.is_alive()
    connection = wire(V5, device.token)
    connection.send(w.publish(topic, '{"a":1}', 0, version=V5))
    assert connection.is_alive()
    assert connection.ask(w.publish(topic, '{"a":1}', 1, 3, V5), w.PUBACK).code == 0x90
    assert connection.is_alive()
    assert device.keys() == []
    reason = "publish.topic_invalid" if len(topic) > 1024 else "publish.topic_unknown"
    tenant.event(reason, device)


@pytest.mark.parametrize("topic", ["v1/gateway/telemetry", "v1/gateway/connect", "v1/gatewayX"])
def test_a_gateway_topic_of_another_device_is_not_authorized(wire, tenant, device, topic):
    """P-10."""
    connection = wire(V5, device.token)
    assert connection.ask(w.publish(topic, "{}", 1, 3, V5), w.PUBACK).code == 0x87
    assert connection.is_alive()
    old = wire(V311, device.token)
    assert old.ask(w.publish(topic, "{}", 1, 3)).raw.hex() == "40020003"
    assert old.is_alive()
    tenant.event("publish.not_a_gateway", device)


def test_a_topic_of_sparkplug_is_unknown_where_the_profile_is_not_for_it(wire, tenant, device):
    connection = wire(V5, device.token)
    assert connection.ask(w.publish("spBv1.0/G/NDATA/E", "{}", 1, 3, V5), w.PUBACK).code == 0x90
    assert connection.is_alive()
    entry = tenant.event("publish.topic_unknown", device)
    assert entry["detail"] == "the device profile is not for Sparkplug B"


def test_a_payload_marked_as_text_must_be_text(wire, device):
    """P-13."""
    connection = wire(V5, device.token)
    data = w.publish("v2/t", b'{"a":"\xff"}', 1, 3, V5, [(w.PAYLOAD_FORMAT, 1)])
    assert connection.ask(data, w.PUBACK).code == 0x99
    assert connection.is_alive()


def test_a_bad_payload_does_not_stop_the_good_one_behind_it(wire, device):
    """P-20: answers in the order of arrival, whatever they say."""
    connection = wire(V5, device.token)
    connection.send(b"".join(
        w.publish("v2/t", '{"n":%d}' % n if n % 2 else "no", 1, n, V5) for n in range(1, 41)))
    answers = [connection.expect(w.PUBACK) for _ in range(40)]
    assert [it.packet_id for it in answers] == list(range(1, 41))
    assert [it.code for it in answers] == [0x99 if n % 2 == 0 else 0 for n in range(1, 41)]
    assert device.value("n") == "39"
