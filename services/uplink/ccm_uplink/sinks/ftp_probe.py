"""Tries FTP settings step by step, with a file of its own, and says at which step what went wrong."""

import asyncio
import secrets
import ssl
from contextlib import suppress
from typing import Final

from ccm_contracts.config.services import Ftp
from ccm_contracts.verbs.uplink import LinkTestReport, LinkTestStep
from ccm_uplink.sinks.ftp_client import FtpSession, connection, shown_certificate, sign_in
from ccm_uplink.sinks.ftp_errors import DEMANDS_TLS, FtpError, Step
from ccm_uplink.sinks.ftp_upload import PART
from ccm_uplink.sinks.tls import ClientCertificateError, hint_of

MOST_S: Final = 20.0
"""The whole test."""
CONTENT: Final = b"A test of the gateway; this file may be deleted.\r\n"

FIRST: Final[tuple[Step, ...]] = ("name", "tcp", "tls")

HINTS: Final[dict[str, str]] = {
    "name": "Check the server's name, and that the gateway reaches a name server.",
    "tcp": "Check the address, the port and firewalls in between. A server that keeps silent may want implicit TLS.",
    "tls": "Check the kind of TLS and the port (implicit is usually 990), or upload the server's certificate.",
    "login": "Check the user and the password.",
    "directory": "Choose a folder that this user may enter or create.",
    "write": "The user needs the right to write there, and the server space and open passive ports.",
    "rename": "The user needs the right to rename files: a file is sent under a temporary name.",
    "delete": "Only the test file could not be deleted; sending files works without this right.",
}


async def probe(settings: Ftp) -> LinkTestReport:
    """Every step until the first that fails; at most `MOST_S`."""
    steps: list[LinkTestStep] = []
    doing: list[Step] = ["name"]
    try:
        async with asyncio.timeout(MOST_S):
            await _steps(settings, steps, doing)
    except FtpError as err:
        steps += _passed_before(err.step, steps)
        steps.append(_failed(err.step, await _told(err, settings), _hint(err, settings)))
    except TimeoutError:
        steps.append(_failed(doing[0], f"no end within {MOST_S:g} s"))
    return LinkTestReport(ok=all(step.outcome == "ok" for step in steps), steps=steps)


async def _steps(settings: Ftp, steps: list[LinkTestStep], doing: list[Step]) -> None:
    def passed(step: Step, text: str, following: Step) -> None:
        steps.append(LinkTestStep(step=step, outcome="ok", text=text))
        doing[0] = following

    async with connection(settings) as client:
        session = FtpSession(client, settings)
        passed("name", f"{settings.server} is known", "tcp")
        passed("tcp", f"a server answers at {settings.server}:{settings.port}", "tls")
        if settings.tls != "none":
            passed("tls", session.certificate(), "login")
        doing[0] = "login"
        await sign_in(client, settings)
        passed("login", f"signed in as {settings.user or 'anonymous'}", "directory")
        await session.enter(settings.directory)
        passed("directory", f"{settings.directory} is there", "write")
        name = f"ccm-test-{secrets.token_hex(4)}.txt"
        await session.store(name + PART, [CONTENT], 0)
        passed("write", f"{len(CONTENT)} bytes were written", "rename")
        await session.rename(name + PART, name)
        passed("rename", f"renamed to {name}", "delete")
        await session.delete(name)
        passed("delete", f"{name} was deleted again", "delete")


async def _told(err: FtpError, settings: Ftp) -> str:
    """Which certificate it is that was refused."""
    if not isinstance(err.__cause__, ssl.SSLCertVerificationError):
        return err.text
    with suppress(FtpError, TimeoutError):
        async with asyncio.timeout(MOST_S / 4):
            return f"{err.text}; it shows: {await shown_certificate(settings)}"
    return err.text


def _passed_before(step: Step, steps: list[LinkTestStep]) -> list[LinkTestStep]:
    """Connecting is one call: the steps of it that went well."""
    done = {each.step for each in steps}
    names = FIRST[: FIRST.index(step)] if step in FIRST else ()
    return [LinkTestStep(step=name, outcome="ok", text="done") for name in names if name not in done]


def _hint(err: FtpError, settings: Ftp) -> str:
    if isinstance(err.__cause__, ssl.SSLCertVerificationError | ClientCertificateError):
        return hint_of(err.__cause__, settings.tls_certificate, "server")
    return "Choose explicit TLS." if err.text.startswith(DEMANDS_TLS) else HINTS[err.step]


def _failed(step: Step, text: str, hint: str = "") -> LinkTestStep:
    return LinkTestStep(step=step, outcome="failed", text=text, hint=hint or HINTS[step])
