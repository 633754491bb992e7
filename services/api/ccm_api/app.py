"""Puts routes, gate, problems and portal together."""

from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI

from ccm_api import problems
from ccm_api.deps import Site
from ccm_api.gate import ROOT, Gate
from ccm_api.openapi import document_of
from ccm_api.routes import ROUTERS
from ccm_api.strict import known_query
from ccm_api.web import STATIC_DIR, Portal


def create_app(site: Site, *, static_dir: Path = STATIC_DIR) -> FastAPI:
    """The application, with the portal in `static_dir` on every path that is not the API's."""
    app = _described(site.version)
    app.state.site = site
    app.add_middleware(Gate, site=site)
    problems.install(app)
    app.router.default = Portal(static_dir)
    return app


def openapi_document() -> dict[str, Any]:
    """What `docs/openapi.json` publishes; needs no bus."""
    return _described(version_of("ccm-api")).openapi()


def _described(version: str) -> FastAPI:
    app = FastAPI(
        title="CcMaster",
        version=version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in ROUTERS:
        app.include_router(router, prefix=ROOT, dependencies=[Depends(known_query)])

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document_of(app, version)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
    return app
