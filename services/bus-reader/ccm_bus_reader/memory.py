"""A device's counters between its process and the state that is kept of them. Moments are monotonic, states are UTC."""

from collections.abc import Callable
from datetime import datetime

from ccm_bus_reader.counters import Counter
from ccm_bus_reader.device import Device, Memory
from ccm_contracts.state import CountersState, CounterState
from ccm_kit.clock import Clock


def counters_state(device: Device, moment: Callable[[float], datetime]) -> CountersState:
    """What is to be kept; `moment` gives the UTC time of a monotonic one."""
    memory = device.memory
    newest = max(counter.at for counter in memory.counters.values())
    return CountersState(
        device=device.id,
        ts=moment(newest),
        serial=memory.serial,
        counters={
            metric: CounterState(raw=counter.raw, highest=counter.highest, total=counter.total)
            for metric, counter in memory.counters.items()
        },
    )


def memory_of(state: CountersState | None, clock: Clock) -> Memory | None:
    """What was kept; a clock that was set back since then makes it no newer than now."""
    if state is None:
        return None
    age_s = max(0.0, (clock.now() - state.ts).total_seconds())
    at = clock.monotonic() - age_s
    counters = {
        metric: Counter(raw=kept.raw, total=kept.total, at=at, highest=kept.highest)
        for metric, kept in state.counters.items()
    }
    return Memory(counters, state.serial)
