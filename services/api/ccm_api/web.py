"""Serves the built portal: hashed assets for ever, `index.html` for the portal's own routes.

Also names the headers that every answer of this service carries.
"""

from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from ccm_api.gate import is_api

STATIC_DIR: Final = Path(__file__).parent / "static"

SECURITY_HEADERS: Final = (
    (
        "content-security-policy",
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
)

_FOREVER: Final = "public, max-age=31536000, immutable"
_ASSETS: Final = "assets"
"""The folder whose file names carry a hash of their content."""

_NOT_BUILT: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>CcMaster</title>
<h1>The portal is not built</h1>
<p>The gateway runs and its REST API answers under <a href="/api/v1/docs">/api/v1</a>, but the portal's files are
missing. Build them with <code>make install</code>, then load this page again.</p>
</html>
"""


class Portal:
    """An ASGI application for every path that no route of the API has."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_api(scope["path"]):
            raise HTTPException(404)
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        response = self._response(scope["path"])
        await response(scope, receive, send)

    def _response(self, path: str) -> Response:
        found = self._file(path)
        if found is not None:
            is_hashed = found.relative_to(self._directory).parts[0] == _ASSETS
            return FileResponse(found, headers={"cache-control": _FOREVER if is_hashed else "no-cache"})
        if "." in path.rsplit("/", 1)[-1]:
            raise HTTPException(404)
        index = self._directory / "index.html"
        if not index.is_file():
            return HTMLResponse(_NOT_BUILT, status_code=503, headers={"cache-control": "no-store"})
        return FileResponse(index, headers={"cache-control": "no-cache"})

    def _file(self, path: str) -> Path | None:
        """The file of that path, never one outside the portal's directory."""
        if "\0" in path:
            return None
        try:
            found = (self._directory / path.lstrip("/")).resolve()
            return found if found.is_relative_to(self._directory) and found.is_file() else None
        except OSError:
            return None
