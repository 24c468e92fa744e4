"""The REST API as its clients use it: people, profiles, devices, credentials, pages, errors."""

import base64
import json
import socket
import time

import pytest
import requests

from rest import MISSING, NIL, PASSWORD, Person, fresh, new_user

DEVICE = {"id", "createdTime", "additionalInfo", "tenantId", "customerId", "name", "type", "label",
          "deviceProfileId", "firmwareId", "softwareId", "externalId", "version", "deviceData"}
DEVICE_INFO = DEVICE | {"customerTitle", "customerIsPublic", "deviceProfileName", "active"}
CREDENTIALS = {"id", "createdTime", "deviceId", "credentialsType", "credentialsId", "credentialsValue", "version"}
PROFILE = {"id", "createdTime", "tenantId", "name", "description", "image", "type", "transportType",
           "provisionType", "defaultRuleChainId", "defaultDashboardId", "defaultQueueName", "profileData",
           "provisionDeviceKey", "firmwareId", "softwareId", "defaultEdgeRuleChainId", "externalId", "version",
           "default"}
MQTT_CONFIGURATION = {"type", "deviceTelemetryTopic", "deviceAttributesTopic", "deviceAttributesSubscribeTopic",
                      "transportPayloadTypeConfiguration", "sparkplug", "sparkplugAttributesMetricNames",
                      "sendAckOnValidationException"}


