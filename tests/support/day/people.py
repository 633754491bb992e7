"""What people do meanwhile: they change the configuration, and send commands."""

import asyncio
from typing import Final

from ccm_contracts.verbs.bus_reader import DeviceCommand
from ccm_kit.errors import CcmError
from tests.support.day.cabinet import Counted
from tests.support.day.scene import Scene

COMMAND_S: Final = 30.0
"""A command has ended by then, well or not."""


async def remove_it(scene: Scene) -> bool:
    with scene.one() as device:
        if device is None:
            return False
        await scene.remove(device.id)
        await asyncio.sleep(scene.dice.choice((0.2, scene.some_s(20), scene.some_s())))
        await scene.put_back(device.id)
    return True


async def change_its_rate(scene: Scene) -> bool:
    with scene.one() as device:
        if device is None:
            return False
        poll_s = scene.dice.choice((2.0, 5.0, 10.0, 30.0, 60.0))
        slow_s = scene.dice.choice((None, 60.0, 300.0))
        config = scene.configs[device.id]
        scene.configs[device.id] = config.model_copy(update={"poll_s": poll_s, "slow_s": slow_s})
        await scene.apply()
        scene.witness.watch(device.id, poll_s, slow_s)
    return True


async def command_some(scene: Scene) -> bool:
    """A few writes at once, also to devices that are in trouble."""
    dice = scene.dice
    meters = [device for device in scene.devices.values() if device.spec.kind == "ccm4"]
    await asyncio.gather(*(_command(scene, dice.choice(meters)) for _ in range(dice.randint(1, 4))))
    return True


async def _command(scene: Scene, device: Counted) -> None:
    loop, mode = asyncio.get_running_loop(), scene.dice.randint(0, 2)
    started = loop.time()
    outcome = "done"
    try:
        async with asyncio.timeout(COMMAND_S):
            done = await scene.reader.command(DeviceCommand(device=device.id, name="mode", value=mode), None)
        if (done.value, device.mode) != (mode, mode):
            text = f"{device.id}: mode {mode} is said to be {done.value:g}, it is {device.mode}"
            scene.witness.violate("command", text)
    except CcmError as err:
        outcome = err.code
    except TimeoutError:
        outcome = "no end"
        scene.witness.violate("command", f"{device.id}: no end within {COMMAND_S:g} s")
    scene.commands[outcome] += 1
    scene.slowest_command_s = max(scene.slowest_command_s, loop.time() - started)
