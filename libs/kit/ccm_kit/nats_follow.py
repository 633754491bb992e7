"""A subject of a stream, followed: what is newest now, then each new message, for ever."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import nats.js.errors
from nats.aio.msg import Msg
from nats.js import api as js_api

from ccm_kit.backoff import Backoff
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import UnavailableError
from ccm_kit.nats_arrivals import DOWN
from ccm_kit.nats_kept import ensure_kept
from ccm_kit.nats_pull import ANSWER_S, Connection

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 5.0
SILENCE_S: Final = 12.0
"""A followed stream that sent neither message nor heartbeat for so long is asked for anew."""
MOST_FOLLOWED: Final = 10_000
"""Messages that wait for a slow follower; beyond it the snapshot is taken again."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A message of a stream. `data` is None for a deleted key; `caught_up` ends each snapshot of a follow."""

    subject: str
    data: bytes | None
    seq: int
    caught_up: bool = False


class Following(Connection, Protocol):
    """What following needs of the connection."""

    followers: set[asyncio.Queue[Msg | None]]
    """Each gets a None when the connection was lost and is back: what it waited for may never come."""


async def follow(link: Following, stream: str, subject: str) -> AsyncIterator[Raw]:
    """The newest message of each subject, a `caught_up` mark, then each new one as it comes, for ever.

    Survives restarts of the server: the snapshot is taken again, what was already seen is left out.
    """
    seen: dict[str, int] = {}
    backoff = Backoff(first_s=0.1, ceiling_s=2.0)
    while True:
        stop_if_cancelled()
        try:
            async for raw in _once(link, stream, subject):
                backoff.reset()
                if raw.caught_up:
                    yield raw
                elif seen.get(raw.subject) != raw.seq:
                    seen[raw.subject] = raw.seq
                    yield raw
        except nats.js.errors.NotFoundError:
            with suppress(*DOWN):
                await ensure_kept(link.js)
        except (*DOWN, UnavailableError) as err:
            log.debug("follow again", extra={"stream": stream, "error": repr(err)})
        await asyncio.sleep(backoff.next())


async def _once(link: Following, stream: str, subject: str) -> AsyncIterator[Raw]:
    inbox = link.client.new_inbox()
    queue: asyncio.Queue[Msg | None] = asyncio.Queue(MOST_FOLLOWED)

    async def take(message: Msg) -> None:
        with suppress(asyncio.QueueFull):  # the gap that this leaves is seen below, and all is asked for anew
            queue.put_nowait(message)

    subscription = await link.client.subscribe(inbox, cb=take)
    link.followers.add(queue)
    try:
        info = await link.js.add_consumer(
            stream,
            js_api.ConsumerConfig(
                name=f"follow-{inbox.rsplit('.', 1)[-1]}",
                deliver_subject=inbox,
                deliver_policy=js_api.DeliverPolicy.LAST_PER_SUBJECT,
                ack_policy=js_api.AckPolicy.NONE,
                filter_subject=subject,
                mem_storage=True,
                inactive_threshold=30.0,
                idle_heartbeat=HEARTBEAT_S,
                max_deliver=1,
            ),
            timeout=ANSWER_S,
        )
        left = info.num_pending or 0
        if info.delivered is not None:
            left += info.delivered.consumer_seq
        if left == 0:
            yield Raw(subject, None, 0, caught_up=True)
        async for raw in _live(queue, left):
            yield raw
    finally:
        link.followers.discard(queue)
        with suppress(*DOWN):
            await subscription.unsubscribe()


async def _live(queue: "asyncio.Queue[Msg | None]", left: int) -> AsyncIterator[Raw]:
    expected = 1
    while True:
        async with asyncio.timeout(SILENCE_S):
            message = await queue.get()
        if message is None:
            raise UnavailableError("NATS was away")
        if message.headers and message.headers.get("Status"):
            continue
        metadata = message.metadata
        if metadata.sequence.consumer != expected:
            raise UnavailableError("messages were skipped")
        expected += 1
        operation = (message.headers or {}).get("KV-Operation")
        data = None if operation in ("DEL", "PURGE") else message.data
        yield Raw(message.subject, data, metadata.sequence.stream)
        if expected - 1 == left:
            yield Raw(message.subject, None, 0, caught_up=True)
