"""Attributes between people and devices: updates, requests and what the server says about itself.

The rows of the topic table that devices are answered on (getting connected, complete topic mapping).
"""

import threading

import paho.mqtt.client as paho
import pytest

import wire as w
from server import until
from wire import V5

PROTOCOLS = [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5]
VERSIONS = {paho.MQTTv31: "3.1", paho.MQTTv311: "3.1.1", paho.MQTTv5: "5"}


class Topics:
    """The topics of one format, by operation."""

    def __init__(self, name, publish, updates, request, response, call, answer):
        self.name, self.publish, self.updates = name, publish, updates
        self.request, self.response = request, response
        self.call, self.answer = call, answer


FORMATS = [
    Topics("standard", "v1/devices/me/attributes", "v1/devices/me/attributes", "v1/devices/me/attributes/request/",
           "v1/devices/me/attributes/response/", "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"),
    Topics("short", "v2/a", "v2/a", "v2/a/req/", "v2/a/res/", "v2/r/req/", "v2/r/res/"),
    Topics("short JSON", "v2/a/j", "v2/a/j", "v2/a/req/j/", "v2/a/res/j/", "v2/r/req/j/", "v2/r/res/j/"),
]


@pytest.fixture(params=PROTOCOLS, ids=VERSIONS.get)
def protocol(request):
    return request.param


@pytest.fixture(params=FORMATS, ids=lambda it: it.name)
def topics(request):
    return request.param


def share(device, body):
    device.owner.ok("POST", f"{device.data}/SHARED_SCOPE", body)


def forget(device, *keys, scope="SHARED_SCOPE"):
    device.owner.ok("DELETE", f"{device.data}/{scope}?keys={','.join(keys)}")


def connected(paho_client, protocol, device):
    client = paho_client(protocol, device.token)
    assert client.connect() == 0
    return client


def is_silent(client):
    """Nothing came before the acknowledgement of another message, which leaves in order."""
    client.publish("v2/t", {"ping": 1})
    with client.told.mutex:
        return not any(kind == "message" for kind, _ in client.told.queue)


def test_shared_attributes_reach_a_device_that_subscribed(paho_client, device, protocol, topics):
    """JS-090 to JS-098, U-12: from SUBACK on nothing is missed."""
    share(device, {"before": 1})
    client = connected(paho_client, protocol, device)
    client.subscribe([(topics.updates, 1)])
    share(device, {"on": True, "n": 21, "d": 1.5, "s": "x", "j": {"a": [1]}})
    assert client.message() == (topics.updates, {"on": True, "n": 21, "d": 1.5, "s": "x", "j": {"a": [1]}})
    share(device, {"n": 21})
    assert client.message() == (topics.updates, {"n": 21}), "JS-092"
    forget(device, "on", "never")
    assert client.message() == (topics.updates, {"deleted": ["on", "never"]}), "JS-093"
    device.owner.ok("POST", f"{device.data}/SERVER_SCOPE", {"hidden": 1})
    forget(device, "hidden", scope="SERVER_SCOPE")
    client.publish(topics.publish, {"own": 1})
    assert is_silent(client), "JS-055, JS-097"
    client.unsubscribe(topics.updates)
    share(device, {"after": 1})
    assert is_silent(client)


def test_a_device_that_did_not_subscribe_is_told_nothing(paho_client, device, protocol):
    client = connected(paho_client, protocol, device)
    share(device, {"a": 1})
    forget(device, "a")
    assert is_silent(client)


REQUESTS = [
    ("both", {"clientKeys": "c1,c2", "sharedKeys": "s1"}, {"client": {"c1": 1, "c2": "two"}, "shared": {"s1": 1.5}}),
    ("client", {"clientKeys": "c1"}, {"client": {"c1": 1}}),
    ("shared", {"sharedKeys": "s1,s2"}, {"shared": {"s1": 1.5, "s2": {"a": 1}}}),
    ("all", {}, {"client": {"c1": 1, "c2": "two"}, "shared": {"s1": 1.5, "s2": {"a": 1}}}),
    ("unknown", {"clientKeys": "x", "sharedKeys": "y"}, {}),
    ("one unknown", {"clientKeys": "c1,x"}, {"client": {"c1": 1}}),
    ("not trimmed", {"clientKeys": "c1, c2"}, {"client": {"c1": 1}}),
    ("server scope", {"sharedKeys": "hidden", "clientKeys": "hidden"}, {}),
]


