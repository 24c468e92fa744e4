"""ThingsBoard's own Python clients, unchanged, on both ends of the conversation.

The person is `tb-rest-client`, the device is `tb-mqtt-client`; what one does, the other one sees. Requests of the
tests' own only make what the clients have no method for.
"""

import concurrent.futures
import hashlib
import itertools
import json
import random

import pytest
from tb_rest_client.models import ClaimRequest, Customer, SaveOtaPackageInfoRequest
from tb_rest_client.models import Device as Entity
from tb_rest_client.rest import ApiException
from tb_rest_client.rest_client import RestClient

from clients import Paho, Sdk, sdk_provision
from rest import PASSWORD, Person, fresh, new_user
from server import until

IMAGE = random.Random(11).randbytes(5_000)
UPDATE = ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED"]


def signed_in(url, name, password):
    client = RestClient(url)
    client.login(name, password)
    return client


@pytest.fixture(scope="module")
def person(subject):
    return signed_in(subject.url, "tenant@thingsboard.org", "tenant")


class Owned:
    """A device that the REST client made, and its token."""

    def __init__(self, person, token=None):
        self.person, self.token, self.name = person, token or fresh("token"), fresh("sdk")
        self.entity = person.save_device(Entity(name=self.name, type="default"), access_token=self.token)
        self.id = self.entity.id

    def latest(self, *keys):
        found = self.person.get_latest_timeseries(self.id, keys=",".join(keys) or None, use_strict_data_types=True)
        return {key: self.value(points[0]) for key, points in found.items()}

    def history(self, key):
        found = self.person.get_timeseries(self.id, 0, 2**50, keys=key, limit=1_000, order_by="ASC",
                                           use_strict_data_types=True)
        return [self.value(point) for point in found.get(key, [])]

    def attributes(self, scope):
        rows = self.person.get_attributes_by_scope(self.id, scope)
        return {row["key"]: row["value"] for row in map(self.plain, rows)}

    @classmethod
    def value(cls, point):
        return cls.plain(point)["value"]

    @staticmethod
    def plain(row):
        return row if isinstance(row, dict) else row.to_dict()


@pytest.fixture
def owned(person):
    made = Owned(person)
    yield made
    person.delete_device(made.id)


@pytest.fixture
def meanwhile():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool.submit


def test_devices_and_their_credentials(subject, person, owned, sdk):
    assert person.get_user().email == "tenant@thingsboard.org"
    assert person.get_device_by_id(owned.id).name == owned.name
    assert person.get_tenant_device(owned.name).id.id == owned.id.id
    found = person.get_tenant_devices(10, 0, text_search=owned.name)
    assert [row.name for row in found.data] == [owned.name]
    credentials = person.get_device_credentials_by_device_id(owned.id)
    assert (credentials.credentials_type, credentials.credentials_id) == ("ACCESS_TOKEN", owned.token)
    first = sdk(owned.token)
    assert first.call("is_connected") is True

    credentials.credentials_id = fresh("token")
    person.update_device_credentials(credentials)
    until("the old session ends", lambda: first.call("is_connected") is False)
    assert sdk(credentials.credentials_id).call("send_telemetry", {"a": 1}) == 0
    assert owned.latest("a") == {"a": 1}
    old = Paho(subject.mqtt, 5, owned.token)
    assert old.connect().is_failure
    old.close()

    owned.entity = person.get_device_by_id(owned.id)
    owned.entity.label = "renamed"
    assert person.save_device(owned.entity).label == "renamed"


def test_telemetry(person, owned, sdk):
    device = sdk(owned.token)
    assert device.call("send_telemetry", {"t": 21.5, "n": 3, "ok": True, "s": "x", "j": {"a": [1]}}) == 0
    found = owned.latest()
    # Strict types leave JSON as a text for this class of the client.
    assert found | {"j": None} == {"t": 21.5, "n": 3, "ok": True, "s": "x", "j": None}
    assert sorted(person.get_timeseries_keys_v1(owned.id)) == ["j", "n", "ok", "s", "t"]
    for n in range(10):
        assert device.call("send_telemetry", {"ts": 1_000 * n, "values": {"n": n}}) == 0
    records = [{"ts": 20_000, "values": {"n": 20}}, {"ts": 21_000, "values": {"n": 21}}]
    assert device.call("send_telemetry", records) == 0
    sums = person.get_timeseries(owned.id, 0, 10_000, keys="n", interval=5_000, limit=10, agg="SUM",
                                 use_strict_data_types=True, order_by="ASC")
    assert [float(Owned.value(point)) for point in sums["n"]] == [10.0, 35.0]
    person.save_entity_telemetry(owned.id, "ANY", {"ts": 30_000, "values": {"m": 1}})
    assert owned.history("m") == [1]
    person.delete_entity_timeseries(owned.id, keys="m", delete_all_data_for_keys=True)
    assert owned.history("m") == []


