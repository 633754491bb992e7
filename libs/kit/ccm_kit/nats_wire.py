"""A short way through nats-py for what comes and goes in bulk: the messages of a pull and their acknowledgements.

The library makes a task switch, two coroutines and an object of every message; at thousands a second that is most of
what a message costs. Only whole frames of subscriptions that asked for it (`takers`) go the short way, everything else
goes through the library's own parser, frame by frame and in order.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import nats.errors
from nats.aio.client import Client
from nats.protocol.parser import Parser

Taker = Callable[[bytes, bytes, bytes, bytes], None]
"""Is given subject, reply, header block (or nothing) and payload of each message; must not raise or block."""

_END: Final = b"\r\n"
_PLAIN: Final = b"MSG"
_WITH_HEADER: Final = b"HMSG"


class Wire(Parser):
    """Takes the place of a client's parser before it connects."""

    def __init__(self, client: Client) -> None:
        self.takers: dict[bytes, Taker] = {}
        """By the number of the subscription."""
        self._rest = b""
        self._resets = 0
        super().__init__(client)

    def reset(self) -> None:
        """A new connection begins."""
        super().reset()
        self._rest = b""
        self._resets += 1

    async def parse(self, data: bytes = b"") -> None:
        """Take what came; an unfinished frame waits for its rest."""
        buffer, at, resets = self._rest + data, 0, self._resets
        self._rest = b""
        while (end := buffer.find(_END, at)) >= 0:
            words = buffer[at:end].split()
            kind = words[0] if words else b""
            end += 2
            if kind in (_PLAIN, _WITH_HEADER):
                body, end = end, end + int(words[-1]) + 2
                if end > len(buffer):
                    break
                taker = self.takers.get(words[2])
                if taker is not None:
                    extra = kind == _WITH_HEADER
                    split = body + int(words[-2]) if extra else body
                    reply = words[3] if len(words) == 5 + extra else b""
                    taker(words[1], reply, buffer[body:split], buffer[split : end - 2])
                    at = end
                    continue
            await super().parse(buffer[at:end])
            at = end
        if resets == self._resets:
            self._rest = buffer[at:]


def wired(client: Client) -> Wire:
    """Give a client that is not connected yet this parser."""
    wire = Wire(client)
    client._ps = wire
    return wire


async def send_all(client: Client, subjects: Sequence[bytes], payload: bytes = b"") -> None:
    """Publish the same payload on each subject (at least one), in one piece. Raises nats-py's errors."""
    if client.is_closed:
        raise nats.errors.ConnectionClosedError
    if client.is_draining_pubs:
        raise nats.errors.ConnectionDrainingError
    if not client.is_connected:
        raise nats.errors.OutboundBufferLimitError
    tail = f" {len(payload)}\r\n".encode() + payload + _END
    piece = b"PUB " + (tail + b"PUB ").join(subjects) + tail
    inside = cast(Any, client)
    await inside._send_command(piece)
    if inside._flush_queue.empty():
        await inside._flush_pending()
