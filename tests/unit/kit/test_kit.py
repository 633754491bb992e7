"""The kit's small parts: files with line numbers, settings, waits, remembered answers, sealed secrets, log lines."""

import asyncio
import json
import logging
import random
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from ccm_contracts.types import SEALED_PREFIX
from ccm_kit.backoff import Backoff
from ccm_kit.clock import SystemClock
from ccm_kit.errors import BadInputError
from ccm_kit.idempotency import KEEP_S, MOST, Answers
from ccm_kit.log import JsonFormatter, TextFormatter
from ccm_kit.problems import field_text, problems_in
from ccm_kit.secrets import SecretBox
from ccm_kit.settings import settings_from
from ccm_kit.yaml_lines import load, parse

SITE = Path("site.yaml")


class FixedClock(SystemClock):
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


# --- yaml_lines


def test_complaint_names_file_line_and_field() -> None:
    source = parse("ports:\n  - id: a\n  - id: b\n    path: x\n", SITE)
    assert source.complaint(("ports", 1, "path"), "is wrong") == "site.yaml:4: ports[1].path: is wrong"


def test_missing_field_is_complained_about_at_its_parent() -> None:
    source = parse("ports:\n  - id: a\n  - id: b\n", SITE)
    assert source.complaint(("ports", 1, "path"), "is missing") == "site.yaml:3: ports[1].path: is missing"
    assert source.complaint((), "is empty") == "site.yaml:1: is empty"


BILLION_LAUGHS = "\n".join(
    ("a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)))
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\nb: 2\na: 3\n", "site.yaml:3: a: is given twice"),
        ("x:\n  - a: 1\n    a: 2\n", "site.yaml:3: x[0].a: is given twice"),
        ("a: [1\n", "site.yaml:2: is not valid YAML"),
        ("a: !!python/object:os.system x\n", "site.yaml:1: is not valid YAML"),
        ("\ta: 1\n", "site.yaml:1: is not valid YAML"),
        ("[" * 60 + "]" * 60, "site.yaml:1: is nested too deeply"),
        ("a: 1\n--- \nb: 2\n", "site.yaml:2: is not valid YAML"),
        (BILLION_LAUGHS, "site.yaml:1: has more than 50000 fields"),
    ],
)
def test_bad_yaml_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(BadInputError) as raised:
        parse(text, SITE)
    assert str(raised.value).startswith(complaint)


def test_missing_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"absent\.yaml: cannot be read: No such file"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInputError, match="is not UTF-8 text"):
        load(tmp_path / "binary.yaml")


@given(text=st.text(alphabet="ab:-[]{}&*!|>'\"#%@ \n\t\\\x00", max_size=60))
def test_any_text_is_parsed_or_refused_with_its_line(text: str) -> None:
    with suppress(BadInputError):
        assert parse(text, SITE).lines[()] == 1


def test_field_text_is_as_people_write_it() -> None:
    assert field_text(("devices", 2, "unit")) == "devices[2].unit"
    assert field_text(()) == ""


class _Line(BaseModel, extra="forbid"):
    id: str
    unit: int


def test_problems_are_sentences() -> None:
    with pytest.raises(ValidationError) as raised:
        _Line.model_validate({"unit": "x", "speed": 1})
    assert problems_in(raised.value) == [
        (("id",), "is missing"),
        (("unit",), "input should be a valid integer, unable to parse string as an integer"),
        (("speed",), "is not a known field"),
    ]


# --- settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CCM_HTTP_PORT", "0"),
        ("CCM_HTTP_PORT", "65536"),
        ("CCM_HTTP_PORT", "http"),
        ("CCM_LOG", "xml"),
        ("CCM_HAL", "windows"),
        ("CCM_GATEWAY", "a.b"),
        ("CCM_GATEWAY", ""),
        ("CCM_NATS_PASSWORD_FILE", "/nonexistent/password"),
    ],
)
def test_bad_setting_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(BadInputError) as raised:
        settings_from("io", {variable: value})
    assert raised.value.field == variable
    assert str(raised.value).startswith(f"{variable}: ")


