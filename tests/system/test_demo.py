"""The main job: a stranger starts the demo and sees a living plant everywhere."""

import json
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.gateway import Gateway, ccmaster, free_environment, gateway
from tests.support.mosquitto import Access, subscriber
from tests.support.wait import LEAST_S, until_sync

pytestmark = pytest.mark.system
SITE = "/site/srv"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("demo")
    with gateway(["demo"], directory / "data", directory / "demo.log") as running:
        yield running


def balance(demo: Gateway) -> Any:
    """The plant's balance once it is complete, else None."""
    found = demo.get("/plants/home/balance")
    return found if found and found["p_load"] is not None else None


def test_portal_shows_a_balance_that_adds_up_to_the_watt(demo: Gateway) -> None:
    found = until_sync(lambda: balance(demo), deadline_s=20, what="a balance")
    assert found["p_load"] == found["p_prod"] + found["p_grid"]
    assert found["p_prod"] > 0


def online_devices(demo: Gateway) -> list[str]:
    found = demo.get("/devices")
    return [each["id"] for each in found["devices"] if each["online"]] if found else []


def fresh(demo: Gateway, device: str) -> Any:
    """The device's values, while they are good and younger than 5 s."""
    data = demo.get(f"/devices/{device}/data")
    return data if data and data["quality"] == "good" and data["age_s"] < 5 else None


def test_every_device_is_online_with_fresh_values(demo: Gateway) -> None:
    until_sync(lambda: len(online_devices(demo)) == 5, deadline_s=20, what="five devices online")
    for device in online_devices(demo):
        data: Any = until_sync(partial(fresh, demo, device), deadline_s=10, what=f"a fresh value of {device}")
        assert data["values"]["p"]["unit"] == "W"


async def test_an_independent_mqtt_client_receives_readings(demo: Gateway, tmp_path: Path) -> None:
    password = (demo.data_dir / "nats" / "site.password").read_text().strip()
    access = Access(demo.ports["MQTT"], "site", password)
    async with subscriber(access, f"{SITE}/#", directory=tmp_path) as received:
        found = await received.message(
            lambda message: message.topic == f"{SITE}/telemetry/grid", deadline_s=30
        )
    reading = json.loads(found.payload)
    assert reading["device"] == "grid"
    assert isinstance(reading["values"]["p"], int | float)


def test_a_relay_that_closes_changes_the_load(demo: Gateway) -> None:
    before = until_sync(lambda: balance(demo), deadline_s=20, what="a balance")["p_load"]
    answer = demo.client.put("/outputs/relay-1", json={"value": 1})
    assert answer.status_code == 200, answer.text
    until_sync(
        lambda: (balance(demo) or {"p_load": 0})["p_load"] > before + 1500,
        deadline_s=15,
        what="2 kW more load",
    )
    assert demo.client.put("/outputs/relay-1", json={"value": 0}).status_code == 200


def test_wrong_sign_in_is_refused(demo: Gateway) -> None:
    answer = demo.client.post("/session", json={"user": "admin", "password": "wrong"})
    assert answer.status_code == 401


def test_second_start_on_the_same_directory_is_refused(demo: Gateway, tmp_path: Path) -> None:
    _, env = free_environment()
    done = ccmaster("demo", "--data-dir", demo.data_dir, cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert str(demo.data_dir) in done.stderr
    assert str(demo.child.pid) in done.stderr
    assert demo.child.is_running


def test_port_in_use_is_named(demo: Gateway, tmp_path: Path) -> None:
    _, env = free_environment()
    env["CCM_HTTP_PORT"] = str(demo.ports["HTTP"])
    done = ccmaster("demo", "--data-dir", tmp_path / "other", cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert f"port {demo.ports['HTTP']}" in done.stderr
    assert "CCM_HTTP_PORT" in done.stderr


def test_nobody_gets_on_the_bus_without_a_credential(demo: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", demo.ports["NATS"]), timeout=LEAST_S) as stranger:
        stranger.sendall(b'CONNECT {"verbose": false}\r\nPING\r\n')
        said = b""
        while b"-ERR" not in said and b"PONG" not in said:
            said += stranger.recv(4096) or b"-ERR closed"
    assert b"Authorization Violation" in said
    assert b"PONG" not in said


def whole_family(running: Gateway) -> list[psutil.Process] | None:
    family = psutil.Process(running.child.pid).children(recursive=True)
    return family if len(family) >= 7 else None


def test_ctrl_c_leaves_no_orphan(tmp_path: Path) -> None:
    with gateway(["demo"], tmp_path / "data", tmp_path / "demo.log") as running:
        family = until_sync(
            lambda: whole_family(running), deadline_s=10, what="NATS, the site and five services"
        )
        assert family
    assert running.child.returncode == 0, running.child.output
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_kill_of_the_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    with gateway(["demo"], tmp_path / "data", tmp_path / "demo.log") as running:
        family = until_sync(
            lambda: whole_family(running), deadline_s=10, what="NATS, the site and five services"
        )
        assert family
        running.child.signal(9)
        until_sync(
            lambda: (
                not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
            ),
            deadline_s=20,
            what="all children to end",
        )
