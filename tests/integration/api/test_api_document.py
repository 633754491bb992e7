"""The whole configuration, settings and single devices over REST: ETags, fields at fault, all or none."""

import asyncio
from typing import Any

import pytest

from ccm_contracts.channels import CONFIG, EVENT
from ccm_contracts.config.services import Mqtt
from tests.integration.api.gateway import PASSWORD, Gateway
from tests.support.wait import until

NEW: dict[str, Any] = {"id": "m2", "port": "native", "model": "eastron/sdm630", "unit": 9}


async def tagged(gw: Gateway, path: str, headers: dict[str, str]) -> tuple[Any, dict[str, str]]:
    got = await gw.http.get(path, headers=headers)
    assert got.status_code == 200, got.text
    return got.json(), headers | {"If-Match": got.headers["etag"]}


async def test_what_get_answers_can_be_put_back_and_changes_nothing(gw: Gateway) -> None:
    headers = await gw.sign_in()
    before, match = await tagged(gw, "/config", headers)
    assert before["mqtt"]["password"] == "********"
    put = await gw.http.put("/config", headers=match, json=before)
    assert (put.status_code, put.headers["etag"]) == (200, match["If-Match"])
    assert put.json() == before


async def test_document_is_replaced_with_what_belongs_together_and_secrets_stay(gw: Gateway) -> None:
    headers = await gw.sign_in()
    document, match = await tagged(gw, "/config", headers)
    document["ports"].append({"id": "ext", "kind": "rs485", "path": "/dev/ttyUSB7"})
    document["devices"].append({**NEW, "port": "ext"})
    document["mqtt"]["qos"] = 2
    put = await gw.http.put("/config", headers=match, json=document)
    assert put.status_code == 200, put.text
    after, fresh = await tagged(gw, "/config", headers)
    assert (after, fresh["If-Match"]) == (put.json(), put.headers["etag"])
    assert [after["ports"][-1]["id"], after["devices"][-1]["id"]] == ["ext", "m2"]
    async for seen in gw.bus.follow(CONFIG["mqtt"], context={"unseal": gw.box.unseal}):
        assert isinstance(seen.message, Mqtt)
        assert (seen.message.password.reveal(), seen.message.qos) == ("broker secret", 2)
        break
    late = await gw.http.put("/config", headers=match, json=document)
    assert (late.status_code, late.json()["type"]) == (412, "urn:ccmaster:problem:precondition-failed")
    assert (await gw.http.put("/config", headers=headers, json=document)).status_code == 428


async def test_section_that_is_left_out_stays(gw: Gateway) -> None:
    headers = await gw.sign_in()
    before, match = await tagged(gw, "/config", headers)
    put = await gw.http.put("/config", headers=match, json={"timezone": "Europe/Madrid"})
    assert put.json() == {**before, "timezone": "Europe/Madrid"}


async def test_every_fault_is_told_at_once_and_nothing_is_changed(gw: Gateway) -> None:
    headers = await gw.sign_in()
    before, match = await tagged(gw, "/config", headers)
    bad = {**before, "timezone": "Mars/Olympus", "mqtt": {"qos": 3}, "ftp": {"password": "********"}}
    put = await gw.http.put("/config", headers=match, json={**bad, "historic": {"latency_s": 300}})
    assert put.status_code == 422
    assert [each["field"] for each in put.json()["errors"]] == ["mqtt.qos", "ftp.password", "timezone"]
    orphan = await gw.http.put("/config", headers=match, json={**before, "ports": []})
    assert (orphan.status_code, orphan.json()["field"]) == (422, "devices[0].port")
    strange = await gw.http.put("/config", headers=match, json={"weather": {}})
    assert (strange.status_code, strange.json()["field"]) == (422, "weather")
    assert await tagged(gw, "/config", headers) == (before, match)


