"""Questions about many entities (REST API 17.3): over REST, live over WebSocket, and with ThingsBoard's client."""

import json

import pytest
from tb_rest_client.models import (EntityCountQuery, EntityDataPageLink, EntityDataQuery, EntityDataSortOrder,
                                   EntityKey)
from tb_rest_client.rest_client import RestClient

from clients import Feed
from rest import MISSING, fresh, new_user
from server import until

OLD, NEW = "/api/ws/plugins/telemetry", "/api/ws"
NAMES = {"entityDataCmds": "ENTITY_DATA", "entityCountCmds": "ENTITY_COUNT",
         "entityDataUnsubscribeCmds": "ENTITY_DATA_UNSUBSCRIBE"}


def series(*keys):
    return [{"type": "TIME_SERIES", "key": key} for key in keys]


def fields(*keys):
    return [{"type": "ENTITY_FIELD", "key": key} for key in keys]


def page(number=0, size=20, search=None, sort=None, descending=False, dynamic=False):
    link = {"page": number, "pageSize": size, "textSearch": search, "dynamic": dynamic}
    if sort:
        link["sortOrder"] = {"key": sort, "direction": "DESC" if descending else "ASC"}
    return link


def predicate(kind, operation, value):
    return {"type": kind, "operation": operation, "value": {"defaultValue": value, "dynamicValue": None}}


def key_filter(key, *predicates, kind="TIME_SERIES", value_type="NUMERIC"):
    one = predicates[0] if len(predicates) == 1 else {
        "type": "COMPLEX", "operation": "OR", "predicates": list(predicates)}
    return {"key": {"type": kind, "key": key}, "valueType": value_type, "predicate": one}


class Fleet:
    """Devices of a profile of their own, so that no other test's are found with them."""

    def __init__(self, tenant):
        self.tenant = tenant
        self.profile = tenant.new_profile()
        self.type = self.profile["name"]
        self.prefix = fresh("fleet")
        self.devices = {}

    def add(self, name, values=None, label=None, **attributes):
        device = self.tenant.new_device(name=f"{self.prefix}-{name}", label=label, deviceProfileId=self.profile["id"])
        self.devices[name] = device
        if values:
            self.write(name, values)
        if attributes:
            self.tenant.ok("POST", f"{device.data}/SERVER_SCOPE", attributes)
        return device

    def write(self, name, values, ts=None):
        body = {"ts": ts, "values": values} if ts else values
        self.tenant.ok("POST", f"{self.devices[name].data}/timeseries/ANY", body)

    @property
    def filter(self):
        return {"type": "deviceType", "deviceTypes": [self.type], "deviceNameFilter": ""}

    def query(self, *, entity_filter=None, link=None, **members):
        return {"entityFilter": entity_filter or self.filter, "pageLink": link or page()} | members

    def names(self, rows):
        by_id = {device.id: name for name, device in self.devices.items()}
        return [by_id.get(row["entityId"]["id"]) for row in rows]

    def find(self, **members):
        return self.names(self.tenant.ok("POST", "/api/entitiesQuery/find", self.query(**members))["data"])


@pytest.fixture(scope="module")
def fleet(tenant):
    fleet = Fleet(tenant)
    fleet.add("a", {"t": 10, "s": "on"}, label="north", floor=1, tested=True)
    fleet.add("b", {"t": 30.5, "s": "off"}, label="south", floor=2, tested=False)
    fleet.add("c", {"t": 20}, floor=10)
    fleet.add("d")
    return fleet