def test_attributes(person, owned, sdk):
    device = sdk(owned.token)
    assert device.call("send_attributes", {"model": "a1", "rev": 7}) == 0
    assert owned.attributes("CLIENT_SCOPE") == {"model": "a1", "rev": 7}
    device.listen("subscribe_to_all_attributes")
    person.save_device_attributes(owned.id, "SHARED_SCOPE", {"limit": 3, "on": False})
    assert device.wait("heard")[0] == {"limit": 3, "on": False}
    asked = device.asked("request_attributes", ["model"], ["limit"])[0]
    assert asked == {"client": {"model": "a1"}, "shared": {"limit": 3}}
    person.delete_entity_attributes(owned.id, "SHARED_SCOPE", keys="on")
    assert device.wait("heard")[0] == {"deleted": ["on"]}
    assert owned.attributes("SHARED_SCOPE") == {"limit": 3}
    person.save_entity_attributes_v2(owned.id, "SERVER_SCOPE", {"hidden": 1})
    assert owned.attributes("SERVER_SCOPE")["hidden"] == 1
    assert person.get_attribute_keys_by_scope(owned.id, "SHARED_SCOPE") == ["limit"]


@pytest.mark.parametrize("two_way", ["handle_two_way_device_rpc_request", "handle_two_way_device_rpc_request_v1"])
def test_calls_of_people(person, owned, sdk, meanwhile, two_way):
    device = sdk(owned.token)
    device.listen("set_server_side_rpc_request_handler", callback="handler")
    body = {"method": "getValue", "params": {"pin": 4}, "timeout": 20_000}
    waits = meanwhile(getattr(person, two_way), owned.id, body)
    number, call = device.wait("heard")
    assert call == {"method": "getValue", "params": {"pin": 4}}
    device.call("send_rpc_reply", number, {"value": True})
    assert waits.result() in ({"value": True}, "{'value': True}")

    one_way = two_way.replace("two", "one")
    getattr(person, one_way)(owned.id, {"method": "blink", "params": None, "timeout": 20_000})
    assert device.wait("heard")[1] == {"method": "blink", "params": None}


def test_nobody_answers_a_call(person, owned, meanwhile):
    rows = {"handle_two_way_device_rpc_request": 409, "handle_two_way_device_rpc_request_v1": 504}
    body = {"method": "m", "params": 1, "timeout": 1}
    calls = {name: meanwhile(getattr(person, name), owned.id, body) for name in rows}
    for name, status in rows.items():
        with pytest.raises(ApiException) as refused:
            calls[name].result()
        assert refused.value.status == status


def test_persistent_calls(person, owned, sdk):
    """The whole ladder, seen by the one client while the other one comes, answers and leaves."""
    ask = person.handle_two_way_device_rpc_request_v1
    body = {"method": "setValue", "params": {"n": 1}, "persistent": True, "timeout": 60_000, "retries": 3}
    calls = [ask(owned.id, body | {"params": {"n": n}}) for n in range(3)]
    calls = [Owned.plain(call)["rpcId"] for call in calls]

    def status(call):
        return Owned.plain(person.get_persisted_rpc(call))["status"]

    assert [status(call) for call in calls] == ["QUEUED"] * 3
    device = sdk(owned.token)
    until("all are delivered", lambda: [status(call) for call in calls] == ["DELIVERED"] * 3)
    device.call("send_rpc_reply", "0", {"done": 0})
    device.call("send_rpc_reply", "1", {"done": 1})
    until("two are answered", lambda: [status(it) for it in calls] == ["SUCCESSFUL", "SUCCESSFUL", "DELIVERED"])
    found = Owned.plain(person.get_persisted_rpc(calls[1]))
    assert found["response"] == {"done": 1}
    listed = Owned.plain(person.get_persisted_rpc_by_device(owned.id, 10, 0, rpc_status="SUCCESSFUL"))
    assert listed["totalElements" if "totalElements" in listed else "total_elements"] == 2
    person.delete_rpc(calls[2])
    with pytest.raises(ApiException) as gone:
        person.get_persisted_rpc(calls[2])
    assert gone.value.status == 404


def test_questions_of_devices(owned, sdk):
    device = sdk(owned.token)
    number, answer, error = device.asked("send_rpc_call", "getCurrentTime", {})
    assert answer["time"] > 1_700_000_000_000 and error is None
    assert device.asked("send_rpc_call", "getSessionLimits", {"timeout": 5000})[1]["maxInflightMessages"] == 100
    assert list(device.asked("send_rpc_call", "whoHandlesThis", {"a": 1})[1]) == ["error"]


def test_claiming(subject, person, owned, sdk):
    customer = person.save_customer(Customer(title=fresh("customer")))
    tenant = Person.login(subject.url, "tenant@thingsboard.org", "tenant")
    email = f"{fresh('user')}@example.org"
    account = {"email": email, "authority": "CUSTOMER_USER",
               "customerId": {"entityType": "CUSTOMER", "id": customer.id.id}}
    new_user(tenant, account)
    user = signed_in(subject.url, email, PASSWORD)
    with pytest.raises(ApiException) as refused:
        user.get_device_by_id(owned.id)
    assert refused.value.status == 403

    assert sdk(owned.token).call("claim", secret_key="s", duration=60_000) == 0
    claimed = Owned.plain(user.device_controller.claim_device(owned.name, body=ClaimRequest(secret_key="s")))
    assert claimed["response"] == "SUCCESS"
    mine = user.get_customer_devices(customer.id, 10, 0)
    assert [row.name for row in mine.data] == [owned.name]
    user.re_claim_device(owned.name)
    assert user.get_customer_devices(customer.id, 10, 0).total_elements == 0


