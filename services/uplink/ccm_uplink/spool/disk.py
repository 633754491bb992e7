"""Writing that survives a power cut: draft, fsync, rename, fsync of the directory."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

DRAFT: Final = ".draft"
"""The suffix of what is not finished; left over ones are worth nothing."""


def write_whole(path: Path, pieces: Iterable[bytes]) -> int:
    """The file is there whole, or not at all. Returns its size in bytes."""
    size = write_draft(path, pieces)
    publish(path)
    return size


def write_draft(path: Path, pieces: Iterable[bytes]) -> int:
    """Write it beside its place, safe on disk; `publish` puts it there. Returns its size in bytes."""
    draft = draft_of(path)
    try:
        with draft.open("wb") as file:
            size = sum(map(file.write, pieces))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    return size


def publish(path: Path) -> None:
    draft_of(path).rename(path)
    sync_directory(path.parent)


def draft_of(path: Path) -> Path:
    return path.with_name(path.name + DRAFT)


def sync_directory(path: Path) -> None:
    """What was created, renamed or deleted in it stays so."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
