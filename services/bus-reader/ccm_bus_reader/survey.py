"""Who is at one unit: asks, recognises the model by the profiles' probes, reads serial number and firmware.

Any answer counts, an exception too. Knows neither ports nor the bus: it asks through a `Wire`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from ccm_bus_reader.device import GATEWAY_SILENT
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.exceptions import exception_text
from ccm_bus_reader.model import Profile
from ccm_bus_reader.outcome import Answer, Failure
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.signature import (
    RANK,
    Read,
    Signatures,
    Verdict,
    block_of,
    candidates_of,
    fast_blocks,
    fit_of,
    is_plausible,
    value_of,
    voltage_block,
)
from ccm_bus_reader.sunspec_survey import SunSpecDevice, sunspec_device, sunspec_verdicts
from ccm_contracts.scan_state import Candidate, FoundDevice, LineSetting
from ccm_kit.errors import CcmError, UnavailableError

OPENERS: Final = (Read(3, 0, 2), Read(4, 0, 2))
"""The first questions: every Modbus device answers one of them, if only with an exception."""
DOUBLE_TRIES: Final = 3
"""Questions that show whether a second device replies behind the first; the last one's second reply is not awaited."""
GARBLED_TRIES: Final = 3
"""A unit whose replies are garbled so often is no accident of the line."""
MOST_SILENT: Final = 12
"""Questions that an answering device ignores before it is left alone: some do not answer what they do not know."""
MOST_COMPARED: Final = 12
"""Equally likely models that a device is read as, once each, to find the one that fits best."""
SLOW_S: Final = 1.0
"""Patience with a device that has answered once."""
SLOWEST_FACTOR: Final = 4.0

Find = Callable[[str], Profile]


class Wire(Protocol):
    """One question on a line that nobody else uses meanwhile."""

    async def ask(self, request: Request, timeout_s: float) -> Answer | Failure:
        """The answer, or why there is none; raises `UnavailableError` when the line is gone."""

    def late_units(self) -> set[int]:
        """Units of which a frame came that nobody waited for, since the last call."""

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
    _told: dict[Read, tuple[int, ...] | None] = field(default_factory=dict)

    async def read(self, read: Read) -> Answer | None:
        """A garbled reply is asked for again."""
        request = Request(self.unit, read.function, read.address, read.count)
        for _ in range(GARBLED_TRIES):
            reply = await asked(self.wire, request, self.timeout_s)
            if reply is not None or not self.wire.had_bytes:
                break
        self.silent = 0 if reply is not None else self.silent + 1
        return reply

    async def words(self, read: Read) -> tuple[int, ...] | None:
        """The registers, asked for once; None for a refusal and for silence."""
        if read not in self._told:
            reply = await self.read(read)
            is_good = reply is not None and reply.exception is None
            self._told[read] = reply.words if reply is not None and is_good else None
        return self._told[read]


async def asked(wire: Wire, request: Request, timeout_s: float) -> Answer | None:
    """The unit's own answer; None when there is none, or when a gateway says so."""
    reply = await wire.ask(request, timeout_s)
    if isinstance(reply, Failure):
        if reply.kind == "lost":
            raise UnavailableError(f"the line was lost: {reply.text}")
        return None
    return None if reply.exception in GATEWAY_SILENT else reply


