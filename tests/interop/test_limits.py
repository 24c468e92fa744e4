"""Rate limits of tenant profiles, guards against strangers, and the PROXY protocol (issue 3, items 6)."""

import json
import os
import socket
import struct
import time
from pathlib import Path

import pytest
import requests

import wire as w
from rest import Person, fresh, new_user
from server import until
from wire import CONNACK, DISCONNECT, PUBACK, SUBACK, V5, V311, Wire, connect, publish

TELEMETRY = "v1/devices/me/telemetry"
ATTRIBUTES = "v1/devices/me/attributes"


def configuration(limits):
    return {"configuration": {"type": "DEFAULT"} | limits}


class Tenant:
    """A tenant of its own, so that its limits are nobody else's."""

    def __init__(self, sysadmin, limits):
        self.sysadmin = sysadmin
        body = {"name": fresh("limits"), "profileData": configuration(limits)}
        self.profile = sysadmin.ok("POST", "/api/tenantProfile", body)
        tenant = {"title": fresh("limited"), "tenantProfileId": self.profile["id"]}
        tenant = sysadmin.ok("POST", "/api/tenant", tenant)
        account = {"email": f"{fresh('admin')}@example.org", "authority": "TENANT_ADMIN", "tenantId": tenant["id"]}
        self.admin = new_user(sysadmin, account)[0]

    def change(self, limits):
        self.profile["profileData"] = configuration(limits)
        self.profile = self.sysadmin.ok("POST", "/api/tenantProfile", self.profile)


@pytest.fixture
def limited(sysadmin):
    return lambda **limits: Tenant(sysadmin, limits)


def send(connection, packet_id=1, values=1):
    body = json.dumps({f"k{n}": n for n in range(values)})
    connection.send(publish(TELEMETRY, body, 1, packet_id, connection.version))


def passes(connection, packet_id=1, values=1):
    send(connection, packet_id, values)
    answer = connection.expect(PUBACK)
    return answer.packet_id == packet_id and answer.code in (0, None)


# limit, values of each message, how many pass, what the incident says
LIMITS = [
    ("transportDeviceTelemetryMsgRateLimit", "5:3600", 1, 5, "5:3600 telemetry messages for one device"),
    ("transportDeviceTelemetryMsgRateLimit", "100:1,4:3600", 3, 4, "4:3600 telemetry messages for one device"),
    ("transportDeviceTelemetryDataPointsRateLimit", "10:3600", 3, 3, "10:3600 telemetry data points for one device"),
    ("transportDeviceTelemetryDataPointsRateLimit", "2:1", 3, 0, "2:1 telemetry data points for one device"),
    ("transportTenantTelemetryMsgRateLimit", "5:3600", 1, 5,
     "5:3600 telemetry messages for all devices of the tenant"),
    ("transportTenantTelemetryDataPointsRateLimit", "7:3600", 2, 3,
     "7:3600 telemetry data points for all devices of the tenant"),
]


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("member, limit, values, count, named", LIMITS)
def test_exactly_the_limit_passes_and_the_refusal_names_it(limited, wire, version, member, limit, values, count,
                                                           named):
    """RL-005, RL-007, RL-009; P-22."""
    tenant = limited(**{member: limit})
    device = tenant.admin.new_device()
    connection = wire(version, device.token)
    assert all(passes(connection, n + 1, values) for n in range(count))
    send(connection, 99, values)
    if version == V5:
        refused = connection.expect(PUBACK)
        assert (refused.packet_id, refused.code) == (99, 0x97)
        assert connection.expect(DISCONNECT).code == 0x96
    assert connection.packet() is None
    event = tenant.admin.event("limit.rate", device)
    assert event["detail"].startswith(named) and event["fault"] == "operator"


def test_at_qos_0_the_connection_ends_with_the_reason(limited, wire):
    tenant = limited(transportDeviceTelemetryMsgRateLimit="2:3600")
    device = tenant.admin.new_device()
    connection = wire(V5, device.token)
    connection.send(publish(TELEMETRY, '{"a":1}', 0, version=V5) * 3)
    ended = connection.expect(DISCONNECT)
    assert ended.code == 0x96 and b"2:3600 telemetry messages" in ended.raw


