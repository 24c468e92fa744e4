"""Who may do what with whose things: one table, every identity, every object (R4)."""

import pytest

from clients import Feed
from rest import MISSING, fresh

T, C, S = "tenant", "customer", "sysadmin"
DATA = "/api/plugins/telemetry/DEVICE/{id}"

# method, path, roles that may, kind of object, body. Paths of 20 that name an object.
ENDPOINTS = [
    ("GET", "/api/device/{id}", {T, C}, "device", None),
    ("GET", "/api/device/info/{id}", {T, C}, "device", None),
    ("GET", "/api/device/{id}/credentials", {T, C}, "device", None),
    ("GET", "/api/thingport/devices/{id}/events", {T, C}, "device", None),
    ("GET", "/api/thingport/events?deviceId={id}", {T, C}, "device", None),
    ("GET", "/api/thingport/explain?deviceId={id}", {T, C}, "device", None),
    ("GET", DATA + "/keys/timeseries", {T, C}, "device", None),
    ("GET", DATA + "/values/timeseries", {T, C}, "device", None),
    ("GET", DATA + "/values/timeseries?keys=a&startTs=0&endTs=1", {T, C}, "device", None),
    ("GET", DATA + "/values/timeseries/history?keys=a&startTs=0&endTs=1", {T, C}, "device", None),
    ("GET", DATA + "/keys/attributes", {T, C}, "device", None),
    ("GET", DATA + "/keys/attributes/SERVER_SCOPE", {T, C}, "device", None),
    ("GET", DATA + "/values/attributes", {T, C}, "device", None),
    ("GET", DATA + "/values/attributes/SHARED_SCOPE", {T, C}, "device", None),
    ("POST", DATA + "/timeseries/ANY", {T, C}, "device", {"a": 1}),
    ("POST", DATA + "/timeseries/ANY/60", {T, C}, "device", {"a": 1}),
    ("POST", DATA + "/SERVER_SCOPE", {T, C}, "device", {"a": 1}),
    ("POST", DATA + "/attributes/SHARED_SCOPE", {T, C}, "device", {"a": 1}),
    ("POST", "/api/plugins/telemetry/{id}/SERVER_SCOPE", {T, C}, "device", {"a": 1}),
    ("DELETE", DATA + "/SERVER_SCOPE?keys=z", {T, C}, "device", None),
    ("DELETE", "/api/plugins/telemetry/{id}/SHARED_SCOPE?keys=z", {T, C}, "device", None),
    ("DELETE", DATA + "/timeseries/delete?keys=z&deleteAllDataForKeys=true", {T, C}, "device", None),
    ("DELETE", "/api/customer/device/{id}", {T}, "device", None),
    ("DELETE", "/api/device/{id}", {T}, "device", None),
    ("GET", "/api/deviceProfile/{id}", {T}, "profile", None),
    ("GET", "/api/deviceProfileInfo/{id}", {T, C}, "profile", None),
    ("DELETE", "/api/deviceProfile/{id}", {T}, "profile", None),
    ("GET", "/api/customer/{id}", {T, C}, "customer", None),
    ("GET", "/api/customer/{id}/title", {T, C}, "customer", None),
    ("GET", "/api/customer/{id}/devices?pageSize=1&page=0", {T, C}, "customer", None),
    ("DELETE", "/api/customer/{id}", {T}, "customer", None),
    ("GET", "/api/tenant/{id}", {T, S}, "tenant", None),
    ("DELETE", "/api/tenant/{id}", {S}, "tenant", None),
]

