"""Runs NATS and the services as child processes on one machine: the embedded default.

Starts, watches, restarts and ends them; knows nothing of what they do.
"""

import fcntl
import os
import signal
import sys
import time
from typing import IO, Final

from ccmaster.broker import Broker, accepts, is_free, server_binary
from ccmaster.bus_watch import BusWatch
from ccmaster.children import Child, reason_of, stop
from ccmaster.plan import PACKAGES, Plan, StartError
from ccmaster.steps import check, lay

WATCH_S: Final = 0.1
NATS_START_S: Final = 20.0
BAD_INPUT: Final = 2


def say(text: str) -> None:
    print(text, flush=True)


class Supervisor:
    """One gateway in one data directory. `run` blocks until SIGTERM, SIGINT or a part that cannot start."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lock: IO[str] | None = None
        self._broker = Broker(plan.data_dir / "nats", plan.nats_port, plan.mqtt_port)
        self._services: list[Child] = []
        self._nats: Child | None = None
        self._watch = BusWatch(self._broker.directory)
        self._stopping = False
        self._gateway = ""
        self._is_new = False
        """A site file, and none was laid here before."""
        self._told = False

    @property
    def _children(self) -> list[Child]:
        return [*self._plan.beside, *([self._nats] if self._nats else []), *self._services]

    def prepare(self) -> None:
        """Take the data directory and check everything, before anything is started. Raises `StartError`."""
        try:
            self._take_lock()
            self._check_ports()
            if self._plan.before_check is not None:
                self._plan.before_check()
            self._check_input()
        except BaseException:
            self._stop()
            raise

    def run(self) -> int:
        """Raises `StartError` when a part cannot start at all."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        try:
            return self._run()
        finally:
            self._stop()

    def _run(self) -> int:
        self._nats = self._nats_child()
        self._watch.begin()
        self._nats.start()
        if self._is_new:  # nothing is measured before uplink knows where to send it
            self._lay_when_nats_is_up()
        self._services = [self._service_child(name) for name in PACKAGES if name in self._plan.only]
        for child in self._services:
            child.start()
        if not self._is_new:
            self._lay_when_nats_is_up()
        while not self._stopping:
            code = self._look_after()
            if code is not None:
                return code
            time.sleep(WATCH_S)
        return 0

    def _lay_when_nats_is_up(self) -> None:
        self._wait_for_nats()
        if self._nats is not None and not self._stopping:
            lay(self._plan, self._nats, self._broker.directory / "nats.log", lambda: self._stopping)

    def _look_after(self) -> int | None:
        """One round: restart what died, tell what became ready. A return code ends the gateway."""
        for child in self._children:
            code = child.ended()
            if code == BAD_INPUT and not child.is_ready and child.restarts == 0:
                say(f"✗ {child.name} cannot start (see above)")
                return BAD_INPUT
            if code is not None:
                say(
                    f"! {child.name} {reason_of(code)}; restarting in {child.restart_at - time.monotonic():.1f} s"
                )
            if child.is_due():
                if child is self._nats:
                    self._watch.begin()
                child.restarts += 1
                child.start()
            if child.process is not None and not child.is_ready:
                text = child.ready()
                if text is not None:
                    child.is_ready = True
                    say(f"✓ {child.name:<11}{text}" + (" (restarted)" if child.restarts else ""))
        self._look_after_disk()
        if not self._told and all(child.is_ready for child in self._children):
            self._told = True
            if self._plan.when_ready is not None:
                say(self._plan.when_ready())
        return None

    def _look_after_disk(self) -> None:
        """Start a NATS server anew that cannot write any more, once there is room."""
        nats = self._nats
        if nats is None or nats.process is None or not nats.is_ready:
            return
        reason = self._watch.look(nats.process.pid, time.monotonic())
        if reason is not None:
            say(
                f"! nats cannot write to {self._plan.data_dir}: {reason}. "
                "Readings wait in memory, ten minutes at most; it goes on by itself once there is room"
            )
        if self._watch.is_failing and self._watch.has_room:
            self._watch.is_failing = False
            nats.process.kill()  # what it acknowledged is on disk; an orderly end would write

    def _ask_to_stop(self, *_: object) -> None:
        if self._stopping:
            for child in self._children:
                if child.process is not None:
                    child.process.kill()
        elif self._told:
            say("\nstopping ...")
        self._stopping = True

    def _stop(self) -> None:
        stop(self._services)
        if self._nats is not None:
            stop([self._nats])
        stop(self._plan.beside)
        if self._lock is not None:
            self._lock.close()

    def _take_lock(self) -> None:
        self._plan.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._plan.data_dir / "lock"
        self._lock = path.open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            raise StartError(
                f"{self._plan.data_dir} is in use by another ccmaster (pid {owner}): stop it, "
                "or choose another directory with --data-dir"
            ) from None
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _check_ports(self) -> None:
        wanted = [(self._plan.nats_port, "127.0.0.1", "NATS", "CCM_NATS_PORT")]
        if self._plan.mqtt_port is not None:
            wanted.append((self._plan.mqtt_port, "127.0.0.1", "MQTT", "CCM_MQTT_PORT"))
        if "api" in self._plan.only:
            wanted.append((self._plan.http_port, self._plan.http_host, "the portal", "CCM_HTTP_PORT"))
        for port, host, what, variable in wanted:
            if not is_free(port, host):
                raise StartError(
                    f"port {port}, wanted for {what}, is in use: stop who listens there, or set {variable}"
                )

    def _check_input(self) -> None:
        self._gateway, self._is_new = check(self._plan)

    def _wait_for_nats(self) -> None:
        deadline = time.monotonic() + NATS_START_S
        while not accepts(self._plan.nats_port):
            assert self._nats is not None
            if self._stopping:
                return
            if self._nats.ended() is not None or time.monotonic() > deadline:
                raise StartError(f"NATS does not start; see {self._broker.directory}/nats.log")
            time.sleep(0.02)

    def _nats_child(self) -> Child:
        env = {**os.environ, "GOMEMLIMIT": "40MiB", "GOGC": "50"}

        def ready() -> str | None:
            if not accepts(self._plan.nats_port):
                return None
            mqtt = f", MQTT on 127.0.0.1:{self._plan.mqtt_port}" if self._plan.mqtt_port else ""
            return f"127.0.0.1:{self._plan.nats_port}{mqtt}"

        return Child(
            "nats",
            [server_binary(), "-c", str(self._broker.config)],
            env,
            ready,
            log=self._broker.directory / "start.log",
        )

    def _service_child(self, name: str) -> Child:
        run_dir = self._plan.data_dir / "run"
        run_dir.mkdir(exist_ok=True)
        alive = run_dir / f"{name}.alive"
        alive.unlink(missing_ok=True)
        env = {
            **os.environ,
            **self._plan.env,
            "CCM_DATA_DIR": str(self._plan.data_dir),
            "CCM_GATEWAY": self._gateway,
            "CCM_NATS_URL": self._broker.url,
            "CCM_NATS_USER": name,
            "CCM_NATS_PASSWORD_FILE": str(self._broker.password_file(name)),
            "CCM_HTTP_PORT": str(self._plan.http_port),
            "CCM_HTTP_HOST": self._plan.http_host,
            "CCM_ALIVE_FILE": str(alive),
            "CCM_DIE_WITH_PARENT": "1",
            "MALLOC_ARENA_MAX": "1",
        }
        if name != "api":
            env.pop("CCM_ADMIN_PASSWORD", None)
            env.pop("CCM_ADMIN_PASSWORD_FILE", None)
        child = Child(name, [sys.executable, "-m", PACKAGES[name]], env, lambda: None)

        def ready() -> str | None:
            if not alive.exists() or alive.stat().st_mtime < time.time() - (time.monotonic() - child.started):
                return None
            if name == "api" and not accepts(self._plan.http_port):
                return None
            return f"pid {child.process.pid}" if child.process else None

        child.ready = ready
        return child
