"""The complete topic mapping of "Getting Connected", walked with paho: ten operations in every format.

Each row is proved at both ends: what the device says arrives with people, over REST and live over the WebSocket, and
what people say arrives at the device, on the topic of the format that the device chose.
"""

import concurrent.futures
import json

import paho.mqtt.client as paho
import pytest
import requests

from rest import Person, fresh, new_user
from server import until

PROTOCOLS = {"3.1.1": paho.MQTTv311, "5": paho.MQTTv5}

# The table of the page: operation, short topic, standard topic.
TABLE = {
    "Publish telemetry": ("v2/t", "v1/devices/me/telemetry"),
    "Publish client attributes": ("v2/a", "v1/devices/me/attributes"),
    "Subscribe to shared attribute updates": ("v2/a", "v1/devices/me/attributes"),
    "Request attribute values": ("v2/a/req/$id", "v1/devices/me/attributes/request/$id"),
    "Receive attribute response": ("v2/a/res/+", "v1/devices/me/attributes/response/+"),
    "Subscribe to server-side RPC": ("v2/r/req/+", "v1/devices/me/rpc/request/+"),
    "Respond to server-side RPC": ("v2/r/res/$id", "v1/devices/me/rpc/response/$id"),
    "Send client-side RPC request": ("v2/r/req/$id", "v1/devices/me/rpc/request/$id"),
    "Receive client-side RPC response": ("v2/r/res/+", "v1/devices/me/rpc/response/+"),
    "Publish claim request": ("v2/c", "v1/devices/me/claim"),
}
FORMATS = ["Short", "Short, JSON", "Standard"]


def mapped(operation, form, number=None):
    """The topic or filter of an operation. `/j` stands before the last part; a claim has no such form."""
    short, standard = TABLE[operation]
    topic = standard if form == "Standard" else short
    if form == "Short, JSON" and operation != "Publish claim request":
        base, wild, last = topic.partition("/$id") if "$id" in topic else topic.partition("/+")
        topic = f"{base}/j{wild}{last}"
    return topic if number is None else topic.replace("$id", str(number)).replace("+", str(number))


@pytest.mark.parametrize(("operation", "form", "topic"), [
    ("Publish telemetry", "Short, JSON", "v2/t/j"),
    ("Request attribute values", "Short, JSON", "v2/a/req/j/$id"),
    ("Subscribe to server-side RPC", "Short, JSON", "v2/r/req/j/+"),
    ("Publish claim request", "Short, JSON", "v2/c"),
    ("Receive attribute response", "Standard", "v1/devices/me/attributes/response/+"),
])
def test_where_the_form_stands_in_a_topic(operation, form, topic):
    assert mapped(operation, form) == topic


class Conversation:
    """A device with its paho client, its owner with a live view, and someone who may claim it."""

    def __init__(self, client, device, form, live, claimer, pool):
        self.client, self.device, self.form, self.live = client, device, form, live
        self.claimer, self.pool = claimer, pool
        self.owner = device.owner
        # New for each operation, so that nothing is proved by what another one did.
        self.key, self.number = fresh("k"), next_number()

    def topic(self, operation, number=None):
        return mapped(operation, self.form, number)

    def publish(self, operation, body, number=None):
        """Published at quality 1 and acknowledged as a success."""
        reason = self.client.publish(self.topic(operation, number), body)
        assert not reason.is_failure, reason

    def subscribe(self, operation):
        reasons = self.client.subscribe([(self.topic(operation), 1)])
        assert [reason.value for reason in reasons] == [1], reasons

    def watch(self, kind, **members):
        """A live view that has shown the present; the feed."""
        feed = self.live()
        feed.ask({kind: [{"entityType": "DEVICE", "entityId": self.device.id, "cmdId": 1} | members]})
        return feed

    def call(self, body):
        """A call of the owner from a session of its own, since it waits for the device."""
        caller = Person(self.owner.url, self.owner.token)
        return self.pool.submit(caller.post, f"/api/rpc/twoway/{self.device.id}", body)


