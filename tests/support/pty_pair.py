"""A serial cable without hardware: two pseudo-terminals, joined."""

import os
import select
import threading
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class PtyPair:
    """What is written at path `a` is read at path `b`, and the other way round; not paced."""

    def __init__(self) -> None:
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self._is_cut = threading.Event()
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            # Our own slave descriptor stays open, or the master would report a hang-up between two users.
            self._masters.append(master)
            self._slaves.append(slave)
        self.a, self.b = map(os.ttyname, self._slaves)
        self._wake_r, self._wake_w = os.pipe()
        self._thread = threading.Thread(target=self._pump, name=f"pty {self.a} - {self.b}", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """From now on every byte is lost."""
        self._is_cut.set()

    def mend(self) -> None:
        """Bytes pass again."""
        self._is_cut.clear()

    def inject(self, noise: bytes) -> None:
        """Bytes that nobody sent, to the reader at `a`."""
        os.write(self._masters[0], noise)

    def close(self) -> None:
        """End the pump and both terminals."""
        os.write(self._wake_w, b"x")
        self._thread.join(5)
        for fd in (*self._masters, *self._slaves, self._wake_r, self._wake_w):
            os.close(fd)

    def _pump(self) -> None:
        first, second = self._masters
        other = {first: second, second: first}
        while True:
            readable, _, _ = select.select([first, second, self._wake_r], [], [])
            if self._wake_r in readable:
                return
            for master in readable:
                self._forward(os.read(master, 4096), other[master])

    def _forward(self, data: bytes, to: int) -> None:
        while data and not self._is_cut.is_set():
            # A full terminal (nobody reads) must not stop the other direction: what does not fit is lost.
            if not select.select([], [to], [], 0.2)[1]:
                return
            data = data[os.write(to, data) :]


@contextmanager
def pty_pair_sync() -> Iterator[PtyPair]:
    """A pair for code without an event loop."""
    pair = PtyPair()
    try:
        yield pair
    finally:
        pair.close()


@asynccontextmanager
async def pty_pair() -> AsyncIterator[PtyPair]:
    """A linked pair; `a` and `b` are the paths to open."""
    with pty_pair_sync() as pair:
        yield pair
