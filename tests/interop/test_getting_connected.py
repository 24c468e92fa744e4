"""The page that users follow, "Getting Connected": its command lines word for word, but for host and port.

openssl asks for the parts of a certificate's subject; the answers below are typed in as a person would.
Each command that must fail is the same line with one thing wrong, and the server must know which.
"""

import os
import re
import subprocess

import pytest
import requests

from rest import fresh
from server import until

# Word for word from the page.
TOKEN = """mosquitto_pub -d -q 1 -h "mqtt.eu.thingsboard.cloud" -p 1883 -t "v2/t" -u "$ACCESS_TOKEN" -m '{"temperature": 25}'"""
TOKEN_TLS = """mosquitto_pub -d -q 1 --cafile ca-root.pem -h "mqtt.eu.thingsboard.cloud" -p 8883 -t "v2/t" -u "$ACCESS_TOKEN" -m '{"temperature": 25}'"""
BASIC = """mosquitto_pub -d -q 1 -h "mqtt.eu.thingsboard.cloud" -p 1883 -t "v2/t" -i "$CLIENT_ID" -u "$USERNAME" -P "$PASSWORD" -m '{"temperature": 25}'"""
BASIC_TLS = """mosquitto_pub -d -q 1 --cafile ca-root.pem -h "mqtt.eu.thingsboard.cloud" -p 8883 -t "v2/t" -i "$CLIENT_ID" -u "$USERNAME" -P "$PASSWORD" -m '{"temperature": 25}'"""
RSA = """openssl req -x509 -newkey rsa:4096 -keyout key.pem -out cert.pem -sha256 -days 365 -nodes"""
EC = """openssl ecparam -out key.pem -name prime256v1 -genkey
openssl req -new -key key.pem -x509 -nodes -days 365 -out cert.pem"""
CERTIFICATE = """mosquitto_pub --cafile ca-root.pem -d -q 1 -h "mqtt.eu.thingsboard.cloud" -p 8883 -t "v2/t" --key key.pem --cert cert.pem -m '{"temperature": 25}'"""
ROOT = """openssl req -x509 -newkey rsa:4096 -keyout rootKey.pem -out rootCert.pem -sha256 -days 365 -nodes"""
INTERMEDIATE = """openssl req -new -newkey rsa:4096 -keyout intermediateKey.pem -out intermediate.csr -sha256 -nodes
echo basicConstraints=CA:TRUE > ca-ext.txt
openssl x509 -req -in intermediate.csr -out intermediateCert.pem -CA rootCert.pem -CAkey rootKey.pem -days 365 -sha256 -CAcreateserial -extfile ca-ext.txt"""
LEAF = """openssl req -new -newkey rsa:4096 -keyout deviceKey.pem -out device.csr -sha256 -nodes
openssl x509 -req -in device.csr -out deviceCert.pem -CA intermediateCert.pem -CAkey intermediateKey.pem -days 365 -sha256 -CAcreateserial"""
BUNDLE = """cat deviceCert.pem intermediateCert.pem rootCert.pem > chain.pem"""
CHAIN = """mosquitto_pub --cafile ca-root.pem -d -q 1 -h "mqtt.eu.thingsboard.cloud" -p 8883 -t "v2/t" --key deviceKey.pem --cert chain.pem -m '{"temperature": 25}'"""


def answers(common_name):
    """What openssl asks for: country to unit left as they are, the name, no e-mail, no extra attributes."""
    return "\n" * 5 + common_name + "\n" * 4


class Shell:
    """A person's terminal in a directory of its own, beside the server."""

    proven = set()  # Commands that made something, word for word.

    def __init__(self, subject, directory):
        self.subject, self.directory = subject, directory
        ca = requests.get(f"{subject.url}/api/device-connectivity/mqtts/certificate/download", timeout=10)
        (directory / "ca-root.pem").write_bytes(ca.content)

    def run(self, commands, typed="", **variables):
        """Runs lines of the page; the last one's exit status and everything it said."""
        commands = commands.replace("mqtt.eu.thingsboard.cloud", "localhost")
        commands = commands.replace("-p 1883", f"-p {self.subject.mqtt[1]}")
        commands = commands.replace("-p 8883", f"-p {self.subject.mqtts_port}")
        done = subprocess.run(["bash", "-ec", commands], input=typed, cwd=self.directory, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | variables)
        return done.returncode, done.stdout

    def make(self, commands, common_name):
        """Word for word the first time; from then on with shorter keys, which are found much faster."""
        shorter = commands.replace("rsa:4096", "rsa:2048")
        status, said = self.run(shorter if commands in self.proven else commands, answers(common_name))
        assert status == 0, said
        self.proven.add(commands)

    def read(self, name):
        return (self.directory / name).read_text()


@pytest.fixture
def shell(subject, tmp_path):
    return Shell(subject, tmp_path)


