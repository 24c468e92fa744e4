"""People and their programs: links, API keys, sessions, settings, limits, time zones (REST API 2, 4 to 6, 14.3, 17)."""

import time
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
import requests
from tb_rest_client.models import (ActivateUserRequest, ApiKeyInfo, Customer, Tenant, User)
from tb_rest_client.rest_client import RestClient

from clients import Feed
from rest import PASSWORD, Person, fresh, new_user


@pytest.fixture(scope="module")
def limited(subject, sysadmin):
    """A tenant whose profile the tests change: `.admin`, `.customer` and `.set(member=value)`."""
    profile = sysadmin.ok("POST", "/api/tenantProfile", {"name": fresh("limits")})
    tenant = sysadmin.ok("POST", "/api/tenant", {"title": fresh("limited"), "tenantProfileId": profile["id"]})
    admin = new_user(sysadmin, {"email": f"{fresh('admin')}@example.org", "authority": "TENANT_ADMIN",
                                "tenantId": tenant["id"]})[0]
    customer = admin.ok("POST", "/api/customer", {"title": fresh("customer")})
    user = new_user(admin, {"email": f"{fresh('user')}@example.org", "authority": "CUSTOMER_USER",
                            "customerId": customer["id"]})[0]

    def set_members(**members):
        profile["profileData"]["configuration"] |= members
        return sysadmin.ok("POST", "/api/tenantProfile", profile)["profileData"]["configuration"]

    return SimpleNamespace(admin=admin, customer=user, customer_id=customer["id"], set=set_members, profile=profile)


@pytest.fixture
def unlimited(limited):
    """As it was, after each test."""
    yield limited
    limited.set(tenantServerRestLimitsConfiguration=None, customerServerRestLimitsConfiguration=None, maxUsers=0,
                maxCustomers=0, maxDevices=0, maxWsSessionsPerTenant=0, maxWsSessionsPerCustomer=0,
                maxWsSessionsPerRegularUser=0, maxWsSessionsPerPublicUser=0, maxWsSubscriptionsPerTenant=0,
                wsUpdatesPerSessionRateLimit=None)


def test_an_api_key_is_shown_once_and_opens_what_its_user_may(subject, tenant, device):
    program, key = tenant.program(description="meter reader")
    assert program.ok("GET", f"/api/device/{device.id}") == device.body
    assert program.post(f"{device.data}/timeseries/ANY", {"a": 1}).status_code == 200
    user = program.ok("GET", "/api/auth/user")["id"]["id"]
    listed = tenant.ok("GET", f"/api/apiKeys/{user}?pageSize=100&page=0&textSearch=METER")["data"]
    assert key["value"] not in str(listed) and key["id"] in [row["id"] for row in listed]
    header = {"Authorization": f"ApiKey {key['value']}"}
    assert requests.get(f"{subject.url}/api/auth/user", headers=header, timeout=10).status_code == 200
    tenant.ok("PUT", f"/api/apiKey/{key['id']['id']}/enabled/false")
    assert program.get("/api/auth/user").status_code == 401
    tenant.ok("PUT", f"/api/apiKey/{key['id']['id']}/enabled/true")
    assert program.get("/api/auth/user").status_code == 200
    tenant.ok("DELETE", f"/api/apiKey/{key['id']['id']}")
    assert program.get("/api/auth/user").json()["errorCode"] == 10


def test_a_feed_opened_by_an_api_key_closes_when_the_key_is_taken_away(subject, tenant, device):
    """W-5 for programs."""
    program, key = tenant.program()
    with Feed(subject.url, "/api/ws") as feed:
        command = {"type": "TIMESERIES", "cmdId": 1, "entityType": "DEVICE", "entityId": device.id}
        answer = feed.ask({"authCmd": {"cmdId": 0, "apiKey": program.token}, "cmds": [command]})
        assert answer["errorCode"] == 0
        tenant.ok("DELETE", f"/api/apiKey/{key['id']['id']}")
        assert feed.next() == ("close", 1011)
    with Feed(subject.url, "/api/ws") as feed:
        assert feed.ask({"authCmd": {"cmdId": 0, "apiKey": program.token}}) == ("close", 1007)


