"""The bus as a service sees it: typed by the table of channels, refusing what does not fit, with a reason.

A message that cannot be parsed never stops a service: it is left out, or parked with a `rejected` event and
acknowledged.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from ccm_contracts.channels import CONFIG, EVENT, Channel, Service
from ccm_contracts.messages import Command, Event, Result, Severity
from ccm_contracts.types import Timestamp
from ccm_contracts.verb_table import Verb
from ccm_kit.answering import A, Answer, Desk, R
from ccm_kit.clock import Clock
from ccm_kit.consumer import Consumer, Delivery
from ccm_kit.errors import RefusedError, UnavailableError
from ccm_kit.nats_facts import StreamFacts, consumer_names, newest_up_to, stream_facts
from ccm_kit.nats_follow import Raw, follow
from ccm_kit.nats_link import NatsLink
from ccm_kit.nats_pull import ACK_WAIT_S
from ccm_kit.outbox import KEEP_S, MOST, Outbox, Tell
from ccm_kit.parsing import NotParsedError, parsed
from ccm_kit.rejections import Rejections

M = TypeVar("M")

FLUSH_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Seen(Generic[M]):
    """A message of a followed channel; `message` is None for a deleted key and for the `caught_up` mark."""

    message: M | None
    ids: dict[str, str]
    revision: int
    caught_up: bool = False


class Bus:
    """One service's access. Made by `open_bus`."""

    def __init__(self, link: NatsLink, *, service: Service, gateway: str, clock: Clock, version: str) -> None:
        self.gateway = gateway
        self.service: Service = service
        self.clock = clock
        self.outbox = Outbox(link, clock, Tell(self.reject, self._tell_dropped))
        self._link = link
        self.version = version
        self._rejections = Rejections(clock, self.event)
        self._desk = Desk(clock)

    @property
    def is_connected(self) -> bool:
        return self._link.is_connected

    # --- saying ------------------------------------------------------------------------------------------

    def say(self, channel: Channel[M], message: M, *, msg_id: str | None = None, **ids: str) -> None:
        """Publish in order; kept in the outbox while NATS is away."""
        subject = channel.subject(gw=self.gateway, **ids)
        self.outbox.put(subject, channel.adapter.dump_json(message, by_alias=True), msg_id)

    def state(self, channel: Channel[M], message: M, *, id: str) -> None:  # noqa: A002 - the key's own name
        """Set the latest state of one thing; only the newest is kept while NATS is away."""
        subject = channel.subject(gw=self.gateway, id=id)
        self.outbox.put_state(subject, channel.adapter.dump_json(message, by_alias=True))

    def event(self, kind: str, severity: Severity, message: str, **data: Any) -> None:
        """Report something that an operator may want to know."""
        event = Event(
            gateway=self.gateway,
            source=self.service,
            kind=kind,
            severity=severity,
            ts=self.clock.now(),
            message=message[:1000],
            data=data,
        )
        self.say(EVENT, event, msg_id=uuid.uuid4().hex, source=self.service, kind=kind)

    async def publish(self, channel: Channel[M], message: M, *, msg_id: str | None = None, **ids: str) -> int:
        """Publish now and return the stream's sequence. Raises `BusDownError`."""
        headers = {"Nats-Msg-Id": msg_id} if msg_id else None
        subject = channel.subject(gw=self.gateway, **ids)
        return await self._link.publish(subject, channel.adapter.dump_json(message, by_alias=True), headers)

    async def write_config(
        self, section: str, value: Any, *, seal: Callable[[str], str], revision: int | None = None
    ) -> int:
        """Store one section with its secrets sealed; returns its new revision.

        With `revision`, only if that is still the stored one (0: none is stored); otherwise `RefusedError`
        with code `conflict`.
        """
        channel = CONFIG[section]
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)} if revision is not None else None
        data = channel.adapter.dump_json(value, by_alias=True, context={"seal": seal})
        return await self._link.publish(channel.subject(gw=self.gateway), data, headers)

    async def claim(self, channel: Channel[M], message: M, *, revision: int, **ids: str) -> int:
        """Set a state if `revision` is still the newest one (0: there is none); returns its new revision.

        Raises `RefusedError` with code `conflict` when it is not, and `BusDownError`.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        data = channel.adapter.dump_json(message, by_alias=True)
        return await self._link.publish(channel.subject(gw=self.gateway, **ids), data, headers)

    # --- hearing -----------------------------------------------------------------------------------------

    async def last(self, channel: Channel[M], **ids: str) -> M | None:
        """The newest message on one subject, or None. Raises `BusDownError`."""
        seen = await self.newest(channel, **ids)
        return seen.message if seen is not None else None

    async def newest(self, channel: Channel[M], **ids: str) -> Seen[M] | None:
        """As `last`, with its revision; without a message when it was deleted. Raises `BusDownError`."""
        raw = await self._link.last(channel.stream, channel.subject(gw=self.gateway, **ids))
        return self._seen(channel, raw, None) if raw is not None else None

    async def follow(
        self, channel: Channel[M], *, context: dict[str, Any] | None = None, **ids: str
    ) -> AsyncIterator[Seen[M]]:
        """The newest message of each subject, a `caught_up` mark, then each new one, for ever."""
        async for raw in follow(self._link, channel.stream, channel.subject(gw=self.gateway, **ids)):
            if raw.caught_up:
                yield Seen(None, {}, 0, caught_up=True)
                continue
            seen = self._seen(channel, raw, context)
            if seen is not None:
                yield seen

    def _seen(self, channel: Channel[M], raw: Raw, context: dict[str, Any] | None) -> Seen[M] | None:
        if raw.data is None:
            return Seen(None, channel.parse(raw.subject) or {}, raw.seq)
        try:
            _, message, ids = parsed((channel,), raw.subject, raw.data, context)
        except NotParsedError as err:
            self._rejections.park(channel, raw.subject, raw.data, err)
            return None
        return Seen(message, ids, raw.seq)

    async def follow_config(
        self, *, context: dict[str, Any], sections: Collection[str] = tuple(CONFIG)
    ) -> AsyncIterator[tuple[str, Seen[Any]]]:
        """These sections of this gateway's configuration as they are and as they change: (section, seen).

        The others are not even parsed: their secrets may be sealed with a key that this service does not have.
        """
        any_section = next(iter(CONFIG.values()))
        wildcard = any_section.subject(gw=self.gateway).rsplit(".", 1)[0] + ".*"
        async for raw in follow(self._link, any_section.stream, wildcard):
            if raw.caught_up:
                yield "", Seen(None, {}, 0, caught_up=True)
                continue
            section = raw.subject.rsplit(".", 1)[1]
            channel = CONFIG.get(section) if section in sections else None
            seen = self._seen(channel, raw, context) if channel else None
            if channel is not None and seen is not None:
                yield section, seen

    def consumer(
        self,
        name: str,
        *channels: Channel[Any],
        ack_wait_s: float = ACK_WAIT_S,
        start_seq: int | None = None,
    ) -> Consumer:
        """A durable consumer of channels of one stream; replicas with the same `name` share its messages.

        What is not acknowledged or kept for `ack_wait_s` is delivered again; a consumer that exists keeps its own.
        It begins with the stream's oldest message; with `start_seq`, there, and only once it was created.
        """
        stream = channels[0].stream
        if any(channel.stream != stream for channel in channels):
            raise ValueError("a consumer reads channels of one stream")
        subject = channels[0].subject(gw=self.gateway)
        if len(channels) > 1:
            subject = ".".join(subject.split(".")[:2]) + ".>"
        durable = self._link.durable(stream, name, subject, ack_wait_s, start_seq)
        return Consumer(durable, channels, self._rejections.park)

    async def consumer_names(self, channel: Channel[Any]) -> list[str]:
        """All consumers of the channel's stream. Raises `BusDownError`."""
        return await consumer_names(self._link, channel.stream)

    async def stream_facts(self, channel: Channel[Any]) -> StreamFacts:
        """What the channel's stream holds. Raises `BusDownError`."""
        return await stream_facts(self._link, channel.stream)

    async def newest_up_to(self, channel: Channel[M], last_seq: int) -> list[tuple[int, M]]:
        """(sequence, message): the newest of each subject among the stream's up to `last_seq`. Raises `BusDownError`.

        What the stream has dropped is not found, nor what cannot be parsed.
        """
        found = []
        for raw in await newest_up_to(self._link, channel.stream, channel.subject(gw=self.gateway), last_seq):
            with suppress(NotParsedError):
                found.append((raw.seq, parsed((channel,), raw.subject, raw.data)[1]))
        return found

    # --- asking and answering ----------------------------------------------------------------------------

    async def call(
        self,
        verb: Verb[A, R],
        args: A,
        *,
        issued_by: str,
        command_id: str | None = None,
        deadline: Timestamp | None = None,
    ) -> R:
        """The owner's result. Raises `RefusedError` (its code and field) or `UnavailableError`."""
        command = Command[A](
            command_id=command_id or uuid.uuid4().hex, issued_by=issued_by[:80], deadline=deadline, args=args
        )
        data = command.model_dump_json(by_alias=True).encode()
        answer = await self._link.request(verb.subject(self.gateway), data, verb.timeout_s)
        try:
            result = Result[verb.result].model_validate_json(answer)  # type: ignore[name-defined]
        except ValidationError as err:
            raise UnavailableError(f"{verb.name} answered something unreadable") from err
        if result.error is not None:
            raise RefusedError(result.error.message, code=result.error.code, field=result.error.field)
        if result.result is None:
            raise UnavailableError(f"{verb.name} answered nothing")
        return result.result  # type: ignore[no-any-return]

    async def serve(self, *answers: Answer[Any, Any]) -> Callable[[], Awaitable[None]]:
        """Answer these verbs from now on; what it returns ends that."""
        endpoints = {}
        for answer in answers:
            subject = answer.verb.subject(self.gateway)
            handler = self._desk.handler(answer, partial(self._rejections.park, None, subject))
            endpoints[answer.verb.verb] = subject, handler
        return await self._link.serve(self.service, self.version, endpoints)

    # --- refusing ----------------------------------------------------------------------------------------

    def reject(self, subject: str, data: bytes, reason: str, field: str | None = None) -> None:
        """Park a message that this service refuses: a `rejected` event with its beginning."""
        self._rejections.park(None, subject, data, NotParsedError(reason, field))

    def _tell_dropped(self, count: int) -> None:
        self.event(
            "outbox-dropped",
            "error",
            f"{count} messages of {self.service} were dropped before the bus took them: it was away, or its disk"
            f" full, for more than {KEEP_S / 60:.0f} minutes or {MOST} messages",
            count=count,
        )


@asynccontextmanager
async def open_bus(
    link: NatsLink, *, service: Service, gateway: str, clock: Clock, version: str
) -> AsyncIterator[Bus]:
    """A bus whose outbox is at work; leaving it publishes what is left, for at most `FLUSH_S`."""
    bus = Bus(link, service=service, gateway=gateway, clock=clock, version=version)
    async with asyncio.TaskGroup() as tasks:
        worker = tasks.create_task(bus.outbox.run(), name=f"{service}.outbox")
        try:
            yield bus
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await bus.outbox.flushed()
            worker.cancel()


__all__ = ["A", "Answer", "Bus", "Consumer", "Delivery", "R", "Seen", "open_bus"]
