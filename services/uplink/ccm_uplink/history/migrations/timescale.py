"""TimescaleDB, where PostgreSQL has it: hypertables with compression.

A hypertable must be partitioned by a column of its primary key: `ts_ms`, an integer, so that it needs a function
that says what time it is. Sources: TimescaleDB's API reference for create_hypertable, add_compression_policy and
set_integer_now_func.
"""

from typing import Final

from sqlalchemy import Connection, text

DAY_MS: Final = 86_400_000
CHUNK_MS: Final = {"sample": DAY_MS, "m1": 30 * DAY_MS}
COMPRESSED_AFTER_MS: Final = {"sample": 7 * DAY_MS, "m1": 90 * DAY_MS}

NOW: Final = (
    "CREATE OR REPLACE FUNCTION ccm_now_ms() RETURNS BIGINT LANGUAGE SQL STABLE AS "
    "$$ SELECT (extract(epoch FROM now()) * 1000)::BIGINT $$"
)


def is_available(connection: Connection) -> bool:
    """Whether the extension is there, or can be made by this user."""
    if connection.dialect.name != "postgresql":
        return False
    wanted = "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'"
    if not connection.scalar(text(wanted)):
        return False
    if connection.scalar(text("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")):
        return True
    may = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    return bool(connection.scalar(text(may)))


def statements() -> list[str]:
    """What makes the hypertables; each may be run again."""
    made = ["CREATE EXTENSION IF NOT EXISTS timescaledb", NOW]
    for table, chunk_ms in CHUNK_MS.items():
        made += [
            f"SELECT create_hypertable('{table}', 'ts_ms', chunk_time_interval => {chunk_ms}::BIGINT, "
            "migrate_data => true, if_not_exists => true)",
            f"SELECT set_integer_now_func('{table}', 'ccm_now_ms', replace_if_exists => true)",
            f"ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id', "
            "timescaledb.compress_orderby = 'ts_ms')",
            f"SELECT add_compression_policy('{table}', {COMPRESSED_AFTER_MS[table]}::BIGINT, "
            "if_not_exists => true)",
        ]
    return made


def apply(connection: Connection) -> bool:
    """Make hypertables where that is possible; whether it was."""
    if not is_available(connection):
        return False
    for statement in statements():
        connection.exec_driver_sql(statement)
    return True
