"""`ccmaster demo`: `up` with a simulated site on real pseudo-terminals, so that a stranger sees a living plant."""

import argparse
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

from ccmaster.broker import SITE_USER, is_free, password_in, write_private
from ccmaster.children import Child
from ccmaster.commands.up import default_data_dir, port_from_env, start
from ccmaster.plan import Plan, StartError

SITE_START_S: Final = 15.0
PRESS_S: Final = 5.0
SERIAL: Final = "CCM000123"
ADMIN: Final = "admin"
DEFAULT_PORTS: Final = {"HTTP": 8080, "NATS": 4222, "MQTT": 1883}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "demo",
        help="run the gateway with a simulated site: no hardware needed",
        description="Starts the whole gateway with a simulated house: a CcM4 at the grid, two solar inverters, "
        "a meter, loads that the relays switch. A simulated day passes in --day-minutes.",
    )
    parser.add_argument(
        "--data-dir", type=Path, default=default_data_dir(), help="all state (default: %(default)s)"
    )
    parser.add_argument(
        "--day-minutes", type=float, default=24.0, help="length of a simulated day (default: %(default)s)"
    )
    parser.add_argument(
        "--press",
        metavar="DEVICE",
        nargs="+",
        help="press the black button of a simulated CcM of the running demo (spare-1, spare-2): in synchronisation "
        "mode it gets the next free unit; of several at the same moment",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.press is not None:
        return press(options.data_dir.absolute() / "site" / "control.sock", options.press)
    return start(lambda: Demo(options.data_dir.absolute(), options.day_minutes).plan())


def press(control: Path, devices: list[str]) -> int:
    """Press the buttons of simulated devices: 0, 1 without a running demo, 2 for a device without a button."""
    try:
        with socket.socket(socket.AF_UNIX) as site:
            site.settimeout(PRESS_S)
            site.connect(str(control))
            site.sendall(json.dumps({"cmd": "press", "devices": devices}).encode() + b"\n")
            answer = json.loads(site.makefile().readline())
    except (OSError, ValueError):
        where = control.parent.parent
        print(f"ccmaster: no demo runs with {where}: start it with `ccmaster demo`", file=sys.stderr)
        return 1
    if "error" in answer:
        print(f"ccmaster: --press: {answer['error']}", file=sys.stderr)
        return 2
    for device, waits in answer["result"].items():
        print(f"{device} waits for its unit now" if waits else f"{device} waits no longer")
    return 0


class Demo:
    """The demo's plan: where its parts are, its site file, and what to tell the visitor."""

    def __init__(self, data_dir: Path, day_minutes: float) -> None:
        self._data_dir = data_dir
        self._day_minutes = day_minutes
        self._ports = {name: port_from_env(f"CCM_{name}_PORT", port) for name, port in DEFAULT_PORTS.items()}
        self._site_dir = data_dir / "site"
        self._config = data_dir / "demo.yaml"
        self._admin_file = data_dir / "admin.password"

    def plan(self) -> Plan:
        plan = Plan(
            data_dir=self._data_dir,
            config=self._config,
            nats_port=self._ports["NATS"],
            mqtt_port=self._ports["MQTT"],
            http_port=self._ports["HTTP"],
            http_host=os.environ.get("CCM_HTTP_HOST", "127.0.0.1"),
            env={
                "CCM_HAL": "sim",
                "CCM_HAL_DIR": str(self._site_dir),
                "CCM_LOG_LEVEL": os.environ.get("CCM_LOG_LEVEL", "WARNING"),
            },
            when_ready=self._welcome,
        )
        if not os.environ.get("CCM_ADMIN_PASSWORD") and not os.environ.get("CCM_ADMIN_PASSWORD_FILE"):
            plan.env["CCM_ADMIN_PASSWORD_FILE"] = str(self._admin_file)
        site = self._site()
        plan.beside.append(site)
        plan.before_check = lambda: self._start_site(site)
        return plan

    def _site(self) -> Child:
        command = [sys.executable, "-m", "ccm_sim", "--dir", str(self._site_dir), "--die-with-parent"]
        command += ["--day-minutes", str(self._day_minutes), "--tcp-port", "0"]
        ready_file = self._site_dir / "site.json"

        def ready() -> str | None:
            if child.process is None or not ready_file.exists():
                return None
            site = json.loads(ready_file.read_text())
            if site.get("pid") != child.process.pid:
                return None
            return f"{len(site['lines'])} serial lines at 9600 8N1, an inverter on TCP port {site['tcp']['port']}"

        child = Child("site", command, dict(os.environ), ready)
        return child

    def _start_site(self, site: Child) -> None:
        self._site_dir.mkdir(parents=True, exist_ok=True)
        previous = self._known_tcp_port()
        if previous is not None and is_free(previous):
            site.command = [*site.command[:-1], str(previous)]
        password_in(self._admin_file)
        site.start()
        deadline = time.monotonic() + SITE_START_S
        while site.ready() is None:
            if site.ended() is not None or time.monotonic() > deadline:
                raise StartError("the simulated site does not start (see above)")
            time.sleep(0.02)
        facts = json.loads((self._site_dir / "site.json").read_text())
        site.command = [*site.command[:-1], str(facts["tcp"]["port"])]  # the same again after a restart
        write_private(self._config, json.dumps(self._document(facts), indent=2))

    def _known_tcp_port(self) -> int | None:
        try:
            return int(json.loads((self._site_dir / "site.json").read_text())["tcp"]["port"])
        except (OSError, ValueError, KeyError):
            return None

    def _document(self, site: dict[str, Any]) -> dict[str, Any]:
        """The demo's site file; JSON is YAML too."""
        tcp = site["tcp"]
        return {
            "gateway": {"serial": SERIAL, "model": "pro", "alias": "Demo house"},
            "ports": [
                {"id": "native", "kind": "rs485", "path": site["lines"]["native"], "role": "native"},
                {"id": "ext", "kind": "rs485", "path": site["lines"]["ext"]},
            ],
            "devices": [
                {"id": "grid", "port": "native", "model": "energyccm/ccm4", "unit": 1, "alias": "Grid"},
                {
                    "id": "cellar",
                    "port": "native",
                    "model": "energyccm/ccm4",
                    "unit": 1,
                    "alias": "Cellar",
                    "secondary": {"via": "grid", "index": 1},
                },
                {"id": "roof", "port": "ext", "model": "goodwe/dns", "unit": 100, "alias": "Roof"},
                {"id": "house", "port": "ext", "model": "eastron/sdm630", "unit": 2, "alias": "House"},
                {
                    "id": "farm",
                    "host": tcp["host"],
                    "tcp_port": tcp["port"],
                    "model": "huawei/sun2000",
                    "unit": 1,
                    "alias": "Barn",
                },
            ],
            "plants": [{"id": "home", "alias": "Home", "production": ["roof", "farm"], "grid": ["grid"]}],
            "mqtt": {
                "enabled": True,
                "broker": "own",
                "host": "mqtt://127.0.0.1",
                "port": self._ports["MQTT"],
                "user": SITE_USER,
                "password": password_in(self._data_dir / "nats" / f"{SITE_USER}.password"),
                "prefix_sub": "/site/srv",
                "prefix_pub": "/site/dev",
                "qos": 1,
                "latency_s": 10,
            },
            "historic": {"enabled": True, "latency_s": 0},
        }

    def _welcome(self) -> str:
        site = password_in(self._data_dir / "nats" / f"{SITE_USER}.password")
        given = os.environ.get("CCM_ADMIN_PASSWORD_FILE") or os.environ.get("CCM_ADMIN_PASSWORD")
        password = "the one that you gave" if given else password_in(self._admin_file)
        return (
            f"\n  Portal   http://127.0.0.1:{self._ports['HTTP']}/\n"
            f"  Sign in  {ADMIN} / {password}\n"
            f"  MQTT     mosquitto_sub -h 127.0.0.1 -p {self._ports['MQTT']} -u {SITE_USER} -P {site}"
            " -t '/site/srv/#' -v\n"
            f"  Data     {self._data_dir}\n"
            "  Try      synchronisation mode (portal, Devices), then `ccmaster demo --press spare-1`\n\n"
            "Ctrl-C stops everything."
        )
