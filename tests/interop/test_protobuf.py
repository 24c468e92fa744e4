"""Protobuf, CBOR and MessagePack: messages made and read by the official libraries, from the same schemas.

The four schemas of the page "Getting Connected" are used word for word, as protoc compiles them.
"""

import base64
import json
import time
from pathlib import Path
from types import SimpleNamespace

import cbor2
import msgpack
import paho.mqtt.client as paho
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from clients import Paho
from rest import fresh
from server import ROOT, until

SCHEMAS = ROOT / "crates/thingport-device/testdata/protobuf"
DOCUMENTED = {name: (SCHEMAS / f"{name}.proto").read_text()
              for name in ("telemetry", "attributes", "rpc_request", "rpc_response")}
VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])

# Section 5.4 of the device API, as far as devices need it.
FIXED = """syntax = "proto3";
enum KeyValueType { BOOL = 0; LONG = 1; DOUBLE = 2; STRING = 3; JSON = 4; }
message KeyValue { string key = 1; KeyValueType type = 2; bool bool_v = 3; int64 long_v = 4; double double_v = 5;
                   string string_v = 6; string json_v = 7; }
message TsKv { int64 ts = 1; KeyValue kv = 2; }
message AttributesRequest { string clientKeys = 1; string sharedKeys = 2; }
message AttributesResponse { int32 requestId = 1; repeated TsKv client = 2; repeated TsKv shared = 3;
                             bool multiple = 4; string error = 5; }
message AttributeUpdate { repeated TsKv updated = 1; repeated string deleted = 2; }
message ClientRpcRequest { string method = 1; string params = 2; }
message ClientRpcResponse { int32 requestId = 1; string payload = 2; string error = 3; }
message Claim { string secretKey = 1; int64 durationMs = 2; }
"""

EVERYTHING = """syntax = "proto3";
package everything;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Mode { OFF = 0; HEATING = 1; }
message Cell { float volt = 1; sint32 degrees = 2; }
message Report {
  optional double temperature = 1;
  uint64 total_energy = 2;
  bool open = 3;
  bytes raw = 4;
  Mode mode = 5;
  repeated int32 samples = 6;
  repeated Cell cells = 7;
  map<string, double> limits = 8;
  oneof position { string room = 9; Cell cell = 10; }
  google.protobuf.Timestamp built = 11;
  google.protobuf.DoubleValue factor = 12;
  optional string unset = 13;
}
message Unused { int32 x = 1; }
"""

TIMED = """syntax = "proto2";
message Values { required double temperature = 1; optional string state = 2 [default = "idle"]; }
message Timed { optional int64 ts = 1; optional Values values = 2; }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Classes of messages, by protoc from the text of a schema."""
    def compile_(text):
        directory = tmp_path_factory.mktemp("schema")
        (directory / "schema.proto").write_text(text)
        include = Path(protoc.__file__).parent / "_proto"
        status = protoc.main(["protoc", f"-I{directory}", f"-I{include}", "--include_imports",
                              f"--descriptor_set_out={directory}/set", "schema.proto"])
        assert status == 0, text
        found = descriptor_pb2.FileDescriptorSet.FromString((directory / "set").read_bytes())
        pool = descriptor_pool.DescriptorPool()
        for file in found.file:
            pool.Add(file)
        file = pool.FindFileByName("schema.proto")
        return SimpleNamespace(**{name: message_factory.GetMessageClass(message)
                                  for name, message in file.message_types_by_name.items()})
    return compile_


@pytest.fixture(scope="module")
def fixed(compiled):
    return compiled(FIXED)


def protobuf(**members):
    return {"transportPayloadType": "PROTOBUF", "deviceTelemetryProtoSchema": DOCUMENTED["telemetry"],
            "deviceAttributesProtoSchema": DOCUMENTED["attributes"],
            "deviceRpcRequestProtoSchema": DOCUMENTED["rpc_request"],
            "deviceRpcResponseProtoSchema": DOCUMENTED["rpc_response"],
            "enableCompatibilityWithJsonPayloadFormat": False,
            "useJsonPayloadFormatForDefaultDownlinkTopics": False} | members


