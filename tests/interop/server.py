"""Starting, stopping and killing the release binary. Every wait polls with a deadline."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("THINGPORT_BIN", ROOT / "target/release/thingport"))
LOOPBACK = ["--set", "mqtt.bind=127.0.0.1:0", "--set", "mqtt.tls_bind=127.0.0.1:0",
            "--set", "http.bind=127.0.0.1:0"]


def until(what, condition, timeout=10, pause=0.01):
    """Polls until `condition()` is truthy and returns that. `what` names it in the failure."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(pause)  # only the step of a poll


class Server:
    """One process on one data directory, on ports the system chooses."""

    def __init__(self, directory=None, *arguments, demo=True, runner=()):
        self.home = Path(tempfile.mkdtemp(prefix="thingport-")) if directory is None else None
        self.directory = Path(directory) if directory else self.home / "data"
        self.arguments = [*LOOPBACK, "--data", str(self.directory), *arguments]
        if demo:
            self.arguments.append("--demo")
        self.runner = list(runner)
        self.logs = Path(tempfile.mkdtemp(prefix="thingport-log-"))
        self.process = None
        self.starts = 0

    def start(self, timeout=30):
        self.spawn()
        self.wait_ready(timeout)
        return self

    def spawn(self):
        self.starts += 1
        environment = {name: value for name, value in os.environ.items() if not name.startswith("THINGPORT__")}
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.process = subprocess.Popen([*self.runner, str(BINARY), *self.arguments], stdout=out, stderr=err,
                                            stdin=subprocess.DEVNULL, cwd=self.logs, env=environment)

    def wait_ready(self, timeout=30):
        def greeted():
            if self.process.poll() is not None:
                raise AssertionError(f"the server stopped with {self.process.returncode}: {self.err()[-3000:]}")
            return re.search(r"MQTT +\S+:(\d+)\s+HTTP +http://\S+:(\d+)", self.out())

        found = until("the greeting with both addresses", greeted, timeout)
        self.mqtt_port, self.http_port = int(found[1]), int(found[2])
        secure = {kind: int(port) for kind, port in re.findall(r"(MQTTS|HTTPS) +\S+:(\d+)", self.out())}
        self.mqtts_port, self.https_port = secure.get("MQTTS"), secure.get("HTTPS")
        until("/health/ready", self.is_ready, timeout)

    def is_ready(self):
        try:
            return requests.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    @property
    def out_path(self):
        return self.logs / f"{self.starts}.out"

    @property
    def err_path(self):
        return self.logs / f"{self.starts}.err"

    def out(self):
        return self.out_path.read_text(errors="replace")

    def err(self):
        return self.err_path.read_text(errors="replace")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def mqtt(self):
        return ("127.0.0.1", self.mqtt_port)

    @property
    def mqtts(self):
        """Under the name that the made certificate and those of the tests carry."""
        return ("localhost", self.mqtts_port)

    @property
    def ca(self):
        """The CA made at the first start."""
        return self.directory / "tls/ca.pem"

    @property
    def pid(self):
        return self.process.pid

    def metrics(self):
        return read_metrics(requests.get(f"{self.url}/metrics", timeout=10).text)

    def terminate(self, timeout=10):
        """SIGTERM; the exit status and the seconds it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout), time.monotonic() - started

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def restart(self, timeout=30):
        assert self.process.poll() is not None, "still running"
        return self.start(timeout)

    def remove(self):
        """Stops this very process and removes what it left."""
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.logs, ignore_errors=True)
        if self.home:
            shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *_):
        self.remove()


def read_metrics(page):
    """{(name, labels as text): value} of a page in the Prometheus text format."""
    rows = re.findall(r"^([a-zA-Z_:]+)(?:\{([^}]*)\})? (\S+)$", page, re.MULTILINE)
    return {(name, labels): float(value) for name, labels, value in rows}