@pytest.mark.parametrize("subscribed", [True, False], ids=["subscribed", "not subscribed"])
def test_attributes_are_answered_where_and_as_they_were_asked(paho_client, device, protocol, topics, subscribed):
    """JS-060 to JS-081: both lists, one, none; the answer carries the id of its question."""
    share(device, {"s1": 1.5, "s2": {"a": 1}})
    device.owner.ok("POST", f"{device.data}/SERVER_SCOPE", {"hidden": 1})
    client = connected(paho_client, protocol, device)
    if subscribed:
        client.subscribe([(f"{topics.response}+", 1)])
    client.publish(topics.publish, {"c1": 1, "c2": "two"})
    for number, (name, body, expected) in enumerate(REQUESTS, 1):
        assert client.ask(f"{topics.request}{number}", body) == (f"{topics.response}{number}", expected), name


def test_an_update_is_readable_by_request_once_it_was_told(paho_client, device):
    client = connected(paho_client, paho.MQTTv5, device)
    client.subscribe([("v2/a", 1), ("v2/a/res/+", 1)])
    for n in range(20):
        share(device, {"n": n})
        assert client.message() == ("v2/a", {"n": n})
        assert client.ask(f"v2/a/req/{n}", {"sharedKeys": "n"}) == (f"v2/a/res/{n}", {"shared": {"n": n}})


def test_requests_in_different_formats_do_not_mix(paho_client, device):
    """TP-009: the family is remembered per request."""
    share(device, {"s": 1})
    client = connected(paho_client, paho.MQTTv5, device)
    for number in range(30):
        topics = FORMATS[number % 3]
        client.client.publish(f"{topics.request}{number}", "{}", 1)
    answers = {client.message()[0] for _ in range(30)}
    assert answers == {f"{FORMATS[number % 3].response}{number}" for number in range(30)}


def test_a_profile_may_have_a_topic_of_its_own_for_updates(paho_client, tenant, protocol):
    """TP-012, O-2: told on a topic that was subscribed; the standard ones stay."""
    profile = tenant.new_profile()
    configuration = profile["profileData"]["transportConfiguration"]
    configuration["deviceAttributesSubscribeTopic"] = "plant/updates"
    profile = tenant.ok("POST", "/api/deviceProfile", profile)
    device = tenant.new_device(deviceProfileId=profile["id"])
    client = connected(paho_client, protocol, device)
    for topic in ("plant/updates", "v1/devices/me/attributes", "v2/a", "plant/updates"):
        client.subscribe([(topic, 1)])
        share(device, {"a": topic})
        assert client.message() == (topic, {"a": topic})
        forget(device, "a")
        assert client.message() == (topic, {"deleted": ["a"]})


def test_many_writers_leave_a_device_with_the_value_that_is_kept(paho_client, device):
    """Updates are told in the order in which they are kept."""
    client = connected(paho_client, paho.MQTTv5, device)
    client.subscribe([("v2/a", 1)])
    threads = [threading.Thread(target=share, args=(device, {"n": n})) for n in range(20)]
    for thread in threads:
        thread.start()
    told = [client.message()[1]["n"] for _ in threads]
    for thread in threads:
        thread.join()
    assert sorted(told) == list(range(20))
    assert device.attributes("SHARED_SCOPE")["n"] == told[-1]


