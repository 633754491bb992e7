"""Rollups of a minute, a quarter, an hour and a day; late readings; how far the upkeep is; events that explain gaps."""

import sqlalchemy as sa
from alembic import op

from ccm_uplink.history.migrations import timescale

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("device", sa.Column("rolled_to_ms", sa.BigInteger(), nullable=False, server_default="0"))
    for name in ("m1", "m15", "h1", "d1"):
        _rollup(name)
    op.create_table(
        "late_reading",
        sa.Column("device_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("ts_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("stored_ms", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dirty",
        sa.Column("device_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("ts_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "state",
        sa.Column("gateway", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.String(80), nullable=False),
    )
    op.create_table(
        "event",
        sa.Column("gateway", sa.String(40), primary_key=True),
        sa.Column("ts_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("source", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(40), primary_key=True),
        sa.Column("about", sa.String(80), primary_key=True),
        sa.Column("line", sa.String(40), nullable=False),
        sa.Column("message", sa.String(1000), nullable=False),
    )
    timescale.apply(op.get_bind())


def _rollup(name: str) -> None:
    op.create_table(
        name,
        sa.Column("series_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("ts_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Float(53), nullable=False),
        sa.Column("low", sa.Float(53), nullable=False),
        sa.Column("high", sa.Float(53), nullable=False),
        sa.Column("first", sa.Float(53)),
        sa.Column("last", sa.Float(53), nullable=False),
        sa.Column("gain", sa.Float(53)),
        sqlite_with_rowid=False,
    )
