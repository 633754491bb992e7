"""Adds devices that synchronisation gave a unit to the configuration, which only this service writes.

Every device that the mode's state names without an id is added once, whoever changes the section meanwhile; a serial
number that is configured already gets its unit there. What the owner removes later does not come back: bus-reader has
seen it configured.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from ccm_api.deps import Site
from ccm_contracts.channels import MODE_STATE
from ccm_contracts.config.document import problems_of
from ccm_contracts.config.field import Device
from ccm_contracts.state import Assigned
from ccm_kit.backoff import Backoff
from ccm_kit.errors import CcmError

log = logging.getLogger(__name__)

TRIES: Final = 8
"""Against others who change the devices at the same time, and while the bus is away."""
POLL_S: Final = 1.0
"""Interval of a native device that was added."""


async def adopt(site: Site) -> None:
    """For ever."""
    async for seen in site.bus.follow(MODE_STATE):
        waiting = [each for each in seen.message.devices if each.device is None] if seen.message else []
        if waiting:
            await _add(site, waiting)


async def _add(site: Site, waiting: Sequence[Assigned]) -> None:
    backoff = Backoff()
    why = ""
    for _ in range(TRIES):
        try:
            if await _written(site, waiting):
                return
        except CcmError as err:  # changed meanwhile, or the bus is away
            why = err.message
        await asyncio.sleep(backoff.next())
    text = f"devices that got a unit could not be added to the configuration: {why}"
    log.error("devices not added", extra={"error": why})
    site.bus.event("devices-not-added", "error", text, units=[each.unit for each in waiting])


async def _written(site: Site, waiting: Sequence[Assigned]) -> bool:
    """Whether the devices are in the configuration now. Raises `CcmError` when somebody was faster."""
    snapshot = site.snapshot
    before = snapshot.document.devices
    after = with_assigned(before, waiting)
    if after == before:
        return True
    old = {each.message for each in problems_of(snapshot.document)}
    changed = snapshot.document.model_copy(update={"devices": after})
    problem = next((each for each in problems_of(changed) if each.message not in old), None)
    if problem is not None:
        site.bus.event("devices-not-added", "error", f"{problem.field}: {problem.message}")
        return True
    revision = snapshot.revisions.get("devices", 0)
    stored = await site.bus.write_config("devices", after, seal=site.box.seal, revision=revision)
    await site.live.applied("devices", stored)
    fresh = [device for device in after if device not in before]
    for device in fresh:
        text = f"added {device.id}: {device.model} {device.serial}, unit {device.unit} on {device.port}"
        site.bus.event("device-added", "info", text, device=device.id, unit=device.unit, serial=device.serial)
    return True


def with_assigned(devices: Sequence[Device], assigned: Iterable[Assigned]) -> list[Device]:
    """The section with these devices: new ones at its end, known ones (by serial number) at their unit. Pure."""
    after = list(devices)
    for each in assigned:
        known = next((device for device in after if device.serial == each.serial), None)
        if known is not None:
            place = {"port": each.line, "host": None, "unit": each.unit}
            after = [
                device.model_copy(update=place) if known.id in (device.id, _principal_of(device)) else device
                for device in after
            ]
            continue
        there = next(
            (d for d in after if (d.port, d.unit) == (each.line, each.unit) and not d.secondary), None
        )
        if there is not None:
            after[after.index(there)] = there.model_copy(update={"serial": each.serial})
        else:
            after.append(_device(each, {device.id for device in after}))
    return after


def _principal_of(device: Device) -> str | None:
    return device.secondary.via if device.secondary else None


def _device(assigned: Assigned, taken: set[str]) -> Device:
    slug = "".join(c if c.isalnum() else "-" for c in f"ccm-{assigned.serial}".lower())[:40]
    name = slug if slug not in taken else f"{assigned.line[:30]}-{assigned.unit}"
    return Device(
        id=name,
        port=assigned.line,
        model=assigned.model,
        unit=assigned.unit,
        alias=f"CcM {assigned.serial}"[:60],
        poll_s=POLL_S,
        serial=assigned.serial,
    )
