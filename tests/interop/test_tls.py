"""The server's certificate as clients meet it: made or given, changed while running, refused at the start."""

import os
import re
import signal
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import paho.mqtt.client as paho
import pytest
import requests

from clients import Paho, mosquitto_pub
from rest import Person
from server import BINARY, until

pytestmark = pytest.mark.process

TOKEN = "A1_TEST_TOKEN"
DOWNLOAD = "/api/device-connectivity/mqtts/certificate/download"
PUBLISH = ["-q", "1", "-t", "v2/t", "-u", TOKEN, "-m", '{"temperature": 25}']


def openssl(*arguments, folder, ok=True, **options):
    done = subprocess.run(["openssl", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, stdin=subprocess.DEVNULL, **options)
    assert not ok or done.returncode == 0, done.stdout
    return done.stdout


def certs(folder, *arguments, ok=True):
    """`thingport certs` in a folder; what it said."""
    done = subprocess.run([str(BINARY), "certs", *arguments], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def given(certificate, key=None, **more):
    """Arguments that name an own certificate."""
    keys = {"certificate": certificate} | ({"key": key} if key else {}) | more
    return [word for name, value in keys.items() for word in ("--set", f"tls.{name}={value}")]


def handshake(address, ca, version=None, name="localhost", session=None):
    """A verified TLS connection; the certificate the server showed, and the socket."""
    context = ssl.create_default_context(cafile=str(ca))
    if version:
        context.minimum_version = context.maximum_version = version
    secure = context.wrap_socket(socket.create_connection(("127.0.0.1", address[1]), 10), server_hostname=name,
                                 session=session)
    return secure.getpeercert(), secure


def serial(address, ca):
    shown, secure = handshake(address, ca)
    secure.close()
    return shown["serialNumber"]


def connect(address, ca, protocol=paho.MQTTv5):
    client = Paho(address, protocol, TOKEN)
    client.client.tls_set(ca_certs=str(ca))
    assert client.connect() == 0
    return client


def self_signed(folder, name, key, *arguments):
    """A certificate for localhost that stands for itself, as openssl makes it."""
    openssl("req", "-x509", "-newkey", *key, "-keyout", f"{name}-key.pem", "-out", f"{name}.pem", "-days", "30",
            "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", *arguments, folder=folder)
    return folder / f"{name}.pem", folder / f"{name}-key.pem"


EC = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]


def test_a_made_certificate_works_for_every_client_without_any_setting(own):
    server = own().start()
    for name in ("localhost", "127.0.0.1"):
        shown, secure = handshake(server.mqtts, server.ca, name=name)
        secure.close()
        assert ("DNS", "localhost") in shown["subjectAltName"]
    code, said = mosquitto_pub(server.mqtts, "--cafile", str(server.ca), *PUBLISH)
    assert code == 0, said
    for protocol in (paho.MQTTv31, paho.MQTTv311, paho.MQTTv5):
        client = connect(server.mqtts, server.ca, protocol)
        client.publish("v2/t", {"temperature": 26})
        client.close()
    said = openssl("s_client", "-connect", f"localhost:{server.mqtts_port}", "-CAfile", str(server.ca), "-brief",
                   "-verify_return_error", "-verify_hostname", "localhost", folder=server.logs)
    assert "Verification: OK" in said, said
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server.mqtts, server.ca, name="other.example")
    # The key of the CA is for nobody else to read.
    assert [oct((server.ca.parent / it).stat().st_mode & 0o777) for it in ("ca-key.pem", "server.pem")] == ["0o600"] * 2


def test_a_client_that_trusts_another_ca_stays_outside(own, tmp_path):
    server = own().start()
    certs(tmp_path, "ca")
    code, said = mosquitto_pub(server.mqtts, "--cafile", str(tmp_path / "ca.pem"), *PUBLISH)
    assert code != 0, said


