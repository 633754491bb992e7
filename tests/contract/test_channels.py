"""The channel table is consistent in itself: names, owners, subjects that are built and parsed alike."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccm_contracts import subjects
from ccm_contracts.channels import CHANNELS, CONFIG, SERVICES, STREAMS, Stream
from ccm_contracts.config.document import SECTIONS
from ccm_contracts.verb_table import VERBS

TOKEN = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
PATTERNS = sorted({channel.pattern for channel in CHANNELS} | {subjects.REQUEST})


def test_names_are_unique() -> None:
    names = [channel.name for channel in CHANNELS]
    assert len(set(names)) == len(names)
    assert len({verb.name for verb in VERBS}) == len(VERBS)


def test_every_channel_has_one_owner_except_what_every_service_reports() -> None:
    shared = {channel.name for channel in CHANNELS if len(channel.owners) != 1}
    assert shared == {"event", "state-service"}
    assert all(set(channel.owners) | set(channel.readers) <= set(SERVICES) for channel in CHANNELS)


def test_every_channel_is_read_by_somebody() -> None:
    assert [channel.name for channel in CHANNELS if not channel.readers] == []


def test_every_verb_is_called_by_others_and_waits_a_bounded_time() -> None:
    for verb in VERBS:
        assert verb.callers
        assert verb.service not in verb.callers
        assert 0 < verb.timeout_s <= 30


def test_every_section_of_the_configuration_has_a_channel() -> None:
    assert CONFIG.keys() == SECTIONS.keys()


def test_limits_fit_into_each_other() -> None:
    for channel in CHANNELS:
        kept = channel.kept_in
        limit = kept.max_message if isinstance(kept, Stream) else kept.max_value
        assert channel.max_message <= limit <= kept.max_bytes
    for stream in STREAMS:
        assert stream.duplicate_window_s > 600, "longer than the outbox keeps"


@pytest.mark.parametrize("pattern", PATTERNS)
@given(data=st.data())
def test_filled_subject_parses_back(pattern: str, data: st.DataObject) -> None:
    names = subjects.parse(pattern, subjects.fill(pattern)) or {}
    ids = {name: data.draw(TOKEN) for name in names}
    assert subjects.parse(pattern, subjects.fill(pattern, **ids)) == ids


@given(token=st.text(max_size=10))
def test_id_is_one_safe_token_or_refused(token: str) -> None:
    try:
        subject = subjects.fill(subjects.TELEMETRY, gw="GW1", device=token)
    except subjects.BadSubjectError:
        return
    assert subject.count(".") == 3
    assert subject.isascii()
    assert not set(subject) & set(" >\t\r\n")


@pytest.mark.parametrize("token", ["a.b", "a b", "", ">", "a*", "ä", "a\n", "a/b"])
def test_bad_id_is_refused(token: str) -> None:
    with pytest.raises(subjects.BadSubjectError):
        subjects.fill(subjects.TELEMETRY, gw="GW1", device=token)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_no_other_channel_takes_a_channels_subject(channel: Any) -> None:
    ids = dict.fromkeys(subjects.parse(channel.pattern, channel.subject()) or {}, "x1")
    subject = channel.subject(**{name: token for name, token in ids.items() if name not in channel.fixed})
    takers = [other.name for other in CHANNELS if other.parse(subject) is not None]
    assert takers == [channel.name]
