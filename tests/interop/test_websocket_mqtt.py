"""MQTT over WebSocket: a browser can be a device (issue 3, item 7; section 6 of the MQTT standards)."""

import json
import ssl
import time

import paho.mqtt.client as paho
import pytest
import websocket

import wire as w
from rest import Person, fresh
from server import until
from wire import CONNACK, DISCONNECT, PUBACK, V5, V311, Packet, connect, publish

BINARY, CLOSE, PONG = websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CLOSE, websocket.ABNF.OPCODE_PONG


class Socket:
    """MQTT packets in binary messages, cut as the test likes."""

    def __init__(self, url, version=V311, protocols=("mqtt",), **options):
        url = f"{url.replace('http', 'ws', 1)}/mqtt"
        self.socket = websocket.create_connection(url, timeout=10, subprotocols=list(protocols), **options)
        self.version = version
        self.unread = b""

    def send(self, data, pieces=None):
        for piece in pieces or [data]:
            self.socket.send_binary(piece)

    def next(self):
        """The next packet, or ("close", code), or ("pong", data)."""
        while True:
            size = self.size()
            if size and len(self.unread) >= size:
                raw, self.unread = self.unread[:size], self.unread[size:]
                return Packet(raw, self.version)
            opcode, data = self.socket.recv_data(control_frame=True)
            if opcode == CLOSE:
                return ("close", int.from_bytes(data[:2], "big"))
            if opcode == PONG:
                return ("pong", data)
            assert opcode == BINARY, f"opcode {opcode}"
            self.unread += data

    def size(self):
        for at in range(1, min(5, len(self.unread))):
            if not self.unread[at] & 0x80:
                return w.read_var(self.unread, 1)[0] + at + 1
        return None

    def login(self, token):
        self.send(connect(self.version, "browser", token))
        answer = self.next()
        assert answer.kind == CONNACK and answer.code == 0, answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close(timeout=1)


@pytest.fixture
def browser(subject):
    opened = []

    def open_one(version=V311, token=None, **options):
        opened.append(Socket(subject.url, version, **options))
        if token:
            opened[-1].login(token)
        return opened[-1]

    yield open_one
    for one in opened:
        one.__exit__()


@pytest.mark.parametrize("protocol", [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5])
def test_paho_over_websocket_is_a_device(subject, device, protocol):
    options = {} if protocol == paho.MQTTv5 else {"clean_session": True}
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, fresh("ws"), protocol=protocol, transport="websockets",
                         reconnect_on_failure=False, **options)
    client.ws_set_options(path="/mqtt")
    client.username_pw_set(device.token)
    client.connect("127.0.0.1", int(subject.url.rsplit(":", 1)[1]))
    client.loop_start()
    try:
        sent = client.publish("v2/t", json.dumps({"from": "browser", "long": "x" * 20_000}), 1)
        sent.wait_for_publish(10)
        assert sent.is_published()
        assert device.value("from") == "browser" and len(device.value("long")) == 20_000
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("offered, chosen", [
    (["mqtt"], "mqtt"), (["mqttv3.1"], "mqttv3.1"), (["chat", "mqttv3.1", "mqtt"], "mqtt"), ([], None),
])
def test_the_sub_protocol_is_chosen(browser, offered, chosen):
    assert browser(protocols=offered).socket.getsubprotocol() == chosen


@pytest.mark.parametrize("version", [V311, V5])
def test_packets_may_be_cut_and_joined_anyhow(browser, device, version):
    connection = browser(version)
    login = connect(version, "a", device.token)
    packets = b"".join(publish("v2/t", f'{{"n":{n}}}', 1, n, version) for n in range(1, 6))
    connection.send(None, [login[n:n + 1] for n in range(len(login))])
    assert connection.next().code == 0
    connection.send(packets[:7] + b"")
    connection.send(b"")
    connection.send(packets[7:])
    assert [connection.next().packet_id for _ in range(5)] == [1, 2, 3, 4, 5]
    assert device.value("n") == "5"


def test_text_is_refused_with_its_code_and_a_reason(browser, sysadmin):
    connection = browser()
    connection.socket.send("hello")
    assert connection.next() == ("close", 1003)
    assert sysadmin.event("packet.text_message")["fault"] == "device"


