"""`ccmaster scan`: what answers on a port, and which model it is; without a bus."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccm_bus_reader.scan_once import Standing
    from ccm_contracts.scan_state import FoundDevice

EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells have it: 128 + SIGINT."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "scan",
        help="find what answers on a port",
        description="Asks unit after unit, the likely ones first, and names the models that answer. "
        "The gateway must not hold the port meanwhile; the portal searches the gateway's own lines.",
        epilog="Exit codes: 0 something was found, 1 nothing was found or the port does not work, "
        "2 the input is wrong, 130 Ctrl-C.",
    )
    parser.add_argument(
        "--port",
        required=True,
        help="/dev/ttyUSB0, tcp://HOST:PORT (Modbus TCP) or rtu+tcp://HOST:PORT (RTU through a serial server)",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="every unit at every rate and format: takes long; Ctrl-C shows what was found",
    )
    parser.add_argument("--units", metavar="A-B", help="only these units, such as 1-20 or 7")
    parser.add_argument(
        "--baudrate", type=int, action="append", default=[], help="only this rate; may be given again"
    )
    parser.add_argument(
        "--format", action="append", default=[], help="only this format, such as 8E1; may be given again"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("CCM_DATA_DIR", ".ccmaster")))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    import asyncio
    from contextlib import suppress

    from ccm_bus_reader.scan_once import scan_once

    show = Show(is_terminal=sys.stderr.isatty())
    search = scan_once(
        options.port, request_of(options), show.told, user_catalog=options.data_dir / "catalog"
    )
    interrupted = True
    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(search)
            interrupted = False
        finally:
            show.clear()
    print_found(show.found, as_json=options.json)
    if interrupted:
        print("stopped: the search was not finished", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0 if show.found else 1


def request_of(options: argparse.Namespace) -> Any:
    """The command line as a `ScanRequest`. Raises `BadInputError` that names the option."""
    from pydantic import ValidationError

    from ccm_contracts.verbs.bus_reader import ScanRequest
    from ccm_kit.errors import BadInputError
    from ccm_kit.problems import problems_in

    first, last = units_of(options.units)
    try:
        return ScanRequest(
            line="port",
            depth="full" if options.full else "quick",
            first_unit=first,
            last_unit=last,
            baudrates=options.baudrate,
            formats=[each.upper() for each in options.format],
        )
    except ValidationError as err:
        loc, reason = problems_in(err)[0]
        option = {"baudrates": "--baudrate", "formats": "--format"}.get(str(loc[0]), "--units")
        raise BadInputError(f"{option}: {reason}", field=option) from err


def units_of(text: str | None) -> tuple[int | None, int | None]:
    """`1-20` or `7`; (None, None) without. Raises `BadInputError`."""
    from ccm_kit.errors import BadInputError

    if text is None:
        return None, None
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        raise BadInputError(f"--units: {text!r} is not like 1-20 or 7", field="--units")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 247:
        raise BadInputError(f"--units: {text!r} does not lie within 1-247", field="--units")
    return low, high


class Show:
    """The progress line of a terminal, and what was found."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.found: tuple[FoundDevice, ...] = ()
        self._is_terminal = is_terminal
        self._shown = ""

    def told(self, standing: "Standing") -> None:
        self.found = standing.found
        if not self._is_terminal:
            return
        where = setting_text(standing.setting.baudrate, standing.setting.format)
        text = f"{standing.percent:5.1f} %  {where}  unit {standing.unit or '-'}  {len(self.found)} found  "
        text += f"{duration_text(standing.left_s)} left"
        print(f"\r{text:<{len(self._shown)}}", end="", file=sys.stderr, flush=True)
        self._shown = text

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            print(f"\r{'':<{len(self._shown)}}\r", end="", file=sys.stderr, flush=True)


def print_found(found: "tuple[FoundDevice, ...]", *, as_json: bool) -> None:
    import json

    if as_json:
        print(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    if not found:
        print("nothing answers: check the wires A and B, the supply of the devices, and try --full")
        return
    rows = [("unit", "rate", "what", "serial", "firmware"), *(row_of(each) for each in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(5)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def row_of(found: "FoundDevice") -> tuple[str, str, str, str, str]:
    """Unit, parameters, what it is, serial number, firmware."""
    if found.kind == "conflict":
        what = f"CONFLICT: {found.answered}: two devices on this unit, or another format"
    elif not found.candidates:
        what = f"{found.maker or 'answers, model unknown'} ({found.answered})"
    else:
        best = found.candidates[0]
        what = f"{best.model} ({best.confidence})"
        more = ", ".join(each.model for each in found.candidates[1:4])
        what += f", or {more}" if more else ""
    where = setting_text(found.setting.baudrate, found.setting.format)
    return str(found.unit), where, what, found.serial or "-", found.firmware or "-"


def setting_text(baudrate: int, format_: str) -> str:
    """`9600 8N1`, or `network`."""
    return f"{baudrate} {format_}" if baudrate else "network"


def duration_text(seconds: float) -> str:
    """`12 s`, `3 min`, `1.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
