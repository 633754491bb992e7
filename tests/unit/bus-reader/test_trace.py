"""The frame trace and its capture file. Frames from the Modbus specification (V1.1b3, 6) and simplymodbus.ca."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ccm_bus_reader.capture import pcap
from ccm_bus_reader.trace import Direction, Frame, Trace, meaning_of
from tests.support.peers import need

START = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)
REQUEST = bytes.fromhex("1103006B00037687")
ANSWER = bytes.fromhex("110306AE415652434049AD")
REFUSAL = bytes.fromhex("0A8102B053")
TCP_REQUEST = bytes.fromhex("0001000000061103006B0003")
TCP_ANSWER = bytes.fromhex("000100000009110306AE4156524340")


@pytest.mark.parametrize(
    ("data", "kind", "meaning"),
    [
        (REQUEST, "request", "unit 17: read holding registers 107...109"),
        (ANSWER, "answer", "unit 17: 3 registers: AE41 5652 4340"),
        (REFUSAL, "exception", "unit 10: exception 2 (illegal address)"),
        (ANSWER[:-1] + b"\0", "corrupt", "11 bytes, wrong check sum"),
        (b"\xff", "noise", "1 bytes, not a frame"),
        (bytes.fromhex("110500ACFF004E8B"), "request", "unit 17: write coil 172 = 1"),
        (bytes.fromhex("1106000100039A9B"), "request", "unit 17: write register 1 = 3"),
        (bytes.fromhex("11100001000204000A0102C6F0"), "request", "unit 17: write registers 1...2: 000A 0102"),
    ],
)
def test_a_frame_is_told_in_words(data: bytes, kind: str, meaning: str) -> None:
    assert meaning_of(data, kind, is_modbus_tcp=False) == meaning


def test_a_tcp_frame_is_told_in_words() -> None:
    assert (
        meaning_of(TCP_REQUEST, "request", is_modbus_tcp=True) == "unit 17: read holding registers 107...109"
    )
    assert meaning_of(TCP_ANSWER, "answer", is_modbus_tcp=True) == "unit 17: 3 registers: AE41 5652 4340"


def utc_of(at: float) -> datetime:
    return START + timedelta(seconds=at)


def frames(*parts: tuple[Direction, bytes, str], is_tcp: bool = False) -> list[Frame]:
    trace = Trace(utc_of, is_modbus_tcp=is_tcp)
    for number, (direction, data, kind) in enumerate(parts):
        trace.add(direction, 0.02 * number, data, kind)
    return list(trace.after())


def test_the_trace_keeps_the_newest_frames_and_their_numbers() -> None:
    trace = Trace(utc_of, is_modbus_tcp=False, most=3)
    for number in range(5):
        trace.add("tx", float(number), REQUEST, "request")
    assert [frame.number for frame in trace.after()] == [3, 4, 5]
    assert [(frame.number, frame.ts) for frame in trace.after(4)] == [(5, START + timedelta(seconds=4))]


def tshark(path: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(need("tshark")), "-r", str(path), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_wireshark_reads_a_serial_capture_with_directions_and_times(tmp_path: Path) -> None:
    path = tmp_path / "line.pcap"
    path.write_bytes(pcap(frames(("tx", REQUEST, "request"), ("rx", ANSWER, "answer")), is_modbus_tcp=False))
    columns = ("-T", "fields", "-e", "frame.time_epoch", "-e", "rtacser.eventtype", "-e", "data.data")
    rows = [row.split("\t") for row in tshark(path, *columns).splitlines()]
    assert [row[1:] for row in rows] == [["0x01", REQUEST.hex()], ["0x02", ANSWER.hex()]]
    assert [float(row[0]) - START.timestamp() for row in rows] == pytest.approx([0.0, 0.02], abs=1e-6)


def test_wireshark_decodes_a_tcp_capture_as_modbus_without_settings(tmp_path: Path) -> None:
    path = tmp_path / "host.pcap"
    parts = frames(("tx", TCP_REQUEST, "request"), ("rx", TCP_ANSWER, "answer"), is_tcp=True)
    path.write_bytes(pcap(parts, is_modbus_tcp=True))
    columns = ("-Y", "modbus", "-T", "fields", "-e", "mbtcp.unit_id", "-e", "modbus.func_code")
    assert tshark(path, *columns).split() == ["17", "3", "17", "3"]
    values = tshark(path, "-Y", "modbus.regval_uint16", "-T", "fields", "-e", "modbus.regval_uint16")
    assert values.split() == [f"{0xAE41},{0x5652},{0x4340}"]