def refused(answer, status, code):
    """The error object of 1.6, exactly."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    body = answer.json()
    assert set(body) == {"status", "message", "errorCode", "timestamp"}
    assert (body["status"], body["errorCode"]) == (status, code)
    assert body["message"] and abs(body["timestamp"] - time.time() * 1000) < 60_000
    return body


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


# People


@pytest.mark.parametrize("name, password, role", [
    ("sysadmin@thingsboard.org", "sysadmin", "SYS_ADMIN"),
    ("tenant@thingsboard.org", "tenant", "TENANT_ADMIN"),
    ("customer@thingsboard.org", "customer", "CUSTOMER_USER"),
    ("customerA@thingsboard.org", "customer", "CUSTOMER_USER"),
    ("customerB@thingsboard.org", "customer", "CUSTOMER_USER"),
    ("customerC@thingsboard.org", "customer", "CUSTOMER_USER"),
])
def test_demo_people_log_in(subject, name, password, role):
    answer = requests.post(f"{subject.url}/api/auth/login", json={"username": name, "password": password})
    assert answer.status_code == 200 and set(answer.json()) == {"token", "refreshToken"}
    access, refresh = claims(answer.json()["token"]), claims(answer.json()["refreshToken"])
    assert (access["sub"], access["scopes"], refresh["scopes"]) == (name, [role], ["REFRESH_TOKEN"])
    assert access["sessionId"] == refresh["sessionId"] and refresh["jti"]
    assert access["exp"] - access["iat"] == 9000 and refresh["exp"] - refresh["iat"] == 604800
    for member in ("userId", "tenantId", "customerId", "iss", "enabled", "isPublic"):
        assert member in access, member
    user = Person(subject.url, answer.json()["token"]).ok("GET", "/api/auth/user")
    assert (user["email"], user["authority"]) == (name, role)


def test_login_names_are_compared_in_any_letter_case(subject):
    Person.login(subject.url, "Tenant@ThingsBoard.org", "tenant")


@pytest.mark.parametrize("body, status, code", [
    ({"username": "tenant@thingsboard.org", "password": "wrong"}, 401, 10),
    ({"username": "nobody@thingsboard.org", "password": "tenant"}, 401, 10),
    ({"username": "", "password": ""}, 401, 10),
    ("no json", 400, 31),
    ('{"username": 5, "password": []}', 400, 31),
    ("", 400, 31),
])
def test_bad_logins(nobody, body, status, code):
    body = refused(nobody.post("/api/auth/login", body), status, code)
    assert "token" not in body, "A-15"


def test_refresh_gives_a_working_pair(subject, nobody):
    person = Person.login(subject.url, "customerC@thingsboard.org", "customer")
    pair = nobody.ok("POST", "/api/auth/token", {"refreshToken": person.refresh_token})
    assert set(pair) == {"token", "refreshToken"}
    assert Person(subject.url, pair["token"]).get("/api/auth/user").status_code == 200
    again = nobody.ok("POST", "/api/auth/token", {"refreshToken": person.refresh_token})
    assert again["token"], "A-12: the older one stays good"
    # neither token passes as the other.
    refused(nobody.post("/api/auth/token", {"refreshToken": person.token}), 401, 10)
    refused(Person(subject.url, person.refresh_token).get("/api/auth/user"), 401, 10)
    refused(nobody.post("/api/auth/token", {"refreshToken": "x.y.z"}), 401, 10)


def test_logout_ends_the_session(subject, nobody):
    person = Person.login(subject.url, "customerB@thingsboard.org", "customer")
    other = Person.login(subject.url, "customerB@thingsboard.org", "customer")
    assert person.post("/api/auth/logout").status_code == 200
    refused(person.get("/api/auth/user"), 401, 11)
    refused(nobody.post("/api/auth/token", {"refreshToken": person.refresh_token}), 401, 11)
    assert other.get("/api/auth/user").status_code == 200, "another session of the same person stays"


@pytest.mark.parametrize("headers, status", [
    ({}, 401),
    ({"X-Authorization": ""}, 401),
    ({"X-Authorization": "Bearer"}, 401),
    ({"X-Authorization": "Bearer x"}, 401),
    ({"X-Authorization": "Basic dGVuYW50OnRlbmFudA=="}, 401),
    ({"X-Authorization": "ApiKey unknown"}, 401),
    ({"X-Authorization": "Bearer @"}, 200),
    ({"X-Authorization": "bearer @"}, 200),
    ({"Authorization": "Bearer @"}, 200),
    ({"X-Authorization": "Bearer @", "Authorization": "Basic x"}, 200),
    ({"X-Authorization": "Bearer x", "Authorization": "Bearer @"}, 401),
])
def test_where_the_token_is_looked_for(subject, tenant, headers, status):
    headers = {name: value.replace("@", tenant.token) for name, value in headers.items()}
    answer = requests.get(f"{subject.url}/api/auth/user", headers=headers)
    if status == 200:
        assert answer.status_code == 200, answer.text
    else:
        refused(answer, 401, 10)


def test_forged_tokens_are_refused(subject, tenant):
    head, body, signature = tenant.token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    longer = claims(tenant.token) | {"scopes": ["SYS_ADMIN"]}
    forged = base64.urlsafe_b64encode(json.dumps(longer).encode()).rstrip(b"=").decode()
    for token in (f"{none}.{body}.", f"{head}.{forged}.{signature}", f"{head}.{body}.", f"{head}.{body}",
                  tenant.token + "x", tenant.token[:-4], "..", "x" * 10_000):
        refused(Person(subject.url, token).get("/api/auth/user"), 401, 10)


def test_wrong_passwords_lock_an_account_and_no_other(subject, nobody, tenant):
    """R8: after ten within a minute the right one is refused as well; a neighbour is not."""
    email = f"{fresh('unlucky')}@example.org"
    new_user(tenant, {"email": email, "authority": "TENANT_ADMIN"})
    Person.login(subject.url, email, PASSWORD)
    for n in range(10):
        refused(nobody.post("/api/auth/login", {"username": email, "password": f"{n}"}), 401, 10)
    refused(nobody.post("/api/auth/login", {"username": email, "password": PASSWORD}), 401, 10)
    Person.login(subject.url, "tenant@thingsboard.org", "tenant")


# Conventions


def test_unknown_paths_and_methods(tenant):
    refused(tenant.get("/api/nothing/here"), 404, 32)
    answer = tenant.request("PUT", "/api/device")
    assert answer.status_code == 405 and answer.json()["status"] == 405


def test_cross_origin_requests_are_welcome(subject):
    answer = requests.options(f"{subject.url}/api/device", headers={
        "Origin": "https://ui.example.org", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-authorization,content-type"})
    assert answer.status_code in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://ui.example.org")
    assert "x-authorization" in answer.headers["Access-Control-Allow-Headers"].lower()


def test_a_body_beyond_the_limit_is_413_with_a_text(tenant, device):
    answer = tenant.post(f"{device.data}/timeseries/ANY", '{"a":"' + "x" * (16 << 20) + '"}')
    assert answer.status_code == 413 and isinstance(answer.json(), str)


@pytest.mark.parametrize("path", ["/api/device", "/api/plugins/telemetry/DEVICE/x/SERVER_SCOPE", "/api/nothing"])
def test_a_refusal_before_the_body_says_that_the_connection_ends(subject, path):
    """Or the client's next request on it is lost."""
    host, port = subject.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Authorization: Bearer x\r\n"
                           "Content-Type: application/json\r\nContent-Length: 8\r\n\r\n".encode())
        answer = connection.recv(65536).lower()
    assert answer.startswith(b"http/1.1 40") and b"\r\nconnection: close\r\n" in answer


