"""Exponential waits with jitter and a ceiling."""

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """`next()` gives the seconds to wait: doubling from `first_s`, at most `ceiling_s`, ±20 %."""

    first_s: float = 0.2
    ceiling_s: float = 5.0
    attempts: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(random.random()), repr=False)
    """Seeded from the process's own, so that a simulation which seeds that one has the same waits each time."""

    def next(self) -> float:
        wait_s = min(self.ceiling_s, self.first_s * 2.0 ** min(self.attempts, 30))
        self.attempts += 1
        return wait_s * self._random.uniform(0.8, 1.2)

    def reset(self) -> None:
        self.attempts = 0
