"""Each credential may do what the table of channels says, and nothing else: asked of the rules and of a real server."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from ccm_contracts import subjects
from ccm_contracts.channels import CHANNELS, EVENT, PLANT, SERVICES, TELEMETRY, TELEMETRY_STREAM, Service
from ccm_contracts.messages import Balance, Event, Reading
from ccm_contracts.permissions import CONSUMING, permissions_of
from ccm_contracts.verb_table import VERBS
from ccm_kit.bus import Bus, open_bus
from ccm_kit.clock import SystemClock
from ccm_kit.nats_link import NatsLink
from tests.support.nats import NatsServer, nats_server
from tests.support.wait import until

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
GATEWAY = "GW1"
IDS = {
    "gw": GATEWAY,
    "device": "grid",
    "plant": "house",
    "source": "elsewhere",
    "kind": "noise",
    "id": "grid",
}

# What a service may never do, whatever the table says: another's deliveries, or the streams themselves.
FORBIDDEN = (
    f"$JS.API.STREAM.DELETE.{TELEMETRY_STREAM.name}",
    f"$JS.API.STREAM.PURGE.{TELEMETRY_STREAM.name}",
    f"$JS.API.STREAM.UPDATE.{TELEMETRY_STREAM.name}",
    f"$JS.API.STREAM.MSG.DELETE.{TELEMETRY_STREAM.name}",
    f"$JS.API.CONSUMER.DELETE.{TELEMETRY_STREAM.name}.history",
    f"$JS.API.STREAM.MSG.GET.{TELEMETRY_STREAM.name}",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.CREATE.OTHER",
    "ccm.GW1.telemetry",
    "elsewhere",
)


def cases(service: Service) -> dict[str, bool]:
    """Subject -> whether the service may publish there, written from the table and not from the rules."""
    expected = dict.fromkeys(FORBIDDEN, False)
    for channel in CHANNELS:
        ids = {name: token for name, token in IDS.items() if f"{{{name}}}" in channel.pattern}
        ids = {name: token for name, token in ids.items() if name not in channel.fixed}
        if channel is EVENT:
            expected[channel.subject(**{**ids, "source": service})] = True
        else:
            expected[channel.subject(**ids)] = service in channel.owners
        if channel is not EVENT:
            look = f"$JS.API.CONSUMER.CREATE.{channel.stream}.mine.{channel.subject(gw=GATEWAY)}"
            expected[look] = service in channel.readers
    for other in SERVICES:
        if other != service:
            expected[EVENT.subject(gw=GATEWAY, source=other, kind="noise")] = False
    for verb in VERBS:
        expected[verb.subject(GATEWAY)] = service in verb.callers
    expected[f"$JS.API.CONSUMER.MSG.NEXT.{TELEMETRY_STREAM.name}.history"] = service in CONSUMING
    expected[f"$JS.API.CONSUMER.NAMES.{TELEMETRY_STREAM.name}"] = service in CONSUMING
    expected[f"$JS.ACK.{TELEMETRY_STREAM.name}.history.1.1.1.1.1"] = service in CONSUMING
    return expected


def matches(pattern: str, subject: str) -> bool:
    """NATS' wildcards: `*` is one token, a last `>` one or more."""
    left, right = pattern.split("."), subject.split(".")
    if left[-1] == ">":
        return len(right) >= len(left) and all(a in ("*", b) for a, b in zip(left[:-1], right, strict=False))
    return len(left) == len(right) and all(a in ("*", b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("service", SERVICES)
def test_rules_allow_what_the_table_says(service: Service) -> None:
    allowed = permissions_of(service).publish
    wrong = {
        subject: may
        for subject, may in cases(service).items()
        if any(matches(pattern, subject) for pattern in allowed) != may
    }
    assert wrong == {}


def test_credential_of_one_gateway_is_limited_to_it() -> None:
    allowed = permissions_of("solar", GATEWAY).publish
    assert any(matches(pattern, "ccm.GW1.plant.house") for pattern in allowed)
    assert not any(matches(pattern, "ccm.GW2.plant.house") for pattern in allowed)


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_hears_another_services_answers_or_commands(service: Service) -> None:
    heard = permissions_of(service).subscribe
    for other in SERVICES:
        if other == service:
            continue
        assert not any(matches(pattern, f"{subjects.inbox_prefix(other)}.x") for pattern in heard)
        for verb in (verb for verb in VERBS if verb.service == other):
            assert not any(matches(pattern, verb.subject(GATEWAY)) for pattern in heard)


def _configured(directory: Path) -> str:
    """The configuration of deploy/, with secrets that deploy/secrets.sh makes."""
    env = {
        **os.environ,
        "CCM_SECRETS_DIR": str(directory),
        "CCM_STATE_DIR": str(directory / "state"),
        "CCM_UID": str(os.getuid()),
    }
    subprocess.run([DEPLOY / "secrets.sh"], env=env, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(DEPLOY / "nats" / "users.conf", directory)
    config = (DEPLOY / "nats" / "nats.conf").read_text()
    config = config.replace("$CCM_NATS_DATA", f'"{directory / "state" / "nats"}"')
    return "\n".join(line for line in config.splitlines() if not line.startswith(("port:", "http:")))


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[NatsServer]:
    directory = tmp_path / "secured"
    directory.mkdir()
    async with nats_server(directory, config=_configured(directory)) as server:
        yield server


def password(server: NatsServer, user: str) -> str:
    return (server.directory / f"{user}.password").read_text().strip()


@asynccontextmanager
async def bus_of(server: NatsServer, service: Service) -> AsyncIterator[Bus]:
    link = NatsLink(server.url, user=service, password=password(server, service), name=service)
    async with (
        link,
        open_bus(link, service=service, gateway=GATEWAY, clock=SystemClock(), version="0") as bus,
    ):
        yield bus


@asynccontextmanager
async def client_of(server: NatsServer, service: str, refusals: list[str]) -> AsyncIterator[Client]:
    async def trouble(err: Exception) -> None:
        refusals.append(str(err))

    client = await nats.connect(
        server.url,
        user=service,
        password=password(server, service),
        inbox_prefix=subjects.inbox_prefix(service),
        error_cb=trouble,
    )
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_server_refuses_what_the_table_does_not_give(secured: NatsServer, service: Service) -> None:
    refusals: list[str] = []
    expected = cases(service)
    async with client_of(secured, service, refusals) as client:
        for subject in expected:
            await client.publish(subject, b"{}")
        await client.flush()
        denied = {subject for subject, may in expected.items() if not may}

        def named() -> set[str]:
            return {
                subject
                for subject in expected
                if any(f'"{subject.lower()}"' in text.lower() for text in refusals)
            }

        await until(lambda: named() >= denied, deadline_s=5, what=f"the refusals of {service}")
        assert named() == denied


@pytest.mark.parametrize(("user", "secret"), [("", ""), ("solar", "guess"), ("nobody", "guess")])
async def test_server_lets_nobody_in_without_his_password(
    secured: NatsServer, user: str, secret: str
) -> None:
    client = Client()
    try:
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            await client.connect(
                secured.url,
                user=user or None,
                password=secret or None,
                allow_reconnect=False,
                connect_timeout=2,
            )
    finally:
        await client.close()


def _reading(seq: int) -> Reading:
    return Reading(gateway=GATEWAY, device="grid", ts=SystemClock().now(), values={"p": seq}, seq=seq)


async def test_services_work_with_their_own_credentials(secured: NatsServer) -> None:
    async with (
        bus_of(secured, "bus-reader") as reader,
        bus_of(secured, "solar") as solar,
        bus_of(secured, "uplink") as uplink,
    ):
        await reader.publish(TELEMETRY, _reading(1), device="grid")
        assert (await reader.last(TELEMETRY, device="grid")) == await solar.last(TELEMETRY, device="grid")
        follower = solar.follow(TELEMETRY)
        seen = await anext(follower)
        assert seen.message is not None
        balance = Balance(
            gateway=GATEWAY,
            plant="house",
            ts=SystemClock().now(),
            p_prod=0,
            p_grid=1,
            p_load=1,
            p_self=0,
            p_exp=0,
            p_imp=1,
        )
        await solar.publish(PLANT, balance, plant="house")
        consumer = uplink.consumer("history", TELEMETRY, PLANT)
        deliveries = await consumer.fetch(10, 2.0)
        assert [each.channel.name for each in deliveries] == ["telemetry", "plant"]
        for each in deliveries:
            await each.ack()
        event = Event(
            gateway=GATEWAY, source="solar", kind="x", severity="info", ts=SystemClock().now(), message="m"
        )
        await solar.publish(EVENT, event, source="solar", kind="x")
        assert (await uplink.last(EVENT, source="solar", kind="x")) == event
