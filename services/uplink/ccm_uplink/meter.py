"""The bytes of a link in the site's local day, and the budget for them. Pure: the time is given.

The backlog may use what live messages do not need until midnight. When the budget is used up, live messages are
thinned to the newest of each device an hour; what they supersede is not sent.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

OVERHEAD_BYTES: Final = 120
"""An estimate for each message, where the wire itself is not looked at: topic, MQTT, TCP and IP there and back."""
EXHAUSTED_LATENCY_S: Final = 3600
SETTLED_S: Final = 60.0
"""The live rate counts from the first minute on; until then the backlog keeps half of the budget free."""


@dataclass(slots=True)
class Meter:
    """`zone` is the site's; `budget_bytes` 0 is none."""

    zone: tzinfo = UTC
    budget_bytes: int = 0
    day: date | None = None
    bytes_today: int = 0
    _live_since: datetime | None = None
    _passed: int = 0
    """Since then; of it live messages have the share `_live` of `_all`."""
    _live: int = 0
    _all: int = 0

    def restore(self, day: date | None, bytes_today: int) -> None:
        """Go on from what was written before this process began."""
        self.day, self.bytes_today = day, bytes_today

    def passed(self, size: int, now: datetime) -> None:
        """So many bytes went over the wire, there or back."""
        self._turn(now)
        self.bytes_today += size
        if self._live_since is not None:
            self._passed += size

    def handed(self, payload_bytes: int, now: datetime, *, is_live: bool) -> None:
        """These messages are among what `passed`, however they were packed."""
        if is_live:
            self._live_since = self._live_since or now
            self._live += payload_bytes
        if self._live_since is not None:
            self._all += payload_bytes

    def sent(self, payload_bytes: int, now: datetime, *, is_live: bool, messages: int = 1) -> None:
        """So many messages left, with so many bytes together; nobody looks at the wire."""
        size = payload_bytes + messages * OVERHEAD_BYTES
        self.handed(size, now, is_live=is_live)
        self.passed(size, now)

    def left(self, now: datetime) -> int | None:
        """Bytes left today; None without a budget."""
        self._turn(now)
        return max(0, self.budget_bytes - self.bytes_today) if self.budget_bytes else None

    def is_exhausted(self, now: datetime) -> bool:
        return self.left(now) == 0

    def may_send_backlog(self, now: datetime) -> bool:
        """Whether more is left than live messages need until midnight, at their rate so far."""
        left = self.left(now)
        if left is None:
            return True
        local = now.astimezone(self.zone)
        midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), self.zone)
        until_s = (midnight.astimezone(UTC) - now.astimezone(UTC)).total_seconds()
        since_s = (now - self._live_since).total_seconds() if self._live_since is not None else 0.0
        if since_s < SETTLED_S:
            return left > self.budget_bytes // 2
        return left > self._passed * self._live / self._all / since_s * until_s

    def _turn(self, now: datetime) -> None:
        today = now.astimezone(self.zone).date()
        if self.day != today:
            self.day, self.bytes_today = today, 0
