"""What a lane hands to its sink: a batch in order, a portion at a time."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from ccm_contracts.messages import Reading
from ccm_kit.bus import Delivery

Key = int
"""`Delivery.key`."""


def by_device(deliveries: Sequence[Delivery]) -> dict[str, list[Delivery]]:
    """The readings among them, in order."""
    found: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        message = delivery.message
        if message.__class__ is Reading:
            found[message.device].append(delivery)
    return found


class Owner(Protocol):
    """Who acknowledges; a lane is one."""

    async def finish(self, deliveries: Sequence[Delivery], *, was_delivered: bool = False) -> None:
        """Acknowledge and forget them."""

    def arrived(self, deliveries: Sequence[Delivery]) -> None:
        """They were delivered; `settle` acknowledges them later."""

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge what has `arrived`."""

    def park(self, delivery: Delivery, reason: str) -> None:
        """Tell the operator which message was refused and why."""


class Batch:
    """A `Handover`: what the sink has not finished yet."""

    def __init__(self, owner: Owner, deliveries: Sequence[Delivery]) -> None:
        self._owner = owner
        self._left = {delivery.key: delivery for delivery in deliveries}
        self._offered: list[Key] = []
        self.one_by_one = False

    def offer(self, most_bytes: int | None = None) -> int:
        """Let the sink see the next portion of at most so many bytes (at least one message); returns its size."""
        if most_bytes is None and not self.one_by_one:
            self._offered = list(self._left)
            return sum([len(delivery.payload) for delivery in self._left.values()])
        self._offered, size = [], 0
        for key, delivery in self._left.items():
            is_over = most_bytes is not None and size + len(delivery.payload) > most_bytes
            if self._offered and (self.one_by_one or is_over):
                break
            self._offered.append(key)
            size += len(delivery.payload)
        return size

    @property
    def is_empty(self) -> bool:
        return not self._left

    def left(self) -> list[Delivery]:
        found = map(self._left.get, self._offered)
        return [delivery for delivery in found if delivery is not None]

    async def done(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            self._left.pop(delivery.key, None)
        await self._owner.finish(deliveries, was_delivered=True)

    async def arrived(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            self._left.pop(delivery.key, None)
        self._owner.arrived(deliveries)

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        await self._owner.settle(deliveries)

    async def refuse(self, delivery: Delivery, reason: str) -> None:
        self._left.pop(delivery.key, None)
        self._owner.park(delivery, reason)
        await self._owner.finish((delivery,))
