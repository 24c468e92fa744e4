"""Client calls that others answer: webhooks and applications (device API 6.6), over MQTT and HTTP."""

import hashlib
import hmac
import json
import ssl
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import paho.mqtt.client as paho
import pytest
import requests

from clients import Feed, Paho
from rest import Person, fresh, new_user
from server import Server, until

PROTOCOLS = [paho.MQTTv311, paho.MQTTv5]
SECRET = "0123456789abcdef0123456789abcdef"
V1 = ("v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A CA of our own, and a context of a server that it certified for localhost."""
    home = tmp_path_factory.mktemp("ca")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True, timeout=30)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Hook CA", "-days", "30")
    openssl("req", *key, "-keyout", "hook.key", "-out", "hook.csr", "-subj", "/CN=localhost")
    (home / "ext").write_text("subjectAltName=DNS:localhost")
    openssl("x509", "-req", "-in", "hook.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "ext", "-out", "hook.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "hook.pem", home / "hook.key")
    return home / "ca.pem", context


@pytest.fixture(scope="module")
def house(authority):
    """A server that may call this machine, and trusts that CA."""
    settings = ["outbound.allow=127.0.0.0/8, ::1", f"outbound.ca_file={authority[0]}", "outbound.requests_max=2"]
    with Server(None, *[part for it in settings for part in ("--set", it)]) as server:
        yield server
        assert "panicked" not in server.err(), server.err()[-3000:]
        assert SECRET not in server.err() + server.out()


@pytest.fixture(scope="module")
def admin(house):
    return Person.login(house.url, "tenant@thingsboard.org", "tenant")


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as threads:
        yield threads


@pytest.fixture
def connect(house):
    """Makes devices that are connected, and closes them with the test."""
    made = []

    def one(device, protocol=paho.MQTTv5):
        made.append(Paho(house.mqtt, protocol, device.token))
        made[-1].connect()
        return made[-1]

    yield one
    for client in made:
        client.close()


class Receiver:
    """A real receiver of webhooks. `say(receiver, body)` gives status and body, or does what it likes."""

    def __init__(self, say, context=None):
        receiver = self
        self.say, self.context, self.got, self.at_once, self.most = say, context, [], 0, 0
        self.lock, self.gate = threading.Lock(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.lock:
                    receiver.got.append((self.path, {name.lower(): it for name, it in self.headers.items()}, body))
                    receiver.at_once += 1
                    receiver.most = max(receiver.most, receiver.at_once)
                try:
                    status, headers, answer = receiver.say(receiver, json.loads(body))
                finally:
                    with receiver.lock:
                        receiver.at_once -= 1
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                try:
                    self.wfile.write(answer)
                except OSError:
                    pass  # whoever asked does not want so much

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        scheme = "https" if self.context else "http"
        return f"{scheme}://localhost:{self.server.server_address[1]}/hook?for=devices"

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = []

    def one(say, context=None):
        made.append(Receiver(say, context))
        return made[-1]

    yield one
    for it in made:
        it.close()


def echo(_, body):
    return 200, {}, json.dumps({"you": body["method"], "asked": body["params"]}).encode()


def profile_with(admin, client_rpc):
    profile = admin.new_profile("DEFAULT", profileData={
        "configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"},
        "thingport": {"clientRpc": client_rpc},
    })
    return profile


def device_with(admin, client_rpc):
    profile = profile_with(admin, client_rpc)
    return admin.new_device(deviceProfileId=profile["id"])


def hooked(admin, url, **members):
    return device_with(admin, {"type": "WEBHOOK", "url": url} | members)


def ask(client, method, params=None, number=1):
    return client.ask(f"{V1[0]}{number}", {"method": method, "params": params})


def by_http(house, device, method, params=None, timeout=60):
    return requests.post(f"{house.url}/api/v1/{device.token}/rpc", json={"method": method, "params": params},
                         timeout=timeout)


# The profile.


