"""A client that hangs up does not stop what it asked for halfway: what is on disk is also in force."""

import json
import random
import socket
import struct
import time
from urllib.parse import urlsplit

from rest import fresh
from server import until
from wire import CONNACK, V311, Wire, connect

ROUNDS = 40


def abort(person, method, path, body=None):
    """Sends a request and resets the connection at any moment, before it is read or while it is carried out."""
    host = urlsplit(person.url)
    content = json.dumps(body).encode() if body is not None else b""
    head = (f"{method} {path} HTTP/1.1\r\nHost: {host.netloc}\r\nX-Authorization: {person.scheme} {person.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n")
    with socket.create_connection((host.hostname, host.port), 10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(head.encode() + content)
        time.sleep(random.uniform(0, 0.006))  # not a wait for anything: the moment of the reset is what varies


def code_of(subject, user):
    with Wire(subject.mqtt) as device:
        return device.ask(connect(V311, user=user, client_id=fresh("c")), CONNACK).code


def carried_out(what, is_so, again):
    """A request whose connection was reset may never have been read; then it is sent again."""
    for _ in range(20):
        again()
        try:
            return until(what, is_so, timeout=1)
        except AssertionError:
            continue
    raise AssertionError(f"never: {what}")


def test_new_credentials_count_and_old_ones_do_not(subject, tenant):
    device = tenant.new_device()
    token = device.token
    path = f"/api/device/{device.id}/credentials"
    for _ in range(ROUNDS):
        with Wire(subject.mqtt) as session:
            session.login(token)
            stored = tenant.ok("GET", path)
            new = fresh("token")
            changed = stored | {"credentialsId": new}
            changed.pop("version", None)
            carried_out("the token is stored", lambda: tenant.ok("GET", path)["credentialsId"] == new,
                        lambda: abort(tenant, "POST", "/api/device/credentials", changed))
            # What follows from a write follows without anybody waiting for it.
            until("the old token opens nothing", lambda: code_of(subject, token) != 0, timeout=5)
            assert session.packet(timeout=5) is None, "the session of the old token ends"
        assert code_of(subject, new) == 0
        token = new


def test_a_deleted_device_is_gone(subject, tenant):
    for _ in range(ROUNDS):
        device = tenant.new_device()
        with Wire(subject.mqtt) as session:
            session.login(device.token)
            carried_out("the device is gone", lambda: tenant.get(f"/api/device/{device.id}").status_code == 404,
                        lambda: abort(tenant, "DELETE", f"/api/device/{device.id}"))
            until("its token opens nothing", lambda: code_of(subject, device.token) != 0, timeout=5)
            assert session.packet(timeout=5) is None, "its session ends"


def test_a_deleted_key_opens_nothing(tenant):
    for _ in range(ROUNDS):
        program, key = tenant.program()
        program.ok("GET", "/api/auth/user")
        path = f"/api/apiKey/{key['id']['id']}"
        carried_out("the key opens nothing", lambda: program.get("/api/auth/user").status_code == 401,
                    lambda: abort(tenant, "DELETE", path))
