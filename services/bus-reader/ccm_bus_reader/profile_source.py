"""Reads a family file and makes its profiles, or says in which file, line and field it is wrong.

Does not know where the catalogue lies (`catalogue.py`).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ccm_bus_reader.family import Defaults, FamilyFile, ModelEntry
from ccm_bus_reader.model import Limits, Profile
from ccm_bus_reader.point import REGISTERS_OF, Point
from ccm_bus_reader.sunspec.discovery import shown
from ccm_contracts.verbs.profiles import MOST_FAULTS, ProfileFault
from ccm_kit import yaml_lines
from ccm_kit.errors import BadInputError
from ccm_kit.problems import Loc, field_text, problems_in

MAX_FILE_BYTES = 256 * 1024
"""A larger file is no profile."""

_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Problem = tuple[Loc, str]
Placed = tuple[Loc, Point]
"""A point and where the file gives it."""


class _WrongError(Exception):
    """What is wrong with the data of a file, by location."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0][1])
        self.problems = problems


def load_profile_file(path: Path) -> list[Profile]:
    """The profiles of a file that somebody wrote, checked in full.

    Raises `BadInputError` with one line `file:line: field: what is wrong` for each problem.
    """
    try:
        size = path.stat().st_size
    except OSError as err:
        raise BadInputError(f"{path}: cannot be read: {err.strerror}") from err
    if size > MAX_FILE_BYTES:
        raise BadInputError(f"{path}: has {size} bytes; a profile has at most {MAX_FILE_BYTES}")
    return _checked(yaml_lines.load(path))


def faults_of(text: str, name: str) -> tuple[list[Profile], list[ProfileFault]]:
    """The profiles of a text that somebody sent, or what is wrong with it, the first faults."""
    path = Path(name)
    try:
        source = yaml_lines.parse(text, path)
    except BadInputError as err:
        place = re.match(rf"{re.escape(name)}:(\d+): ", err.message)
        message = err.message[place.end() :] if place else err.message
        return [], [ProfileFault(line=int(place[1]) if place else 1, field="", message=message)]
    try:
        return _profiles(source.data), []
    except _WrongError as err:
        faults = [
            ProfileFault(line=source.line_of(loc), field=field_text(loc), message=message)
            for loc, message in dict.fromkeys(err.problems)
        ]
        return [], faults[:MOST_FAULTS]


def parse_profiles(text: str, path: Path) -> list[Profile]:
    """The profiles of a file of the shipped catalogue, quickly; errors as `load_profile_file` gives them."""
    try:
        return _profiles(yaml.load(text, _FastLoader))
    except (_WrongError, yaml.YAMLError):
        return _checked(yaml_lines.parse(text, path))


def _checked(source: yaml_lines.Source) -> list[Profile]:
    try:
        return _profiles(source.data)
    except _WrongError as err:
        lines = [source.complaint(loc, message) for loc, message in err.problems]
        field = field_text(err.problems[0][0])
        raise BadInputError("\n".join(dict.fromkeys(lines)), field=field) from err


def _profiles(data: Any) -> list[Profile]:
    if not isinstance(data, dict):
        raise _WrongError([((), "a profile is a mapping with brand, type, points and models")])
    try:
        family = FamilyFile.model_validate(_filled(data))
    except ValidationError as err:
        raise _WrongError(problems_in(err)) from err
    return [_profile(family, index, entry) for index, entry in enumerate(family.models)]


def _filled(data: Mapping[str, Any]) -> dict[str, Any]:
    """The file's data with `defaults` and `invalid` written into each point."""
    rest = {key: value for key, value in data.items() if key not in ("defaults", "invalid")}
    try:
        defaults = Defaults.model_validate(data.get("defaults") or {}).model_dump(exclude_none=True)
    except ValidationError as err:
        raise _WrongError([(("defaults", *loc), message) for loc, message in problems_in(err)]) from err
    invalid = _invalid(data.get("invalid") or {})
    rest["points"] = _fill_points(data.get("points", []), defaults, invalid)
    if isinstance(models := data.get("models"), list):
        rest["models"] = [
            {**entry, "points": _fill_points(entry.get("points", []), defaults, invalid)}
            if isinstance(entry, dict)
            else entry
            for entry in models
        ]
    return rest


def _invalid(markers: Any) -> dict[str, list[int]]:
    if not isinstance(markers, dict) or not all(isinstance(each, list) for each in markers.values()):
        raise _WrongError([(("invalid",), "is a mapping of types to lists of raw values")])
    for name in markers:
        if name not in REGISTERS_OF:
            raise _WrongError([(("invalid", str(name)), f"is not a type: one of {', '.join(REGISTERS_OF)}")])
    return markers


