"""bus-reader as a process on a real NATS server, with the simulated site on its wires."""

from pathlib import Path

import pytest

from ccm_contracts.channels import DEVICE_STATE, EVENT, LINE_STATE, MODE_STATE, TELEMETRY
from ccm_contracts.config.field import Device, Port
from ccm_contracts.messages import Reading
from ccm_contracts.state import DeviceState
from ccm_contracts.verb_table import CATALOG, DEVICE_COMMAND
from ccm_contracts.verbs.bus_reader import CatalogQuery, DeviceCommand
from ccm_kit.bus import Bus
from ccm_kit.errors import RefusedError
from ccm_sim import Site, demo_spec
from tests.support.bus import bus_as
from tests.support.field import reader_process
from tests.support.nats import NatsServer
from tests.support.wait import until


async def configure(bus: Bus, site: Site, *devices: Device) -> None:
    ports = [Port(id=name, kind="rs485", path=str(site.line_path(name))) for name in ("native", "ext")]
    await bus.write_config("ports", ports, seal=lambda text: text)
    await bus.write_config("devices", list(devices), seal=lambda text: text)


GRID = Device(id="grid", port="native", model="energyccm/ccm4", unit=1, poll_s=0.2)
ROOF = Device(id="roof", port="ext", model="goodwe/dns", unit=100, poll_s=0.5)
HOUSE = Device(id="house", port="ext", model="eastron/sdm630", unit=2, poll_s=0.5)


async def newest(bus: Bus, device: str, *, above: int = 0) -> Reading:
    async def reading() -> Reading | None:
        last = await bus.last(TELEMETRY, device=device)
        return last if last is not None and last.seq > above else None

    found = await until(reading, deadline_s=15, what=f"a reading of {device} above {above}")
    assert found is not None
    return found


async def state_of(bus: Bus, device: str, *, online: bool) -> DeviceState:
    async def state() -> DeviceState | None:
        last = await bus.last(DEVICE_STATE, id=device)
        return last if last is not None and last.online is online else None

    found = await until(state, deadline_s=15, what=f"{device} with online={online}")
    assert found is not None
    return found


async def all_seqs(bus: Bus, device: str, last: int) -> list[int]:
    """The numbers of the device's readings in the stream, in order, up to `last`."""
    seqs: list[int] = []
    consumer = bus.consumer(f"test-{device}", TELEMETRY)

    async def is_there() -> bool:
        for delivery in await consumer.fetch(500, 0.2):
            if delivery.message.device == device:
                seqs.append(delivery.message.seq)
            await delivery.ack()
        return bool(seqs) and seqs[-1] >= last

    await until(is_there, deadline_s=15, what=f"reading {last} of {device}")
    await consumer.close()
    return seqs


async def test_site_is_read_restarted_killed_and_changed(nats: NatsServer, tmp_path: Path) -> None:
    async with Site(demo_spec(), tmp_path / "site") as site, bus_as(nats, "api") as bus:
        farm = site.tcp_address
        assert farm is not None
        tcp = Device(id="farm", host=farm[0], tcp_port=farm[1], model="huawei/sun2000", unit=1, poll_s=0.5)
        await configure(bus, site, GRID, ROOF, HOUSE, tcp)

        async with reader_process(nats, tmp_path) as process:
            for device in ("grid", "roof", "house", "farm"):
                reading = await newest(bus, device)
                assert reading.values["p"] is not None, device
                assert reading.quality == "good"
                state = await state_of(bus, device, online=True)
                assert state.error is None
            assert (await state_of(bus, "grid", online=True)).serial
            assert await bus.last(MODE_STATE, id="bus-reader") is not None
            before = await newest(bus, "grid", above=5)
            await process.kill()

        async with reader_process(nats, tmp_path) as process:
            after = await newest(bus, "grid", above=before.seq + 5)
            seqs = await all_seqs(bus, "grid", after.seq)
            assert seqs == list(range(1, len(seqs) + 1))

            # A change of one line leaves the other alone.
            lines = await bus.last(LINE_STATE, id="native")
            assert lines is not None
            assert lines.open
            opened = await bus.last(EVENT, source="bus-reader", kind="line-open")
            assert opened is not None
            await configure(bus, site, GRID, HOUSE.model_copy(update={"unit": 77}))
            assert "unit 77: no reply" in ((await state_of(bus, "house", online=False)).error or "")
            assert (await state_of(bus, "farm", online=False)).error == "was removed from the configuration"
            removed = await bus.last(EVENT, source="bus-reader", kind="device-removed")
            assert removed is not None
            assert removed.data["device"] in ("farm", "roof")
            await newest(bus, "grid", above=after.seq + 5)
            assert await bus.last(EVENT, source="bus-reader", kind="line-open") == opened
            assert process.is_running

            # What cannot be read is said, and costs the others nothing.
            bad = Device(id="odd", port="ext", model="eastron/sdm999", unit=3)
            await configure(bus, site, GRID, HOUSE, bad)
            assert "sdm630" in ((await state_of(bus, "odd", online=False)).error or "")
            await state_of(bus, "house", online=True)


async def test_verbs_write_refuse_and_list(nats: NatsServer, tmp_path: Path) -> None:
    async with Site(demo_spec(), tmp_path / "site") as site, bus_as(nats, "api") as bus:
        await configure(bus, site, GRID)
        async with reader_process(nats, tmp_path):
            await newest(bus, "grid")
            shown = await bus.call(CATALOG, CatalogQuery(model="energyccm/ccm4"), issued_by="test")
            command = shown.models[0].commands[0]
            value = command.minimum
            done = await bus.call(
                DEVICE_COMMAND, DeviceCommand(device="grid", name=command.name, value=value), issued_by="test"
            )
            assert done.value == value
            for device, name, wanted, code in (
                ("none", command.name, value, "unknown-device"),
                ("grid", "no-such", value, "unknown-command"),
                ("grid", command.name, command.maximum + 1, "out-of-range"),
            ):
                args = DeviceCommand(device=device, name=name, value=wanted)
                with pytest.raises(RefusedError) as refusal:
                    await bus.call(DEVICE_COMMAND, args, issued_by="test")
                assert refusal.value.code == code
            brands = await bus.call(CATALOG, CatalogQuery(brand="eastron"), issued_by="test")
            assert "eastron/sdm630" in {model.id for model in brands.models}
