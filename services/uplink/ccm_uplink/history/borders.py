"""Where the stored hours and days of a device begin: at the calendar's borders, and where a zone ended. Pure."""

from bisect import bisect_right
from collections.abc import Sequence

from ccm_uplink.history.calendar import HOUR_MS, WIDTH_MS, Calendar, Unit


def reach_ms(unit: Unit) -> int:
    """The longest period of a unit: a day when the clock is put back."""
    return WIDTH_MS[unit] + HOUR_MS


class Borders:
    """`cuts` are the stored periods, in order, that do not begin where the calendar's do: those of another zone."""

    def __init__(self, calendar: Calendar, unit: Unit, cuts: Sequence[int]) -> None:
        self._calendar = calendar
        self._unit = unit
        self._cuts = cuts

    def start(self, ts_ms: int) -> int:
        """Of the period that is made anew from finer ones."""
        begin = self._calendar.start(ts_ms, self._unit)
        place = bisect_right(self._cuts, ts_ms)
        return max(begin, self._cuts[place - 1]) if place else begin

    def kept(self, ts_ms: int) -> int:
        """Of the period that is there and holds this moment, or would.

        One of another zone goes on beyond a border of the calendar, up to the next of its kind.
        """
        begin, end = self._calendar.period(ts_ms, self._unit)
        place = bisect_right(self._cuts, ts_ms)
        if not place:
            return begin
        before, following = self._cuts[place - 1], self._cuts[place : place + 1]
        goes_on = bool(following) and following[0] < end and ts_ms - before < reach_ms(self._unit)
        return before if goes_on else max(begin, before)
