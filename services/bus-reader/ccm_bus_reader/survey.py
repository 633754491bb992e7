"""Who is at one unit: asks, recognises the model by the profiles' probes, reads serial number and firmware.

Any answer counts, an exception too. Knows neither ports nor the bus: it asks through a `Wire`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ccm_bus_reader.decode import text_of
from ccm_bus_reader.device import GATEWAY_SILENT
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.exceptions import exception_text
from ccm_bus_reader.model import Profile
from ccm_bus_reader.outcome import Answer, Failure
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.signature import (
    Read,
    Signatures,
    block_of,
    candidates_of,
    is_plausible,
    value_of,
    voltage_block,
)
from ccm_contracts.state import Candidate, Confidence, FoundDevice, LineSetting
from ccm_kit.errors import CcmError, UnavailableError

OPENERS: Final = (Read(3, 0, 2), Read(4, 0, 2))
"""The first questions: every Modbus device answers one of them, if only with an exception."""
GARBLED_TRIES: Final = 3
"""A unit whose replies are garbled so often is no accident of the line."""
MOST_SILENT: Final = 12
"""Questions that an answering device ignores before it is left alone: some do not answer what they do not know."""
SUNSPEC: Final = (0x5375, 0x6E53)
SUNSPEC_BASES: Final = (40000, 50000, 0)
"""`SunS`, and where it may be (SunSpec Device Information Model Specification, V1.1, 6.2)."""
SLOW_S: Final = 1.0
"""Patience with a device that has answered once."""
SLOWEST_FACTOR: Final = 4.0

Find = Callable[[str], Profile]


class Wire(Protocol):
    """One question on a line that nobody else uses meanwhile."""

    async def ask(self, request: Request, timeout_s: float) -> Answer | Failure:
        """The answer, or why there is none; raises `UnavailableError` when the line is gone."""

    @property
    def had_bytes(self) -> bool:
        """Whether anything at all came back after the last question."""


@dataclass(slots=True)
class Talk:
    """One unit, while it is asked; `silent` counts questions in a row that it ignored."""

    wire: Wire
    unit: int
    timeout_s: float
    silent: int = 0

    async def read(self, read: Read) -> Answer | None:
        request = Request(self.unit, read.function, read.address, read.count)
        reply = await asked(self.wire, request, self.timeout_s)
        self.silent = 0 if reply is not None else self.silent + 1
        return reply

    async def words(self, read: Read) -> tuple[int, ...] | None:
        """The registers; None for a refusal and for silence."""
        reply = await self.read(read)
        return reply.words if reply is not None and reply.exception is None else None


async def asked(wire: Wire, request: Request, timeout_s: float) -> Answer | None:
    """The unit's own answer; None when there is none, or when a gateway says so."""
    reply = await wire.ask(request, timeout_s)
    if isinstance(reply, Failure):
        if reply.kind == "lost":
            raise UnavailableError(reply.text)
        return None
    return None if reply.exception in GATEWAY_SILENT else reply


class Surveyor:
    """Recognises devices by one catalogue."""

    def __init__(self, signatures: Signatures, find: Find, cost: WireCost) -> None:
        self._signatures = signatures
        self._find = find
        self._cost = cost

    async def visit(
        self, wire: Wire, unit: int, setting: LineSetting, timeout_s: float
    ) -> FoundDevice | None:
        """Who is there; None for silence. A `conflict` is a suspicion until another unit answers well."""
        garbled = 0
        for read in OPENERS:
            request = Request(unit, read.function, read.address, read.count)
            for _ in range(GARBLED_TRIES):
                reply = await asked(wire, request, timeout_s)
                if reply is not None:
                    return await self._known(wire, unit, setting, reply)
                if not wire.had_bytes:
                    break
                garbled += 1
        if garbled < GARBLED_TRIES:
            return None
        text = f"{garbled} garbled replies, no sound one"
        return FoundDevice(unit=unit, setting=setting, kind="conflict", answered=text)

    async def _known(self, wire: Wire, unit: int, setting: LineSetting, first: Answer) -> FoundDevice:
        patience_s = min(SLOW_S, max(0.1, SLOWEST_FACTOR * first.response_s))
        talk = Talk(wire, unit, patience_s)
        maker = await self._sunspec(talk)
        candidates = await self.recognise(talk, is_sunspec=bool(maker))
        serial, firmware = maker[1:] if maker else (None, None)
        if candidates:
            serial = await self._text(talk, candidates[0].model, "serial") or serial
            firmware = await self._text(talk, candidates[0].model, "firmware") or firmware
        return FoundDevice(
            unit=unit,
            setting=setting,
            kind="device" if candidates or maker else "unknown",
            candidates=candidates,
            serial=serial,
            firmware=firmware,
            maker=maker[0] if maker else None,
            answered=_answer_text(first),
            response_ms=round(first.response_s * 1000, 1),
        )

    async def recognise(self, talk: Talk, *, is_sunspec: bool = False) -> list[Candidate]:
        """The models that fit, the surest first."""
        verdicts: dict[str, tuple[str, Confidence]] = {}
        for read, clues in self._signatures.clues:
            is_certain = any(confidence == "certain" for _, confidence in verdicts.values())
            if talk.silent >= MOST_SILENT or (is_certain and min(clue.strength for clue in clues)):
                break
            words = await talk.words(read)
            for clue in clues if words is not None else ():
                confidence = clue.judge(words or ())
                if confidence is not None:
                    verdicts[clue.model] = (clue.name, confidence)
        if is_sunspec:
            verdicts |= {
                model: (name, "likely") for model, name in self._sunspec_models() if model not in verdicts
            }
        checked = {
            model: verdict
            for model, verdict in verdicts.items()
            if await self._holds(talk, model, verdict[1])
        }
        return candidates_of(checked)

    async def _holds(self, talk: Talk, model: str, confidence: Confidence) -> bool:
        """A model that is not certain must show a plausible voltage too."""
        if confidence == "certain" or talk.silent >= MOST_SILENT:
            return True
        block = voltage_block(self._find(model), self._cost)
        if block is None:
            return True
        words = await talk.words(Read(block.function, block.address, block.count))
        return words is not None and is_plausible(block, words)

    def _sunspec_models(self) -> list[tuple[str, str]]:
        clues = {clue.model: clue.name for _, each in self._signatures.clues for clue in each}
        return [(model, name) for model, name in clues.items() if model.startswith("sunspec/")]

    async def _sunspec(self, talk: Talk) -> tuple[str, str | None, str | None] | None:
        """(manufacturer and model, serial number, version) of the common model."""
        for base in SUNSPEC_BASES:
            if await talk.words(Read(3, base, 2)) == SUNSPEC:
                words = await talk.words(Read(3, base + 4, 64))
                if words is None:
                    return ("SunSpec", None, None)
                maker, model = text_of(words[:16], "big"), text_of(words[16:32], "big")
                name = " ".join(each for each in (maker, model) if each) or "SunSpec"
                return (name, text_of(words[48:64], "big"), text_of(words[40:48], "big"))
        return None

    async def _text(self, talk: Talk, model: str, metric: str) -> str | None:
        points = [point for point in self._find(model).points if point.metric == metric]
        block = block_of(points, self._cost) if points else None
        if block is None:
            return None
        words = await talk.words(Read(block.function, block.address, block.count))
        try:
            value = value_of(block, words) if words is not None else None
        except (CcmError, ValueError):
            return None
        return str(value)[:40] if value is not None else None


def _answer_text(reply: Answer) -> str:
    if reply.exception is not None:
        return exception_text(reply.exception)
    return "registers " + " ".join(f"{word:04X}" for word in reply.words)
