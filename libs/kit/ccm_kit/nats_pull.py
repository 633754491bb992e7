"""Durable pull consumers: at most two requests a batch, and none while nothing comes but one a wait.

nats-py's own `fetch` waits once for every message and keeps the server busy with probes; here a pull takes what is
there at once, or waits for the first message and then takes what came with it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js import api as js_api

from ccm_kit.errors import BusDownError
from ccm_kit.nats_arrivals import DOWN, Arrivals, Arrived
from ccm_kit.nats_wire import Wire, send_all

ANSWER_S: Final = 5.0
"""Longest wait for the server's own answer."""
GRACE_S: Final = 2.0
"""A pull ends so long after its own limit at the latest: then its answer was lost."""
ACK_WAIT_S: Final = 30.0
"""After this long without an acknowledgement a message is delivered again."""
MAX_UNACKED: Final = 5000
"""Messages that one durable consumer may hold unacknowledged; bounds what waits in its queue here."""
AT_ONCE: Final = 100
"""Messages that are taken before everything else in the process has its turn: about 0.5 ms."""
ENDS_A_PULL: Final = frozenset({"404", "408"})
"""No more messages now; nothing came in time (NATS ADR-13)."""
RETIRED_S: Final = 1.0
"""The server forgets a retired consumer when nobody pulled from it for so long."""


Take = Callable[[list[Arrived]], None]
"""Is given the messages of a pull as they come, piece by piece."""


class ConsumerGoneError(BusDownError):
    """The durable consumer is not there any more: the stream was made anew."""


@dataclass(frozen=True, slots=True)
class ConsumerFacts:
    """Where a consumer stands."""

    waiting: int
    """Never handed out; `unacked` were."""
    unacked: int
    delivered_seq: int
    acked_seq: int
    """All up to here was acknowledged, or is gone."""


class Connection(Protocol):
    """What a consumer needs of the connection."""

    js: JetStreamContext
    when_back: set[Callable[[], None]]
    """Called when the connection was lost and is back."""

    @property
    def wire(self) -> Wire:
        """Where the messages come."""

    @property
    def client(self) -> Client:
        """nats-py's own."""

    async def require_connection(self) -> None:
        """Raises `BusDownError` when there is none."""


