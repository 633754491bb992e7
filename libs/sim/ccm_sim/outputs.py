"""The gateway's outputs as its simulated io backend leaves them: one small file each.

`relay-1` and `relay-2` hold "0" or "1", `analog-1` volts as "4.500". A missing file is 0; one that cannot be
understood (its writer may be half way) leaves the output as it was. The files are read each time: three reads cost
less than 50 µs, and time stamps of files are too coarse to show every change.
"""

from pathlib import Path

from ccm_sim.physics import ANALOG_FULL_V, Outputs


class OutputFiles:
    """The files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._values = {"relay-1": 0.0, "relay-2": 0.0, "analog-1": 0.0}

    def read(self) -> Outputs:
        """The outputs now."""
        for name, before in self._values.items():
            self._values[name] = _number(self._directory / name, before)
        return Outputs(
            relay_1=self._values["relay-1"] > 0,
            relay_2=self._values["relay-2"] > 0,
            analog_v=min(max(self._values["analog-1"], 0.0), ANALOG_FULL_V),
        )


def _number(path: Path, before: float) -> float:
    try:
        return float(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError):
        return before
