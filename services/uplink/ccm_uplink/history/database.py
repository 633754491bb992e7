"""Engines of the history database: SQLite with its safety settings, PostgreSQL by URL."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool, StaticPool

from ccm_uplink.history.tables import HEAD

BUSY_MS: Final = 5000
"""How long SQLite waits for another process that holds the lock, before it says so."""
CACHE_KIB: Final = 4096
WAL_BYTES: Final = 16 * 1024 * 1024
"""What is kept of the write-ahead log after a checkpoint."""

_WRITER: Final = (
    f"PRAGMA busy_timeout={BUSY_MS}",
    "PRAGMA auto_vacuum=INCREMENTAL",  # heeded by a new file only
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # an acknowledged reading survives a power cut
    "PRAGMA foreign_keys=ON",
    f"PRAGMA cache_size=-{CACHE_KIB}",
    f"PRAGMA journal_size_limit={WAL_BYTES}",
)
_READER: Final = (
    f"PRAGMA busy_timeout={BUSY_MS}",
    "PRAGMA query_only=ON",
    f"PRAGMA cache_size=-{CACHE_KIB}",
)


def writer_engine(url: str) -> Engine:
    """One connection that may write, used from one thread at a time."""
    return _engine(url, _WRITER, begin="BEGIN IMMEDIATE")


def reader_engine(url: str) -> Engine:
    """One connection that cannot write on SQLite, used from one thread at a time."""
    return _engine(url, _READER, begin="BEGIN")


def _engine(url: str, pragmas: tuple[str, ...], *, begin: str) -> Engine:
    if with_driver(url).get_backend_name() != "sqlite":
        return create_engine(
            with_driver(url), pool_size=1, max_overflow=0, pool_pre_ping=True, pool_recycle=1800
        )
    in_file = make_url(url).database
    if in_file:
        Path(in_file).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        # The driver must not begin transactions by itself: it would leave a migration's first statements out.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(pragma)

    def began(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", began)
    return engine


def migration_engine(url: str) -> Engine:
    """For the migrations' own process: opens and closes one connection."""
    engine = writer_engine(url)
    if engine.dialect.name == "sqlite":
        return engine
    return create_engine(with_driver(url), poolclass=NullPool)


def with_driver(url: str) -> URL:
    """The address with the driver that is installed: `postgres://` and any `postgresql+...://` mean psycopg 3."""
    parsed = make_url(
        url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url
    )
    return (
        parsed.set(drivername="postgresql+psycopg") if parsed.get_backend_name() == "postgresql" else parsed
    )


def is_at_head(engine: Engine) -> bool:
    """Whether the schema is the one that this program was written for. Raises SQLAlchemy's errors."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD


def limit_time(connection: Connection, is_over: Callable[[], bool], limit_s: float) -> None:
    """Stop a statement of this connection when `is_over`; PostgreSQL is told `limit_s` instead."""
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        raw.set_progress_handler(lambda: int(is_over()), PROGRESS_STEPS)
    else:
        connection.exec_driver_sql(f"SET statement_timeout = {int(limit_s * 1000)}")


PROGRESS_STEPS: Final = 20_000
"""Virtual machine steps between two looks at the clock: about a millisecond."""


def size_of(connection: Connection) -> tuple[int, int]:
    """The bytes of an SQLite file, and how many of them are free."""
    page, pages, free = (
        connection.scalar(text(f"PRAGMA {name}")) or 0
        for name in ("page_size", "page_count", "freelist_count")
    )
    return page * pages, page * free


def write_back(engine: Engine) -> None:
    """Write SQLite's log back and begin it anew in its own place, which a full disk does not take away."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.rollback()  # a checkpoint goes without a transaction
            raw: Any = connection.connection.driver_connection
            with suppress(sqlite3.OperationalError):  # not all of it fits yet
                raw.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
