"""Puts the MQTT link together: the sink, its commands, and what rides on its connection."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ccm_contracts.channels import CONFIG
from ccm_contracts.config.document import Document
from ccm_contracts.config.services import Mqtt
from ccm_contracts.messages import Command
from ccm_contracts.mqtt_topics import CONFIG_READ
from ccm_contracts.verb_table import MQTT_TEST, SEND_NOW
from ccm_contracts.verbs.uplink import (
    ConfigRead,
    ConfigSection,
    LinkTest,
    LinkTestReport,
    SendNow,
    SendNowDone,
)
from ccm_kit.bus import Answer, Bus
from ccm_kit.errors import BadInputError, RefusedError
from ccm_kit.problems import field_text, problems_in
from ccm_kit.service import Context
from ccm_uplink.commands import Commands, Offer
from ccm_uplink.sinks.base import Discard, Sink, Unusable
from ccm_uplink.sinks.mqtt_place import Place
from ccm_uplink.sinks.mqtt_recent import Recent

SendAll = Callable[[], int]
"""Releases what waits for the end of its latency slot; how many messages that are."""

Offers = Mapping[tuple[str, str], Offer]


@dataclass
class MqttInForce:
    """The settings that were applied last."""

    settings: Mqtt = field(default_factory=Mqtt)


class Off(Discard):
    """A link that is switched off: what its broker confirmed last is not asked for again."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent

    async def run(self) -> None:
        await self._recent.settle_all()


def mqtt_sink(settings: Mqtt, context: Context, place: Place, send_now: SendAll, others: Offers) -> Sink:
    """The sink that these settings ask for; `others` is what other links of uplink do on command."""
    if not settings.enabled:
        return Off(place.recent)
    try:
        settings = settings.at(context.settings.default_broker)
    except ValueError as err:
        return Unusable(place.report, str(err))
    from ccm_uplink.mqtt_companions import companions
    from ccm_uplink.sinks.mqtt import MqttSink  # a gateway without a broker does without its memory

    offers = {**_own_offers(context.bus, send_now), **others}
    return MqttSink(
        settings,
        place,
        commands=Commands(context.bus, "mqtt", settings.allow, offers),
        companions=companions(settings, context, place.report),
    )


def _own_offers(bus: Bus, send_now: SendAll) -> dict[tuple[str, str], Offer]:
    async def read(command: Command[ConfigRead]) -> ConfigSection:
        return await config_section(bus, command.args.section)

    async def send(_: Command[SendNow]) -> SendNowDone:
        return SendNowDone(released=send_now())

    return {
        (CONFIG_READ.service, CONFIG_READ.verb): Offer("config", ConfigRead, read),
        ("uplink", "send-now"): Offer("send", SendNow, send),
    }


def mqtt_answers(
    context: Context, stored: Callable[[], Mqtt], send_now: SendAll
) -> tuple[Answer[Any, Any], ...]:
    """What this link answers on the bus; `stored` are the settings in force."""

    async def test(args: LinkTest, _: Command[LinkTest]) -> LinkTestReport:
        from ccm_uplink.sinks.mqtt_probe import try_settings

        return await try_settings(_candidate(args, context, stored()), context.bus.gateway)

    async def send(_: SendNow, __: Command[SendNow]) -> SendNowDone:
        return SendNowDone(released=send_now())

    return Answer(MQTT_TEST, test), Answer(SEND_NOW, send)


def _candidate(args: LinkTest, context: Context, stored: Mqtt) -> Mqtt:
    """Raises `BadInputError` with the field at fault."""
    try:
        settings = Mqtt.model_validate(args.settings, context={"unseal": context.box.unseal})
        settings = settings.at(context.settings.default_broker)
    except ValidationError as err:
        loc, reason = problems_in(err)[0]
        raise BadInputError(reason, field=field_text(("settings", *loc))) from err
    except ValueError as err:
        raise BadInputError(str(err), field="settings.broker") from err
    tls = settings.tls
    if tls.client_key.is_mask:
        tls = tls.model_copy(update={"client_key": stored.tls.client_key})
    password = stored.password if settings.password.is_mask else settings.password
    return settings.model_copy(update={"password": password, "tls": tls})


async def config_section(bus: Bus, section: str) -> ConfigSection:
    """As stored, secrets masked. Raises `RefusedError`; accounts are not shown outside the gateway."""
    channel = CONFIG.get(section)
    if channel is None or section == "security":
        raise RefusedError(f"there is no section {section!r} to read", code="not-found", field="args.section")
    value: Any = getattr(Document(), section)
    revision = 0
    async with aclosing(bus.follow(channel)) as stored:  # type: ignore[type-var]
        async for seen in stored:
            if seen.message is not None:
                value, revision = seen.message, seen.revision
            if seen.caught_up:
                break
    shown = channel.adapter.dump_python(value, mode="json", by_alias=True)
    return ConfigSection(section=section, revision=revision, value=shown)
