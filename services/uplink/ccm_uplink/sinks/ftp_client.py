"""One session with an FTP server, step by step; the only module that knows aioftp. Decides nothing, retries nothing.

Passive mode only: EPSV, and PASV where a server does not know it; the address in PASV's answer is not used, so that a
server behind NAT works. With TLS the data connections are protected (PROT P) and resume the control connection's
session, which vsftpd and others demand by default.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import aioftp
from aioftp.common import SSLSessionBoundContext

from ccm_contracts.config.services import Ftp
from ccm_uplink.sinks.ftp_errors import MISSING, FtpError, Step, broken, refusal
from ccm_uplink.sinks.tls import ClientCertificateError, tls_context

CONNECT_S: Final = 10.0
GREETING_S: Final = 15.0
"""Connecting and the server's greeting: some look the client's name up before."""
REPLY_S: Final = 30.0
"""Longest silence of the server while an answer is due or a block is on its way."""
GOODBYE_S: Final = 3.0
MOST_LINES: Final = 1000
"""Of one answer."""
REASON_S: Final = 2.0
"""How long a server that breaks a transfer off may take to say why."""


class _Client(aioftp.Client):
    """aioftp 0.28, but the TLS handshake of a data connection comes after the command that uses it (RFC 4217): vsftpd,
    which begins its side with the transfer, would wait for ever. And answers may hold any bytes and figures (RFC 959,
    section 4.2): old servers speak Latin-1.
    """

    async def parse_response(self) -> tuple[aioftp.Code, list[str]]:
        first = line = await self._line()
        code, lines = first[:3], [first[3:]]
        if not code.isdigit():
            raise aioftp.AIOFTPException("no reply code")
        while first[3:4] == "-" and line[:4].rstrip() != code and len(lines) < MOST_LINES:
            line = await self._line()
            lines.append(line.removeprefix(code))
        return aioftp.Code(code), lines

    async def _line(self) -> str:
        line = await self.stream.readline()
        if not line:
            raise ConnectionResetError
        return line.decode(errors="replace").rstrip()

    async def _open_connection(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._stream is None:
            return await super()._open_connection(host, port)
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(host, port)

    async def store_stream(self, name: str, offset: int) -> aioftp.DataConnectionThrottleStreamIO:
        """A data connection that the server reads the file from, at `offset`."""
        reader, writer = await self.get_passive_connection()
        try:
            if offset:
                await self.command(f"REST {offset}", "350")
            await self.command("STOR " + name, "1xx")
            await self._protect(writer)
        except BaseException:
            writer.close()
            raise
        throttles = {"_": self.throttle}
        return aioftp.DataConnectionThrottleStreamIO(self, reader, writer, throttles, timeout=REPLY_S)

    async def _protect(self, writer: asyncio.StreamWriter) -> None:
        """As the control connection is, resuming its session: vsftpd and others demand that by default."""
        control: ssl.SSLObject | None = self.stream.writer.get_extra_info("ssl_object")
        if control is None or control.session is None:
            return
        resuming = SSLSessionBoundContext(
            ssl.PROTOCOL_TLS_CLIENT, context=control.context, session=control.session
        )
        await writer.start_tls(resuming, server_hostname=self.server_host, ssl_handshake_timeout=CONNECT_S)


class FtpSession:
    """A signed-in session. Every call raises `FtpError`; after one the session is of no use any more.

    Except after an answer of the server (`code` is not ""): then the session goes on.
    """

    def __init__(self, client: _Client, settings: Ftp) -> None:
        self._client = client
        self._settings = settings

    async def enter(self, directory: str) -> None:
        """Make `directory` the current one; it is made, with its parents, where it does not exist."""
        if not directory or await self._entered(directory):
            return
        parts, base = [part for part in directory.split("/") if part], "/" * directory.startswith("/")
        for count in range(1, len(parts) + 1):
            # A refusal may mean that it is there already: entering it tells.
            with suppress(FtpError):
                await self._command("directory", "MKD " + base + "/".join(parts[:count]), "257")
        await self._command("directory", "CWD " + directory, "250")

    async def _entered(self, directory: str) -> bool:
        try:
            await self._command("directory", "CWD " + directory, "250")
        except FtpError as err:
            if err.code:
                return False
            raise
        return True

    async def size(self, name: str) -> int | None:
        """Bytes of a file in the current directory; None where there is none.

        Raises `FtpError` with a code of `UNKNOWN_COMMAND` where the server cannot say.
        """
        try:
            reply = await self._command("write", "SIZE " + name, "213")
        except FtpError as err:
            if err.code == MISSING:
                return None
            raise
        return int(reply.strip())

    async def store(self, name: str, blocks: Iterable[bytes], offset: int) -> None:
        """Write a file from `offset` on; returns once the server confirmed it (226)."""
        with _explained("write", self._settings):
            stream = await self._client.store_stream(name, offset)
        try:
            with _explained("write", self._settings):
                for block in blocks:
                    await stream.write(block)
                await stream.finish()
        except FtpError as err:
            stream.close()
            if not err.code:
                await self._say_why()
            raise
        except BaseException:
            stream.close()
            raise

    async def _say_why(self) -> None:
        """The transfer broke: the server's answer is the better reason, such as a full disk (552)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REASON_S):
                try:
                    with _explained("write", self._settings):
                        await self._client.command(None, "2xx", "1xx")
                except FtpError as err:
                    if err.code:
                        raise

    async def rename(self, name: str, to: str) -> None:
        await self._command("rename", "RNFR " + name, "350")
        await self._command("rename", "RNTO " + to, "2xx")

    async def delete(self, name: str) -> None:
        await self._command("delete", "DELE " + name, "2xx")

    async def _command(self, step: Step, command: str, expected: str) -> str:
        with _explained(step, self._settings):
            _, lines = await self._client.command(command, expected)
        return " ".join(lines)

    def certificate(self) -> str:
        """Which certificate the server showed and was accepted; "" without TLS."""
        found: ssl.SSLObject | None = self._client.stream.writer.get_extra_info("ssl_object")
        if found is None:
            return ""
        shown = found.getpeercert() or {}
        return f"{found.version()}, {_certificate_text(shown)}"