class Durable:
    """A durable pull consumer; made when it is missing, found again after any restart of the server."""

    def __init__(
        self,
        link: Connection,
        stream: str,
        name: str,
        subject: str,
        ack_wait_s: float,
        start_seq: int | None = None,
    ) -> None:
        """With `start_seq` it must be made by `create` before it is used, and is not made anew when it is gone."""
        self._link = link
        self._start_seq = start_seq
        self._stream = stream
        self._name = name
        self._subject = subject
        self._ack_wait_s = ack_wait_s
        self._inbox = ""
        self._pulls = 0
        self._was_idle = False
        self._subscription: Subscription | None = None
        self._arrivals = Arrivals()

    async def fetch(self, most: int, wait_s: float, gather_s: float, take: Take) -> None:
        """Up to `most` messages: those that are there, or else what comes within `wait_s`.

        `gather_s` after the first that came, what came with it is taken too. Raises `BusDownError`; what `take` was
        given until then comes again.
        """
        await self._link.require_connection()
        try:
            if self._subscription is None:
                await self._subscribe()
            await self._fetch(most, wait_s, gather_s, take)
        except DOWN as err:
            await self.close()
            raise BusDownError(f"cannot fetch from {self._stream}: {err!r}") from err
        except BusDownError:
            await self.close()
            raise

    async def answer(self, replies: Sequence[bytes], answer: bytes) -> None:
        """The same answer to each, in one piece; lost while NATS is away: they are delivered again."""
        if replies:
            with suppress(*DOWN):
                await send_all(self._link.client, replies, answer)

    async def pending(self) -> int:
        """Messages not yet acknowledged: waiting, or handed out."""
        facts = await self.facts()
        return facts.waiting + facts.unacked

    async def facts(self) -> ConsumerFacts:
        """Raises `BusDownError`."""
        try:
            info = await self._link.js.consumer_info(self._stream, self._name, timeout=ANSWER_S)
        except nats.js.errors.NotFoundError as err:
            raise ConsumerGoneError(f"{self._name} is not there") from err
        except DOWN as err:
            raise BusDownError(f"cannot ask for {self._name}: {err!r}") from err
        return ConsumerFacts(
            waiting=info.num_pending or 0,
            unacked=info.num_ack_pending or 0,
            delivered_seq=info.delivered.stream_seq if info.delivered else 0,
            acked_seq=info.ack_floor.stream_seq if info.ack_floor else 0,
        )

    async def create(self) -> None:
        """Make it, unless it is there. Raises `BusDownError`."""
        await self._add(self._config())

    async def retire(self) -> None:
        """Let the server forget it. Raises `BusDownError`."""
        await self.close()
        config = self._config()
        config.inactive_threshold = RETIRED_S
        await self._add(config)

    def _config(self) -> js_api.ConsumerConfig:
        start = js_api.DeliverPolicy.ALL
        if self._start_seq is not None:
            start = js_api.DeliverPolicy.BY_START_SEQUENCE
        return js_api.ConsumerConfig(
            name=self._name,
            durable_name=self._name,
            filter_subject=self._subject,
            ack_policy=js_api.AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait_s,
            max_ack_pending=MAX_UNACKED,
            deliver_policy=start,
            opt_start_seq=self._start_seq,
        )

    async def _add(self, config: js_api.ConsumerConfig) -> None:
        try:
            await self._link.js.add_consumer(self._stream, config, timeout=ANSWER_S)
        except DOWN as err:
            raise BusDownError(f"cannot make {self._name}: {err!r}") from err

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        self._link.when_back.discard(self._arrivals.lost)
        self._arrivals = Arrivals()
        if subscription is not None:
            self._link.wire.takers.pop(_number(subscription), None)
            with suppress(*DOWN, ValueError):
                await subscription.unsubscribe()

    async def _fetch(self, most: int, wait_s: float, gather_s: float, take: Take) -> None:
        if not self._was_idle and await self._pull(most, take):
            return
        found = await self._pull(1, take, wait_s)
        self._was_idle = not found
        if found and most > 1:
            await asyncio.sleep(gather_s)
            await self._pull(most - 1, take)

    async def _pull(self, batch: int, take: Take, wait_s: float = 0.0) -> int:
        """One request: what is there now, or with `wait_s` the first that comes; how many came."""
        self._pulls += 1
        reply = f"{self._inbox}.{self._pulls}"
        request = (
            {"batch": batch, "expires": int(wait_s * 1e9)} if wait_s else {"batch": batch, "no_wait": True}
        )
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        arrivals = self._arrivals
        arrivals.expect(reply, batch)
        await self._link.client.publish(subject, json.dumps(request).encode(), reply)
        found = 0
        async with asyncio.timeout(wait_s + GRACE_S):
            while piece := await arrivals.some(AT_ONCE):
                take(piece)
                found += len(piece)
                await asyncio.sleep(0)  # the next ones come in meanwhile
        if arrivals.status and arrivals.status not in ENDS_A_PULL:
            raise BusDownError(f"{self._name} of {self._stream} does not answer: {arrivals.status}")
        return found

    async def _subscribe(self) -> None:
        """Find or make the consumer, and listen where its messages come."""
        link = self._link
        try:
            await link.js.consumer_info(self._stream, self._name, timeout=ANSWER_S)
        except nats.js.errors.NotFoundError as err:
            if self._start_seq is not None:
                raise ConsumerGoneError(f"{self._name} of {self._stream} is gone") from err
            await self.create()
        self._inbox = link.client.new_inbox()
        self._was_idle = False
        self._subscription = await link.client.subscribe(f"{self._inbox}.*", cb=_nothing)
        link.wire.takers[_number(self._subscription)] = self._arrivals.take
        link.when_back.add(self._arrivals.lost)


async def _nothing(_: object) -> None:
    """Its messages go the short way."""


def _number(subscription: Subscription) -> bytes:
    return str(subscription._id).encode()