def profile_body(payload, name=None, **topics):
    transport = {"type": "MQTT", "transportPayloadTypeConfiguration": payload} | topics
    return {"name": name or fresh("profile"), "type": "DEFAULT", "transportType": "MQTT",
            "profileData": {"configuration": {"type": "DEFAULT"}, "transportConfiguration": transport}}


def device_of(tenant, payload, **topics):
    profile = tenant.ok("POST", "/api/deviceProfile", profile_body(payload, **topics))
    return tenant.new_device(deviceProfileId=profile["id"]), profile


def connected(subject, device, version, closing):
    client = Paho(subject.mqtt, version, device.token)
    closing(client.close)
    assert client.connect() == 0
    return client


@pytest.fixture
def closing():
    """Runs what is handed to it when the test is over."""
    todo = []
    yield todo.append
    for done in reversed(todo):
        done()


def stored(device, keys):
    """Latest values with their types; those that are not there are left out."""
    found = device.latest(*keys, strict=True)
    return {key: points[0]["value"] for key, points in found.items() if points and points[0]["value"] is not None}


def awaited(read, is_it):
    """Reads until it is what is waited for; the last thing read is shown when it never is."""
    seen = []

    def condition():
        seen[:] = [read()]
        return is_it(seen[0])
    try:
        until("what the device said", condition)
    except AssertionError as error:
        raise AssertionError(f"{error}; the last was {seen}") from None
    return seen[0]


@VERSIONS
def test_the_schemas_of_the_documentation_work_end_to_end(subject, tenant, compiled, fixed, version, closing):
    device, _ = device_of(tenant, protobuf())
    client = connected(subject, device, version, closing)
    message = compiled(DOCUMENTED["telemetry"]).SensorDataReading(temperature=21.5)
    message.innerObject.key1 = "on"
    message.innerObject.key2 = False
    message.innerObject.key4 = -7
    client.publish("v1/devices/me/telemetry", message.SerializeToString())
    awaited(lambda: stored(device, ["temperature", "humidity", "innerObject"]),
          lambda found: found == {"temperature": 21.5, "innerObject": {"key1": "on", "key2": False, "key4": -7}})
    message = compiled(DOCUMENTED["attributes"]).SensorConfiguration(firmwareVersion="1.2.3", serialNumber="0042")
    client.publish("v2/a", message.SerializeToString())
    # A text that looks like a number becomes one, as in JSON.
    awaited(lambda: device.attributes(), lambda found: found == {"firmwareVersion": "1.2.3", "serialNumber": 42})

    client.subscribe([("v1/devices/me/rpc/request/+", 1), ("v1/devices/me/attributes", 1),
                      ("v1/devices/me/attributes/response/+", 1)])
    tenant.ok("POST", f"/api/plugins/telemetry/DEVICE/{device.id}/SHARED_SCOPE", {"limit": 1.5})
    topic, payload, _ = client.wait("message")
    update = fixed.AttributeUpdate.FromString(payload)
    assert (topic, update.updated[0].kv.key, update.updated[0].kv.double_v) == ("v1/devices/me/attributes", "limit", 1.5)
    request = fixed.AttributesRequest(clientKeys="serialNumber", sharedKeys="limit,none").SerializeToString()
    client.publish("v1/devices/me/attributes/request/7", request)
    topic, payload, _ = client.wait("message")
    response = fixed.AttributesResponse.FromString(payload)
    assert topic == "v1/devices/me/attributes/response/7" and response.requestId == 7
    assert [it.kv.long_v for it in response.client] == [42] and [it.kv.double_v for it in response.shared] == [1.5]

    request, answer = compiled(DOCUMENTED["rpc_request"]).RpcRequestMsg, compiled(DOCUMENTED["rpc_response"]).RpcResponseMsg

    def answering(mqtt, _, received):
        if "/rpc/request/" in received.topic:
            call = request.FromString(received.payload)
            number = received.topic.rsplit("/", 1)[1]
            assert str(call.requestId) == number and (call.method, call.params) == ("setLed", "on")
            mqtt.publish(f"v1/devices/me/rpc/response/{number}", answer(payload="done").SerializeToString(), 1)
    client.client.on_message = answering
    called = tenant.ok("POST", f"/api/rpc/twoway/{device.id}", {"method": "setLed", "params": "on", "timeout": 10_000})
    assert called == {"payload": "done"}
    # An object does not fit into the string params (PB-021).
    refused = tenant.post(f"/api/rpc/twoway/{device.id}", {"method": "setLed", "params": {"on": 1}, "timeout": 5_000})
    assert refused.json().get("result") == "INVALID_ARGUMENTS", refused.text
    tenant.event("downlink.format", device)


