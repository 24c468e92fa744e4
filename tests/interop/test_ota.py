"""Updates over the air: packages of people, and how devices come to them (OT-001 to OT-024, CD-001 to CD-005)."""

import base64
import hashlib
import os
import random
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import requests

import wire as w
from clients import Paho
from rest import MISSING, Person, fresh
from server import until
from wire import V5

IMAGE = random.Random(7).randbytes(10_000)
ALGORITHMS = {
    "MD5": lambda data: hashlib.md5(data).hexdigest(),
    "SHA256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA384": lambda data: hashlib.sha384(data).hexdigest(),
    "SHA512": lambda data: hashlib.sha512(data).hexdigest(),
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "little").hex(),
    "MURMUR3_32": None,  # compared by ThingsBoard's own client
    "MURMUR3_128": None,
}


def new_package(person, profile, kind="FIRMWARE", **members):
    body = {"deviceProfileId": profile, "type": kind, "title": fresh("image"), "version": "1.0"} | members
    return person.ok("POST", "/api/otaPackage", body)


def upload(person, package, data, algorithm="SHA256", checksum=None, name="image.bin"):
    parameters = {"checksumAlgorithm": algorithm} | ({"checksum": checksum} if checksum else {})
    return person.post(f"/api/otaPackage/{package['id']['id']}", params=parameters,
                       files={"file": (name, data, "application/x-image")})


def filled(person, profile, data=IMAGE, kind="FIRMWARE", algorithm="SHA256", **members):
    answer = upload(person, new_package(person, profile, kind, **members), data, algorithm)
    assert answer.status_code == 200, answer.text
    return answer.json()


def assign(person, device, **packages):
    """Saves the device with these packages, the way the web form does."""
    stored = person.ok("GET", f"/api/device/{device.id}")
    return person.ok("POST", "/api/device", stored | {name: it and it["id"] for name, it in packages.items()})


def shared(device):
    return device.attributes("SHARED_SCOPE")


class Downloader:
    """A paho client that downloads as ThingsBoard's SDKs do: without a subscription that counts (CD-001)."""

    def __init__(self, paho_client, device, protocol=paho.MQTTv311, prefix="fw"):
        self.prefix = prefix
        self.client = paho_client(protocol, device.token)
        self.answers = []
        self.client.client.on_message = lambda c, u, m: self.answers.append((m.topic, m.payload, m.qos))
        assert self.client.connect() == 0

    def ask(self, request, chunk, size=""):
        self.answers.clear()
        self.client.client.publish(f"v2/{self.prefix}/request/{request}/chunk/{chunk}", str(size), 1)

    def chunk(self, request, chunk, size=""):
        self.ask(request, chunk, size)
        topic, payload, qos = until("a chunk", lambda: self.answers[:1])[0]
        assert (topic, qos) == (f"v2/{self.prefix}/response/{request}/chunk/{chunk}", 1)
        return payload

    def all(self, request, size):
        parts = []
        while not parts or len(parts[-1]) == size:
            parts.append(self.chunk(request, len(parts), size))
        return b"".join(parts)


@pytest.fixture
def download(paho_client):
    return lambda device, **options: Downloader(paho_client, device, **options)


@pytest.fixture
def profile(device):
    return device.body["deviceProfileId"]


