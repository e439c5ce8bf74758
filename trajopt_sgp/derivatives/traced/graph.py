"""From a traced torch function to operations that know their derivatives."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY, Elementary
from trajopt_sgp.derivatives.traced.handlers import HANDLERS, operation_name
from trajopt_sgp.derivatives.traced.operations import (
    Data,
    Elementwise,
    Linear,
    Operation,
    Shape,
)
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

Function = Callable[..., Tensor]

_DECOMPOSED = (
    torch.ops.aten.linalg_vector_norm,
    torch.ops.aten.rsub,
    torch.ops.aten.addcmul,
    torch.ops.aten.stack,
)
_COMPARISONS = ("gt", "ge", "lt", "le", "eq", "ne", "sign", "zeros_like", "ones_like", "full_like")
_UNCHANGED = ("clone", "alias", "contiguous", "lift_fresh_copy")


@dataclass
class Tape:
    """The operations of a function, in order."""

    operations: list[Operation] = field(default_factory=list)
    """Each takes earlier places."""
    constants: dict[int, Tensor] = field(default_factory=dict)
    """Values that never change, by place."""
    active: set[int] = field(default_factory=set)
    """Places that depend on the variables; place 0 is the variables."""
    size: int = 0
    """Number of places."""
    result: int = 0
    """Place of the result."""
    inputs: int = 1
    """Number of places, from 0, that are given with every call."""
    sources: list[Tensor] = field(default_factory=list)
    """Weights and constants that were read, themselves and not copies."""


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
        given = iter(range(len(inputs)))
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                place = next(given)
                self.example[node], self.place[node] = inputs[place], place
            elif node.op == "get_attr":
                source = operator.attrgetter(str(node.target))(graph)
                self.tape.sources.append(source)
                self.example[node] = source.detach()
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
        if not any(self.place[n] in self.tape.active for n in sources) or name in _COMPARISONS:
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

    def emit(self, node: fx.Node, kind: Callable[..., Operation], inputs: Sequence[int], **settings: Any) -> int:
        """Add an operation and return its place; the place of the node is the last one added for it."""
        place = self.tape.size
        self.tape.size += 1
        self.tape.operations.append(kind(output=place, inputs=tuple(inputs), **settings))
        if any(i in self.tape.active for i in inputs) and kind is not Data:
            self.tape.active.add(place)
        self.place[node] = place
        return place

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
        self.tape.constants[place] = torch.as_tensor(value, dtype=torch.float64).detach().clone()
        return place

    def shape(self, argument: Any) -> Shape:
        """Return the shape of a node's value."""
        return tuple(torch.as_tensor(self.example[argument] if isinstance(argument, fx.Node) else argument).shape)

    def linear(
        self, node: fx.Node, source: Any, forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor]
    ) -> int:
        """Add a linear operation."""
        return self.emit(node, Linear, [self.place_of(source)], forward=forward, backward=backward)

    def elementary_of(self, node: fx.Node, elementary: Elementary) -> int:
        return self.elementary(node, elementary, self.place_of(node.args[0]))

    def elementary(self, node: fx.Node, elementary: Elementary, place: int) -> int:
        return self.emit(
            node,
            Elementwise,
            [place],
            function=elementary.function,
            first=elementary.first,
            second=elementary.second,
        )

    def constant(self, argument: Any) -> Tensor:
        constant: Tensor = self.example[argument].to(torch.float64).detach().contiguous()
        return constant
