"""What is said over TLS as over TCP: calls, a trace, more than is read; and a certificate that is called back."""

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import paho.mqtt.client as paho
import pytest

import wire as w
from clients import Paho
from rest import Person, fresh
from server import until
from wire import DISCONNECT, PUBACK, V5, V311, Wire, publish

pytestmark = pytest.mark.process

CALLS = "v1/devices/me/rpc/request/"
ANSWERS = "v1/devices/me/rpc/response/"


def secure(subject, version, user, **options):
    connection = Wire(subject.mqtts, version, ca=subject.ca, **options)
    connection.login(user)
    return connection


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_calls_both_ways(subject, tenant, device, protocol):
    client = Paho(subject.mqtts, protocol, device.token)
    client.client.tls_set(ca_certs=str(subject.ca))
    assert client.connect() == 0
    client.subscribe([(f"{CALLS}+", 1)])
    body = {"method": "getValue", "params": {"pin": 4}, "timeout": 20_000}
    with ThreadPoolExecutor(1) as meanwhile:
        call = meanwhile.submit(tenant.post, f"/api/rpc/twoway/{device.id}", body)
        topic, asked = client.message()
        assert asked == {"method": "getValue", "params": {"pin": 4}}
        client.publish(ANSWERS + topic.rsplit("/", 1)[1], {"value": "x" * 20_000})
        answer = call.result()
    assert (answer.status_code, answer.json()) == (200, {"value": "x" * 20_000})
    kept = tenant.ok("POST", f"/api/rpc/oneway/{device.id}", body | {"persistent": True})["rpcId"]
    assert client.message()[1]["method"] == "getValue"
    until("it is delivered", lambda: tenant.ok("GET", f"/api/rpc/persistent/{kept}")["status"] == "DELIVERED")
    assert "rateLimits" in client.ask(f"{CALLS}7", {"method": "getSessionLimits", "params": {}})[1]
    client.close()


@pytest.mark.parametrize("version", [V311, V5])
def test_a_trace_shows_what_was_said_and_not_what_was_encrypted(subject, tenant, device, version):
    path = f"/api/thingport/devices/{device.id}/trace"
    tenant.ok("POST", path, {"durationMs": 60_000})
    connection = secure(subject, version, device.token)
    connection.ask(publish("v2/t", '{"n":7}', 1, 3, version), PUBACK)
    records = tenant.ok("GET", path)["records"]
    assert [it["kind"] for it in records] == ["CONNECT", "CONNACK", "PUBLISH", "PUBACK"]
    assert records[2]["payload"]["text"] == '{"n":7}'
    assert device.token not in str(records)
    tenant.delete(f"{path}?forget=true")
    connection.close()


@pytest.mark.parametrize("version", [V311, V5])
def test_who_sends_more_than_is_read_waits_and_loses_nothing(subject, device, version):
    """The socket is not read while the receive window is full; records of TLS wait in it unopened."""
    number = 2_000 if version == V311 else 100
    with secure(subject, version, device.token) as connection:
        body = '{"ts":%d,"values":{"n":%d,"s":"' + "x" * 500 + '"}}'
        connection.send(b"".join(publish("v2/t", body % (n, n), 1, n, version) for n in range(1, number + 1)))
        assert [connection.expect(PUBACK, 30).packet_id for _ in range(number)] == list(range(1, number + 1))
        assert connection.is_alive()
    assert len(device.history("n", 1, number + 1)) == number


def test_who_does_not_read_what_it_is_told_holds_up_nobody(subject, tenant, device):
    """Answers fill its socket; its own packets wait, others are served."""
    with secure(subject, V311, device.token) as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.socket.settimeout(1)
        # Until the server reads no more, or has ended it.
        with pytest.raises((TimeoutError, OSError)):
            for _ in range(10_000):
                slow.socket.sendall(w.PING * 4096)
        other = tenant.new_device()
        with secure(subject, V5, other.token) as connection:
            connection.ask(publish("v2/t", '{"n":1}', 1, 1, V5), PUBACK)
        assert other.value("n") == "1"


# A certificate that is called back ------------------------------------------------------------------------

CONFIGURATION = """[ca]
default_ca = fleet
[fleet]
database = index.txt
crlnumber = number
default_md = sha256
default_crl_days = 3000
"""
MAKE_CA = """openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=Fleet $NAME" \
-keyout ca.key -out ca.pem -days 3000"""
MAKE_DEVICE = """openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$NAME.example.com" \
-keyout $NAME.key -out $NAME.csr
openssl x509 -req -in $NAME.csr -CA ca.pem -CAkey ca.key -set_serial $SERIAL -days 3000 -sha256 -out $NAME.pem"""
MAKE_LIST = "openssl ca -gencrl -config ca.cnf -keyfile ca.key -cert ca.pem -out list.pem"


@pytest.fixture
def fleet(tenant, subject, tmp_path):
    """A profile with a CA of its own, and a way to connect the devices below it."""

    def run(commands, **variables):
        subprocess.run(["bash", "-ec", commands], cwd=tmp_path, check=True, capture_output=True, env=variables | {
            "PATH": "/usr/bin:/bin"})

    run(MAKE_CA, NAME=fresh("ca"))
    profile = tenant.new_profile("DEFAULT")
    provisioning = {"type": "X509_CERTIFICATE_CHAIN", "provisionDeviceSecret": (tmp_path / "ca.pem").read_text(),
                    "certificateRegExPattern": r"(.*)\.example\.com",
                    "allowCreateNewDevicesByX509Certificate": True}

    def save(**members):
        stored = tenant.ok("GET", f"/api/deviceProfile/{profile['id']['id']}")
        stored["provisionType"] = "X509_CERTIFICATE_CHAIN"
        stored["profileData"]["provisionConfiguration"] = provisioning | members
        tenant.ok("POST", "/api/deviceProfile", stored)

    def revoke(*serials):
        rows = [f"R\t491231235959Z\t250101000000Z\t{serial}\tunknown\t/CN=device\n" for serial in serials]
        (tmp_path / "index.txt").write_text("".join(rows))
        (tmp_path / "number").write_text("01\n")
        (tmp_path / "ca.cnf").write_text(CONFIGURATION)
        run(MAKE_LIST)
        save(certificateRevocationList=(tmp_path / "list.pem").read_text())

    def connect(name, serial, version):
        if not (tmp_path / f"{name}.pem").exists():
            run(MAKE_DEVICE, NAME=name, SERIAL=f"0x{serial}")
        files = (tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        return Wire(subject.mqtts, version, ca=subject.ca, certificate=files)

    save()
    return SimpleNamespace(connect=connect, revoke=revoke)


@pytest.mark.parametrize("version", [V311, V5])
def test_a_list_that_is_saved_ends_the_sessions_it_calls_back(tenant, fleet, version):
    """Without a word of the device, and of no other device."""
    names = [fresh("revoked"), fresh("good")]
    connections = [fleet.connect(name, serial, version) for name, serial in zip(names, ("8001", "8002"))]
    for connection in connections:
        connection.login(None)
    fleet.revoke("8001")
    if version == V5:
        assert connections[0].expect(DISCONNECT).code == 0x87
    assert connections[0].packet() is None
    assert connections[1].is_alive()
    device = tenant.ok("GET", f"/api/tenant/devices?deviceName={names[0]}")
    told = tenant.event("certificate.revoked", SimpleNamespace(id=device["id"]["id"]))
    assert told["remedy"]
    again = fleet.connect(names[0], "8001", V5)
    assert again.ask(w.connect(V5, "again"), w.CONNACK).code == 0x87
    for connection in [*connections, again]:
        connection.close()
