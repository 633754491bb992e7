"""The OpenAPI document and a page that shows it, without anything from elsewhere."""

from pathlib import Path
from typing import Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse

from ccm_api.deps import ViewerDep

router = APIRouter(include_in_schema=False)

_DIRECTORY: Final = Path(__file__).parent.parent / "reference"


@router.get("/openapi.json")
async def openapi(request: Request, _: ViewerDep) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def page(_: ViewerDep) -> FileResponse:
    return FileResponse(_DIRECTORY / "index.html")


@router.get("/docs/{file}")
async def part(file: Literal["reference.js", "reference.css"], _: ViewerDep) -> FileResponse:
    return FileResponse(_DIRECTORY / file)
