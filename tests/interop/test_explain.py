"""Why can my device not connect? Search over refused attempts, and the certificate board."""

import json
import re
import socket
import ssl
import subprocess
import time
from urllib.parse import quote

import pytest

from rest import Person, fresh
from server import Server, until
from wire import V5, V311, Wire, connect

FACTS = {"subject", "issuer", "serial", "notBefore", "notAfter", "key", "fingerprint", "sha256"}
BOARD = FACTS | {"kind", "id", "name", "daysLeft", "state"}


def refuse(subject, client_id, user, password=None, version=V311):
    """One CONNECT that is refused; the address it came from."""
    with Wire(subject.mqtt) as connection:
        address = connection.socket.getsockname()
        connection.send(connect(version, client_id, user, password))
        while connection.packet() is not None:
            pass
    return f"{address[0]}:{address[1]}"


def explain(person, **question):
    return person.ok("POST", "/api/thingport/explain", question)


def found(person, **question):
    """Waits for attempts that fit."""
    return until(f"an attempt that fits {question}", lambda: explain(person, **question)["attempts"])


def query(**question):
    return "&".join(f"{key}={quote(str(value), safe='')}" for key, value in question.items())


def test_an_attempt_is_found_by_all_that_is_known_of_it(subject, sysadmin):
    client, token = fresh("meter"), fresh("a_token_of_many_letters")
    remote = refuse(subject, client, token)
    entry = found(sysadmin, clientId=client)[0]
    assert entry["reason"] == "login.unknown" and entry["deviceId"] is None and entry["count"] == 1
    assert entry["sentence"].endswith(".") and entry["remedy"].endswith(".")
    attempt = entry["attempt"]
    assert attempt["tlsVersion"] == "" and attempt["certificates"] == [] and attempt["deviceProfileId"] is None
    assert "access token" in attempt["tried"] and "none fit" in attempt["tried"]
    now = entry["at"]
    fits = [
        {"userName": token}, {"address": remote, "clientId": client}, {"address": "127.0.0.1", "userName": token},
        {"clientId": client, "reason": "login.unknown"}, {"clientId": client, "reason": "login"},
        {"clientId": client, "from": now, "to": now}, {"text": client.upper()},
    ]
    differs = [
        {"userName": token[:-1] + "!"}, {"address": "192.0.2.7", "clientId": client}, {"clientId": client[:-1]},
        {"clientId": client, "reason": "payload"}, {"clientId": client, "from": now + 1},
        {"clientId": client, "to": now - 1}, {"clientId": client, "text": "no such text"},
        {"clientId": client, "fingerprint": "ab" * 32},
    ]
    for question, wanted in [(it, [entry]) for it in fits] + [(it, []) for it in differs]:
        assert explain(sysadmin, **question)["attempts"] == wanted, question
        told = sysadmin.ok("GET", f"/api/thingport/explain?{query(**question)}")
        assert told["attempts"] == wanted, question
        assert sysadmin.ok("GET", f"/api/thingport/events?{query(**question)}") == wanted, question
    assert token not in json.dumps(sysadmin.ok("GET", "/api/thingport/events?limit=2000"))


def test_strangers_are_told_apart_and_the_first_is_there_at_once(subject, sysadmin):
    """Two devices with the same trouble at the same time are two records."""
    clients = [fresh("twin") for _ in range(2)]
    for client in clients:
        refuse(subject, client, fresh("nobody"))
    for client in clients:
        assert [it["clientId"] for it in found(sysadmin, clientId=client)] == [client]


def test_repetitions_are_counted_to_this_moment(subject, sysadmin):
    client = fresh("loop")
    for _ in range(5):
        refuse(subject, client, "nobody-knows-this-token")
    until("five", lambda: explain(sysadmin, clientId=client)["attempts"][0]["count"] == 5, 2)
    rows = sysadmin.ok("GET", f"/api/thingport/events?clientId={client}")
    assert [it["count"] for it in rows] == [4, 1]
    assert len(explain(sysadmin, clientId=client)["attempts"]) == 1


def test_nothing_found_is_explained(subject, sysadmin, tenant, device):
    rows = [
        (sysadmin, {"address": "192.0.2.77"}, "none_from_address"),
        (sysadmin, {"clientId": fresh("never")}, "none_with_credentials"),
        (sysadmin, {"userName": fresh("never")}, "none_with_credentials"),
        (sysadmin, {"fingerprint": "00" * 32}, "none_with_credentials"),
        (tenant, {"deviceId": device.id}, "none_of_device"),
        (sysadmin, {"from": 4_000_000_000_000}, "none"),
    ]
    for person, question, finding in rows:
        told = explain(person, **question)
        assert (told["finding"], told["attempts"]) == (finding, []), question
        assert told["sentence"].endswith(".") and told["remedy"].endswith(".")
    assert "firewall" in explain(sysadmin, address="192.0.2.77")["remedy"]


