"""One device of a line: its reads as planned, what it refused, its newest values, whether it is online.

Holds no connection and does not wait: `poller.py` carries its reads out and tells it what came of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ccm_bus_reader.ailments import Ailments
from ccm_bus_reader.decode import apply_direction
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.plan import Block, WireCost, cuts, padded, plan, split, wire_time
from ccm_bus_reader.planned import PlannedRead
from ccm_bus_reader.plausible import Beliefs, Finding, Memory
from ccm_bus_reader.point import Point, Poll
from ccm_bus_reader.profile import Profile
from ccm_bus_reader.refusals import Refusals
from ccm_bus_reader.sunspec.discovery import Discovery
from ccm_bus_reader.timeouts import GAIN, ReplyTimeout
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Value
from ccm_contracts.metrics import ACCUMULATED

OFFLINE_AFTER: Final = 3
"""Transactions in a row without any answer; one lost reply on a healthy line is no outage."""
FRESH_ROUNDS: Final = 2.5
"""Slow values count for so many of their intervals."""
REFUSALS: Final = (1, 2, 3)
"""Illegal function, address or value: the read is wrong for this device, and will be (V1.1b3, section 7)."""
GATEWAY_SILENT: Final = (10, 11)
"""A gateway's words for "no reply from that unit" (V1.1b3, section 7)."""


@dataclass(frozen=True, slots=True)
class _Known:
    value: Value
    at: float


