"""A host that closes its connection after each answer (Messaging on TCP/IP V1.0b, 4.2.1, leaves that to the server)."""

import pytest

from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.outcome import Answer
from ccm_bus_reader.scan_plan import NETWORK
from ccm_bus_reader.search_host import HostAccess
from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device
from ccm_kit.clock import SystemClock
from tests.support.bank import Bank, serving
from tests.support.lines import running
from tests.support.wait import until


@pytest.mark.parametrize("poll_s", [0.1, 2.0], ids=["busy", "idle between"])
async def test_a_host_that_hangs_up_after_each_answer_is_read_and_is_no_closed_line(poll_s: float) -> None:
    bank = Bank()
    bank.put(0, *([0] * 84))
    bank.put(16, 23050)  # v1 in 0.01 V: docs/ccm-modbus-map.md
    config = Device(id="m", host="127.0.0.1", model="energyccm/ccm4", unit=1, poll_s=poll_s)
    async with (
        serving(bank, hangs_up=True),
        running(TcpHost("127.0.0.1", bank.port), config, is_modbus_tcp=True) as (_, noted),
    ):
        await until(lambda: noted.count("m") >= 3, deadline_s=15, what="three readings")
        assert [values["v1"] for _, values in noted.readings["m"]] == [230.5] * noted.count("m")
        assert sorted(noted.kinds()) == ["device-online", "line-open"]


async def test_a_search_goes_on_where_the_host_hangs_up_after_each_answer() -> None:
    bank = Bank()
    bank.put(16, 23050)
    async with serving(bank, hangs_up=True):
        access = HostAccess("127.0.0.1", bank.port, SystemClock())
        async with access.turn(NETWORK) as wire:
            answers = [await wire.ask(Request(1, 3, 16, 1), 1.0) for _ in range(5)]
        await access.close()
    assert [each.words for each in answers if isinstance(each, Answer)] == [(23050,)] * 5
