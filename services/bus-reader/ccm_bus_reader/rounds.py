"""One round of one device: its reads one after the other, and what follows from answers, refusals and silence.

Everything that came becomes one reading; a round that failed publishes nothing.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from ccm_bus_reader.device import GATEWAY_SILENT, REFUSALS, Device
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.exceptions import exception_text
from ccm_bus_reader.line import Line
from ccm_bus_reader.news import News
from ccm_bus_reader.outcome import Answer, Failure
from ccm_bus_reader.plan import Block
from ccm_bus_reader.schedule import Round, Schedule
from ccm_contracts.messages import Value
from ccm_kit.clock import Clock

LOOK_AGAIN_S: Final = 0.1
"""A device that owes a late reply is looked at again after so long, for the reply may have come."""

Pause = Callable[[Device], Awaitable[bool]]
"""Between two transactions: lets commands go first; False when the round has become pointless."""


class Rounds:
    """Carries out what the schedule says, on one line."""

    def __init__(self, line: Line, schedule: Schedule, news: News, clock: Clock, pause: Pause) -> None:
        self._line = line
        self._schedule = schedule
        self._news = news
        self._clock = clock
        self._pause = pause

    async def carry_out(self, round_: Round, device: Device) -> None:
        """Raises `UnavailableError` when the line is lost."""
        started = self._clock.monotonic()
        if not await self._discover(device):
            return
        probe = device.probe() if round_.is_probe else None
        blocks = deque((probe,) if probe else device.blocks(round_.polls))
        values: dict[str, Value] = {}
        last_at: float | None = None
        while blocks:
            if not await self._pause(device):
                return
            block = blocks.popleft()
            request = device.request(block)
            if self._is_blocked(device, request):
                return
            answer = await self._read(device, request)
            if answer is None:
                return
            last_at = answer.at
            if answer.exception is None:
                values |= device.values_of(block, answer.words, answer.at)
            elif answer.exception in REFUSALS:
                blocks.extendleft(reversed(self._refused(device, block, answer.exception)))
        if device.has_points:
            self._finish(device, round_, started, values, last_at)
        else:
            self._give_up(device, "refuses all that its profile reads: is it another model?")

    async def _discover(self, device: Device) -> bool:
        """Find out what the device has, where that is not known; False when the round is over with it."""
        while (request := device.discovery_request()) is not None:
            if not await self._pause(device) or self._is_blocked(device, request):
                return False
            answer = await self._read(device, request)
            if answer is None:
                return False
            is_refused = answer.exception in REFUSALS
            if answer.exception is not None and not is_refused:
                problem = f"answers {exception_text(answer.exception)} to the search for its models"
            else:
                problem = device.discovered(None if is_refused else answer.words)
            if problem:
                self._give_up(device, problem)
                return False
        return True

    def _is_blocked(self, device: Device, request: Request) -> bool:
        """Whether the device's late reply could be taken for this request's answer; then it waits for its turn."""
        blocked_until = self._line.blocked_until(request)
        if blocked_until is not None:
            self._schedule.postpone(device.id, min(blocked_until, self._clock.monotonic() + LOOK_AGAIN_S))
        return blocked_until is not None

    def _finish(
        self, device: Device, round_: Round, started: float, values: dict[str, Value], last_at: float | None
    ) -> None:
        slow_s = self._schedule.slots[device.id].slow_s
        self._news.overrun(device, self._schedule.done(round_, started))
        if device.is_online is not True or "once" in round_.polls:
            self._news.device(device, is_online=True)
        if values and last_at is not None and not round_.is_probe:
            self._news.reading(device, last_at, device.merged(values, self._clock.monotonic(), slow_s))

    async def _read(self, device: Device, request: Request) -> Answer | None:
        """The answer, with one more try for a device that was healthy; None when the round is over without it."""
        was_healthy = device.is_online is True and device.strikes == 0
        result = await self._exchange(device, request)
        if isinstance(result, Failure) and was_healthy and result.kind != "lost":
            if not await self._pause(device):
                return None
            result = await self._exchange(device, request)
        if isinstance(result, Answer):
            return result
        if result.kind != "lost":
            self._missed(device, result.text)
        return None

    async def _exchange(self, device: Device, request: Request) -> Answer | Failure:
        result = await self._line.exchange(
            request,
            timeout_s=device.timeout_s(is_probe=device.is_online is False),
            gap_s=device.gap_s,
            quarantine=device.is_online is True,
        )
        if isinstance(result, Answer) and result.exception in GATEWAY_SILENT:
            result = Failure("timeout", f"no reply, says the gateway (exception {result.exception})")
        if isinstance(result, Answer):
            device.answered(result.response_s)
        elif result.kind != "lost":
            device.failed(result.was_late_s)
        return result

    def _missed(self, device: Device, reason: str) -> None:
        if device.is_given_up:
            self._give_up(device, reason)
        else:
            self._schedule.missed(device.id, self._clock.monotonic())

    def _give_up(self, device: Device, reason: str) -> None:
        """All of the device waits for the next probe."""
        retry_s = self._schedule.silent(device.id, self._clock.monotonic())
        unit = device.config.unit
        error = f"line {self._news.line_id}: unit {unit}: {reason}, next try in {retry_s:g} s"
        device.forget_refusals()
        self._news.device(device, is_online=False, error=error, retry_s=retry_s)

    def _refused(self, device: Device, block: Block, code: int) -> tuple[Block, ...]:
        instead, absent = device.refused(block)
        if absent:
            self._news.refused(device, absent, code)
        return instead
