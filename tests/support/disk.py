"""A file system of a few megabytes, to be filled."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A file system in memory of so many bytes at `place`; the given function changes its size."""
    place.mkdir(exist_ok=True)

    def mount(*arguments: str) -> bool:
        command = ["mount", "-t", "tmpfs", *arguments, "tmpfs", str(place)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if not mount("-o", f"size={size},mode=777"):
        pytest.skip("a file system cannot be mounted; ends when the tests run as root outside a container")
    try:
        yield lambda more: None if mount("-o", f"remount,size={more}") else pytest.fail("cannot remount")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    """Write `path` until the disk is full."""
    with suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
