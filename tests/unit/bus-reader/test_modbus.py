"""Frames. Examples: the request and reply pages of simplymodbus.ca (FC01, FC03-FC06, FC15, FC16, exceptions)."""

import pytest

from ccm_bus_reader.drivers.modbus import Request, Rtu, Tcp

READ = Request(0x11, 3, 0x6B, 3)
READ_FRAME = bytes.fromhex("1103006B00037687")
READ_REPLY = bytes.fromhex("110306AE415652434049AD")
EXAMPLES = [
    (Request(0x11, 1, 0x13, 0x25), "1101001300250E84", "110105CD6BB20E1B45E6"),
    (READ, "1103006B00037687", "110306AE415652434049AD"),
    (Request(0x11, 4, 8, 1), "110400080001B298", "110402000AF8F4"),
    (Request(0x11, 5, 0xAC, values=(1,)), "110500ACFF004E8B", "110500ACFF004E8B"),
    (Request(0x11, 6, 1, values=(3,)), "1106000100039A9B", "1106000100039A9B"),
    (
        Request(0x11, 15, 0x13, values=(1, 0, 1, 1, 0, 0, 1, 1, 1, 0)),
        "110F0013000A02CD01BF0B",
        "110F0013000A2699",
    ),
    (Request(0x11, 16, 1, values=(10, 0x102)), "11100001000204000A0102C6F0", "1110000100021298"),
]


@pytest.mark.parametrize(("request_", "frame", "reply"), EXAMPLES)
def test_published_examples(request_: Request, frame: str, reply: str) -> None:
    received = bytes.fromhex(reply)
    assert Rtu().encode(request_) == bytes.fromhex(frame)
    assert Rtu().parse(received, request_).kind == "answer"
    assert request_.reply_bytes == len(received)


def test_words_of_a_published_reply() -> None:
    assert Rtu().parse(READ_REPLY, READ).words == (0xAE41, 0x5652, 0x4340)


def test_coils_of_a_published_reply_begin_with_the_lowest_bit() -> None:
    words = Rtu().parse(bytes.fromhex("110105CD6BB20E1B45E6"), EXAMPLES[0][0]).words
    assert len(words) == 0x25
    assert words[:8] == (1, 0, 1, 1, 0, 0, 1, 1)


def test_published_exception() -> None:
    parsed = Rtu().parse(bytes.fromhex("0A8102B053"), Request(0x0A, 1, 0x4A1, 1))
    assert (parsed.kind, parsed.code) == ("exception", 2)


def test_reply_split_at_every_byte_is_whole_only_at_its_end() -> None:
    kinds = [Rtu().parse(READ_REPLY[:length], READ).kind for length in range(len(READ_REPLY))]
    assert set(kinds) == {"more"}


@pytest.mark.parametrize("at", range(len(READ_REPLY)))
def test_a_flipped_bit_anywhere_is_never_an_answer(at: int) -> None:
    for bit in range(8):
        garbled = bytearray(READ_REPLY)
        garbled[at] ^= 1 << bit
        assert Rtu().parse(bytes(garbled), READ).kind in ("more", "corrupt", "foreign")


@pytest.mark.parametrize(
    "other", [Request(0x12, 3, 0x6B, 3), Request(0x11, 4, 0x6B, 3), Request(0x11, 3, 0x6B, 2)]
)
def test_sound_reply_of_another_unit_function_or_length_is_foreign(other: Request) -> None:
    parsed = Rtu().parse(READ_REPLY, other)
    assert parsed.kind == "foreign"
    assert (parsed.unit, parsed.function, parsed.length, parsed.used) == (0x11, 3, 11, 11)


def test_answer_behind_a_foreign_frame_is_found_after_it() -> None:
    foreign = bytes.fromhex("110402000AF8F4")
    received = foreign + READ_REPLY
    first = Rtu().parse(received, READ)
    assert (first.kind, first.used) == ("foreign", len(foreign))
    assert Rtu().parse(received[first.used :], READ).kind == "answer"


@pytest.mark.parametrize(
    ("before", "after"), [("00", ""), ("FF", ""), ("00FF", ""), ("", "00"), ("", "FFFF")]
)
def test_glitches_of_a_bus_changing_direction_are_forgiven(before: str, after: str) -> None:
    received = bytes.fromhex(before) + READ_REPLY + bytes.fromhex(after)
    assert Rtu().parse(received, READ).words == (0xAE41, 0x5652, 0x4340)


def test_two_answers_at_once_are_not_believed() -> None:
    assert Rtu().parse(READ_REPLY + READ_REPLY, READ).kind == "corrupt"


def test_echo_with_another_value_is_foreign() -> None:
    wanted = Request(0x11, 6, 1, values=(4,))
    assert Rtu().parse(bytes.fromhex("1106000100039A9B"), wanted).kind == "foreign"


def test_tcp_numbers_its_requests_and_knows_late_replies() -> None:
    tcp = Tcp()
    first = tcp.encode(READ)
    assert first == bytes.fromhex("000100000006") + READ_FRAME[:-2]
    reply = first[:4] + b"\0\x09" + READ_REPLY[:-2]
    assert tcp.parse(reply, READ).words == (0xAE41, 0x5652, 0x4340)
    tcp.encode(READ)
    assert tcp.parse(reply, READ).kind == "foreign"
    assert {tcp.parse(reply[:length], READ).kind for length in range(len(reply))} == {"more"}


def test_tcp_stream_that_is_not_modbus_is_broken() -> None:
    tcp = Tcp()
    tcp.encode(READ)
    assert tcp.parse(b"HTTP/1.1 400 Bad Request", READ).kind == "broken"


def test_an_adapter_that_hears_itself_is_known_by_a_read_and_then_expected_at_a_write_too() -> None:
    rtu = Rtu()
    sent = rtu.encode(READ)
    assert {rtu.parse(sent[:length], READ).kind for length in range(len(sent))} == {"more"}
    echo = rtu.parse(sent + READ_REPLY, READ)
    assert (echo.kind, echo.used, rtu.echoes) == ("echo", len(sent), True)
    assert rtu.parse(READ_REPLY, READ).words == (0xAE41, 0x5652, 0x4340)
    write = Request(0x11, 6, 1, values=(3,))
    sent = rtu.encode(write)  # its reply is the same eight bytes
    assert [rtu.parse(sent, write).kind for _ in range(2)] == ["echo", "answer"]
    rtu.encode(READ)
    assert rtu.parse(READ_REPLY, READ).kind == "answer"  # another adapter was plugged in
    assert not rtu.echoes
    rtu.encode(write)
    assert rtu.parse(sent, write).kind == "answer"


def test_tcp_frame_that_another_one_made_whole_is_none() -> None:
    """A reply without its last two bytes, and the next: the 5th word would be that one's number."""
    tcp, request = Tcp(), Request(1, 3, 0, 5)
    tcp.encode(request)
    whole = bytes.fromhex("0001 0000 000d 01 03 0a 0001 0002 0003 0004 0005")
    following = bytes.fromhex("0002 0000 0007 02 03 04 0006 0007")
    assert tcp.parse(whole + following, request).words == (1, 2, 3, 4, 5)
    assert tcp.parse(whole[:-2] + following, request).kind == "broken"