def test_every_kind_of_field_arrives(subject, tenant, compiled, closing):
    schema = protobuf(deviceTelemetryProtoSchema=EVERYTHING, deviceTelemetryProtoRoot="Report")
    device, profile = device_of(tenant, schema)
    said = profile["profileData"]["transportConfiguration"]["transportPayloadTypeConfiguration"]
    assert said["deviceTelemetryProtoRoot"] == "Report" and "deviceAttributesProtoRoot" not in said
    types = compiled(EVERYTHING)
    message = types.Report(total_energy=2**40, raw=b"\xff\x00", mode=1, samples=[1, -2], limits={"max": 9.5}, room="hall")
    message.cells.add(volt=3.7, degrees=-5)
    message.built.seconds = 1_700_000_000
    message.factor.value = 0.5
    client = connected(subject, device, paho.MQTTv5, closing)
    client.publish("v2/t/p", message.SerializeToString())
    expected = {"totalEnergy": 2**40, "open": False, "raw": "/wA=", "mode": "HEATING", "samples": [1, -2],
                "cells": [{"volt": 3.7, "degrees": -5}], "limits": {"max": 9.5}, "room": "hall",
                "built": "2023-11-14T22:13:20Z", "factor": 0.5}
    awaited(lambda: stored(device, [*expected, "unset", "temperature", "cell"]), lambda found: found == expected)


def test_times_and_proto2(subject, tenant, compiled, closing):
    device, _ = device_of(tenant, protobuf(deviceTelemetryProtoSchema=TIMED))
    client = connected(subject, device, paho.MQTTv5, closing)
    message = compiled(TIMED).Timed(ts=1_700_000_000_000)
    message.values.temperature = 3.25
    client.publish("v2/t", message.SerializeToString())
    points = awaited(lambda: device.history("temperature", 1_699_999_999_999, 1_700_000_000_001), bool)
    assert points and len(device.keys()) == 1, points
    # Without what is required it is no message.
    message.ClearField("values")
    assert client.publish("v2/t", message.SerializeToString() + b"\x12\x00") == 0x99
    tenant.event("payload.not_protobuf", device)


