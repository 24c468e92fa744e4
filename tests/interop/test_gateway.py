"""Devices behind gateways (device API section 8), with paho on both versions of MQTT and bytes of our own."""

import concurrent.futures
import json
import time

import paho.mqtt.client as paho
import pytest

import wire as w
from clients import Paho
from rest import Device, Person, fresh, new_user
from server import until
from wire import V5, V311

PROTOCOLS = [paho.MQTTv311, paho.MQTTv5]
CONNECT, DISCONNECT = "v1/gateway/connect", "v1/gateway/disconnect"
TELEMETRY, ATTRIBUTES, CLAIM = "v1/gateway/telemetry", "v1/gateway/attributes", "v1/gateway/claim"
ASK, ANSWER, RPC = "v1/gateway/attributes/request", "v1/gateway/attributes/response", "v1/gateway/rpc"


def new_gateway(person, **members):
    return person.new_device(additionalInfo={"gateway": True}, **members)


@pytest.fixture
def gateway(tenant):
    return new_gateway(tenant)


@pytest.fixture
def name():
    """A name that no device has yet."""
    return fresh("child")


@pytest.fixture
def meanwhile():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool.submit


def connected(paho_client, gateway, protocol=paho.MQTTv5):
    client = paho_client(protocol, gateway.token)
    assert not client.connect().is_failure
    return client


def child(person, name):
    """The device of this name; None when there is none."""
    answer = person.get(f"/api/tenant/devices?deviceName={name}")
    if answer.status_code == 404:
        return None
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return Device(person, body["id"]["id"], None, body)


def acknowledged(connection):
    """Number and code of the next PUBACK."""
    answer = connection.expect(w.PUBACK)
    return answer.packet_id, answer.code


def has_ended(connection):
    """Whether nothing more comes, and the server has closed."""
    return connection.packet() is None


def relations(person, gateway):
    return person.ok("GET", f"/api/relations?fromId={gateway.id}&fromType=DEVICE")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_gateway_makes_its_devices_known(tenant, gateway, name, paho_client, protocol):
    """GW-010 to GW-012, GW-017, GW-021, GW-022, L-1."""
    client = connected(paho_client, gateway, protocol)
    kind = fresh("kind")
    assert not client.publish(CONNECT, {"device": name, "type": kind}).is_failure
    made = child(tenant, name)
    assert (made.body["type"], made.body["additionalInfo"]) == (kind, {"lastConnectedGateway": gateway.id})
    found = relations(tenant, gateway)
    assert [(it["to"]["id"], it["type"], it["typeGroup"]) for it in found] == [(made.id, "Created", "COMMON")]
    # Known already: the type does not count.
    assert not client.publish(CONNECT, {"device": name, "type": "other"}).is_failure
    assert child(tenant, name).body["type"] == kind
    # One that exists keeps what is kept of it, and gets no relation.
    known = tenant.new_device(additionalInfo={"description": "hall"}, label="l")
    assert not client.publish(CONNECT, {"device": known.body["name"], "type": None}).is_failure
    body = child(tenant, known.body["name"]).body
    assert body["additionalInfo"] == {"description": "hall", "lastConnectedGateway": gateway.id}
    assert (body["label"], body["type"], len(relations(tenant, gateway))) == ("l", "default", 1)
    other = new_gateway(tenant)
    assert not connected(paho_client, other, protocol).publish(TELEMETRY, {name: [{"a": 1}]}).is_failure
    assert child(tenant, name).body["additionalInfo"] == {"lastConnectedGateway": other.id}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_readings_of_many_devices_come_in_one_message(tenant, gateway, paho_client, protocol):
    """GW-016, GW-030, GW-031, GW-033, GW-037, GW-038."""
    client = connected(paho_client, gateway, protocol)
    first, second, silent = fresh("a"), fresh("b"), fresh("c")
    body = {
        first: [{"ts": 1_700_000_000_000, "values": {"t": 1.5, "s": "x"}}, {"t": 2}],
        second: [{"ts": 1_700_000_000_001, "values": {"t": True}, "metadata": {
            "connector": "c", "receivedTs": 1, "publishedTs": "2"}}],
        silent: [],
    }
    assert not client.publish(TELEMETRY, body).is_failure
    one, two = child(tenant, first), child(tenant, second)
    assert one.history("t", 1_700_000_000_000, 1_700_000_000_001) == [(1_700_000_000_000, "1.5")]
    assert one.value("t", strict=True) == 2
    assert (two.value("t", strict=True), two.keys()) == (True, ["t"])
    assert child(tenant, silent).keys() == []
    assert not client.publish(ATTRIBUTES, {first: {"fw": "v1", "n": 7}, second: {"fw": "v2"}}).is_failure
    assert (one.attributes(), two.attributes()) == ({"fw": "v1", "n": 7}, {"fw": "v2"})
    assert one.attributes("SERVER_SCOPE")["active"] in (True, False)
    until("the device is active", lambda: one.attributes("SERVER_SCOPE")["active"] is True)
    assert client.publish(TELEMETRY, {first: [{"t": 3}]}, qos=0) is None
    until("QoS 0 is kept", lambda: one.value("t", strict=True) == 3)


