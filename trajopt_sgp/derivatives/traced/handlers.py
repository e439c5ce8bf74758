"""Operations of torch that are known in closed form, one function for each kind.

Every handler takes the builder of a tape and the node of the traced graph, and adds what the node does to the tape.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, fx

from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY
from trajopt_sgp.derivatives.traced.elementary import clamp as clamped
from trajopt_sgp.derivatives.traced.elementary import power as powered
from trajopt_sgp.derivatives.traced.operations import Affine, Joined, Linear, Product, Shape, Sum, reduce_to
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError


def add(builder: Any, node: fx.Node, sign: float = 1.0) -> None:
    """Add a sum, or with sign -1 a difference."""
    factor = sign * float(node.kwargs.get("alpha", 1.0))  # type: ignore[arg-type]
    _check_alignment(builder, node)
    shapes = (builder.shape(node.args[0]), builder.shape(node.args[1]))
    builder.emit(node, Sum, [builder.place_of(a) for a in node.args[:2]], factor=factor, shapes=shapes)


def multiply(builder: Any, node: fx.Node) -> None:
    """Add a product of entries."""
    _check_alignment(builder, node)
    builder.emit(node, Product, [builder.place_of(a) for a in node.args[:2]])


def divide(builder: Any, node: fx.Node) -> None:
    """Add a quotient: a product with a reciprocal."""
    if len(node.args) > 2 or node.kwargs:
        raise UnsupportedError("rounded division is not smooth")
    _check_alignment(builder, node)
    above, below = (builder.place_of(a) for a in node.args[:2])
    if below in builder.tape.constants:
        builder.tape.constants[below] = 1.0 / builder.tape.constants[below]
        inverse = below
    else:
        inverse = builder.elementary(node, ELEMENTARY["reciprocal"], below)
    builder.emit(node, Product, [above, inverse])


def affine(builder: Any, node: fx.Node) -> None:
    """Add a product with a constant matrix, and a constant vector."""
    bias, source, weight = (None, *node.args[:2]) if operation_name(node) == "mm" else node.args[:3]
    if weight in builder.place or bias in builder.place or source not in builder.place:
        raise UnsupportedError("a product of matrices that both depend on inputs")
    settings = {"weight": builder.constant(weight), "bias": None if bias is None else builder.constant(bias)}
    builder.emit(node, Affine, [builder.place_of(source)], **settings)


def take_slice(builder: Any, node: fx.Node) -> None:
    """Add a slice along a dimension within an instance."""
    source, dim = node.args[0], node.args[1] if len(node.args) > 1 else 0
    bounds = [*node.args[2:5], None, None, None][:3]
    shape = builder.shape(source)
    axis = _inner(dim, len(shape))
    _pick(builder, node, source, shape, axis, slice(*bounds))


def select(builder: Any, node: fx.Node) -> None:
    """Add one index of a dimension within an instance."""
    source, dim, index = node.args[:3]
    shape = builder.shape(source)
    _pick(builder, node, source, shape, _inner(dim, len(shape)), index)


def _pick(builder: Any, node: fx.Node, source: Any, shape: Shape, axis: int, key: Any) -> None:
    where = (..., key, *[slice(None)] * (-axis - 1))

    def backward(adjoint: Tensor) -> Tensor:
        full = adjoint.new_zeros(shape)
        full[where] = adjoint
        return full

    builder.linear(node, source, lambda a: a[where], backward)


def join(builder: Any, node: fx.Node) -> None:
    """Add a concatenation along a dimension within an instance."""
    parts: Any = node.args[0]
    dim = node.args[1] if len(node.args) > 1 else 0
    shapes = [builder.shape(part) for part in parts]
    axis = _inner(dim, len(shapes[0]))
    places = [builder.place_of(part) for part in parts]
    for place, shape in zip(places, shapes, strict=True):
        if place in builder.tape.constants:
            builder.tape.constants[place] = builder.tape.constants[place].expand(shape)
    builder.emit(node, Joined, places, axis=axis, sizes=tuple(shape[axis] for shape in shapes))


def stack(builder: Any, node: fx.Node) -> None:
    """Add values side by side along a new dimension."""
    parts: Any = node.args[0]
    dim = node.args[1] if len(node.args) > 1 else 0
    axis = _inner(dim, len(builder.shape(parts[0])) + 1)
    places = []
    for part in parts:
        source = builder.place_of(part)
        shape = builder.shape(part)
        places.append(
            builder.emit(
                node,
                Linear,
                [source],
                forward=lambda a: a.unsqueeze(axis),
                backward=lambda a, shape=shape: a.reshape(shape),
            )
        )
    builder.emit(node, Joined, places, axis=axis, sizes=(1,) * len(parts))


def reshape(builder: Any, node: fx.Node) -> None:
    """Views, squeezes and unsqueezes: instances stay the first dimension."""
    source = node.args[0]
    before, after = builder.shape(source), builder.shape(node)

    def forward(a: Tensor) -> Tensor:
        return a.reshape(*a.shape[: a.ndim - len(before)], *after)

    builder.linear(node, source, forward, lambda a: a.reshape(before))


def expand(builder: Any, node: fx.Node) -> None:
    """Add a repetition along dimensions of size one."""
    source = node.args[0]
    before, after = builder.shape(source), builder.shape(node)
    if len(before) != len(after):
        raise UnsupportedError("expand adds a dimension")

    def forward(a: Tensor) -> Tensor:
        return a.expand(*a.shape[: a.ndim - len(before)], *after)

    builder.linear(node, source, forward, lambda a: reduce_to(a, before))


def permute(builder: Any, node: fx.Node) -> None:
    """Add another order of the dimensions within an instance."""
    source = node.args[0]
    count = len(builder.shape(source))
    order, arguments = list(range(count)), _any(node.args)
    if operation_name(node) == "permute":
        order = [int(i) % count for i in arguments[1]]
    else:
        first, second = (int(i) % count for i in arguments[1:3])
        order[first], order[second] = order[second], order[first]
    if order[0] != 0:
        raise UnsupportedError("instances are no longer the first dimension")
    inverse = [order.index(i) for i in range(count)]
    builder.linear(node, source, lambda a: a.permute(_lead(a, order)), lambda a: a.permute(_lead(a, inverse)))


def total(builder: Any, node: fx.Node, mean: bool = False) -> None:
    """Add a sum or a mean over dimensions within an instance."""
    source, shape = node.args[0], builder.shape(node.args[0])
    if len(node.args) < 2 or not node.args[1]:
        raise UnsupportedError("a sum over all instances")
    axes = tuple(_inner(dim, len(shape)) for dim in node.args[1])  # type: ignore[union-attr]
    keep = bool(node.args[2]) if len(node.args) > 2 else bool(node.kwargs.get("keepdim", False))
    factor = 1.0 / math.prod(shape[axis] for axis in axes) if mean else 1.0

    def backward(adjoint: Tensor) -> Tensor:
        full = adjoint.reshape([1 if i - len(shape) in axes else size for i, size in enumerate(shape)])
        return (factor * full).expand(shape)

    builder.linear(node, source, lambda a: factor * a.sum(dim=axes, keepdim=keep), backward)


def variance(builder: Any, node: fx.Node) -> None:
    """The mean square of the distance from the mean, over dimensions within an instance."""
    source, shape = node.args[0], builder.shape(node.args[0])
    dims, options = (_any(node.args[1]) if len(node.args) > 1 else None), _any(node.kwargs)
    if not dims:
        raise UnsupportedError("a variance over all instances")
    axes = tuple(_inner(dim, len(shape)) for dim in dims)
    count, correction = math.prod(shape[axis] for axis in axes), options.get("correction")
    rest = count - (1.0 if correction is None else float(correction))
    keep = bool(options.get("keepdim", False))
    inner = [1 if i - len(shape) in axes else size for i, size in enumerate(shape)]

    def centre(a: Tensor) -> Tensor:
        return a - a.mean(dim=axes, keepdim=True)

    centred = builder.linear(node, source, centre, centre)
    squares = builder.elementary(node, powered(2.0), centred)
    builder.emit(
        node,
        Linear,
        [squares],
        forward=lambda a: a.sum(dim=axes, keepdim=keep) / rest,
        backward=lambda a: (a.reshape(inner) / rest).expand(shape),
    )


def layer_norm(builder: Any, node: fx.Node) -> None:
    """Entries less their mean, over their spread, times a weight, plus a bias."""
    source, sizes, weight, bias, eps = _any(node.args)
    axes, count = tuple(range(-len(sizes), 0)), math.prod(sizes)
    shape = builder.shape(source)
    inner = [*shape[: len(shape) - len(sizes)], *([1] * len(sizes))]

    def centre(a: Tensor) -> Tensor:
        return a - a.mean(dim=axes, keepdim=True)

    centred = builder.linear(node, source, centre, centre)
    squares = builder.elementary(node, powered(2.0), centred)
    mean = builder.emit(
        node,
        Linear,
        [squares],
        forward=lambda a: a.mean(dim=axes, keepdim=True),
        backward=lambda a: (a / count).expand(shape),
    )
    shifted = builder.emit(node, Sum, [mean, builder.place_of(eps)], factor=1.0, shapes=(tuple(inner), ()))
    place = builder.emit(node, Product, [centred, builder.elementary(node, ELEMENTARY["rsqrt"], shifted)])
    if weight is not None:
        place = builder.emit(node, Product, [place, builder.place_of(weight)])
    if bias is not None:
        builder.emit(node, Sum, [place, builder.place_of(bias)], factor=1.0, shapes=(shape, tuple(sizes)))


def power(builder: Any, node: fx.Node) -> None:
    """Add a power with a constant exponent."""
    exponent = node.args[1]
    if not isinstance(exponent, int | float):
        raise UnsupportedError("a power whose exponent is not a number")
    builder.elementary_of(node, powered(float(exponent)))


def clamp(builder: Any, node: fx.Node) -> None:
    """Add a restriction to an interval."""
    low, high = [*node.args[1:3], None, None][:2]
    if operation_name(node) == "clamp_max":
        low, high = None, low
    if not all(side is None or isinstance(side, int | float) for side in (low, high)):
        raise UnsupportedError("a clamp to tensors")
    builder.elementary_of(node, clamped(low, high))  # type: ignore[arg-type]


def _inner(dim: Any, count: int) -> int:
    """Return a dimension counted from the end; the first one holds the instances."""
    axis = int(dim) % count
    if axis == 0:
        raise UnsupportedError("an operation along the instances")
    return axis - count


def _check_alignment(builder: Any, node: fx.Node) -> None:
    """Refuse broadcasting that would add dimensions to what depends on the variables."""
    count = len(builder.shape(node))
    for argument in node.args[:2]:
        active = isinstance(argument, fx.Node) and builder.place.get(argument) in builder.tape.active
        if active and len(builder.shape(argument)) != count:
            raise UnsupportedError("broadcasting adds a dimension")


def _any(arguments: Any) -> Any:
    return arguments


def operation_name(node: fx.Node) -> str:
    """Return what torch calls the operation of a node."""
    target: Any = node.target
    packet = getattr(target, "overloadpacket", None)
    return str(getattr(packet, "__name__", target))


def _lead(array: Tensor, order: Sequence[int]) -> list[int]:
    lead = array.ndim - len(order)
    return [*range(lead), *(lead + int(i) for i in order)]


HANDLERS: Mapping[str, Callable[[Any, fx.Node], Any]] = {
    "add": add,
    "sub": lambda builder, node: add(builder, node, -1.0),
    "mul": multiply,
    "div": divide,
    "mm": affine,
    "addmm": affine,
    "slice": take_slice,
    "select": select,
    "cat": join,
    "stack": stack,
    "view": reshape,
    "_unsafe_view": reshape,
    "reshape": reshape,
    "squeeze": reshape,
    "unsqueeze": reshape,
    "expand": expand,
    "permute": permute,
    "transpose": permute,
    "sum": total,
    "mean": lambda builder, node: total(builder, node, mean=True),
    "var": variance,
    "native_layer_norm": layer_norm,
    "pow": power,
    "clamp": clamp,
    "clamp_min": clamp,
    "clamp_max": clamp,
}
"""By the name of the operation."""
