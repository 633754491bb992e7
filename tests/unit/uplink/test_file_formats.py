"""Files are what other programs read out of them: Python's own csv and json modules stand for these."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccm_contracts.config.services import Csv, Historic
from ccm_contracts.messages import Balance, Reading
from ccm_uplink.formats.files import FileOptions, content_of
from ccm_uplink.formats.names import file_name, named

MADRID = ZoneInfo("Europe/Madrid")
END = datetime(2026, 11, 24, 22, 15, tzinfo=UTC)
TS = datetime(2026, 11, 24, 22, 14, 59, 250_000, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "p": -12.5,
    "v1": 230,
    "e_imp": 1234.567,
    "status": "run",
    "fault": "=HYPERLINK(1)",
    "f": None,
}


def line(**values: Any) -> bytes:
    reading = Reading(gateway="CCM000123", device="grid", ts=TS, values=values or VALUES, seq=7)
    return reading.model_dump_json().encode()


def text_of(lines: list[bytes], historic: Historic) -> str:
    content = content_of(lambda: lines, FileOptions.of("CCM000123", MADRID, historic), END)
    return "".join(content.pieces) if content else ""


def test_file_is_named_by_gateway_period_and_sequence() -> None:
    name = file_name("CCM000123", END, MADRID, 42, "csv")
    assert name == "CCM000123_20261124T231500+0100_000042.csv"
    told = named(name)
    assert told is not None
    assert (told.end, told.sequence) == (END, 42)
    assert named("readme.txt") is None


def test_csv_has_header_units_local_times_and_the_same_numbers() -> None:
    text = text_of([line()], Historic())
    assert text.endswith("\r\n")
    header, row = list(csv.reader(io.StringIO(text, newline="")))
    assert header == [
        *("time", "device", "seq", "quality", "v1 [V]", "p [W]", "f [Hz]", "e_imp [kWh]", "status", "fault")
    ]
    assert row == [
        *("2026-11-24T23:14:59.250+01:00", "grid", "7", "good", "230", "-12.5", "", "1234.567", "run"),
        "'=HYPERLINK(1)",
    ]


def test_csv_for_a_spreadsheet_with_decimal_comma() -> None:
    options = Csv(delimiter=";", decimal=",", bom=True)
    text = text_of([line(p=-12.5, status='a;"b')], Historic(csv=options))
    assert text.startswith("\ufeff")
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=";"))
    assert rows[1][4:] == ["-12,5", 'a;"b']


def test_tab_separated() -> None:
    text = text_of([line(p=1.5)], Historic(csv=Csv(delimiter="tab")))
    assert text.splitlines()[1].split("\t")[4] == "1.5"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "'", "'="])
def test_text_that_a_spreadsheet_would_run_is_made_harmless(start: str) -> None:
    """One apostrophe is to be taken off again, whatever the text."""
    text = text_of([line(status=start + "cmd")], Historic())
    assert list(csv.reader(io.StringIO(text, newline="")))[1][4] == f"'{start}cmd"


def test_plant_has_its_columns() -> None:
    balance = Balance(
        gateway="CCM000123", plant="house", ts=TS, p_prod=2000.0, p_grid=-500.0, p_load=1500.0,
        p_self=1500.0, p_exp=500.0, p_imp=0.0, self_consumption=0.75,
    )  # fmt: skip
    header, row = list(csv.reader(io.StringIO(text_of([balance.model_dump_json().encode()], Historic()))))
    named_cells = dict(zip(header, row, strict=True))
    assert named_cells["device"] == "house"
    assert named_cells["seq"] == ""
    assert named_cells["p_grid [W]"] == "-500.0"
    assert named_cells["self_consumption"] == "0.75"
    assert named_cells["p_bat [W]"] == ""


def test_json_is_one_document_with_the_same_values() -> None:
    document = json.loads(text_of([line(), line(p=0.1)], Historic(format="json")))
    assert document["gateway"] == "CCM000123"
    assert document["end"] == "2026-11-24T23:15:00.000+01:00"
    assert document["time_zone"] == "Europe/Madrid"
    assert document["units"]["e_imp"] == "kWh"
    first, second = document["readings"]
    assert first["values"] == VALUES
    assert datetime.fromisoformat(first["ts"]) == TS
    assert second["values"] == {"p": 0.1}


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_nothing_collected_is_no_file(kind: Any) -> None:
    assert text_of([], Historic(format=kind)) == ""


def test_delimiter_and_decimal_must_differ() -> None:
    with pytest.raises(ValueError, match="must differ"):
        Csv(delimiter=",", decimal=",")


def at(seconds: int, **values: Any) -> bytes:
    """A reading so long after 23:00 in Madrid."""
    ts = datetime(2026, 11, 24, 22, 0, tzinfo=UTC) + timedelta(seconds=seconds)
    reading = Reading(gateway="CCM000123", device="grid", ts=ts, values=values, seq=seconds)
    return reading.model_dump_json().encode()


def test_periods_have_their_figures_and_go_on_in_the_next_file() -> None:
    """By hand: (1 + 2 + 6) / 3 = 3; the counter goes 10, 11, 12, then 15, then 20 in the next file."""
    options = FileOptions.of("CCM000123", MADRID, Historic(format="json", latency_s=60))
    first = [
        at(0, p=1.0, e_imp=10),
        at(59, p=6.0, e_imp=12, status="b"),
        at(30, p=2.0, e_imp=11, status="a"),
    ]
    lines = [*first, at(60, p=5.0, e_imp=15), at(125, e_imp=20)]
    content = content_of(lambda: lines, options, datetime(2026, 11, 24, 22, 2, tzinfo=UTC))
    assert content is not None
    document = json.loads("".join(content.pieces))
    assert document["period_s"] == 60
    assert document["units"]["p mean"] == "W"
    minute, after = document["readings"]
    assert (minute["ts"], after["ts"]) == ("2026-11-24T23:00:00.000+01:00", "2026-11-24T23:01:00.000+01:00")
    gauge = {"p mean": 3.0, "p min": 1.0, "p max": 6.0}
    assert minute["values"] == {**gauge, "e_imp last": 12.0, "e_imp delta": 2.0, "status last": "b"}
    assert after["values"]["e_imp delta"] == 3.0
    carry = list(content.carry)
    following = content_of(lambda: carry, options, END)
    assert following is not None
    (last,) = json.loads("".join(following.pieces))["readings"]
    assert last["values"] == {"e_imp last": 20.0, "e_imp delta": 5.0}


def test_reading_that_comes_after_its_period_was_sent_counts_no_energy_twice() -> None:
    """10 to 40 kWh: the files of a counter add up to 30, whatever came late."""
    options = FileOptions.of("CCM000123", MADRID, Historic(format="json", latency_s=60))
    journals = [
        [at(0, e_imp=10), at(30, e_imp=20)],
        [at(15, e_imp=15), at(45, e_imp=22), at(70, e_imp=25)],
        [at(65, e_imp=24), at(130, e_imp=40)],
    ]
    carry: list[bytes] = []
    deltas = []
    for number, journal in enumerate(journals, 1):
        lines = [*carry, *journal]
        made = content_of(lambda lines=lines: lines, options, END - timedelta(minutes=15 - number))  # type: ignore[misc]
        assert made is not None
        deltas += [each["values"]["e_imp delta"] for each in json.loads("".join(made.pieces))["readings"]]
        carry = list(made.carry)
    assert deltas == [10, 2, 3, 0, 15]


def test_period_that_goes_on_makes_no_file() -> None:
    options = FileOptions.of("CCM000123", MADRID, Historic(latency_s=900))
    assert content_of(lambda: [at(0, p=1)], options, END - timedelta(minutes=10)) is None
