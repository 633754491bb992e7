"""What is known of a device, between its process and the bus. Moments are monotonic, what is on the bus is UTC."""

from collections.abc import Callable
from datetime import datetime

from ccm_bus_reader.counters import Counter
from ccm_bus_reader.decode import apply_direction
from ccm_bus_reader.device import Device
from ccm_bus_reader.plausible import Memory, Published
from ccm_bus_reader.refusals import Lacks
from ccm_bus_reader.reports import Kept
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.state import CountersState, CounterState
from ccm_contracts.types import Direction
from ccm_kit.clock import Clock


def counters_state(device: Device, moment: Callable[[float], datetime]) -> CountersState:
    """What is to be kept; `moment` gives the UTC time of a monotonic one."""
    memory = device.memory
    newest = max(counter.at for counter in memory.counters.values())
    return CountersState(
        device=device.id,
        ts=moment(newest),
        serial=memory.serial,
        direction=device.config.direction,
        counters={
            metric: CounterState(raw=counter.raw, highest=counter.highest, total=counter.total)
            for metric, counter in memory.counters.items()
        },
    )


def lacks_of(kept: Kept, config: DeviceConfig) -> Lacks:
    """What it refused when it was last seen, if it is the same device in the same place."""
    state = kept.device
    here = (config.model, config.line, config.unit)
    if state is None or not state.online or (state.model, state.line, state.unit) != here:
        return Lacks(frozenset(), frozenset())
    return Lacks(frozenset(state.refused), frozenset(state.splits))


def memory_of(kept: Kept, direction: Direction, clock: Clock) -> Memory | None:
    """What was kept; a clock that was set back since then makes it no newer than now."""
    state = kept.state
    if state is None:
        return None
    at = _monotonic(state.ts, clock)
    counters = {
        metric: Counter(raw=each.raw, total=each.total, at=at, highest=each.highest)
        for metric, each in state.counters.items()
    }
    return Memory(counters, state.serial, _published(kept, direction, clock))


def _published(kept: Kept, direction: Direction, clock: Clock) -> Published | None:
    """The reading, where it is newer than the state and of a device that was mounted as it is now."""
    state, reading = kept.state, kept.reading
    if state is None or reading is None or reading.ts <= state.ts or state.direction != direction:
        return None
    # turned twice is not turned: these are the meter's own counters again
    return Published(apply_direction(dict(reading.values), direction), _monotonic(reading.ts, clock))


def _monotonic(ts: datetime, clock: Clock) -> float:
    return clock.monotonic() - max(0.0, (clock.now() - ts).total_seconds())