def test_a_page_is_found_with_fields_readings_and_attributes(tenant, fleet):
    tenant.ok("POST", f"{fleet.devices['a'].data}/timeseries/ANY", {"ts": 1_751_880_200_000, "values": {"old": 21.5}})
    query = fleet.query(
        link=page(size=2, sort=fields("name")[0]), entityFields=fields("name", "type", "label", "createdTime", "nothing"),
        latestValues=[*series("t", "old", "none"), {"type": "SERVER_ATTRIBUTE", "key": "floor"},
                      {"type": "ATTRIBUTE", "key": "tested"}, {"type": "CLIENT_ATTRIBUTE", "key": "floor"}])
    found = tenant.ok("POST", "/api/entitiesQuery/find", query)
    assert (found["totalElements"], found["totalPages"], found["hasNext"]) == (4, 2, True)
    assert fleet.names(found["data"]) == ["a", "b"]
    first, device = found["data"][0], fleet.devices["a"].body
    assert set(first) == {"entityId", "latest", "timeseries", "aggLatest"}
    assert first["entityId"] == device["id"]
    shown = {kind: {key: it["value"] for key, it in values.items()} for kind, values in first["latest"].items()}
    assert shown == {
        "ENTITY_FIELD": {"name": device["name"], "type": fleet.type, "label": "north",
                         "createdTime": str(device["createdTime"]), "nothing": ""},
        "TIME_SERIES": {"t": "10", "old": "21.5", "none": ""},
        "SERVER_ATTRIBUTE": {"floor": "1"}, "ATTRIBUTE": {"tested": "true"}, "CLIENT_ATTRIBUTE": {"floor": ""},
    }
    assert first["latest"]["TIME_SERIES"]["old"]["ts"] == 1_751_880_200_000
    assert first["latest"]["TIME_SERIES"]["none"]["ts"] == 0
    assert fleet.find(link=page(1, 2, sort=fields("name")[0])) == ["c", "d"]
    assert fleet.find(link=page(7, 2)) == []


def test_pages_are_sorted_and_searched(fleet):
    name = fields("name")[0]
    rows = [
        (page(sort=name, descending=True), ["d", "c", "b", "a"]),
        (page(), ["a", "b", "c", "d"]),
        (page(sort=fields("createdTime")[0], descending=True), ["d", "c", "b", "a"]),
        (page(sort=series("t")[0]), ["d", "a", "c", "b"]),
        (page(sort=series("t")[0], descending=True), ["b", "c", "a", "d"]),
        (page(sort={"type": "ATTRIBUTE", "key": "floor"}), ["d", "a", "b", "c"]),
        (page(search="SOUTH"), ["b"]),
        (page(search="south", sort=series("t")[0]), ["b"]),
        (page(search=f"{fleet.prefix}-c".upper()), ["c"]),
        (page(search="100%"), []),
        (page(1, 2, sort=series("t")[0]), ["c", "b"]),
    ]
    for link, expected in rows:
        assert fleet.find(link=link) == expected, link


def test_entities_are_found_by_every_filter(tenant, fleet):
    ids = {name: device.id for name, device in fleet.devices.items()}
    device = {"entityType": "DEVICE", "id": ids["a"]}
    customer = tenant.ok("POST", "/api/customer", {"title": fresh("customer")})
    for name in ("b", "c"):
        tenant.ok("POST", "/api/relation", {"from": device, "to": {"entityType": "DEVICE", "id": ids[name]},
                                            "type": "Contains" if name == "b" else "Manages"})
    other = tenant.new_profile()["name"]
    walk = {"type": "relationsQuery", "rootEntity": device, "direction": "FROM", "maxLevel": 1}
    rows = [
        ({"type": "singleEntity", "singleEntity": device}, ["a"]),
        ({"type": "singleEntity", "singleEntity": {"entityType": "DEVICE", "id": MISSING}}, []),
        ({"type": "entityList", "entityType": "DEVICE", "entityList": [ids["b"], MISSING, ids["a"], ids["a"]]},
         ["a", "b"]),
        ({"type": "entityName", "entityType": "DEVICE", "entityNameFilter": f"{fleet.prefix}-C"}, ["c"]),
        ({"type": "entityName", "entityType": "DEVICE", "entityNameFilter": fleet.prefix}, ["a", "b", "c", "d"]),
        (fleet.filter | {"deviceNameFilter": f"{fleet.prefix}-d"}, ["d"]),
        (fleet.filter | {"deviceTypes": [other, fleet.type]}, ["a", "b", "c", "d"]),
        (fleet.filter | {"deviceTypes": [other]}, []),
        ({"type": "deviceType", "deviceType": fleet.type}, ["a", "b", "c", "d"]),
        (walk, ["b", "c"]),
        (walk | {"filters": [{"relationType": "Contains", "entityTypes": ["DEVICE"]}]}, ["b"]),
        (walk | {"multiRoot": True, "multiRootEntitiesType": "DEVICE", "multiRootEntityIds": [ids["a"], ids["b"]]},
         ["b", "c"]),
        ({"type": "deviceSearchQuery", "rootEntity": device, "relationType": "Manages", "direction": "FROM",
          "deviceTypes": [fleet.type]}, ["c"]),
        ({"type": "entityType", "entityType": "ASSET"}, []),
    ]
    for entity_filter, expected in rows:
        assert fleet.find(entity_filter=entity_filter) == expected, entity_filter
        count = tenant.ok("POST", "/api/entitiesQuery/count", {"entityFilter": entity_filter})
        assert count == len(expected), entity_filter
    everything = tenant.ok("POST", "/api/entitiesQuery/count", {
        "entityFilter": {"type": "entityType", "entityType": "DEVICE"}})
    assert everything == tenant.ok("GET", "/api/tenant/devices?pageSize=1&page=0")["totalElements"]
    for kind, name in [("CUSTOMER", customer["title"]), ("DEVICE_PROFILE", fleet.type), ("USER", "tenant@thing"),
                       ("TENANT", "Tenant")]:
        query = {"entityFilter": {"type": "entityName", "entityType": kind, "entityNameFilter": name},
                 "pageLink": page(), "entityFields": fields("name", "entityType")}
        found = tenant.ok("POST", "/api/entitiesQuery/find", query)["data"]
        shown = [row["latest"]["ENTITY_FIELD"] for row in found]
        assert shown and all(it["name"]["value"].startswith(name) and it["entityType"]["value"] == kind for it in shown)


