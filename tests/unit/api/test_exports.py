"""Files of stored values, read again by Python's csv and json and by pyarrow."""

import csv
import io
import json

import pyarrow.parquet
import pytest

from ccm_api.exports import COLUMNS, Format, Row, rows_of, writer_of
from ccm_contracts.verbs.uplink import Series

# date -u -d 2026-10-25T00:30Z +%s%3N: Madrid, half past two in summer time; an hour later half past two again
FIRST = 1_792_888_200_000
ROWS: list[Row] = [
    (FIRST, "grid", "p", "W", 1234.5, 1000.25, 2000.0),
    (FIRST + 3_600_000, "grid", "e_imp", "kWh", 0.1 + 0.2, None, None),
    (FIRST + 3_600_001, "grid", "status", "", 'run; "ok", día', None, None),
]


def _file(form: Format, pages: list[list[Row]], *, decimal_comma: bool = False) -> bytes:
    writer = writer_of(form, "Europe/Madrid", decimal_comma=decimal_comma)
    return b"".join([writer.begin(), *(writer.page(page) for page in pages), writer.end()])


def test_rows_of_several_series_are_in_the_order_of_time() -> None:
    one = Series(
        device="a", metric="p", unit="W", resolution_s=0, points=[(1, 1.0, 1.0, 1.0), (3, 3.0, 3.0, 3.0)]
    )
    two = Series(device="b", metric="p", unit="W", resolution_s=0, points=[(2, 2.0, 2.0, 2.0)])
    assert [row[:2] for row in rows_of([one, two])] == [(1, "a"), (2, "b"), (3, "a")]


def test_csv_has_a_header_and_times_with_offset() -> None:
    lines = list(csv.reader(io.StringIO(_file("csv", [ROWS[:1], ROWS[1:]]).decode())))
    assert lines[0] == list(COLUMNS)
    assert lines[1] == ["2026-10-25T02:30:00.000+02:00", "grid", "p", "W", "1234.5", "1000.25", "2000"]
    assert lines[2][0] == "2026-10-25T02:30:00.000+01:00"
    assert float(lines[2][4]) == 0.1 + 0.2
    assert lines[3][4] == 'run; "ok", día'


def test_csv_with_decimal_comma_parts_cells_by_semicolons() -> None:
    lines = list(csv.reader(io.StringIO(_file("csv", [ROWS], decimal_comma=True).decode()), delimiter=";"))
    assert lines[1][4:] == ["1234,5", "1000,25", "2000"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1", "\r=1+1"])
def test_text_that_begins_like_a_formula_is_not_one(text: str) -> None:
    """The list is OWASP's of CSV injection."""
    rows: list[Row] = [(FIRST, "grid", "status", "", text, None, None)]
    lines = list(csv.reader(io.StringIO(_file("csv", [rows]).decode(), newline="")))
    assert lines[1][4] == f"'{text}"


def test_first_apostrophe_is_always_to_be_taken_off() -> None:
    rows: list[Row] = [(FIRST, "grid", "status", "", text, None, None) for text in ("'a", "'=1", "a")]
    lines = list(csv.reader(io.StringIO(_file("csv", [rows]).decode(), newline="")))
    assert [line[4].removeprefix("'") for line in lines[1:]] == ["'a", "'=1", "a"]


@pytest.mark.parametrize("pages", [[ROWS], [ROWS[:1], [], ROWS[1:]], [[], []]])
def test_json_is_one_array_whatever_the_pages(pages: list[list[Row]]) -> None:
    found = json.loads(_file("json", pages))
    assert [tuple(each[name] for name in COLUMNS[1:]) for each in found] == [
        row[1:] for page in pages for row in page
    ]


def test_ndjson_is_one_object_a_line() -> None:
    lines = _file("ndjson", [ROWS[:2], ROWS[2:]]).decode().splitlines()
    assert [json.loads(line)["value"] for line in lines] == [1234.5, 0.1 + 0.2, 'run; "ok", día']


@pytest.mark.parametrize("size", [1, 8, 9, 5000])
def test_parquet_is_read_by_pyarrow(size: int) -> None:
    many = [(FIRST + n, *ROWS[n % 3][1:]) for n in range(size)]
    pages: list[list[Row]] = [many[:3], many[3:]]
    table = pyarrow.parquet.read_table(io.BytesIO(_file("parquet", pages)))
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    found = table.to_pydict()
    assert [int(each.timestamp() * 1000 + 0.5) for each in found["time"]] == [row[0] for row in many]
    for place, name in enumerate(COLUMNS[1:4], start=1):
        assert found[name] == [row[place] for row in many]
    assert found["value"] == [None if isinstance(row[4], str) else row[4] for row in many]
    assert found["text"] == [row[4] if isinstance(row[4], str) else None for row in many]
    assert (found["min"], found["max"]) == ([row[5] for row in many], [row[6] for row in many])


def test_parquet_without_rows_is_a_file() -> None:
    assert pyarrow.parquet.read_table(io.BytesIO(_file("parquet", [[]]))).num_rows == 0