def test_the_owner_of_a_token_hears_of_the_device(subject, people, device):
    """And nobody else does."""
    question = {"userName": device.token}
    told = explain(people.tenant, **question)
    assert told["device"] == {"id": {"entityType": "DEVICE", "id": device.id}, "name": device.body["name"],
                              "connected": False}
    with Wire(subject.mqtt, V5) as connection:
        connection.login(device.token)
        told = until("connected", lambda: (it := explain(people.tenant, **question))["finding"] == "connected" and it)
        assert told["device"]["connected"]
        for person in (people.stranger, people.customer, people.neighbour, people.sysadmin):
            told = explain(person, **question)
            assert told["device"] is None and told["finding"] != "connected"


def test_a_wrong_password_is_the_devices_own_trouble(subject, people):
    """The device's tenant and customer see it; another tenant does not."""
    device = people.tenant.new_device()
    people.tenant.ok("POST", f"/api/customer/{people.customer_id}/device/{device.id}")
    user = fresh("user")
    value = {"clientId": "", "userName": user, "password": "right"}
    people.tenant.save_credentials(device, "MQTT_BASIC", None, value)
    refuse(subject, "a", user, "wrong")
    for person in (people.tenant, people.customer):
        entry = found(person, deviceId=device.id)[0]
        assert entry["reason"] == "login.password_wrong" and "password differs" in entry["attempt"]["tried"]
        assert found(person, userName=user)[0]["deviceId"]["id"] == device.id
        assert device.id in person.get("/api/thingport/events?reason=login").text
    for person in (people.stranger, people.neighbour):
        assert explain(person, userName=user)["attempts"] == []
        assert device.id not in person.get("/api/thingport/events").text
    assert "system administrator" in explain(people.stranger, userName=user)["note"]
    assert explain(people.sysadmin, userName=user)["note"] == ""


@pytest.mark.parametrize("wrong, words", [
    ("address=not-an-address", "IP address"), ("fingerprint=12", "64"), ("reason=nonsense", "reasons"),
    ("deviceId=x", "x"), ("from=today", "from"), ("limit=all", "limit"),
])
def test_a_question_that_cannot_be_is_refused(tenant, wrong, words):
    for path in ("explain", "events"):
        answer = tenant.get(f"/api/thingport/{path}?{wrong}")
        assert answer.status_code == 400 and words in answer.json()["message"], answer.text


def test_a_scanner_does_not_hide_a_device(subject, sysadmin):
    """Many names from one address at once: bounded, and who came before is still there."""
    client = fresh("before-the-scan")
    refuse(subject, client, fresh("nobody"))
    found(sysadmin, clientId=client)
    for _ in range(100):
        refuse(subject, fresh("scan"), "nobody-knows-this-token")
    assert [it["clientId"] for it in found(sysadmin, clientId=client)] == [client]


# Certificates.


@pytest.fixture(scope="module")
def secured():
    """A server with TLS on ports of its own, and its address for devices over TLS."""
    server = Server().start()
    address = until("the TLS port", lambda: re.search(r"MQTTS +\S+:(\d+)", server.out()))
    server.tls = ("127.0.0.1", int(address[1]))
    yield server
    server.remove()


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A self-signed device certificate and its key, by openssl, and its fingerprint."""
    key, certificate = self_signed(tmp_path_factory.mktemp("certificates"), "/CN=unknown meter/O=Example", 10)
    print_it = ["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"]
    sha256 = subprocess.run(print_it, check=True, capture_output=True, text=True).stdout.strip()
    return key, certificate, sha256


def self_signed(directory, subject, days):
    key, certificate = directory / "key.pem", directory / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", str(days), "-subj", subject, "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return key, certificate


def knock(server, key, certificate):
    """CONNECT over TLS with a certificate, until the server closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    with socket.create_connection(server.tls, timeout=10) as plain, context.wrap_socket(plain) as secure:
        secure.sendall(connect(V311, "tls-meter"))
        try:
            while secure.recv(1000):
                pass
        except ssl.SSLError:
            pass  # closed without a farewell of TLS


