"""The messages that were accepted since the last file, one JSON text a line, appended and synced."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ccm_uplink.spool.disk import sync_directory

_NAME: Final = re.compile(r"(\d{6,})-(\d{8}T\d{6})\.journal")


class Journal:
    """`000042-20261124T221500.journal`: the sequence of the file that it will become, and when it began."""

    def __init__(self, path: Path) -> None:
        found = _NAME.fullmatch(path.name)
        assert found is not None
        self.path = path
        self.sequence = int(found[1])
        self.began = datetime.strptime(found[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        self._handle = os.open(path, os.O_RDWR)
        self.size = _whole_lines(path)
        os.ftruncate(self._handle, self.size)

    @staticmethod
    def path_of(directory: Path, sequence: int, began: datetime) -> Path:
        return directory / f"{sequence:06d}-{began.astimezone(UTC):%Y%m%dT%H%M%S}.journal"

    @staticmethod
    def found(directory: Path) -> list[Path]:
        """Every journal there, oldest first."""
        paths = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(paths, key=lambda path: int(path.name.partition("-")[0]))

    def append(self, lines: Iterable[bytes]) -> None:
        """All of them are on disk when this returns, none of them counts when it raises `OSError`."""
        data = memoryview(b"".join(line + b"\n" for line in lines))
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._handle, data[written:], self.size + written)
            os.fsync(self._handle)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._handle, self.size)
            raise
        self.size += len(data)

    def lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            left = self.size
            while left > 0:
                line = file.readline()
                left -= len(line)
                yield line.rstrip(b"\n")

    def begin_again(self, moment: datetime) -> None:
        """The next file's period begins here. Raises `OSError`."""
        path = self.path_of(self.path.parent, self.sequence, moment)
        self.path.rename(path)
        sync_directory(path.parent)
        self.path, self.began = path, moment

    def close(self) -> None:
        os.close(self._handle)


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line break: what a crash tore was never acknowledged."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while size > 0:
            step = min(size, 65_536)
            file.seek(size - step)
            place = file.read(step).rfind(b"\n")
            if place >= 0:
                return size - step + place + 1
            size -= step
    return 0
