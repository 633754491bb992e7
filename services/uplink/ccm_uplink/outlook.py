"""How long a stream still keeps what a link owes, at the present rate. Pure."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ccm_kit.nats_facts import StreamFacts

WINDOW: Final = 60
"""Samples, one each 5 s, over which the present rate is taken."""
WARN_AT: Final = 0.8
QUIET_AT: Final = 0.7
"""The warning is given again only after the share was lower than this."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """`hours_left` until the stream drops something that is owed; `filled` is the used share of its limits, 0...1."""

    hours_left: float | None
    filled: float


@dataclass(slots=True)
class Forecast:
    """`outlook` after each `sample`; seconds are monotonic."""

    _samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _is_warned: bool = False

    def sample(self, facts: StreamFacts, now_s: float) -> None:
        if self._samples and facts.last_seq < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now_s, facts.last_seq))

    def outlook(self, facts: StreamFacts, pending: int, oldest_s: float | None) -> Outlook:
        """Of `pending` messages, the oldest stored `oldest_s` ago."""
        if not pending:
            return Outlook(None, 0.0)
        size = facts.size_bytes / facts.messages if facts.messages else 0.0
        owed_bytes = pending * size
        hours, filled = [], [0.0]
        if facts.max_age_s > 0 and oldest_s is not None:
            hours.append(max(0.0, facts.max_age_s - oldest_s) / 3600)
            filled.append(oldest_s / facts.max_age_s)
        if facts.max_bytes > 0:
            filled.append(owed_bytes / facts.max_bytes)
            if (rate := self._messages_per_s() * size) > 0:
                hours.append(max(0.0, facts.max_bytes - owed_bytes) / rate / 3600)
        return Outlook(min(hours, default=None), min(1.0, max(filled)))

    def _messages_per_s(self) -> float:
        if len(self._samples) < 2 or self._samples[-1][0] <= self._samples[0][0]:
            return 0.0
        (then_s, first), (now_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (now_s - then_s)

    def is_to_be_warned(self, outlook: Outlook) -> bool:
        """Once for each time that the outbox fills up."""
        if outlook.filled < QUIET_AT:
            self._is_warned = False
        if outlook.filled < WARN_AT or self._is_warned:
            return False
        self._is_warned = True
        return True
