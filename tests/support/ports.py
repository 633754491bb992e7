"""Free TCP ports of 127.0.0.1, and whether somebody listens on one."""

import os
import random
import socket

# Below Linux' range for outgoing connections (32768 and up), so that none of them takes a port between
# our choice and the server's start, or while the server is down. Each xdist worker has its own slice.
FIRST, LAST, SLICE = 20000, 32000, 1500
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on; never given twice in one process."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
    first = FIRST + (worker * SLICE) % (LAST - FIRST)
    while True:
        port = random.randrange(first, first + SLICE)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a TCP connection to the port is accepted now."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
