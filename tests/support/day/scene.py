"""All that a mishap may touch, and whom it may concern now. `cable.py` and `network.py` have the two sceneries."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

from ccm_bus_reader.reader import Reader
from ccm_contracts.config.document import Document
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.config.field import Port
from ccm_sim.faults import Faults
from ccm_sim.wire import Wire
from tests.support.day.cabinet import Counted
from tests.support.day.witness import Witness

LATEST_S: Final = 9.5
"""The engine gives a reply up after 10 s from the request; what comes later than that is out of its promise."""
CALM: Final = Faults(corrupt=0.01, late_probability=0.01, late_s=1.0)
"""All day long: 1 % of all replies have a wrong bit and 1 % come late."""


@dataclass(kw_only=True)
class Scene(ABC):
    """The devices, what leads to them, and who watches."""

    reader: Reader
    devices: dict[str, Counted]
    configs: dict[str, DeviceConfig]
    witness: Witness
    dice: Random
    commands: Counter[str] = field(default_factory=Counter)
    """By their outcome."""
    slowest_command_s: float = 0.0
    _busy: set[str] = field(default_factory=set)
    _removed: set[str] = field(default_factory=set)
    _troubled: set[str] = field(default_factory=set)
    """Lines that have a mishap."""
    _applying: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    @abstractmethod
    def ports(self) -> list[Port]:
        """Of the configuration."""

    @property
    @abstractmethod
    def wires(self) -> Sequence[Wire]:
        """The serial ones."""

    hears_at_once = True
    """Whether a silence on them must always be kept: a reply that is still in transit cannot be heard."""

    @property
    @abstractmethod
    def openings(self) -> int:
        """How often a line was opened."""

    @abstractmethod
    def spoiled(self, device: str) -> Counter[str]:
        """What was done to its replies, by kind."""

    def calm(self) -> Faults:
        return CALM.changed({"late_s": self.dice.uniform(0.15, LATEST_S)})

    def some_s(self, longest_s: float = 300.0) -> float:
        return self.dice.uniform(5.0, longest_s)

    @contextmanager
    def one(
        self, *, is_dead: bool = False, refuses: bool = False, kind: str | None = None
    ) -> Iterator[Counted | None]:
        """A device that nothing else concerns now, or None."""
        free = [
            device
            for device in self.devices.values()
            if device.id not in self._busy | self._removed and kind in (None, device.spec.kind)
        ]
        device = self.dice.choice(free) if free else None
        if device is None:
            yield None
            return
        self._busy.add(device.id)
        self.witness.trouble(device.id, is_dead=is_dead)
        try:
            yield device
        finally:
            self._busy.discard(device.id)
            self.witness.alive(device.id)
            self.witness.relief(device.id, had_refused=refuses)

    @contextmanager
    def on(self, line: str, devices: Collection[str]) -> Iterator[bool]:
        """Trouble of everybody on a line; False when it has one already."""
        if line in self._troubled:
            yield False
            return
        self._troubled.add(line)
        for device in devices:
            self.witness.trouble(device)
        try:
            yield True
        finally:
            self._troubled.discard(line)
            for device in devices:
                self.witness.relief(device)
            self.witness.line_opened(devices)

    def document(self) -> Document:
        """The configuration as it is now."""
        devices = [config for config in self.configs.values() if config.id not in self._removed]
        return Document(ports=self.ports, devices=devices)

    async def apply(self) -> None:
        async with self._applying:
            await self.reader.apply(self.document())

    async def remove(self, device: str) -> None:
        """From the configuration; `put_back` it."""
        self._removed.add(device)
        await self.apply()

    async def put_back(self, device: str) -> None:
        self._removed.discard(device)
        await self.apply()
