"""24 hours of faults on a line of 32 units at 9600 baud, on simulated time: no leak, no stuck line, nothing wrong.

`python -m tests.bench.day [--hours 24] [--seed 1] [--network] [--trace]`. The README beside it says what happens and
what is judged. Exit status 1 when anything was wrong, or memory has grown.
"""

import argparse
import json
import sys

from tests.support.day.run import a_day


def _tell(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--network", action="store_true", help="32 units at ten hosts, not on one cable")
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    scenery = "network" if options.network else "cable"
    day = a_day(options.hours, options.seed, scenery, tell=_tell, trace=options.trace)
    print(json.dumps(day.shown(), indent=1))
    sys.exit(bool(day.violations))


if __name__ == "__main__":
    main()
