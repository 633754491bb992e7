"""Whether a broker still knows what it knew when the connection broke, seen from the status that it kept.

A broker that goes on publishes our last will when the connection breaks, and one that ends in good order does so before
it saves its state: the retained status is that will. A broker that was killed has an older status or none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from ccm_uplink.sinks.mqtt_client import Client

ASK_S: Final = 3.0
"""Longest wait for the status; a broker may grant a subscription and deliver nothing."""

RETURN_S: Final = 5.0
"""What a broker that may have lost its subscriptions is not sent anything in: its subscribers return too."""
RETURN_LOOK_S: Final = 1.0
RETURN_LOOKS: Final = 25
"""How often it is asked then whether the status, which had subscribers, has one again."""


class Memory(Enum):
    """What a broker has of the time before this connection."""

    WHOLE = "whole"
    DOUBTFUL = "doubtful"
    """It has an older state, or does not say."""
    LOST = "lost"


async def memory_of(
    client: Client, topic: str, last_will: bytes | None, say: Callable[[], Awaitable[object]]
) -> Memory:
    """`say` publishes a new status, and is called in any case. Raises `MqttError`.

    The kept message comes before our own: when that is the first one, the broker kept none.
    """
    first: asyncio.Future[tuple[bytes, bool]] = asyncio.get_running_loop().create_future()

    def seen(payload: bytes, is_kept: bool) -> None:
        if not first.done():
            first.set_result((payload, is_kept))

    client.watch(topic, seen)
    codes = await client.subscribe(topic, qos=0)
    await say()
    try:
        async with asyncio.timeout(0 if any(_is_refusal(code) for code in codes) else ASK_S):
            payload, is_kept = await first
    except TimeoutError:
        return Memory.DOUBTFUL
    finally:
        client.watch(None, None)
    await client.unsubscribe(topic)
    if not is_kept:
        return Memory.LOST
    return Memory.WHOLE if payload == last_will else Memory.DOUBTFUL


async def await_subscribers(say: Callable[[], Awaitable[bool]], *, were_there: bool) -> bool:
    """Give them time to be back; `say` publishes the status and tells whether somebody is subscribed to it.

    Whether somebody is, as far as it was asked: a status that nobody heard before says nothing. Raises `MqttError`.
    """
    await asyncio.sleep(RETURN_S)
    for _ in range(RETURN_LOOKS if were_there else 0):
        if await say():
            return True
        await asyncio.sleep(RETURN_LOOK_S)
    return False


def _is_refusal(code: object) -> bool:
    return bool(getattr(code, "is_failure", code == 128))
