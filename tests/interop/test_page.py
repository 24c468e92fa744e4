"""The page in a real browser, against the real binary: each screen's main path and its worst path.

The browser is Debian's Chromium. Whatever a test does, the page may write no error to the console and ask no
other host for anything.
"""

import json
import re
import shutil
import time

import paho.mqtt.client as paho
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from clients import Paho
from rest import Person, fresh
from server import until

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TENANT, SYSTEM = ("tenant@thingsboard.org", "tenant"), ("sysadmin@thingsboard.org", "sysadmin")
CUSTOMER = ("customer@thingsboard.org", "customer")

# What a slow machine may take for one step.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """One person's browser on the page."""

    def __init__(self, chromium, url, who=TENANT, viewport=DESKTOP, colours="light"):
        self.url = url
        self.context = chromium.new_context(viewport=viewport, color_scheme=colours, base_url=url)
        self.context.set_default_timeout(20_000)
        self.errors, self.strangers = [], []
        self.page = self.context.new_page()
        self.page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda asked: asked.url.startswith((url, url.replace("http", "ws"), "blob:", "data:"))
                     or self.strangers.append(asked.url))
        if who:
            self.sign_in(who)

    def sign_in(self, who):
        pair = Person.login(self.url, *who)
        session = json.dumps(json.dumps({"token": pair.token, "refreshToken": pair.refresh_token}))
        self.context.add_init_script(f"localStorage.setItem('thingport.session', {session})")

    def open(self, path):
        self.page.goto(path)
        return self.page

    def end(self, allowed=()):
        self.context.close()
        left = [error for error in self.errors if not any(re.search(each, error) for each in allowed)]
        assert (left, self.strangers) == ([], [])


@pytest.fixture
def visit(chromium, subject):
    """Opens visits; at the end nothing may have gone wrong but what `allowed` names."""
    visits = []

    def make(who=TENANT, url=None, allowed=(), **options):
        visits.append((Visit(chromium, url or subject.url, who, **options), allowed))
        return visits[-1][0]

    yield make
    for each, allowed in visits:
        each.end(allowed)


# A browser writes each answer with an error status to the console, whether the page shows it well or not.
REFUSED = [r"status of [45]\d\d"]


def paho_of(subject, token, version=paho.MQTTv5):
    client = Paho(subject.mqtt, version, token)
    client.connect()
    return client


def stranger(subject):
    """Somebody whose token nobody knows."""
    client = Paho(subject.mqtt, paho.MQTTv5, fresh("unknown"))
    assert client.connect().is_failure


def field(page, label):
    return page.get_by_label(label, exact=True)


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


# ---------------------------------------------------------------------------------------------------------------
# Every screen: looks, contrast, width


