"""kill -9 at any moment of the conversation: attributes, calls, packages and announcements keep what was promised.

Several people and devices talk at once, the server is killed in the middle and started again, and each of them says
what it was promised. What telemetry is promised is in test_durability.py.
"""

import os
import random
import threading
import time

import pytest
import requests

import wire as w
from rest import Person
from server import until
from test_ota import assign, filled
from wire import V5, V311, Closed, Wire, publish

pytestmark = pytest.mark.process

CYCLES = 6
FLEET = 4
CHUNK = 2_000
IMAGE = random.Random(3).randbytes(1_500_000)
# How far a persistent call has come. What ends without success cannot come about here.
LADDER = ["QUEUED", "SENT", "DELIVERED", "SUCCESSFUL"]


class Actor(threading.Thread):
    """Somebody who goes on until the server is killed. What fails otherwise is told by the test."""

    def __init__(self, act):
        super().__init__(daemon=True)
        self.act, self.failure = act, None

    def run(self):
        try:
            while True:
                self.act()
        except (OSError, Closed, TimeoutError, requests.RequestException):
            pass  # the server was killed
        except BaseException as failure:
            self.failure = failure



class Story:
    """What everybody was promised, over all kills."""

    def __init__(self, server):
        self.server = server
        self.person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        self.talker, self.told, self.called, self.loader = (self.person.new_device() for _ in range(4))
        self.profile = self.person.new_profile("DEFAULT")
        self.fleet = [self.person.new_device(deviceProfileId=self.profile["id"]) for _ in range(FLEET)]
        self.client = self.shared = 0
        self.client_sent = self.shared_sent = self.calls_sent = 0
        self.calls, self.seen, self.answered = {}, {}, set()
        self.rollouts, self.image = 0, b""
        self.firmware = filled(self.person, self.loader.body["deviceProfileId"], IMAGE)
        assign(self.person, self.loader, firmwareId=self.firmware)

    def go(self):
        """Lets everybody begin on connections of their own."""
        self.person = Person(self.server.url, self.person.token)
        return [Actor(act) for act in (self.say(), self.share(), self.make_calls(), self.watch_calls(),
                                       self.answer_calls(), self.download())]

    def someone(self):
        return Person(self.server.url, self.person.token)

    # Each of these gives a function that does one more thing.

    def say(self):
        """A device's client attribute: PUBACK is a promise."""
        wire = Wire(self.server.mqtt, V311)
        wire.login(self.talker.token)

        def act():
            self.client_sent += 1
            wire.ask(publish("v1/devices/me/attributes", '{"n":%d}' % self.client_sent, 1, 1), w.PUBACK)
            self.client = self.client_sent

        return act

    def share(self):
        """A person's shared attribute: 200 is a promise."""
        person = self.someone()

        def act():
            self.shared_sent += 1
            person.ok("POST", f"{self.told.data}/SHARED_SCOPE", {"n": self.shared_sent})
            self.shared = self.shared_sent

        return act

    def make_calls(self):
        person = self.someone()

        def act():
            # One that was made and not promised may be there too, so no number is used twice.
            self.calls_sent += 1
            n = self.calls_sent
            body = {"method": "m", "params": n, "persistent": True, "timeout": 3_600_000}
            self.calls[person.ok("POST", f"/api/rpc/twoway/{self.called.id}", body)["rpcId"]] = n

        return act

    def watch_calls(self):
        """What people have read of a call does not become untrue."""
        person = self.someone()
        path = f"/api/rpc/persistent/device/{self.called.id}?pageSize=50&page=0&sortProperty=createdTime&sortOrder=DESC"

        def act():
            for row in person.ok("GET", path)["data"]:
                self.note(row["id"]["id"], row["status"])

        return act

    def note(self, rpc, status):
        rank = LADDER.index(status)
        assert rank >= self.seen.get(rpc, 0), f"{rpc} was {LADDER[self.seen[rpc]]} and is {status}"
        self.seen[rpc] = rank

    def answer_calls(self):
        """Acknowledges each call, answers it, and remembers what was acknowledged of the answers."""
        wire = Wire(self.server.mqtt, V5)
        wire.login(self.called.token)
        wire.send(w.subscribe(1, [("v1/devices/me/rpc/request/+", 1)], V5))
        said = {}

        def act():
            packet = wire.packet()
            if packet is None:
                raise Closed("killed")
            if packet.kind == w.PUBACK:
                self.answered.add(said.pop(packet.packet_id))
            elif packet.kind == w.PUBLISH:
                number, n, packet_id = read_call(packet)
                assert n not in self.answered, f"asked once more what it has answered: call {n}"
                wire.send(w.packet(w.PUBACK << 4, packet_id))
                if n % 3 == 2:
                    return  # left unanswered: it stays delivered
                identifier = number % 60_000 + 1
                said[identifier] = n
                topic = f"v1/devices/me/rpc/response/{number}"
                wire.send(publish(topic, '{"n":%d}' % n, 1, identifier, V5))

        return act

    def download(self):
        """Goes on where it was, as a device does: with the number of the next part."""
        wire = Wire(self.server.mqtt, V311)
        wire.login(self.loader.token)

        def act():
            chunk = len(self.image) // CHUNK
            if len(self.image) == len(IMAGE):
                self.image, chunk = b"", 0
            wire.send(publish(f"v2/fw/request/1/chunk/{chunk}", str(CHUNK), 0))
            answer = wire.expect(w.PUBLISH)
            part = payload(answer)
            assert part == IMAGE[len(self.image):][:CHUNK], f"part {chunk} is not what it was"
            wire.send(w.packet(w.PUBACK << 4, answer_id(answer)))
            self.image += part

        return act

    def roll_out(self):
        """A new firmware for the fleet: 200 is a promise that every device will be told."""
        package = filled(self.person, self.profile["id"], b"%d" % self.rollouts)
        stored = self.person.ok("GET", f"/api/deviceProfile/{self.profile['id']['id']}")
        self.person.ok("POST", "/api/deviceProfile", stored | {"firmwareId": package["id"]})
        self.rollouts += 1
        return package

    # After the kill.

    def check(self, package):
        self.person = Person(self.server.url, self.person.token)
        for device in (self.talker, self.told, self.called, self.loader, *self.fleet):
            device.owner = self.person
        found = self.talker.attributes("CLIENT_SCOPE").get("n", 0)
        assert self.client <= found <= self.client_sent, "the client attribute"
        found = self.told.attributes("SHARED_SCOPE").get("n", 0)
        assert self.shared <= found <= self.shared_sent, "the shared attribute"
        path = f"/api/rpc/persistent/device/{self.called.id}?pageSize=10000&page=0"
        rows = {row["id"]["id"]: row for row in self.person.ok("GET", path)["data"]}
        assert not self.calls.keys() - rows.keys(), "a promised call is lost"
        for rpc, row in rows.items():
            self.note(rpc, row["status"])
        for rpc, n in self.calls.items():
            if n in self.answered:
                assert (rows[rpc]["status"], rows[rpc]["response"]) == ("SUCCESSFUL", {"n": n}), n
        info = self.person.ok("GET", f"/api/otaPackage/info/{package['id']['id']}")
        assert (info["hasData"], info["checksum"]) == (True, package["checksum"])
        for device in self.fleet:
            until("the fleet is told", lambda device=device: device.attributes("SHARED_SCOPE").get(
                "fw_title") == package["title"], 20)


