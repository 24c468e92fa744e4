"""Who may do what with whose things: every route, every identity, every object (R4).

One row per route of the OpenAPI document; a route without a row fails `test_every_route_has_a_row`. A new
route needs one line in ROWS: its method and path as in the document, the roles that may, and what it changes.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from clients import Feed
from rest import MISSING, fresh, new_user

# Identity to role. Whoever has no role is answered 401 everywhere.
ROLE = {"sysadmin": "S", "tenant": "T", "program": "T", "stranger": "T", "customer": "C", "neighbour": "C",
        "guest": "C", "nobody": None, "garbage": None, "refresher": None, "stray_key": None}

# What each identity finds when it reads an object of the first tenant (of its first customer, where that is
# possible). Roles that a route does not name are refused before this is asked.
ACCESS = {
    "device": {"tenant": 200, "program": 200, "stranger": 404, "customer": 200, "neighbour": 403, "guest": 403},
    "customer": {"tenant": 200, "program": 200, "stranger": 404, "customer": 200, "neighbour": 403, "guest": 403},
    "profile": {"tenant": 200, "program": 200, "stranger": 404, "customer": 200, "neighbour": 200, "guest": 200},
    "tenant": {"sysadmin": 200, "tenant": 200, "program": 200, "stranger": 404},
    "tenant_profile": {"sysadmin": 200},
    "package": {"tenant": 200, "program": 200, "stranger": 404, "customer": 200, "neighbour": 200, "guest": 200},
    # A persistent call to the device.
    "rpc": {"tenant": 200, "program": 200, "stranger": 404, "customer": 200, "neighbour": 403, "guest": 403},
    # A user of the first customer: colleagues see each other, only administrators change others.
    "user": {"sysadmin": 403, "tenant": 200, "program": 200, "stranger": 404, "customer": 200, "neighbour": 403,
             "guest": 403},
    # An API key of that user.
    "key": {"sysadmin": 403, "tenant": 200, "program": 200, "stranger": 404, "customer": 403, "neighbour": 403,
            "guest": 403},
}

# Path parameter to kind of object, or to what stands there.
PARAMETERS = {
    "{deviceId}": "device", "{entityId}": "device", "{customerId}": "customer", "{deviceProfileId}": "profile",
    "{tenantId}": "tenant", "{tenantProfileId}": "tenant_profile", "{userId}": "user", "{id}": "key",
    "{otaPackageId}": "package", "{rpcId}": "rpc",
}
WORDS = {"{entityType}": "DEVICE", "{scope}": "SERVER_SCOPE", "{ttl}": "60", "{key}": "general", "{enabled}": "true",
         "{protocol}": "mqtts", "{type}": "FIRMWARE", "{otaPackageType}": "SOFTWARE",
         "{deviceName}": "no-such-device", "{requestId}": MISSING, "{relationType}": "Contains"}


@dataclass(frozen=True)
class Row:
    method: str
    path: str  # as in the OpenAPI document
    roles: str  # of S, T and C; empty for routes that need no credential
    kind: str = None  # the object that is made missing and malformed; none for routes without one
    query: str = ""
    body: object = None  # or what makes it, from the objects
    ok: tuple = (200,)  # what those who may are answered
    writes: bool = False  # refused to guests
    once: bool = False  # would hurt the objects or identities of this table: only tried by those who must fail
    own: dict = field(default_factory=dict)  # identities that are answered otherwise than ACCESS says

    def name(self):
        return f"{self.method} {self.path}{self.query}"


def get(path, roles, kind=None, query="", **options):
    return Row("GET", path, roles, kind, query, **options)


def post(path, roles, kind=None, query="", body=None, **options):
    return Row("POST", path, roles, kind, query, body, **({"writes": True} | options))


def put(path, roles, kind=None, query="", body=None, **options):
    return Row("PUT", path, roles, kind, query, body, **({"writes": True} | options))


def delete(path, roles, kind=None, query="", **options):
    return Row("DELETE", path, roles, kind, query, **({"writes": True, "once": True} | options))


PAGE = "?pageSize=1&page=0"
DATA = "/api/plugins/telemetry/{entityType}/{entityId}"
KEYS = "/api/plugins/telemetry/{deviceId}/{scope}"
ADMINISTERS = {"customer": 403}  # of a user: a colleague may look and not touch
CALL = {"method": "m", "params": 1, "persistent": True}
RELATION = "?fromType=DEVICE&fromId={deviceId}&relationType=Contains&toType=CUSTOMER&toId={customerId}"
FROM = "{entityType}/{entityId}"
NOT_A_GUEST = {"guest": 403}
NOT_A_CUSTOMER = {"customer": 403, "neighbour": 403, "guest": 403}


def relation_of(it, kind):
    return {"from": {"entityType": "DEVICE", "id": it.device}, "type": kind, "typeGroup": "COMMON",
            "to": {"entityType": "CUSTOMER", "id": it.customer}}


ROWS = [
    # People and their logins.
    post("/api/auth/login", "", body={}, ok=(400,)),
    post("/api/auth/login/public", "", body={}, ok=(400,)),
    post("/api/auth/token", "", body={}, ok=(400,)),
    post("/api/auth/logout", "STC", once=True, writes=False),
    get("/api/auth/user", "STC", own=NOT_A_GUEST),
    post("/api/auth/changePassword", "STC", body={"currentPassword": "wrong", "newPassword": "long-enough"}, ok=(400,)),
    get("/api/noauth/userPasswordPolicy", ""),
    get("/api/noauth/activate", "", query="?activateToken=none", ok=(409,)),
    post("/api/noauth/activate", "", body={}, ok=(400,)),
    get("/api/noauth/resetPassword", "", query="?resetToken=none", ok=(409,)),
    post("/api/noauth/resetPassword", "", body={}, ok=(400,)),
    post("/api/noauth/resetPasswordByEmail", "", body={"email": "nobody@example.org"}),
    post("/api/noauth/oauth2Clients", "", body={}),
    post("/api/apiKey", "STC", body=lambda it: {"description": "d", "enabled": False, "userId": it.user_id},
         own=ACCESS["key"]),
    get("/api/apiKeys/{userId}", "STC", "user", PAGE, own=ADMINISTERS),
    put("/api/apiKey/{id}/description", "STC", "key", body='"d"'),
    put("/api/apiKey/{id}/enabled/{enabled}", "STC", "key"),
    delete("/api/apiKey/{id}", "STC", "key"),
    get("/api/user/{userId}", "STC", "user"),
    post("/api/user", "STC", query="?sendActivationMail=false", ok=(200,), own=NOT_A_CUSTOMER,
         body=lambda it: {"email": f"{fresh('u')}@example.org", "authority": "TENANT_ADMIN", "tenantId": it.tenant_ref}),
    delete("/api/user/{userId}", "ST", "user"),
    get("/api/user/{userId}/token", "ST", "user", ok=(403,)),  # off unless the operator allows it
    get("/api/user/{userId}/activationLink", "ST", "user", ok=(400,)),  # active already
    get("/api/user/{userId}/activationLinkInfo", "ST", "user", ok=(400,)),
    get("/api/thingport/users/{userId}/resetLink", "ST", "user"),
    post("/api/user/sendActivationMail", "ST", query="?email=nobody@example.org", ok=(404,)),
    post("/api/user/{userId}/userCredentialsEnabled", "ST", "user", "?userCredentialsEnabled=true"),
    get("/api/user/tokenAccessEnabled", "STC"),
    get("/api/user/settings", "STC"),
    post("/api/user/settings", "STC", body={}),
    put("/api/user/settings", "STC", body={}),
    put("/api/user/settings/general", "STC", body={}),
    get("/api/user/users", "TC", query=PAGE),
    get("/api/users", "TC", query=PAGE),
    get("/api/users/info", "TC", query=PAGE),
    get("/api/users/list", "TC", query=f"?userIds={MISSING}"),
    # Tenants, their profiles, customers.
    get("/api/tenant/{tenantId}", "ST", "tenant"),
    get("/api/tenant/info/{tenantId}", "ST", "tenant"),
    post("/api/tenant", "S", body=lambda _: {"title": fresh("tenant")}),
    delete("/api/tenant/{tenantId}", "S", "tenant"),
    get("/api/tenant/{tenantId}/users", "S", "tenant", PAGE),
    get("/api/tenants", "S", query=PAGE),
    get("/api/tenants", "ST", query=f"?tenantIds={MISSING}"),
    get("/api/tenants/list", "ST", query=f"?tenantIds={MISSING}"),
    get("/api/tenantInfos", "S", query=PAGE),
    get("/api/tenantProfile/{tenantProfileId}", "S", "tenant_profile"),
    get("/api/tenantProfileInfo/{tenantProfileId}", "S", "tenant_profile"),
    get("/api/tenantProfileInfo/default", "S"),
    post("/api/tenantProfile", "S", body=lambda _: {"name": fresh("limits")}),
    delete("/api/tenantProfile/{tenantProfileId}", "S", "tenant_profile"),
    post("/api/tenantProfile/{tenantProfileId}/default", "S", "tenant_profile", once=True),
    get("/api/tenantProfiles", "S", query=PAGE),
    get("/api/tenantProfiles/list", "S", query=f"?ids={MISSING}"),
    get("/api/tenantProfileInfos", "S", query=PAGE),
    get("/api/customer/{customerId}", "TC", "customer"),
    get("/api/customer/info/{customerId}", "TC", "customer"),
    get("/api/customer/{customerId}/shortInfo", "TC", "customer"),
    get("/api/customer/{customerId}/title", "TC", "customer"),
    post("/api/customer", "T", body=lambda _: {"title": fresh("customer")}),
    delete("/api/customer/{customerId}", "T", "customer"),
    get("/api/customer/{customerId}/users", "T", "customer", PAGE),
    get("/api/customers", "T", query=PAGE),
    get("/api/customers/list", "T", query=f"?customerIds={MISSING}"),
    get("/api/tenant/customers", "T", query="?customerTitle=none", ok=(404,)),
    # Device profiles.
    get("/api/deviceProfile/{deviceProfileId}", "T", "profile"),
    get("/api/deviceProfileInfo/{deviceProfileId}", "TC", "profile"),
    get("/api/deviceProfileInfo/default", "TC"),
    post("/api/deviceProfile", "T", body={}, ok=(400,)),
    delete("/api/deviceProfile/{deviceProfileId}", "T", "profile"),
    post("/api/deviceProfile/{deviceProfileId}/default", "T", "profile", once=True),
    get("/api/deviceProfiles", "T", query=PAGE),
    get("/api/deviceProfileInfos", "TC", query=PAGE),
    get("/api/deviceProfileInfos/list", "T", query=f"?deviceProfileIds={MISSING}"),
    get("/api/deviceProfile/names", "TC"),
    get("/api/deviceProfile/devices/keys/attributes", "T"),
    get("/api/deviceProfile/devices/keys/timeseries", "T"),
    # Packages.
    post("/api/otaPackage", "T", body={}, ok=(400,)),
    post("/api/otaPackage/{otaPackageId}", "T", "package", ok=(400,)),  # it has a URL
    get("/api/otaPackage/info/{otaPackageId}", "TC", "package"),
    get("/api/otaPackage/{otaPackageId}", "T", "package"),
    get("/api/otaPackage/{otaPackageId}/download", "T", "package", ok=(400,)),  # it has a URL
    get("/api/otaPackages", "TC", query=PAGE),
    get("/api/otaPackages/{deviceProfileId}/{type}", "TC", "profile", PAGE),
    get("/api/devices/count/{otaPackageType}/{deviceProfileId}", "TC", "profile"),
    delete("/api/otaPackage/{otaPackageId}", "T", "package"),
    # Devices and their credentials.
    get("/api/device/{deviceId}", "TC", "device"),
    get("/api/device/info/{deviceId}", "TC", "device"),
    get("/api/device/{deviceId}/credentials", "TC", "device"),
    get("/api/device-connectivity/{deviceId}", "TC", "device"),
    get("/api/device-connectivity/{protocol}/certificate/download", "", ok=(200, 404)),
    post("/api/device", "TC", body=lambda _: {"name": fresh("device")}),
    post("/api/device-with-credentials", "T", body={}, ok=(400,)),
    post("/api/device/bulk_import", "T", body={}, ok=(400,)),
    post("/api/device/credentials", "T", body={}, ok=(400,)),
    delete("/api/device/{deviceId}", "T", "device"),
    delete("/api/customer/device/{deviceId}", "T", "device"),
    post("/api/customer/public/device/{deviceId}", "T", "device", once=True),
    post("/api/customer/{customerId}/device/{deviceId}", "T", "device"),
    post("/api/customer/{customerId}/device/{deviceId}", "T", "customer"),
    post("/api/owner/CUSTOMER/{customerId}/DEVICE/{deviceId}", "T", "device"),
    post("/api/owner/TENANT/{tenantId}/DEVICE/{deviceId}", "T", "device", once=True),
    get("/api/customer/{customerId}/devices", "TC", "customer", PAGE),
    get("/api/customer/{customerId}/deviceInfos", "TC", "customer", PAGE),
    get("/api/tenant/devices", "T", query=PAGE),
    get("/api/tenant/devices", "T", query="?deviceName=none", ok=(404,)),
    get("/api/tenant/device", "T", query="?deviceName=none", ok=(404,)),
    get("/api/tenant/deviceInfos", "T", query=PAGE),
    get("/api/deviceInfos/all", "TC", query=PAGE),
    get("/api/user/devices", "TC", query=PAGE),
    get("/api/devices", "TC", query=f"?deviceIds={MISSING}"),
    get("/api/device/types", "TC"),
    # Readings and attributes.
    get(DATA + "/keys/timeseries", "TC", "device"),
    get(DATA + "/values/timeseries", "TC", "device"),
    get(DATA + "/values/timeseries", "TC", "device", "?keys=a&startTs=0&endTs=1"),
    get(DATA + "/values/timeseries/history", "TC", "device", "?keys=a&startTs=0&endTs=1"),
    get(DATA + "/keys/attributes", "TC", "device"),
    get(DATA + "/keys/attributes/{scope}", "TC", "device"),
    get(DATA + "/values/attributes", "TC", "device"),
    get(DATA + "/values/attributes/{scope}", "TC", "device"),
    post(DATA + "/timeseries/{scope}", "TC", "device", body={"a": 1}),
    post(DATA + "/timeseries/{scope}/{ttl}", "TC", "device", body={"a": 1}),
    post(DATA + "/{scope}", "TC", "device", body={"a": 1}),
    post(DATA + "/attributes/{scope}", "TC", "device", body={"a": 1}),
    post(KEYS, "TC", "device", body={"a": 1}),
    delete(DATA + "/{scope}", "TC", "device", "?keys=z", once=False),
    delete(KEYS, "TC", "device", "?keys=z", once=False),
    delete(DATA + "/timeseries/delete", "TC", "device", "?keys=z&deleteAllDataForKeys=true", once=False),
    # Calls.
    post("/api/rpc/oneway/{deviceId}", "TC", "device", body=CALL),
    post("/api/rpc/twoway/{deviceId}", "TC", "device", body=CALL),
    post("/api/plugins/rpc/oneway/{deviceId}", "TC", "device", body=CALL),
    post("/api/plugins/rpc/twoway/{deviceId}", "TC", "device", body=CALL),
    get("/api/rpc/persistent/{rpcId}", "TC", "rpc"),
    get("/api/rpc/persistent/device/{deviceId}", "TC", "device", PAGE),
    delete("/api/rpc/persistent/{rpcId}", "T", "rpc"),
    # Relations, and questions about many entities, which find what the caller may see and nothing else.
    get("/api/relation", "TC", "device", RELATION),
    post("/api/relation", "TC", body=lambda it: relation_of(it, "Silently"), own=ACCESS["device"]),
    post("/api/v2/relation", "TC", body=lambda it: relation_of(it, "Loudly"), own=ACCESS["device"]),
    delete("/api/relation", "TC", "device", RELATION),
    delete("/api/v2/relation", "TC", "device", RELATION),
    delete("/api/relations", "TC", "device", "?entityType=DEVICE&entityId={deviceId}"),
    get("/api/relations", "TC", "device", "?fromType=DEVICE&fromId={deviceId}"),
    get("/api/relations/info", "TC", "device", "?toType=DEVICE&toId={deviceId}"),
    *[get(f"/api/relations/{rest}", "TC", "device") for rest in (
        f"from/{FROM}", f"to/{FROM}", f"info/from/{FROM}", f"info/to/{FROM}",
        f"from/{FROM}/{{relationType}}", f"to/{FROM}/{{relationType}}")],
    *[post(path, "TC", body=lambda it: {"parameters": {
        "rootId": it.device, "rootType": "DEVICE", "direction": "FROM", "maxLevel": 1}},
        own=ACCESS["device"], writes=False) for path in ("/api/relations", "/api/relations/info", "/api/devices")],
    *[post(f"/api/entitiesQuery/{path}", "TC", writes=False, body={
        "entityFilter": {"type": "entityType", "entityType": "DEVICE"}, "pageLink": {"page": 0, "pageSize": 1}})
      for path in ("find", "count", "find/keys")],
    # The installation, and what this server alone has.
    get("/api/admin/settings/{key}", "S"),
    post("/api/admin/settings", "S", body={"key": "general", "jsonValue": {}}),
    get("/api/admin/securitySettings", "S"),
    post("/api/admin/securitySettings", "S", body={}),
    get("/api/system/info", "STC"),
    get("/api/system/params", "STC"),
    get("/api/uiSettings/helpBaseUrl", ""),
    get("/api/thingport/devices", "TC", query=PAGE),
    get("/api/thingport/packages/{otaPackageId}/rollout", "T", "package"),
    get("/api/thingport/devices/{deviceId}/events", "TC", "device"),
    get("/api/thingport/devices/{deviceId}/presence", "TC", "device"),
    get("/api/thingport/devices/{deviceId}/trace", "T", "device"),
    post("/api/thingport/devices/{deviceId}/trace", "T", "device", body={"durationMs": 1_000}),
    delete("/api/thingport/devices/{deviceId}/trace", "T", "device", "?forget=true", once=False),
    # By name, of the caller's own tenant: what claiming one's own and others' devices does is told elsewhere.
    post("/api/customer/device/{deviceName}/claim", "C", ok=(404,)),
    delete("/api/customer/device/{deviceName}/claim", "TC", ok=(404,), once=False),
    get("/api/thingport/events", "STC"),
    get("/api/thingport/explain", "STC"),
    post("/api/thingport/explain", "STC", body={}, ok=(200, 400), writes=False),
    get("/api/thingport/reasons", "STC"),
    get("/api/thingport/client-rpc", "", ok=(400,)),  # a WebSocket, whose credential comes later
    post("/api/thingport/client-rpc/take", "T", body={"timeoutMs": 0}),
    post("/api/thingport/client-rpc/{requestId}", "T", body={"answer": 1}, ok=(404,)),
    get("/api/thingport/forwarding", "T"),
    get("/api/thingport/certificates", "STC", query=PAGE),
    post("/api/thingport/schema/check", "T", body={"kind": "TELEMETRY", "schema": ""}),
    post("/api/thingport/schema/try", "T", body={"kind": "TELEMETRY", "schema": "", "payload": ""}),
    post("/api/thingport/topics/try", "T", body={"topic": "v2/t"}),
    post("/api/thingport/certificates/inspect", "ST", body={"certificate": "none"}, ok=(400,), writes=False),
    get("/api/ws", "", ok=(400,)),  # without the handshake
    get("/api/ws/plugins/telemetry", "", ok=(400,)),
    get("/v3/api-docs", ""),
    get("/v3/api-docs/thingsboard", ""),
]


@pytest.fixture(scope="module")
def objects(people):
    """Things of the first tenant that belong to its first customer where that is possible."""
    device = people.tenant.new_device()
    people.tenant.ok("POST", f"/api/customer/{people.customer_id}/device/{device.id}")
    account = {"email": f"{fresh('colleague')}@example.org", "authority": "CUSTOMER_USER",
               "customerId": {"entityType": "CUSTOMER", "id": people.customer_id}}
    user = new_user(people.tenant, account)[1]
    key = people.tenant.ok("POST", "/api/apiKey", {"description": "d", "enabled": False, "userId": user["id"]})
    limits = people.sysadmin.ok("POST", "/api/tenantProfile", {"name": fresh("limits")})
    package = people.tenant.ok("POST", "/api/otaPackage", {
        "deviceProfileId": device.body["deviceProfileId"], "type": "FIRMWARE", "title": fresh("image"), "version": "1",
        "usesUrl": True, "url": "https://example.org/image"})
    call = people.tenant.ok("POST", f"/api/rpc/oneway/{device.id}", CALL | {"timeout": 3_600_000})
    people.tenant.ok("POST", "/api/relation", relation_of(
        SimpleNamespace(device=device.id, customer=people.customer_id), "Contains"))
    return SimpleNamespace(
        package=package["id"]["id"], rpc=call["rpcId"],
        device=device.id, profile=device.body["deviceProfileId"]["id"], customer=people.customer_id,
        tenant=device.body["tenantId"]["id"], tenant_ref=device.body["tenantId"], user=user["id"]["id"],
        user_id=user["id"], key=key["id"]["id"], tenant_profile=limits["id"]["id"],
    )


def test_every_route_has_a_row(subject, nobody):
    """The document is made from the same table as the router, so no route can be forgotten here."""
    document = nobody.ok("GET", "/v3/api-docs")
    routes = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    rows = {(row.method, row.path) for row in ROWS}
    assert routes - rows == set(), "routes without a row: add one to ROWS"
    assert rows - routes == set(), "rows of routes that are gone"


def expected(who, row, which):
    """401, then the role (403), then the form (400), then whose it is (404, 403), then a guest's limits (403)."""
    role = ROLE[who]
    if row.roles == "":
        return set(row.ok)
    if role is None:
        return {401}
    if role not in row.roles:
        return {403}
    if which == "malformed":
        return {400}
    if which == "missing":
        # A guest may not change anything, there or not.
        return {404, 403} if who == "guest" and row.writes else {404}
    if who == "guest" and row.writes:
        return {403}
    reads = row.own.get(who) or ACCESS.get(row.kind, {}).get(who, 200)
    return set(row.ok) if reads == 200 else {reads}