def test_what_is_wrong_with_one_device_costs_no_other(tenant, gateway, wire):
    """GW-034, GW-036, GW-083: all but the bad part is kept, and the answer says whose part was bad."""
    good, bad, late = fresh("good"), fresh("bad"), fresh("late")
    connection = wire(V5, gateway.token)
    connection.send(w.publish(CONNECT, json.dumps({"device": bad}), 1, 1, V5))
    assert acknowledged(connection) == (1, 0)
    body = {good: [{"t": 1}], bad: [{"ts": "soon", "values": {"t": 1}}], late: [{"t": 2}], "skipped": 5}
    connection.send(w.publish(TELEMETRY, json.dumps(body), 1, 2, V5))
    answer = connection.expect(w.PUBACK)
    assert (answer.packet_id, answer.code) == (2, 0x99)
    said = answer.properties[w.REASON_STRING]
    assert bad in said and good not in said and "milliseconds" in said
    assert [child(tenant, it).value("t") for it in (good, late)] == ["1", "2"]
    assert child(tenant, bad).keys() == [] and child(tenant, "skipped") is None
    assert "soon" in tenant.event("payload.timestamp", child(tenant, bad))["detail"]
    assert bad in tenant.event("gateway.device_message", gateway)["detail"]
    # The connection stays.
    connection.send(w.publish(TELEMETRY, json.dumps({bad: [{"t": 3}]}), 1, 3, V5))
    assert acknowledged(connection) == (3, 0)
    # A name that cannot be one (GW-023).
    connection.send(w.publish(TELEMETRY, json.dumps({"": [{"t": 1}], good: [{"t": 4}]}), 1, 4, V5))
    assert acknowledged(connection) == (4, 0x80)
    assert child(tenant, good).value("t") == "4"


def test_an_older_client_is_not_told_that_a_bad_part_was_kept(tenant, gateway, wire):
    """E-GWDEV, GW-082: version 3 has no other way to hear of it than the end of the connection."""
    good, bad = fresh("good"), fresh("bad")
    connection = wire(V311, gateway.token)
    body = {good: [{"t": 1}], bad: [7]}
    connection.send(w.publish(TELEMETRY, json.dumps(body), 1, 2))
    assert has_ended(connection)
    assert child(tenant, good).value("t") == "1"