def test_password_comes_from_its_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    settings = settings_from(
        "io", {"CCM_NATS_PASSWORD_FILE": str(tmp_path / "password"), "CCM_NATS_PASSWORD": "other"}
    )
    assert settings.nats_password == "hunter2"
    assert "hunter2" not in repr(settings)


def test_user_of_a_service_is_its_name() -> None:
    assert settings_from("bus-reader", {}).nats_user == "bus-reader"


# --- backoff


def test_waits_double_to_the_ceiling_with_jitter_and_start_anew() -> None:
    backoff = Backoff(first_s=1.0, ceiling_s=10.0, _random=random.Random(7))
    waits = [backoff.next() for _ in range(60)]
    for wait, expected in zip(waits, [1, 2, 4, 8, *[10] * 56], strict=True):
        assert 0.8 * expected <= wait <= 1.2 * expected
    assert len(set(waits[4:])) > 40
    backoff.reset()
    assert backoff.next() <= 1.2


# --- idempotency


async def test_repeat_gets_the_first_answer_until_it_is_forgotten() -> None:
    clock = FixedClock()
    answers = Answers(clock)
    calls: list[int] = []

    async def act() -> bytes:
        calls.append(1)
        return b"%d" % len(calls)

    given = [await answers.once(command, act) for command in ("a", "a", "b")]
    assert given == [b"1", b"1", b"2"]
    clock.seconds = KEEP_S + 1
    assert await answers.once("a", act) == b"3"


async def test_repeat_while_the_first_runs_waits_for_its_answer() -> None:
    answers = Answers(FixedClock())
    go = asyncio.Event()
    calls: list[int] = []

    async def act() -> bytes:
        calls.append(1)
        await go.wait()
        return b"done"

    both = asyncio.gather(answers.once("a", act), answers.once("a", act))
    await asyncio.sleep(0)
    go.set()
    assert list(await both) == [b"done", b"done"]
    assert len(calls) == 1


async def test_command_that_failed_may_be_tried_again() -> None:
    answers = Answers(FixedClock())

    async def fail() -> bytes:
        raise ConnectionError

    async def act() -> bytes:
        return b"done"

    with pytest.raises(ConnectionError):
        await answers.once("a", fail)
    assert await answers.once("a", act) == b"done"


async def test_answers_are_bounded() -> None:
    answers = Answers(FixedClock())

    async def act() -> bytes:
        return b""

    for number in range(MOST + 50):
        await answers.once(str(number), act)
    assert len(answers._kept) <= MOST


# --- secrets


def test_sealed_text_opens_with_the_same_key_only(tmp_path: Path) -> None:
    box, other = SecretBox(tmp_path / "a.key"), SecretBox(tmp_path / "b.key")
    sealed = box.seal("hunter2")
    assert sealed.startswith(SEALED_PREFIX)
    assert "hunter2" not in sealed
    assert SecretBox(tmp_path / "a.key").unseal(sealed) == "hunter2"
    other.seal("x")
    with pytest.raises(BadInputError, match=r"another key than b\.key"):
        other.unseal(sealed)


def test_key_is_private_and_is_not_made_to_open_something(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret.key"
    sealed = SecretBox(path).seal("x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    with pytest.raises(BadInputError, match=r"needs the key secret\.key"):
        SecretBox(path).unseal(sealed)
    assert not path.exists()


def test_same_text_is_sealed_differently_each_time(tmp_path: Path) -> None:
    box = SecretBox(tmp_path / "secret.key")
    assert box.seal("x") != box.seal("x")


# --- log


def _record(**facts: object) -> logging.LogRecord:
    record = logging.makeLogRecord(
        {"name": "ccm_io.relay", "levelname": "WARNING", "msg": "line closed", **facts}
    )
    record.created = 0.0
    return record


def test_log_line_has_the_event_and_its_facts() -> None:
    line = TextFormatter("io").format(_record(line="native", retry_s=2))
    assert line == "00:00:00.000 WARNING io line closed line=native retry_s=2"


def test_log_line_as_json() -> None:
    assert json.loads(JsonFormatter("io").format(_record(path=SITE))) == {
        "ts": "1970-01-01T00:00:00.000Z",
        "level": "warning",
        "service": "io",
        "logger": "ccm_io.relay",
        "event": "line closed",
        "path": "site.yaml",
    }
