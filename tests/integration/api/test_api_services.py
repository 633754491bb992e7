"""The MQTT service over REST: the section by its menu's name, and the test of settings before they are saved."""

import pytest

from ccm_contracts.config.services import Mqtt
from ccm_contracts.messages import Command
from ccm_contracts.verb_table import MQTT_TEST
from ccm_contracts.verbs.uplink import LinkTest, LinkTestReport, LinkTestStep
from ccm_kit.bus import Answer
from tests.integration.api.gateway import Gateway, bus_of
from tests.support.nats import NatsServer


async def test_mqtt_section_is_the_same_by_both_paths(gw: Gateway) -> None:
    headers = await gw.sign_in()
    got = await gw.http.get("/services/mqtt", headers=headers)
    whole = await gw.http.get("/config/mqtt", headers=headers)
    assert (got.json(), got.headers["etag"]) == (whole.json(), whole.headers["etag"])
    changed = {**got.json(), "prefix_sub": "/plant/srv", "prefix_pub": "/plant/dev"}
    assert (await gw.http.put("/services/mqtt", headers=headers, json=changed)).status_code == 428
    put = await gw.http.put(
        "/services/mqtt", headers=headers | {"If-Match": got.headers["etag"]}, json=changed
    )
    assert put.status_code == 200, put.text
    assert (await gw.got("/config/mqtt", headers))["prefix_sub"] == "/plant/srv"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prefix_sub": "/a", "prefix_pub": "/a"}, "mqtt"),
        ({"prefix_sub": "no-slash"}, "mqtt.prefix_sub"),
        ({"host": "tcp://broker"}, "mqtt.host"),
        ({"latency_s": 30}, "mqtt.latency_s"),
        ({"allow": ["everything"]}, "mqtt.allow[0]"),
    ],
)
async def test_bad_settings_are_refused_before_they_are_tried(
    gw: Gateway, change: dict[str, object], field: str
) -> None:
    headers = await gw.sign_in()
    answer = await gw.http.post("/services/mqtt/test", headers=headers, json=change)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


async def test_settings_are_tried_by_uplink_with_the_stored_secret_sealed(
    gw: Gateway, nats: NatsServer
) -> None:
    seen: list[LinkTest] = []

    async def tried(args: LinkTest, _: Command[LinkTest]) -> LinkTestReport:
        seen.append(args)
        return LinkTestReport(ok=True, steps=[LinkTestStep(step="name", outcome="ok", text="found")])

    headers = await gw.sign_in()
    stored = (await gw.http.get("/services/mqtt", headers=headers)).json()
    async with bus_of(nats, "uplink") as bus:
        await bus.serve(Answer(MQTT_TEST, tried))
        body = {**stored, "host": "mqtt://b.example"}
        answer = await gw.http.post("/services/mqtt/test", headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["steps"][0]["text"] == "found"
    assert seen[0].settings["password"].startswith("enc:v1:")
    found = Mqtt.model_validate(seen[0].settings, context={"unseal": gw.box.unseal})
    assert (found.hostname, found.password.reveal()) == ("b.example", "broker secret")
