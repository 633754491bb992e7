"""Logging: one line a fact, as text or JSON (`CCM_LOG`), on standard error.

Facts go in `extra`: `log.warning("line closed", extra={"line": "native", "retry_s": 2})`.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from ccm_contracts.types import format_ts

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class TextFormatter(logging.Formatter):
    """`12:00:00.000 WARNING bus-reader line closed line=native retry_s=2`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        facts = "".join(f" {key}={value}" for key, value in facts_of(record).items())
        trouble = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        stamp = moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
        return f"{stamp} {record.levelname:<7} {self._service} {record.getMessage()}{facts}{trouble}"


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": format_ts(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "event": record.getMessage(),
            **facts_of(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(service: str, style: str, level: str = "INFO") -> None:
    """Send every log record of this process to standard error in the chosen style: `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if style == "json" else TextFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("nats", "pymodbus", "asyncio", "uvicorn.access", "mqtt", "aioftp", "alembic"):
        logging.getLogger(noisy).setLevel("WARNING")
