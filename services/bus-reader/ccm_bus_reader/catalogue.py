"""The catalogue: finds the profile of a model among the shipped files and the user's own.

A shipped file is parsed when one of its models is asked for; an index of names, read from the text, says which.
"""

import difflib
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from ccm_bus_reader.model import Profile
from ccm_bus_reader.profile_source import load_profile_file, parse_profiles
from ccm_kit.errors import BadInputError

MAX_USER_FILES = 500
"""Profiles of the user that are looked at; the rest is reported."""

MOST_KEPT: Final = 64
"""Shipped profiles that stay from one configuration to the next, of some 50 KB each: a device that is set up anew has
the same points, so that what was made ready for them (`decode.py`) is not made, and held, twice."""

_MODEL_LINE = re.compile(r"^  - \{?\s*id:\s*([a-z0-9][a-z0-9_.-]*)", re.MULTILINE)


class Catalog:
    """All models. `problems` says which of the user's files were left out and why."""

    def __init__(self, shipped: dict[str, Traversable], own: dict[str, Profile], problems: list[str]) -> None:
        self._shipped = shipped
        self._own = own
        self._found: dict[str, Profile] = {}
        self.problems = problems

    @property
    def ids(self) -> list[str]:
        """The name of every model, sorted; parses nothing."""
        return sorted({*self._shipped, *self._own})

    @property
    def built_in(self) -> Collection[str]:
        """The models that come with the package, also those that a file of the user stands in for."""
        return self._shipped.keys()

    def is_own(self, model_id: str) -> bool:
        """Whether its profile is the user's."""
        return model_id in self._own

    def find(self, model_id: str) -> Profile:
        """The profile of `brand/model`. Raises `BadInputError` that names the nearest models there are."""
        profile = self._own.get(model_id) or self._found.get(model_id)
        if profile is None:
            profile = self._found[model_id] = self._load(model_id)
        return profile

    def _load(self, model_id: str) -> Profile:
        file = self._shipped.get(model_id)
        profile = _shipped_profile(Path(str(file)), model_id) if file is not None else None
        if profile is not None:
            return profile
        raise BadInputError(
            f"{model_id!r} is not a model of the catalogue{self._hint(model_id)}", field="model"
        )

    def _hint(self, model_id: str) -> str:
        near = difflib.get_close_matches(model_id, self.ids, n=3, cutoff=0.6)
        if not near:
            brand = model_id.partition("/")[0]
            near = [known for known in self.ids if known.startswith(f"{brand}/")][:5]
        return f"; did you mean {' or '.join(near)}?" if near else "; see `ccmaster catalog list`"

    def models(self) -> list[Profile]:
        """Every profile by id. Parses all files and keeps none of them."""
        profiles = {profile.id: profile for profile in self._parse_all()} | self._own
        return [profiles[model_id] for model_id in sorted(profiles)]

    def _parse_all(self) -> Iterator[Profile]:
        for name, file in {str(file): file for file in self._shipped.values()}.items():
            yield from parse_profiles(file.read_text("utf-8"), Path(name))


@lru_cache(maxsize=MOST_KEPT)
def _shipped_profile(file: Path, model_id: str) -> Profile | None:
    return next((each for each in parse_profiles(file.read_text("utf-8"), file) if each.id == model_id), None)


def load_catalog(user_dir: Path | None = None) -> Catalog:
    """The shipped catalogue with the user's files (`*.yaml` under `user_dir`, at any depth) on top.

    A model of the user replaces the shipped one of the same name. A wrong file is left out and reported in
    `Catalog.problems`.
    """
    own, problems = _user_profiles(user_dir) if user_dir is not None else ({}, [])
    return Catalog(_index(), own, problems)


def shipped_files() -> list[Traversable]:
    """The family files that come with the package, by brand and name."""
    root = files("ccm_bus_reader") / "catalog"
    brands = sorted((each for each in root.iterdir() if each.is_dir()), key=lambda each: each.name)
    return [
        file
        for brand in brands
        for file in sorted(brand.iterdir(), key=lambda each: each.name)
        if file.name.endswith(".yaml")
    ]


def _index() -> dict[str, Traversable]:
    index: dict[str, Traversable] = {}
    for file in shipped_files():
        brand = Path(str(file)).parent.name
        for match in _MODEL_LINE.finditer(file.read_text("utf-8")):
            index[f"{brand}/{match[1]}"] = file
    return index


def _user_profiles(user_dir: Path) -> tuple[dict[str, Profile], list[str]]:
    own: dict[str, Profile] = {}
    problems: list[str] = []
    paths = sorted(path for path in user_dir.rglob("*.y*ml") if path.is_file())
    if len(paths) > MAX_USER_FILES:
        problems.append(f"{user_dir}: has {len(paths)} files; only {MAX_USER_FILES} are read")
    for path in paths[:MAX_USER_FILES]:
        try:
            profiles = load_profile_file(path)
        except BadInputError as err:
            problems.append(err.message)
            continue
        for profile in profiles:
            if profile.id in own:
                problems.append(f"{path}: {profile.id} is defined by another file too; the first one counts")
            else:
                own[profile.id] = profile
    return own, problems
