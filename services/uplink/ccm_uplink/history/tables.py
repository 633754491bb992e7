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

HEAD: Final = "0001"
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
    UniqueConstraint("gateway", "name"),
)
"""Devices and plants, each with what was stored of it so far."""

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

QUALITIES: Final = {"good": 0, "stale": 1, "bad": 2}
"""`reading.quality`."""
