"""Sessions that outlive their connections (S-1, C-13, C-17): raw, with paho on both versions, with mosquitto_sub."""

import concurrent.futures
import json
import queue
import subprocess
import time
from dataclasses import dataclass

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import wire as w
from rest import Person, fresh, new_user
from server import until
from wire import V5, V31, V311, Wire, connect, publish, subscribe

ATTRIBUTES = "v1/devices/me/attributes"
CALLS = "v1/devices/me/rpc/request/+"
CALL = "v1/devices/me/rpc/request/"
MESSAGE_EXPIRY = 0x02
ADMIN = ("tenant@thingsboard.org", "tenant")


@dataclass
class Publication:
    """A PUBLISH of the server, taken apart."""

    topic: str
    packet_id: int
    payload: str
    dup: bool
    properties: dict

    @classmethod
    def of(cls, packet):
        body, at = packet.body, 2 + int.from_bytes(packet.body[:2], "big")
        topic = body[2:at].decode()
        packet_id, at = int.from_bytes(body[at:at + 2], "big"), at + 2
        assert packet.raw[0] & 0x06 == 0x02, "quality of service 1"
        properties = {}
        if packet.version == V5:
            properties = w.read_properties(body[at:])
            length, at = w.read_var(body, at)
            at += length
        return cls(topic, packet_id, body[at:].decode(), bool(packet.raw[0] & 8), properties)


class Pump:
    """A device with one client id, as raw packets."""

    def __init__(self, server, device, version=V311, client_id="pump", expiry=3600):
        self.server, self.device, self.version = server, device, version
        self.client_id, self.expiry, self.wire = client_id, expiry, None

    def come(self, clean=False, expiry=None, receive_maximum=None):
        """Connects; whether the session was present."""
        self.wire = Wire(self.server.mqtt, self.version)
        properties = [(w.SESSION_EXPIRY, self.expiry if expiry is None else expiry)]
        if receive_maximum is not None:
            properties.append((w.RECEIVE_MAXIMUM, receive_maximum))
        self.connack = self.wire.login(self.device.token, client_id=self.client_id, clean=clean, properties=properties)
        return bool(self.connack.session_present)

    def subscribe(self, *filters, qos=1):
        wanted = [(it, qos) for it in filters]
        assert self.wire.ask(subscribe(9, wanted, self.version), w.SUBACK).codes == [qos] * len(filters)

    def told(self, acknowledge=True):
        found = Publication.of(self.wire.expect(w.PUBLISH))
        if acknowledge:
            self.acknowledge(found)
        return found

    def acknowledge(self, publication):
        self.wire.send(w.packet(0x40, publication.packet_id.to_bytes(2, "big")))

    def changes(self, count):
        """What so many messages say of shared attributes, values and deletions together."""
        values, deleted = {}, []
        for _ in range(count):
            body = json.loads(self.told().payload)
            deleted += body.pop("deleted", [])
            values |= body
        return values, sorted(deleted)

    def hears_nothing(self):
        return self.wire.is_alive()

    def cut(self):
        self.wire.close()
        until("the server noticed", lambda: not presence(self.device)["connected"]["connected"])

    def goodbye(self, expiry=None):
        properties = None if expiry is None else [(w.SESSION_EXPIRY, expiry)]
        self.wire.send(w.disconnect(self.version, 0 if expiry is not None else None, properties))
        assert self.wire.packet() is None
        self.cut()


def presence(device):
    return device.owner.ok("GET", f"/api/thingport/devices/{device.id}/presence")


def save(device, **values):
    device.owner.ok("POST", f"{device.data}/SHARED_SCOPE", values)


def remove(device, *keys):
    device.owner.ok("DELETE", f"{device.data}/SHARED_SCOPE?keys={','.join(keys)}")


def keep(device, **members):
    """A persistent call; its id."""
    body = {"method": "m", "params": 1, "persistent": True, "timeout": 60_000} | members
    return device.owner.ok("POST", f"/api/rpc/twoway/{device.id}", body)["rpcId"]


