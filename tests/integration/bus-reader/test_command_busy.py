"""A command to a device that answers exception 5 (accepted, takes longer) or 6 (busy): V1.1b3, section 7.

A CcM4 on Modbus TCP; its measuring mode is at 6 (docs/ccm-modbus-map.md).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from ccm_bus_reader.command import TURNS, Job
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device
from ccm_kit.errors import RefusedError
from ccm_sim import modbus
from tests.support.bank import Bank, serving
from tests.support.lines import running
from tests.support.wait import until

MODE = 6


class Slow(Bank):
    """Answers its writes with these codes in turn, then takes them; what it accepts it has done two reads later."""

    def __init__(self, *codes: int) -> None:
        super().__init__()
        self.codes = list(codes)
        self.writes = 0
        self._accepted: Sequence[int] = ()
        self.put(0, *([0] * 84))
        self.before_read = self.work

    def write(self, address: int, values: Sequence[int]) -> None:
        self.writes += 1
        if self.codes:
            code = self.codes.pop(0)
            self._accepted = values if code == 5 else ()
            self.left = 2
            raise modbus.ModbusError(code)
        super().write(address, values)

    def work(self, address: int, _: int) -> None:
        if address == MODE and self._accepted:
            self.left -= 1
            if self.left <= 0:
                self.put(MODE, *self._accepted)


@asynccontextmanager
async def commanding(bank: Bank) -> AsyncIterator[tuple[Poller, Job]]:
    config = Device(id="m", host="127.0.0.1", model="energyccm/ccm4", unit=1, poll_s=0.1)
    async with (
        serving(bank),
        running(TcpHost("127.0.0.1", bank.port), config, is_modbus_tcp=True) as (poller, noted),
    ):
        await until(lambda: noted.count("m") > 0, deadline_s=10, what="a reading")
        yield poller, Job(poller.devices["m"], "mode", 2)


@pytest.mark.parametrize(("codes", "writes"), [((6, 6), 3), ((5,), 1)], ids=["busy", "at work"])
async def test_a_device_that_wants_time_gets_it(codes: tuple[int, ...], writes: int) -> None:
    bank = Slow(*codes)
    async with commanding(bank) as (poller, job):
        assert await poller.command(job) == 2
        assert (bank.writes, bank.registers[MODE]) == (writes, 2)


async def test_a_device_that_stays_busy_is_told_so() -> None:
    bank = Slow(*[6] * 100)
    async with commanding(bank) as (poller, job):
        with pytest.raises(RefusedError, match="busy") as refusal:
            await poller.command(job)
        assert (refusal.value.code, bank.writes) == ("busy", TURNS)
