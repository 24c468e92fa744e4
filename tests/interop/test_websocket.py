"""Live updates: both paths, both ways to sign in, the commands of the first generation."""

import json
import time

import pytest

import wire as w
from clients import Feed
from rest import MISSING
from server import until

OLD, NEW = "/api/ws/plugins/telemetry", "/api/ws"
TYPES = {"tsSubCmds": "TIMESERIES", "attrSubCmds": "ATTRIBUTES", "historyCmds": "TIMESERIES_HISTORY"}
EMPTY = {"errorCode": 0, "errorMsg": None, "data": {}, "latestValues": {}}


class Talk:
    """Sends commands in the format of a path, in both ways of signing in."""

    def __init__(self, feed, path, token):
        self.feed, self.path, self.token = feed, path, token

    def send(self, kind, *commands):
        if self.path == OLD:
            message = {kind: list(commands)}
        else:
            message = {"cmds": [command | {"type": TYPES[kind]} for command in commands]}
        if self.token:
            message["authCmd"], self.token = {"cmdId": 0, "token": self.token}, None
        self.feed.send(message)

    def ask(self, kind, *commands):
        self.send(kind, *commands)
        return self.feed.next()


@pytest.fixture(params=[(OLD, True), (OLD, False), (NEW, True), (NEW, False)],
                ids=["old-query", "old-authCmd", "new-query", "new-authCmd"])
def talk(feed, tenant, request):
    path, by_query = request.param
    return Talk(feed(path, by_query=by_query), path, None if by_query else tenant.token)


def command(device, number=17, **members):
    return {"entityType": "DEVICE", "entityId": device.id, "cmdId": number} | members


def test_one_publish_is_one_update_with_all_keys(talk, device, wire):
    """W-10, W-11, W-12: what ThingsBoard's own connectivity test waits for."""
    assert talk.ask("tsSubCmds", command(device, scope="LATEST_TELEMETRY")) == EMPTY | {"subscriptionId": 17}
    connection = wire(4, device.token)
    payload = {"ts": 1_751_880_400_000, "values": {
        "stringKey": "value1", "booleanKey": True, "doubleKey": 42.0, "longKey": 73, "jsonKey": {"a": [1]}}}
    connection.ask(w.publish("v1/devices/me/telemetry", json.dumps(payload), 1, 1), w.PUBACK)
    ts = payload["ts"]
    texts = {"booleanKey": "true", "doubleKey": "42.0", "jsonKey": '{"a":[1]}', "longKey": "73",
             "stringKey": "value1"}
    update = talk.feed.next()
    assert update == {"subscriptionId": 17, "errorCode": 0, "errorMsg": None,
                      "data": {key: [[ts, text]] for key, text in texts.items()},
                      "latestValues": dict.fromkeys(texts, ts)}
    assert list(update["data"]) == sorted(texts), "sorted by name"


def test_named_keys_alone_are_told(talk, device, wire):
    connection = wire(4, device.token)
    connection.ask(w.publish("v2/t", '{"ts":5,"values":{"a":1,"b":2,"c":3}}', 1, 1), w.PUBACK)
    first = talk.ask("tsSubCmds", command(device, keys="a,b"))
    assert first["data"] == {"a": [[5, "1"]], "b": [[5, "2"]]}
    connection.ask(w.publish("v2/t", '{"c":9}', 1, 1), w.PUBACK)
    connection.ask(w.publish("v2/t", '{"ts":6,"values":{"a":4,"c":9}}', 1, 1), w.PUBACK)
    assert talk.feed.next()["data"] == {"a": [[6, "4"]]}


def test_an_older_point_is_not_sent(talk, device, wire):
    """W-14: but a key without an earlier point always is."""
    assert talk.ask("tsSubCmds", command(device))["data"] == {}
    connection = wire(4, device.token)
    for payload in ('{"ts":5,"values":{"a":1}}', '{"ts":4,"values":{"a":2}}', '{"ts":1,"values":{"b":3}}',
                    '{"ts":6,"values":{"a":4}}'):
        connection.ask(w.publish("v2/t", payload, 1, 1), w.PUBACK)
    told = [talk.feed.next()["data"] for _ in range(3)]
    assert told == [{"a": [[5, "1"]]}, {"b": [[1, "3"]]}, {"a": [[6, "4"]]}]


