"""What a sink is. To add one: a module beside this one, and its links in `service.py`; the pump does not change."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from ccm_kit.bus import Delivery
from ccm_kit.errors import UnavailableError


class SinkDownError(UnavailableError):
    """The far end does not take messages now; the pump tries again. The text is for the operator, without secrets."""


class Handover(Protocol):
    """A batch in the order of the bus. Each message ends as `done` or `refuse`; the rest is handed over again."""

    def left(self) -> list[Delivery]:
        """What is neither done nor refused, oldest first."""

    async def done(self, *deliveries: Delivery) -> None:
        """They are delivered for good: acknowledge them."""

    async def arrived(self, *deliveries: Delivery) -> None:
        """The far end has them, but may yet lose them: done with here, and not acknowledged before `settle`."""

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge what has `arrived`."""

    async def refuse(self, delivery: Delivery, reason: str) -> None:
        """The far end can never take it: park it with its reason and acknowledge it."""


class Turn(Protocol):
    """Whether it is this uplink that delivers; of several on one bus one does. `lease.Lease` is it."""

    async def held(self) -> None:
        """Wait until it is, as far as we know."""

    async def fresh(self) -> None:
        """Wait until it is for sure."""

    async def lost(self) -> None:
        """Wait until another one does."""


class Sink(Protocol):
    """One far end. `run` keeps it connected; `deliver` may be called by several pumps at once."""

    async def run(self) -> None:
        """Hold the connection, for ever; cancelled when the sink is replaced."""

    async def deliver(self, batch: Handover) -> None:
        """Returns when nothing is left. Raises `SinkDownError`."""


class Discard:
    """The sink of a link that is switched off: its consumer moves on, so that it starts from then on when enabled."""

    async def run(self) -> None:
        return

    async def deliver(self, batch: Handover) -> None:
        await batch.done(*batch.left())


class Down(Protocol):
    """Who is told that the far end cannot be reached."""

    def down(self, error: str) -> None:
        """`error` is for the operator."""


class Unusable:
    """A link that is switched on with settings that lead nowhere: what it should send waits on the bus."""

    def __init__(self, report: Down, reason: str) -> None:
        self._report = report
        self._reason = reason

    async def run(self) -> None:
        self._report.down(self._reason)
        await asyncio.Event().wait()

    async def deliver(self, batch: Handover) -> None:  # noqa: ARG002
        raise SinkDownError(self._reason)
