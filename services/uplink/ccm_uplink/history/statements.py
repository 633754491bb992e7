"""Statements for many rows, the same text for SQLite and PostgreSQL.

Written by hand: SQLAlchemy's own spends more time on the parameters of a row than SQLite on the row.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, Table

PLACEHOLDER: Final = {"qmark": "?", "format": "%s", "pyformat": "%s"}
TOGETHER: Final = (4000, 2000, 250, 50)
"""Rows of one statement on SQLite: less time than one by one, and the GIL is free for all of a statement.

Each statement gives it up and must wait to get it back: a full batch is few statements.
"""
MOST_MARKS: Final = 32_766
"""https://sqlite.org/limits.html: SQLITE_MAX_VARIABLE_NUMBER."""


class Insert:
    """A row whose key is there already replaces it, or is left out."""

    def __init__(self, table: Table, *, replace: bool) -> None:
        self._name = table.name
        self._columns = [column.name for column in table.columns]
        self._key = [column.name for column in table.primary_key.columns]
        others = [name for name in self._columns if name not in self._key]
        changed = ", ".join(f"{name} = excluded.{name}" for name in others)
        self._action = f"UPDATE SET {changed}" if replace and others else "NOTHING"
        fitting = [number for number in TOGETHER if number * len(self._columns) <= MOST_MARKS]
        self._together = {number: self._text("?", number) for number in fitting}

    def run(self, connection: Connection, rows: Iterable[Iterable[Any]]) -> None:
        """Each row has its values in the order of the table's columns."""
        self.run_cells(connection, list(chain.from_iterable(rows)))

    def run_columns(self, connection: Connection, *columns: Sequence[Any]) -> None:
        """The values of each of the table's columns, all of one length; half the time of rows."""
        width = len(columns)
        cells: list[Any] = [None] * (width * len(columns[0]))
        for place, column in enumerate(columns):
            cells[place::width] = column
        self.run_cells(connection, cells)

    def run_cells(self, connection: Connection, cells: list[Any]) -> None:
        """The values of all rows, one row after the other."""
        width, at = len(self._columns), 0
        if connection.dialect.name == "sqlite":
            for number, text in self._together.items():
                size = number * width
                while len(cells) - at >= size:
                    connection.exec_driver_sql(text, tuple(cells[at : at + size]))
                    at += size
        if at < len(cells):
            mark = PLACEHOLDER[connection.dialect.paramstyle]
            left = iter(cells[at:])
            connection.exec_driver_sql(self._text(mark, 1), list(zip(*[left] * width, strict=True)))

    def _text(self, mark: str, number: int) -> str:
        marks = f"({', '.join([mark] * len(self._columns))})"
        return (
            f"INSERT INTO {self._name} ({', '.join(self._columns)}) VALUES {', '.join([marks] * number)} "
            f"ON CONFLICT ({', '.join(self._key)}) DO {self._action}"
        )
