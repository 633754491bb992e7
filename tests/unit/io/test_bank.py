"""Outputs at work on simulated hardware, with a clock that the test moves."""

import errno
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ccm_contracts.config.site import FEATURES, Output, Outputs
from ccm_contracts.state import OutputState
from ccm_contracts.verbs.io import OutputId, SetOutput
from ccm_io.bank import BUS_LOST_S, Bank
from ccm_io.hal import base as hal
from ccm_io.hal.sim import SimOutput
from ccm_io.store import Store
from ccm_kit.clock import SystemClock
from ccm_kit.errors import RefusedError


class HandClock(SystemClock):
    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 6, 1, 12, tzinfo=UTC) + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return 50.0 + self.passed_s


@dataclass
class Notes:
    """A report that remembers."""

    states: dict[str, OutputState] = field(default_factory=dict)
    changes: list[tuple[str, float, float, str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def state(self, state: OutputState) -> None:
        self.states[state.output] = state

    def changed(self, state: OutputState, before: float, by: str) -> None:
        self.changes.append((state.output, before, state.value, by, state.reason))

    def failed(self, state: OutputState) -> None:
        self.faults.append(f"{state.output}: {state.fault}")


class Relay:
    """A contact that keeps its place; `stuck` and `refuses` are its faults."""

    def __init__(self) -> None:
        self.closed = 0.0
        self.stuck = False
        self.refuses = False
        self.writes = 0

    def read(self) -> float | None:
        return self.closed

    def write(self, value: float) -> None:
        self.writes += 1
        if self.refuses:
            raise OSError(errno.ENODEV, "No such device")
        if not self.stuck:
            self.closed = value


class Cabinet:
    """Hardware, file and clock; `boot` is a new process on them."""

    def __init__(self, directory: Path) -> None:
        self.clock = HandClock()
        self.relay = Relay()
        self.path = directory / "io" / "outputs.json"
        self.analog = SimOutput(directory / "analog-1", 3)
        self.settings = Outputs()
        self.boot()

    def boot(self, *, configured: bool = True) -> Bank:
        hardware: dict[OutputId, hal.Output] = {
            "relay-1": self.relay,
            "relay-2": Relay(),
            "analog-1": self.analog,
        }
        self.notes = Notes()
        self.bank = Bank(hardware, Store(self.path), self.clock, self.notes)
        if configured:
            self.bank.configure(FEATURES["pro"], self.settings)
        else:
            self.bank.resume()
        return self.bank

    def close(self, hold_s: float | None = None, output: OutputId = "relay-1") -> OutputState:
        return self.bank.command(SetOutput(output=output, value=1, hold_s=hold_s), "anna")

    def look(self, *, after_s: float, is_bus_up: bool = True) -> None:
        self.clock.passed_s += after_s
        self.bank.look(is_bus_up=is_bus_up)


@pytest.fixture
def cabinet(tmp_path: Path) -> Cabinet:
    return Cabinet(tmp_path)


def test_command_switches_and_says_who_and_why(cabinet: Cabinet) -> None:
    state = cabinet.close(hold_s=30)

    assert (state.value, state.reason, state.switches) == (1.0, "command by anna", 1)
    assert state.until == cabinet.clock.now() + timedelta(seconds=30)
    assert cabinet.relay.closed == 1.0
    assert cabinet.notes.changes == [("relay-1", 0.0, 1.0, "anna", "command by anna")]


def test_hold_time_ends_in_the_safe_state(cabinet: Cabinet) -> None:
    cabinet.close(hold_s=30)
    assert cabinet.bank.wait_s() == 1.0
    cabinet.look(after_s=29.5)
    assert (cabinet.relay.closed, cabinet.bank.wait_s()) == (1.0, 0.5)

    cabinet.look(after_s=0.5)

    assert cabinet.relay.closed == 0.0
    assert cabinet.notes.changes[-1] == ("relay-1", 1.0, 0.0, "io", "hold time ended")
    assert cabinet.notes.states["relay-1"].switches == 2


def test_renewed_command_holds_on_without_a_change(cabinet: Cabinet) -> None:
    cabinet.close(hold_s=30)
    cabinet.clock.passed_s += 20
    cabinet.close(hold_s=30)
    cabinet.look(after_s=20)

    assert (cabinet.relay.closed, len(cabinet.notes.changes)) == (1.0, 1)


def test_safe_state_may_be_closed(cabinet: Cabinet) -> None:
    cabinet.settings = Outputs(relay_1=Output(safe=1))
    cabinet.bank.configure(FEATURES["pro"], cabinet.settings)
    assert cabinet.relay.closed == 0.0, "a new configuration switches nothing"
    cabinet.bank.command(SetOutput(output="relay-1", value=0, hold_s=5), "anna")

    cabinet.look(after_s=5)

    assert cabinet.relay.closed == 1.0


def test_killed_process_finds_its_relay_as_commanded(cabinet: Cabinet) -> None:
    cabinet.close()
    writes = cabinet.relay.writes

    cabinet.boot()

    assert (cabinet.relay.closed, cabinet.relay.writes) == (1.0, writes)
    assert cabinet.notes.states["relay-1"].reason == "command by anna"
    assert (cabinet.notes.changes, cabinet.notes.states["relay-1"].switches) == ([], 1)


def test_killed_process_keeps_a_running_hold_to_its_deadline(cabinet: Cabinet) -> None:
    cabinet.close(hold_s=30)
    cabinet.clock.passed_s += 10
    cabinet.boot()
    cabinet.look(after_s=19)
    assert cabinet.relay.closed == 1.0

    cabinet.look(after_s=1)

    assert cabinet.relay.closed == 0.0


def test_hold_that_ended_while_nobody_watched_is_ended_at_start(cabinet: Cabinet) -> None:
    cabinet.close(hold_s=30)
    cabinet.clock.passed_s += 31

    cabinet.boot()

    assert cabinet.notes.changes == [("relay-1", 1.0, 0.0, "io", "safe state at start: hold time ended")]


def test_relay_moved_by_hand_goes_safe_at_start(cabinet: Cabinet) -> None:
    cabinet.relay.closed = 1.0

    cabinet.boot()

    assert cabinet.relay.closed == 0.0
    assert cabinet.notes.changes[0][4] == "safe state at start: last state unknown"


def test_damaged_file_is_no_record(cabinet: Cabinet) -> None:
    cabinet.close()
    cabinet.path.write_text('{"relay-1": {"val')

    cabinet.boot()

    assert cabinet.relay.closed == 0.0


def test_without_a_bus_a_stored_hold_still_ends(cabinet: Cabinet) -> None:
    cabinet.settings = Outputs(relay_1=Output(safe=0))
    cabinet.close(hold_s=30)
    cabinet.boot(configured=False)

    cabinet.look(after_s=30, is_bus_up=False)

    assert cabinet.relay.closed == 0.0


def test_lost_bus_ends_commands_without_a_hold_time(cabinet: Cabinet) -> None:
    cabinet.close()
    cabinet.look(after_s=0, is_bus_up=False)
    cabinet.look(after_s=BUS_LOST_S - 1, is_bus_up=False)
    assert cabinet.relay.closed == 1.0

    cabinet.look(after_s=1, is_bus_up=False)

    assert cabinet.notes.changes[-1][2:] == (0.0, "io", "safe state: no bus for 60 s")


def test_lost_bus_leaves_hold_times_their_own_end(cabinet: Cabinet) -> None:
    cabinet.close(hold_s=300)
    cabinet.look(after_s=0, is_bus_up=False)
    cabinet.look(after_s=BUS_LOST_S, is_bus_up=False)
    assert cabinet.relay.closed == 1.0

    cabinet.look(after_s=240, is_bus_up=False)

    assert cabinet.relay.closed == 0.0


def test_bus_that_comes_back_in_time_changes_nothing(cabinet: Cabinet) -> None:
    cabinet.close()
    cabinet.look(after_s=0, is_bus_up=False)
    cabinet.look(after_s=50)
    cabinet.look(after_s=50, is_bus_up=False)

    assert cabinet.relay.closed == 1.0


def test_orderly_stop_leaves_nothing_on(cabinet: Cabinet) -> None:
    cabinet.close()
    cabinet.bank.command(SetOutput(output="analog-1", value=4.5), "anna")

    cabinet.bank.stop()

    assert (cabinet.relay.closed, cabinet.analog.read()) == (0.0, 0.0)
    assert cabinet.notes.states["relay-1"].reason == "safe state at stop"


def test_stop_before_the_configuration_came_leaves_nothing_on(cabinet: Cabinet) -> None:
    cabinet.close()
    hardware: dict[OutputId, hal.Output] = {"relay-1": cabinet.relay, "relay-2": Relay(), "analog-1": Relay()}

    Bank(hardware, Store(cabinet.path), cabinet.clock, Notes()).stop()

    assert cabinet.relay.closed == 0.0


def test_refusing_hardware_fails_the_command_and_changes_nothing(cabinet: Cabinet) -> None:
    cabinet.relay.refuses = True

    with pytest.raises(RefusedError) as refusal:
        cabinet.close()

    assert refusal.value.code == "hardware"
    assert (cabinet.notes.states["relay-1"].value, cabinet.notes.states["relay-1"].switches) == (0.0, 0)
    assert cabinet.notes.faults == ["relay-1: the hardware refused 1: No such device"]
    cabinet.relay.refuses = False
    cabinet.boot()
    assert cabinet.notes.states["relay-1"].fault is None


def test_stuck_contact_is_tried_again_and_reported_once(cabinet: Cabinet) -> None:
    cabinet.close(hold_s=5)
    cabinet.relay.stuck = True
    for _ in range(3):
        cabinet.look(after_s=5)
    assert cabinet.notes.faults == ["relay-1: set to 0, but reads 1.0"]
    assert cabinet.notes.states["relay-1"].value == 1.0

    cabinet.relay.stuck = False
    cabinet.look(after_s=1)

    assert (cabinet.relay.closed, cabinet.notes.states["relay-1"].fault) == (0.0, None)


def test_command_that_cannot_be_stored_switches_nothing(cabinet: Cabinet) -> None:
    cabinet.path.unlink()
    cabinet.path.parent.rmdir()
    cabinet.path.parent.write_text("a file where the folder should be")

    with pytest.raises(RefusedError) as refusal:
        cabinet.close(hold_s=5)

    assert (refusal.value.code, cabinet.relay.closed) == ("storage", 0.0)


def test_safe_state_is_set_even_if_it_cannot_be_stored(cabinet: Cabinet) -> None:
    cabinet.close(hold_s=5)
    cabinet.path.unlink()
    cabinet.path.parent.rmdir()
    cabinet.path.parent.write_text("a file where the folder should be")

    cabinet.look(after_s=5)

    assert cabinet.relay.closed == 0.0


def test_command_to_the_safe_state_needs_no_storage(cabinet: Cabinet) -> None:
    cabinet.close()
    cabinet.path.unlink()
    cabinet.path.parent.rmdir()
    cabinet.path.parent.write_text("a file where the folder should be")

    cabinet.bank.command(SetOutput(output="relay-1", value=0), "anna")

    assert cabinet.relay.closed == 0.0
    assert cabinet.notes.states["relay-1"].reason == "command by anna"


def test_model_that_loses_its_relays_leaves_them_safe(cabinet: Cabinet) -> None:
    cabinet.close()

    cabinet.bank.configure(FEATURES["lite"], cabinet.settings)

    assert cabinet.relay.closed == 0.0
    with pytest.raises(RefusedError, match="no relay-1"):
        cabinet.close()


def test_analog_output_is_set_to_the_millivolt(cabinet: Cabinet) -> None:
    state = cabinet.bank.command(SetOutput(output="analog-1", value=4.50049), "anna")

    assert (state.value, state.switches) == (4.5, 0)
    assert cabinet.analog.path.read_text() == "4.500"
