"""The short way through nats-py: frames as a server writes them (NATS client protocol), cut at every byte."""

import asyncio
from typing import Any, Final, cast

import pytest
from nats.aio.client import Client

from ccm_kit.nats_wire import Wire, wired

HEADER: Final = b"NATS/1.0\r\nNats-Msg-Id: d0-1\r\n\r\n"
STATUS: Final = b"NATS/1.0 404 No Messages\r\n\r\n"
FRAMES: Final = (
    b"MSG ccm.a 7 $JS.ACK.1 5\r\nhello\r\n"
    b"PING\r\n"
    b"HMSG ccm.b 7 $JS.ACK.2 %d %d\r\n%sMSG x\r\n\r\n"
    b"MSG other 8 2\r\nno\r\n"
    b"MSG ccm.c 7 0\r\n\r\n"
    b"HMSG _INBOX.1 7 %d %d\r\n%s\r\n"
    % (len(HEADER), len(HEADER) + 7, HEADER, len(STATUS), len(STATUS), STATUS)
)
TAKEN: Final = [
    (b"ccm.a", b"$JS.ACK.1", b"", b"hello"),
    (b"ccm.b", b"$JS.ACK.2", HEADER, b"MSG x\r\n"),
    (b"ccm.c", b"", b"", b""),
    (b"_INBOX.1", b"", STATUS, b""),
]


def _wire() -> tuple[Wire, list[tuple[bytes, ...]], list[str]]:
    """A parser whose subscription 7 goes the short way; what was taken, and what the client was told."""
    client, taken, told = Client(), list[tuple[bytes, ...]](), list[str]()
    wire = wired(client)
    wire.takers[b"7"] = lambda *frame: taken.append(frame)

    async def ping() -> None:
        told.append("ping")

    async def message(sid: int, *_: object) -> None:
        told.append(f"message for {sid}")

    inside = cast(Any, client)
    inside._process_ping, inside._process_msg = ping, message
    return wire, taken, told


@pytest.mark.parametrize("size", [1, 2, 3, 7, 29, len(FRAMES)])
def test_frames_are_found_however_they_are_cut(size: int) -> None:
    wire, taken, told = _wire()

    async def feed() -> None:
        for at in range(0, len(FRAMES), size):
            await wire.parse(FRAMES[at : at + size])

    asyncio.run(feed())
    assert taken == TAKEN
    assert told == ["ping", "message for 8"]


@pytest.mark.parametrize("cut", range(1, len(FRAMES)))
def test_frames_are_found_across_a_cut_at_any_byte(cut: int) -> None:
    wire, taken, told = _wire()

    async def feed() -> None:
        await wire.parse(FRAMES[:cut])
        await wire.parse(FRAMES[cut:])

    asyncio.run(feed())
    assert (taken, told) == (TAKEN, ["ping", "message for 8"])


def test_a_new_connection_forgets_half_a_frame() -> None:
    wire, taken, _ = _wire()

    async def feed() -> None:
        await wire.parse(b"MSG ccm.a 7 $JS.ACK.1 5\r\nhel")
        wire.reset()
        await wire.parse(FRAMES)

    asyncio.run(feed())
    assert taken == TAKEN