class TestPeople:
    def test_a_package_is_made_filled_listed_and_deleted(self, tenant):
        profile = tenant.new_profile()["id"]
        package = new_package(tenant, profile, tag="beta", additionalInfo={"description": "d"})
        assert (package["hasData"], package["checksum"], package["dataSize"]) == (False, None, None)
        assert package["id"]["entityType"] == "OTA_PACKAGE" and package["name"] == package["title"]
        answer = upload(tenant, package, IMAGE)
        assert answer.status_code == 200, answer.text
        info = answer.json()
        assert (info["hasData"], info["dataSize"], info["fileName"]) == (True, len(IMAGE), "image.bin")
        assert (info["contentType"], info["checksum"]) == ("application/x-image", hashlib.sha256(IMAGE).hexdigest())
        identifier = package["id"]["id"]
        assert tenant.ok("GET", f"/api/otaPackage/info/{identifier}") == info
        whole = tenant.ok("GET", f"/api/otaPackage/{identifier}")
        assert base64.b64decode(whole.pop("data")) == IMAGE and whole == info
        loaded = tenant.get(f"/api/otaPackage/{identifier}/download")
        assert loaded.content == IMAGE
        assert loaded.headers["Content-Type"] == "application/x-image"
        assert loaded.headers["Content-Disposition"] == "attachment;filename=image.bin"
        assert loaded.headers["x-filename"] == "image.bin"
        page = tenant.ok("GET", f"/api/otaPackages?pageSize=10&page=0&textSearch={info['title'].upper()}")
        assert page["data"] == [info]
        ready = f"/api/otaPackages/{profile['id']}/FIRMWARE?pageSize=10&page=0"
        new_package(tenant, profile)
        assert tenant.ok("GET", ready)["data"] == [info], "only those with data or a URL"
        tenant.ok("DELETE", f"/api/otaPackage/{identifier}")
        assert tenant.get(f"/api/otaPackage/info/{identifier}").status_code == 404

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_checksums_are_made_and_compared(self, tenant, profile, algorithm):
        package = new_package(tenant, profile)
        wrong = upload(tenant, package, IMAGE, algorithm, "00")
        assert wrong.status_code == 400
        made = wrong.json()["message"].split(" is ")[1].split(",")[0]
        if ALGORITHMS[algorithm]:
            assert made == ALGORITHMS[algorithm](IMAGE)
        assert upload(tenant, package, IMAGE, algorithm, made.upper()).json()["checksum"] == made
        assert upload(tenant, package, b"other", algorithm).status_code == 400, "data do not change (O-2)"

    def test_an_upload_of_megabytes_goes_through(self, tenant, profile):
        data = os.urandom(20 * 1024 * 1024)
        package = filled(tenant, profile, data, algorithm="MD5")
        assert package["checksum"] == hashlib.md5(data).hexdigest()
        assert tenant.get(f"/api/otaPackage/{package['id']['id']}/download").content == data

    def test_what_is_wrong_is_refused(self, tenant, device, profile):
        package = new_package(tenant, profile)
        path = f"/api/otaPackage/{package['id']['id']}"
        for status, answer in [
            (400, tenant.post("/api/otaPackage", {"title": "t", "version": "1"})),
            (400, tenant.post("/api/otaPackage", package | {"id": None})),  # O-1
            (400, tenant.post("/api/otaPackage", package | {"id": None, "title": "x", "usesUrl": True})),
            (400, tenant.post(path, "no form")),
            (400, tenant.post(path, files={"other": b"x"})),
            (400, tenant.post(path, files={"file": b""})),
            (400, tenant.post(f"{path}?checksumAlgorithm=SHA1", files={"file": b"x"})),
            (404, tenant.post(f"/api/otaPackage/{MISSING}", files={"file": b"x"})),
            (400, tenant.get(f"{path}/download")),
            (400, tenant.post("/api/device", device.body | {"firmwareId": package["id"]})),  # D-6: no data yet
        ]:
            assert answer.status_code == status, answer.text

    def test_a_package_in_use_stays(self, tenant, device, profile):
        package = filled(tenant, profile)
        assert assign(tenant, device, firmwareId=package)["firmwareId"] == package["id"]
        path = f"/api/otaPackage/{package['id']['id']}"
        assert tenant.delete(path).status_code == 400
        assign(tenant, device, firmwareId=None)
        tenant.ok("DELETE", path)

    def test_devices_without_a_package_of_their_own_are_counted(self, tenant):
        profile = tenant.new_profile()["id"]
        devices = [tenant.new_device(deviceProfileId=profile) for _ in range(3)]
        assign(tenant, devices[0], firmwareId=filled(tenant, profile))
        count = lambda kind: tenant.ok("GET", f"/api/devices/count/{kind}/{profile['id']}")  # noqa: E731
        assert (count("FIRMWARE"), count("SOFTWARE")) == (2, 3)


