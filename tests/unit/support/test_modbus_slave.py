"""The independent slave answers pymodbus' own client as the Modbus specification says."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.pdu import ExceptionResponse

from tests.support.modbus_slave import ModbusSlave, Request, build_slave, rtu_slave, tcp_slave
from tests.support.pty_pair import PtyPair
from tests.support.wait import LEAST_S

TABLE = """
1 3 100 0x1234 7 -1      # holding registers
1 4 0 230
1 1 5 1 0
9 3 100 42
"""
ILLEGAL_DATA_ADDRESS = 2  # Modbus Application Protocol V1.1b3, section 7


@asynccontextmanager
async def rtu_client(path: str) -> AsyncIterator[AsyncModbusTcpClient]:
    """pymodbus' serial client needs pyserial, which is not installed: its RTU framer over a bridge instead."""
    async with bridge(path) as port, connected(port, FramerType.RTU) as client:
        yield client


@asynccontextmanager
async def tcp_client(slave: ModbusSlave) -> AsyncIterator[AsyncModbusTcpClient]:
    async with connected(slave.port, FramerType.SOCKET) as client:
        yield client


@asynccontextmanager
async def connected(port: int, framer: FramerType) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, framer=framer, timeout=0.3, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def bridge(path: str) -> AsyncIterator[int]:
    """The TCP port that carries the bytes of a serial path."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        loop = asyncio.get_running_loop()
        loop.add_reader(fd, lambda: writer.write(os.read(fd, 4096)))
        try:
            while data := await reader.read(4096):
                os.write(fd, data)
        finally:
            loop.remove_reader(fd)
            os.close(fd)
            writer.close()
            ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(LEAST_S):
            await ended.wait()


@pytest.fixture(params=["rtu", "tcp"])
async def line(
    request: pytest.FixtureRequest, serial_line: PtyPair, tmp_path: Path
) -> AsyncIterator[tuple[AsyncModbusTcpClient, ModbusSlave]]:
    """A client and the slave, on a serial line and over TCP."""
    if request.param == "rtu":
        async with (
            rtu_slave(serial_line.a, TABLE, tmp_path=tmp_path) as slave,
            rtu_client(serial_line.b) as at,
        ):
            yield at, slave
    else:
        async with tcp_slave(TABLE, tmp_path=tmp_path) as slave, tcp_client(slave) as at:
            yield at, slave


Line = tuple[AsyncModbusTcpClient, ModbusSlave]


async def test_each_unit_answers_with_its_own_registers(line: Line) -> None:
    client, slave = line
    first = await client.read_holding_registers(100, count=3, device_id=1)
    second = await client.read_holding_registers(100, count=1, device_id=9)
    inputs = await client.read_input_registers(0, count=1, device_id=1)
    assert (first.registers, second.registers, inputs.registers) == ([0x1234, 7, 0xFFFF], [42], [230])
    assert slave.requests == [Request(1, 3, 100, 3), Request(9, 3, 100, 1), Request(1, 4, 0, 1)]


async def test_unlisted_address_gets_exception_2(line: Line) -> None:
    client, _ = line
    for address, count in ((99, 2), (102, 2), (0, 1)):
        reply = await client.read_holding_registers(address, count=count, device_id=1)
        assert isinstance(reply, ExceptionResponse)
        assert reply.exception_code == ILLEGAL_DATA_ADDRESS


async def test_unknown_unit_stays_silent_and_the_next_is_answered(line: Line) -> None:
    client, slave = line
    with pytest.raises(ModbusIOException):
        await client.read_holding_registers(100, count=1, device_id=2)
    reply = await client.read_holding_registers(100, count=1, device_id=9)
    assert reply.registers == [42]
    assert slave.requests == [Request(9, 3, 100, 1)]


async def test_writes_change_what_is_listed_and_only_that(line: Line) -> None:
    client, _ = line
    await client.write_register(101, 500, device_id=1)
    await client.write_registers(101, [501, 502], device_id=1)
    await client.write_coil(6, True, device_id=1)
    refused = await client.write_register(103, 1, device_id=1)
    registers = await client.read_holding_registers(100, count=3, device_id=1)
    coils = await client.read_coils(5, count=2, device_id=1)
    assert registers.registers == [0x1234, 501, 502]
    assert coils.bits[:2] == [True, True]
    assert isinstance(refused, ExceptionResponse)
    assert refused.exception_code == ILLEGAL_DATA_ADDRESS


async def test_cut_line_loses_bytes_and_mended_line_answers(serial_line: PtyPair, tmp_path: Path) -> None:
    async with (
        rtu_slave(serial_line.a, {(1, 3, 0): [5]}, tmp_path=tmp_path),
        rtu_client(serial_line.b) as client,
    ):
        serial_line.cut()
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0, device_id=1)
        serial_line.mend()
        assert (await client.read_holding_registers(0, device_id=1)).registers == [5]


async def test_two_clients_at_once_over_tcp(tmp_path: Path) -> None:
    async with (
        tcp_slave(TABLE, tmp_path=tmp_path) as slave,
        tcp_client(slave) as one,
        tcp_client(slave) as two,
    ):
        assert (await one.read_holding_registers(100, device_id=9)).registers == [42]
        assert (await two.read_holding_registers(100, device_id=9)).registers == [42]


def test_program_is_built_once() -> None:
    assert build_slave().stat().st_mtime_ns == build_slave().stat().st_mtime_ns


async def test_serial_slave_ignores_garbage_and_wrong_crc(serial_line: PtyPair, tmp_path: Path) -> None:
    wrong_crc = bytes.fromhex("01 03 0000 0001 ffff")
    async with rtu_slave(serial_line.a, {(1, 3, 0): [5]}, tmp_path=tmp_path) as slave:
        async with rtu_client(serial_line.b) as client:
            for noise in (b"\x00", b"\xff" * 300, wrong_crc):
                serial_line.inject(noise)
                with pytest.raises(ModbusIOException):  # taken for the rest of the noise
                    await client.read_holding_registers(0, device_id=1)
                assert (await client.read_holding_registers(0, device_id=1)).registers == [5]
            reply = await client.readwrite_registers(
                read_address=0, read_count=1, write_address=0, values=[6], device_id=1
            )
        assert reply.registers == [6]
        assert slave.requests[-1] == Request(1, 23, 0, 1)
