"""Brings the history database to the newest schema: `python -m ccm_uplink.history.upgrade`.

A process of its own, because Alembic takes 11 MB of memory that the service would keep for ever after one use.
The database is named by `CCM_DATABASE_URL` (never by an argument: it may hold a password).
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

UPGRADE_S: Final = 600.0
"""A migration of a large database takes minutes; a process that takes longer hangs."""


class UpgradeError(Exception):
    """The schema could not be brought to the newest revision; the text says why."""


async def upgrade(url: str) -> None:
    """Run the migrations in a child process. Raises `UpgradeError`; trying again may help."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ccm_uplink.history.upgrade",
        env={**os.environ, "CCM_DATABASE_URL": url},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(UPGRADE_S):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise UpgradeError(f"cannot prepare the database: {lines[-1][:300]}")


def run_migrations(url: str) -> None:
    """Apply what is missing, in this process."""
    from alembic import command
    from alembic.config import Config

    from ccm_uplink.history.database import migration_engine

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = migration_engine(url)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


if __name__ == "__main__":
    run_migrations(os.environ["CCM_DATABASE_URL"])
