"""A person at the REST API, and names that no other test uses."""

import itertools
import json
import os
import time

import requests

from server import until

NIL = "13814000-1dd2-11b2-8080-808080808080"
MISSING = "0b5f3a10-5a7e-11f0-9a01-0f2d5c7e8a11"
_numbers = itertools.count(1)


def fresh(prefix):
    """A name nobody else uses, also on a subject that is not ours alone."""
    return f"{prefix}-{os.getpid()}-{time.time_ns() % 10**9}-{next(_numbers)}"


class Person:
    """Somebody signed in, or nobody when there is no token."""

    def __init__(self, url, token=None, refresh_token=None, scheme="Bearer"):
        self.url = url
        self.scheme = scheme
        self.token = token
        self.refresh_token = refresh_token
        self.http = requests.Session()

    @classmethod
    def login(cls, url, name, password):
        answer = requests.post(f"{url}/api/auth/login", json={"username": name, "password": password}, timeout=30)
        assert answer.status_code == 200, f"login of {name}: {answer.status_code} {answer.text}"
        pair = answer.json()
        return cls(url, pair["token"], pair["refreshToken"])

    def request(self, method, path, body=None, headers=None, **options):
        headers = dict(headers or {})
        if self.token is not None:
            headers.setdefault("X-Authorization", f"{self.scheme} {self.token}")
        if body is not None:
            options["data"] = body if isinstance(body, (str, bytes)) else json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        return self.http.request(method, f"{self.url}{path}", headers=headers, timeout=30, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def ok(self, method, path, body=None, **options):
        answer = self.request(method, path, body, **options)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content and "json" in answer.headers.get("Content-Type", "") else answer.text

    def guest_of(self, customer):
        """Somebody who looks at the devices of a public customer."""
        pair = Person(self.url).ok("POST", "/api/auth/login/public", {"publicId": customer})
        return Person(self.url, pair["token"], pair["refreshToken"])

    def program(self, **members):
        """The same rights by an API key; the program and the key."""
        members.setdefault("description", fresh("program"))
        key = self.ok("POST", "/api/apiKey", members)
        return Person(self.url, key["value"], scheme="ApiKey"), key

    # What tests need again and again.

    def new_device(self, token=None, **members):
        members.setdefault("name", fresh("device"))
        token = token or fresh("token")
        device = self.ok("POST", f"/api/device?accessToken={token}", members)
        return Device(self, device["id"]["id"], token, device)

    def new_profile(self, transport="MQTT", acks_invalid=False, **members):
        configuration = {"type": transport}
        if transport == "MQTT":
            configuration |= {
                "deviceTelemetryTopic": "v1/devices/me/telemetry",
                "deviceAttributesTopic": "v1/devices/me/attributes",
                "deviceAttributesSubscribeTopic": "v1/devices/me/attributes",
                "transportPayloadTypeConfiguration": {"transportPayloadType": "JSON"},
                "sparkplug": False,
                "sendAckOnValidationException": acks_invalid,
            }
        body = {
            "name": fresh("profile"), "type": "DEFAULT", "transportType": transport,
            "profileData": {"configuration": {"type": "DEFAULT"}, "transportConfiguration": configuration},
        }
        return self.ok("POST", "/api/deviceProfile", body | members)

    def save_credentials(self, device, kind, identifier=None, value=None):
        stored = self.ok("GET", f"/api/device/{device.id}/credentials")
        value = json.dumps(value) if isinstance(value, dict) else value
        stored |= {"credentialsType": kind, "credentialsId": identifier, "credentialsValue": value}
        return self.ok("POST", "/api/device/credentials", stored)

    def events(self, device=None):
        path = f"/api/thingport/devices/{device.id}/events" if device else "/api/thingport/events"
        return self.ok("GET", path)

    def event(self, reason, device=None, **members):
        """Waits for an entry with this reason (or one that begins so) and these members."""

        def found():
            for entry in self.events(device):
                if entry["reason"].startswith(reason) and all(entry.get(k) == v for k, v in members.items()):
                    return entry
            return None

        return until(f"event {reason} {members} of {device.id if device else 'the house'}", found)


class Device:
    """A registered device and its data, read as its owner."""

    def __init__(self, owner, identifier, token, body):
        self.owner, self.id, self.token, self.body = owner, identifier, token, body
        self.data = f"/api/plugins/telemetry/DEVICE/{identifier}"

    def latest(self, *keys, strict=False):
        query = f"?keys={','.join(keys)}" if keys else "?"
        strictly = "&useStrictDataTypes=true" if strict else ""
        return self.owner.ok("GET", f"{self.data}/values/timeseries{query}{strictly}")

    def value(self, key, strict=False):
        return self.latest(key, strict=strict)[key][0]["value"]

    def history(self, key, start, end, **options):
        options = {"keys": key, "startTs": start, "endTs": end, "limit": 1_000_000, "orderBy": "ASC"} | options
        found = self.owner.ok("GET", f"{self.data}/values/timeseries", params=options)
        return [(point["ts"], point["value"]) for point in found.get(key, [])]

    def keys(self):
        return self.owner.ok("GET", f"{self.data}/keys/timeseries")

    def attributes(self, scope="CLIENT_SCOPE"):
        rows = self.owner.ok("GET", f"{self.data}/values/attributes/{scope}")
        return {row["key"]: row["value"] for row in rows}


PASSWORD = "secret1"


def new_user(creator, account):
    """Creates somebody and activates the account the way the Java client does; the person and the user."""
    user = creator.ok("POST", "/api/user?sendActivationMail=false", account)
    link = creator.ok("GET", f"/api/user/{user['id']['id']}/activationLink")
    body = {"activateToken": link.split("activateToken=", 1)[1], "password": PASSWORD}
    pair = creator.ok("POST", "/api/noauth/activate?sendActivationMail=false", body)
    return Person(creator.url, pair["token"], pair["refreshToken"]), user
