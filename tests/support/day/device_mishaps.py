"""What happens to one device: its replies go wrong for a while, or its counters do at once. False: none was free."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final

from ccm_sim.electrical import NJ_PER_WH
from tests.support.day.scene import LATEST_S, Scene

NEAR_END_NJ: Final = (1 << 31) * NJ_PER_WH
DEATHS_S: Final = (60.0, 600.0, 2400.0)
LATE_S: Final = (0.15, 0.3, 0.6, 1.0, 1.5, 3.0)
EXCEPTIONS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 11)
MIXED: Final = ("corrupt", "drop", "truncate", "wrong_unit", "wrong_length", "noise", "exception")

Drawn = Callable[[Random], dict[str, Any]]
"""What is wrong with its replies: fields of `Faults`."""


def _share(dice: Random) -> float:
    return dice.choice((0.1, 0.3, 0.5, 1.0))


def _spoiled(fault: str) -> Drawn:
    return lambda dice: {fault: _share(dice)}


def _mixed(dice: Random) -> dict[str, Any]:
    late = {"late_s": dice.uniform(5.0, LATEST_S), "late_probability": 0.3}
    return dict.fromkeys(dice.sample(MIXED, 3), 0.15) | late


def _late(dice: Random) -> dict[str, Any]:
    return {"late_s": dice.choice(LATE_S) + dice.uniform(0, 2.0), "late_probability": _share(dice)}


FAULTY: Final[dict[str, tuple[Drawn, float]]] = {
    "dies": (lambda _: {"dead": True}, 10),
    "late": (_late, 10),
    "slow": (lambda dice: {"turnaround_s": dice.uniform(0.05, 0.9)}, 4),
    "corrupt": (_spoiled("corrupt"), 6),
    "lost": (_spoiled("drop"), 5),
    "truncated": (_spoiled("truncate"), 5),
    "wrong unit": (_spoiled("wrong_unit"), 4),
    "wrong function": (_spoiled("wrong_function"), 4),
    "wrong length": (_spoiled("wrong_length"), 4),
    "noise before": (_spoiled("noise"), 4),
    "exception": (lambda dice: {"exception": _share(dice), "exception_code": dice.choice(EXCEPTIONS)}, 8),
    "mixed": (_mixed, 5),
}
"""By name, with its weight."""


async def is_faulty(scene: Scene, faults: dict[str, Any]) -> bool:
    is_dead, refuses = "dead" in faults, "exception" in faults
    with scene.one(is_dead=is_dead, refuses=refuses) as device:
        if device is None:
            return False
        device.faults = scene.calm().changed(faults)
        longest_s = scene.dice.choice(DEATHS_S) if is_dead else 120.0 if refuses else 300.0
        await asyncio.sleep(scene.some_s(longest_s))
        device.faults = scene.calm()
    return True


async def resets(scene: Scene) -> bool:
    with scene.one() as device:
        if device is None:
            return False
        # One that is about to roll over could not be told from one that did.
        device.show({name: 0 for name, energy in device.counters.items() if energy < NEAR_END_NJ})
        await asyncio.sleep(0)
    return True


async def nears_its_end(scene: Scene) -> bool:
    """32 bits of Wh are full soon; it jumps there first."""
    with scene.one(kind="ccm4") as device:
        if device is None:
            return False
        device.show(dict.fromkeys(("e_imp", "e_exp", "eq_imp"), ((1 << 32) - 3) * NJ_PER_WH))
        await asyncio.sleep(0)
    return True


async def jitters(scene: Scene) -> bool:
    with scene.one() as device:
        if device is None:
            return False
        back = 2 * NJ_PER_WH * (10 if device.spec.kind == "sdm630" else 1)
        device.show({name: max(0, energy - back) for name, energy in device.counters.items()})
        await asyncio.sleep(0)
    return True


async def is_replaced(scene: Scene) -> bool:
    with scene.one(kind="ccm4", is_dead=True) as device:
        if device is None:
            return False
        device.faults = scene.calm().changed({"dead": True})
        await asyncio.sleep(scene.some_s())
        device.become(str(scene.dice.randrange(1, 1 << 31)))
        device.show({name: scene.dice.randrange(1 << 20) * NJ_PER_WH for name in device.counters})
        device.faults = scene.calm()
    return True