def until_status(device, rpc, wanted):
    path = f"/api/rpc/persistent/{rpc}"
    until(f"{rpc} is {wanted}", lambda: device.owner.ok("GET", path)["status"] == wanted, 20)


@pytest.fixture
def house(own):
    """A server of its own and how to sign in again after a restart."""

    def make(*arguments):
        server = own(None, *arguments).start()
        return server, Person.login(server.url, *ADMIN)

    return make


def follow(server, device):
    """The device at the restarted server."""
    device.owner = Person.login(server.url, *ADMIN)
    return device


@pytest.mark.process
@pytest.mark.parametrize("version", [V311, V5])
def test_what_was_missed_is_told_once_whatever_happened_to_the_server(house, version):
    """S-1: subscriptions, changes and calls are there after a goodbye, a cut, SIGTERM and kill -9."""
    server, tenant = house()
    device = tenant.new_device()
    pump = Pump(server, device, version)
    assert not pump.come()
    # The later form of the two is used (LS-089), also after a restart.
    pump.subscribe(ATTRIBUTES, CALLS)
    pump.subscribe("v2/a/j")
    leave = {"goodbye": pump.goodbye, "cut": pump.cut, "terminate": pump.cut, "kill": pump.cut}
    for round, how in enumerate(leave):
        leave[how]()
        save(device, a=1, c=1)
        save(device, a=round + 10)
        call = keep(device, params=round)
        if how in ("terminate", "kill"):
            server.terminate() if how == "terminate" else server.kill()
            server.restart()
            follow(server, device)
        remove(device, "c", "never")
        save(device, b=round)
        assert pump.come(), how
        changes, calls = {}, []
        for _ in range(3):
            told = pump.told()
            assert not told.dup
            if told.topic.startswith(CALL):
                calls.append(json.loads(told.payload)["params"])
            else:
                assert told.topic == "v2/a/j"
                changes |= json.loads(told.payload)
        assert changes == {"a": round + 10, "b": round, "deleted": ["c", "never"]}, how
        assert calls == [round]
        until_status(device, call, "DELIVERED")
        # Nothing is told twice.
        pump.cut()
        assert pump.come()
        assert pump.hears_nothing(), how


@pytest.mark.process
@pytest.mark.parametrize("version", [V311, V5])
def test_what_was_not_acknowledged_is_sent_again_with_dup_and_its_identifier(house, version):
    """v4 4.4.0-1, v5 4.4.0-1; O-3."""
    server, tenant = house()
    device = tenant.new_device()
    pump = Pump(server, device, version)
    pump.come()
    pump.subscribe(ATTRIBUTES)
    for n in range(3):
        save(device, a=n)
    sent = [pump.told(acknowledge=False) for _ in range(3)]
    assert [json.loads(it.payload)["a"] for it in sent] == [0, 1, 2] and not any(it.dup for it in sent)
    pump.acknowledge(sent[0])
    assert pump.wire.is_alive()
    for how in ("cut", "terminate"):
        pump.cut()
        if how == "terminate":
            assert server.terminate()[0] == 0
            server.restart()
            follow(server, device)
        assert pump.come()
        again = [pump.told(acknowledge=False) for _ in range(2)]
        assert [(it.packet_id, it.payload, it.dup) for it in again] == \
            [(it.packet_id, it.payload, True) for it in sent[1:]], how
        assert pump.hears_nothing(), how
    # Killed in the middle of it: the newest value, as a new message. SUBACK waits until it is written that
    # the messages are the connection's now; before that they would come once more as they were.
    pump.subscribe(ATTRIBUTES)
    server.kill()
    server.restart()
    follow(server, device)
    assert pump.come()
    again = pump.told()
    assert (json.loads(again.payload), again.dup) == ({"a": 2}, False)
    assert pump.hears_nothing()
    # What was acknowledged is not owed any more, also after a kill.
    pump.wire.close()
    save(device, z=1)
    assert pump.come()
    values, deleted = pump.changes(1)
    # What was acknowledged a moment ago may be told once more.
    assert values.pop("z") == 1 and values in ({}, {"a": 2}) and not deleted
    until("nothing is owed", lambda: settled(pump))