PAGED = ["/api/tenant/devices", "/api/tenant/deviceInfos", "/api/deviceProfiles", "/api/deviceProfileInfos",
         "/api/customers", "/api/users"]


@pytest.mark.parametrize("path", PAGED)
@pytest.mark.parametrize("query", [
    "", "pageSize=10", "page=0", "pageSize=0&page=0", "pageSize=-1&page=0", "pageSize=10&page=-1",
    "pageSize=10001&page=0", "pageSize=x&page=0", "pageSize=10&page=0&sortProperty=nothing",
    "pageSize=10&page=0&sortProperty=a;b", "pageSize=10&page=0&sortProperty=name&sortOrder=UP",
    "pageSize=99999999999999999999&page=0",
])
def test_bad_page_parameters(tenant, path, query):
    """G-42 to G-44."""
    if path == "/api/deviceProfileInfos" and query == "":
        query = "x=1"
    refused(tenant.get(f"{path}?{query}"), 400, 31)


def test_pages_are_complete_sorted_and_searchable(tenant):
    """G-40 to G-45."""
    mark = fresh("Page")
    names = [f"{mark}-{n}%_" for n in (3, 1, 2, 5, 4)]
    ids = [tenant.new_device(name=name, label=f"label of {name}").id for name in names]

    def page(size, number, **more):
        query = {"pageSize": size, "page": number, "textSearch": mark.upper()} | more
        return tenant.ok("GET", "/api/tenant/devices", params=query)

    first = page(2, 0)
    assert set(first) == {"data", "totalPages", "totalElements", "hasNext"}
    assert (first["totalPages"], first["totalElements"], first["hasNext"]) == (3, 5, True)
    assert all(set(row) == DEVICE for row in first["data"])
    assert [row["id"]["id"] for n in range(3) for row in page(2, n)["data"]] == ids, "by id is by creation"
    assert page(2, 2)["hasNext"] is False
    beyond = page(2, 9)
    assert (beyond["data"], beyond["totalElements"], beyond["hasNext"]) == ([], 5, False)
    up = [row["name"] for row in page(10, 0, sortProperty="name")["data"]]
    down = [row["name"] for row in page(10, 0, sortProperty="name", sortOrder="DESC")["data"]]
    assert up == sorted(names) and down == up[::-1]
    assert page(10, 0, textSearch=f"{mark}-1%_")["totalElements"] == 1
    assert page(10, 0, textSearch=f"{mark}-_")["totalElements"] == 0, "G-40: no wildcards"
    assert page(10, 0, type="default")["totalElements"] == 5
    assert page(10, 0, type="other")["totalElements"] == 0


# Devices


def test_a_device_from_creation_to_deletion(tenant):
    name = fresh("pump")
    device = tenant.ok("POST", "/api/device", {
        "name": name, "label": "L", "additionalInfo": {"description": "north hall", "gateway": False}})
    assert set(device) == DEVICE
    assert device["id"]["entityType"] == "DEVICE" and device["version"] == 1
    assert device["customerId"] == {"entityType": "CUSTOMER", "id": NIL}
    assert device["type"] == "default" and device["label"] == "L"
    assert device["additionalInfo"]["description"] == "north hall"
    assert device["deviceData"] == {"configuration": {"type": "DEFAULT"},
                                    "transportConfiguration": {"type": "DEFAULT"}}
    assert device["firmwareId"] is device["softwareId"] is device["externalId"] is None
    assert abs(device["createdTime"] - time.time() * 1000) < 60_000
    path = f"/api/device/{device['id']['id']}"
    assert tenant.ok("GET", path) == device
    info = tenant.ok("GET", f"/api/device/info/{device['id']['id']}")
    assert set(info) == DEVICE_INFO
    assert (info["customerTitle"], info["customerIsPublic"], info["deviceProfileName"], info["active"]) == (
        None, False, "default", False)
    changed = tenant.ok("POST", "/api/device", device | {"label": "M"})
    assert changed == device | {"label": "M", "version": 2}
    refused(tenant.post("/api/device", device | {"label": "N"}), 409, 35)
    forced = tenant.ok("POST", "/api/device", device | {"label": "N", "version": None})
    assert (forced["label"], forced["version"]) == ("N", 3)
    for query in (f"/api/tenant/devices?deviceName={name}", f"/api/tenant/device?deviceName={name}"):
        assert tenant.ok("GET", query) == forced
    assert tenant.ok("GET", f"/api/devices?deviceIds={device['id']['id']},{MISSING}") == [forced]
    answer = tenant.delete(path)
    assert (answer.status_code, answer.content) == (200, b"")
    refused(tenant.get(path), 404, 32)
    refused(tenant.delete(path), 404, 32)
    refused(tenant.get(f"/api/tenant/devices?deviceName={name}"), 404, 32)


