"""The servers start, answer a client that is not theirs, and keep their data across a kill."""

import ftplib
import io
import ssl
from pathlib import Path

import nats as nats_client
import pytest
from nats.js.api import StorageType

from tests.support.ftp import FtpServer, vsftpd
from tests.support.mosquitto import Access, BrokerOptions, Mosquitto, mosquitto_broker, publish, subscriber
from tests.support.nats import NatsServer
from tests.support.ports import accepts
from tests.support.postgres import Postgres
from tests.support.processes import Child
from tests.support.tls import Authority


async def test_nats_keeps_jetstream_data_across_kill_and_start(nats: NatsServer) -> None:
    client = await nats_client.connect(nats.url)
    stream = client.jetstream()
    await stream.add_stream(name="kept", subjects=["kept.>"], storage=StorageType.FILE)
    await stream.publish("kept.one", b"payload")
    await client.close()
    first = nats.pid

    await nats.kill()
    assert not accepts(nats.port)
    await nats.start()

    assert nats.pid != first
    client = await nats_client.connect(nats.url)
    message = await client.jetstream().get_last_msg("kept", "kept.one")
    await client.close()
    assert message.data == b"payload"


async def test_mosquitto_sub_receives_what_is_published(mosquitto: Mosquitto, tmp_path: Path) -> None:
    access = Access(mosquitto.port)
    async with subscriber(access, "site/#", directory=tmp_path) as sub:
        await publish(access, "site/a b", 'line\n"two" é', directory=tmp_path)
        message = await sub.message()
    assert (message.topic, message.text, message.qos, message.is_retained) == (
        "site/a b",
        'line\n"two" é',
        1,
        False,
    )


async def test_mosquitto_refuses_a_wrong_password(tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path, BrokerOptions(users={"u": "right"})) as broker:
        await publish(Access(broker.port, "u", "right"), "t", "x", directory=tmp_path)
        with pytest.raises(AssertionError, match=r"(?i)not authori[sz]ed"):
            await publish(Access(broker.port, "u", "wrong"), "t", "x", directory=tmp_path)


async def test_mosquitto_keeps_retained_messages_across_restart(tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path, BrokerOptions(is_persistent=True)) as broker:
        access = Access(broker.port)
        await publish(access, "kept", "1", directory=tmp_path, is_retained=True)
        await broker.stop()
        await broker.start()
        async with subscriber(access, "kept", directory=tmp_path) as sub:
            assert (await sub.message()).is_retained


@pytest.mark.parametrize(
    ("certificate", "is_accepted"), [("server", True), ("expired", False), ("wrong_host", False)]
)
async def test_mosquitto_certificates(
    certificate: str, is_accepted: bool, authority: Authority, tmp_path: Path
) -> None:
    options = BrokerOptions(tls=getattr(authority, certificate)(), client_ca=authority.cert)
    async with mosquitto_broker(tmp_path, options) as broker:
        access = Access(broker.port, ca=authority.cert, certificate=authority.client())
        if is_accepted:
            await publish(access, "t", "x", directory=tmp_path)
        else:
            with pytest.raises(AssertionError, match="mosquitto_pub"):
                await publish(access, "t", "x", directory=tmp_path)


async def test_pyftpd_stores_files_and_comes_back(ftp: FtpServer) -> None:
    await ftp.kill()
    await ftp.start()
    with ftplib.FTP() as client:
        client.connect(ftp.host, ftp.port, timeout=5)
        client.login(ftp.user, ftp.password)
        client.storbinary("STOR day.csv", io.BytesIO(b"1;2\n"))
    assert ftp.names() == ["day.csv"]
    assert (ftp.files / "day.csv").read_bytes() == b"1;2\n"


async def test_vsftpd_stores_files_and_checks_the_password(tmp_path: Path) -> None:
    async with vsftpd(tmp_path, password="right") as server:
        with ftplib.FTP() as client:
            client.connect(server.host, server.port, timeout=5)
            with pytest.raises(ftplib.error_perm, match="530"):
                client.login(server.user, "wrong")
        with ftplib.FTP() as client:
            client.connect(server.host, server.port, timeout=5)
            client.login(server.user, "right")
            client.cwd(server.directory)
            client.storbinary("STOR day.csv.tmp", io.BytesIO(b"1;2\n"))
            client.rename("day.csv.tmp", "day.csv")
        assert server.names() == ["day.csv"]


async def test_vsftpd_with_explicit_tls(authority: Authority, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(authority.cert))
    async with vsftpd(tmp_path, tls=authority.server()) as server:
        with ftplib.FTP_TLS(context=context) as client:
            client.connect("localhost", server.port, timeout=5)
            client.login(server.user, server.password)
            client.prot_p()
            client.cwd(server.directory)
            client.storbinary("STOR day.csv", io.BytesIO(b"1;2\n"))
        assert server.names() == ["day.csv"]


async def test_postgres_keeps_its_data_across_kill_and_start(postgres: Postgres, tmp_path: Path) -> None:
    async def sql(text: str) -> str:
        process = Child.spawn(["psql", "-At", postgres.url(), "-c", text], log=tmp_path / "psql.log")
        assert await process.exited() == 0, process.output
        return process.output.strip()

    await sql("CREATE TABLE kept (value int); INSERT INTO kept VALUES (7)")
    await postgres.kill()
    await postgres.start()
    assert await sql("SELECT value FROM kept") == "7"
