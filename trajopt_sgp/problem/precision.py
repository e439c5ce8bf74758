"""The floating-point type in which functions of a problem compute."""

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.problem.copied_values import HOOKS, PLAIN, Comparison, Memo, copy_value

Function = TypeVar("Function")

_REGISTERED = frozenset({"_parameters", "_buffers", "_modules", "_compiled_call_impl"})


@dataclass
class Copies:
    """Modules that were copied into another precision, and the modules that they are copies of."""

    pairs: list[tuple[torch.nn.Module, torch.nn.Module]] = field(default_factory=list)
    """Each the original, then the copy."""

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring the copies to what the originals are, where those have changed in whatever way.

        Weights and buffers follow, and all other attributes: tensors and arrays that are no buffers, containers,
        objects and what they hold, plain values, and whether a layer is in training.

        Raises:
            IncompatibleError: an original has other layers than it had, not just other values in them.
        """
        for original, copied in self.pairs:
            parts, counterparts = list(original.modules()), list(copied.modules())
            if list(map(_structure, parts)) != list(map(_structure, counterparts)):
                raise IncompatibleError(
                    f"The layers of {type(original).__name__} have changed since the problem was made ready for the "
                    "solver, which uses a copy in another precision: call prepare() again, or make another controller."
                )
            pairs = list(zip(parts, counterparts, strict=True))
            memo = {id(part): counterpart for part, counterpart in pairs} | _refreshed_tensors(pairs)
            for part, counterpart in pairs:
                _follow(part, counterpart, memo)


_COPIES: ContextVar[Copies | None] = ContextVar("copies", default=None)


@contextmanager
def noted_copies() -> Iterator[Copies]:
    """Note the copies that `cast` makes inside."""
    token = _COPIES.set(copies := Copies())
    try:
        yield copies
    finally:
        _COPIES.reset(token)


def parameter_dtype(function: object) -> torch.dtype:
    """Return the floating-point type of a module's parameters or buffers; float64 for anything else."""
    if isinstance(function, torch.nn.Module):
        # asked several times in every solve, where parameters() would first collect the names of all
        for tensor in itertools.chain(_values(function, "_parameters"), _values(function, "_buffers")):
            if tensor is not None and tensor.is_floating_point():
                return tensor.dtype
    own: object = getattr(function, "dtype", None)
    return own if isinstance(own, torch.dtype) else torch.float64


def _values(module: torch.nn.Module, registry: str) -> Iterator[torch.Tensor | None]:
    for part in module.modules():
        yield from getattr(part, registry).values()


def coarsest_dtype(*functions: object) -> torch.dtype:
    """Return the type of the least precision among those in which functions, modules and terms compute."""
    return max(map(parameter_dtype, functions), key=lambda dtype: torch.finfo(dtype).eps)


def cast(function: Function, dtype: torch.dtype) -> Function:
    """Return a module converted to `dtype`, as a copy unless it has that type already; anything else unchanged.

    What is no module but can convert itself, by a method `to`, does so.
    """
    if isinstance(function, torch.nn.Module):
        return function if parameter_dtype(function) == dtype else _copied(function, dtype)
    convert: Any = getattr(function, "to", None)
    return convert(dtype) if callable(convert) else function


def _copied(module: Any, dtype: torch.dtype) -> Any:
    copied = copy.deepcopy(module).to(dtype)
    if (copies := _COPIES.get()) is not None:
        copies.pairs.append((module, copied))
    return copied


def _structure(module: torch.nn.Module) -> tuple[object, ...]:
    shapes = [(name, None if tensor is None else tensor.shape) for name, tensor in _own_tensors(module)]
    # by name, since traced modules have a class each
    return type(module).__module__, type(module).__qualname__, shapes


def _own_tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor | None]]:
    return itertools.chain(module._parameters.items(), module._buffers.items())


def _refreshed_tensors(pairs: list[tuple[torch.nn.Module, torch.nn.Module]]) -> Memo:
    """Write the weights and buffers of originals into those of copies; return the latter by identity of the former."""
    found: Memo = {}
    for part, counterpart in pairs:
        for (_, now), (_, held) in zip(_own_tensors(part), _own_tensors(counterpart), strict=True):
            if now is None or held is None:
                continue
            if not torch.equal(held, now.to(held.dtype)):
                held.copy_(now)
            found[id(now)] = held
    return found


def _follow(part: torch.nn.Module, counterpart: torch.nn.Module, memo: Memo) -> None:
    """Give a copied layer the attributes of the original, where they differ."""
    now, held = _attributes(part), vars(counterpart)
    compared = Comparison(memo)
    for name, value in now.items():
        copied = held.get(name, now)
        if copied is value or (type(value) in HOOKS and type(copied) is type(value) and not (value or copied)):
            continue
        if not compared.same(copied, value):
            held[name] = copy_value(held.get(name), value, memo)
            compared = Comparison(memo)
    # what was computed once from other attributes, too, is computed anew
    for name in held.keys() - now.keys() - _REGISTERED:
        if name in _attributes(counterpart):
            del held[name]


def _attributes(module: torch.nn.Module) -> dict[str, Any]:
    """Return what a copy of a layer has besides weights, buffers and parts of its own."""
    if hasattr(type(module), "__deepcopy__"):
        # a scripted module for example, which lives in compiled code
        return {name: value for name, value in vars(module).items() if type(value) in PLAIN}
    saved: Any = module
    kind: Any = type(module)
    usual: Any = torch.nn.Module
    own = vars(module)
    if kind.__getstate__ is usual.__getstate__:
        return {name: value for name, value in own.items() if name not in _REGISTERED}
    state = saved.__getstate__()
    if not isinstance(state, dict):
        return {}
    return {name: value for name, value in state.items() if name not in _REGISTERED and own.get(name, own) is value}
