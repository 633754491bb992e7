"""Waiting for a condition with a deadline: the only place of the tests that sleeps."""

import asyncio
import inspect
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")
INTERVAL_S: Final = 0.02
LEAST_S: Final = 60.0
"""Every wait is granted this much, for a machine that is busy with other work. `deadline_s` says what a quiet
one needs; that something is fast is asserted by a count or a ratio, never by a deadline."""


@overload
async def until(
    condition: Callable[[], Coroutine[Any, Any, T]],
    *,
    deadline_s: float,
    what: str,
    interval_s: float = ...,
    least_s: float = ...,
) -> T: ...
@overload
async def until(
    condition: Callable[[], T],
    *,
    deadline_s: float,
    what: str,
    interval_s: float = ...,
    least_s: float = ...,
) -> T: ...
async def until(
    condition: Callable[[], Any],
    *,
    deadline_s: float,
    what: str,
    interval_s: float = INTERVAL_S,
    least_s: float = LEAST_S,
) -> Any:
    """The first truthy value of `condition` (plain or async); AssertionError naming `what` at the deadline."""
    started = time.monotonic()
    granted_s = max(deadline_s, least_s)
    while True:
        answer = condition()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() - started > granted_s:
            raise AssertionError(f"waited {granted_s:g} s for {what}; last seen: {value!r}")
        await asyncio.sleep(interval_s)


def until_sync(
    condition: Callable[[], T],
    *,
    deadline_s: float,
    what: str,
    interval_s: float = INTERVAL_S,
    least_s: float = LEAST_S,
) -> T:
    """Like `until`, for code without an event loop."""
    started = time.monotonic()
    granted_s = max(deadline_s, least_s)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() - started > granted_s:
            raise AssertionError(f"waited {granted_s:g} s for {what}; last seen: {value!r}")
        time.sleep(interval_s)


async def stays(
    condition: Callable[[], object], *, for_s: float, what: str, interval_s: float = INTERVAL_S
) -> None:
    """AssertionError naming `what` as soon as `condition` (plain or async) stops being truthy within `for_s`."""
    started = time.monotonic()
    while time.monotonic() - started < for_s:
        answer = condition()
        value = await answer if inspect.isawaitable(answer) else answer
        assert value, f"{what}: not after {time.monotonic() - started:.2f} s"
        await asyncio.sleep(interval_s)


async def every(interval_s: float) -> AsyncIterator[int]:
    """0, 1, 2 ...: a source of load at a rate, for ever."""
    for number in itertools.count():
        yield number
        await asyncio.sleep(interval_s)
