"""What one lane takes from its segment of the bus and has in hand, until it is finished with: slots, ledger, bounds.

At most one batch (with `Fetch.is_to_disk` three) and one candidate per device are in hand, each kept from being
delivered again.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final

from ccm_contracts.channels import TELEMETRY
from ccm_contracts.messages import Reading
from ccm_kit.bus import Consumer, Delivery
from ccm_kit.errors import BusDownError
from ccm_uplink.batch import Key, by_device
from ccm_uplink.beginning import begin
from ccm_uplink.family import Shared
from ccm_uplink.gathering import Gathering
from ccm_uplink.history.rows import ms_of
from ccm_uplink.looking_up import JUDGED_AT_ONCE, look_up
from ccm_uplink.meter import EXHAUSTED_LATENCY_S
from ccm_uplink.segments import Segment
from ccm_uplink.slots import Slots

CAUGHT_UP_BELOW: Final = 50
"""A fetch that brings fewer has emptied the bus."""
ACK_WAIT_S: Final = 8.0
"""What a killed uplink had in hand is delivered again after so long."""
KEEP_S: Final = 2.5
"""How often what is in hand is kept from being delivered again."""
ASK_S: Final = 1.0
"""Gaps in numbers ask the stream what it still has, at most once in so long."""
BEHIND_S: Final = 15.0
"""A link that takes messages again and is further behind than this gets what is new first."""
AT_THE_END: Final = 20
"""Messages asked for at once while the last ones of a segment are still in hand somewhere."""


class Intake:
    """`fetch`, then `chosen` for what goes to the sink; each of it ends with `finish`."""

    def __init__(self, shared: Shared, segment: Segment) -> None:
        self.segment = segment
        self.is_oldest = False
        """It is the oldest segment of its outbox."""
        self.consumer: Consumer = shared.bus.consumer(
            segment.name, *shared.channels, ack_wait_s=ACK_WAIT_S, start_seq=segment.start
        )
        self.consumer.when_unfit = partial(shared.report.ledger.was_unfit, segment.name)
        self._shared = shared
        self._slots: Slots[Delivery] = Slots(shared.latency_s)
        self._flushed: tuple[Delivery, ...] = ()
        self._gathering: Gathering[Delivery] = Gathering()
        self._in_hand: dict[Key, Delivery] = {}
        self._unsettled: dict[Key, Delivery] = {}
        """Delivered, and not yet acknowledged: see `arrived`."""
        self._saw_end = False
        self._is_begun = False
        self._fetched_at_s = 0.0
        self._newest_age_s = 0.0
        self._first_kept = 0
        self._ask_again_s = 0.0

    @property
    def is_backlog(self) -> bool:
        return self.segment.end is not None

    @property
    def is_behind(self) -> bool:
        """By the age of the newest message that was taken, as if more had come since."""
        return self._shared.bus.clock.monotonic() - self._fetched_at_s + self._newest_age_s >= BEHIND_S

    @property
    def is_catching_up(self) -> bool:
        """Limits hold for it: a backlog beside what is live, or in one order what is behind."""
        shared = self._shared
        return self.is_backlog or (shared.has_limits and not shared.is_live_first and self.is_behind)

    @property
    def unsettled(self) -> int:
        """Messages that are delivered, and not yet acknowledged."""
        return len(self._unsettled)

    def is_caught_up(self) -> None:
        """Nothing came since."""
        self._newest_age_s = 0.0
        self._fetched_at_s = self._shared.bus.clock.monotonic()

    def oldest(self) -> datetime | None:
        """When the oldest message in hand was stored."""
        return min((delivery.stored_at for delivery in self._in_hand.values()), default=None)

    async def release(self) -> None:
        """Give back what is in hand."""
        for delivery in self._in_hand.values():
            await delivery.release()
        await self.consumer.close()

    async def keep(self) -> None:
        """Keep what is in hand from being delivered again, for ever."""
        while True:
            await asyncio.sleep(KEEP_S)
            await self.consumer.keep([*self._in_hand.values(), *self._unsettled.values()])
            if self._shared.report.ledger.has_suspects(self.segment.name):
                await self._judge_suspects()

    async def _judge_suspects(self) -> None:
        with suppress(BusDownError):
            ledger, name = self._shared.report.ledger, self.segment.name
            acked = (await self.consumer.facts()).acked_seq
            due = ledger.due(name, acked)[:JUDGED_AT_ONCE]
            await look_up(self._shared.bus, ledger, name, due)
            ledger.is_acknowledged_to(name, due[-1][0] if len(due) == JUDGED_AT_ONCE else acked)

    async def judge_all(self) -> None:
        """Its segment is delivered to its end. Raises `BusDownError`."""
        ledger, name = self._shared.report.ledger, self.segment.name
        await look_up(self._shared.bus, ledger, name, ledger.due(name))

    # --- from the bus --------------------------------------------------------------------------------

    async def fetch(self) -> list[Delivery]:
        """What is next in the segment; what is beyond its end belongs to another one. Raises `BusDownError`."""
        if not self._is_begun:
            facts = await self.consumer.facts()
            await begin(self._shared, self.segment, facts, is_oldest=self.is_oldest)
            self._is_begun = True
        fetch = self._shared.fetch
        most = AT_THE_END if self._saw_end else fetch.most
        found = await self.consumer.fetch(most, fetch.wait_s, 0.0 if self.is_backlog else fetch.gather_s)
        clock = self._shared.bus.clock
        self._fetched_at_s = clock.monotonic()
        if found:
            self._newest_age_s = (clock.now() - found[-1].stored_at).total_seconds()
        else:
            self._newest_age_s = 0.0
        if self.segment.end is None:
            return found
        mine = [delivery for delivery in found if delivery.seq <= self.segment.end]
        self._saw_end = self._saw_end or len(mine) < len(found) or not found
        await self.consumer.ack([delivery for delivery in found if delivery.seq > self.segment.end])
        return mine

    async def is_delivered(self) -> bool:
        """Whether nothing of the segment is left, here or with an uplink that was killed. Raises `BusDownError`."""
        if not self._saw_end:
            return False
        facts = await self.consumer.facts()
        end = self.segment.end
        return (
            not self._in_hand
            and facts.unacked == 0
            and end is not None
            and (facts.waiting == 0 or facts.delivered_seq >= end)
        )

    async def chosen(self, found: Sequence[Delivery]) -> list[Delivery]:
        """What goes to the sink now, in order."""
        batch, due = self._shared.batch, await self._due(found)
        flushed, self._flushed = self._flushed, ()
        if flushed:
            return [*self._gathering.all(), *flushed, *due]
        wait_s = batch.max_wait_s if batch.enabled and not self.is_catching_up else 0
        now_s = self._shared.bus.clock.monotonic()
        return self._gathering.add(due, now_s, wait_s=wait_s, most=batch.max_messages)

    async def _due(self, found: Sequence[Delivery]) -> list[Delivery]:
        """What their slots release."""
        await self._use_latency(self._latency_s())
        new = await self._taken(found)
        if not self._slots.latency_s:
            return new
        due = await self._picked(new)
        if len(found) < CAUGHT_UP_BELOW:
            due += self._slots.due(ms_of(self._shared.bus.clock.now()))
        return due

    async def _picked(self, new: Sequence[Delivery]) -> list[Delivery]:
        """Those that their slots release; what they supersede is finished with."""
        released: list[Delivery] = []
        now_ms = ms_of(self._shared.bus.clock.now())
        for delivery in new:
            picked = self._slots.offer(delivery.subject, ms_of(delivery.message.ts), delivery, now_ms)
            released += picked.released
            self._shared.report.ledger.thinned += len(picked.superseded)
            await self.finish(picked.superseded)
        return released

    async def _taken(self, found: Sequence[Delivery]) -> list[Delivery]:
        """What is new; what was finished already is acknowledged once more."""
        finished, in_hand, unsettled = self._shared.finished, self._in_hand, self._unsettled
        fresh = {delivery.key: delivery for delivery in found}
        if unsettled and not unsettled.keys().isdisjoint(fresh):
            fresh = {key: delivery for key, delivery in fresh.items() if key not in unsettled}
        if not finished.has_none_of(fresh):
            await self.consumer.ack([delivery for key, delivery in fresh.items() if key in finished])
            fresh = {key: delivery for key, delivery in fresh.items() if key not in finished}
        if not in_hand.keys().isdisjoint(fresh):
            fresh = {key: delivery for key, delivery in fresh.items() if key not in in_hand}
        in_hand.update(fresh)
        new = list(fresh.values())
        if self._shared.has_ledger:
            await self._note(new)
        return new

    async def _note(self, new: Sequence[Delivery]) -> None:
        ledger, name = self._shared.report.ledger, self.segment.name
        for device, those in by_device(new).items():
            seqs = [delivery.message.seq for delivery in those]
            if not ledger.follow(name, device, seqs, [delivery.seq for delivery in those]):
                for delivery in those:
                    await self._note_one(device, delivery)

    async def _note_one(self, device: str, delivery: Delivery) -> None:
        ledger, bus, name = self._shared.report.ledger, self._shared.bus, self.segment.name
        seq = delivery.message.seq
        if ledger.is_gap(name, device, seq) and bus.clock.monotonic() >= self._ask_again_s:
            self._ask_again_s = bus.clock.monotonic() + ASK_S
            with suppress(BusDownError):
                self._first_kept = (await bus.stream_facts(TELEMETRY)).first_seq
        ledger.saw(name, device, seq, delivery.seq, bus.clock.now(), self._first_kept)

    def _latency_s(self) -> int:
        """Of a link whose budget is used up, what is new is thinned; a backlog waits as it is."""
        shared, report = self._shared, self._shared.report
        if shared.has_ledger and report.counts != "files" and not self.is_catching_up and report.is_used_up():
            return max(shared.latency_s, EXHAUSTED_LATENCY_S)
        return shared.latency_s

    async def _use_latency(self, latency_s: int) -> None:
        """What waits for the end of a slot goes at once, or waits for that of a longer one."""
        if latency_s == self._slots.latency_s:
            return
        waiting, is_longer = self._slots.flush(), latency_s > self._slots.latency_s
        self._slots = Slots(latency_s)
        if is_longer:
            self._flushed += tuple(await self._picked(waiting))
        else:
            self._flushed += waiting

    # --- done ----------------------------------------------------------------------------------------

    async def finish(self, deliveries: Sequence[Delivery], *, was_delivered: bool = False) -> None:
        """Acknowledge and forget them."""
        self._forget(deliveries, was_delivered=was_delivered)
        await self.consumer.ack(deliveries)

    def arrived(self, deliveries: Sequence[Delivery]) -> None:
        """They were delivered; `settle` acknowledges them later."""
        self._forget(deliveries, was_delivered=True)
        self._unsettled.update((delivery.key, delivery) for delivery in deliveries)

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge what has `arrived`."""
        for delivery in deliveries:
            self._unsettled.pop(delivery.key, None)
        await self.consumer.ack(deliveries)

    def _forget(self, deliveries: Sequence[Delivery], *, was_delivered: bool) -> None:
        keys = [delivery.key for delivery in deliveries]
        for key in keys:
            self._in_hand.pop(key, None)
        self._shared.finished.add(keys)
        self._book(deliveries, was_delivered=was_delivered)

    def _book(self, deliveries: Sequence[Delivery], *, was_delivered: bool) -> None:
        report = self._shared.report
        if was_delivered:
            report.delivered += len(deliveries)
            size = sum([len(delivery.payload) for delivery in deliveries])
            report.handed(size, len(deliveries), is_live=not self.is_catching_up)
        if not self._shared.has_ledger:
            return
        for device, those in by_device(deliveries).items():
            delivered = [(delivery.message.seq, delivery.message.ts) for delivery in those]
            report.ledger.settled(self.segment.name, device, max(delivered)[0])
            if was_delivered and report.ledger.was_delivered(self.segment.name, device, delivered):
                report.is_changed()

    def lowest_in_hand(self) -> dict[str, int]:
        """The lowest number in hand of each device."""
        lowest: dict[str, int] = {}
        for delivery in self._in_hand.values():
            if isinstance(reading := delivery.message, Reading):
                lowest[reading.device] = min(reading.seq, lowest.get(reading.device, reading.seq))
        return lowest

    def send_now(self) -> int:
        """Release what waits for the end of its slot or for others, with the next batch; how many that are."""
        waiting = (*self._gathering.all(), *self._slots.flush())
        self._flushed += waiting
        return len(waiting)

    def park(self, delivery: Delivery, reason: str) -> None:
        """Tell the operator which message was refused and why."""
        self._shared.report.ledger.was_refused(delivery.message, self._shared.bus.clock.now())
        self._shared.bus.reject(delivery.subject, delivery.payload, reason)
