"""What strangers cost on the HTTP and HTTPS ports: heads, bodies and connections have deadlines and bounds."""

import json
import socket
import ssl
import threading
import time

import pytest
import requests
import websocket

from clients import Feed
from rest import Person
from server import until

pytestmark = pytest.mark.process

HEAD = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
LOGIN = json.dumps({"username": "tenant@thingsboard.org", "password": "tenant"}).encode()


def bound(server, name):
    return server.metrics()[("thingport_bound_hits_total", f'bound="{name}"')]


def tenant(server):
    return Person.login(server.url, "tenant@thingsboard.org", "tenant")


class Strangers:
    """Open sockets, each with some bytes sent."""

    def __init__(self, server, number, first, port=None):
        self.began = time.monotonic()
        self.sockets = []
        for _ in range(number):
            stream = socket.create_connection(("127.0.0.1", port or server.http_port), timeout=30)
            stream.sendall(first)
            self.sockets.append(stream)

    def send(self, data):
        for stream in self.sockets:
            stream.sendall(data)

    def ends(self):
        """What each was answered until it was closed, and the longest time that took."""
        answers = [self.read(stream) for stream in self.sockets]
        return answers, time.monotonic() - self.began

    @staticmethod
    def read(stream):
        answer = b""
        try:
            while piece := stream.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stream in self.sockets:
            stream.close()


@pytest.fixture(scope="module")
def server():
    from server import Server
    with Server(None, "--set", "http.tls_bind=127.0.0.1:0") as one:
        yield one


@pytest.mark.parametrize("first", [b"", b"GET / HT", HEAD, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5_000])
def test_half_a_head_ends_after_ten_seconds(server, first):
    before = bound(server, "http_head_time_max")
    with Strangers(server, 50, first) as strangers:
        answers, took = strangers.ends()
    assert 9 < took < 13 and set(answers) == {b""}, (took, set(answers))
    assert bound(server, "http_head_time_max") == before + 50


def test_a_head_that_drips_ends_after_ten_seconds_too(server):
    with Strangers(server, 1, HEAD) as strangers:
        def drip():
            try:
                while True:
                    strangers.send(b"X: y\r\n")
                    time.sleep(0.5)  # the pace of the stranger
            except OSError:
                pass

        threading.Thread(target=drip, daemon=True).start()
        _, took = strangers.ends()
    assert 9 < took < 13, took


def test_a_connection_may_pause_between_requests(server):
    request = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=5) as stream:
        for _ in range(2):
            stream.sendall(request)
            assert stream.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(12)  # longer than a head may take
        stream.sendall(request[:9])
        began = time.monotonic()
        stream.settimeout(20)
        assert Strangers.read(stream) == b""
        assert 9 < time.monotonic() - began < 13, "the next head is timed again"


def test_a_head_is_bounded(server):
    with Strangers(server, 1, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000) as strangers:
        answers, took = strangers.ends()
    assert took < 5 and (answers == [b""] or answers[0].startswith(b"HTTP/1.1 431")), answers


