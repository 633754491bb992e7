"""What a pull was sent: handed out piece by piece as it comes, to the number asked for or the server's stop."""

import asyncio

import pytest

from ccm_kit.errors import BusDownError
from ccm_kit.nats_arrivals import Arrivals, Arrived, place_of

STATUS = b"NATS/1.0 404 No Messages\r\n\r\n"


def _came(arrivals: Arrivals, *numbers: int) -> None:
    for number in numbers:
        arrivals.take(b"ccm.a", b"reply", b"", b"%d" % number)


async def _all(arrivals: Arrivals, most: int) -> list[list[int]]:
    pieces: list[list[Arrived]] = []
    async with asyncio.timeout(1):
        while piece := await arrivals.some(most):
            pieces.append(piece)
    return [[int(data) for _, _, data in piece] for piece in pieces]


async def test_no_more_than_was_asked_for_is_handed_out_and_the_rest_kept() -> None:
    arrivals = Arrivals()
    arrivals.expect("pull.1", 5)
    _came(arrivals, *range(7))
    assert await _all(arrivals, 2) == [[0, 1], [2, 3], [4]]
    arrivals.expect("pull.2", 2)
    assert await _all(arrivals, 2) == [[5, 6]]


async def test_what_came_before_the_servers_stop_is_handed_out() -> None:
    arrivals = Arrivals()
    arrivals.expect("pull.1", 100)
    _came(arrivals, 1, 2)
    arrivals.take(b"pull.1", b"", STATUS, b"")
    assert await _all(arrivals, 50) == [[1, 2]]
    assert arrivals.status == "404"


async def test_the_stop_of_another_pull_is_not_this_ones() -> None:
    arrivals = Arrivals()
    arrivals.expect("pull.2", 1)
    arrivals.take(b"pull.1", b"", STATUS, b"")
    asyncio.get_running_loop().call_later(0.01, _came, arrivals, 1)
    assert await _all(arrivals, 50) == [[1]]


async def test_a_connection_that_was_lost_is_said_to_who_waits() -> None:
    arrivals = Arrivals()
    arrivals.expect("pull.1", 1)
    asyncio.get_running_loop().call_later(0.01, arrivals.lost)
    with pytest.raises(BusDownError):
        await _all(arrivals, 50)


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.CCM_TELEMETRY.history.1.4711.12.1779451200123456789.3",
        b"$JS.ACK.hub.Xa1b2c3d.CCM_TELEMETRY.history.1.4711.12.1779451200123456789.3.r4nd0m",
    ],
)
def test_where_a_message_stands_is_read_from_its_reply(reply: bytes) -> None:
    """Both forms of NATS ADR-15."""
    assert place_of(reply) == (4711, b"1779451200123456789")
