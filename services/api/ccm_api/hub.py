"""Hands live messages out to the clients of `/stream`, and keeps the newest ones for those that come back.

A client that does not keep up is ended rather than slowing the others or growing without bound.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, get_args

Topic = Literal["telemetry", "plant", "event", "state"]
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)

RING_MESSAGES: Final = 1000
"""Messages kept for replay; the oldest goes first."""
QUEUE_MESSAGES: Final = 256
"""Messages that wait for one client; one more ends it, and it reconnects with its last id."""
MOST_CLIENTS: Final = 50


@dataclass(frozen=True, slots=True)
class Item:
    """A message of the stream; `id` is empty for what came before the client."""

    id: str
    topic: Topic
    data: bytes

    @property
    def frame(self) -> bytes:
        id_line = f"id: {self.id}\n" if self.id else ""
        return f"event: {self.topic}\n{id_line}data: ".encode() + self.data + b"\n\n"


class Client:
    """One open stream. `holds` says whether its session is still good."""

    def __init__(self, topics: Collection[Topic], holds: Callable[[], bool]) -> None:
        self._topics = topics
        self._holds = holds
        self._waiting: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    @property
    def is_over(self) -> bool:
        return self._ended or not self._holds()

    def put(self, item: Item) -> None:
        if item.topic not in self._topics:
            return
        if len(self._waiting) >= QUEUE_MESSAGES:
            self._ended = True
        else:
            self._waiting.append(item)
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    def look(self) -> None:
        """Have the session checked now."""
        self._wake.set()

    async def next(self, wait_s: float) -> list[Item]:
        """What came since the last call; empty when nothing did for `wait_s` or the stream is over."""
        if not self._waiting:
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                return []
        self._wake.clear()
        items = list(self._waiting)
        self._waiting.clear()
        return items


class Hub:
    """Ids are `run-number`: a client of an earlier run of this service gets the whole ring."""

    def __init__(self) -> None:
        self._run = secrets.token_hex(4)
        self._count = 0
        self._ring: deque[Item] = deque(maxlen=RING_MESSAGES)
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def is_full(self) -> bool:
        return len(self._clients) >= MOST_CLIENTS

    def put(self, topic: Topic, data: bytes) -> None:
        self._count += 1
        item = Item(f"{self._run}-{self._count}", topic, data)
        self._ring.append(item)
        for client in self._clients:
            client.put(item)

    def since(self, last_id: str) -> list[Item] | None:
        """What the ring has after `last_id`; None when that is of another run or no longer in the ring."""
        run, _, number = last_id.partition("-")
        if run != self._run or not number.isdigit():
            return None
        oldest = self._count - len(self._ring)
        if not oldest <= int(number) <= self._count:
            return None
        return list(self._ring)[int(number) - oldest :]

    @contextmanager
    def client(self, topics: Collection[Topic], holds: Callable[[], bool]) -> Iterator[Client]:
        client = Client(topics, holds)
        self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)

    def look(self) -> None:
        """Sessions may have ended: let each client check its own."""
        for client in self._clients:
            client.look()

    def end_all(self) -> None:
        for client in self._clients:
            client.end()
