"""Statements for many rows as tuples in the order of the table's columns, the same text for SQLite and PostgreSQL.

Written by hand: SQLAlchemy's own spends more time on the parameters of a row than SQLite on the row.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table

PLACEHOLDER: Final = {"qmark": "?", "format": "%s", "pyformat": "%s"}


class Insert:
    """A row whose key is there already replaces it, or is left out."""

    def __init__(self, table: Table, *, replace: bool) -> None:
        self._name = table.name
        self._columns = [column.name for column in table.columns]
        self._key = [column.name for column in table.primary_key.columns]
        others = [name for name in self._columns if name not in self._key]
        changed = ", ".join(f"{name} = excluded.{name}" for name in others)
        self._action = f"UPDATE SET {changed}" if replace and others else "NOTHING"

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        mark = PLACEHOLDER[connection.dialect.paramstyle]
        marks = ", ".join([mark] * len(self._columns))
        connection.exec_driver_sql(
            f"INSERT INTO {self._name} ({', '.join(self._columns)}) VALUES ({marks}) "
            f"ON CONFLICT ({', '.join(self._key)}) DO {self._action}",
            list(rows),
        )