@asynccontextmanager
async def ftp_session(settings: Ftp) -> AsyncIterator[FtpSession]:
    """Connect, protect, sign in. Raises `FtpError`."""
    async with connection(settings) as client:
        await sign_in(client, settings)
        yield FtpSession(client, settings)


@asynccontextmanager
async def connection(settings: Ftp) -> AsyncIterator[_Client]:
    """A connection that is protected as `settings` say, and closed at the end. Raises `FtpError`."""
    await _resolved(settings)
    with _explained("tls", settings):
        context = tls_context(settings.tls_certificate) if settings.tls != "none" else None
    async with _connected(settings, context) as client:
        yield client


@asynccontextmanager
async def _connected(settings: Ftp, context: ssl.SSLContext | None) -> AsyncIterator[_Client]:
    client = _Client(
        socket_timeout=REPLY_S,
        connection_timeout=CONNECT_S,
        write_speed_limit=settings.backlog.rate_limit_kbps * 125 or None,
        ssl=context if settings.tls == "implicit" else None,
    )
    try:
        with _explained("tcp", settings):
            async with asyncio.timeout(GREETING_S):
                await client.connect(settings.server, settings.port)
        if settings.tls == "explicit":
            with _explained("tls", settings):
                await client.upgrade_to_tls(context)
        yield client
    finally:
        await _leave(client)


async def shown_certificate(settings: Ftp) -> str:
    """What an unchecked connection shows, to tell the operator; nothing secret is sent. Raises `FtpError`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with _connected(settings, context) as client:
        found: ssl.SSLObject | None = client.stream.writer.get_extra_info("ssl_object")
        der = found.getpeercert(binary_form=True) if found else None
    if der is None:
        return "none"
    from ccm_uplink.sinks.certificates import describe  # only where a certificate was refused

    return describe(der)


async def sign_in(client: aioftp.Client, settings: Ftp) -> None:
    """Protect data connections, sign in, and choose binary transfers. Raises `FtpError`."""
    if settings.tls == "implicit":  # with explicit TLS aioftp asks for it
        with _explained("tls", settings):
            await client.command("PBSZ 0", "200")
            await client.command("PROT P", "200")
    with _explained("login", settings):
        await client.login(settings.user or "anonymous", settings.password.reveal())
    with _explained("login", settings):
        await client.command("TYPE I", "200")


async def _resolved(settings: Ftp) -> None:
    """The step `name` alone, so that its failure is not taken for another's."""
    with _explained("name", settings):
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().getaddrinfo(
                settings.server, settings.port, type=socket.SOCK_STREAM
            )


async def _leave(client: aioftp.Client) -> None:
    """Say good-bye where it is possible; the connection is closed in any case."""
    try:
        with suppress(aioftp.AIOFTPException, OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await client.command("QUIT", "2xx")
    finally:
        client.close()


@contextmanager
def _explained(step: Step, settings: Ftp) -> Iterator[None]:
    """Turns what a step raises into `FtpError`."""
    at = f"{settings.server}:{settings.port}"
    try:
        yield
    except aioftp.StatusCodeError as err:
        code = str(err.received_codes[-1])
        said = " ".join(line.strip(" -") for line in err.info)[:200]
        raise FtpError(step, refusal(step, at, code, said), code=code) from err
    except OSError as err:  # TimeoutError and ssl's errors too
        raise broken(step, settings, err) from err
    except UnicodeError as err:  # no name could look like this
        raise FtpError("name", f"{settings.server} is not known") from err
    except ClientCertificateError as err:
        raise FtpError(step, str(err)) from err
    except ValueError as err:
        raise FtpError(step, f"the uploaded certificate cannot be used: {err}") from err
    except (aioftp.AIOFTPException, IndexError) as err:  # aioftp finds no port in an answer
        raise FtpError(step, f"{at} does not speak FTP as expected") from err


def _certificate_text(shown: Mapping[str, object]) -> str:
    names = {key: _common_name(shown.get(key)) for key in ("subject", "issuer")}
    return f"certificate of {names['subject']} from {names['issuer']}, valid until {shown.get('notAfter')}"


def _common_name(parts: object) -> str:
    """Out of ssl's nested tuples."""
    if isinstance(parts, tuple):
        for part in parts:
            for name, value in part:
                if name == "commonName":
                    return str(value)
    return "?"