def _fill_points(points: Any, defaults: Mapping[str, Any], invalid: Mapping[str, list[int]]) -> Any:
    if not isinstance(points, list):
        return points
    return [_fill(point, defaults, invalid) if isinstance(point, dict) else point for point in points]


def _fill(
    point: dict[str, Any], defaults: Mapping[str, Any], invalid: Mapping[str, list[int]]
) -> dict[str, Any]:
    filled = {**defaults, **point}
    markers = invalid.get(str(filled.get("type")))
    if markers and "invalid" not in filled:
        filled["invalid"] = markers
    return filled


def _profile(family: FamilyFile, index: int, entry: ModelEntry) -> Profile:
    limits = entry.limits or family.limits
    placed = _points_of(family, index, entry)
    _check_points(placed, limits)
    try:
        profile = Profile(
            id=f"{family.brand}/{entry.id}",
            type=family.type,
            brand=family.brand_name,
            device_class=entry.device_class or family.device_class,
            series=entry.series or family.series,
            model=entry.model,
            protocols=entry.protocol or family.protocol,
            source=entry.source or family.source,
            native=family.native,
            serial=entry.serial or family.serial,
            timing=entry.timing or family.timing,
            limits=limits,
            probe=entry.probe or family.probe,
            sunspec=entry.sunspec or family.sunspec,
            points=tuple(point for _, point in placed),
            commands=_commands_of(family, index, entry),
            assignment=family.assignment,
            secondaries=family.secondaries,
        )
    except ValidationError as err:
        raise _WrongError([(("models", index), message) for _, message in problems_in(err)]) from err
    return shown(profile)


def _points_of(family: FamilyFile, index: int, entry: ModelEntry) -> list[Placed]:
    """The family's points without what the model drops or replaces, then the model's own."""
    own: list[Placed] = [(("models", index, "points", at), point) for at, point in enumerate(entry.points)]
    seen: set[str] = set()
    for loc, point in [*((("points", at), point) for at, point in enumerate(family.points)), *own]:
        key = f"{loc[0]}/{point.metric}"
        if key in seen:
            raise _WrongError([((*loc, "metric"), f"{point.metric!r} is given twice")])
        seen.add(key)
    known = {point.metric for point in family.points}
    for at, metric in enumerate(entry.drop):
        if metric not in known:
            raise _WrongError([(("models", index, "drop", at), f"{metric!r} is not a point of the family")])
    gone = {*entry.drop, *(point.metric for _, point in own)}
    shared: list[Placed] = [
        (("points", at), point) for at, point in enumerate(family.points) if point.metric not in gone
    ]
    return shared + own


def _check_points(placed: list[Placed], limits: Limits) -> None:
    problems = [(loc, problem) for loc, point in placed if (problem := _unreadable(point, limits))]
    ordered = sorted(placed, key=lambda each: (each[1].function, each[1].address, each[1].registers))
    widest: Point | None = None
    for loc, point in ordered:
        if widest is not None and _overlaps(widest, point):
            problems.append(((*loc, "address"), f"{point.metric} overlaps {widest.metric}"))
        if widest is None or widest.function != point.function or point.end > widest.end:
            widest = point
    if problems:
        raise _WrongError(problems)


def _overlaps(before: Point, after: Point) -> bool:
    """Whether two points share a part of their registers; the very same registers may be read twice."""
    same = (before.address, before.registers) == (after.address, after.registers)
    return before.function == after.function and after.address < before.end and not same


def _unreadable(point: Point, limits: Limits) -> str | None:
    start, end = point.span
    if end - start > limits.max_block and point.function in (3, 4):
        return f"{point.metric} needs {end - start} registers; a read holds {limits.max_block}"
    if any(first < end and start <= last for first, last in limits.unreadable):
        return f"{point.metric} lies in an unreadable range"
    if any(start < barrier < end for barrier in limits.barriers):
        return f"{point.metric} crosses a barrier"
    return None


def _commands_of(family: FamilyFile, index: int, entry: ModelEntry) -> tuple[Any, ...]:
    known = {command.name for command in family.commands}
    for at, name in enumerate(entry.drop_commands):
        if name not in known:
            raise _WrongError(
                [(("models", index, "drop_commands", at), f"{name!r} is not a command of the family")]
            )
    own = {command.name for command in entry.commands}
    shared = (
        each for each in family.commands if each.name not in own and each.name not in entry.drop_commands
    )
    return (*shared, *entry.commands)
