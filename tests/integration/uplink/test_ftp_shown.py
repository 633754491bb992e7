"""The FTP sink by itself: with a disk that keeps its figures back, and cancelled in the moment of a result."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ccm_contracts.config.services import Ftp, Historic, HistoricFtp
from ccm_contracts.state import FtpOutbox
from ccm_contracts.types import Secret
from ccm_uplink.ftp_plan import FtpPlan
from ccm_uplink.horizon import Horizon
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.ftp import FtpSink
from ccm_uplink.spool.spool import Spool, Waiting
from ccm_uplink.spool.worker import SpoolWorker
from tests.integration.uplink.site import on_bus, reading
from tests.support.ftp import FtpServer
from tests.support.nats import NatsServer
from tests.support.wait import LEAST_S, until

T = TypeVar("T")


class SlowSpool(SpoolWorker):
    """Keeps the next figures of the outbox back until it is told to give them."""

    is_keeping = False
    kept: asyncio.Event | None = None

    async def do(self, work: Callable[[Spool], T]) -> T:
        found = await super().do(work)
        if self.is_keeping and isinstance(found, dict):
            self.is_keeping, self.kept = False, asyncio.Event()
            await self.kept.wait()
        return found


class Dropping(SpoolWorker):
    """Drops a cancellation, as `asyncio.wait_for` does that comes in the moment of its result (CPython gh-86296)."""

    has_dropped = False
    is_asked = False

    async def waiting(self) -> list[Waiting]:
        self.is_asked = True
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        self.has_dropped = True
        return []


class Told(LinkReport):
    """Keeps what it was told last."""

    outbox = FtpOutbox()
    count = 0

    def show_ftp(self, outbox: FtpOutbox) -> None:
        self.outbox, self.count = outbox, self.count + 1
        super().show_ftp(outbox)


def plan_of(server: FtpServer) -> FtpPlan:
    settings = Ftp(enabled=True, port=server.port, user=server.user, password=Secret(server.password))
    return FtpPlan(settings, Historic(ftp=HistoricFtp(enabled=True, every_s=3600)), "Europe/Madrid")


async def test_file_that_is_sent_while_the_figures_are_read_is_shown_as_sent(
    nats: NatsServer, ftp: FtpServer, tmp_path: Path
) -> None:
    plan = plan_of(ftp)
    async with on_bus(nats, "uplink") as bus:
        spool, report = SlowSpool(tmp_path / "spool", bus.clock.now), Told(bus, "ftp")
        sink = FtpSink(plan, spool, bus, report, Horizon(bus))
        running = asyncio.create_task(sink.run(), name="ftp")
        try:
            spool.is_keeping = True
            await until(lambda: spool.kept, deadline_s=10, what="the figures to be on their way")
            line = reading(1).model_dump_json().encode()
            await spool.do(lambda found: found.accept([line]))
            await sink.send_now()
            await until(lambda: report.outbox.last_file, deadline_s=20, what="the file to be sent")
            sent, count = report.outbox, report.count
            assert spool.kept
            spool.kept.set()
            await until(lambda: report.count > count + 1, deadline_s=10, what="the figures, twice")
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            spool.close()
    assert ftp.names() == [sent.last_file]
    assert (report.outbox.last_file, report.outbox.sending, report.outbox.sent_files) == (
        sent.last_file,
        None,
        1,
    )


async def test_sink_that_is_replaced_in_the_moment_of_a_result_ends(
    nats: NatsServer, ftp: FtpServer, tmp_path: Path
) -> None:
    """Else it would go on with the old settings, and the new ones would never be used."""
    async with on_bus(nats, "uplink") as bus:
        spool = Dropping(tmp_path / "spool", bus.clock.now)
        sink = FtpSink(plan_of(ftp), spool, bus, LinkReport(bus, "ftp"), Horizon(bus))
        running = asyncio.create_task(sink.run(), name="ftp")
        await until(lambda: spool.is_asked, deadline_s=10, what="a session that looks what waits")
        running.cancel()
        await asyncio.wait({running}, timeout=LEAST_S)
        assert spool.has_dropped
        assert running.cancelled()
        spool.close()
