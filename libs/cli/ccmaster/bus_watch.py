"""Watches that the embedded NATS server can still write.

After one failed write (a full disk) a stream refuses every message until the server starts anew, also when there is
room again; `/healthz` of its monitoring port tells. `python -m ccmaster.bus_watch PORT` asks it once. Only the standard
library's smallest modules: this is the process that stays resident.
"""

import json
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHECK_S: Final = 2.0
ROOM_BYTES: Final = 4 * 1024 * 1024
"""The server is started anew once the disk has so much: some minutes of readings."""
_ANSWER_S: Final = 1.0
_ANSWER_BYTES: Final = 2000
_REQUEST: Final = b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
_MARK: Final = "write error: "


def monitoring_port(directory: Path, pid: int) -> int | None:
    """The port that the server wrote into its ports file; None when there is none (yet)."""
    try:
        text = (directory / f"nats-server_{pid}.ports").read_text()
        return int(json.loads(text)["monitoring"][0].rpartition(":")[2])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def write_error(port: int) -> str | None:
    """Why the server's streams cannot write; None when they can. Raises `OSError` when it does not answer."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S) as link:
        link.settimeout(_ANSWER_S)
        link.sendall(_REQUEST)
        while len(answer) < _ANSWER_BYTES and (part := link.recv(_ANSWER_BYTES)):
            answer += part
    text = answer.decode(errors="replace")
    _, found, reason = text.partition(_MARK)
    return reason.rstrip('"}\r\n ').rpartition(": ")[2] if found else None


@dataclass(slots=True)
class BusWatch:
    """The watch over the server whose files are in `directory`."""

    directory: Path
    is_failing: bool = False
    _looked: float = float("-inf")

    def begin(self) -> None:
        """Before the server starts: take away what killed ones left."""
        for path in self.directory.glob("*.ports"):
            path.unlink(missing_ok=True)

    def look(self, pid: int, now: float) -> str | None:
        """What is new since the last look: the reason of a failure, told once; at most one question in `CHECK_S`."""
        if now - self._looked < CHECK_S:
            return None
        self._looked = now
        port = monitoring_port(self.directory, pid)
        try:
            reason = write_error(port) if port is not None else None
        except OSError:
            return None
        is_new = reason is not None and not self.is_failing
        self.is_failing = reason is not None
        return reason if is_new else None

    @property
    def has_room(self) -> bool:
        disk = os.statvfs(self.directory)
        return disk.f_bavail * disk.f_frsize >= ROOM_BYTES


if __name__ == "__main__":
    sys.exit(write_error(int(sys.argv[1])))
