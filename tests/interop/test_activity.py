"""Connected and reporting, apart: AC-001 to AC-014, T-6, REST API 8.3."""

import json
import time

import pytest
import requests

import wire as w
from clients import Feed
from rest import Person
from server import until

PROTOCOLS = [4, 5]
TENANT = ("tenant@thingsboard.org", "tenant")
KEYS = {"active", "lastConnectTime", "lastDisconnectTime", "lastActivityTime", "inactivityAlarmTime"}


def server_scope(device):
    return device.attributes("SERVER_SCOPE")


def until_active(device, expected, timeout=15):
    return until(f"active = {expected}", lambda: server_scope(device).get("active") is expected, timeout, 0.1)


def presence(device):
    return device.owner.ok("GET", f"/api/thingport/devices/{device.id}/presence")


def set_timeout(device, ms):
    device.owner.ok("POST", f"{device.data}/SERVER_SCOPE", {"inactivityTimeout": ms})


def shown(device, active):
    """Whether the device is in the list of active ones, or in that of the others."""
    query = {"pageSize": 10, "page": 0, "active": active, "textSearch": device.body["name"]}
    page = device.owner.ok("GET", "/api/tenant/deviceInfos", params=query)
    assert page["totalElements"] == len(page["data"])
    return [row["id"]["id"] for row in page["data"]] == [device.id]


def now_ms():
    return int(time.time() * 1000)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_device_is_active_from_its_first_word_and_beyond_its_connection(paho_client, device, protocol):
    until("the first of them", lambda: server_scope(device) == {"active": False})
    assert shown(device, "false") and not shown(device, "true")
    client = paho_client(protocol, device.token)
    before = now_ms()
    assert client.connect() == 0
    until_active(device, True)
    after = now_ms()
    found = server_scope(device)
    assert before <= found["lastConnectTime"] <= after and before <= found["lastActivityTime"] <= after
    assert "lastDisconnectTime" not in found and "inactivityAlarmTime" not in found
    assert shown(device, "true") and not shown(device, "false")
    info = device.owner.ok("GET", f"/api/device/info/{device.id}")
    assert info["active"] is True

    sent_at = now_ms()
    client.publish("v1/devices/me/telemetry", {"a": 1})
    until("the time of the word", lambda: server_scope(device)["lastActivityTime"] >= sent_at - 2)
    assert server_scope(device)["lastActivityTime"] <= now_ms()
    client.close()
    gone = until("the end", lambda: server_scope(device).get("lastDisconnectTime"))
    assert sent_at <= gone <= now_ms()
    assert server_scope(device)["active"] is True, "leaving makes nobody inactive (AC-007)"


def test_a_timeout_takes_effect_at_once_in_both_directions(paho_client, device):
    client = paho_client(4, device.token)
    client.connect()
    until_active(device, True)
    client.close()
    heard_at = server_scope(device)["lastActivityTime"]
    until("two seconds of silence", lambda: now_ms() > heard_at + 2_500, pause=0.1)
    set_timeout(device, 1_000)
    found = server_scope(device)
    assert found["active"] is False and found["inactivityAlarmTime"] >= heard_at + 2_000
    assert shown(device, "false") and not shown(device, "true")
    set_timeout(device, 3_600_000)
    assert server_scope(device)["active"] is True
    assert shown(device, "true")


def test_a_connected_device_that_says_nothing_becomes_inactive(paho_client, device):
    set_timeout(device, 2_000)
    client = paho_client(5, device.token)
    client.connect(keepalive=60)
    until_active(device, True)
    until_active(device, False)
    told = presence(device)
    assert told["connected"]["connected"] is True and told["reporting"]["active"] is False
    assert told["reporting"]["inactivityAlarmTime"] > told["reporting"]["lastActivityTime"]
    client.publish("v1/devices/me/telemetry", {"a": 1})
    until_active(device, True)


WORDS = {
    "ping": w.PING,
    "subscribe": w.subscribe(1, [("v1/devices/me/attributes", 1)]),
    "telemetry": w.publish("v1/devices/me/telemetry", b'{"a":1}'),
    "attributes": w.publish("v1/devices/me/attributes", b'{"a":1}'),
    "unknown topic": w.publish("nobody/knows/this", b"x"),
    "request": w.publish("v1/devices/me/attributes/request/1", b"{}"),
}


