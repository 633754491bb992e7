"""How a service answers the verbs that it owns: parsed, at most so many at once, a repeated command only once."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from ccm_contracts.messages import Command, Failure, Result
from ccm_contracts.types import Frozen
from ccm_contracts.verb_table import Verb
from ccm_kit.clock import Clock
from ccm_kit.errors import CcmError
from ccm_kit.idempotency import Answers
from ccm_kit.parsing import NotParsedError, not_valid

log = logging.getLogger(__name__)

A = TypeVar("A", bound=Frozen)
R = TypeVar("R", bound=Frozen)

MOST_AT_ONCE: Final = 32
"""Commands of one service that run at the same time; one more is refused as busy."""

Refused = Callable[[bytes, NotParsedError], None]
"""Told of a command that cannot be parsed."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[A, R]):
    """How a service answers one verb. `act` raises `CcmError` to refuse."""

    verb: Verb[A, R]
    act: Callable[[A, Command[A]], Awaitable[R]]


class Desk:
    """All commands of one service pass here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers = Answers(clock)
        self._running = 0

    def handler(self, answer: Answer[A, R], refused: Refused) -> Callable[[bytes], Awaitable[bytes]]:
        """From a request's bytes to the answer's."""
        model = Command[answer.verb.args]  # type: ignore[name-defined]

        async def handle(data: bytes) -> bytes:
            try:
                command = model.model_validate_json(data)
            except ValidationError as err:
                failure = not_valid(err)
                refused(data, failure)
                return _failed("", CcmError(str(failure), code="malformed", field=failure.field))
            return await self._handled(answer, command)

        return handle

    async def _handled(self, answer: Answer[A, R], command: Command[A]) -> bytes:
        if command.deadline is not None and command.deadline < self._clock.now():
            return _failed(command.command_id, CcmError("its deadline has passed", code="expired"))
        if self._running >= MOST_AT_ONCE:
            return _failed(command.command_id, CcmError("too many commands at once", code="busy"))
        self._running += 1
        try:
            if answer.verb.mutates:
                key = f"{answer.verb.verb}:{command.command_id}"
                return await self._answers.once(key, lambda: _answered(answer, command))
            return await _answered(answer, command)
        finally:
            self._running -= 1


async def _answered(answer: Answer[A, R], command: Command[A]) -> bytes:
    try:
        result = await answer.act(command.args, command)
    except CcmError as err:
        return _failed(command.command_id, err)
    except Exception:
        log.exception("command failed", extra={"verb": answer.verb.name})
        return _failed(
            command.command_id, CcmError("an internal error; see the service's log", code="internal")
        )
    done: Any = Result[answer.verb.result](command_id=command.command_id, ok=True, result=result)  # type: ignore[name-defined]
    return bytes(done.model_dump_json(by_alias=True).encode())


def _failed(command_id: str, err: CcmError) -> bytes:
    failure = Failure(code=err.code, message=err.message, field=err.field)
    return Result[Frozen](command_id=command_id, ok=False, error=failure).model_dump_json().encode()
