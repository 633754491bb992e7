"""JSON files: one document, one reading on each line. Pure."""

import json
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from ccm_uplink.formats.records import Record, local_time, unit_of


class JsonLayout:
    """`{gateway, end, time_zone, period_s, units, readings: [{ts, device, seq, quality, values}]}`."""

    kind = "json"

    def __init__(
        self, zone: ZoneInfo, columns: Sequence[str], *, gateway: str, end: datetime, period_s: int
    ) -> None:
        self._zone = zone
        self._units = {column: unit_of(column) for column in columns}
        self._facts: dict[str, str | int] = {
            "gateway": gateway,
            "end": local_time(end, zone),
            "time_zone": zone.key,
            "period_s": period_s,
        }

    def head(self) -> str:
        facts = {**self._facts, "units": self._units}
        return json.dumps(facts, ensure_ascii=False)[:-1] + ', "readings": [\n'

    def row(self, record: Record, *, is_first: bool) -> str:
        shown = {
            "ts": local_time(record.ts, self._zone),
            "device": record.device,
            "seq": record.seq,
            "quality": record.quality,
            "values": record.values,
        }
        return ("" if is_first else ",\n") + json.dumps(shown, ensure_ascii=False)

    def tail(self) -> str:
        return "\n]}\n"