def test_json_beside_protobuf_while_devices_are_updated(subject, tenant, compiled, fixed, closing):
    payload = protobuf(enableCompatibilityWithJsonPayloadFormat=True, useJsonPayloadFormatForDefaultDownlinkTopics=True)
    device, _ = device_of(tenant, payload)
    client = connected(subject, device, paho.MQTTv5, closing)
    message = compiled(DOCUMENTED["telemetry"]).SensorDataReading(temperature=1.5)
    client.publish("v1/devices/me/telemetry", message.SerializeToString())
    client.publish("v1/devices/me/telemetry", {"humidity": 60})
    awaited(lambda: stored(device, ["temperature", "humidity"]), lambda found: found == {"temperature": 1.5, "humidity": 60})
    client.subscribe([("v1/devices/me/attributes", 1)])
    tenant.ok("POST", f"/api/plugins/telemetry/DEVICE/{device.id}/SHARED_SCOPE", {"a": 1})
    assert client.message() == ("v1/devices/me/attributes", {"a": 1})
    client.subscribe([("v2/a", 1)])
    tenant.ok("POST", f"/api/plugins/telemetry/DEVICE/{device.id}/SHARED_SCOPE", {"a": 2})
    topic, update, _ = client.wait("message")
    assert topic == "v2/a" and fixed.AttributeUpdate.FromString(update).updated[0].kv.long_v == 2
    for body in (b"temp 5", b"[1", b"\x08"):
        assert client.publish("v2/t", body) == 0x99


def test_claims_and_questions_in_fixed_messages(subject, tenant, fixed, closing):
    device, _ = device_of(tenant, protobuf())
    client = connected(subject, device, paho.MQTTv5, closing)
    client.publish("v1/devices/me/claim", fixed.Claim(secretKey="s", durationMs=60_000).SerializeToString())
    client.subscribe([("v2/r/res/p/+", 1)])
    question = fixed.ClientRpcRequest(method="getCurrentTime", params="{}").SerializeToString()
    client.publish("v2/r/req/p/5", question)
    topic, payload, _ = client.wait("message")
    answer = fixed.ClientRpcResponse.FromString(payload)
    assert (topic, answer.requestId) == ("v2/r/res/p/5", 5)
    assert abs(json.loads(answer.payload)["time"] - time.time() * 1000) < 60_000
    # On JSON profiles, too (TP-007); what needs a schema is refused there (TP-006).
    plain = tenant.new_device()
    client = connected(subject, plain, paho.MQTTv5, closing)
    client.subscribe([("v2/a/res/p/+", 1)])
    client.publish("v2/a/req/p/1", b"")
    topic, payload, _ = client.wait("message")
    assert topic == "v2/a/res/p/1" and fixed.AttributesResponse.FromString(payload).requestId == 1
    assert client.publish("v2/t/p", b"\x08\x01") == 0x99
    tenant.event("payload.no_schema", plain)


@pytest.mark.parametrize("schema, word", [
    ("message T { int32 a = 1; }", "line 1, column 1: the syntax is not named"),
    ('syntax = "proto3";\nmessage T {\n  int32 a = 1\n}', "line 4, column 1: found '}'; expected"),
    ('syntax = "proto3"; import "other.proto"; message T { int32 a = 1; }', "cannot be imported"),
    ('syntax = "proto3"; message T { optional int64 ts = 1; int32 values = 2; }', "values is not a message"),
    ('syntax = "proto3"; message T { ' + " ".join(f"int32 f{at} = {at};" for at in range(1, 1002)) + " }", "at most 1000"),
])
def test_a_schema_that_is_wrong_is_refused_with_its_place(tenant, schema, word):
    refused = tenant.post("/api/deviceProfile", profile_body(protobuf(deviceTelemetryProtoSchema=schema)))
    message = refused.json()["message"]
    assert refused.status_code == 400 and word in message, message
    assert message.startswith("[Transport Configuration] invalid telemetry proto schema"), message
    checked = tenant.ok("POST", "/api/thingport/schema/check", {"kind": "TELEMETRY", "schema": schema})
    assert not checked["valid"] and checked["root"] is None and checked["diagnostics"][0]["line"] >= 1, checked


def test_a_session_takes_up_the_edited_schema(subject, tenant, compiled, closing):
    device, profile = device_of(tenant, protobuf())
    client = connected(subject, device, paho.MQTTv5, closing)
    after = 'syntax = "proto3"; message After { double pressure = 1; }'
    profile = tenant.ok("GET", f"/api/deviceProfile/{profile['id']['id']}")
    transport = profile["profileData"]["transportConfiguration"]
    transport["transportPayloadTypeConfiguration"]["deviceTelemetryProtoSchema"] = after
    tenant.ok("POST", "/api/deviceProfile", profile)
    message = compiled(after).After(pressure=1013.25).SerializeToString()

    def pressure():
        client.publish("v2/t", message)
        return stored(device, ["pressure"])
    awaited(pressure, lambda found: found == {"pressure": 1013.25})


