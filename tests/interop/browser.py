"""People at the page in a real browser, Debian's Chromium. Whatever a test does, the page may write no error to the
console and ask no other host for anything.
"""

import json
import re
import shutil
import subprocess

import paho.mqtt.client as paho
import pytest
from playwright.sync_api import expect, sync_playwright

from clients import Paho
from rest import Person, fresh

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


def certificate(directory, name, days=10):
    """A self-signed certificate, as PEM."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days),
               "-subj", f"/CN={name}", "-keyout", directory / "key.pem"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
