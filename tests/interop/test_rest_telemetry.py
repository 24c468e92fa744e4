"""The telemetry plugin of the REST API: written, read, aggregated and deleted as section 14 says."""

import time

import pytest

from rest import MISSING

T0 = 1_700_000_000_000


def save(device, body, path="timeseries/ANY", **options):
    answer = device.owner.post(f"{device.data}/{path}", body, **options)
    assert (answer.status_code, answer.content) == (200, b""), answer.text


@pytest.fixture(scope="module")
def series(tenant):
    """Ten readings a second apart: whole numbers, fractions, texts and booleans."""
    device = tenant.new_device()
    save(device, [
        {"ts": T0 + n * 1000, "values": {"n": n, "f": n + 0.5, "t": f"text {n}", "b": n % 2 == 0}}
        for n in range(10)])
    return device


def read(device, **query):
    return device.owner.ok("GET", f"{device.data}/values/timeseries", params=query)


def points(device, key="n", **query):
    found = read(device, **({"keys": key, "startTs": T0, "endTs": T0 + 10_000} | query))
    return [(point["ts"] - T0, point["value"]) for point in found.get(key, [])]


def test_history_is_newest_first_within_the_range(series):
    """14.3: start included, end not; limit per key."""
    assert points(series) == [(n * 1000, str(n)) for n in reversed(range(10))]
    assert points(series, orderBy="ASC") == [(n * 1000, str(n)) for n in range(10)]
    assert points(series, limit=3) == [(9000, "9"), (8000, "8"), (7000, "7")]
    assert points(series, startTs=T0 + 2000, endTs=T0 + 4000) == [(3000, "3"), (2000, "2")]
    assert points(series, startTs=T0 + 4000, endTs=T0 + 4000) == []
    assert set(read(series, keys="n,nothing", startTs=T0, endTs=T0 + 1)) == {"n"}, "T-11"
    both = read(series, keys="n,f", startTs=T0, endTs=T0 + 10_000, limit=2)
    assert [len(rows) for rows in both.values()] == [2, 2]
    other = series.owner.ok("GET", f"{series.data}/values/timeseries/history",
                            params={"keys": "n", "startTs": T0, "endTs": T0 + 10_000})
    assert len(other["n"]) == 10
    repeated = series.owner.ok(
        "GET", f"{series.data}/values/timeseries/history?key=n&key=f&startTs={T0}&endTs={T0 + 10_000}")
    assert set(repeated) == {"n", "f"}


def test_more_than_a_hundred_points_need_a_limit(tenant):
    device = tenant.new_device()
    save(device, [{"ts": T0 + n, "values": {"n": n}} for n in range(250)])
    assert len(points(device)) == 100
    assert len(points(device, limit=1000)) == 250


def test_strict_types_keep_json(series):
    strict = {"useStrictDataTypes": "true", "startTs": T0 + 4000, "endTs": T0 + 5000}
    values = {key: read(series, keys=key, **strict)[key][0]["value"] for key in ("n", "f", "t", "b")}
    assert values == {"n": 4, "f": 4.5, "t": "text 4", "b": True}
    loose = {key: rows[0]["value"] for key, rows in read(series, keys="n,f,t,b").items()}
    assert loose == {"n": "9", "f": "9.5", "t": "text 9", "b": "false"}


# key, agg, interval, expected: (middle of the bucket, value)
AGGREGATES = [
    ("n", "MIN", 5000, [(2500, "0"), (7500, "5")]),
    ("n", "MAX", 5000, [(2500, "4"), (7500, "9")]),
    ("n", "SUM", 5000, [(2500, "10"), (7500, "35")]),
    ("n", "AVG", 5000, [(2500, "2.0"), (7500, "7.0")]),
    ("n", "COUNT", 5000, [(2500, "5"), (7500, "5")]),
    ("f", "SUM", 10_000, [(5000, "50.0")]),
    ("f", "MIN", 10_000, [(5000, "0.5")]),
    ("f", "AVG", 10_000, [(5000, "5.0")]),
    ("n", "COUNT", 4000, [(2000, "4"), (6000, "4"), (9000, "2")]),
    ("n", "SUM", 3333, [(1666, "6"), (4999, "15"), (8332, "24")]),
    ("t", "MIN", 10_000, [(5000, "text 0")]),
    ("t", "MAX", 10_000, [(5000, "text 9")]),
    ("t", "COUNT", 10_000, [(5000, "10")]),
]


