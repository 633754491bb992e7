"""Memory, idle CPU and start-up time of the whole demo: one table, and bench.json.

Starts `ccmaster demo` in a fresh directory, waits until the portal shows live values, lets it settle, measures,
stops it. Beside each figure stands its goal; the reference is a bare Python process of the same run.
"""

import contextlib
import http.cookiejar
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from tests.support.ports import free_port

SETTLE_S: Final = 10.0
MEASURE_S: Final = 30.0
START_S: Final = 60.0
GOALS: Final = {"rss_mb": 250.0, "cpu_percent": 5.0, "portal_s": 5.0}
SERVICES: Final = {
    "ccm_sim": "site (simulated)",
    "nats-server": "nats",
    "ccm_bus_reader": "bus-reader",
    "ccm_uplink": "uplink",
    "ccm_solar": "solar",
    "ccm_io": "io",
    "ccm_api": "api",
}


class Portal:
    """A signed-in client of the demo's REST interface."""

    def __init__(self, port: int, password: str) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        self._password = password
        self._is_signed_in = False

    def get(self, path: str) -> Any:
        """The answer, or None while it is not there yet."""
        try:
            if not self._is_signed_in:
                body = json.dumps({"user": "admin", "password": self._password}).encode()
                request = urllib.request.Request(
                    f"{self._base}/session", body, {"Content-Type": "application/json"}
                )
                self._opener.open(request, timeout=5).read()
                self._is_signed_in = True
            with self._opener.open(f"{self._base}{path}", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ccm-bench-") as directory, demo(Path(directory)) as (pid, ports):
        password = "bench-password-1"
        portal = Portal(ports["HTTP"], password)
        began = ports["began"]
        portal_s = wait_for(lambda: portal.get("/info"), began)
        live_s = wait_for(lambda: (portal.get("/plants/home/balance") or {}).get("p_load"), began)
        time.sleep(SETTLE_S)
        rows = measure(pid)
    report(rows, portal_s, live_s)
    return 0


@contextlib.contextmanager
def demo(directory: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    ports: dict[str, Any] = {name: free_port() for name in ("HTTP", "NATS", "MQTT")}
    env = {**os.environ, **{f"CCM_{name}_PORT": str(port) for name, port in ports.items()}}
    env["CCM_ADMIN_PASSWORD"] = "bench-password-1"
    command = [str(Path(sys.executable).with_name("ccmaster")), "demo", "--data-dir", str(directory / "data")]
    ports["began"] = time.monotonic()
    with (directory / "demo.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield process.pid, ports
        finally:
            process.terminate()
            process.wait(30)


def wait_for(condition: Callable[[], Any], began: float) -> float:
    """Seconds since `began` until the condition held."""
    while time.monotonic() - began < START_S:
        if condition() is not None:
            return time.monotonic() - began
        time.sleep(0.05)
    raise SystemExit(f"the demo did not get there in {START_S:g} s")


def measure(pid: int) -> list[dict[str, Any]]:
    top = psutil.Process(pid)
    family = [top, *top.children(recursive=True)]
    before = {each.pid: sum(each.cpu_times()[:2]) for each in family}
    began = time.monotonic()
    time.sleep(MEASURE_S)
    took = time.monotonic() - began
    rows = []
    for each in family:
        memory = each.memory_full_info()
        cpu = (sum(each.cpu_times()[:2]) - before[each.pid]) / took * 100
        rows.append(
            {
                "part": name_of(each),
                "rss_mb": memory.rss / 1e6,
                "pss_mb": memory.pss / 1e6,
                "cpu_percent": cpu,
            }
        )
    return rows


def name_of(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    return next((name for mark, name in SERVICES.items() if re.search(rf"\b{mark}\b", line)), "ccmaster")


def bare_python_mb() -> float:
    code = "import psutil,sys; print(psutil.Process().memory_info().rss)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e6


def report(rows: list[dict[str, Any]], portal_s: float, live_s: float) -> None:
    total = {key: sum(row[key] for row in rows) for key in ("rss_mb", "pss_mb", "cpu_percent")}
    print(f"{'part':<18}{'RSS MB':>9}{'PSS MB':>9}{'CPU %':>8}")
    for row in [*rows, {"part": "all", **total}]:
        print(f"{row['part']:<18}{row['rss_mb']:>9.1f}{row['pss_mb']:>9.1f}{row['cpu_percent']:>8.2f}")
    print(f"{'goal':<18}{GOALS['rss_mb']:>9.0f}{'':>9}{GOALS['cpu_percent']:>8.0f}")
    bare = bare_python_mb()
    print(f"\nreference: one bare Python process {bare:.1f} MB; all / bare = {total['rss_mb'] / bare:.1f}")
    print(
        f"portal answers after {portal_s:.1f} s (goal {GOALS['portal_s']:.0f} s), live balance after {live_s:.1f} s"
    )
    result = {"parts": rows, "all": total, "bare_python_mb": bare, "portal_s": portal_s, "live_s": live_s}
    Path("bench.json").write_text(json.dumps({**result, "goals": GOALS}, indent=2) + "\n")
    print("written to bench.json")


if __name__ == "__main__":
    raise SystemExit(main())
