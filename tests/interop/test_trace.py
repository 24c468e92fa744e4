"""Traces: every packet of a device, in and out, with what came of it; bounded, without secrets, over by itself."""

import base64
import json
import socket
import time
from types import SimpleNamespace

import paho.mqtt.client as paho
import pytest
import requests
import websocket

import wire as w
from clients import Feed
from rest import MISSING, fresh, new_user
from server import until

TELEMETRY = "v1/devices/me/telemetry"


class Trace:
    """The trace of one device, as its administrator sees it."""

    def __init__(self, device, person=None):
        self.device, self.person = device, person or device.owner
        self.path = f"/api/thingport/devices/{device.id}/trace"

    def begin(self, **members):
        return self.person.ok("POST", self.path, members)

    def end(self, query=""):
        return self.person.ok("DELETE", self.path + query)

    def read(self, query=""):
        return self.person.ok("GET", self.path + query)

    def records(self, query=""):
        return self.read(query)["records"]

    def last(self, kind, direction="in", count=1):
        """The last record of a kind, once there are so many and it is settled."""

        def found():
            records = self.records(f"?kind={kind}&direction={direction}")
            done = len(records) >= count and records[-1]["verdict"]["outcome"] != "open"
            return records[-1] if done else None

        return until(f"{kind} {direction} of {self.device.id}", found)

    def has_no(self, *secrets):
        """No form of the trace holds a secret, as it is or in base64."""
        shown = self.person.get(self.path).text + self.person.get(f"{self.path}?format=jsonl").text
        for record in self.records():
            if record["payload"]:
                shown += base64.b64decode(record["payload"]["base64"]).decode(errors="replace")
        for secret in secrets:
            for form in (secret, base64.b64encode(secret.encode()).decode()):
                assert form not in shown, f"{form} in {shown}"


@pytest.fixture
def traced(device):
    """A trace of a new device that runs for a minute and is gone with the test."""
    trace = Trace(device)
    trace.begin(durationMs=60_000)
    yield trace
    trace.end("?forget=true")


def reason(record):
    return [it["id"] for it in record["reasons"]]


def test_off_until_somebody_begins_and_ended_by_hand(device, wire):
    trace = Trace(device)
    nothing = {"running": False, "startedAt": None, "until": None, "dropped": 0}
    assert trace.read() == nothing | {"records": []}
    assert trace.end() == nothing
    connection = wire(4, device.token)
    assert connection.is_alive()
    state = trace.begin()
    assert state["running"] and state["until"] - state["startedAt"] == 3_600_000
    again = trace.begin(durationMs=60_000)
    assert again["until"] < state["until"] and again["startedAt"] == state["startedAt"]
    # A connection that was open before is traced from its next packet on.
    assert connection.is_alive()
    assert [it["kind"] for it in trace.records()] == ["PINGREQ", "PINGRESP"]
    ended = trace.end()
    assert not ended["running"] and ended["until"] < again["until"]
    assert connection.is_alive()
    assert len(trace.records()) == 2, "what was recorded can be read, and nothing more is"
    assert trace.end("?forget=true") == nothing and trace.records() == []


def test_a_trace_is_over_by_itself(device, wire):
    trace = Trace(device)
    until_ms = trace.begin(durationMs=300)["until"]
    connection = wire(4, device.token)
    until("the end", lambda: not trace.read()["running"])
    count = len(trace.records())
    assert count >= 2, "CONNECT and CONNACK"
    for number in range(3):
        connection.ask(w.publish(TELEMETRY, "{}", 1, number + 1), w.PUBACK)
    found = trace.read()
    assert (len(found["records"]), found["until"]) == (count, until_ms)
    trace.end("?forget=true")


@pytest.mark.parametrize("body", [{"durationMs": 0}, {"durationMs": -1}, {"durationMs": 86_400_001},
                                  {"durationMs": "long"}, []])
def test_a_time_that_cannot_be_is_refused(device, body):
    assert device.owner.post(Trace(device).path, body).status_code == 400
    assert not Trace(device).read()["running"]


