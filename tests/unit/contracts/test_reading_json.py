"""A reading written without its model is the model's, byte for byte."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.messages import Reading, Value, reading_json

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**9), 10**9).map(lambda number: number / 1000),
    st.text(max_size=12),
)
ZONES = st.sampled_from((UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-3))))


@given(
    values=st.dictionaries(st.sampled_from(("p", "v1", "e_imp", "serial", "state")), VALUES),
    ts=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=ZONES),  # noqa: DTZ001 - zones are drawn
    seq=st.integers(0, 2**53),
)
def test_reading_is_written_as_its_model_is(values: dict[str, Value], ts: datetime, seq: int) -> None:
    model = Reading(gateway="CCM-1", device="d-1", ts=ts, values=values, seq=seq)
    written = reading_json("CCM-1", "d-1", ts, values, seq)
    assert written == TELEMETRY.adapter.dump_json(model, by_alias=True)
    assert TELEMETRY.adapter.validate_json(written) == model
