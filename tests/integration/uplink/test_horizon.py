"""Up to when all has come: a sink that lags behind on a real NATS server, which is killed, too."""

from datetime import UTC, datetime, timedelta

from ccm_contracts.channels import TELEMETRY
from ccm_uplink.horizon import SETTLES_S, SLACK, Horizon
from tests.integration.uplink.site import START, on_bus, publish, reading
from tests.support.nats import NatsServer
from tests.support.wait import until

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Lagging:
    """A sink that has all up to `number`."""

    is_arranged = False
    number: int | None = None

    async def front(self) -> int | None:
        return self.number


async def test_period_is_whole_up_to_the_newest_reading_that_came(nats: NatsServer) -> None:
    async with on_bus(nats, "bus-reader") as reader, on_bus(nats, "uplink") as bus:
        await publish(reader, *(reading(seq, ts=START + seq * timedelta(minutes=1)) for seq in range(10)))
        sink = Lagging()
        horizon = Horizon(bus)
        assert await horizon.settled(NOW) is None  # what waits is not known yet
        horizon.of(sink)
        assert await horizon.settled(NOW) is None
        sink.is_arranged = True
        assert await horizon.settled(NOW) == NOW
        first = (await bus.stream_facts(TELEMETRY)).first_seq
        sink.number = first + 4
        assert await horizon.settled(NOW) == START + timedelta(minutes=4) - SLACK
        assert await horizon.settled(START) == START
        sink.number = first - 1
        assert await horizon.settled(NOW) is None


async def test_after_an_outage_of_the_bus_services_have_time_to_pass_on_what_they_kept(
    nats: NatsServer,
) -> None:
    async with on_bus(nats, "uplink") as bus:
        sink = Lagging()
        sink.is_arranged = True
        horizon = Horizon(bus)
        horizon.of(sink)
        assert await horizon.settled(NOW) == NOW
        await nats.kill()
        await until(lambda: not bus.is_connected, deadline_s=10, what="the loss of the bus")
        horizon.watch()
        await nats.start()
        await until(lambda: bus.is_connected, deadline_s=20, what="the bus")
        assert SETTLES_S > 10  # the longest pause between two tries of a service to reach the bus again
        assert await horizon.settled(NOW) is None
        assert await horizon.reached(NOW) == NOW
