"""A file that keeps some of the disk free for the moment when the disk is full.

Dropping rows needs room itself: the write-ahead log must be written back into a file that grows before it shrinks.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

RESERVE_BYTES: Final = 8 * 1024 * 1024
"""The log at its usual largest (1000 pages of 4 KiB), and as much again for one batch."""


class Reserve:
    """Beside an SQLite file; nothing for another database."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url) if url.startswith("sqlite") else None
        in_file = parsed.database if parsed is not None else None
        self._path = Path(f"{in_file}-reserve") if in_file and in_file != ":memory:" else None

    def keep(self) -> bool:
        """Make it, once there is room for it twice; whether there is room."""
        if self._path is None or self._path.exists():
            return True
        with suppress(OSError):
            if shutil.disk_usage(self._path.parent).free >= 2 * RESERVE_BYTES:
                with self._path.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
                return True
        return False

    def give_up(self) -> None:
        """Its room is needed now."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
