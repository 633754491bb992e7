"""Whether the models that a configuration names can be read: bus-reader's catalogue is asked, while it can be."""

from collections.abc import Iterator
from typing import Final

from ccm_api.deps import Site
from ccm_contracts.config.document import Document, Problem, beyond_wifi, meters_alone
from ccm_contracts.verb_table import CATALOG
from ccm_contracts.verbs.bus_reader import CatalogQuery
from ccm_kit.errors import CcmError, RefusedError

MOST_ASKED: Final = 50
"""Models asked for at one change; of the others bus-reader tells by an event."""


async def problems_of_models(site: Site, old: Document, new: Document) -> list[Problem]:
    """What `new` names that `old` did not: models that do not exist, secondary devices behind what has none, meters at
    one unit with nothing that could speak for them, native devices beyond what WiFi carries.
    """
    if old.devices == new.devices:
        return []
    natives: set[str] = set()
    wrong: dict[str, str] = {}
    most_behind: dict[str, int] = {}
    meters: set[str] = set()
    for model in sorted({device.model for device in new.devices})[:MOST_ASKED]:
        try:
            found = await site.bus.call(CATALOG, CatalogQuery(model=model), issued_by="api")
        except RefusedError as err:
            wrong[model] = err.message
        except CcmError:  # it does not run: it reads no device either, and tells when it starts
            return []
        else:
            natives |= {each.id for each in found.models if each.native}
            meters |= {each.id for each in found.models if each.type == "meter"}
            most_behind |= {each.id: each.secondaries for each in found.models}
    return [
        *_unknown(old, new, wrong),
        *_behind(old, new, most_behind),
        *_alone(old, new, meters),
        *_beyond(old, new, natives),
    ]


def _unknown(old: Document, new: Document, wrong: dict[str, str]) -> Iterator[Problem]:
    known = {(device.id, device.model) for device in old.devices}
    for index, device in enumerate(new.devices):
        if device.model in wrong and (device.id, device.model) not in known:
            yield Problem(("devices", index, "model"), wrong[device.model])


def _behind(old: Document, new: Document, most_behind: dict[str, int]) -> Iterator[Problem]:
    known = {(device.id, device.secondary) for device in old.devices}
    models = {device.id: device.model for device in new.devices}
    for index, device in enumerate(new.devices):
        if device.secondary is None or (device.id, device.secondary) in known:
            continue
        model = models.get(device.secondary.via, "")
        most = most_behind.get(model, device.secondary.index)
        if device.secondary.index > most:
            has = f"at most {most}" if most else "no"
            field = "index" if most else "via"
            yield Problem(("devices", index, "secondary", field), f"{model} has {has} secondary devices")


def _alone(old: Document, new: Document, meters: set[str]) -> Iterator[Problem]:
    known = {problem.message for problem in meters_alone(old, meters)}
    yield from (problem for problem in meters_alone(new, meters) if problem.message not in known)


def _beyond(old: Document, new: Document, natives: set[str]) -> Iterator[Problem]:
    if not list(beyond_wifi(old, natives)):
        yield from beyond_wifi(new, natives)
