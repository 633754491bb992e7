"""io as a process on a real NATS server: commands, hold times, `kill -9`, an orderly stop."""

import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccm_contracts.channels import LED_STATE, LINK_STATE, MODE_STATE, SERVICE_STATE
from ccm_contracts.messages import Command, Rejected
from ccm_contracts.state import LinkState, ModeState, OutputState, ServiceState
from ccm_contracts.verb_table import PRESS_BUTTON, SET_MODE, SET_OUTPUT
from ccm_contracts.verbs.bus_reader import SetMode
from ccm_contracts.verbs.io import ButtonDone, PressButton, SetOutput
from ccm_kit.bus import Answer
from ccm_kit.errors import RefusedError, UnavailableError
from tests.integration.io.io_rig import IoRig, io_rig
from tests.support.bus import bus_as
from tests.support.nats import NatsServer
from tests.support.wait import until


@pytest.fixture
async def rig(nats: NatsServer, tmp_path: Path) -> AsyncIterator[IoRig]:
    async with io_rig(nats, tmp_path / "data") as ready:
        yield ready


async def test_command_switches_the_relay_and_its_state(rig: IoRig) -> None:
    async with rig.running():
        answer = await rig.command("relay-1", 1)
        assert (answer.value, rig.file("outputs/relay-1")) == (1.0, "1")

        async def stored() -> OutputState | None:
            state = await rig.state("relay-1")
            return state if state and state.value == 1 else None

        state = await until(stored, deadline_s=5, what="the relay's state")
        event = await rig.event("output-changed")

    assert state is not None
    assert (state.reason, state.switches, state.fault) == ("command by anna", 1, None)
    assert event.message == "relay-1: 0 -> 1, command by anna"
    assert (event.severity, event.data["before"], event.data["by"]) == ("info", 0, "anna")


async def test_repeated_command_acts_once(rig: IoRig) -> None:
    async with rig.running():
        name = uuid.uuid4().hex
        first = await rig.command("relay-1", 1, command_id=name)
        await rig.command("relay-1", 0)

        again = await rig.command("relay-1", 1, command_id=name)

        assert again == first
        assert rig.file("outputs/relay-1") == "0"


async def test_hold_time_ends_by_itself(rig: IoRig) -> None:
    async with rig.running():
        state = await rig.command("analog-1", 4.5, hold_s=0.3)
        assert state.value == 4.5

        await rig.shows("outputs/analog-1", "0.000", deadline_s=3)


async def test_killed_io_keeps_its_relay_and_ends_its_hold(rig: IoRig) -> None:
    async with rig.running() as process:
        await rig.command("relay-1", 1)
        await rig.command("relay-2", 1, hold_s=8)
        await process.kill()
    assert (rig.file("outputs/relay-1"), rig.file("outputs/relay-2")) == ("1", "1")

    async with rig.running():
        await rig.shows("outputs/relay-2", "0")

        async def is_ended() -> bool:
            state = await rig.state("relay-2")
            return state is not None and state.value == 0 and state.switches == 2

        await until(is_ended, deadline_s=5, what="relay-2's state")
        assert rig.file("outputs/relay-1") == "1"
        state = await rig.state("relay-1")

    assert state is not None
    assert (state.value, state.reason, state.switches) == (1.0, "command by anna", 1)


async def test_hold_ends_even_if_io_starts_without_a_bus(rig: IoRig) -> None:
    async with rig.running() as process:
        await rig.command("relay-1", 1, hold_s=2)
        await process.kill()
    await rig.nats.kill()

    async with rig.running():
        await rig.shows("outputs/relay-1", "0")

    await rig.nats.start()


async def test_orderly_stop_goes_to_the_safe_state_and_says_so(rig: IoRig) -> None:
    async with rig.running() as process:
        await rig.command("relay-1", 1)
        process.signal(signal.SIGTERM)
        assert await process.exited() == 0

    assert rig.file("outputs/relay-1") == "0"
    assert (await rig.event("output-changed")).data["why"] == "safe state at stop"


async def test_lite_has_no_outputs(rig: IoRig) -> None:
    await rig.has_model("lite")

    async with rig.running():
        with pytest.raises(RefusedError) as refusal:
            await rig.command("relay-1", 1)
        assert refusal.value.code == "not-available"
        assert await rig.state("relay-1") is None

        await rig.has_model("lite-plus")
        await rig.shows("outputs/relay-1", "0")

        assert (await rig.command("relay-1", 1)).value == 1.0


async def test_refused_and_malformed_commands_leave_io_at_work(rig: IoRig) -> None:
    async with rig.running():
        await rig.command("relay-1", 0)
        with pytest.raises(RefusedError) as refusal:
            await rig.command("relay-1", 0.5)
        assert refusal.value.code == "out-of-range"
        bad = SetOutput.model_construct(output="relay-9", value=1)  # type: ignore[arg-type]
        with pytest.raises(RefusedError) as malformed:
            await rig.bus.call(SET_OUTPUT, bad, issued_by="anna")
        assert (malformed.value.code, malformed.value.field) == ("malformed", "args.output")
        assert Rejected.model_validate((await rig.event("rejected")).data).field == "args.output"

        assert (await rig.command("relay-1", 1)).value == 1.0


