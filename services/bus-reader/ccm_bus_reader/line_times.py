"""How long a line waits, and for what. Pure."""

from typing import Final

SILENT_CHARS: Final = 3.5
SHORTEST_SILENCE_S: Final = 0.00175
"""Above 19200 baud the silence no longer shrinks (Modbus over Serial Line V1.02, 2.5.1.1)."""
QUARANTINE_S: Final = 0.5
"""After a failure the line stays silent for so long, or for the reply time-out if that is longer."""
OPENING_QUIET_S: Final = 0.05
"""A line that was just opened may still carry the answer to somebody else's request."""
BROADCAST_S: Final = 0.15
"""After a broadcast the units need so long to act on it (V1.02, 2.4.1: 100 to 200 ms)."""
REPLY_GRACE_S: Final = 0.1
"""Once a reply has begun, its last byte may be so much later than the wire needs: adapters deliver in lumps."""
NETWORK_GRACE_S: Final = 1.0
"""The same on a network: a segment that is lost there is sent again after 0.2 s, then 0.4 s (Linux; RFC 6298)."""
SETTLED_S: Final = 0.03
"""Bytes that are as many as the reply and followed by so much silence will not become a frame any more."""
FINE_S: Final = 0.0012
"""The event loop's timers round up to whole milliseconds; the rest of a wait is slept off precisely."""


def silence_s(char_s: float) -> float:
    """Between two frames of a serial line whose characters take so long."""
    return max(SHORTEST_SILENCE_S, SILENT_CHARS * char_s)


def grace_s(*, is_serial: bool) -> float:
    """How much later than the wire needs the last byte of a reply may come."""
    return REPLY_GRACE_S if is_serial else NETWORK_GRACE_S
