"""One round of one device: its reads one after the other, and what follows from answers, refusals and silence.

Everything that came becomes one reading; a round that failed publishes nothing.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from ccm_bus_reader.device import GATEWAY_SILENT, REFUSALS, Device
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.exceptions import exception_text
from ccm_bus_reader.line import Line
from ccm_bus_reader.news import News
from ccm_bus_reader.outcome import Answer, Failure
from ccm_bus_reader.planned import PlannedRead
from ccm_bus_reader.point import Poll
from ccm_bus_reader.schedule import Round, Schedule
from ccm_bus_reader.server.cache import Registers
from ccm_contracts.messages import Value
from ccm_kit.clock import Clock

LOOK_AGAIN_S: Final = 0.1
"""A device that owes a late reply is looked at again after so long, for the reply may have come."""

NOTHING: Final = "has nothing that its profile reads: is it another model?"
REFUSES_ALL: Final = "refuses all that its profile reads: is it another model?"

ONCE: Final[frozenset[Poll]] = frozenset({"once"})
EVERYTHING: Final[frozenset[Poll]] = frozenset({"fast", "slow", "once"})

Pause = Callable[["Rounds", Device], Awaitable[bool]]
"""Before a transaction: lets commands go first, and others while the device rests; False when the round has become
pointless.
"""


@dataclass(frozen=True, slots=True)
class _Doubted:
    """A read's values that are read once more, because of these metrics."""

    values: dict[str, Value]
    metrics: list[str]


@dataclass(slots=True)
class _Found:
    """What a round brought; `at` is when its last reply's last byte came (monotonic)."""

    values: dict[str, Value] = field(default_factory=dict)
    at: float | None = None
    doubted: dict[PlannedRead, _Doubted] = field(default_factory=dict)
    has_once: bool = False
    """Whether the once points are among what it reads."""


