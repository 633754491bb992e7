"""Frames against the examples of the specifications and against captured frames of real devices."""

from collections.abc import Sequence

import pytest

from ccm_sim import modbus
from tests.unit.sim.master import crc


class Registers:
    """A target with the registers of the specification's examples."""

    functions = frozenset({3, 4, 6, 16})

    def __init__(self) -> None:
        self.content = {0x006B: 0x022B, 0x006C: 0x0000, 0x006D: 0x0064, 0x0008: 0x000A, 0x0001: 0, 0x0002: 0}

    def read(self, function: int, address: int, count: int) -> Sequence[int]:
        """Registers, or exception 2."""
        try:
            return [self.content[at] for at in range(address, address + count)]
        except KeyError:
            raise modbus.ModbusError(modbus.ILLEGAL_ADDRESS) from None

    def write(self, address: int, values: Sequence[int]) -> None:
        """Takes them over."""
        self.content |= dict(enumerate(values, address))


@pytest.mark.parametrize(
    "frame",
    [
        "010400000002 71cb",  # Eastron, SDM630 Modbus protocol: reading phase 1 volts
        "010404 43663334 1b38",  # ... and its reply, 230.2 V
        "7f039d880002 6193",  # GoodWe GW5000D-NS: marcelblijleven/goodwe tests/test_dt.py
        "7f109d88000204000013 889d80",  # ... a write of two registers
    ],
)
def test_crc_agrees_with_frames_of_real_devices(frame: str) -> None:
    whole = bytes.fromhex(frame)
    assert modbus.rtu(whole[0], whole[1:-2]) == whole
    assert modbus.is_whole(whole)
    assert crc(whole[:-2]) == whole[-2:]


def test_crc_check_value_is_that_of_the_catalogue() -> None:
    # CRC-16/MODBUS, check value of "123456789" in the CRC RevEng catalogue
    assert modbus.crc16(b"123456789") == 0x4B37


@pytest.mark.parametrize(
    ("request_pdu", "reply_pdu"),
    [
        ("03 006b 0003", "03 06 022b 0000 0064"),  # Application Protocol V1.1b3 section 6.3
        ("04 0008 0001", "04 02 000a"),  # 6.4
        ("06 0001 0003", "06 0001 0003"),  # 6.6
        ("10 0001 0002 04 000a 0102", "10 0001 0002"),  # 6.12
    ],
)
def test_answers_are_the_examples_of_the_specification(request_pdu: str, reply_pdu: str) -> None:
    assert modbus.answer(bytes.fromhex(request_pdu), Registers()) == bytes.fromhex(reply_pdu)


@pytest.mark.parametrize(
    ("request_pdu", "reply_pdu"),
    [
        ("01 0000 0001", "81 01"),  # function unknown
        ("05 0000 ff00", "85 01"),
        ("2b 0e 01 00", "ab 01"),
        ("03 0070 0001", "83 02"),  # address unknown
        ("03 006d 0002", "83 02"),  # ... in the last register only
        ("03 006b 0000", "83 03"),  # count out of 1..125
        ("03 006b 007e", "83 03"),
        ("03 006b", "83 03"),
        ("10 0001 0002 03 000a 01", "90 03"),  # byte count wrong
        ("10 0001 0000 00", "90 03"),
    ],
)
def test_bad_request_is_answered_with_its_exception(request_pdu: str, reply_pdu: str) -> None:
    assert modbus.answer(bytes.fromhex(request_pdu), Registers()) == bytes.fromhex(reply_pdu)


def test_length_of_request_is_known_as_soon_as_it_can_be() -> None:
    write_many = bytes.fromhex("01 10 0001 0002 04 000a 0102 0000")
    lengths = [modbus.rtu_request_length(write_many[:have]) for have in range(len(write_many) + 1)]
    assert lengths == [None] * 7 + [13] * 7
    assert modbus.rtu_request_length(bytes.fromhex("0103")) == 8
    assert modbus.rtu_request_length(bytes.fromhex("012b0e01")) is None


def test_tcp_frame_is_taken_whole_from_a_stream_split_at_every_byte() -> None:
    # MODBUS Messaging on TCP/IP V1.0b section 4.4.2.3: transaction 0x1501, unit 0xFF, read 1 register at 4
    stream = bytes.fromhex("1501 0000 0006 ff 03 0004 0001")
    assert modbus.mbap(0x1501, 0xFF, bytes.fromhex("0300040001")) == stream
    for end in range(len(stream)):
        assert modbus.next_mbap(stream[:end]) is None
    assert modbus.next_mbap(stream + b"\x15") == (0x1501, 0xFF, bytes.fromhex("0300040001"), 12)


@pytest.mark.parametrize("junk", ["1501 0001 0006 ff", "1501 0000 0001 ff", "1501 0000 01ff ff"])
def test_bytes_that_are_no_tcp_frame_are_refused(junk: str) -> None:
    with pytest.raises(ValueError, match="MBAP"):
        modbus.next_mbap(bytes.fromhex(junk))