def settled(pump):
    """Whether it is told nothing when it comes; otherwise it acknowledges that."""
    pump.cut()
    assert pump.come()
    first = pump.wire.ask(w.PING)
    if first.kind == w.PUBLISH:
        pump.acknowledge(Publication.of(first))
        pump.wire.expect(w.PINGRESP)
    return first.kind == w.PINGRESP


@pytest.mark.parametrize("version", [V311, V5])
def test_a_call_is_given_once(subject, device, version):
    """A session that was taken up repeats by itself; nothing else is sent again, also when it subscribes again."""
    pump = Pump(subject, device, version)
    pump.come()
    pump.subscribe(CALLS)
    first = keep(device, params=1)
    sent = pump.told(acknowledge=False)
    pump.cut()
    second = keep(device, params=2)
    assert pump.come()
    again, new = pump.told(acknowledge=False), pump.told(acknowledge=False)
    assert (again.packet_id, again.topic, again.payload, again.dup) == (sent.packet_id, sent.topic, sent.payload, True)
    assert (new.topic, json.loads(new.payload)["params"], new.dup) == (f"{CALL}1", 2, False)
    pump.subscribe(CALLS)
    assert pump.hears_nothing()
    pump.acknowledge(again)
    until_status(device, first, "DELIVERED")
    pump.acknowledge(new)
    until_status(device, second, "DELIVERED")
    # It has them: they are not given again.
    pump.cut()
    assert pump.come()
    pump.subscribe(CALLS)
    assert pump.hears_nothing()
    pump.wire.ask(publish("v1/devices/me/rpc/response/0", "{}", 1, 5, version), w.PUBACK)
    until_status(device, first, "SUCCESSFUL")


def test_a_call_that_is_over_is_not_repeated(subject, device):
    pump = Pump(subject, device, V5)
    pump.come()
    pump.subscribe(CALLS)
    body = {"method": "m", "params": 1, "expirationTime": int(time.time() * 1000) + 2_000}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        caller = Person(device.owner.url, device.owner.token)
        answer = pool.submit(caller.post, f"/api/rpc/twoway/{device.id}", body)
        told = pump.told(acknowledge=False)
        # MQTT 5, 3.3.2.3.3: what is left of its life.
        assert 1 <= told.properties[MESSAGE_EXPIRY] <= 2
        pump.cut()
        assert answer.result().status_code == 504
    assert pump.come()
    assert pump.hears_nothing()


def test_qos_2_is_stored_once_over_connections(subject, device):
    """P-4: an identifier that was acknowledged stays open until it is released."""
    pump = Pump(subject, device)
    pump.come()
    once = publish("v1/devices/me/telemetry", '{"n":1}', 2, 7)
    assert pump.wire.ask(once, w.PUBREC).packet_id == 7
    pump.cut()
    assert pump.come()
    assert pump.wire.ask(publish("v1/devices/me/telemetry", '{"n":1}', 2, 7, dup=True), w.PUBREC).packet_id == 7
    pump.wire.ask(w.pubrel(7), w.PUBCOMP)
    now = int(time.time() * 1000)
    assert len(device.history("n", now - 60_000, now + 60_000)) == 1


@pytest.mark.parametrize("version", [V311, V5])
def test_a_session_goes_from_one_connection_to_the_next_without_loss(subject, device, version):
    """C-17: the new connection is used when the older one has ended, with everything that was on its way."""
    first, second = Pump(subject, device, version), Pump(subject, device, version)
    first.come()
    first.subscribe(ATTRIBUTES)
    save(device, a=1)
    sent = first.told(acknowledge=False)
    assert second.come()
    assert first.wire.outcome() == ("DISCONNECT 0x8e close" if version == V5 else "close")
    again = second.told()
    assert (again.packet_id, again.payload, again.dup) == (sent.packet_id, sent.payload, True)


