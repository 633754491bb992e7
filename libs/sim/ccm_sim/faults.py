"""What goes wrong with a device's replies, settable while the site runs; decided by a seeded random generator."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any

from ccm_sim import modbus


@dataclass(frozen=True, slots=True)
class Faults:
    """A device's faults; the default is a healthy device.

    `dead` answers nothing. `turnaround_s` replaces the device's own. A reply is held back by `late_s` with
    `late_probability`. The others are probabilities from 0 to 1: `corrupt` (one bit flipped), `drop` (no reply);
    with a right CRC `wrong_unit` (the reply comes from the next unit), `wrong_function` (its function is the next one),
    `wrong_length` (it holds one register less) and `exception` (the answer is `exception_code`); `truncate` (its end is
    missing) and `noise` (bytes of nobody directly before it). The last five are for serial lines only.
    """

    dead: bool = False
    turnaround_s: float | None = None
    late_s: float = 0.0
    late_probability: float = 1.0
    corrupt: float = 0.0
    wrong_unit: float = 0.0
    drop: float = 0.0
    wrong_function: float = 0.0
    wrong_length: float = 0.0
    truncate: float = 0.0
    noise: float = 0.0
    exception: float = 0.0
    exception_code: int = 4

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: {getattr(self, name)} is not a probability from 0 to 1")
        for name in ("turnaround_s", "late_s"):
            if (getattr(self, name) or 0.0) < 0.0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative")
        if self.exception_code not in range(1, 256):
            raise ValueError(f"exception_code: {self.exception_code} is not from 1 to 255")

    def changed(self, changes: Mapping[str, Any]) -> "Faults":
        """These faults with some replaced; ValueError names what does not fit."""
        for name, value in changes.items():
            if name not in _NAMES:
                raise ValueError(f"{name}: no such fault; there are {', '.join(_NAMES)}")
            if name == "dead":
                if not isinstance(value, bool):
                    raise ValueError(f"dead: {value!r} is not true or false")
            elif name == "exception_code" and type(value) is not int:
                raise ValueError(f"exception_code: {value!r} is not a whole number")
            elif not (value is None and name == "turnaround_s") and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                raise ValueError(f"{name}: {value!r} is not a number")
        return replace(self, **changes)


_PROBABILITIES = (
    "late_probability", "corrupt", "wrong_unit", "drop", "wrong_function", "wrong_length", "truncate", "noise",
    "exception",
)  # fmt: skip
_NAMES = tuple(field.name for field in fields(Faults))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one reply."""

    is_lost: bool = False
    delay_s: float = 0.0
    is_corrupt: bool = False
    is_from_other: bool = False
    is_of_other_function: bool = False
    is_of_other_length: bool = False
    is_cut: bool = False
    is_noisy: bool = False
    exception_code: int | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is done to it, by the faults' names."""
        did = {
            "drop": self.is_lost,
            "late": self.delay_s > 0,
            "corrupt": self.is_corrupt,
            "wrong_unit": self.is_from_other,
            "wrong_function": self.is_of_other_function,
            "wrong_length": self.is_of_other_length,
            "truncate": self.is_cut,
            "noise": self.is_noisy,
            "exception": self.exception_code is not None,
        }
        return tuple(name for name, is_so in did.items() if is_so)


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
        is_of_other_function=random.random() < faults.wrong_function,
        is_of_other_length=random.random() < faults.wrong_length,
        is_cut=random.random() < faults.truncate,
        is_noisy=random.random() < faults.noise,
        exception_code=faults.exception_code if random.random() < faults.exception else None,
    )


def spoiled(unit: int, pdu: bytes, fate: Verdict, random: Random) -> bytes:
    """The RTU frame of a reply as it is sent; what was done to it last is done to the bytes."""
    if fate.exception_code is not None:
        pdu = modbus.exception(pdu[0], fate.exception_code)
    elif fate.is_of_other_length and pdu[0] in (modbus.READ_HOLDING, modbus.READ_INPUT) and pdu[1] > 2:
        pdu = bytes((pdu[0], pdu[1] - 2)) + pdu[2:-2]
    if fate.is_of_other_function:
        pdu = bytes((pdu[0] + 1,)) + pdu[1:]
    frame = modbus.rtu(unit % 247 + 1 if fate.is_from_other else unit, pdu)
    if fate.is_corrupt:
        frame = flipped(frame, random)
    if fate.is_cut:
        frame = frame[: random.randrange(1, len(frame))]
    return random.randbytes(random.randint(1, 4)) + frame if fate.is_noisy else frame


NO_FAULTS = Faults()


def flipped(frame: bytes, random: Random, first: int = 0) -> bytes:
    """The frame with one bit of one byte from index `first` on turned over."""
    at = random.randrange(first, len(frame))
    return frame[:at] + bytes((frame[at] ^ 1 << random.randrange(8),)) + frame[at + 1 :]
