"""From a traced torch function to operations that know their derivatives."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY, Elementary, clamp, power
from trajopt_sgp.derivatives.traced.operations import (
    Affine,
    Data,
    Elementwise,
    Joined,
    Linear,
    Operation,
    Product,
    Shape,
    Sum,
    reduce_to,
)

Function = Callable[..., Tensor]

_DECOMPOSED = (
    torch.ops.aten.linalg_vector_norm,
    torch.ops.aten.rsub,
    torch.ops.aten.addcmul,
    torch.ops.aten.stack,
)
_COMPARISONS = ("gt", "ge", "lt", "le", "eq", "ne", "sign", "zeros_like", "ones_like", "full_like")
_UNCHANGED = ("clone", "alias", "contiguous", "lift_fresh_copy")


class UnsupportedError(Exception):
    """A function cannot be differentiated in closed form; says why."""


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
        self.tape.result = self._place_of(result)

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
        name = _name(node)
        if target is operator.getitem:
            self._first_of(node)
            return
        if not any(self.place[n] in self.tape.active for n in sources) or name in _COMPARISONS:
            self._emit_data(node, sources)
            return
        if isinstance(value, Tensor) and (not value.ndim or value.shape[0] != self.instances):
            raise UnsupportedError(f"{name} mixes instances")
        handler = _HANDLERS.get(name)
        if handler is not None:
            handler(self, node)
        elif name in ELEMENTARY:
            self._elementwise(node, ELEMENTARY[name])
        elif name in _UNCHANGED or (name == "_to_copy" and value.dtype == torch.float64):
            self.place[node] = self._place_of(node.args[0])
        else:
            raise UnsupportedError(f"{name} is not known in closed form")

    def _first_of(self, node: fx.Node) -> None:
        """The first of several results is the one whose derivatives are known."""
        if node.args[1] == 0:
            self.place[node] = self.place[_any(node.args[0])]
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

    def _place_of(self, argument: Any) -> int:
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
        return self.emit(node, Linear, [self._place_of(source)], forward=forward, backward=backward)

    def _elementwise(self, node: fx.Node, elementary: Elementary) -> int:
        return self._emit_elementary(node, elementary, self._place_of(node.args[0]))

    def _emit_elementary(self, node: fx.Node, elementary: Elementary, place: int) -> int:
        return self.emit(
            node,
            Elementwise,
            [place],
            function=elementary.function,
            first=elementary.first,
            second=elementary.second,
        )

    # --- handlers of operations ---------------------------------------------------------------------------------------

    def add(self, node: fx.Node, sign: float = 1.0) -> None:
        factor = sign * float(node.kwargs.get("alpha", 1.0))  # type: ignore[arg-type]
        self._check_alignment(node)
        shapes = (self.shape(node.args[0]), self.shape(node.args[1]))
        self.emit(node, Sum, [self._place_of(a) for a in node.args[:2]], factor=factor, shapes=shapes)

    def multiply(self, node: fx.Node) -> None:
        self._check_alignment(node)
        self.emit(node, Product, [self._place_of(a) for a in node.args[:2]])

    def divide(self, node: fx.Node) -> None:
        if len(node.args) > 2 or node.kwargs:
            raise UnsupportedError("rounded division is not smooth")
        self._check_alignment(node)
        above, below = (self._place_of(a) for a in node.args[:2])
        if below in self.tape.constants:
            self.tape.constants[below] = 1.0 / self.tape.constants[below]
            inverse = below
        else:
            inverse = self._emit_elementary(node, ELEMENTARY["reciprocal"], below)
        self.emit(node, Product, [above, inverse])

    def affine(self, node: fx.Node) -> None:
        bias, source, weight = (None, *node.args[:2]) if _name(node) == "mm" else node.args[:3]
        if weight in self.place or bias in self.place or source not in self.place:
            raise UnsupportedError("a product of matrices that both depend on inputs")
        settings = {"weight": self._constant(weight), "bias": None if bias is None else self._constant(bias)}
        self.emit(node, Affine, [self._place_of(source)], **settings)

    def slice(self, node: fx.Node) -> None:
        source, dim = node.args[0], node.args[1] if len(node.args) > 1 else 0
        bounds = [*node.args[2:5], None, None, None][:3]
        shape = self.shape(source)
        axis = self._inner(dim, len(shape))
        self._pick(node, source, shape, axis, slice(*bounds))

    def select(self, node: fx.Node) -> None:
        source, dim, index = node.args[:3]
        shape = self.shape(source)
        self._pick(node, source, shape, self._inner(dim, len(shape)), index)

    def _pick(self, node: fx.Node, source: Any, shape: Shape, axis: int, key: Any) -> None:
        where = (..., key, *[slice(None)] * (-axis - 1))

        def backward(adjoint: Tensor) -> Tensor:
            full = adjoint.new_zeros(shape)
            full[where] = adjoint
            return full

        self.linear(node, source, lambda a: a[where], backward)

    def join(self, node: fx.Node) -> None:
        parts: Any = node.args[0]
        dim = node.args[1] if len(node.args) > 1 else 0
        shapes = [self.shape(part) for part in parts]
        axis = self._inner(dim, len(shapes[0]))
        places = [self._place_of(part) for part in parts]
        for place, shape in zip(places, shapes, strict=True):
            if place in self.tape.constants:
                self.tape.constants[place] = self.tape.constants[place].expand(shape)
        self.emit(node, Joined, places, axis=axis, sizes=tuple(shape[axis] for shape in shapes))

    def stack(self, node: fx.Node) -> None:
        parts: Any = node.args[0]
        dim = node.args[1] if len(node.args) > 1 else 0
        axis = self._inner(dim, len(self.shape(parts[0])) + 1)
        places = []
        for part in parts:
            source = self._place_of(part)
            shape = self.shape(part)
            places.append(
                self.emit(
                    node,
                    Linear,
                    [source],
                    forward=lambda a: a.unsqueeze(axis),
                    backward=lambda a, shape=shape: a.reshape(shape),
                )
            )
        self.emit(node, Joined, places, axis=axis, sizes=(1,) * len(parts))

    def reshape(self, node: fx.Node) -> None:
        """Views, squeezes and unsqueezes: instances stay the first dimension."""
        source = node.args[0]
        before, after = self.shape(source), self.shape(node)

        def forward(a: Tensor) -> Tensor:
            return a.reshape(*a.shape[: a.ndim - len(before)], *after)

        self.linear(node, source, forward, lambda a: a.reshape(before))

    def expand(self, node: fx.Node) -> None:
        source = node.args[0]
        before, after = self.shape(source), self.shape(node)
        if len(before) != len(after):
            raise UnsupportedError("expand adds a dimension")

        def forward(a: Tensor) -> Tensor:
            return a.expand(*a.shape[: a.ndim - len(before)], *after)

        self.linear(node, source, forward, lambda a: reduce_to(a, before))

    def permute(self, node: fx.Node) -> None:
        source = node.args[0]
        count = len(self.shape(source))
        order, arguments = list(range(count)), _any(node.args)
        if _name(node) == "permute":
            order = [int(i) % count for i in arguments[1]]
        else:
            first, second = (int(i) % count for i in arguments[1:3])
            order[first], order[second] = order[second], order[first]
        if order[0] != 0:
            raise UnsupportedError("instances are no longer the first dimension")
        inverse = [order.index(i) for i in range(count)]
        self.linear(node, source, lambda a: a.permute(_lead(a, order)), lambda a: a.permute(_lead(a, inverse)))

    def total(self, node: fx.Node, mean: bool = False) -> None:
        source, shape = node.args[0], self.shape(node.args[0])
        if len(node.args) < 2 or not node.args[1]:
            raise UnsupportedError("a sum over all instances")
        axes = tuple(self._inner(dim, len(shape)) for dim in node.args[1])  # type: ignore[union-attr]
        keep = bool(node.args[2]) if len(node.args) > 2 else bool(node.kwargs.get("keepdim", False))
        factor = 1.0 / math.prod(shape[axis] for axis in axes) if mean else 1.0

        def backward(adjoint: Tensor) -> Tensor:
            full = adjoint.reshape([1 if i - len(shape) in axes else size for i, size in enumerate(shape)])
            return (factor * full).expand(shape)

        self.linear(node, source, lambda a: factor * a.sum(dim=axes, keepdim=keep), backward)

    def variance(self, node: fx.Node) -> None:
        """The mean square of the distance from the mean, over dimensions within an instance."""
        source, shape = node.args[0], self.shape(node.args[0])
        dims, options = (_any(node.args[1]) if len(node.args) > 1 else None), _any(node.kwargs)
        if not dims:
            raise UnsupportedError("a variance over all instances")
        axes = tuple(self._inner(dim, len(shape)) for dim in dims)
        count, correction = math.prod(shape[axis] for axis in axes), options.get("correction")
        rest = count - (1.0 if correction is None else float(correction))
        keep = bool(options.get("keepdim", False))
        inner = [1 if i - len(shape) in axes else size for i, size in enumerate(shape)]

        def centre(a: Tensor) -> Tensor:
            return a - a.mean(dim=axes, keepdim=True)

        centred = self.linear(node, source, centre, centre)
        squares = self._emit_elementary(node, power(2.0), centred)
        self.emit(
            node,
            Linear,
            [squares],
            forward=lambda a: a.sum(dim=axes, keepdim=keep) / rest,
            backward=lambda a: (a.reshape(inner) / rest).expand(shape),
        )

    def layer_norm(self, node: fx.Node) -> None:
        """Entries less their mean, over their spread, times a weight, plus a bias."""
        source, sizes, weight, bias, eps = _any(node.args)
        axes, count = tuple(range(-len(sizes), 0)), math.prod(sizes)
        shape = self.shape(source)
        inner = [*shape[: len(shape) - len(sizes)], *([1] * len(sizes))]

        def centre(a: Tensor) -> Tensor:
            return a - a.mean(dim=axes, keepdim=True)

        centred = self.linear(node, source, centre, centre)
        squares = self._emit_elementary(node, power(2.0), centred)
        mean = self.emit(
            node,
            Linear,
            [squares],
            forward=lambda a: a.mean(dim=axes, keepdim=True),
            backward=lambda a: (a / count).expand(shape),
        )
        shifted = self.emit(node, Sum, [mean, self._place_of(eps)], factor=1.0, shapes=(tuple(inner), ()))
        place = self.emit(node, Product, [centred, self._emit_elementary(node, ELEMENTARY["rsqrt"], shifted)])
        if weight is not None:
            place = self.emit(node, Product, [place, self._place_of(weight)])
        if bias is not None:
            self.emit(node, Sum, [place, self._place_of(bias)], factor=1.0, shapes=(shape, tuple(sizes)))

    def power(self, node: fx.Node) -> None:
        exponent = node.args[1]
        if not isinstance(exponent, int | float):
            raise UnsupportedError("a power whose exponent is not a number")
        self._elementwise(node, power(float(exponent)))

    def clamp(self, node: fx.Node) -> None:
        low, high = [*node.args[1:3], None, None][:2]
        if _name(node) == "clamp_max":
            low, high = None, low
        if not all(side is None or isinstance(side, int | float) for side in (low, high)):
            raise UnsupportedError("a clamp to tensors")
        self._elementwise(node, clamp(low, high))  # type: ignore[arg-type]

    def _constant(self, argument: Any) -> Tensor:
        constant: Tensor = self.example[argument].to(torch.float64).detach().contiguous()
        return constant

    def _inner(self, dim: Any, count: int) -> int:
        """Return a dimension counted from the end; the first one holds the instances."""
        axis = int(dim) % count
        if axis == 0:
            raise UnsupportedError("an operation along the instances")
        return axis - count

    def _check_alignment(self, node: fx.Node) -> None:
        """Refuse broadcasting that would add dimensions to what depends on the variables."""
        count = len(self.shape(node))
        for argument in node.args[:2]:
            active = isinstance(argument, fx.Node) and self.place.get(argument) in self.tape.active
            if active and len(self.shape(argument)) != count:
                raise UnsupportedError("broadcasting adds a dimension")


def _any(arguments: Any) -> Any:
    return arguments


def _name(node: fx.Node) -> str:
    target: Any = node.target
    packet = getattr(target, "overloadpacket", None)
    return str(getattr(packet, "__name__", target))


def _lead(array: Tensor, order: Sequence[int]) -> list[int]:
    lead = array.ndim - len(order)
    return [*range(lead), *(lead + int(i) for i in order)]


_HANDLERS: Mapping[str, Callable[[_Builder, fx.Node], Any]] = {
    "add": _Builder.add,
    "sub": lambda builder, node: builder.add(node, -1.0),
    "mul": _Builder.multiply,
    "div": _Builder.divide,
    "mm": _Builder.affine,
    "addmm": _Builder.affine,
    "slice": _Builder.slice,
    "select": _Builder.select,
    "cat": _Builder.join,
    "stack": _Builder.stack,
    "view": _Builder.reshape,
    "_unsafe_view": _Builder.reshape,
    "reshape": _Builder.reshape,
    "squeeze": _Builder.reshape,
    "unsqueeze": _Builder.reshape,
    "expand": _Builder.expand,
    "permute": _Builder.permute,
    "transpose": _Builder.permute,
    "sum": _Builder.total,
    "mean": lambda builder, node: builder.total(node, mean=True),
    "var": _Builder.variance,
    "native_layer_norm": _Builder.layer_norm,
    "pow": _Builder.power,
    "clamp": _Builder.clamp,
    "clamp_min": _Builder.clamp,
    "clamp_max": _Builder.clamp,
}