@pytest.mark.parametrize(("options", "kind"), [
    ({}, "ACCESS_TOKEN"),
    ({"access_token": "$"}, "ACCESS_TOKEN"),
    ({"username": "$", "password": "p", "client_id": "c"}, "MQTT_BASIC"),
], ids=["made", "token", "basic"])
def test_provisioning(subject, tenant, person, options, kind):
    """A new device with credentials of its own or made for it logs in with what it was given."""
    key, secret, name = fresh("key"), fresh("secret"), fresh("provisioned")
    profile = tenant.new_profile("DEFAULT")
    data = profile["profileData"] | {"provisionConfiguration": {"type": "ALLOW_CREATE_NEW_DEVICES",
                                                                "provisionDeviceSecret": secret}}
    tenant.ok("POST", "/api/deviceProfile", profile | {
        "provisionType": "ALLOW_CREATE_NEW_DEVICES", "provisionDeviceKey": key, "profileData": data})
    options = {name: fresh("own") if value == "$" else value for name, value in options.items()}
    answer = sdk_provision(subject.mqtt, provision_device_key=key, provision_device_secret=secret, device_name=name,
                           **options)
    assert (answer["status"], answer["credentialsType"]) == ("SUCCESS", kind)
    given = answer["credentialsValue"]
    entity = person.get_tenant_device(name)
    stored = person.get_device_credentials_by_device_id(entity.id)
    assert stored.credentials_type == kind
    if kind == "MQTT_BASIC":
        assert given == {"clientId": "c", "userName": options["username"], "password": "p"}
        device = Sdk(subject.mqtt, given["userName"], password=given["password"], client_id=given["clientId"])
    else:
        assert given == stored.credentials_id and given == options.get("access_token", given)
        device = Sdk(subject.mqtt, given)
    try:
        assert device.call("send_telemetry", {"here": 1}) == 0
    finally:
        device.close()
    refused = sdk_provision(subject.mqtt, provision_device_key=key, provision_device_secret="wrong",
                            device_name=fresh("n"))
    assert refused is None


def new_firmware(person, entity, title, file):
    body = SaveOtaPackageInfoRequest(device_profile_id=entity.device_profile_id, type="FIRMWARE", title=title,
                                     version="2.0", uses_url=False)
    package = person.save_ota_package_info(body)
    return person.save_ota_package_data(package.id, "SHA256", file)


@pytest.mark.parametrize(("chunk", "is_there"), [(0, True), (1_024, False)], ids=["whole, is told", "parts, asks"])
def test_a_firmware_update(person, owned, sdk, tmp_path, chunk, is_there):
    """Announced or asked for, downloaded, verified by its checksum, installed; each step is in the history."""
    path, title = tmp_path / "file", str(tmp_path / "image")
    path.write_bytes(IMAGE)
    package = new_firmware(person, owned.entity, title, str(path))
    assert package.checksum == hashlib.sha256(IMAGE).hexdigest() and package.data_size == len(IMAGE)
    if is_there:
        sdk(owned.token, chunk_size=chunk).call("get_firmware_update")
    entity = person.get_device_by_id(owned.id)
    entity.firmware_id = package.id
    person.save_device(entity)
    if not is_there:
        until("it is announced", lambda: "fw_title" in owned.attributes("SHARED_SCOPE"))
        sdk(owned.token, chunk_size=chunk).call("get_firmware_update")
    until("it is updated", lambda: owned.history("fw_state")[-1:] == ["UPDATED"], timeout=40)
    states = [state for state, _ in itertools.groupby(owned.history("fw_state"))]
    # A device that is told while it asks begins twice; what it says in one millisecond is one step.
    own = [state for state in states if state not in ("IDLE", "QUEUED", "INITIATED")]
    assert own == [state for state in UPDATE if state in own] and len(own) >= 3, states
    assert (tmp_path / "image").read_bytes() == IMAGE
    latest = owned.latest("current_fw_title", "current_fw_version", "fw_error")
    # A text that is a number is kept as one.
    assert latest == {"current_fw_title": title, "current_fw_version": 2.0, "fw_error": ""}
    shared = owned.attributes("SHARED_SCOPE")
    assert (shared["fw_version"], shared["fw_checksum"]) == ("2.0", package.checksum)


def test_a_device_over_http(person, owned):
    """The methods of the REST client that speak for a device."""
    person.post_telemetry(owned.token, {"t": 1})
    person.post_device_attributes(owned.token, {"model": "h"})
    assert owned.latest("t") == {"t": 1} and owned.attributes("CLIENT_SCOPE") == {"model": "h"}
    person.save_device_attributes(owned.id, "SHARED_SCOPE", {"s": 2})
    found = person.get_device_attributes(owned.token, client_keys="model", shared_keys="s")
    assert json.loads(json.dumps(found)) == {"client": {"model": "h"}, "shared": {"s": 2}}
