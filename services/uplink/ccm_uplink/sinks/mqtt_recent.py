"""What the broker confirmed at QoS 1 in the last seconds: acknowledged on the bus later, sent again if it forgets.

A broker that is killed takes with it what it had confirmed and not passed on or saved. Until `HELD_S` after the
confirmation a message stays unacknowledged on the bus, so that it survives a kill of uplink as well.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ccm_kit.bus import Delivery
from ccm_uplink.batch import Key
from ccm_uplink.sinks.base import Handover

HELD_S: Final = 5.0
"""From the broker's confirmation to the acknowledgement on the bus."""
HELD_MOST: Final = 1000
"""Messages; beyond it the oldest are acknowledged at once. Mosquitto queues as many for one subscriber by default."""
UNHEARD_S: Final = 60.0
UNHEARD_MOST: Final = 1000
"""Messages that nobody was subscribed to; beyond it the oldest is forgotten."""


LOOK_S: Final = 0.5
NEVER_S: Final = float("inf")


@dataclass(frozen=True, slots=True)
class _Held:
    since_s: float
    batch: Handover
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class _Unheard:
    since_s: float
    delivery: Delivery


Carry = Callable[[Handover], Awaitable[None]]
"""Sends a batch; raises `SinkDownError` when the connection ends before."""


class Recent:
    """One link's, across its connections and its sinks: new settings may come while the broker is away."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.last_will: bytes | None = None
        """Of the connection before: a broker that has it lived on."""
        self._held: deque[_Held] = deque()
        self._count = 0
        self._unheard: OrderedDict[tuple[str, Key], _Unheard] = OrderedDict()
        self._to_tell: list[Delivery] = []
        self._stir = asyncio.Event()

    # --- confirmed -----------------------------------------------------------------------------------

    async def hold(self, batch: Handover, deliveries: Sequence[Delivery]) -> None:
        """They were confirmed; the oldest beyond the bound are acknowledged."""
        self._held.append(_Held(self._now_s(), batch, deliveries))
        self._count += len(deliveries)
        while self._count > HELD_MOST:
            await self._settle_oldest()

    async def keep_settling(self) -> None:
        """Acknowledge what was confirmed long enough ago, as long as the connection lasts."""
        while True:
            await asyncio.sleep(LOOK_S)
            while self._held and self._now_s() - self._held[0].since_s >= HELD_S:
                await self._settle_oldest()

    async def settle_all(self) -> None:
        """The connection ends in good order, or nothing is to be sent again."""
        while self._held:
            await self._settle_oldest()

    async def _settle_oldest(self) -> None:
        oldest = self._held.popleft()
        self._count -= len(oldest.deliveries)
        await oldest.batch.settle(oldest.deliveries)

    async def repeat(self, carry: Carry) -> None:
        """Send all of it again, oldest first. Raises `SinkDownError`."""
        repeats = Repeats([(each, held.batch) for held in self._held for each in held.deliveries])
        self._held.clear()
        self._count = 0
        try:
            await carry(repeats)
        finally:
            for delivery, batch in reversed(repeats.rest()):
                self._held.appendleft(_Held(NEVER_S, batch, (delivery,)))
                self._count += 1

    # --- nobody listened -----------------------------------------------------------------------------

    def answered(self, deliveries: Sequence[Delivery], *, was_heard: bool) -> None:
        """The broker took them, and says whether somebody is subscribed."""
        if was_heard:
            if self._unheard:
                self._tell({each.subject for each in deliveries})
            return
        for each in deliveries:
            self._unheard.setdefault((each.subject, each.key), _Unheard(self._now_s(), each))
        while len(self._unheard) > UNHEARD_MOST:
            self._unheard.popitem(last=False)

    def _tell(self, subjects: set[str]) -> None:
        """Somebody is subscribed now."""
        oldest_s = self._now_s() - UNHEARD_S
        for key in [key for key in self._unheard if key[0] in subjects]:
            each = self._unheard.pop(key)
            if each.since_s >= oldest_s:
                self._to_tell.append(each.delivery)
                self._stir.set()

    async def tell_again(self, carry: Carry) -> None:
        """Send again what nobody heard, once somebody listens; as long as the connection lasts."""
        while True:
            await self._stir.wait()
            await carry(Repeats([(each, None) for each in self.due_again()]))

    def due_again(self) -> list[Delivery]:
        """What nobody had heard and somebody listens to now, oldest first; it is forgotten here."""
        self._stir.clear()
        found, self._to_tell = self._to_tell, []
        return found


class Repeats:
    """A `Handover` of messages that were confirmed before. Without a batch they are acknowledged already."""

    def __init__(self, messages: Sequence[tuple[Delivery, Handover | None]]) -> None:
        self._left = {(each.subject, each.key): each for each, _ in messages}
        self._batch = {(each.subject, each.key): batch for each, batch in messages}

    def left(self) -> list[Delivery]:
        return list(self._left.values())

    def rest(self) -> list[tuple[Delivery, Handover]]:
        """What did not arrive again and is not acknowledged."""
        found = [(each, self._batch[key]) for key, each in self._left.items()]
        return [(each, batch) for each, batch in found if batch is not None]

    async def arrived(self, *deliveries: Delivery) -> None:
        for each in deliveries:
            self._left.pop((each.subject, each.key), None)

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        for each in deliveries:
            batch = self._batch.pop((each.subject, each.key), None)
            if batch is not None:
                await batch.settle((each,))

    async def done(self, *deliveries: Delivery) -> None:
        await self.arrived(*deliveries)
        await self.settle(deliveries)

    async def refuse(self, delivery: Delivery, reason: str) -> None:  # noqa: ARG002 - it was delivered once
        await self.done(delivery)