def test_a_profile_keeps_who_answers_and_shows_the_secret_to_nobody(admin):
    sent = {"type": "WEBHOOK", "url": "https://hooks.example.com/in", "secret": SECRET}
    shown = {"type": "WEBHOOK", "url": "https://hooks.example.com/in", "secretSet": True, "timeoutMs": 5000,
             "retries": 1}
    profile = profile_with(admin, sent)
    assert profile["profileData"]["thingport"] == {"clientRpc": shown}

    def save(**data):
        profile["profileData"] = profile["profileData"] | data
        profile.pop("version", None)
        return admin.ok("POST", "/api/deviceProfile", profile)["profileData"].get("thingport")

    # What was shown may be sent back, and clients made for ThingsBoard leave it out.
    assert save() == {"clientRpc": shown}
    profile["profileData"].pop("thingport")
    assert save() == {"clientRpc": shown}
    assert save(thingport={"clientRpc": sent | {"secret": None}}) == {"clientRpc": shown | {"secretSet": False}}
    assert save(thingport={"clientRpc": {"type": "APP"}}) == {"clientRpc": {"type": "APP"}}
    assert save(thingport={"clientRpc": None}) is None
    read = admin.ok("GET", f"/api/deviceProfile/{profile['id']['id']}")
    assert "thingport" not in read["profileData"], "G-21: absent when it says nothing"


@pytest.mark.parametrize("client_rpc, sentence", [
    ({"type": "webhook", "url": "http://a"}, "WEBHOOK or APP"),
    ({"type": "WEBHOOK"}, "the url of clientRpc is empty"),
    ({"type": "WEBHOOK", "url": "ftp://a"}, "must begin with http:// or https://"),
    ({"type": "WEBHOOK", "url": "http://user:word@a"}, "a user or a password"),
    ({"type": "WEBHOOK", "url": "http://a", "secret": "short"}, "16 to 256 bytes"),
    ({"type": "WEBHOOK", "url": "http://a", "timeoutMs": 0}, "timeoutMs of clientRpc is 100 to 55000"),
    ({"type": "WEBHOOK", "url": "http://a", "retries": 6}, "retries of clientRpc is 0 to 5"),
    ({"type": "WEBHOOK", "url": "http://a", "uri": "x"}, "unknown field `uri`"),
])
def test_what_cannot_work_is_refused_when_it_is_saved(admin, client_rpc, sentence):
    body = {"name": fresh("profile"), "transportType": "DEFAULT",
            "profileData": {"transportConfiguration": {"type": "DEFAULT"}, "thingport": {"clientRpc": client_rpc}}}
    answer = admin.post("/api/deviceProfile", body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 31)
    assert sentence in answer.json()["message"]
    assert "word" not in answer.json()["message"].replace("password", "")


# Webhooks.


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("family", [V1, ("v2/r/req/", "v2/r/res/"), ("v2/r/req/j/", "v2/r/res/j/")])
def test_a_device_gets_what_its_webhook_answers(admin, connect, receiver, protocol, family):
    """CR-001, CR-003, CR-005, CR-010."""
    it = receiver(lambda *_: (200, {}, b' {"time": 1.50}\n'))
    device = hooked(admin, it.url)
    client = connect(device, protocol)
    client.publish(f"{family[0]}7", {"method": "getTime", "params": {"zone": "UTC"}})
    topic, payload, _ = client.wait("message")
    assert (topic, payload) == (f"{family[1]}7", b'{"time": 1.50}'), "as it was written"
    path, headers, body = it.got[0]
    body = json.loads(body)
    assert path == "/hook?for=devices"
    assert headers["content-type"] == "application/json"
    assert "x-thingport-signature" not in headers
    assert (body["method"], body["params"], body["deviceId"]) == ("getTime", {"zone": "UTC"}, device.id)
    assert body["deviceProfileId"] == device.body["deviceProfileId"]["id"]
    assert body["tenantId"] == device.body["tenantId"]["id"]
    assert body["customerId"] is None
    assert abs(body["ts"] - time.time() * 1000) < 60_000


