"""Whether a function uses the control, told by how it computes, not by what it returns at some points.

A control that is gated away at one point, by a zone, a rectifier or a parameter, counts at another. The function is
called once, and whatever is computed from the control is followed: through the graph of autograd, and past it where
values leave the graph.
"""

from collections.abc import Callable, Iterator
from typing import Any

import casadi
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trajopt_sgp.problem.casadi_function import CasadiFunction

# what tells of a tensor's form alone, of which nothing follows
_FORMS = {"__get__", "__len__", "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset"}
_FORMS |= {"is_floating_point", "is_complex", "is_contiguous", "get_device", "result_type"}
# what takes the form of its first argument alone, and what takes that of the others
_NEW = {f"new_{kind}" for kind in ("empty", "zeros", "ones", "full", "tensor")}
_NEW |= {f"{kind}_like" for kind in ("empty", "zeros", "ones", "full")}
_FORMED = {"to", "type_as", "expand_as", "view_as", "reshape_as"}


def uses_control(function: Callable[..., Tensor], state: Tensor, control: Tensor) -> bool:
    """Return whether a function of state `(..., n)` and control `(..., m)` may depend on the control anywhere.

    In doubt it does: where it fails with gradients, or values leave torch, so that they may decide what is computed.
    """
    control = control.detach().clone().requires_grad_(True)
    watch = _Watch(control)
    try:
        with torch.enable_grad(), watch:
            result = function(state, control)
    except (RuntimeError, TypeError, ValueError):
        return True
    return watch.escaped or _reaches(result, control)


def uses_input(function: casadi.Function | CasadiFunction, place: int) -> bool:
    """Return whether the result of a CasADi function depends on one of its inputs, by its sparsity."""
    source = function.function if isinstance(function, CasadiFunction) else function
    return bool(source.jac_sparsity(0, place).nnz())


class _Watch(TorchFunctionMode):
    """Notes whether values leave the graph of autograd in which the control stands."""

    def __init__(self, control: Tensor) -> None:
        super().__init__()
        self.control, self.escaped = control, False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        # what returns nothing has written into its first argument
        found = list(_tensors(args[:1] if result is None else result))
        if any(not tensor.requires_grad for tensor in found):
            values = args[1:] if name in _NEW else args[:1] if name in _FORMED else (args, kwargs)
            self.escaped |= any(_reaches(tensor, self.control) for tensor in _tensors(values))
        elif not (found or result is None or name in _FORMS):
            self.escaped |= any(True for _ in _tensors((args, kwargs)))
        return result


def _tensors(tree: object) -> Iterator[Tensor]:
    """Yield the tensors in arguments or results, those that `torch.func` has wrapped laid bare."""
    if isinstance(tree, Tensor):
        while torch._C._functorch.is_functorch_wrapped_tensor(tree):
            tree = torch._C._functorch.get_unwrapped(tree)
        yield tree
    elif isinstance(tree, dict | list | tuple):
        for entry in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(entry)


def _reaches(result: Tensor, leaf: Tensor) -> bool:
    """Return whether a leaf stands in the graph of a result, be its gradient zero there."""
    if result is leaf:
        return True
    pending, seen = [result.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        if getattr(node, "variable", None) is leaf:
            return True
        seen.add(node)
        pending += [after for after, _ in node.next_functions]
    return False