# What is published where, and what becomes of it at QoS 1: PUBACK, and whether the connection ends with the same.
WRONG = [
    (CONNECT, "{}", 0x83, True), (CONNECT, '{"device":null}', 0x83, True), (CONNECT, '{"device":""}', 0x83, True),
    (CONNECT, "[1]", 0x83, True), (CONNECT, '"x"', 0x83, True), (CONNECT, "{", 0x99, False),
    (DISCONNECT, "{}", 0x83, True), (DISCONNECT, '{"device":"nobody knows it"}', 0, False),
    (TELEMETRY, "{}", 0x83, True), (TELEMETRY, '{"a":{"t":1}}', 0x83, True), (TELEMETRY, "[]", 0x83, True),
    (TELEMETRY, '{"a":[{"t":1}]', 0x99, False), (ATTRIBUTES, '{"a":[1]}', 0x83, True),
    (ATTRIBUTES, "", 0x99, False), (CLAIM, '{"a":1}', 0x83, True),
    (RPC, '{"device":"a","id":0}', 0x83, True), (RPC, '{"id":0,"data":1}', 0x83, True),
    (RPC, '{"device":"a","data":1}', 0x83, True), (RPC, '{"device":"a","id":0,"method":"m"}', 0x83, True),
    (ASK, '{"id":1,"device":"a","client":true}', 0x83, True), (ASK, '{"id":1,"client":true,"key":"k"}', 0x83, True),
    (ASK, '{"id":1,"device":"a","key":"k"}', 0x83, True), (ASK, '{"device":"a","client":true,"key":"k"}', 0x83, True),
    ("v1/gateway/metrics", "{}", 0x90, False), ("v1/gatewayX", "{}", 0x90, False),
]


@pytest.mark.parametrize("topic,body,code,ends", WRONG)
def test_a_message_that_is_wrong_as_a_whole_is_refused(gateway, wire, topic, body, code, ends):
    """GW-004, GW-013 to GW-015, GW-034, GW-035, GW-049, GW-054, GW-059; E-GW, E-FORMAT, E-TOPIC."""
    connection = wire(V5, gateway.token)
    connection.send(w.publish(topic, body, 1, 1, V5))
    assert acknowledged(connection) == (1, code)
    if ends:
        assert connection.expect(w.DISCONNECT).code == code
        assert has_ended(connection)
    older = wire(V311, gateway.token)
    older.send(w.publish(topic, body, 1, 1) + w.PING)
    if code in (0, 0x90):
        assert acknowledged(older) == (1, 0)
    else:
        assert has_ended(older)


@pytest.mark.parametrize("topic", [CONNECT, TELEMETRY, RPC, "v1/gatewayX"])
def test_only_a_gateway_may_speak_for_others(tenant, device, name, wire, topic):
    """GW-001, P-10."""
    connection = wire(V5, device.token)
    connection.send(w.publish(topic, json.dumps({"device": name}), 1, 1, V5))
    assert acknowledged(connection) == (1, 0x87)
    assert child(tenant, name) is None
    tenant.event("publish.not_a_gateway", device)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_calls_go_through_the_gateway(tenant, gateway, name, paho_client, meanwhile, protocol):
    """GW-006, GW-019, GW-052 to GW-056, GW-062."""
    client = connected(paho_client, gateway, protocol)
    client.publish(CONNECT, {"device": name})
    device = child(tenant, name)

    def call(way, **members):
        caller = Person(tenant.url, tenant.token)
        return caller.post(f"/api/rpc/{way}/{device.id}", {"method": "setLed", "params": {"on": [1.50]}} | members)

    for number, said in enumerate(['{"ok": true}', '"text"', "7"]):
        answer = meanwhile(call, "twoway")
        assert client.message() == (RPC, {"device": name, "data": {
            "id": number, "method": "setLed", "params": {"on": [1.5]}}})
        # Numbers that nobody waits for are ignored.
        for stale in (99, -1, 2**40):
            assert not client.publish(RPC, {"device": name, "id": stale, "data": 1}).is_failure
        body = f'{{"device":"{name}","id":{number},"data":{said}}}'
        assert not client.publish(RPC, body).is_failure
        answer = answer.result()
        assert (answer.status_code, json.loads(answer.text)) == (200, json.loads(said))
    kept = call("oneway", persistent=True).json()["rpcId"]
    assert client.message()[0] == RPC
    # The gateway's acknowledgement counts as the device's (GW-055).
    until("it is delivered", lambda: tenant.ok("GET", f"/api/rpc/persistent/{kept}")["status"] == "DELIVERED")
    # What was asked while the device was away comes as soon as it is there.
    client.publish(DISCONNECT, {"device": name})
    kept = call("twoway", persistent=True).json()["rpcId"]
    client.publish(CONNECT, {"device": name})
    topic, message = client.message()
    number = message["data"]["id"]
    client.publish(RPC, {"device": name, "id": number, "data": {"late": 1}})
    until("it is answered", lambda: tenant.ok("GET", f"/api/rpc/persistent/{kept}")["status"] == "SUCCESSFUL")


