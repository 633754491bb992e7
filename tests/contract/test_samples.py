"""What a released version put on the bus still parses: one sample per message kind and release, kept for ever."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from ccm_contracts.channels import CHANNELS
from ccm_contracts.messages import Command, Result
from ccm_contracts.types import Frozen
from ccm_contracts.verb_table import VERBS

SAMPLES = Path(__file__).parent / "samples"
FILES = sorted(SAMPLES.glob("*/*.json"))
OBJECTS = [file for file in FILES if file.read_bytes().startswith(b"{")]
PLAIN = {"unseal": lambda sealed: sealed}


def adapters() -> dict[str, TypeAdapter[Any]]:
    found: dict[str, TypeAdapter[Any]] = {channel.name: channel.adapter for channel in CHANNELS}
    for verb in VERBS:
        found[f"{verb.name}.request"] = TypeAdapter(Command[verb.args])  # type: ignore[name-defined]
        found[f"{verb.name}.reply"] = TypeAdapter(Result[verb.result])  # type: ignore[name-defined]
    found["refused.reply"] = TypeAdapter(Result[Frozen])
    return found


ADAPTERS = adapters()


def contains(whole: Any, part: Any) -> bool:
    """Whether `whole` has everything of `part`: fields may have been added since."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_sample_parses_and_keeps_every_field(file: Path) -> None:
    adapter = ADAPTERS[file.stem]
    message = adapter.validate_json(file.read_bytes(), context=PLAIN)
    again = adapter.dump_json(message, by_alias=True, context={"seal": str})
    assert contains(json.loads(again), json.loads(file.read_bytes()))


@pytest.mark.parametrize("file", OBJECTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_unknown_field_is_ignored(file: Path) -> None:
    """So that a newer service may run beside an older one."""
    sample = json.loads(file.read_bytes())
    ADAPTERS[file.stem].validate_json(json.dumps({**sample, "from_the_future": 1}), context=PLAIN)


def test_every_message_kind_has_a_sample() -> None:
    """Add one to the folder of the release that brings a new message."""
    assert ADAPTERS.keys() == {file.stem for file in FILES}