def test_a_device_full_of_nulls_is_created(tenant):
    """X-10: what the black-box helper sends."""
    device = tenant.ok("POST", "/api/device?accessToken=", {
        "id": None, "createdTime": 0, "additionalInfo": None, "tenantId": None, "customerId": None,
        "name": fresh("nulls"), "type": None, "label": None, "deviceProfileId": None, "firmwareId": None,
        "softwareId": None, "externalId": None, "version": None,
        "deviceData": {"configuration": None, "transportConfiguration": None}, "unknown": [1]})
    assert set(device) == DEVICE and device["createdTime"] > 0
    credentials = tenant.ok("GET", f"/api/device/{device['id']['id']}/credentials")
    assert set(credentials) == CREDENTIALS and set(credentials["id"]) == {"id"}
    assert credentials["credentialsType"] == "ACCESS_TOKEN" and credentials["credentialsValue"] is None
    assert len(credentials["credentialsId"]) == 20 and credentials["credentialsId"].isalnum()


def test_names_with_odd_characters_are_found(tenant):
    """G-8."""
    name = fresh("My dev/ \u00e4%20&+?#")
    device = tenant.new_device(name=name)
    found = tenant.ok("GET", "/api/tenant/devices", params={"deviceName": name})
    assert found["id"]["id"] == device.id


def bad_devices():
    token = fresh("taken")
    return [
        ("name missing", {}), ("name null", {"name": None}), ("name blank", {"name": " "}),
        ("name is a number", {"name": 5}), ("name too long", {"name": "x" * 256}),
        ("name with HTML", {"name": "<b>x</b>"}), ("name with NUL", {"name": "a\0b"}),
        ("label too long", {"name": fresh("d"), "label": "x" * 256}),
        ("profile unknown", {"name": fresh("d"), "deviceProfileId": {"entityType": "DEVICE_PROFILE", "id": MISSING}}),
        ("profile id malformed", {"name": fresh("d"), "deviceProfileId": {"entityType": "DEVICE_PROFILE", "id": "x"}}),
        ("profile id a text", {"name": fresh("d"), "deviceProfileId": "x"}),
        ("additional info a list", {"name": fresh("d"), "additionalInfo": [1]}),
        ("firmware unknown", {"name": fresh("d"), "firmwareId": {"entityType": "OTA_PACKAGE", "id": MISSING}}),
        ("a list", [token]), ("not JSON", "{"), ("nothing", ""),
    ]


@pytest.mark.parametrize("row", bad_devices(), ids=lambda row: row[0])
def test_bad_devices_are_refused(tenant, row):
    refused(tenant.post("/api/device", row[1]), 400, 31)


def test_names_and_tokens_are_unique(tenant, device, people):
    refused(tenant.post("/api/device", {"name": device.body["name"]}), 400, 31)
    name = fresh("second")
    refused(tenant.post(f"/api/device?accessToken={device.token}", {"name": name}), 400, 31)
    assert tenant.get(f"/api/tenant/devices?deviceName={name}").status_code == 404, "D-4: and no device"
    # Another tenant may have the name, not the token (AU-006).
    refused(people.stranger.post(f"/api/device?accessToken={device.token}", {"name": name}), 400, 31)
    people.stranger.new_device(name=device.body["name"])
    # D-2
    path = "/api/device?nameConflictPolicy=UNIQUIFY&uniquifyStrategy=INCREMENTAL"
    assert tenant.ok("POST", path, {"name": device.body["name"]})["name"] == device.body["name"] + "_1"