# method, path, roles that may: without an object.
LISTS = [
    ("GET", "/api/auth/user", {T, C, S}),
    ("GET", "/api/tenant/devices?pageSize=1&page=0", {T}),
    ("GET", "/api/tenant/deviceInfos?pageSize=1&page=0", {T}),
    ("GET", "/api/tenant/devices?deviceName=Test%20Device%20A1", {T}),
    ("GET", "/api/deviceProfiles?pageSize=1&page=0", {T}),
    ("GET", "/api/deviceProfileInfos?pageSize=1&page=0", {T, C}),
    ("GET", "/api/deviceProfileInfo/default", {T, C}),
    ("GET", "/api/device/types", {T, C}),
    ("GET", "/api/customers?pageSize=1&page=0", {T}),
    ("GET", "/api/users?pageSize=1&page=0", {T, C}),
    ("GET", "/api/tenants?pageSize=1&page=0", {S}),
    ("GET", "/api/tenantInfos?pageSize=1&page=0", {S}),
    ("GET", "/api/thingport/events", {T, C, S}),
    ("GET", "/api/thingport/explain", {T, C, S}),
    ("GET", "/api/thingport/certificates?pageSize=10&page=0", {T, C, S}),
    ("GET", "/api/thingport/reasons", {T, C, S}),
]

ROLE = {"sysadmin": S, "tenant": T, "stranger": T, "customer": C, "neighbour": C, "nobody": None, "garbage": None,
        "refresher": None}
KINDS_OF_NOBODY = {"nobody", "garbage", "refresher"}


@pytest.fixture(scope="module")
def objects(people):
    """Things of the first tenant that belong to its first customer where that is possible."""
    device = people.tenant.new_device()
    people.tenant.ok("POST", f"/api/customer/{people.customer_id}/device/{device.id}")
    return {"device": device.id, "profile": device.body["deviceProfileId"]["id"], "customer": people.customer_id,
            "tenant": device.body["tenantId"]["id"]}


def expected(who, roles, kind, which, method):
    """The one rule: 401, then the role (403), then the form (400), then whose it is (404, 403)."""
    role = ROLE[who]
    if role is None:
        return {401}
    if role not in roles:
        return {403}
    if which == "malformed":
        return {400}
    if which == "missing":
        return {404}
    if kind == "tenant":
        return {200} if role == S or who == "tenant" else {404}
    if who == "stranger":
        return {404}  # G-51: another tenant's things do not exist
    if who == "neighbour" and kind in ("device", "customer"):
        return {403}
    return {200}


def destroys(method, path):
    return method == "DELETE" and "keys=" not in path


ROWS = [(*row, who, which) for row in ENDPOINTS for who in ROLE for which in ("own", "missing", "malformed")
        # What would really delete the objects of this table is tried by those who must fail.
        if not (which == "own" and destroys(row[0], row[1]) and expected(who, row[2], row[3], which, row[0]) == {200})]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1][:60]} {row[5]} {row[6]}")
def test_matrix(people, objects, row):
    method, path, roles, kind, body, who, which = row
    identifier = {"own": objects[kind], "missing": MISSING, "malformed": "not-a-uuid"}[which]
    answer = getattr(people, who).request(method, path.format(id=identifier), body)
    assert {answer.status_code} == expected(who, roles, kind, which, method), answer.text
    if answer.status_code == 401:
        assert answer.json()["errorCode"] == 10


@pytest.mark.parametrize("row", LISTS, ids=lambda row: row[1][:50])
def test_lists(people, row):
    method, path, roles = row
    for who, role in ROLE.items():
        answer = getattr(people, who).request(method, path)
        allowed = {200, 404} if "deviceName" in path else {200}
        wanted = {401} if role is None else allowed if role in roles else {403}
        assert answer.status_code in wanted, f"{who}: {answer.status_code} {answer.text}"


def test_foreign_and_missing_look_the_same(people, objects):
    """R4: same status and, but for the time and the id asked for, the same body."""
    for method, path, roles, kind, body in ENDPOINTS:
        if T not in roles or kind == "tenant":
            continue
        foreign = people.stranger.request(method, path.format(id=objects[kind]), body)
        missing = people.stranger.request(method, path.format(id=MISSING), body)

        def shape(answer, identifier):
            text = answer.text.replace(identifier, "ID")
            return answer.status_code, "".join(it for it in text if not it.isdigit())

        assert shape(foreign, objects[kind]) == shape(missing, MISSING), path


