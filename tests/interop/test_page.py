"""The page: every screen's looks, who signs in, and the fleet."""

import json
import re
import time

import paho.mqtt.client as paho
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from browser import CUSTOMER, DESKTOP, PHONE, REFUSED, SYSTEM, TENANT, certificate, field, paho_of, press
from clients import Paho
from rest import Person, fresh

# ---------------------------------------------------------------------------------------------------------------
# Every screen: looks, contrast, width


SCREENS = {
    TENANT: ["/devices", "/profiles", "/refusals", "/certificates", "/firmware", "/customers", "/node", "/account",
             *(f"/devices/DEVICE{tab}" for tab in ("", "/history", "/attributes", "/rpc", "/credentials", "/connect",
                                                   "/relations", "/browser", "/trace", "/events", "/firmware",
                                                   "/settings")),
             *(f"/profiles/PROFILE{part}" for part in ("", "/schemas", "/provisioning", "/outside"))],
    SYSTEM: ["/tenants", "/limits", "/refusals", "/node", "/account"],
    CUSTOMER: ["/devices", "/claim", "/account"],
}


@pytest.fixture(scope="module")
def thing(tenant):
    """A device that has said something, and a profile for MQTT."""
    device = tenant.new_device()
    tenant.ok("POST", f"{device.data}/timeseries/ANY", {"temperature": 21.5, "state": "ok"})
    tenant.ok("POST", f"{device.data}/attributes/SHARED_SCOPE", {"interval": 60})
    mqtt = {"type": "MQTT", "deviceTelemetryTopic": "up/+/data", "deviceAttributesTopic": "up/+/facts"}
    data = {"configuration": {"type": "DEFAULT"}, "transportConfiguration": mqtt,
            "provisionConfiguration": {"type": "DISABLED", "provisionDeviceSecret": None}}
    profile = tenant.ok("POST", "/api/deviceProfile", {"name": fresh("page"), "type": "DEFAULT", "transportType": "MQTT",
                                                       "provisionType": "DISABLED", "profileData": data})
    return device, profile["id"]["id"]


