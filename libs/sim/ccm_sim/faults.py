"""What goes wrong with a device's replies, settable while the site runs; decided by a seeded random generator."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class Faults:
    """A device's faults; the default is a healthy device.

    `dead` answers nothing. `turnaround_s` replaces the device's own. A reply is held back by `late_s` with
    `late_probability`. `corrupt` (one bit flipped), `wrong_unit` (the reply comes from the next unit, with a right
    CRC) and `drop` (no reply) are probabilities from 0 to 1.
    """

    dead: bool = False
    turnaround_s: float | None = None
    late_s: float = 0.0
    late_probability: float = 1.0
    corrupt: float = 0.0
    wrong_unit: float = 0.0
    drop: float = 0.0

    def __post_init__(self) -> None:
        for name in ("late_probability", "corrupt", "wrong_unit", "drop"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: {getattr(self, name)} is not a probability from 0 to 1")
        for name in ("turnaround_s", "late_s"):
            if (getattr(self, name) or 0.0) < 0.0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative")

    def changed(self, changes: Mapping[str, Any]) -> "Faults":
        """These faults with some replaced; ValueError names what does not fit."""
        for name, value in changes.items():
            if name not in _NAMES:
                raise ValueError(f"{name}: no such fault; there are {', '.join(_NAMES)}")
            if name == "dead":
                if not isinstance(value, bool):
                    raise ValueError(f"dead: {value!r} is not true or false")
            elif not (value is None and name == "turnaround_s") and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                raise ValueError(f"{name}: {value!r} is not a number")
        return replace(self, **changes)


_NAMES = tuple(field.name for field in fields(Faults))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one reply."""

    is_lost: bool = False
    delay_s: float = 0.0
    is_corrupt: bool = False
    is_from_other: bool = False


HEALTHY = Verdict()


def verdict(faults: Faults, random: Random) -> Verdict:
    """Draws the fate of the next reply."""
    if faults == NO_FAULTS:
        return HEALTHY
    return Verdict(
        is_lost=faults.dead or random.random() < faults.drop,
        delay_s=faults.late_s if random.random() < faults.late_probability else 0.0,
        is_corrupt=random.random() < faults.corrupt,
        is_from_other=random.random() < faults.wrong_unit,
    )


NO_FAULTS = Faults()


def flipped(frame: bytes, random: Random, first: int = 0) -> bytes:
    """The frame with one bit of one byte from index `first` on turned over."""
    at = random.randrange(first, len(frame))
    return frame[:at] + bytes((frame[at] ^ 1 << random.randrange(8),)) + frame[at + 1 :]
