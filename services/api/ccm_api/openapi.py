"""The published description of the REST API: FastAPI's own, with what holds for every operation added once."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ccm_api.gate import COOKIE, PUBLIC, ROOT
from ccm_api.problems import MEDIA_TYPE, Problem

TITLE: Final = "CcMaster"
DESCRIPTION: Final = """The energy gateway's REST API.

Sign in with `POST /api/v1/session`: the token goes into `Authorization: Bearer`, browsers use the cookie. Roles:
*viewer* reads, *operator* also switches outputs and commands devices, *admin* also configures. Every error is a
problem document (RFC 9457) whose `type` ends in a stable code. Times are RFC 3339 in UTC; powers are W, and grid power
is positive when importing."""
TAGS: Final = [
    {"name": "session", "description": "Sign-in and passwords"},
    {"name": "gateway", "description": "Identity, services, LEDs"},
    {"name": "devices", "description": "Meters and inverters"},
    {"name": "catalog", "description": "Models that can be read"},
    {"name": "ports", "description": "Lines and their health"},
    {"name": "plants", "description": "Self-consumption"},
    {"name": "outputs", "description": "Relays, 0-10 V, button"},
    {"name": "history", "description": "Stored values and their delivery"},
    {"name": "events", "description": "Events and alarms"},
    {"name": "stream", "description": "Live messages"},
    {"name": "configuration", "description": "The configuration document"},
    {"name": "health", "description": "For supervisors and Prometheus"},
]

CONFIGURED: Final = tuple(
    f"{ROOT}/{each}" for each in ("config", "services/", "settings/", "devices/", "profiles/")
)
"""Under these paths what is stored is changed against its ETag."""

_PROBLEMS: Final = {
    "401": ("Unauthorized", "not signed in, or the session has ended"),
    "403": ("Forbidden", "the role does not allow it, a new password is due, or the request is cross-origin"),
    "404": ("NotFound", "there is no such thing, or the gateway's model lacks it"),
    "409": ("Conflict", "the owner refused: `type` says why"),
    "412": ("PreconditionFailed", "the section was changed meanwhile"),
    "413": ("ContentTooLarge", "the body has more than 1 MiB"),
    "422": ("Invalid", "a field is wrong: `field` and `errors` name it"),
    "428": ("PreconditionRequired", "If-Match is missing"),
    "429": ("TooManyAttempts", "too many failed sign-ins: see Retry-After"),
    "503": ("Unavailable", "a service or the bus does not answer, or there is no value yet: see Retry-After"),
}


def document_of(app: FastAPI, version: str) -> dict[str, Any]:
    """Deterministic: the same routes give the same document."""
    document = get_openapi(
        title=TITLE, version=version, description=DESCRIPTION, routes=app.routes, tags=TAGS
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    components["schemas"] = dict(sorted(schemas.items()))
    components["responses"] = {name: _response(text) for name, text in _PROBLEMS.values()}
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(method.upper(), path, operation)
    return document


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    is_public = (method, path) in PUBLIC
    operation["security"] = [] if is_public else [{"bearer": []}, {"cookie": []}]
    responses = operation["responses"]
    own = {"422"} & responses.keys()  # FastAPI saw something that can be wrong
    for status in own | _statuses(method, path, is_public=is_public):
        responses[status] = {"$ref": f"#/components/responses/{_PROBLEMS[status][0]}"}
    operation["responses"] = dict(sorted(responses.items()))


def _statuses(method: str, path: str, *, is_public: bool) -> set[str]:
    statuses = set() if is_public else {"401", "403", "503"}
    if method in ("POST", "PUT", "PATCH"):
        statuses |= {"413"}
    if "{" in path or path.endswith("/history"):
        statuses |= {"404"}
    if (
        path.endswith(("/commands", "/button", "/password"))
        or (path.startswith(f"{ROOT}/profiles/") and method in ("PUT", "DELETE"))
        or (path.endswith(("/scan", "/sync")) and method in ("POST", "DELETE"))
        or ("/outputs/" in path and method == "PUT")
    ):
        statuses |= {"409"}
    if path == f"{ROOT}/session" and method == "POST":
        statuses |= {"401", "403", "429", "503"}
    if path.endswith("/password"):
        statuses |= {"429"}
    if path.endswith("/ready"):
        statuses |= {"503"}
    if path.startswith(CONFIGURED) and method in ("PUT", "PATCH", "DELETE") and not path.endswith("/scan"):
        statuses |= {"412", "428"}
    if path == f"{ROOT}/devices" and method == "POST":
        statuses |= {"409", "412"}
    return statuses


def _response(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
