"""What a unit's counters show."""

import pytest

from ccm_bus_reader.outcome import Answer
from ccm_bus_reader.stats import Counters
from ccm_contracts.state import RESPONSE_BUCKETS_MS, UnitStats


@pytest.mark.parametrize(
    ("response_ms", "bucket"),
    [(0.0, 0), (2.0, 0), (2.1, 1), (5.0, 1), (49.0, 4), (1000.0, 8), (1000.1, 9), (9000.0, 9)],
)
def test_answer_is_counted_in_the_bucket_whose_upper_bound_it_keeps(response_ms: float, bucket: int) -> None:
    counters = Counters()
    counters.answered(Answer((), None, 0.0, response_ms / 1000, 0.0))
    shown = counters.published(60.0).histogram
    assert len(shown) == len(RESPONSE_BUCKETS_MS) + 1 == 10
    assert [index for index, count in enumerate(shown) if count] == [bucket]


def test_state_of_an_earlier_version_has_no_histogram() -> None:
    assert UnitStats.model_validate({"requests": 3}).histogram == []