@pytest.mark.parametrize("length", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_unfinished_bodies_of_strangers_keep_nobody_out(server, length):
    """More than requests_max; each ends with an answer after ten seconds."""
    person = tenant(server)
    first = HEAD + length + b"\r\n\r\n" + (b"1\r\n{\r\n" if b"chunked" in length else b"{")
    with Strangers(server, 1_100, first) as strangers:
        for _ in range(20):
            assert person.get("/api/auth/user").status_code == 200
            assert person.post("/api/device", "{" + " " * 100_000 + "}").status_code == 400, "read to its end"
        assert requests.post(f"{server.url}/api/auth/login", data=LOGIN, timeout=10).status_code == 200
        answers, took = strangers.ends()
    assert took < 20 and all(it.startswith(b"HTTP/1.1 408") for it in answers), (took, set(answers))
    assert bound(server, "stranger_body_time_max") >= 1_100


@pytest.mark.parametrize("path", ["/api/auth/login", "/api/noauth/activate", "/api/auth/token"])
def test_strangers_send_little(server, path):
    answer = requests.post(f"{server.url}{path}", data=b" " * 70_000, timeout=10)
    assert answer.status_code == 413
    pieces = (b" " * 10_000 for _ in range(7))
    assert requests.post(f"{server.url}{path}", data=pieces, timeout=10).status_code == 413


def test_a_device_that_does_not_finish_its_request_ends(server):
    head = b"POST /api/v1/provision HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
    with Strangers(server, 20, head) as strangers:
        answers, took = strangers.ends()
    assert 9 < took < 13 and all(it.startswith(b"HTTP/1.1 408") for it in answers), (took, answers)


def test_unfinished_requests_of_a_device_are_guests(own):
    server = own(None, "--set", "mqtt.guard_exempt=", "--set", "mqtt.guests_per_address_max=5").start()
    head = b"POST /api/v1/provision HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
    with Strangers(server, 5, head):
        def refused():
            return requests.post(f"{server.url}/api/v1/provision", json={}, timeout=5).status_code == 429

        until("the sixth is one too many", refused)


def turned_away(strangers):
    """How many were closed at once."""
    closed = 0
    for stream in strangers.sockets:
        stream.settimeout(0.05)
        try:
            closed += stream.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionResetError:
            closed += 1
    return closed


@pytest.mark.parametrize("bounds, name", [
    (["--set", "http.guard_exempt=", "--set", "http.connections_per_address_max=20"],
     "http_connections_per_address_max"),
    (["--set", "http.connections_max=20"], "http_connections_max"),
])
def test_connections_are_bounded_and_websockets_are_not_among_them(own, bounds, name):
    server = own(None, *bounds).start()
    person = tenant(server)
    feeds = [Feed(server.url, token=person.token) for _ in range(25)]
    feeds += [websocket.create_connection(server.url.replace("http", "ws") + "/mqtt", subprotocols=["mqtt"])]
    with Strangers(server, 40, b"") as strangers:
        assert 20 <= turned_away(strangers) <= 24, "a few places may be taken by requests just done"
        with pytest.raises((OSError, websocket.WebSocketException)):
            Feed(server.url, token=person.token)
        assert feeds[0].ask({"tsSubCmds": [{"cmdId": 1, "unsubscribe": True}, {"cmdId": -1}]})["errorCode"]

    def is_free():
        try:
            return requests.get(f"{server.url}/health/live", timeout=5).ok
        except requests.ConnectionError:
            return False

    until("places are free again", is_free)
    assert bound(server, name) >= 20
    for feed in feeds:
        feed.close()


def test_handshakes_that_do_not_begin_end_and_keep_nobody_out(server):
    context = ssl.create_default_context(cafile=str(server.ca))
    with Strangers(server, 200, b"\x16\x03\x01", server.https_port) as strangers:
        with socket.create_connection(("127.0.0.1", server.https_port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as stream:
                stream.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert stream.recv(65536).startswith(b"HTTP/1.1 200")
        _, took = strangers.ends()
    assert 9 < took < 13, took


def test_a_head_over_tls_is_timed_after_the_handshake(server):
    context = ssl.create_default_context(cafile=str(server.ca))
    with socket.create_connection(("127.0.0.1", server.https_port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as stream:
            stream.sendall(b"GET / HT")
            began = time.monotonic()
            try:
                assert stream.recv(100) == b""
            except (ssl.SSLError, ConnectionResetError):
                pass
            assert 9 < time.monotonic() - began < 13


def test_the_stop_waits_for_no_stranger(own):
    server = own().start()
    feed = Feed(server.url, token=tenant(server).token)
    with Strangers(server, 100, HEAD), Strangers(server, 100, b""), \
            Strangers(server, 100, HEAD + b"Content-Length: 9\r\n\r\n{"):
        status, took = server.terminate()
    assert status == 0 and took < 5, took
    feed.close()
