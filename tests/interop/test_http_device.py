"""The device API over HTTP: REST API section 16, H-1 to H-10."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import paho.mqtt.client as paho
import pytest
import requests

from rest import Person, fresh, new_user
from server import until
from test_ota import IMAGE, assign, filled

LONG = 30_000


class Http:
    """A device that speaks HTTP."""

    def __init__(self, url, token):
        self.base = f"{url}/api/v1/{token}"
        self.session = requests.Session()

    def post(self, path, body=None, **options):
        data = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
        return self.session.post(f"{self.base}/{path}", data=data, timeout=60, **options)

    def get(self, path, **parameters):
        # Not the shared session: it may wait in another thread.
        return requests.get(f"{self.base}/{path}", params=parameters, timeout=60)


@pytest.fixture
def http(subject, device):
    return Http(subject.url, device.token)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as threads:
        yield threads


def is_done(answer):
    return (answer.status_code, answer.content) == (200, b"")


def is_refused(answer, status):
    return (answer.status_code, answer.content) == (status, b"")


def share(device, body):
    device.owner.ok("POST", f"{device.data}/SHARED_SCOPE", body)


def call(device, method, params=None, way="twoway", **members):
    body = {"method": method, "params": params, "timeout": 15_000} | members
    return device.owner.post(f"/api/rpc/{way}/{device.id}", body)


def told(pool, subject, device, path, happen):
    """What a long poll is answered when something happens while it waits."""
    waits = pool.submit(Http(subject.url, device.token).get, path, timeout=LONG)
    # Whether it listens already cannot be seen from outside: what happens is repeated until it is heard.
    until("the long poll to be told", lambda: waits.done() or (happen(), waits.done())[1], 20, 0.1)
    return waits.result()


def full(pool, http, paths=("rpc",) * 4, timeout=LONG):
    """Polls that listen, four or as many as may: only then is another one refused. Each try may itself take the
    place of one.
    """
    waiting = [(path, pool.submit(http.get, path, timeout=timeout)) for path in paths]

    def all_listen():
        for at, (path, answer) in enumerate(waiting):
            if answer.done():
                waiting[at] = (path, pool.submit(http.get, path, timeout=timeout))
        return http.get("rpc", timeout=1).status_code == 429 and not any(it.done() for _, it in waiting)

    until("four polls to listen", all_listen, 20, 0.05)
    return [answer for _, answer in waiting]


def test_a_time_to_wait_that_cannot_be_read_is_refused_with_its_reason(tenant, device, subject):
    http = Http(subject.url, device.token)
    for path in ("rpc", "attributes/updates"):
        for timeout in ("x", "-1", "1.5"):
            assert is_refused(http.get(path, timeout=timeout), 400)
    assert "milliseconds" in tenant.event("http.timeout", device)["remedy"]


TYPES = [
    ('{"a":1}', {"a": 1}),
    ('{"a":"1"}', {"a": 1}),
    ('{"a":1.5,"b":true,"c":"x","d":{"e":[1]}}', {"a": 1.5, "b": True, "c": "x", "d": {"e": [1]}}),
    ('{"a":42.0}', {"a": 42.0}),
    ('{"a":null,"b":1}', {"b": 1}),
]


@pytest.mark.parametrize(("body", "expected"), TYPES, ids=lambda it: str(it))
def test_bodies_are_typed_as_over_mqtt(http, device, body, expected):
    assert is_done(http.post("telemetry", body)) and is_done(http.post("attributes", body))
    # H-9: an answer means that it is there.
    assert device.attributes() == expected
    latest = {key: points[0]["value"] for key, points in device.latest(strict=True).items()}
    assert {key: json.loads(value) if key == "d" and isinstance(value, str) else value
            for key, value in latest.items()} == expected


def test_timestamps_and_lists_of_records(http, device):
    assert is_done(http.post("telemetry", '[{"ts":1000,"values":{"n":1}},{"ts":2000,"values":{"n":2}}]'))
    assert [int(value) for _, value in device.history("n", 0, 3000)] == [1, 2]
    assert is_done(http.post("telemetry", "{}")), "JS-018"


FAULTY = [("telemetry", "nope"), ("telemetry", ""), ("telemetry", "[1]"), ("attributes", "[]"),
          ("attributes", '{"a":'), ("rpc", "{}"), ("rpc", "x"), ("rpc/one", "{}"), ("claim", "[]")]


@pytest.mark.parametrize(("path", "body"), FAULTY, ids=str)
def test_what_cannot_be_read_is_400_and_an_event(http, device, tenant, path, body):
    """H-5"""
    assert is_refused(http.post(path, body), 400)
    reason = "publish.topic_invalid" if path == "rpc/one" else "payload."
    assert tenant.event(reason, device)["protocol"] == "HTTP"


@pytest.mark.parametrize(("query", "detail"), [
    ("title=other&version=1", "title and version are not those of the package that is assigned"),
    ("title=t&version=1&size=many", "size is not a number from 0"),
    ("title=t&version=1&chunk=-1", "chunk is not a number from 0"),
])
def test_a_download_that_cannot_be_answered_says_what_was_asked_wrongly(http, device, tenant, query, detail):
    assign(tenant, device, firmwareId=filled(tenant, device.body["deviceProfileId"]))
    assert is_refused(http.get(f"firmware?{query}"), 400)
    assert tenant.event("package.request", device)["detail"] == detail


@pytest.mark.parametrize("path", ["", "/", "/telemetry/x", "/x"])
def test_no_answer_repeats_the_token(http, device, path):
    answer = requests.put(f"{http.base}{path}", timeout=30)
    assert answer.status_code == 404 and "/api/v1/{token}" in answer.text
    assert device.token not in answer.text


def test_credentials_that_are_no_access_token_of_a_default_profile_are_401(subject, tenant, device):
    """H-1"""
    unknown = Http(subject.url, fresh("nobody"))
    for answer in (unknown.post("telemetry", "{}"), unknown.get("attributes"), unknown.get("rpc", timeout=1),
                   unknown.post("rpc", '{"method":"getCurrentTime"}'), unknown.post("claim"),
                   unknown.get("firmware"), Http(subject.url, "%20").post("telemetry", "{}"),
                   Http(subject.url, "x" * 300).post("telemetry", "{}")):
        assert is_refused(answer, 401)
    other = tenant.new_device(type=tenant.new_profile("MQTT")["name"])
    assert is_refused(Http(subject.url, other.token).post("telemetry", '{"a":1}'), 401)
    assert tenant.event("login.profile_http", other)["protocol"] == "HTTP"
    tenant.save_credentials(device, "MQTT_BASIC", value={"clientId": "", "userName": device.token, "password": "p"})
    assert is_refused(Http(subject.url, device.token).post("telemetry", '{"a":1}'), 401)


def test_tokens_are_decoded_once(subject, tenant):
    """H-10"""
    for token in (fresh("a b+c"), fresh("a%2Fb"), fresh("a/b"), fresh("\u00e4~!")):
        device = tenant.new_device()
        tenant.save_credentials(device, "ACCESS_TOKEN", token)
        assert is_done(Http(subject.url, quote(token, safe="")).post("telemetry", '{"a":1}')), token
        assert device.value("a") == "1"


def test_bodies_have_a_bound(http, device):
    """H-6"""
    large = json.dumps({"a": "x" * 900_000})
    assert is_done(http.post("telemetry", large))

    def refused(body):
        """Who still sends when it is refused may find the connection closed before it reads why."""
        try:
            return is_refused(requests.post(f"{http.base}/telemetry", data=body(), timeout=60), 413)
        except requests.ConnectionError:
            return False

    for body in (lambda: " " * (1024 * 1024 + 1), lambda: chunked(1024 * 1024)):
        until("the answer", lambda body=body: refused(body))
    assert is_refused(http.post("rpc", " " * (64 * 1024 + 1)), 413)
    assert is_refused(http.post("rpc/1", " " * (64 * 1024 + 1)), 413)


def chunked(size):
    """A body without a length."""
    for _ in range(size // 4096 + 1):
        yield b" " * 4096


def test_attributes_are_found_by_group(http, device):
    """H-3, H-4"""
    assert http.get("attributes").json() == {}
    assert is_done(http.post("attributes", '{"c":73,"d":42.0}'))
    share(device, {"s": "x", "t": True})
    client, shared = {"c": 73, "d": 42.0}, {"s": "x", "t": True}
    rows = [
        ({}, {"client": client, "shared": shared}),
        ({"clientKeys": "", "sharedKeys": ""}, {"client": client, "shared": shared}),
        ({"clientKeys": "c,d"}, {"client": client}),
        ({"sharedKeys": "s"}, {"shared": {"s": "x"}}),
        ({"clientKeys": "c", "sharedKeys": "t,none"}, {"client": {"c": 73}, "shared": {"t": True}}),
        ({"clientKeys": "s"}, {}),
    ]
    for query, expected in rows:
        assert http.get("attributes", **query).json() == expected, query
    assert http.get("attributes", clientKeys="d").text == '{"client":{"d":42.0}}'


def test_a_long_poll_hears_of_shared_attributes(subject, pool, device):
    answer = told(pool, subject, device, "attributes/updates", lambda: share(device, {"n": 21, "d": 1.5}))
    assert (answer.status_code, answer.json()) == (200, {"n": 21, "d": 1.5})
    forget = lambda: device.owner.ok("DELETE", f"{device.data}/SHARED_SCOPE?keys=n,d")
    assert told(pool, subject, device, "attributes/updates", forget).json() == {"deleted": ["n", "d"]}


def test_a_long_poll_that_hears_nothing_is_408(http):
    """H-2"""
    for path in ("attributes/updates", "rpc"):
        began = time.monotonic()
        assert is_refused(http.get(path, timeout=300), 408)
        assert 0.3 <= time.monotonic() - began < 5
        assert is_refused(http.get(path, timeout="soon"), 400)


def test_a_call_goes_to_the_poll_and_its_answer_to_the_caller(http, pool, device):
    asked = pool.submit(call, device, "setValue", {"on": True})
    answer = http.get("rpc", timeout=LONG)
    body = answer.json()
    assert body == {"id": body["id"], "method": "setValue", "params": {"on": True}}
    # A device that polls on before it answers is not given the same call again.
    assert is_refused(http.get("rpc", timeout=200), 408)
    assert is_done(http.post(f"rpc/{body['id']}", '{"done":1}'))
    answer = asked.result()
    assert (answer.status_code, answer.json()) == (200, {"done": 1})


def test_calls_wait_for_the_next_poll_in_order(http, pool, device):
    asked = [pool.submit(call, device, f"m{n}") for n in range(4)]
    found = [http.get("rpc", timeout=LONG).json() for _ in asked]
    assert sorted(it["method"] for it in found) == ["m0", "m1", "m2", "m3"]
    assert [it["id"] for it in found] == sorted(it["id"] for it in found)
    for it in found:
        http.post(f"rpc/{it['id']}", json.dumps(it["method"]))
    assert [it.result().json() for it in asked] == ["m0", "m1", "m2", "m3"]


def test_a_call_that_a_client_did_not_wait_for_is_kept_for_the_next(http, pool, device):
    """A poll whose client hangs up takes nothing with it."""
    for _ in range(3):
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(f"{http.base}/rpc?timeout={LONG}", timeout=0.2)
    asked = pool.submit(call, device, "m")
    body = http.get("rpc", timeout=LONG).json()
    assert is_done(http.post(f"rpc/{body['id']}", "1")) and asked.result().json() == 1


def test_a_poll_stands_beside_the_mqtt_connection(subject, http, pool, device, paho_client):
    client = paho_client(paho.MQTTv311, device.token)
    assert client.connect() == 0
    client.subscribe([("v1/devices/me/attributes", 1)])
    answer = told(pool, subject, device, "attributes/updates", lambda: share(device, {"a": 1}))
    assert answer.json() == {"a": 1} and client.message() == ("v1/devices/me/attributes", {"a": 1})
    # The connection does not want calls, so the poll is given them.
    asked = pool.submit(call, device, "m")
    body = http.get("rpc", timeout=LONG).json()
    http.post(f"rpc/{body['id']}", "2")
    assert asked.result().json() == 2
    client.publish("v2/t", {"still": 1})
    assert device.value("still") == "1"


def test_a_device_has_few_polls(http, pool, device, tenant):
    waiting = full(pool, http, timeout=3_000)
    assert tenant.event("limit.polls", device)
    assert {it.result().status_code for it in waiting} == {408}
    assert is_refused(http.get("rpc", timeout=1), 408), "there is room again"


def test_a_device_that_is_deleted_while_it_polls_is_told_403(http, pool, device, tenant):
    """H-8"""
    waiting = full(pool, http, ("rpc", "attributes/updates") * 2)
    tenant.delete(f"/api/device/{device.id}")
    assert {it.result().status_code for it in waiting} == {403}
    assert is_refused(http.post("telemetry", '{"a":1}'), 401)


def test_devices_ask_the_server(http, device, tenant):
    answer = http.post("rpc", '{"method":"getCurrentTime","params":{}}')
    assert abs(answer.json()["time"] / 1000 - time.time()) < 60
    limits = http.post("rpc", {"method": "getSessionLimits"}).json()
    assert limits["maxPayloadSize"] > 0 and "rateLimits" in limits
    answer = http.post("rpc", {"method": "brew", "params": {}})
    assert answer.status_code == 200 and list(answer.json()) == ["error"]
    assert tenant.event("rpc.unhandled", device)["protocol"] == "HTTP"


def test_claims_are_taken(http):
    assert is_done(http.post("claim"))
    assert is_done(http.post("claim", {"secretKey": "s", "durationMs": 60_000}))


def test_activity_is_counted(http, device):
    assert is_done(http.post("telemetry", '{"a":1}'))
    until("the device to be active", lambda: device.attributes("SERVER_SCOPE").get("active") is True)


def test_packages_are_downloaded_whole_and_in_parts(subject, tenant, device):
    """H-7"""
    http = Http(subject.url, device.token)
    for kind, path, member in (("FIRMWARE", "firmware", "firmwareId"), ("SOFTWARE", "software", "softwareId")):
        assert is_refused(http.get(path, title="t", version="1"), 404)
        profile = device.body["deviceProfileId"]
        package = filled(tenant, profile, kind=kind)
        assign(tenant, device, **{member: package})
        named = {"title": package["title"], "version": package["version"]}
        assert http.get(path, **named).content == IMAGE
        parts = [http.get(path, **named, size=4_096, chunk=n) for n in range(3)]
        assert [len(it.content) for it in parts] == [4_096, 4_096, 1_808]
        assert b"".join(it.content for it in parts) == IMAGE
        assert {it.status_code for it in parts} == {200}
        assert is_refused(http.get(path, title="other", version=named["version"]), 400)
        assert is_refused(http.get(path, **named, size="x"), 400)


def test_a_rate_limit_is_429(subject, sysadmin):
    """H-8, with a tenant of its own whose devices may send one message in a long while."""
    profile = sysadmin.ok("GET", "/api/tenantProfileInfo/default")
    body = sysadmin.ok("GET", f"/api/tenantProfile/{profile['id']['id']}")
    body = {key: value for key, value in body.items() if key not in ("id", "createdTime", "version")}
    body |= {"name": fresh("slow"), "default": False}
    body["profileData"]["configuration"]["transportDeviceTelemetryMsgRateLimit"] = "2:3600"
    body = sysadmin.ok("POST", "/api/tenantProfile", body)
    tenant = sysadmin.ok("POST", "/api/tenant", {"title": fresh("tenant"), "tenantProfileId": body["id"]})
    account = {"email": f"{fresh('admin')}@example.org", "authority": "TENANT_ADMIN", "tenantId": tenant["id"]}
    person, _ = new_user(sysadmin, account)
    device = person.new_device()
    http = Http(subject.url, device.token)
    answers = [http.post("telemetry", '{"a":1}').status_code for _ in range(4)]
    assert answers[:2] == [200, 200] and answers[-1] == 429
    assert person.event("limit.rate", device)["protocol"] == "HTTP"


@pytest.mark.process
def test_bounds_that_the_operator_chose(own):
    """H-2, H-6"""
    chosen = {"device_body_max": "2KiB", "device_poll_timeout": "1s", "device_poll_timeout_max": "2s",
              "device_polls_max": "3", "device_polls_per_device_max": "2"}
    server = own(None, *(it for key, value in chosen.items() for it in ("--set", f"http.{key}={value}"))).start()
    http = Http(server.url, "A1_TEST_TOKEN")
    assert is_done(http.post("telemetry", {"s": "x" * 1_900}))
    assert is_refused(http.post("telemetry", {"s": "x" * 2_100}), 413)
    with ThreadPoolExecutor(4) as threads:
        started = time.monotonic()
        waiting = [threads.submit(http.get, "attributes/updates", **query) for query in ({}, {"timeout": LONG})]
        assert [it.result().status_code for it in waiting] == [408, 408]
        assert 1.9 < time.monotonic() - started < 15
        full(threads, http, ("attributes/updates",) * 2)
    assert server.metrics()[("thingport_bound_hits_total", 'bound="long_polls_per_device_max"')] >= 1


@pytest.mark.process
def test_a_stop_ends_polls_at_once(own):
    server = own().start()
    http = Http(server.url, "A1_TEST_TOKEN")
    with ThreadPoolExecutor(4) as threads:
        waiting = full(threads, http)
        status, seconds = server.terminate()
        assert status == 0 and seconds < 4
        assert {it.result().status_code for it in waiting} == {503}


@pytest.mark.process
def test_kill_9_takes_nothing_back_that_was_answered(own):
    """H-9"""
    server = own().start()
    written = []

    def write(at):
        http = Http(server.url, "A1_TEST_TOKEN")
        n = at
        try:
            while True:
                n += 10
                if http.post("telemetry", {"ts": n, "values": {"n": n}}).status_code == 200:
                    written.append(n)
        except requests.RequestException:
            pass  # the server was killed

    writers = [threading.Thread(target=write, args=(at,)) for at in range(1, 5)]
    [it.start() for it in writers]
    until("some to be written", lambda: len(written) > 200, 30)
    server.kill()
    [it.join() for it in writers]
    server.restart()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.ok("GET", "/api/tenant/devices?deviceName=Test%20Device%20A1")["id"]["id"]
    query = {"keys": "n", "startTs": 0, "endTs": 10**9, "limit": 1_000_000}
    found = tenant.ok("GET", f"/api/plugins/telemetry/DEVICE/{device}/values/timeseries", params=query)
    assert set(written) <= {int(point["value"]) for point in found["n"]}
