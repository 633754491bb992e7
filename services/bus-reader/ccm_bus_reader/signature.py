"""What tells models apart: the profiles' probes as reads, and what an answer to each says. Pure.

A profile without a probe is tried by its frequency or its voltage: implausible there means another model.
"""

import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ccm_bus_reader.decode import decode, join_words, text_of
from ccm_bus_reader.model import Probe, Profile
from ccm_bus_reader.plan import Block, WireCost, plan
from ccm_bus_reader.point import Point
from ccm_contracts.messages import Value
from ccm_contracts.scan_state import Candidate, Confidence

PLAUSIBLE: Final[Mapping[str, tuple[float, float]]] = {
    "f": (45.0, 66.0),
    "v1": (80.0, 300.0),
    "v12": (130.0, 520.0),
}
"""Hz and V of a device on a public grid, by metric; the first that a profile has is looked at."""
RANK: Final[Mapping[Confidence, int]] = {"certain": 0, "likely": 1, "possible": 2}
MOST_CANDIDATES: Final = 8
_SIGNED: Final = {"s16": 16, "s32": 32, "s64": 64}
_FLOATS: Final = {"f32": ">f", "f64": ">d"}


@dataclass(frozen=True, slots=True)
class Read:
    """Registers that one question asks for; ordered, so that equal catalogues ask alike."""

    function: int
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Clue:
    """What one read says about one model: by its probe, or by a point that must be plausible."""

    model: str
    name: str
    probe: Probe | None = None
    block: Block | None = None

    def judge(self, words: Sequence[int]) -> Confidence | None:
        """How sure the answer makes the model; None when it is another one."""
        if self.probe is not None:
            return _judge_probe(self.probe, words)
        return "possible" if self.block is not None and is_plausible(self.block, words) else None

    @property
    def strength(self) -> int:
        """0 where a match would be certain."""
        if self.probe is None:
            return 3
        if self.probe.equals or self.probe.starts:
            return 0
        return 1 if self.probe.minimum is not None or self.probe.maximum is not None else 2


@dataclass(frozen=True, slots=True)
class Signatures:
    """Every question that recognises something, the most telling first."""

    clues: tuple[tuple[Read, tuple[Clue, ...]], ...]
    sunspec: tuple[Profile, ...] = ()
    """Profiles that fit any device with the right SunSpec models."""

    def __len__(self) -> int:
        return len(self.clues)


def signatures_of(profiles: Sequence[Profile]) -> Signatures:
    """One question per distinct read."""
    found: dict[Read, list[Clue]] = defaultdict(list)
    general = [profile for profile in profiles if profile.sunspec is not None]
    for profile in profiles:
        clue = _clue(profile) if profile.sunspec is None else None
        if clue is not None:
            found[clue[0]].append(clue[1])
    ordered = sorted(
        found.items(),
        key=lambda each: (
            min(clue.strength for clue in each[1]),
            -len(each[1]),
            each[0].function,
            each[0].address,
            each[0].count,
        ),
    )
    return Signatures(tuple((read, tuple(clues)) for read, clues in ordered), tuple(general))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How sure a model is; `fit` tells equally sure ones apart: what the device has of it, less what it lacks."""

    name: str
    confidence: Confidence
    fit: int = 0


def candidates_of(verdicts: Mapping[str, Verdict]) -> list[Candidate]:
    """The models by confidence, the surest first; a certain one leaves no room for those merely possible.

    Equally sure ones by how well they fit.
    """
    ordered = sorted(verdicts.items(), key=lambda each: (RANK[each[1].confidence], -each[1].fit, each[0]))
    is_certain = bool(ordered) and ordered[0][1].confidence == "certain"
    kept = [each for each in ordered if not is_certain or each[1].confidence == "certain"]
    return [
        Candidate(model=model, name=verdict.name, confidence=verdict.confidence)
        for model, verdict in kept[:MOST_CANDIDATES]
    ]


def block_of(points: Sequence[Point], cost: WireCost) -> Block | None:
    """One read for the first of the points; None without any."""
    blocks = plan(points[:1], cost, max_block=125)
    return blocks[0] if blocks else None


def is_plausible(block: Block, words: Sequence[int]) -> bool:
    """Whether the block's value lies where a device on a public grid would have it."""
    metric, value = next(iter(decode(block, words).items()))
    low, high = PLAUSIBLE[metric]
    return isinstance(value, int | float) and low <= value <= high


def value_of(block: Block, words: Sequence[int]) -> Value:
    """The value of a block of one point."""
    return next(iter(decode(block, words).values()))


def voltage_block(profile: Profile, cost: WireCost) -> Block | None:
    """A read that shows whether the voltages of this model are plausible."""
    points = {point.metric: point for point in profile.points if point.function in (3, 4)}
    point = points.get("v1") or points.get("v12")
    return block_of([point], cost) if point is not None else None


def fast_blocks(profile: Profile, cost: WireCost) -> tuple[Block, ...]:
    """The reads of its fast points, as polling would plan them."""
    limits = profile.limits
    return plan(
        profile.points_of("fast"),
        cost,
        max_block=limits.max_block,
        unreadable=limits.unreadable,
        barriers=limits.barriers,
    )


def fit_of(block: Block, words: Sequence[int] | None) -> int:
    """Points of the block with a value, or less by its points when the device refuses it."""
    if words is None:
        return -len(block.points)
    return sum(value is not None for value in decode(block, words).values())


def _clue(profile: Profile) -> tuple[Read, Clue] | None:
    name = f"{profile.brand} {profile.model}"
    probe = profile.probe
    if probe is not None:
        return Read(probe.function, probe.address, probe.registers), Clue(profile.id, name, probe=probe)
    points = {point.metric: point for point in profile.points if point.function in (3, 4)}
    point = next((points[metric] for metric in PLAUSIBLE if metric in points), None)
    block = block_of([point], WireCost.serial(9600)) if point is not None else None
    if block is None:
        return None
    return Read(block.function, block.address, block.count), Clue(profile.id, name, block=block)


def _judge_probe(probe: Probe, words: Sequence[int]) -> Confidence | None:
    value = _probe_value(probe, words)
    if value is None:
        return None
    if probe.equals:
        return "certain" if value in probe.equals else None
    if probe.starts:
        is_same = isinstance(value, str) and value.startswith(probe.starts)
        return "certain" if is_same else None
    if isinstance(value, str):
        return "possible"
    if probe.minimum is None and probe.maximum is None:
        return "possible"
    is_low = probe.minimum is not None and value < float(probe.minimum)
    is_high = probe.maximum is not None and value > float(probe.maximum)
    return None if is_low or is_high else "likely"


def _probe_value(probe: Probe, words: Sequence[int]) -> int | float | str | None:
    if probe.type == "string":
        text = text_of(words, probe.order)
        return text if text and text.isprintable() and text.isascii() else None
    bits = join_words(words[: probe.registers], probe.order)
    if probe.type in _FLOATS:
        return float(struct.unpack(_FLOATS[probe.type], bits.to_bytes(2 * probe.registers, "big"))[0])
    width = _SIGNED.get(probe.type)
    return bits - (1 << width) if width and bits >> (width - 1) else bits
