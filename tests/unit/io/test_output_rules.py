"""Commands checked, hold times, and what a start keeps."""

from datetime import UTC, datetime, timedelta

import pytest

from ccm_contracts.config.site import FEATURES, Model, Output, Outputs
from ccm_contracts.verbs.io import OutputId, SetOutput
from ccm_io.outputs import Record, available, desired_of, left_s, record_of, safe_of, start_of
from ccm_kit.errors import RefusedError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PRO = FEATURES["pro"]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def held(value: float = 1.0, *, hold_s: float = 60.0) -> Record:
    return Record(value=value, since=NOW, reason="command by test", until=later(hold_s), hold_s=hold_s)


@pytest.mark.parametrize(("output", "value"), [("relay-1", 0.5), ("relay-2", 2.0), ("relay-1", 10.0)])
def test_relay_takes_only_zero_and_one(output: OutputId, value: float) -> None:
    with pytest.raises(RefusedError) as refusal:
        desired_of(SetOutput(output=output, value=value), "test", PRO, None)

    assert (refusal.value.code, refusal.value.field) == ("out-of-range", "value")


@pytest.mark.parametrize("value", [0.0, 4.5, 10.0])
def test_analog_takes_zero_to_ten_volts(value: float) -> None:
    assert desired_of(SetOutput(output="analog-1", value=value), "test", PRO, None).value == value


@pytest.mark.parametrize("value", [-0.1, 10.1])
def test_analog_refuses_other_voltages(value: float) -> None:
    command = SetOutput.model_construct(output="analog-1", value=value)

    with pytest.raises(RefusedError) as refusal:
        desired_of(command, "test", PRO, None)

    assert refusal.value.code == "out-of-range"


@pytest.mark.parametrize(
    ("model", "outputs"),
    [
        ("lite", []),
        ("lite-plus", ["relay-1", "relay-2"]),
        ("lite-nbiot", ["relay-1", "relay-2"]),
        ("pro", ["relay-1", "relay-2", "analog-1"]),
    ],
)
def test_models_have_the_outputs_of_the_manual(model: Model, outputs: list[str]) -> None:
    """Manual section 4: 0-10 V on PRO; relays on Lite Plus, Lite NBIoT and PRO."""
    assert available(FEATURES[model]) == outputs


def test_output_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(RefusedError) as refusal:
        desired_of(SetOutput(output="analog-1", value=1), "test", FEATURES["lite-plus"], None)

    assert refusal.value.code == "not-available"


def test_hold_time_of_the_command_wins_over_the_configured_one() -> None:
    own = desired_of(SetOutput(output="relay-1", value=1, hold_s=5), "test", PRO, 60.0)
    default = desired_of(SetOutput(output="relay-1", value=1), "test", PRO, 60.0)

    assert (own.hold_s, default.hold_s) == (5, 60.0)


def test_only_a_moving_contact_is_counted() -> None:
    desired = desired_of(SetOutput(output="relay-1", value=1, hold_s=60), "test", PRO, None)
    first = record_of(desired, None, safe=0, switched=True, now=NOW)

    renewed = record_of(desired, first, safe=0, switched=False, now=later(30))

    assert (renewed.switches, renewed.since, renewed.until) == (1, NOW, later(90))


def test_return_to_safe_has_no_end() -> None:
    record = record_of(safe_of(0.0, "hold time ended"), held(), safe=0, switched=True, now=later(60))

    assert (record.value, record.until, record.reason) == (0.0, None, "hold time ended")


def test_hold_time_left_is_never_longer_than_asked_for() -> None:
    assert left_s(held(), later(20)) == 40.0
    assert left_s(held(), later(99)) == 0.0
    assert left_s(held(), later(-86_400)) == 60.0


@pytest.mark.parametrize(
    ("record", "found", "what"),
    [
        (held(), 1.0, "keep"),
        (Record(value=1.0, since=NOW, reason="command by test"), 1.0, "keep"),
        (held(hold_s=5), 1.0, "hold ended"),
        (held(), 0.0, "unknown"),
        (held(), None, "unknown"),
        (None, 1.0, "unknown"),
        (held(4.5), 4.49, "keep"),
        (held(4.5), 0.0, "unknown"),
    ],
)
def test_start_keeps_only_what_record_and_hardware_agree_on(
    record: Record | None, found: float | None, what: str
) -> None:
    assert start_of(record, found, later(10)) == what


def test_relays_safe_state_is_open_or_closed() -> None:
    with pytest.raises(ValueError, match="a relay's safe state is 0 or 1, not 5"):
        Outputs(relay_1=Output(safe=5))

    assert Outputs(analog_1=Output(safe=5)).analog_1.safe == 5
