"""Listens for other masters as the configuration says, and tells who is connected."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Final

from ccm_bus_reader.poller import Poller
from ccm_bus_reader.server.cache import Registers
from ccm_bus_reader.server.client import Answer, Client
from ccm_bus_reader.server.frames import NO_PATH, Asked
from ccm_bus_reader.server.own import Own
from ccm_bus_reader.server.sharing import Sharing
from ccm_contracts.channels import MODBUS_STATE
from ccm_contracts.config.document import Document
from ccm_contracts.config.modbus import ModbusServer
from ccm_contracts.state import ModbusClient, ModbusServerState, SharedLineState
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Bus

log = logging.getLogger(__name__)

OWN_UNITS: Final = (0, 255)
"""A server's own values (Messaging on TCP/IP V1.0b, 4.4.2.1: 0xFF, and 0 is accepted too)."""
REPORT_S: Final = 5.0
BACKLOG: Final = 16
UNUSED_S: Final = 5.0
"""A connection without a request for so long makes room for another client (V1.0b, 4.2.2: the oldest unused one)."""
STATE_ID: Final = "server"


class _Router:
    """A `Target`: the gateway's own registers, and one line's units."""

    def __init__(self, own: Own, shared: Sharing | None) -> None:
        self._own = own
        self._shared = shared

    def at_once(self, asked: Asked) -> Answer | None:
        if asked.unit in OWN_UNITS:
            return self._own.at_once(asked)
        return NO_PATH if self._shared is None or asked.unit > 247 else self._shared.at_once(asked)

    async def later(self, asked: Asked, client: str) -> Answer:
        target = self._own if asked.unit in OWN_UNITS else self._shared
        return NO_PATH if target is None else await target.later(asked, client)


class ModbusHost:
    """`apply` follows the configuration; `stop` hangs up."""

    def __init__(self, bus: Bus, pollers: Callable[[], Mapping[str, Poller]]) -> None:
        self._bus = bus
        self._pollers = pollers
        self._settings = ModbusServer()
        self._own = Own(bus, writes=False)
        self._shared: dict[str, Sharing] = {}
        self._clients: set[Client] = set()
        self._running: asyncio.Task[None] | None = None
        self._errors: dict[int, str] = {}
        """By port: why it cannot be listened at."""

    async def apply(self, document: Document) -> None:
        """Begin, change or end; connections last as long as the settings do."""
        settings = document.modbus_server
        if settings != self._settings:
            await self.stop()
            self._settings = settings
            if settings.enabled:
                self._begin()
            else:
                self._bus.state(MODBUS_STATE, ModbusServerState(listening=False), id=STATE_ID)
        self._own.use(document)
        for line, sharing in self._shared.items():
            poller = self._pollers().get(line)
            if poller is not None:
                poller.share(sharing.registers)

    async def stop(self) -> None:
        """Hang up, and listen no more."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait({running})
        for client in list(self._clients):
            client.close()
        for line in self._shared:
            poller = self._pollers().get(line)
            if poller is not None:
                poller.share(None)
        self._shared.clear()

    def _begin(self) -> None:
        settings, clock = self._settings, self._bus.clock
        self._own = Own(self._bus, writes=settings.writes)
        self._errors.clear()
        lines = [settings.line] if settings.line else []
        for line in [*lines, *(shared.line for shared in settings.more)]:
            self._shared[line] = Sharing(
                lambda line=line: self._pollers().get(line),  # type: ignore[misc]
                Registers(settings.max_age_s),
                clock,
                writes=settings.writes,
            )
        self._running = asyncio.create_task(self._keep(), name="bus-reader.server")

    async def _keep(self) -> None:
        backoff = Backoff(1.0, 30.0)
        while True:
            try:
                await self._run()
            except Exception as err:  # border of a child task: restarted with backoff
                log.exception("Modbus server crashed")
                text = f"Modbus server stopped by an internal error, starting again: {err!r}"
                self._bus.event("modbus-server", "error", text)
                await asyncio.sleep(backoff.next())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._own.run(), name="bus-reader.server.own")
            tasks.create_task(self._report(), name="bus-reader.server.report")
            main = self._shared.get(self._settings.line) if self._settings.line else None
            tasks.create_task(self._listen(self._settings.port, main), name="bus-reader.server.main")
            for each in self._settings.more:
                tasks.create_task(
                    self._listen(each.port, self._shared[each.line]), name=f"bus-reader.server.{each.line}"
                )

    async def _listen(self, port: int, shared: Sharing | None) -> None:
        """On every interface; a port that is taken is tried again."""
        router, backoff = _Router(self._own, shared), Backoff(1.0, 30.0)
        loop = asyncio.get_running_loop()
        while True:
            try:
                server = await loop.create_server(lambda: self._welcome(router), None, port, backlog=BACKLOG)
            except OSError as err:
                why = os.strerror(err.errno).lower() if err.errno else str(err)
                self._failed(port, f"port {port} cannot be used: {why}")
                await asyncio.sleep(backoff.next())
                continue
            self._errors.pop(port, None)
            self._bus.state(MODBUS_STATE, self._state(), id=STATE_ID)
            try:
                await server.serve_forever()
            finally:
                server.close()

    def _failed(self, port: int, reason: str) -> None:
        """Told once, and shown from now on."""
        if self._errors.get(port) != reason:
            self._bus.event("modbus-server", "error", f"Modbus server: {reason}", port=port)
        self._errors[port] = reason
        self._bus.state(MODBUS_STATE, self._state(), id=STATE_ID)

    def _welcome(self, router: _Router) -> asyncio.Protocol:
        clock = self._bus.clock
        client = _Guarded(router, self._settings.requests_per_s, clock, self._clients.discard)
        client.allows = self._allows
        self._clients.add(client)
        return client

    def _allows(self, address: str) -> bool:
        """Whether one more from there may come in."""
        if len(self._clients) > self._settings.clients and not self._has_made_room():
            log.warning("too many Modbus clients", extra={"client": address, "most": self._settings.clients})
            return False
        networks = [ip_network(each) for each in self._settings.allow]
        try:
            source = ip_address(address.removeprefix("::ffff:"))
        except ValueError:
            return not networks
        return not networks or any(source in network for network in networks)

    def _has_made_room(self) -> bool:
        oldest = max(self._clients, key=lambda client: client.unused_s)
        if oldest.unused_s < UNUSED_S:
            return False
        self._clients.discard(oldest)
        oldest.close()
        return True

    async def _report(self) -> None:
        while True:
            for client in list(self._clients):
                if client.is_idle:
                    client.close()
            self._bus.state(MODBUS_STATE, self._state(), id=STATE_ID)
            await asyncio.sleep(REPORT_S)

    def _state(self) -> ModbusServerState:
        clients = [
            ModbusClient(address=each.address, requests=each.requests, refused=each.refusals)
            for each in self._clients
        ]
        lines = [
            SharedLineState(line=line, from_memory=each.from_memory, on_line=each.on_line)
            for line, each in self._shared.items()
        ]
        return ModbusServerState(
            listening=self._settings.port not in self._errors,
            port=self._settings.port,
            error="; ".join(self._errors.values()) or None,
            clients=clients,
            lines=lines,
        )


class _Guarded(Client):
    """A client that is let in, or not."""

    allows: Callable[[str], bool] = staticmethod(lambda _: True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self.allows(self.address):
            self.close()