class Rounds:
    """Carries out what the schedule says, on one line."""

    def __init__(self, line: Line, schedule: Schedule, news: News, clock: Clock, pause: Pause) -> None:
        self.line = line
        self._schedule = schedule
        self._news = news
        self._clock = clock
        self._pause = pause
        self.registers: Registers | None = None
        """Where what was read is kept for other masters."""

    async def carry_out(self, round_: Round, device: Device) -> None:
        """Raises `UnavailableError` when the line is lost."""
        started = self._clock.monotonic()
        if device.discovery is not None and not await self._discover(device):
            return
        if round_.is_probe:
            if not await self._is_refusing(round_, device, started):
                return
            round_ = Round(device.id, EVERYTHING)
        elif device.ask_again(started):
            self._schedule.all_due(device.id, started)
            round_ = Round(device.id, EVERYTHING)
        found = await self._read(device, round_.polls)
        if found is None:
            return
        if found.values or device.has_points:
            self._finish(device, round_, started, found)
        else:
            device.refusals.is_all = True
            self._give_up(device, REFUSES_ALL)

    async def _discover(self, device: Device) -> bool:
        """Find out what the device has, where that is not known; False when the round is over with it."""
        while (request := device.discovery_request()) is not None:
            if not await self._pause(self, device) or self._is_blocked(device, request):
                return False
            result = await self._exchange(device, request)
            if isinstance(result, Failure):
                self._failed(device, request, result)
                return False
            is_refused = result.exception in REFUSALS
            if result.exception is not None and not is_refused:
                problem = f"answers {exception_text(result.exception)} to the search for its models"
            else:
                problem = device.discovered(None if is_refused else result.words)
            if problem:
                self._give_up(device, problem)
                return False
        return True

    def _is_blocked(self, device: Device, request: Request) -> bool:
        """Whether the device's late reply could be taken for this request's answer; then it waits for its turn."""
        blocked_until = self.line.blocked_until(request)
        if blocked_until is not None:
            self._schedule.postpone(device.id, min(blocked_until, self._clock.monotonic() + LOOK_AGAIN_S))
        return blocked_until is not None

    async def _is_refusing(self, round_: Round, device: Device, started: float) -> bool:
        """A probe: one cheap read; whatever answers it, be it late, shows that the device is there. No value counts.

        True when it refuses the read: only a full round tells whether it is the model that it should be. Where one has
        told that it is not, each probe asks for another point, until one is given.
        """
        read = device.probe()
        if read is None:
            self._give_up(device, NOTHING)
        if read is None or not await self._pause(self, device):
            return False
        result = await self._exchange(device, read.request)
        if isinstance(result, Failure):
            device.refusals.is_all = False
            self._failed(device, read.request, result)
        elif result.exception in REFUSALS and device.refusals.is_all:
            self._give_up(device, REFUSES_ALL)
        elif result.exception in REFUSALS:
            return True
        else:
            device.refusals.is_all = False
            self._finish(device, round_, started, _Found())
        return False

    async def _read(self, device: Device, polls: frozenset[Poll]) -> _Found | None:
        """All of it, each read with one more try for a device that was healthy; None when the round is over."""
        found, reads = _Found(has_once="once" in polls), deque(device.reads(polls))
        while reads:
            if not await self._pause(self, device):
                return None
            read = reads.popleft() if self.line.is_clear else self._next(device, reads)
            if read is None:
                return None
            is_first_try = device.is_online is True and device.strikes == 0
            result = await self._exchange(device, read.request)
            if isinstance(result, Answer):
                found.at = result.at
                if result.exception is None:
                    reads.extendleft(reversed(self._believed(device, read, result, found)))
                elif result.exception in REFUSALS:
                    reads.extendleft(reversed(self._refused(device, read, result.exception)))
                else:
                    device.unable(read, result.exception, self._clock.monotonic())
            elif is_first_try and result.kind not in ("lost", "doubtful"):
                reads.appendleft(read)
            else:
                device.doubtful(read, is_doubtful=result.kind == "doubtful")
                self._failed(device, read.request, result)
                return None
        return found

    def _believed(
        self, device: Device, read: PlannedRead, answer: Answer, found: _Found
    ) -> tuple[PlannedRead, ...]:
        """Takes the read's values in; what jumps is read once more first. Returns what is to be read because of it."""
        values, first, is_sure = read.decode(answer.words), found.doubted.pop(read, None), True
        device.ailments.well(read.metrics)
        if first is not None:
            values, findings = device.beliefs.settled(first.values, values, first.metrics, answer.at)
            self._news.findings(device, findings)
            device.beliefs.believe(values)
            is_sure = all(finding.what != "unsure" for finding in findings)
        elif doubts := read.watch.take(values, answer.at):
            found.doubted[read] = _Doubted(values, doubts)
            return (read,)
        if is_sure and self.registers is not None:
            block = read.block
            self.registers.put(device.config.unit, block.function, block.address, answer.words, answer.at)
        found.values |= values
        device.keep(values, answer.at)
        if first is None or found.has_once or not read.watch.doubted_counters(values, answer.at):
            return ()
        found.has_once = (
            True  # a counter does what no counter does: the serial number tells whether it is another's
        )
        return device.reads(ONCE)

    def _next(self, device: Device, reads: deque[PlannedRead]) -> PlannedRead | None:
        """The next read: of other lengths than planned while a late reply could be taken for its answer.

        None: there is none now, and the device is postponed.
        """
        planned = reads.popleft()
        for pieces in device.variants(planned):
            if all(self.line.blocked_until(piece.request) is None for piece in pieces):
                reads.extendleft(reversed(pieces))
                return reads.popleft()
        self._is_blocked(device, planned.request)
        return None

    def _finish(self, device: Device, round_: Round, started: float, found: _Found) -> None:
        slot = self._schedule.slots.get(device.id)
        if slot is None:  # removed meanwhile
            return
        change = self._schedule.done(round_, started)
        if change is not None:
            self._news.overrun(device, is_overrun=change)
        if slot.is_late:
            self.line.note_late(device.config.unit)
        if device.is_online is not True or "once" in round_.polls or device.refusals.untold:
            self._news.device(device, is_online=True, error=device.ailments.text)
            self._news.refused(device)
        self._news.ailing(device)
        if found.values and found.at is not None and not round_.is_probe:
            totals, findings = device.count(found.values, found.at)
            if findings:
                self._news.findings(device, findings)
            fresh = found.values | totals if totals else found.values
            values = device.merged(fresh, self._clock.monotonic(), slot.slow_s)
            self._news.reading(device, found.at, values)
            self._news.counters(device, now=bool(findings))

    async def _exchange(self, device: Device, request: Request) -> Answer | Failure:
        result = await self._asked(device, request)
        is_lost = isinstance(result, Failure) and result.kind == "lost" and self.line.is_clear
        if is_lost and await self.line.resumed():  # it was on its way when the host hung up
            result = await self._asked(device, request)
        if isinstance(result, Answer):
            if result.exception not in GATEWAY_SILENT:
                device.answered(result.response_s, result.turnaround_s)
                return result
            result = Failure("timeout", f"no reply, says the gateway (exception {result.exception})")
        if result.kind not in ("lost", "doubtful"):
            device.failed(result.was_late_s)
        return result

    async def _asked(self, device: Device, request: Request) -> Answer | Failure:
        result = await self.line.exchange(
            request,
            timeout_s=device.timeout_s(is_probe=device.is_online is False),
            gap_s=device.gap_s,
            quarantine=device.is_online is True,
        )
        device.asked(result.at if isinstance(result, Answer) else self._clock.monotonic())
        return result

    def _failed(self, device: Device, request: Request, failure: Failure) -> None:
        now = self._clock.monotonic()
        if failure.kind == "doubtful":
            self._schedule.postpone(device.id, self.line.doubtful_until(request) or now)
        elif failure.kind != "lost" and device.is_given_up:
            self._give_up(device, failure.text)
        elif failure.kind != "lost":
            self._schedule.missed(device.id, now)

    def _give_up(self, device: Device, reason: str) -> None:
        """All of the device waits for the next probe."""
        if device.id not in self._schedule.slots:  # removed meanwhile
            return
        retry_s = self._schedule.silent(device.id, self._clock.monotonic())
        unit = device.config.unit
        error = f"line {self._news.line_id}: unit {unit}: {reason}, next try in {retry_s:g} s"
        device.forget_refusals()
        self._news.device(device, is_online=False, error=error, retry_s=retry_s)

    def _refused(self, device: Device, read: PlannedRead, code: int) -> tuple[PlannedRead, ...]:
        instead, absent = device.refused(read, self._clock.monotonic())
        device.refusals.untold.setdefault(code, []).extend(absent)
        return instead
