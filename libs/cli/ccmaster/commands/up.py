"""`ccmaster up`: NATS and the services on this machine, with your own site file."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ccmaster.plan import PACKAGES, Plan, StartError
from ccmaster.supervisor import BAD_INPUT, Supervisor


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "up",
        help="run the gateway on this machine",
        description="Runs NATS and the services as child processes, and restarts one that dies. "
        "Without --config the stored configuration is used.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="site file (YAML); a section is laid when the file says something new about it",
    )
    parser.add_argument(
        "--data-dir", type=Path, default=default_data_dir(), help="all state (default: %(default)s)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=tuple(PACKAGES),
        default=tuple(PACKAGES),
        metavar="SERVICE",
        help="run only these",
    )
    parser.set_defaults(run=run)


def default_data_dir() -> Path:
    return Path(os.environ.get("CCM_DATA_DIR", ".ccmaster"))


def port_from_env(variable: str, default: int) -> int:
    """Raises `StartError` naming the variable."""
    text = os.environ.get(variable) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise StartError(f"{variable}: {text!r} is not a port, 1 to 65535")
    return int(text)


def run(options: argparse.Namespace) -> int:
    def plan() -> Plan:
        http_port = port_from_env("CCM_HTTP_PORT", 8080)
        return Plan(
            data_dir=options.data_dir.absolute(),
            config=options.config,
            only=options.only,
            nats_port=port_from_env("CCM_NATS_PORT", 4222),
            http_port=http_port,
            http_host=os.environ.get("CCM_HTTP_HOST", "0.0.0.0"),
            when_ready=lambda: f"\nPortal: http://{_own_name()}:{http_port}/",
        )

    return start(plan)


def _own_name() -> str:
    host = os.environ.get("CCM_HTTP_HOST", "0.0.0.0")
    return "localhost" if host == "0.0.0.0" else host


def start(make_plan: Callable[[], Plan]) -> int:
    """Prepare and run; a start that fails says why in one line and leaves nothing running."""
    try:
        supervisor = Supervisor(make_plan())
        supervisor.prepare()
        return supervisor.run()
    except StartError as err:
        if str(err):
            print(f"ccmaster: {err}", file=sys.stderr)
        return BAD_INPUT
