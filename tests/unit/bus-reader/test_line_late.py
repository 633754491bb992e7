"""Which requests must wait for a late reply, and how long a device is waited for."""

from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.late import LATEST_REPLY_S, Debts
from ccm_bus_reader.timeouts import ReplyTimeout

ASKED = Request(7, 3, 100, 10)
SAME_LENGTH = Request(7, 3, 200, 10)


def owing() -> Debts:
    debts = Debts()
    debts.owe(ASKED, 0.0)
    return debts


def test_request_whose_answer_could_be_the_late_one_waits() -> None:
    assert owing().blocked_until(SAME_LENGTH, 1.0) == LATEST_REPLY_S


def test_same_read_waits_too_for_its_late_reply_would_be_older_than_the_request() -> None:
    assert owing().blocked_until(ASKED, 1.0) == LATEST_REPLY_S


def test_requests_that_cannot_be_confused_go_on() -> None:
    debts = owing()
    others = [Request(8, 3, 200, 10), Request(7, 4, 200, 10), Request(7, 3, 200, 11)]
    assert [debts.blocked_until(other, 1.0) for other in others] == [None] * 3


def test_late_reply_pays_and_tells_its_age() -> None:
    debts = owing()
    assert debts.pay(7, 3, ASKED.reply_bytes, 3.2) == 3.2
    assert debts.blocked_until(SAME_LENGTH, 3.2) is None


def test_exception_pays_nothing_and_is_in_doubt_while_a_reply_of_its_function_is_owed() -> None:
    debts = owing()
    assert debts.pay(7, 3, 5, 1.0) is None
    assert debts.doubtful_until(7, 3, 1.0) == LATEST_REPLY_S
    assert debts.doubtful_until(7, 4, 1.0) is None
    assert debts.doubtful_until(7, 3, LATEST_REPLY_S) is None


def test_other_frames_pay_nothing() -> None:
    debts = owing()
    assert debts.pay(8, 3, ASKED.reply_bytes, 1.0) is None
    assert debts.pay(7, 3, ASKED.reply_bytes + 2, 1.0) is None
    assert debts.blocked_until(SAME_LENGTH, 1.0) is not None


def test_two_unanswered_requests_owe_two_replies() -> None:
    debts = owing()
    debts.owe(ASKED, 0.5)
    debts.pay(7, 3, ASKED.reply_bytes, 1.0)
    assert debts.blocked_until(SAME_LENGTH, 1.0) is not None


def test_debt_ends_by_itself() -> None:
    assert owing().blocked_until(SAME_LENGTH, LATEST_REPLY_S) is None


def test_timeout_starts_at_the_upper_bound_and_learns_down_to_the_lower() -> None:
    timeout = ReplyTimeout(0.1, 1.0)
    assert timeout.timeout_s == 1.0
    for _ in range(50):
        timeout.answered(0.005)
    assert timeout.timeout_s == 0.1


def test_timeout_follows_a_slow_device() -> None:
    timeout = ReplyTimeout(0.01, 1.0)
    for _ in range(50):
        timeout.answered(0.2)
    assert 0.2 < timeout.timeout_s < 0.3


def test_missed_reply_doubles_the_timeout_up_to_its_bound_until_the_next_answer() -> None:
    timeout = ReplyTimeout(0.1, 1.0)
    for _ in range(50):
        timeout.answered(0.005)
    timeout.missed()
    assert timeout.timeout_s == 0.2
    for _ in range(9):
        timeout.missed()
    assert timeout.timeout_s == 1.0
    timeout.answered(0.005)
    assert timeout.timeout_s == 0.1


def test_first_answer_sets_mean_and_deviation_as_rfc_6298_says() -> None:
    timeout = ReplyTimeout(0.0, 10.0)
    timeout.answered(0.4)
    assert timeout.timeout_s == 0.4 + 4 * 0.2
