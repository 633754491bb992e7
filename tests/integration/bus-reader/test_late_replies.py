"""No value is older than its own request: a device that numbers its answers, on a line that delays and spoils them.

Every register of the device holds how many requests it has carried out, itself included. So an answer is the right one
exactly when its number is above the count at the moment the request was sent.
"""

from itertools import pairwise
from pathlib import Path

import pytest

from ccm_bus_reader.device import Device
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.profile import Limits, Point, Profile
from ccm_bus_reader.transport import SerialPort
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.messages import Value
from ccm_sim import Site
from ccm_sim.instrument import Device as SimulatedDevice
from ccm_sim.modbus import ModbusError
from tests.support.lines import running, spec_of
from tests.support.wait import until

UNIT = 2


class Numbering(SimulatedDevice):
    """Answers every read of its registers with the number of the request."""

    executed = 0
    longest = 125
    """Longer reads are refused."""

    def read(self, function: int, address: int, count: int) -> list[int]:
        self.executed += 1
        if address + count > self.longest:
            raise ModbusError(2)
        return [self.executed & 0xFFFF] * count


def profile_of(*addresses: int, max_block: int = 125) -> Profile:
    metrics = ("v1", "v2", "v3", "i1", "i2", "i3")
    points = tuple(
        Point(metric=metric, function=3, address=address, type="u16")
        for metric, address in zip(metrics, addresses, strict=False)
    )
    return Profile(
        id="test/numbering",
        type="meter",
        brand="Test",
        device_class="Meter",
        series="Numbering",
        model="Numbering",
        protocols=("modbus-rtu",),
        source="made for this test",
        points=points,
        limits=Limits(max_block=max_block),
    )


def watch(poller: Poller, device: Numbering) -> list[str]:
    """Fills with every answer that is older than the request it was taken for."""
    wrong: list[str] = []
    executed_at_request = 0

    def tap(direction: str, _at: float, frame: bytes, kind: str) -> None:
        nonlocal executed_at_request
        if direction == "tx":
            executed_at_request = device.executed
        elif kind == "answer":
            number = int.from_bytes(frame[3:5], "big")
            if number <= executed_at_request:
                wrong.append(f"{number}, asked for after {executed_at_request}")

    poller.line.tap = tap
    return wrong


def numbers(values: dict[str, Value]) -> list[float]:
    return [value for value in values.values() if isinstance(value, int | float)]


ONE_BLOCK = profile_of(0, 1, 2, 10, 11, 12)
ONE_POINT = profile_of(4)
ALIKE = profile_of(0, 20, 40, 60, max_block=1)
"""Reads that differ in nothing but the address; and reads on behind a point are refused by the profile."""

SOON = {"late_s": 0.35, "late_probability": 0.2}
LATER = {"late_s": 1.4, "late_probability": 0.15}
LONG_AFTER = {"late_s": 4.0, "late_probability": 0.1}
MIXED = {"late_s": 1.4, "late_probability": 0.05, "corrupt": 0.1, "drop": 0.05, "wrong_unit": 0.05}


@pytest.mark.parametrize(
    ("profile", "faults", "wanted"),
    [
        (ONE_BLOCK, LATER, 40),
        (ONE_BLOCK, LONG_AFTER, 40),
        (ONE_BLOCK, MIXED, 25),
        (ONE_POINT, SOON, 30),
        (ONE_POINT, LATER, 40),
        (ALIKE, LATER, 12),
    ],
    ids=["block-later", "block-long-after", "block-mixed", "point-soon", "point-later", "alike-later"],
)
async def test_no_answer_is_older_than_its_request(
    tmp_path: Path, profile: Profile, faults: dict[str, float], wanted: int
) -> None:
    # Slow to answer: a late reply has every chance to come while the next request waits for its own.
    site = Site(spec_of(a={"kind": "ccm4", "unit": UNIT, "turnaround_ms": 70}), tmp_path)
    simulated = site.devices["a"] = Numbering(site.devices["a"].spec)
    async with site, running(SerialPort(str(site.line_path("x")))) as (poller, noted):
        wrong = watch(poller, simulated)
        add(poller, profile)
        await until(lambda: noted.count("a") >= 3, deadline_s=8, what="healthy readings")
        healthy = noted.count("a")
        site.set_faults("a", **faults)
        await until(lambda: noted.count("a") >= healthy + wanted, deadline_s=60, what="readings")
        site.set_faults("a", late_s=0.0, late_probability=1.0, corrupt=0.0, drop=0.0, wrong_unit=0.0)
    assert wrong == []
    assert poller.line.counters[UNIT].timeouts > 0
    # Each reading's numbers are above those of the reading before it.
    readings = [numbers(values) for _, values in noted.readings["a"]]
    assert all(max(before) < min(after) for before, after in pairwise(readings))


async def test_device_that_refuses_longer_reads_is_not_asked_for_them_twice(tmp_path: Path) -> None:
    site = Site(spec_of(a={"kind": "ccm4", "unit": UNIT}), tmp_path)
    simulated = site.devices["a"] = Numbering(site.devices["a"].spec)
    simulated.longest = 5
    async with site, running(SerialPort(str(site.line_path("x")))) as (poller, noted):
        sent: list[bytes] = []
        add(poller, ONE_POINT)
        await until(lambda: noted.count("a") >= 3, deadline_s=8, what="healthy readings")
        poller.line.tap = lambda direction, _at, data, _kind: sent.append(data) if direction == "tx" else None
        site.set_faults("a", drop=1.0)
        await until(lambda: poller.line.counters[UNIT].timeouts, deadline_s=8, what="a lost reply")
        site.set_faults("a", drop=0.0)
        before = noted.count("a")
        await until(lambda: noted.count("a") >= before + 3, deadline_s=25, what="readings")
        assert noted.states["a"].online
    assert sum(data[5] > 1 for data in sent) <= 2


def add(poller: Poller, profile: Profile) -> None:
    config = DeviceConfig(id="a", port="x", model=profile.id, unit=UNIT, poll_s=0.1)
    poller.add(Device(config, profile, poller.cost))
