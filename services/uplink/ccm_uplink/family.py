"""What the lanes of one family of consumers have in common: their sink, their settings, and what they finished."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from ccm_contracts.channels import Channel
from ccm_kit.bus import Bus, Delivery
from ccm_uplink.batch import Key
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
    is_ahead: bool = False
    """After a full batch the next one is fetched while the sink has it: two are in hand."""
    prepare: Callable[[Delivery], None] | None = None
    """What can be done for the sink then, and leaves its result in `Delivery.form`."""


@dataclass(slots=True)
class Shared:
    """What the lanes of one family have in common."""

    bus: Bus
    family: str
    channels: tuple[Channel[Any], ...]
    report: LinkReport
    fetch: Fetch
    sink: Sink
    latency_s: int = 0
    is_live_first: bool = False
    rate: Rate = field(default_factory=Rate)
    has_ledger: bool = False
    """Its messages are readings, which have numbers (and balances, which have none)."""
    finished: OrderedDict[Key, None] = field(default_factory=OrderedDict)

    def remember(self, keys: Iterable[Key]) -> None:
        self.finished.update(dict.fromkeys(keys))
        for _ in range(len(self.finished) - REMEMBERED):
            self.finished.popitem(last=False)
