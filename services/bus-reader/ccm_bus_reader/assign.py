"""The exchange by which a native device takes its unit: listen, give, confirm, as its profile's `assignment` says.

Asks through a `Wire`; decides no units. Everything that it changes on a device is one write, which only the device
with the serial number just read takes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ccm_bus_reader.decode import join_words, text_of
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.native import Assignment, Cell
from ccm_bus_reader.outcome import Answer
from ccm_bus_reader.survey import Wire, asked
from ccm_contracts.scan_state import LineSetting
from ccm_kit.errors import RefusedError, UnavailableError

TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Heard:
    """Who waits for a unit: nobody, one device by its serial number, or several at once."""

    kind: Literal["nobody", "one", "several"]
    serial: str = ""
    words: tuple[int, ...] = ()


NOBODY: Final = Heard("nobody")
SEVERAL: Final = Heard("several")


async def listen(wire: Wire, how: Assignment) -> Heard:
    """Who waits now. Raises `UnavailableError` when the line is gone."""
    garbled = 0
    for _ in range(TRIES):
        answer = await _read(wire, how, how.unit, how.serial)
        if answer is not None and answer.exception is None:
            return Heard("one", _text(how.serial, answer.words), answer.words)
        if not wire.had_bytes:
            break
        garbled += 1
    return SEVERAL if garbled == TRIES else NOBODY


async def is_free(wire: Wire, how: Assignment, unit: int) -> bool:
    """Whether nobody answers there, not even garbled."""
    for _ in range(2):
        if await _read(wire, how, unit, how.serial) is not None or wire.had_bytes:
            return False
    return True


async def give(wire: Wire, how: Assignment, heard: Heard, unit: int) -> None:
    """The device has the unit, and was read there. Raises `RefusedError` or `UnavailableError` with the reason."""
    words: list[int] = []
    for value in how.grant.values:
        words += heard.words if value == "serial" else [unit]
    grant = Request(how.unit, how.grant.function, how.grant.address, values=tuple(words))
    reply = await asked(wire, grant, how.timeout_ms / 1000)
    if reply is not None and reply.exception is not None:
        text = f"device {heard.serial} refuses unit {unit}: exception {reply.exception}"
        raise RefusedError(text, code="device-refused")
    await asyncio.sleep(how.settle_ms / 1000)  # no echo: the write may have been taken all the same
    for _ in range(TRIES):
        serial = await _read(wire, how, unit, how.serial)
        if serial is None or serial.exception is not None:
            continue
        if _text(how.serial, serial.words) != heard.serial:
            break
        held = await _read(wire, how, unit, how.confirm)
        if held is not None and held.exception is None and join_words(held.words, how.confirm.order) == unit:
            return
    raise UnavailableError(f"device {heard.serial} does not answer at unit {unit}", code="not-taken")


async def _read(wire: Wire, how: Assignment, unit: int, cell: Cell) -> Answer | None:
    request = Request(unit, cell.function, cell.address, cell.registers)
    return await asked(wire, request, how.timeout_ms / 1000)


def _text(cell: Cell, words: Sequence[int]) -> str:
    if cell.type == "string":
        return text_of(words, cell.order) or ""
    return str(join_words(words, cell.order))


ANY_SETTING: Final = LineSetting()
"""A native line is used at its own parameters."""