def cells():
    for row in ROWS:
        for which in ("own", "missing", "malformed") if row.kind else ("own",):
            for who in ROLE:
                harmless = which != "own" or not (expected(who, row, which) & {200, *row.ok})
                if not row.once or harmless:
                    yield pytest.param(row, who, which, id=f"{row.name()[:70]} {who} {which}")


def path_of(row, objects, which):
    path = row.path + row.query
    for name, word in WORDS.items():
        path = path.replace(name, word)
    for name, kind in PARAMETERS.items():
        there = getattr(objects, kind)
        varied = {"own": there, "missing": MISSING, "malformed": "not-a-uuid"}[which]
        path = path.replace(name, varied if kind == row.kind else there)
    return path


@pytest.mark.parametrize("row, who, which", list(cells()))
def test_matrix(people, objects, row, who, which):
    body = row.body(objects) if callable(row.body) else row.body
    path = path_of(row, objects, which)
    answer = getattr(people, who).request(row.method, path, body, allow_redirects=False)
    assert answer.status_code in expected(who, row, which), f"{path}: {answer.status_code} {answer.text}"
    if answer.status_code == 401:
        assert answer.json()["errorCode"] == 10


@pytest.mark.parametrize("row", [row for row in ROWS if "T" in row.roles and row.kind and row.kind != "tenant"],
                         ids=Row.name)