def test_attribute_updates_of_one_scope(talk, device, tenant, wire):
    """W-15."""
    tenant.ok("POST", f"{device.data}/SHARED_SCOPE", {"limit": 1})
    first = talk.ask("attrSubCmds", command(device, scope="SHARED_SCOPE"))
    assert first["data"]["limit"][0][1] == "1"
    tenant.ok("POST", f"{device.data}/SERVER_SCOPE", {"other": 1})
    tenant.ok("POST", f"{device.data}/SHARED_SCOPE", {"limit": 2, "name": "x"})
    update = talk.feed.next()
    assert {key: rows[0][1] for key, rows in update["data"].items()} == {"limit": "2", "name": "x"}
    tenant.ok("DELETE", f"{device.data}/SHARED_SCOPE?keys=limit")
    assert talk.feed.next()["data"] == {"limit": [[0, ""]]}


def test_client_attributes_of_a_device_are_live(talk, device, wire):
    assert talk.ask("attrSubCmds", command(device, scope="CLIENT_SCOPE"))["data"] == {}
    wire(5, device.token).ask(w.publish("v2/a", '{"fw":"1.2"}', 1, 1, 5), w.PUBACK)
    assert {key: rows[0][1] for key, rows in talk.feed.next()["data"].items()} == {"fw": "1.2"}


def test_history_is_answered_once(talk, device, tenant):
    rows = [{"ts": n * 1000, "values": {"n": n}} for n in range(1, 11)]
    tenant.ok("POST", f"{device.data}/timeseries/ANY", rows)
    query = {"keys": "n", "startTs": 1000, "endTs": 11_000}
    found = talk.ask("historyCmds", command(device, **query))
    assert found["data"] == {"n": [[n * 1000, str(n)] for n in range(10, 0, -1)]}, "newest first"
    assert len(talk.ask("historyCmds", command(device, **query, limit=3))["data"]["n"]) == 3
    summed = talk.ask("historyCmds", command(device, **query, agg="SUM", interval=5000))
    assert sorted(row[1] for row in summed["data"]["n"]) == ["15", "40"]


def test_a_subscription_may_begin_with_history(talk, device, tenant):
    now = int(time.time() * 1000)
    tenant.ok("POST", f"{device.data}/timeseries/ANY",
              [{"ts": now - n * 1000, "values": {"n": n}} for n in range(1, 6)])
    first = talk.ask("tsSubCmds", command(device, keys="n", startTs=now - 10_000, timeWindow=60_000))
    assert [row[1] for row in first["data"]["n"]] == ["1", "2", "3", "4", "5"]
    tenant.ok("POST", f"{device.data}/timeseries/ANY", {"ts": now, "values": {"n": 9}})
    assert talk.feed.next()["data"] == {"n": [[now, "9"]]}


def test_unsubscribe_ends_one_and_says_nothing(talk, device, tenant):
    """W-17, W-18."""
    for number in (1, 2):
        talk.ask("tsSubCmds", command(device, number))
    talk.send("tsSubCmds", command(device, 1, unsubscribe=True))
    # An answered command behind it proves that the other was seen.
    assert talk.ask("historyCmds", command(device, 3, keys="x", startTs=0, endTs=1))["subscriptionId"] == 3
    tenant.ok("POST", f"{device.data}/timeseries/ANY", {"a": 1})
    assert talk.feed.next()["subscriptionId"] == 2
    talk.send("tsSubCmds", {"cmdId": 2, "unsubscribe": True})
    assert talk.ask("historyCmds", command(device, 4, keys="x", startTs=0, endTs=1))["subscriptionId"] == 4
    tenant.ok("POST", f"{device.data}/timeseries/ANY", {"a": 2})
    assert talk.ask("historyCmds", command(device, 5, keys="x", startTs=0, endTs=1))["subscriptionId"] == 5


def test_a_used_number_replaces(talk, device, tenant):
    other = tenant.new_device()
    talk.ask("tsSubCmds", command(device, 1))
    talk.ask("tsSubCmds", command(other, 1))
    tenant.ok("POST", f"{device.data}/timeseries/ANY", {"first": 1})
    tenant.ok("POST", f"{other.data}/timeseries/ANY", {"second": 1})
    assert set(talk.feed.next()["data"]) == {"second"}


