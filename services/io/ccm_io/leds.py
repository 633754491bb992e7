"""What the three LEDs show (manual section 4). Pure: the state of the gateway in, patterns out."""

from dataclasses import dataclass
from typing import Final, Literal

from ccm_contracts.state import LedPattern, LedState, ModeName

Modem = Literal["absent", "off", "searching", "registered", "traffic"]


@dataclass(frozen=True, slots=True)
class Front:
    """What the LEDs tell the installer."""

    mode: ModeName = "reading"
    has_assigned: bool = False
    """A device got its unit just now."""
    is_updating: bool = False
    has_internet: bool = False
    has_server: bool = False
    """Connected to the data server: the MQTT broker."""
    modem: Modem = "absent"


_MODEM: Final[dict[Modem, tuple[LedPattern, str]]] = {
    "absent": ("off", "no modem"),
    "off": ("off", "modem disconnected"),
    "searching": ("blink_2s", "searching for a mobile network"),
    "registered": ("on", "registered to the mobile network"),
    "traffic": ("flicker", "mobile data traffic"),
}


def lights_of(front: Front) -> tuple[LedState, LedState, LedState]:
    """Blue, green, yellow."""
    return (_blue(front), _green(front), _yellow(front))


def _blue(front: Front) -> LedState:
    if front.is_updating:
        return LedState(led="blue", pattern="quick", meaning="firmware update")
    if front.has_assigned:
        return LedState(led="blue", pattern="flicker", meaning="a device got its unit")
    if front.mode == "synchronisation":
        return LedState(led="blue", pattern="blink_1s", meaning="synchronisation mode")
    return LedState(led="blue", pattern="off", meaning="reading mode")


def _green(front: Front) -> LedState:
    if front.has_server:
        return LedState(led="green", pattern="blip_2_in_3s", meaning="connected to the data server")
    if front.has_internet:
        return LedState(led="green", pattern="blip_1_in_3s", meaning="connected to the internet")
    return LedState(led="green", pattern="blink_1s", meaning="no connection")


def _yellow(front: Front) -> LedState:
    pattern, meaning = _MODEM[front.modem]
    return LedState(led="yellow", pattern=pattern, meaning=meaning)
