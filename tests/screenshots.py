#!/usr/bin/env python3
"""Makes the pictures of README.md: docs/images/*.png, from a demo server with some life in it.

Usage: THINGPORT_BIN=target/release/thingport python3 tests/screenshots.py
"""

import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "interop"))

import paho.mqtt.client as paho  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from browser import CHROMIUM, FLAGS, TENANT, Visit  # noqa: E402
from clients import Paho  # noqa: E402
from rest import Person  # noqa: E402
from server import Server  # noqa: E402

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
SIZE = {"width": 1120, "height": 700}


def main():
    with Server() as server, sync_playwright() as playwright:
        tenant = Person.login(server.url, *TENANT)
        device = tenant.ok("GET", "/api/tenant/devices?deviceName=Test%20Device%20A1")["id"]["id"]
        fill(tenant, device)
        tenant.ok("POST", f"/api/thingport/devices/{device}/trace", {})
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        visit = Visit(browser, server.url, viewport=SIZE)
        page = visit.open(f"/devices/{device}/connect")
        page.get_by_text("Waiting for the first reading").wait_for()
        client = Paho(server.mqtt, paho.MQTTv5, "A1_TEST_TOKEN", "meter-17")
        client.connect()
        client.publish("v1/devices/me/telemetry", '{"temperature": 25}')
        page.get_by_text("temperature = 25").wait_for()
        page.screenshot(path=IMAGES / "connect.png")
        page = visit.open(f"/devices/{device}/history")
        page.locator(".chart canvas").wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / "history.png")
        client.client.publish("v1/devices/me/telemetry", '{"temperature": 2', 1)
        page = visit.open(f"/devices/{device}/trace")
        page.locator(".bubble", has_text="refused").first.wait_for()
        page.screenshot(path=IMAGES / "trace.png")
        client.close()
        visit.end()


def fill(tenant, device):
    """An hour of readings, until half a minute ago: the next one shall be the first that is waited for."""
    now = time.time_ns() // 1_000_000 - 30_000
    readings = [{"ts": now - n * 20_000, "values": {"temperature": round(22 + 2 * math.sin(n / 18), 2),
                                                   "humidity": round(48 + 6 * math.cos(n / 25), 1)}} for n in range(180)]
    tenant.ok("POST", f"/api/plugins/telemetry/DEVICE/{device}/timeseries/ANY", json.dumps(readings))


if __name__ == "__main__":
    main()
