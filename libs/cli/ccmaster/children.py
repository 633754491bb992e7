"""Child processes that are restarted when they die and never outlive their parent.

Only the standard library: this is the process that stays resident beside the services.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STOP_S: Final = 12.0
"""After SIGTERM a child has this long; then it is killed. Longer than a service's own limit of 10 s."""
FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 5.0
STEADY_S: Final = 30.0
"""A child that lived so long starts its next wait from the beginning."""

_libc = ctypes.CDLL(None)


def _tied_to_parent() -> None:
    """Runs in the child before exec: SIGTERM when the parent dies, so that `kill -9` leaves no orphan."""
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, <sys/prctl.h>


@dataclass(slots=True)
class Child:
    """One part of the gateway: how to start it, and how it is doing."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[], str | None]
    """A text for the operator once the part works, None until then."""
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_at: float = 0.0
    wait_s: float = FIRST_WAIT_S
    is_ready: bool = False
    restarts: int = 0

    def start(self) -> None:
        self.is_ready = False
        self.started = time.monotonic()
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(self.log.open("ab")) if self.log is not None else sys.stderr
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C reaches us alone; we end the children in order
                preexec_fn=_tied_to_parent,
            )

    def ended(self) -> int | None:
        """The return code when it has just ended, None while it runs or waits for its restart."""
        if self.process is None:
            return None
        code = self.process.poll()
        if code is None:
            return None
        self.process = None
        lived_s = time.monotonic() - self.started
        self.wait_s = FIRST_WAIT_S if lived_s > STEADY_S else self.wait_s
        self.restart_at = time.monotonic() + self.wait_s
        self.wait_s = min(self.wait_s * 2, LONGEST_WAIT_S)
        return code

    def is_due(self) -> bool:
        return self.process is None and time.monotonic() >= self.restart_at


def reason_of(code: int) -> str:
    """How a process ended, for people."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def stop(children: Sequence[Child], limit_s: float = STOP_S) -> None:
    """End these together: SIGTERM, and SIGKILL to what is left after `limit_s`."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + limit_s
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()
    for child in children:
        child.process = None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        os.kill(process.pid, number)
