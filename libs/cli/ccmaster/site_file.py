"""A site file: read, checked against schema, catalogue and host; every fault with file, line and field."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ccm_contracts.config.document import SECTIONS, Document, beyond_wifi, meters_alone, problems_of
from ccm_kit.errors import BadInputError
from ccm_kit.problems import Loc, problems_in
from ccm_kit.yaml_lines import Source, load


class SiteFile:
    """A parsed and sound site file. `sections` are those that the file names."""

    def __init__(self, source: Source, document: Document) -> None:
        self.source = source
        self.document = document
        self.sections = [name for name in SECTIONS if name in source.data]


def read_site_file(path: Path, *, user_catalog: Path | None, check_paths: bool) -> SiteFile:
    """Raises `BadInputError` whose text has one line a fault: `file:line: field: what to do`.

    `check_paths`: serial devices must exist on this host.
    """
    source = load(path)
    if source.data is None:
        source = Source(path, {}, source.lines)
    if not isinstance(source.data, dict):
        raise BadInputError(f"{path}:1: must be a document with sections such as ports: and devices:")
    try:
        document = Document.model_validate(source.data, extra="forbid")
    except ValidationError as err:
        raise _complaints(source, problems_in(err)) from err
    found: list[tuple[Loc, str]] = [(problem.loc, problem.message) for problem in problems_of(document)]
    found += _unknown_models(document, user_catalog)
    if check_paths:
        found += _missing_paths(document)
    if found:
        raise _complaints(source, found)
    return SiteFile(source, document)


def _complaints(source: Source, found: list[tuple[Loc, str]]) -> BadInputError:
    ordered = sorted(found, key=lambda each: source.line_of(each[0]))
    return BadInputError("\n".join(source.complaint(loc, message) for loc, message in ordered))


def _unknown_models(document: Document, user_catalog: Path | None) -> list[tuple[Loc, str]]:
    from ccm_bus_reader.catalogue import load_catalog
    from ccm_bus_reader.secondary import behind

    catalog = load_catalog(user_catalog)
    found: list[tuple[Loc, str]] = []
    natives: set[str] = set()
    meters: set[str] = set()
    by_id = {device.id: device for device in document.devices}
    for index, device in enumerate(document.devices):
        try:
            profile = catalog.find(device.model)
        except BadInputError as err:
            found.append((("devices", index, "model"), err.message))
            continue
        natives |= {profile.id} if profile.native else set()
        meters |= {profile.id} if profile.type == "meter" else set()
        principal = by_id.get(device.secondary.via) if device.secondary else None
        if device.secondary is not None and principal is not None and principal.model in catalog.ids:
            try:
                behind(profile, catalog.find(principal.model), device.secondary.index)
            except BadInputError as err:
                found.append((("devices", index, "secondary"), err.message))
    found += [(problem.loc, problem.message) for problem in meters_alone(document, meters)]
    if not list(beyond_wifi(document, ())):  # told already
        found += [(problem.loc, problem.message) for problem in beyond_wifi(document, natives)]
    return found


def _missing_paths(document: Document) -> list[tuple[Loc, str]]:
    return [
        (("ports", index, "path"), f"there is no {port.path} on this machine; is the adapter plugged in?")
        for index, port in enumerate(document.ports)
        if port.path is not None and not Path(port.path).exists()
    ]


def masked(document: Document) -> dict[str, Any]:
    """The document for people and files: secrets as `********`."""
    return document.model_dump(mode="json", by_alias=True)
