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

Function = TypeVar("Function")


@dataclass
class Copies:
    """Modules that were copied into another precision, and the modules that they are copies of."""

    pairs: list[tuple[torch.nn.Module, torch.nn.Module]] = field(default_factory=list)
    """Each the original, then the copy."""

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring the weights of the copies to those of the originals, where they have changed in whatever way.

        Plain values among their fields follow too: numbers, texts, and whether a layer is in training.

        Raises:
            IncompatibleError: an original has other weights than it had, not just other numbers.
        """
        for original, copied in self.pairs:
            own, now = dict(_tensors(copied)), dict(_tensors(original))
            if {name: held.shape for name, held in own.items()} != {name: value.shape for name, value in now.items()}:
                raise IncompatibleError(
                    f"The layers of {type(original).__name__} have changed since the problem was made ready for the "
                    "solver, which uses a copy in another precision: call prepare() again, or make another controller."
                )
            for name, held in own.items():
                if not torch.equal(held, now[name].to(held.dtype)):
                    held.copy_(now[name])
            for part, counterpart in zip(original.modules(), copied.modules(), strict=True):
                vars(counterpart).update({name: value for name, value in vars(part).items() if _plain(value)})


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
        for tensor in itertools.chain(function.parameters(), function.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
    own: object = getattr(function, "dtype", None)
    return own if isinstance(own, torch.dtype) else torch.float64


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


def _plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, int | float | complex | str | bytes)


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    return itertools.chain(module.named_parameters(), module.named_buffers())