@pytest.mark.parametrize("query", ["?direction=up", "?verdict=good", "?format=xml", "?limit=some"])
def test_a_wrong_question_is_refused(device, query):
    assert device.owner.get(Trace(device).path + query).status_code == 400


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_a_conversation_packet_by_packet(traced, paho_client, protocol):
    device = traced.device
    client = paho_client(protocol, device.token)
    client.connect()
    client.subscribe([("v1/devices/me/attributes", 1), ("v1/devices/me/attributes/response/+", 1)])
    client.publish(TELEMETRY, '{"ts": 5, "values": {"t": 21.50, "on": true, "n": 3, "s": "x", "j": {"a": [1]}}}')
    client.publish("v1/devices/me/attributes", {"serial": "A7"}, qos=0)
    client.wait("publish")
    topic, _ = client.ask("v1/devices/me/attributes/request/7", {"clientKeys": "serial"})
    assert topic == "v1/devices/me/attributes/response/7"
    client.client.disconnect()
    client.wait("disconnect")
    traced.last("DISCONNECT")

    connect = traced.last("CONNECT")
    name = "MQTT 5" if protocol == paho.MQTTv5 else "MQTT 3.1.1"
    assert connect["protocol"] == name and connect["verdict"]["outcome"] == "accepted"
    fields = connect["fields"]
    assert fields["userName"] == "***" and fields["hasPassword"] is False and fields["keepAlive"] == 60
    assert fields["transport"] == "tcp" and fields["remote"].startswith("127.0.0.1:")
    assert traced.last("CONNACK", "out")["fields"]["code"] == 0

    subscribe = traced.last("SUBSCRIBE")
    assert subscribe["fields"]["filters"] == ["v1/devices/me/attributes", "v1/devices/me/attributes/response/+"]
    assert subscribe["fields"]["qos"] == [1, 1] and subscribe["answered"] == [1, 1]
    suback = traced.last("SUBACK", "out")
    assert suback["fields"] == {"packetId": subscribe["fields"]["packetId"], "codes": [1, 1]}

    telemetry, attributes, request = traced.records("?kind=PUBLISH&direction=in")
    assert telemetry["fields"]["topic"] == TELEMETRY and telemetry["fields"]["qos"] == 1
    assert telemetry["payload"]["decoded"] == {"ts": 5, "values": {"t": 21.5, "on": True, "n": 3, "s": "x",
                                                                   "j": {"a": [1]}}}
    assert telemetry["payload"]["size"] == len(telemetry["payload"]["text"])
    assert not telemetry["payload"]["cut"] and not telemetry["payload"]["redacted"]
    assert telemetry["meaning"]["endpoint"] == "telemetry" and telemetry["meaning"]["readingsCount"] == 5
    assert {it["key"]: (it["type"], it["value"], it["ts"]) for it in telemetry["meaning"]["readings"]} == {
        "t": ("DOUBLE", 21.5, 5), "on": ("BOOLEAN", True, 5), "n": ("LONG", 3, 5), "s": ("STRING", "x", 5),
        "j": ("JSON", {"a": [1]}, 5)}
    assert telemetry["verdict"]["outcome"] == "committed" and telemetry["verdict"]["at"] >= telemetry["at"]
    assert telemetry["answered"] == [0] and telemetry["reasons"] == []

    assert attributes["meaning"]["endpoint"] == "attributes" and attributes["fields"]["qos"] == 0
    assert attributes["verdict"]["outcome"] == "committed", "also without an acknowledgement"
    assert attributes["answered"] == []

    assert request["meaning"]["endpoint"] == "attributesRequest" and request["meaning"]["requestId"] == 7
    assert request["verdict"]["outcome"] == "accepted"
    answer = traced.last("PUBLISH", "out")
    assert answer["fields"]["topic"] == topic and answer["payload"]["decoded"] == {"client": {"serial": "A7"}}
    assert answer["verdict"]["outcome"] == "accepted" and answer["answered"] == [0], "the client has it"

    everything = traced.records()
    assert [it["number"] for it in everything] == list(range(1, len(everything) + 1))
    assert len({it["connection"] for it in everything}) == 1
    traced.has_no(device.token)