SCREENS = {
    TENANT: ["/devices", "/profiles", "/refusals", "/certificates", "/firmware", "/customers", "/node", "/account",
             *(f"/devices/DEVICE{tab}" for tab in ("", "/history", "/attributes", "/rpc", "/credentials", "/connect",
                                                   "/relations", "/browser", "/trace", "/events")),
             *(f"/profiles/PROFILE{part}" for part in ("", "/schemas", "/provisioning", "/outside"))],
    SYSTEM: ["/tenants", "/refusals", "/node", "/account"],
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


def test_a_first_visit_is_small_and_quick(chromium, subject):
    visitor = Visit(chromium, subject.url, None)
    sizes = []
    visitor.page.on("requestfinished", lambda done: sizes.append(done.sizes()["responseBodySize"]))
    visitor.open("/")
    visitor.page.get_by_role("button", name="Sign in").wait_for()
    visitor.page.wait_for_load_state("networkidle")
    assert sum(sizes) < 120 * 1024, sizes
    visitor.end()


def test_the_page_is_served_with_strict_headers(nobody):
    answer = nobody.get("/devices/anything")
    assert answer.status_code == 200 and "text/html" in answer.headers["Content-Type"]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert nobody.get("/no/such/place").status_code == 404
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
    field(page, "Customer").select_option(title)
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


# ---------------------------------------------------------------------------------------------------------------
# One device


def test_attributes_are_added_changed_and_deleted_and_the_device_is_told(visit, subject, tenant):
    device = tenant.new_device()
    client = paho_of(subject, device.token)
    client.subscribe([("v1/devices/me/attributes", 1)])
    page = visit().open(f"/devices/{device.id}/attributes")
    press(page, "Add")
    field(page, "Key").fill("interval")
    field(page, "Value").fill("60")
    expect(page.get_by_text("Kept as a number")).to_be_visible()
    press(page, "Save")
    expect(page.get_by_role("row", name=re.compile("interval 60"))).to_be_visible()
    assert client.message()[1] == {"interval": 60}
    press(page, "Change interval")
    field(page, "Value").fill('{"day": 60}')
    expect(page.get_by_text("Kept as JSON")).to_be_visible()
    press(page, "Save")
    assert client.message()[1] == {"interval": {"day": 60}}
    press(page, "Delete interval")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    assert client.message()[1] == {"deleted": ["interval"]}
    expect(page.get_by_text("No shared attributes")).to_be_visible()
    client.publish("v1/devices/me/attributes", '{"serial": 7}')
    press(page, "Client")
    expect(page.get_by_role("row", name=re.compile("serial 7"))).to_be_visible()
    client.close()


def test_history_is_drawn_thinned_out_and_saved(visit, tenant):
    device = tenant.new_device()
    now = time.time_ns() // 1_000_000
    for n in range(50):
        tenant.ok("POST", f"{device.data}/timeseries/ANY", {"ts": now - n * 60_000, "values": {"level": n, "word": "w,x"}})
    page = visit().open(f"/devices/{device.id}/history")
    expect(page.locator(".chart canvas")).to_be_visible()
    expect(page.get_by_text("100 readings")).to_be_visible()
    field(page, "Aggregation").select_option("MAX")
    expect(page.get_by_text("level").first).to_be_visible()
    field(page, "Aggregation").select_option("NONE")
    expect(page.get_by_text("100 readings")).to_be_visible()
    with page.expect_download() as saved:
        press(page, "CSV")
    lines = open(saved.value.path()).read().splitlines()
    assert lines[0] == "ts,time,level,word" and len(lines) == 51 and lines[-1].endswith(',0,"w,x"')


def test_a_call_is_answered_and_one_to_an_absent_device_says_why(visit, subject, tenant):
    device = tenant.new_device()
    page = visit(allowed=REFUSED).open(f"/devices/{device.id}/rpc")
    field(page, "Method").fill("getStatus")
    field(page, "Parameters").fill("{")
    expect(page.get_by_text("This is not JSON")).to_be_visible()
    field(page, "Parameters").fill("{}")
    field(page, "Waits for, in seconds").fill("5")
    press(page, "Call")
    expect(page.get_by_role("alert").last).to_contain_text("not connected")
    client = paho_of(subject, device.token, paho.MQTTv311)
    client.subscribe([("v1/devices/me/rpc/request/+", 1)])
    press(page, "Call")
    topic, question = client.message()
    assert question["method"] == "getStatus"
    client.publish(topic.replace("request", "response"), '{"fine": true}')
    expect(page.get_by_text('"fine": true')).to_be_visible()
    press(page, "Keep until delivered")
    press(page, "Call")
    expect(page.locator(".incident")).to_contain_text("getStatus")
    topic, _ = client.message()
    client.publish(topic.replace("request", "response"), '{"late": false}')
    expect(page.locator(".incident")).to_contain_text("successful")
    client.close()


def test_credentials_of_each_kind_are_saved_and_a_wrong_certificate_is_explained(visit, tenant):
    device = tenant.new_device()
    credentials = f"/api/device/{device.id}/credentials"
    page = visit(allowed=REFUSED).open(f"/devices/{device.id}/credentials")
    token = fresh("token")
    field(page, "Access token").fill(token)
    press(page, "Save")
    until("the token", lambda: tenant.ok("GET", credentials)["credentialsId"] == token)
    press(page, "MQTT basic")
    press(page, "Save")
    expect(page.get_by_role("alert")).to_be_visible()
    field(page, "User name").fill(token)
    press(page, "Save")
    until("the user name", lambda: tenant.ok("GET", credentials)["credentialsType"] == "MQTT_BASIC")
    press(page, "X.509 certificate")
    field(page, "Certificate").fill("this is no certificate")
    expect(page.get_by_role("alert").first).to_contain_text("certificate")


def test_refused_messages_are_events_with_a_remedy(visit, subject, tenant):
    device = tenant.new_device()
    client = paho_of(subject, device.token)
    client.client.publish("v1/devices/me/telemetry", '{"t": ', 1)
    page = visit().open(f"/devices/{device.id}/events")
    row = page.locator(".incident").first
    expect(row).to_contain_text("payload.not_json")
    expect(row).to_contain_text("Send a JSON object")
    client.close()


def test_a_trace_shows_the_conversation_live(visit, subject, tenant):
    device = tenant.new_device()
    page = visit().open(f"/devices/{device.id}/trace")
    expect(page.get_by_text("This device is not traced")).to_be_visible()
    press(page, "Begin")
    expect(page.get_by_text("No packet yet")).to_be_visible()
    client = paho_of(subject, device.token)
    client.publish("v1/devices/me/telemetry", '{"temperature": 25}')
    packet = page.locator(".bubble", has_text="PUBLISH").first
    expect(packet).to_contain_text("on disk")
    expect(packet).to_contain_text("temperature 25")
    packet.get_by_role("button", name="Hex").click()
    expect(packet).to_contain_text("7b 22 74 65")
    assert device.token not in page.content()
    press(page, "Pause")
    client.publish("v1/devices/me/telemetry", '{"paused": 1}')
    press(page, "Go on")
    expect(page.locator(".bubble", has_text="paused").first).to_be_visible()
    press(page, "From the device")
    expect(page.locator(".bubble", has_text="PUBACK")).to_have_count(0)
    with page.expect_download() as saved:
        press(page, "Download")
    kinds = [json.loads(line)["kind"] for line in open(saved.value.path())]
    assert kinds.count("PUBLISH") == 2 and device.token not in open(saved.value.path()).read()
    press(page, "End")
    expect(page.get_by_text("off", exact=True)).to_be_visible()
    client.close()


def test_a_browser_is_the_device(visit, tenant):
    device = tenant.new_device()
    page = visit().open(f"/devices/{device.id}/browser")
    press(page, "Connect")
    expect(page.get_by_text("Connected as the device")).to_be_visible()
    press(page, "Publish")
    expect(page.get_by_text("it is on disk")).to_be_visible()
    press(page, "Subscribe to all it may hear")
    expect(page.get_by_text("Subscribed with quality of service 1.")).to_have_count(4)
    answer = tenant.ok("POST", f"/api/rpc/twoway/{device.id}", {"method": "hello", "params": {"a": 1}})
    assert answer == {"echo": {"method": "hello", "params": {"a": 1}}}
    press(page, "Disconnect")
    expect(page.locator(".panel .badge", has_text="Not connected")).to_be_visible()


# ---------------------------------------------------------------------------------------------------------------
# Profiles, refusals, packages, people


def test_a_profile_is_made_and_its_topics_are_tried_as_they_are_typed(visit, tenant):
    page = visit(allowed=REFUSED).open("/profiles")
    name = fresh("profile")
    press(page, "New profile")
    field(page, "Name").fill(name)
    press(page, "Create")
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    field(page, "Telemetry").fill("up/+/data")
    field(page, "Try a topic").fill("up/7/data")
    expect(page.get_by_text("A message on it is telemetry")).to_be_visible()
    field(page, "Telemetry").fill("up/a+/data")
    expect(page.get_by_text("A + stands alone between slashes")).to_be_visible()
    press(page, "Save")
    expect(page.locator(".notice.bad")).to_be_visible()
    field(page, "Telemetry").fill("up/+/data")
    press(page, "Save")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    page.get_by_role("link", name="Provisioning").click()
    field(page, "Strategy").select_option("ALLOW_CREATE_NEW_DEVICES")
    press(page, "Save")
    expect(page.get_by_text("Saved.").last).to_be_visible()
    found = tenant.ok("GET", f"/api/deviceProfiles?pageSize=1&page=0&textSearch={name}")["data"][0]
    assert found["provisionType"] == "ALLOW_CREATE_NEW_DEVICES"
    assert found["profileData"]["transportConfiguration"]["deviceTelemetryTopic"] == "up/+/data"


def test_a_schema_is_judged_as_it_is_typed_and_tried_on_bytes(visit, tenant):
    payload = {"transportPayloadType": "PROTOBUF", "deviceTelemetryProtoSchema": SCHEMA, "deviceAttributesProtoSchema": SCHEMA}
    data = {"configuration": {"type": "DEFAULT"}, "provisionConfiguration": None,
            "transportConfiguration": {"type": "MQTT", "transportPayloadTypeConfiguration": payload}}
    profile = tenant.ok("POST", "/api/deviceProfile", {"name": fresh("proto"), "type": "DEFAULT", "transportType": "MQTT",
                                                       "provisionType": "DISABLED", "profileData": data})
    # The editor wants to say how wide a tab is in a style of its own; the policy forbids it, and our sheet says so.
    page = visit(allowed=["Applying inline style"]).open(f"/profiles/{profile['id']['id']}/schemas")
    expect(page.get_by_text("Root: Reading")).to_be_visible()
    field(page, "Payload").fill("08 2a 12 02 6f 6b 98 06 01")
    press(page, "Read")
    expect(page.get_by_role("row", name=re.compile("level 1 "))).to_be_visible()
    expect(page.locator(".reading", has_text="word")).to_contain_text('"ok"')
    expect(page.get_by_role("row", name=re.compile("unknown 99"))).to_be_visible()
    editor = page.get_by_label("Telemetry schema")
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("message Broken { strin x = 1; }")
    expect(page.get_by_text("Not valid")).to_be_visible()
    expect(page.get_by_text(re.compile("Line [0-9]+, column [0-9]+")).first).to_be_visible()


SCHEMA = """syntax = "proto3";
message Reading {
  optional int32 level = 1;
  optional string word = 2;
}
"""


def test_forwarding_and_the_handler_of_calls_are_set_up(visit, tenant, thing):
    page = visit(allowed=REFUSED).open(f"/profiles/{thing[1]}/outside")
    press(page, "Add a target")
    field(page, "Name").fill("lake")
    field(page, "Address").fill("ftp://nowhere")
    press(page, "Take over")
    press(page, "Save")
    expect(page.locator(".notice.bad")).to_be_visible()
    press(page, "Change lake")
    field(page, "Address").fill("http://192.0.2.1:9/in")
    press(page, "Take over")
    field(page, "Handler").select_option("APP")
    press(page, "Save")
    held = until("the target", lambda: tenant.ok("GET", f"/api/deviceProfile/{thing[1]}")["profileData"].get("thingport"))
    assert held["forwarding"][0]["url"] == "http://192.0.2.1:9/in" and held["clientRpc"]["type"] == "APP"
    press(page, "Remove lake")
    press(page, "Save")
    until("no target", lambda: not tenant.ok("GET", f"/api/deviceProfile/{thing[1]}")["profileData"].get("thingport", {}).get("forwarding"))


def test_refusals_are_grouped_and_a_login_is_explained(visit, subject):
    stranger(subject)
    page = visit(SYSTEM).open("/refusals")
    page.get_by_placeholder(re.compile("An address")).fill("127.0.0.1")
    press(page, "Find out")
    expect(page.locator(".incident", has_text="login.unknown").first).to_be_visible()


def test_a_package_is_uploaded_and_rolled_out(visit, tenant, tmp_path):
    file = tmp_path / "fw.bin"
    file.write_bytes(b"firmware" * 1000)
    title = fresh("fw")
    page = visit(allowed=REFUSED).open("/firmware")
    press(page, "New package")
    field(page, "Title").fill(title)
    field(page, "Version").fill("1.0")
    press(page, "Add")
    expect(page.get_by_role("alert")).to_contain_text("Choose the file")
    field(page, "File").set_input_files(file)
    press(page, "Add")
    row = page.get_by_role("row", name=re.compile(title))
    expect(row).to_contain_text("7.8 KiB")
    found = tenant.ok("GET", f"/api/otaPackages?pageSize=1&page=0&textSearch={title}")["data"][0]
    assert found["checksumAlgorithm"] == "SHA256" and found["dataSize"] == 8000


def test_a_customer_its_people_and_an_api_key(visit, tenant):
    page = visit().open("/customers")
    title = fresh("customer")
    press(page, "New customer")
    field(page, "Title").fill(title)
    press(page, "Create")
    page.get_by_role("row", name=re.compile(title)).get_by_role("button", name="People").click()
    press(page, "Add a person")
    email = f"{fresh('p')}@example.org"
    field(page, "Email").last.fill(email)
    press(page, "Add")
    link = page.get_by_role("dialog", name=f"A link for {email}")
    expect(link).to_contain_text("activateToken=")
    page.goto("/account")
    press(page, "New key")
    field(page, "What it is for").fill(title)
    press(page, "Make")
    key = page.get_by_role("dialog", name="The new key").locator(".code").inner_text().strip()
    assert Person(tenant.url, key, scheme="ApiKey").get("/api/auth/user").status_code == 200


def test_a_customer_claims_a_device(visit, subject, tenant):
    device = tenant.new_device()
    client = paho_of(subject, device.token)
    client.publish("v1/devices/me/claim", '{"secretKey": "right", "durationMs": 60000}')
    page = visit(CUSTOMER, allowed=REFUSED).open("/claim")
    field(page, "Name of the device").fill("nothing of this name")
    press(page, "Claim")
    expect(page.get_by_role("alert")).to_contain_text("no device of this name")
    field(page, "Name of the device").fill(device.body["name"])
    field(page, "Secret").fill("right")
    press(page, "Claim")
    expect(page.get_by_text("is yours")).to_be_visible()
    page.get_by_role("link", name=device.body["name"]).click()
    expect(page.get_by_role("heading", name=device.body["name"])).to_be_visible()
    client.close()


@pytest.mark.process
def test_the_page_says_when_it_is_not_live_and_comes_back(visit, own):
    server = own().start()
    visitor = visit(url=server.url, allowed=[".*"])
    tenant = Person.login(server.url, *TENANT)
    device = tenant.new_device()
    tenant.ok("POST", f"{device.data}/timeseries/ANY", {"level": 1})
    page = visitor.open(f"/devices/{device.id}")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("level 1"))).to_be_visible()
    server.kill()
    expect(page.get_by_text("Not live", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("level 1"))).to_be_visible()
    server.arguments = [each.replace("http.bind=127.0.0.1:0", f"http.bind=127.0.0.1:{server.http_port}") for each in server.arguments]
    server.restart()
    Person.login(server.url, *TENANT).ok("POST", f"{device.data}/timeseries/ANY", {"level": 2})
    expect(page.get_by_role("row", name=re.compile("level 2"))).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
