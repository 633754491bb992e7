"""solar as a process on a real NATS server: readings in, balances and events out."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ccm_contracts.channels import EVENT, PLANT, TELEMETRY
from ccm_contracts.config.field import Device, Plant
from ccm_contracts.messages import Balance, Event, Reading, Rejected
from ccm_kit.bus import Bus
from tests.support.bus import GATEWAY, bus_as, service_env
from tests.support.nats import NatsServer
from tests.support.processes import Child, child
from tests.support.wait import until

POLL_S = 40.0
FRESH_S = 3 * POLL_S
"""So long a reading is fresh: longer than a start of the process on a busy machine."""


@dataclass
class SolarRig:
    """The far side of solar: who reads devices, who configures, and all balances that came."""

    nats: NatsServer
    reader: Bus
    directory: Path
    balances: list[Balance] = field(default_factory=list)
    seq: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Child]:
        env = service_env(self.nats, self.directory)
        args = [sys.executable, "-m", "ccm_solar"]
        async with child(args, log=self.directory / "solar.log", env=env) as process:
            yield process

    async def collect(self) -> None:
        async for seen in self.reader.follow(PLANT):
            if seen.message is not None:
                self.balances.append(seen.message)

    async def configure(self, *plants: Plant) -> None:
        devices = [
            Device(id=name, host="192.0.2.7", model="sunspec/inverter", unit=unit, poll_s=POLL_S)
            for unit, name in enumerate(("roof", "grid", "east"), start=1)
        ]
        await self.reader.write_config("devices", devices, seal=lambda text: text)
        await self.reader.write_config("plants", list(plants), seal=lambda text: text)

    async def read(self, device: str, p: float, *, age_s: float = 0) -> datetime:
        """Publish a reading; its time stamp."""
        self.seq += 1
        ts = self.reader.clock.now() - timedelta(seconds=age_s)
        reading = Reading(gateway=GATEWAY, device=device, ts=ts, values={"p": p}, seq=self.seq)
        await self.reader.publish(TELEMETRY, reading, device=device)
        return reading.ts

    async def balance(self, *, load: float | None, missing: tuple[str, ...] = ()) -> Balance:
        """Wait for a newest balance with this load and these missing devices."""

        def fits() -> Balance | None:
            last = self.balances[-1] if self.balances else None
            return last if last and (last.p_load, tuple(last.missing)) == (load, missing) else None

        balance = await until(fits, deadline_s=15, what=f"a balance of {load} W without {missing}")
        assert balance is not None
        return balance

    async def event(self, kind: str) -> Event:
        async def seen() -> Event | None:
            return await self.reader.last(EVENT, source="solar", kind=kind)

        event = await until(seen, deadline_s=15, what=f"event {kind}")
        assert event is not None
        return event


HOUSE = Plant(id="house", production=["roof"], grid=["grid"])


@pytest.fixture
async def rig(nats: NatsServer, tmp_path: Path) -> AsyncIterator[SolarRig]:
    async with bus_as(nats, "bus-reader") as reader, asyncio.TaskGroup() as tasks:
        ready = SolarRig(nats, reader, tmp_path / "data")
        collecting = tasks.create_task(ready.collect(), name="collect")
        yield ready
        collecting.cancel()


async def test_balances_satisfy_the_identity_exactly_and_their_time_grows(rig: SolarRig) -> None:
    await rig.configure(HOUSE)
    async with rig.running():
        for roof, grid, load in ((1234.4, 0.7, 1235.0), (10.2, 0.6, 11.0), (3000.0, -2608.0, 392.0)):
            await rig.read("roof", roof)
            newest = await rig.read("grid", grid)
            balance = await rig.balance(load=load)
            assert balance.ts >= newest

    assert [each.ts for each in rig.balances] == sorted({each.ts for each in rig.balances})
    for each in rig.balances:
        if each.p_prod is not None and each.p_grid is not None:
            assert each.p_load == each.p_prod + each.p_grid


async def test_restarted_solar_has_values_at_once(rig: SolarRig) -> None:
    await rig.configure(HOUSE)
    await rig.read("roof", 100.0)
    await rig.read("grid", 50.0)
    async with rig.running() as process:
        first = await rig.balance(load=150.0)
        await process.kill()
    seen = len(rig.balances)

    async with rig.running():
        await until(lambda: len(rig.balances) > seen, deadline_s=10, what="a balance after the restart")

    assert rig.balances[seen].p_load == 150.0
    assert rig.balances[seen].ts > first.ts


async def test_stale_device_makes_its_flows_unknown_and_comes_back(rig: SolarRig) -> None:
    await rig.configure(HOUSE)
    async with rig.running():
        await rig.read("roof", 100.0)
        await rig.read("grid", 50.0)
        await rig.balance(load=150.0)

        await rig.read("roof", 100.0, age_s=FRESH_S)
        stale = await rig.balance(load=None, missing=("roof",))
        assert (stale.p_prod, stale.p_grid, stale.p_self, stale.quality) == (None, 50.0, None, "stale")

        await rig.read("grid", 60.0)
        alarm = await rig.event("plant-incomplete")
        assert (alarm.severity, alarm.data["plant"]) == ("warning", "house")
        assert "roof" in alarm.data["missing"]

        await rig.read("roof", 200.0)
        await rig.read("grid", 60.0)
        await rig.balance(load=260.0)
        assert (await rig.event("plant-complete")).data["plant"] == "house"


async def test_malformed_reading_is_rejected_and_solar_goes_on(rig: SolarRig) -> None:
    await rig.configure(HOUSE)
    async with rig.running():
        await rig.read("roof", 100.0)
        await rig.read("grid", 50.0)
        await rig.balance(load=150.0)
        ts = rig.reader.clock.now()
        bad = Reading.model_construct(gateway=GATEWAY, device="grid", ts=ts, values={"p": 9.0}, seq=-1)
        await rig.reader.publish(TELEMETRY, bad, device="grid")

        rejected = Rejected.model_validate((await rig.event("rejected")).data)
        await rig.read("roof", 110.0)
        await rig.balance(load=160.0)

    assert rejected.subject.endswith(".telemetry.grid")
    assert rejected.field == "seq"


async def test_new_plant_is_computed_without_a_restart(rig: SolarRig) -> None:
    await rig.configure()
    async with rig.running():
        await rig.read("east", 7.0)
        await rig.read("grid", 1.0)

        await rig.configure(Plant(id="farm", production=["east"], grid=["grid"]))

        assert (await rig.balance(load=8.0)).plant == "farm"
