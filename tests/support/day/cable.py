"""One cable with everybody on it, and what happens to it. A mishap returns False when it has one already."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from ccm_bus_reader.reader import Reader
from ccm_contracts.config.field import Port
from ccm_kit.errors import CcmError
from ccm_sim.wire import Pace, Wire
from tests.support.day.cabinet import GHOST, PORT, cabinet, configs
from tests.support.day.scene import Scene
from tests.support.day.witness import Witness
from tests.support.memory_port import LoopTimers, MemoryPort, at_path
from tests.support.virtual_time import VirtualLoop

PATH: Final = "/dev/day"


@dataclass(kw_only=True)
class Cable(Scene):
    """32 units at 9600 baud."""

    port: MemoryPort
    baudrate: int = 9600

    @property
    def ports(self) -> list[Port]:
        return [Port(id=PORT, kind="rs232", path=PATH, baudrate=self.baudrate)]

    @property
    def wires(self) -> Sequence[Wire]:
        return (self.port.wire,)

    @property
    def openings(self) -> int:
        return self.port.openings

    def spoiled(self, device: str) -> Counter[str]:
        stats = self.port.wire.stats
        return Counter(stats.spoiled.get(device, {})) + Counter(collision=stats.collisions)

    @contextmanager
    def line(self) -> Iterator[bool]:
        """Everybody's trouble."""
        with self.on(PORT, list(self.witness.watched)) as is_free:
            yield is_free


@contextmanager
def cable(loop: VirtualLoop, seed: int, reader: Reader, witness: Witness) -> Iterator[Cable]:
    """The scenery; the port is there meanwhile."""
    devices = cabinet(loop.time)
    port = MemoryPort(witness.heard, witness.line_opened)
    port.wire = Wire(Pace(), list(devices.values()), LoopTimers(loop), seed, port.put)
    scene = Cable(
        reader=reader,
        devices=devices,
        configs=configs(devices),
        witness=witness,
        dice=Random(seed),
        port=port,
    )
    witness.watch_all(scene.devices, scene.configs, scene.spoiled, dead=[GHOST])
    with at_path(PATH, port):
        yield scene


# --- mishaps -------------------------------------------------------------------------------------------------


async def falls_silent(scene: Cable) -> bool:
    with scene.line() as is_free:
        if is_free:
            scene.port.wire.is_cut = True
            await asyncio.sleep(scene.some_s())
            scene.port.wire.is_cut = False
    return is_free


async def is_unplugged(scene: Cable) -> bool:
    with scene.line() as is_free:
        if is_free:
            scene.port.unplug()
            await asyncio.sleep(scene.dice.choice((0.5, scene.some_s(20), scene.some_s())))
            scene.port.plug()
    return is_free


async def flaps(scene: Cable) -> bool:
    with scene.line() as is_free:
        if is_free:
            for _ in range(scene.dice.randint(3, 12)):
                scene.port.unplug()
                await asyncio.sleep(scene.dice.uniform(0.05, 2.0))
                scene.port.plug()
                await asyncio.sleep(scene.dice.uniform(0.05, 6.0))
    return is_free


async def hangs(scene: Cable) -> bool:
    """The adapter takes bytes and gives none; half of the times it is unplugged, and does not open at once."""
    with scene.line() as is_free:
        if is_free:
            port = scene.port
            port.is_hung = True
            await asyncio.sleep(scene.some_s())
            if scene.dice.random() < 0.5:
                port.unplug()
                port.opens_after_s = scene.dice.uniform(1.0, 8.0)
                port.plug()
                await asyncio.sleep(scene.some_s(30))
                port.opens_after_s = 0.0
            port.is_hung = False
    return is_free


async def echoes(scene: Cable) -> bool:
    with scene.line() as is_free:
        if is_free:
            scene.port.wire.echoes = True
            await asyncio.sleep(scene.some_s(900))
            scene.port.wire.echoes = False
    return is_free


async def crackles(scene: Cable) -> bool:
    """Bytes of nobody, at any moment."""
    with scene.line() as is_free:
        if is_free:
            dice = scene.dice
            for _ in range(dice.randint(5, 60)):
                scene.port.wire.disturb(dice.randbytes(dice.randint(1, 12)))
                await asyncio.sleep(dice.expovariate(1.0))
    return is_free


async def is_borrowed(scene: Cable) -> bool:
    """Somebody has the line alone, at another rate, as a scan does."""
    with scene.line() as is_free:
        if is_free:
            try:
                async with scene.reader.poller(PORT).exclusive("a scan") as line:
                    await line.reconfigure(19200, "8E1")
                    await asyncio.sleep(scene.some_s(20))
            except CcmError as err:
                scene.commands[f"scan: {err.code}"] += 1
    return is_free


async def gets_another_baudrate(scene: Cable) -> bool:
    with scene.line() as is_free:
        if is_free:
            before = scene.baudrate
            await _run_at(scene, 19200)
            await asyncio.sleep(scene.some_s(60))
            await _run_at(scene, before)
    return is_free


async def _run_at(scene: Cable, baudrate: int) -> None:
    scene.baudrate = baudrate
    scene.port.wire.pace = Pace(baudrate)
    await scene.apply()
