"""A guard for loops around libraries that wait with `asyncio.wait_for`.

Until Python 3.12 that function drops a cancellation which comes in the moment of its result (CPython gh-86296): the
loop would go round for ever.
"""

import asyncio


def stop_if_cancelled() -> None:
    """Raise `CancelledError` when this task was cancelled and did not notice."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
