"""Conversations on a real pseudo-terminal."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccm_sim import Site, parse_spec
from ccm_sim.wire import Pace
from tests.unit.sim.master import CHAR_S, Master, crc, framed, read_request, words

TURNAROUND_S = 0.005


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A line at the CcMaster's speed, and a fast one for what is not about time."""
    devices = {"kind": "ccm4", "unit": 1, "count": 3}
    spec = parse_spec(
        {
            "lines": {
                "slow": {"devices": {"s": devices}},
                "fast": {
                    "baudrate": 115200,
                    "devices": {
                        "f": devices,
                        "m": {"kind": "sdm630", "unit": 20},
                        "g": {"kind": "goodwe-dns", "unit": 100},
                    },
                },
            }
        }
    )
    with Site(spec, tmp_path) as running:
        running.freeze(True)
        yield running


@pytest.fixture
def fast(site: Site) -> Iterator[Master]:
    """The master of the fast line."""
    master = Master.open(site.line_path("fast"))
    yield master
    master.close()


@pytest.fixture
def slow(site: Site) -> Iterator[Master]:
    """The master of the 9600 baud line."""
    master = Master.open(site.line_path("slow"))
    yield master
    master.close()


def stats(site: Site, line: str = "fast") -> dict[str, float]:
    found: dict[str, float] = site.stats()["lines"][line]
    return found


@pytest.mark.parametrize(
    ("pace", "char_s", "silence_s"),
    [
        (Pace(9600, "8N1"), 10 / 9600, 0.003646),  # Serial Line V1.02 section 2.5.1.1: 3.5 characters
        (Pace(9600, "8E1"), 11 / 9600, 0.004010),
        (Pace(9600, "8N2"), 11 / 9600, 0.004010),
        (Pace(300, "7E1"), 10 / 300, 0.116667),
        (Pace(115200, "8N1"), 10 / 115200, 0.00175),  # fixed above 19200 baud
    ],
)
def test_pace_of_a_line(pace: Pace, char_s: float, silence_s: float) -> None:
    assert pace.char_s == pytest.approx(char_s)
    assert pace.silence_s == pytest.approx(silence_s, abs=1e-6)


def test_frame_leaves_in_chunks_of_the_fifo_with_no_drift() -> None:
    pace = Pace()
    chunks = pace.chunks(10.0, bytes(40))
    assert [len(chunk) for _, chunk in chunks] == [16, 16, 8]
    assert [moment for moment, _ in chunks] == pytest.approx([10 + n * CHAR_S for n in (16, 32, 40)])


def test_reply_has_the_registers_of_the_page(fast: Master) -> None:
    # docs/ccm-modbus-map.md: firmware at 2, model 0x0104 (CcM4) at 4, unit at 5, mode at 6
    reply = fast.ask(read_request(2, 3, 4, 3))
    assert reply == framed(bytes.fromhex("02 03 06 0104 0002 0001"))


def test_reply_of_60_registers_takes_the_time_of_the_wire(site: Site, slow: Master) -> None:
    started = time.monotonic()
    reply = slow.ask(read_request(1, 3, 16, 44), length=93)
    took_s = time.monotonic() - started
    wire_s = (8 + 93) * CHAR_S + TURNAROUND_S
    assert reply[:3] == bytes((1, 3, 88))
    assert crc(reply[:-2]) == reply[-2:]
    assert wire_s <= took_s < wire_s + 0.05  # a loaded machine may be late, the wire never early
    line = stats(site, "slow")
    assert line["wire_busy_s"] == pytest.approx(wire_s)
    for moment, received in zip((moment for moment, _ in slow.chunks), range(16, 96, 16), strict=False):
        assert moment >= (8 + min(received, 93)) * CHAR_S + TURNAROUND_S


def test_line_survives_a_master_that_closes_and_opens_again(site: Site, fast: Master) -> None:
    assert fast.ask(read_request(1, 3, 5, 1))
    os.close(fast.fd)
    fast.fd = os.open(site.line_path("fast"), os.O_RDWR | os.O_NOCTTY)
    assert words(fast.ask(read_request(1, 3, 5, 1))) == [1]


def test_request_written_byte_by_byte_is_one_request(site: Site, fast: Master) -> None:
    request = read_request(1, 3, 5, 1)
    for at in range(len(request) - 1):
        os.write(fast.fd, request[at : at + 1])
    assert words(fast.ask(request[-1:])) == [1]
    assert stats(site)["requests"] == 1


def test_request_with_a_wrong_crc_is_not_answered(site: Site, fast: Master) -> None:
    assert fast.ask(read_request(1, 3, 5, 1)[:-1] + b"\xff", within_s=0.03) == b""
    assert stats(site)["bad_frames"] == 1
    assert words(fast.ask(read_request(1, 3, 5, 1))) == [1]


def test_noise_before_a_request_is_dropped_after_a_pause(site: Site, fast: Master) -> None:
    os.write(fast.fd, b"\x01\x03\x00")
    deadline = time.monotonic() + 1.0
    while stats(site)["bad_frames"] == 0:
        assert time.monotonic() < deadline
    assert words(fast.ask(read_request(1, 3, 5, 1))) == [1]