async def test_preview_tells_what_would_change_and_changes_nothing(gw: Gateway) -> None:
    headers = await gw.sign_in()
    before, match = await tagged(gw, "/config", headers)
    wanted = {"timezone": "Europe/Madrid", "mqtt": {**before["mqtt"], "password": "another secret"}}
    preview = await gw.http.put("/config?preview=true", headers=match, json=wanted)
    assert (preview.status_code, preview.headers["etag"]) == (200, match["If-Match"])
    assert preview.json()["changes"] == [
        {"field": "mqtt.password", "kind": "changed", "before": "********", "after": "********"},
        {"field": "timezone", "kind": "changed", "before": "UTC", "after": "Europe/Madrid"},
    ]
    assert await tagged(gw, "/config", headers) == (before, match)
    wrong = await gw.http.put("/config?preview=true", headers=match, json={"timezone": "Mars/Olympus"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "timezone")


async def test_site_file_is_taken_as_yaml(gw: Gateway) -> None:
    headers = await gw.sign_in()
    before, match = await tagged(gw, "/config", headers)
    yaml = {**match, "Content-Type": "application/yaml"}
    file = "# our house\ntimezone: Europe/Madrid\nhistoric: {latency_s: 300}\n"
    put = await gw.http.put("/config", headers=yaml, content=file)
    assert put.status_code == 200, put.text
    assert put.json() == {
        **before,
        "timezone": "Europe/Madrid",
        "historic": {**before["historic"], "latency_s": 300},
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "timezone: [",
            "body: file:1: is not valid YAML: expected the node content, but found '<stream end>'",
        ),
        ("- timezone", "body: must be the sections of a configuration"),
        ("1: 2", "1: is not a section; known: gateway, ports"),
        ("", "body: must be the sections of a configuration"),
    ],
)
async def test_what_is_no_configuration_is_refused_as_a_file(gw: Gateway, text: str, why: str) -> None:
    headers = await gw.sign_in()
    _, match = await tagged(gw, "/config", headers)
    put = await gw.http.put("/config", headers={**match, "Content-Type": "application/yaml"}, content=text)
    assert put.status_code == 422
    assert put.json()["detail"].startswith(why)


async def test_document_races_with_a_section_and_one_of_them_wins_whole(gw: Gateway) -> None:
    headers = await gw.sign_in()
    for attempt in range(5):
        document, match = await tagged(gw, "/config", headers)
        alias = f"House {attempt}"
        document["gateway"]["alias"] = alias
        document["timezone"] = "Europe/Lisbon" if attempt % 2 else "Europe/Oslo"
        zone = "Asia/Tokyo" if attempt % 2 else "Asia/Seoul"
        whole, section = await asyncio.gather(
            gw.http.put("/config", headers=match, json=document),
            gw.http.put("/config/timezone", headers=headers | {"If-Match": "*"}, json=zone),
        )
        after, _ = await tagged(gw, "/config", headers)
        assert {whole.status_code, section.status_code} <= {200, 412}
        assert (after["gateway"]["alias"] == alias) == (whole.status_code == 200)
        if whole.status_code == 412:
            assert after["timezone"] == zone


@pytest.mark.parametrize("name", ["timezone", "historic"])
async def test_settings_are_the_sections_by_another_path(gw: Gateway, name: str) -> None:
    headers = await gw.sign_in()
    section, _ = await tagged(gw, f"/config/{name}", headers)
    settings, match = await tagged(gw, f"/settings/{name}", headers)
    assert settings == section
    assert (await gw.http.put(f"/settings/{name}", headers=headers, json=settings)).status_code == 428
    put = await gw.http.put(f"/settings/{name}", headers=match, json=settings)
    assert put.status_code == 200, put.text
    assert (await gw.http.put(f"/settings/{name}", headers=match, json=settings)).status_code == 412


async def test_a_user_is_added_under_settings_and_signs_in(gw: Gateway) -> None:
    headers = await gw.sign_in()
    security, match = await tagged(gw, "/settings/security", headers)
    assert {each["password_hash"] for each in security["users"]} <= {"********"}
    security["users"] += [
        {"name": "chief", "role": "admin", "password_hash": PASSWORD},
        {"name": "olga", "role": "operator", "password_hash": "another long secret"},
    ]
    put = await gw.http.put("/settings/security", headers=match, json=security)
    assert put.status_code == 200, put.text
    olga = await gw.sign_in("olga", "another long secret")
    assert (await gw.http.get("/settings/security", headers=olga)).status_code == 403
    chief = await gw.sign_in("chief")
    wrong = await gw.http.put("/settings/timezone", headers=chief | {"If-Match": "*"}, json="Mars/Olympus")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "timezone")


