"""A line's units for other masters: polled registers from memory, everything else on the line in its turn."""

import asyncio
from collections.abc import Callable
from typing import Final

from ccm_bus_reader.device import Device
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.line import Line
from ccm_bus_reader.outcome import Answer as LineAnswer
from ccm_bus_reader.outcome import Failure
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.server.cache import Registers
from ccm_bus_reader.server.client import Answer
from ccm_bus_reader.server.frames import BUSY, ILLEGAL_FUNCTION, NO_PATH, NO_REPLY, Asked
from ccm_kit.clock import Clock
from ccm_kit.errors import CcmError, RefusedError

STRANGER_TIMEOUT_S: Final = 0.5
"""For a unit that the gateway does not read itself."""
SILENT_S: Final = 10.0
"""A strange unit that did not answer is not asked again for so long: each time-out costs the line."""
MOST_SILENT: Final = 247


class _Asking:
    """One request of another master on the line."""

    def __init__(self, request: Request, device: Device | None) -> None:
        self._request = request
        self._device = device
        self.result: asyncio.Future[LineAnswer | Failure] = asyncio.get_running_loop().create_future()

    async def run(self, line: Line) -> None:
        device = self._device
        result = await line.exchange(
            self._request,
            timeout_s=STRANGER_TIMEOUT_S if device is None else device.timeout_s(),
            gap_s=0.0 if device is None else device.alone_gap_s,
        )
        if device is not None and not isinstance(result, Failure):
            device.asked(result.at)
        if not self.result.done():
            self.result.set_result(result)

    def fail(self, err: CcmError) -> None:
        if not self.result.done():
            self.result.set_exception(err)


class Sharing:
    """One line; a `Target`."""

    def __init__(
        self, poller: Callable[[], Poller | None], registers: Registers, clock: Clock, *, writes: bool
    ) -> None:
        """`poller` gives the line's owner, None while there is none."""
        self.registers = registers
        self.from_memory = self.on_line = 0
        """Requests answered so."""
        self._poller = poller
        self._clock = clock
        self._writes = writes
        self._asking: dict[Request, asyncio.Future[LineAnswer | Failure]] = {}
        self._silent: dict[int, float] = {}

    def at_once(self, asked: Asked) -> Answer | None:
        if not asked.is_read:
            return None if self._writes else ILLEGAL_FUNCTION
        now = self._clock.monotonic()
        found = self.registers.find(asked.unit, asked.function, asked.address, asked.count, now)
        if found == "unknown":
            return None
        if found == "stale":
            return NO_REPLY
        self.from_memory += 1
        return found

    async def later(self, asked: Asked, _client: str) -> Answer:
        poller = self._poller()
        if poller is None:
            return NO_PATH
        there = [each for each in poller.devices.values() if each.config.unit == asked.unit]
        device = max(there, key=lambda each: each.is_online is not False, default=None)
        if self._is_silent(asked.unit, device):
            return NO_REPLY
        request = Request(asked.unit, asked.function, asked.address, asked.count, asked.words)
        try:
            result = await self._ask(poller, request, device)
        except RefusedError:
            return BUSY
        except CcmError:
            return NO_PATH
        return self._judged(asked, result, device)

    def _judged(self, asked: Asked, result: LineAnswer | Failure, device: Device | None) -> Answer:
        if isinstance(result, Failure):
            if device is None and len(self._silent) < MOST_SILENT:
                self._silent[asked.unit] = self._clock.monotonic() + SILENT_S
            return NO_REPLY
        self.on_line += 1
        if result.exception is not None:
            return result.exception
        if not asked.is_read:
            self.registers.forget(asked.unit, asked.address, asked.count)
        return result.words

    async def _ask(self, poller: Poller, request: Request, device: Device | None) -> LineAnswer | Failure:
        """Reads of the same registers at the same time are one on the line. Raises `CcmError`."""
        running = self._asking.get(request) if not request.values else None
        if running is None:
            work = _Asking(request, device)
            poller.submit(work, urgency="shared")
            running = work.result
            if not request.values:
                self._asking[request] = running
                running.add_done_callback(lambda _: self._asking.pop(request, None))
        return await asyncio.shield(running)

    def _is_silent(self, unit: int, device: Device | None) -> bool:
        if device is not None:
            return device.is_online is False
        until = self._silent.pop(unit, 0.0)
        if self._clock.monotonic() < until:
            self._silent[unit] = until
            return True
        return False
