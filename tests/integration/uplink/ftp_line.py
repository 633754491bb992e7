"""A breakable line to an FTP server without TLS: control and data connections, each with its own faults."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.support.ftp import FtpServer
from tests.support.proxy import Faults, Proxy, proxy

_PASSIVE = re.compile(rb"229 [^(]*\(\|\|\|(\d+)\|\)")


class FtpLine:
    """`control` is where a client connects to; `up` are the faults of data connections from then on."""

    def __init__(self, control: Proxy, stack: AsyncExitStack) -> None:
        self.control = control
        self.up = Faults()
        self._stack = stack
        self._data: list[Proxy] = []
        control.down.change = self._through_us

    @property
    def port(self) -> int:
        return self.control.port

    @property
    def data_bytes(self) -> int:
        """What clients sent on data connections so far."""
        return sum(each.passed["up"] for each in self._data)

    async def _through_us(self, chunk: bytes) -> bytes:
        """An answer to EPSV (RFC 2428) names our port instead of the server's."""
        found = _PASSIVE.search(chunk)
        if found is None:
            return chunk
        data = await self._stack.enter_async_context(proxy(int(found[1])))
        data.up = self.up
        self._data.append(data)
        return chunk.replace(found[0], b"229 Entering passive mode (|||%d|)" % data.port)


@asynccontextmanager
async def ftp_line(server: FtpServer) -> AsyncIterator[FtpLine]:
    async with AsyncExitStack() as stack:
        yield FtpLine(await stack.enter_async_context(proxy(server.port)), stack)
