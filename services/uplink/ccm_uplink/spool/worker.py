"""The spool's own thread: disk work in order, one after the other, without holding up the service."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from ccm_uplink.spool.spool import Spool, Waiting

T = TypeVar("T")


class SpoolWorker:
    """Opens the spool when it is first needed. Outlives configurations: what waits is never dropped by one.

    Work that was handed over is done even when the caller is cancelled meanwhile.
    """

    def __init__(self, directory: Path, now: Callable[[], datetime]) -> None:
        self.directory = directory
        self._now = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ccm-spool")
        self._spool: Spool | None = None

    async def do(self, work: Callable[[Spool], T]) -> T:
        """The result of `work`, in the spool's thread. Raises what it raises, and `OSError`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._done, work)

    def _done(self, work: Callable[[Spool], T]) -> T:
        if self._spool is None:
            self._spool = Spool(self.directory, now=self._now())
        return work(self._spool)

    async def waiting(self) -> list[Waiting]:
        return await self.do(lambda spool: spool.waiting())

    def close(self) -> None:
        """Finishes what was handed over."""
        self._thread.shutdown(wait=True)
        if self._spool is not None:
            self._spool.close()
