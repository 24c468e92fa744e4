"""The subject of all tests: the release binary, or what THINGPORT_SUBJECT names.

THINGPORT_SUBJECT=http://host:8080 and THINGPORT_SUBJECT_MQTT=host:1883 point the tests at a server that
runs already (Thingport or a ThingsBoard with its demo accounts). Tests that start, stop or break a process
are then left out.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browser import chromium, visit  # noqa: E402, F401
from clients import Feed, Paho, Sdk  # noqa: E402
from rest import Person, fresh, new_user  # noqa: E402
from server import BINARY, Server  # noqa: E402
from wire import Wire  # noqa: E402

SUBJECT = os.environ.get("THINGPORT_SUBJECT")
MQTT = os.environ.get("THINGPORT_SUBJECT_MQTT", "localhost:1883")


def pytest_configure(config):
    config.addinivalue_line("markers", "process: needs a process of its own to start, stop or break")
    if not SUBJECT and not BINARY.exists():
        pytest.exit(f"{BINARY} is missing; build it with: cargo build --release", 2)


def pytest_collection_modifyitems(items):
    if SUBJECT:
        for item in items:
            if "process" in item.keywords or {"impatient", "own"} & set(item.fixturenames):
                item.add_marker(pytest.mark.skip(reason="the subject is not ours to stop"))


@pytest.fixture(scope="session")
def subject():
    """A demo server shared by all tests that do not hurt it: `.url` and `.mqtt` (host, port)."""
    if SUBJECT:
        host, port = MQTT.rsplit(":", 1)
        yield SimpleNamespace(url=SUBJECT.rstrip("/"), mqtt=(host, int(port)))
        return
    with Server() as server:
        yield server
        # Whatever the tests sent it, it is still there and nothing panicked.
        assert server.process.poll() is None, f"it died: {server.err()[-3000:]}"
        assert "panicked" not in server.err(), server.err()[-3000:]


@pytest.fixture(scope="session")
def impatient():
    """A demo server whose timeouts are as short as they may be, to see them bite."""
    short = ["--set", "mqtt.connect_timeout=1s", "--set", "mqtt.session_inactivity_timeout=3s"]
    with Server(None, *short) as server:
        yield server


@pytest.fixture
def own():
    """Makes servers for one test; each is removed at its end."""
    servers = []

    def make(directory=None, *arguments, **options):
        servers.append(Server(directory, *arguments, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.remove()


@pytest.fixture(scope="session")
def sysadmin(subject):
    return Person.login(subject.url, "sysadmin@thingsboard.org", "sysadmin")


@pytest.fixture(scope="session")
def tenant(subject):
    return Person.login(subject.url, "tenant@thingsboard.org", "tenant")


@pytest.fixture(scope="session")
def nobody(subject):
    return Person(subject.url)


@pytest.fixture
def device(tenant):
    """A new device with an access token and the default profile."""
    return tenant.new_device()


@pytest.fixture
def wire(subject):
    """Opens raw connections that are closed with the test."""
    opened = []

    def open_one(version=4, user=None, **options):
        opened.append(Wire(subject.mqtt, version))
        if user is not None:
            opened[-1].login(user, **options)
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def paho_client(subject):
    """Makes paho clients that are closed with the test."""
    made = []

    def make(protocol, token, **options):
        made.append(Paho(subject.mqtt, protocol, token, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def sdk(subject):
    """Makes ThingsBoard's own clients for devices, which are closed with the test."""
    made = []

    def make(token, **options):
        made.append(Sdk(subject.mqtt, token, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def feed(subject, tenant):
    """Opens WebSocket sessions, signed in as the tenant unless told otherwise."""
    opened = []

    def open_one(path="/api/ws/plugins/telemetry", person=tenant, by_query=True):
        opened.append(Feed(subject.url, path, person.token if by_query else None))
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


@pytest.fixture(scope="session")
def people(subject, sysadmin, tenant):
    """Everybody of the authorization matrix: two tenants, two customers of the first, nobody."""
    url = subject.url
    other = sysadmin.ok("POST", "/api/tenant", {"title": fresh("tenant")})
    email = f"{fresh('admin')}@example.org"
    account = {"email": email, "authority": "TENANT_ADMIN", "tenantId": other["id"]}
    stranger = new_user(sysadmin, account)[0]
    customers = [tenant.ok("POST", "/api/customer", {"title": fresh("customer")}) for _ in range(2)]
    users = [
        new_user(tenant, {"email": f"{fresh('user')}@example.org", "authority": "CUSTOMER_USER",
                          "customerId": customer["id"]})[0]
        for customer in customers
    ]
    public = tenant.ok("POST", f"/api/customer/public/device/{tenant.new_device().id}")["customerId"]["id"]
    return SimpleNamespace(
        sysadmin=sysadmin, tenant=tenant, stranger=stranger, customer=users[0], neighbour=users[1],
        guest=tenant.guest_of(public), program=tenant.program()[0], stray_key=Person(url, "tp_stray", scheme="ApiKey"),
        nobody=Person(url), garbage=Person(url, "e30.e30.e30"), refresher=Person(url, tenant.refresh_token),
        customer_id=customers[0]["id"]["id"], neighbour_id=customers[1]["id"]["id"],
        stranger_tenant_id=other["id"]["id"],
    )
