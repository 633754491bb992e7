"""One file to the server: under a temporary name, resumed where it broke off, renamed once it is whole.

A file has one name for ever. What the server has already is asked first, so a rename whose answer was lost is
recognised; a note on our disk, written before the rename, recognises it even when a receiver has fetched the file away.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ccm_contracts.config.services import Ftp
from ccm_uplink.sinks.ftp_client import FtpSession
from ccm_uplink.sinks.ftp_errors import UNKNOWN_COMMAND, FtpError
from ccm_uplink.spool.disk import write_whole
from ccm_uplink.spool.spool import Waiting

PART: Final = ".part"
BLOCK_BYTES: Final = 32 * 1024
MOST_NOTED: Final = 1000
"""Files whose rename may have been done; beyond it the oldest is forgotten."""

Progress = Callable[[int], None]
"""Told how many bytes of the file the server was given so far."""


class Note:
    """Which files are being renamed, at which server: on disk, because only a rename's answer is lost by a crash.

    More than one, for a newer file may go before one whose answer was lost.
    """

    def __init__(self, path: Path, settings: Ftp) -> None:
        self._path = path
        self._target = f"{settings.server}:{settings.port}/{settings.directory}"

    def names(self, file: Waiting) -> bool:
        """Whether the rename of this file, at this server, was begun."""
        return self._of(file) in self._noted()

    def write(self, file: Waiting) -> None:
        """Raises `OSError`."""
        others = [noted for noted in self._noted() if noted != self._of(file)]
        self._write([*others, self._of(file)][-MOST_NOTED:])

    def forget(self, file: Waiting) -> None:
        """It has arrived. Raises `OSError`."""
        noted = self._noted()
        left = [each for each in noted if each != self._of(file)]
        if len(left) < len(noted):
            self._write(left)

    def _noted(self) -> list[dict[str, Any]]:
        with suppress(OSError, ValueError):
            noted: Any = json.loads(self._path.read_bytes())
            return noted if isinstance(noted, list) else [noted]
        return []

    def _write(self, noted: list[dict[str, Any]]) -> None:
        write_whole(self._path, [json.dumps(noted).encode()])

    def _of(self, file: Waiting) -> dict[str, Any]:
        return {"file": file.name, "size": file.size, "target": self._target}


async def upload(session: FtpSession, file: Waiting, note: Note, progress: Progress) -> None:
    """Returns once the server has the whole file under its name. Raises `FtpError`, and is to be tried again."""
    part = file.name + PART
    there = await _size(session, file.name)
    if there == file.size:
        return
    held = await _size(session, part)
    if there is None and held is None and note.names(file):
        return
    if held != file.size:
        await _store(session, file, part, held or 0, progress)
    await asyncio.to_thread(note.write, file)
    await _rename(session, part, file.name)


async def _size(session: FtpSession, name: str) -> int | None:
    """None also where the server cannot say: the file is then sent from its start."""
    try:
        return await session.size(name)
    except FtpError as err:
        if err.code in UNKNOWN_COMMAND:
            return None
        raise


async def _store(session: FtpSession, file: Waiting, part: str, held: int, progress: Progress) -> None:
    offset = held if held < file.size else 0
    try:
        await session.store(part, _blocks(file, offset, progress), offset)
    except FtpError as err:
        if not offset or err.code not in (*UNKNOWN_COMMAND, "501", "554"):
            raise
        # It knows no REST: from the start.
        await session.store(part, _blocks(file, 0, progress), 0)
    there = await _size(session, part)
    if there is not None and there != file.size:
        raise FtpError("write", f"{part} has {there} bytes at the server instead of {file.size}")


def _blocks(file: Waiting, offset: int, progress: Progress) -> Iterator[bytes]:
    with file.path.open("rb") as source:
        source.seek(offset)
        progress(offset)
        while block := source.read(BLOCK_BYTES):
            yield block
            offset += len(block)
            progress(offset)


async def _rename(session: FtpSession, part: str, name: str) -> None:
    """Some servers do not rename onto a file that is there: an unfinished one of ours, since it has another size."""
    try:
        await session.rename(part, name)
    except FtpError as err:
        if not err.code or await _size(session, name) is None:
            raise
        await session.delete(name)
        await session.rename(part, name)
