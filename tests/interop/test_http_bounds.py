"""What strangers cost on the HTTP and HTTPS ports: heads, bodies and connections have deadlines and bounds."""

import concurrent.futures
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
from server import Server, until

pytestmark = pytest.mark.process

ARRIVAL = 2  # `http.arrival_timeout` of the server here, in seconds
HEAD = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: a\r\n"
PROVISION = b"POST /api/v1/provision HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
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
        """What each was answered until it was closed, and how long it took until all were."""
        answers = [read(stream) for stream in self.sockets]
        return answers, time.monotonic() - self.began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stream in self.sockets:
            stream.close()


def read(stream):
    """What a socket is answered until it is closed."""
    answer = b""
    try:
        while piece := stream.recv(65536):
            answer += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return answer


@pytest.fixture(scope="module")
def server():
    with Server(None, "--set", "http.tls_bind=127.0.0.1:0", "--set", f"http.arrival_timeout={ARRIVAL}s") as one:
        yield one


# What does not arrive in time ------------------------------------------------------------------------


def half_a_head(first):
    def wait(server):
        with Strangers(server, 50, first) as strangers:
            return strangers.ends()

    return wait


def a_head_that_drips(server):
    with Strangers(server, 1, HEAD) as strangers:
        def drip():
            try:
                while True:
                    strangers.send(b"X: y\r\n")
                    time.sleep(0.3)  # the pace of the stranger
            except OSError:
                pass

        threading.Thread(target=drip, daemon=True).start()
        return strangers.ends()