def test_the_ca_is_downloaded_over_http_and_https(own):
    server = own(None, "--set", "http.tls_bind=127.0.0.1:0").start()
    secure = f"https://localhost:{server.https_port}"
    for answer in (requests.get(server.url + DOWNLOAD, timeout=10),
                   requests.get(secure + DOWNLOAD, timeout=10, verify=str(server.ca))):
        assert answer.status_code == 200
        assert answer.text == server.ca.read_text()
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == "attachment;filename=ca-root.pem"
        assert answer.headers["x-filename"] == "ca-root.pem"
    # Everything else is there too, and nobody is asked for a certificate.
    login = {"username": "tenant@thingsboard.org", "password": "tenant"}
    answer = requests.post(f"{secure}/api/auth/login", json=login, timeout=10, verify=str(server.ca))
    assert answer.status_code == 200 and answer.json()["token"]
    said = openssl("s_client", "-connect", f"localhost:{server.https_port}", folder=server.logs)
    assert "No client certificate CA names sent" in said


def test_without_tls_there_is_nothing_to_download_and_nothing_is_made(own):
    server = own(None, "--set", "mqtt.tls_bind=off").start()
    answer = requests.get(server.url + DOWNLOAD, timeout=10)
    assert (answer.status_code, answer.json()["errorCode"]) == (404, 32)
    assert not server.ca.parent.exists() and server.mqtts_port is None
    os.kill(server.pid, signal.SIGHUP)
    assert requests.get(f"{server.url}/health/live", timeout=10).status_code == 200


OWN = {
    "RSA": ["rsa:2048", "-nodes"],
    "EC": [*EC, "-nodes"],
    "RSA 4096": ["rsa:4096", "-nodes"],
    "encrypted": [*EC, "-passout", "pass:hunter2"],
    "Ed25519": ["ed25519", "-nodes"],
}


@pytest.mark.parametrize("kind", OWN)
def test_an_own_certificate_is_served(own, tmp_path, kind):
    certificate, key = self_signed(tmp_path, "mine", OWN[kind])
    (tmp_path / "secret").write_text("hunter2\n")
    more = {"key_passphrase_file": tmp_path / "secret"} if kind == "encrypted" else {}
    server = own(None, *given(certificate, key, **more)).start()
    code, said = mosquitto_pub(server.mqtts, "--cafile", str(certificate), *PUBLISH)
    assert code == 0, said
    assert requests.get(server.url + DOWNLOAD, timeout=10).text == certificate.read_text()
    assert not server.ca.parent.exists()


def test_a_chain_in_one_file_with_its_key_is_served_whole(own, tmp_path):
    certs(tmp_path, "chain", "--name", "unused")
    certs(tmp_path, "server", "--name", "localhost", "--ca", "intermediate.pem")
    both = tmp_path / "both.pem"
    both.write_text((tmp_path / "server.pem").read_text() + (tmp_path / "server-key.pem").read_text())
    root = tmp_path / "root.pem"
    server = own(None, *given(both, ca=root)).start()
    code, said = mosquitto_pub(server.mqtts, "--cafile", str(root), *PUBLISH)
    assert code == 0, said
    assert requests.get(server.url + DOWNLOAD, timeout=10).text == root.read_text()


@pytest.mark.parametrize("told", [False, True], ids=["watched", "SIGHUP"])
def test_a_changed_certificate_is_taken_up_and_connections_stay(own, tmp_path, told):
    certs(tmp_path, "ca")
    certs(tmp_path, "server", "--name", "localhost")
    ca = tmp_path / "ca.pem"
    where = given(tmp_path / "server.pem", tmp_path / "server-key.pem", ca=ca)
    server = own(None, *where, "--set", "http.tls_bind=127.0.0.1:0").start()
    https = ("localhost", server.https_port)
    before = serial(server.mqtts, ca)
    assert serial(https, ca) == before
    client = connect(server.mqtts, ca)

    certs(tmp_path, "server", "--name", "localhost", "--force")
    if told:
        os.kill(server.pid, signal.SIGHUP)
    until("the new certificate", lambda: serial(server.mqtts, ca) != before)
    assert serial(https, ca) == serial(server.mqtts, ca)
    client.publish("v2/t", {"temperature": 27})  # over the connection that was open all the time
    client.close()
    assert server.metrics()["thingport_certificate_reloads_total", 'result="taken_up"'] >= 1


