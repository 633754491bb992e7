"""The short-lived steps of a start, each a child process: see `ccmaster.prepare`."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ccmaster.children import Child, reason_of
from ccmaster.plan import Plan, StartError

LAY_S: Final = 60.0
"""Longest time to put the site file on the bus; it takes a second."""
LOOK_S: Final = 0.02


def check(plan: Plan) -> tuple[str, bool]:
    """The gateway's serial number, and whether its site file is the first of the data directory.

    Raises `StartError`.
    """
    done = subprocess.run(_command(plan, "check"), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise StartError("")
    told = json.loads(done.stdout)
    return told["gateway"], told["is_new"]


def lay(plan: Plan, nats: Child, log: Path, is_stopping: Callable[[], bool]) -> None:
    """Put the site file on the bus of `nats`, which logs to `log`; not when `is_stopping`. Raises `StartError`."""
    if plan.config is None:
        return
    deadline = time.monotonic() + LAY_S
    with subprocess.Popen(_command(plan, "lay")) as step:
        while step.poll() is None:
            code = nats.ended()
            if code is not None or is_stopping() or time.monotonic() > deadline:
                step.kill()  # it would wait for NATS for ever
                step.wait()
                if is_stopping():
                    return
                why = f"NATS {reason_of(code)}" if code is not None else f"it took more than {LAY_S:.0f} s"
                raise StartError(f"the configuration could not be stored: {why}; see {log}")
            time.sleep(LOOK_S)
    if step.returncode != 0:
        raise StartError("the configuration could not be stored (see above)")


def _command(plan: Plan, step: str) -> list[str]:
    command = [sys.executable, "-m", "ccmaster.prepare", step, "--data-dir", str(plan.data_dir)]
    command += ["--nats-port", str(plan.nats_port)]
    if plan.mqtt_port is not None:
        command += ["--mqtt-port", str(plan.mqtt_port)]
    if plan.config is not None:
        command += ["--config", str(plan.config)]
    return command
