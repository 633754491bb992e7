"""Configuration over REST: ETag, If-Match, secrets, and what is refused with which field."""

from typing import Any

import pytest

from ccm_contracts.channels import CONFIG, EVENT
from ccm_contracts.config.services import Mqtt
from ccm_contracts.messages import Command
from ccm_contracts.verb_table import CATALOG
from ccm_contracts.verbs.bus_reader import CatalogList, CatalogModel, CatalogQuery
from ccm_kit.bus import Answer
from ccm_kit.errors import BadInputError
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
    assert got.json()["mqtt"]["password"] == "********"
    assert "broker secret" not in got.text
    assert PASSWORD not in got.text
    assert (await gw.http.get("/config/weather", headers=headers)).status_code == 404


async def test_models_that_do_not_exist_and_native_devices_beyond_wifi_are_refused(gw: Gateway) -> None:
    asked: list[str | None] = []

    async def catalog(args: CatalogQuery, _: Command[CatalogQuery]) -> CatalogList:
        asked.append(args.model)
        if args.model != "energyccm/ccm4":
            raise BadInputError(
                f"{args.model!r} is not a model of the catalogue; did you mean energyccm/ccm4?"
            )
        about = dict.fromkeys(("type", "brand", "device_class", "series", "model", "protocol", "source"), "x")
        return CatalogList(models=[CatalogModel(id=args.model, native=True, secondaries=2, **about)])

    await gw.bus.serve(Answer(CATALOG, catalog))
    headers = await gw.sign_in() | {"If-Match": "*"}
    there = await gw.got("/config/devices", headers)

    async def refusal(*devices: dict[str, object]) -> tuple[int, str]:
        put = await gw.http.put("/config/devices", headers=headers, json=[*there, *devices])
        return put.status_code, put.json()["detail"]

    new: dict[str, object] = {"host": "192.0.2.1", "unit": 1}
    status, detail = await refusal({**new, "id": "typo", "model": "energyccm/ccm44"})
    assert (status, detail.partition(": ")[0]) == (422, f"devices[{len(there)}].model")
    assert "did you mean energyccm/ccm4?" in detail
    ccms = [
        {**new, "id": f"w{at}", "host": f"198.51.100.{at}", "model": "energyccm/ccm4"} for at in range(1, 12)
    ]
    assert await refusal(*ccms) == (
        422,
        f"devices[{len(there) + 10}].host: by WiFi at most 10 native devices are read",
    )
    behind = {**ccms[0], "id": "s", "secondary": {"via": "w1", "index": 3}}
    assert await refusal(ccms[0], behind) == (
        422,
        f"devices[{len(there) + 1}].secondary.index: energyccm/ccm4 has at most 2 secondary devices",
    )
    put = await gw.http.put("/config/devices", headers=headers, json=[*there, *ccms[:10]])
    assert put.status_code == 200, put.text
    assert asked.count("energyccm/ccm4") == 4
