"""Which version of MQTT a broker is spoken to in, when it hangs up."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from ccm_contracts.config.services import Mqtt
from ccm_uplink.sinks.mqtt_client import MqttError
from ccm_uplink.sinks.mqtt_connect import HANG_UPS, Connector, leave
from tests.support.mosquitto import mosquitto_broker
from tests.support.mqtt_cut import CONNACK, Cut
from tests.support.proxy import proxy

CONNECT_5: Final = b"\x00\x04MQTT\x05"
"""Protocol name and level of a CONNECT (MQTT 5 section 3.1.2)."""


async def _connects(connector: Connector) -> str | None:
    await leave(await connector.connect(), 2.0)
    return connector.protocol


async def test_broker_that_took_mqtt_5_and_now_hangs_up_on_it_gets_3_1_1_at_the_fifth_time(
    tmp_path: Path,
) -> None:
    async with mosquitto_broker(tmp_path) as broker, proxy(broker.port) as line:
        connector = Connector(Mqtt(enabled=True, port=line.port), "gw")
        assert await _connects(connector) == "5"

        async def hang_up_on_5(chunk: bytes) -> bytes:
            if CONNECT_5 not in chunk:
                return chunk
            asyncio.get_running_loop().call_soon(line.half_close, "down")
            return b""

        line.up.change = hang_up_on_5
        for _ in range(HANG_UPS - 1):
            with pytest.raises(MqttError):
                await connector.connect()
            assert connector.protocol == "5"
        assert await _connects(connector) == "3.1.1"


async def test_broken_lines_with_success_between_them_are_no_reason_for_3_1_1(tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path) as broker, proxy(broker.port) as line:
        connector = Connector(Mqtt(enabled=True, port=line.port), "gw")
        assert await _connects(connector) == "5"
        for _ in range(2):
            for _ in range(HANG_UPS - 1):
                cut = Cut(line, "down", CONNACK, ends_in_order=True)
                with pytest.raises(MqttError):
                    await connector.connect()
                await cut.done()
                await line.start()
            assert await _connects(connector) == "5"