def test_the_workbench_reads_pasted_and_traced_bytes(subject, tenant, compiled, closing):
    schema = {"kind": "TELEMETRY", "schema": DOCUMENTED["telemetry"]}
    message = compiled(DOCUMENTED["telemetry"]).SensorDataReading(temperature=21.5)
    message.innerObject.key1 = "x"
    payload = message.SerializeToString() + b"\x50\x07"
    for text in (payload.hex(" "), base64.b64encode(payload).decode()):
        tried = tenant.ok("POST", "/api/thingport/schema/try", schema | {"payload": text})
        assert tried["valid"] and tried["root"] == "telemetry.SensorDataReading", tried
        packet, = tried["packets"]
        names = [(it["offset"], it["length"], it["name"], it["type"], it["value"]) for it in packet["fields"]]
        assert names == [(0, 9, "temperature", "double", "21.5"), (9, 5, "innerObject", "message", ""),
                         (11, 3, "innerObject.key1", "string", '"x"')]
        left, = packet["leftovers"]
        assert (left["number"], left["wireType"], left["value"]) == (10, "VARINT", '"7"')
        readings = {it["key"]: (it["type"], it["value"]) for it in packet["readings"]}
        assert readings == {"temperature": ("DOUBLE", 21.5), "innerObject": ("JSON", {"key1": "x"})}
        assert packet["json"] == {"temperature": 21.5, "innerObject": {"key1": "x"}} and packet["refused"] is None
    tried = tenant.ok("POST", "/api/thingport/schema/try", schema | {"payload": "09 00"})
    assert tried["packets"][0]["refused"]["id"] == "payload.not_protobuf", tried
    for wrong in ({"payload": "0"}, {}, {"payload": "00", "encoding": "OCTAL"}):
        assert tenant.post("/api/thingport/schema/try", schema | wrong).status_code == 400

    # What a device of a JSON profile sent while it was traced, before its profile has the schema.
    device = tenant.new_device()
    tenant.ok("POST", f"/api/thingport/devices/{device.id}/trace")
    client = connected(subject, device, paho.MQTTv311, closing)
    client.publish("v2/t", payload, 0)
    asked = schema | {"deviceId": device.id, "limit": 1}
    tried = awaited(lambda: tenant.ok("POST", "/api/thingport/schema/try", asked), lambda it: it["packets"])
    packet, = tried["packets"]
    assert packet["topic"] == "v2/t" and base64.b64decode(packet["payload"]) == payload and packet["at"] > 0
    assert packet["json"]["temperature"] == 21.5


