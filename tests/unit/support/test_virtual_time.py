"""Time that passes only when nobody has anything to do."""

import asyncio
import itertools

import pytest

from tests.support.virtual_time import BEGINNING, StandsStillError, VirtualClock, VirtualLoop, run_virtually

DAY_S = 86_400.0
CLOSE_S = 1e-6


def test_a_day_of_waiting_takes_no_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        await asyncio.sleep(DAY_S)
        return loop.time()

    assert run_virtually(main) == pytest.approx(DAY_S, abs=CLOSE_S)


def test_timers_come_in_the_order_of_their_moments() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[str, float]]:
        came: list[tuple[str, float]] = []
        for name, moment in (("b", 2.0), ("a", 0.001), ("c", 2.0015)):
            loop.call_at(moment, lambda name=name: came.append((name, loop.time())))  # type: ignore[misc]
        await asyncio.sleep(3.0)
        return came

    came = run_virtually(main)
    assert [name for name, _ in came] == ["a", "b", "c"]
    assert [at for _, at in came] == pytest.approx([0.001, 2.0, 2.0015], abs=CLOSE_S)


def test_a_nap_takes_the_loop_along_and_serves_nobody() -> None:
    async def main(loop: VirtualLoop) -> tuple[list[str], float]:
        clock, came = VirtualClock(loop), list[str]()
        loop.call_later(0.001, came.append, "timer")
        clock.nap(0.01)
        assert came == []
        assert (clock.now() - BEGINNING).total_seconds() == pytest.approx(0.01, abs=CLOSE_S)
        await asyncio.sleep(0.0001)
        return came, clock.monotonic()

    came, seconds = run_virtually(main)
    assert came == ["timer"]
    assert seconds == pytest.approx(0.0101, abs=CLOSE_S)


def test_who_waits_for_ever_is_found() -> None:
    async def main(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(StandsStillError, match="everybody waits"):
        run_virtually(main)


def test_an_endless_loop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.virtual_time.MOST_TURNS", 1000)

    async def main(loop: VirtualLoop) -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(StandsStillError, match="1000 turns"):
        run_virtually(main)


def test_what_goes_to_a_thread_is_done_at_once() -> None:
    async def main(loop: VirtualLoop) -> tuple[int, float]:
        return await asyncio.to_thread(sum, (1, 2)), loop.time()

    assert run_virtually(main) == (3, 0.0)
