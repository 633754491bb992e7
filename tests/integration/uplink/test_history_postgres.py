"""uplink as a process with its history in a real PostgreSQL that is killed meanwhile."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from ccm_contracts.verbs.uplink import HistoryQuery
from ccm_kit.bus import Bus
from tests.integration.uplink.site import (
    START,
    connected,
    history,
    ledger,
    on_bus,
    publish,
    reading,
    refused,
    uplink_process,
)
from tests.support.nats import NatsServer
from tests.support.postgres import Postgres, postgres_server, timescaledb_server
from tests.support.wait import until


async def _has(api: Bus, number: int) -> None:
    async def is_there() -> bool:
        rows = (await ledger(api)).devices
        return bool(rows) and rows[0].readings == number

    await until(is_there, deadline_s=25, what=f"{number} readings in the ledger", interval_s=0.2)


@pytest.mark.parametrize("made", [postgres_server, timescaledb_server], ids=["plain", "timescaledb"])
async def test_kill_of_postgresql_stores_every_reading_once(
    nats: NatsServer, tmp_path: Path, made: Callable[[], AbstractAsyncContextManager[Postgres]]
) -> None:
    async with (
        made() as server,
        on_bus(nats, "bus-reader") as reader,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path, CCM_DATABASE_URL=server.url("postgresql")) as uplink,
    ):
        await publish(reader, *(reading(n) for n in range(100)))
        await _has(api, 100)
        await server.kill()
        await publish(reader, *(reading(n) for n in range(100, 200)))
        assert await refused(api, "history")
        await server.start()
        await publish(reader, *(reading(n) for n in range(200, 300)))
        await _has(api, 300)
        await uplink.kill()
        await publish(reader, *(reading(n) for n in range(300, 400)))
        await uplink.start()
        await _has(api, 400)
        assert (await connected(api, "history")).error is None
        query = HistoryQuery.model_validate(
            {"device": "grid", "from": START, "to": START.replace(hour=13), "metrics": ["p"]}
        )
        (series,) = (await history(api, query)).series
        assert [point[1] for point in series.points] == [10 * n for n in range(400)]
    assert not uplink.database.exists()