def test_everything_before_a_refusal_is_answered_first(limited, wire):
    """A client that pipelines makes progress: what was kept is acknowledged, then the refusal follows."""
    tenant = limited(transportDeviceTelemetryMsgRateLimit="5:3600")
    device = tenant.admin.new_device()
    connection = wire(V5, device.token)
    connection.send(b"".join(publish(TELEMETRY, f'{{"n":{n}}}', 1, n + 1, V5) for n in range(8)))
    answers = [connection.expect(PUBACK) for _ in range(6)]
    assert [(it.packet_id, it.code or 0) for it in answers] == [(n, 0) for n in range(1, 6)] + [(6, 0x97)]
    assert connection.outcome() == "DISCONNECT 0x96 close"
    assert device.value("n") == "4"


@pytest.mark.parametrize("version", [V311, V5])
def test_a_device_that_is_a_little_too_fast_is_slowed_and_loses_nothing(limited, wire, version):
    """The first 10 pass at once, then 10 a second; nobody is refused."""
    tenant = limited(transportDeviceTelemetryMsgRateLimit="10:1")
    device = tenant.admin.new_device()
    connection = wire(version, device.token)
    started = time.monotonic()
    connection.send(b"".join(publish(TELEMETRY, f'{{"n":{n}}}', 1, n + 1, version) for n in range(25)))
    answers = [connection.expect(PUBACK, 30) for _ in range(25)]
    took = time.monotonic() - started
    assert [it.packet_id for it in answers] == list(range(1, 26))
    assert all(it.code in (0, None) for it in answers)
    assert 1.4 <= took <= 12, f"15 messages at 10 a second took {took:.2f} s"
    assert connection.is_alive()
    event = tenant.admin.event("limit.slowed", device)
    assert event["detail"] == "10:1 telemetry messages for one device"


def test_reconnecting_brings_no_tokens(limited, wire):
    tenant = limited(transportDeviceTelemetryMsgRateLimit="3:3600")
    device = tenant.admin.new_device()
    assert all(passes(wire(V5, device.token), 1) for _ in range(3))
    again = wire(V5, device.token)
    send(again)
    assert again.outcome() == "PUBACK 0x97 DISCONNECT 0x96 close"


def test_limits_change_under_a_live_session(limited, wire):
    """RL-004: a changed limit begins full, an unchanged one keeps its fill."""
    points = {"transportDeviceTelemetryDataPointsRateLimit": "6:3600"}
    tenant = limited(transportDeviceTelemetryMsgRateLimit="2:3600", **points)
    device = tenant.admin.new_device()
    connection = wire(V5, device.token)
    assert passes(connection, 1) and passes(connection, 2)
    tenant.change({"transportDeviceTelemetryMsgRateLimit": "100:3600", **points})
    assert all(passes(connection, n) for n in range(3, 7))
    send(connection, 7)
    assert connection.outcome() == "PUBACK 0x97 DISCONNECT 0x96 close"
    assert tenant.admin.event("limit.rate", device)["detail"].startswith("6:3600 telemetry data points")
    tenant.change({})
    free = wire(V5, device.token)
    assert all(passes(free, n, 50) for n in range(1, 20))


def test_a_devices_limit_is_not_its_neighbours_and_the_tenants_is_everybodys(limited, wire):
    tenant = limited(transportDeviceTelemetryMsgRateLimit="3:3600", transportTenantTelemetryMsgRateLimit="5:3600")
    first, second = (wire(V5, tenant.admin.new_device().token) for _ in range(2))
    assert all(passes(first, n) for n in range(1, 4))
    assert all(passes(second, n) for n in range(1, 3))
    send(second, 3)
    assert second.outcome() == "PUBACK 0x97 DISCONNECT 0x96 close"


@pytest.mark.parametrize("version, expected", [(V311, "CONNACK 0x03 close"), (V5, "CONNACK 0x9f close")])
def test_too_many_logins_are_refused(limited, wire, version, expected):
    """RL-020, and no DISCONNECT behind a refusing CONNACK (C-16)."""
    tenant = limited(transportTenantMsgRateLimit="1:3600")
    wire(version, tenant.admin.new_device().token)
    second, connection = tenant.admin.new_device(), wire(version)
    connection.send(connect(version, "second", second.token))
    assert connection.outcome().lower() == expected.lower()
    event = tenant.admin.event("limit.rate", second)
    assert event["detail"].startswith("1:3600 messages for all devices of the tenant")


