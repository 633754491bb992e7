"""Reads a whole configuration from a request's body, JSON or YAML. Knows no models."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from fastapi import Request

from ccm_api.problems import ProblemError, invalid
from ccm_contracts.config.document import SECTIONS
from ccm_kit.errors import BadInputError
from ccm_kit.yaml_lines import parse

YAML: Final = "application/yaml"
LARGEST_YAML_BYTES: Final = 256 * 1024
"""YAML of a megabyte would be read for half a minute."""
_NAMED: Final = Path("file")


async def sections_in(request: Request) -> dict[str, Any]:
    """Section by name. Raises `ProblemError` for what is neither JSON nor YAML, or names something else."""
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == YAML:
        data = await asyncio.to_thread(_from_yaml, body)
    else:
        data = _from_json(body)
    if not isinstance(data, dict):
        raise invalid("body", "must be the sections of a configuration, such as timezone: Europe/Madrid")
    for name in data:
        if name not in SECTIONS:
            raise invalid(str(name)[:60], f"is not a section; known: {', '.join(SECTIONS)}")
    return data


def _from_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except json.JSONDecodeError as err:
        raise invalid("body", f"is not JSON: line {err.lineno}: {err.msg}") from err
    except (ValueError, RecursionError) as err:
        raise invalid("body", "is not JSON as UTF-8 text") from err


def _from_yaml(body: bytes) -> Any:
    if len(body) > LARGEST_YAML_BYTES:
        raise ProblemError(
            413, "content-too-large", f"a configuration has at most {LARGEST_YAML_BYTES} bytes as YAML"
        )
    try:
        return parse(body.decode(), _NAMED).data
    except UnicodeDecodeError as err:
        raise invalid("body", "is not UTF-8 text") from err
    except BadInputError as err:
        raise invalid("body", str(err)) from err
