"""What is shipped is free to combine and to sell: no GPL, AGPL or source-available distribution."""

import importlib.metadata
import re
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"

# SPDX identifiers, and the phrases of older metadata, that the product may ship.
ALLOWED = {
    "0BSD",
    "Apache License Version 2.0",
    "Apache License, Version 2.0",
    "Apache Software License",
    "Apache-2.0",
    "BSD",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "EPL-2.0",
    "ISC",
    "ISC License (ISCL)",
    "MIT",
    "MIT License",
    "MIT-0",
    "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)",
    "PSF-2.0",
    "Python Software Foundation License",
    "Unlicense",
    "Zlib",
}
# Distributions under the LGPL, which may be shipped as separate, replaceable packages: named one by one.
# psycopg: the client of PostgreSQL, unchanged from PyPI; only loaded when the database is one.
LGPL_ALLOWED: set[str] = {"psycopg", "psycopg-binary"}


def pinned(lock: str) -> Iterator[str]:
    """The distributions of a lock file that belong on this platform and Python."""
    for name, marker in re.findall(r"^([A-Za-z0-9._-]+)==[^\s;]+(?: *; *([^\\\n]+))?", lock, re.MULTILINE):
        if not marker or Marker(marker.strip()).evaluate():
            yield name


def declared(metadata: Message) -> str:
    """The licence as one expression: License-Expression, else License when short, else the classifiers."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    text = re.sub(r"\s+", " ", str(metadata.get("License") or "")).strip()
    if text.startswith("Apache License Version 2.0"):
        return "Apache-2.0"
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier", [])
        if str(line).startswith("License ::") and line != "License :: OSI Approved"
    ]
    # Several classifiers do not say whether they are alternatives: each must be allowed.
    parts = [*([text] if 0 < len(text) <= 60 else []), *classifiers]
    return " AND ".join(f"({part})" if " OR " in part else part for part in dict.fromkeys(parts))


def is_allowed(expression: str, *, may_be_lgpl: bool = False) -> bool:
    """Whether a licence expression lets us ship: one of its alternatives, and all parts of that one."""
    if expression in ALLOWED:
        return True
    expression = _unwrapped(expression.strip())
    for operator, decide in ((" OR ", any), (" AND ", all)):
        parts = _split(expression, operator)
        if len(parts) > 1:
            return _each(decide, parts, may_be_lgpl)
    base = re.sub(r" WITH .*", "", expression)
    return base in ALLOWED or (may_be_lgpl and base.startswith("LGPL-"))


def _each(decide: Callable[[Iterator[bool]], bool], parts: list[str], may_be_lgpl: bool) -> bool:
    return decide(is_allowed(part, may_be_lgpl=may_be_lgpl) for part in parts)


def _unwrapped(expression: str) -> str:
    if expression.startswith("(") and expression.endswith(")") and _closes_at_end(expression):
        return _unwrapped(expression[1:-1].strip())
    return expression


def _closes_at_end(expression: str) -> bool:
    depth = 0
    for position, char in enumerate(expression):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0:
            return position == len(expression) - 1
    return False


def _split(expression: str, operator: str) -> list[str]:
    """Split at the operator outside parentheses."""
    parts, depth, start = [], 0, 0
    for position, char in enumerate(expression):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0 and expression.startswith(operator, position):
            parts.append(expression[start:position])
            start = position + len(operator)
    return [*parts, expression[start:]]


def refusal(metadata: Message) -> str | None:
    """Why the distribution must not be shipped; None when it may."""
    name = str(metadata["Name"])
    expression = declared(metadata)
    if not expression:
        return f"{name}: unknown licence"
    if not is_allowed(expression, may_be_lgpl=name.lower() in LGPL_ALLOWED):
        return f"{name}: {expression}"
    return None


def _metadata(**fields: str | list[str]) -> Message:
    message = Message()
    message["Name"] = "sample"
    for field, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            message[field.replace("_", "-")] = item
    return message


@pytest.mark.parametrize("name", sorted(pinned(LOCK.read_text())))
def test_shipped_distribution_may_be_shipped(name: str) -> None:
    assert refusal(importlib.metadata.metadata(name)) is None  # type: ignore[arg-type]  # a Message in fact


@pytest.mark.parametrize(
    "metadata",
    [
        _metadata(License_Expression="GPL-2.0-only"),
        _metadata(License_Expression="GPL-2.0-or-later WITH Classpath-exception-2.0"),
        _metadata(License_Expression="AGPL-3.0-or-later"),
        _metadata(License_Expression="MIT AND GPL-3.0-only"),
        _metadata(License_Expression="MIT AND (GPL-3.0-only OR SSPL-1.0)"),
        _metadata(License_Expression="BUSL-1.1"),
        _metadata(License_Expression="LGPL-3.0-only"),
        _metadata(License="GPL-2"),
        _metadata(License="AGPL-3"),
        _metadata(License="BSL 1.1"),
        _metadata(License="Business Source License"),
        _metadata(License="SSPL"),
        _metadata(License="Elastic License 2.0"),
        _metadata(Classifier=["License :: OSI Approved :: GNU General Public License v2 (GPLv2)"]),
        _metadata(
            Classifier=[
                "License :: OSI Approved :: MIT License",
                "License :: OSI Approved :: GNU Affero General Public License v3",
            ]
        ),
        _metadata(License="MIT", Classifier=["License :: Other/Proprietary License"]),
        _metadata(License="the text of a licence of one's own, " * 5),
        _metadata(),
    ],
    ids=lambda metadata: (
        " ".join(str(value)[:60] for key, value in metadata.items() if key != "Name") or "none"
    ),
)
def test_unshippable_licence_is_refused(metadata: Message) -> None:
    assert refusal(metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        _metadata(License_Expression="EPL-2.0 OR BSD-3-Clause"),
        _metadata(License_Expression="GPL-2.0-only OR MIT"),
        _metadata(License_Expression="(Apache-2.0 OR BSD-3-Clause) AND PSF-2.0"),
        _metadata(License_Expression="Apache-2.0 WITH LLVM-exception"),
        _metadata(Classifier=["License :: OSI Approved", "License :: OSI Approved :: BSD License"]),
        _metadata(License="MIT", Classifier=["License :: OSI Approved :: MIT License"]),
    ],
)
def test_free_or_dual_licence_is_accepted(metadata: Message) -> None:
    assert refusal(metadata) is None


def test_lgpl_is_accepted_only_for_a_named_distribution() -> None:
    assert is_allowed("LGPL-3.0-only", may_be_lgpl=True)
    assert not is_allowed("LGPL-3.0-only")
    assert not is_allowed("GPL-3.0-only", may_be_lgpl=True)
