"""Configuration over REST: ETag, If-Match, secrets, and what is refused with which field."""

from typing import Any

import pytest

from ccm_contracts.channels import CONFIG, EVENT
from ccm_contracts.config.services import Mqtt
from tests.integration.api.gateway import PASSWORD, Gateway
from tests.support.wait import until


async def _stored_mqtt(gw: Gateway) -> Mqtt:
    async for seen in gw.bus.follow(CONFIG["mqtt"], context={"unseal": gw.box.unseal}):
        if isinstance(seen.message, Mqtt):
            return seen.message
    raise AssertionError("no mqtt section")


async def test_section_is_replaced_against_its_etag_and_keeps_masked_secrets(gw: Gateway) -> None:
    headers = await gw.sign_in()
    got = await gw.http.get("/config/mqtt", headers=headers)
    assert got.json()["password"] == "********"
    assert "broker secret" not in got.text
    etag = got.headers["etag"]
    changed = {**got.json(), "enabled": True, "qos": 2}
    assert (await gw.http.put("/config/mqtt", headers=headers, json=changed)).status_code == 428
    put = await gw.http.put("/config/mqtt", headers=headers | {"If-Match": etag}, json=changed)
    assert put.status_code == 200, put.text
    assert put.headers["etag"] != etag
    stale = await gw.http.put("/config/mqtt", headers=headers | {"If-Match": etag}, json=changed)
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:ccmaster:problem:precondition-failed")
    again = await gw.http.get("/config/mqtt", headers=headers)
    assert (again.json()["qos"], again.headers["etag"]) == (2, put.headers["etag"])
    stored = await _stored_mqtt(gw)
    assert (stored.password.reveal(), stored.enabled) == ("broker secret", True)

    async def audited() -> dict[str, Any] | None:
        event = await gw.bus.last(EVENT, source="api", kind="config-changed")
        return event.data if event else None

    data = await until(audited, deadline_s=5, what="the config-changed event")
    assert data is not None
    assert (data["user"], data["section"]) == ("admin", "mqtt")
    assert "broker" not in str(data)


async def test_the_next_change_can_follow_at_once(gw: Gateway) -> None:
    headers = await gw.sign_in()
    etag = '"0"'
    for zone in ("Europe/Madrid", "Europe/Berlin", "UTC"):
        put = await gw.http.put("/config/timezone", headers=headers | {"If-Match": etag}, json=zone)
        assert put.status_code == 200, put.text
        etag = put.headers["etag"]
    assert (await gw.got("/info", headers))["timezone"] == "UTC"


@pytest.mark.parametrize(
    ("section", "body", "field"),
    [
        ("mqtt", {"qos": 3}, "mqtt.qos"),
        ("mqtt", {"colour": "blue"}, "mqtt.colour"),
        ("ftp", {"password": "********"}, "ftp.password"),
        ("timezone", "Mars/Olympus", "timezone"),
        ("gateway", {"serial": "OTHER", "model": "pro"}, "gateway.serial"),
        ("devices", [], "plants[0].production[0]"),
        ("ports", [], "devices[0].port"),
        ("plants", [{"id": "p", "production": ["nobody"], "grid": ["grid"]}], "plants[0].production[0]"),
        ("security", {"users": []}, "security.users"),
        (
            "security",
            {"users": [{"name": "a", "role": "admin", "password_hash": "short"}]},
            "security.users[0].password_hash",
        ),
    ],
)
async def test_wrong_section_is_refused_with_its_field(
    gw: Gateway, section: str, body: object, field: str
) -> None:
    headers = await gw.sign_in() | {"If-Match": "*"}
    put = await gw.http.put(f"/config/{section}", headers=headers, json=body)
    assert (put.status_code, put.json()["field"]) == (422, field)
    assert put.json()["errors"][0]["message"]


async def test_whole_document_shows_no_secret(gw: Gateway) -> None:
    headers = await gw.sign_in()
    got = await gw.http.get("/config", headers=headers)
    assert got.json()["sections"]["mqtt"]["password"] == "********"
    assert got.json()["revisions"]["mqtt"] == 5
    assert "broker secret" not in got.text
    assert PASSWORD not in got.text
    assert (await gw.http.get("/config/weather", headers=headers)).status_code == 404
