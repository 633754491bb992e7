"""A line's owner on real pseudo-terminals, against the simulated site and its faults."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.command import Job
from ccm_bus_reader.device import Device
from ccm_bus_reader.profile import Limits
from ccm_bus_reader.transport import SerialPort, TcpHost, char_s
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_kit.errors import RefusedError
from ccm_sim import Site, parse_spec
from tests.support.lines import assert_true, ccm4, commanded, running, sdm, spec_of, undisturbed
from tests.support.modbus_slave import rtu_slave
from tests.support.pty_pair import pty_pair
from tests.support.serial_server import serial_server
from tests.support.wait import until

IN_USE = 0.85
"""95 % is what a line must reach (tests/bench/line.py); a machine that is busy with other tests may cost 10."""
WINDOWS = 15
"""A busy machine may spoil a window of 4 s: one of so many, a minute, has to reach it."""


async def test_values_are_those_of_the_device_and_stamped_when_they_came(tmp_path: Path) -> None:
    spec = spec_of(a={"kind": "sdm630", "unit": 2}, b={"kind": "ccm4", "unit": 3})
    async with Site(spec, tmp_path) as site:
        site.freeze(on=True)
        began = datetime.now(UTC)
        async with running(SerialPort(str(site.line_path("x"))), sdm("a", 2), ccm4("b", 3)) as (_, noted):
            await until(lambda: noted.count("a") and noted.count("b"), deadline_s=8, what="readings")
            truth = site.truth()["devices"]
            for device in ("a", "b"):
                ts, values = noted.readings[device][0]
                assert_true(values, truth[device]["values"])
                assert began <= ts <= datetime.now(UTC)
        assert noted.states["b"].serial
        assert noted.states["b"].firmware
        assert noted.kinds()[:1] == ["line-open"]


async def test_flat_out_the_wire_is_in_use_and_the_silence_kept(tmp_path: Path) -> None:
    spec = spec_of(u={"kind": "sdm630", "unit": 10, "count": 4})
    configs = [sdm(f"u-{number + 1}", 10 + number) for number in range(4)]
    async with Site(spec, tmp_path) as site:
        async with running(SerialPort(str(site.line_path("x"))), *configs) as (poller, noted):
            await until(lambda: noted.count("u-4") >= 1, deadline_s=10, what="a first round")
            shares: list[float] = []
            while not shares or (shares[-1] <= IN_USE and len(shares) < WINDOWS):
                site.reset_stats()
                await until(lambda: site.stats()["lines"]["x"]["window_s"] > 4, deadline_s=8, what="a window")
                line = site.stats()["lines"]["x"]
                assert (line["silence_violations"], line["collisions"]) == (0, 0)
                in_use_s = line["wire_busy_s"] + line["replies"] * poller.line.silence_s
                shares.append(in_use_s / line["window_s"])
            await until(lambda: "overrun" in noted.kinds(), deadline_s=8, what="the overrun event")
        assert shares[-1] > IN_USE
        assert noted.kinds().count("overrun") == 1


FAULTS = [
    {"late_s": 0.35, "late_probability": 0.2},
    {"late_s": 1.4, "late_probability": 0.15},
    {"corrupt": 0.2},
    {"wrong_unit": 0.15},
    {"drop": 0.15},
]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: "-".join(faults))
async def test_faulty_replies_never_make_a_wrong_value(tmp_path: Path, faults: dict[str, float]) -> None:
    spec = spec_of(a={"kind": "ccm4", "unit": 2}, b={"kind": "ccm4", "unit": 3})
    async with Site(spec, tmp_path) as site:
        site.freeze(on=True)
        async with running(SerialPort(str(site.line_path("x"))), ccm4("a", 2), ccm4("b", 3)) as (_, noted):
            await until(lambda: noted.count("a") and noted.count("b"), deadline_s=8, what="healthy readings")
            for device in ("a", "b"):
                site.set_faults(device, **faults)
            await until(lambda: noted.count("a") + noted.count("b") >= 20, deadline_s=25, what="readings")
        truth = site.truth()["devices"]
        for device, readings in noted.readings.items():
            for _, values in readings:
                assert_true(values, truth[device]["values"])
        assert site.stats()["lines"]["x"]["silence_violations"] == 0


async def test_dead_device_costs_little_is_told_once_and_comes_back(tmp_path: Path) -> None:
    spec = spec_of(a={"kind": "ccm4", "unit": 2}, dead={"kind": "ccm4", "unit": 9})
    async with Site(spec, tmp_path) as site:
        configs = (ccm4("a", 2), ccm4("dead", 9))
        async with running(SerialPort(str(site.line_path("x"))), *configs) as (poller, noted):
            await until(lambda: noted.is_online("dead"), deadline_s=8, what="both online")
            site.set_faults("dead", dead=True)
            await until(lambda: not noted.is_online("dead"), deadline_s=8, what="the outage")
            text = dict(noted.events)["device-offline"]
            assert "line x: unit 9: no reply in" in text
            assert "next try in 1 s" in text
            before = noted.count("a")
            await until(lambda: noted.count("a") >= before + 15, deadline_s=10, what="the other's readings")
            site.set_faults("dead", dead=False)
            await until(lambda: noted.is_online("dead"), deadline_s=10, what="its return")
        assert noted.kinds().count("device-offline") == 1
        assert poller.line.counters[9].timeouts > 0


async def test_unit_that_never_answered_is_offline_with_its_reason(tmp_path: Path) -> None:
    async with (
        Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), ccm4("ghost", 77)) as (_, noted),
    ):
        await until(lambda: "ghost" in noted.states, deadline_s=5, what="its state")
        state = noted.states["ghost"]
        assert not state.online
        assert state.retry_s == 1
        assert "unit 77: no reply in" in (state.error or "")
        assert noted.count("ghost") == 0


async def test_commands_write_read_back_and_refuse(tmp_path: Path) -> None:
    async with (
        Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), ccm4("a", 2)) as (poller, noted),
    ):
        await until(lambda: noted.count("a"), deadline_s=8, what="a reading")
        device = poller.devices["a"]
        command = device.profile.commands[0]
        wanted = float(command.minimum)
        assert await commanded(poller, Job(device, command.name, wanted)) == wanted
        assert refusal_of(device, command.name, float(command.maximum) + 1) == "out-of-range"
        assert refusal_of(device, "no-such", 1) == "unknown-command"
        site.set_faults("a", dead=True)
        await until(lambda: not noted.is_online("a"), deadline_s=8, what="the outage")
        assert refusal_of(device, command.name, wanted) == "offline"


def refusal_of(device: Device, name: str, value: float) -> str:
    with pytest.raises(RefusedError) as refusal:
        Job(device, name, value)
    return refusal.value.code


async def test_adapter_that_is_pulled_and_plugged_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "by-id"
    registers = {(2, 3, 0): [0] * 100}
    async with running(SerialPort(str(path)), ccm4("a", 2)) as (poller, noted):
        await until(lambda: "line-closed" in noted.kinds(), deadline_s=5, what="the missing adapter")
        assert "no such path" in (noted.lines[-1].error or "")
        for time in (1, 2):
            async with pty_pair() as pair, rtu_slave(pair.b, registers, tmp_path=tmp_path / str(time)):
                path.symlink_to(pair.a)
                await until(lambda: noted.is_online("a"), deadline_s=8, what=f"the device, time {time}")
                path.unlink()
            await until(lambda: not noted.is_online("a"), deadline_s=5, what=f"the loss, time {time}")
            device = poller.devices["a"]
            assert refusal_of(device, device.profile.commands[0].name, 1) == "offline"
        assert [kind for kind in noted.kinds() if kind.startswith("line-")] == [
            *("line-closed", "line-open", "line-closed", "line-open", "line-closed")
        ]


async def test_late_replies_are_not_confused_among_reads_of_equal_length(tmp_path: Path) -> None:
    """The worst case: every read of the device has the same unit, function and length."""
    profile = load_catalog().find("eastron/sdm630")
    fast = profile.points_of("fast")[::5]
    alike = profile.model_copy(update={"limits": Limits(max_block=2), "points": fast})
    async with Site(spec_of(a={"kind": "sdm630", "unit": 2}), tmp_path) as site:
        site.freeze(on=True)
        async with running(SerialPort(str(site.line_path("x")))) as (poller, noted):
            device = Device(sdm("a", 2), alike, poller.cost)
            assert {block.count for block in device.blocks(frozenset({"fast"}))} == {2}
            poller.add(device)
            await until(lambda: noted.count("a"), deadline_s=8, what="a healthy reading")
            site.set_faults("a", late_s=1.3, late_probability=0.1)
            await until(lambda: noted.count("a") >= 6, deadline_s=40, what="readings")
            assert poller.line.counters[2].foreign > 0
        truth = site.truth()["devices"]["a"]["values"]
        for _, values in noted.readings["a"]:
            for metric, value in values.items():
                assert value == pytest.approx(truth[metric], abs=0.051, rel=1e-6), metric


async def test_modbus_tcp_shares_one_connection_and_survives_a_dead_unit(tmp_path: Path) -> None:
    spec = parse_spec({"tcp": {"devices": {"a": {"kind": "sun2000", "unit": 1}}}})
    async with Site(spec, tmp_path) as site:
        site.freeze(on=True)
        assert site.tcp_address is not None
        host, port = site.tcp_address
        configs = [
            DeviceConfig(id=name, host=host, tcp_port=port, model="huawei/sun2000", unit=unit, poll_s=0.1)
            for name, unit in (("a", 1), ("ghost", 9))
        ]
        async with running(TcpHost(host, port), *configs, is_modbus_tcp=True) as (_, noted):
            await until(lambda: noted.count("a") >= 10, deadline_s=8, what="readings")
            await until(lambda: "ghost" in noted.states, deadline_s=8, what="the other's state")
            assert not noted.is_online("ghost")
            assert noted.is_online("a")
        assert_true(noted.readings["a"][0][1], site.truth()["devices"]["a"]["values"])
        assert noted.kinds().count("line-open") == 1


async def test_the_newest_reason_why_a_line_is_closed_is_shown_and_told_once(tmp_path: Path) -> None:
    path = tmp_path / "port"
    async with running(SerialPort(str(path)), sdm("a", 2)) as (_, noted):

        def is_shown(reason: str) -> bool:
            return bool(noted.lines) and reason in (noted.lines[-1].error or "")

        await until(lambda: is_shown("no such path"), deadline_s=8, what="the first reason")
        path.touch()
        await until(lambda: is_shown("not a serial port"), deadline_s=8, what="the next one")
        assert "not a serial port" in (noted.states["a"].error or "")
        assert noted.kinds() == ["line-closed"]


async def test_host_that_drops_each_connection_is_told_once_and_not_hammered() -> None:
    accepted = 0

    async def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.close()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    config = DeviceConfig(id="a", host=host, tcp_port=port, model="huawei/sun2000", unit=1, poll_s=0.1)
    async with server, running(TcpHost(host, port), config, is_modbus_tcp=True) as (_, noted):
        await until(lambda: accepted >= 4, deadline_s=10, what="new tries")
        assert noted.kinds() == ["line-closed"]
        assert not noted.is_online("a")


async def test_host_that_speaks_something_else_is_named() -> None:
    async def greet(hearer: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n" * 2)
        await hearer.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    config = DeviceConfig(id="a", host=host, tcp_port=port, model="huawei/sun2000", unit=1, poll_s=0.1)
    async with server, running(TcpHost(host, port), config, is_modbus_tcp=True) as (_, noted):
        await until(lambda: "line-closed" in noted.kinds(), deadline_s=10, what="the event")
        assert "does not speak Modbus TCP" in dict(noted.events)["line-closed"]


async def test_line_behind_a_serial_server_is_read_like_a_local_one(tmp_path: Path) -> None:
    async with Site(spec_of(a={"kind": "sdm630", "unit": 2}), tmp_path) as site:
        site.freeze(on=True)
        async with serial_server(site.line_path("x")) as port:
            endpoint = TcpHost("127.0.0.1", port, char_s(9600, "8N1"))
            async with running(endpoint, sdm("a", 2)) as (poller, noted):
                await undisturbed(poller, noted, "a", 5)
        assert_true(noted.readings["a"][-1][1], site.truth()["devices"]["a"]["values"])
        assert site.stats()["lines"]["x"]["silence_violations"] == 0


async def test_adapter_that_hears_itself_is_read_and_written_through_and_told_once(tmp_path: Path) -> None:
    async with (
        Site(spec_of(a={"kind": "ccm4", "unit": 2}), tmp_path) as site,
        serial_server(site.line_path("x"), echoes=True) as port,
        running(TcpHost("127.0.0.1", port, char_s(9600, "8N1")), ccm4("a", 2)) as (poller, noted),
    ):
        await until(lambda: noted.count("a") >= 5, deadline_s=10, what="readings")
        device = poller.devices["a"]
        command = device.profile.commands[0]
        for wanted in (float(command.minimum), float(command.minimum) + 1):
            assert await commanded(poller, Job(device, command.name, wanted)) == wanted
        await until(lambda: "line-notice" in noted.kinds(), deadline_s=8, what="the notice")
        await undisturbed(poller, noted, "a", 10)
    assert "the adapter echoes what it sends" in dict(noted.events)["line-notice"]
    assert noted.kinds().count("line-notice") == 1
    assert [line.crc_errors for line in noted.lines if line.crc_errors] == []
