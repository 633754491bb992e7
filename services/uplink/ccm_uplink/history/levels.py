"""The resolutions of the history, finest first: single values, then a minute, a quarter, an hour, a day."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Table, literal_column, select
from sqlalchemy.sql import ColumnElement, Select

from ccm_uplink.history.calendar import WIDTH_MS, Unit
from ccm_uplink.history.tables import d1, h1, m1, m15, sample


@dataclass(frozen=True, slots=True)
class Level:
    """`unit` is None for single values."""

    name: str
    table: Table
    unit: Unit | None

    @property
    def width_ms(self) -> int:
        return WIDTH_MS[self.unit] if self.unit else 0

    @property
    def floor_name(self) -> str:
        """Its row in `state`."""
        return f"floor-{self.name}"

    def rows(self) -> Select[tuple[int, int, int, float, float, float, float, float, float]]:
        """Its rows as the columns of a `Summary`; a single value is the summary of itself."""
        if self.unit is not None:
            return select(*self.table.c)
        value = self.table.c.value
        one: ColumnElement[int] = literal_column("1")
        none: ColumnElement[float] = literal_column("0.0")
        return select(
            self.table.c.series_id,
            self.table.c.ts_ms,
            one.label("n"),
            value.label("mean"),
            value.label("low"),
            value.label("high"),
            value.label("first"),
            value.label("last"),
            none.label("gain"),
        )


RAW: Final = Level("raw", sample, None)
M1: Final = Level("m1", m1, "minute")
M15: Final = Level("m15", m15, "15min")
H1: Final = Level("h1", h1, "hour")
D1: Final = Level("d1", d1, "day")
ROLLUPS: Final = (M1, M15, H1, D1)
LEVELS: Final = (RAW, *ROLLUPS)
