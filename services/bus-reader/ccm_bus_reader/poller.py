"""The owner of one line: opens it, and carries out commands and rounds one after the other.

The only task that touches the line. A waiting command goes before everything else, at the end of the transaction that
is on the wire.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from ccm_bus_reader.command import Job
from ccm_bus_reader.device import Device
from ccm_bus_reader.drivers.modbus import Framing, Rtu, Tcp
from ccm_bus_reader.line import Line
from ccm_bus_reader.news import News
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.reports import Reports
from ccm_bus_reader.rounds import Rounds
from ccm_bus_reader.schedule import Schedule
from ccm_bus_reader.transport import Endpoint, SerialPort, Transport
from ccm_kit.backoff import Backoff
from ccm_kit.clock import Clock
from ccm_kit.errors import RefusedError, UnavailableError

MOST_JOBS: Final = 32
"""Commands that wait for one line; one more is refused as busy."""
IDLE_S: Final = 1.0
"""Longest sleep of a line without work."""
REOPEN_FIRST_S: Final = 0.25
REOPEN_SLOWEST_S: Final = 5.0
PROVEN_S: Final = 3.0
"""A connection that lasts so long is one, also without an answer."""
RTU_TURNAROUND_S: Final = 0.010
TCP_ROUND_TRIP_S: Final = 0.005
"""First guesses, for planning only."""


class Poller:
    """`run` serves the line until `stop`. Devices come and go at any time."""

    def __init__(
        self, line_id: str, endpoint: Endpoint, reports: Reports, clock: Clock, *, is_modbus_tcp: bool
    ) -> None:
        self.id = line_id
        self.endpoint = endpoint
        self.is_modbus_tcp = is_modbus_tcp
        self.devices: dict[str, Device] = {}
        self._clock = clock
        self._wake = asyncio.Event()
        self._jobs: deque[Job] = deque()
        self._is_stopping = False
        self._was_open = False
        self._opened_at = 0.0
        framing: Framing = Tcp() if is_modbus_tcp else Rtu()
        self._transport = Transport(endpoint, clock, self._wake.set)
        self.line = Line(self._transport, framing, clock, is_numbered=is_modbus_tcp)
        self._schedule = Schedule()
        protocol = "modbus-tcp" if is_modbus_tcp else "modbus-rtu"
        self._news = News(line_id, self.line, self.devices, reports, clock, protocol)
        self._rounds = Rounds(self.line, self._schedule, self._news, clock, self._pause)

    @property
    def cost(self) -> WireCost:
        """What a transaction costs on this line, for planning."""
        if self.is_modbus_tcp:
            return WireCost.tcp(TCP_ROUND_TRIP_S)
        return WireCost(self.line.char_s, RTU_TURNAROUND_S, self.line.silence_s)

    def add(self, device: Device) -> None:
        """Begin to read it; everything of it is due at once."""
        self.devices[device.id] = device
        self._schedule.add(device.id, device.config.poll_s, self._clock.monotonic())
        self._wake.set()

    def remove(self, device_id: str) -> None:
        """Begin no other transaction of it."""
        device = self.devices.pop(device_id, None)
        self._schedule.remove(device_id)
        if device is not None:
            self._news.removed(device)

    async def command(self, job: Job) -> float:
        """The job's result, once its turn has come. Raises `CcmError`."""
        if len(self._jobs) >= MOST_JOBS:
            raise RefusedError(f"line {self.id} has {MOST_JOBS} commands waiting already", code="busy")
        if not self._transport.is_open or self._is_stopping:
            raise UnavailableError(f"line {self.id} is closed", code="offline")
        self._jobs.append(job)
        self._wake.set()
        return await job.result

    def stop(self) -> None:
        """End after the transaction that is on the wire."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Until `stop`."""
        backoff = Backoff(REOPEN_FIRST_S, REOPEN_SLOWEST_S)
        try:
            while not self._is_stopping:
                self._wake.clear()
                if not self._transport.is_open:
                    await self._reopen(backoff)
                    continue
                if self._is_proven():
                    backoff.reset()
                    self._news.opened()
                self._news.line()
                with suppress(UnavailableError):  # the line was lost: the next turn opens it again
                    await self._serve()
        finally:
            self._fail_jobs("is being closed")
            await self._transport.close()

    async def _serve(self) -> None:
        """Whatever is most urgent; when nothing is, wait."""
        await self._run_jobs()
        now = self._clock.monotonic()
        round_ = self._schedule.take(now)
        if round_ is not None:
            await self._rounds.carry_out(round_, self.devices[round_.device])
            return
        next_at = self._schedule.next_at()
        await self._sleep(IDLE_S if next_at is None else min(IDLE_S, next_at - now))

    async def _pause(self, device: Device) -> bool:
        await self._run_jobs()
        return not self._is_stopping and self.devices.get(device.id) is device

    async def _run_jobs(self) -> None:
        while self._jobs:
            await self._jobs.popleft().run(self.line)

    async def _sleep(self, wait_s: float) -> None:
        """Until something new is to be done, or `wait_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait_s)):
                await self._wake.wait()

    def _is_proven(self) -> bool:
        """A host that takes connections and drops them is no open line."""
        is_old = self._clock.monotonic() - self._opened_at > PROVEN_S
        return isinstance(self.endpoint, SerialPort) or self.line.has_answered or is_old

    async def _reopen(self, backoff: Backoff) -> None:
        if self._was_open:
            self._was_open = False
            self._news.closed(f"{self.endpoint}: {self._transport.lost}", REOPEN_SLOWEST_S)
            await self._transport.close()
            await self._sleep(backoff.next())
        try:
            await self._transport.open()
        except UnavailableError as err:
            self._news.closed(str(err), REOPEN_SLOWEST_S)
            self._news.line()
            self._fail_jobs(f"is closed: {err}")
            await self._sleep(backoff.next())
            return
        self.line.opened()
        self._was_open, self._opened_at = True, self._clock.monotonic()
        self._schedule.line_opened(self._opened_at)

    def _fail_jobs(self, why: str) -> None:
        while self._jobs:
            self._jobs.popleft().fail(UnavailableError(f"line {self.id} {why}"))