@pytest.mark.parametrize("row", AGGREGATES, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}")
def test_aggregates(series, row):
    """T-13, T-14: ascending, the middle of the bucket, cut at the end."""
    key, agg, interval, expected = row
    assert points(series, key, agg=agg, interval=interval) == expected


def test_empty_buckets_are_left_out(tenant):
    device = tenant.new_device()
    save(device, [{"ts": T0, "values": {"n": 1}}, {"ts": T0 + 9000, "values": {"n": 2}}])
    assert points(device, agg="SUM", interval=1000) == [(500, "1"), (9500, "2")]


def test_calendar_buckets(tenant):
    """intervalType WEEK, WEEK_ISO, MONTH, QUARTER in a time zone."""
    device = tenant.new_device()
    january = 1_704_067_200_000  # of 2024, UTC
    save(device, [{"ts": january + n * 86_400_000, "values": {"n": 1}} for n in range(60)])
    query = {"keys": "n", "startTs": january, "endTs": january + 60 * 86_400_000, "agg": "SUM",
             "timeZone": "UTC"}
    assert [it["value"] for it in read(device, intervalType="MONTH", **query)["n"]] == ["31", "29"]
    assert [it["value"] for it in read(device, intervalType="QUARTER", **query)["n"]] == ["60"]
    weeks = [it["value"] for it in read(device, intervalType="WEEK_ISO", **query)["n"]]
    assert weeks == ["7"] * 8 + ["4"], "2024 began on a Monday"
    # Nine hours east January ends nine hours earlier; so it begins within December.
    east = read(device, intervalType="MONTH", **(query | {"timeZone": "+09:00"}))["n"]
    assert [it["value"] for it in east] == ["31", "29"]
    west = read(device, intervalType="MONTH", **(query | {"timeZone": "-01:00"}))["n"]
    assert [it["value"] for it in west] == ["1", "31", "28"]


@pytest.mark.parametrize("query", [
    {"startTs": 5, "endTs": 4}, {"limit": -1}, {"agg": "MEDIAN"}, {"agg": "AVG", "interval": -5},
    {"orderBy": "UP"}, {"startTs": "x"}, {"agg": "SUM", "interval": 1}, {"intervalType": "YEAR", "agg": "SUM"},
    {"intervalType": "MONTH", "agg": "SUM", "timeZone": "Nowhere/City"}, {"keys": None},
], ids=str)
def test_bad_queries_are_told(series, query):
    """T-15, T-16; and a plain text where the body is no error object (1.7)."""
    query = {"keys": "n", "startTs": T0, "endTs": T0 + 10_000} | query
    answer = series.owner.get(f"{series.data}/values/timeseries", params=query)
    assert answer.status_code == 400 and answer.text.strip()


def test_latest_values(tenant, series):
    """T-10: a key without data is one point of null, now."""
    assert set(series.latest()) == {"n", "f", "t", "b"} == set(series.keys())
    point = series.latest("nothing")["nothing"][0]
    assert point["value"] is None and abs(point["ts"] - time.time() * 1000) < 60_000
    assert tenant.new_device().latest() == {}


def test_latest_is_the_newest_time_not_the_latest_write(tenant):
    device = tenant.new_device()
    for ts, value in ((T0 + 5, 1), (T0, 2), (T0 + 5, 3)):
        save(device, {"ts": ts, "values": {"n": value}})
    assert device.latest("n")["n"] == [{"ts": T0 + 5, "value": "3"}], "an equal time replaces"
    assert points(device) == [(5, "3"), (0, "2")]


