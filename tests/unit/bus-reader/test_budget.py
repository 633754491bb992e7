"""The line budget against the line's own schedule, run in virtual time over a wire that takes what the bytes take."""

import pytest

from ccm_bus_reader.budget import Budget, budget_of
from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.device import Device
from ccm_bus_reader.plan import Block, WireCost, wire_time
from ccm_bus_reader.schedule import Schedule
from ccm_contracts.config.field import Device as DeviceConfig

COST = WireCost.serial(9600, turnaround_s=0.005)
RUN_S = 1800.0


def sdm630(number: int, poll_s: float) -> Device:
    config = DeviceConfig(id=f"u-{number}", port="a", model="eastron/sdm630", unit=number, poll_s=poll_s)
    return Device(config, load_catalog().find("eastron/sdm630"), COST)


def time_of(device: Device, block: Block) -> float:
    return wire_time(block, device.cost)


def budget(devices: list[Device]) -> Budget:
    return budget_of(devices, time_of)


def played(devices: list[Device]) -> tuple[float, dict[str, float]]:
    """The share of the wire and the mean interval of each device, once the first rounds are over."""
    schedule, by_id = Schedule(), {device.id: device for device in devices}
    for device in devices:
        schedule.add(device.id, device.config.poll_s, 0.0)
    now = busy_s = 0.0
    begun: dict[str, list[float]] = {device.id: [] for device in devices}
    while now < 2 * RUN_S:
        round_ = schedule.take(now)
        if round_ is None:
            now = schedule.next_at() or now
            continue
        if now > RUN_S:
            begun[round_.device].append(now)
        device = by_id[round_.device]
        took_s = sum(time_of(device, block) for block in device.blocks(round_.polls))
        schedule.done(round_, now)
        busy_s += took_s if now > RUN_S else 0.0
        now += took_s
    return busy_s / RUN_S, {name: (at[-1] - at[0]) / (len(at) - 1) for name, at in begun.items()}


@pytest.mark.parametrize(
    "polls",
    [
        [1.0],
        [1.0] * 4,
        [0.1] * 32,
        [1.0] * 32,
        [60.0] * 32,
        [0.5, 1, 2, 5, 10, 30, 60] * 3,
        [1.0] * 10 + [60.0] * 10,
    ],
    ids=lambda polls: f"{len(polls)} devices",
)
def test_the_budget_says_what_the_schedule_does(polls: list[float]) -> None:
    """Within 10 %: what is promised to the installer."""
    devices = [sdm630(number, poll_s) for number, poll_s in enumerate(polls, 1)]
    predicted = budget(devices)
    share, intervals = played(devices)
    assert predicted.utilisation == pytest.approx(share, rel=0.05)
    for one in predicted.shares:
        assert one.reachable_s == pytest.approx(intervals[one.device], rel=0.10), one


def test_a_line_with_room_keeps_every_interval() -> None:
    one = budget([sdm630(number, 10) for number in range(1, 5)])
    assert one.missed == ()
    assert one.wanted == one.utilisation < 1


def test_a_full_line_names_the_intervals_that_it_cannot_keep_and_only_those() -> None:
    one = budget([sdm630(1, 600), *(sdm630(number, 0.1) for number in range(2, 33))])
    assert one.wanted > 1
    assert one.utilisation == pytest.approx(1.0)
    assert {share.device for share in one.missed} == {f"u-{number}" for number in range(2, 33)}


def test_wire_time_is_that_of_the_standard() -> None:
    """Modbus over Serial Line V1.02: 8 characters of request, 5 + 2 N of reply, 3.5 of silence, 10 bits each."""
    device = sdm630(1, 1)
    blocks = device.blocks(frozenset({"fast"}))
    characters = sum(8 + 5 + 2 * block.count + 3.5 for block in blocks)
    assert budget([device]).cycle_s == pytest.approx(characters * 10 / 9600 + 0.005 * len(blocks))


def test_a_host_that_takes_four_requests_at_once_has_four_times_the_room() -> None:
    devices = [sdm630(number, 0.5) for number in range(1, 9)]
    one, four = budget_of(devices, time_of), budget_of(devices, time_of, lanes=4)
    assert four.wanted == pytest.approx(one.wanted / 4)
    assert (len(one.missed), len(four.missed)) == (8, 0)
    assert four.shares[0].fast_s == one.shares[0].fast_s


def test_no_devices_take_no_time() -> None:
    assert budget([]) == Budget(wanted=0, utilisation=0, cycle_s=0, shares=())


def test_a_device_that_rests_has_a_longer_interval_and_does_not_fill_the_line() -> None:
    """Ingeteam's maker advises a second between requests (ACL2010IMB05): two fast reads a round take two seconds."""
    profile = load_catalog().find("eastron/sdm630")
    timing = profile.timing.model_copy(update={"rest_ms": 1000.0})
    config = DeviceConfig(id="shy", port="a", model="eastron/sdm630", unit=1, poll_s=1.0, slow_s=60.0)
    device = Device(config, profile.model_copy(update={"timing": timing}), COST)
    wire_s = sum(time_of(device, block) for block in device.blocks(frozenset({"fast"})))
    reads = len(device.blocks(frozenset({"fast"})))
    found = budget([device])
    assert found.shares[0].reachable_s == pytest.approx(reads * 1.0 + wire_s, rel=0.05)
    assert not found.shares[0].is_kept
    assert found.utilisation == pytest.approx(wire_s / (reads * 1.0 + wire_s), rel=0.05)
