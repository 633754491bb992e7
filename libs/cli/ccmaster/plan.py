"""What `ccmaster up` and `ccmaster demo` run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccmaster.children import Child

PACKAGES: Final = {
    "bus-reader": "ccm_bus_reader",
    "solar": "ccm_solar",
    "uplink": "ccm_uplink",
    "io": "ccm_io",
    "api": "ccm_api",
}


class StartError(Exception):
    """The gateway cannot start; the text says what to do. Nothing is left running."""


@dataclass(slots=True)
class Plan:
    """What to run."""

    data_dir: Path
    config: Path | None = None
    only: Sequence[str] = tuple(PACKAGES)
    nats_port: int = 4222
    mqtt_port: int | None = None
    http_port: int = 8080
    http_host: str = "0.0.0.0"
    env: dict[str, str] = field(default_factory=dict)
    beside: list[Child] = field(default_factory=list)
    """Children to run along, started by `before_check`: the demo's simulated site."""
    before_check: Callable[[], None] | None = None
    """Runs once the directory and the ports are ours: the demo starts its site and writes its site file here."""
    when_ready: Callable[[], str] | None = None
    """The closing text, once every part works."""
