"""An internal error of the Modbus server: told, and the server answers again on its own."""

import asyncio
from typing import Any, cast

from pymodbus.client import AsyncModbusTcpClient

from ccm_bus_reader.server.host import ModbusHost
from ccm_contracts.channels import EVENT, MODBUS_STATE
from ccm_contracts.config.document import Document
from ccm_contracts.config.modbus import ModbusServer
from ccm_contracts.messages import Event
from ccm_contracts.state import ModbusServerState
from ccm_kit.bus import Bus
from tests.support.bus import bus_as
from tests.support.nats import NatsServer
from tests.support.ports import free_port
from tests.support.wait import until


class TornBus:
    """The real one, but for so many states that cannot be told."""

    def __init__(self, bus: Bus) -> None:
        self.failures = 0
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def state(self, *args: Any, **named: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError("a state that cannot be told")
        self._bus.state(*args, **named)


async def own_version(port: int) -> int | None:
    """The first of the gateway's own registers, docs/modbus-server.md; None where nobody listens."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1, retries=0)
    try:
        if not await client.connect():
            return None
        reply = await client.read_input_registers(0, count=1, device_id=255)
        return reply.registers[0]
    finally:
        client.close()


async def test_modbus_server_that_crashes_answers_again_and_says_why(nats: NatsServer) -> None:
    port = free_port()
    async with bus_as(nats, "bus-reader") as bus:
        torn = TornBus(bus)
        host = ModbusHost(cast("Bus", torn), dict)
        await host.apply(Document(modbus_server=ModbusServer(enabled=True, port=port)))
        try:
            assert await until(lambda: own_version(port), deadline_s=10, what="an answer") == 1
            torn.failures = 1

            async def told() -> Event | None:
                return await bus.last(EVENT, source="bus-reader", kind="modbus-server")

            event = await until(told, deadline_s=15, what="the event of the crash")
            assert event is not None
            assert event.severity == "error"
            assert "stopped by an internal error, starting again" in event.message
            assert await until(lambda: own_version(port), deadline_s=10, what="an answer again") == 1
        finally:
            await host.stop()
        assert await own_version(port) is None

        async def state() -> ModbusServerState | None:
            last = await bus.last(MODBUS_STATE, id="server")
            return last if last is not None and last.listening else None

        assert await until(state, deadline_s=5, what="the state of the server that was started again")
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("bus-reader.server")] == []