def test_key_filters_choose_by_value(tenant, fleet):
    number = lambda operation, value: predicate("NUMERIC", operation, value)  # noqa: E731
    text = lambda operation, value: predicate("STRING", operation, value)  # noqa: E731
    rows = [
        ([key_filter("t", number("GREATER", 10))], ["b", "c"]),
        ([key_filter("t", number("GREATER_OR_EQUAL", 10)), key_filter("t", number("LESS", 30))], ["a", "c"]),
        ([key_filter("t", number("EQUAL", 10), number("EQUAL", 20))], ["a", "c"]),
        ([key_filter("s", text("EQUAL", "on"), value_type="STRING")], ["a"]),
        ([key_filter("s", text("NOT_EQUAL", "on"), value_type="STRING")], ["b", "c", "d"]),
        ([key_filter("s", text("IN", "on,off"), value_type="STRING")], ["a", "b"]),
        ([key_filter("name", text("ENDS_WITH", "-d"), kind="ENTITY_FIELD", value_type="STRING")], ["d"]),
        ([key_filter("name", text("CONTAINS", "-A") | {"ignoreCase": True}, kind="ENTITY_FIELD")], ["a"]),
        ([key_filter("tested", predicate("BOOLEAN", "EQUAL", True), kind="ATTRIBUTE")], ["a"]),
        ([key_filter("tested", predicate("BOOLEAN", "NOT_EQUAL", True), kind="SERVER_ATTRIBUTE")], ["b", "c", "d"]),
        ([key_filter("floor", number("GREATER", 1), kind="SHARED_ATTRIBUTE")], []),
    ]
    for filters, expected in rows:
        assert fleet.find(keyFilters=filters) == expected, filters
        query = {"entityFilter": fleet.filter, "keyFilters": filters}
        assert tenant.ok("POST", "/api/entitiesQuery/count", query) == len(expected)
    either = [key_filter("t", number("LESS", 15)), key_filter("t", number("GREATER", 25))]
    assert fleet.find(keyFilters=either) == []
    assert fleet.find(keyFilters=either, keyFiltersOperation="OR") == ["a", "b"]
    assert fleet.find(keyFilters=[key_filter("t", number("GREATER", 10))], link=page(1, 1)) == ["c"]


def test_the_keys_of_what_is_found_are_told(tenant, fleet):
    path = "/api/entitiesQuery/find/keys"
    found = tenant.ok("POST", f"{path}?timeseries=true&attributes=true", fleet.query())
    assert found["entityTypes"] == ["DEVICE"] and {"s", "t"} <= set(found["timeseries"])
    assert {"floor", "tested", "active"} <= set(found["attribute"])
    assert tenant.ok("POST", f"{path}?timeseries=true", fleet.query())["attribute"] == []
    client = tenant.ok("POST", f"{path}?attributes=true&scope=CLIENT_SCOPE", fleet.query())
    assert (client["timeseries"], client["attribute"]) == ([], [])
    assert tenant.post(f"{path}?scope=MY_SCOPE", fleet.query()).status_code == 400


