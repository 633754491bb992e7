"""The misbehaving proxy passes bytes on unchanged, and breaks as it is told."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.support.ports import free_port
from tests.support.proxy import Proxy, proxy
from tests.support.wait import LEAST_S

BIG = bytes(range(256)) * 4096  # 1 MiB


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection through a proxy to a server that sends everything back, then its end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
            writer.write(b"bye")
        except OSError:
            pass
        finally:
            await gone(writer)

    port = free_port()
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    try:
        async with proxy(port) as between, asyncio.timeout(LEAST_S):
            reader, writer = await asyncio.open_connection(between.host, between.port)
            try:
                yield between, reader, writer
            finally:
                await gone(writer)
    finally:
        server.close()
        await server.wait_closed()


async def gone(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def test_bytes_and_ends_pass_unchanged() -> None:
    async with echo() as (between, reader, writer):
        writer.write(BIG)
        assert await reader.readexactly(len(BIG)) == BIG
        writer.write_eof()
        assert await reader.read() == b"bye"
        assert between.passed == {"up": len(BIG), "down": len(BIG) + 3}


async def test_line_is_cut_after_the_given_bytes() -> None:
    async with echo() as (between, reader, writer):
        between.down.cut_after_bytes = 5
        writer.write(b"0123456789")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(10)
        assert between.passed["down"] == 5
        assert between.down.cut_after_bytes is None


async def test_answer_with_the_text_is_lost_and_the_line_cut() -> None:
    async with echo() as (between, reader, writer):
        between.down.lose_at = b"226"
        writer.write(b"150 ok\r\n")
        assert await reader.readline() == b"150 ok\r\n"
        writer.write(b"226 done\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        assert between.passed["down"] == 8


async def test_stalled_line_passes_nothing_until_it_flows() -> None:
    async with echo() as (between, reader, writer):
        between.stall()
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(4), 0.1)
        between.flow()
        assert await reader.read(4) == b"late"


async def test_delay_and_rate_are_kept() -> None:
    async with echo() as (between, reader, writer):
        between.up.delay_s = 0.1
        between.down.bytes_s = 10_000
        started = time.monotonic()
        writer.write(b"x" * 1000)
        await reader.readexactly(1000)
        assert time.monotonic() - started >= 0.2


async def test_half_closed_line_still_answers() -> None:
    async with echo() as (between, reader, writer):
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        between.half_close("up")
        assert await reader.read() == b"bye"


async def test_refused_and_welcome_again() -> None:
    async with echo() as (between, reader, writer):
        writer.write(b"up")
        await reader.readexactly(2)
        between.refuse()
        between.cut()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(between.host, between.port)
        await between.start()
        answer, again = await asyncio.open_connection(between.host, between.port)
        again.write(b"back")
        assert await answer.readexactly(4) == b"back"
        await gone(again)