QUESTIONS = [
    ({"client": True, "key": "c"}, {"value": 1}), ({"client": True, "key": "none"}, {}),
    ({"client": True, "keys": ["c"]}, {"value": 1}), ({"client": False, "key": "s"}, {"value": {"x": [1]}}),
    ({"client": False, "keys": ["s", "t"]}, {"values": {"s": {"x": [1]}, "t": 2.5}}),
    ({"client": False, "keys": ["c", "none"]}, {"values": {}}),
    ({"client": "true", "keys": ["c", "d"]}, {"values": {"c": 1, "d": "y"}}),
    ({"client": 1, "key": "t", "keys": ["c"]}, {"value": 2.5}),
    ({"client": True, "keys": []}, {"values": {"c": 1, "d": "y", "s": {"x": [1]}, "t": 2.5}}),
]


def test_attributes_of_a_device_are_asked_for_by_its_gateway(tenant, gateway, name, paho_client):
    """GW-041 to GW-045, GW-048, GW-050."""
    client = connected(paho_client, gateway)
    client.publish(ATTRIBUTES, {name: {"c": 1, "d": "y"}})
    device = child(tenant, name)
    client.publish(DISCONNECT, {"device": name})
    tenant.ok("POST", f"{device.data}/SHARED_SCOPE", {"s": {"x": [1]}, "t": 2.5})
    for number, (question, expected) in enumerate(QUESTIONS):
        number = number - 3
        topic, answer = client.ask(ASK, {"id": number, "device": name} | question)
        assert (topic, answer) == (ANSWER, {"id": number, "device": name} | expected), question


def test_changes_of_shared_attributes_go_through_the_gateway(tenant, gateway, name, paho_client):
    """GW-019, GW-046, GW-047, GW-061."""
    client = connected(paho_client, gateway)
    client.publish(CONNECT, {"device": name})
    device = child(tenant, name)
    tenant.ok("POST", f"{device.data}/SHARED_SCOPE", {"a": 1, "b": "x"})
    assert client.message() == (ATTRIBUTES, {"device": name, "data": {"a": 1, "b": "x"}})
    tenant.ok("DELETE", f"{device.data}/SHARED_SCOPE?keys=a")
    assert client.message() == (ATTRIBUTES, {"device": name, "data": {"deleted": ["a"]}})
    # One that has gone hears nothing; the next message is of the one that came back.
    client.publish(DISCONNECT, {"device": name})
    tenant.ok("POST", f"{device.data}/SHARED_SCOPE", {"c": 1})
    client.publish(CONNECT, {"device": name})
    tenant.ok("POST", f"{device.data}/SHARED_SCOPE", {"d": 1})
    assert client.message() == (ATTRIBUTES, {"device": name, "data": {"d": 1}})


def test_devices_behind_a_gateway_are_claimed(tenant, gateway, name, paho_client):
    """GW-032, CL-003."""
    customer = tenant.ok("POST", "/api/customer", {"title": fresh("customer")})["id"]["id"]
    account = {"email": f"{fresh('user')}@example.org", "authority": "CUSTOMER_USER",
               "customerId": {"entityType": "CUSTOMER", "id": customer}}
    user = new_user(tenant, account)[0]
    client = connected(paho_client, gateway)
    assert not client.publish(CLAIM, {name: {"secretKey": "s", "durationMs": 60_000}, fresh("b"): {}}).is_failure
    answer = user.post(f"/api/customer/device/{name}/claim", {"secretKey": "s"})
    assert (answer.status_code, answer.json()["response"]) == (200, "SUCCESS")
    assert child(tenant, name).body["customerId"]["id"] == customer


