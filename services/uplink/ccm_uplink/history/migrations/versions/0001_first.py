"""The dictionary of devices and series, the samples, and the ledger of readings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "device",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("gateway", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("is_plant", sa.Boolean(), nullable=False),
        sa.Column("readings", sa.BigInteger(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_ts_ms", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("gateway", "name"),
    )
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("device_id", sa.Integer(), sa.ForeignKey("device.id"), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("is_text", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("device_id", "metric", "is_text"),
    )
    for name, value in (("sample", sa.Float(53)), ("text_sample", sa.Text())):
        op.create_table(
            name,
            sa.Column("series_id", sa.Integer(), primary_key=True, autoincrement=False),
            sa.Column("ts_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
            sa.Column("value", value, nullable=False),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "reading",
        sa.Column("device_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("ts_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("quality", sa.SmallInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