def test_lists_show_own_things_alone(people, objects):
    mine = people.tenant.ok("GET", "/api/tenant/devices?pageSize=1000&page=0")["data"]
    assert objects["device"] in [row["id"]["id"] for row in mine]
    assert people.stranger.ok("GET", "/api/tenant/devices?pageSize=1000&page=0")["data"] == [] or all(
        row["tenantId"]["id"] == people.stranger_tenant_id
        for row in people.stranger.ok("GET", "/api/tenant/devices?pageSize=1000&page=0")["data"])
    assert people.stranger.ok("GET", f"/api/devices?deviceIds={objects['device']}") == []
    assert people.neighbour.ok("GET", f"/api/devices?deviceIds={objects['device']}") == []
    assert len(people.customer.ok("GET", f"/api/devices?deviceIds={objects['device']}")) == 1


def test_bodies_cannot_reach_another_tenant(people, objects):
    """Saving, assigning and re-keying somebody else's things by their id in the body."""
    device = people.tenant.ok("GET", f"/api/device/{objects['device']}")
    credentials = people.tenant.ok("GET", f"/api/device/{objects['device']}/credentials")
    for person in (people.stranger, people.neighbour):
        assert person.post("/api/device", device | {"label": "stolen"}).status_code in (403, 404)
        changed = credentials | {"credentialsId": fresh("stolen")}
        assert person.post("/api/device/credentials", changed).status_code in (403, 404)
    own = people.stranger.new_device()
    assert people.stranger.post(f"/api/customer/{objects['customer']}/device/{own.id}").status_code == 404
    moved = own.body | {"customerId": {"entityType": "CUSTOMER", "id": objects["customer"]}}
    assert people.stranger.post("/api/device", moved).status_code in (400, 404)
    profile = {"entityType": "DEVICE_PROFILE", "id": objects["profile"]}
    assert people.stranger.post("/api/device", {"name": fresh("d"), "deviceProfileId": profile}).status_code in (400, 404)
    assert people.tenant.ok("GET", f"/api/device/{objects['device']}") == device
    assert people.tenant.ok("GET", f"/api/device/{objects['device']}/credentials") == credentials


def test_tenants_cannot_make_people_elsewhere(people):
    account = {"email": f"{fresh('spy')}@example.org", "authority": "TENANT_ADMIN",
               "tenantId": {"entityType": "TENANT", "id": people.stranger_tenant_id}}
    answer = people.tenant.post("/api/user?sendActivationMail=false", account)
    if answer.status_code == 200:  # a tenant id in the body may be ignored, never obeyed
        assert answer.json()["tenantId"]["id"] != people.stranger_tenant_id
    account = {"email": f"{fresh('root')}@example.org", "authority": "SYS_ADMIN"}
    for person in (people.tenant, people.customer):
        assert person.post("/api/user?sendActivationMail=false", account).status_code in (400, 403)


@pytest.mark.parametrize("who, code", [("tenant", 0), ("customer", 0), ("neighbour", 3), ("stranger", 3),
                                       ("sysadmin", 3)])
@pytest.mark.parametrize("kind", ["tsSubCmds", "attrSubCmds", "historyCmds"])
def test_websocket_commands_follow_the_same_rule(subject, people, objects, who, code, kind):
    """W-16, W-19; foreign and missing answer alike."""
    with Feed(subject.url, token=getattr(people, who).token) as feed:
        command = {"entityType": "DEVICE", "cmdId": 4, "keys": "a", "startTs": 0, "endTs": 1}
        answer = feed.ask({kind: [command | {"entityId": objects["device"]}]})
        assert (answer["subscriptionId"], answer["errorCode"]) == (4, code)
        if code:
            assert answer["data"] is None and answer["errorMsg"]
        missing = feed.ask({kind: [command | {"entityId": MISSING, "cmdId": 5}]})
        assert missing["errorCode"] != 0
        if who == "stranger":
            assert {k: v for k, v in missing.items() if k != "subscriptionId"} == {
                k: v for k, v in answer.items() if k != "subscriptionId"}
