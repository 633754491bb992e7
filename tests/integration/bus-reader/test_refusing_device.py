"""A device that refuses points, or all of them (exception 2; V1.1b3, section 7). A CcM4 on Modbus TCP.

Its map is docs/ccm-modbus-map.md: v12, v23 and v31 at 19 to 21, e_imp1 to e_imp3 from 72 on, e_exp1 to e_exp3 from 78.
"""

from pathlib import Path

from ccm_bus_reader.transport import TcpHost
from ccm_contracts.channels import DEVICE_STATE, EVENT, TELEMETRY
from ccm_contracts.config.field import Device
from ccm_contracts.state import DeviceState
from ccm_kit.bus import Bus
from tests.support.bank import Bank, serving
from tests.support.bus import bus_as
from tests.support.field import reader_process
from tests.support.lines import running
from tests.support.nats import NatsServer
from tests.support.wait import until

LACKS = ["e_exp1", "e_exp2", "e_exp3", "e_imp1", "e_imp2", "e_imp3", "v12", "v23", "v31"]


def without(*gaps: range) -> Bank:
    bank = Bank()
    for address in (*range(7), *range(16, 60), *range(64, 84)):
        if not any(address in gap for gap in gaps):
            bank.put(address, 0)
    return bank


def config(bank: Bank) -> Device:
    return Device(
        id="m", host="127.0.0.1", tcp_port=bank.port, model="energyccm/ccm4", unit=1, poll_s=0.2, slow_s=1
    )


async def test_what_a_device_refuses_is_one_event_and_in_its_state() -> None:
    bank = without(range(19, 22), range(72, 84))
    async with (
        serving(bank),
        running(TcpHost("127.0.0.1", bank.port), config(bank), is_modbus_tcp=True) as (_, noted),
    ):
        await until(lambda: noted.count("m") > 3, deadline_s=10, what="readings")
        assert noted.states["m"].refused == LACKS
        (text,) = [text for kind, text in noted.events if kind == "point-refused"]
        assert all(metric in text for metric in LACKS)


async def test_who_refuses_all_is_asked_for_one_point_at_a_time_until_it_gives_one() -> None:
    bank = without(range(84))
    async with (
        serving(bank),
        running(TcpHost("127.0.0.1", bank.port), config(bank), is_modbus_tcp=True) as (_, noted),
    ):
        await until(lambda: noted.kinds().count("device-offline") == 1, deadline_s=10, what="the verdict")
        asked = len(bank.reads)
        await until(lambda: noted.states["m"].retry_s == 4.0, deadline_s=10, what="two more probes")
        assert len(bank.reads) == asked + 2
        bank.put(0, *([0] * 84))
        await until(lambda: noted.count("m") > 0, deadline_s=10, what="its values")
        assert sorted(noted.kinds()) == ["device-offline", "device-online", "line-open"]


async def test_a_sunspec_device_with_an_empty_model_is_looked_at_again_as_rarely_as_any() -> None:
    """The marker, an inverter model (103) of no length, the end: found, and without a point."""
    bank = Bank()
    bank.put(40000, 0x5375, 0x6E53, 103, 0, 0xFFFF, 0)
    config = Device(id="m", host="127.0.0.1", model="sunspec/inverter", unit=1, poll_s=1)
    async with (
        serving(bank),
        running(TcpHost("127.0.0.1", bank.port), config, is_modbus_tcp=True) as (_, noted),
    ):
        await until(
            lambda: "m" in noted.states and noted.states["m"].retry_s == 4.0,
            deadline_s=15,
            what="the third probe",
        )
        assert len(bank.reads) <= 3 * 4
        assert "line-crashed" not in noted.kinds()


async def test_what_was_refused_is_not_asked_nor_told_again_after_a_kill(
    nats: NatsServer, tmp_path: Path
) -> None:
    bank = without(range(19, 22))
    async with serving(bank), bus_as(nats, "api") as bus:
        await bus.write_config("devices", [config(bank)], seal=lambda text: text)
        async with reader_process(nats, tmp_path) as process:
            await until(lambda: _lacking(bus), deadline_s=15, what="the refusals in its state")
            told = await bus.last(EVENT, source="bus-reader", kind="point-refused")
            await process.kill()
        before = await bus.last(TELEMETRY, device="m")
        assert told is not None
        assert before is not None
        bank.reads.clear()
        async with reader_process(nats, tmp_path):

            async def goes_on() -> bool:
                now = await bus.last(TELEMETRY, device="m")
                return now is not None and now.seq > before.seq + 3

            await until(goes_on, deadline_s=15, what="readings after the restart")
            assert [read for read in bank.reads if read[0] < 22 and sum(read) > 19] == []
            assert await bus.last(EVENT, source="bus-reader", kind="point-refused") == told
            state = await _lacking(bus)
            assert state is not None
            assert state.refused == ["v12", "v23", "v31"]


async def _lacking(bus: Bus) -> DeviceState | None:
    state = await bus.last(DEVICE_STATE, id="m")
    return state if state is not None and state.refused else None
