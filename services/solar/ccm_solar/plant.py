"""One plant over time: its latest readings, which of them are too old, and when a balance is to be published.

Pure: time is handed in, as a moment (UTC) and as monotonic seconds. Does not compute flows: `balance.py` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ccm_contracts.config.field import Plant
from ccm_contracts.messages import Balance, Quality, Reading
from ccm_solar.balance import Flows, Powers, flows_of

STALE_POLLS: Final = 3
STALE_AT_LEAST_S: Final = 10.0
"""A reading is stale after three polls, but never before 10 s."""
INTERVAL_S: Final = 1.0
"""At most one balance of a plant in this time; readings that come between are joined."""
GRACE_S: Final = 10.0
"""A plant may be incomplete for so long after its start without an alarm: its devices are being found."""
CLOCK_STEP_S: Final = 60.0
"""A last balance further ahead than this was stamped by a wrong clock, and no longer holds the next ones back."""
TICK: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Held:
    """A device's newest reading and when it arrived, in monotonic seconds."""

    reading: Reading
    arrived_s: float

    def age_s(self, now: datetime, mono_s: float) -> float:
        """By the reading's own stamp, or since its arrival if that is longer: clocks can step back."""
        return max((now - self.reading.ts).total_seconds(), mono_s - self.arrived_s)


@dataclass(frozen=True, slots=True)
class Moment:
    """One point in time on both clocks."""

    now: datetime
    mono_s: float


@dataclass(frozen=True, slots=True)
class Turn:
    """The plant became complete, or lost `missing`; reported once each."""

    missing: tuple[str, ...]


class PlantWatch:
    """Decides for one plant. `poll_s` is each device's poll interval; a device without one is not configured."""

    def __init__(self, gateway: str, plant: Plant, poll_s: Mapping[str, float], *, started: Moment) -> None:
        self.plant = plant
        self.poll_s = {device: poll_s[device] for device in self.devices if device in poll_s}
        self.last_ts: datetime | None = None
        """Of the plant's last balance, also of one that an earlier process published."""
        self.is_alarmed = False
        """Whether the plant was last reported as incomplete."""
        self._gateway = gateway
        self._started_s = started.mono_s
        self._published_s: float | None = None
        self._missing: tuple[str, ...] = ()
        self._has_news = False

    @property
    def devices(self) -> tuple[str, ...]:
        """All devices of the plant, each once."""
        return tuple(dict.fromkeys((*self.plant.production, *self.plant.grid, *self.plant.battery)))

    def notice(self, device: str) -> None:
        """A new reading of `device` came."""
        if device in self.devices:
            self._has_news = True

    def wait_s(self, mono_s: float) -> float:
        """Seconds until `balance` is worth asking again, at most `INTERVAL_S`."""
        if not self._has_news or self._published_s is None:
            return 0.0 if self._has_news else INTERVAL_S
        return min(max(self._published_s + INTERVAL_S - mono_s, 0.0), INTERVAL_S)

    def balance(self, readings: Mapping[str, Held], at: Moment) -> Balance | None:
        """The balance to publish now, or None: nothing new, or too soon after the last."""
        if self._published_s is not None and at.mono_s - self._published_s < INTERVAL_S:
            return None
        fresh, quality = self._fresh(readings, at)
        flows = flows_of(self.plant, fresh)
        has_turned = flows.lacking != self._missing
        if not self._has_news and not has_turned:
            return None
        own = [readings[device].reading.ts for device in self.devices if device in readings]
        if not own and at.mono_s - self._started_s < GRACE_S:
            return None
        ts = max(own) if self._has_news and own else at.now
        if flows.lacking and quality == "good":
            quality = "bad"
        self._published_s, self._missing, self._has_news = at.mono_s, flows.lacking, False
        self.last_ts = self._increasing(ts, at.now)
        return _balance(self._gateway, self.plant.id, self.last_ts, flows, quality)

    def turn(self, mono_s: float) -> Turn | None:
        """What became of the plant's completeness as last published, if that is to be reported now."""
        if self._published_s is None or bool(self._missing) == self.is_alarmed:
            return None
        if self._missing and mono_s - self._started_s < GRACE_S:
            return None
        self.is_alarmed = bool(self._missing)
        return Turn(self._missing)

    def is_stale(self, device: str, held: Held, at: Moment) -> bool:
        limit_s = max(STALE_POLLS * self.poll_s.get(device, 0.0), STALE_AT_LEAST_S)
        return held.reading.quality == "stale" or held.age_s(at.now, at.mono_s) > limit_s

    def _fresh(self, readings: Mapping[str, Held], at: Moment) -> tuple[dict[str, Powers], Quality]:
        fresh: dict[str, Powers] = {}
        quality: Quality = "good"
        for device in self.devices:
            held = readings.get(device)
            if held is None or self.is_stale(device, held, at):
                quality = "stale" if quality == "good" else quality
            elif held.reading.quality == "bad":
                quality = "bad"
            else:
                fresh[device] = held.reading.values
        return fresh, quality

    def _increasing(self, ts: datetime, now: datetime) -> datetime:
        ts = ts.replace(microsecond=ts.microsecond // 1000 * 1000)
        last = self.last_ts
        if last is None or last > now + timedelta(seconds=CLOCK_STEP_S):
            return ts
        return max(ts, last + TICK)


def _balance(gateway: str, plant: str, ts: datetime, flows: Flows, quality: Quality) -> Balance:
    return Balance(
        gateway=gateway,
        plant=plant,
        ts=ts,
        p_prod=flows.p_prod,
        p_grid=flows.p_grid,
        p_load=flows.p_load,
        p_self=flows.p_self,
        p_exp=flows.p_exp,
        p_imp=flows.p_imp,
        p_bat=flows.p_bat,
        self_consumption=flows.self_consumption,
        self_sufficiency=flows.self_sufficiency,
        quality=quality,
        missing=list(flows.lacking),
    )
