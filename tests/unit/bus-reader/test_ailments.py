"""A device that answers exception 4 or 6 instead of values (Modbus Application Protocol V1.1b3, section 7)."""

from ccm_bus_reader.ailments import AILS_AFTER, Ailments


def failing(times: int, *metrics: str, code: int = 4) -> Ailments:
    ailments = Ailments()
    for _ in range(times):
        ailments.unable(metrics, code)
    return ailments


def test_busy_for_a_moment_is_no_fault() -> None:
    assert failing(AILS_AFTER - 1, "v1", code=6).text is None


def test_what_fails_again_and_again_is_named_with_its_code() -> None:
    assert failing(AILS_AFTER, "v1", "v2").text == "answers exception 4 (device failure) to v1, v2"


def test_of_many_the_first_are_named() -> None:
    text = failing(AILS_AFTER, "v1", "v2", "v3", "i1", "i2", "i3", "p").text
    assert text == "answers exception 4 (device failure) to v1, v2, v3, i1, i2 and 2 more"


def test_an_answer_between_begins_the_count_anew() -> None:
    ailments = failing(AILS_AFTER - 1, "v1")
    ailments.well(["v1"])
    ailments.unable(["v1"], 4)
    assert ailments.text is None


def test_what_is_given_again_is_named_no_more() -> None:
    ailments = failing(AILS_AFTER, "v1", "v2")
    ailments.well(["v1"])
    assert ailments.text == "answers exception 4 (device failure) to v2"
    ailments.well(["v2"])
    assert ailments.text is None