# fact, JSON number or text as written, strict value
WRITTEN = [
    ("T-41", '"12"', 12), ("T-41", '"-0.5"', -0.5), ("T-41", '".5"', 0.5), ("T-41", '"007"', 7),
    ("T-41", '"1e3"', "1e3"), ("T-41", '"+5"', "+5"), ("T-41", '" 5"', " 5"), ("T-41", '"0x1F"', "0x1F"),
    ("T-43", "12", 12), ("T-43", "1e3", 1000), ("T-43", "1.5e3", 1500), ("T-43", "42.0", 42.0),
    ("T-43", "0.1", 0.1), ("T-43", "9223372036854775808", "9223372036854775808"),
    ("T-43", "0.30000000000000004", 0.30000000000000004),
    ("T-43", "0.12345678901234567", 0.12345678901234567),
    ("T-44", '{"a":[1]}', {"a": [1]}), ("T-44", "[1,2]", [1, 2]), ("bool", "true", True),
]


@pytest.mark.parametrize("row", WRITTEN, ids=lambda row: f"{row[0]} {row[1]}")
def test_typing_of_written_values(tenant, device, row):
    _, written, expected = row
    save(device, f'{{"k":{written}}}')
    found = device.value("k", strict=True)
    assert found == expected and type(found) is type(expected)
    save(device, f'{{"k":{written}}}', "SERVER_SCOPE")
    found = device.attributes("SERVER_SCOPE")["k"]
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("path", ["timeseries/ANY", "timeseries/ts", "timeseries/ANY?scope=ANY", "timeseries/ANY/0",
                                  "timeseries/ANY/86400"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
def test_any_content_type_is_json(device, path, kind):
    """G-2, X-3, X-4."""
    save(device, '{"k":1}', path, headers={"Content-Type": kind} if kind else {"Content-Type": ""})
    assert device.value("k") == "1"


def test_a_ttl_of_seconds_lets_readings_expire(tenant, device):
    """14.4: what is older than its life is not given out."""
    now = int(time.time() * 1000)
    save(device, {"ts": now - 3_600_000, "values": {"old": 1}}, "timeseries/ANY/60")
    save(device, {"ts": now - 3_600_000, "values": {"kept": 1}}, "timeseries/ANY/86400")
    assert device.history("old", now - 7_200_000, now) == []
    assert device.history("kept", now - 7_200_000, now) == [(now - 3_600_000, "1")]


BAD_BODIES = ["", "no json", "{}", "[]", "5", '"x"', "null", '{"a":null}', '{"":1}', '{" ":1}',
              '{"' + "k" * 256 + '":1}', '{"<b>":1}', '{"a\\u0000":1}', "[1]", '{"a":1', '[{"ts":"x","values":{"a":1}}]']


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:20])
@pytest.mark.parametrize("path", ["timeseries/ANY", "SERVER_SCOPE", "attributes/SHARED_SCOPE"])
def test_bad_bodies_are_told_in_plain_text(tenant, device, path, body):
    """T-4, T-40, T-42, 1.7."""
    answer = device.owner.post(f"{device.data}/{path}", body)
    assert answer.status_code == 400 and answer.text.strip()
    assert not answer.headers["Content-Type"].startswith("application/json")
    assert device.keys() == [] and device.attributes("SERVER_SCOPE").keys() <= {"active"}


# Attributes


@pytest.mark.parametrize("scope", ["SERVER_SCOPE", "SHARED_SCOPE"])
@pytest.mark.parametrize("form", ["{data}/{scope}", "{data}/attributes/{scope}",
                                  "/api/plugins/telemetry/{id}/{scope}"])