def test_a_device_speaks_for_itself_or_through_its_gateway(tenant, gateway, paho_client):
    """LS-046, GW-060, GW-061: the newer way ends the other one, and the gateway is not told."""
    device = tenant.new_device()
    name = device.body["name"]
    client = connected(paho_client, gateway)
    client.publish(CONNECT, {"device": name})
    direct = connected(paho_client, device)
    assert not direct.publish("v1/devices/me/telemetry", {"a": 1}).is_failure
    assert not client.publish(TELEMETRY, {name: [{"a": 2}]}).is_failure
    assert direct.wait("disconnect").value == 0x8E
    assert device.value("a") == "2"
    ended = tenant.event("disconnect.taken_over", device, detail="it spoke through a gateway")
    assert ended["clientId"]
    # Deleted, and made anew by the next word of the gateway, with one relation (L-2).
    tenant.ok("DELETE", f"/api/device/{device.id}")
    made = until("it is made anew", lambda: anew(client, tenant, name, device.id))
    assert made.value("a") == "3"
    assert [it["to"]["id"] for it in relations(tenant, gateway)] == [made.id]


def anew(client, tenant, name, former):
    assert not client.publish(TELEMETRY, {name: [{"a": 3}]}).is_failure
    found = child(tenant, name)
    return found if found and found.id != former else None


def test_the_end_of_the_gateway_is_the_end_of_its_devices(tenant, gateway, name, paho_client, subject):
    """GW-060, AC-003, AC-004."""
    client = Paho(subject.mqtt, paho.MQTTv5, gateway.token)
    client.connect()
    client.publish(CONNECT, {"device": name})
    device = child(tenant, name)
    path = f"/api/thingport/devices/{device.id}/presence"
    assert tenant.ok("GET", path)["connected"]["connected"] is True
    client.close()
    until("it is not connected", lambda: tenant.ok("GET", path)["connected"]["connected"] is False)
    kept = until("the moment is kept", lambda: (found := device.attributes("SERVER_SCOPE")).get(
        "lastDisconnectTime") and found)
    assert kept["lastConnectTime"] <= kept["lastDisconnectTime"] <= time.time() * 1000 + 1000


def test_a_gateway_may_not_speak_for_itself(tenant, gateway, wire):
    connection = wire(V5, gateway.token)
    connection.send(w.publish(TELEMETRY, json.dumps({gateway.body["name"]: [{"a": 1}]}), 1, 1, V5))
    assert acknowledged(connection) == (1, 0x80)
    # Its own topics serve it (GW-002).
    connection.send(w.publish("v1/devices/me/telemetry", '{"a":2}', 1, 2, V5))
    assert acknowledged(connection) == (2, 0)
    assert gateway.value("a") == "2"


