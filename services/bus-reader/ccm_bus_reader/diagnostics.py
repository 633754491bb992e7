"""Answers what somebody asks about a line: what a plan would cost, and which frames went over it."""

import asyncio
import base64
from typing import Any, Final

from ccm_bus_reader.adapters import adapters_in
from ccm_bus_reader.budget import Budget, Share, budget_of, measured_time
from ccm_bus_reader.capture import pcap
from ccm_bus_reader.device import Device
from ccm_bus_reader.lanes import lanes_for
from ccm_bus_reader.plan import WireCost
from ccm_bus_reader.poller import Poller
from ccm_bus_reader.reader import Reader
from ccm_bus_reader.transport import SerialPort, char_s
from ccm_contracts.config.field import Device as DeviceConfig
from ccm_contracts.verbs.bus_reader import (
    AdapterList,
    AdaptersQuery,
    BudgetQuery,
    CaptureDone,
    CaptureQuery,
    DeviceBudget,
    LineBudget,
    TraceAnswer,
    TraceFrame,
    TraceQuery,
)
from ccm_kit.errors import BadInputError

COMFORT: Final = 0.8
"""A line that is fuller than this has little left for second tries and commands."""


class Diagnostics:
    """Of all lines of one gateway."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def budget(self, args: BudgetQuery, _: Any) -> LineBudget:
        """Raises `RefusedError` for an unknown line and `BadInputError` for an unknown model."""
        poller = self._reader.poller(args.line)
        cost = _cost(poller, args)
        devices = [
            self._candidate(poller, config, cost, index)
            for index, config in enumerate(args.devices)
            if config.enabled
        ]
        configs = [device.config for device in devices]
        lanes = lanes_for(configs, is_modbus_tcp=poller.is_modbus_tcp)
        budget = budget_of(devices, measured_time, lanes=lanes)
        return LineBudget(
            line=args.line,
            wanted=round(budget.wanted, 4),
            utilisation=round(budget.utilisation, 4),
            cycle_s=round(budget.cycle_s, 4),
            fits=not budget.missed,
            devices=[_published(share) for share in budget.shares],
            advice=_advice(budget),
        )

    async def adapters(self, _args: AdaptersQuery, _: Any) -> AdapterList:
        """What could be a line, also what is one already."""
        return AdapterList(adapters=await asyncio.to_thread(adapters_in))

    def _candidate(self, poller: Poller, config: DeviceConfig, cost: WireCost, index: int) -> Device:
        """The device as it would be read; what the running one learned of its turnaround goes with it."""
        try:
            profile = self._reader.models.find(config.model)
        except BadInputError as err:
            raise BadInputError(err.message, field=f"devices[{index}].model") from err
        candidate = Device(config, profile, cost)
        running = poller.devices.get(config.id)
        if running is not None and running.config.unit == config.unit:
            candidate.turnaround_s = running.turnaround_s
        return candidate

    async def trace(self, args: TraceQuery, _: Any) -> TraceAnswer:
        """The newest frames when there are more than `limit`. Raises `RefusedError` for an unknown line."""
        trace = self._reader.poller(args.line).trace
        found = list(trace.after(args.after))[-args.limit :]
        frames = [
            TraceFrame(
                number=frame.number,
                ts=frame.ts,
                direction=frame.direction,
                hex=frame.data.hex(),
                kind=frame.kind,
                meaning=trace.meaning(frame),
            )
            for frame in found
        ]
        return TraceAnswer(
            line=args.line, frames=frames, missed=found[0].number - args.after - 1 if found else 0
        )

    async def capture(self, args: CaptureQuery, _: Any) -> CaptureDone:
        """Raises `RefusedError` for an unknown line."""
        trace = self._reader.poller(args.line).trace
        frames = list(trace.after())
        file = pcap(frames, is_modbus_tcp=trace.is_modbus_tcp)
        return CaptureDone(line=args.line, frames=len(frames), pcap=base64.b64encode(file).decode())


def _cost(poller: Poller, args: BudgetQuery) -> WireCost:
    """The line's, at the rate and format that are asked for."""
    endpoint, cost = poller.endpoint, poller.cost
    if poller.is_modbus_tcp or not (args.baudrate or args.format):
        return cost
    is_serial = isinstance(endpoint, SerialPort)
    baudrate = args.baudrate or (endpoint.baudrate if isinstance(endpoint, SerialPort) else 9600)
    character = args.format or (endpoint.format if is_serial and isinstance(endpoint, SerialPort) else "8N1")
    bits = round(char_s(baudrate, character) * baudrate)
    return WireCost.serial(baudrate, char_bits=bits, turnaround_s=cost.turnaround_s)


def _published(share: Share) -> DeviceBudget:
    return DeviceBudget(
        device=share.device,
        interval_s=share.interval_s,
        reachable_s=round(share.reachable_s, 3),
        kept=share.is_kept,
        slow_interval_s=round(share.slow_interval_s, 3),
        share=round(share.share, 4),
        reads=share.reads,
        fast_s=round(share.fast_s, 4),
        full_s=round(share.full_s, 4),
    )


def _advice(budget: Budget) -> list[str]:
    """What cannot be kept, and what helps."""
    advice = [
        f"{share.device}: wants to be read each {share.interval_s:g} s, can be each {share.reachable_s:.3g} s"
        for share in budget.missed
    ]
    if budget.missed:
        slower = max(budget.wanted, 1.0)
        advice.append(
            f"the plan asks for {budget.wanted:.0%} of the line: make the intervals {slower:.2g} times as long, "
            "raise the baud rate, or move devices to another line"
        )
    elif budget.utilisation > COMFORT:
        advice.append(
            f"{budget.utilisation:.0%} of the line is in use: second tries and commands may make rounds late"
        )
    return advice
