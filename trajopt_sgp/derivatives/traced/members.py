"""Values side by side along a first dimension, as the members of an ensemble compute them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from trajopt_sgp.derivatives.traced.emitter import Emitter, Value
from trajopt_sgp.derivatives.traced.operations import Shape


@dataclass(frozen=True, eq=False)
class Members:
    """Values of one shape that are kept apart until something needs them together: nothing is copied before."""

    values: Sequence[Value]
    """Each without the first dimension."""

    @property
    def shape(self) -> Shape:
        """Of all together."""
        return len(self.values), *self.values[0].shape

    def joined(self, emitter: Emitter) -> Value:
        """Return one value, the members along its first dimension."""
        return emitter.join([value.seen(lambda numbers: numbers[None]) for value in self.values], 0)


def by_member(function: Callable[..., Value], arguments: Sequence[Any], options: Any) -> Members:
    """Return an elementwise function of members and of what is broadcast to them, member by member."""
    members = [argument for argument in arguments if isinstance(argument, Members)]
    count, dimensions = len(members[0].values), len(members[0].shape)
    parts = [
        split(part, count) if len(getattr(part, "shape", ())) == dimensions else [part] * count for part in arguments
    ]
    return Members([function(*own, **options) for own in zip(*parts, strict=True)])


def split(argument: Any, count: int) -> list[Any]:
    """Return what belongs to each of several members."""
    if isinstance(argument, Members):
        return list(argument.values)
    places = range(count) if argument.shape[0] > 1 else [0] * count
    return [argument.seen(itemgetter(k)) if isinstance(argument, Value) else argument[k] for k in places]
