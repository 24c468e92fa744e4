"""Sparkplug B: edge nodes are born, report, obey commands and die (device API section 9)."""

import json
import os
import queue
import re
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

import wire as mqtt
from clients import venv_python
from rest import Person, fresh
from server import ROOT, until
from sparkplug import command, metric, payload
from test_durability import fill, small_disk  # noqa: F401
from wire import Wire

STATE_KEY = "sparkplugConnectionState"
REBIRTH = metric("Node Control/Rebirth", "Boolean", False)


def now():
    return int(time.time() * 1000)


def sparkplug_profile(person, metrics=None, acks_invalid=False):
    profile = person.new_profile()
    transport = profile["profileData"]["transportConfiguration"]
    transport |= {"sparkplug": True, "sparkplugAttributesMetricNames": metrics,
                  "sendAckOnValidationException": acks_invalid}
    return person.ok("POST", "/api/deviceProfile", profile)


class Node:
    """An edge node as bytes, in a group of its own."""

    def __init__(self, person, address, profile=None, group=None, device=None):
        self.person, self.address = person, address
        self.profile = profile or sparkplug_profile(person)
        self.group, self.id = group or fresh("group"), "E"
        members = {"name": fresh("node"), "type": self.profile["name"],
                   "deviceProfileId": {"entityType": "DEVICE_PROFILE", "id": self.profile["id"]["id"]}}
        self.device = device or person.new_device(**members)
        self.wire, self.seq, self.bd_seq = None, 0, 0
        self.inbox = []

    def topic(self, kind, device=None):
        return f"spBv1.0/{self.group}/{kind}/{self.id}" + (f"/{device}" if device else "")

    def will(self, bd_seq=None, qos=1, retain=False, topic=None, content=None):
        bd_seq = self.bd_seq if bd_seq is None else bd_seq
        content = payload(metric("bdSeq", "Int64", bd_seq), at=now()) if content is None else content
        return (topic or self.topic("NDEATH"), content, qos, retain)

    def connect(self, version=4, **options):
        options.setdefault("will", self.will())
        self.wire = Wire(self.address, version)
        self.wire.login(self.device.token, **options)
        return self

    def say(self, kind, *metrics, device=None, seq=None, at=None, qos=1, topic=None, retain=False):
        """Publishes and waits for PUBACK, behind which all of it is durable."""
        body = payload(*metrics, seq=self.next_seq() if seq is None else seq, at=at or now())
        data = mqtt.publish(topic or self.topic(kind, device), body, qos, 7, self.wire.version, retain=retain)
        self.wire.send(data)
        while qos:
            # What it is told meanwhile is for later.
            packet = self.wire.packet()
            if packet.kind == mqtt.PUBACK:
                return packet.code
            assert packet.kind == mqtt.PUBLISH, packet
            self.inbox.append(packet)
        return None

    def next_seq(self):
        seq, self.seq = self.seq, (self.seq + 1) % 256
        return seq

    def born(self, *metrics, at=None, **options):
        """Connected, subscribed and born."""
        if self.wire is None:
            self.connect(**options)
        filters = [(f"spBv1.0/{self.group}/NCMD/{self.id}/#", 1), (f"spBv1.0/{self.group}/DCMD/{self.id}/#", 1)]
        codes = self.wire.ask(mqtt.subscribe(3, filters, self.wire.version), mqtt.SUBACK).codes
        assert codes == [1, 1]
        self.seq = 0
        bd_seq = metric("bdSeq", "Int64", self.bd_seq)
        assert self.say("NBIRTH", bd_seq, REBIRTH, *metrics, at=at) == 0
        return self

    def heard(self, timeout=10):
        """The next command: topic, then what it says."""
        packet = self.inbox.pop(0) if self.inbox else self.wire.expect(mqtt.PUBLISH, timeout)
        topic, qos, retain, body = read_publish(packet)
        # tck-id-topics-ncmd-mqtt, tck-id-payloads-ncmd-qos, tck-id-payloads-ncmd-retain,
        # tck-id-topics-dcmd-mqtt, tck-id-payloads-dcmd-qos, tck-id-payloads-dcmd-retain
        assert (qos, retain) == (0, False)
        return (topic, *command(body))

    def is_told_nothing(self):
        return not self.inbox and self.wire.is_alive()

    def child(self, device):
        """The device of this Sparkplug id, once it is there."""
        name = f"{self.group}:{self.id}:{device}"
        return until(f"the child {name}", lambda: find(self.person, name))

    def lose(self):
        """The connection breaks without a word."""
        self.wire.socket.setsockopt(mqtt.socket.SOL_SOCKET, mqtt.socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wire.close()


def read_publish(packet):
    size = struct.unpack(">H", packet.body[:2])[0]
    topic, rest = packet.body[2:2 + size].decode(), packet.body[2 + size:]
    qos = packet.raw[0] >> 1 & 3
    rest = rest[2:] if qos else rest
    if packet.version == 5:
        length, at = mqtt.read_var(rest, 0)
        rest = rest[at + length:]
    return topic, qos, bool(packet.raw[0] & 1), rest


def find(person, name):
    from rest import Device

    found = person.ok("GET", "/api/tenant/devices", params={"pageSize": 10, "page": 0, "textSearch": name})["data"]
    for body in found:
        if body["name"] == name:
            return Device(person, body["id"]["id"], None, body)
    return None


def is_state(device, state):
    return until(f"{state}", lambda: device.latest(STATE_KEY)[STATE_KEY][0]["value"] == state)


def call(person, device, method, metric_name, value, way="twoway"):
    body = {"method": method, "params": {"metricName": metric_name, "value": value}, "timeout": 5000}
    return person.ok("POST", f"/api/rpc/{way}/{device.id}", body)


@pytest.fixture
def node(subject, tenant):
    """Makes edge nodes that are closed with the test."""
    made = []

    def make(**options):
        made.append(Node(tenant, subject.mqtt, **options))
        return made[-1]

    yield make
    for it in made:
        if it.wire:
            it.wire.close()


@pytest.mark.parametrize("version", [4, 5])
def test_a_connect_without_a_death_certificate_is_refused_and_explained(version, node, tenant, subject):
    rows = [
        # conformance-mqtt-will-messages: as far as an edge node needs them.
        ("tck-id-conformance-mqtt-will-messages", {"will": None}, "connect.sparkplug_will"),
        ("tck-id-message-flow-edge-node-birth-publish-will-message-topic",
         {"will": ("v1/devices/me/telemetry", b"{}", 1, False)}, "connect.sparkplug_will"),
        ("tck-id-payloads-ndeath-will-message-retain", {"retain": True}, "connect.sparkplug_will"),
        ("tck-id-message-flow-edge-node-birth-publish-will-message-payload", {"content": b"\xff"},
         "connect.sparkplug_will"),
        ("tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq", {"content": payload()},
         "connect.sparkplug_will"),
        ("tck-id-principles-persistence-clean-session-311", {"clean": False}, "connect.sparkplug_session"),
    ]
    if version == 5:
        rows.append(("tck-id-principles-persistence-clean-session-50",
                     {"properties": [(mqtt.SESSION_EXPIRY, 60)]}, "connect.sparkplug_session"))
    profile = sparkplug_profile(tenant)
    for what, change, reason in rows:
        one = node(profile=profile)
        parts = {key: change.pop(key) for key in ("qos", "retain", "content") if key in change}
        options = {"will": one.will(**parts)} | change
        with Wire(subject.mqtt, version) as wire:
            wire.send(mqtt.connect(version, client_id=fresh("c"), user=one.device.token, **options))
            # 136, on which ThingsBoard's own tests rely (SP-007).
            assert wire.outcome() == ("CONNACK 0x88 close" if version == 5 else "CONNACK 0x03 close"), what
        assert tenant.event(reason, one.device)["remedy"], what


def test_births_make_devices_and_keep_what_they_say(node, tenant):
    one = node(profile=sparkplug_profile(tenant, ["serial", "config/*"])).connect(5)
    at = now()
    one.born(metric("serial", "String", "A7"), metric("temperature", "Double", 21.75), metric("n", "UInt64", 2**64 - 1),
             metric("small", "Int8", -1), metric("ratio", "Float", 0.1), metric("nothing", "Int32"), at=at)
    assert one.say("DBIRTH", metric("config/rate", "Int32", 5), metric("speed", "Int16", -3, alias=9),
                   device="D", seq=1, at=at + 1) == 0
    assert one.device.latest(strict=True).keys() >= {"temperature", "n", "NBIRTH bdSeq", "NDEATH bdSeq", STATE_KEY}
    assert one.device.history(STATE_KEY, at, at + 1) == [(at, "ONLINE")]
    assert one.device.value("temperature", strict=True) == 21.75
    assert one.device.value("n") == "18446744073709551615"
    assert one.device.value("small", strict=True) == -1
    assert one.device.value("ratio", strict=True) == 0.1
    assert "nothing" not in one.device.keys()
    assert one.device.attributes("SHARED_SCOPE") == {"serial": "A7"}
    child = one.child("D")
    assert (child.body["label"], child.body["type"]) == ("D", f"{one.profile['name']} device")
    assert child.history(STATE_KEY, at, at + 2) == [(at + 1, "ONLINE")]
    assert child.value("DBIRTH seq", strict=True) == 1
    assert child.attributes("SHARED_SCOPE") == {"config/rate": 5}
    relations = tenant.ok("GET", f"/api/relations?fromId={one.device.id}&fromType=DEVICE")
    assert [(it["to"]["id"], it["type"]) for it in relations] == [(child.id, "Created")]
    # tck-id-payloads-alias-data-cmd-requirement: by alias, without a type.
    assert one.say("DDATA", metric(value=7, alias=9), device="D", seq=2) == 0
    assert child.value("speed", strict=True) == 7
    # A birth again with the same aliases, which ThingsBoard refuses.
    one.born(metric("temperature", "Double", 5.0))
    assert one.say("DBIRTH", metric("speed", "Int16", 4, alias=9), device="D", seq=1) == 0
    assert child.value("speed", strict=True) == 4
    assert child.latest(STATE_KEY)[STATE_KEY][0]["value"] == "ONLINE"


def test_what_was_long_ago_is_history_and_not_the_latest(node, tenant):
    one = node(profile=sparkplug_profile(tenant, ["serial"])).connect(5)
    at = now()
    one.born(metric("n", "Int32", 1), metric("serial", "String", "new"), at=at)
    late = [metric("n", value=value, at=at - age, historical=True) for age, value in [(2000, 8), (1000, 9)]]
    assert one.say("NDATA", *late, metric("serial", value="old", at=at - 1000, historical=True), at=at + 5) == 0
    assert one.device.history("n", at - 5000, at + 1) == [(at - 2000, "8"), (at - 1000, "9"), (at, "1")]
    assert one.device.value("n", strict=True) == 1
    assert one.device.attributes("SHARED_SCOPE") == {"serial": "new"}


def test_births_and_data_are_taken_as_the_standard_has_them_sent(node):
    """Quality of service 0 and nothing retained; a retained message is one like any other."""
    one = node().connect(5)
    rows = [
        ("tck-id-topics-nbirth-mqtt, tck-id-payloads-nbirth-qos, tck-id-payloads-nbirth-retain, "
         "tck-id-message-flow-edge-node-birth-publish-nbirth-qos, "
         "tck-id-message-flow-edge-node-birth-publish-nbirth-retained", "NBIRTH", None),
        ("tck-id-topics-dbirth-mqtt, tck-id-payloads-dbirth-qos, tck-id-payloads-dbirth-retain, "
         "tck-id-message-flow-device-birth-publish-dbirth-qos, "
         "tck-id-message-flow-device-birth-publish-dbirth-retained", "DBIRTH", "D"),
        ("tck-id-topics-ndata-mqtt, tck-id-payloads-ndata-qos, tck-id-payloads-ndata-retain", "NDATA", None),
        ("tck-id-topics-ddata-mqtt, tck-id-payloads-ddata-qos, tck-id-payloads-ddata-retain", "DDATA", "D"),
    ]
    for number, (id_, kind, device) in enumerate(rows):
        for retain in (False, True):
            value = 10 * number + retain
            seq = 0 if kind == "NBIRTH" else None
            one.seq = 1 if kind == "NBIRTH" else one.seq
            one.say(kind, metric("n", "Int32", value), REBIRTH, device=device, qos=0, seq=seq, retain=retain)
            whose = one.child(device) if device else one.device
            # tck-id-conformance-mqtt-qos0
            until(id_, lambda: (whose.latest("n", strict=True).get("n") or [{}])[0].get("value") == value)
    # tck-id-topics-ddeath-mqtt
    one.say("DDEATH", device="D", qos=0)
    is_state(one.child("D"), "OFFLINE")
    # tck-id-conformance-mqtt-qos1
    assert one.say("NDATA", metric("n", value=99)) == 0
    assert one.device.value("n", strict=True) == 99
    assert one.is_told_nothing()


def test_an_edge_node_may_speak_for_itself_alone(node):
    one, other = node().connect(5), node()
    rows = [
        ("tck-id-message-flow-device-birth-publish-dbirth-match-edge-node-topic", other.topic("NBIRTH"), 0x87),
        ("a command", one.topic("NCMD"), 0x87),
        ("a command for a device", one.topic("DCMD", "D"), 0x87),
        ("tck-id-message-flow-hid-sparkplug-state-message-delivered: nobody says that the host is away",
         "spBv1.0/STATE/thingport", 0x87),
        ("a type that is none", one.topic("NRECORD"), 0x90),
    ]
    one.born()
    for what, topic, code in rows:
        assert one.say("", topic=topic, seq=0) == code, what
    # The topics of the device API stay usable.
    one.wire.ask(mqtt.publish("v1/devices/me/telemetry", '{"plain":1}', 1, 9, 5), mqtt.PUBACK)
    assert one.device.value("plain", strict=True) == 1
    one.wire.send(mqtt.publish(other.topic("NDATA"), payload(seq=1), 0, 0, 5))
    assert one.wire.outcome() == "DISCONNECT 0x87 close"


@pytest.mark.parametrize("version", [4, 5])
def test_each_filter_has_its_answer_and_state_is_there_at_once(version, node):
    one = node().connect(version)
    state, refused = "spBv1.0/STATE/thingport", 0x80 if version == 4 else 0x8F
    filters = [(one.topic("NCMD"), 1), (f"{one.topic('DCMD')}/+", 0), (state, 1), ("spBv1.0/#", 1),
               ("spBv1.0/other/NCMD/E", 1), ("spBv1.0/STATE/#", 1), ("v1/devices/me/attributes", 1)]
    assert one.wire.ask(mqtt.subscribe(3, filters, version), mqtt.SUBACK).codes == [1, 0, 1, refused, refused, 1, 1]
    # tck-id-host-topic-phid-birth-message: the first that it is told, with
    # tck-id-host-topic-phid-birth-required, tck-id-message-flow-phid-sparkplug-state-publish,
    # tck-id-payloads-state-birth, tck-id-operational-behavior-host-application-connect-birth,
    # tck-id-conformance-mqtt-retained (STATE alone),
    # tck-id-host-topic-phid-birth-qos, tck-id-operational-behavior-host-application-connect-birth-qos,
    # tck-id-host-topic-phid-birth-retain, tck-id-operational-behavior-host-application-connect-birth-retained
    topic, qos, retain, body = read_publish(one.wire.expect(mqtt.PUBLISH))
    assert (topic, qos, retain) == (state, 1, True)
    assert json.loads(body).keys() == {"online", "timestamp"} and json.loads(body)["online"] is True
    # tck-id-operational-behavior-primary-application-state-with-multiple-servers-state: in each session,
    # tck-id-host-topic-phid-birth-payload-timestamp: one time for all of them, as a will has it,
    # tck-id-message-flow-phid-sparkplug-state-publish-payload-timestamp
    other = node().connect(version)
    assert other.wire.ask(mqtt.subscribe(3, [(state, 1)], version), mqtt.SUBACK).codes == [1]
    assert read_publish(other.wire.expect(mqtt.PUBLISH))[3] == body


def test_commands_reach_the_edge_node_and_callers_are_answered(node, tenant):
    one = node().connect().born(metric("level", "Int16", 3, alias=5), metric("name", "String", "x"))
    one.say("DBIRTH", metric("on", "Boolean", False), metric("gain", "Float", 1.5), device="D")
    child = one.child("D")
    assert call(tenant, one.device, "NCMD", "level", -7) == {"result": "Success: NCMD"}
    assert one.heard() == (one.topic("NCMD"), 5, "Int16", "int", 65529)
    assert call(tenant, child, "DCMD", "on", 1) == {"result": "Success: DCMD"}
    # SP-081: the Sparkplug id and not the name of the child.
    assert one.heard() == (one.topic("DCMD", "D"), "on", "Boolean", "boolean", True)
    assert call(tenant, one.device, "NCMD", "Node Control/Rebirth", True) == {"result": "Success: NCMD"}
    assert one.heard() == (one.topic("NCMD"), "Node Control/Rebirth", "Boolean", "boolean", True)
    assert call(tenant, one.device, "NCMD", "none", 1) == {
        "result": "BAD_REQUEST_PARAMS",
        "error": "Failed send To Node Rpc Request: NCMD. This node does not have a metricName: [none]"}
    assert call(tenant, child, "DCMD", "none", 1) == {
        "result": "BAD_REQUEST_PARAMS",
        "error": " Failed send To Device Rpc Request: DCMD. This device does not have a metricName: [none]"}
    answer = call(tenant, one.device, "RCMD", "level", 1)
    assert answer["result"] == "INVALID_ARGUMENTS" and "MQTT msg: RCMD{" in answer["error"]
    assert call(tenant, one.device, "NCMD", "level", 40_000)["result"] == "INVALID_ARGUMENTS", "out of range"
    body = {"method": "NCMD", "params": {"metricName": "level", "value": 1}}
    tenant.ok("POST", f"/api/rpc/oneway/{one.device.id}", body)
    assert one.heard()[1:] == (5, "Int16", "int", 1)
    # Shared attributes of the names of metrics, and the form with a type of message for a key.
    tenant.ok("POST", f"{one.device.data}/attributes/SHARED_SCOPE", {"name": "pump", "unknown": 5})
    assert one.heard() == (one.topic("NCMD"), "name", "String", "string", "pump")
    tenant.ok("POST", f"{child.data}/attributes/SHARED_SCOPE", {"DCMD": {"gain": 2.5}})
    assert one.heard() == (one.topic("DCMD", "D"), "gain", "Float", "float", 2.5)
    assert one.is_told_nothing()


def test_deaths_are_known_however_they_come(node, tenant):
    profile = sparkplug_profile(tenant)

    def at_sea():
        one = node(profile=profile).connect(5).born()
        for device in ("D1", "D2"):
            assert one.say("DBIRTH", metric("x", "Int32", 1), device=device) == 0
        return one, [one.child(device) for device in ("D1", "D2")]

    one, children = at_sea()
    assert one.say("DDEATH", device="D1") == 0
    assert [it.value(STATE_KEY) for it in [*children, one.device]] == ["OFFLINE", "ONLINE", "ONLINE"]
    one.lose()
    for it in [*children, one.device]:
        is_state(it, "OFFLINE")
    assert len(one.device.history(STATE_KEY, 0, 2**50)) == 2, "it died once"
    # A certificate of another session is stale; that of this one counts.
    one, children = at_sea()
    assert one.say("NDEATH", metric("bdSeq", "Int64", 9), seq=None) == 0
    assert one.device.value(STATE_KEY) == "ONLINE"
    assert tenant.event("sparkplug.remark", one.device)
    assert one.say("NDEATH", metric("bdSeq", "Int64", 0)) == 0
    assert [it.value(STATE_KEY) for it in [*children, one.device]] == ["OFFLINE"] * 3
    # tck-id-payloads-ndeath-will-message-publisher,
    # tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath: that and the goodbye are one death.
    one.wire.send(mqtt.disconnect(5))
    assert one.wire.outcome() == "close"
    assert len(one.device.history(STATE_KEY, 0, 2**50)) == 2, "it died once"
    # SP-036: a plain goodbye is a death, too.
    one, children = at_sea()
    one.wire.send(mqtt.disconnect(5))
    is_state(one.device, "OFFLINE")


def test_a_late_death_never_marks_the_next_session(node):
    one = node().connect(5).born(metric("n", "Int32", 0))
    for round_ in range(1, 6):
        old, one.wire, one.bd_seq = one.wire, None, round_
        one.born(metric("n", "Int32", round_), version=5)
        assert one.device.value(STATE_KEY) == "ONLINE", "the old session died before the new one was born"
        assert old.outcome() == "DISCONNECT 0x8e close"
    states = [state for _, state in one.device.history(STATE_KEY, 0, 2**50)]
    assert states[-1] == "ONLINE"


def test_another_device_cannot_be_the_same_edge_node(node, tenant, subject):
    # tck-id-topic-structure-namespace-unique-edge-node-descriptor, tck-id-payloads-nbirth-edge-node-descriptor,
    # tck-id-intro-edge-node-id-uniqueness
    profile = sparkplug_profile(tenant)
    one = node(profile=profile).connect(5).born()
    other = node(profile=profile, group=one.group)
    with Wire(subject.mqtt, 5) as wire:
        wire.send(mqtt.connect(5, client_id=fresh("c"), user=other.device.token, will=other.will()))
        assert wire.outcome() == "CONNACK 0x88 close"
    assert tenant.event("connect.sparkplug_taken", other.device)
    one.wire.send(mqtt.disconnect(5))
    is_state(one.device, "OFFLINE")
    other.connect(5).born()


def test_a_deleted_edge_node_leaves_and_its_devices_die(node, tenant):
    one = node().connect(5).born()
    assert one.say("DBIRTH", metric("x", "Int32", 1), device="D") == 0
    child = one.child("D")
    tenant.ok("DELETE", f"/api/device/{one.device.id}")
    assert one.wire.outcome() == "DISCONNECT 0x98 close"
    is_state(child, "OFFLINE")


def test_gaps_and_strange_names_ask_for_a_rebirth(node, tenant):
    one = node().connect().born(metric("n", "Int32", 1))
    one.say("NDATA", metric("n", value=3), seq=3, qos=0)
    assert one.heard() == (one.topic("NCMD"), "Node Control/Rebirth", "Boolean", "boolean", True)
    until("what came too early is kept all the same", lambda: one.device.value("n", strict=True) == 3)
    assert tenant.event("sparkplug.order", one.device)
    # A pair in the wrong order is no gap.
    one.born(metric("n", "Int32", 1))
    one.say("NDATA", metric("n", value=5, at=1_000_000_000_002), seq=2, qos=0)
    assert one.say("NDATA", metric("n", value=4, at=1_000_000_000_001), seq=1) == 0
    until("both are kept", lambda: one.device.history("n", 1_000_000_000_000, 1_000_000_000_010) == [
        (1_000_000_000_001, "4"), (1_000_000_000_002, "5")])
    assert one.is_told_nothing()
    other = node().connect(5)
    assert other.say("NDATA", metric("early", "Int32", 7), seq=1) == 0
    assert other.heard()[1] == "Node Control/Rebirth"
    assert other.device.value("early", strict=True) == 7, "data is worth more than purity"


def test_devices_of_older_installations_get_their_names(node, tenant):
    profile = sparkplug_profile(tenant)
    one = node(profile=profile)
    mine, stranger = fresh("old"), fresh("old")
    devices = {name: tenant.new_device(name=name) for name in (mine, stranger)}
    relation = {"from": {"entityType": "DEVICE", "id": one.device.id},
                "to": {"entityType": "DEVICE", "id": devices[mine].id}, "type": "Created", "typeGroup": "COMMON"}
    tenant.ok("POST", "/api/relation", relation)
    one.connect(5).born()
    for name in (mine, stranger):
        assert one.say("DBIRTH", metric("x", "Int32", 1), device=name) == 0
    renamed = one.child(mine)
    assert (renamed.id, renamed.body["label"]) == (devices[mine].id, mine)
    assert one.child(stranger).id != devices[stranger].id
    assert tenant.ok("GET", f"/api/device/{devices[stranger].id}")["name"] == stranger


def test_what_cannot_be_read_is_refused_and_the_rest_stays(node, tenant):
    one = node().connect(5).born(metric("n", "Int32", 1))
    broken = mqtt.publish(one.topic("NDATA"), b"\xff", 1, 8, 5)
    assert one.wire.ask(broken, mqtt.PUBACK).code == 0x99
    # One metric that does not fit costs the others nothing.
    assert one.say("NDATA", metric("n", "UInt8", 300), metric("m", "Int16Array", b"\1"), seq=1) == 0
    assert tenant.event("sparkplug.metric", one.device)
    assert one.say("DBIRTH", metric("a", "Int32", 1, alias=1), metric("b", "Int32", 1, alias=1), device="D") == 0x99
    assert find(tenant, f"{one.group}:E:D") is None
    # tck-id-topics-nbirth-bdseq-matching
    assert one.say("NBIRTH", metric("bdSeq", "Int64", 200), seq=0) == 0x99
    assert one.heard()[1] == "Node Control/Rebirth"
    assert one.is_told_nothing(), "asked for once in ten seconds"


@pytest.mark.process
def test_a_kill_loses_nothing_that_was_acknowledged_and_state_counts_up(own):
    server = own().start()
    person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    node = Node(person, server.mqtt).connect(5).born(metric("n", "Int32", 0))
    lost = Node(person, server.mqtt, profile=node.profile).connect(5).born()
    assert lost.say("DBIRTH", metric("x", "Int32", 1), device="D") == 0
    child = lost.child("D")
    node.wire.ask(mqtt.subscribe(4, [("spBv1.0/STATE/thingport", 1)], 5), mqtt.SUBACK)
    first = json.loads(read_publish(node.wire.expect(mqtt.PUBLISH))[3])
    start = 1_000_000_000_000
    for number in range(1, 40):
        assert node.say("NDATA", metric("n", value=number, at=start + number)) == 0
    server.kill()
    server.restart()
    person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    node.person = node.device.owner = person
    # Those that never come back do not stay: the start tells of the deaths that nobody told of, once.
    for device in (lost.device, child):
        device.owner = person
        assert [state for _, state in device.history(STATE_KEY, 0, 2**50)] == ["ONLINE", "OFFLINE"]
    node.address, node.wire, node.bd_seq = server.mqtt, None, 1
    kept = node.device.history("n", start, start + 1000)
    assert kept == [(start + number, str(number)) for number in range(1, 40)]
    node.connect(5)
    # It goes on where it was, and is asked for its births.
    assert node.say("NDATA", metric("n", "Int32", 40), seq=40) == 0
    assert node.heard()[1] == "Node Control/Rebirth"
    node.born(metric("n", "Int32", 41))
    node.wire.ask(mqtt.subscribe(4, [("spBv1.0/STATE/+", 1)], 5), mqtt.SUBACK)
    second = json.loads(read_publish(node.wire.expect(mqtt.PUBLISH))[3])
    # tck-id-operational-behavior-host-application-multi-server-timestamp: of this server, and it only grows.
    assert second["online"] and second["timestamp"] > first["timestamp"]
    assert node.device.value(STATE_KEY) == "ONLINE"
    # tck-id-host-topic-phid-death-required, tck-id-operational-behavior-host-application-termination,
    # tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean: an orderly end is announced, with
    # tck-id-host-topic-phid-death-qos, tck-id-operational-behavior-host-application-death-qos,
    # tck-id-host-topic-phid-death-retain, tck-id-operational-behavior-host-application-death-retained,
    # tck-id-components-ph-state, tck-id-conformance-primary-host. A will of the host would say the same:
    # tck-id-payloads-state-will-message, tck-id-operational-behavior-host-application-connect-will,
    # tck-id-payloads-state-will-message-qos, tck-id-operational-behavior-host-application-connect-will-qos,
    # tck-id-payloads-state-will-message-retain, tck-id-operational-behavior-host-application-connect-will-retained,
    # tck-id-host-topic-phid-death-payload-timestamp-connect
    server.process.terminate()
    topic, qos, retain, body = read_publish(node.wire.expect(mqtt.PUBLISH, 20))
    assert (topic, qos, retain) == ("spBv1.0/STATE/thingport", 1, True)
    third = json.loads(body)
    assert third["online"] is False and third["timestamp"] >= second["timestamp"]
    server.process.wait(30)
    server.restart()
    person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    node.device.owner = lost.device.owner = person
    assert node.device.value(STATE_KEY) == "OFFLINE", "the death is kept before the server ends"
    assert len(lost.device.history(STATE_KEY, 0, 2**50)) == 2, "told of once"


@pytest.mark.process
def test_a_full_disk_is_told_to_edge_nodes_that_wait_for_their_host(own, small_disk):
    settings = ["--set", "storage.log_segment_size=1MiB", "--set", "storage.commit_queue_max=256KiB"]
    server = own(small_disk / "data", *settings).start()
    person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    node = Node(person, server.mqtt).connect(5).born(metric("text", "String", "x"))
    node.wire.ask(mqtt.subscribe(4, [("spBv1.0/STATE/thingport", 1)], 5), mqtt.SUBACK)

    def state(timeout=10):
        topic, _, retain, body = read_publish(node.inbox.pop(0) if node.inbox else node.wire.expect(mqtt.PUBLISH, timeout))
        assert (topic, retain) == ("spBv1.0/STATE/thingport", True)
        return json.loads(body)

    first = state()
    ballast = fill(small_disk)
    codes = set()
    for _ in range(400):
        codes.add(node.say("NDATA", metric("text", value="x" * 30_000)))
        if node.inbox:
            break
    away = state()
    # tck-id-host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet
    assert not away["online"] and away["timestamp"] >= first["timestamp"]
    assert codes <= {0, 0x97, 0x83} and codes != {0}, "what is not kept is not acknowledged"
    ballast.unlink()
    back = state(30)
    assert back["online"] and back["timestamp"] >= away["timestamp"]
    until("it is kept again", lambda: node.say("NDATA", metric("text", value="again")) == 0)


def test_every_statement_has_the_test_that_is_said_to_hold_it():
    """sparkplug_statements.txt knows every id that tests name, and tests name every id in it."""
    here = Path(__file__).parent
    listed = {}
    for line in (here / "sparkplug_statements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            id_, where = line.split(maxsplit=1)
            listed[id_] = where
    files = {it.name: it for it in (ROOT / "crates/thingport-device/src/sparkplug/tests").glob("*.rs")}
    files |= {it.name: it for it in (here / "test_sparkplug.py", here / "sparkplug.py")}
    named = {name: set(re.findall(r"tck-id-([A-Za-z0-9-]*[A-Za-z0-9])", it.read_text())) for name, it in files.items()}
    assert set().union(*named.values()) == {id_ for id_, where in listed.items() if not where.startswith("none:")}
    for id_, where in listed.items():
        assert where.startswith("none:") or id_ in named[where], f"{id_} is not in {where}"


class Library:
    """An edge node of a library that people use, unchanged, in a process of its own."""

    def __init__(self, line, person, server, device, group):
        self.person, self.device, self.group = person, device, group
        arguments = [*server.mqtt, device.token, group, "E"]
        self.process = subprocess.Popen([*line, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, cwd=home_of_node())
        self.lines = queue.Queue()
        self.commands = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def do(self, what, **members):
        self.process.stdin.write(json.dumps({"do": what} | members) + "\n")
        self.process.stdin.flush()
        if what != "die":
            self.wait("done")

    def wait(self, what, timeout=30):
        deadline = time.monotonic() + timeout
        while True:
            event = self.lines.get(timeout=max(0.001, deadline - time.monotonic()))
            assert event["what"] != "error", event
            if event["what"] == what:
                return event["value"]
            if event["what"] == "command":
                self.commands.append(event["value"])

    def heard(self):
        return self.commands.pop(0) if self.commands else self.wait("command")

    def child(self):
        name = f"{self.group}:E:D"
        return until(f"the child {name}", lambda: find(self.person, name), 30)

    def close(self):
        self.process.kill()
        self.process.wait(20)


def home_of_node():
    """Where sparkplug-client is installed, once for all tests."""
    home = ROOT / "target/npm-sparkplug"
    wanted = Path(__file__).parent / "package-sparkplug.json"
    if not (home / "node_modules/sparkplug-client").exists():
        made = Path(f"{home}-{os.getpid()}")
        made.mkdir(parents=True, exist_ok=True)
        shutil.copy(wanted, made / "package.json")
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=made, check=True, timeout=300)
        if not home.exists():
            made.rename(home)
    return home


def library(kind):
    here = Path(__file__).parent
    if kind == "pysparkplug":
        return [venv_python("sparkplug"), str(here / "sparkplug_node.py")]
    # Modules are looked for beside the program.
    home = home_of_node()
    shutil.copy(here / "sparkplug_node.js", home / "sparkplug_node.js")
    return ["node", str(home / "sparkplug_node.js")]


@pytest.fixture
def edge(own):
    """Makes edge nodes of a library with a server of their own."""
    made = []

    def make(kind, *arguments):
        server = own(None, *arguments).start()
        person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        profile = sparkplug_profile(person, ["serial"])
        members = {"type": profile["name"], "deviceProfileId": {"entityType": "DEVICE_PROFILE", "id": profile["id"]["id"]}}
        device = person.new_device(**members)
        made.append(Library(library(kind), person, server, device, fresh("group")))
        return server, made[-1]

    yield make
    for it in made:
        it.close()


def has(device, key, value):
    """Waits until the newest value of a key is this."""

    def is_there():
        found = device.latest(key, strict=True).get(key) or [{}]
        return found[0].get("value") == value

    until(f"{key} is {value!r}: {device.latest(key, strict=True)}", is_there, 30)


@pytest.mark.process
@pytest.mark.parametrize("kind", ["pysparkplug", "sparkplug-client"])
def test_edge_nodes_of_libraries_live_and_die(kind, edge):
    server, node = edge(kind)
    person, device = node.person, node.device
    has(device, STATE_KEY, "ONLINE")
    has(device, "load", 0.25)
    child = node.child()
    has(child, STATE_KEY, "ONLINE")
    if kind == "pysparkplug":
        assert device.attributes("SHARED_SCOPE") == {"serial": "A7"}
        assert json.loads(device.value("flags")) == [True, False, True]
        assert (device.value("small"), device.value("large")) == ("-1", str(2**63))
        command = ("node", [["load", "DOUBLE", 0.5]])
    else:
        assert json.loads(device.value("table")) == {
            "columns": ["n", "text"], "types": ["Int32", "String"], "rows": [[1, "a"], [2, "b"]]}
        assert json.loads(child.value("motor")) == {
            "template": "Motor", "version": "1", "parameters": {"poles": 4}, "metrics": {"rpm": 1500}}
        assert child.attributes() == {"speed properties": {"unit": "rpm"}}
        command = ("node", [["load", "Double", 0.5]])
    # It reports.
    number = "DOUBLE" if kind == "pysparkplug" else "Double"
    node.do("update", metrics=[["load", number, 0.75]])
    has(device, "load", 0.75)
    whole = "INT16" if kind == "pysparkplug" else "Int32"
    node.do("update_device", metrics=[["speed", whole, -1500]])
    has(child, "speed", -1500)
    # It obeys.
    assert call(person, device, "NCMD", "load", 0.5) == {"result": "Success: NCMD"}
    assert tuple(node.heard()) == command
    person.ok("POST", f"{child.data}/attributes/SHARED_SCOPE", {"speed": 12})
    who, metrics = node.heard()
    assert (who, metrics[0][0], metrics[0][2]) == ("device" if kind == "pysparkplug" else "D", "speed", 12)
    # A device dies, then the process without a word.
    node.do("deregister")
    has(child, STATE_KEY, "OFFLINE")
    assert device.value(STATE_KEY) == "ONLINE"
    node.do("die")
    has(device, STATE_KEY, "OFFLINE")


@pytest.mark.process
@pytest.mark.parametrize("kind", ["pysparkplug", "sparkplug-client"])
def test_edge_nodes_of_libraries_come_back_after_a_kill(kind, edge):
    server, node = edge(kind)
    has(node.device, "load", 0.25)
    child = node.child()
    ports = ["--set", f"mqtt.bind=127.0.0.1:{server.mqtt_port}"]
    server.kill()
    server.arguments += ports
    server.restart()
    person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    node.person = node.device.owner = child.owner = person
    births = lambda: len(node.device.history("NBIRTH bdSeq", 0, 2**50))  # noqa: E731
    until("it is born again", lambda: births() >= 2, 60)
    has(child, STATE_KEY, "ONLINE")
    if kind == "sparkplug-client":
        # It miscounts, and is asked for its births, which it sends.
        node.do("skip")
        node.do("update", metrics=[["load", "Double", 9.5]])
        until("it is born a third time", lambda: births() >= 3, 30)
        assert [9.5] == [float(v) for _, v in node.device.history("load", 0, 2**50) if float(v) == 9.5], "kept once"
    node.do("disconnect")
    has(node.device, STATE_KEY, "OFFLINE")
    has(child, STATE_KEY, "OFFLINE")
