"""What one device answers with an exception of the moment (failed, busy), time after time. Pure."""

from collections.abc import Collection
from typing import Final

from ccm_bus_reader.exceptions import exception_text

AILS_AFTER: Final = 3
"""Such answers in a row to the same points: a device that is busy for a moment is no fault."""
MOST_NAMED: Final = 5


class Ailments:
    """By metric, how often in a row its read was answered so, and with which code last."""

    def __init__(self) -> None:
        self.text: str | None = None
        """`answers exception 4 (device failure) to v1, v2 and 3 more`; None when all is well, or may soon be."""
        self._ailing: dict[str, tuple[int, int]] = {}

    def unable(self, metrics: Collection[str], code: int) -> None:
        """The device has these, and cannot give them now."""
        for metric in metrics:
            times, _ = self._ailing.get(metric, (0, code))
            self._ailing[metric] = times + 1, code
        self.text = self._told()

    def well(self, metrics: Collection[str]) -> None:
        """It gave them, or does not have them at all."""
        if self._ailing:
            for metric in metrics:
                self._ailing.pop(metric, None)
            self.text = self._told()

    def forget(self) -> None:
        """It was away."""
        self._ailing.clear()
        self.text = None

    def _told(self) -> str | None:
        codes = {metric: code for metric, (times, code) in self._ailing.items() if times >= AILS_AFTER}
        if not codes:
            return None
        metrics = list(codes)
        more = f" and {len(metrics) - MOST_NAMED} more" if len(metrics) > MOST_NAMED else ""
        return f"answers {exception_text(codes[metrics[-1]])} to {', '.join(metrics[:MOST_NAMED])}{more}"