class TestAnnouncement:
    def test_a_device_is_told_and_told_again_that_there_is_none(self, tenant, device, profile, paho_client):
        """OT-001 to OT-003, O-5, O-6."""
        client = paho_client(paho.MQTTv311, device.token)
        client.connect()
        client.subscribe("v1/devices/me/attributes")
        package = filled(tenant, profile, tag="beta")
        assign(tenant, device, firmwareId=package)
        expected = {"fw_title": package["title"], "fw_version": "1.0", "fw_tag": "beta", "fw_size": len(IMAGE),
                    "fw_checksum": package["checksum"], "fw_checksum_algorithm": "SHA256"}
        assert client.message() == ("v1/devices/me/attributes", expected)
        assert shared(device) == expected
        until("it is initiated", lambda: device.latest().get("fw_state", [{}])[0].get("value") == "INITIATED")
        latest = {key: row[0]["value"] for key, row in device.latest(strict=True).items()}
        target = {"target_fw_title": package["title"], "target_fw_version": "1.0", "target_fw_tag": "beta"}
        assert latest.items() >= target.items() and isinstance(latest["target_fw_ts"], int)
        states = [state for _, state in device.history("fw_state", 0, 2**50)]
        assert states in (["QUEUED", "INITIATED"], ["INITIATED"])  # both may fall into one millisecond
        assign(tenant, device, firmwareId=None)
        told = client.message()[1]
        assert sorted(told["deleted"]) == sorted([*expected, "fw_url"]), "and nothing was told in between"
        assert shared(device) == {}

    def test_what_the_package_before_had_goes_first(self, tenant, device, profile, paho_client):
        """OT-001: the announcement is the last message, which is the one that ThingsBoard's own client keeps."""
        client = paho_client(paho.MQTTv5, device.token)
        client.connect()
        client.subscribe("v1/devices/me/attributes")
        elsewhere = new_package(tenant, profile, usesUrl=True, url="https://example.org/x")
        assign(tenant, device, firmwareId=elsewhere)
        assert client.message()[1]["fw_url"] == "https://example.org/x"
        assign(tenant, device, firmwareId=filled(tenant, profile))
        assert client.message()[1] == {"deleted": ["fw_url"]}
        assert client.message()[1]["fw_size"] == len(IMAGE)
        assign(tenant, device, firmwareId=elsewhere)
        assert sorted(client.message()[1]["deleted"]) == ["fw_checksum", "fw_checksum_algorithm", "fw_size"]
        assert client.message()[1]["fw_url"] == "https://example.org/x"

    def test_a_package_that_lies_elsewhere(self, tenant, device, profile):
        package = new_package(tenant, profile, "SOFTWARE", usesUrl=True, url="https://example.org/x")
        assign(tenant, device, softwareId=package)
        expected = {"sw_title": package["title"], "sw_version": "1.0", "sw_url": "https://example.org/x"}
        until("it is told", lambda: shared(device) == expected)

    def test_a_profile_tells_its_devices_but_those_with_one_of_their_own(self, tenant):
        """O-4."""
        profile = tenant.new_profile()
        own, other = (tenant.new_device(deviceProfileId=profile["id"]) for _ in range(2))
        first, second = filled(tenant, profile["id"]), filled(tenant, profile["id"], b"second")
        assign(tenant, own, firmwareId=first)
        stored = tenant.ok("GET", f"/api/deviceProfile/{profile['id']['id']}")
        stored = tenant.ok("POST", "/api/deviceProfile", stored | {"firmwareId": second["id"]})
        assert stored["firmwareId"] == second["id"]
        until("the other is told", lambda: shared(other).get("fw_title") == second["title"])
        assert shared(own)["fw_title"] == first["title"]
        assign(tenant, own, firmwareId=None)
        until("it falls back", lambda: shared(own).get("fw_title") == second["title"])
        late = tenant.new_device(deviceProfileId=profile["id"])
        until("a new one is told", lambda: shared(late).get("fw_title") == second["title"])
        tenant.ok("POST", "/api/deviceProfile", stored | {"firmwareId": None})
        until("nobody has one", lambda: shared(own) == shared(other) == shared(late) == {})