class Surveyor:
    """Recognises devices by one catalogue."""

    def __init__(self, signatures: Signatures, find: Find, cost: WireCost) -> None:
        self._signatures = signatures
        self._find = find
        self._cost = cost

    async def visit(
        self, wire: Wire, unit: int, setting: LineSetting, timeout_s: float, *, is_thorough: bool = True
    ) -> FoundDevice | None:
        """Who is there; None for silence. Without `is_thorough` only the first question is asked."""
        garbled = 0
        for read in OPENERS if is_thorough else OPENERS[:1]:
            request = Request(unit, read.function, read.address, read.count)
            for _ in range(GARBLED_TRIES):
                reply = await asked(wire, request, timeout_s)
                if reply is not None:
                    if setting.baudrate and await _answers_twice(wire, request, timeout_s):
                        return _conflict(unit, setting, "two replies to one question")
                    return await self._known(wire, unit, setting, reply)
                if not wire.had_bytes:
                    break
                garbled += 1
        if garbled < GARBLED_TRIES:
            return None
        return _conflict(unit, setting, f"{garbled} garbled replies, no sound one")

    async def _known(self, wire: Wire, unit: int, setting: LineSetting, first: Answer) -> FoundDevice:
        patience_s = min(SLOW_S, max(0.1, SLOWEST_FACTOR * first.response_s))
        talk = Talk(wire, unit, patience_s)
        sunspec = await sunspec_device(talk.words)
        candidates = await self.recognise(talk, sunspec)
        serial, firmware = (sunspec.serial, sunspec.version) if sunspec else (None, None)
        if candidates:
            serial = serial or await self._text(talk, candidates[0].model, "serial")
            firmware = firmware or await self._text(talk, candidates[0].model, "firmware")
        return FoundDevice(
            unit=unit,
            setting=setting,
            kind="device" if candidates or sunspec else "unknown",
            candidates=candidates,
            serial=serial,
            firmware=firmware,
            maker=sunspec.maker if sunspec else None,
            answered=_answer_text(first),
            response_ms=round(first.response_s * 1000, 1),
        )

    async def recognise(self, talk: Talk, sunspec: SunSpecDevice | None = None) -> list[Candidate]:
        """The models that fit, the surest first."""
        verdicts: dict[str, Verdict] = {}
        for read, clues in self._signatures.clues:
            strength = min(clue.strength for clue in clues)
            if talk.silent >= MOST_SILENT or _is_settled(verdicts, strength):
                break
            words = await talk.words(read)
            for clue in clues if words is not None else ():
                confidence = clue.judge(words or ())
                if confidence is not None:
                    verdicts[clue.model] = Verdict(clue.name, confidence)
        kept = {
            model: verdict for model, verdict in verdicts.items() if await self._holds(talk, model, verdict)
        }
        general = sunspec_verdicts(sunspec, self._signatures.sunspec) if sunspec else {}
        return candidates_of(await self._compared(talk, general | kept))

    async def _holds(self, talk: Talk, model: str, verdict: Verdict) -> bool:
        """A model that is not certain must show a plausible voltage."""
        block = voltage_block(self._find(model), self._cost)
        if verdict.confidence == "certain" or talk.silent >= MOST_SILENT or block is None:
            return True
        words = await talk.words(Read(block.function, block.address, block.count))
        return words is not None and is_plausible(block, words)

    async def _compared(self, talk: Talk, verdicts: dict[str, Verdict]) -> dict[str, Verdict]:
        """The likeliest ones with their fit, where there are several: the device is read as each of them."""
        best = min((RANK[verdict.confidence] for verdict in verdicts.values()), default=0)
        likeliest = [model for model, verdict in verdicts.items() if RANK[verdict.confidence] == best]
        compared = dict(verdicts)
        for model in likeliest[:MOST_COMPARED] if len(likeliest) > 1 else ():
            fit = verdicts[model].fit
            profile = self._find(model)
            for block in fast_blocks(profile, self._cost) if profile.sunspec is None else ():
                words = await talk.words(Read(block.function, block.address, block.count))
                fit += fit_of(block, words)
            compared[model] = replace(verdicts[model], fit=fit)
        return compared

    async def _text(self, talk: Talk, model: str, metric: str) -> str | None:
        profile = self._find(model)
        if profile.sunspec is not None:
            return None
        points = [point for point in profile.points if point.metric == metric]
        block = block_of(points, self._cost) if points else None
        if block is None:
            return None
        words = await talk.words(Read(block.function, block.address, block.count))
        try:
            value = value_of(block, words) if words is not None else None
        except (CcmError, ValueError):
            return None
        return str(value)[:40] if value is not None else None


async def _answers_twice(wire: Wire, request: Request, timeout_s: float) -> bool:
    """Whether a second device with the same unit replies behind the first: at least to two of three questions."""
    wire.late_units()
    doubles = 0
    for _ in range(DOUBLE_TRIES):
        await asked(wire, request, timeout_s)
        await asyncio.sleep(timeout_s)  # the second one may be slower
        doubles += request.unit in wire.late_units()
    return doubles >= DOUBLE_TRIES - 1


def _conflict(unit: int, setting: LineSetting, why: str) -> FoundDevice:
    return FoundDevice(unit=unit, setting=setting, kind="conflict", answered=why)


def _is_settled(verdicts: Mapping[str, Verdict], strength: int) -> bool:
    """Whether reads of this strength, and all that follow, can only find what is less sure than what was found."""
    best = min((RANK[verdict.confidence] for verdict in verdicts.values()), default=RANK["possible"])
    return (best == RANK["certain"] and strength > 0) or (best == RANK["likely"] and strength > 1)


def _answer_text(reply: Answer) -> str:
    if reply.exception is not None:
        return exception_text(reply.exception)
    return "registers " + " ".join(f"{word:04X}" for word in reply.words)
