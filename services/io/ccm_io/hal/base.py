"""What io needs of the hardware. Writes raise OSError when the hardware refuses; whether retrying helps is unknown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ccm_contracts.state import LedPattern
from ccm_contracts.verbs.io import OutputId


class Output(Protocol):
    """A relay (0 open, 1 closed) or the 0-10 V output (volts). Its state outlives this process."""

    def read(self) -> float | None:
        """What the hardware holds now; None when it cannot tell."""

    def write(self, value: float) -> None:
        """Switch the relay, or set the volts; returns when the hardware has taken it."""


class Led(Protocol):
    """An LED that blinks by itself."""

    def show(self, pattern: LedPattern) -> None:
        """Show `pattern` from now on."""


class Button(Protocol):
    """The multi-function button."""

    async def pressed(self) -> float:
        """Waits for the next press; the seconds for which it was held, once it is released."""


@dataclass(frozen=True, slots=True)
class Hal:
    """One backend."""

    outputs: Mapping[OutputId, Output]
    leds: Mapping[str, Led]
    button: Button
