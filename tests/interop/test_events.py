"""It says why: each refusal, rejected message and disconnect is kept with its reason (issue item 6)."""

import itertools
import string
import time

import pytest
import requests

import wire as w
from rest import Person, fresh
from server import until
from wire import V5, V311, Wire, connect, publish

MEMBERS = {"at", "firstAt", "count", "reason", "fault", "sentence", "remedy", "detail", "deviceId", "remote",
           "clientId", "userName", "protocol", "attempt"}
FAULTS = {"device", "operator", "server", "network", "nobody"}

# reason, what a peer does: "@" is the token of the device.
REFUSALS = [
    ("login.unknown", lambda c, token: c.send(connect(V311, "a", fresh("nobody")))),
    ("login.token_missing", lambda c, token: c.send(connect(V311, ""))),
    ("login.token_malformed", lambda c, token: c.send(connect(V311, "a", "a\tb"))),
    ("login.client_id_unknown", lambda c, token: c.send(connect(V311, fresh("id")))),
    ("login.password_only", lambda c, token: c.send(connect(V5, "a", None, "P"))),
    ("connect.not_first", lambda c, token: c.send(w.PING)),
    ("connect.protocol_name", lambda c, token: c.send(connect(V311, "a", token, name="MQTX"))),
    ("connect.protocol_version", lambda c, token: c.send(connect(V311, "a", token, level=7))),
    ("connect.client_id", lambda c, token: c.send(connect(V311, "x" * 300, token))),
    ("connect.auth_method", lambda c, token: c.send(connect(V5, "a", token, properties=[(w.AUTH_METHOD, "x")]))),
    ("connect.will", lambda c, token: c.send(connect(V5, "a", token, will=("a/#", "", 0, 0)))),
    ("packet.malformed", lambda c, token: c.send(connect(V311, b"\xff", token))),
    ("packet.too_large", lambda c, token: c.send(b"\x10" + w.var(70_000) + b"\0\4MQTT\4\2\0\0")),
]

# One more than a message may have, each of three letters so that they fit into a packet.
KEYS = ["".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=3)][:10_001]

# reason, what a connected version 5 client sends. Kept with the device.
REJECTIONS = [
    ("connect.second", connect(V5, "a", "x")),
    ("packet.malformed", b"\xc1\0"),
    ("packet.protocol_violation", b"\x20\3\0\0\0"),
    ("packet.too_large", b"\x30" + w.var(70_000)),
    ("packet.topic_alias", publish("v2/t", "{}", 1, 1, V5, [(w.TOPIC_ALIAS, 99)])),
    ("packet.properties", publish("v2/t", "{}", 1, 1, V5, [(w.USER_PROPERTY, ("k", "v"))] * 65)),
    ("packet.qos", publish("v2/t", "{}", 3, 1, V5)),
    ("publish.topic_unknown", publish("x/y", "{}", 1, 1, V5)),
    ("publish.topic_invalid", publish("x/+", "{}", 1, 1, V5)),
    ("publish.not_a_gateway", publish("v1/gateway/telemetry", "{}", 1, 1, V5)),
    ("payload.not_json", publish("v2/t", "temp 5", 1, 1, V5)),
    ("payload.shape", publish("v2/t", "5", 1, 1, V5)),
    ("payload.timestamp", publish("v2/t", '{"ts":"now","values":{"a":1}}', 1, 1, V5)),
    ("payload.number", publish("v2/t", '{"a":1e999999999}', 1, 1, V5)),
    ("payload.key", publish("v2/t", '{"":1}', 1, 1, V5)),
    ("payload.too_deep", publish("v2/t", '{"a":' + "[" * 300 + "]" * 300 + "}", 1, 1, V5)),
    ("payload.too_many_keys", publish("v2/t", "{" + ",".join(f"{k}:1" for k in KEYS) + "}", 1, 1, V5)),
    ("payload.not_utf8", publish("v2/t", b'{"a":"\xff"}', 1, 1, V5, [(w.PAYLOAD_FORMAT, 1)])),
    ("payload.no_schema", publish("v2/t/p", b"\x08\x01", 1, 1, V5)),
    ("subscribe.filter_unknown", w.subscribe(1, [("x/y", 0)], V5)),
    ("subscribe.filter_invalid", w.subscribe(1, [("a#", 0)], V5)),
    ("subscribe.shared", w.subscribe(1, [("$share/g/v2/a", 0)], V5)),
    ("subscribe.too_many", w.subscribe(1, [(f"x/{n}", 0) for n in range(120)], V5)),
]


@pytest.mark.parametrize("reason, act", REFUSALS, ids=lambda it: it if isinstance(it, str) else "")
def test_peers_that_matched_no_device_are_explained(subject, sysadmin, device, reason, act):
    """The system administrator sees those that belong to no tenant."""
    started = int(time.time() * 1000) - 1000
    with Wire(subject.mqtt) as connection:
        act(connection, device.token)
        while connection.packet() is not None:
            pass

    def told():
        rows = sysadmin.events()
        return next((it for it in rows if it["reason"] == reason and it["at"] >= started), None)

    entry = until(f"event {reason}", told)
    check(entry)
    assert entry["deviceId"] is None
    assert entry["remote"].startswith("127.0.0.1")