@pytest.mark.parametrize("version, code", [(V311, 0x80), (V5, 0x97)])
def test_a_subscription_beyond_the_limit_is_refused_and_the_session_stays(limited, wire, version, code):
    tenant = limited(transportDeviceMsgRateLimit="2:3600")
    connection = wire(version, tenant.admin.new_device().token)
    codes = [connection.ask(w.subscribe(n, [(ATTRIBUTES, 1)], version), SUBACK).raw[-1] for n in range(1, 3)]
    assert codes == [1, code]
    assert connection.is_alive(), "PINGREQ is not counted"
    assert passes(connection), "telemetry has its own limits"


def test_without_limits_nothing_is_slowed(limited, wire):
    connection = wire(V5, limited().admin.new_device().token)
    assert all(passes(connection, n) for n in range(1, 60))


@pytest.mark.parametrize("wrong", ["10", "10:", "0:1", "10:1,20:1", "ten:1", "10:1;20:2", 10])
def test_a_text_that_is_no_limit_is_refused_with_its_name(sysadmin, wrong):
    """RL-003; REST API 4.2."""
    body = {"name": fresh("limits"), "profileData": configuration({"transportDeviceMsgRateLimit": wrong})}
    answer = sysadmin.post("/api/tenantProfile", body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 31)
    assert "transportDeviceMsgRateLimit" in answer.json()["message"]


@pytest.mark.process
def test_devices_of_version_5_may_be_let_stay(own):
    """RL-028."""
    server = own(None, "--set", "compat.rate_limit_disconnect=false").start()
    sysadmin = Person.login(server.url, "sysadmin@thingsboard.org", "sysadmin")
    tenant = Tenant(sysadmin, {"transportDeviceTelemetryMsgRateLimit": "1:3600"})
    token = tenant.admin.new_device().token
    with Wire(server.mqtt, V5) as connection:
        connection.login(token)
        assert passes(connection, 1)
        send(connection, 2)
        assert connection.expect(PUBACK).code == 0x97
        connection.send(publish(TELEMETRY, '{"a":1}', 0, version=V5))
        assert connection.is_alive()


# Guards. Loopback is exempt unless the server is told otherwise.

def guarded(own, *settings):
    arguments = [part for setting in settings for part in ("--set", setting)]
    server = own(None, "--set", "mqtt.guard_exempt=", *arguments).start()
    return server, Person.login(server.url, "sysadmin@thingsboard.org", "sysadmin")


def fails(server):
    with Wire(server.mqtt) as connection:
        connection.send(connect(V311, "a", fresh("nobody")))
        return connection.outcome()


@pytest.mark.process
def test_an_address_that_keeps_failing_is_closed_at_accept(own):
    """L-12: what is open stays, others are not concerned, and the journal says so."""
    server, sysadmin = guarded(own, "mqtt.failed_logins_max=3")
    with Wire(server.mqtt, V5) as stays:
        stays.login("A1_TEST_TOKEN")
        assert [fails(server) for _ in range(3)] == ["CONNACK 0x05 close"] * 3
        assert fails(server) == "close"
        with Wire(server.mqtt) as right:
            right.send(connect(V311, "a", "A1_TEST_TOKEN"))
            assert right.outcome() == "close", "also for right credentials, for a minute"
        assert stays.is_alive()
    assert sysadmin.event("connect.address_blocked")["remote"].startswith("127.0.0.1:")


@pytest.mark.process
def test_a_login_forgives_failures(own):
    """LS-010."""
    server, _ = guarded(own, "mqtt.failed_logins_max=3")
    for _ in range(3):
        assert [fails(server) for _ in range(2)] == ["CONNACK 0x05 close"] * 2
        with Wire(server.mqtt) as right:
            right.login("A1_TEST_TOKEN")