class TestChunks:
    @pytest.mark.parametrize("protocol", [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5])
    @pytest.mark.parametrize("kind", ["FIRMWARE", "SOFTWARE"])
    @pytest.mark.parametrize("size", [1_000, 4_096, 9_999, 10_000, 10_001, 60_000])
    def test_a_download_in_parts(self, tenant, device, profile, download, protocol, kind, size):
        """OT-010 to OT-013; an exact multiple ends with an empty part (CD-002)."""
        name = {"FIRMWARE": "firmwareId", "SOFTWARE": "softwareId"}[kind]
        assign(tenant, device, **{name: filled(tenant, profile, kind=kind)})
        client = download(device, protocol=protocol, prefix={"FIRMWARE": "fw", "SOFTWARE": "sw"}[kind])
        assert client.all(1, size) == IMAGE

    def test_any_order_any_repetition_and_a_remembered_size(self, tenant, device, profile, download):
        """OT-011, OT-014, CD-003, CD-005."""
        assign(tenant, device, firmwareId=filled(tenant, profile))
        client = download(device)
        for chunk in [3, 0, 3, 9, 10, 1_000_000]:
            assert client.chunk(7, chunk, 1_000) == IMAGE[chunk * 1_000:][:1_000]
        assert client.chunk(7, 2) == IMAGE[2_000:3_000], "the size is remembered"
        assert client.chunk(7, 2, 0) == IMAGE[2_000:3_000]
        assert client.chunk(8, 5) == IMAGE, "no size known: the whole file"

    def test_the_first_request_pins_the_package(self, tenant, device, profile, download):
        """OT-015, OT-016, CD-004."""
        first, second = filled(tenant, profile, b"1" * 100), filled(tenant, profile, b"2" * 100)
        software = filled(tenant, profile, b"s" * 100, "SOFTWARE")
        assign(tenant, device, firmwareId=first, softwareId=software)
        client = download(device)
        assert client.chunk(1, 0, 50) == b"1" * 50
        assign(tenant, device, firmwareId=second)
        assert client.chunk(1, 1, 50) == b"1" * 50
        assert client.chunk(2, 1, 50) == b"2" * 50
        client.prefix = "sw"
        assert client.chunk(1, 0, 50) == b"s" * 50
        assert download(device).chunk(1, 0, 50) == b"2" * 50, "until the connection closes"

    @pytest.mark.parametrize("version", [4, 5])
    @pytest.mark.parametrize("give, size, text", [
        (None, "100", b"NOT_FOUND"),
        ("data", "65537", b"PAYLOAD_TOO_LARGE"),
        ("url", "100", b"FAILURE"),
    ])
    def test_errors_are_told_and_close(self, tenant, device, profile, wire, version, give, size, text):
        """OT-017, OT-018."""
        if give:
            url = {"usesUrl": True, "url": "https://example.org/x"}
            package = filled(tenant, profile) if give == "data" else new_package(tenant, profile, **url)
            assign(tenant, device, firmwareId=package)
        connection = wire(version, device.token)
        connection.send(w.publish("v2/fw/request/1/chunk/0", size.encode(), version=version))
        answer = connection.expect(w.PUBLISH)
        assert w.text("v2/fw/error") in answer.body and answer.body.endswith(text)
        if version == V5:
            assert connection.expect(w.DISCONNECT).code == 0x83
        assert connection.packet() is None

    @pytest.mark.process
    def test_errors_of_software_may_be_told_apart(self, own):
        """OT-018, `compat.software_errors_apart`."""
        server = own(None, "--set", "compat.software_errors_apart=true").start()
        device = Person.login(server.url, "tenant@thingsboard.org", "tenant").new_device()
        for prefix in ("fw", "sw"):
            with w.Wire(server.mqtt) as connection:
                connection.login(device.token)
                connection.send(w.publish(f"v2/{prefix}/request/1/chunk/0", b"100"))
                assert w.text(f"v2/{prefix}/error") in connection.expect(w.PUBLISH).body

    def test_many_devices_download_at_once(self, tenant, profile, download):
        data = os.urandom(300_000)
        package = filled(tenant, profile, data)
        devices = [tenant.new_device() for _ in range(20)]
        for device in devices:
            assign(tenant, device, firmwareId=package)
        clients = [download(device) for device in devices]
        parts = [[] for _ in clients]
        for chunk in range(6):
            for client in clients:
                client.ask(1, chunk, 50_000)
            for client, got in zip(clients, parts):
                got.append(until("a chunk", lambda client=client: client.answers[:1])[0][1])
        assert all(b"".join(got) == data for got in parts)


