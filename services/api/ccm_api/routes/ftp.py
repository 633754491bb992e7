"""The FTP service under the portal's menu name: its settings, their test, what waits, and "send now"."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body

from ccm_api.deps import AdminDep, AuditDep, CommandIdDep, OperatorDep, SiteDep, ViewerDep, command
from ccm_api.problems import not_found
from ccm_api.routes.section_paths import SectionPath, serve
from ccm_api.routes.services import candidate
from ccm_contracts.config.services import Ftp
from ccm_contracts.state import LinkState
from ccm_contracts.verb_table import FTP_SEND, FTP_TEST
from ccm_contracts.verbs.uplink import FtpSend, FtpSendStarted, LinkTest, LinkTestReport

router = APIRouter(prefix="/services/ftp", tags=["configuration"])

_EXAMPLE: Final = {
    "enabled": True,
    "server": "ftp.example",
    "port": 21,
    "directory": "/data",
    "user": "gw",
    "password": "********",
    "tls": "explicit",
}
Section = Annotated[Any, Body(examples=[_EXAMPLE])]


serve(
    router,
    SectionPath(
        "",
        "ftp",
        Ftp,
        (
            "The FTP service",
            "The section `ftp` of the configuration; its `ETag` is what `PUT` wants in `If-Match`.",
        ),
        (
            "Change the FTP service",
            "A secret sent as `********` stays as it is. Takes effect at once; what waits is sent to the new server.",
        ),
        _EXAMPLE,
    ),
)


@router.post("/test", summary="Try FTP settings without saving them")
async def test_ftp(body: Section, site: SiteDep, who: AdminDep) -> LinkTestReport:
    """Name, TCP, TLS and which certificate, sign-in, directory, then a test file is written, renamed and deleted.

    A secret sent as `********` means the stored one. Takes at most 20 s.
    """
    args = LinkTest(settings=candidate(site, "ftp", body))
    return await command(site, FTP_TEST, args, who=who, command_id=None)


@router.post("/send", summary="Make a file and send all that waits", status_code=202)
async def send_ftp(
    site: SiteDep, who: OperatorDep, audit: AuditDep, command_id: CommandIdDep = None
) -> FtpSendStarted:
    """Answers once the file is made; `GET /services/ftp/status` shows how far it is on its way."""
    started = await command(site, FTP_SEND, FtpSend(), who=who, command_id=command_id)
    audit.note("ftp-send", f"had {started.files} files sent", files=started.files)
    return started


@router.get("/status", summary="What waits and what is being sent")
async def ftp_status(site: SiteDep, _: ViewerDep) -> LinkState:
    """The link `ftp`: whether the server takes files, the file on its way and its bytes, files that wait, errors."""
    state = site.live.links.get("ftp")
    if state is None:
        raise not_found("link", "ftp")
    return state
