"""Finds log calls whose message does not fit its arguments, at every level of our own loggers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

OURS = (
    "ccm_contracts",
    "ccm_kit",
    "ccm_sim",
    "ccmaster",
    "ccm_bus_reader",
    "ccm_uplink",
    "ccm_solar",
    "ccm_io",
    "ccm_api",
)


class FormatCheck(logging.Handler):
    """Formats every record and remembers the failures; raises nothing into the code under test."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record.getMessage()
        except (TypeError, ValueError, KeyError) as error:
            self.faults.append(
                f"{record.pathname}:{record.lineno}: {record.msg!r} % {record.args!r}: {error}"
            )


@contextmanager
def checked_formats() -> Iterator[FormatCheck]:
    """The handler on the root logger, with our loggers at DEBUG, for the duration."""
    check = FormatCheck()
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in OURS}
    root.addHandler(check)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield check
    finally:
        root.removeHandler(check)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