def test_raw_packets_of_all_kinds(traced, wire):
    """Quality of service 2, a topic alias, UNSUBSCRIBE, PINGREQ, an acknowledgement of nothing."""
    connection = wire(w.V5, traced.device.token)
    alias = [(w.TOPIC_ALIAS, 1)]
    connection.ask(w.publish(TELEMETRY, '{"a":1}', 2, 5, w.V5, alias), w.PUBREC)
    connection.ask(w.pubrel(5), w.PUBCOMP)
    connection.ask(w.publish("", '{"a":2}', 1, 6, w.V5, alias), w.PUBACK)
    connection.ask(w.subscribe(7, [("v2/a", 1)], w.V5), w.SUBACK)
    connection.ask(w.unsubscribe(8, ["v2/a"], w.V5), w.UNSUBACK)
    connection.send(w.packet(0x40, b"\x00\x63"))
    assert connection.is_alive()
    told = [(it["direction"], it["kind"]) for it in traced.records()]
    assert told == [("in", "CONNECT"), ("out", "CONNACK"), ("in", "PUBLISH"), ("out", "PUBREC"), ("in", "PUBREL"),
                    ("out", "PUBCOMP"), ("in", "PUBLISH"), ("out", "PUBACK"), ("in", "SUBSCRIBE"), ("out", "SUBACK"),
                    ("in", "UNSUBSCRIBE"), ("out", "UNSUBACK"), ("in", "PUBACK"), ("in", "PINGREQ"),
                    ("out", "PINGRESP")]
    first, second = traced.records("?kind=PUBLISH")
    assert first["fields"]["qos"] == 2 and first["verdict"]["outcome"] == "committed"
    assert second["fields"]["topic"] == TELEMETRY, "its alias is resolved"
    assert "TopicAlias=1" in second["fields"]["properties"]
    assert second["size"] == len(w.publish("", '{"a":2}', 1, 6, w.V5, alias))


@pytest.mark.parametrize("version, code", [(w.V311, None), (w.V5, 0x99)])
def test_a_wrong_payload_with_its_reason(traced, wire, version, code):
    connection = wire(version, traced.device.token)
    connection.send(w.publish(TELEMETRY, '{"t": }', 1, 9, version))
    connection.packet()
    record = traced.last("PUBLISH")
    assert record["verdict"]["outcome"] == "refused"
    (why,) = record["reasons"]
    assert why["id"].startswith("payload.") and why["number"] and why["sentence"] and why["remedy"], why
    assert record["payload"]["text"] == '{"t": }' and record["payload"]["decoded"] is None
    assert record["answered"] == ([code] if code else []), record
    assert record["meaning"] is None


def test_a_topic_and_a_filter_that_mean_nothing(traced, wire):
    connection = wire(w.V5, traced.device.token)
    connection.ask(w.subscribe(3, [("v1/devices/me/attributes", 1), ("no/such/filter", 1)], w.V5), w.SUBACK)
    record = traced.last("SUBSCRIBE")
    assert record["verdict"]["outcome"] == "refused" and record["answered"][0] == 1 and record["answered"][1] >= 0x80
    assert [it["detail"] for it in record["reasons"]] == ['"no/such/filter"']
    connection.send(w.publish("no/such/topic", "{}", 1, 4, w.V5))
    assert reason(traced.last("PUBLISH")) == ["publish.topic_unknown"]


def test_a_broken_rule_and_a_lost_connection(traced, wire):
    connection = wire(w.V5, traced.device.token)
    connection.send(w.PING + w.connect(w.V5, user=traced.device.token, password="hunter2-hunter2"))
    assert connection.expect(w.PINGRESP)
    assert connection.packet().kind == w.DISCONNECT
    broken = traced.last("CONNECT", count=2)
    assert broken["verdict"]["outcome"] == "refused" and broken["reasons"] and broken["payload"] is None
    assert traced.last("DISCONNECT", "out")["fields"]["code"] == 0x82
    other = wire(w.V5, traced.device.token)
    assert other.is_alive()
    other.close()
    lost = traced.last("INCIDENT", "none")
    assert reason(lost) == ["disconnect.lost"] and lost["verdict"]["outcome"] == "none"
    traced.has_no(traced.device.token, "hunter2-hunter2")


def test_a_login_that_is_refused(traced, wire):
    """The device is known by its name, and the password is wrong."""
    device, name = traced.device, fresh("pump")
    device.owner.save_credentials(device, "MQTT_BASIC", value={"clientId": name, "userName": "pump",
                                                               "password": "correct-horse"})
    connection = wire(w.V5)
    answer = connection.ask(w.connect(w.V5, client_id=name, user="pump", password="wrong-horse"), w.CONNACK)
    assert answer.code >= 0x80
    record = traced.last("CONNECT")
    assert record["verdict"]["outcome"] == "refused" and record["connection"] is None
    assert reason(record) == ["login.password_wrong"]
    assert record["fields"]["clientId"] == name and record["fields"]["userName"] == "pump"
    assert record["fields"]["hasPassword"] is True
    assert traced.last("CONNACK", "out")["fields"]["code"] == answer.code
    right = wire(w.V5)
    right.login("pump", client_id=name, password="correct-horse")
    right.ask(w.publish(TELEMETRY, '{"why": "correct-horse"}', 1, 1, w.V5), w.PUBACK)
    traced.last("PUBLISH")
    traced.has_no("correct-horse", "wrong-horse", device.token)


