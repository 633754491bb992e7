"""What the lanes of one family of consumers have in common: their sink, their settings, and what they finished."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ccm_contracts.channels import Channel
from ccm_contracts.config.services import Backlog, Batch
from ccm_kit.bus import Bus, Delivery
from ccm_uplink.batch import Key
from ccm_uplink.courtesy import Courtesy
from ccm_uplink.flow import Rate
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Sink

REMEMBERED: Final = 5000
"""Finished messages that are known again, should the bus deliver one twice after a restart."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """A batch is up to `most` messages: what is there, or what comes within `wait_s` and in `gather_s` after it."""

    most: int
    wait_s: float
    gather_s: float = 0.0
    is_to_disk: bool = False
    """Of this machine. After a full batch the next one is fetched while the sink has it: two are in hand. While a
    network takes a backlog, the disk's rests in between.
    """
    prepare: Callable[[Sequence[Delivery]], None] | None = None
    """What can be done for the sink then, and leaves its results in `Delivery.form`."""


class Finished:
    """The keys of the newest finished messages: `REMEMBERED` at least, and twice as many and a batch at most."""

    def __init__(self) -> None:
        self._old: set[Key] = set()
        self._new: set[Key] = set()

    def add(self, keys: Collection[Key]) -> None:
        self._new.update(keys)
        if len(self._new) >= REMEMBERED:
            self._old, self._new = self._new, set()

    def __contains__(self, key: Key) -> bool:
        return key in self._new or key in self._old

    def has_none_of(self, keys: Collection[Key]) -> bool:
        return self._new.isdisjoint(keys) and self._old.isdisjoint(keys)


@dataclass(slots=True)
class Shared:
    """What the lanes of one family have in common."""

    bus: Bus
    family: str
    channels: tuple[Channel[Any], ...]
    report: LinkReport
    fetch: Fetch
    sink: Sink
    courtesy: Courtesy
    latency_s: int = 0
    is_live_first: bool = False
    batch: Batch = field(default_factory=Batch)
    has_limits: bool = False
    """A rate or a day's bytes are given, for a backlog to keep."""
    has_ledger: bool = False
    """Its messages are readings, which have numbers (and balances, which have none)."""
    finished: Finished = field(default_factory=Finished)

    def use(self, sink: Sink, latency_s: int, backlog: Backlog, batch: Batch) -> None:
        """New settings."""
        self.sink, self.latency_s, self.batch = sink, latency_s, batch
        self.is_live_first = backlog.order == "live-first"
        self.has_limits = bool(backlog.rate_limit_kbps or backlog.bytes_per_day)
        self.report.rate = Rate(backlog.rate_limit_kbps)
