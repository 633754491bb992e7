"""What is asked of a driver for its RS-485 mode. Numbers: Linux, uapi/linux/serial.h and asm-generic/ioctls.h."""

import errno
import os
import struct

from ccm_bus_reader.rs485 import configure
from ccm_contracts.config.field import Rs485

GET, SET = 0x542E, 0x542F
TERMINATE_BUS = 1 << 5


class Driver:
    """A serial driver with the mode; `refuses` are the calls that it fails."""

    def __init__(self, *words: int, refuses: dict[int, int] | None = None) -> None:
        self.words = (*words, *([0] * (8 - len(words))))
        self.refuses = refuses or {}

    def call(self, _fd: int, number: int, data: bytes) -> bytes:
        if number in self.refuses:
            raise OSError(self.refuses[number], os.strerror(self.refuses[number]))
        if number == SET:
            self.words = struct.unpack("=8I", data)
        return struct.pack("=8I", *self.words)


def test_mode_is_switched_on_with_level_and_delays_and_the_rest_is_kept() -> None:
    driver = Driver(TERMINATE_BUS, 0, 0, 7)
    wanted = Rs485(delay_before_send_ms=1, delay_after_send_ms=2)
    assert configure(0, wanted, driver.call) is None
    assert driver.words[:4] == (TERMINATE_BUS | 0b11, 1, 2, 7)


def test_low_level_while_sending_is_high_after_it() -> None:
    driver = Driver()
    assert configure(0, Rs485(mode="on", rts_while_sending="low"), driver.call) is None
    assert driver.words[0] == 0b101


def test_off_switches_off_only_what_is_on() -> None:
    driver = Driver(0b11)
    assert configure(0, Rs485(mode="off"), driver.call) is None
    assert driver.words[0] == 0
    assert configure(0, Rs485(mode="off"), Driver(refuses={SET: errno.EIO}).call) is None


def test_driver_without_the_mode_is_told_of_only_when_it_was_demanded() -> None:
    driver = Driver(refuses={GET: errno.ENOTTY})
    assert configure(0, Rs485(), driver.call) is None
    assert configure(0, Rs485(mode="off"), driver.call) is None
    assert "set mode: auto" in (configure(0, Rs485(mode="on"), driver.call) or "")


def test_driver_that_fails_is_told_of() -> None:
    driver = Driver(refuses={SET: errno.EPERM})
    assert "Operation not permitted" in (configure(0, Rs485(), driver.call) or "")
