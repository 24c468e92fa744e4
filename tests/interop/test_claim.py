"""Claiming by a device's key: CL-001 to CL-010, REST API section 10."""

import pytest

from clients import Sdk
from rest import Person, fresh, new_user
from server import until

TOPICS = ["v1/devices/me/claim", "v2/c"]


@pytest.fixture(scope="module")
def acme(tenant):
    """A user of a new customer."""
    return customer_user(tenant, "acme")


@pytest.fixture(scope="module")
def rival(tenant):
    return customer_user(tenant, "rival")


def customer_user(tenant, name):
    customer = tenant.ok("POST", "/api/customer", {"title": fresh(name)})
    account = {"email": f"{fresh(name)}@example.org", "authority": "CUSTOMER_USER", "customerId": customer["id"]}
    person, _ = new_user(tenant, account)
    person.customer = customer["id"]["id"]
    return person


def claim(person, device, body=None):
    answer = person.post(f"/api/customer/device/{device.body['name']}/claim", body)
    return answer.status_code, answer.json()


def reclaim(person, device):
    return person.delete(f"/api/customer/device/{device.body['name']}/claim")


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("topic", TOPICS)
def test_a_claimed_device_is_the_customers_and_goes_on(tenant, acme, rival, paho_client, device, protocol, topic):
    client = paho_client(protocol, device.token)
    client.connect()
    assert acme.get(f"/api/device/{device.id}").status_code == 403
    client.publish(topic, {"secretKey": "s", "durationMs": 60_000})
    status, body = claim(acme, device, {"secretKey": "s"})
    assert status == 200 and body["response"] == "SUCCESS"
    assert body["device"]["id"]["id"] == device.id and body["device"]["customerId"]["id"] == acme.customer
    seen = acme.ok("GET", f"/api/customer/{acme.customer}/devices?pageSize=100&page=0")
    assert device.id in [row["id"]["id"] for row in seen["data"]]
    assert rival.get(f"/api/device/{device.id}").status_code == 403
    mine = rival.ok("GET", f"/api/customer/{rival.customer}/devices?pageSize=100&page=0")
    assert mine["totalElements"] == 0
    # The session is the same one (CL-010).
    client.publish("v1/devices/me/telemetry", {"after": 1})
    until("what it says now", lambda: "after" in device.keys())
    assert claim(rival, device, {"secretKey": "s"}) == (400, "CLAIMED")
    assert reclaim(rival, device).status_code == 403
    answer = reclaim(acme, device)
    assert answer.status_code == 200 and answer.content == b""
    assert acme.get(f"/api/device/{device.id}").status_code == 403


@pytest.mark.parametrize("payload, given, expected", [
    ("", None, 200),
    ("{}", {}, 200),
    ("{}", {"secretKey": ""}, 200),
    ('{"secretKey":"s"}', {"secretKey": "s"}, 200),
    ('{"durationMs":0}', None, 200),
    ('{"durationMs":-5}', None, 200),
    ('{"secretKey":"s"}', {"secretKey": "S"}, 400),
    ('{"secretKey":"s"}', None, 400),
    ("{}", {"secretKey": "s"}, 400),
    ('{"secretKey":"s","durationMs":1}', {"secretKey": "s"}, 400),
])
def test_what_a_device_says_must_be_given(acme, tenant, paho_client, device, payload, given, expected):
    client = paho_client(4, device.token)
    client.connect()
    client.publish("v1/devices/me/claim", payload)
    if '"durationMs":1}' in payload:
        until("it is over", lambda: claim(acme, device, given)[0] == 400)
    status, body = claim(acme, device, given)
    assert status == expected, body
    if status == 400:
        assert body == "FAILURE"
        assert tenant.event("claim.", device)["remedy"]
    client.close()


def test_a_wrong_secret_ends_what_was_held_and_the_device_says_it_again(acme, tenant, paho_client, device):
    client = paho_client(5, device.token)
    client.connect()
    client.publish("v1/devices/me/claim", {"secretKey": "old"})
    client.publish("v1/devices/me/claim", {"secretKey": "new"})
    assert claim(acme, device, {"secretKey": "old"}) == (400, "FAILURE")
    tenant.event("claim.wrong_secret", device)
    assert claim(acme, device, {"secretKey": "new"}) == (400, "FAILURE")
    tenant.event("claim.not_offered", device)
    client.publish("v1/devices/me/claim", {"secretKey": "new"})
    assert claim(acme, device, {"secretKey": "new"})[0] == 200
    client.publish("v1/devices/me/claim", {"secretKey": "new"})
    tenant.event("claim.owned", device)


def test_people_may_write_what_a_device_would_say(acme, tenant, device):
    import time

    data = {"secretKey": "s", "expirationTime": int(time.time() * 1000) + 60_000}
    tenant.ok("POST", f"{device.data}/SERVER_SCOPE", {"claimingData": data})
    assert claim(acme, device, {"secretKey": "x"}) == (400, "FAILURE")
    assert claim(acme, device, {"secretKey": "s"})[0] == 200
    assert "claimingData" not in device.attributes("SERVER_SCOPE")


def test_only_users_of_customers_claim(acme, tenant, sysadmin, device):
    for person, status in [(tenant, 403), (sysadmin, 403), (Person(tenant.url), 401)]:
        assert claim(person, device)[0] == status
    answer = acme.post("/api/customer/device/there-is-none/claim")
    assert answer.status_code == 404 and answer.json()["errorCode"] == 32
    assert claim(acme, device) == (400, "FAILURE")


@pytest.mark.process
def test_the_operator_may_demand_a_word_for_each_device(own):
    server = own(None, "--set", "device.allow_claiming_by_default=false")
    server.start()
    tenant = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    user = Person.login(server.url, "customer@thingsboard.org", "customer")
    device = tenant.new_device()
    from clients import mosquitto_pub

    def offer():
        assert mosquitto_pub(server.mqtt, "-u", device.token, "-q", "1", "-t", "v1/devices/me/claim", "-m", "{}")[0] == 0

    offer()
    tenant.event("claim.not_allowed", device)
    assert claim(user, device) == (400, "FAILURE")
    tenant.ok("POST", f"{device.data}/SERVER_SCOPE", {"claimingAllowed": True})
    offer()
    assert claim(user, device)[0] == 200
    assert "claimingAllowed" not in device.attributes("SERVER_SCOPE")
    assert reclaim(tenant, device).status_code == 200
    assert device.attributes("SERVER_SCOPE")["claimingAllowed"] is True


def test_thingsboards_own_client_says_so(subject, acme, device):
    sdk = Sdk(subject.mqtt, device.token)
    try:
        assert sdk.call("claim", secret_key="s", duration=60_000) == 0
        until("that it is held", lambda: claim(acme, device, {"secretKey": "s"})[0] == 200)
    finally:
        sdk.close()
