"""Running it: first start, greeting, health, metrics, configuration, drain, one process per directory."""

import os
import re
import shlex
import signal
import stat
import subprocess
import time

import pytest
import requests

import wire as w
from clients import Feed
from rest import Person
from server import BINARY, LOOPBACK, until
from wire import V5, V31, V311, Wire, publish

pytestmark = pytest.mark.process

DEMO_DEVICES = {
    "Test Device A1": "A1_TEST_TOKEN", "Test Device A2": "A2_TEST_TOKEN", "Test Device A3": "A3_TEST_TOKEN",
    "Test Device B1": "B1_TEST_TOKEN", "Test Device C1": "C1_TEST_TOKEN",
    "DHT11 Demo Device": "DHT11_DEMO_TOKEN", "Raspberry Pi Demo Device": "RASPBERRY_PI_DEMO_TOKEN",
    "Thermostat T1": "T1_TEST_TOKEN", "Thermostat T2": "T2_TEST_TOKEN",
}


def run(*arguments, environment=None, timeout=20):
    """Runs the binary to its end: exit status, standard output, standard error."""
    done = subprocess.run([str(BINARY), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout, env={**os.environ, **(environment or {})})
    return done.returncode, done.stdout, done.stderr


def test_the_line_that_is_printed_works(own):
    """Issue, item 1: says where it listens and the exact line to try."""
    server = own().start()
    out = server.out()
    assert str(server.mqtt_port) in out and str(server.http_port) in out
    line = re.search(r"^ *(mosquitto_pub .*)$", out, re.MULTILINE)[1]
    assert "A1_TEST_TOKEN" in line
    done = subprocess.run(shlex.split(line), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    assert done.returncode == 0 and "PUBACK" in done.stdout, done.stdout
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.ok("GET", "/api/tenant/devices?deviceName=Test%20Device%20A1")["id"]["id"]
    path = f"/api/plugins/telemetry/DEVICE/{device}/values/timeseries?keys=temperature"
    assert tenant.ok("GET", path)["temperature"][0]["value"] == "25"
    # "Done when": still there after kill -9 and restart.
    server.kill()
    server.restart()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    assert tenant.ok("GET", path)["temperature"][0]["value"] == "25"


def test_the_demo_is_complete_and_listens_on_loopback(own):
    server = own()
    server.arguments = ["--data", str(server.directory), "--demo", "--set", "mqtt.bind=:0", "--set", "http.bind=:0",
                        "--set", "mqtt.tls_bind=:0"]
    server.start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    rows = tenant.ok("GET", "/api/tenant/deviceInfos?pageSize=100&page=0")["data"]
    assert {row["name"] for row in rows} == set(DEMO_DEVICES)
    assert {row["name"]: row["customerTitle"] for row in rows if row["customerTitle"]} == {
        "Test Device A1": "Customer A", "Test Device A2": "Customer A", "Test Device A3": "Customer A",
        "Test Device B1": "Customer B", "Test Device C1": "Customer C"}
    assert {row["deviceProfileName"] for row in rows if row["name"].startswith("Thermostat")} == {"thermostat"}
    for token in DEMO_DEVICES.values():
        with Wire(server.mqtt) as connection:
            connection.login(token)
    sockets = listening(server.pid)
    assert sockets == {f"127.0.0.1:{port}" for port in (server.mqtt_port, server.mqtts_port, server.http_port)}
    # A second start of the demo changes nothing.
    server.terminate()
    server.restart()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    assert tenant.ok("GET", "/api/tenant/devices?pageSize=100&page=0")["totalElements"] == len(DEMO_DEVICES)


def listening(pid):
    """Addresses on which a process listens, read from /proc."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            continue
        if found:
            inodes.add(found[1])
    addresses = set()
    for line in open("/proc/net/tcp").read().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            host, port = fields[1].split(":")
            octets = [str(int(host[at:at + 2], 16)) for at in (6, 4, 2, 0)]
            addresses.add(f"{'.'.join(octets)}:{int(port, 16)}")
    return addresses


def test_the_first_start_shows_passwords_once_and_keeps_them_for_the_owner(own):
    server = own(demo=False).start()
    files = [it for it in server.directory.iterdir() if "password" in it.name]
    assert len(files) == 1 and stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(server.directory.stat().st_mode) & 0o007 == 0, "the data are nobody else's"
    accounts = re.findall(r"(\S+@\S+) +(\S+)$", files[0].read_text(), re.MULTILINE)
    assert len(accounts) == 2 and str(files[0]) in server.out()
    roles = set()
    for name, password in accounts:
        assert f"{name}  {password}" in server.out() and len(password) >= 16
        assert password not in server.err()
        roles.add(Person.login(server.url, name, password).ok("GET", "/api/auth/user")["authority"])
    assert roles == {"SYS_ADMIN", "TENANT_ADMIN"}
    for name, password in (("sysadmin@thingsboard.org", "sysadmin"), ("tenant@thingsboard.org", "tenant")):
        answer = requests.post(f"{server.url}/api/auth/login", json={"username": name, "password": password})
        assert answer.status_code == 401, "no demo account in production"
    tenant = Person.login(server.url, *accounts[1])
    assert tenant.ok("GET", "/api/tenant/devices?pageSize=10&page=0")["totalElements"] == 0
    server.terminate()
    server.restart()
    assert all(password not in server.out() for _, password in accounts), "shown once"
    Person.login(server.url, *accounts[0])


def test_health(own):
    server = own().start()
    for path in ("/health/live", "/health/ready", "/actuator/health", "/actuator/health/liveness",
                 "/actuator/health/readiness"):
        answer = requests.get(server.url + path)
        assert (answer.status_code, answer.json()["status"]) == (200, "UP")
    assert requests.get(f"{server.url}/actuator/info").status_code == 200


def test_metrics_count_what_happens(own):
    server = own().start()
    before = server.metrics()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    with Wire(server.mqtt) as connection, Wire(server.mqtt) as refused, Feed(server.url, token=tenant.token):
        connection.login("A1_TEST_TOKEN")
        assert refused.ask(w.connect(V311, "a", "WRONG")).code == 5
        connection.ask(publish("v2/t", '{"a":1,"b":2,"c":3}', 1, 1), w.PUBACK)
        connection.ask(publish("v2/a", '{"d":1}', 1, 2), w.PUBACK)
        connection.ask(publish("nowhere", '{"d":1}', 1, 3), w.PUBACK)
        connection.send(publish("v2/t", "x" * 100, 1, 4))
        assert connection.packet() is None
        after = until("the counters", lambda: (now := server.metrics()) and now[
            ("thingport_messages_rejected_total", "")] >= 2 and now)
        sessions = after[("thingport_websockets", "")]
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    for (name, labels), least in {
        ("thingport_mqtt_connections_accepted_total", ""): 2,
        ("thingport_mqtt_logins_total", 'result="accepted"'): 1,
        ("thingport_mqtt_logins_total", 'result="refused"'): 1,
        ("thingport_messages_total", 'kind="telemetry"'): 1,
        ("thingport_messages_total", 'kind="attributes"'): 1,
        ("thingport_points_total", ""): 4,
        ("thingport_acknowledged_total", ""): 2,
        ("thingport_incidents_total", 'reason="login.unknown"'): 1,
        ("thingport_incidents_total", 'reason="publish.topic_unknown"'): 1,
        ("thingport_incidents_total", 'reason="payload.not_json"'): 1,
    }.items():
        assert grown[(name, labels)] == least, (name, labels)
    assert sessions == 1
    assert grown[("thingport_rest_answers_total", 'status="2xx"')] >= 1
    assert grown[("thingport_mqtt_bytes_total", 'direction="in"')] > 100
    assert grown[("thingport_commit_seconds_count", "")] >= 2
    assert after[("thingport_storage_healthy", "")] == 1
    assert after[("thingport_commit_seconds_bucket", 'le="+Inf"')] == after[("thingport_commit_seconds_count", "")]
    buckets = [value for (name, _), value in after.items() if name == "thingport_commit_seconds_bucket"]
    assert buckets == sorted(buckets), "cumulative"
    for name in ("mqtt_connections", "mqtt_sessions", "watches", "commit_queue_bytes", "commit_queue_max_bytes",
                 "head_bytes", "head_max_bytes", "log_segments", "disk_bytes", "damaged_records",
                 "resident_memory_bytes"):
        assert (f"thingport_{name}", "") in after, name
    assert any(name == "thingport_bound_hits_total" for name, _ in after)
    page = requests.get(f"{server.url}/metrics").text
    families = set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))
    assert families == set(re.findall(r"^# HELP (\S+) \S", page, re.MULTILINE)), "each has a help line"
    until("everything closed", lambda: server.metrics()[("thingport_mqtt_connections", "")] == 0)


def test_sigterm_drains(own):
    """R9, D-4: what was read is finished, version 5 hears 0x8B, WebSockets 1012, exit 0 within 5 s."""
    server = own().start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    tokens = {V31: "A1_TEST_TOKEN", V311: "A2_TEST_TOKEN", V5: "A3_TEST_TOKEN"}
    open_now = {version: Wire(server.mqtt, version) for version in tokens}
    feed = Feed(server.url, token=tenant.token)
    half_open = Wire(server.mqtt)
    for version, connection in open_now.items():
        connection.login(tokens[version])
        connection.send(b"".join(publish("v2/t", '{"ts":%d,"values":{"n":%d}}' % (n, n), 1, n, version)
                                 for n in range(1, 51)))
        connection.expect(w.PUBACK)
    server.process.terminate()
    started = time.monotonic()
    acknowledged = {}
    for version, connection in open_now.items():
        told = []
        while (found := connection.packet()) is not None:
            told.append(found)
        acknowledged[version] = 1 + sum(it.kind == w.PUBACK for it in told)
        if version == V5:
            assert str(told[-1]) == "DISCONNECT 0x8b"
        else:
            assert all(it.kind == w.PUBACK for it in told)
        connection.close()
    assert feed.next() == ("close", 1012)
    assert server.process.wait(10) == 0
    assert time.monotonic() - started < 5
    half_open.close()
    server.restart()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    for version, name in ((V31, "A1"), (V311, "A2"), (V5, "A3")):
        device = tenant.ok("GET", f"/api/tenant/devices?deviceName=Test%20Device%20{name}")["id"]["id"]
        found = tenant.ok("GET", f"/api/plugins/telemetry/DEVICE/{device}/values/timeseries?keys=n"
                                 "&startTs=1&endTs=1000&limit=1000&orderBy=ASC").get("n", [])
        assert [it["ts"] for it in found][:acknowledged[version]] == list(range(1, acknowledged[version] + 1))


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_an_idle_server_stops_at_once(own, name):
    server = own().start()
    started = time.monotonic()
    server.process.send_signal(getattr(signal, f"SIG{name}"))
    assert server.process.wait(10) == 0
    assert time.monotonic() - started < 2


def test_one_process_per_directory(own):
    server = own().start()
    status, out, err = run(*LOOPBACK, "--data", str(server.directory), "--demo")
    assert status == 1
    assert str(server.directory) in err and "panicked" not in err
    assert str(server.pid) in err or "another" in err, err
    assert len(err.strip().splitlines()) <= 3, err
    assert server.is_ready(), "the first one is not disturbed"


def test_a_port_that_is_taken_is_told(own, tmp_path):
    server = own().start()
    status, _, err = run(*LOOPBACK, "--data", str(tmp_path / "d"), "--set", f"mqtt.bind=127.0.0.1:{server.mqtt_port}")
    assert status == 1 and "mqtt.bind" in err and str(server.mqtt_port) in err and "panicked" not in err


@pytest.mark.parametrize("text, line, nearest", [
    ('[mqtt]\n# where\nbnd = "127.0.0.1:1"\n', 3, "mqtt.bind"),
    ('[mqqt]\nbind = 1\n', 2, "mqtt.bind"),
    ('[storage]\ndirectory = "x"\n', 2, "storage.dir"),
])
def test_a_wrong_key_names_file_line_and_nearest_key(tmp_path, text, line, nearest):
    file = tmp_path / "thingport.toml"
    file.write_text(text)
    for words in (["--config", str(file)], ["serve", "--config", str(file)], ["check", "--config", str(file)]):
        status, _, err = run(*words)
        assert status == 2
        assert f"{file}:{line}" in err and nearest in err


def test_a_configuration_that_is_right_is_used(tmp_path, own):
    """File, then environment, then flags."""
    file = tmp_path / "thingport.toml"
    file.write_text('[mqtt]\npacket_size_max = "2KiB"\nreceive_maximum = 7\n')
    status, out, _ = run("check", "--print", "--config", str(file), "--set", "mqtt.receive_maximum=9",
                         environment={"THINGPORT__MQTT__RECEIVE_MAXIMUM": "8", "THINGPORT__LOG__LEVEL": "warn"})
    assert status == 0 and "receive_maximum = 9" in out and 'level = "warn"' in out and '"2KiB"' in out
    server = own(None, "--config", str(file)).start()
    with Wire(server.mqtt, V5) as connection:
        stated = connection.login("A1_TEST_TOKEN").properties
        assert (stated[w.PACKET_SIZE_MAX], stated[w.RECEIVE_MAXIMUM]) == (2048, 7)
        connection.send(publish("v2/t", "x" * 2048, version=V5))
        assert connection.outcome() == "DISCONNECT 0x95 close"


def test_keep_alive_is_shortened_where_the_server_says_so(own):
    """K-2."""
    server = own(None, "--set", "mqtt.keep_alive_max=1s", "--set", "compat.disconnect_after_refusal=true").start()
    with Wire(server.mqtt, V5) as new, Wire(server.mqtt) as older:
        assert new.login("A1_TEST_TOKEN", keep_alive=0).properties[w.SERVER_KEEP_ALIVE] == 1
        older.login("A2_TEST_TOKEN", keep_alive=600)
        assert new.outcome() == "DISCONNECT 0x8d close"
        assert older.outcome() == "close"
    with Wire(server.mqtt, V5) as refused:
        refused.send(w.connect(V5, "a", "WRONG"))
        assert refused.outcome() == "CONNACK 0x86 DISCONNECT 0x86 close", "ThingsBoard's way, on request"


def test_the_command_line():
    status, out, _ = run("--version")
    assert status == 0 and re.match(r"thingport \d+\.\d+\.\d+", out)
    assert run("check")[0] == 0
    status, out, _ = run("check", "--reference")
    assert status == 0 and "### `mqtt.bind`" in out
    assert run("start")[0] == 2
    assert run("--set", "mqtt.bind")[0] == 2


def test_connections_beyond_the_bound_are_closed_at_accept(own):
    server = own(None, "--set", "mqtt.connections_max=3").start()
    taken = [Wire(server.mqtt) for _ in range(3)]
    for n, connection in enumerate(taken, 1):
        connection.login(f"A{n}_TEST_TOKEN")
    with Wire(server.mqtt) as fourth:
        fourth.send(w.connect(V311, "a", "B1_TEST_TOKEN"))
        assert fourth.packet() is None
    assert all(connection.is_alive() for connection in taken)
    assert server.metrics()[("thingport_bound_hits_total", 'bound="connections_max"')] >= 1
    taken[0].close()

    def let_in():
        with Wire(server.mqtt) as next_one:
            answer = next_one.ask(w.connect(V311, "a", "B1_TEST_TOKEN"))
            return answer is not None and answer.code == 0

    until("the freed place", let_in)


def test_small_at_rest(own):
    """Little resident memory, with nothing to do and no password hashed yet; and the binary."""
    server = own().start()
    server.terminate()
    server.restart()
    assert server.metrics()[("thingport_resident_memory_bytes", "")] < 30 << 20
    assert BINARY.stat().st_size < 30 << 20
