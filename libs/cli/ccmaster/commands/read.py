"""`ccmaster read`: one reading of one device, without a bus: the installer's test."""

import argparse
import os
from pathlib import Path

FORMAT_HELP = "data bits, parity and stop bits, such as 8N1 or 8E1 (default: %(default)s)"


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "read",
        help="read one device once",
        description="Reads every value of one device and prints it. The gateway must not hold the port meanwhile.",
    )
    parser.add_argument(
        "--port",
        required=True,
        help="/dev/ttyUSB0, tcp://HOST:PORT (Modbus TCP) or rtu+tcp://HOST:PORT (RTU through a serial server)",
    )
    parser.add_argument(
        "--model", required=True, help="brand/model from `ccmaster catalog list`, or ./profile.yaml"
    )
    parser.add_argument("--unit", type=int, default=1, help="Modbus unit, 1 to 247 (default: %(default)s)")
    parser.add_argument("--baudrate", type=int, default=9600, help="of a serial port (default: %(default)s)")
    parser.add_argument("--format", default="8N1", help=FORMAT_HELP)
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("CCM_DATA_DIR", ".ccmaster")))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    import asyncio
    import json

    from ccm_bus_reader.read_once import read_once

    values = asyncio.run(
        read_once(
            options.port,
            options.model,
            options.unit,
            baudrate=options.baudrate,
            format=options.format,
            user_catalog=options.data_dir / "catalog",
        )
    )
    if options.json:
        print(json.dumps({each.metric: {"value": each.value, "unit": each.unit} for each in values}))
        return 0
    width = max((len(each.label) for each in values), default=0)
    for each in values:
        shown = "–" if each.value is None else f"{each.value}"
        print(f"{each.metric:<10} {each.label:<{width}}  {shown:>14} {each.unit}".rstrip())
    return 0
