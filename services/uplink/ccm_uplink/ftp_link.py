"""The FTP link as the service sees it: its spool, the sink in force, and what can be asked of it."""

from typing import Any, Final

from pydantic import ValidationError

from ccm_contracts.config.document import Document
from ccm_contracts.config.services import Ftp
from ccm_contracts.messages import Command
from ccm_contracts.verb_table import FTP_SEND, FTP_TEST
from ccm_contracts.verbs.uplink import FtpSend, FtpSendStarted, LinkTest, LinkTestReport
from ccm_kit.bus import Answer
from ccm_kit.errors import BadInputError, RefusedError
from ccm_kit.problems import field_text, problems_in
from ccm_kit.service import Context
from ccm_uplink.commands import Offer
from ccm_uplink.ftp_plan import FtpPlan
from ccm_uplink.horizon import Horizon
from ccm_uplink.link import LinkReport
from ccm_uplink.sinks.base import Discard, Sink
from ccm_uplink.spool.worker import SpoolWorker

DIRECTORY: Final = "ftp"
"""The spool's place in the data directory."""


class FtpLink:
    """One for the life of the service; sinks come and go with the configuration, the spool stays."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.report = LinkReport(context.bus, "ftp", counts="files")
        self._spool = SpoolWorker(context.settings.data_dir / DIRECTORY, context.clock.now)
        self.horizon = Horizon(context.bus)
        self._stored = Ftp()
        self._sink: Any = None

    def plan_of(self, document: Document) -> FtpPlan:
        self._stored = document.ftp
        return FtpPlan(document.ftp, document.historic, document.timezone)

    def sink(self, plan: FtpPlan) -> Sink:
        """The sink for this configuration; from now on it is the one that is asked to send."""
        self._sink = None
        if not plan.is_enabled:
            return Discard()
        from ccm_uplink.sinks.ftp import FtpSink  # a gateway without FTP does without its memory

        self._sink = made = FtpSink(plan, self._spool, self._context.bus, self.report, self.horizon)
        return made

    def answers(self) -> tuple[Answer[LinkTest, LinkTestReport], Answer[FtpSend, FtpSendStarted]]:
        async def test(args: LinkTest, _: Command[LinkTest]) -> LinkTestReport:
            from ccm_uplink.sinks.ftp_probe import probe

            return await probe(self._candidate(args))

        async def send(_: FtpSend, __: Command[FtpSend]) -> FtpSendStarted:
            return await self._send()

        return Answer(FTP_TEST, test), Answer(FTP_SEND, send)

    def offers(self) -> dict[tuple[str, str], Offer]:
        """What may be commanded over MQTT."""

        async def send(_: Command[FtpSend]) -> FtpSendStarted:
            return await self._send()

        return {(FTP_SEND.service, FTP_SEND.verb): Offer("send", FtpSend, send)}

    async def _send(self) -> FtpSendStarted:
        if self._sink is None:
            text = "FTP sending is off: enable the FTP service, and sending in Settings > Historic"
            raise RefusedError(text, code="disabled")
        started: FtpSendStarted = await self._sink.send_now()
        return started

    def _candidate(self, args: LinkTest) -> Ftp:
        """The settings to try; a masked password is the stored one."""
        try:
            wanted = Ftp.model_validate(args.settings, context={"unseal": self._context.box.unseal})
        except ValidationError as err:
            loc, reason = problems_in(err)[0]
            raise BadInputError(reason, code="invalid", field=field_text(loc) or None) from err
        tls, stored = wanted.tls_certificate, self._stored.tls_certificate
        if tls.client_key.is_mask:
            tls = tls.model_copy(update={"client_key": stored.client_key})
        password = self._stored.password if wanted.password.is_mask else wanted.password
        return wanted.model_copy(update={"password": password, "tls_certificate": tls})

    def close(self) -> None:
        self._spool.close()
