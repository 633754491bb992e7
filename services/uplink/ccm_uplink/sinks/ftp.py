"""FTP as a sink: messages are safe in the spool, become files on schedule, and are sent oldest first.

A message is acknowledged on the bus when it is on disk in the spool, not at the server's 226: a day of readings would
be millions of messages in hand. From there on the spool is the outbox, with its own bound; when it is full nothing more
is accepted and the stream keeps what comes.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from ccm_contracts.messages import Balance, Reading
from ccm_contracts.state import FtpOutbox
from ccm_contracts.verbs.uplink import FtpSendStarted
from ccm_kit.backoff import Backoff
from ccm_kit.bus import Bus
from ccm_kit.cancelling import stop_if_cancelled
from ccm_kit.errors import RefusedError
from ccm_uplink.ftp_plan import FtpPlan
from ccm_uplink.horizon import Horizon
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Handover, SinkDownError
from ccm_uplink.sinks.ftp_client import FtpSession, ftp_session
from ccm_uplink.sinks.ftp_errors import FtpError
from ccm_uplink.sinks.ftp_upload import Note, upload
from ccm_uplink.spool.spool import MOST_SPOOL_MB, Spool, SpoolFullError, Waiting
from ccm_uplink.spool.worker import SpoolWorker

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 1.0
RETRY_CEILING_S: Final = 60.0
CLOCK_BACK: Final = timedelta(seconds=2)
"""A period that begins later than now was begun before the clock was set right."""
GRACE: Final = timedelta(seconds=10)
"""With a latency, a period is looked at so long after its end: its last reading needs a moment to come here."""
HELD_S: Final = 600.0
"""With a latency, so long at most a file is held while what belongs to its periods is still on its way here."""
BUDGET_LOOK_S: Final = 60.0
"""How often the day's budget is asked whether a file may go on."""
LOOK_S: Final = 1.0
"""How often the clock and the journal's length are looked at."""


class _BudgetUsedUpError(Exception):
    """The day's bytes are used up in the middle of a file: it goes on where it stopped."""