@pytest.mark.process
def test_a_refused_certificate_is_kept_with_its_facts(secured, chain):
    sysadmin = Person.login(secured.url, "sysadmin@thingsboard.org", "sysadmin")
    key, certificate, sha256 = chain
    knock(secured, key, certificate)
    entry = found(sysadmin, fingerprint=sha256)[0]
    attempt = entry["attempt"]
    assert attempt["tlsVersion"] in ("TLS 1.2", "TLS 1.3") and attempt["cipher"]
    assert attempt["certificatesPresented"] == len(attempt["certificates"]) == 1
    leaf = attempt["certificates"][0]
    assert set(leaf) == FACTS
    assert "unknown meter" in leaf["subject"] and leaf["issuer"] == leaf["subject"]
    assert leaf["key"] == "P-256" and leaf["sha256"] == sha256.split("=")[1]
    assert 9 < (leaf["notAfter"] / 1000 - time.time()) / 86400 < 11
    for form in (leaf["fingerprint"], leaf["fingerprint"].upper(), leaf["sha256"].lower()):
        assert explain(sysadmin, fingerprint=form)["attempts"], form
    assert explain(sysadmin, text="unknown METER")["attempts"]
    line = next(it for it in secured.err().splitlines() if leaf["fingerprint"] in it)
    assert "unknown meter" in line and attempt["cipher"] in line
    assert entry["reason"] in line


@pytest.mark.process
def test_the_board_lists_what_expires_soonest_first(secured, chain, tmp_path):
    tenant = Person.login(secured.url, "tenant@thingsboard.org", "tenant")
    sysadmin = Person.login(secured.url, "sysadmin@thingsboard.org", "sysadmin")
    _, certificate, sha256 = chain
    device = tenant.new_device()
    tenant.save_credentials(device, "X509_CERTIFICATE", None, certificate.read_text())
    maker = self_signed(tmp_path, "/CN=Maker", 5)[1].read_text()
    profile = tenant.new_profile("DEFAULT")
    profile["provisionType"] = "X509_CERTIFICATE_CHAIN"
    profile["profileData"]["provisionConfiguration"] = {
        "type": "X509_CERTIFICATE_CHAIN", "provisionDeviceSecret": maker, "certificateRegExPattern": "(.*)",
        "allowCreateNewDevicesByX509Certificate": True}
    profile = tenant.ok("POST", "/api/deviceProfile", profile)

    def board(person, size=100, page=0, more=""):
        return person.ok("GET", f"/api/thingport/certificates?pageSize={size}&page={page}{more}")

    rows = board(tenant)["data"]
    assert all(set(row) == BOARD for row in rows)
    mine = next(row for row in rows if row["sha256"] == sha256.split("=")[1])
    assert mine["kind"] == "DEVICE" and mine["name"] == device.body["name"]
    assert mine["id"] == {"entityType": "DEVICE", "id": device.id}
    assert mine["state"] == "EXPIRING" and mine["daysLeft"] in (9, 10) and mine["key"] == "P-256"
    ca = next(row for row in rows if row["kind"] == "DEVICE_PROFILE")
    assert (ca["id"], ca["name"]) == (profile["id"], profile["name"]) and "Maker" in ca["subject"]
    assert ca["daysLeft"] in (4, 5) and rows.index(ca) < rows.index(mine)
    assert {row["kind"] for row in board(sysadmin)["data"]} == {"SERVER", "SERVER_CA"}
    assert {"SERVER", "SERVER_CA"} < {row["kind"] for row in rows}
    ends = [row["notAfter"] for row in rows]
    assert ends == sorted(ends)
    one_by_one = [board(tenant, 1, page) for page in range(len(rows))]
    assert [it["data"][0] for it in one_by_one] == rows
    assert {it["totalElements"] for it in one_by_one} == {len(rows)}
    assert board(tenant, more=f"&before={mine['notAfter'] + 1}")["data"] == rows[:rows.index(mine) + 1]
    assert tenant.get("/api/thingport/certificates?pageSize=0&page=0").status_code == 400
    assert tenant.get("/api/thingport/certificates").status_code == 400


def test_a_pasted_certificate_is_read_before_it_is_saved(tenant, tmp_path):
    _, path = self_signed(tmp_path, "/CN=pasted meter", 10)
    look = "/api/thingport/certificates/inspect"
    sight = tenant.ok("POST", look, {"certificate": path.read_text()})
    assert (sight["subject"], sight["issuer"]) == ("CN=pasted meter", "CN=pasted meter")
    assert (sight["key"], sight["state"], sight["isSelfSigned"], sight["count"]) == ("P-256", "EXPIRING", True, 1)
    device = tenant.new_device()
    record = tenant.ok("GET", f"/api/device/{device.id}/credentials")
    record |= {"credentialsType": "X509_CERTIFICATE", "credentialsId": None, "credentialsValue": path.read_text()}
    assert tenant.ok("POST", "/api/device/credentials", record)["credentialsId"] == sight["fingerprint"]
    for text in ["", "no certificate", (tmp_path / "key.pem").read_text()]:
        answer = tenant.post(look, {"certificate": text})
        assert answer.status_code == 400 and len(answer.json()["message"]) > 20
