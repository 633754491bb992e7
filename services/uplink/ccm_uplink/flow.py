"""How fast a backlog may go: in portions that the far end confirms within seconds, under a rate limit. Pure.

On a slow link what was handed over lies in buffers in front of the newest value; small portions keep it young.
"""

from dataclasses import dataclass
from typing import Final

SMALLEST_BYTES: Final = 2_000
LARGEST_BYTES: Final = 256_000
SHORT_S: Final = 1.0
"""A portion that was confirmed sooner is followed by one twice as large."""
LONG_S: Final = 3.0
"""A portion that took longer is followed by one half as large."""


@dataclass(slots=True)
class Portion:
    """The bytes of a backlog that may be on their way at once."""

    size_bytes: int = SMALLEST_BYTES

    def took(self, sent_bytes: int, seconds: float) -> None:
        """Learn from a portion of `sent_bytes`: confirmed after `seconds`."""
        if seconds > LONG_S:
            self.size_bytes = max(SMALLEST_BYTES, self.size_bytes // 2)
        elif seconds < SHORT_S and 2 * sent_bytes >= self.size_bytes:
            self.size_bytes = min(LARGEST_BYTES, self.size_bytes * 2)


class Rate:
    """A limit in kbit/s (0: none) that all of a link is charged to and only the backlog waits for."""

    def __init__(self, kbps: int = 0) -> None:
        self._bytes_per_s = kbps * 125.0
        self._free_at = 0.0

    def charge(self, sent_bytes: int, now_s: float) -> None:
        """`sent_bytes` left at the monotonic second `now_s`."""
        if self._bytes_per_s:
            self._free_at = max(self._free_at, now_s) + sent_bytes / self._bytes_per_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until the backlog may go on."""
        return max(0.0, self._free_at - now_s)

    def most_bytes(self) -> int:
        """The largest portion that takes at most `LONG_S` at this limit."""
        return int(self._bytes_per_s * LONG_S) if self._bytes_per_s else LARGEST_BYTES
