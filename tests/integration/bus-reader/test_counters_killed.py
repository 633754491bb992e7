"""Accumulated counters across what interrupts their reader: none takes back what was published. A CcM4 on Modbus TCP.

Its energies are u32 in Wh, imported from address 64 on and exported from 66, its serial number u32 at 0
(docs/ccm-modbus-map.md).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.config.field import Device
from ccm_contracts.types import Direction
from ccm_kit.bus import Bus
from tests.support.bank import Bank, serving
from tests.support.bus import bus_as
from tests.support.field import reader_process
from tests.support.nats import NatsServer
from tests.support.wait import until

SERIAL, E_IMP, E_EXP = 0, 64, 66


@asynccontextmanager
async def meter() -> AsyncIterator[Bank]:
    bank = Bank()
    bank.put(0, *([0] * 7))
    bank.put(16, *([0] * 44))
    bank.put(64, *([0] * 20))
    bank.put_u32(SERIAL, 1_000_001)
    bank.put_u32(E_IMP, 5_000_000)
    bank.put_u32(E_EXP, 900_000)
    async with serving(bank):
        yield bank


def config(bank: Bank, direction: Direction = "normal", poll_s: float = 0.2) -> Device:
    return Device(
        id="m",
        host="127.0.0.1",
        tcp_port=bank.port,
        model="energyccm/ccm4",
        unit=1,
        poll_s=poll_s,
        slow_s=1,
        direction=direction,
    )


async def shown(bus: Bus, metric: str, kwh: float) -> float:
    """The accumulated counter of the first reading seen in which the meter's own shows `kwh`."""

    async def total() -> float | None:
        last = await bus.last(TELEMETRY, device="m")
        if last is None or last.values.get(metric) != kwh:
            return None
        accumulated = last.values[f"{metric}_acc"]
        assert isinstance(accumulated, float | int)
        return accumulated

    found = await until(total, deadline_s=15, what=f"{metric} {kwh}")
    assert found is not None
    return found


@pytest.mark.parametrize(("direction", "metric"), [("normal", "e_imp"), ("reversed", "e_exp")])
async def test_another_meter_after_a_kill_takes_nothing_back_that_was_published(
    nats: NatsServer, tmp_path: Path, direction: Direction, metric: str
) -> None:
    """The state of the counters is kept once a minute: the newest readings are what is known after SIGKILL."""
    async with meter() as bank, bus_as(nats, "api") as bus:
        await bus.write_config("devices", [config(bank, direction)], seal=lambda text: text)
        async with reader_process(nats, tmp_path) as process:
            assert await shown(bus, metric, 5000) == 5000
            bank.put_u32(E_IMP, 5_000_050)
            assert await shown(bus, metric, 5000.05) == 5000.05
            await process.kill()
        bank.put_u32(SERIAL, 1_000_002)
        bank.put_u32(E_IMP, 7_000)
        async with reader_process(nats, tmp_path):
            assert await shown(bus, metric, 7) == 5000.05
            bank.put_u32(E_IMP, 7_100)
            assert await shown(bus, metric, 7.1) == 5000.15


async def test_a_reset_while_the_interval_changes_takes_nothing_back(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with meter() as bank, bus_as(nats, "api") as bus:
        await bus.write_config("devices", [config(bank)], seal=lambda text: text)
        async with reader_process(nats, tmp_path):
            assert await shown(bus, "e_imp", 5000) == 5000
            bank.put_u32(E_IMP, 5_000_050)
            assert await shown(bus, "e_imp", 5000.05) == 5000.05
            bank.put_u32(E_IMP, 6_000_000)
            await bus.write_config("devices", [config(bank, poll_s=0.3)], seal=lambda text: text)
            assert await shown(bus, "e_imp", 6000) == 5000.05
