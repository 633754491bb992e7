"""The gateway's own registers, from what is on the bus; its outputs can be written where that is allowed."""

import asyncio
from typing import Final

from ccm_bus_reader.server.client import Answer
from ccm_bus_reader.server.frames import (
    BIT_READS,
    DEVICE_FAILURE,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    Asked,
)
from ccm_bus_reader.server.image import FLOWS, OUTPUTS, OUTPUTS_AT, Picture, Shown, registers
from ccm_contracts.channels import OUTPUT_STATE, PLANT, TELEMETRY
from ccm_contracts.config.document import Document
from ccm_contracts.messages import Balance, Reading
from ccm_contracts.verb_table import SET_OUTPUT
from ccm_contracts.verbs.io import OutputId, SetOutput
from ccm_kit.bus import Bus
from ccm_kit.errors import CcmError

STALE_ROUNDS: Final = 3
STALE_S: Final = 10.0
"""A reading is old after three of its device's intervals, but not before 10 s; a balance after 10 s."""
RELAYS: Final[tuple[OutputId, ...]] = ("relay-1", "relay-2")


class Own:
    """A `Target`; `run` keeps it up to date."""

    def __init__(self, bus: Bus, *, writes: bool) -> None:
        self._bus = bus
        self._writes = writes
        self._document = Document()
        self._readings: dict[str, Reading] = {}
        self._balances: dict[str, Balance] = {}
        self._outputs: dict[str, float] = {}

    def use(self, document: Document) -> None:
        """Its devices and plants, in their order."""
        self._document = document

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            for follow in (self._follow_readings, self._follow_balances, self._follow_outputs):
                tasks.create_task(follow(), name=f"bus-reader.server.{follow.__name__}")

    async def _follow_readings(self) -> None:
        async for seen in self._bus.follow(TELEMETRY):
            if seen.message is not None:
                self._readings[seen.message.device] = seen.message

    async def _follow_balances(self) -> None:
        async for seen in self._bus.follow(PLANT):
            if seen.message is not None:
                self._balances[seen.message.plant] = seen.message

    async def _follow_outputs(self) -> None:
        async for seen in self._bus.follow(OUTPUT_STATE):
            if seen.message is not None:
                self._outputs[seen.message.output] = seen.message.value

    # --- a target ----------------------------------------------------------------------------------------

    def at_once(self, asked: Asked) -> Answer | None:
        if asked.function in BIT_READS:
            return self._coils(asked)
        if asked.is_read:
            found = registers(self._picture(), asked.address, asked.count)
            return ILLEGAL_ADDRESS if found is None else found
        return None if self._writes else ILLEGAL_FUNCTION

    def _coils(self, asked: Asked) -> Answer:
        if asked.address + asked.count > len(RELAYS):
            return ILLEGAL_ADDRESS
        states = [self._outputs.get(relay) for relay in RELAYS[asked.address : asked.address + asked.count]]
        if any(state is None for state in states):
            return DEVICE_FAILURE
        return tuple(int(bool(state)) for state in states)

    async def later(self, asked: Asked, client: str) -> Answer:
        """A write of outputs, one after the other; the first that fails ends it."""
        is_coil = asked.function in (5, 15)
        names: tuple[OutputId, ...] = RELAYS if is_coil else OUTPUTS
        first = asked.address - (0 if is_coil else OUTPUTS_AT)
        if first < 0 or first + asked.count > len(names):
            return ILLEGAL_ADDRESS
        for name, word in zip(names[first:], asked.words, strict=False):
            value = word / 1000 if name == "analog-1" else word
            if value > (10 if name == "analog-1" else 1):
                return ILLEGAL_VALUE
            try:
                await self._bus.call(
                    SET_OUTPUT, SetOutput(output=name, value=value), issued_by=f"modbus:{client}"
                )
            except CcmError:
                return DEVICE_FAILURE
        return ()

    # --- the picture -------------------------------------------------------------------------------------

    def _picture(self) -> Picture:
        document = self._document
        first = document.modbus_server.devices
        known = {device.id: device.poll_s for device in document.devices}
        order = [name for name in first if name in known] + [name for name in known if name not in first]
        return Picture(
            serial=self._bus.gateway,
            unix_s=int(self._bus.clock.now().timestamp()),
            outputs=dict(self._outputs),
            plants=[self._plant(plant.id) for plant in document.plants],
            devices=[self._device(name, known[name]) for name in order],
        )

    def _device(self, name: str, poll_s: float) -> Shown:
        reading = self._readings.get(name)
        if reading is None:
            return Shown(name)
        age_s = self._age_s(reading)
        is_old = age_s > max(STALE_S, STALE_ROUNDS * poll_s)
        return Shown(name, reading.values, age_s, "stale" if is_old else reading.quality)

    def _plant(self, name: str) -> Shown:
        balance = self._balances.get(name)
        if balance is None:
            return Shown(name)
        age_s = self._age_s(balance)
        values = {flow: getattr(balance, flow) for flow in FLOWS}
        return Shown(name, values, age_s, "stale" if age_s > STALE_S else balance.quality)

    def _age_s(self, message: Reading | Balance) -> float:
        return max(0.0, (self._bus.clock.now() - message.ts).total_seconds())
