"""Keeps the lines that the configuration wants: starts, changes and stops them, each alone; answers the verbs."""

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

from ccm_bus_reader.catalogue import Catalog, load_catalog
from ccm_bus_reader.command import Job
from ccm_bus_reader.device import Device
from ccm_bus_reader.layout import LineLayout, Member, Trouble, layout_of
from ccm_bus_reader.memory import lacks_of, memory_of
from ccm_bus_reader.plausible import Memory
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.profile import Profile, catalog_model
from ccm_bus_reader.reports import BusReports, Kept
from ccm_contracts.config.document import Document
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.state import DeviceState, LineState
from ccm_contracts.verbs.bus_reader import (
    CatalogList,
    CatalogModel,
    CatalogQuery,
    DeviceCommand,
    DeviceCommandDone,
)
from ccm_kit.backoff import Backoff
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.clock import Clock
from ccm_kit.errors import BadInputError, BusDownError, RefusedError

log = logging.getLogger(__name__)

STOP_S: Final = 4.0
"""A line ends after the transaction on its wire; no time-out and quarantine together last longer."""


class Reader:
    """All lines of one gateway."""

    def __init__(self, reports: BusReports, clock: Clock, user_catalog: Path) -> None:
        self._reports = reports
        self._clock = clock
        self._user_catalog = user_catalog
        self._catalog = Catalog({}, {}, [])
        self._pollers: dict[str, Poller] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._layouts: dict[str, LineLayout] = {}
        self._told: set[str] = set()
        self._known: dict[str, DeviceConfig] = {}
        self._document: Document | None = None
        self._turn = asyncio.Lock()
        self._memories: dict[str, Memory] = {}
        """Of devices that were taken off a line and come back, there or elsewhere, with the same document."""

    async def apply(self, document: Document) -> None:
        """Make the lines what `document` says; those that it does not change go on undisturbed."""
        async with self._turn:
            self._document = document
            await self._apply(document)

    async def renew(self) -> None:
        """Read the user's profiles anew: devices whose profile is another one begin anew, the others go on."""
        async with self._turn:
            if self._document is not None:
                await self._apply(self._document)
            else:
                self._catalog = await asyncio.to_thread(load_catalog, self._user_catalog)

    async def _apply(self, document: Document) -> None:
        self._catalog = await asyncio.to_thread(load_catalog, self._user_catalog)
        lines, troubles = layout_of(document, self._catalog)
        gone = [line for line, running in self._layouts.items() if not _goes_on(running, lines.get(line))]
        await asyncio.gather(*(self._stop_line(line) for line in gone))
        for line, layout in lines.items():
            if line not in self._pollers:
                self._start_line(layout)
            self._take_off(self._pollers[line], layout.members)
        for line, layout in lines.items():
            await self._put_on(self._pollers[line], layout.members)
        self._layouts = lines
        self._memories.clear()
        for line in gone:
            if line not in lines:
                self._reports.line(_closed_line(line, self._clock))
        self._tell(document, troubles)

    @property
    def pollers(self) -> dict[str, Poller]:
        """The lines that run, by id."""
        return self._pollers

    @property
    def configured(self) -> list[DeviceConfig]:
        """The devices of the configuration, also those that cannot be read."""
        return list(self._known.values())

    @property
    def models(self) -> Catalog:
        """The catalogue in force."""
        return self._catalog

    async def stop(self) -> None:
        """End every line in good order."""
        await asyncio.gather(*(self._stop_line(line) for line in list(self._pollers)))

    # --- lines -------------------------------------------------------------------------------------------

    def _start_line(self, layout: LineLayout) -> None:
        poller = Poller(
            layout.id, layout.endpoint, self._reports, self._clock, is_modbus_tcp=layout.is_modbus_tcp
        )
        self._pollers[layout.id] = poller
        self._tasks[layout.id] = asyncio.create_task(self._keep(poller), name=f"bus-reader.{layout.id}")

    async def _keep(self, poller: Poller) -> None:
        backoff = Backoff(first_s=1.0, ceiling_s=30.0)
        while True:
            try:
                return await poller.run()
            except Exception as err:  # border of a child task: restarted with backoff
                log.exception("line crashed", extra={"line": poller.id})
                text = f"line {poller.id} stopped by an internal error, starting again: {err!r}"
                self._reports.event("line-crashed", "error", text, line=poller.id)
                await asyncio.sleep(backoff.next())

    async def _stop_line(self, line: str) -> None:
        poller, task = self._pollers.pop(line), self._tasks.pop(line)
        poller.stop()
        _, running = await asyncio.wait({task}, timeout=STOP_S)
        if running:
            log.error("line did not stop in time", extra={"line": line, "limit_s": STOP_S})
            task.cancel()
            await asyncio.wait({task})
        for device in poller.devices.values():
            self._memories[device.id] = device.memory

    def _take_off(self, poller: Poller, members: tuple[Member, ...]) -> None:
        """What is not read on this line any more, or otherwise."""
        wanted = {member.config.id: member for member in members}
        for device_id, device in list(poller.devices.items()):
            if wanted.get(device_id) != Member(device.config, device.listed):
                self._memories[device_id] = device.memory
                poller.remove(device_id)

    async def _put_on(self, poller: Poller, members: tuple[Member, ...]) -> None:
        for member in members:
            if member.config.id not in poller.devices:
                kept = await self._resume(member.config.id)
                device = Device(member.config, member.profile, poller.cost, self._memory(member.config, kept))
                device.refusals.recall(lacks_of(kept, member.config), self._clock.monotonic())
                poller.add(device)

    def _memory(self, config: DeviceConfig, kept: Kept) -> Memory | None:
        memory = self._memories.get(config.id)
        if memory is not None and memory.counters:
            return memory
        return memory_of(kept, config.direction, self._clock)

    async def _resume(self, device_id: str) -> Kept:
        backoff = Backoff()
        while True:
            try:
                known = await self._reports.resume(device_id)
                stop_if_cancelled()
                return known
            except BusDownError:
                await asyncio.sleep(backoff.next())

    # --- what cannot be read -----------------------------------------------------------------------------

    def _tell(self, document: Document, troubles: list[Trouble]) -> None:
        texts = set(self._catalog.problems)
        for text in texts - self._told:
            self._reports.event("catalog-problem", "warning", text)
        for trouble in troubles:
            text = f"{trouble.config.id}: {trouble.text}"
            texts.add(text)
            self._offline(trouble.config, trouble.text)
            if text not in self._told:
                self._reports.event(
                    "device-refused", "error", text, device=trouble.config.id, field=trouble.field
                )
        self._told = texts
        configs = {config.id: config for config in document.devices}
        for device_id, config in self._known.items():
            if device_id not in configs:
                self._left_out(config, "device-removed", "was removed from the configuration")
        for device_id, config in configs.items():
            before = self._known.get(device_id)
            if not config.enabled and before is not None and before.enabled:
                self._left_out(config, "device-disabled", "is disabled")
            elif not config.enabled:
                self._offline(config, "is disabled")
        self._known = configs

    def _left_out(self, config: DeviceConfig, kind: str, why: str) -> None:
        self._offline(config, why)
        self._reports.event(kind, "info", f"{config.id}: {why}", device=config.id, line=config.line)

    def _offline(self, config: DeviceConfig, error: str) -> None:
        state = DeviceState(
            device=config.id,
            online=False,
            since=self._clock.now(),
            line=config.line,
            unit=config.unit,
            model=config.model,
            error=error,
        )
        self._reports.device(state)

    def poller(self, line: str) -> Poller:
        """Raises `RefusedError` (`unknown-line`)."""
        poller = self._pollers.get(line)
        if poller is None:
            raise RefusedError(f"there is no line {line}", code="unknown-line", field="line")
        return poller

    # --- verbs -------------------------------------------------------------------------------------------

    async def command(self, args: DeviceCommand, _: Any) -> DeviceCommandDone:
        """Write one named point and read it back. Raises `CcmError` with the reason as its code."""
        for poller in self._pollers.values():
            device = poller.devices.get(args.device)
            if device is not None:
                value = await poller.command(Job(device, args.name, args.value, broadcast=args.broadcast))
                return DeviceCommandDone(device=args.device, name=args.name, value=value)
        if args.device in self._known:
            raise RefusedError(f"{args.device} is not being read", code="offline", field="device")
        raise RefusedError(f"there is no device {args.device}", code="unknown-device", field="device")

    async def catalog(self, args: CatalogQuery, _: Any) -> CatalogList:
        """The models of the catalogue. Raises `BadInputError` for one that does not exist."""
        if args.model is not None:
            return CatalogList(models=[self._shown(await self._found(args.model))])
        profiles = await asyncio.to_thread(self._catalog.models)
        brief: dict[str, Any] = {"points": [], "commands": []}
        return CatalogList(
            models=[
                self._shown(profile).model_copy(update=brief)
                for profile in profiles
                if args.brand is None or profile.id.startswith(f"{args.brand}/")
            ]
        )

    def _shown(self, profile: Profile) -> CatalogModel:
        return catalog_model(profile).model_copy(update={"own": self._catalog.is_own(profile.id)})

    async def _found(self, model: str) -> Profile:
        """Also of a file that the user has put there since the configuration changed last."""
        try:
            return self._catalog.find(model)
        except BadInputError:
            if not self._user_catalog.is_dir():
                raise
        self._catalog = await asyncio.to_thread(load_catalog, self._user_catalog)
        return self._catalog.find(model)


def _goes_on(running: LineLayout, wanted: LineLayout | None) -> bool:
    """Whether a running line can stay open."""
    return wanted is not None and (running.endpoint, running.is_modbus_tcp) == (
        wanted.endpoint,
        wanted.is_modbus_tcp,
    )


def _closed_line(line: str, clock: Clock) -> LineState:
    return LineState(line=line, open=False, ts=clock.now(), error="is not in the configuration any more")
