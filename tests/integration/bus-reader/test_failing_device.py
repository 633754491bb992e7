"""A device that answers, and does not give what it has: exception 4 or 6 (V1.1b3, section 7). A CcM4 on Modbus TCP.

Its voltages are at 16 and its energies from 64 on (docs/ccm-modbus-map.md).
"""

import pytest

from ccm_bus_reader.transport import TcpHost
from ccm_contracts.config.field import Device
from ccm_sim import modbus
from tests.support.bank import Bank, serving
from tests.support.lines import running
from tests.support.wait import until


@pytest.mark.parametrize(("fails", "whose"), [((0, 200), "everything"), ((16, 60), "its fast points")])
async def test_what_a_device_cannot_give_is_told_until_it_can(fails: tuple[int, int], whose: str) -> None:
    bank = Bank()
    bank.put(0, *([0] * 100))
    is_failing = [True]

    def refuse(address: int, _: int) -> None:
        if is_failing and fails[0] <= address < fails[1]:
            raise modbus.ModbusError(4)

    bank.before_read = refuse
    config = Device(id="m", host="127.0.0.1", model="energyccm/ccm4", unit=1, poll_s=0.1)
    async with (
        serving(bank),
        running(TcpHost("127.0.0.1", bank.port), config, is_modbus_tcp=True) as (_, noted),
    ):
        await until(lambda: "device-failing" in noted.kinds(), deadline_s=10, what=f"the fault of {whose}")
        state = noted.states["m"]
        assert state.online
        assert state.error is not None
        assert state.error.startswith("answers exception 4 (device failure) to ")
        is_failing.clear()
        await until(lambda: "device-recovered" in noted.kinds(), deadline_s=10, what="its recovery")
        assert noted.states["m"].error is None
        assert noted.kinds().count("device-failing") == 1
        assert "device-offline" not in noted.kinds()
