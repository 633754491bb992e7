"""Who goes first while both a network and this machine's disk take a backlog: the network. Pure: the time is given.

Both are work for the same process. A broker waits for each window of messages, and a history can wait in the stream:
it rests after each batch of its backlog, for a time that is bounded by that batch's own.
"""

from typing import Final

RECENT_S: Final = 0.1
"""A network link that was given messages of a backlog so long ago is still at work."""
REST_FOR_WORK: Final = 1.5
"""Seconds of rest for each of work: the disk keeps two fifths of the time."""
LONGEST_REST_S: Final = 0.5


class Courtesy:
    """Shared by all links of a process."""

    def __init__(self) -> None:
        self._until_s = 0.0

    def network_sends(self, now_s: float) -> None:
        """A link over a network is given messages of a backlog at the monotonic second `now_s`."""
        self._until_s = now_s + RECENT_S

    def rest_s(self, worked_s: float, now_s: float) -> float:
        """How long a link to the disk rests after it worked for `worked_s`."""
        return min(worked_s * REST_FOR_WORK, LONGEST_REST_S) if now_s < self._until_s else 0.0