@pytest.mark.process
class TestRestarts:
    def test_a_killed_server_goes_on_with_the_download(self, own):
        """No firmware and no place in it is lost by kill -9; the device goes on where it was."""
        server = own().start()
        tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        device = tenant.new_device()
        profile = device.body["deviceProfileId"]
        package = filled(tenant, profile)
        assign(tenant, device, firmwareId=package)
        got = b""
        for chunk in range(10):
            client = Downloader(lambda protocol, token: Paho(server.mqtt, protocol, token), device)
            got += client.chunk(1, chunk, 1_000)
            client.client.close()
            if chunk % 3 == 0:
                server.kill()
                server.restart()
        assert got == IMAGE
        tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        assert tenant.get(f"/api/otaPackage/{package['id']['id']}/download").content == IMAGE

    def test_a_kill_during_an_upload_leaves_nothing(self, own):
        server = own().start()
        tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        package = new_package(tenant, tenant.new_device().body["deviceProfileId"])
        directory = server.directory / "packages"

        def slowly():
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + IMAGE
            until("a part of it is on the disk", lambda: any(directory.glob("*.part")))
            server.kill()
            yield IMAGE

        with pytest.raises(requests.exceptions.RequestException):
            tenant.post(f"/api/otaPackage/{package['id']['id']}", data=slowly(),
                        headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert any(directory.iterdir())
        server.restart()
        assert not any(directory.iterdir())
        tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        assert tenant.ok("GET", f"/api/otaPackage/info/{package['id']['id']}")["hasData"] is False
        assert upload(tenant, package, IMAGE).status_code == 200

    def test_the_size_of_uploads_is_bounded(self, own):
        server = own(None, "--set", "http.upload_max=64KiB").start()
        tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
        profile = tenant.new_device().body["deviceProfileId"]
        answer = upload(tenant, new_package(tenant, profile), b"x" * 65_537)
        assert answer.status_code == 413 and isinstance(answer.json(), str)
        assert upload(tenant, new_package(tenant, profile), b"x" * 65_536).status_code == 200
        assert len(list((server.directory / "packages").iterdir())) == 1


class TestThingsBoardsOwnClient:
    """tb-mqtt-client from PyPI, unchanged."""

    # Algorithm of the checksum and how much the client asks for at once.
    UPDATES = [("SHA256", 0), ("MD5", 2_500), ("CRC32", 3_000), ("MURMUR3_32", 3_000), ("MURMUR3_128", 9_999)]

    def test_it_updates_its_firmware(self, sdk, tenant, tmp_path):
        """Side by side: the client pauses for a second at each step, and so would the tests."""
        devices = [tenant.new_device() for _ in self.UPDATES]
        with ThreadPoolExecutor(len(devices)) as pool:
            clients = pool.map(lambda it: sdk(it[0].token, chunk_size=it[1][1]), zip(devices, self.UPDATES))
            for client in list(clients):
                client.call("get_firmware_update")
        packages = []
        for device, (algorithm, _) in zip(devices, self.UPDATES):
            # It writes what it received under the title.
            title = str(tmp_path / algorithm)
            packages.append(filled(tenant, device.body["deviceProfileId"], algorithm=algorithm, title=title))
            assign(tenant, device, firmwareId=packages[-1])
        for device, package in zip(devices, packages):
            states = lambda device=device: [state for _, state in device.history("fw_state", 0, 2**50)]  # noqa: E731
            until(f"{package['title']} is updated", lambda: states()[-1:] == ["UPDATED"], 60)
            assert Path(package["title"]).read_bytes() == IMAGE
            until("it is told", lambda: device.value("current_fw_title") == package["title"])
