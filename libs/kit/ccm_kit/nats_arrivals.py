"""What a pull consumer was sent: the messages until they are taken, and each until it is acknowledged."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import nats.errors
from nats.aio.client import Client

from ccm_kit.errors import BusDownError
from ccm_kit.nats_wire import send_all

DOWN = (nats.errors.Error, asyncio.TimeoutError, OSError)
"""What nats-py raises when the server does not answer."""

HEARTBEAT: Final = "100"
ACK: Final = b""
KEEP: Final = b"+WPI"
RELEASE: Final = b"-NAK"
PLAIN_TOKENS: Final = 9
"""Tokens of an acknowledgement's subject without a domain."""


class RawDelivery:
    """A message that a durable consumer handed out and that waits for its acknowledgement."""

    __slots__ = ("_client", "_stored_ns", "data", "reply", "seq", "subject")

    def __init__(self, client: Client, subject: str, reply: str, data: bytes) -> None:
        # $JS.ACK.<stream>.<consumer>.<times>.<stream seq>.<consumer seq>.<ns>.<pending>, or two tokens more in front
        # and one behind (NATS ADR-15): the library's own reading of it costs as much as the message itself.
        tokens = reply.split(".")
        at = 4 if len(tokens) == PLAIN_TOKENS else 6
        self._client = client
        self._stored_ns = tokens[at + 3]
        self.subject = subject
        self.reply = reply
        self.data = data
        self.seq = int(tokens[at + 1])

    @property
    def stored_at(self) -> datetime:
        """When the stream took it."""
        return datetime.fromtimestamp(int(self._stored_ns) / 1e9, UTC)

    async def ack(self) -> None:
        await answer_all((self,), ACK)

    async def keep(self) -> None:
        """Ask for another `ACK_WAIT_S` before it is delivered again."""
        await answer_all((self,), KEEP)

    async def release(self) -> None:
        """Give it back: it is delivered again at once, to whoever pulls."""
        await answer_all((self,), RELEASE)


async def answer_all(deliveries: Sequence[RawDelivery], answer: bytes) -> None:
    """The same answer to each, in one piece; lost while NATS is away: they are delivered again."""
    if deliveries:
        with suppress(*DOWN):
            await send_all(deliveries[0]._client, [each.reply for each in deliveries], answer)


class Arrivals:
    """What came for one subscription and was not taken yet; a pull asks for more only when it is empty."""

    def __init__(self) -> None:
        self._messages: deque[tuple[bytes, bytes, bytes]] = deque()
        self._reply = b""
        self._wanted = 0
        self._status = ""
        self._is_lost = False
        self._stir = asyncio.Event()

    def take(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        """A `Taker`."""
        if header[8:9] == b" ":  # NATS/1.0 404 No Messages
            status = header[9:12].decode()
            if subject == self._reply and status != HEARTBEAT:
                self._status = status
                self._stir.set()
            return
        self._messages.append((subject, reply, data))
        if len(self._messages) >= self._wanted:
            self._stir.set()

    def lost(self) -> None:
        """The connection was lost and is back: what was asked for may never come."""
        self._is_lost = True
        self._stir.set()

    def expect(self, reply: str, number: int) -> None:
        self._reply, self._wanted, self._status = reply.encode(), number, ""

    async def all(self) -> tuple[list[tuple[bytes, bytes, bytes]], str]:
        """(subject, reply, payload) of what was expected, and the status that ended it sooner."""
        while not (self._is_lost or self._status or len(self._messages) >= self._wanted):
            self._stir.clear()
            await self._stir.wait()
        if self._is_lost:
            raise BusDownError("NATS was away")
        number = min(self._wanted, len(self._messages))
        return [self._messages.popleft() for _ in range(number)], self._status