def test_questions_that_cannot_be_answered_are_refused(tenant, fleet):
    good = fleet.query()
    rows = [
        {}, {"entityFilter": fleet.filter}, good | {"entityFilter": {"type": "apiUsageState"}},
        good | {"entityFilter": {"type": "singleEntity"}}, good | {"pageLink": page(size=0)},
        good | {"pageLink": page(size=10_001)}, good | {"pageLink": page(number=-1)},
        good | {"latestValues": [{"type": "ALARM_FIELD", "key": "a"}]},
        good | {"keyFilters": [key_filter("t", predicate("NUMERIC", "CONTAINS", 1))]},
        good | {"keyFilters": [key_filter("t", predicate("NUMERIC", "LESS", "x"))]},
        good | {"keyFilters": [key_filter("t", predicate("MAGIC", "LESS", 1))]},
    ]
    for query in rows:
        answer = tenant.post("/api/entitiesQuery/find", query)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, 31), f"{query}: {answer.text}"


# Live.


class Talk:
    """Commands in the format of a path, answers by the number of their command."""

    def __init__(self, feed, path):
        self.feed, self.path = feed, path

    def send(self, kind, **command):
        message = {kind: [command]} if self.path == OLD else {"cmds": [command | {"type": NAMES[kind]}]}
        self.feed.send(message)

    def ask(self, kind, **command):
        self.send(kind, **command)
        return self.next(command["cmdId"])

    def next(self, number=5):
        answer = self.feed.next()
        assert answer["cmdId"] == number, answer
        return answer


@pytest.fixture(params=[OLD, NEW], ids=["old", "new"])
def talk(feed, request):
    return Talk(feed(request.param), request.param)


@pytest.fixture
def own_fleet(tenant):
    fleet = Fleet(tenant)
    fleet.add("a", {"t": 1})
    fleet.add("b", {"t": 2})
    return fleet


def changed(answer, kind="TIME_SERIES"):
    """{entity id: {key: value}} of an update."""
    assert answer["data"] is None and answer["cmdUpdateType"] == "ENTITY_DATA", answer
    return {row["entityId"]["id"]: {key: it["value"] for key, it in row["latest"].get(kind, {}).items()}
            for row in answer["update"]}


def test_the_first_answer_is_the_page_and_the_later_ones_what_changed(talk, tenant, own_fleet):
    fleet = own_fleet
    query = fleet.query(entityFields=fields("name"), latestValues=[*series("t"), {"type": "ATTRIBUTE", "key": "active"}])
    first = talk.ask("entityDataCmds", cmdId=5, query=query, latestCmd={"keys": [
        *series("t", "u"), {"type": "SERVER_ATTRIBUTE", "key": "floor"}]})
    assert (first["errorCode"], first["errorMsg"], first["update"]) == (0, None, None)
    assert (first["allowedEntities"], first["cmdUpdateType"]) == (10000, "ENTITY_DATA")
    assert {"totalPages": 1, "totalElements": 2, "hasNext": False}.items() <= first["data"].items()
    rows = first["data"]["data"]
    assert fleet.names(rows) == ["a", "b"]
    assert rows[0]["latest"]["TIME_SERIES"]["t"]["value"] == "1"
    assert rows[0]["latest"]["ATTRIBUTE"]["active"]["value"] == "false"
    a, b = fleet.devices["a"].id, fleet.devices["b"].id
    fleet.write("a", {"t": 5, "other": 1})
    assert changed(talk.next()) == {a: {"t": "5"}}
    fleet.write("b", {"t": 6.5, "u": "x"})
    assert changed(talk.next()) == {b: {"t": "6.5", "u": "x"}}
    fleet.write("a", {"other": 2})
    fleet.write("a", {"t": 0}, ts=5)
    tenant.ok("POST", f"{fleet.devices['b'].data}/SERVER_SCOPE", {"floor": 3})
    assert changed(talk.next(), "SERVER_ATTRIBUTE") == {b: {"floor": "3"}}, "other keys and older points are not told"
    tenant.ok("DELETE", f"/api/plugins/telemetry/{b}/SERVER_SCOPE?keys=floor")
    assert changed(talk.next(), "SERVER_ATTRIBUTE") == {b: {"floor": ""}}
    tenant.ok("DELETE", f"{fleet.devices['b'].data}/timeseries/delete?keys=u&deleteAllDataForKeys=true")
    assert changed(talk.next()) == {b: {"u": ""}}