def test_topics_are_tried_before_they_are_saved(subject, tenant, closing):
    filters = {"deviceTelemetryTopic": "plant/+/data", "deviceAttributesTopic": "plant/#/x",
               "deviceAttributesSubscribeTopic": "plant/updates"}
    tried = tenant.ok("POST", "/api/thingport/topics/try", filters | {"topic": "plant/7/data"})
    said = [(it["matches"], it["problem"] is None) for it in tried["filters"]]
    assert said[0] == (True, True) and said[2] == (False, True) and not said[1][1], tried
    rows = [("plant/7/data", "TELEMETRY", None), ("v2/t", "TELEMETRY", None), ("v2/a/j", "ATTRIBUTES", None),
            ("v1/devices/me/rpc/response/1", "RPC_RESPONSE", None), ("plant/7", "NOTHING", "publish.topic_unknown"),
            ("v1/devices/me/telemetry", "NOTHING", "publish.topic_unknown")]
    good = filters | {"deviceAttributesTopic": "plant/attributes"}
    for topic, meaning, reason in rows:
        tried = tenant.ok("POST", "/api/thingport/topics/try", good | {"topic": topic})
        assert (tried["meaning"], (tried["refused"] or {}).get("id")) == (meaning, reason), topic
    refused = tenant.post("/api/deviceProfile", profile_body({"transportPayloadType": "JSON"}, **filters))
    assert refused.status_code == 400 and "deviceAttributesTopic may contain # only as the whole last level" in refused.text
    device, _ = device_of(tenant, {"transportPayloadType": "JSON"}, **good)
    client = connected(subject, device, paho.MQTTv5, closing)
    client.publish("plant/7/data", {"a": 1})
    client.publish("plant/attributes", {"b": 2})
    awaited(lambda: (stored(device, ["a"]), device.attributes()), lambda found: found == ({"a": 1}, {"b": 2}))
    assert client.publish("v1/devices/me/telemetry", {"a": 2}) == 0x90
    client.subscribe([("plant/updates", 1)])
    tenant.ok("POST", f"/api/plugins/telemetry/DEVICE/{device.id}/SHARED_SCOPE", {"c": 3})
    assert client.message() == ("plant/updates", {"c": 3})


@pytest.mark.parametrize("kind, dumps, loads", [("CBOR", cbor2.dumps, cbor2.loads),
                                                ("MSGPACK", msgpack.packb, msgpack.unpackb)], ids=["cbor", "msgpack"])
def test_compact_forms_say_what_json_would_say(subject, tenant, kind, dumps, loads, closing):
    device, profile = device_of(tenant, {"transportPayloadType": kind})
    transport = profile["profileData"]["transportConfiguration"]
    assert transport["transportPayloadTypeConfiguration"] == {"transportPayloadType": kind}
    client = connected(subject, device, paho.MQTTv5, closing)
    message = {"ts": 1_700_000_000_000, "values": {"t": 21.5, "n": 5, "on": True, "s": "x", "cast": "12", "none": None,
                                                   "raw": b"\xff\x00", "list": [1, {"a": 2.0}]}}
    client.publish("v1/devices/me/telemetry", dumps([message, {"plain": 1}]))
    expected = {"t": 21.5, "n": 5, "on": True, "s": "x", "cast": 12, "raw": "/wA=", "list": [1, {"a": 2.0}], "plain": 1}
    awaited(lambda: stored(device, [*expected, "none"]), lambda found: found == expected)
    client.publish("v2/a/j", {"json": 1})
    client.publish("v2/a", dumps({"version": "1.2"}))
    awaited(device.attributes, lambda found: found == {"json": 1, "version": 1.2})
    client.subscribe([("v1/devices/me/rpc/request/+", 1), ("v1/devices/me/attributes/response/+", 1)])
    client.publish("v1/devices/me/attributes/request/3", dumps({"clientKeys": "json"}))
    topic, payload, _ = client.wait("message")
    assert (topic, loads(payload)) == ("v1/devices/me/attributes/response/3", {"client": {"json": 1}})

    def answering(mqtt, _, received):
        call = loads(received.payload)
        assert call == {"method": "set", "params": {"on": True, "level": 0.5}}
        mqtt.publish(received.topic.replace("request", "response"), dumps({"done": [1]}), 1)
    client.client.on_message = answering
    called = tenant.ok("POST", f"/api/rpc/twoway/{device.id}",
                       {"method": "set", "params": {"on": True, "level": 0.5}, "timeout": 10_000})
    assert called == {"done": [1]}
    client.wait("publish")  # the answer's own acknowledgement
    assert client.publish("v2/t", dumps({"a": 1})[:-1]) == 0x99
    assert client.publish("v2/t", dumps([5])) == 0x99
    tenant.event("payload.not_cbor" if kind == "CBOR" else "payload.not_msgpack", device)
