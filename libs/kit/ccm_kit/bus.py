"""The bus as a service sees it: typed by the table of channels, refusing what does not fit, with a reason.

A message that cannot be parsed never stops a service: it is left out, or parked with a `rejected` event and
acknowledged.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from ccm_contracts.channels import CONFIG, EVENT, Channel, Service, Verb
from ccm_contracts.messages import Command, Event, Failure, Rejected, Result, Severity
from ccm_contracts.types import Frozen, Timestamp
from ccm_kit.clock import Clock
from ccm_kit.errors import CcmError, RefusedError, UnavailableError
from ccm_kit.idempotency import Answers
from ccm_kit.nats_arrivals import ACK, KEEP, RawDelivery, answer_all
from ccm_kit.nats_facts import StreamFacts, consumer_names, newest_up_to, stream_facts
from ccm_kit.nats_link import NatsLink, Raw
from ccm_kit.nats_pull import ACK_WAIT_S, ConsumerFacts, Durable
from ccm_kit.outbox import Outbox
from ccm_kit.problems import field_text, problems_in

log = logging.getLogger(__name__)

M = TypeVar("M")
A = TypeVar("A", bound=Frozen)
R = TypeVar("R", bound=Frozen)

MOST_AT_ONCE: Final = 32
"""Commands of one service that run at the same time; one more is refused as busy."""
REJECTIONS_PER_WINDOW: Final = 20
REJECTION_WINDOW_S: Final = 10.0
"""More rejections than that are counted, and reported with the next one."""
FLUSH_S: Final = 5.0
MOST_SUBJECTS: Final = 1000
"""Subjects that a consumer remembers."""
SAYS: Final = {"gw": "gateway", "device": "device", "plant": "plant", "source": "source"}
"""The field of a message for each token of its subject."""


@dataclass(frozen=True, slots=True)
class Seen(Generic[M]):
    """A message of a followed channel; `message` is None for a deleted key and for the `caught_up` mark."""

    message: M | None
    ids: dict[str, str]
    revision: int
    caught_up: bool = False


class Delivery:
    """A message that a durable consumer handed out. Not acknowledged, it comes again after 30 s."""

    __slots__ = ("_raw", "channel", "form", "ids", "key", "message", "payload", "seq", "subject")

    def __init__(self, channel: Channel[Any], message: Any, ids: dict[str, str], raw: RawDelivery) -> None:
        self.channel = channel
        self.message = message
        self.ids = ids
        self.payload = raw.data
        """The message as it is on the bus."""
        self.subject = raw.subject
        self.seq = raw.seq
        """Its sequence in the stream."""
        self.key: tuple[int, int] = (raw.seq, hash(raw.data))
        """Tells it from all others: a stream that was made anew counts from 1 again."""
        self.form: Any = None
        """What its receiver made of it ahead of time."""
        self._raw = raw

    @property
    def stored_at(self) -> datetime:
        """When the stream took it."""
        return self._raw.stored_at

    async def ack(self) -> None:
        """It was delivered for good."""
        await self._raw.ack()

    async def keep(self) -> None:
        """Still at work: do not deliver it again for another 30 s."""
        await self._raw.keep()

    async def release(self) -> None:
        """Not delivered: hand it out again at once, to whoever asks."""
        await self._raw.release()


class _NotParsedError(Exception):
    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field


class Bus:
    """One service's access. Made by `open_bus`."""

    def __init__(self, link: NatsLink, *, service: Service, gateway: str, clock: Clock, version: str) -> None:
        self.gateway = gateway
        self.service: Service = service
        self.clock = clock
        self.outbox = Outbox(link, clock)
        self.answers = Answers(clock)
        self._link = link
        self.version = version
        self._rejections: list[float] = []
        self._suppressed = 0
        self._running = 0

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

    # --- hearing -----------------------------------------------------------------------------------------

    async def last(self, channel: Channel[M], **ids: str) -> M | None:
        """The newest message on one subject, or None. Raises `BusDownError`."""
        raw = await self._link.last(channel.stream, channel.subject(gw=self.gateway, **ids))
        if raw is None or raw.data is None:
            return None
        try:
            return self._parse((channel,), raw.subject, raw.data)[1]  # type: ignore[no-any-return]
        except _NotParsedError as err:
            self._reject(channel, raw.subject, raw.data, err)
            return None

    async def follow(
        self, channel: Channel[M], *, context: dict[str, Any] | None = None, **ids: str
    ) -> AsyncIterator[Seen[M]]:
        """The newest message of each subject, a `caught_up` mark, then each new one, for ever."""
        async for raw in self._link.follow(channel.stream, channel.subject(gw=self.gateway, **ids)):
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
            _, message, ids = self._parse((channel,), raw.subject, raw.data, context)
        except _NotParsedError as err:
            self._reject(channel, raw.subject, raw.data, err)
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
        async for raw in self._link.follow(any_section.stream, wildcard):
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
    ) -> "Consumer":
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
        return Consumer(self, durable, channels)

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
            with suppress(_NotParsedError):
                found.append((raw.seq, self._parse((channel,), raw.subject, raw.data)[1]))
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

    async def serve(self, *answers: "Answer[Any, Any]") -> None:
        """Answer these verbs from now on."""
        endpoints = {
            answer.verb.verb: (answer.verb.subject(self.gateway), self._handler(answer)) for answer in answers
        }
        await self._link.serve(self.service, self.version, endpoints)

    def _handler(self, answer: "Answer[A, R]") -> Callable[[bytes], Awaitable[bytes]]:
        model = Command[answer.verb.args]  # type: ignore[name-defined]

        async def handle(data: bytes) -> bytes:
            try:
                command = model.model_validate_json(data)
            except ValidationError as err:
                loc, reason = problems_in(err)[0]
                failure = _NotParsedError(reason, field_text(loc) or None)
                self._reject(None, answer.verb.subject(self.gateway), data, failure)
                return _failed("", CcmError(reason, code="malformed", field=failure.field))
            if command.deadline is not None and command.deadline < self.clock.now():
                return _failed(command.command_id, CcmError("its deadline has passed", code="expired"))
            if self._running >= MOST_AT_ONCE:
                return _failed(command.command_id, CcmError("too many commands at once", code="busy"))
            self._running += 1
            try:
                if answer.verb.mutates:
                    key = f"{answer.verb.verb}:{command.command_id}"
                    return await self.answers.once(key, lambda: _answered(answer, command))
                return await _answered(answer, command)
            finally:
                self._running -= 1

        return handle

    # --- refusing ----------------------------------------------------------------------------------------

    def _parse(
        self,
        channels: Sequence[Channel[Any]],
        subject: str,
        data: bytes,
        context: dict[str, Any] | None = None,
    ) -> tuple[Channel[Any], Any, dict[str, str]]:
        channel, ids = _channel_of(channels, subject)
        return channel, self._checked(channel, data, ids, context), ids

    def _checked(
        self, channel: Channel[Any], data: bytes, ids: dict[str, str], context: dict[str, Any] | None = None
    ) -> Any:
        try:
            message = channel.adapter.validator.validate_json(data, context=context)
        except ValidationError as err:
            loc, reason = problems_in(err)[0]
            raise _NotParsedError(reason, field_text(loc) or None) from err
        except CcmError as err:
            raise _NotParsedError(err.message, err.field) from err
        _check_ids(message, ids)
        return message

    def reject(self, subject: str, data: bytes, reason: str, field: str | None = None) -> None:
        """Park a message that this service refuses: a `rejected` event with its beginning."""
        self._reject(None, subject, data, _NotParsedError(reason, field))

    def _reject(
        self, channel: Channel[Any] | None, subject: str, data: bytes, err: "_NotParsedError"
    ) -> None:
        now = self.clock.monotonic()
        self._rejections = [at for at in self._rejections if now - at < REJECTION_WINDOW_S]
        if len(self._rejections) >= REJECTIONS_PER_WINDOW:
            self._suppressed += 1
            return
        self._rejections.append(now)
        is_config = channel is not None and channel.stream == CONFIG["mqtt"].stream
        rejected = Rejected(
            subject=subject[:300],
            reason=str(err)[:300],
            field=err.field,
            excerpt="" if is_config else data[:200].decode("utf-8", "replace"),
        )
        more, self._suppressed = self._suppressed, 0
        log.warning("message rejected", extra={"subject": subject, "reason": str(err), "field_at": err.field})
        self.event(
            "rejected",
            "warning",
            f"a message on {subject[:200]} was refused: {str(err)[:300]}",
            **rejected.model_dump(),
            suppressed=more,
        )


