"""A device command on its line: write one named point, read it back, and say what the device holds now."""

import asyncio
from collections.abc import Callable
from typing import Final

from ccm_bus_reader.device import Device
from ccm_bus_reader.drivers.modbus import BROADCAST, READS, Request
from ccm_bus_reader.encode import encode, read_back
from ccm_bus_reader.exceptions import exception_text
from ccm_bus_reader.line import Line
from ccm_bus_reader.outcome import Answer
from ccm_bus_reader.point import WritePoint
from ccm_kit.errors import CcmError, RefusedError, UnavailableError

AT_WORK: Final = 5
BUSY: Final = 6
"""Accepted, and takes longer; not accepted, for now (V1.1b3, section 7)."""
TURNS: Final = 6
AGAIN_S: Final = 0.5
"""A device that is busy, or still at work, is asked again in so many turns; the line is polled between them."""


class _AgainError(Exception):
    """The device wants to be asked later; the text says why."""


class Job:
    """One command that waits for its turn; `result` is the value read back, None: it wants another turn."""

    def __init__(self, device: Device, name: str, value: float, *, broadcast: bool = False) -> None:
        """`broadcast`: to all units of the device's line, and read back from the device.

        Raises `RefusedError`: `unknown-command`, `out-of-range`, `no-broadcast`, `offline`.
        """
        point = device.profile.command(name)
        if point is None:
            known = ", ".join(each.name for each in device.profile.commands) or "none"
            text = f"{device.config.model} has no command {name!r}; it has {known}"
            raise RefusedError(text, code="unknown-command", field="name")
        if broadcast and (not point.broadcast or device.config.port is None):
            text = f"{device.config.model} does not take {name!r} as a broadcast"
            raise RefusedError(text, code="no-broadcast", field="broadcast")
        self._words = tuple(encode(point, value))
        self._target = BROADCAST if broadcast else device.config.unit
        self._device = device
        self._point: WritePoint = point
        self._check_online()
        self._turns = 0
        self._is_taken = False
        """Whether the device has said that it is at work on it."""
        self.result: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()

    async def run(self, line: Line) -> None:
        """Carry it out, unless nobody waits for it any more. Raises nothing but `CancelledError`."""
        if self.result.done():
            return
        value: float | None = None
        self._turns += 1
        try:
            self._check_online()
            value = await self._write_and_read(line)
        except _AgainError as err:
            if self._turns == TURNS:
                self.fail(RefusedError(f"{err}; try again later", code="busy"))
        except CcmError as err:
            self.fail(err)
        if not self.result.done():
            self.result.set_result(value)

    async def carried_out(self, submit: Callable[[], None]) -> float:
        """What the device holds in the end; `submit` gives it a turn. Raises `CcmError`."""
        while True:
            submit()
            value = await self.result
            if value is not None:
                return value
            await asyncio.sleep(AGAIN_S)
            self.result = asyncio.get_running_loop().create_future()

    def fail(self, err: CcmError) -> None:
        """It did not take effect, or nobody can tell."""
        if not self.result.done():
            self.result.set_exception(err)

    def _check_online(self) -> None:
        if self._device.is_online is not True:
            raise RefusedError(f"{self._device.id} is offline", code="offline", field="device")

    async def _write_and_read(self, line: Line) -> float:
        point, unit = self._point, self._device.config.unit
        write = Request(self._target, point.function, point.address, values=self._words)
        read = Request(unit, point.read_function, point.address, point.registers)
        if line.blocked_until(read) is not None:
            text = f"{self._device.id} owes a late reply; try again in a few seconds"
            raise UnavailableError(text, code="busy")
        if not self._is_taken:
            await self._exchange(line, write)
        held = (await self._exchange(line, read)).words
        value = read_back(point, list(held))
        if tuple(held) != self._words and self._is_taken and self._turns < TURNS:
            raise _AgainError
        if tuple(held) != self._words:
            text = f"{self._device.id} did not take {point.name}: it holds {value:g}"
            raise RefusedError(text, code="not-taken", field="value")
        if point.enable is not None:
            await self._enable(line, point.enable)
        return value

    async def _enable(self, line: Line, address: int) -> None:
        unit = self._device.config.unit
        await self._exchange(line, Request(self._target, self._point.function, address, values=(1,)))
        held = (await self._exchange(line, Request(unit, 3, address, 1))).words
        if tuple(held) != (1,):
            text = f"{self._device.id} took {self._point.name}, but did not put it into effect"
            raise RefusedError(text, code="not-taken", field="value")

    async def _exchange(self, line: Line, request: Request) -> Answer:
        device = self._device
        result = await line.exchange(request, timeout_s=device.timeout_s(), gap_s=device.alone_gap_s)
        if not isinstance(result, Answer):
            did = "read back" if request.function in READS else "written"
            text = f"{device.id}: {self._point.name} could not be {did}: {result.text}"
            raise UnavailableError(text, code="no-reply")
        device.asked(result.at)
        if request.unit != BROADCAST:
            device.answered(result.response_s, result.turnaround_s)
        if result.exception in (AT_WORK, BUSY):
            self._is_taken |= result.exception == AT_WORK and request.function not in READS
            raise _AgainError(f"{device.id} answers {exception_text(result.exception)} to {self._point.name}")
        if result.exception is not None:
            text = f"{device.id} refuses {self._point.name}: {exception_text(result.exception)}"
            raise RefusedError(text, code="device-refused", field="value")
        return result
