"""The control socket: one JSON object per line in, one JSON line out.

Answers {"ok": true, "result": ...} or {"error": text}; a wrong request ends nothing.
"""

import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ccm_sim.reactor import Reactor
from ccm_sim.sockets import Connection, Listener

Commands = Mapping[str, Callable[[Mapping[str, Any]], Any]]


class ControlServer:
    """Listens from construction on; runs in the reactor's thread."""

    def __init__(self, path: Path, reactor: Reactor, commands: Commands) -> None:
        self._path = path
        self._commands = commands
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        try:
            sock.bind(str(path))
        except OSError as exc:
            sock.close()
            raise OSError(
                f"{path}: cannot make the control socket ({exc}); a shorter directory may help"
            ) from exc
        self._listener = Listener(sock, reactor, self._on_bytes)

    def close(self) -> None:
        """Hangs up and removes the socket."""
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _on_bytes(self, connection: Connection) -> None:
        while b"\n" in connection.received:
            line, connection.received = connection.received.split(b"\n", 1)
            connection.send(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or request.get("cmd") not in self._commands:
                raise ValueError(f"cmd: not one of {', '.join(self._commands)}")
            return {"ok": True, "result": self._commands[request["cmd"]](request)}
        except (ValueError, TypeError) as exc:
            return {"error": str(exc)}
