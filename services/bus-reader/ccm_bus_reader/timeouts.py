"""How long to wait for one device: learned from its own answers, as TCP learns its retransmission time-out.

Pure. Times count from the request's last byte to the reply's first; the reply's own time on the wire comes on top.
"""

from dataclasses import dataclass, field
from typing import Final

GAIN: Final = 1 / 8
DEVIATION_GAIN: Final = 1 / 4
DEVIATIONS: Final = 4
"""RFC 6298, section 2."""
PROBE_S: Final = 0.3
"""Wait for a device that never answered: longer than most ever need, short enough to cost the line little."""
LONG_PROBES: Final = 4
"""Each fourth probe of a silent device waits for the upper bound: it may have become slower meanwhile."""
SLACK_S: Final = 0.02
"""The latency timer of a USB adapter (FTDI: 16 ms) and the scheduler; RFC 6298 calls it the clock's granularity."""


@dataclass(slots=True)
class ReplyTimeout:
    """Starts at `max_s`; each answer draws it to what the device needs, within the profile's bounds."""

    min_s: float
    max_s: float
    smoothed_s: float | None = None
    deviation_s: float = 0.0
    timeout_s: float = field(init=False)
    """The longest wait for a reply's first byte."""

    def __post_init__(self) -> None:
        self.timeout_s = self.max_s

    def probe_s(self, number: int) -> float:
        """The wait of the `number`th probe of a silent device, which others on the line pay for."""
        if number % LONG_PROBES == 0:
            return self.max_s
        if self.smoothed_s is None:
            return min(self.max_s, max(self.min_s, PROBE_S))
        return self._wanted_s()

    def answered(self, response_s: float) -> None:
        """A reply began so long after its request; a late one too, once it came."""
        if self.smoothed_s is None:
            self.smoothed_s, self.deviation_s = response_s, response_s / 2
        else:
            self.deviation_s += DEVIATION_GAIN * (abs(self.smoothed_s - response_s) - self.deviation_s)
            self.smoothed_s += GAIN * (response_s - self.smoothed_s)
        self.timeout_s = self._wanted_s()

    def missed(self) -> None:
        """No reply came: the next wait is twice as long."""
        self.timeout_s = min(self.max_s, 2 * self.timeout_s)

    def _wanted_s(self) -> float:
        wanted_s = (self.smoothed_s or 0.0) + max(SLACK_S, DEVIATIONS * self.deviation_s)
        return min(self.max_s, max(self.min_s, wanted_s))