def half_a_head_after_pauses(server):
    """A connection may pause between requests; the next head is timed again."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as stream:
        for _ in range(2):
            stream.sendall(LIVE + b"\r\n")
            assert stream.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(ARRIVAL + 0.5)  # longer than a head may take
        stream.sendall(LIVE[:9])
        began = time.monotonic()
        return [read(stream)], time.monotonic() - began


def half_a_head_over_tls(server):
    """Timed after the handshake."""
    with secure(server) as stream:
        stream.sendall(LIVE[:9])
        began = time.monotonic()
        return [read(stream)], time.monotonic() - began


def half_a_handshake(server):
    """Keeps nobody out."""
    with Strangers(server, 200, b"\x16\x03\x01", server.https_port) as strangers:
        with secure(server) as stream:
            stream.sendall(LIVE + b"Connection: close\r\n\r\n")
            assert stream.recv(65536).startswith(b"HTTP/1.1 200")
        return strangers.ends()


def secure(server):
    context = ssl.create_default_context(cafile=str(server.ca))
    plain = socket.create_connection(("127.0.0.1", server.https_port), timeout=30)
    return context.wrap_socket(plain, server_hostname="localhost")


def half_a_body_of_a_device(server):
    with Strangers(server, 20, PROVISION) as strangers:
        return strangers.ends()


def no_word_on_a_websocket(server):
    began = time.monotonic()
    with Feed(server.url, "/api/ws") as feed:
        return [feed.next(30)], time.monotonic() - began


CLOSED, LATE, UNAUTHORIZED = b"", b"HTTP/1.1 408", ("close", 1008)
# How each begins, and how it ends.
LATECOMERS = {
    "nothing": (half_a_head(b""), CLOSED),
    "a part of a line": (half_a_head(b"GET / HT"), CLOSED),
    "a head without an end": (half_a_head(HEAD), CLOSED),
    "a long header": (half_a_head(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5_000), CLOSED),
    "drips": (a_head_that_drips, CLOSED),
    "after pauses": (half_a_head_after_pauses, CLOSED),
    "over TLS": (half_a_head_over_tls, CLOSED),
    "a handshake": (half_a_handshake, CLOSED),
    "the body of a device": (half_a_body_of_a_device, LATE),
    "a WebSocket that does not sign in": (no_word_on_a_websocket, UNAUTHORIZED),
}


def test_what_arrives_late_is_ended(server):
    """All side by side. Not before its time, and soon after it: without a deadline it would be 30 s at least."""
    before = bound(server, "http_head_time_max")
    with concurrent.futures.ThreadPoolExecutor(len(LATECOMERS)) as pool:
        begun = {late: pool.submit(wait, server) for late, (wait, _) in LATECOMERS.items()}
    wrong = {}
    for late, (_, expected) in LATECOMERS.items():
        answers, took = begun[late].result()
        begins = {it[:len(expected)] for it in answers}
        if begins != {expected} or not 0.9 * ARRIVAL < took < ARRIVAL + 8:
            wrong[late] = (took, set(answers))
    assert not wrong, wrong
    # Four times 50, the one that drips, the one after pauses and the one over TLS.
    assert bound(server, "http_head_time_max") == before + 203


def test_a_head_is_bounded(server):
    with Strangers(server, 1, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000) as strangers:
        answers, _ = strangers.ends()
    assert answers == [b""] or answers[0].startswith(b"HTTP/1.1 431"), answers


def test_unfinished_bodies_of_strangers_keep_nobody_out(server):
    """More than requests_max, announced and in chunks; each ends with an answer."""
    person, before = tenant(server), bound(server, "stranger_body_time_max")
    announced, chunked = b"Content-Length: 1000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
    with Strangers(server, 550, HEAD + announced) as some, Strangers(server, 550, HEAD + chunked) as others:
        for _ in range(20):
            assert person.get("/api/auth/user").status_code == 200
            assert person.post("/api/device", "{" + " " * 100_000 + "}").status_code == 400, "read to its end"
        assert requests.post(f"{server.url}/api/auth/login", data=LOGIN, timeout=10).status_code == 200
        for strangers in (some, others):
            answers, _ = strangers.ends()
            assert all(it.startswith(LATE) for it in answers), set(answers)
    assert bound(server, "stranger_body_time_max") >= before + 1_100


@pytest.mark.parametrize("path", ["/api/auth/login", "/api/noauth/activate", "/api/auth/token"])
def test_strangers_send_little(server, path):
    answer = requests.post(f"{server.url}{path}", data=b" " * 70_000, timeout=10)
    assert answer.status_code == 413
    pieces = (b" " * 10_000 for _ in range(7))
    assert requests.post(f"{server.url}{path}", data=pieces, timeout=10).status_code == 413


def test_unfinished_requests_of_a_device_are_guests(own):
    server = own(None, "--set", "mqtt.guard_exempt=", "--set", "mqtt.guests_per_address_max=5").start()
    with Strangers(server, 5, PROVISION):
        def refused():
            return requests.post(f"{server.url}/api/v1/provision", json={}, timeout=5).status_code == 429

        until("the sixth is one too many", refused)


# How many there may be ---------------------------------------------------------------------------------


def is_closed(stream):
    """Whether the other side closed it by now."""
    stream.setblocking(False)
    try:
        return stream.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("bounds, name", [
    (["--set", "http.guard_exempt=", "--set", "http.connections_per_address_max=20"],
     "http_connections_per_address_max"),
    (["--set", "http.connections_max=20"], "http_connections_max"),
])
def test_connections_are_bounded_and_websockets_are_not_among_them(own, bounds, name):
    server = own(None, *bounds).start()
    person = tenant(server)
    feeds = [until("a place for a WebSocket", lambda: feed_of(server, person)) for _ in range(25)]
    feeds += [websocket.create_connection(server.url.replace("http", "ws") + "/mqtt", subprotocols=["mqtt"])]

    def is_free():
        try:
            return requests.get(f"{server.url}/health/live", timeout=5).ok
        except requests.ConnectionError:
            return False

    def fills_up():
        """Twenty of forty find a place, but for some that requests just done may still have."""
        until("places are free again", is_free)
        with Strangers(server, 40, b"") as strangers:
            until("some are turned away", lambda: sum(map(is_closed, strangers.sockets)) >= 20)
            with pytest.raises((OSError, websocket.WebSocketException)):
                Feed(server.url, token=person.token)
            assert feeds[0].ask({"tsSubCmds": [{"cmdId": 1, "unsubscribe": True}, {"cmdId": -1}]})["errorCode"]
            return sum(map(is_closed, strangers.sockets)) <= 24

    until("the others find a place", fills_up, 30)
    until("places are free again", is_free)
    assert bound(server, name) >= 20
    for feed in feeds:
        feed.close()


def feed_of(server, person):
    """A WebSocket; none while those before it still have their places as requests."""
    try:
        return Feed(server.url, token=person.token)
    except (OSError, websocket.WebSocketException):
        return None


# PROXY protocol ------------------------------------------------------------------------------------------

PROXY_1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n"
PROXY_2 = bytes.fromhex("0d0a0d0a000d0a515549540a21110010c0000208c63364011268005000000000")
LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a20000000")


@pytest.fixture(scope="module")
def proxied():
    believed = ["--set", "http.proxy_protocol=true", "--set", "http.proxies=127.0.0.1"]
    tls = ["--set", "http.tls_bind=127.0.0.1:0", "--set", "http.arrival_timeout=2s"]
    one = Server(None, *believed, *tls, "--set", "http.connections_per_address_max=3")
    # Its own questions come through a proxy too.
    one.is_ready = lambda: through_proxy(one, LOCAL, b"GET /health/ready HTTP/1.1").startswith(b"HTTP/1.1 200")
    with one:
        yield one


def through_proxy(server, header, line, body=b"", secure=False):
    """What a request is answered on a connection that begins with this header."""
    request = line + b"\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n" % len(body) + body
    port = server.https_port if secure else server.http_port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as stream:
        stream.sendall(header)
        if secure:
            context = ssl.create_default_context(cafile=str(server.ca))
            with context.wrap_socket(stream, server_hostname="localhost") as inner:
                inner.sendall(request)
                return read(inner)
        stream.sendall(request)
        return read(stream)


def body_of(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("header, remote", [(PROXY_1, "192.0.2.7:4711"), (PROXY_2, "192.0.2.8:4712"),
                                            (LOCAL, "127.0.0.1:")])
def test_who_is_behind_a_proxy(proxied, header, remote, secure):
    """The address of a device that is refused is the one in the header."""
    answer = through_proxy(proxied, header, b"POST /api/v1/nobody/telemetry HTTP/1.1", b'{"a":1}', secure)
    assert answer.startswith(b"HTTP/1.1 401"), answer
    assert any(it.startswith(remote) for it in remotes(proxied, "login.unknown")), remote


def remotes(server, reason):
    """Where the newest refusals with a reason came from."""
    login = json.dumps({"username": "sysadmin@thingsboard.org", "password": "sysadmin"}).encode()
    token = body_of(through_proxy(server, LOCAL, b"POST /api/auth/login HTTP/1.1", login))["token"].encode()
    line = b"GET /api/thingport/events HTTP/1.1\r\nX-Authorization: Bearer " + token
    return [it["remote"] for it in body_of(through_proxy(server, LOCAL, line)) if it["reason"] == reason]


@pytest.mark.parametrize("first", [b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 1.2.3.4 5\r\n",
                                   b"PROXY TC", b""])
def test_a_connection_without_a_header_is_closed(proxied, first):
    with socket.create_connection(("127.0.0.1", proxied.http_port), timeout=30) as stream:
        stream.sendall(first)
        assert read(stream) == b""
    until("it is told", lambda: remotes(proxied, "connect.proxy_header"))


def test_places_are_counted_for_the_client_and_not_for_its_proxy(proxied):
    mine = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 80\r\n"
    with Strangers(proxied, 5, mine) as strangers:
        until("two of five are turned away", lambda: sum(map(is_closed, strangers.sockets)) == 2)
        assert through_proxy(proxied, PROXY_1, b"GET /health/live HTTP/1.1").startswith(b"HTTP/1.1 200")


def test_only_listed_proxies_are_believed(own):
    server = own(None, "--set", "http.proxy_protocol=true", "--set", "http.proxies=192.0.2.0/24")
    server.is_ready = lambda: True
    server.start()
    with pytest.raises((ConnectionError, OSError)):
        assert through_proxy(server, PROXY_1, b"GET /health/live HTTP/1.1") == b""
        raise ConnectionError
    unlisted = own(None, "--set", "http.proxy_protocol=true")
    unlisted.spawn()
    assert unlisted.process.wait(30) != 0 and "http.proxies" in unlisted.err()


def test_the_stop_waits_for_no_stranger(own):
    server = own().start()
    feed = Feed(server.url, token=tenant(server).token)
    with Strangers(server, 100, HEAD), Strangers(server, 100, b""), \
            Strangers(server, 100, HEAD + b"Content-Length: 9\r\n\r\n{"):
        status, took = server.terminate()
    assert status == 0 and took < 5, took
    feed.close()
