"""Refuses a query parameter that a resource does not have: a misspelt `agregate` would else be answered wrongly."""

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from ccm_api.problems import invalid


def known_query(request: Request) -> None:
    """Raises `ProblemError` (422) for the first query parameter that the route does not name."""
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    names = _names(route.dependant)
    for name in request.query_params:
        if name not in names:
            has = ", ".join(sorted(names)) or "none"
            raise invalid(name[:60], f"is not a parameter of this resource; known: {has}")


def _names(dependant: Dependant) -> set[str]:
    found = {field.alias for field in dependant.query_params}
    return found.union(*(_names(each) for each in dependant.dependencies))
