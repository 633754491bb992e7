"""Devices, their newest values, and commands to them."""

from fastapi import APIRouter, Response

from ccm_api.deps import AuditDep, CommandIdDep, OperatorDep, Site, SiteDep, ViewerDep, command
from ccm_api.freshness import age_s, limit_s, quality_of
from ccm_api.problems import ProblemError, not_found
from ccm_api.sections import etag_of
from ccm_api.shapes import DeviceCommandBody, DeviceData, DeviceList, DeviceView, Measured
from ccm_contracts.config.field import Device
from ccm_contracts.messages import Value
from ccm_contracts.metrics import METRICS
from ccm_contracts.verb_table import DEVICE_COMMAND
from ccm_contracts.verbs.bus_reader import DeviceCommand, DeviceCommandDone

router = APIRouter(prefix="/devices", tags=["devices"])


@router.get("", summary="All devices")
async def devices(site: SiteDep, _: ViewerDep, response: Response) -> DeviceList:
    """The `ETag` is that of the configuration's section `devices`."""
    response.headers["etag"] = etag_of(site.snapshot.revisions.get("devices", 0))
    return DeviceList(devices=[_view(site, device) for device in site.document.devices])


@router.get("/{device}", summary="One device")
async def one_device(device: str, site: SiteDep, _: ViewerDep, response: Response) -> DeviceView:
    """Its `ETag` is what `PATCH` and `DELETE` want in `If-Match`."""
    response.headers["etag"] = etag_of(site.snapshot.revisions.get("devices", 0))
    return _view(site, _configured(site, device))


@router.get("/{device}/data", summary="A device's newest values")
async def data(device: str, site: SiteDep, _: ViewerDep) -> DeviceData:
    """Each metric with its unit. 503 while nothing was read from the device yet."""
    configured = _configured(site, device)
    reading = site.live.readings.get(device)
    if reading is None:
        state = site.live.devices.get(device)
        why = f": {state.error}" if state and state.error else ""
        raise ProblemError(503, "no-reading", f"nothing was read from {device} yet{why}")
    age = age_s(reading.ts, site.clock.now())
    return DeviceData(
        device=device,
        ts=reading.ts,
        quality=quality_of(reading.quality, age=age, limit=limit_s(configured.poll_s)),
        age_s=age,
        values={name: _measured(name, value) for name, value in reading.values.items()},
    )


@router.post("/{device}/commands", summary="Write one point of a device")
async def send_command(
    device: str,
    body: DeviceCommandBody,
    site: SiteDep,
    who: OperatorDep,
    audit: AuditDep,
    command_id: CommandIdDep = None,
) -> DeviceCommandDone:
    """Answers the value that the device holds afterwards, read back."""
    _configured(site, device)
    args = DeviceCommand(device=device, name=body.name, value=body.value, broadcast=body.broadcast)
    done = await command(site, DEVICE_COMMAND, args, who=who, command_id=command_id)
    text = f"set {body.name} of {device} to {done.value:g}"
    audit.note("device-command", text, device=device, name=body.name, value=done.value)
    return done


def _configured(site: Site, device: str) -> Device:
    for each in site.document.devices:
        if each.id == device:
            return each
    raise not_found("device", device)


def _measured(name: str, value: Value) -> Measured:
    metric = METRICS.get(name)
    return Measured(value=value, unit=metric.unit if metric else "", label=metric.label if metric else name)


def _view(site: Site, device: Device) -> DeviceView:
    state = site.live.devices.get(device.id)
    reading = site.live.readings.get(device.id)
    quality = None
    if reading is not None:
        age = age_s(reading.ts, site.clock.now())
        quality = quality_of(reading.quality, age=age, limit=limit_s(device.poll_s))
    return DeviceView(
        id=device.id,
        alias=device.alias,
        model=device.model,
        line=device.line,
        port=device.port,
        host=device.host,
        tcp_port=device.tcp_port if device.host else None,
        unit=device.unit,
        poll_s=device.poll_s,
        direction=device.direction,
        enabled=device.enabled,
        online=state.online if state else False,
        state=state,
        ts=reading.ts if reading else None,
        quality=quality,
        serial=device.serial,
        secondary=device.secondary,
    )
