"""What a pull consumer was sent: the messages until they are taken, and each until it is acknowledged."""

import asyncio
from collections import deque
from typing import Final

import nats.errors

from ccm_kit.errors import BusDownError

DOWN = (nats.errors.Error, asyncio.TimeoutError, OSError)
"""What nats-py raises when the server does not answer."""

HEARTBEAT: Final = "100"
ACK: Final = b""
KEEP: Final = b"+WPI"
RELEASE: Final = b"-NAK"
PLAIN_TOKENS: Final = 9
"""Tokens of an acknowledgement's subject without a domain."""


Arrived = tuple[str, bytes, bytes]
"""Subject, where its acknowledgement goes, and payload of a message that waits for it."""


def place_of(reply: bytes) -> tuple[int, bytes]:
    """The message's sequence in the stream, and the digits of the ns since 1970 when it was stored.

    `$JS.ACK.<stream>.<consumer>.<times>.<stream seq>.<consumer seq>.<ns>.<pending>`, or two tokens more in front and
    one behind (NATS ADR-15). The library's own reading of it costs as much as the message itself.
    """
    tokens = reply.split(b".")
    at = 4 if len(tokens) == PLAIN_TOKENS else 6
    return int(tokens[at + 1]), tokens[at + 3]


class Arrivals:
    """What came for one subscription and was not taken yet; a pull asks for more only when it is empty."""

    def __init__(self) -> None:
        self._messages: deque[Arrived] = deque()
        self._reply = b""
        self._wanted = 0
        self._is_lost = False
        self._stir = asyncio.Event()
        self.status = ""
        """What the server said instead of sending all that was expected."""

    def take(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        """A `Taker`."""
        if header[8:9] == b" ":  # NATS/1.0 404 No Messages
            status = header[9:12].decode()
            if subject == self._reply and status != HEARTBEAT:
                self.status = status
                self._stir.set()
            return
        self._messages.append((subject.decode(), reply, data))
        self._stir.set()

    def lost(self) -> None:
        """The connection was lost and is back: what was asked for may never come."""
        self._is_lost = True
        self._stir.set()

    def expect(self, reply: str, number: int) -> None:
        self._reply, self._wanted, self.status = reply.encode(), number, ""

    async def some(self, most: int) -> list[Arrived]:
        """The next of what was expected, as soon as there are any; empty when there are no more of them."""
        while self._wanted and not self._is_lost:
            if self._messages:
                number = min(most, self._wanted, len(self._messages))
                self._wanted -= number
                taken = self._messages.popleft
                return [taken() for _ in range(number)]
            if self.status:
                break
            self._stir.clear()
            await self._stir.wait()
        if self._is_lost:
            raise BusDownError("NATS was away")
        return []
