"""Requests and their answers on a real NATS server: once, in time, or with a reason."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ccm_contracts.messages import Command
from ccm_contracts.state import OutputState
from ccm_contracts.verb_table import DEVICE_COMMAND, HISTORY, SET_OUTPUT
from ccm_contracts.verbs.bus_reader import DeviceCommand
from ccm_contracts.verbs.io import OutputDone, SetOutput
from ccm_contracts.verbs.uplink import HistoryQuery
from ccm_kit.bus import Answer, Bus
from ccm_kit.errors import RefusedError, UnavailableError
from tests.kit.bus_rig import CLOCK, GATEWAY, bus_on, rejected_events
from tests.support.nats import NatsServer
from tests.support.wait import LEAST_S, until


def output_state(value: float) -> OutputState:
    return OutputState(output="relay-1", value=value, since=CLOCK.now(), reason="test")


async def serve_output(bus: Bus) -> list[float]:
    """Answers SET_OUTPUT; the list grows with what took effect."""
    acted: list[float] = []

    async def act(args: SetOutput, command: Command[SetOutput]) -> OutputDone:
        if args.value > 1:
            raise RefusedError("a relay is 0 or 1", code="bad-value", field="value")
        acted.append(args.value)
        return OutputDone(state=output_state(args.value))

    await bus.serve(Answer(SET_OUTPUT, act))
    return acted


async def test_call_returns_the_owners_result(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        acted = await serve_output(io)
        done = await bus.call(SET_OUTPUT, SetOutput(output="relay-1", value=1), issued_by="test")
        assert done.state.value == 1
        assert acted == [1]


async def test_repeated_command_acts_once_and_gets_the_first_answer(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        acted = await serve_output(io)
        answers = await asyncio.gather(
            *(
                bus.call(
                    SET_OUTPUT, SetOutput(output="relay-1", value=1), issued_by="test", command_id="once"
                )
                for _ in range(5)
            )
        )
        assert acted == [1]
        assert len({answer.model_dump_json() for answer in answers}) == 1


async def test_refusal_carries_code_and_field(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        await serve_output(io)
        with pytest.raises(RefusedError) as refused:
            await bus.call(SET_OUTPUT, SetOutput(output="relay-1", value=5), issued_by="test")
        assert (refused.value.code, refused.value.field) == ("bad-value", "value")


async def test_command_after_its_deadline_does_not_act(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        acted = await serve_output(io)
        with pytest.raises(RefusedError) as refused:
            await bus.call(
                SET_OUTPUT,
                SetOutput(output="relay-1", value=1),
                issued_by="test",
                deadline=CLOCK.now() - timedelta(seconds=1),
            )
        assert refused.value.code == "expired"
        assert acted == []


async def test_malformed_command_is_refused_with_its_field_and_reported(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "io") as io:
        await serve_output(io)
        answer = await bus._link.request(
            SET_OUTPUT.subject(GATEWAY),
            b'{"command_id": "c1", "issued_by": "x", "args": {"output": "relay-9", "value": 1}}',
            2,
        )
        assert b'"code":"malformed"' in answer
        assert b'"field":"args.output"' in answer
        [event] = await rejected_events(bus)
        assert event.data["field"] == "args.output"


async def test_call_of_a_service_that_does_not_run_says_so(bus: Bus) -> None:
    query = HistoryQuery(device="grid", start=CLOCK.now(), end=CLOCK.now())
    with pytest.raises(UnavailableError, match="does not run"):
        await bus.call(HISTORY, query, issued_by="test")


async def test_error_inside_a_handler_is_answered_and_the_service_goes_on(nats: NatsServer, bus: Bus) -> None:
    async with bus_on(nats, "solar") as owner:

        async def act(args: DeviceCommand, command: Command[DeviceCommand]) -> Any:
            raise ZeroDivisionError

        await owner.serve(Answer(DEVICE_COMMAND, act))
        for _ in range(2):
            with pytest.raises(RefusedError) as refused:
                await bus.call(
                    DEVICE_COMMAND, DeviceCommand(device="grid", name="limit", value=1), issued_by="test"
                )
            assert refused.value.code == "internal"


async def test_service_answers_again_after_the_server_was_killed(nats: NatsServer) -> None:
    async with bus_on(nats, "io") as io, bus_on(nats) as caller:
        await serve_output(io)
        await nats.kill()
        await nats.start()

        async def answered() -> bool:
            try:
                await caller.call(SET_OUTPUT, SetOutput(output="relay-1", value=0), issued_by="test")
            except UnavailableError:
                return False
            return True

        await until(answered, deadline_s=LEAST_S, what="an answer after the restart")
