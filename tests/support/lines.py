"""A line's owner running against a simulated line, and what it reported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.command import Job
from ccm_bus_reader.device import Device
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.transport import SerialPort, TcpHost
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Severity, Value
from ccm_contracts.state import CountersState, DeviceState, LineState
from ccm_kit.clock import SystemClock
from ccm_kit.errors import UnavailableError
from ccm_sim import SiteSpec, parse_spec
from tests.support.wait import LEAST_S, until

Read = tuple[datetime, dict[str, Value]]


class Noted:
    """What a line reported."""

    def __init__(self) -> None:
        self.readings: dict[str, list[Read]] = {}
        self.states: dict[str, DeviceState] = {}
        self.lines: list[LineState] = []
        self.counter_states: dict[str, CountersState] = {}
        self.events: list[tuple[str, str]] = []

    def reading(self, device: str, ts: datetime, values: dict[str, Value]) -> None:
        self.readings.setdefault(device, []).append((ts, values))

    def device(self, state: DeviceState) -> None:
        self.states[state.device] = state

    def counters(self, state: CountersState) -> None:
        self.counter_states[state.device] = state

    def line(self, state: LineState) -> None:
        self.lines.append(state)

    def event(self, kind: str, severity: Severity, text: str, **data: Any) -> None:
        self.events.append((kind, text))

    def count(self, device: str) -> int:
        return len(self.readings.get(device, []))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    def is_online(self, device: str) -> bool:
        return device in self.states and self.states[device].online


def spec_of(**devices: dict[str, Any]) -> SiteSpec:
    return parse_spec({"lines": {"x": {"devices": devices}}})


@asynccontextmanager
async def running(
    endpoint: SerialPort | TcpHost,
    *configs: DeviceConfig,
    is_modbus_tcp: bool = False,
    noted: Noted | None = None,
) -> AsyncIterator[tuple[Poller, Noted]]:
    noted = noted or Noted()
    poller = Poller("x", endpoint, noted, SystemClock(), is_modbus_tcp=is_modbus_tcp)
    catalog = load_catalog()
    for config in configs:
        poller.add(Device(config, catalog.find(config.model), poller.cost))
    task = asyncio.create_task(poller.run())
    try:
        yield poller, noted
    finally:
        poller.stop()
        await asyncio.wait_for(task, LEAST_S)


async def undisturbed(poller: Poller, noted: Noted, device: str, count: int) -> None:
    """So many readings of the device in a row, between which nothing was missed or spoilt on the line.

    A machine that stands still for a moment may miss a reply; a line that is read wrongly never gets so far.
    """

    def faults() -> tuple[int, ...]:
        counters = poller.line.counters.values()
        return (
            sum(each.timeouts for each in counters),
            sum(each.crc_errors for each in counters),
            noted.kinds().count("device-offline"),
        )

    begun = [(faults(), noted.count(device))]

    def are_there() -> bool:
        if faults() != begun[-1][0]:
            begun.append((faults(), noted.count(device)))
        return noted.count(device) >= begun[-1][1] + count

    await until(are_there, deadline_s=10, what=f"{count} readings of {device} in a row without a fault")


async def commanded(poller: Poller, job: Job) -> float:
    """What the device holds after the command, once it replies: a machine that stands still may miss its reply."""

    async def done() -> tuple[float] | None:
        try:
            return (await poller.command(job),)
        except UnavailableError:
            return None

    held = await until(done, deadline_s=10, what="a reply to the command")
    assert held is not None
    return held[0]


def sdm(device: str, unit: int, poll_s: float = 0.1) -> DeviceConfig:
    return DeviceConfig(id=device, port="x", model="eastron/sdm630", unit=unit, poll_s=poll_s)


def ccm4(device: str, unit: int, poll_s: float = 0.1) -> DeviceConfig:
    return DeviceConfig(id=device, port="x", model="energyccm/ccm4", unit=unit, poll_s=poll_s)


def assert_true(values: dict[str, Value], truth: dict[str, Any]) -> None:
    """Every value that both know is the device's, to the profile's resolution."""
    common = [metric for metric in values if metric in truth and isinstance(values[metric], int | float)]
    assert len(common) > 10
    for metric in common:
        assert values[metric] == pytest.approx(truth[metric], abs=0.051, rel=1e-6), metric