def test_each_kind_of_word_counts(wire, tenant):
    """LS-061. A device for each; all are waited for at once."""
    devices = {say: tenant.new_device() for say in WORDS}
    connections = {say: wire(4, device.token) for say, device in devices.items()}
    for device in devices.values():
        until_active(device, True)
    heard_at = {say: server_scope(device)["lastActivityTime"] for say, device in devices.items()}
    for say, connection in connections.items():
        connection.send(WORDS[say])
    for say, device in devices.items():
        until(f"that {say} was heard",
              lambda say=say, device=device: server_scope(device)["lastActivityTime"] > heard_at[say], pause=0.1)


def test_a_takeover_is_no_end(paho_client, device):
    first = paho_client(4, device.token, client_id="first")
    first.connect()
    connected_at = until("the first time", lambda: server_scope(device).get("lastConnectTime"))
    second = paho_client(4, device.token, client_id="second")
    until("another millisecond", lambda: now_ms() > connected_at + 5)
    second.connect()
    first.wait("disconnect")
    assert server_scope(device)["lastConnectTime"] > connected_at
    assert "lastDisconnectTime" not in server_scope(device)


def test_presence_tells_how_a_device_is_connected(paho_client, device, nobody):
    path = f"/api/thingport/devices/{device.id}/presence"
    assert nobody.get(path).status_code == 401
    never = presence(device)
    assert never["connected"] == {
        "connected": False, "lastConnectTime": None, "lastDisconnectTime": None, "line": None,
    }
    assert never["reporting"]["lastActivityTime"] is None
    client = paho_client(5, device.token, client_id="presence-of-mine")
    client.connect()
    told = until("that it is told", lambda: (p := presence(device))["connected"]["lastConnectTime"] and p)
    assert told["connected"]["connected"] is True
    line = told["connected"]["line"]
    assert line.pop("address").startswith("127.0.0.1:")
    assert line == {"protocol": "MQTT 5", "transport": "tcp", "clientId": "presence-of-mine", "tls": None}
    assert told["connected"]["lastConnectTime"] <= told["reporting"]["lastActivityTime"]
    client.close()
    until("that it left", lambda: not presence(device)["connected"]["connected"])
    assert presence(device)["connected"]["line"] is None


def test_watchers_see_it_as_any_attribute(subject, tenant, paho_client, device):
    feed = Feed(subject.url, token=tenant.token)
    try:
        feed.send({"attrSubCmds": [{
            "entityType": "DEVICE", "entityId": device.id, "scope": "SERVER_SCOPE", "cmdId": 1,
        }]})
        client = paho_client(4, device.token)
        client.connect()
        seen = {}

        def all_seen():
            seen.update(feed.next()["data"])
            return {"active", "lastConnectTime", "lastActivityTime"} <= set(seen) and \
                str(seen["active"][0][1]).lower() == "true"

        until("all three", all_seen)
    finally:
        feed.close()


def test_http_devices_report_and_are_never_connected(subject, device):
    answer = requests.post(f"{subject.url}/api/v1/{device.token}/telemetry", json={"a": 1}, timeout=10)
    if answer.status_code == 404:
        pytest.skip("this server has no HTTP device API")
    until_active(device, True)
    assert presence(device)["connected"]["connected"] is False
    assert "lastConnectTime" not in server_scope(device)


@pytest.mark.process
def test_who_never_comes_back_becomes_inactive_after_a_restart(own):
    server = own()
    server.start()
    tenant = Person.login(server.url, *TENANT)
    device = tenant.new_device()
    set_timeout(device, 6_000)
    answer = Sender(server).send(device.token)
    assert answer == 0
    until_active(device, True)
    server.kill()
    server.restart()
    tenant = Person.login(server.url, *TENANT)
    device.owner = tenant
    assert server_scope(device)["active"] is True or now_ms() > server_scope(device)["lastActivityTime"] + 6_000
    until_active(device, False, timeout=20)
    assert shown(device, "false")


class Sender:
    """mosquitto_pub, which comes, says something and leaves."""

    def __init__(self, server):
        self.server = server

    def send(self, token):
        from clients import mosquitto_pub

        topic, payload = "v1/devices/me/telemetry", json.dumps({"a": 1})
        return mosquitto_pub(self.server.mqtt, "-u", token, "-q", "1", "-t", topic, "-m", payload)[0]