def test_quality_of_service_is_that_of_the_subscription_and_1_without(wire, device):
    """LS-073, O-1."""
    connection = wire(V5, device.token)
    answered = connection.ask(w.publish("v2/a/req/1", "{}", 1, 3, V5), w.PUBACK)
    assert answered.code == 0
    assert connection.expect(w.PUBLISH).raw[0] & 0x06 == 0x02
    assert connection.ask(w.subscribe(4, [("v2/a/res/+", 0)], V5), w.SUBACK).codes == [0]
    connection.send(w.publish("v2/a/req/2", "{}", 0, version=V5))
    assert connection.expect(w.PUBLISH).raw[0] & 0x06 == 0


def test_a_device_learns_its_limits_and_the_time(paho_client, device, protocol, topics):
    """CR-020 to CR-025, in every format."""
    client = connected(paho_client, protocol, device)
    client.subscribe([(f"{topics.answer}+", 1)])
    topic, limits = client.ask(f"{topics.call}1", {"method": "getSessionLimits", "params": {"timeout": 5000}})
    assert topic == f"{topics.answer}1"
    assert limits == {
        "maxPayloadSize": 65536, "maxInflightMessages": 100,
        "rateLimits": {"messages": None, "telemetryMessages": None, "telemetryDataPoints": None},
    }
    topic, now = client.ask(f"{topics.call}2", {"method": "getCurrentTime", "params": {}})
    assert topic == f"{topics.answer}2" and list(now) == ["time"]
    topic, answer = client.ask(f"{topics.call}3", {"method": "nobodyHandlesThis"})
    assert topic == f"{topics.answer}3" and list(answer) == ["error"]
    device.owner.event("rpc.unhandled", device)


def test_a_gateway_learns_the_limits_of_its_devices_too(paho_client, tenant):
    """CR-023."""
    gateway = tenant.new_device(additionalInfo={"gateway": True})
    client = connected(paho_client, paho.MQTTv311, gateway)
    _, limits = client.ask("v1/devices/me/rpc/request/1", {"method": "getSessionLimits", "params": {}})
    assert limits["gatewayRateLimits"] == limits["rateLimits"]


def test_a_question_of_10000_bytes_too_many_hurts_nobody(paho_client, device):
    """Nothing grows with what a device asks."""
    client = connected(paho_client, paho.MQTTv5, device)
    keys = ",".join(f"k{n}" for n in range(8_000))
    assert client.ask("v2/a/req/1", {"clientKeys": keys}) == ("v2/a/res/1", {})


class TestThingsBoardsOwnClient:
    """tb-mqtt-client from PyPI, unchanged."""

    def test_it_learns_the_limits_right_after_connecting(self, sdk, device):
        client = sdk(device.token)
        until("it knows its limits", lambda: client.call("rate_limits_received"))
        told = client.asked("request_service_configuration", callback="callback")
        assert told[1]["maxInflightMessages"] == 100 and "rateLimits" in told[1]

    def test_it_sends_and_asks_for_attributes(self, sdk, device):
        client = sdk(device.token)
        assert client.call("send_attributes", {"model": "a1", "n": 7}) == 0
        share(device, {"limit": 3})
        assert device.attributes() == {"model": "a1", "n": 7}
        told = client.asked("request_attributes", ["model", "n"], ["limit"])
        assert told[0] == {"client": {"model": "a1", "n": 7}, "shared": {"limit": 3}}
        assert client.asked("request_attributes", ["model"])[0] == {"client": {"model": "a1"}}
        assert client.asked("request_attributes", None, ["limit"])[0] == {"shared": {"limit": 3}}

    def test_it_hears_of_changes(self, sdk, device):
        client = sdk(device.token)
        client.listen("subscribe_to_all_attributes")
        share(device, {"a": 1, "b": "x"})
        assert client.wait("heard")[0] == {"a": 1, "b": "x"}
        forget(device, "a")
        assert client.wait("heard")[0] == {"deleted": ["a"]}

    def test_it_hears_of_one_attribute(self, sdk, device):
        client = sdk(device.token)
        client.listen("subscribe_to_attribute", "wanted")
        share(device, {"other": 1})
        share(device, {"wanted": 2})
        assert client.wait("heard")[0] == {"wanted": 2}