def next_number(state=iter(range(1, 1 << 30))):
    return next(state)


def publish_telemetry(it):
    feed = it.watch("tsSubCmds", scope="LATEST_TELEMETRY", keys=it.key)
    it.publish("Publish telemetry", {it.key: 21.5})
    assert it.device.value(it.key, strict=True) == 21.5
    assert [value for _, value in feed.next()["data"][it.key]] == ["21.5"]


def publish_client_attributes(it):
    feed = it.watch("attrSubCmds", scope="CLIENT_SCOPE", keys=it.key)
    it.publish("Publish client attributes", {it.key: {"rev": [2]}})
    assert it.device.attributes("CLIENT_SCOPE")[it.key] == {"rev": [2]}
    assert [value for _, value in feed.next()["data"][it.key]] == ['{"rev":[2]}']


def subscribe_to_shared_attribute_updates(it):
    it.subscribe("Subscribe to shared attribute updates")
    updates = it.topic("Subscribe to shared attribute updates")
    path = f"{it.device.data}/SHARED_SCOPE"
    it.owner.ok("POST", path, {it.key: 5})
    assert it.client.message() == (updates, {it.key: 5})
    it.owner.ok("DELETE", f"{path}?keys={it.key}")
    assert it.client.message() == (updates, {"deleted": [it.key]})
    it.client.unsubscribe(updates)


def request_attribute_values(it):
    """Asked before anybody subscribed to answers: the question says where they go."""
    it.owner.ok("POST", f"{it.device.data}/SHARED_SCOPE", {it.key: "shared"})
    it.publish("Publish client attributes", {it.key: "client"})
    questions = [({"clientKeys": it.key}, {"client": {it.key: "client"}}),
                 ({"sharedKeys": it.key}, {"shared": {it.key: "shared"}}),
                 ({"clientKeys": it.key, "sharedKeys": it.key}, {"client": {it.key: "client"},
                                                                 "shared": {it.key: "shared"}})]
    for body, expected in questions:
        number = next_number()
        it.publish("Request attribute values", body, number)
        assert it.client.message() == (it.topic("Receive attribute response", number), expected)


def receive_attribute_response(it):
    """Without keys: all there are. The answer carries the number of its question."""
    it.subscribe("Receive attribute response")
    it.owner.ok("POST", f"{it.device.data}/SHARED_SCOPE", {it.key: True})
    it.publish("Request attribute values", {}, it.number)
    topic, answer = it.client.message()
    assert topic == it.topic("Receive attribute response", it.number)
    assert answer["shared"][it.key] is True
    assert answer["shared"] == it.device.attributes("SHARED_SCOPE")
    assert answer.get("client", {}) == it.device.attributes("CLIENT_SCOPE")
    it.client.unsubscribe(it.topic("Receive attribute response"))


def subscribe_to_server_side_rpc(it):
    """A call that wants no answer is done when the device has acknowledged it."""
    it.subscribe("Subscribe to server-side RPC")
    path = f"/api/rpc/oneway/{it.device.id}"
    answer = it.owner.post(path, {"method": it.key, "params": {"on": True}})
    assert (answer.status_code, answer.content) == (200, b"")
    topic, body = it.client.message()
    begin, number = topic.rsplit("/", 1)
    assert begin == it.topic("Subscribe to server-side RPC").rsplit("/", 1)[0] and number.isdecimal()
    assert body == {"method": it.key, "params": {"on": True}}
    kept = it.owner.ok("POST", path, {"method": it.key, "params": 1, "persistent": True})["rpcId"]
    assert it.client.message()[1] == {"method": it.key, "params": 1}
    until("it is delivered",
          lambda: it.owner.ok("GET", f"/api/rpc/persistent/{kept}")["status"] == "DELIVERED")
    it.client.unsubscribe(it.topic("Subscribe to server-side RPC"))


