"""bus-reader as a process on a real NATS server, with a simulated site of the test's own on its wires."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ccm_contracts.channels import LINE_STATE, MODE_STATE, SCAN_STATE, TELEMETRY
from ccm_contracts.config.field import Device, Port
from ccm_contracts.messages import Reading
from ccm_contracts.scan_state import ScanState
from ccm_contracts.state import ModeState
from ccm_contracts.verb_table import Verb
from ccm_kit.bus import A, Bus, R
from ccm_kit.errors import CcmError, UnavailableError
from ccm_sim import Site
from tests.support.bus import bus_as, service_env
from tests.support.nats import NatsServer
from tests.support.processes import Child, child
from tests.support.wait import until


@asynccontextmanager
async def reader_process(nats: NatsServer, directory: Path) -> AsyncIterator[Child]:
    command = [sys.executable, "-m", "ccm_bus_reader"]
    async with child(command, log=directory / "reader.log", env=service_env(nats, directory)) as process:
        yield process


@dataclass
class Field:
    """The bus as `api` has it, and the site."""

    bus: Bus
    site: Site
    nats: NatsServer
    directory: Path

    async def configure(self, *devices: Device) -> None:
        ports = [
            Port(
                id=name,
                kind="rs485",
                path=str(self.site.line_path(name)),
                role="native" if name == "native" else "external",
            )
            for name in self.site.lines
        ]
        await self.bus.write_config("ports", ports, seal=lambda text: text)
        await self.bus.write_config("devices", list(devices), seal=lambda text: text)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Child]:
        async with reader_process(self.nats, self.directory) as process:
            yield process

    async def call(self, verb: Verb[A, R], args: A) -> R:
        """bus-reader's answer, once it knows its configuration."""

        async def answer() -> R | None:
            try:
                return await self.bus.call(verb, args, issued_by="test")
            except CcmError as err:
                if err.code not in ("starting", UnavailableError.code):
                    raise
                return None

        answered = await until(answer, deadline_s=10, what=f"an answer of {verb.name}")
        assert answered is not None
        return answered

    async def mode(self, is_so: Callable[[ModeState], object], what: str) -> ModeState:
        """The mode's state once it is so."""

        async def state() -> ModeState | None:
            last = await self.bus.last(MODE_STATE, id="bus-reader")
            return last if last is not None and is_so(last) else None

        found = await until(state, deadline_s=20, what=what)
        assert found is not None
        return found

    async def scan(self, line: str, is_so: Callable[[ScanState], object], what: str) -> ScanState:
        """The state of a line's search once it is so."""

        async def state() -> ScanState | None:
            last = await self.bus.last(SCAN_STATE, id=line)
            return last if last is not None and is_so(last) else None

        found = await until(state, deadline_s=60, what=what)
        assert found is not None
        return found

    async def open(self, line: str) -> None:
        """Returns once the line can be used."""

        async def is_open() -> bool:
            last = await self.bus.last(LINE_STATE, id=line)
            return last is not None and last.open

        await until(is_open, deadline_s=15, what=f"line {line} to be open")

    async def reading(self, device: str) -> Reading:
        """The newest one."""
        last = await self.bus.last(TELEMETRY, device=device)
        assert last is not None
        return last

    async def read(self, device: str, above: int = 0) -> int:
        """The sequence number of a reading above that one."""

        async def seq() -> int | None:
            last = await self.bus.last(TELEMETRY, device=device)
            return last.seq if last is not None and last.seq > above else None

        found = await until(seq, deadline_s=15, what=f"a reading of {device} above {above}")
        assert found is not None
        return found


@asynccontextmanager
async def field_of(nats: NatsServer, site: Site, directory: Path) -> AsyncIterator[Field]:
    async with bus_as(nats, "api") as bus:
        yield Field(bus, site, nats, directory)
