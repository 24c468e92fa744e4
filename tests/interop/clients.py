"""Real clients: paho-mqtt, mosquitto_pub and mosquitto_sub, websocket-client."""

import json
import queue
import subprocess
import time

import paho.mqtt.client as paho
import websocket


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

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def mosquitto_pub(address, *arguments):
    """Runs the Debian client; its exit status and everything it said."""
    host, port = address
    line = ["mosquitto_pub", "-h", host, "-p", str(port), *arguments]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    return done.returncode, done.stdout


class Feed:
    """A WebSocket session of a person."""

    def __init__(self, url, path="/api/ws/plugins/telemetry", token=None):
        query = f"?token={token}" if token is not None else ""
        self.socket = websocket.create_connection(f"{url.replace('http', 'ws', 1)}{path}{query}", timeout=10)

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
