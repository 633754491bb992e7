"""The messages that were accepted lately: one that the bus delivers again is not written twice.

A digest of the whole message tells them apart, not a sequence of the stream: a stream that was made anew counts from 1.
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from ccm_uplink.spool.disk import write_whole

REMEMBERED: Final = 20_000
"""The bus delivers again what was in hand at a crash, after 8 s: up to 2,500 messages a second fit in between."""
DIGEST_BYTES: Final = 8


class Seen:
    """The newest `REMEMBERED` messages."""

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def new_of(self, lines: Iterable[bytes]) -> list[bytes]:
        """Those that were not accepted yet, each once."""
        fresh = {digest: line for line in lines if (digest := _digest(line)) not in self._digests}
        return list(fresh.values())

    def add(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._digests[_digest(line)] = None
        while len(self._digests) > REMEMBERED:
            self._digests.popitem(last=False)

    def load(self, path: Path) -> None:
        if not path.exists():
            return
        data = path.read_bytes()
        for start in range(0, len(data) - DIGEST_BYTES + 1, DIGEST_BYTES):
            self._digests[data[start : start + DIGEST_BYTES]] = None

    def save(self, path: Path) -> None:
        write_whole(path, [b"".join(self._digests)])


def _digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=DIGEST_BYTES).digest()