def test_secrets_of_all_kinds_are_nowhere(traced, subject, wire):
    device, claim = traced.device, "claim-" + fresh("secret")
    key, secret = "key-" + fresh("p"), "secret-" + fresh("p")
    connection = wire(w.V5, device.token, client_id=f"id-{device.token}", password="pass-word-1")
    for number, (topic, body) in enumerate([
            ("v1/devices/me/claim", {"secretKey": claim, "durationMs": 60_000}),
            ("v2/c", '{"secretKey": "%s", }' % claim),
            ("v1/devices/me/claims", {"secretKey": claim}),
            ("/provision/request", {"provisionDeviceKey": key, "provisionDeviceSecret": secret, "deviceName": "d"}),
            (TELEMETRY, {"secretKey": claim, "note": f"my token is {device.token}", "a": "pass-word-1"}),
            (f"v1/{device.token}/telemetry", {"token": device.token})], 1):
        body = body if isinstance(body, str) else json.dumps(body)
        connection.send(w.publish(topic, body, 1, number, w.V5))
        connection.expect(w.PUBACK)
    traced.last("PUBLISH", count=6)
    records = traced.records("?kind=PUBLISH")
    assert all(it["payload"]["redacted"] for it in records)
    assert records[0]["payload"]["decoded"] == {"secretKey": "***", "durationMs": 60_000}
    assert records[0]["meaning"]["endpoint"] == "claim" and records[0]["payload"]["base64"] == ""
    assert records[1]["verdict"]["outcome"] == "refused" and records[1]["payload"]["text"] == ""
    base = f"{subject.url}/api/v1/{device.token}"
    requests.post(f"{base}/claim", json={"secretKey": claim}, timeout=10)
    requests.post(f"{base}/telemetry", json={"t": device.token}, timeout=10)
    requests.get(f"{base}/attributes", params={"clientKeys": device.token}, timeout=10)
    traced.last("GET")
    traced.has_no(device.token, claim, key, secret, "pass-word-1")


def test_requests_over_http(traced, subject):
    device = traced.device
    base = f"{subject.url}/api/v1/{device.token}"
    assert requests.post(f"{base}/telemetry", data='{"t": 1}', timeout=10).status_code == 200
    assert requests.post(f"{base}/attributes", data='{"s": ', timeout=10).status_code == 400
    assert requests.get(f"{base}/attributes?clientKeys=s", timeout=10).status_code == 200
    assert requests.get(f"{base}/rpc?timeout=1", timeout=10).status_code == 408
    kept, wrong = traced.records("?kind=POST")
    assert kept["fields"]["path"] == "/api/v1/***/telemetry" and kept["protocol"] == "HTTP"
    assert kept["payload"]["decoded"] == {"t": 1} and kept["meaning"]["readingsCount"] == 1
    assert kept["verdict"]["outcome"] == "committed" and kept["answered"] == [200]
    assert wrong["verdict"]["outcome"] == "refused" and wrong["answered"] == [400]
    assert wrong["payload"]["text"] == '{"s": ' and reason(wrong)[0].startswith("payload.")
    asked, waited = traced.records("?kind=GET")
    assert asked["fields"]["query"] == "clientKeys=s" and asked["verdict"]["outcome"] == "accepted"
    assert waited["answered"] == [408] and waited["verdict"]["outcome"] == "accepted", "nothing happened in time"
    answers = traced.records("?kind=RESPONSE&direction=out")
    assert [it["fields"]["status"] for it in answers] == [200, 400, 200, 408]
    assert answers[2]["payload"]["decoded"] == {}
    traced.has_no(device.token)


