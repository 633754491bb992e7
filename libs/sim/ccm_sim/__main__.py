"""`python -m ccm_sim`: one simulated site until SIGTERM or SIGINT. `site.json` in its directory says it is ready."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ccm_sim.site import Site
from ccm_sim.spec import SiteSpec, SpecError, TcpSpec, demo_spec, load_spec
from ccm_sim.state import replace as replace_file

_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the site; 2 when the specification is wrong, 1 when it cannot start."""
    options = _parser().parse_args(arguments)
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    if options.die_with_parent:
        _die_with_parent()
    try:
        spec = _spec(options)
    except SpecError as exc:
        print(f"ccm_sim: {exc}", file=sys.stderr)  # noqa: T201 - this is the command line
        return 2
    ready = options.dir / "site.json"
    try:
        ready.unlink(missing_ok=True)  # of a predecessor that was killed
        with Site(spec, options.dir, state_file=options.dir / "state.json") as site:
            replace_file(ready, json.dumps(_description(site)))
            signal.sigwait(signals)
            ready.unlink(missing_ok=True)
    except (OSError, ValueError) as exc:
        print(f"ccm_sim: {exc}", file=sys.stderr)  # noqa: T201 - this is the command line
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ccm_sim", description="A simulated CcMaster site.")
    parser.add_argument(
        "--dir", type=Path, required=True, help="directory for terminals, state and control socket"
    )
    parser.add_argument("--spec", type=Path, help="site-spec (YAML); without it the demo's site")
    parser.add_argument("--tcp-port", type=int, help="port of the Modbus TCP server; 0 takes a free one")
    parser.add_argument(
        "--day-minutes", type=float, help="real minutes of one simulated day (24; 1440 is real time)"
    )
    parser.add_argument("--seed", type=int, help="of clouds, loads and faults (1)")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the starting process ends")
    return parser


def _spec(options: argparse.Namespace) -> SiteSpec:
    spec = load_spec(options.spec) if options.spec else demo_spec()
    plant = spec.plant
    if options.day_minutes is not None:
        if not options.day_minutes >= 0.01:
            raise SpecError(f"--day-minutes: {options.day_minutes:g} is too short")
        plant = replace(plant, day_minutes=options.day_minutes)
    if options.seed is not None:
        plant = replace(plant, seed=options.seed)
    tcp: TcpSpec | None = spec.tcp
    if tcp and options.tcp_port is not None:
        tcp = replace(tcp, port=options.tcp_port)
    return replace(spec, plant=plant, tcp=tcp)


def _description(site: Site) -> dict[str, object]:
    address = site.tcp_address
    return {
        "lines": {name: str(line.link) for name, line in site.lines.items()},
        "tcp": {"host": address[0], "port": address[1]} if address else None,
        "control": str(site.directory / "control.sock"),
        "outputs": str(site.directory / "outputs"),
        "pid": os.getpid(),
    }


def _die_with_parent() -> None:
    """SIGTERM when the parent ends (prctl(2)); nothing where the kernel has no such call."""
    import ctypes  # only here: it costs 1 MB

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


if __name__ == "__main__":
    sys.exit(main())