async def test_device_is_added_changed_and_removed(gw: Gateway) -> None:
    headers = await gw.sign_in()
    post = await gw.http.post("/devices", headers=headers, json=NEW)
    assert (post.status_code, post.headers["location"]) == (201, "/api/v1/devices/m2")
    assert post.json()["poll_s"] == 1
    shown, match = await tagged(gw, "/devices/m2", headers)
    assert (shown["model"], match["If-Match"]) == ("eastron/sdm630", post.headers["etag"])
    assert (await gw.http.patch("/devices/m2", headers=headers, json={"poll_s": 5})).status_code == 428
    patch = await gw.http.patch("/devices/m2", headers=match, json={"poll_s": 5, "alias": "Cellar"})
    assert (patch.status_code, patch.json()["poll_s"], patch.json()["unit"]) == (200, 5, 9)
    assert (await gw.http.delete("/devices/m2", headers=match)).status_code == 412
    fresh = headers | {"If-Match": patch.headers["etag"]}
    assert (await gw.http.delete("/devices/m2", headers=fresh)).status_code == 204
    assert (await gw.http.get("/devices/m2", headers=headers)).status_code == 404

    async def audited() -> str | None:
        event = await gw.bus.last(EVENT, source="api", kind="config-changed")
        return event.message if event and "removed" in event.message else None

    assert await until(audited, deadline_s=5, what="the event") == "admin: removed m2"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"unit": 1}, "unit"),
        ({"unit": 300}, "unit"),
        ({"id": "grid"}, "id"),
        ({"id": "Not a slug"}, "id"),
        ({"port": "nowhere"}, "port"),
        ({"port": None}, ""),
        ({"poll_s": 0.01}, "poll_s"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_wrong_device_is_refused_with_its_own_field(
    gw: Gateway, change: dict[str, Any], field: str
) -> None:
    headers = await gw.sign_in()
    post = await gw.http.post("/devices", headers=headers, json=NEW | change)
    assert (post.status_code, post.json()["errors"][0]["field"]) == (422, field), post.text
    assert "\n" not in post.json()["detail"]
    stale = await gw.http.post("/devices", headers=headers | {"If-Match": '"999"'}, json=NEW)
    assert stale.status_code == 412


async def test_device_of_a_plant_cannot_be_removed_nor_get_another_id(gw: Gateway) -> None:
    headers = await gw.sign_in() | {"If-Match": "*"}
    gone = await gw.http.delete("/devices/grid", headers=headers)
    assert (gone.status_code, gone.json()["field"]) == (422, "plants[0].grid[0]")
    renamed = await gw.http.patch("/devices/grid", headers=headers, json={"id": "mains"})
    assert (renamed.status_code, renamed.json()["field"]) == (422, "id")
    assert (await gw.http.patch("/devices/nobody", headers=headers, json={})).status_code == 404


async def test_device_that_takes_a_later_ones_unit_is_at_fault_itself(gw: Gateway) -> None:
    headers = await gw.sign_in() | {"If-Match": "*"}
    for name, unit in (("m8", 8), ("m9", 9)):
        assert (
            await gw.http.post("/devices", headers=headers, json={**NEW, "id": name, "unit": unit})
        ).status_code == 201
    taken = await gw.http.patch("/devices/m8", headers=headers, json={"unit": 9})
    assert (taken.status_code, taken.json()["field"]) == (422, "unit")
    assert taken.json()["detail"].endswith("by m9")


async def test_many_devices_added_at_once_are_all_there(gw: Gateway) -> None:
    headers = await gw.sign_in()
    bodies = [{**NEW, "id": f"m{unit}", "unit": unit} for unit in (20, 21, 22)]
    answers = await asyncio.gather(*(gw.http.post("/devices", headers=headers, json=body) for body in bodies))
    assert [each.status_code for each in answers] == [201, 201, 201]
    ids = [each["id"] for each in (await gw.got("/devices", headers))["devices"]]
    assert set(ids) >= {"m20", "m21", "m22"}
