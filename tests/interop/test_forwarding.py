"""Forwarding: what devices send leaves the house to a real receiver of webhooks, a real broker and a real Kafka."""

import hashlib
import hmac
import json
import random
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import paho.mqtt.client as paho
import pytest
import requests

from rest import Person, fresh
from server import ROOT, Server, until
from wire import Wire, publish

SECRET = "0123456789abcdef0123456789abcdef"
NEAR = ["--set", "outbound.allow=127.0.0.0/8, ::1"]
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
PATIENCE = 30


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Receiver:
    """Takes arrays of messages. `say(messages)` gives the status of an answer; 200 unless told otherwise."""

    def __init__(self):
        receiver = self
        self.say, self.lock = (lambda messages: 200), threading.Lock()
        self.requests, self.taken = [], []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                messages = json.loads(body)
                status = receiver.say(messages)
                with receiver.lock:
                    receiver.requests.append((dict(self.headers.items()), body, status))
                    if status == 200:
                        receiver.taken += messages
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass  # whoever asked was killed

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # whoever asked was killed

        self.server = Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/in"

    def values(self, key):
        with self.lock:
            return [it["values"][key] for it in self.taken if key in it.get("values", {})]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


class Broker:
    """A mosquitto of our own, and a subscriber who notes everything it is told."""

    def __init__(self, home):
        self.home, self.process, self.port, self.got = home, None, free_port(), []
        (home / "passwords").write_text("")
        subprocess.run(["mosquitto_passwd", "-b", str(home / "passwords"), "house", "pass word"], check=True,
                       capture_output=True, timeout=30)
        # Also as root it must be able to read its files. It drops nothing its listener is slow to take.
        (home / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\npassword_file {home / 'passwords'}\npersistence false\n"
            "max_inflight_messages 20\nmax_queued_messages 0\nuser root\n")
        self.start()

    def start(self):
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.home / "mosquitto.conf")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("the broker", self.answers)
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, fresh("listener"), protocol=paho.MQTTv5)
        self.client.username_pw_set("house", "pass word")
        listening = threading.Event()
        self.client.on_message = lambda c, u, m: self.got.append((m.topic, m.qos, json.loads(m.payload)))
        self.client.on_subscribe = lambda *_: listening.set()
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        self.client.subscribe("#", qos=1)
        assert listening.wait(10)

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def house():
    with Server(None, *NEAR) as server:
        yield server
        assert "panicked" not in server.err(), server.err()[-3000:]
        assert SECRET not in server.err() + server.out()


@pytest.fixture(scope="module")
def admin(house):
    return Person.login(house.url, "tenant@thingsboard.org", "tenant")


def profile_of(admin, targets, **members):
    return admin.new_profile("DEFAULT", profileData={
        "configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"},
        "thingport": {"forwarding": targets},
    }, **members)


def save_targets(admin, profile, targets):
    body = admin.ok("GET", f"/api/deviceProfile/{profile['id']['id']}")
    body["profileData"]["thingport"] = {"forwarding": targets}
    return admin.ok("POST", "/api/deviceProfile", body)


def state(admin, profile, name):
    found = admin.ok("GET", "/api/thingport/forwarding")
    return next((it for it in found if (it["deviceProfileId"], it["name"]) == (profile["id"]["id"], name)), None)


def say(device, server, body, topic="telemetry"):
    answer = requests.post(f"{server.url}/api/v1/{device.token}/{topic}", json=body, timeout=30)
    assert answer.status_code == 200, answer.text


