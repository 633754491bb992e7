"""What becomes of a broker's session that is at odds with ours (MQTT 5, reason codes 0x82, 0x93 and 0x97)."""

from ccm_uplink.sinks.mqtt_odds import FRUITLESS_MOST, Odds

QUOTA = 0x97
LOST = 0


def test_what_is_under_way_is_finished_before_a_session_at_odds_is_over() -> None:
    odds = Odds()
    assert not odds.is_over({QUOTA}, in_flight=12, accepted=True)
    assert odds.is_finishing
    assert not odds.is_over({QUOTA}, in_flight=4, accepted=True)
    assert not odds.is_over({LOST}, in_flight=2, accepted=True)  # the line broke meanwhile
    assert odds.is_finishing
    assert odds.is_over({LOST}, in_flight=0, accepted=True)
    assert not odds.is_finishing


def test_a_session_at_odds_that_takes_nothing_is_over_at_once() -> None:
    odds = Odds()
    assert odds.is_over({QUOTA}, in_flight=12, accepted=False)
    assert not odds.is_finishing


def test_a_session_that_confirms_nothing_is_over_after_some_connections() -> None:
    odds = Odds()
    for _ in range(FRUITLESS_MOST - 1):
        assert not odds.is_over({LOST}, in_flight=3, accepted=False)
    assert odds.is_over({LOST}, in_flight=3, accepted=False)
    assert not odds.is_over({LOST}, in_flight=3, accepted=False)  # it counts anew


def test_broken_lines_alone_end_no_session() -> None:
    odds = Odds()
    for _ in range(3 * FRUITLESS_MOST):
        assert not odds.is_over({LOST}, in_flight=3, accepted=True)
        assert not odds.is_over({LOST}, in_flight=0, accepted=False)
        assert not odds.is_finishing
