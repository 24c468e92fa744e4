"""Provisioning over MQTT and HTTP: device API 7.2 (PR rows), REST API sections 7.4 and 11, CD-013."""

import json
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import paho.mqtt.client as paho
import pytest
import requests

import wire as w
from clients import Paho
from rest import Person, fresh
from server import until
from wire import V31, V311, V5, VERSIONS, connect

REQUEST, RESPONSE = "/provision/request", "/provision/response"
CREATE, CHECK = "ALLOW_CREATE_NEW_DEVICES", "CHECK_PRE_PROVISIONED_DEVICES"
NOT_FOUND = {"errorMsg": "Provision data was not found!", "status": "NOT_FOUND"}
FAILURE = {"errorMsg": "Failed to provision device!", "status": "FAILURE"}


def new_profile(person, kind, key=None, secret=None):
    """A profile of that strategy: `.key`, `.secret`, `.body`."""
    key, secret = key or fresh("key"), secret or fresh("secret")
    body = person.new_profile("DEFAULT")
    body["profileData"]["provisionConfiguration"] = {"type": kind, "provisionDeviceSecret": secret}
    body |= {"provisionType": kind, "provisionDeviceKey": key}
    body = person.ok("POST", "/api/deviceProfile", body)
    return SimpleNamespace(key=key, secret=secret, body=body, id=body["id"])


@pytest.fixture(scope="module")
def creating(tenant):
    return new_profile(tenant, CREATE)


@pytest.fixture(scope="module")
def checking(tenant):
    return new_profile(tenant, CHECK)


@pytest.fixture(scope="module")
def certificate_files(tmp_path_factory):
    """What openssl makes for a device: certificate and key."""
    at = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", at / "key.pem", "-out", at / "cert.pem", "-days", "30", "-subj",
                    f"/CN={fresh('device')}"], check=True, capture_output=True)
    return at / "cert.pem", at / "key.pem"


@pytest.fixture(scope="module")
def certificate(certificate_files):
    return certificate_files[0].read_text()


def asked(profile, name=None, **members):
    request = {"provisionDeviceKey": profile.key, "provisionDeviceSecret": profile.secret}
    if name is not None:
        request["deviceName"] = name
    return request | members


# Protobuf by hand: the messages of device API 5.4.


def field(number, value):
    if isinstance(value, (bool, int)):
        return bytes([number << 3]) + w.var(int(value))
    data = value if isinstance(value, bytes) else value.encode()
    return bytes([number << 3 | 2]) + w.var(len(data)) + data


TYPES = {"ACCESS_TOKEN": 0, "X509_CERTIFICATE": 1, "MQTT_BASIC": 2}
STATUS = {1: "SUCCESS", 2: "NOT_FOUND", 3: "FAILURE"}


def to_protobuf(request):
    basic = b"".join(field(n, request[k]) for n, k in ((1, "clientId"), (2, "username"), (3, "password"))
                     if k in request)
    data = b"".join([
        field(1, field(1, request["token"])) if "token" in request else b"",
        field(2, field(1, request["hash"])) if "hash" in request else b"",
        field(3, basic) if basic else b"",
    ])
    keys = field(1, request["provisionDeviceKey"]) + field(2, request["provisionDeviceSecret"])
    return b"".join([
        field(1, request["deviceName"]) if "deviceName" in request else b"",
        field(2, TYPES[request.get("credentialsType", "ACCESS_TOKEN")]),
        field(3, keys),
        field(4, data) if data else b"",
        field(5, True) if request.get("gateway") else b"",
    ])


