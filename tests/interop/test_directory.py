"""The data directory: not ours, or ours with a part taken away. Nothing is lost without a word."""

import base64
import random
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import wire as w
from clients import Feed
from rest import Person
from server import until
from wire import Wire, publish

pytestmark = pytest.mark.process

TOKEN = "A1_TEST_TOKEN"
SMALL = ["--set", "storage.log_segment_size=1MiB", "--set", "storage.commit_queue_max=256KiB"]


def stops(server):
    """A start that is refused: what it says. Never a panic."""
    server.spawn()
    until("the end", lambda: server.process.poll() is not None, 20)
    assert server.process.returncode == 1, server.out()
    assert "panicked" not in server.err(), server.err()
    return server.err()


def send(server, count, size=10):
    with Wire(server.mqtt) as connection:
        connection.login(TOKEN)
        for n in range(count):
            connection.ask(publish("v2/t", '{"ts":%d,"values":{"n":"%s"}}' % (n + 1, "x" * size), 1, n + 1), w.PUBACK)


def stored(server):
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.ok("GET", "/api/tenant/devices?deviceName=Test%20Device%20A1")["id"]["id"]
    path = f"/api/plugins/telemetry/DEVICE/{device}/values/timeseries?keys=n&startTs=0&endTs=99999&limit=9999&agg=NONE"
    return len(tenant.ok("GET", path).get("n", []))


