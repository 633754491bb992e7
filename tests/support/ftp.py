"""Two FTP servers that nobody here wrote: vsftpd, also with TLS, and pyftpdlib; each in its own process."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.support.peers import need
from tests.support.ports import accepts, free_port
from tests.support.processes import Child, descendants, kill_all
from tests.support.tls import Certificate
from tests.support.wait import until


@dataclass
class FtpServer:
    """One server; `files` is the writable folder, which a client sees as `directory`."""

    port: int
    user: str
    password: str
    directory: str
    files: Path
    arguments: Sequence[str]
    log_path: Path
    host: str = "127.0.0.1"
    _child: Child | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        assert self._child, "the server was not started"
        return self._child.pid

    @property
    def is_down(self) -> bool:
        return self._child is None or not self._child.is_running

    @property
    def log(self) -> str:
        return self._child.output if self._child else ""

    def names(self) -> list[str]:
        """The files that arrived, sorted, relative to `files`."""
        return sorted(str(path.relative_to(self.files)) for path in self.files.rglob("*") if path.is_file())

    def has_open(self, path: Path) -> bool:
        """Whether the server or one of its sessions has the file open, and may write on."""
        for process in (psutil.Process(self.pid), *descendants(self.pid)):
            with suppress(psutil.Error):
                if str(path) in {file.path for file in process.open_files()}:
                    return True
        return False

    async def start(self) -> None:
        """Run the server; returns when it accepts connections."""
        process = Child.spawn(self.arguments, log=self.log_path)
        self._child = process

        def is_up() -> bool:
            assert process.is_running, f"{process} ended:\n{process.output}"
            return accepts(self.port)

        await until(is_up, deadline_s=10, what=f"an FTP server on port {self.port}")

    async def stop(self) -> None:
        """End the server and its open sessions."""
        await self._end(lambda child: child.stop())

    async def kill(self) -> None:
        """SIGKILL the server and its open sessions."""
        await self._end(lambda child: child.kill())

    async def _end(self, end: Callable[[Child], Awaitable[int]]) -> None:
        if self._child:
            sessions = descendants(self.pid)
            await end(self._child)
            await kill_all(sessions)


@asynccontextmanager
async def pyftpd(
    tmp_path: Path,
    *,
    user: str = "gateway",
    password: str = "secret",
    tls: Certificate | None = None,
    port: int | None = None,
    without: Sequence[str] = (),
) -> AsyncIterator[FtpServer]:
    """pyftpdlib; the user's root is the writable folder. With `tls` it refuses plain sessions (explicit).

    `without`: commands that it is not to know, as old and small servers do not.
    """
    files = tmp_path / "ftp"
    files.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    # -W: pyftpdlib stands on asyncore, which Python 3.11 announces as deprecated.
    forgets = "".join(f"del FTPHandler.proto_cmds[{command!r}]; " for command in without)
    program = (
        f"from pyftpdlib.handlers import FTPHandler; {forgets}from pyftpdlib.__main__ import main; main()"
    )
    args = [sys.executable, "-W", "ignore", "-c", program, "-i", "127.0.0.1", "-p", str(port), "-w"]
    args += ["-d", str(files), "-u", user, "-P", password]
    if tls:
        args += ["--tls", "--keyfile", str(tls.key), "--certfile", str(tls.cert)]
        args += ["--tls-control-required", "--tls-data-required"]
    server = FtpServer(port, user, password, "/", files, args, tmp_path / "pyftpd.log")
    async with _running(server):
        yield server


@asynccontextmanager
async def vsftpd(
    tmp_path: Path,
    *,
    password: str = "secret",
    tls: Certificate | None = None,
    is_implicit: bool = False,
    wants_reuse: bool = False,
    port: int | None = None,
) -> AsyncIterator[FtpServer]:
    """vsftpd; the writable folder is /data. With `tls` it refuses plain sessions (explicit, or implicit), and with
    `wants_reuse` data connections that do not resume the control connection's TLS session (its own default).

    The user is always `anonymous`, whose password vsftpd checks against a list: so no account is made.
    """
    program = need("vsftpd")
    if os.geteuid() != 0:
        pytest.skip("vsftpd needs root to change to its user; ends when the tests run as root")
    root = tmp_path / "vsftpd"
    files = root / "files" / "data"
    files.mkdir(parents=True, exist_ok=True)
    files.chmod(0o777)
    (root / "empty").mkdir(exist_ok=True)
    (root / "passwords").write_text(password + "\n")
    port = port or free_port()
    (root / "vsftpd.conf").write_text(_vsftpd_config(root, port, tls, is_implicit, wants_reuse))
    args = [str(program), str(root / "vsftpd.conf")]
    server = FtpServer(port, "anonymous", password, "/data", files, args, root / "vsftpd.out")
    async with _running(server):
        yield server


@asynccontextmanager
async def _running(server: FtpServer) -> AsyncIterator[None]:
    try:
        await server.start()
        yield
    finally:
        await server.stop()


def _vsftpd_config(
    root: Path, port: int, tls: Certificate | None, is_implicit: bool, wants_reuse: bool
) -> str:
    options = {
        "listen": "YES",
        "listen_address": "127.0.0.1",
        "listen_port": str(port),
        "background": "NO",
        "seccomp_sandbox": "NO",
        "secure_chroot_dir": str(root / "empty"),
        "anonymous_enable": "YES",
        "local_enable": "NO",
        "secure_email_list_enable": "YES",
        "email_password_file": str(root / "passwords"),
        "anon_root": str(root / "files"),
        "anon_umask": "022",
        "anon_world_readable_only": "NO",
        "write_enable": "YES",
        "anon_upload_enable": "YES",
        "anon_mkdir_write_enable": "YES",
        "anon_other_write_enable": "YES",
        "xferlog_enable": "YES",
        "log_ftp_protocol": "YES",
        "vsftpd_log_file": str(root / "vsftpd.log"),
    }
    if tls:
        options |= {
            "ssl_enable": "YES",
            "allow_anon_ssl": "YES",
            "force_anon_logins_ssl": "YES",
            "force_anon_data_ssl": "YES",
            "implicit_ssl": "YES" if is_implicit else "NO",
            "require_ssl_reuse": "YES" if wants_reuse else "NO",
            "ssl_ciphers": "HIGH",
            "rsa_cert_file": str(tls.cert),
            "rsa_private_key_file": str(tls.key),
        }
    return "".join(f"{name}={value}\n" for name, value in options.items())
