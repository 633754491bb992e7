"""The registers of made-up SunSpec devices, by offset as the model definitions of github.com/sunspec/models count."""

from collections.abc import Mapping
from dataclasses import dataclass, field

NOT_IMPLEMENTED = 0x8000
"""Of int16 and of scale factors."""


Held = Mapping[int, int | str | list[int]]


@dataclass(frozen=True)
class Model:
    """One model: its registers by offset from its ID register; the others hold `rest`."""

    id: int
    length: int
    held: Held = field(default_factory=dict)
    rest: int = 0xFFFF

    def words(self) -> list[int]:
        words = [self.id, self.length] + [self.rest] * self.length
        for offset, value in self.held.items():
            new = text(value) if isinstance(value, str) else [value] if isinstance(value, int) else value
            words[offset : offset + len(new)] = [word & 0xFFFF for word in new]
        return words


def text(value: str, length: int = 16) -> list[int]:
    """Two characters a register, NUL behind."""
    raw = value.encode().ljust(2 * length, b"\0")
    return [raw[at] << 8 | raw[at + 1] for at in range(0, 2 * length, 2)]


def long(value: int, registers: int = 2) -> list[int]:
    """Most significant register first."""
    return [value >> 16 * at & 0xFFFF for at in reversed(range(registers))]


def device(*models: Model, is_ended: bool = True) -> list[int]:
    """All registers from the marker on."""
    words = [0x5375, 0x6E53]
    for model in models:
        words += model.words()
    return words + ([0xFFFF, 0] if is_ended else [])


def common(serial: str, *, length: int = 66, model: str = "SE5K", firmware: str = "3.2468") -> Model:
    """Strings of 16 registers; `firmware` has 8."""
    held: Held = {2: "SolarEdge", 18: model, 34: text("", 8), 42: text(firmware, 8), 50: serial}
    return Model(1, length, held, rest=0)


INVERTER = Model(
    103,
    50,
    {
        2: 1234, 3: 411, 4: 412, 5: 413, 6: -2,
        7: 4001, 8: 4002, 9: 4003, 10: 2301, 11: 2302, 12: 2303, 13: -1,
        14: 8500, 15: 0, 16: 50012, 17: -3, 18: 8510, 19: 0, 20: -300, 21: 0, 22: 9990, 23: -2,
        24: long(123456789), 26: 0, 31: 8700, 32: 0, 33: 415, 34: NOT_IMPLEMENTED, 37: -1, 38: 4, 40: long(0),
    },
)  # fmt: skip
INVERTER_VALUES = {
    "i": 12.34, "i1": 4.11, "i2": 4.12, "i3": 4.13, "v12": 400.1, "v23": 400.2, "v31": 400.3,
    "v1": 230.1, "v2": 230.2, "v3": 230.3, "p": 8500, "f": 50.012, "s": 8510, "q": -300,
    "e_total": 123456.789, "p_dc": 8700, "temp": 41.5, "status": "MPPT", "fault": "",
}  # fmt: skip
CONTROLS = Model(123, 24, {4: 1, 5: 10000, 9: 0, 23: -2})
METER = Model(
    203,
    105,
    {18: -1500, 19: -500, 20: -500, 21: -500, 22: 0, 38: long(5000), 46: long(7000), 54: 0, 105: long(0)},
)