def test_foreign_and_missing_look_the_same(people, objects, row):
    """R4: same status and, but for the time and the id asked for, the same body."""
    def shape(which, identifier):
        body = row.body(objects) if callable(row.body) else row.body
        answer = people.stranger.request(row.method, path_of(row, objects, which), body)
        text = answer.text.replace(identifier, "ID")
        return answer.status_code, "".join(it for it in text if not it.isdigit())

    foreign, missing = shape("own", getattr(objects, row.kind)), shape("missing", MISSING)
    assert foreign == missing


def test_lists_show_own_things_alone(people, objects):
    mine = people.tenant.ok("GET", "/api/tenant/devices?pageSize=1000&page=0")["data"]
    assert objects.device in [row["id"]["id"] for row in mine]
    assert people.stranger.ok("GET", "/api/tenant/devices?pageSize=1000&page=0")["data"] == [] or all(
        row["tenantId"]["id"] == people.stranger_tenant_id
        for row in people.stranger.ok("GET", "/api/tenant/devices?pageSize=1000&page=0")["data"])
    for who, path, count in [
        ("stranger", f"/api/devices?deviceIds={objects.device}", 0),
        ("neighbour", f"/api/devices?deviceIds={objects.device}", 0),
        ("guest", f"/api/devices?deviceIds={objects.device}", 0),
        ("customer", f"/api/devices?deviceIds={objects.device}", 1),
        ("stranger", f"/api/users?userIds={objects.user}", 0),
        ("neighbour", f"/api/users/list?userIds={objects.user}", 0),
        ("customer", f"/api/users/list?userIds={objects.user}", 1),
        ("stranger", f"/api/customers?customerIds={objects.customer}", 0),
        ("tenant", f"/api/customers/list?customerIds={objects.customer}", 1),
        ("stranger", f"/api/tenants/list?tenantIds={objects.tenant}", 0),
        ("tenant", f"/api/tenants/list?tenantIds={objects.tenant}", 1),
        ("sysadmin", f"/api/tenants/list?tenantIds={objects.tenant}", 1),
    ]:
        assert len(getattr(people, who).ok("GET", path)) == count, f"{who} {path}"
    for who in ("neighbour", "guest"):
        page = getattr(people, who).ok("GET", "/api/users?pageSize=1000&page=0")["data"]
        assert objects.user not in [row["id"]["id"] for row in page]


