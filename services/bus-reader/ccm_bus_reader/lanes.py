"""Several transactions in flight on one Modbus TCP connection: each lane waits for its own, known by its number.

A lane is a `Transport` that receives whole frames only, so that a `Line` over it works as over a connection of its own.
A frame that no lane waits for, late or not, goes to the first one, whose line counts it as foreign.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Final

from ccm_bus_reader.device import Device as Read
from ccm_bus_reader.drivers.mbap import tcp_frame
from ccm_bus_reader.transport import Transport
from ccm_contracts.config.field import Device
from ccm_kit.clock import Clock

NUMBER: Final = slice(0, 2)
"""Where a Modbus TCP frame holds its transaction's number."""


def lanes_for(devices: Collection[Device], *, is_modbus_tcp: bool) -> int:
    """What every device of the host can bear; more lanes than devices would have nothing to do."""
    if not devices or not is_modbus_tcp:
        return 1
    return min(len(devices), *(device.max_in_flight for device in devices))


def at_unit_of(device: Read, devices: Mapping[str, Read], lanes: int = 2) -> set[str]:
    """The device, and those that must not be asked at the same time, for they are at the same unit."""
    if lanes == 1:
        return {device.id}
    return {each.id for each in devices.values() if each.config.unit == device.config.unit}


class Lane(Transport):
    """One transaction at a time over a connection that others use as well."""

    def __init__(self, lanes: "Lanes", shared: Transport, clock: Clock) -> None:
        super().__init__(shared.endpoint, clock)
        self.lost = shared.lost
        self._lanes = lanes
        self._shared = shared

    def write(self, data: bytes, char_s: float) -> None:
        self._lanes.expect(data[NUMBER], self)
        self._shared.write(data, char_s)
        self.tx_end = self._shared.tx_end

    async def reopened(self) -> bool:
        """Its owner alone connects again, when all lanes have ended."""
        return False

    async def close(self, reason: str = "was closed") -> None:
        """Of the whole connection."""
        await self._shared.close(reason)


class Lanes:
    """Gives each reply to the lane that waits for it."""

    def __init__(self, shared: Transport, count: int, clock: Clock) -> None:
        self._shared = shared
        self._awaited: dict[bytes, Lane] = {}
        """By number; one a lane at most."""
        self._rest = bytearray()
        self.each = [Lane(self, shared, clock) for _ in range(count)]

    async def run(self, serve: Callable[[Lane], Coroutine[None, None, None]], name: str) -> None:
        """Serve each until all have ended; then the connection's owner receives again. Nothing may be in flight."""
        self._shared.route = self._received
        try:
            async with asyncio.TaskGroup() as group:
                for number, lane in enumerate(self.each, 1):
                    group.create_task(serve(lane), name=f"{name}.{number}")
        finally:
            self._shared.route = None
            self._shared.received += self._rest

    def expect(self, number: bytes, lane: Lane) -> None:
        """The lane waits for this transaction's reply, and no longer for an earlier one's."""
        self._awaited = {old: other for old, other in self._awaited.items() if other is not lane}
        self._awaited[number] = lane

    def lost(self) -> None:
        """The connection is gone."""
        for lane in self.each:
            lane.note_lost(self._shared.lost or "was closed")

    def _received(self, data: bytes) -> None:
        self._rest += data
        while length := tcp_frame(self._rest):
            frame = bytes(self._rest[:length])
            del self._rest[:length]
            self._awaited.pop(frame[NUMBER], self.each[0]).data_received(frame)
        if length is None:  # no Modbus TCP: who waits finds out, and closes the connection
            for lane in self.each:
                lane.data_received(bytes(self._rest))
            self._rest.clear()