def test_thingsboards_own_client_for_gateways(tenant, gateway, name, sdk, meanwhile):
    """CD-001 and the methods of `TBGatewayMqttClient`, unchanged."""
    client = sdk(gateway.token, gateway=True)
    assert client.call("gw_connect_device", name, "pump") == 0
    device = child(tenant, name)
    assert device.body["type"] == "pump"
    assert client.call("gw_send_telemetry", name, [{"ts": 1_000, "values": {"t": 1}}, {"t": 2}]) == 0
    assert (device.history("t", 0, 1_001), device.value("t")) == ([(1_000, "1")], "2")
    assert client.call("gw_send_attributes", name, {"model": "m"}) == 0
    assert device.attributes() == {"model": "m"}
    client.listen("gw_subscribe_to_all_attributes")
    tenant.ok("POST", f"{device.data}/SHARED_SCOPE", {"limit": 3})
    assert client.wait("heard") == [{"device": name, "data": {"limit": 3}}]
    found = client.asked("gw_request_client_attributes", name, ["model"])[0]
    assert (found["device"], found["value"]) == (name, "m")
    found = client.asked("gw_request_shared_attributes", name, ["limit", "none"])[0]
    assert (found["device"], found["values"]) == (name, {"limit": 3})
    client.listen("gw_set_server_side_rpc_request_handler", callback="handler")
    answer = meanwhile(Person(tenant.url, tenant.token).post, f"/api/rpc/twoway/{device.id}",
                       {"method": "echo", "params": {"a": 1}})
    call = client.wait("heard")[1]
    assert (call["device"], call["data"]["method"], call["data"]["params"]) == (name, "echo", {"a": 1})
    assert client.call("gw_send_rpc_reply", name, call["data"]["id"], {"ok": 1}) == 0
    assert answer.result().json() == {"ok": 1}
    assert client.call("gw_claim", name, "s", 60_000) == 0
    assert client.call("gw_disconnect_device", name) == 0
    # Its own data go the usual way (GW-002).
    assert client.call("send_telemetry", {"own": 1}) == 0
    assert gateway.value("own") == "1"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_refused_without_an_acknowledgement_is_told(tenant, gateway, paho_client, protocol):
    """GW-080, GW-081: version 5 hears of the bad device alone, and older ones are closed."""
    client = connected(paho_client, gateway, protocol)
    good, bad = fresh("good"), fresh("bad")
    client.publish(TELEMETRY, {good: [{"t": 1}], bad: [7]}, qos=0)
    if protocol == paho.MQTTv5:
        assert client.message() == (DISCONNECT, {"device": bad, "reason": 128})
        assert not client.publish(TELEMETRY, {good: [{"t": 2}], fresh("other"): [{"t": 2}]}).is_failure
    else:
        client.wait("disconnect")
    until("the good one's are kept", lambda: (found := child(tenant, good)) and found.value("t") in "12")


@pytest.mark.process
def test_one_message_may_speak_for_thousands(own):
    """5,000 devices come to be, and all that was said of them is kept, before one PUBACK."""
    server = own(None, "--set", "mqtt.packet_size_max=1MiB").start()
    person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    gateway = new_gateway(person)
    with w.Wire(server.mqtt, V5, timeout=60) as connection:
        connection.login(gateway.token)
        before = server.metrics()[("thingport_resident_memory_bytes", "")]
        names = [f"mass-{n}" for n in range(5_000)]
        for value in (1, 2):
            body = json.dumps({name: [{"t": value}] for name in names})
            connection.send(w.publish(TELEMETRY, body, 1, value, V5))
            assert acknowledged(connection) == (value, 0)
            for name in (names[0], names[2_500], names[-1]):
                assert child(person, name).value("t") == str(value)
        grown = server.metrics()[("thingport_resident_memory_bytes", "")] - before
        assert server.metrics()[("thingport_children", "")] == 5_000
        assert grown < 256 * 2**20, f"{grown / 5_000} bytes a device"
        assert connection.is_alive()
    until("all have gone", lambda: server.metrics()[("thingport_children", "")] == 0)


