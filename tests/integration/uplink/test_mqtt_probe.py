"""The test of MQTT settings against real brokers: each kind of failure is told by its step."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ccm_contracts.config.services import Mqtt, Tls
from ccm_contracts.types import Secret
from ccm_contracts.verb_table import MQTT_TEST
from ccm_contracts.verbs.uplink import LinkTest, LinkTestReport
from ccm_kit.errors import CcmError
from ccm_uplink.sinks.mqtt_probe import try_settings
from tests.integration.uplink.site import GATEWAY, configure, on_bus, refused, uplink_process
from tests.support.mosquitto import BrokerOptions, Mosquitto, mosquitto_broker
from tests.support.nats import NatsServer, nats_server
from tests.support.ports import free_port
from tests.support.tls import Authority
from tests.support.wait import LEAST_S, until

PREFIXES = {"prefix_sub": "/site/srv", "prefix_pub": "/site/dev"}


async def outcomes(port: int, **more: Any) -> LinkTestReport:
    return await try_settings(Mqtt(enabled=True, port=port, **{**PREFIXES, **more}), GATEWAY)


def last(report: LinkTestReport) -> tuple[str, str]:
    """The step that ended the test, and its text with its hint."""
    step = report.steps[-1]
    assert step.outcome == "failed", report
    assert step.hint
    return step.step, f"{step.text} {step.hint}"


async def test_right_settings_pass_every_step(mosquitto: Mosquitto) -> None:
    report = await outcomes(mosquitto.port)
    assert report.ok
    assert [(step.step, step.outcome) for step in report.steps] == [
        ("name", "ok"),
        ("tcp", "ok"),
        ("tls", "skipped"),
        ("credentials", "ok"),
        ("publish", "ok"),
        ("subscribe", "ok"),
    ]
    assert "MQTT 5" in report.steps[3].text


async def test_name_and_tcp_are_told_apart() -> None:
    assert last(await outcomes(1883, host="mqtt://no-such-host.invalid"))[0] == "name"
    port = free_port()
    step, text = last(await outcomes(port))
    assert step == "tcp"
    assert text.startswith(f"nobody listens at 127.0.0.1:{port} ")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_wrong_password_is_a_matter_of_credentials(tmp_path: Path, protocol: str) -> None:
    async with mosquitto_broker(tmp_path, BrokerOptions(users={"gw": "right"})) as broker:
        login = {"user": "gw", "protocol": protocol}
        step, text = last(await outcomes(broker.port, password=Secret("geheim-falsch"), **login))
        assert step == "credentials"
        assert "geheim" not in text
        assert (await outcomes(broker.port, password=Secret("right"), **login)).ok


async def test_certificate_that_is_refused_is_named(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "Other CA")
    host = {"host": "mqtts://127.0.0.1"}

    async def told(certificate: Any, tls: Tls) -> str:
        directory = tmp_path / f"broker-{free_port()}"
        async with mosquitto_broker(directory, BrokerOptions(tls=certificate)) as broker:
            step, text = last(await outcomes(broker.port, tls=tls, **host))
            assert step == "tls"
            return text

    ours = Tls(type="ca", certificate=authority.pem)
    unknown = await told(authority.server(), Tls(type="ca", certificate=other.pem))
    assert "issued by CcMaster test CA" in unknown
    assert "Upload the root certificate" in unknown
    assert "has ended" in await told(authority.expired(), ours)
    wrong = await told(authority.wrong_host(), ours)
    assert "for elsewhere.example" in wrong
    assert "host name" in wrong
    pinned = Tls(type="self-signed", certificate=authority.server("twin").pem)
    assert "Upload the certificate that the broker shows" in await told(authority.server(), pinned)


async def test_client_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    own, other = authority.client(), authority.client("other")
    options = BrokerOptions(tls=authority.server(), client_ca=authority.cert)
    key = load_pem_private_key(own.key.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"geheim")).decode()
    async with mosquitto_broker(tmp_path / "broker", options) as broker:

        async def tried(key_pem: str) -> tuple[str, str]:
            tls = Tls(
                type="ca",
                certificate=authority.pem,
                client_certificate=own.pem,
                client_key=Secret(key_pem),
            )
            return last(await outcomes(broker.port, tls=tls, host="mqtts://127.0.0.1"))

        for key_pem, why in (
            (other.key_pem, "another"),
            ("geheim", "no readable PEM"),
            (locked, "has a password"),
        ):
            step, text = await tried(key_pem)
            assert step == "tls"
            assert why in text
            assert "root certificate" not in text
            assert "geheim" not in text
        none = Tls(type="ca", certificate=authority.pem)
        report = await outcomes(broker.port, tls=none, host="mqtts://127.0.0.1")
        assert last(report)[0] == "tls"
        assert "wants a client certificate" in last(report)[1]
        assert "own certificate" in report.steps[-1].hint
        right = Tls(
            type="ca", certificate=authority.pem, client_certificate=own.pem, client_key=Secret(own.key_pem)
        )
        assert (await outcomes(broker.port, tls=right, host="mqtts://127.0.0.1")).ok


async def test_port_without_tls_is_told(mosquitto: Mosquitto) -> None:
    step, text = last(await outcomes(mosquitto.port, host="mqtts://127.0.0.1"))
    assert step == "tls"
    assert "mqtt://" in text


ACL = """user gw
topic write /site/srv/#
topic read /site/dev/#
"""


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_permissions_are_tried_under_both_prefixes(tmp_path: Path, protocol: str) -> None:
    acl = tmp_path / "acl"
    acl.write_text(ACL)
    options = BrokerOptions(users={"gw": "right"}, extra=f"acl_file {acl}")
    login = {"user": "gw", "password": Secret("right"), "protocol": protocol}
    async with mosquitto_broker(tmp_path / "broker", options) as broker:
        right = await outcomes(broker.port, **login)
        assert right.ok
        # MQTT 3.1.1 has no word for "refused", and this user may not read what he writes
        assert right.steps[4].outcome == ("ok" if protocol == "5" else "unknown")
        elsewhere = await outcomes(broker.port, **login, prefix_sub="/other/srv")
        if protocol == "5":
            assert last(elsewhere)[0] == "publish"
        else:
            assert elsewhere.steps[4].outcome == "unknown"


async def test_silent_peer_does_not_hold_the_test_up() -> None:
    """Something that accepts the connection and says nothing."""
    open_now: set[asyncio.StreamWriter] = set()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        open_now.discard(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, asyncio.timeout(LEAST_S):
        step, text = last(await outcomes(server.sockets[0].getsockname()[1]))
        assert (step, "does not answer" in text) == ("credentials", True)
        await until(lambda: not open_now, deadline_s=5, what="all connections closed")


async def test_masked_secret_means_the_stored_one(nats: NatsServer, tmp_path: Path) -> None:
    async with (
        mosquitto_broker(tmp_path / "broker", BrokerOptions(users={"gw": "right"})) as broker,
        on_bus(nats, "api") as api,
        uplink_process(nats, tmp_path / "uplink") as uplink,
    ):
        stored = Mqtt(enabled=True, port=free_port(), user="gw", password=Secret("right"), **PREFIXES)
        await configure(api, uplink, "mqtt", stored)
        await refused(api, "mqtt")

        async def tried(**settings: Any) -> LinkTestReport:
            given = LinkTest(
                settings={"enabled": True, "port": broker.port, "user": "gw", **PREFIXES, **settings}
            )
            return await api.call(MQTT_TEST, given, issued_by="test")

        assert (await tried(password="********")).ok
        assert not (await tried(password=uplink.box.seal("wrong"))).ok
        with pytest.raises(CcmError) as caught:
            await tried(qos=3)
        assert caught.value.field == "settings.qos"
        with pytest.raises(CcmError) as caught:
            await tried(broker="default")
        assert "CCM_DEFAULT_BROKER" in caught.value.message


async def test_nats_listener_passes_with_the_older_protocol(tmp_path: Path) -> None:
    port = free_port()
    config = f'server_name: demo\nmqtt {{ listen: "127.0.0.1:{port}" }}\n'
    async with nats_server(tmp_path / "nats", config=config):
        report = await outcomes(port)
        assert report.ok, report
        assert "MQTT 3.1.1" in report.steps[3].text
        assert report.steps[4].outcome == "ok"


async def test_subscription_that_is_refused_is_told(tmp_path: Path) -> None:
    """By the NATS server's listener: Mosquitto's ACL file grants every subscription and then delivers nothing."""
    port = free_port()
    user = '{ user: gw, password: right, permissions: { publish: ">", subscribe: { deny: ["/.other.>"] } } }'
    config = f"""server_name: demo
mqtt {{ listen: "127.0.0.1:{port}" }}
authorization {{ users: [ {user} ] }}
"""
    login = {"user": "gw", "password": Secret("right")}
    async with nats_server(tmp_path / "nats", config=config):
        assert (await outcomes(port, **login)).ok
        step, text = last(await outcomes(port, **login, prefix_pub="/other/dev"))
        assert (step, "/other/dev" in text) == ("subscribe", True)
