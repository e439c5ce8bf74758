"""From a traced torch function to operations that know their derivatives."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trajopt_sgp.derivatives.traced.decompositions import DECOMPOSITIONS
from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY
from trajopt_sgp.derivatives.traced.emitter import Emitter, Value
from trajopt_sgp.derivatives.traced.handlers import ELEMENTWISE, HANDLERS, OF_MEMBERS, REARRANGEMENTS, RESHAPES
from trajopt_sgp.derivatives.traced.members import Members, by_member
from trajopt_sgp.derivatives.traced.recording import Function, Node, Recording, record, substituted
from trajopt_sgp.derivatives.traced.tape import Tape
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError


def trace(function: Function, z: Tensor, data: Sequence[Tensor]) -> Tape:
    """Return the tape of `function(z, *data)`, z `(K, d)`.

    Raises:
        UnsupportedError: an operation is not known, or mixes instances.
    """
    # what calling a user's function with recorded tensors may raise is open: any of it means that it cannot be traced
    inputs = [z, *data]
    return _Builder(len(z), inputs).build(record(function, inputs))


class _Builder:
    """Walks through recorded operations."""

    def __init__(self, instances: int, inputs: Sequence[Tensor]) -> None:
        self.emitter = Emitter(instances, inputs)
        self.values: dict[Node, Value | Members] = {}

    def build(self, recording: Recording) -> Tape:
        inputs, needed = iter(self.emitter.inputs), _needed(recording)
        for node in recording.nodes:
            self.emitter.name = node.title
            if node.name == "input":
                self.values[node] = next(inputs)
            elif node not in needed:
                continue
            elif any(self._active(source) for source in node.sources):
                self.values[node] = self._called(node)
            elif isinstance(node.value, Tensor):
                self.values[node] = self._data(node, *(node.args if node.name == "getitem" else (node, None)))
        return self.emitter.finish(self._together(recording.result), recording.sources)

    def _active(self, node: Node) -> bool:
        value = self.values.get(node)
        return isinstance(value, Members) or (value is not None and value.active)

    def _together(self, node: Node) -> Value:
        """Return the value of a node, of members joined."""
        value = self.values[node]
        if isinstance(value, Members):
            self.values[node] = value = value.joined(self.emitter)
        return value

    def _called(self, node: Node) -> Value | Members:
        apart = node.name in ELEMENTWISE or node.name in OF_MEMBERS
        look = self.values.__getitem__ if apart else self._together
        arguments, options = substituted((node.args, node.kwargs), look)
        if node.name in ELEMENTWISE and any(isinstance(argument, Members) for argument in arguments):
            return by_member(partial(self._handled, node), arguments, options)
        value: Value | Members = self._handled(node, *arguments, **options)
        return value

    def _handled(self, node: Node, *arguments: Any, **options: Any) -> Any:
        if node.name in HANDLERS:
            return HANDLERS[node.name](self.emitter, *arguments, **options)
        if node.name in RESHAPES:
            value: Value = arguments[0]
            return value.seen(lambda numbers: numbers.reshape(node.value.shape))
        if node.name == "_to_copy":
            return self._converted(node, arguments[0])
        if node.name in REARRANGEMENTS:
            return self._rearranged(node, arguments, options)
        # with other arguments than those that are known, it would have been decomposed
        if node.name in ELEMENTARY and (node.target in DECOMPOSITIONS or not (arguments[1:] or options)):
            return self.emitter.apply(ELEMENTARY[node.name], arguments[0])
        raise UnsupportedError(f"{node.title} is not known in closed form")

    def _converted(self, node: Node, value: Value) -> Value:
        """Return the same value: everything is computed in double precision, to which conditions are converted too."""
        before, after = node.args[0].value.dtype, node.value.dtype
        if after not in (torch.float64, before) and (before.is_floating_point or not after.is_floating_point):
            raise UnsupportedError(f"{node.title}: a change of precision")
        return value

    def _rearranged(self, node: Node, arguments: Sequence[Any], options: Any) -> Value:
        value, *rest = arguments
        if any(self._given(part) for part in (rest, *options.values())):
            raise UnsupportedError(f"{node.title} with indices that depend on inputs")
        target: Any = node.target
        return Value.seen(value, lambda numbers: target(numbers, *rest, **options))

    def _given(self, argument: Any) -> bool:
        """Return whether something recorded is among arguments."""
        if isinstance(argument, tuple | list):
            return any(self._given(part) for part in argument)
        return isinstance(argument, Value)

    def _data(self, node: Node, origin: Node, part: int | None) -> Value:
        """Return what depends on the data alone: the result of an operation, or one of several results."""
        sources = [self._together(source) for source in origin.sources]
        return self.emitter.data(sources, _function_of(origin, part), node.value.shape)


def _needed(recording: Recording) -> set[Node]:
    """Return the nodes on which the result depends."""
    needed = {recording.result}
    for node in reversed(recording.nodes):
        if node in needed:
            needed.update(node.sources)
    return needed


def _function_of(node: Node, part: int | None) -> Callable[..., Tensor]:
    """Return an operation, or one of its results, as a function of its sources."""
    places = {source: place for place, source in enumerate(node.sources)}
    target: Any = node.target

    def function(*given: Tensor) -> Tensor:
        arguments, options = substituted((node.args, node.kwargs), lambda source: given[places[source]])
        result = target(*arguments, **options)
        chosen: Tensor = result if part is None else result[part]
        return chosen

    return function
