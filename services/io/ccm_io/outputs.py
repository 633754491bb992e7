"""What an output shall do: commands checked, hold times, and what is kept after a restart.

Pure. The rule behind it: an output that stays on unattended is dangerous, so whenever nobody can be shown to want
it, it goes to its configured safe state; and a start never switches anything but towards that state.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from ccm_contracts.config.site import Feature
from ccm_contracts.types import Finite, Frozen, Timestamp
from ccm_contracts.verbs.io import OutputId, SetOutput
from ccm_kit.errors import RefusedError

NEEDS: Final[dict[OutputId, Feature]] = {"relay-1": "relays", "relay-2": "relays", "analog-1": "analog"}
ANALOG_FULL_V: Final = 10.0
ANALOG_DECIMALS: Final = 3
"""Volts are set to the millivolt."""
AGREES_WITHIN: Final = 0.05
"""What is read back may differ by this from what was set: 0.5 % of 10 V for a DAC; nothing for a relay's 0 and 1."""
OWN: Final = "io"
"""Who acted when no command did."""

Start = Literal["keep", "hold ended", "unknown"]


class Record(Frozen):
    """The last decision on one output, as stored: survives `kill -9` and power cuts."""

    value: Finite
    since: Timestamp
    reason: str
    safe: Finite = 0.0
    until: Timestamp | None = None
    hold_s: Finite | None = None
    switches: int = 0


@dataclass(frozen=True, slots=True)
class Desired:
    """A decision: `value` is 0 or 1, or volts; `hold_s` None means until the next decision."""

    value: float
    reason: str
    by: str
    hold_s: float | None = None


def is_relay(output: OutputId) -> bool:
    return NEEDS[output] == "relays"


def available(features: Collection[Feature]) -> list[OutputId]:
    """The outputs of a model with `features` (manual section 4)."""
    return [output for output, feature in NEEDS.items() if feature in features]


def desired_of(command: SetOutput, by: str, features: Collection[Feature], hold_s: float | None) -> Desired:
    """What `command` asks for; `hold_s` applies when it names none.

    Raises `RefusedError` with code `not-available` (this model lacks the output) or `out-of-range`.
    """
    output, value = command.output, command.value
    if NEEDS[output] not in features:
        raise RefusedError(f"this model has no {output}", code="not-available", field="output")
    if is_relay(output) and value not in (0, 1):
        raise RefusedError(f"{output} is a relay: 0 or 1, not {value:g}", code="out-of-range", field="value")
    if not 0 <= value <= ANALOG_FULL_V:
        raise RefusedError(f"{output}: {value:g} is not within 0 to 10 V", code="out-of-range", field="value")
    hold = command.hold_s if command.hold_s is not None else hold_s
    return Desired(round(value, ANALOG_DECIMALS), f"command by {by}", by, hold)


def safe_of(safe: float, reason: str) -> Desired:
    """The return to the safe state."""
    return Desired(round(safe, ANALOG_DECIMALS), reason, OWN)


def record_of(
    desired: Desired, before: Record | None, *, safe: float, switched: bool, now: datetime
) -> Record:
    """What to store for `desired`. `switched`: a contact changes, which wears it."""
    is_same = before is not None and before.value == desired.value
    return Record(
        value=desired.value,
        since=before.since if before is not None and is_same else now,
        reason=desired.reason,
        safe=safe,
        until=now + timedelta(seconds=desired.hold_s) if desired.hold_s is not None else None,
        hold_s=desired.hold_s,
        switches=(before.switches if before else 0) + (1 if switched else 0),
    )


def left_s(record: Record, now: datetime) -> float | None:
    """Seconds of hold time left; None without one. Never more than was asked for: a clock may have stepped back."""
    if record.until is None:
        return None
    left = (record.until - now).total_seconds()
    return max(0.0, min(left, record.hold_s if record.hold_s is not None else left))


def start_of(record: Record | None, found: float | None, now: datetime) -> Start:
    """What becomes of an output when the service starts and finds the hardware at `found`.

    Kept: what the stored record says, if the hardware agrees and its hold time (if any) still runs. A bistable relay
    thus keeps its last commanded state over `kill -9`. Everything else goes to the safe state.
    """
    if record is None or found is None or not agrees(record.value, found):
        return "unknown"
    return "hold ended" if left_s(record, now) == 0 else "keep"


def agrees(wanted: float, found: float) -> bool:
    return abs(wanted - found) <= AGREES_WITHIN