@pytest.mark.parametrize("reason, data", REJECTIONS, ids=lambda it: it if isinstance(it, str) else "")
def test_what_a_device_did_wrong_is_kept_with_the_device(subject, tenant, device, reason, data):
    with Wire(subject.mqtt, V5) as connection:
        connection.login(device.token, client_id="meter-1")
        connection.send(data)
        connection.packet()
        entry = tenant.event(reason, device)
    check(entry)
    assert entry["deviceId"] == {"entityType": "DEVICE", "id": device.id}
    assert entry["clientId"] == "meter-1" and "5" in entry["protocol"]
    assert device.token not in str(entry), "secrets are masked"
    tenant.event(reason, None, deviceId=entry["deviceId"])


def check(entry):
    assert set(entry) == MEMBERS
    assert entry["fault"] in FAULTS and entry["sentence"].endswith(".")
    assert entry["remedy"].endswith(".") and entry["count"] >= 1
    assert entry["firstAt"] <= entry["at"] <= time.time() * 1000 + 1000


def test_a_repeated_fault_is_counted_not_repeated(subject, tenant, device):
    """The first is told at once, the others together a little later, with their number."""
    with Wire(subject.mqtt, V5) as connection:
        connection.login(device.token)
        for n in range(1, 31):
            connection.ask(publish("v2/t", "temp 5", 1, n, V5), w.PUBACK)
        tenant.event("payload.not_json", device)

        def counted():
            rows = [it for it in tenant.events(device) if it["reason"] == "payload.not_json"]
            return sum(it["count"] for it in rows) == 30 and rows

        rows = until("thirty of them", counted, 20)
    assert [it["count"] for it in rows] == [29, 1]
    assert rows[0]["firstAt"] <= rows[0]["at"] < rows[0]["firstAt"] + 10_000


def test_entries_are_newest_first_and_as_many_as_asked_for(subject, tenant, device):
    with Wire(subject.mqtt, V5) as connection:
        connection.login(device.token)
        for n, topic in enumerate(("nowhere", "v1/gateway/telemetry", "v2/t/p"), 1):
            connection.ask(publish(topic, "{}", 1, n, V5), w.PUBACK)
        tenant.event("payload.no_schema", device)
    rows = tenant.events(device)
    wanted = ["payload.no_schema", "publish.not_a_gateway", "publish.topic_unknown"]
    assert [it["reason"] for it in rows if it["reason"] in wanted] == wanted
    times = [it["at"] for it in rows]
    assert times == sorted(times, reverse=True)
    assert tenant.ok("GET", f"/api/thingport/devices/{device.id}/events?limit=2") == tenant.events(device)[:2]
    assert tenant.get(f"/api/thingport/devices/{device.id}/events?limit=x").status_code == 400


def test_the_list_of_reasons_is_closed_and_explained(tenant):
    reasons = tenant.ok("GET", "/api/thingport/reasons")
    assert len({it["id"] for it in reasons}) == len(reasons) > 50
    for it in reasons:
        assert it["fault"] in FAULTS and it["sentence"].endswith(".")
        assert it["remedy"].endswith(".") or it["fault"] == "nobody"
    known = {it["id"] for it in reasons}
    assert {reason for reason, _ in REFUSALS} | {reason for reason, _ in REJECTIONS} <= known


def test_another_tenant_hears_nothing(subject, people, device):
    """Entries of a device go to its tenant; with two tenants, those of no device to the system administrator."""
    with Wire(subject.mqtt, V5) as connection:
        connection.login(device.token)
        connection.ask(publish("v2/t", "temp 5", 1, 1, V5), w.PUBACK)
    people.tenant.event("payload.not_json", device)
    with Wire(subject.mqtt) as connection:
        connection.ask(connect(V311, "spy-target", fresh("nobody")), w.CONNACK)
    people.sysadmin.event("login.unknown", None, clientId="spy-target")
    seen = people.stranger.events()
    assert all(it["deviceId"] and it["deviceId"]["id"] != device.id for it in seen)
    assert "spy-target" not in str(seen)


@pytest.mark.process
def test_reasons_survive_a_kill_and_are_in_log_and_metrics(own):
    server = own().start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.new_device()
    with Wire(server.mqtt, V5) as connection:
        connection.login(device.token)
        connection.ask(publish("v2/t", "temp 5", 1, 1, V5), w.PUBACK)
    with Wire(server.mqtt) as connection:
        connection.ask(connect(V311, "a", "WRONG_TOKEN_OF_MANY_LETTERS"), w.CONNACK)
    kept = tenant.event("payload.not_json", device)
    unknown = tenant.event("login.unknown")  # the only tenant there is
    assert unknown["clientId"] == "a" and "WRONG_TOKEN_OF_MANY_LETTERS" not in str(unknown)
    for reason in ("payload.not_json", "login.unknown"):
        until(f"a log line for {reason}", lambda reason=reason: reason in server.err())
        name = ("thingport_incidents_total", f'reason="{reason}"')
        assert server.metrics()[name] == 1.0
    assert "WRONG_TOKEN_OF_MANY_LETTERS" not in server.err() + server.out()
    assert device.token not in server.err()
    # What can be read has been kept: a kill may not take it back.
    server.kill()
    server.restart()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    assert kept in tenant.ok("GET", f"/api/thingport/devices/{device.id}/events")
    assert unknown in tenant.ok("GET", "/api/thingport/events")
    assert requests.get(f"{server.url}/api/thingport/events").status_code == 401
