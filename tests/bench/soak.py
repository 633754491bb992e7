"""Thousands of faults in a few minutes: a day and more of what a bad line does, without a day.

`python -m tests.bench.soak [--seconds 170] [--seed 1]`. A day at one fault in two minutes is 720 faults; each takes
0.15 s and more here. Devices die, answer late, spoil, lose and misaddress replies; ports and connections close.
At the end every device must be read; what has grown since the first third is shown.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.support.soak import soak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=170.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        left = asyncio.run(soak(options.seconds, Path(directory), seed=options.seed))
    sys.stdout.write(json.dumps(left.shown(), indent=1) + "\n")


if __name__ == "__main__":
    main()