def accepted(result):
    status, said = result
    assert status == 0 and "received CONNACK (0)" in said, said
    assert re.search(r"received PUBACK \(Mid: 1, RC:0\)", said), said


def refused(shell, command, code, code5, **variables):
    """The line is refused with the code of the published tables, as MQTT 3.1.1 and as MQTT 5."""
    for version, expected in (("mqttv311", code), ("mqttv5", code5)):
        status, said = shell.run(command.replace("mosquitto_pub", f"mosquitto_pub -V {version}"), **variables)
        assert f"received CONNACK ({expected})" in said and "PUBACK" not in said, said
        assert status == expected, said


def temperature(device):
    return device.owner.ok("GET", f"{device.data}/values/timeseries?keys=temperature")["temperature"][0]["value"]


def arrives(device):
    until("the reading", lambda: temperature(device) == "25")


def why(sysadmin, reason, **members):
    """The newest record of a stranger's refusal: one sentence of what was wrong and one of what to do."""
    entry = sysadmin.event(reason, **members)
    assert entry["sentence"].endswith(".") and entry["remedy"].endswith("."), entry
    return entry


# Access token ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [TOKEN, TOKEN_TLS], ids=["plain", "tls"])
def test_access_token(shell, sysadmin, device, command):
    accepted(shell.run(command, ACCESS_TOKEN=device.token))
    arrives(device)
    unknown = fresh("unknown")
    refused(shell, command, 5, 0x86, ACCESS_TOKEN=unknown)
    entry = why(sysadmin, "login.unknown", userName=f"{unknown[:4]}*** ({len(unknown)} characters)")
    assert unknown not in str(entry)
    refused(shell, command, 4, 0x87, ACCESS_TOKEN="")


# MQTT basic --------------------------------------------------------------------------------------


def basic_line(command, client_id, user, password):
    """The page's line with the options of the fields that the scheme has."""
    command = command if client_id else command.replace('-i "$CLIENT_ID" ', "")
    command = command if user else command.replace('-u "$USERNAME" ', "")
    return command if password else command.replace('-P "$PASSWORD" ', "")


@pytest.mark.parametrize("command", [BASIC, BASIC_TLS], ids=["plain", "tls"])
@pytest.mark.parametrize("fields", ["client id", "user and password", "all three"])
def test_mqtt_basic(shell, tenant, device, command, fields):
    value = {
        "clientId": fresh("client") if fields != "user and password" else None,
        "userName": fresh("user") if fields != "client id" else None,
        "password": "s3cret word" if fields != "client id" else None,
    }
    tenant.save_credentials(device, "MQTT_BASIC", value=value)
    line = basic_line(command, *value.values())
    variables = {"CLIENT_ID": value["clientId"] or "", "USERNAME": value["userName"] or "",
                 "PASSWORD": value["password"] or ""}
    accepted(shell.run(line, **variables))
    arrives(device)
    if value["password"]:
        refused(shell, line, 5, 0x86, **variables | {"PASSWORD": "wrong"})
        entry = tenant.event("login.password_wrong", device)
        assert "s3cret" not in str(entry) and "wrong" not in entry["detail"]
    if fields == "client id":
        # The published table, which our users read, knows 4 for whoever brings no credential.
        refused(shell, line, 4, 0x85, **variables | {"CLIENT_ID": fresh("nobody")})
    if fields == "all three":
        refused(shell, line, 5, 0x86, **variables | {"CLIENT_ID": fresh("other")})


# A certificate of its own ------------------------------------------------------------------------


@pytest.mark.parametrize("commands", [RSA, EC], ids=["rsa", "ec"])
def test_device_certificate(shell, tenant, sysadmin, device, commands):
    name = fresh("certified")
    shell.make(commands, name)
    refused(shell, CERTIFICATE, 5, 0x87)
    unknown_certificate([tenant, sysadmin], name)

    tenant.save_credentials(device, "X509_CERTIFICATE", value=shell.read("cert.pem"))
    accepted(shell.run(CERTIFICATE))
    arrives(device)

    # Somebody who has only read the certificate, which is no secret, cannot be the device.
    (shell.directory / "cert.pem").rename(shell.directory / "stolen.pem")
    shell.make(EC, "thief")
    status, said = shell.run(CERTIFICATE.replace("cert.pem", "stolen.pem"))
    assert status != 0 and "PUBACK" not in said, said


def unknown_certificate(people, name):
    """The record of a refusal that shows a certificate with this name: of a tenant, or of a stranger."""

    def found():
        entries = [entry for person in people for entry in person.events()]
        return next((entry for entry in entries if name in str(entry)), None)

    entry = until(f"a record that shows {name}", found)
    assert entry["sentence"].endswith(".") and entry["remedy"].endswith("."), entry
    return entry


# A chain -----------------------------------------------------------------------------------------