@pytest.mark.process
def test_strangers_of_one_address_are_few(own):
    """L-11: a place is taken until the login, and given back by it or by the end."""
    server, sysadmin = guarded(own, "mqtt.guests_per_address_max=2")
    silent = [Wire(server.mqtt) for _ in range(2)]
    with Wire(server.mqtt) as third:
        assert third.packet() is None
    assert sysadmin.event("connect.too_many_from_address")
    silent[0].login("A1_TEST_TOKEN")
    with Wire(server.mqtt) as fourth:
        assert fourth.ask(connect(V311, "x", fresh("nobody")), CONNACK).code == 5
    until("the place of the one that was refused",
          lambda: server.metrics()[("thingport_mqtt_connections", "")] == 2)
    with Wire(server.mqtt) as fifth:
        fifth.login("A1_TEST_TOKEN")
    for connection in silent:
        connection.close()


@pytest.mark.process
def test_more_connections_than_the_rate_are_closed(own):
    """L-11."""
    server, sysadmin = guarded(own, "mqtt.accept_rate_max=5")
    opened = [Wire(server.mqtt) for _ in range(30)]
    for connection in opened:
        connection.send(connect(V311, "x", fresh("nobody")))
    outcomes = [connection.outcome() for connection in opened]
    for connection in opened:
        connection.close()
    assert 5 <= len([it for it in outcomes if it != "close"]) <= 12, outcomes
    assert sysadmin.event("connect.rate")


@pytest.mark.process
def test_loopback_is_exempt_by_default(own):
    server = own(None, "--set", "mqtt.failed_logins_max=1", "--set", "mqtt.guests_max=1").start()
    waiting = [Wire(server.mqtt) for _ in range(3)]
    assert [fails(server) for _ in range(3)] == ["CONNACK 0x05 close"] * 3
    for connection in waiting:
        connection.login("A1_TEST_TOKEN")
        connection.close()


# PROXY protocol.

def proxy_1(source="192.0.2.7", port=4711):
    return f"PROXY TCP4 {source} 198.51.100.1 {port} 1883\r\n".encode()


def proxy_2(source="192.0.2.8", port=4712, command=0x21, family=0x11, more=b""):
    body = socket.inet_aton(source) + socket.inet_aton("198.51.100.1") + struct.pack(">HH", port, 1883) + more
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, family]) + struct.pack(">H", len(body)) + body


@pytest.fixture(scope="module")
def proxied():
    from server import Server
    believed = ["--set", "mqtt.proxy_protocol=true", "--set", "mqtt.proxies=127.0.0.1"]
    with Server(None, *believed, "--set", "mqtt.failed_logins_max=3") as server:
        yield server


@pytest.mark.process
@pytest.mark.parametrize("header, remote", [
    (proxy_1(), "192.0.2.7:4711"),
    (proxy_2(), "192.0.2.8:4712"),
    (proxy_2("192.0.2.9", more=b"\x04\0\3abc"), "192.0.2.9:4712"),
])
@pytest.mark.parametrize("drips", [False, True])
def test_the_address_behind_a_proxy_is_the_devices(proxied, header, remote, drips):
    """LS-004."""
    sysadmin = Person.login(proxied.url, "sysadmin@thingsboard.org", "sysadmin")
    client_id = fresh("proxied")
    with Wire(proxied.mqtt) as connection:
        bytes_ = header + connect(V311, client_id, fresh("nobody"))
        for piece in [bytes_[n:n + 1] for n in range(len(bytes_))] if drips else [bytes_]:
            connection.send(piece)
        assert connection.outcome() == "CONNACK 0x05 close"
    with Wire(proxied.mqtt) as connection:
        connection.send(header)
        connection.login("A1_TEST_TOKEN")
        assert connection.is_alive()
    journal = lambda: [it for it in sysadmin.events() if it["remote"] == remote]  # noqa: E731
    until(f"an incident of {remote}", journal, timeout=15)


@pytest.mark.process
@pytest.mark.parametrize("header", [
    connect(V311, "a", "A1_TEST_TOKEN"), b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4 5\r\n",
    b"PROXY " + b"x" * 200, proxy_2(command=0x31), proxy_2(family=0x12), b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
])
def test_what_is_no_proxy_header_is_closed_with_a_reason(proxied, header):
    sysadmin = Person.login(proxied.url, "sysadmin@thingsboard.org", "sysadmin")
    with Wire(proxied.mqtt) as connection:
        connection.send(header)
        assert connection.packet() is None
    assert sysadmin.event("connect.proxy_header")["detail"]


