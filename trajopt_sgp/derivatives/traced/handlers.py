"""Operations of torch that are known in closed form, one function for each kind.

Every handler takes the builder of a tape and the node of the traced graph, and adds what the node does to the tape.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY, root, step
from trajopt_sgp.derivatives.traced.elementary import clamp as clamped
from trajopt_sgp.derivatives.traced.elementary import power as powered
from trajopt_sgp.derivatives.traced.operations import Affine, Part, Product, Shape, Sum, Total
from trajopt_sgp.derivatives.traced.recording import Node
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError


def add(builder: Any, node: Node, sign: float = 1.0) -> None:
    """Add a sum, or with sign -1 a difference."""
    factor = sign * float(node.kwargs.get("alpha", 1.0))
    _check_alignment(builder, node)
    builder.emit(node, Sum, [builder.place_of(a) for a in node.args[:2]], factor=factor)


def compare(builder: Any, node: Node, sign: float, closed: bool) -> None:
    """Add 1 where the first argument is greater, or with sign -1 less, than the second, and 0 elsewhere."""
    _check_alignment(builder, node)
    difference = builder.emit(node, Sum, [builder.place_of(a) for a in node.args[:2]], factor=-1.0)
    if sign < 0.0:
        difference = builder.elementary(node, ELEMENTARY["neg"], difference)
    builder.elementary(node, step(closed), difference)


def multiply(builder: Any, node: Node) -> None:
    """Add a product of entries."""
    _check_alignment(builder, node)
    builder.emit(node, Product, [builder.place_of(a) for a in node.args[:2]])


def divide(builder: Any, node: Node) -> None:
    """Add a quotient: a product with a reciprocal."""
    if len(node.args) > 2 or node.kwargs:
        raise UnsupportedError("rounded division is not smooth")
    _check_alignment(builder, node)
    above, below = (builder.place_of(a) for a in node.args[:2])
    if below in builder.tape.constants:
        builder.tape.constants[below] = 1.0 / builder.tape.constants[below]
        inverse = below
    elif below in builder.tape.active:
        inverse = builder.elementary(node, ELEMENTARY["reciprocal"], below)
    else:
        inverse = builder.data(node, torch.reciprocal, below)
    builder.emit(node, Product, [above, inverse])


def affine(builder: Any, node: Node) -> None:
    """Add a product with a constant matrix, and a constant vector."""
    bias, source, weight = (None, *node.args[:2]) if node.name == "mm" else node.args[:3]
    if isinstance(weight, Node) or isinstance(bias, Node) or not isinstance(source, Node):
        raise UnsupportedError("a product of matrices that both depend on inputs")
    settings = {"weight": builder.constant(weight), "bias": None if bias is None else builder.constant(bias)}
    builder.emit(node, Affine, [builder.place_of(source)], **settings)


def take_slice(builder: Any, node: Node) -> None:
    """Add a slice along a dimension within an instance."""
    source, dim = node.args[0], node.args[1] if len(node.args) > 1 else 0
    bounds = [*node.args[2:5], None, None, None][:3]
    shape = builder.shape(source)
    axis = _inner(dim, len(shape))
    _pick(builder, node, source, axis, slice(*bounds))


def select(builder: Any, node: Node) -> None:
    """Add one index of a dimension within an instance."""
    source, dim, index = node.args[:3]
    shape = builder.shape(source)
    _pick(builder, node, source, _inner(dim, len(shape)), index)


def _pick(builder: Any, node: Node, source: Any, axis: int, key: Any) -> None:
    where = (..., key, *[slice(None)] * (-axis - 1))
    builder.pick(node, source, lambda a: a[where])


def gather(builder: Any, node: Node) -> None:
    """Add entries at constant indices of dimensions within an instance."""
    source, indices = node.args[0], _any(node.args[1])
    if indices[0] is not None or any(isinstance(index, Node) for index in indices):
        raise UnsupportedError("indices that depend on inputs, or choose instances")
    where = tuple(slice(None) if index is None else index for index in indices)
    builder.pick(node, source, lambda a: a[where])


def join(builder: Any, node: Node) -> None:
    """Add a concatenation along a dimension within an instance."""
    parts: Any = node.args[0]
    dim = node.args[1] if len(node.args) > 1 else 0
    shapes = [builder.shape(part) for part in parts]
    places = [builder.place_of(part) for part in parts]
    _join(builder, node, places, shapes, _inner(dim, len(shapes[0])))


def stack(builder: Any, node: Node) -> None:
    """Add values side by side along a new dimension."""
    parts: Any = node.args[0]
    dim = node.args[1] if len(node.args) > 1 else 0
    axis = _inner(dim, len(builder.shape(parts[0])) + 1)
    shapes = [tuple(torch.empty(builder.shape(part)).unsqueeze(axis).shape) for part in parts]
    _join(builder, node, [builder.place_of(part) for part in parts], shapes, axis)


def _join(builder: Any, node: Node, places: list[int], shapes: list[Shape], axis: int) -> None:
    """Write values `(K, ...)` of these shapes side by side; constants are repeated for every instance."""
    result = builder.shape(node)
    numbers = torch.arange(math.prod(result[1:])).reshape(result[1:])
    output, begin = builder.new_place(node), 0
    for place, shape in zip(places, shapes, strict=True):
        size = shape[axis]
        index = numbers.narrow(axis, begin, size).reshape(-1).numpy()
        builder.write(Part, output, [place], index=index)
        begin += size


def reshape(builder: Any, node: Node) -> None:
    """Views, squeezes and unsqueezes: instances stay the first dimension."""
    after = builder.shape(node)
    builder.pick(node, node.args[0], lambda a: a.reshape(after))


def expand(builder: Any, node: Node) -> None:
    """Add a repetition along dimensions of size one."""
    source, after = node.args[0], builder.shape(node)
    if len(builder.shape(source)) != len(after):
        raise UnsupportedError("expand adds a dimension")
    builder.pick(node, source, lambda a: a.expand(after))


def permute(builder: Any, node: Node) -> None:
    """Add another order of the dimensions within an instance."""
    source = node.args[0]
    count = len(builder.shape(source))
    order, arguments = list(range(count)), _any(node.args)
    if node.name == "permute":
        order = [int(i) % count for i in arguments[1]]
    else:
        first, second = (int(i) % count for i in arguments[1:3])
        order[first], order[second] = order[second], order[first]
    if order[0] != 0:
        raise UnsupportedError("instances are no longer the first dimension")
    builder.pick(node, source, lambda a: a.permute(order))


def total(builder: Any, node: Node, mean: bool = False) -> None:
    """Add a sum or a mean over dimensions within an instance."""
    source, shape = node.args[0], builder.shape(node.args[0])
    if len(node.args) < 2 or not node.args[1]:
        raise UnsupportedError("a sum over all instances")
    if node.kwargs:
        raise UnsupportedError("a sum in another precision")
    axes = tuple(_inner(dim, len(shape)) for dim in node.args[1])
    factor = 1.0 / math.prod(shape[axis] for axis in axes) if mean else 1.0
    _total(builder, node, builder.place_of(source), axes, factor, builder.shape(node))


def _total(builder: Any, node: Node, place: int, axes: tuple[int, ...], factor: float, after: Shape) -> int:
    """Add factor times the sums over dimensions counted from the end."""
    shape = builder.tape.shapes[place]
    kept = [1 if i - len(shape) in axes else size for i, size in enumerate(shape)][1:]
    numbers = torch.arange(math.prod(kept)).reshape(kept).expand(shape[1:])
    result: int = builder.emit(node, Total, [place], after, index=numbers.reshape(-1).numpy(), factor=factor)
    return result


def _centred_squares(builder: Any, node: Node, axes: tuple[int, ...]) -> tuple[int, int]:
    """Add entries less their mean over some dimensions, and the squares of that; return both places."""
    place = builder.place_of(node.args[0])
    shape = builder.tape.shapes[place]
    factor = 1.0 / math.prod(shape[axis] for axis in axes)
    kept = tuple(1 if i - len(shape) in axes else size for i, size in enumerate(shape))
    mean = _total(builder, node, place, axes, factor, kept)
    centred = builder.emit(node, Sum, [place, mean], shape, factor=-1.0)
    return centred, builder.elementary(node, powered(2.0), centred)


def variance(builder: Any, node: Node) -> None:
    """The mean square of the distance from the mean, over dimensions within an instance."""
    shape = builder.shape(node.args[0])
    dims, options = (_any(node.args[1]) if len(node.args) > 1 else None), _any(node.kwargs)
    if not dims:
        raise UnsupportedError("a variance over all instances")
    axes = tuple(_inner(dim, len(shape)) for dim in dims)
    correction = options.get("correction")
    rest = math.prod(shape[axis] for axis in axes) - (1.0 if correction is None else float(correction))
    _, squares = _centred_squares(builder, node, axes)
    _total(builder, node, squares, axes, 1.0 / rest, builder.shape(node))


def deviation(builder: Any, node: Node) -> None:
    """The root of the variance."""
    variance(builder, node)
    builder.elementary(node, root(), builder.place[node])


def norm(builder: Any, node: Node) -> None:
    """The root of a sum of powers, over dimensions within an instance."""
    source, order, dims = [*node.args, 2, None][:3] if len(node.args) < 3 else node.args[:3]
    shape = builder.shape(source)
    if not dims:
        raise UnsupportedError("a norm over all instances")
    place = builder.place_of(source)
    if order % 2.0:
        place = builder.elementary(node, ELEMENTARY["abs"], place)
    powers = builder.elementary(node, powered(float(order)), place)
    axes = tuple(_inner(dim, len(shape)) for dim in dims)
    builder.elementary(node, root(1.0 / order), _total(builder, node, powers, axes, 1.0, builder.shape(node)))


def hypotenuse(builder: Any, node: Node) -> None:
    """The root of the sum of two squares."""
    _check_alignment(builder, node)
    squares = [builder.elementary(node, powered(2.0), builder.place_of(a)) for a in node.args[:2]]
    builder.elementary(node, root(), builder.emit(node, Sum, squares, factor=1.0))


def layer_norm(builder: Any, node: Node) -> None:
    """Entries less their mean, over their spread, times a weight, plus a bias."""
    source, sizes, weight, bias, eps = _any(node.args)
    axes, shape = tuple(range(-len(sizes), 0)), builder.shape(source)
    inner = (*shape[: len(shape) - len(sizes)], *([1] * len(sizes)))
    centred, squares = _centred_squares(builder, node, axes)
    mean = _total(builder, node, squares, axes, 1.0 / math.prod(sizes), inner)
    shifted = builder.emit(node, Sum, [mean, builder.place_of(eps)], inner, factor=1.0)
    place = builder.emit(node, Product, [centred, builder.elementary(node, ELEMENTARY["rsqrt"], shifted)], shape)
    if weight is not None:
        place = builder.emit(node, Product, [place, builder.place_of(weight)], shape)
    if bias is not None:
        builder.emit(node, Sum, [place, builder.place_of(bias)], shape, factor=1.0)


def power(builder: Any, node: Node) -> None:
    """Add a power with a constant exponent."""
    exponent = node.args[1]
    if not isinstance(exponent, int | float):
        raise UnsupportedError("a power whose exponent is not a number")
    builder.elementary_of(node, powered(float(exponent)))


def clamp(builder: Any, node: Node) -> None:
    """Add a restriction to an interval."""
    low, high = [*node.args[1:3], None, None][:2]
    if node.name == "clamp_max":
        low, high = None, low
    if not all(side is None or isinstance(side, int | float) for side in (low, high)):
        raise UnsupportedError("a clamp to tensors")
    builder.elementary_of(node, clamped(low, high))


def _inner(dim: Any, count: int) -> int:
    """Return a dimension counted from the end; the first one holds the instances."""
    axis = int(dim) % count
    if axis == 0:
        raise UnsupportedError("an operation along the instances")
    return axis - count


def _check_alignment(builder: Any, node: Node) -> None:
    """Refuse broadcasting that would add dimensions to what depends on the variables."""
    count = len(builder.shape(node))
    for argument in node.args[:2]:
        active = isinstance(argument, Node) and builder.place.get(argument) in builder.tape.active
        if active and len(builder.shape(argument)) != count:
            raise UnsupportedError("broadcasting adds a dimension")


def _any(arguments: Any) -> Any:
    return arguments


HANDLERS: Mapping[str, Callable[[Any, Node], Any]] = {
    "add": add,
    "sub": lambda builder, node: add(builder, node, -1.0),
    "mul": multiply,
    "div": divide,
    "mm": affine,
    "addmm": affine,
    "slice": take_slice,
    "select": select,
    "index": gather,
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
    "std": deviation,
    "linalg_vector_norm": norm,
    "hypot": hypotenuse,
    "native_layer_norm": layer_norm,
    "pow": power,
    "clamp": clamp,
    "clamp_min": clamp,
    "clamp_max": clamp,
    "gt": lambda builder, node: compare(builder, node, 1.0, closed=False),
    "ge": lambda builder, node: compare(builder, node, 1.0, closed=True),
    "lt": lambda builder, node: compare(builder, node, -1.0, closed=False),
    "le": lambda builder, node: compare(builder, node, -1.0, closed=True),
}
"""By the name of the operation."""
