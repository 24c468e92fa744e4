"""Relations between entities (REST API 18.1), by every spelling, and ThingsBoard's own client."""

import pytest
from tb_rest_client.models import (DeviceSearchQuery, EntityId, EntityRelation, EntityRelationsQuery,
                                   RelationEntityTypeFilter, RelationsSearchParameters)
from tb_rest_client.rest_client import RestClient

from rest import MISSING, Person, fresh


def ref(device):
    return {"entityType": "DEVICE", "id": device.id}


def relation(start, end, kind="Contains", **members):
    return {"from": ref(start), "to": ref(end), "type": kind, "typeGroup": "COMMON"} | members


def key(start, end, kind="Contains"):
    return f"?fromId={start.id}&fromType=DEVICE&relationType={kind}&toId={end.id}&toType=DEVICE"


def names(found):
    return sorted((row["type"], row["to"]["id"]) for row in found)


@pytest.fixture
def family(tenant):
    """A gateway that made two devices known and contains one of them."""
    gateway, one, other = (tenant.new_device() for _ in range(3))
    for body in (relation(gateway, one, "Created"), relation(gateway, other, "Created"), relation(gateway, one)):
        assert tenant.ok("POST", "/api/relation", body) == "", "the answer is empty"
    return gateway, one, other


def test_a_relation_is_saved_and_read_back(tenant):
    start, end = tenant.new_device(), tenant.new_device()
    body = relation(start, end, additionalInfo={"how": ["closely"]})
    saved = tenant.ok("POST", "/api/v2/relation", body)
    assert saved == body | {"version": 1}
    assert tenant.ok("GET", "/api/relation" + key(start, end)) == saved
    again = tenant.ok("POST", "/api/v2/relation", saved | {"additionalInfo": None})
    assert (again["version"], again["additionalInfo"]) == (2, None)
    stale = tenant.post("/api/v2/relation", saved)
    assert (stale.status_code, stale.json()["errorCode"]) == (409, 35), "G-31"
    assert tenant.ok("POST", "/api/v2/relation", body)["version"] == 3, "G-32: without a version it is overwritten"
    assert tenant.get("/api/relation" + key(end, start)).status_code == 404, "the other direction is another one"


def test_relations_are_found_by_either_end_in_every_spelling(tenant, family):
    gateway, one, other = family
    created = sorted([("Created", one.id), ("Created", other.id)])
    everything = sorted([*created, ("Contains", one.id)])
    rows = [
        (f"?fromId={gateway.id}&fromType=DEVICE", everything),
        (f"?fromId={gateway.id}&fromType=DEVICE&relationType=Created", created),
        (f"?fromId={gateway.id}&fromType=DEVICE&relationTypeGroup=COMMON", everything),
        (f"?fromId={gateway.id}&fromType=DEVICE&relationTypeGroup=DASHBOARD", []),
        (f"?toId={one.id}&toType=DEVICE", [("Contains", one.id), ("Created", one.id)]),
        (f"?toId={gateway.id}&toType=DEVICE", []),
        (f"/from/DEVICE/{gateway.id}", everything),
        (f"/to/DEVICE/{other.id}", [("Created", other.id)]),
    ]
    for rest, expected in rows:
        found = tenant.ok("GET", "/api/relations" + rest)
        assert names(found) == expected, rest
        assert all("fromName" not in row for row in found)
        info = tenant.ok("GET", "/api/relations/info" + rest)
        assert names(info) == expected, rest
        by_id = {device.id: device.body["name"] for device in family}
        assert all(row["fromName"] == by_id[gateway.id] and row["toName"] == by_id[row["to"]["id"]] for row in info)
    assert names(tenant.ok("GET", f"/api/relations/from/DEVICE/{gateway.id}/Created")) == created
    assert names(tenant.ok("GET", f"/api/relations/to/DEVICE/{one.id}/Contains")) == [("Contains", one.id)]


def test_relations_are_deleted_one_by_one_all_at_once_and_with_their_entity(tenant, family):
    """L-2."""
    gateway, one, other = family
    assert tenant.ok("DELETE", "/api/relation" + key(gateway, one)) == ""
    assert tenant.delete("/api/relation" + key(gateway, one)).status_code == 404, "G-54"
    assert tenant.ok("DELETE", "/api/v2/relation" + key(gateway, one, "Created"))["type"] == "Created"
    listed = f"/api/relations/from/DEVICE/{gateway.id}"
    assert names(tenant.ok("GET", listed)) == [("Created", other.id)]
    tenant.ok("DELETE", f"/api/device/{other.id}")
    assert tenant.ok("GET", listed) == []
    tenant.ok("POST", "/api/relation", relation(gateway, one))
    tenant.ok("POST", "/api/relation", relation(one, gateway))
    tenant.ok("DELETE", f"/api/relations?entityId={one.id}&entityType=DEVICE")
    assert tenant.ok("GET", listed) == tenant.ok("GET", f"/api/relations/to/DEVICE/{gateway.id}") == []


