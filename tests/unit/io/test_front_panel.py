"""LED patterns and button presses, as the manual's section 4 describes them."""

import asyncio
from pathlib import Path

import pytest

from ccm_contracts.state import LedPattern
from ccm_io.button import Action, action_of
from ccm_io.hal.sim import sim_hal
from ccm_io.leds import Front, Modem, lights_of
from tests.support.wait import LEAST_S


@pytest.mark.parametrize(
    ("front", "patterns"),
    [
        (Front(), ("off", "blink_1s", "off")),
        (Front(mode="synchronisation"), ("blink_1s", "blink_1s", "off")),
        (Front(mode="synchronisation", has_assigned=True), ("flicker", "blink_1s", "off")),
        (Front(mode="synchronisation", is_updating=True), ("quick", "blink_1s", "off")),
        (Front(has_internet=True), ("off", "blip_1_in_3s", "off")),
        (Front(has_internet=True, has_server=True), ("off", "blip_2_in_3s", "off")),
    ],
)
def test_blue_and_green_follow_mode_and_connection(
    front: Front, patterns: tuple[LedPattern, LedPattern, LedPattern]
) -> None:
    assert tuple(light.pattern for light in lights_of(front)) == patterns


@pytest.mark.parametrize(
    ("modem", "pattern"),
    [
        ("absent", "off"),
        ("off", "off"),
        ("searching", "blink_2s"),
        ("registered", "on"),
        ("traffic", "flicker"),
    ],
)
def test_yellow_follows_the_modem(modem: Modem, pattern: LedPattern) -> None:
    yellow = lights_of(Front(modem=modem))[2]

    assert (yellow.led, yellow.pattern) == ("yellow", pattern)


@pytest.mark.parametrize(
    ("duration_s", "action"),
    [
        (0.1, "access-point"),
        (1.99, "access-point"),
        (2.0, "synchronisation"),
        (5.0, "synchronisation"),
        (5.01, "none"),
        (9.99, "none"),
        (10.0, "factory-reset"),
        (15.0, "factory-reset"),
    ],
)
def test_press_means_what_the_manual_says(duration_s: float, action: Action) -> None:
    assert action_of(duration_s) == action


async def test_simulated_button_is_pressed_by_a_file(tmp_path: Path) -> None:
    hal = sim_hal(tmp_path)
    (tmp_path / "button").write_text("3.5\n")

    async with asyncio.timeout(LEAST_S):
        assert await hal.button.pressed() == 3.5

    assert not (tmp_path / "button").exists()


def test_simulated_output_is_unknown_until_it_was_written(tmp_path: Path) -> None:
    relay = sim_hal(tmp_path).outputs["relay-1"]
    assert relay.read() is None

    relay.write(1)

    assert (relay.read(), (tmp_path / "outputs" / "relay-1").read_text()) == (1.0, "1")