def test_unsubscribed_commands_say_nothing_more(talk, own_fleet):
    fleet = own_fleet
    for number in (5, 6):
        talk.ask("entityDataCmds", cmdId=number, query=fleet.query(), latestCmd={"keys": series("t")})
    talk.send("entityDataUnsubscribeCmds", cmdId=5)
    # An answer to something later: what was sent before has been obeyed.
    talk.ask("entityCountCmds", cmdId=7, query={"entityFilter": fleet.filter})
    fleet.write("a", {"t": 7})
    assert changed(talk.next(6))
    fleet.write("a", {"t": 8})
    assert changed(talk.next(6))


def test_series_come_with_their_history_and_go_on(talk, own_fleet):
    fleet, start = own_fleet, 1_751_880_000_000
    for at in (0, 10, 20, 30):
        fleet.write("a", {"p": at}, ts=start + at)
    window = {"keys": ["p"], "startTs": start + 10, "timeWindow": 3_600_000_000_000, "limit": 100, "agg": "NONE"}
    first = talk.ask("entityDataCmds", cmdId=5, query=fleet.query(), tsCmd=window | {"fetchLatestPreviousPoint": True})
    points = first["data"]["data"][0]["timeseries"]["p"]
    assert [(it["ts"] - start, it["value"]) for it in points] == [(30, "30"), (20, "20"), (10, "10"), (0, "0")]
    assert first["data"]["data"][1]["timeseries"] == {"p": []}
    fleet.write("a", {"p": 40, "q": 1}, ts=start + 40)
    update = talk.next()["update"]
    assert [(row["entityId"]["id"], row["timeseries"]) for row in update] == [
        (fleet.devices["a"].id, {"p": [{"ts": start + 40, "value": "40"}]})]
    history = {"keys": ["p"], "startTs": start, "endTs": start + 40, "agg": "SUM", "interval": 40}
    folds = {"keys": [{"id": 3, "key": "p", "agg": "AVG", "previousStartTs": start, "previousEndTs": start + 20}],
             "startTs": start + 20, "endTs": start + 40}
    once = talk.ask("entityDataCmds", cmdId=6, query=fleet.query(), historyCmd=history, aggHistoryCmd=folds)
    row = once["data"]["data"][0]
    assert [it["value"] for it in row["timeseries"]["p"]] == ["60"]
    compared = {when: it["value"] for when, it in row["aggLatest"]["3"].items()}
    assert compared == {"current": "25.0", "previous": "5.0"}
    fleet.write("a", {"p": 50}, ts=start + 50)
    assert talk.next(5)["update"][0]["timeseries"]["p"][0]["value"] == "50", "a history is told once"


def test_a_command_without_a_query_changes_what_the_running_one_does(talk, own_fleet):
    fleet = own_fleet
    first = talk.ask("entityDataCmds", cmdId=5, query=fleet.query(entityFields=fields("name")))
    assert first["data"]["totalElements"] == 2
    begun = talk.ask("entityDataCmds", cmdId=5, latestCmd={"keys": series("t")})
    assert changed(begun) == {fleet.devices["a"].id: {"t": "1"}, fleet.devices["b"].id: {"t": "2"}}
    fleet.write("b", {"t": 9})
    assert changed(talk.next()) == {fleet.devices["b"].id: {"t": "9"}}
    added = talk.ask("entityDataCmds", cmdId=5, tsCmd={"keys": ["n"], "startTs": 1, "timeWindow": 1000})
    assert [row["timeseries"] for row in added["update"]] == [{"n": []}, {"n": []}]
    fleet.write("a", {"t": 3, "n": 4})
    update = talk.next()
    assert changed(update) == {fleet.devices["a"].id: {"t": "3"}}, "the latest values are still followed"
    assert update["update"][0]["timeseries"]["n"][0]["value"] == "4"
    refused = talk.ask("entityDataCmds", cmdId=99, latestCmd={"keys": series("t")})
    assert refused["errorCode"] == 2 and "query" in refused["errorMsg"]