def test_a_session_is_resumed_also_after_the_certificate_changed(own, tmp_path):
    certs(tmp_path, "ca")
    certs(tmp_path, "server", "--name", "localhost")
    ca = tmp_path / "ca.pem"
    server = own(None, *given(tmp_path / "server.pem", tmp_path / "server-key.pem", ca=ca)).start()
    context = ssl.create_default_context(cafile=str(ca))
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def once(session=None):
        tcp = socket.create_connection(("127.0.0.1", server.mqtts_port), 10)
        with context.wrap_socket(tcp, server_hostname="localhost", session=session) as secure:
            return secure.session, secure.session_reused

    session, _ = once()
    assert once(session)[1]
    before = serial(server.mqtts, ca)
    certs(tmp_path, "server", "--name", "localhost", "--force")
    os.kill(server.pid, signal.SIGHUP)
    until("the new certificate", lambda: serial(server.mqtts, ca) != before)
    assert once(session)[1]


def test_a_broken_certificate_is_told_once_and_the_former_one_stays(own, tmp_path):
    certs(tmp_path, "ca")
    certs(tmp_path, "server", "--name", "localhost")
    ca, path = tmp_path / "ca.pem", tmp_path / "server.pem"
    server = own(None, *given(path, tmp_path / "server-key.pem", ca=ca)).start()
    before = serial(server.mqtts, ca)
    client = connect(server.mqtts, ca)
    whole = path.read_text()

    path.write_text("this is no certificate")
    until("the metric", lambda: server.metrics()["thingport_certificate_stale", ""] == 1)
    assert serial(server.mqtts, ca) == before
    client.publish("v2/t", {"temperature": 28})
    client.close()
    path.write_text(whole)
    until("the metric", lambda: server.metrics()["thingport_certificate_stale", ""] == 0)
    assert server.err().count("cannot be used; the former one stays in force") == 1
    assert "holds no certificate in PEM" in server.err()


def test_restarts_keep_the_ca_and_new_names_reach_the_certificate(own):
    server = own().start()
    ca, before = server.ca.read_text(), serial(server.mqtts, server.ca)
    server.terminate()
    server.restart()
    assert server.ca.read_text() == ca and serial(server.mqtts, server.ca) == before
    server.terminate()
    again = own(server.directory, "--set", "tls.names=iot.example,203.0.113.5").start()
    assert again.ca.read_text() == ca
    for name in ("iot.example", "203.0.113.5", "localhost"):
        handshake(again.mqtts, again.ca, name=name)[1].close()


def test_a_first_start_killed_at_any_moment_leaves_one_ca_and_people_who_can_sign_in(own):
    def first_starts(seed):
        server, known = own(demo=seed % 2 == 0), None
        for part in range(3):
            server.spawn()
            # From before the first file is made to after the last one; which moment is hit is left to chance.
            time.sleep(0.02 + 0.02 * ((seed + 5 * part) % 12))
            server.kill()
            secret = server.ca.parent / "ca-key.pem"
            if secret.exists():
                assert known in (None, secret.read_text())
                known = secret.read_text()
        server.restart()
        assert known in (None, (server.ca.parent / "ca-key.pem").read_text())
        handshake(server.mqtts, server.ca)[1].close()
        if "--demo" not in server.arguments:
            for line in (server.directory / "first-passwords.txt").read_text().splitlines():
                Person.login(server.url, *line.split()[-2:])
        server.remove()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(first_starts, range(12)))


def test_only_tls_1_2_and_1_3_are_spoken(own):
    server = own().start()
    newest = own(None, "--set", "tls.min_version=1.3", "--set", "http.tls_bind=127.0.0.1:0").start()
    two, three = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    for address, ca, version, is_spoken in [
            (server.mqtts, server.ca, two, True), (server.mqtts, server.ca, three, True),
            (newest.mqtts, newest.ca, two, False), (newest.mqtts, newest.ca, three, True),
            (("localhost", newest.https_port), newest.ca, two, False)]:
        if is_spoken:
            shown, secure = handshake(address, ca, version)
            assert secure.version() == {two: "TLSv1.2", three: "TLSv1.3"}[version]
            secure.close()
        else:
            with pytest.raises(ssl.SSLError):
                handshake(address, ca, version)
    for old in ("-tls1", "-tls1_1"):
        said = openssl("s_client", old, "-cipher", "ALL@SECLEVEL=0", "-connect", f"localhost:{server.mqtts_port}",
                       folder=server.logs, ok=False)
        assert "alert" in said and "Cipher is (NONE)" in said, said


