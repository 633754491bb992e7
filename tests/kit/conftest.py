"""A bus on a NATS server of the test's own."""

from collections.abc import AsyncIterator

import pytest

from ccm_kit.bus import Bus
from tests.kit.bus_rig import bus_on
from tests.support.nats import NatsServer


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    async with bus_on(nats) as opened:
        yield opened
