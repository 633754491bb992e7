"""What goes wrong in the day: a seeded sequence of mishaps, each of which begins, lasts, and ends by itself."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from ccm_bus_reader.reader import Reader
from ccm_contracts.config.document import Document
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.config.field import Port
from ccm_contracts.verbs.bus_reader import DeviceCommand
from ccm_kit.errors import CcmError
from ccm_sim.electrical import NJ_PER_WH
from ccm_sim.faults import Faults
from ccm_sim.wire import Pace
from tests.support.day.cabinet import PORT, Counted
from tests.support.day.witness import Witness
from tests.support.memory_port import MemoryPort

EVERY_S: Final = 45.0
"""A mishap begins so often, on average: 1900 in a day."""
PATH: Final = "/dev/day"
LATEST_S: Final = 9.5
"""The engine gives a reply up after 10 s from the request; what comes later than that is out of its promise."""
COMMAND_S: Final = 30.0
"""A command has ended by then, well or not."""
NEAR_END_NJ: Final = (1 << 31) * NJ_PER_WH
CALM: Final = Faults(corrupt=0.01, late_probability=0.01, late_s=1.0)
"""All day long: 1 % of all replies have a wrong bit and 1 % come late."""


@dataclass
class Scene:
    """All that a mishap may touch."""

    reader: Reader
    devices: dict[str, Counted]
    configs: dict[str, DeviceConfig]
    port: MemoryPort
    witness: Witness
    dice: Random
    baudrate: int = 9600


class Mishaps:
    """`run` until a moment; `counts` by kind."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.counts: Counter[str] = Counter()
        self.commands: Counter[str] = Counter()
        self.slowest_command_s = 0.0
        self._busy: set[str] = set()
        self._is_line_busy = False
        self._config_lock = asyncio.Lock()
        self._removed: set[str] = set()

    async def run(self, until: float) -> None:
        """Mishaps begin until then; returns once the last has ended."""
        loop, dice = asyncio.get_running_loop(), self.scene.dice
        kinds = list(_KINDS)
        weights = [weight for _, weight in _KINDS.values()]
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(dice.expovariate(1 / EVERY_S))
                if loop.time() >= until:
                    return
                kind = dice.choices(kinds, weights)[0]
                group.create_task(self._happen(kind), name=f"mishap.{kind}")

    async def _happen(self, kind: str) -> None:
        if await _KINDS[kind][0](self):
            self.counts[kind] += 1

    def calm(self) -> Faults:
        return CALM.changed({"late_s": self.scene.dice.uniform(0.15, LATEST_S)})

    # --- one device ------------------------------------------------------------------------------------------

    @contextmanager
    def _one(
        self, *, is_dead: bool = False, refuses: bool = False, kind: str | None = None
    ) -> Iterator[Counted | None]:
        """A device that nothing else concerns now, or None."""
        scene = self.scene
        free = [
            device
            for device in scene.devices.values()
            if device.id not in self._busy
            and device.id not in self._removed
            and (kind is None or device.spec.kind == kind)
        ]
        device = scene.dice.choice(free) if free else None
        if device is None:
            yield None
            return
        self._busy.add(device.id)
        scene.witness.trouble(device.id, is_dead=is_dead)
        try:
            yield device
        finally:
            self._busy.discard(device.id)
            scene.witness.alive(device.id)
            scene.witness.relief(device.id, had_refused=refuses)

    async def _faulty(self, faults: dict[str, Any], last_s: float) -> bool:
        with self._one(is_dead=faults.get("dead", False), refuses="exception" in faults) as device:
            if device is None:
                return False
            device.faults = self.calm().changed(faults)
            await asyncio.sleep(last_s)
            device.faults = self.calm()
        return True

    def _share(self) -> float:
        return self.scene.dice.choice((0.1, 0.3, 0.5, 1.0))

    def _last(self, longest_s: float = 300.0) -> float:
        return self.scene.dice.uniform(5.0, longest_s)

    async def dies(self) -> bool:
        last_s = self.scene.dice.choice((self._last(60), self._last(600), self._last(2400)))
        return await self._faulty({"dead": True}, last_s)

    async def is_late(self) -> bool:
        late_s = self.scene.dice.choice((0.15, 0.3, 0.6, 1.0, 1.5, 3.0)) + self.scene.dice.uniform(0, 2.0)
        return await self._faulty({"late_s": late_s, "late_probability": self._share()}, self._last())

    async def is_slow(self) -> bool:
        return await self._faulty({"turnaround_s": self.scene.dice.uniform(0.05, 0.9)}, self._last())

    async def spoils(self) -> bool:
        return await self._faulty({"corrupt": self._share()}, self._last())

    async def loses(self) -> bool:
        return await self._faulty({"drop": self._share()}, self._last())

    async def cuts(self) -> bool:
        return await self._faulty({"truncate": self._share()}, self._last())

    async def misaddresses(self) -> bool:
        return await self._faulty({"wrong_unit": self._share()}, self._last())

    async def misnames(self) -> bool:
        return await self._faulty({"wrong_function": self._share()}, self._last())

    async def shortens(self) -> bool:
        return await self._faulty({"wrong_length": self._share()}, self._last())

    async def stutters(self) -> bool:
        return await self._faulty({"noise": self._share()}, self._last())

    async def refuses(self) -> bool:
        code = self.scene.dice.choice((1, 2, 3, 4, 5, 6, 8, 10, 11))
        return await self._faulty({"exception": self._share(), "exception_code": code}, self._last(120))

    async def mixes(self) -> bool:
        names = self.scene.dice.sample(
            ("corrupt", "drop", "truncate", "wrong_unit", "wrong_length", "noise", "exception"), 3
        )
        faults: dict[str, Any] = dict.fromkeys(names, 0.15)
        return await self._faulty(
            faults | {"late_s": self._last(LATEST_S), "late_probability": 0.3}, self._last()
        )

    # --- its counters ----------------------------------------------------------------------------------------

    async def resets(self) -> bool:
        with self._one() as device:
            if device is None:
                return False
            # One that is about to roll over could not be told from one that did.
            device.show({name: 0 for name, energy in device.counters.items() if energy < NEAR_END_NJ})
            await asyncio.sleep(0)
        return True

    async def nears_its_end(self) -> bool:
        """32 bits of Wh are full soon; it jumps there first."""
        with self._one(kind="ccm4") as device:
            if device is None:
                return False
            device.show(dict.fromkeys(("e_imp", "e_exp", "eq_imp"), ((1 << 32) - 3) * NJ_PER_WH))
            await asyncio.sleep(0)
        return True

    async def jitters(self) -> bool:
        with self._one() as device:
            if device is None:
                return False
            back = 2 * NJ_PER_WH * (10 if device.spec.kind == "sdm630" else 1)
            device.show({name: max(0, energy - back) for name, energy in device.counters.items()})
            await asyncio.sleep(0)
        return True

    async def is_replaced(self) -> bool:
        with self._one(kind="ccm4", is_dead=True) as device:
            if device is None:
                return False
            device.faults = self.calm().changed({"dead": True})
            await asyncio.sleep(self._last())
            device.become(str(self.scene.dice.randrange(1, 1 << 31)))
            device.show({name: self.scene.dice.randrange(1 << 20) * NJ_PER_WH for name in device.counters})
            device.faults = self.calm()
        return True

    # --- the line --------------------------------------------------------------------------------------------

    @contextmanager
    def _line(self) -> Iterator[bool]:
        """Everybody's trouble; False when the line has one already."""
        if self._is_line_busy:
            yield False
            return
        self._is_line_busy = True
        concerned = list(self.scene.witness.watched)
        for device in concerned:
            self.scene.witness.trouble(device)
        try:
            yield True
        finally:
            self._is_line_busy = False
            for device in concerned:
                self.scene.witness.relief(device)
            self.scene.witness.line_opened()

    async def falls_silent(self) -> bool:
        with self._line() as is_free:
            if is_free:
                self.scene.port.wire.is_cut = True
                await asyncio.sleep(self._last())
                self.scene.port.wire.is_cut = False
        return is_free

    async def is_unplugged(self) -> bool:
        with self._line() as is_free:
            if is_free:
                self.scene.port.unplug()
                await asyncio.sleep(self.scene.dice.choice((0.5, self._last(20), self._last())))
                self.scene.port.plug()
        return is_free

    async def flaps(self) -> bool:
        with self._line() as is_free:
            if is_free:
                for _ in range(self.scene.dice.randint(3, 12)):
                    self.scene.port.unplug()
                    await asyncio.sleep(self.scene.dice.uniform(0.05, 2.0))
                    self.scene.port.plug()
                    await asyncio.sleep(self.scene.dice.uniform(0.05, 6.0))
        return is_free

    async def hangs(self) -> bool:
        """The adapter takes bytes and gives none; half of the times it is unplugged, and does not open at once."""
        with self._line() as is_free:
            if is_free:
                port = self.scene.port
                port.is_hung = True
                await asyncio.sleep(self._last())
                if self.scene.dice.random() < 0.5:
                    port.unplug()
                    port.opens_after_s = self.scene.dice.uniform(1.0, 8.0)
                    port.plug()
                    await asyncio.sleep(self._last(30))
                    port.opens_after_s = 0.0
                port.is_hung = False
        return is_free

    async def echoes(self) -> bool:
        with self._line() as is_free:
            if is_free:
                self.scene.port.wire.echoes = True
                await asyncio.sleep(self._last(900))
                self.scene.port.wire.echoes = False
        return is_free

    async def crackles(self) -> bool:
        """Bytes of nobody, at any moment."""
        with self._line() as is_free:
            if is_free:
                dice = self.scene.dice
                for _ in range(dice.randint(5, 60)):
                    self.scene.port.wire.disturb(dice.randbytes(dice.randint(1, 12)))
                    await asyncio.sleep(dice.expovariate(1.0))
        return is_free

    async def is_borrowed(self) -> bool:
        """Somebody has the line alone, at another rate, as a scan does."""
        with self._line() as is_free:
            if is_free:
                try:
                    async with self.scene.reader.poller(PORT).exclusive("a scan") as line:
                        await line.reconfigure(19200, "8E1")
                        await asyncio.sleep(self._last(20))
                except CcmError as err:
                    self.commands[f"scan: {err.code}"] += 1
        return is_free

    # --- what people do --------------------------------------------------------------------------------------

    def document(self) -> Document:
        """The configuration as it is now."""
        scene = self.scene
        port = Port(id=PORT, kind="rs232", path=PATH, baudrate=scene.baudrate)
        return Document(
            ports=[port],
            devices=[config for config in scene.configs.values() if config.id not in self._removed],
        )

    async def _apply(self) -> None:
        async with self._config_lock:
            await self.scene.reader.apply(self.document())

    async def is_removed(self) -> bool:
        with self._one() as device:
            if device is None:
                return False
            self._removed.add(device.id)
            await self._apply()
            await asyncio.sleep(self.scene.dice.choice((0.2, self._last(20), self._last())))
            self._removed.discard(device.id)
            await self._apply()
        return True

    async def changes_its_rate(self) -> bool:
        with self._one() as device:
            if device is None:
                return False
            scene = self.scene
            poll_s = scene.dice.choice((2.0, 5.0, 10.0, 30.0, 60.0))
            slow_s = scene.dice.choice((None, 60.0, 300.0))
            scene.configs[device.id] = scene.configs[device.id].model_copy(
                update={"poll_s": poll_s, "slow_s": slow_s}
            )
            await self._apply()
            scene.witness.watch(device.id, poll_s, slow_s)
        return True

    async def gets_another_baudrate(self) -> bool:
        with self._line() as is_free:
            if is_free:
                before = self.scene.baudrate
                await self._run_at(19200)
                await asyncio.sleep(self._last(60))
                await self._run_at(before)
        return is_free

    async def _run_at(self, baudrate: int) -> None:
        self.scene.baudrate = baudrate
        self.scene.port.wire.pace = Pace(baudrate)
        await self._apply()

    async def is_commanded(self) -> bool:
        """A few writes at once, also to devices that are in trouble."""
        dice = self.scene.dice
        meters = [device for device in self.scene.devices.values() if device.spec.kind == "ccm4"]
        await asyncio.gather(*(self._command(dice.choice(meters)) for _ in range(dice.randint(1, 4))))
        return True

    async def _command(self, device: Counted) -> None:
        loop, mode = asyncio.get_running_loop(), self.scene.dice.randint(0, 2)
        started = loop.time()
        outcome = "done"
        try:
            async with asyncio.timeout(COMMAND_S):
                done = await self.scene.reader.command(
                    DeviceCommand(device=device.id, name="mode", value=mode), None
                )
            if (done.value, device.mode) != (mode, mode):
                self.scene.witness.violate(
                    "command", f"{device.id}: mode {mode} is said to be {done.value:g}, it is {device.mode}"
                )
        except CcmError as err:
            outcome = err.code
        except TimeoutError:
            outcome = "no end"
            self.scene.witness.violate("command", f"{device.id}: no end within {COMMAND_S:g} s")
        self.commands[outcome] += 1
        self.slowest_command_s = max(self.slowest_command_s, loop.time() - started)