def test_over_https_and_signed(house, admin, connect, receiver, authority):
    """The signature is checked as docs/operations.md tells receivers to."""

    def checked(it, body):
        _, headers, raw = it.got[-1]
        members = dict(member.split("=", 1) for member in headers["x-thingport-signature"].split(","))
        signed = members["t"].encode() + b"." + raw
        due = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        is_due = hmac.compare_digest(due, members["v1"]) and abs(time.time() - int(members["t"])) < 300
        return 200, {}, json.dumps({"signed": is_due}).encode()

    it = receiver(checked, authority[1])
    device = hooked(admin, it.url, secret=SECRET)
    assert ask(connect(device), "m") == (f"{V1[1]}1", {"signed": True})
    assert by_http(house, device, "m").json() == {"signed": True}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_goes_wrong_with_a_webhook_is_told(house, admin, connect, receiver, authority, protocol):
    """Each failure has its reason; the device gets a sentence, the incident says more, and nobody the secret."""

    def hang(it, _):
        it.gate.wait(30)
        return None, {}, b""

    def moved(it, _):
        return 307, {"Location": it.url + "&again"}, b""

    no_retry = {"retries": 0, "timeoutMs": 20_000}
    rows = [
        (lambda *_: (500, {}, b"oops"), no_retry, "webhook.status", "status 500"),
        (lambda *_: (404, {}, b""), {}, "webhook.status", "status 404"),
        (moved, {}, "webhook.status", "status 307"),
        (lambda *_: (200, {}, b"not json"), {}, "webhook.answer", "not JSON"),
        (lambda *_: (204, {}, b""), {}, "webhook.answer", "not JSON"),
        (lambda *_: (200, {}, b'"' + b"x" * 65_536 + b'"'), {}, "webhook.answer", "too long"),
        (lambda *_: (None, {}, b""), no_retry, "webhook.unreachable", "no whole answer"),
        (hang, {"retries": 0, "timeoutMs": 200}, "webhook.timeout", "no answer in time"),
    ]
    for say, members, reason, detail in rows:
        it = receiver(say)
        device = hooked(admin, it.url, secret=SECRET, **members)
        _, answer = ask(connect(device, protocol), "m")
        assert answer.keys() == {"error"}, reason
        incident = admin.event(reason, device)
        assert detail in incident["detail"] and "method m" in incident["detail"]
        assert answer["error"] == ("timeout" if reason == "webhook.timeout" else incident["sentence"])
        assert "hook?" not in str(incident) and SECRET not in str(incident)
        assert len(it.got) == 1, f"{reason}: no redirection is followed"
    gone = receiver(echo)
    url = gone.url
    gone.close()
    rows = [
        (url, "webhook.unreachable"),
        ("http://nobody.invalid/", "webhook.unreachable"),
        ("http://169.254.169.254/latest", "webhook.not_allowed"),
        ("http://0.0.0.0/", "webhook.not_allowed"),
        # Certified for localhost.
        (receiver(echo, authority[1]).url.replace("localhost", "127.0.0.1"), "webhook.untrusted"),
        # No TLS at all.
        (receiver(echo).url.replace("http:", "https:"), "webhook.un"),
    ]
    for url, reason in rows:
        device = hooked(admin, url, **no_retry)
        assert by_http(house, device, "m").json()["error"] == admin.event(reason, device)["sentence"]


def test_a_webhook_that_comes_back_is_asked_again(admin, connect, receiver):
    def second_time(it, body):
        return (503, {}, b"") if len(it.got) < 2 else echo(it, body)

    it = receiver(second_time)
    device = hooked(admin, it.url, retries=2, secret=SECRET)
    assert ask(connect(device), "m", 1)[1] == {"you": "m", "asked": 1}
    deliveries = {headers["x-thingport-delivery"] for _, headers, _ in it.got}
    assert len(it.got) == 2 and len(deliveries) == 1


def test_few_requests_of_a_profile_are_under_way_at_once(house, admin, receiver, pool):
    """outbound.requests_max is 2 here; the others wait, and another profile does not."""

    def slow(it, body):
        it.gate.wait(30)
        return echo(it, body)

    it = receiver(slow)
    device, other = hooked(admin, it.url, timeoutMs=30_000), hooked(admin, receiver(echo).url)
    more = admin.new_device(deviceProfileId=device.body["deviceProfileId"])
    answers = [pool.submit(by_http, house, one, "m", n) for n, one in enumerate([device] * 3 + [more] * 3)]
    until("two are under way", lambda: it.at_once == 2)
    until("the others wait",
          lambda: house.metrics()[("thingport_bound_hits_total", 'bound="webhook_requests_per_lane_max"')] > 0)
    assert by_http(house, other, "m", 9).json() == {"you": "m", "asked": 9}
    it.gate.set()
    assert sorted(answer.result().json()["asked"] for answer in answers) == list(range(6))
    assert it.most == 2


def test_a_house_without_leave_calls_nobody_near(subject, tenant, receiver):
    """The default: the machine itself is out of reach, whatever its name."""
    it = receiver(echo)
    for host in ("localhost", "127.0.0.1", "[::1]"):
        device = hooked(tenant, it.url.replace("localhost", host))
        assert "may not be called" in by_http(subject, device, "m").json()["error"]
        tenant.event("webhook.not_allowed", device)
    assert not it.got


