"""MQTT packets as bytes, and a socket that speaks them: for what a client library would not send."""

import socket
import ssl
import struct
import time
from dataclasses import dataclass

V31, V311, V5 = 3, 4, 5
VERSIONS = (V31, V311, V5)
NAMES = {V31: "3.1", V311: "3.1.1", V5: "5"}

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)

# Properties used here: identifier and the form of the value.
FORMS = {
    0x01: "byte", 0x02: "four", 0x03: "text", 0x08: "text", 0x09: "bytes", 0x0B: "var", 0x11: "four",
    0x12: "text", 0x13: "two", 0x15: "text", 0x16: "bytes", 0x17: "byte", 0x18: "four", 0x19: "byte",
    0x1A: "text", 0x1C: "text", 0x1F: "text", 0x21: "two", 0x22: "two", 0x23: "two", 0x24: "byte",
    0x25: "byte", 0x26: "pair", 0x27: "four", 0x28: "byte", 0x29: "byte", 0x2A: "byte",
}
PAYLOAD_FORMAT, SUBSCRIPTION_ID, SESSION_EXPIRY = 0x01, 0x0B, 0x11
ASSIGNED_CLIENT_ID, SERVER_KEEP_ALIVE, AUTH_METHOD, AUTH_DATA = 0x12, 0x13, 0x15, 0x16
PROBLEM_INFORMATION, RESPONSE_TOPIC, REASON_STRING = 0x17, 0x08, 0x1F
RECEIVE_MAXIMUM, ALIAS_MAXIMUM, TOPIC_ALIAS, PACKET_SIZE_MAX, SHARED = 0x21, 0x22, 0x23, 0x27, 0x2A
USER_PROPERTY = 0x26


def var(n):
    out = bytearray()
    while True:
        n, low = n >> 7, n & 0x7F
        out.append(low | (0x80 if n else 0))
        if not n:
            return bytes(out)


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">H", len(data)) + data


def prop(identifier, value):
    form = FORMS[identifier]
    encode = {
        "byte": lambda v: bytes([v]), "two": lambda v: struct.pack(">H", v),
        "four": lambda v: struct.pack(">I", v), "var": var, "text": text, "bytes": text,
        "pair": lambda v: text(v[0]) + text(v[1]),
    }[form]
    return bytes([identifier]) + encode(value)


def props(*pairs):
    """The property block of a version 5 packet: pairs of identifier and value, or bytes as they are."""
    body = b"".join(it if isinstance(it, bytes) else prop(*it) for it in pairs)
    return var(len(body)) + body


def packet(first, body=b""):
    return bytes([first]) + var(len(body)) + body


def block(version, properties):
    if version != V5:
        return b""
    return properties if isinstance(properties, bytes) else props(*properties)


def connect(version=V311, client_id="c", user=None, password=None, clean=True, keep_alive=60, will=None,
            properties=(), flags=None, name=None, level=None, tail=b"", first=0x10, will_properties=()):
    """CONNECT. `will` is (topic, payload, qos, retain). `flags`, `name`, `level` and `tail` break rules."""
    bits = 0x02 if clean else 0
    payload = text(client_id)
    if will:
        topic, content, qos, retain = will
        bits |= 0x04 | qos << 3 | (0x20 if retain else 0)
        payload += block(version, will_properties) + text(topic) + text(content)
    if user is not None:
        bits |= 0x80
        payload += text(user)
    if password is not None:
        bits |= 0x40
        payload += text(password)
    name = name if name is not None else ("MQIsdp" if version == V31 else "MQTT")
    head = text(name) + bytes([version if level is None else level, bits if flags is None else flags])
    head += struct.pack(">H", keep_alive) + block(version, properties)
    return packet(first, head + payload + tail)


def publish(topic, payload=b"", qos=0, packet_id=1, version=V311, properties=(), retain=False, dup=False):
    payload = payload if isinstance(payload, bytes) else payload.encode()
    first = PUBLISH << 4 | (8 if dup else 0) | qos << 1 | retain
    number = struct.pack(">H", packet_id) if qos else b""
    return packet(first, text(topic) + number + block(version, properties) + payload)


def subscribe(packet_id, filters, version=V311, properties=(), first=0x82):
    body = struct.pack(">H", packet_id) + block(version, properties)
    return packet(first, body + b"".join(text(it) + bytes([option]) for it, option in filters))


def unsubscribe(packet_id, filters, version=V311, properties=(), first=0xA2):
    body = struct.pack(">H", packet_id) + block(version, properties)
    return packet(first, body + b"".join(text(it) for it in filters))


def pubrel(packet_id):
    return packet(0x62, struct.pack(">H", packet_id))


def disconnect(version=V311, reason=None, properties=None):
    if version != V5 or reason is None:
        return packet(0xE0)
    return packet(0xE0, bytes([reason]) + (b"" if properties is None else block(version, properties)))


PING = packet(0xC0)