def test_function_of_unknown_length_is_refused_after_a_pause(fast: Master) -> None:
    assert fast.ask(framed(bytes.fromhex("01 2b 0e 01 00"))) == framed(bytes.fromhex("01 ab 01"))


def test_unlisted_register_is_exception_2_on_the_wire(fast: Master) -> None:
    assert fast.ask(read_request(1, 3, 7, 1)) == framed(bytes.fromhex("01 83 02"))


def test_absent_unit_is_silent(fast: Master) -> None:
    assert fast.ask(read_request(99, 3, 0, 1), within_s=0.03) == b""


def test_ccm_answers_a_change_of_address_from_the_old_one(fast: Master) -> None:
    change = framed(bytes.fromhex("03 06 0005 0021"))
    assert fast.ask(change) == change
    assert fast.ask(read_request(3, 3, 5, 1), within_s=0.03) == b""
    assert words(fast.ask(read_request(0x21, 3, 5, 1))) == [0x21]


def test_two_devices_at_one_address_garble_their_replies(fast: Master) -> None:
    assert fast.ask(framed(bytes.fromhex("02 06 0005 0001")))
    garbled = fast.ask(read_request(1, 3, 5, 1))
    assert garbled
    assert crc(garbled[:-2]) != garbled[-2:]


def test_broadcast_is_obeyed_and_not_answered(fast: Master) -> None:
    assert fast.ask(framed(bytes.fromhex("00 06 0006 0002")), within_s=0.03) == b""
    assert [words(fast.ask(read_request(unit, 3, 6, 1))) for unit in (1, 2)] == [[2], [2]]


def test_silence_between_frames_is_measured(site: Site, slow: Master) -> None:
    slow.ask(read_request(1, 3, 5, 1), length=7)
    slow.ask(read_request(1, 3, 5, 1), length=7)  # at once: hardly any silence
    line = stats(site, "slow")
    assert line["silence_violations"] == 1
    assert 0 < line["min_silence_s"] < 0.003646
    site.reset_stats()
    assert stats(site, "slow")["requests"] == 0
    assert slow.ask(b"", within_s=0.01) == b""  # silence
    slow.ask(read_request(9, 3, 5, 1), within_s=0.02)
    line = stats(site, "slow")
    assert line["silence_violations"] == 0
    assert line["min_silence_s"] >= 0.01


def test_request_that_runs_into_a_reply_destroys_both(site: Site, slow: Master) -> None:
    request = read_request(1, 3, 16, 44)
    os.write(slow.fd, request)
    first = slow.ask(b"", length=16)
    rest = slow.ask(request, length=93 - len(first))
    assert crc((first + rest)[:-2]) != rest[-2:]
    assert stats(site, "slow")["collisions"] == 1
    assert stats(site, "slow")["requests"] == 1


def test_dead_device_is_silent_and_can_come_back(site: Site, fast: Master) -> None:
    site.set_faults("f-1", dead=True)
    assert fast.ask(read_request(1, 3, 5, 1), within_s=0.03) == b""
    assert words(fast.ask(read_request(2, 3, 5, 1))) == [2]
    site.set_faults("f-1", dead=False)
    assert words(fast.ask(read_request(1, 3, 5, 1))) == [1]


def test_late_reply_comes_late_and_does_not_block_the_line(site: Site, fast: Master) -> None:
    site.set_faults("f-1", late_s=0.1)
    started = time.monotonic()
    assert fast.ask(read_request(1, 3, 5, 1), within_s=0.02) == b""
    assert words(fast.ask(read_request(2, 3, 5, 1), length=7)) == [2]
    assert words(fast.ask(b"", length=7)) == [1]
    assert time.monotonic() - started >= 0.1


def test_corrupt_reply_has_a_wrong_crc(site: Site, fast: Master) -> None:
    site.set_faults("f-1", corrupt=1.0)
    reply = fast.ask(read_request(1, 3, 5, 1))
    whole = framed(bytes.fromhex("01 03 02 0001"))
    assert len(reply) == len(whole)
    assert sum((one ^ other).bit_count() for one, other in zip(reply, whole, strict=True)) == 1


def test_reply_of_the_wrong_unit_has_a_right_crc(site: Site, fast: Master) -> None:
    site.set_faults("f-1", wrong_unit=1.0)
    assert fast.ask(read_request(1, 3, 5, 1)) == framed(bytes.fromhex("02 03 02 0001"))


def test_some_replies_are_dropped(site: Site, fast: Master) -> None:
    site.set_faults("f-1", drop=1.0)
    assert fast.ask(read_request(1, 3, 5, 1), within_s=0.03) == b""


def test_turnaround_can_be_changed(site: Site, fast: Master) -> None:
    site.set_faults("f-1", turnaround_s=0.08)
    started = time.monotonic()
    assert fast.ask(read_request(1, 3, 5, 1))
    assert time.monotonic() - started >= 0.08


def test_other_models_answer_on_the_same_line(fast: Master) -> None:
    volts = words(fast.ask(read_request(20, 4, 0, 6), length=17))
    assert all(0x435C <= volts[at] < 0x4370 for at in (0, 2, 4))  # high words of 220 and 240 as floats
    goodwe = words(fast.ask(read_request(100, 3, 30100, 73), length=151))
    assert 2200 < goodwe[18] < 2400  # 30118: 0.1 V