def test_over_websocket(traced, subject):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, fresh("ws"), protocol=paho.MQTTv5, transport="websockets")
    client.username_pw_set(traced.device.token)
    client.ws_set_options("/mqtt")
    client.connect("127.0.0.1", subject.http_port)
    client.loop_start()
    try:
        assert traced.last("CONNECT")["fields"]["transport"] == "websocket"
        client.publish(TELEMETRY, '{"a":1}', 1).wait_for_publish(10)
        assert traced.last("PUBLISH")["verdict"]["outcome"] == "committed"
    finally:
        client.disconnect()
        client.loop_stop()


def test_what_is_no_json_is_decoded(traced, wire):
    """Protobuf on a topic that says so: an attribute request of section 5.4."""
    connection = wire(4, traced.device.token)
    connection.ask(w.publish("v2/a/req/p/3", b"\x0a\x03a,b", 1, 1), w.PUBACK)
    record = traced.last("PUBLISH")
    assert record["payload"]["decoded"] == {"clientKeys": "a,b"} and record["meaning"]["requestId"] == 3
    assert base64.b64decode(record["payload"]["base64"]) == b"\x0a\x03a,b"


def test_a_call_and_its_answer(traced, wire):
    device = traced.device
    connection = wire(4, device.token)
    connection.ask(w.subscribe(1, [("v1/devices/me/rpc/request/+", 1)]), w.SUBACK)
    call = {"method": "setLevel", "params": 7, "persistent": True, "timeout": 20_000}
    device.owner.ok("POST", f"/api/rpc/twoway/{device.id}", call)
    request = connection.expect(w.PUBLISH)
    (sent,) = traced.records("?direction=out&kind=PUBLISH")
    assert sent["payload"]["decoded"] == {"method": "setLevel", "params": 7} and sent["verdict"]["outcome"] == "open"
    topic_size = int.from_bytes(request.body[:2], "big")
    packet_id = request.body[2 + topic_size:4 + topic_size]
    connection.send(w.packet(0x40, packet_id))
    assert connection.is_alive()
    assert traced.last("PUBLISH", "out")["verdict"]["outcome"] == "accepted"
    number = int(sent["fields"]["topic"].rsplit("/", 1)[1])
    connection.ask(w.publish(f"v1/devices/me/rpc/response/{number}", '{"ok":true}', 1, 2), w.PUBACK)
    answer = traced.last("PUBLISH")
    assert (answer["meaning"]["endpoint"], answer["meaning"]["requestId"]) == ("rpcResponse", number)


def test_records_and_payloads_are_bounded(traced, wire):
    connection = wire(4, traced.device.token)
    long = '{"s":"' + "x" * 9_000 + '"}'
    connection.ask(w.publish(TELEMETRY, long, 1, 1), w.PUBACK)
    record = traced.last("PUBLISH")
    assert record["payload"]["size"] == len(long) and record["payload"]["cut"]
    assert len(base64.b64decode(record["payload"]["base64"])) == 4_096 and record["payload"]["decoded"] is None
    assert len(record["meaning"]["readings"][0]["value"]) < 600
    for _ in range(11):
        connection.send(w.PING * 50)
        for _ in range(50):
            connection.expect(w.PINGRESP)
    found = traced.read()
    assert len(found["records"]) == 1_000 and found["dropped"] >= 100
    assert found["records"][0]["number"] == found["dropped"] + 1, "what is missing can be seen"
    assert len(traced.records("?limit=3")) == 3
    assert traced.records("?limit=3")[-1]["number"] == found["records"][-1]["number"]


def test_so_many_devices_of_a_tenant_at_once(subject, sysadmin):
    other = sysadmin.ok("POST", "/api/tenant", {"title": fresh("tenant")})
    account = {"email": f"{fresh('admin')}@example.org", "authority": "TENANT_ADMIN", "tenantId": other["id"]}
    person = new_user(sysadmin, account)[0]
    traces = [Trace(person.new_device()) for _ in range(17)]
    for trace in traces[:16]:
        trace.begin(durationMs=60_000)
    try:
        refused = person.post(traces[16].path, {})
        assert refused.status_code in (429, 503) and "traced" in refused.json()["message"], refused.text
        traces[0].end("?forget=true")
        assert traces[16].begin(durationMs=60_000)["running"]
    finally:
        for trace in traces:
            trace.end("?forget=true")


def test_one_record_per_line(traced, wire):
    assert wire(4, traced.device.token).is_alive()
    answer = traced.person.get(f"{traced.path}?format=jsonl")
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in answer.text.splitlines()] == traced.records()


