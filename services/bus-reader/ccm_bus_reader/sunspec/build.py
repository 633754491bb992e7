"""From the models that a device has to the points and commands of its profile."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from ccm_bus_reader.decode import text_of
from ccm_bus_reader.model import Profile
from ccm_bus_reader.point import Point, WritePoint
from ccm_bus_reader.sunspec.chain import NotFoundError, Place
from ccm_bus_reader.sunspec.table import OURS, CommandRow, Model, Repeat, Role, Row, tables
from ccm_bus_reader.swift import FACTORS
from ccm_contracts.metrics import METRICS

Held = Mapping[int, Sequence[int]]
"""Registers of the models that had to be read, by the address of the model's ID register."""
Chosen = tuple[Place, Model]


def choose(chain: Sequence[Place], role: Role, instance: int) -> list[Chosen]:
    """The models to use, in the order in which they count: of each table the `instance`-th, with its own common model.

    Raises `NotFoundError` when none of them makes a device of this role.
    """
    chosen: list[Chosen] = []
    first: Place | None = None
    for table in tables():
        places = [place for place in chain if place.model in table.ids]
        if role not in table.roles or table.ids == (1,) or len(places) < instance:
            continue
        place = places[instance - 1]
        chosen.append((place, table))
        if role in table.primary and (first is None or place.address < first.address):
            first = place
    if first is None:
        has = ", ".join(str(place.model) for place in chain) or "none"
        number = "" if instance == 1 else f" number {instance}"
        raise NotFoundError(f"has no SunSpec {role}{number}; its models are {has}")
    commons = [place for place in chain if place.model == 1 and place.address < first.address]
    return [*((place, tables()[0]) for place in commons[-1:]), *chosen]


def needs_registers(table: Model) -> bool:
    """Whether its scale factors or the kinds of its modules must be known before it can be used."""
    return table.is_static or table.repeat is not None or any(each.factor for each in table.commands)


def build(profile: Profile, chosen: Iterable[Chosen], held: Held) -> Profile:
    """The profile with the points and commands that these models bring; each metric and each command once."""
    points: dict[str, Point] = {}
    commands: dict[str, WritePoint] = {}
    for place, table in chosen:
        maker = _Maker(place, table, held.get(place.address), profile.limits.max_block)
        for point in maker.points():
            points.setdefault(point.metric, point)
        for command in maker.commands():
            commands.setdefault(command.name, command)
    return profile.model_copy(update={"points": tuple(points.values()), "commands": tuple(commands.values())})


class _Maker:
    """One model of the device; `words` are its registers from its ID on, where they were read."""

    def __init__(self, place: Place, table: Model, words: Sequence[int] | None, most: int) -> None:
        self._place = place
        self._table = table
        self._words = words
        is_long = table.repeat is not None and place.length + 2 > most
        self._is_fixed = table.is_static or is_long
        """Scale factors are taken as they were found, where they cannot be read with each value."""

    def points(self) -> Iterator[Point]:
        for row in self._table.points:
            if not row.only or self._place.model in row.only:
                yield from self._point(row, 0, row.metric)
        if self._table.repeat is not None and self._words is not None:
            yield from self._modules(self._table.repeat, self._words)

    def commands(self) -> Iterator[WritePoint]:
        for row in self._table.commands:
            exponent = 0 if row.factor is None else self._exponent(row.factor)
            if exponent is not None and row.offset < self._place.length + 2:
                yield self._command(row, exponent)

    def _point(self, row: Row, base: int, metric: str, less: int | None = None) -> Iterator[Point]:
        """The point, unless the device's model ends before it or its scale factor is not implemented."""
        type_, invalid = OURS[row.type]
        exponent = 0 if row.factor is None or not self._is_fixed else self._exponent(row.factor)
        if exponent is None:
            return
        address = self._place.address + base + row.offset
        point = Point(
            metric=metric,
            function=3,
            address=address,
            type=type_,
            length=row.length,
            scale=row.scale.scaleb(exponent),
            scale_register=self._factor_address(row),
            less=less,
            poll=row.poll,
            invalid=invalid,
            values=row.values,
            bits=row.bits,
        )
        if point.end <= self._place.end:
            yield point

    def _factor_address(self, row: Row) -> int | None:
        return None if self._is_fixed or row.factor is None else self._place.address + row.factor

    def _exponent(self, offset: int) -> int | None:
        """The scale factor there; None where it is not implemented."""
        if self._words is None:
            return 0
        if offset >= len(self._words):
            return None
        word = self._words[offset]
        factor = word - 0x10000 if word & 0x8000 else word
        return factor if factor in FACTORS else None

    def _modules(self, repeat: Repeat, words: Sequence[int]) -> Iterator[Point]:
        number = 0
        battery: dict[str, int] = {}
        for start in range(repeat.start, len(words) - repeat.size + 1, repeat.size):
            kind = _kind(repeat, words[start : start + repeat.size])
            if repeat.charge and kind.startswith((repeat.charge, repeat.discharge)):
                battery["charge" if kind.startswith(repeat.charge) else "discharge"] = start
            elif not repeat.inputs or kind in repeat.inputs:
                number += 1
                for row in repeat.points:
                    if (metric := f"{row.metric}{number}") in METRICS:
                        yield from self._point(row, start, metric)
        if repeat.battery is not None and len(battery) == 2:
            row = repeat.battery
            less = self._place.address + battery["charge"] + row.offset
            yield from self._point(row, battery["discharge"], row.metric, less)

    def _command(self, row: CommandRow, exponent: int) -> WritePoint:
        type_ = OURS[row.type][0]
        scale = Decimal(1).scaleb(exponent)
        most = row.maximum if row.maximum is not None else scale * 0xFFFE
        enable = None if row.enable is None else self._place.address + row.enable
        return WritePoint.model_validate(
            {
                "name": row.name,
                "label": row.label,
                "function": 16,
                "address": self._place.address + row.offset,
                "type": type_,
                "scale": scale,
                "minimum": row.minimum,
                "maximum": most,
                "unit": row.unit,
                "enable": enable,
            }
        )


def _kind(repeat: Repeat, module: Sequence[int]) -> str:
    kind = repeat.kind
    words = module[kind.offset : kind.offset + kind.length]
    return str(words[0]) if kind.type == "enum16" else text_of(words, "big") or ""
