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


CREATE: Final = "CREATE EXTENSION IF NOT EXISTS timescaledb"
_PRELOADED: Final = "SELECT current_setting('timescaledb.disable_load', true)"
_LICENSE: Final = "SELECT current_setting('timescaledb.license', true)"
_MAY: Final = (
    "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') "
    "OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
)


def is_available(connection: Connection) -> bool:
    """Whether the server preloads the library, and the extension is there or can be made by this user.

    The loader's setting tells of the library: without it `CREATE EXTENSION` would end the connection.
    """
    if connection.dialect.name != "postgresql" or connection.scalar(text(_PRELOADED)) is None:
        return False
    return bool(connection.scalar(text(_MAY)))


def hypertable(table: str) -> list[str]:
    """What makes a hypertable of `table`; may be run again."""
    return [
        f"SELECT create_hypertable('{table}', 'ts_ms', chunk_time_interval => {CHUNK_MS[table]}::BIGINT, "
        "migrate_data => true, if_not_exists => true)",
        f"SELECT set_integer_now_func('{table}', 'ccm_now_ms', replace_if_exists => true)",
    ]


def compression(table: str) -> list[str]:
    """What has old chunks of `table` compressed; TimescaleDB's builds under the Apache licence alone cannot."""
    return [
        f"ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id', "
        "timescaledb.compress_orderby = 'ts_ms')",
        f"SELECT add_compression_policy('{table}', {COMPRESSED_AFTER_MS[table]}::BIGINT, if_not_exists => true)",
    ]


def apply(connection: Connection) -> bool:
    """Make hypertables where that is possible; whether it was."""
    if not is_available(connection):
        return False
    for statement in (CREATE, NOW):
        connection.exec_driver_sql(statement)
    is_compressed = connection.scalar(text(_LICENSE)) == "timescale"
    for table in CHUNK_MS:
        for statement in hypertable(table) + (compression(table) if is_compressed else []):
            connection.exec_driver_sql(statement)
    return True
