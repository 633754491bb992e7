"""The kernel's RS-485 mode: the driver itself switches the transceiver between sending and receiving.

Linux only, and only some UART drivers; USB adapters and most boards switch by themselves. Numbers and structure:
include/uapi/linux/serial.h and asm-generic/ioctls.h.
"""

import errno
import struct
from collections.abc import Callable
from fcntl import ioctl
from typing import Final

from ccm_contracts.config.field import Rs485

TIOCGRS485: Final = 0x542E
TIOCSRS485: Final = 0x542F
LAYOUT: Final = struct.Struct("=8I")
"""struct serial_rs485: flags, delay before and after sending (ms), five words of no meaning."""
ENABLED: Final = 1 << 0
RTS_ON_SEND: Final = 1 << 1
RTS_AFTER_SEND: Final = 1 << 2
NOT_THERE: Final = (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
"""How drivers say that they have no such mode."""

Ioctl = Callable[[int, int, bytes], bytes]


def configure(fd: int, wanted: Rs485, call: Ioctl = ioctl) -> str | None:
    """Set the open port's mode. Returns what an operator should know when it is not as wanted, else None."""
    try:
        found = LAYOUT.unpack(call(fd, TIOCGRS485, bytes(LAYOUT.size)))
    except OSError as err:
        return f"RS-485 mode cannot be switched on: {_reason(err)}" if wanted.mode == "on" else None
    is_on = wanted.mode != "off"
    if not is_on and not found[0] & ENABLED:
        return None
    try:
        call(fd, TIOCSRS485, LAYOUT.pack(*_words(wanted, found, is_on=is_on)))
    except OSError as err:
        if wanted.mode == "auto" and err.errno in NOT_THERE:
            return None
        return f"RS-485 mode cannot be switched {'on' if is_on else 'off'}: {_reason(err)}"
    return None


def _words(wanted: Rs485, found: tuple[int, ...], *, is_on: bool) -> tuple[int, ...]:
    flags = found[0] & ~(ENABLED | RTS_ON_SEND | RTS_AFTER_SEND)
    if is_on:
        flags |= ENABLED | (RTS_ON_SEND if wanted.rts_while_sending == "high" else RTS_AFTER_SEND)
    return flags, wanted.delay_before_send_ms, wanted.delay_after_send_ms, *found[3:]


def _reason(err: OSError) -> str:
    if err.errno in NOT_THERE:
        return "the port's driver has no such mode; most adapters switch by themselves, so set mode: auto"
    return err.strerror or str(err)