Kind = Callable[[Mishaps], Awaitable[bool]]
_KINDS: Final[dict[str, tuple[Kind, float]]] = {
    "dies": (Mishaps.dies, 10),
    "late": (Mishaps.is_late, 10),
    "slow": (Mishaps.is_slow, 4),
    "corrupt": (Mishaps.spoils, 6),
    "lost": (Mishaps.loses, 5),
    "truncated": (Mishaps.cuts, 5),
    "wrong unit": (Mishaps.misaddresses, 4),
    "wrong function": (Mishaps.misnames, 4),
    "wrong length": (Mishaps.shortens, 4),
    "noise before": (Mishaps.stutters, 4),
    "exception": (Mishaps.refuses, 8),
    "mixed": (Mishaps.mixes, 5),
    "counters reset": (Mishaps.resets, 2),
    "counters end": (Mishaps.nears_its_end, 2),
    "counters jitter": (Mishaps.jitters, 2),
    "replaced": (Mishaps.is_replaced, 2),
    "line silent": (Mishaps.falls_silent, 2),
    "unplugged": (Mishaps.is_unplugged, 2),
    "flapping": (Mishaps.flaps, 1),
    "hung": (Mishaps.hangs, 2),
    "echo": (Mishaps.echoes, 1),
    "crackle": (Mishaps.crackles, 2),
    "borrowed": (Mishaps.is_borrowed, 1),
    "removed": (Mishaps.is_removed, 3),
    "interval": (Mishaps.changes_its_rate, 3),
    "baud rate": (Mishaps.gets_another_baudrate, 1),
    "commands": (Mishaps.is_commanded, 8),
}
"""By name, with its weight."""
