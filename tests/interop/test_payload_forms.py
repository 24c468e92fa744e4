"""What the page "Getting Connected" and the device API say of payload forms, walked as somebody who reads them.

mosquitto_pub sends files that protoc's classes wrote; what comes down is read with the same classes.
"""

import hashlib
import subprocess
import time

import cbor2
import paho.mqtt.client as paho
import pytest

import wire as w
from clients import Paho, mosquitto_pub
from rest import fresh, new_user
from test_protobuf import DOCUMENTED, awaited, closing, compiled, connected, device_of, fixed, profile_body, protobuf, stored
from wire import Wire

__all__ = ["closing", "compiled", "fixed"]  # fixtures

COMPATIBLE = {"enableCompatibilityWithJsonPayloadFormat": True}


@pytest.fixture(scope="module")
def documented(compiled):
    """The four messages of the documentation."""
    found = {kind: compiled(text) for kind, text in DOCUMENTED.items()}
    return {"telemetry": found["telemetry"].SensorDataReading, "attributes": found["attributes"].SensorConfiguration,
            "call": found["rpc_request"].RpcRequestMsg, "answer": found["rpc_response"].RpcResponseMsg}


@pytest.fixture
def listen(subject):
    """Starts mosquitto_sub and reads payloads from it as bytes."""
    running = []

    def start(token, topic, *options):
        host, port = subject.mqtt
        line = ["mosquitto_sub", "-h", host, "-p", str(port), "-u", token, "-t", topic, "-q", "1", "-W", "60",
                "-F", "%t %x", *options]
        running.append(subprocess.Popen(line, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_a_file_of_protobuf_goes_in_with_mosquitto_pub(subject, tenant, documented, tmp_path):
    """Default format, the short topic and the one with /p; a JSON line on /j."""
    device, _ = device_of(tenant, protobuf())
    message = documented["telemetry"](temperature=20.5, humidity=64.0)
    message.innerObject.key3 = 1.25
    rows = [("v1/devices/me/telemetry", 1), ("v2/t", 2), ("v2/t/p", 3)]
    for topic, key4 in rows:
        message.innerObject.key4 = key4
        file = tmp_path / "telemetry.bin"
        file.write_bytes(message.SerializeToString())
        for version in ("311", "5"):
            status, said = mosquitto_pub(subject.mqtt, "-V", version, "-q", "1", "-t", topic, "-u", device.token, "-f", str(file))
            assert status == 0, said
        found = stored(device, ["temperature", "humidity", "innerObject"])
        assert found == {"temperature": 20.5, "humidity": 64.0, "innerObject": {"key3": 1.25, "key4": key4}}, topic
    status, said = mosquitto_pub(subject.mqtt, "-q", "1", "-t", "v2/t/j", "-u", device.token, "-m", '{"temperature": 7}')
    assert status == 0 and device.value("temperature") == "7", said
    file = tmp_path / "attributes.bin"
    file.write_bytes(documented["attributes"](firmwareVersion="v1.0-rc").SerializeToString())
    for topic in ("v1/devices/me/attributes", "v2/a", "v2/a/p"):
        assert mosquitto_pub(subject.mqtt, "-q", "1", "-t", topic, "-u", device.token, "-f", str(file))[0] == 0
    assert device.attributes() == {"firmwareVersion": "v1.0-rc"}


def test_schemas_come_back_as_they_were_saved(tenant):
    """REST 7.3: also comments and blanks; blank ones for RPC are the built-in ones."""
    text = "// ours\n" + DOCUMENTED["telemetry"]
    body = protobuf(deviceTelemetryProtoSchema=text, deviceRpcRequestProtoSchema="", deviceRpcResponseProtoSchema=None)
    saved = tenant.ok("POST", "/api/deviceProfile", profile_body(body))
    read = tenant.ok("GET", f"/api/deviceProfile/{saved['id']['id']}")
    found = read["profileData"]["transportConfiguration"]["transportPayloadTypeConfiguration"]
    assert found["deviceTelemetryProtoSchema"] == text and found["deviceAttributesProtoSchema"] == DOCUMENTED["attributes"]
    assert found["enableCompatibilityWithJsonPayloadFormat"] is False
    for member in ("deviceRpcRequestProtoSchema", "deviceRpcResponseProtoSchema"):
        checked = {"kind": "RPC_REQUEST" if "Request" in member else "RPC_RESPONSE", "schema": found[member]}
        assert tenant.ok("POST", "/api/thingport/schema/check", checked)["valid"], found[member]


WRONG = "syntax = \"proto3\"; message T { "
WRONG_PROFILES = [
    # What is sent instead, and what is said.
    ({"deviceTelemetryProtoSchema": None}, "deviceTelemetryProtoSchema must not be empty"),
    ({"deviceTelemetryProtoSchema": "  "}, "deviceTelemetryProtoSchema must not be empty"),
    ({"deviceAttributesProtoSchema": None}, "deviceAttributesProtoSchema must not be empty"),
    ({"deviceAttributesProtoSchema": WRONG}, "invalid attributes proto schema: line 1"),
    ({"deviceRpcRequestProtoSchema": WRONG + "string method = 1; }"}, "invalid rpc request proto schema: line 1"),
    ({"deviceRpcResponseProtoSchema": WRONG}, "invalid rpc response proto schema: line 1"),
    ({"deviceTelemetryProtoSchema": WRONG + " ".join("a" * 200 + f"{n} = {n};" for n in range(2_000)) + "}"}, "at most"),
    ({"deviceTelemetryProtoSchema": "message M { " * 40}, ""),
    ({"deviceTelemetryProtoRoot": "Nowhere"}, "there is no message \"Nowhere\" to be the root"),
    ({"transportPayloadType": "AVRO"}, "AVRO"),
]


@pytest.mark.parametrize("members, word", WRONG_PROFILES, ids=range(len(WRONG_PROFILES)))
def test_a_profile_that_cannot_work_is_refused_with_the_reason(tenant, members, word):
    """REST 7.3, P-1 to P-7."""
    began = time.monotonic()
    refused = tenant.post("/api/deviceProfile", profile_body(protobuf(**members)))
    assert refused.status_code == 400, refused.text
    body = refused.json()
    assert body["errorCode"] == 31 and word in body["message"] and len(body["message"]) < 10_000, body
    assert time.monotonic() - began < 8, "it takes no time"


FILTERS = [
    # Telemetry, attributes, subscription, and what is said; None: saved.
    ("v1/devices/+/telemetry", "+/devices/+/attributes", "v1/devices/me/attributes", None),
    ("#", "v1/devices/me/#", "a/#", None),
    ("+", "+/+", "+/+/updates", None),
    ("a.b", "a(b", "[a-z]*", None),
    ("spaces are fine", "/leading", "trailing/", None),
    ("a/#/b", "b", "c", "deviceTelemetryTopic may contain # only as the whole last level: a/#/b"),
    ("a#", "b", "c", "deviceTelemetryTopic may contain # only as the whole last level"),
    ("a", "b+/c", "c", "deviceAttributesTopic may contain + only as a whole level: b+/c"),
    ("a", "b", "c/##", "deviceAttributesSubscribeTopic may contain # only as the whole last level"),
    ("a", "a", "c", "deviceTelemetryTopic and deviceAttributesTopic must differ"),
    ("a" * 65_536, "b", "c", "deviceTelemetryTopic is longer than 65535 bytes"),
    ("a\0b", "b", "c", ""),
    (7, "b", "c", ""),
]


@pytest.mark.parametrize("telemetry, attributes, subscription, word", FILTERS, ids=range(len(FILTERS)))
def test_topic_filters_are_checked_when_they_are_saved(tenant, telemetry, attributes, subscription, word):
    """TP-016, REST 7.3; the workbench says the same of one filter before it is saved."""
    topics = {"deviceTelemetryTopic": telemetry, "deviceAttributesTopic": attributes,
              "deviceAttributesSubscribeTopic": subscription}
    answer = tenant.post("/api/deviceProfile", profile_body({"transportPayloadType": "JSON"}, **topics))
    if word is None:
        saved = answer.json()["profileData"]["transportConfiguration"]
        assert {key: saved[key] for key in topics} == topics
        tried = tenant.ok("POST", "/api/thingport/topics/try", topics | {"topic": "a"})
        assert [it["problem"] for it in tried["filters"]] == [None] * 3
        return
    assert answer.status_code == 400 and answer.json()["errorCode"] == 31, answer.text
    assert word in answer.json()["message"], answer.text


def test_topics_that_are_not_named_are_the_standard_ones(subject, tenant, closing):
    """TP-010; what is blank is named all the same, but for subscriptions (REST 7.3)."""
    missing = {"deviceTelemetryTopic": None, "deviceAttributesTopic": None, "deviceAttributesSubscribeTopic": " "}
    device, _ = device_of(tenant, {"transportPayloadType": "JSON"}, **missing)
    client = connected(subject, device, paho.MQTTv5, closing)
    for topic in ("v1/devices/me/telemetry", "v2/t"):
        assert client.publish(topic, {"a": 1}) == 0
    assert device.keys() == ["a"]
    blank = profile_body({"transportPayloadType": "JSON"}, deviceTelemetryTopic=" ")
    refused = tenant.post("/api/deviceProfile", blank)
    assert refused.status_code == 400 and "deviceTelemetryTopic must not be empty" in refused.text


def test_json_downlinks_need_compatibility(subject, tenant, fixed, closing):
    """PB-043: saved, as clients may send it, and without effect."""
    device, _ = device_of(tenant, protobuf(useJsonPayloadFormatForDefaultDownlinkTopics=True))
    client = connected(subject, device, paho.MQTTv5, closing)
    client.subscribe([("v1/devices/me/attributes", 1)])
    tenant.ok("POST", f"/api/plugins/telemetry/DEVICE/{device.id}/SHARED_SCOPE", {"a": 1})
    assert fixed.AttributeUpdate.FromString(client.wait("message")[1]).updated[0].kv.long_v == 1
    assert client.publish("v2/t", {"t": 1}) == 0x99


@pytest.mark.parametrize("own, subscribed, told", [
    ("plant/+/updates", "plant/7/updates", "plant/7/updates"), ("plant/+/updates", "plant/+/updates", "plant/me/updates"),
    ("+/devices/+/attributes", "v1/devices/me/attributes", "v1/devices/me/attributes"), ("a/#", "a/#", "a/attributes"),
])
def test_changes_come_on_a_topic_that_was_subscribed(subject, tenant, closing, own, subscribed, told):
    """TP-012, TP-013: a client that drops what it did not subscribe to gets them too."""
    device, _ = device_of(tenant, {"transportPayloadType": "JSON"}, deviceAttributesSubscribeTopic=own)
    client = connected(subject, device, paho.MQTTv311, closing)
    client.subscribe([(subscribed, 1)])
    tenant.ok("POST", f"/api/plugins/telemetry/DEVICE/{device.id}/SHARED_SCOPE", {"a": 1})
    assert client.message() == (told, {"a": 1})


def test_a_filter_of_the_documentation_beside_the_standard_topics(subject, tenant, closing):
    """TP-011, TP-012, TP-015, TP-020: `+` and `#` as the page has them, first attributes, then telemetry."""
    topics = {"deviceTelemetryTopic": "v1/devices/me/#", "deviceAttributesTopic": "+/devices/+/attributes"}
    device, _ = device_of(tenant, {"transportPayloadType": "JSON"}, **topics)
    client = connected(subject, device, paho.MQTTv5, closing)
    rows = [
        ("v1/devices/me/attributes", {"a1": 1}, 0), ("x/devices/y/attributes", {"a2": 1}, 0),
        ("v1/devices/me/telemetry", {"t1": 1}, 0), ("v1/devices/me", {"t2": 1}, 0),
        ("v1/devices/me/rpc/response/1", {"t3": 1}, 0), ("v1/devices/me/claim", {"t4": 1}, 0),
        ("v2/t", {"t5": 1}, 0), ("v2/a/j", {"a3": 1}, 0),
        ("v1/devices/other", {"no": 1}, 0x90), ("x/devices//attributes", {"no": 1}, 0x90),
        ("v1/gateway/telemetry", {}, 0x87),
    ]
    for topic, body, code in rows:
        assert client.publish(topic, body) == code, topic
    assert (sorted(device.keys()), sorted(device.attributes())) == (["t1", "t2", "t3", "t4", "t5"], ["a1", "a2", "a3"])


@pytest.mark.parametrize("acks", [False, True], ids=["closes", "acknowledges"])
@pytest.mark.parametrize("compatible", [False, True], ids=["strict", "compatible"])
def test_what_is_neither_form_is_told(subject, tenant, compatible, acks):
    """TV-013 to TV-015, E-FORMAT, PB-040, with and without "PUBACK on validation failure"."""
    payload = protobuf(enableCompatibilityWithJsonPayloadFormat=compatible)
    device, _ = device_of(tenant, payload, sendAckOnValidationException=acks)
    old = Wire(subject.mqtt, 4)
    old.login(device.token)
    old.send(w.publish("v1/devices/me/telemetry", '{"key1":', 1, 7))
    if acks:
        assert old.expect(w.PUBACK).packet_id == 7 and old.is_alive()
    else:
        assert old.outcome() == "close"
    old.close()
    new = Wire(subject.mqtt, 5)
    new.login(device.token)
    assert new.ask(w.publish("v2/t", '{"key1":', 1, 7, 5), w.PUBACK).code == 0x99 and new.is_alive()
    told = new.ask(w.publish("v2/t", '{"key1":1}', 1, 8, 5), w.PUBACK)
    assert told.code == (0 if compatible else 0x99)
    new.close()
    assert device.keys() == (["key1"] if compatible else [])
    tenant.event("payload.not_", device)


def test_compatibility_holds_for_everything_a_device_says(subject, tenant, documented, fixed, closing):
    """PB-040, PB-041: attribute requests, answers to calls, questions and claims, in either form on one connection."""
    device, _ = device_of(tenant, protobuf(**COMPATIBLE))
    client = connected(subject, device, paho.MQTTv5, closing)
    client.publish("v2/a", {"serialNumber": "json"})
    client.publish("v2/a", documented["attributes"](firmwareVersion="v1").SerializeToString())
    assert device.attributes() == {"serialNumber": "json", "firmwareVersion": "v1"}
    client.subscribe([("v2/a/res/+", 1), ("v2/r/res/+", 1), ("v2/r/req/+", 1)])
    for body in ({"clientKeys": "serialNumber"}, fixed.AttributesRequest(clientKeys="serialNumber").SerializeToString()):
        client.publish("v2/a/req/1", body)
        topic, answer, _ = client.wait("message")
        told = fixed.AttributesResponse.FromString(answer)
        assert topic == "v2/a/res/1" and [it.kv.string_v for it in told.client] == ["json"]
    for body in ({"method": "getCurrentTime"}, fixed.ClientRpcRequest(method="getCurrentTime").SerializeToString()):
        client.publish("v2/r/req/2", body)
        topic, answer, _ = client.wait("message")
        assert topic == "v2/r/res/2" and "time" in fixed.ClientRpcResponse.FromString(answer).payload
    answers = [b'{"done": 1}', documented["answer"](payload="done").SerializeToString()]

    def answering(mqtt, _, received):
        mqtt.publish(received.topic.replace("/req/", "/res/"), answers.pop(0), 1)
    client.client.on_message = answering
    for expected in ({"done": 1}, {"payload": "done"}):
        call = {"method": "m", "params": "x", "timeout": 10_000}
        assert tenant.ok("POST", f"/api/rpc/twoway/{device.id}", call) == expected


TWO_KEYS = {"serialNumber": 1, "limit": {"low": [1, 2]}}


@pytest.mark.parametrize("updates, requests, responses", [
    ("v1/devices/me/attributes", "v1/devices/me/attributes/request/", "v1/devices/me/attributes/response/"),
    ("v2/a", "v2/a/req/", "v2/a/res/"), ("v2/a/p", "v2/a/req/p/", "v2/a/res/p/"),
], ids=["v1", "v2", "v2-p"])
def test_attributes_go_both_ways_in_fixed_messages(subject, tenant, fixed, closing, updates, requests, responses):
    """PB-030 to PB-032, TV-026: set, deleted, asked for; every type."""
    device, _ = device_of(tenant, protobuf())
    client = connected(subject, device, paho.MQTTv311, closing)
    client.subscribe([(updates, 1), (responses + "+", 1)])
    body = {"b": True, "l": 5, "d": 1.5, "s": "text", "j": {"a": [1]}}
    scope = f"/api/plugins/telemetry/DEVICE/{device.id}"
    tenant.ok("POST", f"{scope}/SHARED_SCOPE", body)

    def values(told):
        types = ["bool_v", "long_v", "double_v", "string_v", "json_v"]
        return {it.kv.key: getattr(it.kv, types[it.kv.type]) for it in told}
    expected = {"b": True, "l": 5, "d": 1.5, "s": "text", "j": '{"a":[1]}'}
    topic, payload, _ = client.wait("message")
    assert topic == updates and values(fixed.AttributeUpdate.FromString(payload).updated) == expected
    client.publish(f"{requests}9", fixed.AttributesRequest(sharedKeys="b,l,d,s,j,none").SerializeToString())
    topic, payload, _ = client.wait("message")
    told = fixed.AttributesResponse.FromString(payload)
    assert topic == f"{responses}9" and told.requestId == 9 and values(told.shared) == expected
    tenant.ok("DELETE", f"{scope}/SHARED_SCOPE?keys=b,l")
    update = fixed.AttributeUpdate.FromString(client.wait("message")[1])
    assert sorted(update.deleted) == ["b", "l"] and not update.updated


@pytest.mark.parametrize("requests", ["v1/devices/me/rpc/request/+", "v2/r/req/+", "v2/r/req/p/+"], ids=["v1", "v2", "v2-p"])
def test_calls_go_both_ways_by_the_schemas(subject, tenant, documented, closing, requests):
    """PB-020 to PB-024, TV-037: one-way, two-way, and an answer that cannot be read."""
    device, _ = device_of(tenant, protobuf())
    client = connected(subject, device, paho.MQTTv5, closing)
    client.subscribe([(requests, 1)])
    tenant.ok("POST", f"/api/rpc/oneway/{device.id}", {"method": "reboot", "params": 7})
    topic, payload, _ = client.wait("message")
    call = documented["call"].FromString(payload)
    assert (call.method, call.params, str(call.requestId)) == ("reboot", "7", topic.rsplit("/", 1)[1])
    answers = [b"\xff", documented["answer"](payload="ok").SerializeToString()]
    seen = []

    def answering(mqtt, _, received):
        answer = received.topic.replace("/req/", "/res/").replace("/request/", "/response/")
        while answers:
            mqtt.publish(answer, answers.pop(0), 1)
        seen.append(received.topic)
    client.client.on_message = answering
    call = {"method": "state", "params": "all", "timeout": 10_000}
    assert tenant.ok("POST", f"/api/rpc/twoway/{device.id}", call) == {"payload": "ok"}
    tenant.event("payload.not_protobuf", device)


def test_a_call_that_has_no_schema_is_answered_to_the_caller(subject, tenant, closing):
    """TP-006: a device of a JSON profile wants calls in Protobuf."""
    device = tenant.new_device()
    client = connected(subject, device, paho.MQTTv5, closing)
    client.subscribe([("v2/r/req/p/+", 1)])
    refused = tenant.post(f"/api/rpc/twoway/{device.id}", {"method": "m", "params": 1, "timeout": 8_000})
    assert refused.json().get("result") == "INVALID_ARGUMENTS", refused.text
    tenant.event("payload.no_schema", device)


@pytest.mark.parametrize("topic, dumps", [
    ("v1/devices/me/claim", None), ("v2/c", None), ("v2/c/p", None), ("v2/c/j", lambda body: body),
], ids=["v1", "v2", "v2-p", "v2-j"])
def test_a_claim_in_protobuf_is_somebodys_device(subject, tenant, fixed, closing, topic, dumps):
    """TV-042, PB-034, DD-004."""
    device, _ = device_of(tenant, protobuf())
    customer = tenant.ok("POST", "/api/customer", {"title": fresh("customer")})
    account = {"email": f"{fresh('user')}@example.org", "authority": "CUSTOMER_USER", "customerId": customer["id"]}
    user = new_user(tenant, account)[0]
    client = connected(subject, device, paho.MQTTv5, closing)
    body = dumps({"secretKey": "s", "durationMs": 60_000}) if dumps else \
        fixed.Claim(secretKey="s", durationMs=60_000).SerializeToString()
    assert client.publish(topic, body) == 0
    claimed = user.ok("POST", f"/api/customer/device/{device.body['name']}/claim", {"secretKey": "s"})
    assert claimed["response"] == "SUCCESS", claimed
    assert client.publish("v2/c/p", b"\x0a\x05s") == 0x99


def test_questions_of_the_newer_documents_are_answered(subject, tenant, fixed, closing):
    """DD-005: the form behind the number."""
    device = tenant.new_device()
    client = connected(subject, device, paho.MQTTv5, closing)
    client.publish("v2/a", {"a": 1})
    client.subscribe([("v2/a/res/p/+", 1), ("v2/a/res/j/+", 1)])
    client.publish("v2/a/req/7/p", fixed.AttributesRequest(clientKeys="a").SerializeToString())
    topic, payload, _ = client.wait("message")
    assert topic == "v2/a/res/p/7" and fixed.AttributesResponse.FromString(payload).client[0].kv.long_v == 1
    assert client.ask("v2/a/req/8/j", {"clientKeys": "a"}) == ("v2/a/res/j/8", {"client": {"a": 1}})


def test_parts_of_firmware_are_plain_bytes_under_protobuf(subject, tenant, fixed, closing):
    """TP-008"""
    device, profile = device_of(tenant, protobuf())
    body = {"deviceProfileId": profile["id"], "type": "FIRMWARE", "title": fresh("fw"), "version": "1", "tag": None}
    package = tenant.ok("POST", "/api/otaPackage", body)
    data = b"\x00firmware\xff" * 30
    checksum = hashlib.sha256(data).hexdigest()
    tenant.ok("POST", f"/api/otaPackage/{package['id']['id']}?checksum={checksum}&checksumAlgorithm=SHA256",
              files={"file": ("f.bin", data)})
    client = connected(subject, device, paho.MQTTv5, closing)
    client.subscribe([("v2/fw/response/+/chunk/+", 1), ("v2/a/p", 1)])
    stored_device = tenant.ok("GET", f"/api/device/{device.id}")
    tenant.ok("POST", "/api/device", stored_device | {"firmwareId": package["id"]})
    told = {}

    def is_told():
        topic, payload, _ = client.wait("message")
        assert topic == "v2/a/p"
        told.update({it.kv.key: it.kv.string_v or it.kv.long_v for it in fixed.AttributeUpdate.FromString(payload).updated})
        return told
    awaited(is_told, lambda found: {"fw_checksum", "fw_size", "fw_title"} <= found.keys())
    assert (told["fw_checksum"], told["fw_size"]) == (checksum, len(data))
    read = b""
    for chunk in range(4):
        client.publish(f"v2/fw/request/1/chunk/{chunk}", "100")
        topic, payload, _ = client.wait("message")
        assert topic == f"v2/fw/response/1/chunk/{chunk}"
        read += payload
    assert read == data


@pytest.mark.parametrize("kind, good, bad", [
    ("CBOR", cbor2.dumps({"t": 1}), [b"", b"\xa1\x61t", b"\x9f" * 200, b"\xbf\x61a\x01", b"\xa1\xf4\x01", b"\xff",
                                     b"\xa1\x61t\xfa\x00", b"\xa1\x62\xc3\x28\x01", b"\xa1\x61t\x01\x00"]),
    ("MSGPACK", b"\x81\xa1t\x01", [b"", b"\x81\xa1t", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc1",
                                   b"\x91" * 200, b"\x81\xc2\x01", b"\x81\xa2\xc3\x28\x01", b"\x81\xa1t\x01\x00"]),
], ids=["cbor", "msgpack"])
def test_compact_bytes_that_are_none_are_refused(subject, tenant, kind, good, bad, closing):
    device, _ = device_of(tenant, {"transportPayloadType": kind})
    client = connected(subject, device, paho.MQTTv5, closing)
    for payload in bad:
        assert client.publish("v2/t", payload) == 0x99, payload
        assert client.publish("v2/t", good) == 0
    assert device.keys() == ["t"]


# Section 5.4 of the device API: the messages of a device that is provisioned.
PROVISION = """syntax = "proto3";
enum CredentialsType { ACCESS_TOKEN = 0; X509_CERTIFICATE = 1; MQTT_BASIC = 2; }
enum Status { UNKNOWN = 0; SUCCESS = 1; NOT_FOUND = 2; FAILURE = 3; }
message Token { string token = 1; }
message X509 { string hash = 1; }
message Basic { string clientId = 1; string userName = 2; string password = 3; }
message Data { Token tokenData = 1; X509 x509Data = 2; Basic basicData = 3; }
message Keys { string provisionDeviceKey = 1; string provisionDeviceSecret = 2; }
message ProvisionRequest { string deviceName = 1; CredentialsType credentialsType = 2; Keys keys = 3; Data data = 4;
                           bool gateway = 5; }
message ProvisionResponse { Status status = 1; CredentialsType credentialsType = 2; string credentialsValue = 3; }
"""


@pytest.mark.parametrize("own", [None, "a-token-of-its-own-"], ids=["made", "brought"])
def test_a_device_is_provisioned_and_speaks_protobuf_from_the_first_word(subject, tenant, compiled, documented, own):
    """TV-043 in Protobuf, with the official library on the other side."""
    types = compiled(PROVISION)
    body = profile_body(protobuf())
    key, secret = fresh("key"), fresh("secret")
    body |= {"provisionType": "ALLOW_CREATE_NEW_DEVICES", "provisionDeviceKey": key}
    body["profileData"]["provisionConfiguration"] = {"type": "ALLOW_CREATE_NEW_DEVICES", "provisionDeviceSecret": secret}
    tenant.ok("POST", "/api/deviceProfile", body)
    request = types.ProvisionRequest(deviceName=fresh("provisioned"))
    request.keys.provisionDeviceKey, request.keys.provisionDeviceSecret = key, "wrong"
    if own:
        request.data.tokenData.token = own = fresh(own)
    client = Paho(subject.mqtt, paho.MQTTv311, "provision")
    try:
        assert client.connect() == 0
        client.subscribe([("/provision/response", 1)])
        said = []
        for given in ("wrong", secret):
            request.keys.provisionDeviceSecret = given
            client.publish("/provision/request", request.SerializeToString())
            said.append(types.ProvisionResponse.FromString(client.wait("message")[1]))
    finally:
        client.close()
    assert [it.status for it in said] == [2, 1] and said[1].credentialsType == 0
    assert said[1].credentialsValue == (own or said[1].credentialsValue) != ""
    client = Paho(subject.mqtt, paho.MQTTv5, said[1].credentialsValue)
    try:
        assert client.connect() == 0
        assert client.publish("v2/t", documented["telemetry"](temperature=1.5).SerializeToString()) == 0
    finally:
        client.close()
    found = tenant.ok("GET", f"/api/tenant/devices?deviceName={request.deviceName}")
    path = f"/api/plugins/telemetry/DEVICE/{found['id']['id']}/values/timeseries?keys=temperature"
    assert tenant.ok("GET", path)["temperature"][0]["value"] == "1.5"


TRIED = [
    # Kind, members of the trial, and what the answer must say.
    ("RPC_RESPONSE", DOCUMENTED["rpc_response"], "0a 02 6f 6b", {"payload": "ok"}),
    ("RPC_REQUEST", DOCUMENTED["rpc_request"], "0a 01 6d 10 07", {"method": "m", "requestId": 7}),
    ("ATTRIBUTES", DOCUMENTED["attributes"], "0x0a0131", {"firmwareVersion": "1"}),
    ("TELEMETRY", DOCUMENTED["telemetry"], "", {}),
]


@pytest.mark.parametrize("kind, schema, payload, expected", TRIED, ids=[row[0].lower() for row in TRIED])
def test_the_workbench_reads_every_kind_of_schema(tenant, kind, schema, payload, expected):
    tried = tenant.ok("POST", "/api/thingport/schema/try", {"kind": kind, "schema": schema, "payload": payload})
    packet, = tried["packets"]
    assert (packet["json"], packet["refused"], packet["leftovers"]) == (expected, None, [])
    readings = {it["key"]: it["value"] for it in packet["readings"]}
    assert readings == ({} if kind.startswith("RPC") else {"firmwareVersion": 1} if expected else {})


WRONG_TRIALS = [
    {"kind": "TELEMETRY"}, {"schema": "x", "payload": "00"}, {"kind": "SPEECH", "schema": "x", "payload": "00"},
    {"kind": "TELEMETRY", "schema": "x", "payload": "zz", "encoding": "HEX"},
    {"kind": "TELEMETRY", "schema": "x", "deviceId": "not an id"}, {"kind": "TELEMETRY", "schema": 7, "payload": "00"},
]


@pytest.mark.parametrize("body", WRONG_TRIALS, ids=range(len(WRONG_TRIALS)))
def test_trials_that_are_none_are_refused(tenant, body):
    refused = tenant.post("/api/thingport/schema/try", body)
    assert refused.status_code == 400 and refused.json()["errorCode"] == 31, refused.text


def test_a_trial_is_for_the_own_tenants_devices_and_bounded(tenant, people, device):
    body = {"kind": "TELEMETRY", "schema": DOCUMENTED["telemetry"], "deviceId": device.id}
    assert people.stranger.post("/api/thingport/schema/try", body).status_code == 404
    untraced = tenant.post("/api/thingport/schema/try", body)
    assert untraced.status_code in (200, 404) and not untraced.json().get("packets"), untraced.text
    # A message of many fields is shown in part, one of many bytes is shortened.
    many = tenant.ok("POST", "/api/thingport/schema/try", body | {"deviceId": None, "payload": "5001" * 20_000})
    assert 0 < len(many["packets"][0]["leftovers"]) <= 1_000
    wrong = tenant.ok("POST", "/api/thingport/schema/try", body | {"schema": WRONG, "payload": "00"})
    assert not wrong["valid"] and wrong["packets"] == [] and wrong["diagnostics"][0]["column"] >= 1


def test_the_workbench_shows_the_newest_traced_packets_first(subject, tenant, documented, closing):
    device, _ = device_of(tenant, protobuf())
    tenant.ok("POST", f"/api/thingport/devices/{device.id}/trace")
    client = connected(subject, device, paho.MQTTv5, closing)
    for at in range(5):
        client.publish("v2/t", documented["telemetry"](temperature=at).SerializeToString())
    # A claim holds a secret and is not shown, nor is what is empty.
    client.publish("v2/c/p", b"\x0a\x06secret")
    client.publish("v2/t/p", b"")
    body = {"kind": "TELEMETRY", "schema": DOCUMENTED["telemetry"], "deviceId": device.id, "limit": 3}
    tried = awaited(lambda: tenant.ok("POST", "/api/thingport/schema/try", body),
                    lambda found: [it["json"].get("temperature") for it in found["packets"]] == [4.0, 3.0, 2.0])
    assert all(it["topic"] == "v2/t" and it["at"] > 0 for it in tried["packets"]), tried
    assert [it["readings"][0]["value"] for it in tried["packets"]] == [4.0, 3.0, 2.0]


def test_mosquitto_sub_is_told_in_protobuf(tenant, fixed, listen):
    """The last word of the page: a shared attribute reaches a stock client as the fixed message."""
    device, _ = device_of(tenant, protobuf())
    listener = listen(device.token, "v2/a/p", "-C", "1")
    awaited(lambda: tenant.ok("GET", f"/api/thingport/devices/{device.id}/presence"), lambda it: it.get("connected"))

    def told():
        # Until it has subscribed nobody is told.
        tenant.ok("POST", f"/api/plugins/telemetry/DEVICE/{device.id}/SHARED_SCOPE", {"limit": 2.5})
        return listener.poll() is not None
    awaited(told, bool)
    topic, payload = listener.stdout.read().split()
    update = fixed.AttributeUpdate.FromString(bytes.fromhex(payload))
    assert (topic, update.updated[0].kv.key, update.updated[0].kv.double_v) == ("v2/a/p", "limit", 2.5)