# Applications.


class Application:
    """An application over REST."""

    def __init__(self, person):
        self.person = Person(person.url, person.token)

    def take(self, **members):
        return self.person.ok("POST", "/api/thingport/client-rpc/take", {"timeoutMs": 15_000} | members)["requests"]

    def answer(self, request, answer, member="answer"):
        return self.person.post(f"/api/thingport/client-rpc/{request['id']}", {member: answer})


@pytest.fixture
def tenancy(house):
    """A tenant of its own, so that no other application takes its requests; its administrator."""
    sysadmin = Person.login(house.url, "sysadmin@thingsboard.org", "sysadmin")
    tenant = sysadmin.ok("POST", "/api/tenant", {"title": fresh("tenant")})
    account = {"email": f"{fresh('admin')}@example.org", "authority": "TENANT_ADMIN", "tenantId": tenant["id"]}
    return new_user(sysadmin, account)[0]


def app_device(person):
    return device_with(person, {"type": "APP"})


@pytest.fixture
def listen(house):
    """Opens WebSockets of applications, which take requests from then on."""
    opened = []

    def one(person, query="", by_query=True, is_let_in=True):
        path = f"/api/thingport/client-rpc{query}"
        token = f"{'&' if query else '?'}token={person.token}" if by_query else ""
        app = Feed(house.url, path + token)
        opened.append(app)
        if not by_query:
            app.send({"authCmd": {"cmdId": 0, "token": person.token}})
        if is_let_in:
            # It is answered as soon as it takes requests.
            assert "not understood" in app.ask("hello?")["refused"]["message"]
        return app

    yield one
    for it in opened:
        it.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_application_answers_over_rest(tenancy, connect, pool, protocol):
    device = app_device(tenancy)
    client = connect(device, protocol)
    app = Application(tenancy)
    assert app.take(timeoutMs=0) == [], "from now on it is expected back"
    asking = pool.submit(ask, client, "unlock", {"door": 3}, 5)
    request = app.take()[0]
    assert (request["method"], request["params"], request["deviceId"]) == ("unlock", {"door": 3}, device.id)
    assert request["deviceProfileId"] == device.body["deviceProfileId"]["id"]
    assert app.answer(request, {"open": True}).status_code == 200
    assert asking.result() == (f"{V1[1]}5", {"open": True})
    assert app.answer(request, {"open": False}).status_code == 404, "the first answer counts"
    asking = pool.submit(ask, client, "unlock", None, 6)
    assert app.answer(app.take()[0], "no such door", "error").status_code == 200
    assert asking.result() == (f"{V1[1]}6", {"error": "no such door"})


def test_a_device_is_told_at_once_that_no_application_is_there(house, tenancy, connect):
    device = app_device(tenancy)
    started = time.monotonic()
    _, answer = ask(connect(device), "m")
    assert "no application takes requests" in answer["error"]
    assert "no application takes requests" in by_http(house, device, "m").json()["error"]
    assert time.monotonic() - started < 10
    assert tenancy.event("rpc.no_application", device)["detail"] == "method m"


def test_applications_share_the_work_over_websocket_and_rest(house, tenancy, connect, listen, pool):
    devices = [app_device(tenancy)]
    devices += [tenancy.new_device(deviceProfileId=devices[0].body["deviceProfileId"]) for _ in range(3)]
    first, second = listen(tenancy, "?max=2"), listen(tenancy, by_query=False)
    asking = [pool.submit(by_http, house, device, "m", n) for n, device in enumerate(devices)]
    got = {app: [app.next()["request"] for _ in range(2)] for app in (first, second)}
    assert sorted(request["params"] for taken in got.values() for request in taken) == [0, 1, 2, 3]
    for app, taken in got.items():
        for request in taken:
            app.send({"id": request["id"], "answer": [request["params"]]})
    assert [answer.result().json() for answer in asking] == [[0], [1], [2], [3]]
    # What is not understood is said so, and ends nothing.
    for message, word in [("nonsense", "not understood"), ({"id": request["id"]}, "either answer or error"),
                          ({"id": request["id"], "answer": 1}, "request")]:
        first.send(message)
        assert word in first.next()["refused"]["message"]
    rest = Application(tenancy)
    asking = [pool.submit(by_http, house, devices[0], "m", n) for n in range(2)]
    for app in (first, second):
        request = app.next()["request"]
        assert rest.answer(request, request["params"]).status_code == 200, "whoever answers"
    assert [answer.result().json() for answer in asking] == [0, 1]


