"""The running api service as a fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api.gateway import Gateway, gateway
from tests.support.nats import NatsServer


@pytest.fixture
async def gw(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Gateway]:
    """The api service with a site of two devices and one plant; the first admin's password is given."""
    async with gateway(nats, tmp_path / "data") as running:
        yield running
