"""Commands that come in over an uplink: checked, passed to their service, and answered. Does not know MQTT."""

import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from ccm_contracts.config.services import Permission
from ccm_contracts.messages import Command, Failure, Result
from ccm_contracts.mqtt_topics import COMMANDABLE
from ccm_contracts.types import Frozen
from ccm_contracts.verb_table import Verb
from ccm_kit.bus import Bus
from ccm_kit.errors import BadInputError, CcmError, RefusedError
from ccm_kit.problems import field_text, problems_in

log = logging.getLogger(__name__)

LONGEST: Final = 16 * 1024
"""Bytes of a command; a longer one is refused unread."""

AT_ONCE: Final = 8
"""Commands that run at the same time; one more is refused as busy."""

Act = Callable[[Command[Any]], Awaitable[Frozen]]


@dataclass(frozen=True, slots=True)
class Offer:
    """What may be commanded from outside: the permission it needs, its arguments, and who does it."""

    permission: Permission
    args: type[Frozen]
    act: Act


@dataclass(frozen=True, slots=True)
class Reply:
    """`command_id` is "" when the command had none that could be read."""

    command_id: str
    payload: bytes


class Commands:
    """Answers commands of one uplink; `issuer` names it to the services and in the audit."""

    def __init__(
        self, bus: Bus, issuer: str, allow: Collection[Permission], own: Mapping[tuple[str, str], Offer]
    ) -> None:
        """`own`: what uplink itself does, by service and verb, beside the verbs of the table of channels."""
        self._bus = bus
        self._issuer = issuer
        self._allow = frozenset(allow)
        self._offers = {**_offers_of(bus), **own}
        self._running = 0

    async def answer(
        self, target: tuple[str, str] | None, payload: bytes, *, where: str, is_retained: bool = False
    ) -> Reply:
        """Pass on a command for `target` (service, verb; None: its topic names none); `where` is its topic.

        A retained one is refused: it would act again at each connection.
        """
        command_id = ""
        try:
            fields = _fields(payload)
            command_id = _usable_id(fields)
            if is_retained:
                raise BadInputError("a command must not be retained", code="retained")
            offer = self._offer(target)
            command = _command(offer, fields, self._issuer)
            result = await self._act(offer, command)
        except BadInputError as err:
            self._bus.reject(where, payload, err.message, err.field)
            return _failed(command_id, err)
        except CcmError as err:
            log.info("command refused", extra={"topic": where, "code": err.code, "error": err.message})
            return _failed(command_id, err)
        return Reply(command_id, _result_of(command_id, result))

    def _offer(self, target: tuple[str, str] | None) -> Offer:
        if target is None:
            raise BadInputError("a command's topic ends in command/{service}/{verb}", code="unknown-verb")
        offer = self._offers.get(target)
        if offer is None:
            raise BadInputError(f"{target[0]}/{target[1]} cannot be commanded from here", code="unknown-verb")
        if offer.permission not in self._allow:
            text = f"the settings of this gateway do not allow {offer.permission} over {self._issuer}"
            raise RefusedError(text, code="forbidden")
        return offer

    async def _act(self, offer: Offer, command: Command[Any]) -> Frozen:
        if self._running >= AT_ONCE:
            raise CcmError("too many commands at once", code="busy")
        if command.deadline is not None and command.deadline < self._bus.clock.now():
            raise RefusedError("its deadline has passed", code="expired")
        self._running += 1
        try:
            return await offer.act(command)
        finally:
            self._running -= 1


def _offers_of(bus: Bus) -> dict[tuple[str, str], Offer]:
    """The verbs that the table of channels lets uplink call."""
    return {
        (verb.service, verb.verb): Offer(permission, verb.args, _passed_on(bus, verb))
        for verb, permission in COMMANDABLE.items()
    }


def _passed_on(bus: Bus, verb: Verb[Any, Any]) -> Act:
    async def act(command: Command[Any]) -> Any:
        return await bus.call(
            verb,
            command.args,
            issued_by=command.issued_by,
            command_id=command.command_id,
            deadline=command.deadline,
        )

    return act


def _result_of(command_id: str, result: Frozen) -> bytes:
    model: Any = Result[type(result)]  # type: ignore[misc]
    done: Result[Frozen] = model(command_id=command_id, ok=True, result=result)
    return done.model_dump_json(by_alias=True).encode()


def _fields(payload: bytes) -> dict[str, Any]:
    if len(payload) > LONGEST:
        raise BadInputError(f"a command has at most {LONGEST} bytes", code="malformed")
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as err:
        raise BadInputError("a command is a JSON object", code="malformed") from err
    if not isinstance(fields, dict):
        raise BadInputError("a command is a JSON object", code="malformed")
    return fields


def _usable_id(fields: dict[str, Any]) -> str:
    """The id, checked as the envelope does, before anything else: what is refused is answered under it."""
    try:
        return (
            Command[Frozen]
            .model_validate({**fields, "issued_by": "", "deadline": None, "args": {}})
            .command_id
        )
    except ValidationError as err:
        loc, reason = problems_in(err)[0]
        raise BadInputError(reason, code="malformed", field=field_text(loc) or None) from err


def _command(offer: Offer, fields: dict[str, Any], issuer: str) -> Command[Any]:
    """Checked. The arguments are in `args`, or beside `command_id`."""
    by = fields.get("issued_by")
    envelope = {
        "command_id": fields["command_id"],
        "issued_by": f"{issuer}:{by}"[:80] if isinstance(by, str) and by else issuer,
        "deadline": fields.get("deadline"),
        "args": fields.get("args", fields),
    }
    try:
        return Command[offer.args].model_validate_json(json.dumps(envelope))  # type: ignore[name-defined]
    except ValidationError as err:
        loc, reason = problems_in(err)[0]
        raise BadInputError(reason, code="malformed", field=field_text(loc) or None) from err


def _failed(command_id: str, err: CcmError) -> Reply:
    failure = Failure(code=err.code, message=err.message, field=err.field)
    result = Result[Frozen](command_id=command_id, ok=False, error=failure)
    return Reply(command_id, result.model_dump_json().encode())