BAD_COMMANDS = [
    ("tsSubCmds", {"cmdId": -1}, 2), ("tsSubCmds", {"entityId": None}, 2), ("tsSubCmds", {"entityId": "x"}, 2),
    ("historyCmds", {"keys": ""}, 2), ("historyCmds", {"agg": "MEDIAN"}, 2),
    ("historyCmds", {"agg": "SUM", "interval": 1, "endTs": 1_000_000}, 2),
    ("attrSubCmds", {"entityId": ""}, 2),
]


@pytest.mark.parametrize("kind, change, code", BAD_COMMANDS, ids=str)
def test_bad_commands_are_answered_and_the_session_stays(talk, device, kind, change, code):
    """W-13, W-16."""
    answer = talk.ask(kind, command(device, 8, keys="a", startTs=0, endTs=10) | change)
    assert answer["errorCode"] == code and answer["errorMsg"]
    assert answer["data"] is None and answer["latestValues"] == {}
    assert talk.ask("tsSubCmds", command(device, 9))["errorCode"] == 0


@pytest.mark.parametrize("message", ["no json", "[]", "5", '{"tsSubCmds": 5}', '{"tsSubCmds": [5]}', "",
                                     '{"cmds": [{"type": "MAGIC", "cmdId": 1}]}'])
@pytest.mark.parametrize("path", [OLD, NEW])
def test_what_cannot_be_understood_is_answered(feed, device, path, message):
    """W-8, W-9."""
    if path == OLD and "cmds\"" in message:
        message = '{"entityDataCmds": [{"cmdId": 1, "query": {}}]}'
    session = feed(path)
    answer = session.ask(message)
    assert answer["errorCode"] == 2 and answer["errorMsg"]
    talk = Talk(session, path, None)
    assert talk.ask("tsSubCmds", command(device, 9))["errorCode"] == 0


def test_an_unknown_device_is_an_error(talk):
    answer = talk.ask("tsSubCmds", {"entityType": "DEVICE", "entityId": MISSING, "cmdId": 1})
    assert answer["errorCode"] != 0 and answer["data"] is None


@pytest.mark.parametrize("path", [OLD, NEW])
@pytest.mark.parametrize("token, first, code", [
    ("x.y.z", None, 1011),
    (None, {"tsSubCmds": []}, 1008),
    (None, {"authCmd": {"cmdId": 0, "token": "x.y.z"}}, 1007),
    (None, {"authCmd": {"cmdId": 0}}, 1007),
])
def test_bad_credentials_close(subject, path, token, first, code):
    """W-1, W-2: the handshake itself succeeds."""
    with Feed(subject.url, path, token) as session:
        if first is not None:
            session.send(first)
        assert session.next() == ("close", code)


def test_a_refresh_token_is_no_credential(subject, tenant):
    with Feed(subject.url, OLD, tenant.refresh_token) as session:
        assert session.next() == ("close", 1011)


def test_a_message_that_is_too_large_closes(feed):
    """W-3."""
    session = feed(OLD)
    session.send(json.dumps({"tsSubCmds": [], "pad": "x" * 40_000}))
    assert session.next() == ("close", 1009)


def test_a_deleted_device_ends_its_subscriptions_silently(feed, tenant):
    """W-19."""
    device, other = tenant.new_device(), tenant.new_device()
    session = feed(OLD)
    for number, it in enumerate((device, other)):
        assert session.ask({"tsSubCmds": [command(it, number)]})["errorCode"] == 0
    tenant.ok("DELETE", f"/api/device/{device.id}")
    tenant.ok("POST", f"{other.data}/timeseries/ANY", {"a": 1})
    assert session.next()["subscriptionId"] == 1


def test_nothing_is_missed_between_the_answer_and_the_next_update(feed, device, wire):
    """W-20: subscribe while the device publishes; from the first answer on, every value arrives."""
    connection = wire(4, device.token)
    session = feed(OLD)
    connection.send(b"".join(w.publish("v2/t", '{"ts":%d,"values":{"n":%d}}' % (n, n), 1, n) for n in range(1, 300)))
    session.send({"tsSubCmds": [command(device, 1, keys="n")]})
    connection.send(b"".join(w.publish("v2/t", '{"ts":%d,"values":{"n":%d}}' % (n, n), 1, n) for n in range(300, 400)))
    for _ in range(399):
        connection.expect(w.PUBACK)
    seen = []

    def last():
        update = session.next()
        seen.extend(ts for ts, _ in reversed(update["data"].get("n", [])))
        return seen and seen[-1] == 399

    until("the newest value", last)
    assert seen == sorted(seen), "in order, each at most once"
