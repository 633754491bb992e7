"""Accepts messages and makes files of them for ever, to be killed; prints what it accepted."""

import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

from ccm_contracts.config.services import Historic
from ccm_contracts.messages import Reading
from ccm_uplink.formats.files import FileOptions
from ccm_uplink.spool.spool import Spool

START = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
OPTIONS = FileOptions.of("CCM000042", ZoneInfo("Europe/Madrid"), Historic(format="csv"))


def main(directory: Path) -> None:
    spool = Spool(directory, now=START)
    minute = spool.began
    for seq in count(start=0, step=2):
        messages = [_line(seq), _line(seq + 1)]
        spool.accept(messages)
        sys.stdout.write(f"{seq}\n{seq + 1}\n")
        sys.stdout.flush()
        if seq % 6 == 4:
            minute += timedelta(minutes=1)
            spool.cut(minute, OPTIONS)


def _line(seq: int) -> bytes:
    ts = START + timedelta(seconds=seq)
    return (
        Reading(gateway="CCM000042", device="grid", ts=ts, values={"p": seq}, seq=seq)
        .model_dump_json()
        .encode()
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