def test_the_type_text_finds_or_makes_a_profile(tenant):
    """D-3."""
    kind = fresh("kind")
    one, two = tenant.new_device(type=kind), tenant.new_device(type=kind)
    assert one.body["type"] == kind
    assert one.body["deviceProfileId"] == two.body["deviceProfileId"]
    profile = tenant.ok("GET", f"/api/deviceProfile/{one.body['deviceProfileId']['id']}")
    assert (profile["name"], profile["transportType"], profile["default"]) == (kind, "DEFAULT", False)


def test_a_device_with_its_credentials_in_one_call(tenant, wire):
    user = fresh("user")
    device = tenant.ok("POST", "/api/device-with-credentials", {
        "device": {"name": fresh("both")},
        "credentials": {"credentialsType": "MQTT_BASIC",
                        "credentialsValue": json.dumps({"userName": user, "password": "P"})}})
    assert set(device) == DEVICE
    wire(4).login(user, password="P")


def test_assignment_to_a_customer(tenant, people):
    device = tenant.new_device()
    path = f"/api/customer/{people.customer_id}/device/{device.id}"
    assert people.customer.get(f"/api/device/{device.id}").status_code == 403
    assert tenant.ok("POST", path)["customerId"]["id"] == people.customer_id
    assert people.customer.ok("GET", f"/api/device/{device.id}")["name"] == device.body["name"]
    rows = people.customer.ok("GET", f"/api/customer/{people.customer_id}/devices?pageSize=100&page=0")["data"]
    assert device.id in [row["id"]["id"] for row in rows]
    assert tenant.ok("DELETE", f"/api/customer/device/{device.id}")["customerId"]["id"] == NIL
    refused(tenant.delete(f"/api/customer/device/{device.id}"), 400, 31)
    assert people.customer.get(f"/api/device/{device.id}").status_code == 403


# Credentials


def test_credentials_are_read_changed_and_sent_back(tenant, device, wire):
    """X-5, C-1, C-4."""
    path = f"/api/device/{device.id}/credentials"
    stored = tenant.ok("GET", path)
    assert set(stored) == CREDENTIALS and set(stored["id"]) == {"id"}
    assert (stored["credentialsType"], stored["credentialsId"]) == ("ACCESS_TOKEN", device.token)
    assert stored["deviceId"] == {"entityType": "DEVICE", "id": device.id}
    user = fresh("user")
    value = {"clientId": None, "userName": user, "password": "pw"}
    saved = tenant.save_credentials(device, "MQTT_BASIC", value=value)
    assert saved["credentialsId"] == user and json.loads(saved["credentialsValue"]) == value
    assert saved["id"] == stored["id"] and saved["version"] == stored["version"] + 1
    assert tenant.ok("GET", path) == saved
    wire(4).login(user, password="pw")
    refused(tenant.post("/api/device/credentials", saved | {"version": 1}), 409, 35)


def bad_credentials():
    return [
        ("type missing", {"credentialsType": None}), ("type unknown", {"credentialsType": "MAGIC"}),
        ("token blank", {"credentialsType": "ACCESS_TOKEN", "credentialsId": " "}),
        ("token with control character", {"credentialsType": "ACCESS_TOKEN", "credentialsId": "a\nb"}),
        ("basic: neither name", {"credentialsType": "MQTT_BASIC", "credentialsValue": '{"password":"x"}'}),
        ("basic: password beside client id", {"credentialsType": "MQTT_BASIC",
                                              "credentialsValue": '{"clientId":"a","password":"x"}'}),
        ("basic: not JSON", {"credentialsType": "MQTT_BASIC", "credentialsValue": "x"}),
        ("certificate: nothing", {"credentialsType": "X509_CERTIFICATE", "credentialsValue": ""}),
        ("id of another record", {"id": {"id": MISSING}}),
        ("a token in use", {"credentialsType": "ACCESS_TOKEN", "credentialsId": "A1_TEST_TOKEN"}),
    ]


@pytest.mark.parametrize("row", bad_credentials(), ids=lambda row: row[0])
def test_bad_credentials_are_refused_and_change_nothing(tenant, device, wire, row):
    stored = tenant.ok("GET", f"/api/device/{device.id}/credentials")
    refused(tenant.post("/api/device/credentials", stored | row[1]), 400, 31)
    assert tenant.ok("GET", f"/api/device/{device.id}/credentials") == stored
    wire(4).login(device.token)


# Profiles


