"""Every error as a problem document of RFC 9457: what, which one, which field, what to do.

Never repeats what the client sent, for it may be a secret.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException

from ccm_contracts.types import Frozen
from ccm_kit.errors import BadInputError, CcmError, RefusedError, UnavailableError
from ccm_kit.problems import field_text

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2
_TYPE: Final = "urn:ccmaster:problem:"
_STATUS_OF_CODE: Final = {
    "not-found": 404,
    "unknown-device": 404,
    "not-available": 404,
    "bad-input": 422,
    "internal": 502,
    "hardware": 502,
    "starting": 503,
    "busy": 503,
    "offline": 503,
    "no-reply": 503,
    "unavailable": 503,
    "bus-down": 503,
}
"""Of refusals by another service; any other is 422 when it names a field, else 409."""


class FieldProblem(Frozen):
    """`field` is the path of the field at fault: `devices[2].unit`."""

    field: str
    message: str


class Problem(Frozen):
    """RFC 9457. `type` ends in a stable code; `field` is the first field at fault, `errors` are all of them."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    field: str | None = None
    errors: Annotated[list[FieldProblem], Field(default_factory=list)]
    command_id: str | None = None


class ProblemError(CcmError):
    """A refusal that knows its HTTP status; `code` is the end of the problem's type."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[FieldProblem] | None = None,
        headers: Mapping[str, str] | None = None,
        command_id: str | None = None,
    ) -> None:
        super().__init__(detail, code=code, field=errors[0].field if errors else None)
        self.status = status
        self.errors = errors or []
        self.headers = dict(headers or {})
        self.command_id = command_id


def not_found(what: str, which: str) -> ProblemError:
    return ProblemError(404, "not-found", f"there is no {what} {which[:60]!r}")


def invalid(field: str, message: str) -> ProblemError:
    return ProblemError(
        422, "invalid", f"{field}: {message}", errors=[FieldProblem(field=field, message=message)]
    )


def from_error(err: CcmError) -> ProblemError:
    """What an error of the bus or of another service means to the client."""
    if isinstance(err, ProblemError):
        return err
    errors = [FieldProblem(field=err.field, message=err.message)] if err.field else []
    if isinstance(err, UnavailableError):
        return ProblemError(503, err.code, err.message, headers={"Retry-After": str(RETRY_AFTER_S)})
    if isinstance(err, RefusedError):
        status = _STATUS_OF_CODE.get(err.code, 422 if err.field else 409)
        return ProblemError(status, err.code, err.message, errors=errors)
    status = 422 if isinstance(err, BadInputError) else 500
    return ProblemError(status, err.code, err.message, errors=errors)


def response(err: ProblemError, path: str) -> JSONResponse:
    problem = Problem(
        type=_TYPE + err.code,
        title=HTTPStatus(err.status).phrase,
        status=err.status,
        detail=err.message,
        instance=path[:200],
        field=err.field,
        errors=err.errors,
        command_id=err.command_id,
    )
    body = problem.model_dump(exclude_defaults=True)
    return JSONResponse(body, status_code=err.status, headers=err.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer each error of `app` with a problem."""
    app.add_exception_handler(CcmError, _known)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unknown)


async def _known(request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, CcmError)
    return response(from_error(err), request.url.path)


async def _http(request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, HTTPException)
    phrase = HTTPStatus(err.status_code).phrase
    known = {
        404: ("not-found", "there is nothing here"),
        405: ("method-not-allowed", f"{request.method} is not possible here"),
        413: ("content-too-large", "the body has too many bytes"),
    }
    code, detail = known.get(err.status_code, (phrase.lower().replace(" ", "-"), str(err.detail)))
    return response(ProblemError(err.status_code, code, detail, headers=err.headers), request.url.path)


async def _invalid(request: Request, err: Exception) -> JSONResponse:
    assert isinstance(err, RequestValidationError)
    errors = [_field_problem(each) for each in err.errors()]
    first = errors[0]
    detail = f"{first.field}: {first.message}" if first.field else first.message
    return response(ProblemError(422, "invalid", detail, errors=errors), request.url.path)


def _field_problem(error: Mapping[str, Any]) -> FieldProblem:
    """Pydantic's message without its input, and the field without the part of the request it came in."""
    if error["type"] == "json_invalid":
        return FieldProblem(field="", message="the body is not valid JSON")
    if error["type"] == "missing" and tuple(error["loc"]) == ("body",):
        return FieldProblem(field="", message="the body is missing")
    field = field_text(tuple(error["loc"])[1:])
    messages = {
        "missing": "is missing",
        "extra_forbidden": "is not a known field",
        "string_pattern_mismatch": f"is not of the form {error.get('ctx', {}).get('pattern', '')}",
    }
    message = messages.get(error["type"], str(error["msg"]).removeprefix("Value error, "))
    return FieldProblem(field=field, message=message[:1].lower() + message[1:])


async def _unknown(request: Request, err: Exception) -> JSONResponse:
    log.error("request failed", extra={"path": request.url.path, "error": type(err).__name__})
    detail = "an internal error; see the log of the api service"
    return response(ProblemError(500, "internal", detail), request.url.path)
