"""Files over a line that breaks, to servers that nobody here wrote: whole, once, under one name."""

import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ccm_contracts.config.services import Backlog, Ftp, Tls
from ccm_contracts.types import Secret
from ccm_uplink.sinks.ftp_client import ftp_session
from ccm_uplink.sinks.ftp_errors import FtpError
from ccm_uplink.sinks.ftp_probe import probe
from ccm_uplink.sinks.ftp_upload import Note, upload
from ccm_uplink.spool.spool import Waiting
from tests.integration.uplink.ftp_line import FtpLine, ftp_line
from tests.support.disk import small_disk
from tests.support.ftp import FtpServer, pyftpd, vsftpd
from tests.support.ports import free_port
from tests.support.proxy import proxy
from tests.support.tls import Authority
from tests.support.wait import until

SIZE = 400_000
NAME = "CCM000042_20261124T231500+0100_000042.csv"


@pytest.fixture(params=["pyftpd", "vsftpd"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FtpServer]:
    async with (pyftpd if request.param == "pyftpd" else vsftpd)(tmp_path) as running:
        yield running


@pytest.fixture
async def line(server: FtpServer) -> AsyncIterator[FtpLine]:
    async with ftp_line(server) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Waiting:
    path = tmp_path / NAME
    path.write_bytes(os.urandom(SIZE))
    return Waiting(path, SIZE, 42, datetime(2026, 11, 24, 22, 15, tzinfo=UTC))


def settings(peer: FtpServer, port: int | None = None, **more: Any) -> Ftp:
    given: dict[str, object] = {
        "port": port or peer.port,
        "user": peer.user,
        "password": Secret(peer.password),
        "directory": peer.directory,
        **more,
    }
    return Ftp.model_validate(given)


async def send(file: Waiting, wanted: Ftp, note: Path) -> None:
    async with ftp_session(wanted) as session:
        await session.enter(wanted.directory)
        await upload(session, file, Note(note, wanted), lambda _: None)


async def test_file_arrives_whole_in_a_new_nested_directory(
    server: FtpServer, file: Waiting, tmp_path: Path
) -> None:
    base = server.directory.rstrip("/")
    await send(file, settings(server, directory=f"{base}/site 1/2026/meters"), tmp_path / "note")
    assert server.names() == [f"site 1/2026/meters/{NAME}"]
    assert (server.files / server.names()[0]).read_bytes() == file.path.read_bytes()


async def test_broken_upload_goes_on_where_it_broke(
    server: FtpServer, line: FtpLine, file: Waiting, tmp_path: Path
) -> None:
    line.up.cut_after_bytes = SIZE // 2
    line.up.bytes_s = 4_000_000  # the server has read the beginning when the line breaks
    with pytest.raises(FtpError, match="write"):
        await send(file, settings(server, line.port), tmp_path / "note")
    assert server.names() == [NAME + ".part"]
    part = server.files / (NAME + ".part")
    await until(
        lambda: not server.has_open(part), deadline_s=10, what="the server to be done with the broken upload"
    )
    held = part.stat().st_size
    await send(file, settings(server, line.port), tmp_path / "note")
    assert server.names() == [NAME]
    assert (server.files / NAME).read_bytes() == file.path.read_bytes()
    assert held > 0
    assert line.data_bytes == SIZE // 2 + SIZE - held


@pytest.mark.parametrize("without", [["REST"], ["SIZE"], ["SIZE", "REST"]])
@pytest.mark.parametrize("breaks_at", ["half", "rename"])
async def test_server_that_cannot_resume_gets_the_file_anew(
    tmp_path: Path, file: Waiting, without: list[str], breaks_at: str
) -> None:
    async with pyftpd(tmp_path, without=without) as server, ftp_line(server) as line:
        if breaks_at == "half":
            line.up.cut_after_bytes = SIZE // 2
        else:
            line.control.down.lose_at = b"250 Renaming"
        with pytest.raises(FtpError):
            await send(file, settings(server, line.port), tmp_path / "note")
        await send(file, settings(server, line.port), tmp_path / "note")
        assert server.names() == [NAME]
        assert (server.files / NAME).read_bytes() == file.path.read_bytes()
        assert line.data_bytes == (SIZE // 2 + SIZE if breaks_at == "half" else SIZE)


async def test_rate_limit_slows_an_upload_down(server: FtpServer, file: Waiting, tmp_path: Path) -> None:
    """400 kB at 3200 kbit/s are a second; without a limit the fastest of five is some milliseconds."""

    async def takes_s(kbps: int, number: int) -> float:
        wanted = settings(server, directory=f"{server.directory.rstrip('/')}/{number}")
        wanted = wanted.model_copy(update={"backlog": Backlog(rate_limit_kbps=kbps)})
        async with ftp_session(wanted) as session:
            await session.enter(wanted.directory)
            started_s = time.monotonic()
            await upload(session, file, Note(tmp_path / "note", wanted), lambda _: None)
            return time.monotonic() - started_s

    free_s = min([await takes_s(0, number) for number in range(5)])
    slow_s = await takes_s(3200, 5)
    assert slow_s > 3 * free_s
    assert slow_s > 0.7


@pytest.mark.parametrize("answer", [b"226", b"350", b"250"])
async def test_lost_answer_leaves_one_file_under_one_name(
    server: FtpServer, line: FtpLine, file: Waiting, tmp_path: Path, answer: bytes
) -> None:
    """226 confirms the transfer, 350 RNFR and 250 RNTO (RFC 959): the connection breaks instead of each."""
    wanted = settings(server, line.port)
    async with ftp_session(wanted) as session:
        await session.enter(wanted.directory)
        line.control.down.lose_at = answer + b" "
        with pytest.raises(FtpError):
            await upload(session, file, Note(tmp_path / "note", wanted), lambda _: None)
    sent = line.data_bytes
    await send(file, wanted, tmp_path / "note")
    assert server.names() == [NAME]
    assert (server.files / NAME).read_bytes() == file.path.read_bytes()
    assert line.data_bytes == sent == SIZE, "it was sent twice"


async def test_file_that_a_receiver_took_after_a_lost_answer_is_not_sent_again(
    server: FtpServer, line: FtpLine, file: Waiting, tmp_path: Path
) -> None:
    wanted = settings(server, line.port)
    async with ftp_session(wanted) as session:
        await session.enter(wanted.directory)
        line.control.down.lose_at = b"250 "
        with pytest.raises(FtpError):
            await upload(session, file, Note(tmp_path / "note", wanted), lambda _: None)
    (server.files / NAME).unlink()
    await send(file, wanted, tmp_path / "note")
    assert server.names() == []
    assert line.data_bytes == SIZE
    other = settings(server, directory=wanted.directory.rstrip("/") + "/other")
    await send(file, other, tmp_path / "note")
    assert server.names() == [f"other/{NAME}"], "another place is another delivery"


async def test_newer_file_sent_in_between_does_not_make_the_taken_one_go_twice(
    server: FtpServer, line: FtpLine, file: Waiting, tmp_path: Path
) -> None:
    """Live first: the newest file goes before one whose rename got no answer."""
    newer_path = tmp_path / "CCM000042_20261124T233000+0100_000043.csv"
    newer_path.write_bytes(b"x" * 1000)
    newer = Waiting(newer_path, 1000, 43, file.end + timedelta(minutes=15))
    wanted = settings(server, line.port)
    async with ftp_session(wanted) as session:
        await session.enter(wanted.directory)
        line.control.down.lose_at = b"250 "
        with pytest.raises(FtpError):
            await upload(session, file, Note(tmp_path / "note", wanted), lambda _: None)
    (server.files / NAME).unlink()
    await send(newer, wanted, tmp_path / "note")
    await send(file, wanted, tmp_path / "note")
    assert server.names() == [newer.name]
    assert line.data_bytes == SIZE + 1000


async def test_private_address_in_a_passive_answer_is_not_used(
    server: FtpServer, file: Waiting, tmp_path: Path
) -> None:
    """As a server behind NAT answers that does not know EPSV: the data connection goes to where control went."""

    async def behind_nat(chunk: bytes) -> bytes:
        if chunk.startswith(b"229 "):
            return b"502 EPSV is not known here\r\n"
        return chunk.replace(b"(127,0,0,1,", b"(10,99,99,99,")

    async with proxy(server.port) as between:
        between.down.change = behind_nat
        wanted = settings(server, between.port)
        async with ftp_session(wanted) as session:
            await session.enter(wanted.directory)
            await upload(session, file, Note(tmp_path / "note", wanted), lambda _: None)
    assert (server.files / NAME).read_bytes() == file.path.read_bytes()


async def test_server_that_speaks_latin_1_and_shows_figures_gets_its_file(
    server: FtpServer, file: Waiting, tmp_path: Path
) -> None:
    """RFC 959, section 4.2: only the same code and a space end an answer of several lines."""

    async def old_server(chunk: bytes) -> bytes:
        if chunk.startswith(b"220 "):
            greeting = "220-Willkommen für Zähler\r\n500 Plätze\r\n 220 Kunden\r\n220-\r\n"
            return greeting.encode("latin-1") + chunk
        return chunk.replace(b"250 ", "250 für Sie: ".encode("latin-1"))

    async with proxy(server.port) as between:
        between.down.change = old_server
        await send(file, settings(server, between.port), tmp_path / "note")
    assert (server.files / NAME).read_bytes() == file.path.read_bytes()


async def test_longer_leftover_is_written_anew(server: FtpServer, file: Waiting, tmp_path: Path) -> None:
    leftover = server.files / (NAME + ".part")
    leftover.write_bytes(b"x" * (SIZE + 5))
    leftover.chmod(0o666)
    await send(file, settings(server), tmp_path / "note")
    assert (server.files / NAME).read_bytes() == file.path.read_bytes()


@pytest.mark.parametrize("kind", ["vsftpd-explicit", "vsftpd-implicit", "pyftpd-explicit"])
async def test_tls_protects_and_an_unknown_certificate_is_refused(
    kind: str, file: Waiting, authority: Authority, tmp_path: Path
) -> None:
    """vsftpd demands, as by its own default, that data connections resume the session of the control connection."""
    certificate = authority.server()
    mode = kind.rpartition("-")[2]
    running = (
        pyftpd(tmp_path, tls=certificate)
        if kind.startswith("pyftpd")
        else vsftpd(tmp_path, tls=certificate, is_implicit=mode == "implicit", wants_reuse=True)
    )
    async with running as server:
        trusted = Tls(type="ca", certificate=authority.pem)
        wanted = settings(server, tls=mode, tls_certificate=trusted)
        await send(file, wanted, tmp_path / "note")
        assert (server.files / NAME).read_bytes() == file.path.read_bytes()
        pinned = Tls(type="self-signed", certificate=certificate.pem)
        assert (await probe(settings(server, tls=mode, tls_certificate=pinned))).ok
        for check in (Tls(), Tls(type="self-signed", certificate=authority.server("other").pem)):
            with pytest.raises(FtpError, match=r"^tls: the certificate of"):
                await send(file, settings(server, tls=mode, tls_certificate=check), tmp_path / "note")
        if mode == "explicit":
            with pytest.raises(FtpError):
                await send(file, settings(server), tmp_path / "note")


async def test_server_name_that_cannot_be_one_is_told_as_such() -> None:
    report = await probe(Ftp(enabled=True, server="ftp..example"))
    assert report.steps[-1].step == "name"
    assert "certificate" not in report.steps[-1].text


async def test_what_a_server_demands_is_told_with_what_to_do(authority: Authority, tmp_path: Path) -> None:
    async def told(server: FtpServer, **more: Any) -> str:
        step = (await probe(settings(server, **more))).steps[-1]
        return f"{step.step}: {step.text} {step.hint}"

    ours = Tls(type="ca", certificate=authority.pem)
    async with vsftpd(tmp_path / "right", tls=authority.server()) as server:
        plain = await told(server)
        assert "the server demands TLS" in plain
        assert "Choose explicit TLS" in plain
        assert "Upload the root certificate" in await told(server, tls="explicit")
        own, other = authority.client(), authority.client("other")
        mixed = ours.model_copy(update={"client_certificate": own.pem, "client_key": Secret(other.key_pem)})
        assert "belongs to another" in await told(server, tls="explicit", tls_certificate=mixed)
    async with vsftpd(tmp_path / "old", tls=authority.expired()) as server:
        assert "has ended" in await told(server, tls="explicit", tls_certificate=ours)


async def test_expired_certificate_and_wrong_name_are_refused(
    file: Waiting, authority: Authority, tmp_path: Path
) -> None:
    for place, certificate in enumerate((authority.expired(), authority.wrong_host())):
        async with vsftpd(tmp_path / str(place), tls=certificate) as server:
            wanted = settings(
                server, tls="explicit", tls_certificate=Tls(type="ca", certificate=authority.pem)
            )
            report = await probe(wanted)
            assert not report.ok
            assert report.steps[-1].step == "tls"
            assert ("expired", "mismatch")[place] in report.steps[-1].text
            assert "CcMaster test CA" in report.steps[-1].text


async def test_test_goes_through_every_step_and_leaves_nothing(server: FtpServer) -> None:
    report = await probe(settings(server))
    assert report.ok
    steps = [step.step for step in report.steps]
    assert steps == ["name", "tcp", "login", "directory", "write", "rename", "delete"]
    assert server.names() == []


async def test_test_names_the_step_that_failed(server: FtpServer) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"server": "ftp.invalid"}, "name", "not known"),
        ({"port": free_port()}, "tcp", "nobody listens"),
        ({"password": Secret("wrong")}, "login", "refuses the user or the password"),
        ({"tls": "explicit"}, "tls", "does not offer TLS"),
    ]
    for more, step, said in cases:
        report = await probe(settings(server, **more))
        assert not report.ok
        assert report.steps[-1].step == step
        assert said in report.steps[-1].text
        assert report.steps[-1].hint
        assert "wrong" not in report.model_dump_json()


async def test_test_without_the_right_to_write(tmp_path: Path) -> None:
    async with vsftpd(tmp_path) as server:
        report = await probe(settings(server, directory="/"))
        assert report.steps[-1].step == "write"
        assert "550" in report.steps[-1].text or "553" in report.steps[-1].text


async def test_full_disk_of_the_server_is_told_and_the_file_goes_on_later(
    file: Waiting, tmp_path: Path
) -> None:
    """The folder is a file system of its own, at first smaller than the file."""
    async with vsftpd(tmp_path) as server:
        with small_disk(server.files, SIZE // 2) as grow:
            with pytest.raises(FtpError, match=r"write: .*(full|45|55)"):
                await send(file, settings(server), tmp_path / "note")
            assert server.names() == [NAME + ".part"]
            grow(SIZE * 3)
            await send(file, settings(server), tmp_path / "note")
            assert server.names() == [NAME]
            assert (server.files / NAME).read_bytes() == file.path.read_bytes()
