"""What a search tries, in which order."""

import pytest

from ccm_bus_reader.catalogue import load_catalog
from ccm_bus_reader.scan_plan import COMMON_UNITS, NETWORK, Progress, factory_settings, steps_of
from ccm_contracts.scan_state import LineSetting
from ccm_contracts.verbs.bus_reader import ScanRequest

OWN = LineSetting(baudrate=9600, format="8N1")
FAST = LineSetting(baudrate=19200, format="8E1")


def pairs(*steps_args: object, **kwargs: object) -> list[tuple[LineSetting, int]]:
    steps = steps_of(*steps_args, **kwargs)  # type: ignore[arg-type]
    return [(step.setting, unit) for step in steps for unit in step.units]


def test_quick_search_begins_with_configured_units_at_the_lines_own_parameters() -> None:
    tried = pairs(ScanRequest(line="x"), OWN, (FAST,), configured=(77,))
    assert tried[0] == (OWN, 77)
    assert tried[1] == (OWN, 1)
    assert len(tried) == 2 * (1 + len(COMMON_UNITS))
    assert {setting for setting, _ in tried} == {OWN, FAST}


def test_full_search_tries_everything_once_and_the_likely_first() -> None:
    tried = pairs(ScanRequest(line="x", depth="full"), OWN, (FAST,))
    assert len(tried) == len(set(tried)) == 8 * 4 * 247
    likely = [(setting, unit) for setting in (OWN, FAST) for unit in COMMON_UNITS]
    assert tried[: len(likely)] == likely


def test_unlikely_parameters_are_tried_with_one_question() -> None:
    steps = steps_of(ScanRequest(line="x", depth="full"), OWN, (FAST,))
    assert {step.setting for step in steps if step.is_thorough} == {OWN, FAST}
    assert sum(len(step.units) for step in steps if not step.is_thorough) == 30 * 247


def test_named_units_rates_and_formats_are_the_only_ones_tried() -> None:
    request = ScanRequest(line="x", first_unit=3, last_unit=5, baudrates=[19200], formats=["8E1", "8O1"])
    odd = LineSetting(baudrate=19200, format="8O1")
    assert pairs(request, OWN, (OWN,)) == [(setting, unit) for setting in (FAST, odd) for unit in (3, 4, 5)]


def test_network_connection_has_units_only() -> None:
    tried = pairs(ScanRequest(line="x", depth="full", baudrates=[9600]), NETWORK)
    assert {setting for setting, _ in tried} == {NETWORK}
    assert sorted(unit for _, unit in tried) == list(range(1, 248))


def test_factory_settings_of_the_catalogue_begin_with_9600_8n1() -> None:
    """Manual table 2, and the default of most meters."""
    assert factory_settings(load_catalog().models())[0] == OWN


def test_estimate_follows_what_a_unit_takes() -> None:
    progress = Progress(steps_of(ScanRequest(line="x", first_unit=1, last_unit=100), OWN), 0.5)
    assert progress.left_s == 50.0
    for _ in range(50):
        progress.tried(1.0)
    assert progress.percent == 50.0
    assert progress.left_s == pytest.approx(50 * 1.0, rel=0.1)