@pytest.mark.process
def test_what_was_ended_stays_ended_over_a_restart(own):
    server = own()
    server.start()
    person = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    other = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    program, _ = other.program()
    revoked, key = other.program()
    other.ok("DELETE", f"/api/apiKey/{key['id']['id']}")
    person.ok("POST", "/api/auth/logout")
    server.kill()
    server.restart()
    for who in (person, other, program, revoked):
        who.url = server.url
    assert other.get("/api/auth/user").status_code == 200
    assert program.get("/api/auth/user").status_code == 200
    assert revoked.get("/api/auth/user").status_code == 401
    assert person.get("/api/auth/user").json()["errorCode"] == 11
    refresh = Person(server.url).post("/api/auth/token", {"refreshToken": person.refresh_token})
    assert (refresh.status_code, refresh.json()["errorCode"]) == (401, 11)


def test_links_lead_to_pages_and_work_once(subject, tenant, nobody):
    user = tenant.ok("POST", "/api/user?sendActivationMail=false",
                     {"email": f"{fresh('new')}@example.org", "authority": "TENANT_ADMIN"})["id"]["id"]
    link = tenant.ok("GET", f"/api/user/{user}/activationLink")
    assert link.startswith(f"{subject.url}/api/noauth/activate?activateToken=")
    page = requests.get(link, timeout=10)
    assert page.status_code == 200 and "/activate?activateToken=" in page.url and "password" in page.text
    token = link.split("activateToken=", 1)[1]
    activate = {"activateToken": token, "password": PASSWORD}
    pair = nobody.ok("POST", "/api/noauth/activate?sendActivationMail=false", activate)
    person = Person(subject.url, pair["token"])
    assert person.ok("GET", "/api/auth/user")["additionalInfo"]["userActivated"] is True
    assert nobody.post("/api/noauth/activate", activate).status_code == 400
    assert requests.get(link, timeout=10).status_code == 409

    reset = tenant.ok("GET", f"/api/thingport/users/{user}/resetLink")
    assert reset["ttlMs"] == 86_400_000
    assert "/reset-password?resetToken=" in requests.get(reset["value"], timeout=10).url
    body = {"resetToken": reset["value"].split("resetToken=", 1)[1], "password": "another1"}
    assert nobody.post("/api/noauth/resetPassword", body).status_code == 200
    assert person.get("/api/auth/user").json()["errorCode"] == 11, "older sessions end"
    assert nobody.post("/api/noauth/resetPassword", body).status_code == 400
    assert requests.get(reset["value"], timeout=10).status_code == 409
    for address in ("tenant@thingsboard.org", "nobody@example.org"):
        answer = nobody.post("/api/noauth/resetPasswordByEmail", {"email": address})
        assert (answer.status_code, answer.text) == (200, "")


def test_mail_is_refused_with_a_sentence_and_nobody_is_left_behind(tenant):
    email = f"{fresh('mail')}@example.org"
    answer = tenant.post("/api/user?sendActivationMail=true", {"email": email, "authority": "TENANT_ADMIN"})
    assert answer.status_code == 400 and "no mail" in answer.json()["message"]
    found = tenant.ok("GET", f"/api/users?pageSize=10&page=0&textSearch={email}")
    assert found["totalElements"] == 0


def test_settings_of_the_installation(sysadmin):
    general = sysadmin.ok("GET", "/api/admin/settings/general")
    assert set(general) == {"id", "createdTime", "tenantId", "key", "jsonValue"}
    reach = sysadmin.ok("GET", "/api/admin/settings/connectivity")["jsonValue"]
    assert set(reach) == {"http", "https", "mqtt", "mqtts", "coap", "coaps"}
    assert set(reach["mqtt"]) == {"enabled", "host", "port"} and reach["coap"]["enabled"] is False
    assert sysadmin.ok("POST", "/api/admin/settings", general) == general
    for key in ("mail", "sms", "nothing"):
        assert sysadmin.get(f"/api/admin/settings/{key}").status_code == 404
    security = sysadmin.ok("GET", "/api/admin/securitySettings")
    assert security["passwordPolicy"]["minimumLength"] == 6
    assert sysadmin.ok("POST", "/api/admin/securitySettings", security) == security