def read_call(packet):
    """The number of a call, its params, and its packet id."""
    end = 2 + int.from_bytes(packet.body[:2], "big")
    topic, packet_id = packet.body[2:end].decode(), packet.body[end:end + 2]
    text = packet.body.decode(errors="replace")
    return int(topic.rsplit("/", 1)[1]), int(text.rsplit(":", 1)[1].rstrip("}")), packet_id


def answer_id(packet):
    end = 2 + int.from_bytes(packet.body[:2], "big")
    return packet.body[end:end + 2]


def payload(packet):
    return packet.body[4 + int.from_bytes(packet.body[:2], "big"):]


def test_kill_9_takes_back_nothing_that_was_promised(own):
    """Client and shared attributes, persistent calls on their ladder, packages, announcements, a download."""
    seed = int(os.environ.get("THINGPORT_SEED", "0")) or random.randrange(1 << 32)
    chance = random.Random(seed)
    server = own().start()
    story = Story(server)
    for cycle in range(CYCLES):
        try:
            package = story.roll_out()
            actors = story.go()
            for it in actors:
                it.start()
            moment = time.monotonic() + chance.uniform(0.05, 0.8)
            until("the moment of the kill", lambda: time.monotonic() >= moment, 5, 0.002)
            server.kill()
            for it in actors:
                it.join(20)
                assert not it.is_alive()
                assert it.failure is None, it.failure
            server.restart()
            story.check(package)
        except AssertionError as failure:
            raise AssertionError(f"cycle {cycle}, THINGPORT_SEED={seed}: {failure}") from failure
    loaded = len(story.image)
    print(f"{CYCLES} kills, {story.client} and {story.shared} attributes, {len(story.calls)} calls, "
          f"{len(story.answered)} answered, {loaded} bytes loaded, seed {seed}")
    assert story.client > CYCLES and story.shared > CYCLES and len(story.answered) > CYCLES and loaded > 0
