"""The live stream: server-sent events with a heartbeat, replay by `Last-Event-ID`, and an end with the session."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ccm_api.accounts import Identity
from ccm_api.deps import Site, SiteDep, ViewerDep
from ccm_api.hub import MOST_CLIENTS, TOPICS, Client, Item, Topic
from ccm_api.problems import ProblemError, invalid

router = APIRouter(tags=["stream"])

HEARTBEAT_S: Final = 15.0
SEND_S: Final = 10.0
"""A client that takes nothing for so long is given up."""
_HEARTBEAT: Final = b": alive\n\n"


class EventStream(StreamingResponse):
    """Writes what its client gets until the connection, the session or the client's patience ends."""

    media_type = "text/event-stream"

    def __init__(self, site: Site, topics: frozenset[Topic], last_id: str | None, who: Identity) -> None:
        super().__init__(iter(()), headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._site = site
        self._topics = topics
        self._last_id = last_id
        self._who = who

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        with self._site.hub.client(
            self._topics, lambda: self._site.accounts.still_holds(self._who)
        ) as client:
            first = list(self._first())
            watching = asyncio.create_task(_watch(receive, client), name="api.stream.watch")
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await _send(send, _joined(first))
                await _write(client, send)
            except TimeoutError:
                return  # a client that takes nothing; the server closes its connection
            finally:
                watching.cancel()

    def _first(self) -> Iterator[Item]:
        """What the client missed; for a new one, and after a restart of this service, the newest of each thing."""
        missed = self._site.hub.since(self._last_id) if self._last_id else None
        if missed is not None:
            yield from (item for item in missed if item.topic in self._topics)
            return
        for topic, data in self._site.live.newest(self._topics):
            yield Item("", topic, data)


@router.get(
    "/stream",
    summary="Live messages",
    response_class=StreamingResponse,
    responses={200: {"content": {EventStream.media_type: {"schema": {"type": "string"}}}}},
)
async def stream(
    site: SiteDep,
    who: ViewerDep,
    topics: Annotated[
        str,
        Query(description="Comma-separated: telemetry, plant, event, state", examples=["telemetry,plant"]),
    ] = ",".join(TOPICS),
    last_event_id: Annotated[str | None, Header(max_length=60)] = None,
) -> EventStream:
    """Server-sent events: `event:` is the topic, `data:` the bus message, `id:` can be replayed.

    First comes the newest message of each device, plant and state; with `Last-Event-ID` what was missed since then
    (the last 1000 messages are kept). A state says its `kind` and `id`. A comment every 15 s keeps the line open.
    """
    named = {topic for topic in topics.split(",") if topic}
    chosen = frozenset(topic for topic in TOPICS if topic in named)
    if not named or len(chosen) < len(named):
        raise invalid("topics", f"is a list of {', '.join(TOPICS)}")
    if site.hub.is_full:
        detail = f"{MOST_CLIENTS} streams are open already"
        raise ProblemError(503, "too-many-streams", detail, headers={"Retry-After": "10"})
    return EventStream(site, chosen, last_event_id, who)


async def _write(client: Client, send: Send) -> None:
    while True:
        items = await client.next(HEARTBEAT_S)
        if client.is_over:
            await _send(send, b"", more=False)
            return
        await _send(send, _joined(items))


def _joined(items: Iterable[Item]) -> bytes:
    return b"".join(item.frame for item in items) or _HEARTBEAT


async def _watch(receive: Receive, client: Client) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.end()


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(SEND_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})
