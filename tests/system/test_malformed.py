"""A malformed message on any subject: the service goes on, and its `rejected` events show the message."""

import asyncio
from collections.abc import Iterator

import pytest

from ccm_contracts.channels import CHANNELS, EVENT, Channel
from ccm_contracts.verb_table import VERBS
from ccm_kit.bus import Bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from tests.support.gateway import Gateway, gateway
from tests.support.wait import LEAST_S, until

pytestmark = pytest.mark.system
GATEWAY = "CCM000123"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("malformed")
    with gateway(["demo"], directory / "data", directory / "demo.log") as running:
        yield running


def subject_of(channel: "Channel[object]") -> str:
    ids = dict.fromkeys(("device", "plant", "source", "kind", "id"), "probe")
    free = {name: value for name, value in ids.items() if name not in channel.fixed}
    return channel.subject(gw=GATEWAY, **{k: v for k, v in free.items() if f"{{{k}}}" in channel.pattern})


async def test_malformed_messages_are_reported_and_survived(demo: Gateway) -> None:
    before = {part: demo.pid_of(part) for part in ("bus-reader", "solar", "uplink", "io", "api")}
    password = demo.admin_password()
    async with NatsLink(demo.nats_url, user="admin", password=password, name="admin") as link:
        bus = Bus(link, service="api", gateway=GATEWAY, clock=SystemClock(), version="0")
        rejected: set[tuple[str, str]] = set()

        async def watch() -> None:
            consumer = bus.consumer("test-rejected", EVENT)
            while True:
                for delivery in await consumer.fetch(100, 1.0):
                    event = delivery.message
                    if event.kind == "rejected":
                        rejected.add((event.source, event.data["subject"]))
                    await delivery.ack()

        watching = asyncio.create_task(watch())
        for channel in CHANNELS:
            await link.publish(subject_of(channel), b'{"not": "what it should be')
        for verb in VERBS:
            await link.request(verb.subject(GATEWAY), b"[]", LEAST_S)
        wanted = {
            ("solar", f"ccm.{GATEWAY}.telemetry.probe"),
            ("uplink", f"ccm.{GATEWAY}.telemetry.probe"),
            ("uplink", f"ccm.{GATEWAY}.plant.probe"),
            ("uplink", f"ccm.{GATEWAY}.event.probe.probe"),
            ("api", f"ccm.{GATEWAY}.telemetry.probe"),
            ("bus-reader", f"$KV.ccm_config.{GATEWAY}.devices"),
            ("solar", f"$KV.ccm_config.{GATEWAY}.plants"),
            ("io", f"$KV.ccm_config.{GATEWAY}.outputs"),
            ("uplink", f"$KV.ccm_config.{GATEWAY}.mqtt"),
            *((verb.service, verb.subject(GATEWAY)) for verb in VERBS),
        }
        await until(lambda: wanted <= rejected, deadline_s=15, what=f"{wanted} in rejected events")
        watching.cancel()
    assert {part: demo.pid_of(part) for part in before} == before
    await until(
        lambda: (demo.get("/devices/grid/data") or {"age_s": 99})["age_s"] < 3,
        deadline_s=10,
        what="readings to go on",
    )
