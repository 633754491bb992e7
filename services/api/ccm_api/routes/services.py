"""The services' settings under the portal's menu names, and the test of settings before they are saved.

`GET` and `PUT` are the sections of the configuration by another path: same body, same ETag.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body

from ccm_api.deps import AdminDep, Site, SiteDep, ViewerDep, command
from ccm_api.masks import kept
from ccm_api.routes.section_paths import SectionPath, serve
from ccm_api.sections import parsed
from ccm_contracts.config.document import SECTIONS
from ccm_contracts.config.modbus import ModbusServer
from ccm_contracts.config.services import Mqtt
from ccm_contracts.state import ModbusServerState
from ccm_contracts.verb_table import MQTT_TEST
from ccm_contracts.verbs.uplink import LinkTest, LinkTestReport

router = APIRouter(prefix="/services", tags=["configuration"])

_EXAMPLE: Final = {
    "enabled": True,
    "host": "mqtts://broker.example",
    "port": 8883,
    "user": "gw",
    "password": "********",
}
Section = Annotated[Any, Body(examples=[_EXAMPLE])]


serve(
    router,
    SectionPath(
        "/mqtt",
        "mqtt",
        Mqtt,
        (
            "The MQTT service",
            "The section `mqtt` of the configuration; its `ETag` is what `PUT` wants in `If-Match`.",
        ),
        ("Change the MQTT service", "A secret sent as `********` stays as it is. Takes effect at once."),
        _EXAMPLE,
    ),
)
serve(
    router,
    SectionPath(
        "/modbus",
        "modbus_server",
        ModbusServer,
        (
            "The Modbus server",
            "The section `modbus_server` of the configuration; its `ETag` is what `PUT` wants in `If-Match`.",
        ),
        ("Change the Modbus server", "Takes effect at once; connected clients are hung up."),
        {"enabled": True, "port": 1502, "line": "ext"},
    ),
)


@router.post("/mqtt/test", summary="Try MQTT settings without saving them")
async def test_mqtt(body: Section, site: SiteDep, who: AdminDep) -> LinkTestReport:
    """Name, TCP, TLS, credentials, permission to publish and to subscribe: each step with what to do when it fails.

    A secret sent as `********` means the stored one. Takes at most 15 s.
    """
    args = LinkTest(settings=candidate(site, "mqtt", body))
    return await command(site, MQTT_TEST, args, who=who, command_id=None)


def candidate(site: Site, section: str, body: Any) -> dict[str, Any]:
    """The settings to try, checked like those to be saved, their secrets sealed for the way over the bus."""
    value = kept(parsed(section, body), getattr(site.document, section), (section,))
    sealed: dict[str, Any] = SECTIONS[section].dump_python(
        value, mode="json", by_alias=True, context={"seal": site.box.seal}
    )
    return sealed


@router.get("/modbus/state", summary="Who is connected to the Modbus server")
async def modbus_state(site: SiteDep, _: ViewerDep) -> ModbusServerState:
    """Its clients, and how many requests were answered from polled values and on the lines."""
    return site.live.modbus.get("server", ModbusServerState(listening=False))