def test_relations_are_followed_level_by_level(tenant):
    top, middle, bottom, aside = (tenant.new_device() for _ in range(4))
    for start, end, kind in [(top, middle, "Contains"), (middle, bottom, "Contains"), (top, aside, "Manages"),
                             (bottom, top, "Contains")]:
        tenant.ok("POST", "/api/relation", relation(start, end, kind))

    def walk(root, *filters, **parameters):
        parameters = {"rootId": root.id, "rootType": "DEVICE", "direction": "FROM", "maxLevel": 0} | parameters
        body = {"parameters": parameters, "filters": list(filters)}
        found = tenant.ok("POST", "/api/relations", body)
        info = tenant.ok("POST", "/api/relations/info", body)
        assert [row["toName"] is not None for row in info] == [True] * len(found)
        return {(row["from"]["id"], row["to"]["id"]) for row in found}

    a, b, c, d = ((top.id, middle.id), (middle.id, bottom.id), (bottom.id, top.id), (top.id, aside.id))
    contains = {"relationType": "Contains", "entityTypes": ["DEVICE"]}
    assert walk(top) == {a, b, c, d}, "a circle ends"
    assert walk(top, maxLevel=1) == {a, d}
    assert walk(top, contains, maxLevel=2) == {a, b}
    assert walk(top, contains | {"negate": True}) == {d}
    assert walk(top, contains, maxLevel=2, fetchLastLevelOnly=True) == {b}
    assert walk(top, {"relationType": "Contains", "entityTypes": ["CUSTOMER"]}) == set()
    assert walk(middle, direction="TO", maxLevel=1) == {a}
    wrong = {"parameters": {"rootId": top.id, "rootType": "DEVICE", "direction": "UP", "maxLevel": 1}}
    assert tenant.post("/api/relations", wrong).status_code == 400


def test_what_cannot_be_related_is_refused(tenant, device):
    other = tenant.new_device()
    nowhere = {"entityType": "DEVICE", "id": MISSING}
    good = relation(device, other)
    rows = [
        (good | {"to": nowhere}, 404),
        (good | {"from": nowhere}, 404),
        (good | {"type": ""}, 400),
        (good | {"type": "x" * 256}, 400),
        (good | {"type": "<b>x</b>"}, 400),
        (good | {"typeGroup": "FAMILY"}, 400),
        (good | {"to": {"id": other.id}}, 400),
        (good | {"to": {"entityType": "ASSET", "id": other.id}}, 400),
        ({"from": ref(device)}, 400),
    ]
    for body, status in rows:
        answer = tenant.post("/api/relation", body)
        assert (answer.status_code, answer.json()["status"]) == (status, status), f"{body}: {answer.text}"
    for query in ("", f"?fromId={device.id}", f"?fromId={device.id}&fromType=PUMP", "?toType=DEVICE"):
        assert tenant.get("/api/relations" + query).status_code == 400, query
    assert tenant.get("/api/relation" + key(device, other)[:-16]).status_code == 400
    assert tenant.get(f"/api/relations/from/DEVICE/{MISSING}").status_code == 404


@pytest.mark.process
def test_relations_survive_a_restart(own):
    server = own().start()
    admin = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    start, end = admin.new_device(), admin.new_device()
    saved = admin.ok("POST", "/api/v2/relation", relation(start, end, additionalInfo={"a": 1}))
    server.kill()
    server.restart()
    admin = Person.login(server.url, "tenant@thingsboard.org", "tenant")
    assert admin.ok("GET", "/api/relation" + key(start, end)) == saved


def test_the_python_client_reads_and_writes_relations(subject, tenant):
    """The package of the newest version, as its gateway tests use it."""
    client = RestClient(subject.url)
    client.login("tenant@thingsboard.org", "tenant")
    gateway, one = tenant.new_device(name=fresh("gateway")), tenant.new_device(name=fresh("part"))
    start, end = (EntityId(entity_type="DEVICE", id=it.id) for it in (gateway, one))
    saved = client.save_relation(EntityRelation(_from=start, to=end, type="Created", type_group="COMMON"))
    assert (saved.type, saved.version, saved.to.id) == ("Created", 1, one.id)
    assert client.get_relation(start, "Created", end).type == "Created"
    assert [row.to.id for row in client.entity_relation_controller.find_entity_relations_by_from(
        "DEVICE", gateway.id)] == [one.id]
    assert [row.to_name for row in client.find_info_by_from(start)] == [one.body["name"]]
    assert len(client.find_by_to(end, "Created")) == 1
    query = EntityRelationsQuery(
        parameters=RelationsSearchParameters(root_id=gateway.id, root_type="DEVICE", direction="FROM", max_level=1,
                                             relation_type_group="COMMON", fetch_last_level_only=False),
        filters=[RelationEntityTypeFilter(relation_type="Created", entity_types=["DEVICE"])])
    assert [row.to.id for row in client.find_by_query_v3(query)] == [one.id]
    search = DeviceSearchQuery(
        parameters=RelationsSearchParameters(root_id=gateway.id, root_type="DEVICE", direction="FROM", max_level=1),
        relation_type="Created", device_types=["default"])
    assert [device.id.id for device in client.find_by_query_v1(search)] == [one.id]
    search.device_types = ["another"]
    assert client.find_by_query_v1(search) == []
    assert client.delete_relation(start, "Created", end).type == "Created"
    client.delete_relations(start)
    assert client.find_by_to(end, "Created") == []
