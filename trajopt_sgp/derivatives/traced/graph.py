"""From a traced torch function to operations that know their derivatives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.derivatives.traced.decompositions import DECOMPOSITIONS
from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY, Elementary
from trajopt_sgp.derivatives.traced.handlers import HANDLERS
from trajopt_sgp.derivatives.traced.operations import Data, Elementwise, IntArray, Operation, Pick, Shape
from trajopt_sgp.derivatives.traced.recording import Function, Node, Recording, record, substituted
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

_UNCHANGED = ("clone", "alias", "contiguous", "lift_fresh_copy")


@dataclass
class Tape:
    """The operations of a function, in order."""

    operations: list[Operation] = field(default_factory=list)
    """Each takes earlier places."""
    constants: dict[int, Tensor] = field(default_factory=dict)
    """Values that never change, by place."""
    shapes: dict[int, Shape] = field(default_factory=dict)
    """Shape of each value, with K for the instances."""
    active: set[int] = field(default_factory=set)
    """Places that depend on the variables; place 0 is the variables."""
    size: int = 0
    """Number of places."""
    result: int = 0
    """Place of the result."""
    sources: list[Tensor] = field(default_factory=list)
    """Weights and constants that were read, themselves and not copies."""


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
        self.instances, self.tape = instances, Tape(active={0}, size=len(inputs))
        self.tape.shapes.update((place, tuple(value.shape)) for place, value in enumerate(inputs))
        self.place: dict[Node, int] = {}
        self.unknown: set[Node] = set()

    def build(self, recording: Recording) -> Tape:
        for node in recording.nodes:
            if node.name == "input":
                self.place[node] = len(self.place)
            else:
                self._call(node)
        self.tape.result = self.place_of(recording.result)
        self.tape.sources = list(recording.sources)
        return self.tape

    def _call(self, node: Node) -> None:
        sources = node.sources
        if not self.unknown.isdisjoint(sources):
            raise UnsupportedError("a second result of an operation is used")
        if node.name == "getitem":
            self._first_of(node)
            return
        if not any(self.place[n] in self.tape.active for n in sources):
            self._emit_data(node, sources)
            return
        if isinstance(node.value, Tensor) and (not node.value.ndim or node.value.shape[0] != self.instances):
            raise UnsupportedError(f"{node.name} mixes instances")
        handler = HANDLERS.get(node.name)
        if handler is not None:
            handler(self, node)
        elif node.name in ELEMENTARY:
            # with other arguments than those that are known, it would have been decomposed
            if (node.args[1:] or node.kwargs) and node.target not in DECOMPOSITIONS:
                raise UnsupportedError(f"{node.name} is known without further arguments alone")
            self.elementary_of(node, ELEMENTARY[node.name])
        elif node.name in _UNCHANGED or (node.name == "_to_copy" and node.value.dtype == torch.float64):
            self.place[node] = self.place_of(node.args[0])
        else:
            raise UnsupportedError(f"{node.name} is not known in closed form")

    def _first_of(self, node: Node) -> None:
        """The first of several results is the one whose derivatives are known."""
        if node.args[1] == 0:
            self.place[node] = self.place[node.args[0]]
        else:
            self.unknown.add(node)

    def emit(
        self,
        node: Node,
        kind: Callable[..., Operation],
        inputs: Sequence[int],
        shape: Shape | None = None,
        **settings: Any,
    ) -> int:
        """Add an operation and return its place; the place of the node is the last one added for it.

        The shape of the result is that of the node where none is given.
        """
        place = self.new_place(node, shape)
        self.write(kind, place, inputs, **settings)
        return place

    def new_place(self, node: Node, shape: Shape | None = None) -> int:
        """Return a place for a value of the node that is still to be written."""
        place = self.tape.size
        self.tape.size += 1
        self.tape.shapes[place] = self.shape(node) if shape is None else shape
        self.place[node] = place
        return place

    def write(self, kind: Callable[..., Operation], place: int, inputs: Sequence[int], **settings: Any) -> None:
        """Add an operation that writes to a place."""
        self.tape.operations.append(kind(output=place, inputs=tuple(inputs), **settings))
        if any(i in self.tape.active for i in inputs):
            self.tape.active.add(place)

    def _emit_data(self, node: Node, sources: Sequence[Node]) -> None:
        target: Any = node.target
        places = {n: i for i, n in enumerate(sources)}

        def function(*values: Tensor) -> Tensor:
            args, options = substituted((node.args, node.kwargs), lambda n: values[places[n]])
            result: Tensor = target(*args, **options)
            return result.to(torch.float64)

        self.emit(node, Data, [self.place[n] for n in sources], function=function)

    def place_of(self, argument: Any) -> int:
        """Return the place of a node, or of a constant."""
        if isinstance(argument, Node):
            return self.place[argument]
        place = self.tape.size
        self.tape.size += 1
        constant = torch.as_tensor(argument, dtype=torch.float64).detach().clone()
        self.tape.constants[place], self.tape.shapes[place] = constant, tuple(constant.shape)
        return place

    def shape(self, argument: Any) -> Shape:
        """Return the shape of a node's value."""
        return tuple(torch.as_tensor(argument.value if isinstance(argument, Node) else argument).shape)

    def pick(self, node: Node, source: Any, rearrange: Callable[[Tensor], Tensor], shape: Shape | None = None) -> int:
        """Add what `rearrange` does to the entries of a value `(K, ...)`."""
        place = self.place_of(source)
        index = rearranged(self.tape.shapes[place], rearrange)
        return self.emit(node, Pick, [place], index=index)

    def data(self, node: Node, function: Callable[..., Tensor], place: int) -> int:
        """Add a function of a value that does not depend on the variables."""
        return self.emit(node, Data, [place], self.tape.shapes[place], function=function)

    def elementary_of(self, node: Node, elementary: Elementary) -> int:
        """Add an elementwise function of the first argument."""
        return self.elementary(node, elementary, self.place_of(node.args[0]))

    def elementary(self, node: Node, elementary: Elementary, place: int) -> int:
        """Add an elementwise function of the value at a place."""
        return self.emit(node, Elementwise, [place], self.tape.shapes[place], elementary=elementary)

    def constant(self, argument: Tensor) -> Tensor:
        """Return a tensor that was not recorded, in float64."""
        return argument.to(torch.float64).detach().contiguous()


def rearranged(shape: Shape, rearrange: Callable[[Tensor], Tensor]) -> IntArray:
    """Return which entry of an instance of a value `(K, ...)` each entry of the rearranged instance is."""
    numbers = torch.arange(int(np.prod(shape[1:])), dtype=torch.float64).reshape(1, *shape[1:]).expand(shape)
    index = rearrange(numbers)
    if not torch.equal(index, index[:1].expand(index.shape)):
        raise UnsupportedError("an operation mixes instances")
    return np.asarray(index[0].reshape(-1).numpy(), dtype=np.int64)
