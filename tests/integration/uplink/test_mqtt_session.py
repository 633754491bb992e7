"""What a connection at QoS 2 takes up of the one before, with a real broker that keeps the session."""

import shutil
from pathlib import Path

from ccm_contracts.config.services import Mqtt
from ccm_uplink.sinks.mqtt_client import Client
from ccm_uplink.sinks.mqtt_session import Session
from ccm_uplink.sinks.mqtt_store import Parcel, SessionStore
from tests.support.mosquitto import Mosquitto


def _client(broker: Mosquitto) -> Client:
    settings = Mqtt(enabled=True, port=broker.port, qos=2)
    return Client(settings, identifier="gw", protocol="5", keeps=True, will=None)


def _loaded(path: Path) -> SessionStore:
    store = SessionStore(path)
    store.load()
    return store


async def test_pubrel_of_a_resumed_handshake_is_on_disk_before_it_goes_out(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Its PUBREC came as the line broke. A process killed now would publish the message again: it would come twice."""
    path = tmp_path / "session.log"
    async with _client(mosquitto):
        pass
    store = _loaded(path)
    store.sent(1, Parcel(b"/t", b"{}", (("CCM_TELEMETRY", 1, 1),), "application/json"))
    await store.flush()
    store.received(1)
    store.in_flight[1].repeated = True
    async with _client(mosquitto) as client:
        assert client.session_present
        await Session(client, 2, store, lambda _: []).resume()
        as_after_a_kill = _loaded(Path(shutil.copy(path, tmp_path / "copy.log")))
    assert as_after_a_kill.in_flight[1].released
