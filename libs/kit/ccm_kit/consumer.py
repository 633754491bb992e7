"""A durable consumer as a service sees it: typed deliveries; what cannot be parsed is parked and acknowledged."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ccm_contracts.channels import Channel
from ccm_kit.nats_arrivals import ACK, KEEP, RELEASE, Arrived, place_of
from ccm_kit.nats_pull import ConsumerFacts, Durable
from ccm_kit.parsing import NotParsedError, channel_of, checked

MOST_SUBJECTS: Final = 1000
"""Subjects that a consumer remembers."""

Park = Callable[[Channel[Any], str, bytes, NotParsedError], None]


class Delivery:
    """A message that a durable consumer handed out. Not acknowledged, it comes again after 30 s."""

    __slots__ = (
        "_durable",
        "_stored_ns",
        "channel",
        "form",
        "ids",
        "key",
        "message",
        "payload",
        "reply",
        "seq",
        "subject",
    )

    def __init__(
        self, durable: Durable, channel: Channel[Any], ids: dict[str, str], message: Any, arrived: Arrived
    ) -> None:
        self.subject, self.reply, self.payload = arrived
        """The message as it is on the bus, and where its acknowledgement goes."""
        self.seq, self._stored_ns = place_of(self.reply)
        """Its sequence in the stream."""
        self.key: int = hash((self.seq, self.payload))
        """Tells it from all others, in 61 bits: a stream that was made anew counts from 1 again."""
        self.channel = channel
        self.ids = ids
        self.message = message
        self.form: Any = None
        """What its receiver made of it ahead of time."""
        self._durable = durable

    @property
    def stored_at(self) -> datetime:
        """When the stream took it."""
        return datetime.fromtimestamp(int(self._stored_ns) / 1e9, UTC)

    async def ack(self) -> None:
        """It was delivered for good."""
        await self._durable.answer([self.reply], ACK)

    async def keep(self) -> None:
        """Still at work: do not deliver it again for another 30 s."""
        await self._durable.answer([self.reply], KEEP)

    async def release(self) -> None:
        """Not delivered: hand it out again at once, to whoever asks."""
        await self._durable.answer([self.reply], RELEASE)


class Consumer:
    """Typed deliveries of a durable consumer; what cannot be parsed is parked with its reason."""

    def __init__(self, durable: Durable, channels: tuple[Channel[Any], ...], park: Park) -> None:
        self._durable = durable
        self._channels = channels
        self._park = park
        self._subjects: dict[str, tuple[Channel[Any], dict[str, str]]] = {}
        self.when_unfit: Callable[[int, dict[str, str]], None] = lambda _, __: None
        """Called for each message that cannot be parsed: its sequence in the stream, and the ids of its subject."""

    async def fetch(self, most: int, wait_s: float = 1.0, gather_s: float = 0.0) -> list[Delivery]:
        """Up to `most` deliveries; empty when none came in `wait_s`. Raises `BusDownError` while NATS is away.

        `gather_s` after the first that came, what came with it is handed out too.
        """
        deliveries: list[Delivery] = []
        unfit: list[bytes] = []

        def take(arrived: list[Arrived]) -> None:
            for each in arrived:
                subject, reply, data = each
                ids: dict[str, str] = {}
                try:
                    channel, ids = self._known(subject)
                    message = checked(channel, data, ids)
                except NotParsedError as err:
                    self._park(self._channels[0], subject, data, err)
                    self.when_unfit(place_of(reply)[0], ids)
                    unfit.append(reply)
                else:
                    deliveries.append(Delivery(self._durable, channel, ids, message, each))

        await self._durable.fetch(most, wait_s, gather_s, take)
        await self._durable.answer(unfit, ACK)
        return deliveries

    def _known(self, subject: str) -> tuple[Channel[Any], dict[str, str]]:
        """The channel of a subject and its ids; few subjects come again and again."""
        known = self._subjects.get(subject)
        if known is None:
            known = channel_of(self._channels, subject)
            if len(self._subjects) >= MOST_SUBJECTS:
                self._subjects.clear()
            self._subjects[subject] = known
        return known

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """They were delivered for good."""
        await self._durable.answer([each.reply for each in deliveries], ACK)

    async def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Still at work: see `Delivery.keep`."""
        await self._durable.answer([each.reply for each in deliveries], KEEP)

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
