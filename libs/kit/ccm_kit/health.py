"""`python -m ccm_kit.health`: exit status 0 while the service beside it lives, 1 when it does not.

A service touches `CCM_ALIVE_FILE` every 5 s while it is connected to the bus. Imports nothing but the standard
library's smallest modules, because a container runs it every few seconds.
"""

import os
import sys
import time

OLDEST_S = 15.0
"""Three announcements missed (`ccm_kit.service.ANNOUNCE_S`)."""


def age_s(path: str) -> float | None:
    """Seconds since the file was touched; None when it is not there."""
    try:
        return time.time() - os.stat(path).st_mtime  # noqa: PTH116 - pathlib would double the time of the check
    except OSError:
        return None


def main() -> int:
    path = os.environ.get("CCM_ALIVE_FILE", "")
    age = age_s(path)
    if age is None or age > OLDEST_S:
        since = "never" if age is None else f"{age:.0f} s ago"
        sys.stderr.write(f"last sign of life: {since} ({path or 'CCM_ALIVE_FILE is not set'})\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
