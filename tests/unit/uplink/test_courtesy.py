"""How long the disk rests for a network; the shares are those of the module's own text."""

import pytest

from ccm_uplink.courtesy import LONGEST_REST_S, Courtesy


def test_while_nothing_is_sent_the_disk_does_not_rest() -> None:
    courtesy = Courtesy()
    assert courtesy.rest_s(0.1, 1000.0) == 0.0
    courtesy.network_sends(1000.0)
    assert courtesy.rest_s(0.1, 1000.5) == 0.0, "that was half a second ago"


@pytest.mark.parametrize("worked_s", [0.01, 0.04, 0.2])
def test_the_disk_keeps_two_fifths_of_the_time(worked_s: float) -> None:
    courtesy = Courtesy()
    courtesy.network_sends(1000.0)
    rest_s = courtesy.rest_s(worked_s, 1000.01)
    assert worked_s / (worked_s + rest_s) == pytest.approx(0.4)


def test_no_rest_is_longer_than_its_bound() -> None:
    courtesy = Courtesy()
    courtesy.network_sends(1000.0)
    assert courtesy.rest_s(60.0, 1000.0) == LONGEST_REST_S
