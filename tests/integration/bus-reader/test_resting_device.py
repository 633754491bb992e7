"""A device that wants to be left alone after each exchange: it is, and its neighbours use the line meanwhile."""

from pathlib import Path

import pytest

from ccm_bus_reader.budget import budget_of, measured_time
from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.device import Device
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.line import Line
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.profile import Limits
from ccm_bus_reader.transport import SerialPort
from ccm_sim import Site
from tests.support.lines import Noted, running, sdm, spec_of
from tests.support.wait import until

REST_MS = 200
SHY = 2
"""Its unit."""
Frame = tuple[str, float, bytes]


def shy(poller: Poller, device: str, unit: int) -> Device:
    """An SDM630 that is read in several short reads, each followed by a rest."""
    profile = load_catalog().find("eastron/sdm630")
    timing = profile.timing.model_copy(update={"rest_ms": REST_MS})
    config = sdm(device, unit)
    return Device(
        config, profile.model_copy(update={"timing": timing, "limits": Limits(max_block=20)}), poller.cost
    )


def frames_of(poller: Poller) -> list[Frame]:
    """Filled with direction, time and bytes of what crosses the line."""
    frames: list[Frame] = []
    tap = poller.line.tap
    assert tap is not None

    def noting(direction: str, at: float, frame: bytes, what: str) -> None:
        frames.append((direction, at, frame))
        tap(direction, at, frame, what)  # type: ignore[arg-type]  # "tx" or "rx", as it came

    poller.line.tap = noting
    return frames


def shortest_rest_s(frames: list[Frame], unit: int) -> float:
    """Between the end of a reply of this unit and its next request."""
    rests, replied_at = [], None
    for direction, at, frame in frames:
        if frame[:1] != bytes([unit]):
            continue
        if direction == "rx":
            replied_at = at
        elif replied_at is not None:
            rests.append(at - replied_at)
            replied_at = None
    return min(rests)


async def read_for_a_while(noted: Noted, shy_rounds: int) -> None:
    await until(lambda: noted.count("shy") >= shy_rounds, deadline_s=60, what="rounds of the resting device")


async def test_it_rests_and_its_neighbour_does_not_wait(tmp_path: Path) -> None:
    spec = spec_of(shy={"kind": "sdm630", "unit": SHY}, busy={"kind": "sdm630", "unit": 3})
    async with (
        Site(spec, tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), sdm("busy", 3)) as (poller, noted),
    ):
        frames = frames_of(poller)
        poller.add(device := shy(poller, "shy", SHY))
        await read_for_a_while(noted, 3)
        site.reset_stats()
        await read_for_a_while(noted, 6)
        line = site.stats()["lines"]["x"]
        reads = len(device.blocks(frozenset({"fast"})))
        share = next(
            each for each in budget_of(poller.devices.values(), measured_time).shares if each.device == "shy"
        )
    assert reads > 1
    assert shortest_rest_s(frames, SHY) >= REST_MS / 1000
    in_use_s = line["wire_busy_s"] + line["replies"] * poller.line.silence_s
    assert in_use_s / line["window_s"] > 0.8  # an idle line would be in use for a tenth of the time
    assert not share.is_kept
    times = [ts.timestamp() for ts, _ in noted.readings["shy"]]
    assert (times[-1] - times[2]) / (len(times) - 3) == pytest.approx(share.reachable_s, rel=0.25)


async def test_two_of_them_and_a_holder_of_the_line_get_on(tmp_path: Path) -> None:
    spec = spec_of(shy={"kind": "sdm630", "unit": SHY}, other={"kind": "sdm630", "unit": 3})
    async with Site(spec, tmp_path) as site, running(SerialPort(str(site.line_path("x")))) as (poller, noted):
        frames = frames_of(poller)
        poller.add(shy(poller, "shy", SHY))
        poller.add(shy(poller, "other", 3))
        await read_for_a_while(noted, 1)
        async with poller.exclusive("a test") as line:
            assert await asked(line)
        await until(
            lambda: noted.count("shy") >= 3 and noted.count("other") >= 3, deadline_s=60, what="rounds"
        )
    assert shortest_rest_s([each for each in frames if each[2][:1] == b"\x03"], 3) >= REST_MS / 1000
    assert noted.is_online("shy")
    assert noted.is_online("other")


async def asked(line: Line) -> bool:
    """Whether the resting device answers who has the line alone."""
    result = await line.exchange(Request(SHY, 4, 0, 2), timeout_s=1.0)
    return hasattr(result, "words")
