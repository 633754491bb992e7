"""`ccmaster config`: check a site file, lay it into a running gateway, export what is stored."""

import argparse
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from ccmaster.broker import Broker
from ccmaster.commands.up import default_data_dir, port_from_env

T = TypeVar("T")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("config", help="check, import or export the configuration")
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    check = steps.add_parser("check", help="say what is wrong in a site file; exit code 2 when something is")
    check.add_argument("file", type=Path)
    check.add_argument("--paths", action="store_true", help="serial devices must exist on this machine")
    load = steps.add_parser("import", help="lay a site file into the running gateway")
    load.add_argument("file", type=Path)
    export = steps.add_parser("export", help="print the stored configuration as YAML, secrets masked")
    for step in (check, load, export):
        step.add_argument("--data-dir", type=Path, default=default_data_dir(), help="default: %(default)s")
    check.set_defaults(run=_check)
    load.set_defaults(run=_import)
    export.set_defaults(run=_export)


def _check(options: argparse.Namespace) -> int:
    from ccm_kit.errors import BadInputError
    from ccmaster.site_file import read_site_file

    try:
        site = read_site_file(
            options.file, user_catalog=options.data_dir / "catalog", check_paths=options.paths
        )
    except BadInputError as err:
        print(err, file=sys.stderr)
        return 2
    document = site.document
    print(
        f"{options.file}: sound: {len(document.ports)} ports, {len(document.devices)} devices, "
        f"{len(document.plants)} plants"
    )
    return 0


def _import(options: argparse.Namespace) -> int:
    import asyncio

    from ccm_kit.errors import BadInputError
    from ccmaster.config_store import lay, operator_bus
    from ccmaster.site_file import read_site_file

    site = read_site_file(options.file, user_catalog=options.data_dir / "catalog", check_paths=False)
    serial = _serial(options.data_dir)
    if "gateway" in site.sections and site.document.gateway.serial != serial:
        raise BadInputError(
            f"{options.file}:{site.source.line_of(('gateway', 'serial'))}: gateway.serial: "
            f"this gateway is {serial}; start it with `ccmaster up --config` to change that"
        )

    async def work() -> list[str]:
        async with asyncio.timeout(20), operator_bus(_broker(options.data_dir), serial) as bus:
            return await lay(bus, options.data_dir / "secret.key", site.document, site.sections)

    changed = _or_not_running(work)
    print(f"changed: {', '.join(changed)}" if changed else "nothing changed")
    return 0


def _export(options: argparse.Namespace) -> int:
    import asyncio

    import yaml

    from ccm_contracts.config.document import Document
    from ccmaster.config_store import operator_bus, stored
    from ccmaster.site_file import masked

    async def work() -> Document:
        async with (
            asyncio.timeout(20),
            operator_bus(_broker(options.data_dir), _serial(options.data_dir)) as bus,
        ):
            return (await stored(bus, options.data_dir / "secret.key")).document

    document = _or_not_running(work)
    print(yaml.safe_dump(masked(document), sort_keys=False, allow_unicode=True), end="")
    return 0


def _serial(data_dir: Path) -> str:
    from ccm_kit.errors import UnavailableError

    path = data_dir / "gateway"
    if not path.exists():
        raise UnavailableError(
            f"{data_dir} holds no gateway; start one with `ccmaster up --data-dir {data_dir}`"
        )
    return path.read_text().strip()


def _broker(data_dir: Path) -> Broker:
    return Broker(data_dir / "nats", port_from_env("CCM_NATS_PORT", 4222))


def _or_not_running(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    import asyncio

    from ccm_kit.errors import UnavailableError

    try:
        return asyncio.run(work())
    except TimeoutError as err:
        raise UnavailableError("the gateway does not answer; does `ccmaster up` run?") from err
