"""What goes wrong in the day: a seeded sequence of mishaps, each of which begins, lasts, and ends by itself."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tests.support.day import cable, device_mishaps, network, people
from tests.support.day.scene import Scene

EVERY_S: Final = 45.0
"""A mishap begins so often, on average: 1900 in a day."""

Kind = Callable[[Any], Awaitable[bool]]
"""Of a scene. Returns when it has ended; false when it could not begin."""


def _faulty(drawn: device_mishaps.Drawn) -> Kind:
    return lambda scene: device_mishaps.is_faulty(scene, drawn(scene.dice))


Kinds = dict[str, tuple[Kind, float]]
"""By name, with their weights."""
_ANYWHERE: Final[Kinds] = {
    **{name: (_faulty(drawn), weight) for name, (drawn, weight) in device_mishaps.FAULTY.items()},
    "counters reset": (device_mishaps.resets, 2),
    "counters end": (device_mishaps.nears_its_end, 2),
    "counters jitter": (device_mishaps.jitters, 2),
    "replaced": (device_mishaps.is_replaced, 2),
    "removed": (people.remove_it, 3),
    "interval": (people.change_its_rate, 3),
    "commands": (people.command_some, 8),
}
ON_A_CABLE: Final[Kinds] = _ANYWHERE | {
    "line silent": (cable.falls_silent, 2),
    "unplugged": (cable.is_unplugged, 2),
    "flapping": (cable.flaps, 1),
    "hung": (cable.hangs, 2),
    "echo": (cable.echoes, 1),
    "crackle": (cable.crackles, 2),
    "borrowed": (cable.is_borrowed, 1),
    "baud rate": (cable.gets_another_baudrate, 1),
}
ON_A_NETWORK: Final[Kinds] = _ANYWHERE | {
    "restart": (network.restarts, 4),
    "vanished": (network.vanishes, 4),
    "hung": (network.hangs, 4),
    "hangs up": (network.hangs_up, 6),
    "babble": (network.babbles, 3),
}


class Mishaps:
    """`run` until a moment; `counts` by kind."""

    def __init__(self, scene: Scene, kinds: Mapping[str, tuple[Kind, float]]) -> None:
        self.scene = scene
        self._kinds = kinds
        self.counts: Counter[str] = Counter()

    async def run(self, until: float) -> None:
        """Mishaps begin until then; returns once the last has ended."""
        loop, dice = asyncio.get_running_loop(), self.scene.dice
        weights = [weight for _, weight in self._kinds.values()]
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(dice.expovariate(1 / EVERY_S))
                if loop.time() >= until:
                    return
                kind = dice.choices(list(self._kinds), weights)[0]
                group.create_task(self._happen(kind), name=f"mishap.{kind}")

    async def _happen(self, kind: str) -> None:
        if await self._kinds[kind][0](self.scene):
            self.counts[kind] += 1
