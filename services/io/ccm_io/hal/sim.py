"""The simulated hardware: small files that the simulated site, a test or a person can look at and change.

`outputs/relay-1`, `outputs/relay-2` hold "0" or "1", `outputs/analog-1` volts as "4.500"; `leds/blue` and its
siblings hold the pattern. Seconds written to `button` press the button for so long; the file is taken away.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from ccm_contracts.state import LedPattern
from ccm_contracts.verbs.io import OutputId
from ccm_io.hal.base import Hal
from ccm_io.outputs import is_relay

LEDS: Final = ("blue", "green", "yellow")
BUTTON_POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class SimOutput:
    """A file that outlives the process, as a bistable relay's contact does."""

    path: Path
    decimals: int

    def read(self) -> float | None:
        try:
            return float(self.path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def write(self, value: float) -> None:
        _replace(self.path, f"{value:.{self.decimals}f}")


@dataclass(frozen=True, slots=True)
class SimLed:
    path: Path

    def show(self, pattern: LedPattern) -> None:
        _replace(self.path, pattern)


@dataclass(frozen=True, slots=True)
class SimButton:
    """A press is a file: looked for every `BUTTON_POLL_S`."""

    path: Path

    async def pressed(self) -> float:
        while True:
            with suppress(OSError, ValueError):
                text = self.path.read_text(encoding="ascii")
                self.path.unlink()
                return float(text)
            await asyncio.sleep(BUTTON_POLL_S)


def sim_hal(directory: Path) -> Hal:
    """Makes its folders; the files come with the first write."""
    for folder in ("outputs", "leds"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    outputs: tuple[OutputId, ...] = get_args(OutputId)
    return Hal(
        outputs={
            output: SimOutput(directory / "outputs" / output, 0 if is_relay(output) else 3)
            for output in outputs
        },
        leds={led: SimLed(directory / "leds" / led) for led in LEDS},
        button=SimButton(directory / "button"),
    )


def _replace(path: Path, text: str) -> None:
    """Readers see the old text or the new one, never a part."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="ascii")
    draft.replace(path)
