"""Short-lived steps of `ccmaster up` that need the models: run as child processes so that the resident one stays small.

`python -m ccmaster.prepare check ...` validates the site file and writes the broker's configuration;
`python -m ccmaster.prepare lay ...` puts the site file on the bus.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from ccm_contracts.channels import SERVICES
from ccm_contracts.permissions import ADMIN, users_block
from ccm_kit.errors import CcmError
from ccmaster.broker import Broker, configuration, password_in, write_private
from ccmaster.site_file import SiteFile, read_site_file

DEFAULT_SERIAL = "CCM000000"


def main() -> int:
    options = _parser().parse_args()
    try:
        site = _site_of(options)
        if options.step == "check":
            serial, laid = _check(options, site), _laid(options)
            print(json.dumps({"gateway": serial, "is_new": site is not None and not laid.exists()}))
        else:
            asyncio.run(_lay(options, site))
    except CcmError as err:
        print(f"ccmaster: {err}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ccmaster.prepare")
    parser.add_argument("step", choices=("check", "lay"))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--nats-port", type=int, required=True)
    parser.add_argument("--mqtt-port", type=int)
    return parser


def _laid(options: argparse.Namespace) -> Path:
    """Not there before a site file was laid the first time."""
    path: Path = options.data_dir / "laid.json"
    return path


def _broker(options: argparse.Namespace, users: str = "") -> Broker:
    return Broker(options.data_dir / "nats", options.nats_port, options.mqtt_port, users)


def _site_of(options: argparse.Namespace) -> SiteFile | None:
    if options.config is None:
        return None
    return read_site_file(options.config, user_catalog=options.data_dir / "catalog", check_paths=True)


def _check(options: argparse.Namespace, site: SiteFile | None) -> str:
    serial_file = options.data_dir / "gateway"
    known = serial_file.read_text().strip() if serial_file.exists() else DEFAULT_SERIAL
    serial = site.document.gateway.serial if site is not None and "gateway" in site.sections else known
    write_private(serial_file, serial)
    bare = _broker(options)
    passwords = {user: password_in(bare.password_file(user)) for user in (ADMIN, *SERVICES)}
    broker = _broker(options, users_block(serial, passwords))
    write_private(broker.config, configuration(broker))
    return serial


async def _lay(options: argparse.Namespace, site: SiteFile | None) -> None:
    from ccm_kit.service import die_with_parent
    from ccmaster.config_store import lay, operator_bus
    from ccmaster.laid import Laid

    if site is None:
        return
    die_with_parent()  # it would wait for NATS for ever
    serial = (options.data_dir / "gateway").read_text().strip()
    key_file = options.data_dir / "secret.key"
    laid = Laid(_laid(options))
    async with operator_bus(_broker(options), serial) as bus:
        await lay(bus, key_file, site.document, laid.fresh(site.document, site.sections))
    laid.note(site.document, site.sections)


if __name__ == "__main__":
    raise SystemExit(main())
