"""A running io process on a real NATS server, and a bus to talk to it."""

import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ccm_contracts.channels import EVENT, OUTPUT_STATE
from ccm_contracts.config.site import Gateway, Model
from ccm_contracts.messages import Event
from ccm_contracts.state import OutputState
from ccm_contracts.verb_table import SET_OUTPUT
from ccm_contracts.verbs.io import OutputDone, OutputId, SetOutput
from ccm_kit.bus import Bus
from ccm_kit.errors import UnavailableError
from tests.support.bus import GATEWAY, bus_as, service_env
from tests.support.nats import NatsServer
from tests.support.processes import Child, child
from tests.support.wait import until


@dataclass
class IoRig:
    """`running` is a new process on the same data and hardware."""

    nats: NatsServer
    bus: Bus
    directory: Path

    @property
    def env(self) -> Mapping[str, str]:
        return service_env(self.nats, self.directory)

    @asynccontextmanager
    async def running(self, **more: str) -> AsyncIterator[Child]:
        args = [sys.executable, "-m", "ccm_io"]
        async with child(args, log=self.directory / "io.log", env={**self.env, **more}) as process:
            yield process

    def file(self, name: str) -> str:
        path = self.directory / "site" / name
        return path.read_text() if path.exists() else ""

    async def shows(self, name: str, text: str, *, deadline_s: float = 8) -> None:
        """Wait until a file of the hardware has this text."""
        await until(lambda: self.file(name) == text, deadline_s=deadline_s, what=f"{name} at {text}")

    async def command(
        self,
        output: OutputId,
        value: float,
        *,
        hold_s: float | None = None,
        command_id: str | None = None,
    ) -> OutputState:
        """Send a command as soon as io answers."""
        args, name = SetOutput(output=output, value=value, hold_s=hold_s), command_id or uuid.uuid4().hex

        async def answered() -> OutputDone | None:
            try:
                return await self.bus.call(SET_OUTPUT, args, issued_by="anna", command_id=name)
            except UnavailableError:
                return None

        done = await until(answered, deadline_s=10, what="io")
        assert done is not None
        return done.state

    async def state(self, output: OutputId) -> OutputState | None:
        return await self.bus.last(OUTPUT_STATE, id=output)

    async def event(self, kind: str) -> Event:
        """Wait for the newest event of `kind`."""

        async def seen() -> Event | None:
            return await self.bus.last(EVENT, source="io", kind=kind)

        event = await until(seen, deadline_s=8, what=f"event {kind}")
        assert event is not None
        return event

    async def has_model(self, model: Model) -> None:
        gateway = Gateway(serial=GATEWAY, model=model)
        await self.bus.write_config("gateway", gateway, seal=lambda text: text)


@asynccontextmanager
async def io_rig(nats: NatsServer, directory: Path) -> AsyncIterator[IoRig]:
    async with bus_as(nats, "api") as bus:
        yield IoRig(nats, bus, directory)