class Consumer:
    """Typed deliveries of a durable consumer; what cannot be parsed is parked with its reason."""

    def __init__(self, bus: Bus, durable: Durable, channels: tuple[Channel[Any], ...]) -> None:
        self._bus = bus
        self._durable = durable
        self._channels = channels
        self._subjects: dict[str, tuple[Channel[Any], dict[str, str]]] = {}

    async def fetch(self, most: int, wait_s: float = 1.0, gather_s: float = 0.0) -> list[Delivery]:
        """Up to `most` deliveries; empty when none came in `wait_s`. Raises `BusDownError` while NATS is away.

        `gather_s` after the first that came, what came with it is handed out too.
        """
        deliveries = []
        for raw in await self._durable.fetch(most, wait_s, gather_s):
            try:
                channel, ids = self._known(raw.subject)
                message = self._bus._checked(channel, raw.data, ids)
            except _NotParsedError as err:
                self._bus._reject(self._channels[0], raw.subject, raw.data, err)
                await raw.ack()
                continue
            deliveries.append(Delivery(channel, message, ids, raw))
        return deliveries

    def _known(self, subject: str) -> tuple[Channel[Any], dict[str, str]]:
        """The channel of a subject and its ids; few subjects come again and again."""
        known = self._subjects.get(subject)
        if known is None:
            known = _channel_of(self._channels, subject)
            if len(self._subjects) >= MOST_SUBJECTS:
                self._subjects.clear()
            self._subjects[subject] = known
        return known

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """They were delivered for good."""
        await answer_all([each._raw for each in deliveries], ACK)

    async def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Still at work: see `Delivery.keep`."""
        await answer_all([each._raw for each in deliveries], KEEP)

    async def pending(self) -> int:
        """Messages on the bus that this consumer has not acknowledged. Raises `BusDownError`."""
        return await self._durable.pending()

    async def facts(self) -> ConsumerFacts:
        """Where it stands. Raises `BusDownError`."""
        return await self._durable.facts()

    async def create(self) -> None:
        """Make it where it is missing. Raises `BusDownError`."""
        await self._durable.create()

    async def retire(self) -> None:
        """It is not needed any more. Raises `BusDownError`."""
        await self._durable.retire()

    async def close(self) -> None:
        await self._durable.close()


@dataclass(frozen=True, slots=True)
class Answer(Generic[A, R]):
    """How a service answers one verb. `act` raises `CcmError` to refuse."""

    verb: Verb[A, R]
    act: Callable[[A, Command[A]], Awaitable[R]]


async def _answered(answer: Answer[A, R], command: Command[A]) -> bytes:
    try:
        result = await answer.act(command.args, command)
    except CcmError as err:
        return _failed(command.command_id, err)
    except Exception:
        log.exception("command failed", extra={"verb": answer.verb.name})
        return _failed(
            command.command_id, CcmError("an internal error; see the service's log", code="internal")
        )
    done = Result[answer.verb.result](command_id=command.command_id, ok=True, result=result)  # type: ignore[name-defined]
    return done.model_dump_json(by_alias=True).encode()


def _failed(command_id: str, err: CcmError) -> bytes:
    failure = Failure(code=err.code, message=err.message, field=err.field)
    return Result[Frozen](command_id=command_id, ok=False, error=failure).model_dump_json().encode()


def _channel_of(channels: Sequence[Channel[Any]], subject: str) -> tuple[Channel[Any], dict[str, str]]:
    for channel in channels:
        ids = channel.parse(subject)
        if ids is not None:
            return channel, ids
    raise _NotParsedError("no channel has this subject")


def _check_ids(message: Any, ids: dict[str, str]) -> None:
    """What a message says of itself must be what its subject says."""
    facts: dict[str, Any] = getattr(message, "__dict__", {})  # a pydantic model is slow to say what it lacks
    for token, value in ids.items():
        if token in SAYS and facts.get(SAYS[token], value) != value:
            own, attribute = facts[SAYS[token]], SAYS[token]
            if isinstance(own, str):
                raise _NotParsedError(f"says {attribute} {own!r} on the subject of {value!r}", attribute)


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


__all__ = ["Answer", "Bus", "Consumer", "Delivery", "Seen", "open_bus"]