def respond_to_server_side_rpc(it):
    it.subscribe("Subscribe to server-side RPC")
    waits = it.call({"method": "getValue", "params": {"key": it.key}, "timeout": 20_000})
    topic, body = it.client.message()
    assert body == {"method": "getValue", "params": {"key": it.key}}
    it.publish("Respond to server-side RPC", {"value": it.key}, int(topic.rsplit("/", 1)[1]))
    answer = waits.result()
    assert (answer.status_code, answer.json()) == (200, {"value": it.key})
    it.client.unsubscribe(it.topic("Subscribe to server-side RPC"))


def send_client_side_rpc_request(it):
    """An application of people takes what the device asks, over REST, and answers it; no subscription is needed."""
    application = Person(it.owner.url, it.owner.token)
    mine = {"timeoutMs": 0, "deviceProfileId": it.device.body["deviceProfileId"]["id"]}
    # From the first time on it is expected back.
    assert application.ok("POST", "/api/thingport/client-rpc/take", mine)["requests"] == []
    it.publish("Send client-side RPC request", {"method": it.key, "params": {"door": 3}}, it.number)
    (asked,) = application.ok("POST", "/api/thingport/client-rpc/take", mine | {"timeoutMs": 15_000})["requests"]
    assert (asked["deviceId"], asked["method"], asked["params"]) == (it.device.id, it.key, {"door": 3})
    application.ok("POST", f"/api/thingport/client-rpc/{asked['id']}", {"answer": {"open": it.key}})
    assert it.client.message() == (it.topic("Receive client-side RPC response", it.number), {"open": it.key})


def receive_client_side_rpc_response(it):
    """The limits that the server tells are those that people set in the tenant profile."""
    it.subscribe("Receive client-side RPC response")
    answers = {}
    for number, method in ((it.number, "getSessionLimits"), (next_number(), "getCurrentTime")):
        it.publish("Send client-side RPC request", {"method": method, "params": {}}, number)
        topic, answers[method] = it.client.message()
        assert topic == it.topic("Receive client-side RPC response", number)
    assert answers["getSessionLimits"]["rateLimits"].keys() == {"messages", "telemetryMessages",
                                                                "telemetryDataPoints"}
    it.publish("Publish telemetry", {it.key: 1})
    stamped = it.device.latest(it.key)[it.key][0]["ts"]
    assert abs(answers["getCurrentTime"]["time"] - stamped) < 60_000
    it.client.unsubscribe(it.topic("Receive client-side RPC response"))


def publish_claim_request(it):
    it.publish("Publish claim request", {"secretKey": it.key, "durationMs": 60_000})
    path = f"/api/customer/device/{it.device.body['name']}/claim"
    answer = it.claimer.post(path, {"secretKey": it.key})
    assert answer.status_code == 200 and answer.json()["response"] == "SUCCESS", answer.text
    assert it.claimer.ok("GET", f"/api/device/{it.device.id}")["name"] == it.device.body["name"]
    it.claimer.ok("DELETE", path)
    assert it.claimer.get(f"/api/device/{it.device.id}").status_code == 403
    it.publish("Publish telemetry", {it.key: 1})


PROOFS = {
    "Publish telemetry": publish_telemetry,
    "Publish client attributes": publish_client_attributes,
    "Subscribe to shared attribute updates": subscribe_to_shared_attribute_updates,
    "Request attribute values": request_attribute_values,
    "Receive attribute response": receive_attribute_response,
    "Subscribe to server-side RPC": subscribe_to_server_side_rpc,
    "Respond to server-side RPC": respond_to_server_side_rpc,
    "Send client-side RPC request": send_client_side_rpc_request,
    "Receive client-side RPC response": receive_client_side_rpc_response,
    "Publish claim request": publish_claim_request,
}


def test_every_row_has_a_proof():
    assert PROOFS.keys() == TABLE.keys()


