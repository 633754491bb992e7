"""Modbus exception codes in words (Modbus Application Protocol V1.1b3, section 7)."""

from typing import Final

CODES: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledged, still at work",
    6: "busy",
    10: "gateway path unavailable",
    11: "gateway target does not respond",
}


def exception_text(code: int) -> str:
    """`exception 2 (illegal address)`."""
    return f"exception {code} ({CODES.get(code, 'unknown')})"