@pytest.mark.process
@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", proxy_2(command=0x20), proxy_2(family=0x31)])
def test_a_proxy_that_speaks_for_itself_is_closed_silently(proxied, header):
    with Wire(proxied.mqtt) as connection:
        connection.send(header + connect(V311, "a", "A1_TEST_TOKEN"))
        assert connection.packet() is None


@pytest.mark.process
def test_failures_block_the_device_and_not_its_proxy(proxied):
    """Loopback is exempt, what it passes on is not."""
    def attempt(source, token):
        with Wire(proxied.mqtt) as connection:
            connection.send(proxy_1(source) + connect(V311, "a", token))
            return connection.outcome()

    assert [attempt("203.0.113.1", "wrong") for _ in range(3)] == ["CONNACK 0x05 close"] * 3
    assert attempt("203.0.113.1", "A1_TEST_TOKEN") == "close"
    assert attempt("203.0.113.2", "A1_TEST_TOKEN").startswith("CONNACK 0x00")


@pytest.mark.process
@pytest.mark.parametrize("source", ["127.0.0.1", "127.9.9.9"])
def test_a_header_that_names_this_machine_exempts_nobody(own, source):
    """What a header says is not where the connection comes from."""
    believed = ["--set", "mqtt.proxy_protocol=true", "--set", "mqtt.proxies=0.0.0.0/0, ::/0"]
    server = own(None, *believed, "--set", "mqtt.failed_logins_max=3").start()

    def attempt(token):
        with Wire(server.mqtt) as connection:
            connection.send(proxy_1(source) + connect(V311, "a", token))
            return connection.outcome()

    assert [attempt("wrong") for _ in range(3)] == ["CONNACK 0x05 close"] * 3
    assert attempt("A1_TEST_TOKEN") == "close"


@pytest.mark.process
def test_proxies_must_be_listed(own):
    server = own(None, "--set", "mqtt.proxy_protocol=true")
    server.spawn()
    assert server.process.wait(30) != 0
    assert "mqtt.proxies" in server.err()


@pytest.mark.process
def test_only_listed_proxies_are_believed(own):
    arguments = ["--set", "mqtt.proxy_protocol=true", "--set", "mqtt.proxies=192.0.2.0/24"]
    server = own(None, *arguments).start()
    sysadmin = Person.login(server.url, "sysadmin@thingsboard.org", "sysadmin")
    with Wire(server.mqtt) as connection:
        connection.send(proxy_1() + connect(V311, "a", "A1_TEST_TOKEN"))
        assert connection.packet() is None
    assert sysadmin.event("connect.proxy_untrusted")["remote"].startswith("127.0.0.1:")