def test_who_finds_the_session_present(subject, tenant):
    """C-13, S-3, LS-043: it belongs to the device and the client id it was opened with."""
    # Who comes between: client id, clean start, expiry; whether it is told session present, and whether the first
    # finds its session afterwards.
    rows = [
        ("pump", False, 3600, True, True),
        ("pump", True, 0, False, False),
        ("pump", True, 3600, False, True),
        ("pump", False, 0, True, False),
        ("other", True, 0, False, True),
        ("other", False, 0, False, True),
        ("other", False, 3600, False, False),
    ]
    for client_id, clean, expiry, is_present, stays in rows:
        device = tenant.new_device()
        pump = Pump(subject, device, V5)
        pump.come()
        pump.subscribe(ATTRIBUTES)
        pump.cut()
        between = Pump(subject, device, V5, client_id)
        row = (client_id, clean, expiry)
        assert between.come(clean, expiry) == is_present, row
        assert w.SESSION_EXPIRY not in between.connack.properties, row
        between.cut()
        assert pump.come() == stays, row
        save(device, a=1)
        # A session that begins anew holds no subscription.
        has_one = stays and not (client_id == "pump" and clean)
        assert (pump.changes(1) == ({"a": 1}, [])) if has_one else pump.hears_nothing(), row
    tenant.event("session.replaced", device)


def test_a_session_ends_when_its_time_is_over_or_its_client_says_so(subject, tenant):
    """S-3, MQTT 5 3.14.2.2.2."""
    device = tenant.new_device()
    pump = Pump(subject, device, V5, expiry=1)
    pump.come()
    pump.cut()
    tenant.event("session.expired", device)
    assert not pump.come(expiry=3600)
    pump.goodbye(expiry=0)
    assert not pump.come(expiry=3600)
    pump.goodbye(expiry=1)
    until("it expired again", lambda: sum(it["count"] for it in tenant.events(device)
                                          if it["reason"] == "session.expired") == 2)
    assert not pump.come(expiry=3600)
    pump.goodbye(expiry=60)
    assert pump.come(expiry=3600)
    # New credentials do not end it; a new device is another one.
    stored = tenant.ok("GET", f"/api/device/{device.id}/credentials")
    device.token = f"{device.token}-new"
    tenant.ok("POST", "/api/device/credentials", stored | {"credentialsId": device.token})
    assert pump.wire.outcome() == "DISCONNECT 0x98 close"
    assert pump.come()
    kept = subject.metrics()[("thingport_kept_sessions", "")]
    tenant.ok("DELETE", f"/api/device/{device.id}")
    until("it went with its device", lambda: subject.metrics()[("thingport_kept_sessions", "")] < kept)


@pytest.mark.process
def test_sessions_have_bounds(house):
    server, tenant = house("--set", "mqtt.session_expiry_max=1h", "--set", "mqtt.sessions_kept_max=1")
    first, second = tenant.new_device(), tenant.new_device()
    pump = Pump(server, first, V5)
    pump.come(expiry=0xFFFFFFFF)
    assert pump.connack.properties[w.SESSION_EXPIRY] == 3600
    turned_away = Pump(server, second, V5)
    assert not turned_away.come(expiry=60)
    assert turned_away.connack.properties[w.SESSION_EXPIRY] == 0
    tenant.event("session.not_kept", second)
    turned_away.cut()
    assert not Pump(server, second, V311).come()
    bounds = server.metrics()
    assert bounds[("thingport_bound_hits_total", 'bound="kept_sessions_max"')] == 2
    # A clean session costs no place.
    assert not Pump(server, second, V5).come(clean=True, expiry=0)