def test_questions_find_own_things_alone(people, objects):
    """Neither entities nor relations of others, whatever way they are asked for."""
    device = {"entityType": "DEVICE", "id": objects.device}
    filters = [
        {"type": "singleEntity", "singleEntity": device},
        {"type": "entityList", "entityType": "DEVICE", "entityList": [objects.device]},
        {"type": "entityType", "entityType": "DEVICE"},
        {"type": "relationsQuery", "direction": "TO", "maxLevel": 1,
         "rootEntity": {"entityType": "CUSTOMER", "id": objects.customer}},
    ]
    for who in ("tenant", "customer", "neighbour", "stranger", "guest"):
        person = getattr(people, who)
        for one in filters:
            query = {"entityFilter": one, "pageLink": {"page": 0, "pageSize": 1000}}
            found = person.ok("POST", "/api/entitiesQuery/find", query)["data"]
            found = objects.device in [row["entityId"]["id"] for row in found]
            assert found == (who in ("tenant", "customer")), f"{who} {one}"
        answer = person.get(f"/api/relations/to/CUSTOMER/{objects.customer}")
        assert (answer.status_code == 200) == (who in ("tenant", "customer")), who
    mine = {"from": {"entityType": "USER", "id": objects.user}, "type": "Contains", "typeGroup": "COMMON",
            "to": {"entityType": "TENANT", "id": objects.tenant}}
    people.tenant.ok("POST", "/api/relation", mine)
    listed = f"/api/relations/from/USER/{objects.user}"
    assert len(people.tenant.ok("GET", listed)) == 1
    assert people.customer.ok("GET", listed) == [], "the customer may not see the other end"


