"""Both ends of the Modbus TCP benchmarks: hosts in a process of their own, and the least that a client can do."""

import asyncio
import multiprocessing
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final, cast

from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

HOST: Final = "127.0.0.1"
REQUEST_BYTES: Final = 12
KEPT: Final = 100
"""Reads that a host remembers."""

Asked = tuple[int, int, int, int]
"""Unit, function, address and count of a read."""


@dataclass
class Seen:
    """By one host."""

    number: int = 0
    newest: deque[Asked] = field(default_factory=lambda: deque(maxlen=KEPT))


class Answering(asyncio.Protocol):
    """Answers each read, whole in one segment: with zeros, or with registers that change by one from reply to reply."""

    def __init__(self, turnaround_s: float, seen: Seen, *, is_still: bool) -> None:
        self._turnaround_s = turnaround_s
        self._seen = seen
        self._is_still = is_still
        self._first = 2000
        self._link: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link = transport

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), REQUEST_BYTES):
            self._answer(data[start : start + REQUEST_BYTES])

    def _answer(self, request: bytes) -> None:
        address, count = struct.unpack_from(">HH", request, 8)
        self._seen.number += 1
        self._seen.newest.append((request[6], request[7], address, count))
        body = request[6:8] + bytes((2 * count,)) + self._words(count)
        reply = request[:4] + len(body).to_bytes(2, "big") + body
        if self._turnaround_s:
            asyncio.get_running_loop().call_later(self._turnaround_s, self._link.write, reply)
        else:
            self._link.write(reply)

    def _words(self, count: int) -> bytes:
        if self._is_still:
            return bytes(2 * count)
        self._first = 2000 + (self._first - 1999) % 1000
        return struct.pack(f">{count}H", *range(self._first, self._first + count))


def _serve(hosts: int, turnaround_s: float, tell: Connection, *, is_still: bool) -> None:
    """Tells its ports, and what each host was asked whenever it is asked for that."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen = [Seen() for _ in range(hosts)]

        def host(each: Seen) -> Answering:
            return Answering(turnaround_s, each, is_still=is_still)

        servers = [await loop.create_server(lambda each=each: host(each), HOST, 0) for each in seen]  # type: ignore[misc]
        silent = await loop.create_server(asyncio.Protocol, HOST, 0)
        tell.send([server.sockets[0].getsockname()[1] for server in (*servers, silent)])

        def told() -> None:
            tell.recv()
            tell.send([(each.number, list(each.newest)) for each in seen])

        loop.add_reader(tell.fileno(), told)
        await asyncio.Event().wait()

    asyncio.run(main())


@dataclass(frozen=True)
class Hosts:
    """`silent` takes connections and never answers."""

    ports: list[int]
    silent: int
    ask: Connection

    def seen(self) -> list[tuple[int, list[Asked]]]:
        """Of each host: how many reads, and the newest of them."""
        self.ask.send(None)
        return cast("list[tuple[int, list[Asked]]]", self.ask.recv())


@contextmanager
def answering(count: int, turnaround_s: float, *, is_still: bool = False) -> Iterator[Hosts]:
    """In a process of their own; `is_still`: with zeros."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(
        target=_serve, args=(count, turnaround_s, there), kwargs={"is_still": is_still}, daemon=True
    )
    server.start()
    try:
        *ports, silent = here.recv()
        yield Hosts(ports, silent, here)
    finally:
        server.terminate()
        server.join()


class Bare(asyncio.Protocol):
    """The client: one read at a time, no time-out, no check."""

    def __init__(self) -> None:
        self.link: Any = None
        self._decoder = DecodePDU(is_server=False)
        self._framer = FramerSocket(self._decoder)
        self._reply: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.link = transport

    def data_received(self, data: bytes) -> None:
        if self._reply is not None:
            self._reply.set_result(data)

    async def read(self, request: ModbusPDU, transaction: int) -> list[int]:
        request.transaction_id = transaction
        self._reply = asyncio.get_running_loop().create_future()
        self.link.write(self._framer.buildFrame(request))
        _, _, _, pdu = self._framer.decode(await self._reply)
        reply = self._decoder.decode(pdu)
        assert reply is not None
        return list(reply.registers)