# What reaches beyond the window although nothing around it scrolls.
WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main *')]
    .filter(each => each.getBoundingClientRect().right > innerWidth && !each.closest('.scroll, .choice, .tabs'))
    .map(each => each.outerHTML.slice(0, 120)).slice(0, 3)"""


@pytest.mark.parametrize("colours, viewport", [("light", DESKTOP), ("dark", PHONE)], ids=["desktop", "phone"])
@pytest.mark.parametrize("who", SCREENS, ids=["tenant", "system", "customer"])
def test_every_screen_is_readable_and_fits(visit, thing, who, colours, viewport):
    """WCAG 2 AA as far as a program can judge it, and nothing wider than the window."""
    visitor = visit(who, colours=colours, viewport=viewport, allowed=REFUSED)
    device, profile = thing
    faults = []
    for screen in SCREENS[who]:
        page = visitor.open(screen.replace("DEVICE", device.id).replace("PROFILE", profile))
        page.locator("main h1").first.wait_for()
        expect(page.locator("main .bone")).to_have_count(0)
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]}).response["violations"]
        faults += [(screen, each["id"], [node["html"][:160] for node in each["nodes"]][:3]) for each in found]
        faults += [(screen, "too wide", each) for each in page.evaluate(WIDE)]
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize("who, path, done", [(None, "/", "Sign in"), (TENANT, "/", "New device")], ids=["door", "fleet"])
def test_a_first_visit_is_small_and_quick(visit, who, path, done):
    """Under 120 KiB compressed, and interactive in well under a second; a busy machine is given five."""
    visitor = visit(who)
    sizes = {}
    visitor.page.on("requestfinished", lambda it: sizes.update({it.url: it.sizes()["responseBodySize"]}))
    began = time.monotonic()
    visitor.open(path)
    visitor.page.get_by_role("button", name=done).wait_for()
    took = time.monotonic() - began
    visitor.page.wait_for_load_state("networkidle")
    files = {url: size for url, size in sizes.items() if "/api/" not in url}
    print(f"{done}: {sum(files.values()) / 1024:.1f} KiB in {took * 1000:.0f} ms")
    assert files and sum(files.values()) < 120 * 1024, files
    assert took < 5


def test_the_page_is_served_with_strict_headers(nobody):
    answer = nobody.get("/devices/anything")
    assert answer.status_code == 200 and "text/html" in answer.headers["Content-Type"]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert nobody.get("/no/such/place").status_code == 404
    screens = {path.split("/")[1] for paths in SCREENS.values() for path in paths}
    assert {it: nobody.get(f"/{it}").status_code for it in screens} == dict.fromkeys(screens, 200)
    asset = re.search(r'src="(/assets/[^"]+)"', answer.text)[1]
    served = nobody.get(asset)
    assert "immutable" in served.headers["Cache-Control"] and served.headers["Content-Encoding"] == "gzip"
    plain = nobody.get(asset, headers={"Accept-Encoding": "identity"})
    assert plain.text == served.text and "Content-Encoding" not in plain.headers
    again = nobody.get("/", headers={"If-None-Match": nobody.get("/").headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")


# ---------------------------------------------------------------------------------------------------------------
# Signing in


def test_signing_in_and_out(visit):
    visitor = visit(None, allowed=REFUSED)
    page = visitor.open("/devices")
    field(page, "Email").fill(TENANT[0])
    field(page, "Password").fill("wrong")
    press(page, "Sign in")
    expect(page.get_by_role("alert")).to_contain_text(re.compile("password", re.IGNORECASE))
    field(page, "Password").fill(TENANT[1])
    press(page, "Sign in")
    expect(page.get_by_role("heading", name="Devices")).to_be_visible()
    press(page, "Sign out")
    expect(field(page, "Email")).to_be_visible()


def test_a_session_that_ended_elsewhere_leads_back_to_the_door(visit):
    visitor = visit(allowed=REFUSED)
    page = visitor.open("/devices")
    expect(page.get_by_role("heading", name="Devices")).to_be_visible()
    page.evaluate("""async () => {
        const {token} = JSON.parse(localStorage.getItem('thingport.session'));
        await fetch('/api/auth/logout', {method: 'POST', headers: {'X-Authorization': `Bearer ${token}`}});
    }""")
    page.get_by_role("searchbox").fill("anything")
    expect(field(page, "Email")).to_be_visible()


# ---------------------------------------------------------------------------------------------------------------
# Devices


def test_a_device_is_created_connected_and_its_first_reading_arrives(visit, subject):
    page = visit().open("/devices")
    name = fresh("page")
    press(page, "New device")
    field(page, "Name").fill(name)
    press(page, "Create")
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_text("Waiting for the first reading")).to_be_visible()
    command = page.locator(".code", has_text="mosquitto_pub").inner_text()
    token = re.search(r'-u "([^"]+)"', command)[1]
    assert f"-p {subject.mqtt[1]}" in command
    with_device = paho_of(subject, token)
    with_device.publish("v1/devices/me/telemetry", '{"temperature": 25}')
    expect(page.get_by_text("temperature = 25")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("row", name=re.compile("temperature 25"))).to_be_visible()
    with_device.publish("v1/devices/me/telemetry", '{"temperature": 26}')
    expect(page.get_by_role("row", name=re.compile("temperature 26"))).to_be_visible()
    expect(page.get_by_text(re.compile("^Connected"))).to_be_visible()
    with_device.close()
    expect(page.get_by_text(re.compile("^Not connected"))).to_be_visible()


def test_what_the_server_saw_is_shown_when_a_device_does_not_get_in(visit, subject, tenant):
    device = tenant.new_device()
    record = tenant.ok("GET", f"/api/device/{device.id}/credentials")
    value = json.dumps({"userName": device.token, "password": "right"})
    tenant.ok("POST", "/api/device/credentials", record | {"credentialsType": "MQTT_BASIC", "credentialsValue": value})
    page = visit().open(f"/devices/{device.id}/connect")
    expect(page.get_by_text("Nothing has come in so far")).to_be_visible()
    client = Paho(subject.mqtt, paho.MQTTv5, device.token)
    client.client.username_pw_set(device.token, "wrong")
    assert client.connect().is_failure
    expect(page.locator(".incident").first).to_contain_text("login.password_wrong")


def test_a_name_that_is_taken_is_said_so(visit, tenant):
    device = tenant.new_device()
    page = visit(allowed=REFUSED).open("/devices")
    press(page, "New device")
    field(page, "Name").fill(device.body["name"])
    press(page, "Create")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("name")


def test_devices_are_searched_filtered_and_sorted_by_the_server(visit, tenant):
    stem = fresh("sought")
    for part in ("b", "a", "c"):
        tenant.new_device(name=f"{stem}-{part}")
    page = visit().open("/devices")
    page.get_by_role("searchbox").fill(stem)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Name").click()
    expect(page.locator("tbody tr .name")).to_have_text([f"{stem}-{part}" for part in "abc"])
    field(page, "Reporting").select_option("true")
    expect(page.get_by_text("No device matches")).to_be_visible()


def test_several_devices_change_hands_and_are_deleted_together(visit, tenant):
    stem, title = fresh("many"), fresh("customer")
    customer = tenant.ok("POST", "/api/customer", {"title": title})
    devices = [tenant.new_device(name=f"{stem}-{n}") for n in range(3)]
    page = visit().open("/devices")
    page.get_by_role("searchbox").fill(stem)
    expect(page.locator("tbody tr")).to_have_count(3)
    field(page, "Choose all on this page").check()
    field(page, f"Choose {stem}-1").uncheck()
    page.get_by_role("toolbar").get_by_role("button", name="Customer").click()
    field(page.get_by_role("dialog"), "Customer").select_option(title)
    press(page, "Save")
    expect(page.get_by_role("cell", name=title)).to_have_count(2)
    owned = tenant.ok("GET", f"/api/customer/{customer['id']['id']}/devices?pageSize=9&page=0")
    assert {each["name"] for each in owned["data"]} == {f"{stem}-0", f"{stem}-2"}
    field(page, f"Choose {stem}-1").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("cannot be undone")
    press(page, "Delete 1 device")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert tenant.get(f"/api/device/{devices[1].id}").status_code == 404


def test_devices_come_from_a_file_and_bad_rows_are_named(visit, tenant, tmp_path):
    stem = fresh("file")
    file = tmp_path / "devices.csv"
    file.write_text(f"name,token,floor\n{stem}-1,{stem}-t,2\n{stem}-2,{stem}-t,3\n")
    page = visit().open("/devices")
    press(page, "Import")
    field(page, "File").set_input_files(file)
    expect(field(page, "What token is")).to_have_value("ACCESS_TOKEN")
    press(page, "Import 2 rows")
    expect(page.get_by_role("dialog")).to_contain_text("1 device created, 0 changed, 1 not taken")
    assert tenant.ok("GET", f"/api/tenant/devices?deviceName={stem}-1")["name"] == f"{stem}-1"


def test_an_empty_fleet_is_shown_the_first_steps(visit, sysadmin):
    tenant = sysadmin.ok("POST", "/api/tenant", {"title": fresh("empty")})
    email = f"{fresh('first')}@example.org"
    user = sysadmin.ok("POST", "/api/user?sendActivationMail=false",
                       {"email": email, "authority": "TENANT_ADMIN", "tenantId": tenant["id"]})
    link = sysadmin.get(f"/api/user/{user['id']['id']}/activationLink").text
    token = link.rsplit("=", 1)[1]
    Person(sysadmin.url).ok("POST", "/api/noauth/activate?sendActivationMail=false", {"activateToken": token, "password": "first-steps"})
    page = visit((email, "first-steps")).open("/")
    expect(page.get_by_text("Connect the first device")).to_be_visible()
    press(page, "Create a device")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_the_fleet_shows_who_is_connected_and_what_went_wrong(visit, subject, tenant, tmp_path):
    stem = fresh("fleet")
    gateway = tenant.new_device(name=f"{stem}-gateway", additionalInfo={"gateway": True})
    refused = tenant.new_device(name=f"{stem}-refused")
    quiet = tenant.new_device(name=f"{stem}-quiet")
    tenant.ok("POST", f"{quiet.data}/timeseries/ANY", {"level": 1})
    tenant.save_credentials(quiet, "X509_CERTIFICATE", value=certificate(tmp_path, stem))
    online = paho_of(subject, gateway.token)
    wrong = Paho(subject.mqtt, paho.MQTTv5, refused.token)
    assert wrong.connect() == 0
    wrong.client.publish("v1/devices/me/telemetry", "no JSON", 1)
    tenant.event("payload.not_json", refused)
    wrong.close()
    page = visit().open("/devices")
    names = page.locator("tbody tr .name")
    page.get_by_role("searchbox").fill(stem)
    expect(names).to_have_count(3)
    expect(page.get_by_role("row", name=re.compile("refused"))).to_contain_text("not a JSON document")
    expect(page.get_by_role("row", name=re.compile("quiet"))).to_contain_text("ago")
    for label, option, found in [("Connected", "true", ["gateway"]), ("Connected", "false", ["quiet", "refused"]),
                                 ("Kind", "gateway", ["gateway"]), ("Certificate", "30", ["quiet"]), ("Certificate", "7", [])]:
        field(page, label).select_option(option)
        expect(names if found else page.get_by_text("No device matches")).to_have_count(len(found) or 1)
        assert sorted(names.all_inner_texts()) == [f"{stem}-{it}" for it in found], (label, option)
        if not found:
            break
        field(page, label).select_option("")
        expect(names).to_have_count(3)
    page.reload()
    expect(field(page, "Certificate")).to_have_value("7")
    press(page, "Clear search and filters")
    expect(names.nth(3)).to_be_visible()
    online.close()