@dataclass
class Packet:
    """One packet of the server."""

    raw: bytes
    version: int

    @property
    def kind(self):
        return self.raw[0] >> 4

    @property
    def body(self):
        at = 1
        while self.raw[at] & 0x80:
            at += 1
        return self.raw[at + 1:]

    @property
    def packet_id(self):
        return struct.unpack(">H", self.body[:2])[0]

    @property
    def code(self):
        """Reason or return code of CONNACK, an acknowledgement or DISCONNECT."""
        if self.kind == CONNACK:
            return self.body[1]
        if self.kind == DISCONNECT:
            return self.body[0] if self.body else 0
        return self.body[2] if len(self.body) > 2 else 0

    @property
    def session_present(self):
        return self.body[0]

    @property
    def codes(self):
        """Codes of SUBACK and UNSUBACK."""
        rest = self.body[2:]
        return list(rest[1 + rest[0]:] if self.version == V5 else rest)

    @property
    def properties(self):
        """Properties of a version 5 CONNACK, acknowledgement, DISCONNECT or PUBLISH."""
        start = {CONNACK: 2, DISCONNECT: 1}.get(self.kind, 3)
        return read_properties(self.body[start:])

    def __str__(self):
        names = {CONNACK: "CONNACK", PUBACK: "PUBACK", PUBREC: "PUBREC", PUBCOMP: "PUBCOMP", SUBACK: "SUBACK",
                 UNSUBACK: "UNSUBACK", PINGRESP: "PINGRESP", DISCONNECT: "DISCONNECT", PUBLISH: "PUBLISH"}
        name = names.get(self.kind, f"type {self.kind}")
        if self.kind in (CONNACK, PUBACK, PUBREC, PUBCOMP, DISCONNECT):
            return f"{name} {self.code:#04x}"
        if self.kind in (SUBACK, UNSUBACK):
            return f"{name} {' '.join(f'{code:#04x}' for code in self.codes)}".strip()
        return name


def read_properties(data):
    found, at = {}, 0
    if not data:
        return found
    length, at = read_var(data, 0)
    end = at + length
    while at < end:
        identifier, at = data[at], at + 1
        form = FORMS[identifier]
        if form in ("byte", "two", "four"):
            size = {"byte": 1, "two": 2, "four": 4}[form]
            value, at = int.from_bytes(data[at:at + size], "big"), at + size
        elif form == "var":
            value, at = read_var(data, at)
        else:
            size = int.from_bytes(data[at:at + 2], "big")
            value, at = data[at + 2:at + 2 + size], at + 2 + size
            value = value.decode() if form == "text" else value
        found[identifier] = value
    return found


def read_var(data, at):
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


class Closed(Exception):
    """The server closed the connection where a packet was expected."""


class Wire:
    """A raw connection. Every wait has a deadline; nothing here sleeps."""

    def __init__(self, address, version=V311, timeout=10, ca=None, certificate=None):
        """Over TLS where there is a CA file to trust; `certificate` are the files a client shows of itself."""
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ca:
            context = ssl.create_default_context(cafile=str(ca))
            if certificate:
                context.load_cert_chain(*map(str, certificate))
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.version = version
        self.timeout = timeout
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what the server said before it closed is still to be read

    def packet(self, timeout=None):
        """The next packet, or None at the end of the connection. TimeoutError when nothing comes."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            size = self._packet_size()
            if size is not None and len(self.unread) >= size:
                raw, self.unread = self.unread[:size], self.unread[size:]
                return Packet(raw, self.version)
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self.unread, f"the connection ended inside a packet: {self.unread.hex()}"
                return None
            self.unread += data

    def _packet_size(self):
        """Bytes of the first unread packet; None while its length is not complete."""
        for at in range(1, min(5, len(self.unread))):
            if not self.unread[at] & 0x80:
                return read_var(self.unread, 1)[0] + at + 1
        return None

    def expect(self, kind, timeout=None):
        found = self.packet(timeout)
        if found is None:
            raise Closed(f"closed instead of packet type {kind}")
        assert found.kind == kind, f"{found} ({found.raw.hex()}) instead of packet type {kind}"
        return found

    def ask(self, data, kind=None):
        self.send(data)
        return self.expect(kind) if kind else self.packet()

    def login(self, user="", **options):
        """CONNECT and an accepting CONNACK."""
        options.setdefault("client_id", f"wire-{id(self):x}")
        answer = self.ask(connect(self.version, user=user, **options), CONNACK)
        assert answer.code == 0, f"{answer} for {user}"
        return answer

    def is_alive(self):
        """Whether the server still answers PINGREQ; nothing else may come before the answer."""
        self.send(PING)
        answer = self.packet()
        assert answer is None or answer.kind == PINGRESP, f"{answer} instead of PINGRESP"
        return answer is not None

    def outcome(self):
        """What happens now, as text: 'close', 'DISCONNECT 0x81 close', 'PUBACK 0x90 alive' ..."""
        told = []
        while True:
            found = self.packet()
            if found is None:
                return " ".join([*told, "close"])
            told.append(str(found))
            if found.kind == PINGRESP:
                return " ".join([*told[:-1], "alive"])
            if found.kind not in (DISCONNECT, CONNACK) or (found.kind == CONNACK and found.code == 0):
                self.send(PING)
