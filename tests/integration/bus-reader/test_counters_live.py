"""Counters and jumps over a wire: what the meter shows, what is published, which events tell it. A CcM4 on Modbus TCP.

Its energies are u32 in Wh from address 64 on, its serial number u32 at 0, its voltage u16 in 0.01 V at 16
(docs/ccm-modbus-map.md); 0.001 kWh steps, range 2**32 Wh.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.device import Device
from ccm_bus_reader.memory import memory_of
from ccm_bus_reader.plausible import Memory
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.reports import Kept
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_kit.clock import SystemClock
from tests.support.bank import Bank, serving
from tests.support.lines import Noted, running
from tests.support.wait import until

E_IMP, SERIAL, V1 = 64, 0, 16
CONFIG = DeviceConfig(id="m", host="127.0.0.1", model="energyccm/ccm4", unit=1, poll_s=0.1)
FAST_SLOW_S = 8
"""Slow points come with each tenth round."""


def meter() -> Bank:
    bank = Bank()
    bank.put(0, *([0] * 7))
    bank.put(16, *([0] * 44))
    bank.put(64, *([0] * 20))
    bank.put_u32(SERIAL, 1_000_001)
    bank.put(V1, 23_000)
    bank.put_u32(E_IMP, 5_000_000)
    return bank


@asynccontextmanager
async def reading(bank: Bank, memory: Memory | None = None) -> AsyncIterator[tuple[Poller, Noted]]:
    async with serving(bank), running(TcpHost("127.0.0.1", bank.port), is_modbus_tcp=True) as (poller, noted):
        profile = load_catalog().find(CONFIG.model)
        poller.add(Device(CONFIG, profile, poller.cost, memory))
        await until(lambda: noted.count("m") > 0, deadline_s=5, what="a reading")
        yield poller, noted


def newest(noted: Noted, metric: str) -> object:
    return noted.readings["m"][-1][1][metric]


async def shown(noted: Noted, e_imp: float) -> None:
    await until(lambda: newest(noted, "e_imp") == e_imp, deadline_s=FAST_SLOW_S, what=f"e_imp {e_imp}")


def counter_events(noted: Noted) -> list[str]:
    return [kind for kind in noted.kinds() if kind.startswith(("counter-", "value-"))]


async def test_a_reset_is_one_event_and_the_accumulated_counter_goes_on() -> None:
    bank = meter()
    async with reading(bank) as (_, noted):
        assert newest(noted, "e_imp_acc") == newest(noted, "e_imp") == 5000
        bank.put_u32(E_IMP, 20)
        await shown(noted, 0.02)
        bank.put_u32(E_IMP, 60)
        await shown(noted, 0.06)
        assert newest(noted, "e_imp_acc") == 5000.06
        assert counter_events(noted) == ["counter-reset"]


async def test_a_roll_over_is_one_event_and_both_sides_are_counted() -> None:
    bank = meter()
    bank.put_u32(E_IMP, 2**32 - 6)
    async with reading(bank) as (_, noted):
        bank.put_u32(E_IMP, 4)
        await shown(noted, 0.004)
        assert newest(noted, "e_imp_acc") == 4294967.3
        assert counter_events(noted) == ["counter-rollover"]


async def test_another_meter_is_recognised_by_its_serial_number_and_begins_from_where_it_stands() -> None:
    bank = meter()
    async with reading(bank) as (_, noted):
        bank.put_u32(SERIAL, 1_000_002)
        bank.put_u32(E_IMP, 700_000)
        await shown(noted, 700)
        assert newest(noted, "e_imp_acc") == 5000
        bank.put_u32(E_IMP, 700_100)
        await shown(noted, 700.1)
        assert newest(noted, "e_imp_acc") == 5000.1
        assert counter_events(noted) == ["counter-replaced"]
        assert "counter-stepped-back" not in counter_events(noted)


async def test_a_value_of_another_device_that_comes_once_is_never_published() -> None:
    """Demand 2: registers of one unit showing up as another's."""
    bank = meter()
    async with reading(bank) as (_, noted):
        count = noted.count("m")

        def once(address: int, n: int) -> None:
            if address <= V1 < address + n:
                bank.put(V1, 23_000 if wrong else 1_200)
                wrong.append(True)

        wrong: list[bool] = []
        bank.before_read = once
        await until(lambda: noted.count("m") > count + 5, deadline_s=5, what="more readings")
        assert {values["v1"] for _, values in noted.readings["m"]} == {230}
        assert counter_events(noted) == ["value-glitch"]


async def test_a_true_jump_is_published_after_a_second_read() -> None:
    bank = meter()
    async with reading(bank) as (_, noted):
        bank.put(V1, 1_000)
        await until(lambda: newest(noted, "v1") == 10, deadline_s=5, what="the outage")
        assert counter_events(noted) == []


async def test_the_accumulated_counter_goes_on_after_a_restart_also_across_a_reset_meanwhile() -> None:
    bank = meter()
    async with reading(bank) as (_, noted):
        state = noted.counter_states["m"]
    assert state.serial == "1000001"
    bank.put_u32(E_IMP, 0)
    async with reading(bank, memory_of(Kept(state), "normal", SystemClock())) as (_, noted):
        bank.put_u32(E_IMP, 30)
        await shown(noted, 0.03)
        assert newest(noted, "e_imp_acc") == 5000.03
        assert counter_events(noted) == ["counter-reset"]
