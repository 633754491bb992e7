"""Which units native devices have: by the configuration, and by what was assigned and is not in it yet. Pure."""

from collections.abc import Sequence
from typing import ClassVar

from ccm_contracts.config.document import Document
from ccm_contracts.config.field import Device
from ccm_contracts.state import Assigned


class Roll:
    """The native side of the configuration in force."""

    MOST_TOLD: ClassVar = 64
    """Assigned devices in the mode's state; the oldest are forgotten first."""

    def __init__(self) -> None:
        self.native_lines: list[str] = []
        self._devices: list[Device] = []

    def apply(self, document: Document) -> None:
        """Another configuration."""
        self.native_lines = [port.id for port in document.ports if port.role == "native"]
        self._devices = list(document.devices)

    def marked(self, assigned: Sequence[Assigned]) -> list[Assigned]:
        """The same, each with its id in the configuration as soon as it has one."""
        return [
            each if each.device is not None else each.model_copy(update={"device": self._id_of(each)})
            for each in assigned
        ]

    def holder(self, line: str, unit: int) -> str | None:
        """The configured device at that unit."""
        return next((device.id for device in self._on(line) if device.unit == unit), None)

    def unit_of(self, line: str, serial: str, assigned: Sequence[Assigned]) -> int | None:
        """Of a device that was seen before on this line."""
        for device in self._on(line):
            if device.serial == serial:
                return device.unit
        return next((each.unit for each in assigned if (each.line, each.serial) == (line, serial)), None)

    def units(self, line: str, assigned: Sequence[Assigned]) -> set[int]:
        """Units that are taken on this line."""
        return {device.unit for device in self._on(line)} | {
            each.unit for each in assigned if each.line == line and each.device is None
        }

    def principals(self, assigned: Sequence[Assigned]) -> int:
        """Devices on native lines, those behind another not counted."""
        own = {
            (line, device.unit)
            for line in self.native_lines
            for device in self._on(line)
            if device.secondary is None
        }
        return len(own | {(each.line, each.unit) for each in assigned if each.device is None})

    def _on(self, line: str) -> list[Device]:
        return [device for device in self._devices if device.port == line]

    def _id_of(self, assigned: Assigned) -> str | None:
        for device in self._on(assigned.line):
            if device.serial == assigned.serial or (device.unit == assigned.unit and device.serial is None):
                return device.id
        return None
