"""Real clients: paho-mqtt, mosquitto_pub and mosquitto_sub, ThingsBoard's client for devices, websocket-client."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
import websocket

from server import ROOT


class Paho:
    """A paho client that waits for what it asked for."""

    def __init__(self, address, protocol, token, client_id=""):
        options = {} if protocol == paho.MQTTv5 else {"clean_session": True}
        client_id = client_id or f"paho-{time.time_ns()}"
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=protocol,
                                  reconnect_on_failure=False, **options)
        self.client.username_pw_set(token)
        self.address = address
        self.told = queue.Queue()
        self.client.on_connect = lambda c, u, flags, reason, p: self.told.put(("connect", reason))
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.told.put(("disconnect", reason))
        self.client.on_publish = lambda c, u, mid, reason, p: self.told.put(("publish", (mid, reason)))
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.told.put(("subscribe", reasons))
        self.client.on_message = lambda c, u, m: self.told.put(("message", (m.topic, m.payload, m.qos)))
        self.client.on_unsubscribe = lambda c, u, mid, reasons, p: self.told.put(("unsubscribe", reasons))

    def connect(self, keepalive=60):
        """The reason in CONNACK."""
        self.client.connect(*self.address, keepalive=keepalive)
        self.client.loop_start()
        return self.wait("connect")

    def wait(self, kind, timeout=10):
        deadline = time.monotonic() + timeout
        while True:
            found, value = self.told.get(timeout=max(0.001, deadline - time.monotonic()))
            if found == kind:
                return value

    def publish(self, topic, payload, qos=1):
        """The reason in PUBACK; None at QoS 0."""
        payload = payload if isinstance(payload, (str, bytes)) else json.dumps(payload)
        sent = self.client.publish(topic, payload, qos)
        if qos == 0:
            sent.wait_for_publish(10)
            return None
        mid, reason = self.wait("publish")
        assert mid == sent.mid
        return reason

    def subscribe(self, filters):
        self.client.subscribe(filters)
        return self.wait("subscribe")

    def message(self, timeout=10):
        """The next message: topic and what its JSON says."""
        topic, payload, _ = self.wait("message", timeout)
        return topic, json.loads(payload)

    def ask(self, topic, payload):
        """Publishes a question; what it is answered, and where."""
        self.publish(topic, payload)
        return self.message()

    def unsubscribe(self, topic):
        self.client.unsubscribe(topic)
        return self.wait("unsubscribe")

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def mosquitto_pub(address, *arguments):
    """Runs the Debian client; its exit status and everything it said."""
    host, port = address
    line = ["mosquitto_pub", "-h", host, "-p", str(port), *arguments]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    return done.returncode, done.stdout


class Sdk:
    """ThingsBoard's own client for devices, unchanged, in a Python of its own: it brings another paho.

    Each attribute is a method of the client: `sdk.send_attributes({"a": 1})` gives what the method says, and
    `sdk.asked("request_attributes", ["a"])` what its callback is told.
    """

    def __init__(self, address, token, **options):
        driver = Path(__file__).parent / "sdk_device.py"
        self.process = subprocess.Popen([sdk_python(), str(driver), *map(str, address), token, json.dumps(options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.events = []
        threading.Thread(target=self._read, daemon=True).start()
        # Python, the client's libraries and its first questions: a busy machine takes its time.
        self.wait("ready", 90)

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put({"what": "end"})

    def wait(self, what, timeout=30):
        """The next thing of this kind that the client tells; others are kept."""
        deadline = time.monotonic() + timeout
        while True:
            for at, event in enumerate(self.events):
                if event["what"] == what:
                    return self.events.pop(at).get("value")
            event = self.lines.get(timeout=max(0.001, deadline - time.monotonic()))
            assert event["what"] not in ("end", "error"), event
            self.events.append(event)

    def _send(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def asked(self, method, *arguments, callback="callback", **named):
        self._send(method=method, arguments=arguments, named=named, callback=callback)
        return self.wait(method)

    def call(self, method, *arguments, **named):
        self._send(method=method, arguments=arguments, named=named)
        return self.wait(method)

    def listen(self, method, *arguments, callback="callback"):
        """Lets a method's callback tell what it hears as `heard`."""
        self._send(method=method, arguments=arguments, named={}, callback=callback, heard=True)
        self.wait(method)

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


def sdk_provision(address, **options):
    """What ThingsBoard's own client is answered when it asks to be provisioned; None when it is refused."""
    driver = Path(__file__).parent / "sdk_device.py"
    line = [sdk_python(), str(driver), "provision", *map(str, address), json.dumps(options)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    return json.loads(done.stdout)["value"]


def sdk_python():
    """A Python that has ThingsBoard's client for devices."""
    return venv_python("sdk")


def venv_python(name):
    """A Python that has what requirements-NAME.txt names, made when there is none."""
    home = ROOT / f"target/venv-{name}"
    python = home / "bin/python"
    wanted = Path(__file__).parent / f"requirements-{name}.txt"
    if not python.exists():
        made = Path(f"{home}-{os.getpid()}")
        subprocess.run([sys.executable, "-m", "venv", made], check=True)
        pip = [made / "bin/python", "-m", "pip", "--timeout", "30", "--retries", "4"]
        subprocess.run([*pip, "install", "--quiet", "--requirement", wanted], check=True)
        if not home.exists():
            made.rename(home)
    return str(python)


class Feed:
    """A WebSocket session of a person."""

    def __init__(self, url, path="/api/ws/plugins/telemetry", token=None, **options):
        query = f"?token={token}" if token is not None else ""
        address = f"{url.replace('http', 'ws', 1)}{path}{query}"
        self.socket = websocket.create_connection(address, timeout=10, **options)

    def send(self, message):
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def next(self, timeout=10):
        """The next message, or ("close", code)."""
        self.socket.settimeout(timeout)
        opcode, data = self.socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return ("close", int.from_bytes(data[:2], "big"))
        return json.loads(data)

    def ask(self, message):
        self.send(message)
        return self.next()

    def close(self):
        self.socket.close(timeout=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
