"""The profile of a secondary device as its principal shows it: every address moved into its window. Pure."""

from ccm_bus_reader.model import Limits, Profile
from ccm_bus_reader.point import Point
from ccm_kit.errors import BadInputError


def behind(own: Profile, principal: Profile, index: int) -> Profile:
    """`own` as read through `principal`. Raises `BadInputError` where that cannot be."""
    window = principal.secondaries
    if window is None:
        raise BadInputError(f"{principal.id} has no secondary devices", field="secondary")
    if index > window.most:
        raise BadInputError(
            f"{principal.id} has at most {window.most} secondary devices", field="secondary.index"
        )
    first, end = window.offset(index), window.offset(index) + window.stride
    points = tuple(_moved(point, first) for point in own.points)
    far = next((point for point in points if point.span[1] > end), None)
    if far is not None:
        raise BadInputError(
            f"{own.id}: {far.metric} lies outside the window of a secondary device", field="model"
        )
    return own.model_copy(
        update={
            "points": points,
            "commands": tuple(
                command.model_copy(update={"address": command.address + first}) for command in own.commands
            ),
            "limits": _limits(own.limits, first, end),
            "timing": principal.timing,
        }
    )


def _moved(point: Point, by: int) -> Point:
    """The point with all that it reads `by` addresses further on."""
    along = ("address", "scale_register", "sign_register", "less", "high")
    held = {name: getattr(point, name) for name in along}
    moved: dict[str, object] = {name: None if at is None else at + by for name, at in held.items()}
    return point.model_copy(update=moved | {"plus": tuple(at + by for at in point.plus)})


def _limits(own: Limits, first: int, end: int) -> Limits:
    moved = [(low + first, min(high + first, end - 1)) for low, high in own.unreadable if low + first < end]
    outside = [(low, high) for low, high in ((0, first - 1), (end, 65535)) if low <= high]
    return Limits(
        max_block=own.max_block,
        unreadable=tuple(sorted([*moved, *outside])),
        barriers=tuple(barrier + first for barrier in own.barriers if barrier + first < end),
    )
