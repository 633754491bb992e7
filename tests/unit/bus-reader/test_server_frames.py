"""The Modbus server's requests and replies. Frames: MODBUS Application Protocol V1.1b3, section 6, with a header."""

import pytest

from ccm_bus_reader.server.frames import Asked, NotModbusError, answered, next_request, refused


def framed(pdu: str, transaction: int = 7, unit: int = 17) -> bytes:
    data = bytes.fromhex(pdu)
    return (
        transaction.to_bytes(2, "big") + b"\0\0" + (len(data) + 1).to_bytes(2, "big") + bytes((unit,)) + data
    )


@pytest.mark.parametrize(
    ("pdu", "expected"),
    [
        ("01 0013 0013", Asked(7, 17, 1, 0x13, 19)),
        ("02 00C4 0016", Asked(7, 17, 2, 0xC4, 22)),
        ("03 006B 0003", Asked(7, 17, 3, 0x6B, 3)),
        ("04 0008 0001", Asked(7, 17, 4, 8, 1)),
        ("05 00AC FF00", Asked(7, 17, 5, 0xAC, 1, (1,))),
        ("06 0001 0003", Asked(7, 17, 6, 1, 1, (3,))),
        ("0F 0013 000A 02 CD01", Asked(7, 17, 15, 0x13, 10, (1, 0, 1, 1, 0, 0, 1, 1, 1, 0))),
        ("10 0001 0002 04 000A 0102", Asked(7, 17, 16, 1, 2, (10, 0x102))),
    ],
)
def test_the_standards_examples_are_understood(pdu: str, expected: Asked) -> None:
    frame = framed(pdu)
    assert next_request(frame) == (expected, len(frame))
    assert all(next_request(frame[:cut]) is None for cut in range(len(frame)))


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        ("2B 0E0100", 1),
        ("08 0000 A537", 1),
        ("03 0000 0000", 3),
        ("03 0000 007E", 3),
        ("03 FFFF 0002", 2),
        ("01 0000 07D1", 3),
        ("05 0000 1234", 3),
        ("10 0001 0002 03 000A01", 3),
        ("10 0001 007C F8", 3),
        ("03 00", 3),
    ],
)
def test_what_cannot_be_is_refused_with_the_right_exception(pdu: str, code: int) -> None:
    found = next_request(framed(pdu))
    assert found is not None
    assert found[0].refusal == code


@pytest.mark.parametrize(
    ("asked", "words", "reply"),
    [
        (Asked(7, 17, 3, 0x6B, 3), (0x22B, 0, 0x64), "03 06 022B 0000 0064"),
        (Asked(7, 17, 4, 8, 1), (10,), "04 02 000A"),
        (Asked(7, 17, 5, 0xAC, 1, (1,)), (), "05 00AC FF00"),
        (Asked(7, 17, 6, 1, 1, (3,)), (), "06 0001 0003"),
        (Asked(7, 17, 16, 1, 2, (10, 0x102)), (), "10 0001 0002"),
        (Asked(7, 17, 15, 0x13, 10, (1, 0) * 5), (), "0F 0013 000A"),
    ],
)
def test_replies_are_the_standards(asked: Asked, words: tuple[int, ...], reply: str) -> None:
    assert answered(asked, words) == framed(reply)


def test_coils_are_packed_as_the_standard_packs_them() -> None:
    """V1.1b3, 6.1: coils 20-38 are CD 6B 05."""
    bits = tuple(int(bit) for byte in (0xCD, 0x6B, 0x05) for bit in f"{byte:08b}"[::-1])[:19]
    assert answered(Asked(7, 17, 1, 0x13, 19), bits) == framed("01 03 CD6B05")


def test_an_exception_has_its_function_marked() -> None:
    assert refused(Asked(7, 17, 3, 0, 1), 11) == framed("83 0B")


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", bytes(6) + b"\x11" + bytes(8), b"\0\1\0\0\1\0\x11\x03"]
)
def test_a_stream_that_is_no_modbus_cannot_be_followed(data: bytes) -> None:
    with pytest.raises(NotModbusError):
        next_request(data)