def test_a_tenant_profile_keeps_every_member_and_fills_in_the_rest(sysadmin, unlimited):
    configuration = unlimited.set(ofTomorrow={"x": [1]}, maxDevices=7)
    assert (configuration["ofTomorrow"], configuration["maxDevices"]) == ({"x": [1]}, 7)
    assert configuration["maxDataPointsPerRollingArg"] == 1000 and configuration["smsEnabled"] is None
    body = unlimited.profile | {"profileData": {"configuration": {"wsUpdatesPerSessionRateLimit": "ten"}}}
    answer = sysadmin.post("/api/tenantProfile", body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 31)


def test_requests_beyond_the_limit_wait_for_their_turn(unlimited):
    unlimited.set(customerServerRestLimitsConfiguration="3:2")
    statuses = [unlimited.customer.get("/api/auth/user").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = unlimited.customer.get("/api/auth/user")
    assert (refused.json()["errorCode"], refused.headers["Retry-After"]) == (33, "1")
    assert unlimited.admin.get("/api/auth/user").status_code == 200, "the customer's limit is not the tenant's"
    time.sleep(int(refused.headers["Retry-After"]))  # what the answer asked for
    assert unlimited.customer.get("/api/auth/user").status_code == 200


def test_people_and_customers_are_counted_exactly(unlimited):
    unlimited.set(maxCustomers=2, maxUsers=2)
    account = {"email": f"{fresh('third')}@example.org", "authority": "TENANT_ADMIN"}
    answer = unlimited.admin.post("/api/user?sendActivationMail=false", account)
    assert (answer.status_code, answer.json()["errorCode"]) == (403, 41)
    assert (answer.json()["entityType"], answer.json()["limit"]) == ("USER", 2)
    titles = [unlimited.admin.post("/api/customer", {"title": fresh("c")}).status_code for _ in range(2)]
    assert titles == [200, 403]


def test_feeds_are_held_to_the_tenant_profile(subject, unlimited):
    """W-6, W-7."""
    device = unlimited.admin.new_device()
    unlimited.set(maxWsSessionsPerRegularUser=1, maxWsSubscriptionsPerTenant=2, wsUpdatesPerSessionRateLimit="2:60")
    with Feed(subject.url, token=unlimited.admin.token) as feed:
        # Sessions are counted in the order in which they were opened: always a later one is refused.
        for _ in range(10):
            with Feed(subject.url, token=unlimited.admin.token) as second:
                assert second.next() == ("close", 1008)

        def subscribe(number):
            command = {"entityType": "DEVICE", "entityId": device.id, "cmdId": number, "keys": f"k{number}"}
            return feed.ask({"tsSubCmds": [command]})

        assert [subscribe(1)["errorCode"], subscribe(2)["errorCode"]] == [0, 0]
        refused = subscribe(3)
        assert refused["errorCode"] == 2 and "2" in refused["errorMsg"]
        assert subscribe(2)["errorCode"] == 0, "one in place of another is none more"
        for number in range(4):
            unlimited.admin.ok("POST", f"{device.data}/timeseries/ANY", {"k1": number})
        answers = [feed.next() for _ in range(3)]
        assert [answer["errorCode"] for answer in answers] == [0, 0, 34]
        assert answers[2]["subscriptionId"] == 1
    with Feed(subject.url, token=unlimited.admin.token) as feed:
        assert feed.ask({"tsSubCmds": [{"cmdId": 1}]})["errorCode"] == 2, "the place is free again"


def utc(*parts):
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp() * 1000)


