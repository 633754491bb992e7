"""The owner of one line: opens it, and carries out work and rounds one after the other.

The only task that touches the line, but where a Modbus TCP host takes several requests at once (`max_in_flight`): then
so many tasks each do what the one does, over a lane of their own, until somebody wants the line alone. What others want
done on it they `submit` (`work.py`): a command goes before everything else, at the end of the transaction that is on
the wire; shared work takes turns with polls. Who needs the line alone for a while, a scan or a synchronisation, takes
it so:

    async with poller.exclusive("a scan") as line:
        await line.reconfigure(19200, "8E1")     # if it wants; undone at the end
        result = await line.exchange(request, timeout_s=0.1, quarantine=False)

It begins after the frame on the wire; polling pauses, work and a second holder are refused as `busy`; polling goes on
afterwards, also when the holder raises, is cancelled, or takes longer than `hold.LONGEST_S`.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Final

from ccm_bus_reader.command import Job
from ccm_bus_reader.device import Device
from ccm_bus_reader.drivers.modbus import Framing, Rtu, Tcp
from ccm_bus_reader.guests import Guests
from ccm_bus_reader.lanes import Lane, Lanes, at_unit_of, lanes_for
from ccm_bus_reader.line import Line
from ccm_bus_reader.news import News
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.reports import Reports
from ccm_bus_reader.rounds import Rounds
from ccm_bus_reader.schedule import Schedule
from ccm_bus_reader.server.cache import Registers
from ccm_bus_reader.trace import Trace
from ccm_bus_reader.transport import Endpoint, SerialPort, Transport
from ccm_bus_reader.work import Urgency, Work
from ccm_kit.backoff import Backoff
from ccm_kit.clock import Clock, utc_of
from ccm_kit.errors import UnavailableError

IDLE_S: Final = 1.0
"""Longest sleep of a line without work."""
MOST_RESTING: Final = 8
"""Rounds that wait within each other; beyond it the line is idle while a device rests."""
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
        self._is_stopping = False
        self._was_open = False
        self._opened_at = 0.0
        self._in_flight = 1
        self._busy: set[str] = set()
        """Devices that a round is under way for, and those at the same unit."""
        self._resting = 0
        """Rounds that wait while others use the line."""
        self._lanes: Lanes | None = None
        self._crew: list[Rounds] = []
        self._numbered = Tcp()
        framing: Framing = self._numbered if is_modbus_tcp else Rtu()
        self._transport = Transport(endpoint, clock, self._lost)
        self.line = Line(self._transport, framing, clock, is_numbered=is_modbus_tcp)
        self.trace = Trace(partial(utc_of, clock), is_modbus_tcp=is_modbus_tcp)
        self.line.tap = self.trace.add
        self._schedule = Schedule()
        protocol = "modbus-tcp" if is_modbus_tcp else "modbus-rtu"
        self._news = News(line_id, self.line, self.devices, reports, clock, protocol)
        self._guests = Guests(line_id, self.line, self._news, self._wake)
        self._rounds = self._rounds_on(self.line)

    def _rounds_on(self, line: Line) -> Rounds:
        return Rounds(line, self._schedule, self._news, self._clock, self._pause)

    def _lost(self) -> None:
        if self._lanes is not None:
            self._lanes.lost()
        self._wake.set()

    @property
    def cost(self) -> WireCost:
        """What a transaction costs on this line, for planning."""
        if self.is_modbus_tcp:
            return WireCost.tcp(TCP_ROUND_TRIP_S)
        return WireCost(self.line.char_s, RTU_TURNAROUND_S, self.line.silence_s)

    def add(self, device: Device) -> None:
        """Begin to read it; everything of it is due at once."""
        self.devices[device.id] = device
        self._schedule.add(device.id, device.config.poll_s, self._clock.monotonic(), device.config.slow_s)
        self._allow()
        self._wake.set()

    def remove(self, device_id: str) -> None:
        """Begin no other transaction of it."""
        device = self.devices.pop(device_id, None)
        self._schedule.remove(device_id)
        self._allow()
        if device is not None:
            self._news.removed(device)

    def _allow(self) -> None:
        configs = [device.config for device in self.devices.values()]
        self._in_flight = lanes_for(configs, is_modbus_tcp=self.is_modbus_tcp)

    def submit(self, work: Work, *, urgency: Urgency) -> None:
        """Have it carried out in its turn. Raises `RefusedError` (`busy`) or `UnavailableError` (`offline`)."""
        self._guests.submit(work, urgency)

    async def command(self, job: Job) -> float:
        """The job's result, once its turn has come. Raises `CcmError`."""
        return await job.carried_out(partial(self.submit, job, urgency="command"))

    def exclusive(self, reason: str) -> AbstractAsyncContextManager[Line]:
        """The line alone, as the module describes; `reason` says for what, as in "a scan".

        Raises `RefusedError` (`busy`) and `UnavailableError` (`offline`; `timeout` when it was held for too long).
        """
        return self._guests.exclusive(reason)

    def share(self, registers: Registers | None) -> None:
        """What polls read goes there too, for other masters."""
        for rounds in (self._rounds, *self._crew):
            rounds.registers = registers

    def stop(self) -> None:
        """End after the transaction that is on the wire."""
        self._is_stopping = True
        self._guests.close()
        self._wake.set()

    async def run(self) -> None:
        """Until `stop`."""
        backoff = Backoff(REOPEN_FIRST_S, REOPEN_SLOWEST_S)
        try:
            while not self._is_stopping:
                if not self._transport.is_open:
                    self._wake.clear()
                    await self._reopen(backoff)
                    continue
                if is_proven := self._is_proven():
                    backoff.reset()
                    self._news.opened()
                with suppress(UnavailableError):  # the line was lost: the next turn opens it again
                    if is_proven and self._are_many(self._in_flight):
                        await self._serve_together(self._in_flight)
                    else:
                        await self._serve_alone(is_proven=is_proven)
        finally:
            self._guests.fail("is being closed")
            await self._transport.close()

    async def _serve_alone(self, *, is_proven: bool) -> None:
        """One thing after the other, until the line is lost or may be shared by lanes."""
        await self._serve(self._rounds)
        while is_proven and self._in_flight == 1 and self._transport.lost is None and not self._is_stopping:
            await self._serve(self._rounds)

    def _are_many(self, count: int) -> bool:
        """Whether `count` lanes, more than one, may go on."""
        is_free = not self._guests.is_wanted_alone and not self._is_stopping and self._transport.is_open
        return count > 1 and count == self._in_flight and is_free

    async def _serve_together(self, count: int) -> None:
        """On so many lanes, until the line is lost or wanted alone, or their number changes."""
        lanes = self._lanes = Lanes(self._transport, count, self._clock)
        try:
            await lanes.run(lambda lane: self._serve_lane(lane, count), f"bus-reader.{self.id}")
        finally:
            self._lanes = None
            self._crew.clear()

    async def _serve_lane(self, lane: Lane, count: int) -> None:
        framing = Tcp(self._numbered.numbers)
        line = Line(lane, framing, self._clock, is_numbered=True, counters=self.line.counters)
        line.tap = self.trace.add
        rounds = self._rounds_on(line)
        rounds.registers = self._rounds.registers
        self._crew.append(rounds)
        with suppress(UnavailableError):  # lost: so it is for the other lanes
            while self._are_many(count):
                await self._serve(rounds)

    async def _serve(self, rounds: Rounds, most_s: float = IDLE_S) -> None:
        """Whatever is most urgent; when nothing is, wait, `most_s` at most."""
        self._wake.clear()
        self._news.line()
        round_ = None
        if self._resting <= MOST_RESTING:
            round_ = self._schedule.take(self._clock.monotonic(), self._busy)
        if round_ is not None:  # it lets others go first before each of its reads
            device = self.devices[round_.device]
            lanes = self._in_flight if not device.rest_s else 2
            self._busy |= (busy := at_unit_of(device, self.devices, lanes))
            try:
                await rounds.carry_out(round_, device)
            finally:
                self._busy -= busy
                self._wake.set()
            return
        await self._guests.served(rounds.line)
        if not self._guests.are_waiting:
            next_at = self._schedule.next_at(self._busy)
            now = self._clock.monotonic()
            await self._sleep(most_s if next_at is None else min(most_s, next_at - now))

    async def _pause(self, rounds: Rounds, device: Device) -> bool:
        if self._guests.want and await self._guests.served(rounds.line):
            return False
        if device.rest_s and not await self._rested(rounds, device):
            return False
        return not self._is_stopping and self.devices.get(device.id) is device

    async def _rested(self, rounds: Rounds, device: Device) -> bool:
        """Others use the line until the device may be asked again; false when somebody had it alone meanwhile."""
        lent, here = self._guests.lent, at_unit_of(device, self.devices)
        self._resting += 1
        try:
            while not self._is_stopping and lent == self._guests.lent:
                until = max(
                    [self.devices[name].rests_until for name in here if name in self.devices], default=0.0
                )
                left_s = until - self._clock.monotonic()
                if left_s <= 0 or (self._guests.is_wanted_alone and rounds.line is not self.line):
                    break
                await self._serve(rounds, left_s)
        finally:
            self._resting -= 1
        return lent == self._guests.lent

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
        if self._was_open and await self.line.resumed():
            return
        if self._was_open:
            self._was_open = False
            self._news.closed(f"{self.endpoint}: {self._transport.lost}", REOPEN_SLOWEST_S)
            for device in self.devices.values():
                device.forget_refusals()
            await self._transport.close()
            await self._sleep(backoff.next())
        try:
            await self._transport.open()
        except UnavailableError as err:
            self._news.closed(str(err), REOPEN_SLOWEST_S)
            self._news.line()
            self._guests.fail(f"is closed: {err}")
            await self._sleep(backoff.next())
            return
        self.line.opened()
        self._news.notice(self._transport.notice)
        self._was_open, self._opened_at = True, self._clock.monotonic()
        self._schedule.line_opened(self._opened_at)
