"""From a traced torch function to operations that know their derivatives."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY, Elementary
from trajopt_sgp.derivatives.traced.handlers import HANDLERS, operation_name
from trajopt_sgp.derivatives.traced.operations import Data, Elementwise, IntArray, Operation, Pick, Shape
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

Function = Callable[..., Tensor]

_DECOMPOSED = (
    torch.ops.aten.linalg_vector_norm,
    torch.ops.aten.rsub,
    torch.ops.aten.addcmul,
    torch.ops.aten.stack,
)
_FILLED = ("zeros_like", "ones_like", "full_like")
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
    inputs: int = 1
    """Number of places, from 0, that are given with every call."""


def trace(function: Function, z: Tensor, data: Sequence[Tensor]) -> Tape:
    """Return the tape of `function(z, *data)`, z `(K, d)`.

    Raises:
        UnsupportedError: an operation is not known, or mixes instances.
    """
    # what tracing may raise on a user's function is open: any of it means that the function cannot be traced
    table: Any = get_decompositions(_DECOMPOSED)
    graph = make_fx(function, decomposition_table=table)(z, *data)
    return _Builder(len(z)).build(graph, [z, *data])


class _Builder:
    """Walks through a traced graph, evaluating it on an example to learn shapes."""

    def __init__(self, instances: int) -> None:
        self.instances, self.tape = instances, Tape()
        self.example: dict[fx.Node, Any] = {}
        self.place: dict[fx.Node, int] = {}
        self.unknown: set[fx.Node] = set()

    def build(self, graph: fx.GraphModule, inputs: Sequence[Tensor]) -> Tape:
        self.tape.inputs = self.tape.size = len(inputs)
        self.tape.active.add(0)
        self.tape.shapes.update((place, tuple(value.shape)) for place, value in enumerate(inputs))
        given = iter(range(len(inputs)))
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                place = next(given)
                self.example[node], self.place[node] = inputs[place], place
            elif node.op == "get_attr":
                self.example[node] = operator.attrgetter(str(node.target))(graph).detach()
            elif node.op == "call_function":
                self._call(node)
            else:
                self._finish(node)
        return self.tape

    def _finish(self, node: fx.Node) -> None:
        result = node.args[0]
        if not isinstance(result, fx.Node):
            raise UnsupportedError("the function does not return a tensor")
        self.tape.result = self.place_of(result)

    def _call(self, node: fx.Node) -> None:
        arguments = fx.map_arg(node.args, lambda n: self.example[n])
        options = fx.map_arg(node.kwargs, lambda n: self.example[n])
        target: Any = node.target
        value = target(*arguments, **options)
        self.example[node] = value
        if not self.unknown.isdisjoint(node.all_input_nodes):
            raise UnsupportedError("a second result of an operation is used")
        sources = [n for n in node.all_input_nodes if n in self.place]
        if not sources:
            return
        name = operation_name(node)
        if target is operator.getitem:
            self._first_of(node)
            return
        if name in _FILLED:
            return
        if not any(self.place[n] in self.tape.active for n in sources):
            self._emit_data(node, sources)
            return
        if isinstance(value, Tensor) and (not value.ndim or value.shape[0] != self.instances):
            raise UnsupportedError(f"{name} mixes instances")
        handler = HANDLERS.get(name)
        if handler is not None:
            handler(self, node)
        elif name in ELEMENTARY:
            self.elementary_of(node, ELEMENTARY[name])
        elif name in _UNCHANGED or (name == "_to_copy" and value.dtype == torch.float64):
            self.place[node] = self.place_of(node.args[0])
        else:
            raise UnsupportedError(f"{name} is not known in closed form")

    def _first_of(self, node: fx.Node) -> None:
        """The first of several results is the one whose derivatives are known."""
        if node.args[1] == 0:
            self.place[node] = self.place[node.args[0]]  # type: ignore[index]
        else:
            self.unknown.add(node)

    def emit(
        self,
        node: fx.Node,
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

    def new_place(self, node: fx.Node, shape: Shape | None = None) -> int:
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

    def _emit_data(self, node: fx.Node, sources: Sequence[fx.Node]) -> None:
        target: Any = node.target
        places = {n: i for i, n in enumerate(sources)}

        def function(*values: Tensor) -> Tensor:
            look: Callable[[fx.Node], Any] = lambda n: values[places[n]] if n in places else self.example[n]  # noqa: E731
            result: Tensor = target(*fx.map_arg(node.args, look), **fx.map_arg(node.kwargs, look))
            return result.to(torch.float64)

        self.emit(node, Data, [self.place[n] for n in sources], function=function)

    def place_of(self, argument: Any) -> int:
        """Return the place of a node, or of a constant."""
        if isinstance(argument, fx.Node) and argument in self.place:
            return self.place[argument]
        value = self.example[argument] if isinstance(argument, fx.Node) else argument
        place = self.tape.size
        self.tape.size += 1
        constant = torch.as_tensor(value, dtype=torch.float64).detach().clone()
        self.tape.constants[place], self.tape.shapes[place] = constant, tuple(constant.shape)
        return place

    def shape(self, argument: Any) -> Shape:
        """Return the shape of a node's value."""
        return tuple(torch.as_tensor(self.example[argument] if isinstance(argument, fx.Node) else argument).shape)

    def pick(
        self, node: fx.Node, source: Any, rearrange: Callable[[Tensor], Tensor], shape: Shape | None = None
    ) -> int:
        """Add what `rearrange` does to the entries of a value `(K, ...)`."""
        place = self.place_of(source)
        index = rearranged(self.tape.shapes[place], rearrange)
        return self.emit(node, Pick, [place], index=index)

    def data(self, node: fx.Node, function: Callable[..., Tensor], place: int) -> int:
        """Add a function of a value that does not depend on the variables."""
        return self.emit(node, Data, [place], self.tape.shapes[place], function=function)

    def elementary_of(self, node: fx.Node, elementary: Elementary) -> int:
        """Add an elementwise function of the first argument."""
        return self.elementary(node, elementary, self.place_of(node.args[0]))

    def elementary(self, node: fx.Node, elementary: Elementary, place: int) -> int:
        """Add an elementwise function of the value at a place."""
        return self.emit(node, Elementwise, [place], self.tape.shapes[place], elementary=elementary)

    def constant(self, argument: Any) -> Tensor:
        """Return the value of a node that is constant."""
        constant: Tensor = self.example[argument].to(torch.float64).detach().contiguous()
        return constant


def rearranged(shape: Shape, rearrange: Callable[[Tensor], Tensor]) -> IntArray:
    """Return which entry of an instance of a value `(K, ...)` each entry of the rearranged instance is."""
    numbers = torch.arange(int(np.prod(shape[1:])), dtype=torch.float64).reshape(1, *shape[1:]).expand(shape)
    index = rearrange(numbers)
    if not torch.equal(index, index[:1].expand(index.shape)):
        raise UnsupportedError("an operation mixes instances")
    return np.asarray(index[0].reshape(-1).numpy(), dtype=np.int64)
