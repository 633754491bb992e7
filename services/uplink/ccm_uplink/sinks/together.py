"""Several things of one connection that end together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any


async def all_until_end(
    work: Sequence[Awaitable[Any]], before_cancel: Callable[[], None] = lambda: None
) -> None:
    """Until one of them raises or returns True; then the others are cancelled. Raises what it raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    pending = set(tasks)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                err = task.exception()
                if isinstance(err, BaseExceptionGroup):
                    raise err.exceptions[0]
                if err is not None:
                    raise err
                if task.result() is True:
                    return
    finally:
        before_cancel()
        await cancelled(tasks)


async def cancelled(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    """Cancel them, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
