"""One transaction at a time on one line: silence before it, its reply or its failure, and no late reply taken for it.

Has one caller, the line's owner (`poller.py`). Knows neither devices nor points. A transaction that is on the wire is
never cancelled from inside; each one ends within its time-out.
"""

import asyncio
from dataclasses import replace
from typing import Final, Literal

from ccm_bus_reader.drivers.modbus import BROADCAST, MORE, Framing, Parsed, Request
from ccm_bus_reader.late import Debts
from ccm_bus_reader.line_times import (
    BROADCAST_S,
    FINE_S,
    OPENING_QUIET_S,
    QUARANTINE_S,
    SETTLED_S,
    grace_s,
    silence_s,
)
from ccm_bus_reader.outcome import Answer, Failure, FailureKind, nothing
from ccm_bus_reader.stats import Counters
from ccm_bus_reader.trace import Kind, Tap
from ccm_bus_reader.transport import Endpoint, SerialPort, Transport
from ccm_kit.clock import Clock
from ccm_kit.errors import RefusedError, UnavailableError


class Line:
    """Transactions over a transport that somebody else opens."""

    def __init__(
        self,
        transport: Transport,
        framing: Framing,
        clock: Clock,
        *,
        is_numbered: bool,
        counters: dict[int, Counters] | None = None,
    ) -> None:
        """`is_numbered`: Modbus TCP, where late replies are known by their number and no silence is kept."""
        self.transport = transport
        self.counters = {} if counters is None else counters
        self.has_answered = False
        """Whether any answer came since it was opened."""
        self.tap: Tap | None = None
        self.framing = framing
        self._clock = clock
        self._is_numbered = is_numbered
        self._debts = Debts()
        self._quiet_from = 0.0
        self._own_endpoint = transport.endpoint
        self._take_pace()

    def _take_pace(self) -> None:
        self.char_s = self.transport.endpoint.char_s
        self.silence_s = 0.0 if self._is_numbered else silence_s(self.char_s)

    def opened(self) -> None:
        """The transport was opened: what comes first may be meant for somebody else."""
        self.has_answered = False
        if not self._is_numbered:
            now = self._clock.monotonic()
            self._quiet_from = max(self._quiet_from, now + OPENING_QUIET_S - self.silence_s)

    async def resumed(self) -> bool:
        """Whether a host that hung up is connected again: some do after each answer; one must have come each time."""
        if not self.has_answered or not await self.transport.reopened():
            return False
        self.opened()
        return True

    async def reconfigure(self, baudrate: int, character: str) -> None:
        """Go on at another rate and format (`8N1`); only for who has the line alone.

        Raises `RefusedError` (`not-serial`) where there is no port to set, `UnavailableError` when the port refuses.
        """
        endpoint = self.transport.endpoint
        if not isinstance(endpoint, SerialPort):
            raise RefusedError(f"{endpoint}: the serial server alone sets the rate", code="not-serial")
        await self._use(replace(endpoint, baudrate=baudrate, format=character))

    async def restore(self) -> None:
        """Undo `reconfigure`. When the port cannot be opened, it is left closed for the owner to see."""
        try:
            await self._use(self._own_endpoint)
        except UnavailableError:
            return

    async def _use(self, endpoint: Endpoint) -> None:
        if endpoint == self.transport.endpoint:
            return
        self.transport.endpoint = endpoint
        self._take_pace()
        await self.transport.close("is being set to another rate")
        await self.transport.open()
        self.opened()

    @property
    def is_clear(self) -> bool:
        """Whether no reply is owed, so that no request needs to wait."""
        return not self._debts.owed

    def blocked_until(self, request: Request) -> float | None:
        """Until when a late reply could be taken for this request's answer; None: it may be sent."""
        if self._is_numbered:
            return None
        now = self._clock.monotonic()
        if now - self.transport.last_rx > SETTLED_S:
            self._drain()
        return self._debts.blocked_until(request, now)

    def doubtful_until(self, request: Request) -> float | None:
        """Until when an exception would not be believed as this request's answer; None: it is."""
        if self._is_numbered:
            return None
        return self._debts.doubtful_until(request.unit, request.function, self._clock.monotonic())

    async def exchange(
        self, request: Request, *, timeout_s: float, gap_s: float = 0.0, quarantine: bool = True
    ) -> Answer | Failure:
        """The answer, or why there is none. Raises `UnavailableError` when the link is gone before the request.

        `timeout_s` ends at the reply's first byte; `gap_s` is the device's own need of silence. Without
        `quarantine` the line goes on at once after a failure: for devices that are known to be dead.
        """
        transport = self.transport
        if transport.lost is not None:
            await self.resumed()
        if gap_s or not self._is_numbered:
            await self._silence(gap_s)
        if transport.received and not self._drain():
            return await self._lost(is_broken=True)
        frame = self.framing.encode(request)
        started = self._clock.monotonic()
        transport.write(frame, self.char_s)
        if self.tap is not None:
            self.tap("tx", started, frame, "request")
        counters = self._counters_of(request.unit)
        counters.requests += 1
        if request.unit == BROADCAST and not self._is_numbered:
            return await self._heard(request, counters, started)
        try:
            result = await self._reply(request, timeout_s)
        except asyncio.CancelledError:  # of who has the line alone: the reply is still to come
            self._debts.owe(request, transport.tx_end)
            self._quiet_from = self._longest_until(request, timeout_s)
            raise
        self._quiet_from = quiet_from = max(transport.last_rx, transport.tx_end)
        counters.busy_s += max(self._clock.monotonic(), quiet_from) - started + self.silence_s
        if isinstance(result, Answer):
            self.has_answered = True
            counters.answered(result)
            return result
        counters.failed(result)
        if result.kind != "corrupt" and not self._is_numbered:
            return await self._owed(request, result, timeout_s, quarantine=quarantine)
        return result

    async def _owed(
        self, request: Request, failure: Failure, timeout_s: float, *, quarantine: bool
    ) -> Failure:
        """Its reply may still come."""
        self._debts.owe(request, self.transport.tx_end)
        if failure.kind == "lost":
            self._quiet_from = self._longest_until(request, timeout_s)
        elif quarantine:
            return await self._quarantine(request, failure, timeout_s)
        return failure

    def _longest_until(self, request: Request, timeout_s: float) -> float:
        """Until when the reply may be on the wire, when nobody waits for it any more."""
        return self.transport.tx_end + timeout_s + request.reply_bytes * self.char_s

    async def _heard(self, request: Request, counters: Counters, started: float) -> Answer:
        """Nobody answers a broadcast; it is done once all units have had time to act on it."""
        now = self.transport.tx_end + BROADCAST_S
        await asyncio.sleep(now - self._clock.monotonic())
        parsed = self.framing.parse(bytes(self.transport.received), request)
        if parsed.kind == "echo":
            self._consume(parsed.used, "echo")
        counters.busy_s += now - started
        return Answer((), None, now, 0.0, 0.0)

    def note_late(self, unit: int) -> None:
        """A round of this unit began late."""
        self._counters_of(unit).late += 1

    # --- before ------------------------------------------------------------------------------------------

    async def _silence(self, gap_s: float) -> None:
        """Wait until nothing was sent or received for 3.5 characters, and for the device's gap."""
        while True:
            quiet_since = max(self._quiet_from, self.transport.last_rx, self.transport.tx_end)
            left_s = quiet_since + max(self.silence_s, gap_s) - self._clock.monotonic()
            if left_s <= 0:
                return
            if left_s > FINE_S:
                await asyncio.sleep(left_s - FINE_S)
            else:
                self._clock.nap(left_s)  # at most FINE_S; a timer of the loop would add a millisecond

    def _drain(self) -> bool:
        """What came unasked: late replies pay their debts, the rest is noise; False when it cannot be Modbus TCP."""
        kind = "more"
        while self.transport.received:
            parsed = self.framing.parse(bytes(self.transport.received), _NOBODY)
            kind = parsed.kind
            if kind != "foreign":
                break
            self._foreign(parsed)
        self._discard("noise")
        return kind != "broken"

    def _counters_of(self, unit: int) -> Counters:
        counters = self.counters.get(unit)
        if counters is None:
            counters = self.counters[unit] = Counters()
        return counters

    def _consume(self, used: int, kind: Kind) -> None:
        """A frame at the beginning of what was received is done with."""
        received = self.transport.received
        if self.tap is not None:
            self.tap("rx", self.transport.last_rx, bytes(received[:used]), kind)
        del received[:used]

    def _discard(self, kind: Kind) -> None:
        if self.transport.received:
            self._consume(len(self.transport.received), kind)

    def _foreign(self, parsed: Parsed) -> float | None:
        """A sound frame for nobody: count it, forget it; its age in seconds if it is a late reply."""
        self._consume(parsed.used, "foreign")
        self._counters_of(parsed.unit).foreign += 1
        return self._debts.pay(parsed.unit, parsed.function, parsed.length, self._clock.monotonic())

    # --- after -------------------------------------------------------------------------------------------

    async def _reply(self, request: Request, timeout_s: float) -> Answer | Failure:
        transport = self.transport
        had: FailureKind = "timeout"
        while True:
            parsed = self.framing.parse(bytes(transport.received), request) if transport.received else MORE
            kind = parsed.kind
            if kind == "more":
                if transport.lost is not None:
                    return await self._lost(is_broken=False)
                if not await transport.wait(self._deadline(request, timeout_s)):
                    return nothing(len(transport.received), request.reply_bytes, timeout_s, had)
            elif kind == "answer" or (kind == "exception" and self.doubtful_until(request) is None):
                return self._answer(parsed, kind)
            elif kind == "exception":
                had = "doubtful"
                self._consume(parsed.used, kind)
            elif kind == "foreign":
                had = kind
                self._foreign(parsed)
            elif kind == "echo":
                self._consume(parsed.used, kind)
                transport.first_rx = transport.last_rx
            elif kind == "corrupt":
                self._discard(kind)
                return Failure(kind, "a reply with a wrong check sum")
            else:
                return await self._lost(is_broken=True)

    def _answer(self, parsed: Parsed, kind: Literal["answer", "exception"]) -> Answer:
        transport = self.transport
        self._consume(parsed.used, kind)  # or it would be taken for a late reply, and pay its debt
        took_s = transport.last_rx - transport.tx_end - parsed.used * self.char_s
        response_s = transport.first_rx - transport.tx_end
        return Answer(
            parsed.words,
            parsed.code if kind == "exception" else None,
            transport.last_rx,
            response_s if response_s > 0.0 else 0.0,
            took_s if took_s > 0.0 else 0.0,
        )

    def _deadline(self, request: Request, timeout_s: float) -> float:
        transport = self.transport
        if not transport.received:
            return transport.tx_end + timeout_s
        late_s = grace_s(is_serial=isinstance(transport.endpoint, SerialPort))
        until = transport.first_rx + request.reply_bytes * self.char_s + late_s
        if len(transport.received) >= request.reply_bytes and not self._is_numbered:
            until = min(until, transport.last_rx + SETTLED_S)
        return until

    async def _lost(self, *, is_broken: bool) -> Failure:
        if is_broken:
            await self.transport.close("the far end does not speak Modbus TCP")
        return Failure("lost", self.transport.lost or "was closed")

    async def _quarantine(self, request: Request, failure: Failure, timeout_s: float) -> Failure:
        """Silence until the late reply has come, or until none is to be expected soon."""
        transport = self.transport
        until = self._clock.monotonic() + max(QUARANTINE_S, timeout_s)
        while self._clock.monotonic() < until and transport.lost is None:
            parsed = self.framing.parse(bytes(transport.received), _NOBODY)
            if parsed.kind == "foreign":
                late_s = self._foreign(parsed)
                if late_s is not None and parsed.unit == request.unit:
                    return Failure(failure.kind, failure.text, was_late_s=late_s)
                continue
            await transport.wait(until)
        return failure


_NOBODY: Final = Request(unit=255, function=3, address=0)
"""A request that no frame answers: 255 is no unit of a serial line (reserved, V1.02, 2.2)."""
