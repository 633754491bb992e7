"""Entry point of `ccmaster`: reads the command line and hands over to one subcommand.

Exit codes: 0 done, 1 it did not work, 2 the input is wrong (one line says what, where and what to do).
"""

import argparse
import sys

from ccmaster.commands import catalog, config, demo, read, scan, up


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="ccmaster",
        description="The open energy gateway: meters and inverters to MQTT, history and a web portal.",
        epilog="`ccmaster demo` shows a living site without any hardware.",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (up, demo, read, scan, config, catalog):
        module.add(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:
        return 1
    except Exception as err:
        code = _exit_code(err)
        if code is None:
            raise
        print(f"ccmaster: {err}", file=sys.stderr)
        return code


def _exit_code(err: Exception) -> int | None:
    """Our own errors end in one line; anything else is a fault of ours and shows its trace."""
    if "ccm_kit.errors" not in sys.modules:
        return None
    from ccm_kit.errors import BadInputError, CcmError

    if isinstance(err, BadInputError):
        return 2
    return 1 if isinstance(err, CcmError) else None


if __name__ == "__main__":
    raise SystemExit(main())