def test_bodies_cannot_reach_another_tenant(people, objects):
    """Saving, assigning and re-keying somebody else's things by their id in the body."""
    device = people.tenant.ok("GET", f"/api/device/{objects.device}")
    credentials = people.tenant.ok("GET", f"/api/device/{objects.device}/credentials")
    user = people.tenant.ok("GET", f"/api/user/{objects.user}")
    customer = people.tenant.ok("GET", f"/api/customer/{objects.customer}")
    for person in (people.stranger, people.neighbour, people.guest):
        assert person.post("/api/device", device | {"label": "stolen"}).status_code in (403, 404)
        changed = credentials | {"credentialsId": fresh("stolen")}
        assert person.post("/api/device/credentials", changed).status_code in (403, 404)
        assert person.post("/api/user", user | {"firstName": "stolen"}).status_code in (403, 404)
        assert person.post("/api/customer", customer | {"city": "stolen"}).status_code in (403, 404)
        key = {"id": {"entityType": "API_KEY", "id": objects.key}, "description": "stolen", "enabled": True}
        assert person.post("/api/apiKey", key).status_code in (403, 404)
    own = people.stranger.new_device()
    assert people.stranger.post(f"/api/customer/{objects.customer}/device/{own.id}").status_code == 404
    moved = own.body | {"customerId": {"entityType": "CUSTOMER", "id": objects.customer}}
    assert people.stranger.post("/api/device", moved).status_code in (400, 404)
    profile = {"entityType": "DEVICE_PROFILE", "id": objects.profile}
    assert people.stranger.post("/api/device", {"name": fresh("d"), "deviceProfileId": profile}).status_code in (400, 404)
    assert people.tenant.ok("GET", f"/api/device/{objects.device}") == device
    assert people.tenant.ok("GET", f"/api/device/{objects.device}/credentials") == credentials
    assert people.tenant.ok("GET", f"/api/user/{objects.user}")["firstName"] is None
    assert people.tenant.ok("GET", f"/api/customer/{objects.customer}") == customer