class FtpSink:
    """Delivered means: on disk in the spool."""

    def __init__(
        self, plan: FtpPlan, spool: SpoolWorker, bus: Bus, report: LinkReport, horizon: Horizon
    ) -> None:
        self._plan = plan
        self._horizon = horizon
        self._held_since_s: float | None = None
        self._whole_to: datetime | None = None
        """Up to where periods were looked for when a long journal was cut last."""
        self._spool = spool
        self._bus = bus
        self._report = report
        self._options = plan.options(bus.gateway)
        self._schedule = plan.schedule
        self._grace = GRACE if plan.historic.latency_s else timedelta()
        self._note = Note(spool.directory / "renaming", plan.ftp)
        self._wake = asyncio.Event()
        self._is_full = False
        self._newest_sent = 0
        self._is_live = True
        self._counted_bytes: int | None = None
        """Of the file that is being sent: where the meter stands."""
        self._shown = FtpOutbox()

    # --- from the bus --------------------------------------------------------------------------------

    async def deliver(self, batch: Handover) -> None:
        deliveries = batch.left()
        lines = [_line(delivery.message) for delivery in deliveries]
        try:
            await self._spool.do(lambda spool: spool.accept(lines))
        except SpoolFullError as err:
            self._tell_full()
            raise SinkDownError(
                f"{MOST_SPOOL_MB} MB of files wait for the server: no more is accepted"
            ) from err
        except OSError as err:
            raise SinkDownError(f"the spool cannot be written: {err.strerror or err}") from err
        self._is_full = False
        await batch.done(*deliveries)

    def _tell_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            text = f"{MOST_SPOOL_MB} MB of files wait for the FTP server; new readings wait in the stream"
            self._bus.event("ftp-spool-full", "error", text)

    # --- to the server -------------------------------------------------------------------------------

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._cutting(), name="uplink.ftp.cut")
            tasks.create_task(self._sending(), name="uplink.ftp.send")

    async def send_now(self) -> FtpSendStarted:
        """Make a file of what was collected, and send all that waits, at once. Raises `RefusedError`."""
        try:
            now = self._bus.clock.now()
            over = now - self._grace
            await self._cut(now, (await self._horizon.reached(over) if self._grace else None) or over)
            waiting = await self._spool.waiting()
        except OSError as err:
            raise RefusedError(f"no file can be made: {err.strerror or err}", code="disk") from err
        self._wake.set()
        return FtpSendStarted(
            files=len(waiting),
            bytes=sum(file.size for file in waiting),
            sent_files_at_end=self._shown.sent_files + len(waiting),
        )

    async def _cutting(self) -> None:
        while True:
            try:
                await self._cut_when_due()
            except OSError as err:
                self._report.down(f"no file can be made: {err.strerror or err}")
            await self._show()
            await asyncio.sleep(LOOK_S)

    async def _cut_when_due(self) -> None:
        now = self._bus.clock.now() - self._grace
        self._horizon.watch()
        began, is_long = await self._spool.do(lambda spool: (spool.began, spool.is_long))
        due = self._schedule.next_after(began)
        self._shown = self._shown.model_copy(update={"next_file": max(due, self._schedule.latest(now))})
        if began > now + CLOCK_BACK + self._grace:
            await self._spool.do(lambda spool: spool.begin_again(now))
        elif now >= due:
            end = self._schedule.latest(now)
            if until := await self._held(end):
                await self._cut(end, until)
        elif is_long and (until := await self._whole(now)) and self._has_new_periods(until):
            self._whole_to = until
            await self._cut(now, until)

    async def _whole(self, moment: datetime) -> datetime | None:
        """`moment`, or up to where periods are whole before; None: not known now."""
        return await self._horizon.settled(moment) if self._options.latency_s else moment

    async def _held(self, end: datetime) -> datetime | None:
        """`end` once all that belongs to the periods before it is here; None: not yet. After `HELD_S` what there is."""
        now_s, whole = self._bus.clock.monotonic(), await self._whole(end)
        if whole != end:
            self._held_since_s = self._held_since_s or now_s
            if now_s - self._held_since_s < HELD_S:
                return None
        self._held_since_s = None
        return whole or end

    def _has_new_periods(self, until: datetime) -> bool:
        """Whether a file would hold more than the one before."""
        latency_s, before = self._options.latency_s, self._whole_to
        if not latency_s or before is None:
            return True
        return before.timestamp() // latency_s != until.timestamp() // latency_s

    async def _cut(self, end: datetime, until: datetime | None = None) -> None:
        end = end.replace(microsecond=0)
        made = await self._spool.do(lambda spool: spool.cut(end, self._options, until))
        if made is not None:
            log.info("file made", extra={"file": made.name, "bytes": made.size})
            self._wake.set()

    async def _sending(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_CEILING_S)
        while True:
            self._wake.clear()
            try:
                await self._send_all(backoff)
                await self._rest(BUDGET_LOOK_S if self._shown.files else None)
                continue
            except _BudgetUsedUpError:
                self._shown = self._shown.model_copy(update={"sending": None})
                await self._rest(BUDGET_LOOK_S)
                continue
            except FtpError as err:
                self._report.down(str(err))
            except OSError as err:
                self._report.down(f"a file cannot be read: {err.strerror or err}")
            self._shown = self._shown.model_copy(update={"sending": None})
            await self._rest(backoff.next())

    async def _rest(self, wait_s: float | None) -> None:
        """Until there is something new to send, but not longer than `wait_s`."""
        stop_if_cancelled()  # by new settings, while aioftp waited
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    async def _send_all(self, backoff: Backoff) -> None:
        """One session for all that waits; without files it shows whether the server takes us."""
        async with ftp_session(self._plan.ftp) as session:
            await session.enter(self._plan.ftp.directory)
            self._report.up()
            while file := self._next_of(await self._spool.waiting()):
                await self._send(session, file)
                backoff.reset()
                stop_if_cancelled()

    def _next_of(self, waiting: list[Waiting]) -> Waiting | None:
        """Oldest first; live first, one that is newer than all that were sent goes before. None: nothing may go now."""
        meter, now = self._report.meter, self._bus.clock.now()
        if not waiting or meter.is_exhausted(now):
            return None
        newest = waiting[-1]
        if self._plan.ftp.backlog.order == "oldest-first":
            return waiting[0]
        self._is_live = newest.sequence > self._newest_sent
        if self._is_live:
            self._newest_sent = newest.sequence
            return newest
        return waiting[0] if meter.may_send_backlog(now) else None

    async def _send(self, session: FtpSession, file: Waiting) -> None:
        self._counted_bytes = None
        self._shown = self._shown.model_copy(
            update={"sending": file.name, "sent_bytes": 0, "total_bytes": file.size}
        )
        await upload(session, file, self._note, self._progress)
        await self._spool.do(lambda spool: spool.remove(file))
        await asyncio.to_thread(self._note.forget, file)
        log.info("file sent", extra={"file": file.name, "bytes": file.size})
        update = {
            "sending": None,
            "last_file": file.name,
            "last_sent": self._bus.clock.now(),
            "sent_files": self._shown.sent_files + 1,
        }
        self._shown = self._shown.model_copy(update=update)
        await self._show()

    # --- to the operator -----------------------------------------------------------------------------

    def _progress(self, sent_bytes: int) -> None:
        """Told where a file goes on from, then after each block. Raises `_BudgetUsedUpError`."""
        counted, self._counted_bytes = self._counted_bytes, sent_bytes
        self._shown = self._shown.model_copy(update={"sent_bytes": sent_bytes})
        if counted is None or sent_bytes <= counted:
            return
        meter, now = self._report.meter, self._bus.clock.now()
        meter.sent(sent_bytes - counted, now, is_live=self._is_live)
        if meter.is_exhausted(now) and sent_bytes < self._shown.total_bytes:
            raise _BudgetUsedUpError

    async def _show(self) -> None:
        with suppress(OSError):
            figures = await self._spool.do(_figures)
            self._shown = self._shown.model_copy(update=figures)  # as it is now: a file may be done meanwhile
        self._report.show_ftp(self._shown)


def _figures(spool: Spool) -> dict[str, object]:
    waiting = spool.waiting()
    return {
        "files": len(waiting),
        "bytes": sum(file.size for file in waiting),
        "oldest": waiting[0].end if waiting else None,
        "collecting_bytes": spool.collecting_bytes,
    }


def _line(message: Reading | Balance) -> bytes:
    return message.model_dump_json().encode()
