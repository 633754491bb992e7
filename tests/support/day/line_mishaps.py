"""What happens to the line, and so to everybody on it. False: it had a mishap already."""

import asyncio

from ccm_kit.errors import CcmError
from ccm_sim.wire import Pace
from tests.support.day.cabinet import PORT
from tests.support.day.scene import Scene


async def falls_silent(scene: Scene) -> bool:
    with scene.line() as is_free:
        if is_free:
            scene.port.wire.is_cut = True
            await asyncio.sleep(scene.some_s())
            scene.port.wire.is_cut = False
    return is_free


async def is_unplugged(scene: Scene) -> bool:
    with scene.line() as is_free:
        if is_free:
            scene.port.unplug()
            await asyncio.sleep(scene.dice.choice((0.5, scene.some_s(20), scene.some_s())))
            scene.port.plug()
    return is_free


async def flaps(scene: Scene) -> bool:
    with scene.line() as is_free:
        if is_free:
            for _ in range(scene.dice.randint(3, 12)):
                scene.port.unplug()
                await asyncio.sleep(scene.dice.uniform(0.05, 2.0))
                scene.port.plug()
                await asyncio.sleep(scene.dice.uniform(0.05, 6.0))
    return is_free


async def hangs(scene: Scene) -> bool:
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


async def echoes(scene: Scene) -> bool:
    with scene.line() as is_free:
        if is_free:
            scene.port.wire.echoes = True
            await asyncio.sleep(scene.some_s(900))
            scene.port.wire.echoes = False
    return is_free


async def crackles(scene: Scene) -> bool:
    """Bytes of nobody, at any moment."""
    with scene.line() as is_free:
        if is_free:
            dice = scene.dice
            for _ in range(dice.randint(5, 60)):
                scene.port.wire.disturb(dice.randbytes(dice.randint(1, 12)))
                await asyncio.sleep(dice.expovariate(1.0))
    return is_free


async def is_borrowed(scene: Scene) -> bool:
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


async def gets_another_baudrate(scene: Scene) -> bool:
    with scene.line() as is_free:
        if is_free:
            before = scene.baudrate
            await _run_at(scene, 19200)
            await asyncio.sleep(scene.some_s(60))
            await _run_at(scene, before)
    return is_free


async def _run_at(scene: Scene, baudrate: int) -> None:
    scene.baudrate = baudrate
    scene.port.wire.pace = Pace(baudrate)
    await scene.apply()