def from_protobuf(data):
    """The answer in the form that JSON has."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = w.read_var(data, at)
        value, at = w.read_var(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value].decode(), at + value
        fields[tag >> 3] = value
    status = STATUS[fields[1]]
    if status != "SUCCESS":
        assert set(fields) == {1}, "PR-010: on failure the other members keep their zeros"
        return NOT_FOUND if status == "NOT_FOUND" else FAILURE
    kind = next(name for name, number in TYPES.items() if number == fields.get(2, 0))
    value = json.loads(fields[3]) if kind == "MQTT_BASIC" else fields[3]
    return {"credentialsValue": value, "credentialsType": kind, "status": status}


def body_of(publish):
    """Topic, QoS and payload of a PUBLISH."""
    body, qos = publish.body, publish.raw[0] >> 1 & 3
    length = int.from_bytes(body[:2], "big")
    at = 2 + length + (2 if qos else 0)
    if publish.version == V5:
        size, at = w.read_var(body, at)
        at += size
    return body[2:2 + length].decode(), qos, body[at:]


class Candidate:
    """Somebody who is no device yet, at the MQTT port."""

    def __init__(self, connection):
        self.wire = connection
        self.wire.login("provision")
        self.ids = iter(range(1, 1000))

    def send(self, payload, qos=1, topic=REQUEST):
        payload = payload if isinstance(payload, bytes) else json.dumps(payload)
        self.wire.send(w.publish(topic, payload, qos, next(self.ids), self.wire.version))

    def ask(self, request, form="json"):
        self.send(to_protobuf(request) if form == "protobuf" else request)
        assert self.wire.expect(w.PUBACK).code == 0, "PR-004: PUBACK comes first"
        topic, qos, payload = body_of(self.wire.expect(w.PUBLISH))
        assert (topic, qos) == (RESPONSE, 1), "PR-004: without a subscription the quality of service is 1"
        return from_protobuf(payload) if form == "protobuf" else json.loads(payload)


@pytest.fixture(params=["3.1.1 json", "3.1.1 protobuf", "5 json", "5 protobuf", "http"])
def ask(request, wire, subject):
    """Asks for a device, in each way there is."""
    if request.param == "http":
        def post(body):
            answer = requests.post(f"{subject.url}/api/v1/provision", json=body, timeout=30)
            assert answer.status_code == 200, "section 11: always"
            assert answer.headers["Content-Type"] == "application/json"
            return answer.json()

        return post
    version, form = request.param.split()
    return lambda body: Candidate(wire(V5 if version == "5" else V311)).ask(body, form)


def named(tenant, name):
    return tenant.ok("GET", f"/api/tenant/devices?deviceName={name}")


def credentials_of(tenant, device):
    return tenant.ok("GET", f"/api/device/{device['id']['id']}/credentials")


def server_attributes(tenant, device):
    rows = tenant.ok("GET", f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/values/attributes/SERVER_SCOPE")
    return {row["key"]: row["value"] for row in rows}


def can_log_in(wire, user, password=None, client_id="any"):
    return wire().ask(connect(V311, client_id, user, password), w.CONNACK).code == 0


# TV-043: strategies and answers.


def test_a_device_is_created_with_a_token(ask, tenant, creating, wire):
    """PR-021, PR-030, PR-031; the name is trimmed."""
    name = fresh("new")
    answer = ask(asked(creating, f"  {name} "))
    token = answer["credentialsValue"]
    assert answer == {"credentialsValue": token, "credentialsType": "ACCESS_TOKEN", "status": "SUCCESS"}
    assert len(token) == 20 and token.isalnum() and token.isascii()
    device = named(tenant, name)
    assert device["deviceProfileId"] == creating.id
    assert not (device["additionalInfo"] or {}).get("gateway")
    assert credentials_of(tenant, device)["credentialsId"] == token
    assert server_attributes(tenant, device)["provisionState"] == "provisioned"
    assert can_log_in(wire, token)


def test_a_device_without_a_name_is_given_one(ask, tenant, creating):
    token = ask(asked(creating))["credentialsValue"]
    page = tenant.ok("GET", "/api/tenant/devices?pageSize=20&page=0&sortProperty=createdTime&sortOrder=DESC")
    device = next(it for it in page["data"] if credentials_of(tenant, it)["credentialsId"] == token)
    assert len(device["name"]) == 20 and device["name"].isalnum()


def test_a_device_brings_its_token(ask, tenant, creating, wire):
    token = fresh("mine")
    assert not can_log_in(wire, token), "and that nobody has it is not remembered (AU-034)"
    answer = ask(asked(creating, fresh("new"), credentialsType="ACCESS_TOKEN", token=token))
    assert answer == {"credentialsValue": token, "credentialsType": "ACCESS_TOKEN", "status": "SUCCESS"}
    assert can_log_in(wire, token)
    left = fresh("left")
    assert ask(asked(creating, left, token=token)) == FAILURE, "PR-024: used by another device"
    assert tenant.get(f"/api/tenant/devices?deviceName={left}").status_code == 404, "and no device is left"


def test_a_device_brings_basic_credentials(ask, tenant, creating, wire):
    client, user, password = fresh("c"), fresh("u"), fresh("p")
    answer = ask(asked(creating, fresh("new"), credentialsType="MQTT_BASIC", clientId=client, username=user,
                       password=password))
    assert answer["status"] == "SUCCESS" and answer["credentialsType"] == "MQTT_BASIC"
    assert answer["credentialsValue"] == {"clientId": client, "userName": user, "password": password}
    assert can_log_in(wire, user, password, client)
    assert not can_log_in(wire, user, "wrong", client)
    left = fresh("left")
    refused = asked(creating, left, credentialsType="MQTT_BASIC", clientId=client, password="no user name")
    assert ask(refused) == FAILURE, "AU-012"
    assert tenant.get(f"/api/tenant/devices?deviceName={left}").status_code == 404


def test_a_device_brings_its_certificate(ask, tenant, creating, certificate):
    """The member is called hash and holds the certificate; what comes back is its base64 text."""
    name = fresh("new")
    one_line = "".join(certificate.split("-----")[2].split())
    answer = ask(asked(creating, name, credentialsType="X509_CERTIFICATE", hash=certificate))
    assert answer == {"credentialsValue": one_line, "credentialsType": "X509_CERTIFICATE", "status": "SUCCESS"}
    device = named(tenant, name)
    stored = credentials_of(tenant, device)
    assert (stored["credentialsType"], stored["credentialsValue"]) == ("X509_CERTIFICATE", one_line)
    assert ask(asked(creating, fresh("left"), credentialsType="X509_CERTIFICATE", hash=one_line)) == FAILURE
    broken = asked(creating, fresh("left"), credentialsType="X509_CERTIFICATE", hash="not a certificate")
    assert ask(broken) == FAILURE
    tenant.ok("DELETE", f"/api/device/{device['id']['id']}")


def test_a_gateway_is_created_as_one(ask, tenant, creating):
    """PR-032."""
    name = fresh("gateway")
    assert ask(asked(creating, name, gateway=True))["status"] == "SUCCESS"
    assert named(tenant, name)["additionalInfo"]["gateway"] is True


def test_names_that_cannot_be(ask, tenant, creating):
    """PR-022, PR-023."""
    taken = tenant.new_device().body["name"]
    assert ask(asked(creating, taken)) == FAILURE
    assert ask(asked(creating, "   ")) == FAILURE
    assert ask(asked(creating, "x" * 256)) == FAILURE


def test_key_and_secret_must_fit(ask, tenant, creating):
    """PR-020: the same answer for whoever does not know both."""
    off = new_profile(tenant, CREATE)
    disabled = off.body | {"provisionType": "DISABLED", "provisionDeviceKey": None}
    disabled["profileData"]["provisionConfiguration"] = {"type": "DISABLED", "provisionDeviceSecret": None}
    tenant.ok("POST", "/api/deviceProfile", disabled)
    for key, secret in ((fresh("no"), creating.secret), (creating.key, fresh("no")), ("", creating.secret),
                        (creating.key, ""), (creating.key.upper(), creating.secret), (off.key, off.secret)):
        request = {"provisionDeviceKey": key, "provisionDeviceSecret": secret, "deviceName": fresh("no")}
        assert ask(request) == NOT_FOUND, f"{key} {secret}"


def test_a_device_that_exists_is_handed_over_once(ask, tenant, checking, wire):
    """PR-026, PR-027, PR-028."""
    device = tenant.new_device(deviceProfileId=checking.id)
    elsewhere = tenant.new_device()
    request = asked(checking, device.body["name"], token=fresh("ignored"))
    answer = {"credentialsValue": device.token, "credentialsType": "ACCESS_TOKEN", "status": "SUCCESS"}
    assert ask(request) == answer, "the credentials it has, not those it brings"
    assert server_attributes(tenant, device.body)["provisionState"] == "provisioned"
    assert ask(request) == FAILURE, "PR-027"
    tenant.event("provision.already", device)
    assert ask(asked(checking, fresh("missing"))) == FAILURE
    assert ask(asked(checking, elsewhere.body["name"])) == FAILURE
    assert ask(asked(checking)) == FAILURE
    # The remedy: somebody who may takes the mark away.
    path = f"/api/plugins/telemetry/DEVICE/{device.id}/SERVER_SCOPE?keys=provisionState"
    tenant.ok("DELETE", path)
    assert ask(request) == answer


def test_the_device_limit_of_the_tenant_holds(ask, sysadmin, people):
    """PR-025."""
    default = sysadmin.ok("GET", "/api/tenantProfiles?pageSize=1&page=0")["data"][0]
    body = {"name": fresh("small"), "profileData": default["profileData"]}
    body["profileData"] = json.loads(json.dumps(body["profileData"]))
    body["profileData"]["configuration"]["maxDevices"] = 1
    small = sysadmin.ok("POST", "/api/tenantProfile", body)
    stranger = sysadmin.ok("GET", f"/api/tenant/{people.stranger_tenant_id}")
    for device in people.stranger.ok("GET", "/api/tenant/devices?pageSize=100&page=0")["data"]:
        people.stranger.ok("DELETE", f"/api/device/{device['id']['id']}")
    try:
        sysadmin.ok("POST", "/api/tenant", stranger | {"tenantProfileId": small["id"]})
        profile = new_profile(people.stranger, CREATE)
        assert ask(asked(profile, fresh("one")))["status"] == "SUCCESS"
        assert ask(asked(profile, fresh("two"))) == FAILURE
        people.stranger.event("provision.device_limit")
    finally:
        stranger = sysadmin.ok("GET", f"/api/tenant/{people.stranger_tenant_id}")
        sysadmin.ok("POST", "/api/tenant", stranger | {"tenantProfileId": default["id"]})


def test_of_many_at_once_one_succeeds(subject, tenant, creating, checking):
    """PR-034."""
    for profile, name in ((creating, fresh("race")),
                          (checking, tenant.new_device(deviceProfileId=checking.id).body["name"])):
        request = asked(profile, name)

        def post(_):
            return requests.post(f"{subject.url}/api/v1/provision", json=request, timeout=30).json()["status"]

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(post, range(8))) == ["FAILURE"] * 7 + ["SUCCESS"]


# The session: TV-044, TV-045, PR-001 to PR-008.


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
@pytest.mark.parametrize("client_id, user", [("any", "provision"), ("provision", "x"), ("provision", None)])
def test_a_provisioning_session_is_let_in(wire, version, client_id, user):
    """AU-001, PR-001, K-4."""
    connection = wire(version)
    assert connection.ask(connect(version, client_id, user), w.CONNACK).code == 0
    assert connection.is_alive()


@pytest.mark.process
def test_a_certificate_does_not_matter(own, certificate_files):
    """AU-001: also over TLS, and before the certificate is looked at."""
    server = own(None).start()
    context = ssl.create_default_context(cafile=server.directory / "tls" / "ca.pem")
    context.check_hostname = False
    context.load_cert_chain(*certificate_files)
    for user, code in (("provision", 0), ("anybody", 5)):
        with w.Wire(("127.0.0.1", server.mqtts_port)) as connection:
            connection.socket = context.wrap_socket(connection.socket)
            assert connection.ask(connect(V311, "any", user), w.CONNACK).code == code


@pytest.mark.parametrize("client_id, user", [("any", "Provision"), ("PROVISION", "x"), ("any", " provision")])
def test_only_the_exact_word_counts(wire, client_id, user):
    assert wire(V311).ask(connect(V311, client_id, user), w.CONNACK).code != 0


def test_it_displaces_nobody(wire, device):
    """C-17: not another of its kind, and not a device with the same client id."""
    owner = wire(V5)
    owner.ask(connect(V5, "provision-1", device.token), w.CONNACK)
    first, second = wire(V5), wire(V5)
    for connection in (first, second):
        assert connection.ask(connect(V5, "provision", "provision"), w.CONNACK).code == 0
    assert first.is_alive() and second.is_alive() and owner.is_alive()


@pytest.mark.parametrize("version, qos, expected", [
    (V5, 1, "PUBACK 0x90 DISCONNECT 0x90 close"),
    (V5, 0, "DISCONNECT 0x90 close"),
    (V311, 1, "close"),
    (V311, 0, "close"),
    (V31, 1, "close"),
])
def test_it_may_publish_nothing_else(wire, sysadmin, version, qos, expected):
    """PR-003, TV-044."""
    for topic in ("v1/devices/me/telemetry", RESPONSE, "provision/request"):
        candidate = Candidate(wire(version))
        candidate.send({"a": 1}, qos, topic)
        assert candidate.wire.outcome() == expected, topic
    sysadmin.event("provision.topic")


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_it_may_subscribe_to_its_answer_only(wire, version):
    """PR-002, TV-045, TP-019."""
    candidate = Candidate(wire(version))
    refused = 0x8F if version == V5 else 0x80
    filters = [(RESPONSE, 2), (RESPONSE, 1), ("v1/devices/me/attributes", 1), ("#", 0), (RESPONSE, 0)]
    answer = candidate.wire.ask(w.subscribe(7, filters, version), w.SUBACK)
    assert answer.codes == [1, 1, refused, refused, 0]
    candidate.wire.ask(w.unsubscribe(8, [RESPONSE], version), w.UNSUBACK)
    assert candidate.wire.is_alive()


@pytest.mark.parametrize("version", VERSIONS, ids=w.NAMES.get)
def test_the_answer_has_the_granted_quality_of_service(wire, creating, version):
    """PR-004; packet identifiers count on (F-10), and PUBACK is taken."""
    candidate = Candidate(wire(version))
    seen = []
    for granted in (None, 1, 0):
        if granted is not None:
            candidate.wire.ask(w.subscribe(7, [(RESPONSE, granted)], version), w.SUBACK)
        candidate.send(asked(creating, "  "))
        candidate.wire.expect(w.PUBACK)
        publish = candidate.wire.expect(w.PUBLISH)
        topic, qos, payload = body_of(publish)
        assert (topic, qos, json.loads(payload)) == (RESPONSE, 1 if granted is None else granted, FAILURE)
        assert publish.raw[0] & 0x09 == 0, "0.3: neither DUP nor RETAIN"
        if qos:
            at = 2 + len(topic)
            seen.append(int.from_bytes(publish.body[at:at + 2], "big"))
            candidate.wire.send(w.packet(0x40, publish.body[at:at + 2]))
    assert seen == [1, 2]
    assert candidate.wire.is_alive()


def test_requests_at_each_quality_of_service(wire, creating):
    for qos, first in ((0, None), (2, w.PUBREC)):
        candidate = Candidate(wire(V311))
        candidate.send(asked(creating, fresh("qos")), qos)
        if first:
            candidate.wire.expect(first)
        assert json.loads(body_of(candidate.wire.expect(w.PUBLISH))[2])["status"] == "SUCCESS"


def test_each_request_has_its_own_form(wire, creating):
    """PR-005, better than the original: after Protobuf comes JSON again."""
    candidate = Candidate(wire(V5))
    for form in ("json", "protobuf", "json", "protobuf"):
        assert candidate.ask(asked(creating, fresh("form")), form)["status"] == "SUCCESS"


def test_packets_behind_a_request_wait_for_its_answer(wire, creating):
    connection = wire(V311)
    first, second = asked(creating, fresh("a")), asked(creating, "  ")
    connection.send(connect(V311, "a", "provision") + w.publish(REQUEST, json.dumps(first), 1, 1)
                    + w.publish(REQUEST, json.dumps(second), 1, 2) + w.PING)
    kinds = [connection.packet() for _ in range(6)]
    assert [it.kind for it in kinds] == [w.CONNACK, w.PUBACK, w.PUBLISH, w.PUBACK, w.PUBLISH, w.PINGRESP]
    assert [json.loads(body_of(it)[2])["status"] for it in kinds[2:5:2]] == ["SUCCESS", "FAILURE"]


MALFORMED = [
    {"provisionDeviceSecret": "s"},
    {"provisionDeviceKey": "k"},
    {"provisionDeviceKey": None, "provisionDeviceSecret": "s"},
    {"provisionDeviceKey": "k", "provisionDeviceSecret": "s", "deviceName": None},
    {"provisionDeviceKey": "k", "provisionDeviceSecret": "s", "credentialsType": "NONE"},
    {"provisionDeviceKey": "k", "provisionDeviceSecret": "s", "token": ["t"]},
    field(2, 9) + field(3, field(1, "k") + field(2, "s")),
]


@pytest.mark.parametrize("version, qos, expected", [
    (V5, 1, "PUBACK 0x83 DISCONNECT 0x83 close"),
    (V5, 0, "DISCONNECT 0x83 close"),
    (V311, 1, "PUBACK 0x00 close"),
    (V311, 0, "close"),
])
def test_requests_that_lack_something(wire, sysadmin, version, qos, expected):
    """PR-006."""
    for request in MALFORMED:
        candidate = Candidate(wire(version))
        candidate.send(request, qos)
        assert candidate.wire.outcome() == expected, request
    sysadmin.event("provision.malformed")


@pytest.mark.parametrize("version, qos, expected", [
    (V5, 1, "PUBACK 0x99 alive"),
    (V5, 0, "DISCONNECT 0x99 close"),
    (V311, 1, "close"),
    (V311, 0, "close"),
])
def test_requests_of_no_form(wire, version, qos, expected):
    """PR-005: E-FORMAT."""
    for payload in (b"{", b"[]", b"hello", b"\xff\xff\xff"):
        candidate = Candidate(wire(version))
        candidate.send(payload, qos)
        candidate.wire.send(w.PING)
        outcome = candidate.wire.outcome()
        assert outcome == expected, payload


def test_whoever_guesses_is_sent_away(wire, creating, tenant):
    """PR-007, WK-044: a connection that is open already gets no endless tries."""
    candidate = Candidate(wire(V5))
    for _ in range(10):
        assert candidate.ask(asked(creating, provisionDeviceSecret=fresh("wrong"))) == NOT_FOUND
    assert candidate.wire.outcome() == "DISCONNECT 0x97 close"


@pytest.mark.process
def test_nobody_stays(own):
    """PR-004, PR-008."""
    server = own(None, "--set", "mqtt.provisioning_timeout=1s").start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    profile = new_profile(tenant, CREATE)
    with w.Wire(server.mqtt, V5) as idle, w.Wire(server.mqtt, V5) as busy, w.Wire(server.mqtt, V311) as old:
        started = time.monotonic()
        for connection in (idle, old):
            Candidate(connection)
        candidate = Candidate(busy)
        assert candidate.ask(asked(profile, fresh("a")))["status"] == "SUCCESS"
        assert candidate.ask(asked(profile, fresh("b")))["status"] == "SUCCESS"
        assert idle.outcome() == "DISCONNECT 0xa0 close"
        assert busy.outcome() == "DISCONNECT 0xa0 close"
        assert old.packet() is None
        assert 1 <= time.monotonic() - started < 5
        wrong = asked(profile, provisionDeviceSecret=fresh("wrong"))
        assert Candidate(w.Wire(server.mqtt)).ask(wrong) == NOT_FOUND
    sysadmin = Person.login(server.url, "sysadmin@thingsboard.org", "sysadmin")
    sysadmin.event("disconnect.provisioning_idle")
    assert not [it for it in sysadmin.events() if it["reason"] == "disconnect.provisioned"]
    metrics = server.metrics()
    assert metrics[("thingport_devices_provisioned_total", "")] == 2
    assert metrics[("thingport_mqtt_provisioning_sessions", "")] <= 1
    log = server.err()
    assert "provision.secret_wrong" in log
    secrets = (profile.key, profile.secret, wrong["provisionDeviceSecret"])
    assert not any(secret in log for secret in secrets)


@pytest.mark.process
def test_an_address_that_guesses_is_not_let_in(own):
    """PR-007: its new connections and requests are refused for a minute."""
    server = own(None, "--set", "mqtt.guard_exempt=").start()
    wrong = {"provisionDeviceKey": "no", "provisionDeviceSecret": "no"}

    def post():
        return requests.post(f"{server.url}/api/v1/provision", json=wrong, timeout=30)

    answers = [post() for _ in range(11)]
    assert [it.status_code for it in answers] == [200] * 10 + [429]
    assert answers[-1].content == b""
    with w.Wire(server.mqtt) as connection:
        assert connection.packet() is None, "closed at accept"


@pytest.mark.process
def test_a_stop_waits_for_nobody_idle(own):
    server = own(None).start()
    with w.Wire(server.mqtt, V5) as connection:
        Candidate(connection)
        status, seconds = server.terminate()
        assert (status, connection.outcome()) == (0, "DISCONNECT 0x8b close")
        assert seconds < 5


# HTTP alone.


def test_http_requests_that_are_none(subject, sysadmin):
    """H-5, H-6: a status and an empty body."""
    url = f"{subject.url}/api/v1/provision"
    for body in ("", "{", "[]", '{"provisionDeviceKey":"k"}', '{"provisionDeviceKey":null}'):
        answer = requests.post(url, data=body, timeout=30)
        assert (answer.status_code, answer.content) == (400, b""), body
    assert requests.post(url, data=b"x" * 70_000, timeout=30).status_code == 413
    assert requests.get(url, timeout=30).status_code == 405
    sysadmin.event("provision.malformed", protocol="HTTP")


# Who reads of it.


def test_refusals_are_told_to_the_tenant_whose_key_was_used(subject, tenant, people, creating):
    """The key is in no incident, nor is a secret; another tenant sees nothing."""
    wrong, name = fresh("wrong"), tenant.new_device().body["name"]
    for request in (asked(creating, provisionDeviceSecret=wrong), asked(creating, name),
                    asked(creating, " "), asked(creating, fresh("x"), token="a\nb")):
        requests.post(f"{subject.url}/api/v1/provision", json=request, timeout=30)
    for reason in ("provision.secret_wrong", "provision.name_taken", "provision.name_invalid",
                   "provision.credentials_invalid"):
        entry = tenant.event(reason)
        assert entry["sentence"] and entry["remedy"]
        shown = json.dumps(entry)
        assert not any(secret in shown for secret in (creating.key, creating.secret, wrong))
    assert not [it for it in people.stranger.events() if it["reason"].startswith("provision.secret")]


# Profiles: P-10 to P-12.


def save(person, body, kind, key, secret="s"):
    body = body | {"provisionType": kind, "provisionDeviceKey": key}
    body["profileData"] = body["profileData"] | {
        "provisionConfiguration": {"type": kind, "provisionDeviceSecret": secret if key else None}}
    return person.post("/api/deviceProfile", body)


def test_a_key_belongs_to_one_profile_at_a_time(subject, tenant, people):
    """P-10, P-12."""
    key = fresh("key")
    mine, other = tenant.new_profile("DEFAULT"), people.stranger.new_profile("DEFAULT")
    mine = save(tenant, mine, CREATE, key).json()
    for person, body in ((tenant, tenant.new_profile("DEFAULT")), (people.stranger, other)):
        refused = save(person, body, CHECK, key)
        assert refused.status_code == 400 and refused.json()["errorCode"] == 31
    url = f"{subject.url}/api/v1/provision"

    def status(name):
        request = {"provisionDeviceKey": key, "provisionDeviceSecret": "s", "deviceName": name}
        return requests.post(url, json=request, timeout=30).json()["status"]

    assert status(fresh("a")) == "SUCCESS"
    mine = save(tenant, mine, CHECK, key).json()
    assert status(fresh("b")) == "FAILURE", "the strategy was switched by a plain save"
    save(tenant, mine, "DISABLED", None)
    assert status(fresh("c")) == "NOT_FOUND", "nothing remembers the old key"
    assert save(people.stranger, other, CREATE, key).status_code == 200
    name = fresh("d")
    assert status(name) == "SUCCESS"
    assert named(people.stranger, name)["name"] == name


# Clients.


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
def test_paho_is_provisioned_and_sends_data(subject, tenant, creating, protocol):
    name = fresh("paho")
    client = Paho(subject.mqtt, protocol, "provision")
    try:
        assert str(client.connect()) == "Success"
        client.client.on_message = lambda c, u, message: client.told.put(("message", message))
        client.subscribe([(RESPONSE, 1)])
        client.publish(REQUEST, asked(creating, name))
        message = client.wait("message")
        answer = json.loads(message.payload)
        assert (message.topic, message.qos, answer["status"]) == (RESPONSE, 1, "SUCCESS")
    finally:
        client.close()
    device = Paho(subject.mqtt, protocol, answer["credentialsValue"])
    try:
        assert str(device.connect()) == "Success"
        device.publish("v1/devices/me/telemetry", {"provisioned": 1})
    finally:
        device.close()
    path = f"/api/plugins/telemetry/DEVICE/{named(tenant, name)['id']['id']}/values/timeseries?keys=provisioned"
    assert tenant.ok("GET", path)["provisioned"][0]["value"] == "1"


def test_a_client_that_does_all_in_one_go(subject, creating):
    """CD-013: subscribes and publishes at QoS 0 from within the callback of CONNACK, and reads errorMsg
    without looking whether it is there."""

    def provision(request):
        answers = []
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.username_pw_set("provision")

        def connected(client, *_):
            client.subscribe(RESPONSE)
            client.publish(REQUEST, json.dumps(request))

        client.on_connect = connected
        client.on_message = lambda c, u, message: answers.append(json.loads(message.payload))
        client.connect(*subject.mqtt, 60)
        client.loop_start()
        try:
            return until("an answer", lambda: answers)[0]
        finally:
            client.disconnect()
            client.loop_stop()

    assert provision(asked(creating, fresh("sdk")))["status"] == "SUCCESS"
    assert provision(asked(creating, " "))["errorMsg"]
    assert provision(asked(creating, provisionDeviceKey=fresh("no")))["errorMsg"]