def test_a_request_is_given_again_when_its_application_hangs_up_or_is_too_slow(house, tenancy, listen, pool):
    device = app_device(tenancy)
    first = listen(tenancy)
    asking = pool.submit(by_http, house, device, "m")
    request = first.next()["request"]
    second = listen(tenancy, "?leaseMs=200")
    first.close()
    assert second.next()["request"] == request, "the first one hung up"
    app = Application(tenancy)
    assert app.take(leaseMs=60_000) == [request], "the second one let its lease lapse"
    second.send({"id": request["id"], "answer": "late, and in time for the device"})
    assert asking.result().json() == "late, and in time for the device"
    assert app.answer(request, "too late").status_code == 404


def test_an_application_may_take_requests_of_one_profile(house, tenancy, listen, pool):
    ours, others = app_device(tenancy), app_device(tenancy)
    app = listen(tenancy, f"?deviceProfileId={ours.body['deviceProfileId']['id']}")
    assert "no application takes requests" in by_http(house, others, "m").json()["error"]
    asking = pool.submit(by_http, house, ours, "m")
    app.send({"id": app.next()["request"]["id"], "answer": 1})
    assert asking.result().json() == 1


def test_a_request_ends_with_its_device(house, tenancy, connect, listen):
    device = app_device(tenancy)
    app = listen(tenancy)
    with pytest.raises(requests.Timeout):
        by_http(house, device, "m", timeout=0.5)
    request = app.next()["request"]
    rest = Application(tenancy)
    until("nobody waits for it", lambda: rest.answer(request, 1).status_code == 404)


def test_applications_of_others_neither_see_nor_answer(house, admin, tenancy, listen, pool):
    """R4: another tenant's request does not exist; only tenant administrators speak for a tenant."""
    device = app_device(tenancy)
    app, stranger = listen(tenancy), Application(admin)
    asking = pool.submit(by_http, house, device, "m")
    request = app.next()["request"]
    assert stranger.take(timeoutMs=0) == []
    assert stranger.answer(request, "mine").status_code == 404
    customer = tenancy.ok("POST", "/api/customer", {"title": fresh("customer")})
    account = {"email": f"{fresh('user')}@example.org", "authority": "CUSTOMER_USER", "customerId": customer["id"]}
    user = new_user(tenancy, account)[0]
    assert user.post("/api/thingport/client-rpc/take", {"timeoutMs": 0}).status_code == 403
    assert Application(user).answer(request, "mine").status_code == 403
    assert listen(user, is_let_in=False).next() == ("close", 1008)
    assert listen(Person(house.url, "stray"), is_let_in=False).next() == ("close", 1011)
    app.send({"id": request["id"], "answer": "ours"})
    assert asking.result().json() == "ours"


@pytest.mark.parametrize("query", ["?max=0", "?max=257", "?leaseMs=1", "?deviceProfileId=x"])
def test_terms_that_cannot_be_are_refused(house, tenancy, query):
    answer = tenancy.get(f"/api/thingport/client-rpc{query}", headers={
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert answer.status_code == 400, answer.text


@pytest.mark.process
def test_a_server_that_stops_tells_its_applications(own, pool):
    """Nobody waits for a server that is gone, and the stop waits for nobody."""
    server = own().start()
    person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = app_device(person)
    app = Feed(server.url, f"/api/thingport/client-rpc?token={person.token}")
    assert "not understood" in app.ask("hello?")["refused"]["message"]
    taking = pool.submit(Person(server.url, person.token).post, "/api/thingport/client-rpc/take",
                         {"timeoutMs": 60_000, "deviceProfileId": fresh_id()})
    asking = pool.submit(by_http, server, device, "m")
    assert app.next()["request"]["method"] == "m"
    until("it waits", lambda: not taking.done())
    status, seconds = server.terminate()
    assert status == 0 and seconds < 8
    assert app.next() == ("close", 1012)
    assert taking.result().status_code == 503
    assert asking.result().status_code == 503
    app.close()


def fresh_id():
    return str(uuid.uuid4())
