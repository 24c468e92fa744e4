"""The page: profiles, refusals, packages, limits and people."""

import re

from playwright.sync_api import expect

from browser import CUSTOMER, REFUSED, SYSTEM, certificate, field, paho_of, press, stranger
from rest import Person, fresh
from server import until

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
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    found = tenant.ok("GET", f"/api/deviceProfiles?pageSize=1&page=0&textSearch={name}")["data"][0]
    assert found["provisionType"] == "ALLOW_CREATE_NEW_DEVICES"
    assert found["profileData"]["transportConfiguration"]["deviceTelemetryTopic"] == "up/+/data"


def test_a_schema_is_judged_as_it_is_typed_and_tried_on_bytes(visit, tenant):
    payload = {"transportPayloadType": "PROTOBUF", "deviceTelemetryProtoSchema": SCHEMA, "deviceAttributesProtoSchema": SCHEMA}
    data = {"configuration": {"type": "DEFAULT"}, "provisionConfiguration": None,
            "transportConfiguration": {"type": "MQTT", "transportPayloadTypeConfiguration": payload}}
    profile = tenant.ok("POST", "/api/deviceProfile", {"name": fresh("proto"), "type": "DEFAULT", "transportType": "MQTT",
                                                       "provisionType": "DISABLED", "profileData": data})
    page = visit().open(f"/profiles/{profile['id']['id']}/schemas")
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


def test_forwarding_and_the_handler_of_calls_are_set_up(visit, tenant):
    profile = tenant.new_profile()["id"]["id"]
    page = visit(allowed=REFUSED).open(f"/profiles/{profile}/outside")
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
    held = until("the target", lambda: tenant.ok("GET", f"/api/deviceProfile/{profile}")["profileData"].get("thingport"))
    assert held["forwarding"][0]["url"] == "http://192.0.2.1:9/in" and held["clientRpc"]["type"] == "APP"
    press(page, "Remove lake")
    press(page, "Save")
    until("no target", lambda: not tenant.ok("GET", f"/api/deviceProfile/{profile}")["profileData"].get("thingport", {}).get("forwarding"))


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


def test_a_rollout_is_followed_device_by_device(visit, tenant):
    profile = tenant.new_profile(transport="DEFAULT")
    title = fresh("fw")
    devices = [tenant.new_device(name=f"{title}-{n}", deviceProfileId=profile["id"]) for n in range(4)]
    url = {"usesUrl": True, "url": "http://192.0.2.1/image.bin"}
    package = tenant.ok("POST", "/api/otaPackage", {"deviceProfileId": profile["id"], "type": "FIRMWARE", "title": title, "version": "7"} | url)
    page = visit().open("/firmware")
    page.get_by_role("searchbox").fill(title)
    row = page.get_by_role("row", name=re.compile(title))
    row.get_by_role("button", name="Roll out").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("4 devices, those without a package of their own")
    press(page, "Roll out to the profile")
    rollout = f"/api/thingport/packages/{package['id']['id']}/rollout"
    until("all are told", lambda: tenant.ok("GET", rollout)["states"].get("INITIATED", 0) == 4, 30)
    states = [("UPDATED", ""), ("UPDATED", ""), ("FAILED", "no space"), ("DOWNLOADING", "")]
    for device, (state, error) in zip(devices, states):
        tenant.ok("POST", f"{device.data}/timeseries/ANY", {"fw_state": state} | ({"fw_error": error} if error else {}))
    for part in ("2 updated", "1 failed", "1 under way", "0 not told yet", "no space"):
        expect(dialog).to_contain_text(part)
    dialog.get_by_role("link", name=devices[2].body["name"]).click()
    expect(page.get_by_text("The update failed: no space")).to_be_visible()


def test_limits_of_a_tenant_profile_are_set_and_wrong_ones_are_named(visit, sysadmin):
    page = visit(SYSTEM).open("/limits")
    name = fresh("limits")
    press(page, "New tenant profile")
    field(page, "Name").fill(name)
    field(page, "Readings").first.fill("10 a second")
    expect(page.get_by_text("COUNT:SECONDS is expected")).to_be_visible()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    field(page, "Readings").first.fill("10:1,300:60")
    field(page, "Devices").fill("50")
    press(page, "Save")
    row = page.get_by_role("row", name=re.compile(name))
    expect(row).to_contain_text("readings 10:1,300:60")
    held = sysadmin.ok("GET", f"/api/tenantProfiles?pageSize=1&page=0&textSearch={name}")["data"][0]["profileData"]["configuration"]
    assert (held["transportDeviceTelemetryDataPointsRateLimit"], held["maxDevices"]) == ("10:1,300:60", 50)
    press(page, f"Delete {name}")
    press(page, "Delete")
    expect(row).to_have_count(0)


def test_what_is_changed_in_one_part_of_a_profile_is_there_in_the_next(visit, tenant):
    profile = tenant.new_profile()
    page = visit().open(f"/profiles/{profile['id']['id']}")
    field(page, "Telemetry").fill("up/+/data")
    page.get_by_role("link", name="Provisioning").click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_enabled()
    page.get_by_role("link", name="Transport").click()
    expect(field(page, "Telemetry")).to_have_value("up/+/data")
    press(page, "Undo")
    expect(field(page, "Telemetry")).to_have_value("v1/devices/me/telemetry")


def test_the_name_of_a_device_is_found_in_a_pasted_certificate(visit, tenant, tmp_path):
    profile = tenant.new_profile()["id"]["id"]
    page = visit().open(f"/profiles/{profile}/provisioning")
    field(page, "Strategy").select_option("X509_CERTIFICATE_CHAIN")
    field(page, "Expression over the common name").fill(r"([^.]+)\.example")
    sample = page.get_by_label("A common name, or a whole certificate, to try it with")
    sample.fill(certificate(tmp_path, "pump-9.example"))
    expect(page.get_by_text("The device is called")).to_contain_text("pump-9")
    sample.fill("pump-9.elsewhere")
    expect(page.get_by_text("It does not match")).to_be_visible()
    field(page, "Expression over the common name").fill("([^.]+")
    expect(page.get_by_text("This is not a regular expression")).to_be_visible()
