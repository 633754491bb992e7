"""Settings under the portal's menu names: who may sign in, the time zone, what is kept."""

from typing import Final

from fastapi import APIRouter

from ccm_api.routes.section_paths import SectionPath, serve
from ccm_contracts.config.services import Historic
from ccm_contracts.config.site import Security, Timezone

router = APIRouter(prefix="/settings", tags=["configuration"])

_NOW: Final = "Takes effect at once."

for _place in (
    SectionPath(
        "/security",
        "security",
        Security,
        ("Who may sign in", "Users and their roles; the hashes of their passwords read back as `********`."),
        (
            "Change who may sign in",
            "A `password_hash` that is no Argon2id hash is a new password, and is hashed. `********` stays as it is."
            " At least one administrator is needed.",
        ),
        {"users": [{"name": "admin", "role": "admin", "password_hash": "********"}]},
    ),
    SectionPath(
        "/timezone",
        "timezone",
        Timezone,
        (
            "The site's time zone",
            "An IANA name. For days, months and times of day; stored times are UTC.",
        ),
        ("Change the time zone", _NOW),
        "Europe/Madrid",
    ),
    SectionPath(
        "/historic",
        "historic",
        Historic,
        (
            "What is kept, and for how long",
            "The section `historic` of the configuration (manual section 6.2.1.6.3).",
        ),
        ("Change what is kept", _NOW),
        {"enabled": True, "latency_s": 60, "format": "csv"},
    ),
):
    serve(router, _place)
