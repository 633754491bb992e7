"""When files are made: at `at` in the site's time, then every `every_s` until the next day's `at`. Pure: no clock.

Days of 23 and 25 hours are right: the first moment of a day follows the wall clock, those after it elapsed time. An
`at` that the clock jumps over (02:30 on the last Sunday of March) is as late after midnight as on other days, and one
that comes twice counts once, the first time.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Schedule:
    """`at` is HH:MM; None is midnight."""

    every_s: int
    at: str | None
    zone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        """The first moment later than `moment`, in UTC."""
        start, end = self._day_of(moment)
        every = self._every(start, end)
        return min(start + ((moment - start) // every + 1) * every, end)

    def latest(self, moment: datetime) -> datetime:
        """The last moment not later than `moment`, in UTC."""
        start, end = self._day_of(moment)
        every = self._every(start, end)
        return start + (moment - start) // every * every

    def _every(self, start: datetime, end: datetime) -> timedelta:
        """Once a day is once on a day of 25 hours too."""
        return end - start if self.every_s >= DAY_S else timedelta(seconds=self.every_s)

    def _day_of(self, moment: datetime) -> tuple[datetime, datetime]:
        """The anchor at or before the moment, and the one after it."""
        today = moment.astimezone(self.zone).date()
        anchors = [self._anchor(today + timedelta(days=days)) for days in (-1, 0, 1, 2)]
        start = max(anchor for anchor in anchors if anchor <= moment)
        return start, anchors[anchors.index(start) + 1]

    def _anchor(self, day: date) -> datetime:
        hour, minute = map(int, (self.at or "00:00").split(":"))
        return datetime.combine(day, time(hour, minute), self.zone).astimezone(UTC)
