"""What a device refuses is left out, and asked for again: an inverter that starts refuses what it has."""

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.device import Device
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.point import Poll
from ccm_bus_reader.refusals import ASK_AGAIN_FIRST_S, ASK_AGAIN_SLOWEST_S, Refusals
from ccm_bus_reader.schedule import Schedule
from ccm_contracts.config.field import Device as DeviceConfig

FAST: frozenset[Poll] = frozenset({"fast"})
FIRST_MINUTES = [1, 2, 4, 8, 16, 32, 60, 60]
"""README of bus-reader, "How it fails"."""


def meter() -> Device:
    config = DeviceConfig(id="m", port="x", model="energyccm/ccm4", unit=1)
    return Device(config, load_catalog().find(config.model), WireCost.serial(9600))


def refuse_all(device: Device, now: float) -> list[str]:
    """It answers exception 2 to each read of its fast points; the metrics that are told."""
    told: list[str] = []
    waiting = list(device.reads(FAST))
    while waiting:
        instead, absent = device.refused(waiting.pop(0), now)
        waiting += instead
        told += absent
    return told


def test_what_was_refused_is_asked_for_again_after_a_minute() -> None:
    device = meter()
    planned = device.blocks(FAST)
    assert {"v1", "p"} <= set(refuse_all(device, 100.0))
    assert device.blocks(FAST) == ()
    assert not device.ask_again(100.0 + ASK_AGAIN_FIRST_S - 0.1)
    assert device.ask_again(100.0 + ASK_AGAIN_FIRST_S)
    assert device.blocks(FAST) == planned


def test_what_is_refused_again_and_again_is_asked_for_each_hour_and_told_once() -> None:
    device, now = meter(), 0.0
    assert refuse_all(device, now)
    for minutes in FIRST_MINUTES:
        assert not device.ask_again(now + 60 * minutes - 1)
        now += 60 * minutes
        assert device.ask_again(now)
        assert refuse_all(device, now) == []


def test_who_gave_all_when_asked_again_begins_anew() -> None:
    device = meter()
    refuse_all(device, 0.0)
    device.ask_again(60.0)
    refuse_all(device, 60.0)
    assert device.ask_again(180.0)
    later = 180.0 + ASK_AGAIN_SLOWEST_S
    assert refuse_all(device, later) != []
    assert device.ask_again(later + ASK_AGAIN_FIRST_S)


def test_what_is_refused_for_ever_does_not_delay_what_is_refused_for_a_moment() -> None:
    """A block that a meter never gives whole is asked for each hour at last: its voltage, refused once, is not."""
    refusals, now = Refusals(), 0.0
    refusals.add(now, barrier=224)
    for minutes in FIRST_MINUTES:
        now += 60 * minutes
        assert refusals.ask_again(now)
        refusals.add(now, barrier=224)
    refusals.add(now + 600, absent=["v1"])
    assert not refusals.ask_again(now + 600 + ASK_AGAIN_FIRST_S - 1)
    assert refusals.ask_again(now + 600 + ASK_AGAIN_FIRST_S)
    assert (refusals.absent, refusals.barriers) == (set(), {224})


def test_who_refuses_nothing_is_not_asked_again() -> None:
    assert not meter().ask_again(1e9)


def test_a_split_block_is_read_whole_again() -> None:
    device = meter()
    planned = device.blocks(FAST)
    device.refused(device.reads(FAST)[0], 0.0)
    assert len(device.blocks(FAST)) > len(planned)
    device.ask_again(ASK_AGAIN_FIRST_S)
    assert device.blocks(FAST) == planned


def test_what_is_read_once_is_asked_for_again_when_the_device_was_busy() -> None:
    device = meter()
    (once,) = device.reads(frozenset({"once"}))
    device.unable(once, 6, 0.0)
    assert device.ask_again(ASK_AGAIN_FIRST_S)


def test_what_is_read_each_time_needs_no_other_reminder() -> None:
    device = meter()
    for read in device.reads(FAST):
        device.unable(read, 6, 0.0)
    assert not device.ask_again(1e9)


def test_a_failed_round_of_everything_is_tried_again() -> None:
    schedule = Schedule()
    schedule.add("m", 10.0, 0.0)
    first = schedule.take(0.0)
    assert first is not None
    schedule.done(first, 0.0)
    schedule.all_due("m", 10.0)
    schedule.missed("m", 10.5)
    again = schedule.take(12.5)
    assert again is not None
    assert again.polls == {"fast", "slow", "once"}


def test_a_new_configuration_has_the_same_points() -> None:
    assert load_catalog().find("eastron/sdm630") is load_catalog().find("eastron/sdm630")


def test_what_was_refused_before_a_restart_is_left_out_asked_again_and_not_told() -> None:
    before, device = meter(), meter()
    before.refused(before.reads(FAST)[0], 0.0)
    refuse_all(before, 0.0)
    device.refusals.recall(before.refusals.lacks, 1000.0)
    assert device.blocks(FAST) == ()
    assert not device.ask_again(1000.0 + ASK_AGAIN_FIRST_S - 1)
    assert device.ask_again(1000.0 + ASK_AGAIN_FIRST_S)
    assert refuse_all(device, 1000.0 + ASK_AGAIN_FIRST_S) == []
