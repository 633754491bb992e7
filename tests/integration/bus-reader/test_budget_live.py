"""The budget against a pseudo-terminal whose devices take their time: predicted and measured agree within 10 %."""

from pathlib import Path

import pytest

from ccm_bus_reader.budget import budget_of, measured_time
from ccm_bus_reader.transport import SerialPort
from ccm_sim import Site
from tests.support.lines import running, sdm, spec_of
from tests.support.wait import until

WINDOW_S = 20
"""Long enough that the first, full rounds and the tenth, slow ones have their share."""


@pytest.mark.parametrize(("count", "poll_s"), [(3, 1.0), (8, 0.1)], ids=["with room", "full"])
async def test_the_line_takes_what_its_budget_says(tmp_path: Path, count: int, poll_s: float) -> None:
    spec = spec_of(u={"kind": "sdm630", "unit": 10, "count": count, "turnaround_ms": 8})
    configs = [sdm(f"u-{number + 1}", 10 + number, poll_s) for number in range(count)]
    async with (
        Site(spec, tmp_path) as site,
        running(SerialPort(str(site.line_path("x"))), *configs) as (poller, noted),
    ):
        await until(
            lambda: bool(noted.lines) and noted.lines[-1].window_s >= WINDOW_S,
            deadline_s=60,
            what="a window that is long enough",
        )
        wire = site.stats()["lines"]["x"]
        in_use_s = wire["wire_busy_s"] + wire["replies"] * poller.line.silence_s
        predicted = budget_of(poller.devices.values(), measured_time)
        state = noted.lines[-1]
        readings = {device: noted.readings[device] for device in poller.devices}
    assert state.utilisation == pytest.approx(predicted.utilisation, rel=0.10)
    assert in_use_s / state.window_s == pytest.approx(
        predicted.utilisation, rel=0.10
    )  # as the devices saw it
    assert state.planned == pytest.approx(predicted.utilisation, rel=0.05)
    for share in predicted.shares:
        times = [ts.timestamp() for ts, _ in readings[share.device]]
        interval_s = (times[-1] - times[0]) / (len(times) - 1)
        assert interval_s == pytest.approx(share.reachable_s, rel=0.10)
