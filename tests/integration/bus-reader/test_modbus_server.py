"""The gateway as a Modbus TCP server: bus-reader on a real bus and simulated wires, asked by pymodbus' own client."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from ccm_contracts.channels import MODBUS_STATE
from ccm_contracts.config.field import Device
from ccm_contracts.config.modbus import ModbusServer, SharedLine
from ccm_contracts.messages import Command
from ccm_contracts.state import OutputState
from ccm_contracts.verb_table import SET_OUTPUT
from ccm_contracts.verbs.io import OutputDone, SetOutput
from ccm_kit.bus import Answer
from ccm_sim import Site, parse_spec
from tests.support.bus import GATEWAY, bus_as
from tests.support.field import Field, field_of
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.wait import LEAST_S, until

GRID = Device(id="grid", port="native", model="energyccm/ccm4", unit=1, poll_s=0.5)
SPEC: dict[str, Any] = {
    "lines": {
        "native": {"devices": {"grid": {"kind": "ccm4", "unit": 1}, "other": {"kind": "ccm4", "unit": 9}}},
        "ext": {"devices": {"house": {"kind": "sdm630", "unit": 1}}},
    }
}
V1, SERIAL, MODE = 16, 0, 6
"""docs/ccm-modbus-map.md"""


@asynccontextmanager
async def serving(
    nats: NatsServer, tmp_path: Path, **settings: Any
) -> AsyncIterator[tuple[Field, Site, int]]:
    port = free_port()
    async with Site(parse_spec(SPEC), tmp_path) as site, field_of(nats, site, tmp_path) as field:
        server = ModbusServer(enabled=True, port=port, line="native", **settings)
        await field.bus.write_config("modbus_server", server, seal=lambda text: text)
        await field.configure(GRID)
        async with field.reader():
            await field.read("grid", above=3)
            yield field, site, port


@asynccontextmanager
async def master(port: int) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=3, retries=0)
    await until(client.connect, deadline_s=10, what="a connection")
    try:
        yield client
    finally:
        client.close()


def exception_of(reply: Any) -> int | None:
    return reply.exception_code if reply.isError() else None


async def test_polled_registers_come_from_memory_and_twenty_clients_do_not_raise_the_load(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with serving(nats, tmp_path) as (field, site, port):
        site.freeze(True)
        await field.read("grid", above=await field.read("grid") + 1)
        voltage = round(site.truth()["devices"]["grid"]["values"]["v1"] * 100)

        async def ask() -> set[int]:
            async with master(port) as client:
                replies = [await client.read_holding_registers(V1, count=1, device_id=1) for _ in range(50)]
            return {reply.registers[0] for reply in replies}

        before = site.stats()["lines"]["native"]["requests"]
        seq = await field.read("grid")
        answers = await asyncio.gather(*(ask() for _ in range(20)))
        rounds = await field.read("grid", above=seq) - seq
        after = site.stats()["lines"]["native"]["requests"]
        (value,) = {value for each in answers for value in each}
        assert value == pytest.approx(voltage, abs=1)
        assert after - before <= 4 * (rounds + 1)


async def test_what_is_not_polled_is_asked_on_the_line_of_any_unit(nats: NatsServer, tmp_path: Path) -> None:
    async with serving(nats, tmp_path) as (_, site, port), master(port) as client:
        reply = await client.read_holding_registers(SERIAL, count=2, device_id=9)
        serial = reply.registers[0] << 16 | reply.registers[1]
        assert str(serial) == str(site.truth()["devices"]["other"]["values"]["serial_number"])
        refused = await client.read_holding_registers(200, count=1, device_id=9)
        assert exception_of(refused) == 2
        silent = await client.read_holding_registers(0, count=1, device_id=33)
        assert exception_of(silent) == 11


async def test_a_dead_devices_registers_are_refused_not_shown(nats: NatsServer, tmp_path: Path) -> None:
    async with serving(nats, tmp_path, max_age_s=1) as (_, site, port), master(port) as client:
        assert exception_of(await client.read_holding_registers(V1, count=1, device_id=1)) is None
        site.set_faults("grid", dead=True)

        async def is_refused() -> bool:
            return exception_of(await client.read_holding_registers(V1, count=1, device_id=1)) == 11

        await until(is_refused, deadline_s=15, what="the refusal of stale registers")


async def test_writes_are_refused_unless_enabled(nats: NatsServer, tmp_path: Path) -> None:
    async with serving(nats, tmp_path) as (_, site, port), master(port) as client:
        assert exception_of(await client.write_register(MODE, 2, device_id=1)) == 1
        assert exception_of(await client.write_coil(0, True, device_id=255)) == 1
        assert site.devices["grid"].mode != 2


async def test_an_enabled_write_reaches_the_device_and_the_outputs(nats: NatsServer, tmp_path: Path) -> None:
    asked: list[tuple[str, float, str]] = []
    async with serving(nats, tmp_path, writes=True) as (field, site, port):

        async def act(args: SetOutput, command: Command[SetOutput]) -> OutputDone:
            asked.append((args.output, args.value, command.issued_by))
            now = field.bus.clock.now()
            return OutputDone(state=OutputState(output=args.output, value=args.value, since=now, reason="x"))

        async with bus_as(nats, "io") as io, master(port) as client:
            await io.serve(Answer(SET_OUTPUT, act))
            assert exception_of(await client.write_register(MODE, 2, device_id=1)) is None
            assert site.devices["grid"].mode == 2
            assert exception_of(await client.write_coil(1, True, device_id=255)) is None
            assert exception_of(await client.write_register(102, 2500, device_id=255)) is None
            assert exception_of(await client.write_register(102, 10_001, device_id=255)) == 3
        assert asked == [("relay-2", 1, "modbus:127.0.0.1"), ("analog-1", 2.5, "modbus:127.0.0.1")]


async def test_the_gateways_own_registers_are_its_devices_plants_and_outputs(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with serving(nats, tmp_path) as (field, _, port), master(port) as client:
        reading = await field.reading("grid")
        head = await client.read_input_registers(0, count=20, device_id=255)
        assert head.registers[:3] == [1, 1, 0]
        assert struct.pack(">16H", *head.registers[4:]).rstrip(b"\0").decode() == GATEWAY
        voltage = await client.read_input_registers(2004, count=2, device_id=255)
        value = struct.unpack(">f", struct.pack(">HH", *voltage.registers))[0]
        assert value == pytest.approx(reading.values["v1"], abs=5)
        assert exception_of(await client.read_input_registers(2400, count=1, device_id=255)) == 2


async def test_two_lines_with_the_same_unit_have_a_port_each(nats: NatsServer, tmp_path: Path) -> None:
    other = free_port()
    more = [SharedLine(line="ext", port=other)]
    async with (
        serving(nats, tmp_path, more=more) as (_, _site, port),
        master(port) as one,
        master(other) as two,
    ):
        ccm = await one.read_holding_registers(4, count=1, device_id=1)
        assert ccm.registers == [0x0104]
        sdm = await two.read_input_registers(0, count=2, device_id=1)
        volts = struct.unpack(">f", struct.pack(">HH", *sdm.registers))[0]
        assert 180 < volts < 280


async def test_a_client_beyond_its_rate_is_busy_and_strangers_are_not_let_in(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with (
        serving(nats, tmp_path, requests_per_s=5, clients=1) as (field, _, port),
        master(port) as client,
    ):

        async def is_busy() -> bool:
            reply = await client.read_holding_registers(V1, count=1, device_id=1)
            return exception_of(reply) == 6

        await until(is_busy, deadline_s=10, what="the answer that it asks too often", interval_s=0.0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), LEAST_S) == b""
        writer.close()

        async def is_told() -> bool:
            state = await field.bus.last(MODBUS_STATE, id="server")
            return state is not None and [each.address for each in state.clients] == ["127.0.0.1"]

        await until(is_told, deadline_s=12, what="the client in the state")


async def test_the_longest_unused_connection_makes_room_for_another_master(
    nats: NatsServer, tmp_path: Path
) -> None:
    """A master that was switched off leaves its connections behind."""
    async with serving(nats, tmp_path, clients=1) as (_, _site, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def is_served() -> bool:
            async with master(port) as another:
                return not (await another.read_holding_registers(V1, count=1, device_id=1)).isError()

        async def is_let_in() -> bool:
            try:
                return await is_served()
            except ModbusException:
                return False

        assert not await is_let_in()
        await until(is_let_in, deadline_s=15, what="room", interval_s=0.5)
        assert await asyncio.wait_for(reader.read(), LEAST_S) == b""
        writer.close()


async def test_garbage_ends_its_connection_and_nothing_else(nats: NatsServer, tmp_path: Path) -> None:
    async with serving(nats, tmp_path) as (_, _site, port), master(port) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), LEAST_S) == b""
        writer.close()
        assert exception_of(await client.read_holding_registers(V1, count=1, device_id=1)) is None


async def test_a_port_that_is_taken_is_named_and_used_once_it_is_free(
    nats: NatsServer, tmp_path: Path
) -> None:
    with socket.create_server(("", 0)) as taken:
        other = int(taken.getsockname()[1])
        async with serving(nats, tmp_path, more=[SharedLine(line="ext", port=other)]) as (field, _, port):

            async def errors() -> str | None:
                state = await field.bus.last(MODBUS_STATE, id="server")
                return None if state is None or not state.listening else state.error or ""

            async def says(wanted: str) -> bool:
                return await errors() == wanted

            reason = f"port {other} cannot be used: address already in use"
            await until(lambda: says(reason), deadline_s=10, what="the taken port in the state")
            async with master(port) as one:  # the other port works
                assert (await one.read_holding_registers(0, count=1, device_id=255)).registers == [1]
            taken.close()
            await until(lambda: says(""), deadline_s=40, what="the port in use")
            async with master(other) as two:
                assert not (await two.read_input_registers(0, count=2, device_id=1)).isError()
