"""One master that asks too much, or does not read: what is heard of it, over a real connection."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ccm_bus_reader.server.client import HEARD, Answer, Client
from ccm_bus_reader.server.frames import Asked
from ccm_kit.clock import SystemClock
from tests.support.wait import until

READ = bytes.fromhex("0007 0000 0006 01 04 0000 007D")
"""125 input registers: MODBUS Application Protocol V1.1b3, section 6.4, with a header."""
REPLY_BYTES = 259
BUSY_BYTES = 9


class StoppedClock(SystemClock):
    """No time passes, so that no budget grows."""

    def monotonic(self) -> float:
        return 1000.0


class Registers:
    def at_once(self, asked: Asked) -> Answer | None:
        return (0,) * asked.count

    async def later(self, _asked: Asked, _client: str) -> Answer:
        raise AssertionError("everything is answered at once")


@asynccontextmanager
async def connected(requests_per_s: int) -> AsyncIterator[tuple[Client, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    client = Client(Registers(), requests_per_s, StoppedClock(), lambda _: None)
    link, _ = await asyncio.get_running_loop().create_connection(lambda: client, sock=ours)
    try:
        yield client, theirs
    finally:
        link.abort()
        theirs.close()


async def test_a_flood_is_told_busy_and_then_not_heard() -> None:
    async with connected(50) as (client, master):
        await asyncio.get_running_loop().sock_sendall(master, READ * 1000)
        received = bytearray()

        async def is_all() -> bool:
            received.extend(await asyncio.get_running_loop().sock_recv(master, 65536))
            return len(received) >= 50 * REPLY_BYTES + 50 * BUSY_BYTES

        await until(is_all, deadline_s=10, what="the answers and refusals")
        assert (client.requests, client.refusals) == (HEARD * 50, 50)
        assert len(received) == 50 * REPLY_BYTES + 50 * BUSY_BYTES


async def test_who_does_not_read_is_not_heard_and_gets_every_answer_once_it_reads() -> None:
    asked = 4000
    async with connected(asked) as (client, master):
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(loop.sock_sendall(master, READ * asked))

        async def stands_still() -> bool:
            before = client.requests
            await asyncio.sleep(0.05)
            return before > 0 and client.requests == before

        await until(stands_still, deadline_s=10, what="the pause")
        assert client.requests < asked
        received = 0
        while received < asked * REPLY_BYTES:
            received += len(await loop.sock_recv(master, 65536))
        await sending
        assert (client.requests, client.refusals, received) == (asked, 0, asked * REPLY_BYTES)