@pytest.mark.process
def test_strangers_cost_little_whatever_they_announce(own):
    """L-2, L-17: at most 8 KiB each before the login, also with a packet begun that announces much."""
    server = own(None).start()

    def resident():
        pages = Path(f"/proc/{server.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def crowd():
        strangers = [Wire(server.mqtt) for _ in range(400)]
        for stranger in strangers:
            stranger.send(b"\x10\xe0\xd4\x03" + b"\0\4MQTT\5\2" + b"x" * 100)
        until("all were read", lambda: server.metrics()[("thingport_mqtt_connections", "")] == 400)
        return strangers

    for stranger in crowd():
        stranger.close()  # the first crowd fills what is kept and used again
    until("all have left", lambda: server.metrics()[("thingport_mqtt_connections", "")] == 0)
    before = resident()
    strangers = crowd()
    each = (resident() - before) / len(strangers)
    for stranger in strangers:
        stranger.close()
    assert each <= 8 * 1024, f"{each:.0f} bytes each"


@pytest.mark.process
def test_a_client_that_does_not_read_is_ended(own):
    """L-13: at most 256 KiB wait for it, and for at most ten seconds; others notice nothing."""
    server = own(None).start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.new_device()
    with Wire(server.mqtt) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.login(device.token)
        connection.socket.settimeout(1)
        with pytest.raises((TimeoutError, ConnectionError)):
            while True:
                connection.socket.sendall(w.PING * 4096)
        until("the slow reader is ended", lambda: [it for it in tenant.events(device)
                                                   if it["reason"] == "disconnect.slow_reader"], 60, 0.2)
        with Wire(server.mqtt, V5) as other:
            other.login("A1_TEST_TOKEN")
            assert other.is_alive()


def test_a_connect_that_is_too_large_is_refused_at_its_header(subject):
    """F-5: nobody waits for the rest."""
    started = time.monotonic()
    with Wire(subject.mqtt) as connection:
        connection.send(b"\x10\xff\xff\xff\x7f")
        assert connection.packet(5) is None
    assert time.monotonic() - started < 3


# Monthly quotas: RL-030 to RL-032 --------------------------------------------------------------------

# quota, values of each message, how many pass, what the incident says
QUOTAS = [
    ({"maxTransportMessages": 3}, 2, 3, "3 messages a month for all devices of the tenant"),
    ({"maxTransportDataPoints": 5}, 2, 3, "5 telemetry data points a month for all devices of the tenant"),
]


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("quota, values, count, named", QUOTAS)
def test_a_tenant_that_used_up_its_month_is_refused_as_by_a_rate_limit(subject, limited, wire, version, quota, values,
                                                                       count, named):
    """RL-030, RL-031: telemetry, CONNECT and HTTP, until the quota grows."""
    tenant = limited(**quota)
    device, other = tenant.admin.new_device(), tenant.admin.new_device()
    connection = wire(version, device.token)
    assert all(passes(connection, n + 1, values) for n in range(count))
    send(connection, 99, values)
    if version == V5:
        assert connection.expect(PUBACK).code == 0x97
        assert connection.expect(DISCONNECT).code == 0x96
    assert connection.packet() is None
    event = tenant.admin.event("limit.month", device)
    assert (event["detail"], event["fault"]) == (named, "operator") and "tenant profile" in event["remedy"]
    with Wire(subject.mqtt, version) as late:
        assert late.ask(connect(version, user=other.token), CONNACK).code == (0x9F if version == V5 else 3)
    answer = requests.post(f"{subject.url}/api/v1/{other.token}/telemetry", data='{"a":1}', timeout=10)
    assert answer.status_code == 429
    # The tenant itself is told once, without anybody asking a device.
    tenant.admin.event("limit.month", device=None)
    tenant.change({name: 100 for name in quota})
    assert passes(wire(version, other.token), 1, values)


def test_what_asks_and_answers_counts_and_what_logs_in_does_not(limited, wire):
    """RL-032: subscriptions and questions count as messages; logins, pings and built-in questions do not."""
    tenant = limited(maxTransportMessages=4)
    device = tenant.admin.new_device()
    for _ in range(5):
        connection = wire(V5, device.token)
        assert connection.is_alive()
    for number in range(5):
        connection.ask(publish("v1/devices/me/rpc/request/1", '{"method":"getSessionLimits"}', 1, 9, V5), PUBACK)
        connection.send(w.packet(PUBACK << 4, connection.expect(w.PUBLISH).body[30:32]))
    connection.ask(w.subscribe(1, [("v1/devices/me/attributes", 1)], V5), SUBACK)
    assert connection.ask(publish("v1/devices/me/attributes/request/1", "{}", 1, 2, V5), PUBACK).code == 0
    connection.expect(w.PUBLISH)
    assert passes(connection, 3) and passes(connection, 4)
    send(connection, 5)
    assert connection.expect(PUBACK).code == 0x97


@pytest.mark.process
def test_a_month_goes_on_over_a_restart(own):
    """Four fifths are told; what was counted is written behind, and read again."""
    server = own().start()
    tenant = Tenant(Person.login(server.url, "sysadmin@thingsboard.org", "sysadmin"), {"maxTransportMessages": 5})
    device = tenant.admin.new_device()
    with Wire(server.mqtt, V5) as connection:
        connection.login(device.token)
        assert all(passes(connection, n + 1) for n in range(4))
    assert tenant.admin.event("limit.month_near")["detail"].startswith("4 of 5 messages")
    server.terminate()
    server.restart()
    with Wire(server.mqtt, V5) as connection:
        connection.login(device.token)
        # The first device after a start may be heard while what was counted before is read.
        said = 0
        while passes(connection, 9):
            said += 1
        assert said in (1, 2)