def test_a_deleted_device_has_no_trace(device):
    trace = Trace(device)
    trace.begin(durationMs=60_000)
    device.owner.ok("DELETE", f"/api/device/{device.id}")
    assert device.owner.get(trace.path).status_code == 404


# Live.


def command(device, number=5, **members):
    return {"cmds": [{"type": "TRACE", "cmdId": number, "entityType": "DEVICE", "entityId": device.id} | members]}


class Live:
    """What a live trace told so far."""

    def __init__(self, feed, first):
        self.feed, self.numbers, self.missed, self.verdicts = feed, [], 0, {}
        self.take(first)

    def take(self, message):
        assert message["cmdUpdateType"] == "TRACE" and message["errorCode"] == 0, message
        self.missed += message["missed"]
        self.state = message["trace"]
        for record in message["records"]:
            self.numbers.append(record["number"])
            self.verdicts[record["number"]] = record["verdict"]["outcome"]
        for settled in message["settled"]:
            self.verdicts[settled["number"]] = settled["verdict"]["outcome"]

    def take_until(self, what, condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, what
            self.take(self.feed.next())


def test_live_first_the_last_then_each_new_one(traced, feed, wire):
    connection = wire(4, traced.device.token)
    for number in range(1, 6):
        connection.ask(w.publish(TELEMETRY, '{"a":1}', 1, number), w.PUBACK)
    session = feed("/api/ws")
    live = Live(session, session.ask(command(traced.device, limit=3)))
    assert live.state["running"] and len(live.numbers) == 3
    for number in range(6, 40):
        connection.ask(w.publish(TELEMETRY, '{"a":1}', 1, number), w.PUBACK)
    newest = traced.last("PUBLISH", count=39)["number"]
    live.take_until("all of them, settled", lambda: live.verdicts.get(newest) == "committed" and live.numbers[-1] > newest)
    assert live.numbers == list(range(live.numbers[0], live.numbers[-1] + 1)), "no gap, and nothing twice"
    assert live.missed == 0 and "open" not in live.verdicts.values()
    traced.end()
    live.take_until("the end", lambda: not live.state["running"])
    traced.begin(durationMs=200)
    live.take_until("the beginning", lambda: live.state["running"])
    live.take_until("the end by itself", lambda: not live.state["running"])


def test_a_slow_reader_is_told_what_it_missed(traced, subject, wire):
    little = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)]
    session = Feed(subject.url, "/api/ws", traced.person.token, sockopt=little)
    live = Live(session, session.ask(command(traced.device)))
    connection = wire(4, traced.device.token)
    body = '{"s":"' + "x" * 3_900 + '"}'
    # The reader reads nothing meanwhile: more than its socket, its line and the trace hold.
    for first in range(1, 700, 50):
        connection.send(b"".join(w.publish(TELEMETRY, body, 1, number) for number in range(first, first + 50)))
        for _ in range(50):
            connection.expect(w.PUBACK)
    newest = traced.records("?limit=1")[-1]["number"]
    live.take_until("the newest", lambda: live.numbers and live.numbers[-1] >= newest)
    assert live.missed > 0, "it was too slow"
    assert live.numbers == sorted(set(live.numbers)), "nothing twice"
    assert len(live.numbers) + live.missed == live.numbers[-1], "each is shown or counted"
    session.close()


def test_live_is_for_those_who_administer_the_device(traced, feed, people, device):
    for person, entity in [(people.stranger, device.id), (people.tenant, MISSING)]:
        told = feed("/api/ws", person).ask(command(SimpleNamespace(id=entity)))
        assert told["errorCode"] == 3, told
    told = feed("/api/ws", people.tenant).ask(command(people.tenant.new_device()))
    assert told["errorCode"] == 2 and "not traced" in told["errorMsg"]
    for members in ({"entityId": "x"}, {"entityType": "TENANT"}, {"entityId": None}):
        assert feed("/api/ws", people.tenant).ask(command(device, **members))["errorCode"] == 2, members


def test_live_can_be_ended(traced, feed, wire):
    session = feed("/api/ws")
    session.ask(command(traced.device))
    session.send({"cmds": [{"type": "TRACE_UNSUBSCRIBE", "cmdId": 5}]})
    connection = wire(4, traced.device.token)
    assert connection.is_alive()
    with pytest.raises(websocket.WebSocketTimeoutException):
        session.next(timeout=0.5)