@pytest.mark.parametrize("unit, zone, start, end, middles", [
    # Berlin goes forward on 2024-03-31: March has an hour less.
    ("MONTH", "Europe/Berlin", utc(2024, 2, 29, 23), utc(2024, 4, 30, 22),
     [(utc(2024, 2, 29, 23), utc(2024, 3, 31, 22)), (utc(2024, 3, 31, 22), utc(2024, 4, 30, 22))]),
    # It goes back on 2024-10-27: that week has an hour more.
    ("WEEK_ISO", "Europe/Berlin", utc(2024, 10, 20, 22), utc(2024, 11, 3, 23),
     [(utc(2024, 10, 20, 22), utc(2024, 10, 27, 23)), (utc(2024, 10, 27, 23), utc(2024, 11, 3, 23))]),
    ("QUARTER", "America/New_York", utc(2024, 1, 1, 5), utc(2024, 7, 1, 4),
     [(utc(2024, 1, 1, 5), utc(2024, 4, 1, 4)), (utc(2024, 4, 1, 4), utc(2024, 7, 1, 4))]),
])
def test_calendar_buckets_follow_the_clocks_of_a_place(device, unit, zone, start, end, middles):
    for first, last in middles:
        for moment in (first, last - 1):
            device.owner.ok("POST", f"{device.data}/timeseries/ANY", {"ts": moment, "values": {"n": 1}})
    found = device.history("n", start, end, agg="COUNT", intervalType=unit, timeZone=zone)
    assert found == [((first + last) // 2, "2") for first, last in middles]
    unknown = {"keys": "n", "startTs": start, "endTs": end, "agg": "COUNT", "intervalType": unit}
    answer = device.owner.get(f"{device.data}/values/timeseries", params=unknown | {"timeZone": "Mars/Olympus"})
    assert answer.status_code == 400 and "Mars/Olympus" in answer.text


def test_the_python_client_makes_tenants_people_and_keys(subject):
    """The package of the newest version decodes all of it into its classes."""
    system = RestClient(subject.url)
    system.login("sysadmin@thingsboard.org", "sysadmin")
    tenant = system.save_tenant(Tenant(title=fresh("client")))
    email = f"{fresh('client')}@example.org"
    user = system.save_user(User(email=email, authority="TENANT_ADMIN", tenant_id=tenant.id),
                            send_activation_mail=False)
    link = system.get_activation_link(user.id)
    assert system.get_activation_link_info(user.id).ttl_ms == 86_400_000
    system.activate_user(ActivateUserRequest(activate_token=link.split("activateToken=")[1], password=PASSWORD),
                         send_activation_mail=False)
    assert [row.email for row in system.get_tenant_admins(tenant.id, 10, 0).data] == [email]
    profile = system.get_tenant_profile_by_id(system.get_default_tenant_profile_info().id)
    assert system.save_tenant_profile(profile).name == profile.name
    assert tenant.id.id in [row.id.id for row in system.get_tenant_infos(1000, 0).data]
    assert system.get_user_password_policy().maximum_length == 72

    admin = RestClient(subject.url)
    admin.login(email, PASSWORD)
    assert admin.get_user().email == email
    assert admin.is_user_token_access_enabled() is False
    customer = admin.save_customer(Customer(title="Acme"))
    assert admin.get_tenant_customer("Acme").id.id == customer.id.id
    assert admin.get_customer_title_by_id(customer.id) == "Acme"
    assert admin.get_customers(10, 0).total_elements == 1
    reader = admin.save_user(User(email=f"{fresh('reader')}@example.org", authority="CUSTOMER_USER",
                                  customer_id=customer.id), send_activation_mail=False)
    assert [row.id.id for row in admin.get_customer_users(customer.id, 10, 0).data] == [reader.id.id]
    assert len(admin.get_users_by_ids([user.id.id, reader.id.id])) == 2
    admin.set_user_credentials_enabled(reader.id, False)
    admin.delete_user(reader.id)

    key = admin.save_api_key(ApiKeyInfo(description="client", user_id=user.id, enabled=True))
    program = RestClient(subject.url)
    program.api_key_login(key.value)
    assert program.get_user().email == email
    assert [row.description for row in admin.get_user_api_keys(user.id, 10, 0).data] == ["client"]
    assert admin.update_api_key_description(key.id, "renamed").description == "renamed"
    assert admin.enable_api_key(key.id, False).enabled is False
    admin.delete_api_key(key.id)
    admin.logout()
