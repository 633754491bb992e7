"""The tables of the history database.

Does not create them: that is the migrations' job. Times are milliseconds since 1970 in UTC. `sample`,
`text_sample` and `reading` have no foreign keys, because checking one costs each row a look-up and their ids are
made in the same transaction.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

HEAD: Final = "0002"
"""The newest migration. A database at this revision is used without loading Alembic."""

METRIC_LENGTH: Final = 64

metadata = MetaData()

device = Table(
    "device",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("gateway", String(40), nullable=False),
    Column("name", String(40), nullable=False),
    Column("is_plant", Boolean, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_ts_ms", BigInteger, nullable=False),
    Column("rolled_to_ms", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("gateway", "name"),
)
"""Devices and plants, each with what was stored of it so far. Readings before `rolled_to_ms` are in the rollups."""

series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("device_id", Integer, ForeignKey("device.id"), nullable=False),
    Column("metric", String(METRIC_LENGTH), nullable=False),
    Column("is_text", Boolean, nullable=False),
    UniqueConstraint("device_id", "metric", "is_text"),
)

sample = Table(
    "sample",
    metadata,
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("ts_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Float(53), nullable=False),
    sqlite_with_rowid=False,
)
"""Values in the unit of the vocabulary; a null is not stored."""

text_sample = Table(
    "text_sample",
    metadata,
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("ts_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

reading = Table(
    "reading",
    metadata,
    Column("device_id", Integer, primary_key=True, autoincrement=False),
    Column("ts_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("quality", SmallInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""One row for each message stored. `ts_ms` is in the key, so that a device whose `seq` starts anew loses nothing."""

late_reading = Table(
    "late_reading",
    metadata,
    Column("device_id", Integer, primary_key=True, autoincrement=False),
    Column("ts_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("stored_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Readings that came after the single values of their time were dropped: they are in the rollups only."""

dirty = Table(
    "dirty",
    metadata,
    Column("device_id", Integer, primary_key=True, autoincrement=False),
    Column("ts_ms", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""Minutes that got late readings: their rollups are made anew. Written with the readings."""

state = Table(
    "state",
    metadata,
    Column("gateway", String(40), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("value", String(80), nullable=False),
)
"""How far the upkeep has come: `floor-raw`... (milliseconds; everything before was dropped), and `zone`."""

event = Table(
    "event",
    metadata,
    Column("gateway", String(40), primary_key=True),
    Column("ts_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("source", String(40), primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("about", String(80), primary_key=True),
    Column("line", String(40), nullable=False),
    Column("message", String(1000), nullable=False),
)
"""Events that explain why readings are missing; `about` is the device or the line, or nothing."""


def _rollup(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("series_id", Integer, primary_key=True, autoincrement=False),
        Column("ts_ms", BigInteger, primary_key=True, autoincrement=False),
        Column("n", Integer, nullable=False),
        Column("mean", Float(53), nullable=False),
        Column("low", Float(53), nullable=False),
        Column("high", Float(53), nullable=False),
        Column("first", Float(53)),
        Column("last", Float(53), nullable=False),
        Column("gain", Float(53)),
        sqlite_with_rowid=False,
    )


m1, m15, h1, d1 = _rollup("m1"), _rollup("m15"), _rollup("h1"), _rollup("d1")
"""A `Summary` a row, by the start of its period; hours and days are those of the site's clock."""

QUALITIES: Final = {"good": 0, "stale": 1, "bad": 2}
"""`reading.quality`."""
