"""Up to when each resolution is dropped. Pure.

A longer period is made anew from shorter ones when late readings come: so each resolution reaches back a little
further than what is made anew from it.
"""

from dataclasses import dataclass, field
from typing import Final

from ccm_contracts.config.services import Historic, Retention
from ccm_uplink.history.calendar import DAY_MS, HOUR_MS, Calendar
from ccm_uplink.history.paging import instant_of

Floors = dict[str, int]
"""By the name of the level: milliseconds since 1970; everything before is dropped."""

WORK_MS: Final = {"raw": 6 * HOUR_MS, "m1": DAY_MS, "m15": 2 * DAY_MS}
"""With a latency, what is finer than the stored period is kept only so long: late readings find it there."""
LAG_MS: Final = {"m1": 0, "m15": 2 * HOUR_MS, "h1": 26 * HOUR_MS, "d1": 26 * HOUR_MS}
"""How much further than single values each resolution reaches back at least."""
KEPT_MS: Final = HOUR_MS
"""A disk budget takes no younger values than these."""
SHARE: Final = 20
"""A disk budget takes a twentieth of a resolution's time at once."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept, and for how long; `latency_s` 0 keeps every reading."""

    latency_s: int = 0
    retention: Retention = field(default_factory=Retention)
    max_mb: int = 0
    """0: no budget."""
    zone: str = "UTC"

    @classmethod
    def of(cls, historic: Historic, zone: str) -> "Keeping":
        return cls(historic.latency_s, historic.retention, historic.max_mb, zone)

    @property
    def level(self) -> str:
        """The finest resolution that is kept for good."""
        return {0: "raw", 60: "m1", 300: "m1", 900: "m15", 3600: "h1"}[self.latency_s]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A budget or a full disk took what retention would have kept."""

    level: str
    until_ms: int
    is_full: bool

    @property
    def kind(self) -> str:
        """The kind of its event."""
        return "history-disk-full" if self.is_full else "history-trimmed"

    @property
    def text(self) -> str:
        why = "the disk is full" if self.is_full else "the disk budget is used up"
        what = "single values" if self.level == "raw" else f"rollups {self.level}"
        return f"history: {why}; {what} before {instant_of(self.until_ms):%Y-%m-%d %H:%M} UTC were dropped"


def floors_of(keeping: Keeping, now_ms: int, calendar: Calendar, before: Floors) -> Floors:
    """Where each resolution begins from now on; never before where it begins now."""
    kept = keeping.retention
    days = {
        "raw": kept.raw_days,
        "m1": kept.m1_days,
        "m15": kept.m15_days,
        "h1": kept.h1_days,
        "d1": kept.d1_days,
    }
    finer = True
    wanted: Floors = {}
    for name, number in days.items():
        finer = finer and name != keeping.level
        if finer:
            wanted[name] = now_ms - WORK_MS[name]
        else:
            wanted[name] = now_ms - number * DAY_MS if number else 0
    return aligned(wanted, calendar, before)


def freed(name: str, oldest_ms: int, newest_ms: int, floors: Floors, calendar: Calendar) -> Floors | None:
    """The floors after a twentieth of a level's time was given up; None when it has no more to give."""
    until = oldest_ms + max(KEPT_MS, (newest_ms - oldest_ms) // SHARE)
    if until > newest_ms - KEPT_MS:
        return None
    found = aligned(floors | {name: until}, calendar, floors)
    return found if found[name] > max(oldest_ms, floors.get(name, 0)) else None


def aligned(wanted: Floors, calendar: Calendar, before: Floors) -> Floors:
    """Floors at the borders of the next longer period, in the order of their levels, and not before the old ones."""
    raw = calendar.start(max(0, wanted["raw"]), "15min")
    floors = {"raw": raw}
    for name, unit in (("m1", "15min"), ("m15", "hour"), ("h1", "day"), ("d1", "day")):
        most = min(wanted.get(name, 0), raw - LAG_MS[name])
        floors[name] = calendar.start(most, unit) if most > 0 else 0  # type: ignore[arg-type]
    return {name: max(floor, before.get(name, 0)) for name, floor in floors.items()}
