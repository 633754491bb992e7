"""What is done to a reply on its way, byte by byte."""

from random import Random

import pytest

from ccm_sim.faults import Faults, Verdict, spoiled, verdict
from tests.unit.sim.master import crc, framed

READ_REPLY = bytes((3, 4, 0x11, 0x22, 0x33, 0x44))
WRITE_REPLY = bytes((6, 0, 6, 0, 1))


def sent(fate: Verdict, pdu: bytes = READ_REPLY) -> bytes:
    return spoiled(7, pdu, fate, Random(1))


def test_a_healthy_reply_is_as_it_was() -> None:
    assert sent(Verdict()) == framed(bytes((7,)) + READ_REPLY)


def test_another_function_unit_or_length_has_a_right_check_sum() -> None:
    assert sent(Verdict(is_of_other_function=True)) == framed(bytes((7, 4)) + READ_REPLY[1:])
    assert sent(Verdict(is_from_other=True)) == framed(bytes((8,)) + READ_REPLY)
    assert sent(Verdict(is_of_other_length=True)) == framed(bytes((7, 3, 2, 0x11, 0x22)))


def test_a_reply_to_a_write_has_no_other_length() -> None:
    assert sent(Verdict(is_of_other_length=True), WRITE_REPLY) == framed(bytes((7,)) + WRITE_REPLY)


def test_an_exception_takes_the_reply_s_place() -> None:
    assert sent(Verdict(exception_code=6)) == framed(bytes((7, 0x83, 6)))


def test_a_cut_reply_is_the_beginning_of_one() -> None:
    whole, cut = sent(Verdict()), sent(Verdict(is_cut=True))
    assert 0 < len(cut) < len(whole)
    assert whole.startswith(cut)


def test_noise_comes_before_the_reply() -> None:
    noisy = sent(Verdict(is_noisy=True))
    assert noisy.endswith(sent(Verdict()))
    assert 1 <= len(noisy) - len(sent(Verdict())) <= 4


def test_one_bit_of_a_corrupt_reply_is_turned_over() -> None:
    whole, corrupt = sent(Verdict()), sent(Verdict(is_corrupt=True))
    assert sum((a ^ b).bit_count() for a, b in zip(whole, corrupt, strict=True)) == 1
    assert crc(corrupt[:-2]) != corrupt[-2:]


@pytest.mark.parametrize("kind", ["wrong_function", "wrong_length", "truncate", "noise", "exception", "drop"])
def test_a_certain_fault_is_drawn_and_named(kind: str) -> None:
    assert verdict(Faults().changed({kind: 1.0}), Random(1)).kinds == (kind,)


@pytest.mark.parametrize("value", [0, 256, 4.0, True])
def test_an_exception_s_code_is_one_byte(value: object) -> None:
    with pytest.raises(ValueError, match="exception_code"):
        Faults().changed({"exception_code": value})