def test_attributes_are_written_read_and_deleted(tenant, device, scope, form):
    path = form.format(data=device.data, id=device.id, scope=scope)
    before = int(time.time() * 1000)
    body = {"a": 1, "b": "x", "c": True, "d": 2.5, "e": {"f": [1, None]}}
    answer = tenant.post(path, body)
    assert (answer.status_code, answer.content) == (200, b"")
    rows = tenant.ok("GET", f"{device.data}/values/attributes/{scope}?keys=a,b,c,d,e,nothing")
    assert [row["key"] for row in rows] == list("abcde"), "T-1: sorted by key"
    assert all(set(row) == {"lastUpdateTs", "key", "value"} and row["lastUpdateTs"] >= before for row in rows)
    assert {row["key"]: row["value"] for row in rows} == body
    assert set("abcde") <= set(tenant.ok("GET", f"{device.data}/keys/attributes/{scope}"))
    assert set("abcde") <= set(tenant.ok("GET", f"{device.data}/keys/attributes"))
    other = "SHARED_SCOPE" if scope == "SERVER_SCOPE" else "SERVER_SCOPE"
    assert not set("abcde") & set(tenant.ok("GET", f"{device.data}/keys/attributes/{other}"))
    everywhere = tenant.ok("GET", f"{device.data}/values/attributes?keys=a")
    assert [row["value"] for row in everywhere] == [1]
    by_key = tenant.ok("GET", f"{device.data}/values/attributes/{scope}?key=a&key=b")
    assert [row["key"] for row in by_key] == ["a", "b"]
    deleting = path.replace("/attributes/", "/")
    assert tenant.delete(f"{deleting}?keys=a,b,nothing").status_code == 200
    assert {"c", "d", "e"} == set(device.attributes(scope)) & set("abcde")
    assert tenant.delete(deleting).status_code == 400, "T-7"


def test_client_attributes_are_not_for_people_to_write(tenant, device):
    """T-3: but they may delete them."""
    for scope in ("CLIENT_SCOPE", "ANY_SCOPE"):
        assert tenant.post(f"{device.data}/{scope}", {"a": 1}).status_code == 400
    assert tenant.get(f"{device.data}/values/attributes/ANY_SCOPE").status_code == 400
    assert tenant.delete(f"{device.data}/CLIENT_SCOPE?keys=a").status_code == 200


# Deleting readings


def after_delete(tenant, **query):
    """What is left of readings at 0, 1, 2 s of key a (and of b) after a delete."""
    device = tenant.new_device()
    save(device, [{"ts": T0 + n * 1000, "values": {"a": n, "b": n}} for n in range(3)])
    query = {"keys": "a"} | query
    answer = tenant.delete(f"{device.data}/timeseries/delete", params=query)
    assert answer.status_code == 200, answer.text
    assert points(device, "b", orderBy="ASC") == [(0, "0"), (1000, "1"), (2000, "2")], "another key is untouched"
    left = points(device, "a", orderBy="ASC")
    return [n // 1000 for n, _ in left], device.latest("a")["a"][0]["value"]


@pytest.mark.parametrize("query, left, latest", [
    ({"deleteAllDataForKeys": "true"}, [], None),
    ({"startTs": T0 + 1000, "endTs": T0 + 2000}, [0, 2], "2"),
    ({"startTs": T0 + 2000, "endTs": T0 + 3000}, [0, 1], None),
    ({"startTs": T0 + 2000, "endTs": T0 + 3000, "rewriteLatestIfDeleted": "true"}, [0, 1], "1"),
    ({"startTs": T0 + 2000, "endTs": T0 + 3000, "deleteLatest": "false"}, [0, 1], "2"),
], ids=str)
def test_readings_are_deleted(tenant, query, left, latest):
    assert after_delete(tenant, **query) == (left, latest)


@pytest.mark.parametrize("query", [{}, {"keys": ""}, {"keys": "a"}, {"keys": "a", "startTs": 1},
                                   {"keys": "a", "endTs": 1}], ids=str)
def test_deletes_that_name_too_little_are_refused(device, query):
    answer = device.owner.delete(f"{device.data}/timeseries/delete", params=query)
    assert answer.status_code == 400 and answer.text.strip()


@pytest.mark.parametrize("identifier, status", [(MISSING, 404), ("x", 400)])
def test_unknown_devices_are_told(tenant, identifier, status):
    """T-45, G-16."""
    base = f"/api/plugins/telemetry/DEVICE/{identifier}"
    for path in ("keys/timeseries", "values/timeseries", "keys/attributes", "values/attributes/SERVER_SCOPE"):
        assert tenant.get(f"{base}/{path}").status_code == status
    assert tenant.post(f"{base}/timeseries/ANY", {"a": 1}).status_code == status
    assert tenant.post(f"{base}/SERVER_SCOPE", {"a": 1}).status_code == status