@pytest.fixture
def chain(shell):
    """Root, intermediate and device, as the page makes them."""
    name = fresh("chained")
    shell.make(ROOT, "Root")
    shell.make(INTERMEDIATE, fresh("Intermediate"))
    shell.make(LEAF, f"{name}.example.com")
    shell.make(BUNDLE, "")
    return name


def chain_profile(tenant, pem, allow_create):
    provisioning = {
        "type": "X509_CERTIFICATE_CHAIN", "provisionDeviceSecret": pem,
        "certificateRegExPattern": r"(.*)\.example\.com", "allowCreateNewDevicesByX509Certificate": allow_create,
    }
    configuration = {"configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"},
                     "provisionConfiguration": provisioning}
    return tenant.new_profile("DEFAULT", provisionType="X509_CERTIFICATE_CHAIN", profileData=configuration)


def test_certificate_chain(shell, tenant, sysadmin, chain):
    refused(shell, CHAIN, 5, 0x87)
    unknown_certificate([tenant, sysadmin], chain)

    profile = chain_profile(tenant, shell.read("intermediateCert.pem"), allow_create=False)
    refused(shell, CHAIN, 5, 0x87)
    assert tenant.get(f"/api/tenant/devices?deviceName={chain}").status_code == 404

    profile["profileData"]["provisionConfiguration"]["allowCreateNewDevicesByX509Certificate"] = True
    tenant.ok("POST", "/api/deviceProfile", profile)
    accepted(shell.run(CHAIN))
    device = tenant.ok("GET", f"/api/tenant/devices?deviceName={chain}")
    assert device["deviceProfileId"] == profile["id"]
    first = tenant.ok("GET", f"/api/device/{device['id']['id']}/credentials")
    assert first["credentialsType"] == "X509_CERTIFICATE"
    data = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/values/timeseries?keys=temperature"
    until("the reading", lambda: tenant.ok("GET", data)["temperature"][0]["value"] == "25")

    # A new certificate of the same name takes the place of the old one.
    shell.make(LEAF, f"{chain}.example.com")
    shell.make(BUNDLE, "")
    accepted(shell.run(CHAIN))
    second = tenant.ok("GET", f"/api/device/{device['id']['id']}/credentials")
    assert second["credentialsId"] != first["credentialsId"]

    # Somebody else's hierarchy with the same names does not.
    tenant.ok("GET", f"/api/device/{device['id']['id']}")
    for name in ("rootCert.pem", "intermediateCert.pem"):
        (shell.directory / name).unlink()
    shell.make(ROOT, "Root")
    shell.make(INTERMEDIATE, "Intermediate")
    shell.make(LEAF, f"{chain}.example.com")
    shell.make(BUNDLE, "")
    refused(shell, CHAIN, 5, 0x87)
    assert tenant.ok("GET", f"/api/device/{device['id']['id']}/credentials") == second


def test_a_device_of_the_chain_cannot_make_another(shell, tenant, sysadmin, chain):
    """A device certificate signs one of another name: the original lets it in, and any device takes over any."""
    chain_profile(tenant, shell.read("intermediateCert.pem"), allow_create=True)
    accepted(shell.run(CHAIN))
    other = fresh("forged")
    forged = """openssl req -new -newkey rsa:2048 -keyout forgedKey.pem -out forged.csr -sha256 -nodes
openssl x509 -req -in forged.csr -out forgedCert.pem -CA deviceCert.pem -CAkey deviceKey.pem -days 365 -sha256 -CAcreateserial"""
    shell.make(forged, f"{other}.example.com")
    shell.make("cat forgedCert.pem deviceCert.pem intermediateCert.pem rootCert.pem > forgedChain.pem", "")
    line = CHAIN.replace("deviceKey.pem", "forgedKey.pem").replace("chain.pem", "forgedChain.pem")
    refused(shell, line, 5, 0x87)
    entry = unknown_certificate([tenant, sysadmin], other)
    assert "deviceCert" in str(entry) or chain in str(entry), entry
    assert tenant.get(f"/api/tenant/devices?deviceName={other}").status_code == 404


@pytest.mark.parametrize("path", ["http.http", "mqtt.mqtt", "mqtt.mqtts"])
def test_the_commands_shown_for_a_device_work_as_they_are(shell, tenant, path):
    """REST API section 13: what "check connectivity" shows, run unchanged: ports and host are this server's."""
    device = tenant.new_device()
    shown = tenant.ok("GET", f"/api/device-connectivity/{device.id}")
    for part in path.split("."):
        shown = shown[part]
    status, said = shell.run("\n".join([shown] if isinstance(shown, str) else shown))
    assert status == 0, said
    values = f"/api/plugins/telemetry/DEVICE/{device.id}/values/timeseries"
    until("the reading", lambda: tenant.ok("GET", values).get("temperature", [{}])[0].get("value") == "25")
