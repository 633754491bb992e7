"""A planned read of one unit, made ready once for all its rounds. Pure."""

from functools import cached_property

from ccm_bus_reader.decode import Decoder, decoder_of
from ccm_bus_reader.drivers.modbus import Request
from ccm_bus_reader.plan import Block
from ccm_bus_reader.plausible import Beliefs, Watch


class PlannedRead:
    """One block of one unit. Two of the same block are two reads."""

    def __init__(self, block: Block, unit: int, beliefs: Beliefs) -> None:
        self.block = block
        self.request = Request(unit, block.function, block.address, block.count)
        self._beliefs = beliefs

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Of its points."""
        return tuple(point.metric for point in self.block.points)

    @cached_property
    def decode(self) -> Decoder:
        """Made when the first answer comes: many a variant is never sent."""
        return decoder_of(self.block)

    @cached_property
    def watch(self) -> Watch:
        """What is believed of its values."""
        return self._beliefs.watch(self.metrics)