class Device:
    """Not online, not offline at first: `is_online` is None until it answered or stayed silent."""

    def __init__(
        self, config: DeviceConfig, profile: Profile, cost: WireCost, memory: Memory | None = None
    ) -> None:
        """`memory`: where its counters stood before."""
        self.config = config
        self.listed = profile
        """As the catalogue has it."""
        self.profile = profile
        """As it is read: the same, but for a device that is discovered."""
        self.id = config.id
        self.gap_s = max(config.gap_ms, profile.timing.gap_ms) / 1000
        self.rest_s = profile.timing.rest_ms / 1000
        self.rests_until = 0.0
        self.alone_gap_s = max(self.gap_s, self.rest_s)
        """The silence before a request of somebody who does not let others use the line meanwhile."""
        self.timeout = ReplyTimeout(
            profile.timing.timeout_min_ms / 1000, profile.timing.timeout_max_ms / 1000
        )
        self.is_online: bool | None = None
        self.since: datetime | None = None
        """When it last came or went."""
        self.strikes = 0
        self.turnaround_s: float | None = None
        """What its transactions take beyond their bytes, smoothed; None before the first answer."""
        self.cost = cost
        self.discovery: Discovery | None = None
        """What must be found out before anything else is read."""
        self._discoveries = 0
        self.refusals = Refusals()
        self.ailments = Ailments()
        self._can_pad = True
        self._plans: dict[frozenset[Poll], tuple[PlannedRead, ...]] = {}
        self._known: dict[str, _Known] = {}
        self._poll_of: dict[str, Poll] = {}
        self._unknown: dict[str, Value] = {}
        """A reading in which nothing is known."""
        self._lasting: set[str] = set()
        """Metrics whose values go into later readings too."""
        self._counting: set[str] = set()
        """Metrics of counters, and of what tells whose they are."""
        self._serial = memory.serial if memory else None
        self._counters = memory.counters if memory else {}
        """As they stood when it was last known what the device has."""
        self._published = memory.published if memory else None
        self._take_points()
        self._rediscover()

    def asked(self, now: float) -> None:
        """An exchange with it has ended."""
        self.rests_until = now + self.rest_s

    # --- what to read ------------------------------------------------------------------------------------

    def blocks(self, polls: frozenset[Poll]) -> tuple[Block, ...]:
        """What the reads of these classes bring."""
        return tuple(read.block for read in self.reads(polls))

    def reads(self, polls: frozenset[Poll]) -> tuple[PlannedRead, ...]:
        """The reads of these classes; all of the device's where it has no fast points."""
        planned = self._plans.get(polls)
        if planned is None:
            wanted = [
                point
                for point in self.profile.points_of(*sorted(polls))
                if point.metric not in self.refusals.absent
            ]
            known = {read.block: read for reads in self._plans.values() for read in reads}
            blocks = self._plan(wanted)
            planned = tuple(known.get(block) or self._read(block) for block in blocks)
            self._plans[polls] = planned
        return planned

    def _read(self, block: Block) -> PlannedRead:
        return PlannedRead(block, self.config.unit, self.beliefs)

    def _reads_of(self, blocks: Iterable[Block]) -> tuple[PlannedRead, ...]:
        return tuple(map(self._read, blocks))

    def _plan(self, points: Iterable[Point]) -> tuple[Block, ...]:
        limits = self.profile.limits
        return plan(
            points,
            self.cost,
            max_block=limits.max_block,
            unreadable=limits.unreadable,
            barriers=(*limits.barriers, *self.refusals.barriers),
            most_joined=self.cost.most_joined,
        )

    def variants(self, read: PlannedRead) -> Iterator[tuple[PlannedRead, ...]]:
        """The read itself, and others of its points with replies of other lengths."""
        yield (read,)
        yield from map(self._reads_of, cuts(read.block))
        if self._can_pad:
            limits = self.profile.limits
            barriers = (*limits.barriers, *self.refusals.barriers)
            longer = padded(
                read.block, max_block=limits.max_block, unreadable=limits.unreadable, barriers=barriers
            )
            yield from map(self._reads_of, longer)

    def probe(self) -> PlannedRead | None:
        """The cheapest read that shows whether the device answers; of one that refuses all, each point in its turn."""
        if self.refusals.is_all and self.profile.points:
            point = self.profile.points[self.refusals.turn(len(self.profile.points))]
            return next(iter(self._reads_of(self._plan([point]))), None)
        every = self.reads(frozenset({"fast"})) or self.reads(frozenset({"fast", "slow", "once"}))
        return min(every, key=lambda read: wire_time(read.block, self.cost), default=None)

    def check(self) -> None:
        """Raises `ValueError` where a point cannot be read at all."""
        self.blocks(frozenset({"fast", "slow", "once"}))

    @property
    def cycle_s(self) -> float:
        """Wire time of one round of its fast points."""
        return sum(wire_time(block, self.cost) for block in self.blocks(frozenset({"fast"})))

    # --- what it has -----------------------------------------------------------------------------------

    def discovery_request(self) -> Request | None:
        """The next read that tells what the device has; None when all is known."""
        wanted = self.discovery.read if self.discovery is not None else None
        return Request(self.config.unit, 3, wanted.address, wanted.count) if wanted is not None else None

    def discovered(self, words: Sequence[int] | None) -> str:
        """The answer to it, None for a refusal. Returns why the device cannot be read, or ""."""
        if self.discovery is None:
            return ""
        self.discovery.answered(words)
        if self.discovery.profile is not None:
            self.profile, self.discovery = self.discovery.profile, None
            self._counters |= self.beliefs.counters
            self._take_points()
            self._plans.clear()
            return ""
        return self.discovery.problem

    def _take_points(self) -> None:
        points = self.profile.points
        self._poll_of = {point.metric: point.poll for point in points}
        self._poll_of |= {
            ACCUMULATED[metric]: poll for metric, poll in self._poll_of.items() if metric in ACCUMULATED
        }
        self._unknown = dict.fromkeys(self._poll_of)
        self._lasting = {metric for metric, poll in self._poll_of.items() if poll != "fast"}
        self.beliefs = Beliefs(points, self._counters, self._published)
        self._counting = {"serial", *self.beliefs.metered}

    def _rediscover(self) -> None:
        """Its firmware may have moved its models."""
        if self.listed.sunspec is not None:
            self.discovery = Discovery(self.listed, self._discoveries)
            self._discoveries += 1

    # --- what came of it ---------------------------------------------------------------------------------

    def timeout_s(self, *, is_probe: bool = False) -> float:
        """How long to wait for its next reply to begin."""
        return self.timeout.probe_s(self.strikes) if is_probe else self.timeout.timeout_s

    def answered(self, response_s: float, turnaround_s: float) -> None:
        self.strikes = 0
        self.timeout.answered(response_s)
        old_s = turnaround_s if self.turnaround_s is None else self.turnaround_s
        self.turnaround_s = old_s + GAIN * (turnaround_s - old_s)

    def failed(self, was_late_s: float | None) -> None:
        """A transaction got no usable answer; `was_late_s`: it came so long after the request."""
        if was_late_s is None:
            self.timeout.missed()
        else:
            self.timeout.answered(was_late_s)
        self.strikes += 1

    @property
    def is_given_up(self) -> bool:
        """Whether its failures are enough to leave it alone for a while."""
        return self.strikes >= OFFLINE_AFTER or self.is_online is not True

    def keep(self, values: Mapping[str, Value], at: float) -> None:
        """Those of slow and once points go into later readings too."""
        for metric in self._lasting.intersection(values):
            self._known[metric] = _Known(values[metric], at)

    def count(self, values: Mapping[str, Value], at: float) -> tuple[dict[str, Value], list[Finding]]:
        """The accumulated counters of a round's values, and what its counters did; `at` is the round's last byte."""
        if self._counting.isdisjoint(values):
            return {}, []
        serial, before = values.get("serial"), self._serial
        is_other = isinstance(serial, str) and before is not None and serial != before
        if isinstance(serial, str):
            self._serial = serial
        totals, findings = self.beliefs.counted(values, at, is_other_meter=is_other)
        if totals:
            self.keep(totals, at)
        return totals, findings

    @property
    def memory(self) -> Memory:
        """Where its counters stand."""
        return Memory(dict(self.beliefs.counters), self._serial)

    def refused(self, read: PlannedRead, now: float) -> tuple[tuple[PlannedRead, ...], list[str]]:
        """What to read instead of a block that the device refuses, and the metrics that it newly does not have.

        Both are remembered for later plans, until it is time to `ask_again`.
        """
        halves = split(read.block)
        self._plans.clear()
        if len(halves) > 1:
            return self._reads_of(halves), self.refusals.add(now, barrier=halves[1].address)
        self.ailments.well(read.metrics)
        return (), self.refusals.add(now, absent=read.metrics)

    def unable(self, read: PlannedRead, code: int, now: float) -> None:
        """It answers an exception of the moment (busy, failed): what is read only once is asked for again, too."""
        self.ailments.unable(read.metrics, code)
        if any(point.poll == "once" for point in read.block.points):
            self.refusals.add(now)

    def ask_again(self, now: float) -> bool:
        """Whether it is time to ask for something that it refused; then all is to be read."""
        is_time = self.refusals.ask_again(now)
        if is_time:
            self._plans.clear()
        return is_time

    def doubtful(self, read: PlannedRead, *, is_doubtful: bool) -> None:
        """A read failed; an exception that may be to another request is to this one where it is longer than planned."""
        if is_doubtful and read.block.is_padded:
            self._can_pad = False

    @property
    def has_points(self) -> bool:
        """Whether anything is left to read."""
        return any(point.metric not in self.refusals.absent for point in self.profile.points)

    def forget_refusals(self) -> None:
        """The device was away: it may be another one now, so what it refused and what it said of itself is void."""
        self.refusals.forget()
        self.ailments.forget()
        self._can_pad = True
        self._plans.clear()
        self._known.clear()
        self._rediscover()

    def merged(self, fresh: dict[str, Value], now: float, slow_s: float) -> dict[str, Value]:
        """A reading's values: those of this round, and the newest slow and once ones; None where unknown."""
        values = self._unknown | fresh
        fresh_s = FRESH_ROUNDS * slow_s
        for metric, known in self._known.items():
            if metric not in fresh and (now - known.at <= fresh_s or self._poll_of.get(metric) == "once"):
                values[metric] = known.value
        return apply_direction(values, self.config.direction)

    def text(self, metric: str) -> str | None:
        """A text that it told once: `serial`, `firmware`."""
        known = self._known.get(metric)
        return str(known.value) if known is not None and known.value is not None else None
