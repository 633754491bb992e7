"""Two uplinks on one bus: one delivers, the other stands by and goes on when the first is gone (docs/adr/0007)."""

from pathlib import Path

from ccm_contracts.config.services import Mqtt
from ccm_contracts.state import LinkLedger
from ccm_kit.bus import Bus
from ccm_uplink.lease import Owner
from tests.integration.uplink.mqtt_rig import seen
from tests.integration.uplink.site import (
    Uplink,
    configure,
    connected,
    ledger,
    on_bus,
    publish,
    reading,
    uplink_process,
)
from tests.support.mosquitto import Mosquitto, mosquitto_broker
from tests.support.nats import NatsServer
from tests.support.wait import until
from tests.support.witness import witness

TAKES_OVER_S = 30
"""The lease ends after 10 s, is asked for each 3 s, and what the dead one had in hand comes again after 8 s."""


async def test_same_directory_keeps_its_name_and_a_second_process_gets_another(tmp_path: Path) -> None:
    first = Owner(tmp_path)
    assert Owner(tmp_path).name != first.name
    name = first.name
    first.close()
    assert Owner(tmp_path).name == name


def connections(broker: Mosquitto) -> int:
    return broker.log.count(" as gw1 ")


def leads(uplink: Uplink) -> bool:
    return "this uplink delivers" in uplink.log.rpartition("another uplink delivers")[2]


async def test_uplink_stands_by_and_goes_on_when_the_leading_one_is_killed(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with (
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        mosquitto_broker(tmp_path / "broker") as broker,
        uplink_process(nats, tmp_path / "one") as one,
        witness(broker.port, "/ccm/srv/telemetry/#", qos=1) as listener,
    ):
        async with uplink_process(nats, tmp_path / "two") as two:
            given = {"enabled": True, "port": broker.port, "client_id": "gw1", "latency_s": 0}
            await configure(api, one, "mqtt", Mqtt.model_validate(given))
            await connected(api, "mqtt")
            await publish(reader, *(reading(n) for n in range(300)))
            await _all_booked(api, 300)
            assert connections(broker) == 1
            assert (leads(one), leads(two)) == (True, False)

            await one.kill()
            await publish(reader, *(reading(n) for n in range(300, 500)))
            await _all_booked(api, 500)
            assert leads(two)
            assert (connections(broker), "already connected" in broker.log) == (2, False)
            assert set(seen(listener)) == set(range(500))
            assert sorted({*one.stored(), *two.stored()}) == list(range(500))

            await one.start()
            await publish(reader, *(reading(n) for n in range(500, 600)))
            await _all_booked(api, 600)
            assert connections(broker) == 2
        # the one that was stopped gave the lease back: no need to wait for its end
        await publish(reader, *(reading(n) for n in range(600, 700)))
        await _all_booked(api, 700)
        assert "already connected" not in broker.log


async def _all_booked(api: Bus, total: int) -> None:
    """The ledger of both links says that all are delivered, and none is missing; whoever is asked."""

    async def is_right() -> bool:
        books = (await ledger(api)).links
        found = {book.link: book for book in books}
        return all(link in found and _tells(found[link], total) for link in ("mqtt", "history"))

    await until(is_right, deadline_s=TAKES_OVER_S + 15, what=f"{total} in both ledgers", interval_s=0.5)


def _tells(book: LinkLedger, total: int) -> bool:
    assert book.missing == []
    return [(each.delivered, each.complete_to) for each in book.devices] == [(total, total - 1)]