@pytest.mark.process
def test_a_tenant_has_its_share_of_the_sessions(house):
    server, tenant = house("--set", "mqtt.sessions_kept_per_tenant_max=1")
    first, second = tenant.new_device(), tenant.new_device()
    Pump(server, first, V5).come(expiry=60)
    turned_away = Pump(server, second, V5)
    turned_away.come(expiry=60)
    assert turned_away.connack.properties[w.SESSION_EXPIRY] == 0
    assert tenant.event("session.not_kept", second)["detail"] == "of this tenant"
    assert server.metrics()[("thingport_bound_hits_total", 'bound="kept_sessions_per_tenant_max"')] == 1
    sysadmin = Person.login(server.url, "sysadmin@thingsboard.org", "sysadmin")
    other = sysadmin.ok("POST", "/api/tenant", {"title": fresh("tenant")})
    account = {"email": f"{fresh('a')}@example.org", "authority": "TENANT_ADMIN", "tenantId": other["id"]}
    kept = Pump(server, new_user(sysadmin, account)[0].new_device(), V5)
    kept.come(expiry=60)
    assert w.SESSION_EXPIRY not in kept.connack.properties, "as long as it asked for"


@pytest.mark.process
def test_session_present_can_mirror_the_flag(house):
    """LS-041, for client libraries that were written for that."""
    server, tenant = house("--set", "compat.mirror_session_present=true")
    device = tenant.new_device()
    for version, clean, expected in [(V311, True, 0), (V311, False, 1), (V5, True, 0), (V5, False, 1), (V31, False, 0)]:
        with Wire(server.mqtt, version) as wire:
            assert wire.login(device.token, client_id="c", clean=clean).session_present == expected
    with Wire(server.mqtt, V311) as wire:
        refused = wire.ask(connect(V311, "c", "nobody", clean=False), w.CONNACK)
        assert (refused.code, refused.session_present) == (5, 0)


class Client:
    """A paho client whose session is kept."""

    def __init__(self, address, protocol, token):
        options = {} if protocol == paho.MQTTv5 else {"clean_session": False}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, "pump", protocol=protocol,
                                  reconnect_on_failure=False, **options)
        self.client.username_pw_set(token)
        self.address, self.is_v5, self.events = address, protocol == paho.MQTTv5, queue.Queue()
        self.client.on_connect = lambda c, u, flags, code, p: self.events.put(("connect", flags.session_present))
        self.client.on_subscribe = lambda c, u, mid, codes, p: self.events.put(("subscribe", len(codes)))
        self.client.on_message = lambda c, u, m: self.events.put(("message", (m.topic, json.loads(m.payload))))

    def come(self):
        options = {}
        if self.is_v5:
            options = {"clean_start": False, "properties": Properties(PacketTypes.CONNECT)}
            options["properties"].SessionExpiryInterval = 3600
        self.client.connect(*self.address, **options)
        self.client.loop_start()
        return self.wait("connect")

    def wait(self, kind):
        found, value = self.events.get(timeout=10)
        assert found == kind, (found, value)
        return value

    def go(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_paho_need_not_subscribe_again(subject, device, protocol):
    client = Client(subject.mqtt, protocol, device.token)
    assert client.come() is False
    client.client.subscribe([(ATTRIBUTES, 1), (CALLS, 1)])
    client.wait("subscribe")
    client.go()
    until("it left", lambda: not presence(device)["connected"]["connected"])
    save(device, level=1)
    save(device, level=2)
    call = keep(device)
    assert client.come() is True
    told = dict(client.wait("message") for _ in range(2))
    assert told == {ATTRIBUTES: {"level": 2}, f"{CALL}0": {"method": "m", "params": 1}}
    until_status(device, call, "DELIVERED")
    # And hears of what happens from now on.
    save(device, level=3)
    assert client.wait("message") == (ATTRIBUTES, {"level": 3})
    client.go()


def test_mosquitto_sub_gets_what_it_missed(subject, device):
    host, port = subject.mqtt
    line = ["mosquitto_sub", "-h", host, "-p", str(port), "-u", device.token, "-i", "tool", "-c", "-q", "1", "-t", ATTRIBUTES]
    subprocess.run([*line, "-E"], check=True, timeout=30)
    until("it left", lambda: not presence(device)["connected"]["connected"])
    save(device, a=1)
    save(device, b="x")
    told = subprocess.run([*line, "-C", "1", "-W", "10"], capture_output=True, text=True, timeout=30)
    assert json.loads(told.stdout) == {"a": 1, "b": "x"}