def test_a_directory_of_somebody_else_is_refused_and_left_alone(own, tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    (tmp_path / "photos").mkdir()
    said = stops(own(tmp_path))
    assert "thesis.txt" in said and "photos" in said and str(tmp_path) in said
    assert {it.name for it in tmp_path.iterdir()} == {"thesis.txt", "photos"}


def test_an_empty_file_system_is_no_directory_of_somebody_else(own, tmp_path):
    (tmp_path / "lost+found").mkdir()
    server = own(tmp_path).start()
    # Once it is ours, a note beside the data is no concern.
    server.terminate()
    (tmp_path / "backup-notes.txt").write_text("nightly")
    server.restart()


def test_a_first_start_speaks_of_no_upgrade(own):
    assert "newer form" not in own().start().err()


def segments(directory):
    return sorted(directory.glob("*.log"))


def copied(directory, other):
    """Files that are made larger than what is in them cost little."""
    subprocess.run(["cp", "-a", "--sparse=always", str(directory), str(other)], check=True)


def zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


MISCHIEF = {
    "the mark is removed": (lambda it: (it / "mark").unlink(), "mark is missing"),
    "the mark is zeroed": (lambda it: zeroed(it / "mark"), "mark is damaged"),
    "the last segment is removed": (lambda it: segments(it)[-1].unlink(), "is missing"),
    "the last segment is cut": (lambda it: segments(it)[-1].write_bytes(b""), "was cut"),
    "an earlier segment is removed": (lambda it: segments(it)[0].unlink(), "commits of the log"),
    "an earlier segment is zeroed": (lambda it: zeroed(segments(it)[0]), "commits of the log"),
    "the entities are removed": (lambda it: [one.unlink() for one in it.glob("entities.db*")], "entities.db is missing"),
    "the entities are emptied": (lambda it: [one.write_bytes(b"") for one in it.glob("entities.db*")], "or empty"),
}


@pytest.mark.parametrize("what", MISCHIEF)
def test_a_part_taken_from_a_killed_server_is_told_and_done_without_only_when_asked(own, what):
    act, expected = MISCHIEF[what]
    server = own(None, *SMALL).start()
    send(server, 60, 50_000)
    server.kill()
    assert len(segments(server.directory)) >= 3
    act(server.directory)
    said = stops(server)
    assert expected in said and "backup" in said, said
    word = re.search(r"--set storage\.accept_loss=(\w+)", said)[1]
    assert stops(server) == said, "nothing was changed"
    plain = list(server.arguments)
    server.arguments += ["--set", f"storage.accept_loss={word}"]
    server.start()
    if "mark" in what:
        assert stored(server) == 60
    server.kill()
    server.arguments = plain
    server.restart()


def test_a_missing_chunk_store_is_told(own):
    server = own().start()
    send(server, 20)
    assert server.terminate()[0] == 0
    shutil.rmtree(server.directory / "chunks")
    said = stops(server)
    assert "the directory chunks is missing or empty" in said
    word = re.search(r"--set storage\.accept_loss=(\w+)", said)[1]
    server.arguments += ["--set", f"storage.accept_loss={word}"]
    server.restart()
    assert stored(server) == 20, "all of it was still in the log"
    send(server, 30)
    assert stored(server) == 30


def test_a_clean_stop_leaves_nothing_of_the_entities_beside_their_file(own):
    """Whoever is still connected: nobody holds the store any longer than the server serves."""
    server = own().start()
    admin = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = admin.new_device()
    call = {"method": "m", "params": {}, "persistent": True, "timeout": 60_000}
    with Wire(server.mqtt) as connection, Feed(server.url, token=admin.token) as feed:
        connection.login(device.token)
        connection.ask(w.subscribe(1, [("v1/devices/me/rpc/request/+", 1)]), w.SUBACK)
        feed.ask({"tsSubCmds": [{"entityType": "DEVICE", "entityId": device.id, "cmdId": 1}]})
        admin.ok("POST", f"/api/rpc/twoway/{device.id}", call)
        admin.ok("DELETE", f"/api/device/{admin.new_device().id}")
        assert server.terminate()[0] == 0
    beside = [it.name for it in server.directory.glob("entities.db-*") if it.stat().st_size]
    assert beside == []
    server.restart()
    admin = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    assert admin.ok("GET", f"/api/device/{device.id}")["id"] == device.body["id"]


def test_entities_and_chunks_of_another_directory_are_told(own):
    one, other = own().start(), own().start()
    for it in (one, other):
        send(it, 5)
        assert it.terminate()[0] == 0
    kept = one.directory / "chunks.own"
    (one.directory / "chunks").rename(kept)
    shutil.copytree(other.directory / "chunks", one.directory / "chunks")
    assert "belong to different data directories" in stops(one)
    shutil.rmtree(one.directory / "chunks")
    kept.rename(one.directory / "chunks")
    shutil.copy(other.directory / "entities.db", one.directory / "entities.db")
    assert "entities.db belongs to another data directory" in stops(one)


def test_a_damaged_file_of_the_chunk_store_never_goes_unnoticed(own, tmp_path):
    """R2: the engine, the mark or the checksums say so, or everything is there."""
    server = own().start()
    send(server, 300)
    assert server.terminate()[0] == 0
    whole = tmp_path / "whole"
    copied(server.directory, whole)
    files = [it.relative_to(whole) for it in (whole / "chunks").rglob("*") if it.is_file() and it.stat().st_size]
    damages = {"removed": lambda it: it.unlink(), "emptied": lambda it: it.write_bytes(b""), "zeroed": zeroed}

    def is_silent(name, how):
        """Whether it runs with less than there was, and never said so."""
        one = own(Path(tempfile.mkdtemp(dir=tmp_path)) / "data")
        copied(whole, one.directory)
        damages[how](one.directory / name)
        one.spawn()
        until("an answer", lambda: one.process.poll() is not None or "is ready" in one.out(), 60)
        found = 300
        if one.process.poll() is None:
            one.wait_ready()
            try:
                found = stored(one)
            except AssertionError:
                pass  # an error is an answer
            one.kill()
        shutil.rmtree(one.directory)
        assert "panicked" not in one.err(), one.err()
        return found != 300

    cases = [(name, how) for name in files for how in damages]
    # Some at once: a start waits more than it works.
    with ThreadPoolExecutor(4) as pool:
        silent = [case for case, found in zip(cases, pool.map(lambda it: is_silent(*it), cases)) if found]
    assert not silent, silent


def test_what_is_larger_than_half_a_segment_is_the_callers_fault(own):
    """The whole body is within http.body_max and still more than the log takes at once."""
    server = own(None, *SMALL, "--set", "mqtt.packet_size_max=2MiB").start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.new_device()
    for path in ("timeseries/ANY", "SERVER_SCOPE", "attributes/SHARED_SCOPE"):
        for size, status in ((15 << 20, 400), (600 << 10, 400), (400 << 10, 200)):
            answer = tenant.post(f"{device.data}/{path}", '{"a":"' + "x" * size + '"}')
            assert answer.status_code == status, (path, size, answer.status_code, answer.text[:200])
            assert status == 200 or "split it" in answer.text, answer.text[:200]
    with Wire(server.mqtt) as connection:
        connection.login(device.token)
        connection.send(publish("v2/t", '{"a":"' + "x" * (600 << 10) + '"}', 1, 1))
        assert connection.packet() is None, "nothing was promised"
    tenant.event("payload.too_large", device)


def test_the_largest_body_is_kept_with_ordinary_segments(own):
    server = own().start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.new_device()
    text = "x" * ((16 << 20) - 100)
    tenant.ok("POST", f"{device.data}/timeseries/ANY", {"ts": 1, "values": {"a": text}})
    assert device.history("a", 0, 10) == [(1, text)]


# A disk that becomes full wherever it does: in the log, in a flush, in a compaction


@pytest.fixture
def growing_disk():
    """A tmpfs of 48 MiB. Without the right to mount, this cannot be tested and says so loudly."""
    place = Path(tempfile.mkdtemp(prefix="thingport-disk-"))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], stderr=subprocess.PIPE)
    if done.returncode != 0:
        place.rmdir()
        pytest.skip(f"A DISK THAT FILLS UP IS NOT TESTED: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


def write_until_refused(server, first, dice, most=4000):
    """Numbers acknowledged one after the other until none is within some seconds."""
    acked = []
    try:
        with Wire(server.mqtt) as connection:
            connection.login(TOKEN)
            for n in range(first, first + most):
                # Chance cannot be compressed.
                text = base64.b64encode(dice.randbytes(24_000)).decode()
                connection.send(publish("v2/t", '{"ts":%d,"values":{"n":"%s"}}' % (n, text), 1, n % 60_000 + 1))
                answer = connection.packet(timeout=6)
                if answer is None or answer.kind != w.PUBACK:
                    break
                acked.append(n)
    except (TimeoutError, AssertionError, OSError):
        pass  # no answer at all, or no login
    return acked


def numbers(server):
    """Times of all readings, through the aggregate that needs no values."""
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    device = tenant.ok("GET", "/api/tenant/devices?deviceName=Test%20Device%20A1")["id"]["id"]
    found = set()
    path = f"/api/plugins/telemetry/DEVICE/{device}/values/timeseries?keys=n&agg=NONE&limit=200&orderBy=ASC"
    start = 0
    while True:
        rows = tenant.ok("GET", f"{path}&startTs={start}&endTs=99999999").get("n", [])
        found |= {it["ts"] for it in rows}
        if len(rows) < 200:
            return found
        start = max(it["ts"] for it in rows) + 1


def test_a_disk_that_fills_up_while_chunks_are_written_loses_nothing_and_recovers(own, growing_disk):
    """R3: no acknowledgement that does not hold, reads stay up, and it goes on by itself."""
    settings = ["--set", "storage.log_segment_size=4MiB", "--set", "storage.commit_queue_max=1MiB",
                "--set", "storage.head_memory_max=16MiB"]
    server = own(growing_disk / "data", *settings).start()
    dice = random.Random(5)
    acked = write_until_refused(server, 1, dice)
    assert 300 < len(acked) < 3000, f"{len(acked)} readings of 32 KiB in 48 MiB"
    # Still full, still refusing, still answering questions.
    assert write_until_refused(server, 5000, dice, 2) == []
    assert set(acked) <= numbers(server)
    for size in (96, 200):
        subprocess.run(["mount", "-o", f"remount,size={size}m", str(growing_disk)], check=True)
        until("acknowledged again", lambda: write_until_refused(server, 10_000 + size, dice, 1), 30)
        acked += [10_000 + size]
        more = write_until_refused(server, 100_000 * size, dice, 700 if size == 200 else 4000)
        assert len(more) > 100, len(more)
        acked += more
    assert len(more) == 700, "there is room enough"
    assert set(acked) <= numbers(server)
    assert "panicked" not in server.err()
    server.kill()
    server.restart()
    assert set(acked) <= numbers(server)
    assert server.metrics()[("thingport_damaged_records", "")] == 0