def test_a_gateway_may_speak_protobuf(tenant, name, paho_client, meanwhile):
    """GW-003, GW-051, GW-058: both ways by its own profile, whatever that of its devices is."""

    def field(number, body):
        body = body.encode() if isinstance(body, str) else body
        return bytes([number << 3 | 2, len(body)]) + body

    payload = {"transportPayloadType": "PROTOBUF", "deviceTelemetryProtoSchema": SCHEMA,
               "deviceAttributesProtoSchema": SCHEMA, "deviceRpcRequestProtoSchema": CALL,
               "deviceRpcResponseProtoSchema": SCHEMA}
    profile = tenant.new_profile(profileData={"configuration": {"type": "DEFAULT"}, "transportConfiguration": {
        "type": "MQTT", "deviceTelemetryTopic": "v1/devices/me/telemetry",
        "deviceAttributesTopic": "v1/devices/me/attributes", "transportPayloadTypeConfiguration": payload}})
    gateway = new_gateway(tenant, deviceProfileId=profile["id"])
    client = connected(paho_client, gateway)
    assert not client.publish(CONNECT, field(1, name) + field(2, "pump")).is_failure
    device = child(tenant, name)
    assert device.body["type"] == "pump"
    # One list at its own time: LONG n = 7, STRING s = x.
    values = field(2, field(1, "n") + b"\x10\x01\x20\x07") + field(2, field(1, "s") + b"\x10\x03" + field(6, "x"))
    told = field(1, name) + field(3, field(1, b"\x08\xe8\x07" + values))
    assert not client.publish(TELEMETRY, field(1, told)).is_failure
    assert device.history("n", 0, 2_000) == [(1_000, "7")]
    answer = meanwhile(Person(tenant.url, tenant.token).post, f"/api/rpc/twoway/{device.id}",
                       {"method": "m", "params": 1})
    topic, message, _ = client.wait("message")
    # RpcRequest: the number 0 is left out, method 2, params 3.
    assert (topic, message) == (RPC, field(1, name) + field(2, field(2, "m") + field(3, "1")))
    assert not client.publish(RPC, field(1, name) + field(3, '{"ok":1}')).is_failure
    assert answer.result().json() == {"ok": 1}
    # There is no second try as JSON.
    assert client.publish(TELEMETRY, {name: [{"n": 8}]}).value == 0x99


SCHEMA = 'syntax = "proto3"; message Any { int32 a = 1; }'
CALL = 'syntax = "proto3"; message Call { string method = 1; int32 requestId = 2; string params = 3; }'


def test_traces_show_what_a_gateway_said_and_what_was_refused_of_a_device(tenant, gateway, name, paho_client):
    client = connected(paho_client, gateway)
    client.publish(CONNECT, {"device": name})
    device = child(tenant, name)
    for traced in (gateway, device):
        tenant.ok("POST", f"/api/thingport/devices/{traced.id}/trace", {"durationMs": 60_000})
    assert not client.publish(TELEMETRY, {name: [{"t": 1}]}).is_failure
    assert client.publish(TELEMETRY, {name: [7]}).value == 0x99
    client.publish(CLAIM, {name: {"secretKey": "never-shown"}})

    def packets():
        records = tenant.ok("GET", f"/api/thingport/devices/{gateway.id}/trace")["records"]
        found = [it for it in records if it["kind"] == "PUBLISH" and it["direction"] == "in"]
        return found if len(found) == 3 and "open" not in str([it["verdict"] for it in found]) else None

    kept, refused, claim = until("the packets are shown and judged", packets)
    verdicts = [json.dumps(it["verdict"]) for it in (kept, refused, claim)]
    assert "committed" in verdicts[0] and "refused" in verdicts[1] and "accepted" in verdicts[2], verdicts
    assert name in json.dumps(kept["payload"]) and "never-shown" not in json.dumps(claim)
    shown = tenant.ok("GET", f"/api/thingport/devices/{device.id}/trace")["records"]
    assert [(it["kind"], it["reasons"][0]["id"]) for it in shown] == [("INCIDENT", "payload.shape")], shown


def test_changed_credentials_end_a_devices_session_and_its_next_word_begins_one(tenant, gateway, name, paho_client):
    """GW-060, GW-061."""
    client = connected(paho_client, gateway)
    client.publish(CONNECT, {"device": name})
    device = child(tenant, name)

    def is_connected():
        return tenant.ok("GET", f"/api/thingport/devices/{device.id}/presence")["connected"]["connected"]

    assert is_connected()
    tenant.save_credentials(device, "ACCESS_TOKEN", fresh("token"))
    tenant.event("disconnect.credentials_changed", device)
    assert not is_connected()
    assert not client.publish(TELEMETRY, {name: [{"a": 1}]}).is_failure
    assert is_connected() and device.value("a") == "1"
