"""What the server knows of a stream: its state, its consumers, and the newest of each subject at some time."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nats.aio.msg import Msg

from ccm_kit.errors import BusDownError
from ccm_kit.nats_arrivals import DOWN
from ccm_kit.nats_pull import ANSWER_S, Connection

MOST_FOUND: Final = 1000
"""Subjects that one question is answered for."""


@dataclass(frozen=True, slots=True)
class Found:
    """A message of a stream."""

    subject: str
    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a stream holds; `first_seq` of an empty one is `last_seq` + 1."""

    first_seq: int
    last_seq: int
    messages: int
    size_bytes: int
    first_at: datetime | None
    max_bytes: int
    """0: no limit."""
    max_age_s: float


async def stream_facts(link: Connection, stream: str) -> StreamFacts:
    """Raises `BusDownError`."""
    info = await _asked(link, f"STREAM.INFO.{stream}", {})
    found, config = info.get("state", {}), info.get("config", {})
    is_empty = not found.get("messages")
    return StreamFacts(
        first_seq=found.get("first_seq", 0) if not is_empty else found.get("last_seq", 0) + 1,
        last_seq=found.get("last_seq", 0),
        messages=found.get("messages", 0),
        size_bytes=found.get("bytes", 0),
        first_at=None if is_empty else _time(found["first_ts"]),
        max_bytes=max(0, config.get("max_bytes", 0)),
        max_age_s=config.get("max_age", 0) / 1e9,
    )


async def consumer_names(link: Connection, stream: str) -> list[str]:
    """Every consumer of the stream, those of others included. Raises `BusDownError`."""
    names: list[str] = []
    while True:
        page = await _asked(link, f"CONSUMER.NAMES.{stream}", {"offset": len(names)})
        found = page.get("consumers") or []
        names += found
        if not found or len(names) >= page.get("total", 0):
            return names


async def newest_up_to(link: Connection, stream: str, subject: str, last_seq: int) -> list[Found]:
    """The newest message of each subject among those up to `last_seq`; what was dropped is not found.

    Raises `BusDownError`. One request, answered message by message (NATS ADR-31; server 2.11 or newer).
    """
    await link.require_connection()
    inbox = link.client.new_inbox()
    queue: asyncio.Queue[Msg] = asyncio.Queue(MOST_FOUND)
    subscription = await link.client.subscribe(inbox, cb=queue.put)
    request = {"multi_last": [subject], "up_to_seq": last_seq, "batch": MOST_FOUND}
    found: list[Found] = []
    try:
        await link.client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), inbox)
        async with asyncio.timeout(ANSWER_S):
            while True:
                message = await queue.get()
                headers = message.headers or {}
                if headers.get("Status"):
                    return found
                found.append(Found(headers["Nats-Subject"], int(headers["Nats-Sequence"]), message.data))
    except DOWN as err:
        raise BusDownError(f"cannot read {stream}: {err!r}") from err
    finally:
        with suppress(*DOWN, ValueError):
            await subscription.unsubscribe()


async def _asked(link: Connection, what: str, request: dict[str, Any]) -> dict[str, Any]:
    await link.require_connection()
    try:
        answer = await link.client.request(f"$JS.API.{what}", json.dumps(request).encode(), timeout=ANSWER_S)
    except DOWN as err:
        raise BusDownError(f"cannot ask {what}: {err!r}") from err
    found: dict[str, Any] = json.loads(answer.data)
    if "error" in found:
        raise BusDownError(f"{what}: {found['error'].get('description')}")
    return found


def _time(text: str) -> datetime:
    """The server writes nanoseconds, which Python does not read."""
    seconds, _, rest = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}.{(rest or '0')[:6].ljust(6, '0')}+00:00")