async def test_hardware_that_refuses_fails_the_command_and_is_reported(rig: IoRig) -> None:
    async with rig.running():
        await rig.command("relay-1", 0)
        outputs = rig.directory / "site" / "outputs"
        away = outputs.rename(outputs.with_name("unplugged"))

        with pytest.raises(RefusedError) as refusal:
            await rig.command("relay-1", 1)

        assert refusal.value.code == "hardware"
        event = await rig.event("output-fault")
        assert (event.severity, event.data["output"]) == ("error", "relay-1")

        async def shown() -> str | None:
            state = await rig.state("relay-1")
            return state.fault if state else None

        fault = await until(shown, deadline_s=5, what="the fault in the relay's state")
        assert fault == "the hardware refused 1: No such file or directory"
        away.rename(outputs)

        assert (await rig.command("relay-1", 1)).fault is None


async def test_button_press_is_answered_and_reported(rig: IoRig) -> None:
    async with rig.running():

        async def pressed() -> ButtonDone | None:
            try:
                return await rig.bus.call(PRESS_BUTTON, PressButton(duration_s=3), issued_by="anna")
            except UnavailableError:
                return None

        done = await until(pressed, deadline_s=10, what="io")
        event = await rig.event("button-pressed")

    assert done is not None
    assert (done.action, event.data["action"], event.data["by"]) == ("synchronisation",) * 2 + ("anna",)
    assert "enter or leave synchronisation mode" in event.message


async def test_green_led_follows_the_data_server(rig: IoRig, nats: NatsServer) -> None:
    async with rig.running(), bus_as(nats, "uplink") as uplink:
        await rig.shows("leds/green", "blink_1s")
        now = uplink.clock.now()
        alive = ServiceState(service="uplink", instance="uplink", version="0", ts=now, started=now, pid=1)
        uplink.state(SERVICE_STATE, alive, id="uplink")
        await uplink.outbox.flushed()
        link = LinkState(link="mqtt", enabled=True, connected=True, since=now)
        uplink.state(LINK_STATE, link, id="mqtt")

        await rig.shows("leds/green", "blip_2_in_3s")

        async def stored() -> bool:
            led = await rig.bus.last(LED_STATE, id="green")
            return led is not None and led.meaning == "connected to the data server"

        await until(stored, deadline_s=5, what="the green LED's state")
        uplink.state(LINK_STATE, link.model_copy(update={"connected": False}), id="mqtt")
        await rig.shows("leds/green", "blink_1s")


async def test_press_of_three_seconds_changes_the_mode_and_the_blue_led_follows(
    nats: NatsServer, rig: IoRig
) -> None:
    """Manual section 6.3.2; the LED flickers when a device got its unit."""
    presses: list[SetMode] = []
    async with bus_as(nats, "bus-reader") as reader, rig.running():
        now = reader.clock.now()

        async def change(args: SetMode, _: Command[SetMode]) -> ModeState:
            presses.append(args)
            state = ModeState(mode="synchronisation", since=now)
            reader.state(MODE_STATE, state, id="bus-reader")
            return state

        alive = ServiceState(service="bus-reader", instance="x", version="0", ts=now, started=now, pid=1)
        reader.state(SERVICE_STATE, alive, id="bus-reader")
        await reader.serve(Answer(SET_MODE, change))
        await rig.shows("leds/blue", "off")
        (rig.directory / "site" / "button").write_text("3")
        await rig.shows("leds/blue", "blink_1s")
        assert [press.mode for press in presses] == ["toggle"]
        state = ModeState(mode="synchronisation", since=now, assigned=[2])
        reader.state(MODE_STATE, state, id="bus-reader")
        await rig.shows("leds/blue", "flicker")
        await rig.shows("leds/blue", "blink_1s")


async def test_refused_mode_is_told(nats: NatsServer, rig: IoRig) -> None:
    async with bus_as(nats, "bus-reader") as reader, rig.running():

        async def refuse(args: SetMode, _: Command[SetMode]) -> ModeState:
            raise RefusedError("there is no native line", code="no-native-line")

        await reader.serve(Answer(SET_MODE, refuse))
        await rig.shows("leds/blue", "off")
        (rig.directory / "site" / "button").write_text("3")
        event = await rig.event("mode-refused")
        assert event.message == "the button did not change the mode: there is no native line"


async def test_unknown_hardware_is_one_clear_line(rig: IoRig) -> None:
    async with rig.running(CCM_HAL="linux") as process:
        assert await process.exited() == 2

    assert "cannot run: CCM_HAL: linux: no relay backend yet, only sim" in process.output
    assert "Traceback" not in process.output