def test_a_webhook_gets_what_devices_of_the_profile_say_and_nothing_else(house, admin, receiver):
    profile = profile_of(admin, [{"name": "lake", "type": "WEBHOOK", "url": receiver.url, "secret": SECRET}])
    shown = profile["profileData"]["thingport"]["forwarding"]
    assert shown == [{"name": "lake", "kinds": ["TELEMETRY", "ATTRIBUTES"], "type": "WEBHOOK", "url": receiver.url,
                      "secretSet": True, "timeoutMs": 10000, "batchMax": 100}]
    ours, other = admin.new_device(deviceProfileId=profile["id"]), admin.new_device()
    say(other, house, {"never": 1})
    say(ours, house, {"temperature": 21.5, "on": True, "name": "a", "count": 7, "nested": {"a": [1, 2.50]}})
    say(ours, house, [{"ts": 1000, "values": {"old": 1}}, {"ts": 2000, "values": {"old": 2}}])
    say(ours, house, {"serial": "x1"}, "attributes")
    admin.ok("POST", f"/api/plugins/telemetry/{ours.id}/SHARED_SCOPE", {"not_said_by_it": 1})
    say(ours, house, {"last": 1})
    until("the last one", lambda: receiver.values("last"), PATIENCE)
    messages = receiver.taken
    assert {it["deviceId"] for it in messages} == {ours.id}
    first = messages[0]
    assert (first["kind"], first["deviceName"], first["deviceType"]) == ("TELEMETRY", ours.body["name"], profile["name"])
    assert first["values"] == {"temperature": 21.5, "on": True, "name": "a", "count": 7, "nested": {"a": [1, 2.5]}}
    assert first["tenantId"] == ours.body["tenantId"]["id"] and abs(first["ts"] - first["receivedTs"]) < 60_000
    assert [(it["ts"], it["values"]) for it in messages[1:3]] == [(1000, {"old": 1}), (2000, {"old": 2})]
    assert (messages[3]["kind"], messages[3]["values"]) == ("ATTRIBUTES", {"serial": "x1"})
    assert "not_said_by_it" not in str(messages) and "never" not in str(messages)
    assert len({it["id"] for it in messages}) == len(messages)
    for headers, body, _ in receiver.requests:
        moment, mine = (part.split("=")[1] for part in headers["x-thingport-signature"].split(","))
        expected = hmac.new(SECRET.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(mine, expected)
    done = until("nothing is behind", lambda: (it := state(admin, profile, "lake"))["lagCommits"] == 0 and it, PATIENCE)
    assert (done["status"], done["delivered"], done["failures"]) == ("UP_TO_DATE", 4, 0), done


def test_a_receiver_that_fails_gets_everything_later_and_devices_do_not_notice(house, admin, receiver):
    profile = profile_of(admin, [{"name": "late", "type": "WEBHOOK", "url": receiver.url}])
    device = admin.new_device(deviceProfileId=profile["id"])
    receiver.say = lambda messages: 503
    for n in range(50):
        say(device, house, {"n": n})
    failing = until("it fails", lambda: (it := state(admin, profile, "late"))["failures"] > 0 and it, PATIENCE)
    assert failing["status"] == "FAILING" and failing["lastError"] == "status 503", failing
    assert failing["lagCommits"] > 0 and failing["lagBytes"] > 0 and failing["delivered"] == 0, failing
    event = admin.event("forwarding.failed")
    assert "late" in event["detail"] and "status 503" in event["detail"], event
    rows = house.metrics()
    labels = f'target="late",profile="{profile["name"]}",tenant="{device.body["tenantId"]["id"]}"'
    assert rows["thingport_forward_lag_commits", labels] > 0 and rows["thingport_forward_failures_total", labels] > 0
    receiver.say = lambda messages: 200
    until("everything", lambda: len(receiver.values("n")) >= 50, PATIENCE)
    assert receiver.values("n") == list(range(50)), "in order, once"


def test_a_message_that_is_refused_for_good_is_set_aside_and_holds_up_nobody(house, admin, receiver):
    profile = profile_of(admin, [{"name": "picky", "type": "WEBHOOK", "url": receiver.url, "batchMax": 50}])
    device = admin.new_device(deviceProfileId=profile["id"])
    gate = threading.Event()

    def say_so(messages):
        gate.wait(PATIENCE)
        return 422 if any(it["values"].get("n") == 13 for it in messages) else 200

    receiver.say = say_so
    for n in range(40):
        say(device, house, {"n": n})
    gate.set()
    until("all but one", lambda: len(receiver.values("n")) >= 39, PATIENCE)
    assert receiver.values("n") == [n for n in range(40) if n != 13], "the others, in order, once"
    found = until("it is counted", lambda: (it := state(admin, profile, "picky"))["setAside"] and it, PATIENCE)
    assert (found["setAside"], found["delivered"]) == (1, 39), found
    event = admin.event("forwarding.refused", device)
    assert "picky" in event["detail"] and "422" in event["detail"], event


def test_settings_change_without_a_gap_and_a_secret_stays_until_it_is_replaced(house, admin, receiver):
    target = {"name": "moves", "type": "WEBHOOK", "url": f"{receiver.url}/nobody", "secret": SECRET}
    receiver.say = lambda messages: 404
    profile = profile_of(admin, [target])
    device = admin.new_device(deviceProfileId=profile["id"])
    for n in range(5):
        say(device, house, {"n": n})
    until("it fails", lambda: state(admin, profile, "moves")["failures"] > 0, PATIENCE)
    receiver.say = lambda messages: 200
    save_targets(admin, profile, [{"name": "moves", "type": "WEBHOOK", "url": receiver.url, "kinds": ["TELEMETRY"]}])
    until("what was not taken before", lambda: len(receiver.values("n")) >= 5, PATIENCE)
    assert receiver.values("n") == list(range(5))
    assert "x-thingport-signature" in receiver.requests[-1][0], "the secret was not shown and is not lost"
    say(device, house, {"serial": 1}, "attributes")
    say(device, house, {"n": 5})
    until("telemetry alone", lambda: receiver.values("n")[-1:] == [5], PATIENCE)
    assert not receiver.values("serial")
    save_targets(admin, profile, [])
    until("it is gone", lambda: state(admin, profile, "moves") is None, PATIENCE)
    say(device, house, {"n": 6})
    save_targets(admin, profile, [{"name": "moves", "type": "WEBHOOK", "url": receiver.url}])
    say(device, house, {"n": 7})
    until("the next one", lambda: receiver.values("n")[-1:] == [7], PATIENCE)
    assert receiver.values("n") == [0, 1, 2, 3, 4, 5, 7], "a new target begins now"
    assert "x-thingport-signature" not in receiver.requests[-1][0], "and knows no secret"


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_another_broker_gets_each_message_under_a_topic_of_its_own(house, admin, broker, version):
    profile = profile_of(admin, [{"name": "site", "type": "MQTT", "url": f"mqtt://127.0.0.1:{broker.port}",
                                  "version": version, "topic": "plant/${deviceType}/${deviceName}/${kind}",
                                  "user": "house", "password": "pass word"}])
    device = admin.new_device(deviceProfileId=profile["id"], name=fresh("pump/+#"))
    for n in range(100):
        say(device, house, {"n": n})
    say(device, house, {"serial": "x"}, "attributes")
    until("all of them", lambda: len(broker.got) >= 101, PATIENCE)
    name = device.body["name"].replace("/", "_").replace("+", "_").replace("#", "_")
    topic = f"plant/{profile['name']}/{name}"
    assert [it[0] for it in broker.got] == [f"{topic}/telemetry"] * 100 + [f"{topic}/attributes"]
    assert {it[1] for it in broker.got} == {1}
    assert [it[2]["values"]["n"] for it in broker.got[:100]] == list(range(100))
    assert broker.got[0][2]["deviceName"] == device.body["name"]


def test_a_broker_that_was_away_gets_what_was_said_meanwhile(house, admin, broker):
    profile = profile_of(admin, [{"name": "away", "type": "MQTT", "url": f"mqtt://127.0.0.1:{broker.port}",
                                  "topic": "t", "user": "house", "password": "wrong"}])
    device = admin.new_device(deviceProfileId=profile["id"])
    say(device, house, {"n": 0})
    refused = until("the login is refused", lambda: (it := state(admin, profile, "away"))["failures"] and it, PATIENCE)
    assert "refused the login with 0x87" in refused["lastError"], refused
    save_targets(admin, profile, [{"name": "away", "type": "MQTT", "url": f"mqtt://127.0.0.1:{broker.port}",
                                   "topic": "t", "user": "house", "password": "pass word"}])
    until("the first", lambda: len(broker.got) >= 1, PATIENCE)
    broker.stop()
    for n in range(1, 20):
        say(device, house, {"n": n})
    until("it fails", lambda: state(admin, profile, "away")["status"] == "FAILING", PATIENCE)
    broker.start()
    until("the rest", lambda: len(broker.got) >= 20, PATIENCE)
    assert [it[2]["values"]["n"] for it in broker.got] == list(range(20))


@pytest.mark.process
def test_an_orderly_stop_repeats_nothing_and_forgets_nothing(own, receiver):
    server = own(None, *NEAR).start()
    admin = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    profile = profile_of(admin, [{"name": "calm", "type": "WEBHOOK", "url": receiver.url}])
    device = admin.new_device(deviceProfileId=profile["id"])
    say(device, server, {"n": 0})
    until("the first", lambda: receiver.values("n") == [0], PATIENCE)
    receiver.say = lambda messages: 503
    for n in range(1, 10):
        say(device, server, {"n": n})
    status, seconds = server.terminate()
    assert status == 0 and seconds < 6, f"{status} after {seconds} s"
    receiver.say = lambda messages: 200
    server.restart()
    until("the rest", lambda: len(receiver.values("n")) >= 10, PATIENCE)
    assert receiver.values("n") == list(range(10)), "in order, once"


class Sender(threading.Thread):
    """A device that counts, and notes what was acknowledged."""

    def __init__(self, server, token, first):
        super().__init__(daemon=True)
        self.wire, self.acknowledged, self.n = Wire(server.mqtt, 4), [], first
        self.wire.login(token)

    def run(self):
        try:
            while True:
                body = json.dumps({"n": self.n})
                self.wire.send(publish("v1/devices/me/telemetry", body, 1, self.n % 65535 + 1, 4))
                if self.wire.packet() is None:
                    return
                self.acknowledged.append(self.n)
                self.n += 1
        except OSError:
            pass  # the server was killed
        finally:
            self.wire.close()


@pytest.mark.process
def test_kill_9_at_any_moment_costs_no_target_an_acknowledged_reading(own, receiver, broker):
    chance = random.Random()
    server = own(None, *NEAR, "--set", "storage.log_segment_size=1MiB",
                 "--set", "storage.commit_queue_max=256KiB").start()
    admin = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    profile = profile_of(admin, [
        {"name": "hook", "type": "WEBHOOK", "url": receiver.url, "batchMax": 20},
        {"name": "site", "type": "MQTT", "url": f"mqtt://127.0.0.1:{broker.port}", "topic": "t/${deviceName}",
         "user": "house", "password": "pass word"},
    ])
    # Out of order at times, but not so often that the pauses after it are what takes time.
    refusals = iter(range(12))
    receiver.say = lambda messages: 503 if chance.random() < 0.1 and next(refusals, None) is not None else 200
    devices = [admin.new_device(deviceProfileId=profile["id"]) for _ in range(2)]
    acknowledged, first = {it.id: [] for it in devices}, {it.id: 0 for it in devices}
    for _ in range(4):
        senders = {it.id: Sender(server, it.token, first[it.id]) for it in devices}
        for it in senders.values():
            it.start()
        until("both are heard", lambda: all(it.acknowledged for it in senders.values()))
        moment = time.monotonic() + chance.uniform(0.1, 0.8)
        until("the moment of the kill", lambda: time.monotonic() >= moment, 5, 0.002)
        server.kill()
        for identifier, it in senders.items():
            it.join(20)
            assert not it.is_alive()
            acknowledged[identifier] += it.acknowledged
            first[identifier] = it.n + 1
        server.restart()

    def missing():
        with receiver.lock:
            hooked = {(it["deviceId"], it["values"]["n"]) for it in receiver.taken}
        sited = {(it["deviceId"], it["values"]["n"]) for _, _, it in list(broker.got)}
        promised = {(identifier, n) for identifier, all_of in acknowledged.items() for n in all_of}
        return promised - hooked, promised - sited

    try:
        until("everything acknowledged, at both", lambda: missing() == (set(), set()), 60, 0.1)
    except AssertionError:
        hooked, sited = missing()
        admin = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        state = admin.ok("GET", "/api/thingport/forwarding")
        pytest.fail(f"not at the hook: {sorted(hooked)[:5]} ({len(hooked)}), not at the site: {sorted(sited)[:5]} "
                    f"({len(sited)}), of {sum(map(len, acknowledged.values()))}; the house says {state}")
    sent = sum(len(it) for it in acknowledged.values())
    assert sent > 100, "something was said"
    print(f"{sent} acknowledged, {len(receiver.taken)} at the receiver, {len(broker.got)} at the broker")


class Kafka:
    """One real Kafka broker that is its own controller. Maven brings it, from wherever it is configured to look."""

    VERSION = "3.9.1"
    JARS = ROOT / "target/kafka"

    def __init__(self, home):
        self.home, self.process = home, None
        self.port, controller = free_port(), free_port()
        self.fetch()
        (home / "server.properties").write_text(f"""
            process.roles=broker,controller
            node.id=1
            controller.quorum.voters=1@127.0.0.1:{controller}
            listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}
            controller.listener.names=CONTROLLER
            log.dirs={home / "logs"}
            offsets.topic.replication.factor=1
            offsets.topic.num.partitions=1
            group.initial.rebalance.delay.ms=0
            num.partitions=3
        """)
        self.run("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", "server.properties")
        self.start()

    def fetch(self):
        done = self.JARS / f"{self.VERSION}.done"
        if done.exists():
            return
        wanted = "".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
            "</dependency>"
            for group, artifact, version in [("org.apache.kafka", "kafka_2.13", self.VERSION),
                                             ("org.apache.kafka", "kafka-tools", self.VERSION),
                                             ("org.slf4j", "slf4j-nop", "1.7.36")])
        (self.home / "pom.xml").write_text(
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>t</groupId>'
            f"<artifactId>t</artifactId><version>1</version><dependencies>{wanted}</dependencies></project>")
        subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={self.JARS}"],
                       cwd=self.home, check=True, timeout=240)
        done.touch()

    def java(self, main, *arguments):
        quick = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        return ["java", *quick, "-cp", f"{self.JARS}/*", main, *arguments]

    def run(self, main, *arguments):
        done = subprocess.run(self.java(main, *arguments), cwd=self.home, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def start(self):
        with (self.home / "kafka.log").open("ab") as log:
            self.process = subprocess.Popen(self.java("kafka.Kafka", "server.properties"), cwd=self.home, stdout=log,
                                            stderr=log)

        def answers():
            assert self.process.poll() is None, (self.home / "kafka.log").read_text()[-2000:]
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        until("Kafka", answers, 60)

    def records(self, topic, count):
        """Key and value of that many records and whatever follows within seconds, by Kafka's own consumer."""
        out = self.run("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server",
                       f"127.0.0.1:{self.port}", "--topic", topic, "--from-beginning", "--property", "print.key=true",
                       "--max-messages", str(count), "--timeout-ms", "20000")
        return [(key, json.loads(value)) for key, value in (line.split("\t", 1) for line in out.splitlines())]

    def stop(self):
        self.process.kill()
        self.process.wait(10)


# Where there is no Maven, the mock that Kafka's library brings has to do (thingport-outbound, kafka/tests.rs).
if shutil.which("mvn") and shutil.which("java"):
    def test_a_kafka_topic_gets_records_by_device_in_order_also_those_said_while_it_was_away(house, admin, tmp_path):
        kafka = Kafka(tmp_path)
        try:
            profile = profile_of(admin, [{"name": "bus", "type": "KAFKA", "brokers": f"127.0.0.1:{kafka.port}",
                                          "topic": "plant"}])
            devices = [admin.new_device(deviceProfileId=profile["id"]) for _ in range(2)]
            for n in range(40):
                say(devices[n % 2], house, {"n": n})
            until("they are taken", lambda: state(admin, profile, "bus")["delivered"] >= 40, PATIENCE)
            kafka.stop()
            for n in range(40, 80):
                say(devices[n % 2], house, {"n": n})
            kafka.start()
            until("the rest", lambda: state(admin, profile, "bus")["delivered"] >= 80, 60)
            missing, records, count = 80, [], 0
            # What is said again, because nobody knows whether it had arrived, comes on top.
            while missing and len(records) == count:
                count += missing
                records = kafka.records("plant", count)
                missing = len(set(range(80)) - {value["values"]["n"] for _, value in records})
        finally:
            kafka.stop()
        for index, device in enumerate(devices):
            seen = [value["values"]["n"] for key, value in records if key == device.id == value["deviceId"]]
            assert list(dict.fromkeys(seen)) == list(range(index, 80, 2)), "in order, none missing"


def test_what_cannot_work_is_refused_with_a_sentence(admin):
    for target, expected in [
        ({"name": "t", "type": "AMQP"}, "WEBHOOK, KAFKA or MQTT"),
        ({"name": "t", "type": "WEBHOOK", "url": "ftp://a"}, "http:// or https://"),
        ({"name": "t", "type": "WEBHOOK", "url": "http://a", "topic": "t"}, "has no topic"),
        ({"name": "t", "type": "MQTT", "url": "http://a"}, "mqtt://HOST:PORT"),
        ({"name": "t", "type": "MQTT", "url": "mqtt://a", "topic": "${what}"}, "${deviceName}"),
        ({"name": "t", "type": "KAFKA", "brokers": "a", "topic": "t"}, "HOST:PORT"),
        ({"name": "", "type": "WEBHOOK", "url": "http://a"}, "1 to 64"),
        ({"name": "t", "type": "WEBHOOK", "url": "http://a", "kinds": ["ALL"]}, "TELEMETRY and ATTRIBUTES"),
    ]:
        profile = admin.new_profile("DEFAULT")
        profile["profileData"]["thingport"] = {"forwarding": [target]}
        answer = admin.post("/api/deviceProfile", profile)
        assert answer.status_code == 400 and expected in answer.json()["message"], answer.text
