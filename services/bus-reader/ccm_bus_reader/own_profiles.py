"""The site's own device profiles: checked, stored, listed and removed as files under the user's catalogue.

Uploaded ones lie in a folder of their own there; what somebody laid beside it by hand is listed, and never touched.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ccm_bus_reader.catalogue import Catalog
from ccm_bus_reader.model import Profile
from ccm_bus_reader.profile_source import faults_of
from ccm_contracts.verbs.profiles import (
    MOST_FAULTS,
    MOST_UPLOADED,
    ProfileFault,
    ProfileInfo,
    ProfileList,
    ProfilePut,
    ProfilePutDone,
    ProfileQuery,
    ProfileRemove,
)
from ccm_kit import yaml_lines
from ccm_kit.errors import RefusedError, UnavailableError
from ccm_kit.problems import field_text

FOLDER: Final = "uploaded"
MOST_LISTED: Final = 500
"""Files in an answer."""


class OwnProfiles:
    """The files under `root`. Blocking: call it in a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / FOLDER

    def listed(self, args: ProfileQuery, built_in: Collection[str]) -> ProfileList:
        """All files, or one with its text. Raises `RefusedError` (`not-found`)."""
        if args.name is not None:
            text = self._text(args.name)
            return ProfileList(profiles=[self._info(self._file(args.name), text, built_in)], text=text)
        paths = sorted(path for path in self._root.rglob("*.y*ml") if path.is_file())
        return ProfileList(profiles=[self._info(path, _read(path), built_in) for path in paths[:MOST_LISTED]])

    def put(self, args: ProfilePut, catalog: Catalog) -> ProfilePutDone:
        """Store it, unless something is wrong with it.

        Raises `RefusedError` (`profile-exists`, `changed-meanwhile`, `too-many`), and `UnavailableError` when the disk
        is full.
        """
        file = self._file(args.name)
        self._check_tag(file, args.tag)
        profiles, faults = faults_of(args.text, file.name)
        if not faults:
            clashes = _clashes(profiles, self._others(file), () if args.override else catalog.built_in)
            faults = _placed(clashes, args.text, file)
        if faults:
            return ProfilePutDone(faults=faults)
        if not file.exists() and len(list(self._folder.glob("*.yaml"))) >= MOST_UPLOADED:
            raise RefusedError(f"there are {MOST_UPLOADED} profiles: remove one first", code="too-many")
        try:
            _written(file, args.text)
        except OSError as err:
            raise UnavailableError(f"the profile cannot be stored: {err.strerror}", code="disk") from err
        return ProfilePutDone(profile=self._info(file, args.text, catalog.built_in))

    def remove(self, args: ProfileRemove, catalog: Catalog, used: Iterable[tuple[str, str]]) -> None:
        """`used`: device and model of the configuration.

        Raises `RefusedError`: `not-found`, `changed-meanwhile`, `in-use` while a device has no other profile.
        """
        self._check_tag(self._file(args.name), args.tag)
        profiles, _ = faults_of(self._text(args.name), args.name)
        gone = {profile.id for profile in profiles} - set(catalog.built_in)
        needed = [f"{device} ({model})" for device, model in used if model in gone]
        if needed:
            raise RefusedError(f"is needed by {', '.join(needed[:5])}: remove that first", code="in-use")
        self._file(args.name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.yaml"

    def _text(self, name: str) -> str:
        try:
            return self._file(name).read_text("utf-8")
        except FileNotFoundError as err:
            raise RefusedError(f"there is no profile {name}", code="not-found", field="name") from err

    def _check_tag(self, file: Path, tag: str | None) -> None:
        there = _tag_of(_read(file)) if file.exists() else None
        if there is None and tag is not None:
            raise RefusedError(f"there is no profile {file.stem} any more", code="changed-meanwhile")
        if there is not None and tag is None:
            raise RefusedError(f"there is a profile {file.stem} already", code="profile-exists")
        if tag not in (there, "*"):
            raise RefusedError(f"{file.stem} was changed meanwhile: read it again", code="changed-meanwhile")

    def _others(self, file: Path) -> dict[str, str]:
        """Models of the other files, and where they are."""
        found: dict[str, str] = {}
        for path in self._root.rglob("*.y*ml"):
            if path != file and path.is_file():
                for profile in faults_of(_read(path), path.name)[0]:
                    found.setdefault(profile.id, str(path.relative_to(self._root)))
        return found

    def _info(self, path: Path, text: str, built_in: Collection[str]) -> ProfileInfo:
        profiles, faults = faults_of(text, path.name)
        models = [profile.id for profile in profiles]
        is_uploaded = path.parent == self._folder
        stat = path.stat()
        return ProfileInfo(
            file=str(path.relative_to(self._root)),
            name=path.stem if is_uploaded else None,
            tag=_tag_of(text) if is_uploaded else None,
            models=models,
            replaces=[model for model in models if model in built_in],
            fault=line_of(faults[0]) if faults else None,
            size=stat.st_size,
            ts=datetime.fromtimestamp(stat.st_mtime, UTC),
        )


def line_of(fault: ProfileFault) -> str:
    """`line 12: points[2].metric: what is wrong`."""
    return f"line {fault.line}: {fault.field + ': ' if fault.field else ''}{fault.message}"


def _clashes(
    profiles: Sequence[Profile], others: dict[str, str], built_in: Collection[str]
) -> Iterator[tuple[int, str]]:
    """The number of each model that cannot be had under its name, and why."""
    for index, profile in enumerate(profiles):
        if profile.id in others:
            yield index, f"{profile.id} is in {others[profile.id]} already"
        elif profile.id in built_in:
            yield (
                index,
                f"{profile.id} is a built-in model: rename it, or say that yours is to be used instead",
            )


def _placed(clashes: Iterable[tuple[int, str]], text: str, file: Path) -> list[ProfileFault]:
    source = yaml_lines.parse(text, file)
    places = [(("models", index, "id"), message) for index, message in clashes]
    return [
        ProfileFault(line=source.line_of(loc), field=field_text(loc), message=message)
        for loc, message in places[:MOST_FAULTS]
    ]


def _tag_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def _written(file: Path, text: str) -> None:
    """Survives a power cut: draft, fsync, rename, fsync of the directory."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
    handle = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