def test_a_message_that_is_too_large_is_refused(browser, device, sysadmin):
    connection = browser(V5, device.token)
    connection.send(b"\x30" + b"x" * 70_000)
    try:
        assert connection.next() == ("close", 1009)
    except (websocket.WebSocketException, ConnectionError):
        pass  # what was not read of the message may overtake the code
    until("the incident", lambda: [it for it in sysadmin.events()
                                   if it["reason"] == "packet.too_large" and "70001" in it["detail"]], 15)


def test_pings_of_the_websocket_are_answered(browser, device):
    connection = browser(V311, device.token)
    connection.socket.ping(b"are you there")
    assert connection.next() == ("pong", b"are you there")
    connection.send(w.PING)
    assert connection.next().kind == w.PINGRESP


def test_endings_are_told_in_both_protocols(browser, device):
    """MQTT says why, WebSocket closes normally."""
    leaves = browser(V5, device.token)
    leaves.send(w.disconnect(V5))
    assert leaves.next() == ("close", 1000)
    refused = browser(V5)
    refused.send(connect(V5, "a", fresh("nobody")))
    answer = refused.next()
    assert (answer.kind, answer.code) == (CONNACK, 0x86)
    assert refused.next() == ("close", 1000)
    older = browser(V5, device.token)
    newer = browser(V5, device.token)
    answer = older.next()
    assert (answer.kind, answer.code) == (DISCONNECT, 0x8E)
    assert older.next() == ("close", 1000)
    newer.send(w.PING)
    assert newer.next().kind == w.PINGRESP


def test_a_browser_and_a_socket_are_one_device(browser, wire, device):
    """C-17 across transports."""
    over_tcp = wire(V5, device.token)
    browser(V5, device.token)
    assert over_tcp.outcome() == "DISCONNECT 0x8e close"


def test_a_plain_request_is_no_websocket(subject, nobody):
    assert nobody.get("/mqtt").status_code in (400, 426)


@pytest.mark.process
def test_bounds_guards_and_drain_hold_here_too(own):
    server = own(None, "--set", "mqtt.guard_exempt=", "--set", "mqtt.guests_per_address_max=1",
                 "--set", "mqtt.connect_timeout=1s").start()
    with Socket(server.url, V5) as silent:
        until("it is counted", lambda: server.metrics()[("thingport_mqtt_connections", "")] == 1)
        with Socket(server.url) as second, pytest.raises((websocket.WebSocketException, OSError)):
            # Turned away after the upgrade: no byte of MQTT is read.
            second.send(connect(V311, "a", "A1_TEST_TOKEN"))
            answer = second.next()
            assert answer is None, answer
        started = time.monotonic()
        assert silent.next() == ("close", 1000), "connect_timeout"
        assert time.monotonic() - started < 4
    until("its place is free", lambda: server.metrics()[("thingport_mqtt_connections", "")] == 0)
    with Socket(server.url, V5) as stays:
        stays.login("A1_TEST_TOKEN")
        status, took = server.terminate()
        answer = stays.next()
        assert (answer.kind, answer.code) == (DISCONNECT, 0x8B)
    assert status == 0 and took < 5


@pytest.mark.process
def test_over_https_the_device_is_as_secure_as_its_browser(own):
    server = own(None, "--set", "http.tls_bind=127.0.0.1:0").start()
    url = f"https://localhost:{server.https_port}"
    context = ssl.create_default_context(cafile=str(server.ca))
    with Socket(url, V5, sslopt={"context": context}) as connection:
        connection.login("A1_TEST_TOKEN")
        connection.send(publish("v2/t", '{"over":"wss"}', 1, 1, V5))
        assert connection.next().kind == PUBACK
    sysadmin = Person.login(server.url, "sysadmin@thingsboard.org", "sysadmin")
    with Socket(url, V5, sslopt={"context": context}) as connection:
        connection.send(connect(V5, "a", fresh("nobody")))
        assert connection.next().code == 0x86
    attempt = sysadmin.event("login.unknown")["attempt"]
    assert attempt and "TLS" in json.dumps(attempt), attempt