def test_profiles_are_saved_listed_and_deleted(tenant):
    profile = tenant.new_profile(acks_invalid=True)
    assert set(profile) == PROFILE
    assert (profile["version"], profile["default"], profile["provisionType"]) == (1, False, "DISABLED")
    assert set(profile["profileData"]["transportConfiguration"]) == MQTT_CONFIGURATION
    path = f"/api/deviceProfile/{profile['id']['id']}"
    assert tenant.ok("GET", path) == profile
    changed = tenant.ok("POST", "/api/deviceProfile", profile | {"description": "D"})
    assert changed == profile | {"description": "D", "version": 2}
    refused(tenant.post("/api/deviceProfile", profile), 409, 35)
    rows = tenant.ok("GET", f"/api/deviceProfiles?pageSize=10&page=0&textSearch={profile['name']}")
    assert rows["data"] == [changed]
    infos = tenant.ok("GET", f"/api/deviceProfileInfos?pageSize=10&page=0&textSearch={profile['name']}")
    assert set(infos["data"][0]) == {"id", "name", "image", "defaultDashboardId", "type", "transportType", "tenantId"}
    device = tenant.new_device(deviceProfileId=profile["id"])
    assert device.body["deviceData"]["transportConfiguration"]["type"] == "MQTT"
    refused(tenant.delete(path), 400, 31)
    tenant.ok("DELETE", f"/api/device/{device.id}")
    assert tenant.delete(path).status_code == 200
    refused(tenant.get(path), 404, 32)


def test_the_default_profile_is_there(tenant):
    info = tenant.ok("GET", "/api/deviceProfileInfo/default")
    assert (info["name"], info["transportType"]) == ("default", "DEFAULT")
    profile = tenant.ok("GET", f"/api/deviceProfile/{info['id']['id']}")
    assert profile["default"] is True
    refused(tenant.delete(f"/api/deviceProfile/{info['id']['id']}"), 400, 31)
    assert tenant.ok("GET", f"/api/deviceProfileInfo/{info['id']['id']}") == info


def test_a_profile_with_alarms_is_returned_as_sent(tenant):
    """X-12."""
    alarms = [{"id": "1", "alarmType": "High", "createRules": {"MAJOR": {"condition": {"spec": None}}}}]
    data = {"configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"}, "alarms": alarms}
    profile = tenant.new_profile("DEFAULT", profileData=data)
    assert profile["profileData"]["alarms"] == alarms


def bad_profiles():
    def mqtt(**members):
        return {"transportType": "MQTT", "profileData": {
            "configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "MQTT"} | members}}

    return [
        ("name blank", {"name": " "}), ("name taken", {"name": "default"}), ("name missing", {"name": None}),
        ("transport unknown", {"transportType": "PIGEON"}),
        ("configuration of another transport", {"transportType": "MQTT", "profileData": {
            "configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"}}}),
        ("wildcard in the middle", mqtt(deviceTelemetryTopic="a/#/b")),
        ("plus inside a level", mqtt(deviceTelemetryTopic="a+/b")),
        ("telemetry equal to attributes", mqtt(deviceTelemetryTopic="x", deviceAttributesTopic="x")),
        ("rule chain unknown", {"defaultRuleChainId": {"entityType": "RULE_CHAIN", "id": MISSING}}),
        ("queue unknown", {"defaultQueueName": "Nowhere"}),
    ]


@pytest.mark.parametrize("row", bad_profiles(), ids=lambda row: row[0])
def test_bad_profiles_are_refused(tenant, row):
    body = {"name": fresh("profile"), "type": "DEFAULT", "transportType": "DEFAULT", "profileData": {
        "configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"}}}
    refused(tenant.post("/api/deviceProfile", body | row[1]), 400, 31)


# What is served beside


def test_the_api_describes_itself(subject):
    document = requests.get(f"{subject.url}/v3/api-docs").json()
    assert document["openapi"].startswith("3.1")
    for path in ("/api/auth/login", "/api/device", "/api/plugins/telemetry/{entityType}/{entityId}/values/timeseries"):
        assert path in document["paths"], path
    page = requests.get(f"{subject.url}/swagger-ui.html")
    assert page.status_code == 200 and "html" in page.headers["Content-Type"]
    for person in (None, "Bearer x"):
        headers = {"X-Authorization": person} if person else {}
        assert requests.get(f"{subject.url}/", headers=headers).status_code == 200


def test_system_info_names_the_version(tenant):
    found = tenant.ok("GET", "/api/system/info")
    assert found["version"] and found["type"] == "CE"
