"""A link of 20 kbit/s with a backlog: what is new is seen within seconds, and the backlog goes on beside it."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from ccm_contracts.config.services import Mqtt
from ccm_kit.bus import Bus
from ccm_uplink.intake import BEHIND_S
from tests.integration.uplink.site import (
    configure,
    link_state,
    on_bus,
    publish,
    reading,
    refused,
    uplink_process,
)
from tests.support.mosquitto import Access, Mosquitto, Subscriber, subscriber
from tests.support.nats import NatsServer
from tests.support.proxy import proxy
from tests.support.wait import every, stays, until

BYTES_S: Final = 2500
"""20 kbit/s."""
BACKLOG: Final = 3000
"""Readings of 20 metrics, 1 MB: what a device with a latency of 30 s owes after a day, and 7 minutes of this link."""
WATCHED_S: Final = float(os.environ.get("CCM_SLOW_S", "20"))
YOUNG: Final = 30
"""At most so many of the live readings, one each second, are on their way."""


def _numbers(listener: Subscriber, device: str) -> list[int]:
    return [json.loads(message.payload)["seq"] for message in listener.on(f"/ccm/srv/telemetry/{device}")]


async def _measure_each_second(reader: Bus, sent: list[datetime]) -> None:
    async for number in every(1.0):
        sent.append(datetime.now(UTC))
        await publish(reader, reading(number, "live", ts=sent[-1]))


@pytest.mark.parametrize("qos", [1, 2])
async def test_newest_value_is_young_while_a_backlog_drains(
    nats: NatsServer, mosquitto: Mosquitto, tmp_path: Path, qos: int
) -> None:
    values: dict[str, Any] = {f"m{n}": 1000.5 + n for n in range(20)}
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
        proxy(mosquitto.port) as line,
        subscriber(Access(mosquitto.port), "/ccm/srv/telemetry/#", directory=tmp_path, qos=qos) as listener,
    ):
        line.up.bytes_s = line.down.bytes_s = BYTES_S
        line.refuse()
        await configure(api, uplink, "mqtt", Mqtt(enabled=True, port=line.port, latency_s=0, qos=qos))
        assert await refused(api, "mqtt")
        await publish(reader, *(reading(n, "grid", **values) for n in range(BACKLOG)))

        async def is_outage() -> bool:
            """By the age of what waits, as the link tells it."""
            state = await link_state(api, "mqtt")
            return state is not None and (state.oldest_s or 0.0) > BEHIND_S

        await until(is_outage, deadline_s=BEHIND_S + 10, what="an outage that counts as one")
        sent: list[datetime] = []
        measuring = asyncio.create_task(_measure_each_second(reader, sent), name="live")
        try:
            await line.start()
            await until(lambda: _numbers(listener, "live"), deadline_s=YOUNG, what="the first live reading")
            behind: list[int] = []

            def is_young() -> bool:
                behind.append(len(sent) - _numbers(listener, "live")[-1])
                return behind[-1] < YOUNG

            await stays(is_young, for_s=WATCHED_S, what="the newest value is young", interval_s=0.5)
        finally:
            measuring.cancel()
        owed = _numbers(listener, "grid")
        print(f"qos {qos}: at most {max(behind)} live readings on their way, {len(owed)} of {BACKLOG}")  # noqa: T201
        assert owed == list(range(len(owed)))  # oldest first, none skipped or twice
        assert len(owed) > WATCHED_S * BYTES_S / 2000  # the backlog gets a good part of the link
        live = _numbers(listener, "live")
        assert live == sorted(set(live))
