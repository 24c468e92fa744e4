"""Calls to devices (device API 6.1 to 6.5, REST API 15.1), with paho on both versions of MQTT."""

import concurrent.futures
import json
import time
import uuid

import paho.mqtt.client as paho
import pytest

import wire as w
from clients import Paho
from rest import MISSING, Person, fresh
from server import until
from wire import V5, V311, Wire

PROTOCOLS = [paho.MQTTv311, paho.MQTTv5]
# Filter, and the beginning of the topics of calls and answers.
FAMILIES = {
    "v1": ("v1/devices/me/rpc/request/+", "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"),
    "v2": ("v2/r/req/+", "v2/r/req/", "v2/r/res/"),
    "v2/j": ("v2/r/req/j/+", "v2/r/req/j/", "v2/r/res/j/"),
}
# The two contracts and what they say when nothing comes of a call: not answered, not connected.
CONTRACTS = {"/api/rpc": (504, 504), "/api/plugins/rpc": (408, 409)}


@pytest.fixture
def meanwhile():
    """Runs something in a thread; the result is waited for with `.result()`."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        yield lambda do, *arguments, **named: pool.submit(do, *arguments, **named)


def calling(person, device, way, body, contract="/api/rpc"):
    # A person of its own session: requests are made at the same time.
    return Person(person.url, person.token).post(f"{contract}/{way}/{device.id}", body)


def keep(person, device, way="twoway", **members):
    """A persistent call; its id."""
    members = {"method": "m", "params": 1, "persistent": True, "timeout": 60_000} | members
    return person.ok("POST", f"/api/rpc/{way}/{device.id}", members)["rpcId"]


def status(person, rpc):
    return person.ok("GET", f"/api/rpc/persistent/{rpc}")["status"]


def until_status(person, rpc, wanted, timeout=20):
    until(f"{rpc} is {wanted}, not {status(person, rpc)}", lambda: status(person, rpc) == wanted, timeout)


def listening(paho_client, protocol, device, family="v1", qos=1):
    client = paho_client(protocol, device.token)
    client.connect()
    client.subscribe([(FAMILIES[family][0], qos)])
    return client


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_call_goes_to_the_device_and_its_answer_back(tenant, device, paho_client, meanwhile, protocol, family,
                                                       contract):
    """TV-036, R-1, R-2, R-5."""
    _, down, up = FAMILIES[family]
    client = listening(paho_client, protocol, device, family)
    bodies = [("getValue", "true"), ("setLed", '{"on": [1.50, "a b"]}'), ("x", "null"), ("y", '"text"')]
    for number, (method, params) in enumerate(bodies):
        text = f'{{"method": "{method}", "params": {params}}}'
        answer = meanwhile(calling, tenant, device, "twoway", text, contract)
        topic, payload, qos = client.wait("message")
        compact = params.replace(": ", ":").replace(", ", ",")
        assert (topic, qos) == (f"{down}{number}", 1)
        assert payload.decode() == f'{{"method":"{method}","params":{compact}}}'
        client.publish(f"{up}{number}", '{"value": 1.50}')
        answer = answer.result()
        assert (answer.status_code, answer.text) == (200, '{"value": 1.50}')
        assert answer.headers["Content-Type"].startswith("application/json")
    answer = calling(tenant, device, "oneway", {"method": "blink", "params": None}, contract)
    assert (answer.status_code, answer.text) == (200, "")
    assert client.message() == (f"{down}{len(bodies)}", {"method": "blink", "params": None})


def test_answers_may_come_on_any_topic_and_be_anything(tenant, device, paho_client, meanwhile):
    """RP-004 to RP-007, RP-023."""
    client = listening(paho_client, paho.MQTTv5, device)
    rows = [('{"a":1}', 200), ("5", 200), ('"t"', 200), ("null", 200), ("", 200), ("not json", 406), ("{a}", 406)]
    for number, (text, expected) in enumerate(rows):
        answer = meanwhile(calling, tenant, device, "twoway", {"method": "m", "params": {}})
        client.message()
        for family in ("v2", "v1"):
            assert not client.publish(f"{FAMILIES[family][2]}{number}", text.encode()).is_failure
        assert not client.publish(f"v1/devices/me/rpc/response/{number + 1000}", "{}").is_failure
        answer = answer.result()
        assert answer.status_code == expected, text
        assert expected != 200 or answer.text == text


@pytest.mark.parametrize("contract", CONTRACTS)
def test_nothing_comes_of_it_in_time(tenant, paho_client, meanwhile, contract):
    """TV-034, R-3, R-6, RP-022, RP-023. All wait at once."""
    silent, absent, there = CONTRACTS[contract][0], CONTRACTS[contract][1], tenant.new_device()
    client = listening(paho_client, paho.MQTTv311, there)
    away, deaf = tenant.new_device(), tenant.new_device()
    paho_client(paho.MQTTv5, deaf.token).connect()
    started = time.monotonic()
    short = {"method": "m", "params": 1, "timeout": 1}
    soon = {"method": "m", "params": 1, "timeout": 60_000, "expirationTime": int(time.time() * 1000) + 5_000}
    rows = [(there, "twoway", short, silent), (away, "twoway", short, absent), (away, "oneway", short, absent),
            (deaf, "twoway", short, absent), (deaf, "oneway", soon, absent)]
    answers = [(meanwhile(calling, tenant, device, way, body, contract), code) for device, way, body, code in rows]
    client.message()
    for answer, code in answers:
        answer = answer.result()
        assert answer.status_code == code
        assert "errorCode" not in answer.text
    assert 4.9 < time.monotonic() - started < 9.5, "less than the usual ten seconds"
    past = soon | {"expirationTime": 1}
    answer = calling(tenant, there, "twoway", past, contract)
    assert answer.status_code == silent and "expirationTime" in answer.text
    kept = keep(tenant, there, **past)
    assert status(tenant, kept) == "EXPIRED"
    assert tenant.event("call.overdue", there)["detail"] == "method m"
    # A person who asks why finds out.
    assert tenant.event("call.not_delivered", away)["detail"] == "method m"
    tenant.event("call.not_answered", there)


def test_a_device_that_comes_while_somebody_waits(tenant, device, paho_client, meanwhile):
    """R-6, RP-021."""
    one = meanwhile(calling, tenant, device, "oneway", {"method": "one", "params": 1})
    until("the call waits", lambda: one.running())
    client = paho_client(paho.MQTTv5, device.token)
    client.connect()
    two = meanwhile(calling, tenant, device, "twoway", {"method": "two", "params": 2})
    # Neither can be delivered before the device listens.
    assert not one.done() and not two.done()
    client.subscribe([("v1/devices/me/rpc/request/+", 0)])
    calls = dict(client.message() for _ in range(2))
    methods = {call["method"]: topic for topic, call in calls.items()}
    client.publish(methods["two"].replace("request", "response"), '{"done":true}')
    assert (one.result().status_code, two.result().json()) == (200, {"done": True})


def test_what_is_wrong_with_a_call_is_said(tenant, people, device):
    """R-4, R-7, R-10, TV-035."""
    path = f"/api/rpc/twoway/{device.id}"
    fine = {"method": "m", "params": 1, "persistent": True}
    for body in ["", "x", "[]", "{}", {"method": "m"}, {"params": 1}, {"method": "", "params": 1},
                 {"method": 5, "params": 1}, fine | {"requestUUID": "x"}, fine | {"timeout": "soon"}]:
        assert tenant.post(path, body).status_code == 400, body
    assert tenant.post(f"/api/rpc/oneway/{MISSING}", fine).status_code == 404
    assert tenant.post("/api/rpc/oneway/x", fine).status_code == 400
    chosen = str(uuid.uuid4())
    assert tenant.ok("POST", path, fine | {"requestUUID": chosen}) == {"rpcId": chosen}
    again = tenant.post(path, fine | {"requestUUID": chosen})
    assert again.status_code == 400 and "requestUUID" in again.text


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("qos", [0, 1])
def test_persistent_calls_wait_for_their_device(tenant, device, paho_client, protocol, qos):
    """RP-030 to RP-034, R-8; the whole ladder."""
    rows = [("oneway", None, "DELIVERED"), ("twoway", '{"ok":true}', "SUCCESSFUL"), ("twoway", "no json", "SUCCESSFUL"),
            ("twoway", None, "DELIVERED")]
    made = [keep(tenant, device, way, params={"n": n}, additionalInfo={"by": "me"}) for n, (way, _, _) in
            enumerate(rows)]
    first = tenant.ok("GET", f"/api/rpc/persistent/{made[0]}")
    assert (first["status"], first["response"], first["additionalInfo"]) == ("QUEUED", None, {"by": "me"})
    client = listening(paho_client, protocol, device, qos=qos)
    for number in range(len(rows)):
        assert client.message() == (f"v1/devices/me/rpc/request/{number}", {"method": "m", "params": {"n": number}})
    for number, (_, answer, _) in enumerate(rows):
        if answer is not None:
            client.publish(f"v1/devices/me/rpc/response/{number}", answer)
            # The acknowledgement of the answer says that it is kept.
            assert status(tenant, made[number]) == "SUCCESSFUL"
    for rpc, (_, _, wanted) in zip(made, rows):
        until_status(tenant, rpc, wanted)
    found = [tenant.ok("GET", f"/api/rpc/persistent/{rpc}")["response"] for rpc in made]
    assert found == [None, {"ok": True}, {"error": "no json"}, None]
    body = tenant.ok("GET", f"/api/rpc/persistent/{made[1]}")
    assert body["id"] == {"entityType": "RPC", "id": made[1]}
    assert body["request"]["body"] == {"method": "m", "params": '{"n":1}'}
    assert body["expirationTime"] == body["createdTime"] + 60_000


def test_persistent_calls_are_listed_and_deleted(tenant, device, paho_client):
    made = [keep(tenant, device, method=f"method{n}", params=n) for n in range(5)]
    path = f"/api/rpc/persistent/device/{device.id}"

    def listed(query):
        page = tenant.ok("GET", f"{path}?pageSize=10&page=0&{query}")
        return [made.index(row["id"]["id"]) for row in page["data"]]

    assert sorted(listed("")) == [0, 1, 2, 3, 4]
    assert listed("sortProperty=request&sortOrder=DESC") == [4, 3, 2, 1, 0]
    assert listed("textSearch=METHOD3") == [3]
    assert len(listed("rpcStatus=QUEUED")) == 5 and listed("rpcStatus=SENT") == []
    assert tenant.ok("GET", f"{path}?pageSize=2&page=1&sortProperty=createdTime")["totalElements"] == 5
    for wrong in ["rpcStatus=DELETED", "rpcStatus=x", "sortProperty=method"]:
        assert tenant.get(f"{path}?pageSize=10&page=0&{wrong}").status_code == 400
    # RP-057: what was deleted is not sent.
    tenant.ok("DELETE", f"/api/rpc/persistent/{made[0]}")
    assert tenant.get(f"/api/rpc/persistent/{made[0]}").status_code == 404
    assert tenant.delete(f"/api/rpc/persistent/{made[0]}").status_code == 404
    client = listening(paho_client, paho.MQTTv5, device)
    assert [client.message()[1]["params"] for _ in range(4)] == [1, 2, 3, 4]


def test_a_deleted_device_takes_its_calls_along(tenant, meanwhile, paho_client):
    device = tenant.new_device()
    kept = keep(tenant, device)
    client = listening(paho_client, paho.MQTTv5, device)
    client.message()
    waits = meanwhile(calling, tenant, device, "twoway", {"method": "m", "params": 1})
    client.message()
    tenant.ok("DELETE", f"/api/device/{device.id}")
    assert waits.result().status_code == 404
    assert tenant.get(f"/api/rpc/persistent/{kept}").status_code == 404


def test_what_is_not_acknowledged_is_told_and_sent_to_the_next_connection(tenant, device, subject):
    """RP-031, RP-036."""
    made = keep(tenant, device)
    with Wire(subject.mqtt, V5) as wire:
        wire.login(device.token)
        wire.ask(w.subscribe(1, [("v1/devices/me/rpc/request/+", 1)], V5), w.SUBACK)
        assert b'"method":"m"' in wire.expect(w.PUBLISH).body
        until_status(tenant, made, "SENT")
        # Everything pending comes again, under its old number.
        wire.send(w.subscribe(2, [("v1/devices/me/rpc/request/+", 1)], V5))
        packets = {wire.packet().kind for _ in range(2)}
        assert packets == {w.SUBACK, w.PUBLISH}
    with Wire(subject.mqtt, V311) as wire:
        wire.login(device.token)
        wire.ask(w.subscribe(1, [("v1/devices/me/rpc/request/+", 1)]), w.SUBACK)
        again = wire.expect(w.PUBLISH)
        assert b"v1/devices/me/rpc/request/0" in again.body


def strategy(own, name, *more):
    server = own(None, "--set", f"rpc.submit_strategy={name}", "--set", "rpc.delivery_timeout=1s",
                 "--set", "rpc.response_timeout=2s", *more).start()
    return server, Person.login(server.url, "tenant@thingsboard.org", "tenant")


class Slow:
    """A device that acknowledges when it is told to."""

    def __init__(self, server, device, qos=1):
        self.wire = Wire(server.mqtt, V311)
        self.wire.login(device.token)
        self.wire.ask(w.subscribe(1, [("v1/devices/me/rpc/request/+", qos)]), w.SUBACK)
        self.answers = 100
        self.calls = []

    def call(self, timeout=10):
        """The number of the next call, and how to acknowledge it."""
        packet = self.calls.pop(0) if self.calls else self.wire.expect(w.PUBLISH, timeout)
        end = 2 + int.from_bytes(packet.body[:2], "big")
        topic, packet_id = packet.body[2:end].decode(), packet.body[end:end + 2]
        return int(topic.rsplit("/", 1)[1]), packet_id

    def silence(self):
        with pytest.raises(TimeoutError):
            self.wire.packet(0.3)

    def ack(self, packet_id):
        self.wire.send(w.packet(w.PUBACK << 4, packet_id))

    def answer(self, number):
        self.answers += 1
        packet = self.wire.ask(w.publish(f"v1/devices/me/rpc/response/{number}", b"{}", 1, self.answers))
        while packet.kind == w.PUBLISH:
            self.calls.append(packet)
            packet = self.wire.packet()
        assert packet.kind == w.PUBACK


@pytest.mark.process
@pytest.mark.parametrize("name", ["SEQUENTIAL_ON_ACK_FROM_DEVICE", "SEQUENTIAL_ON_RESPONSE_FROM_DEVICE"])
def test_one_after_the_other(own, name):
    """TV-038: strict order; the next only after the acknowledgement or the answer."""
    server, tenant = strategy(own, name, "--set", "rpc.delivery_timeout=30s")
    for qos in (1, 0):
        device = tenant.new_device()
        made = [keep(tenant, device, params=n) for n in range(10)]
        slow = Slow(server, device, qos)
        for n in range(10):
            number, packet_id = slow.call()
            assert number == n
            if qos == 1:
                if n < 2:
                    slow.silence()
                slow.ack(packet_id)
            until_status(tenant, made[n], "DELIVERED")
            if name.startswith("SEQUENTIAL_ON_RESPONSE"):
                if n < 2:
                    slow.silence()
                slow.answer(n)
        for n, rpc in enumerate(made):
            if name.startswith("SEQUENTIAL_ON_ACK"):
                slow.answer(n)
            until_status(tenant, rpc, "SUCCESSFUL")


@pytest.mark.process
def test_retries_and_what_holds_up_others(own):
    """RP-036, RP-037, RP-050."""
    server, tenant = strategy(own, "SEQUENTIAL_ON_RESPONSE_FROM_DEVICE")
    device = tenant.new_device()
    missed, unanswered, last = keep(tenant, device, retries=1), keep(tenant, device), keep(tenant, device)
    slow = Slow(server, device)
    assert slow.call()[0] == 0
    assert slow.call()[0] == 0, "not acknowledged, so once more"
    until_status(tenant, missed, "FAILED")
    text = tenant.ok("GET", f"/api/rpc/persistent/{missed}")["response"]["error"]
    assert text.endswith("Retry attempts set: 1")
    number, packet_id = slow.call()
    slow.ack(packet_id)
    assert number == 1
    number, packet_id = slow.call()
    assert number == 2
    until_status(tenant, unanswered, "FAILED")
    slow.ack(packet_id)
    slow.answer(2)
    until_status(tenant, last, "SUCCESSFUL")
    tenant.event("call.not_acknowledged", device)


@pytest.mark.process
@pytest.mark.parametrize("way", ["oneway", "twoway"])
def test_a_device_that_does_not_acknowledge_is_closed(own, way):
    """TV-039, RP-055."""
    server, tenant = strategy(own, "BURST", "--set", "rpc.close_session_on_delivery_timeout=true")
    device = tenant.new_device()
    with Wire(server.mqtt, V5) as wire:
        wire.login(device.token)
        wire.ask(w.subscribe(1, [("v1/devices/me/rpc/request/+", 1)], V5), w.SUBACK)
        made = keep(tenant, device, way, retries=0)
        wire.expect(w.PUBLISH)
        assert wire.expect(w.DISCONNECT).code == 0x98
    until_status(tenant, made, "QUEUED")
    assert tenant.ok("GET", f"/api/rpc/persistent/{made}")["response"] is None
    slow = Slow(server, device)
    slow.ack(slow.call()[1])
    until_status(tenant, made, "DELIVERED")


@pytest.mark.process
def test_no_call_is_lost_by_a_kill(own):
    """R-8, RP-035: whatever was promised is there, under its number, and answers find their calls."""
    server = own().start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.new_device()
    queued = [keep(tenant, device, "oneway", params=n, timeout=600_000) for n in range(3)]
    slow = Slow(server, device)
    for n in range(3):
        number, packet_id = slow.call()
        if n < 2:
            slow.ack(packet_id)
    until_status(tenant, queued[0], "DELIVERED")
    until_status(tenant, queued[1], "DELIVERED")
    until_status(tenant, queued[2], "SENT")
    answered, delivered = [keep(tenant, device, timeout=600_000) for _ in range(2)]
    for number in (3, 4):
        call = slow.call()
        assert call[0] == number
        slow.ack(call[1])
    slow.answer(3)
    until_status(tenant, delivered, "DELIVERED")
    late = keep(tenant, tenant.new_device(), timeout=5_000)
    server.kill()
    server.restart()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    assert [status(tenant, rpc) for rpc in (*queued, answered, delivered)] == [
        "DELIVERED", "DELIVERED", "SENT", "SUCCESSFUL", "DELIVERED"]
    # The answer to a call from before comes before anything else.
    wire = Wire(server.mqtt, V311)
    wire.login(device.token)
    wire.ask(w.publish("v1/devices/me/rpc/response/4", b'{"late":1}', 1, 9), w.PUBACK)
    assert tenant.ok("GET", f"/api/rpc/persistent/{delivered}")["response"] == {"late": 1}
    wire.close()
    fresh_one = keep(tenant, device)
    slow = Slow(server, device)
    assert [slow.call()[0] for _ in range(2)] == [2, 5]
    until_status(tenant, fresh_one, "SENT")
    until_status(tenant, late, "EXPIRED")
    tenant.event("call.not_delivered")


@pytest.mark.process
def test_an_acknowledged_answer_survives_whenever_the_server_is_killed(own):
    server = own().start()
    for cycle in range(5):
        tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        device = tenant.new_device()
        made = [keep(tenant, device, timeout=600_000, params=n) for n in range(20)]
        slow = Slow(server, device, 0)
        done = [slow.call()[0] for _ in range(20)][:cycle * 4 + 1]
        for number in done:
            slow.answer(number)
        server.kill()
        server.restart()
        tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        assert [status(tenant, made[number]) for number in done] == ["SUCCESSFUL"] * len(done)


def test_metrics_tell_how_calls_end(subject, tenant, device, paho_client):
    if not hasattr(subject, "metrics"):
        pytest.skip("the subject is not ours")
    before = subject.metrics().get(("thingport_calls_total", 'ending="delivered"'), 0)
    client = listening(paho_client, paho.MQTTv311, device)
    calling(tenant, device, "oneway", {"method": fresh("m"), "params": json.dumps({})})
    client.message()
    until("the call is counted",
          lambda: subject.metrics()[("thingport_calls_total", 'ending="delivered"')] > before)
