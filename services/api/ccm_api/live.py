"""What the bus says now: newest readings, balances, states, events, and the configuration in force.

Owns no data: after a restart all of it comes from the bus again.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ccm_api.hub import Hub, Topic
from ccm_contracts.channels import (
    DEVICE_STATE,
    EVENT,
    LED_STATE,
    LINE_STATE,
    LINK_STATE,
    MODBUS_STATE,
    MODE_STATE,
    OUTPUT_STATE,
    PLANT,
    SCAN_STATE,
    SERVICE_STATE,
    TELEMETRY,
    Channel,
)
from ccm_contracts.messages import Balance, Event, Reading
from ccm_contracts.scan_state import ScanState
from ccm_contracts.state import (
    DeviceState,
    LedState,
    LineState,
    LinkState,
    ModbusServerState,
    ModeState,
    OutputState,
    ServiceState,
)
from ccm_kit.bus import Bus
from ccm_kit.config_watch import Snapshot, snapshots
from ccm_kit.secrets import SecretBox

EVENTS_KEPT: Final = 500
"""Newest events in memory; older ones are in the stream and leave by the uplinks."""
THINGS_KEPT: Final = 2000
"""Subjects of one channel in memory; beyond it the one that was silent for longest is forgotten."""
APPLIED_S: Final = 2.0
"""Longest wait for a written section to come back."""

Kept = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """An event and its sequence in the stream."""

    seq: int
    event: Event


@dataclass(slots=True)
class Live:
    """`run` keeps the rest up to date; everything else only reads."""

    hub: Hub
    readings: dict[str, Reading] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)
    devices: dict[str, DeviceState] = field(default_factory=dict)
    lines: dict[str, LineState] = field(default_factory=dict)
    modes: dict[str, ModeState] = field(default_factory=dict)
    scans: dict[str, ScanState] = field(default_factory=dict)
    outputs: dict[str, OutputState] = field(default_factory=dict)
    leds: dict[str, LedState] = field(default_factory=dict)
    links: dict[str, LinkState] = field(default_factory=dict)
    modbus: dict[str, ModbusServerState] = field(default_factory=dict)
    services: dict[str, ServiceState] = field(default_factory=dict)
    events: deque[Logged] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    config: Snapshot | None = None
    _applied: asyncio.Condition = field(default_factory=asyncio.Condition)

    def _kept(self) -> tuple[tuple[Channel[Any], Kept], ...]:
        """Where the newest message of each channel is kept."""
        return (
            (TELEMETRY, self.readings),
            (PLANT, self.balances),
            (DEVICE_STATE, self.devices),
            (LINE_STATE, self.lines),
            (MODE_STATE, self.modes),
            (SCAN_STATE, self.scans),
            (OUTPUT_STATE, self.outputs),
            (LED_STATE, self.leds),
            (LINK_STATE, self.links),
            (MODBUS_STATE, self.modbus),
            (SERVICE_STATE, self.services),
        )

    async def run(self, bus: Bus, box: SecretBox, revisions: dict[str, int]) -> None:
        """Follow everything, for ever; `revisions` is told which configuration is in force."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_config(bus, box, revisions), name="api.config")
            tasks.create_task(self._follow_events(bus), name="api.event")
            for channel, kept in self._kept():
                tasks.create_task(self._follow(bus, channel, kept), name=f"api.{channel.name}")

    async def applied(self, section: str, revision: int) -> None:
        """Returns when that revision is in force here, or after `APPLIED_S`."""

        def is_in_force() -> bool:
            return self.config is not None and self.config.revisions.get(section, 0) >= revision

        try:
            async with asyncio.timeout(APPLIED_S), self._applied:
                await self._applied.wait_for(is_in_force)
        except TimeoutError:
            return

    def told(self, state: ScanState | ModeState) -> None:
        """What bus-reader has answered to a command: it may be here before it is seen on the bus."""
        if isinstance(state, ScanState):
            known = self.scans.get(state.line)
            if known is None or known.ts < state.ts:
                self.scans[state.line] = state
        else:
            for name, mode in self.modes.items():
                if mode.since < state.since:
                    self.modes[name] = state

    def newest(self, topics: frozenset[Topic]) -> Iterator[tuple[Topic, bytes]]:
        """The newest message of each thing, as the stream sends it; events are never "newest"."""
        for channel, kept in self._kept():
            if _topic_of(channel) in topics:
                for key, message in kept.items():
                    yield _topic_of(channel), _encoded(channel, key, message)

    async def _follow(self, bus: Bus, channel: Channel[Any], kept: Kept) -> None:
        is_live = False
        async for seen in bus.follow(channel):
            if seen.caught_up:
                is_live = True
                continue
            key = seen.ids.get("id") or seen.ids.get("device") or seen.ids["plant"]
            kept.pop(key, None)
            if seen.message is not None:
                kept[key] = seen.message
            if len(kept) > THINGS_KEPT:
                del kept[next(iter(kept))]
            if is_live:
                self.hub.put(_topic_of(channel), _encoded(channel, key, seen.message))

    async def _follow_events(self, bus: Bus) -> None:
        first: list[Logged] = []
        is_live = False
        async for seen in bus.follow(EVENT):
            if seen.caught_up:
                is_live = True
                self.events.extend(sorted(first, key=lambda logged: logged.seq))
                first.clear()
            elif seen.message is not None and is_live:
                self.events.append(Logged(seen.revision, seen.message))
                self.hub.put("event", EVENT.adapter.dump_json(seen.message))
            elif seen.message is not None:
                first.append(Logged(seen.revision, seen.message))

    async def _follow_config(self, bus: Bus, box: SecretBox, revisions: dict[str, int]) -> None:
        async for snapshot in snapshots(bus, box):
            async with self._applied:
                self.config = snapshot
                revisions.update(snapshot.revisions)
                self._applied.notify_all()
            self.hub.look()


def _topic_of(channel: Channel[Any]) -> Topic:
    if channel is TELEMETRY:
        return "telemetry"
    return "plant" if channel is PLANT else "state"


def _encoded(channel: Channel[Any], key: str, message: Any) -> bytes:
    """The bus message; a state also says its `kind` and `id`, and is `deleted` when it is no more."""
    if "kind" not in channel.fixed:
        return channel.adapter.dump_json(message) if message is not None else b"null"
    name = {"kind": channel.fixed["kind"], "id": key}
    rest = {"deleted": True} if message is None else channel.adapter.dump_python(message, mode="json")
    return json.dumps(name | rest, separators=(",", ":")).encode()