@pytest.fixture(scope="module")
def claimer(tenant):
    customer = tenant.ok("POST", "/api/customer", {"title": fresh("customer")})
    account = {"email": f"{fresh('user')}@example.org", "authority": "CUSTOMER_USER", "customerId": customer["id"]}
    return new_user(tenant, account)[0]


@pytest.fixture(scope="module")
def pool():
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def device(tenant):
    """With a profile of its own, whose devices' questions an application answers."""
    profile = tenant.new_profile("DEFAULT", profileData={
        "configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"},
        "thingport": {"clientRpc": {"type": "APP"}}})
    return tenant.new_device(deviceProfileId=profile["id"])


@pytest.fixture
def conversation(paho_client, device, feed, claimer, pool):
    def begin(protocol, form, client=None):
        if client is None:
            client = paho_client(PROTOCOLS[protocol], device.token)
            assert client.connect() == 0
        return Conversation(client, device, form, feed, claimer, pool)

    return begin


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("operation", TABLE)
def test_the_table(conversation, protocol, form, operation):
    PROOFS[operation](conversation(protocol, form))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("secure", [False, pytest.param(True, marks=pytest.mark.process)], ids=["TCP", "TLS"])
def test_one_connection_carries_all_of_it(subject, device, paho_client, conversation, protocol, secure):
    """Every operation in every format, one after the other, without a second CONNECT."""
    client = paho_client(PROTOCOLS[protocol], device.token)
    if secure:
        client.address = subject.mqtts
        client.client.tls_set(ca_certs=str(subject.ca))
    assert client.connect() == 0
    for operation in TABLE:
        for form in FORMATS:
            PROOFS[operation](conversation(protocol, form, client))


# The same conversation over HTTP -----------------------------------------------------------------


def test_the_conversation_over_http(subject, device, claimer, pool):
    """H-2 to H-8: the operations of the table where a device asks instead of being told."""
    base, owner, key = f"{subject.url}/api/v1/{device.token}", device.owner, fresh("k")

    def say(path, body):
        answer = requests.post(f"{base}/{path}", json=body, timeout=30)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer

    def poll(path):
        return pool.submit(requests.get, f"{base}/{path}?timeout=20000", timeout=60)

    say("telemetry", {key: 1})
    say("attributes", {key: 2})
    assert device.value(key) == "1" and device.attributes()[key] == 2
    owner.ok("POST", f"{device.data}/SHARED_SCOPE", {key: 3})
    asked = requests.get(f"{base}/attributes", params={"clientKeys": key, "sharedKeys": key}, timeout=30)
    assert asked.json() == {"client": {key: 2}, "shared": {key: 3}}

    waits, changes = poll("attributes/updates"), iter(range(4, 1 << 20))

    def told():
        owner.ok("POST", f"{device.data}/SHARED_SCOPE", {key: next(changes)})
        return waits.done()

    until("the poll to be told", told, 20, 0.05)
    assert waits.result().json()[key] >= 4

    # A two-way call waits until somebody polls, so it may be made first.
    caller = Person(owner.url, owner.token)
    called = pool.submit(caller.post, f"/api/rpc/twoway/{device.id}",
                         {"method": "m", "params": {"n": 1}, "timeout": 20_000})
    call = poll("rpc").result().json()
    assert (call["method"], call["params"]) == ("m", {"n": 1})
    say(f"rpc/{call['id']}", {"done": key})
    answer = called.result()
    assert (answer.status_code, answer.json()) == (200, {"done": key})

    assert "rateLimits" in json.loads(say("rpc", {"method": "getSessionLimits", "params": {}}).content)
    say("claim", {"secretKey": key})
    path = f"/api/customer/device/{device.body['name']}/claim"
    claimed = claimer.post(path, {"secretKey": key})
    assert claimed.status_code == 200 and claimed.json()["response"] == "SUCCESS"