def test_counts_and_dynamic_pages_follow_devices_that_come_and_go(talk, tenant, own_fleet):
    fleet = own_fleet
    counted = talk.ask("entityCountCmds", cmdId=7, query={"entityFilter": fleet.filter, "keyFilters": []})
    assert counted == {"cmdId": 7, "errorCode": 0, "errorMsg": None, "count": 2, "cmdUpdateType": "COUNT_DATA"}
    query = fleet.query(link=page(dynamic=True, sort=fields("name")[0]), entityFields=fields("name"))
    first = talk.ask("entityDataCmds", cmdId=5, query=query, latestCmd={"keys": series("t")})
    assert first["data"]["totalElements"] == 2
    fleet.add("c", {"t": 3})
    told = sorted((talk.feed.next(20) for _ in range(2)), key=lambda it: it["cmdId"])
    assert told[1]["count"] == 3
    assert fleet.names(told[0]["data"]["data"]) == ["a", "b", "c"]
    fleet.write("c", {"t": 4})
    assert changed(talk.next()) == {fleet.devices["c"].id: {"t": "4"}}
    tenant.ok("DELETE", f"/api/device/{fleet.devices['a'].id}")
    told = sorted((talk.feed.next(20) for _ in range(2)), key=lambda it: it["cmdId"])
    assert told[1]["count"] == 2 and fleet.names(told[0]["data"]["data"]) == ["b", "c"]


def test_a_customer_is_told_nothing_of_a_device_that_was_taken_away(subject, tenant, feed, own_fleet):
    """W-19."""
    fleet = own_fleet
    customer = tenant.ok("POST", "/api/customer", {"title": fresh("customer")})["id"]
    account = {"email": f"{fresh('user')}@example.org", "authority": "CUSTOMER_USER", "customerId": customer}
    user = new_user(tenant, account)[0]
    for device in fleet.devices.values():
        tenant.ok("POST", f"/api/customer/{customer['id']}/device/{device.id}")
    talk = Talk(feed(NEW, person=user), NEW)
    first = talk.ask("entityDataCmds", cmdId=5, query=fleet.query(), latestCmd={"keys": series("t")})
    assert first["data"]["totalElements"] == 2
    tenant.ok("DELETE", f"/api/customer/device/{fleet.devices['a'].id}")
    fleet.write("a", {"t": 5})
    fleet.write("b", {"t": 6})
    assert changed(talk.next()) == {fleet.devices["b"].id: {"t": "6"}}
    assert talk.ask("entityCountCmds", cmdId=6, query={"entityFilter": fleet.filter})["count"] == 1


def test_commands_that_cannot_be_obeyed_are_refused_in_their_own_form(talk, sysadmin, feed, own_fleet):
    good = own_fleet.query()
    rows = [
        ({"cmdId": 5}, 2), ({"cmdId": -5, "query": good}, 2), ({"cmdId": 5, "query": {}}, 2),
        ({"cmdId": 5, "query": 7}, 2), ({"cmdId": 5, "query": good | {"pageLink": page(size=0)}}, 2),
        ({"cmdId": 5, "query": good | {"entityFilter": {"type": "assetSearchQuery"}}}, 2),
        ({"cmdId": 5, "query": good, "latestCmd": {"keys": [{"type": "MAGIC", "key": "a"}]}}, 2),
        ({"cmdId": 5, "query": good, "tsCmd": {"startTs": 1, "timeWindow": 1}}, 2),
        ({"cmdId": 5, "query": good, "historyCmd": {"keys": ["a"], "startTs": 5, "endTs": 1}}, 2),
        ({"cmdId": 5, "query": good, "historyCmd": {"keys": ["a"], "startTs": 0, "endTs": 9999, "agg": "AVG",
                                                    "interval": 1}}, 2),
    ]
    for command, code in rows:
        answer = talk.ask("entityDataCmds", **command)
        assert (answer["errorCode"], answer["data"], answer["update"]) == (code, None, None), command
        assert answer["errorMsg"] and answer["cmdUpdateType"] == "ENTITY_DATA"
    answer = talk.ask("entityCountCmds", cmdId=5)
    assert (answer["errorCode"], answer["cmdUpdateType"]) == (2, "COUNT_DATA")
    denied = Talk(feed(talk.path, person=sysadmin), talk.path)
    assert denied.ask("entityDataCmds", cmdId=5, query=good)["errorCode"] == 3
    assert denied.ask("entityCountCmds", cmdId=6, query={"entityFilter": own_fleet.filter})["errorCode"] == 3
    assert talk.ask("entityDataCmds", cmdId=5, query=good)["errorCode"] == 0, "the session stays"


