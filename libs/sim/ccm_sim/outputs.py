"""The gateway's outputs as its simulated io backend leaves them: one small file each.

`relay-1` and `relay-2` hold "0" or "1", `analog-1` volts as "4.500". A missing or unreadable file is 0.
"""

from pathlib import Path

from ccm_sim.physics import ANALOG_FULL_V, Outputs

Stamp = tuple[int, int, int]

FILES = ("relay-1", "relay-2", "analog-1")


class OutputFiles:
    """Reads the files again only when they have changed."""

    def __init__(self, directory: Path) -> None:
        self._paths = tuple(directory / name for name in FILES)
        self._stamps: tuple[Stamp | None, ...] | None = None
        self._outputs = Outputs()

    def read(self) -> Outputs:
        """The outputs now; three stat calls when nothing happened."""
        stamps = tuple(_stamp(path) for path in self._paths)
        if stamps != self._stamps:
            self._stamps = stamps
            relay_1, relay_2, analog_v = (_number(path) for path in self._paths)
            analog_v = min(max(analog_v, 0.0), ANALOG_FULL_V)
            self._outputs = Outputs(relay_1=relay_1 > 0, relay_2=relay_2 > 0, analog_v=analog_v)
        return self._outputs


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _number(path: Path) -> float:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