def test_tenants_cannot_make_people_elsewhere(people):
    account = {"email": f"{fresh('spy')}@example.org", "authority": "TENANT_ADMIN",
               "tenantId": {"entityType": "TENANT", "id": people.stranger_tenant_id}}
    answer = people.tenant.post("/api/user?sendActivationMail=false", account)
    if answer.status_code == 200:  # a tenant id in the body may be ignored, never obeyed
        assert answer.json()["tenantId"]["id"] != people.stranger_tenant_id
    account = {"email": f"{fresh('root')}@example.org", "authority": "SYS_ADMIN"}
    for person in (people.tenant, people.customer, people.guest):
        assert person.post("/api/user?sendActivationMail=false", account).status_code in (400, 403)


@pytest.mark.parametrize("who, code", [("tenant", 0), ("program", 0), ("customer", 0), ("neighbour", 3), ("guest", 3),
                                       ("stranger", 3), ("sysadmin", 3)])
@pytest.mark.parametrize("kind", ["tsSubCmds", "attrSubCmds", "historyCmds"])
def test_websocket_commands_follow_the_same_rule(subject, people, objects, who, code, kind):
    """W-16, W-19; foreign and missing answer alike."""
    person = getattr(people, who)
    by_key = person.scheme == "ApiKey"
    with Feed(subject.url, token=None if by_key else person.token) as feed:
        sign_in = {"authCmd": {"cmdId": 0, "apiKey": person.token}} if by_key else {}
        command = {"entityType": "DEVICE", "cmdId": 4, "keys": "a", "startTs": 0, "endTs": 1}
        answer = feed.ask(sign_in | {kind: [command | {"entityId": objects.device}]})
        assert (answer["subscriptionId"], answer["errorCode"]) == (4, code)
        if code:
            assert answer["data"] is None and answer["errorMsg"]
        missing = feed.ask({kind: [command | {"entityId": MISSING, "cmdId": 5}]})
        assert missing["errorCode"] != 0
        if who == "stranger":
            assert {k: v for k, v in missing.items() if k != "subscriptionId"} == {
                k: v for k, v in answer.items() if k != "subscriptionId"}


def test_guests_read_no_secrets(people):
    """A guest sees a public device and its readings, but not what it logs in with."""
    device = people.tenant.new_device()
    customer = people.tenant.ok("POST", f"/api/customer/public/device/{device.id}")["customerId"]["id"]
    guest = people.tenant.guest_of(customer)
    for path, code in [
        (f"/api/device/{device.id}", 200),
        (f"{device.data}/values/timeseries?keys=t", 200),
        (f"/api/device/{device.id}/credentials", 403),
        (f"/api/device-connectivity/{device.id}", 403),
    ]:
        answer = guest.get(path)
        assert answer.status_code == code, f"{path}: {answer.text}"
        assert device.token not in answer.text, path
        assert people.tenant.get(path).status_code == 200, path
