"""What goes wrong in the day: a seeded sequence of mishaps, each of which begins, lasts, and ends by itself."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from tests.support.day import device_mishaps, line_mishaps, people
from tests.support.day.scene import Scene

EVERY_S: Final = 45.0
"""A mishap begins so often, on average: 1900 in a day."""

Kind = Callable[[Scene], Awaitable[bool]]
"""Returns when it has ended; false when it could not begin."""


def _faulty(drawn: device_mishaps.Drawn) -> Kind:
    return lambda scene: device_mishaps.is_faulty(scene, drawn(scene.dice))


_KINDS: Final[dict[str, tuple[Kind, float]]] = {
    **{name: (_faulty(drawn), weight) for name, (drawn, weight) in device_mishaps.FAULTY.items()},
    "counters reset": (device_mishaps.resets, 2),
    "counters end": (device_mishaps.nears_its_end, 2),
    "counters jitter": (device_mishaps.jitters, 2),
    "replaced": (device_mishaps.is_replaced, 2),
    "line silent": (line_mishaps.falls_silent, 2),
    "unplugged": (line_mishaps.is_unplugged, 2),
    "flapping": (line_mishaps.flaps, 1),
    "hung": (line_mishaps.hangs, 2),
    "echo": (line_mishaps.echoes, 1),
    "crackle": (line_mishaps.crackles, 2),
    "borrowed": (line_mishaps.is_borrowed, 1),
    "baud rate": (line_mishaps.gets_another_baudrate, 1),
    "removed": (people.remove_it, 3),
    "interval": (people.change_its_rate, 3),
    "commands": (people.command_some, 8),
}
"""By name, with its weight."""


class Mishaps:
    """`run` until a moment; `counts` by kind."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.counts: Counter[str] = Counter()

    async def run(self, until: float) -> None:
        """Mishaps begin until then; returns once the last has ended."""
        loop, dice = asyncio.get_running_loop(), self.scene.dice
        weights = [weight for _, weight in _KINDS.values()]
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(dice.expovariate(1 / EVERY_S))
                if loop.time() >= until:
                    return
                kind = dice.choices(list(_KINDS), weights)[0]
                group.create_task(self._happen(kind), name=f"mishap.{kind}")

    async def _happen(self, kind: str) -> None:
        if await _KINDS[kind][0](self.scene):
            self.counts[kind] += 1
