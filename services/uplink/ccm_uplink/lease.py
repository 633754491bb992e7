"""Which of several uplinks on one bus delivers: the one that holds the lease, a state that it renews.

Nobody compares clocks of two machines: who waits takes the lease when it was not renewed for `LEASE_S` of his own time,
and who holds it counts his own time from before he renewed.
"""

import asyncio
import fcntl
import logging
import os
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ccm_contracts.channels import LEASE_STATE
from ccm_contracts.state import LeaseState
from ccm_kit.bus import Bus
from ccm_kit.errors import BusDownError, RefusedError

log = logging.getLogger(__name__)

RENEW_S: Final = 3.0
LOOK_S: Final = 1.0
"""Who waits looks so often."""
LEASE_S: Final = 10.0
"""Not renewed for so long, it is free. An outage of a leading uplink lasts so long and two looks at most: one saw it
renewed late, the other comes late.
"""
GIVE_BACK_S: Final = 2.0
WHAT: Final = "uplink"


class Owner:
    """Who asks: the same after a restart on the same data directory, so that a killed uplink goes on at once.

    A second process on the directory gets a name of its own, as does one that cannot write there.
    """

    def __init__(self, data_dir: Path) -> None:
        self.name = self.process = uuid.uuid4().hex
        self._file = -1
        with suppress(OSError):
            self._file = os.open(data_dir / "uplink.owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stored = os.pread(self._file, 64, 0).decode("ascii", "replace")
            if len(stored) == len(self.name) and stored.isalnum():
                self.name = stored
            else:
                os.pwrite(self._file, self.name.encode(), 0)

    def rename(self) -> None:
        """The directory is a copy of another uplink's: what is copied once more shall not be it either."""
        self.name = uuid.uuid4().hex
        with suppress(OSError):
            if self._file >= 0:
                os.pwrite(self._file, self.name.encode(), 0)

    def close(self) -> None:
        """Another process may have the name; the end of this one does the same."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Lease:
    """`run` takes and renews it, for ever; `give_back` when all is at rest."""

    def __init__(self, bus: Bus, owner: Owner) -> None:
        self._bus = bus
        self._owner = owner
        self._revision = 0
        """Of the newest state that was seen."""
        self._seen_s = float("-inf")
        """When that was, or when we asked for it."""
        self._held = asyncio.Event()
        self._lost = asyncio.Event()
        self._renewed = asyncio.Event()

    @property
    def is_fresh(self) -> bool:
        """It is held, and nobody else can have taken it meanwhile."""
        return self._held.is_set() and self._bus.clock.monotonic() - self._seen_s < LEASE_S

    async def held(self) -> None:
        """Wait until this uplink has it."""
        await self._held.wait()

    async def fresh(self) -> None:
        """Wait until `is_fresh`."""
        while not self.is_fresh:
            self._renewed.clear()
            await self._renewed.wait()

    async def lost(self) -> None:
        """Wait until another one has it; the bus being away does not count."""
        await self._lost.wait()

    async def while_held(self, work: "Coroutine[Any, Any, None]") -> None:
        """Run `work` until it ends or the lease is lost. Raises what it raises."""
        tasks = [asyncio.ensure_future(work), asyncio.ensure_future(self.lost())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not tasks[0].cancelled():
            tasks[0].result()

    async def run(self) -> None:
        while True:
            with suppress(BusDownError, RefusedError):
                await self.look()
            await asyncio.sleep(self.pause_s)

    @property
    def pause_s(self) -> float:
        """Until the next look."""
        return RENEW_S if self._held.is_set() else LOOK_S

    async def give_back(self) -> None:
        """Another one need not wait."""
        if self._held.is_set():
            with suppress(BusDownError, RefusedError, TimeoutError):
                async with asyncio.timeout(GIVE_BACK_S):
                    await self._write("")

    async def look(self) -> None:
        """Renew it, or take it when it is free. Raises `BusDownError` and `RefusedError`."""
        asked_s = self._bus.clock.monotonic()
        if self._held.is_set():
            with suppress(RefusedError):
                await self._write(self._owner.name)
                self._has_it(asked_s)
                return
        found = await self._bus.newest(LEASE_STATE, id=WHAT)
        revision, state = (found.revision, found.message) if found is not None else (0, None)
        if revision != self._revision:
            self._revision, self._seen_s = revision, asked_s
        if self._held.is_set() and state is not None and self._is_twin(state):
            log.warning("the data directory is a copy of another uplink's: this one takes a name of its own")
            self._owner.rename()
        if self._is_others(state):
            self._has_lost_it(state.owner if state is not None else "unknown")
            if asked_s - self._seen_s < LEASE_S:
                return
        await self._write(self._owner.name)
        self._has_it(asked_s)

    def _is_others(self, state: LeaseState | None) -> bool:
        """Whether another one has it, or may still think so: the stream was made anew."""
        return self._lost.is_set() if state is None else state.owner not in ("", self._owner.name)

    def _is_twin(self, state: LeaseState) -> bool:
        return state.owner == self._owner.name and state.process != self._owner.process

    async def _write(self, owner: str) -> None:
        state = LeaseState(owner=owner, process=self._owner.process, ts=self._bus.clock.now())
        self._revision = await self._bus.claim(LEASE_STATE, state, revision=self._revision, id=WHAT)

    def _has_it(self, asked_s: float) -> None:
        if not self._held.is_set():
            log.info("this uplink delivers")
        self._seen_s = asked_s
        self._lost.clear()
        self._held.set()
        self._renewed.set()

    def _has_lost_it(self, owner: str) -> None:
        if self._held.is_set():
            log.warning("another uplink delivers", extra={"owner": owner})
        elif not self._lost.is_set():
            log.info("another uplink delivers: this one stands by", extra={"owner": owner})
        self._held.clear()
        self._lost.set()