def test_questions_about_alarms_and_notices_find_none(feed):
    talk = feed(NEW)
    rows = [("ALARM_DATA", "data"), ("ALARM_COUNT", "count"), ("ALARM_STATUS", "active"),
            ("NOTIFICATIONS", "notifications"), ("NOTIFICATIONS_COUNT", "totalUnreadCount")]
    for number, (kind, member) in enumerate(rows):
        answer = talk.ask({"cmds": [{"type": kind, "cmdId": number, "query": {}}]})
        assert (answer["cmdId"], answer["errorCode"]) == (number, 0) and member in answer
        assert json.dumps(answer[member]) in ("0", "false", "[]") or answer[member]["totalElements"] == 0


def test_the_tenant_profile_bounds_these_commands_too(subject, sysadmin):
    """W-6, W-7: subscriptions of one user, whatever their generation."""
    other = sysadmin.ok("POST", "/api/tenantProfile", {"name": fresh("limits"), "profileData": {"configuration": {
        "type": "DEFAULT", "maxWsSubscriptionsPerTenant": 1, "wsUpdatesPerSessionRateLimit": "1:60"}}})
    new = sysadmin.ok("POST", "/api/tenant", {"title": fresh("tenant"), "tenantProfileId": other["id"]})
    account = {"email": f"{fresh('admin')}@example.org", "authority": "TENANT_ADMIN", "tenantId": new["id"]}
    admin = new_user(sysadmin, account)[0]
    fleet = Fleet(admin)
    fleet.add("a")
    with Feed(subject.url, NEW, admin.token) as session:
        talk = Talk(session, NEW)
        talk.ask("entityDataCmds", cmdId=5, query=fleet.query(), latestCmd={"keys": series("t")})
        refused = talk.ask("entityCountCmds", cmdId=6, query={"entityFilter": fleet.filter})
        assert refused["errorCode"] == 2 and "1" in refused["errorMsg"]
        fleet.write("a", {"t": 1})
        assert changed(talk.next())
        fleet.write("a", {"t": 2})
        fleet.write("a", {"t": 3})
        assert talk.next()["errorCode"] == 34, "said once, and the rest is left out"
        talk.send("entityDataUnsubscribeCmds", cmdId=5)
        assert talk.ask("entityCountCmds", cmdId=6, query={"entityFilter": fleet.filter})["count"] == 1


def test_the_python_client_asks_for_entities(subject, tenant, fleet):
    """The package of the newest version; one of the Java client's tests waits for the keys of a device."""
    client = RestClient(subject.url)
    client.login("tenant@thingsboard.org", "tenant")
    device = fleet.devices["a"]
    query = EntityDataQuery(
        entity_filter={"type": "singleEntity", "singleEntity": {"entityType": "DEVICE", "id": device.id}},
        page_link=EntityDataPageLink(page=0, page_size=10, dynamic=False, sort_order=EntityDataSortOrder(
            key=EntityKey(type="ENTITY_FIELD", key="name"), direction="ASC")),
        entity_fields=[EntityKey(type="ENTITY_FIELD", key="name")],
        latest_values=[EntityKey(type="TIME_SERIES", key="t")])
    api = client.entity_query_controller
    found = api.find_entity_data_by_query(body=query)
    assert found.total_elements == 1
    assert found.data[0].latest["ENTITY_FIELD"]["name"].value == device.body["name"]
    assert found.data[0].latest["TIME_SERIES"]["t"].value == "10"
    count = api.count_entities_by_query(body=EntityCountQuery(entity_filter=fleet.filter))
    assert count == 4
    until("the keys", lambda: "t" in api.find_available_entity_keys_by_query(
        body=query, timeseries=True, attributes=True).timeseries)