def refused(own, *arguments):
    """What a start says that stops."""
    server = own(None, *arguments)
    server.spawn()
    assert server.process.wait(20) == 1, server.out()
    assert "is ready" not in server.out()
    assert not (server.directory / "first-passwords.txt").exists()
    return server.err()


def test_a_given_certificate_that_cannot_be_used_stops_the_start(own, tmp_path):
    good, key = self_signed(tmp_path, "good", [*EC, "-nodes"])
    _, other = self_signed(tmp_path, "other", [*EC, "-nodes"])
    _, sealed = self_signed(tmp_path, "sealed", [*EC, "-passout", "pass:hunter2"])
    weak, weak_key = self_signed(tmp_path, "weak", ["rsa:1024", "-nodes"])
    openssl("ec", "-in", str(key), "-aes128", "-passout", "pass:hunter2", "-out", "legacy.pem", folder=tmp_path)
    wrong = tmp_path / "wrong"
    wrong.write_text("not it")
    for arguments, expected in [
            (given(tmp_path / "none.pem"), "none.pem does not exist"),
            (given(key), "holds no certificate in PEM, but PRIVATE KEY"),
            (given(good), "holds no private key in PEM, but CERTIFICATE"),
            (given(good, other), "does not belong to the certificate"),
            (given(good, sealed), "is encrypted and there is no passphrase"),
            (given(good, sealed, key_passphrase_file=wrong), "the passphrase does not open"),
            (given(good, sealed, key_passphrase="hunter2"), "does not belong to the certificate"),
            (given(good, tmp_path / "legacy.pem"), "openssl pkcs8 -topk8 -v2 aes-256-cbc -in"),
            (given(weak, weak_key), "1024 bits is too weak"),
            (given(good, key, ca=tmp_path / "none.pem"), "none.pem does not exist")]:
        said = refused(own, *arguments)
        assert expected in said, said
        assert "hunter2" not in said and "not it" not in said
        checked = subprocess.run([str(BINARY), "check", *arguments], capture_output=True, text=True, timeout=20)
        assert checked.returncode == 1 and expected in checked.stderr, checked


def test_an_expired_certificate_is_served_with_a_warning(own, tmp_path):
    certs(tmp_path, "ca")
    openssl("req", "-new", "-newkey", *EC, "-nodes", "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=old",
            folder=tmp_path)
    openssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-days", "-1", "-CAcreateserial",
            "-out", "old.pem", folder=tmp_path)
    server = own(None, *given(tmp_path / "old.pem", tmp_path / "key.pem")).start()
    assert "the server certificate has expired" in server.err()
    said = openssl("s_client", "-connect", f"localhost:{server.mqtts_port}", "-brief", folder=server.logs)
    assert "CONNECTION ESTABLISHED" in said, said


def test_certs_makes_what_openssl_accepts(tmp_path):
    for kind in ("p256", "p384", "ed25519", "rsa2048"):
        folder = tmp_path / kind
        folder.mkdir()
        how = ["--key-type", kind]
        certs(folder, "ca", *how)
        certs(folder, "server", "--name", "localhost", *how)
        certs(folder, "device", "--name", "one", *how)
        said = certs(folder, "chain", "--name", "two", "--out", "chain", *how)
        for line in (["-CAfile", "ca.pem", "-verify_hostname", "localhost", "-purpose", "sslserver", "server.pem"],
                     ["-CAfile", "one.pem", "one.pem"],
                     ["-CAfile", "chain/root.pem", "-untrusted", "chain/intermediate.pem", "-purpose", "sslclient",
                      "chain/two.pem"]):
            assert openssl("verify", "-x509_strict", *line, folder=folder).endswith("OK\n")
        printed = openssl("x509", "-in", "chain/two.pem", "-noout", "-fingerprint", "-sha256", folder=folder)
        assert printed.strip().split("=")[1] in said
        assert re.search(r"id \(SHA3\) +[0-9a-f]{64}", said)
    assert "exists; give --force" in certs(tmp_path / "p256", "ca", ok=False)
