"""A thread that waits for file descriptors and for moments, with the precision of the kernel's timers.

Everything of a site runs in it, so nothing needs a lock and an event loop of the process that embeds the site can
be late without the simulated wires being late. Why not asyncio: its timers round up to 1 ms (a character at
9600 baud), and it costs 7 MB.
"""

import heapq
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LEAD_S = 0.00025
"""A sleeping thread wakes 0.15-0.2 ms late (measured, 2-core virtual machine); a precise timer sleeps this much less
and spends the rest awake."""

_log = logging.getLogger(__name__)


class Timer:
    """A call at a moment; `cancel` makes it not happen."""

    __slots__ = ("call", "lead_s", "moment")

    def __init__(self, moment: float, call: Callable[[], None], lead_s: float) -> None:
        self.moment = moment
        self.lead_s = lead_s
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Forget it."""
        self.call = None

    def __lt__(self, other: "Timer") -> bool:
        return self.moment < other.moment


class Reactor:
    """`start`, then `call` from other threads; all other methods only inside the reactor's own thread."""

    def __init__(self, name: str = "ccm-sim") -> None:
        self._readers: dict[int, Callable[[], None]] = {}
        self._timers: list[Timer] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_running = True
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._readers[self._wake_r] = self._drain

    def start(self) -> None:
        """Begins to turn."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and waits for it; pending timers are dropped."""
        self.call(self._halt)
        self._thread.join()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def call(self, function: Callable[[], T]) -> T:
        """Runs the function in the reactor's thread; gives back what it gives back, or raises what it raises."""
        if threading.current_thread() is self._thread:
            return function()
        if not self._thread.is_alive():
            raise RuntimeError("the simulated site is not running")
        done = threading.Event()
        result: list[T] = []
        error: list[BaseException] = []

        def run() -> None:
            try:
                result.append(function())
            except BaseException as exc:  # noqa: BLE001 - handed to the caller, which raises it
                error.append(exc)
            done.set()

        self._calls.append(run)
        os.write(self._wake_w, b"\0")
        done.wait()
        if error:
            raise error[0]
        return result[0]

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        """Calls whenever the descriptor can be read."""
        self._readers[fd] = call

    def remove_reader(self, fd: int) -> None:
        """Ends that."""
        self._readers.pop(fd, None)

    def now(self) -> float:
        """The moment, as `call_at` takes it."""
        return time.monotonic()

    def call_at(self, moment: float, call: Callable[[], None], *, is_precise: bool = False) -> Timer:
        """Calls once at a moment of time.monotonic(), at once when it has passed; precise to some 10 µs if asked."""
        timer = Timer(moment, call, LEAD_S if is_precise else 0.0)
        heapq.heappush(self._timers, timer)
        return timer

    def _halt(self) -> None:
        self._is_running = False

    def _drain(self) -> None:
        os.read(self._wake_r, 4096)
        while self._calls:
            self._calls.popleft()()

    def _run(self) -> None:
        while self._is_running:
            for call in self._due():
                try:
                    call()
                except Exception:  # noqa: BLE001 - a fault of one simulated device must not stop the others
                    _log.exception("simulated site: a callback failed")

    def _due(self) -> list[Callable[[], None]]:
        """Waits until something is to be done."""
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        first = self._timers[0] if self._timers else None
        wait_s = max(0.0, first.moment - first.lead_s - time.monotonic()) if first else None
        # select takes microseconds; poll and epoll would round up to milliseconds.
        readable, _, _ = select.select(self._readers, (), (), wait_s)
        due: list[Callable[[], None]] = []
        now = time.monotonic()
        if first and first.moment - first.lead_s <= now and not readable:
            while now < first.moment:
                now = time.monotonic()
        while self._timers and self._timers[0].moment <= now:
            call = heapq.heappop(self._timers).call
            if call is not None:
                due.append(call)
        return due + [self._readers[fd] for fd in readable]
