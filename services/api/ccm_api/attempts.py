"""Counts failed sign-ins per user and per address, so that passwords cannot be tried in bulk."""

import math
from collections import OrderedDict
from typing import Final

from ccm_kit.clock import Clock

MOST_FAILURES: Final = 5
WINDOW_S: Final = 60.0
MOST_KEYS: Final = 2000
"""Users and addresses remembered; beyond it the one that was idle for longest is forgotten."""


class Attempts:
    """An attempt counts as failed from its beginning, so that many at once cannot slip through."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def take(self, *keys: str) -> int:
        """0 when this attempt may go on (it is counted), else the seconds to wait (it is not)."""
        now = self._clock.monotonic()
        recent = {key: [at for at in self._failures.get(key, []) if now - at < WINDOW_S] for key in keys}
        waits = [WINDOW_S - (now - at[0]) for at in recent.values() if len(at) >= MOST_FAILURES]
        if waits:
            return max(1, math.ceil(max(waits)))
        for key, at in recent.items():
            self._failures[key] = [*at, now]
            self._failures.move_to_end(key)
        while len(self._failures) > MOST_KEYS:
            self._failures.popitem(last=False)
        return 0

    def succeeded(self, *keys: str) -> None:
        """The attempt was right: what was counted for these keys is forgotten."""
        for key in keys:
            self._failures.pop(key, None)
