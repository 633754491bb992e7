"""The budget against a pseudo-terminal whose devices take their time: predicted and measured agree within 10 %."""

from datetime import timedelta
from pathlib import Path

import pytest

from ccm_bus_reader.budget import budget_of, measured_time
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.transport import SerialPort
from ccm_sim import Site
from tests.support.lines import Noted, running, sdm, spec_of
from tests.support.wait import until

WINDOW_S = 20
"""Long enough that the first, full rounds and the tenth, slow ones have their share."""
WINDOWS = 3
"""A stall of the machine may spoil one: in one of so many all has to agree."""


@pytest.mark.parametrize(("count", "poll_s"), [(3, 1.0), (8, 0.1)], ids=["with room", "full"])
async def test_the_line_takes_what_its_budget_says(tmp_path: Path, count: int, poll_s: float) -> None:
    spec = spec_of(u={"kind": "sdm630", "unit": 10, "count": count, "turnaround_ms": 8})
    configs = [sdm(f"u-{number + 1}", 10 + number, poll_s) for number in range(count)]
    async with (
        Site(spec, tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), *configs) as (poller, noted),
    ):
        for _ in range(WINDOWS):
            seen = await measured(site, poller, noted)
            predicted = budget_of(poller.devices.values(), measured_time)
            wanted = {share.device: share.reachable_s for share in predicted.shares}
            wanted |= {"reader": predicted.utilisation, "wire": predicted.utilisation}
            if seen == pytest.approx(wanted, rel=0.10):
                break
        state = noted.lines[-1]
    assert seen == pytest.approx(wanted, rel=0.10)
    assert state.planned == pytest.approx(predicted.utilisation, rel=0.05)


async def measured(site: Site, poller: Poller, noted: Noted) -> dict[str, float]:
    """The use of the line in its next window, told by the reader and seen by the devices, and each interval in s."""
    await until(
        lambda: not noted.lines or noted.lines[-1].window_s < WINDOW_S / 2, deadline_s=90, what="a new window"
    )
    site.reset_stats()
    await until(
        lambda: bool(noted.lines) and noted.lines[-1].window_s >= WINDOW_S,
        deadline_s=60,
        what="a window that is long enough",
    )
    wire, state = site.stats()["lines"]["x"], noted.lines[-1]
    in_use_s = wire["wire_busy_s"] + wire["replies"] * poller.line.silence_s
    since = state.ts - timedelta(seconds=state.window_s)
    seen = {"reader": state.utilisation, "wire": in_use_s / wire["window_s"]}
    for device in poller.devices:
        times = [ts.timestamp() for ts, _ in noted.readings[device] if ts >= since]
        seen[device] = (times[-1] - times[0]) / (len(times) - 1)
    return seen
