"""YAML with line numbers: what was wrong, in which file, on which line, in which field.

Does not know any schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ccm_kit.errors import BadInputError
from ccm_kit.problems import Loc, field_text

DEEPEST: Final = 40
MOST_FIELDS: Final = 50_000
"""What an alias stands for counts again: a few lines of aliases of aliases would take all memory."""


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file: its data, and the line of each path of keys and indexes."""

    path: Path
    data: Any
    lines: Mapping[Loc, int]

    def line_of(self, loc: Loc) -> int:
        """The line of `loc`, or of the nearest parent that the file has."""
        for length in range(len(loc), -1, -1):
            if loc[:length] in self.lines:
                return self.lines[loc[:length]]
        return 1

    def complaint(self, loc: Loc, message: str) -> str:
        """`site.yaml:12: devices[2].unit: message`."""
        field = field_text(loc)
        return f"{self.path}:{self.line_of(loc)}: {field + ': ' if field else ''}{message}"


def load(path: Path) -> Source:
    """Raises `BadInputError` with file and line when it cannot be read or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise BadInputError(f"{path}: cannot be read: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise BadInputError(f"{path}: is not UTF-8 text") from err
    return parse(text, path)


def parse(text: str, path: Path) -> Source:
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        lines: dict[Loc, int] = {(): 1}
        if node is not None:
            _walk(node, (), lines, path, depth=0)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as err:
        line = err.problem_mark.line + 1 if err.problem_mark else 1
        raise BadInputError(f"{path}:{line}: is not valid YAML: {err.problem}") from err
    except (yaml.YAMLError, RecursionError, ValueError) as err:
        raise BadInputError(f"{path}:1: is not valid YAML: {err}") from err
    return Source(path, data, lines)


def _walk(node: yaml.Node, loc: Loc, lines: dict[Loc, int], path: Path, depth: int) -> None:
    if depth > DEEPEST:
        raise BadInputError(f"{path}:{node.start_mark.line + 1}: is nested too deeply")
    if len(lines) > MOST_FIELDS:
        raise BadInputError(f"{path}:{node.start_mark.line + 1}: has more than {MOST_FIELDS} fields by now")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*loc, str(key.value))
            if inner in lines:
                raise BadInputError(f"{path}:{key.start_mark.line + 1}: {field_text(inner)}: is given twice")
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, path, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*loc, index)
            lines[inner] = value.start_mark.line + 1
            _walk(value, inner, lines, path, depth + 1)
