"""Writing to tensors, as operations that write to none."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

_aten: Any = torch.ops.aten

Rearrange = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class View:
    """A tensor that shares the memory of another one."""

    parent: Tensor
    """The other one."""
    rearrange: Rearrange
    """Which of its entries it has."""


@dataclass
class Memory:
    """Which tensor stands for one that has been written to.

    While a function is recorded nothing that depends on its arguments is written anywhere. A tensor with the new values
    takes the place of the one that would be written to, and of what shares memory with it. So every recorded operation
    still finds what it was given.
    """

    newer: dict[int, Tensor] = field(default_factory=dict)
    """What took the place of a tensor, by identity."""
    views: dict[int, View] = field(default_factory=dict)
    """What shares the memory of another tensor, by identity."""

    def current(self, tensor: Any) -> Any:
        """Return what stands for a tensor now; other arguments are themselves."""
        if not isinstance(tensor, Tensor):
            return tensor
        while id(tensor) in self.newer:
            tensor = self.newer[id(tensor)]
        view = self.views.get(id(tensor))
        if view is None:
            return tensor
        parent: Tensor = self.current(view.parent)
        if parent is view.parent:
            return tensor
        self.newer[id(tensor)] = view.rearrange(parent)
        return self.current(tensor)

    def root(self, tensor: Tensor) -> Tensor:
        """Return the tensor whose memory a tensor shares."""
        while id(tensor) in self.views:
            tensor = self.views[id(tensor)].parent
        return tensor

    def share(self, result: Any, operation: Callable[..., Any], args: tuple[Any, ...], options: Any) -> None:
        """Note that the results of an operation share the memory of its first argument."""
        parts = [result] if isinstance(result, Tensor) else list(result)
        for place, part in enumerate(parts):
            several = None if isinstance(result, Tensor) else place

            def rearrange(parent: Tensor, several: int | None = several) -> Tensor:
                seen = operation(parent, *args[1:], **options)
                chosen: Tensor = seen if several is None else seen[several]
                return chosen

            if part is not args[0]:
                self.views[id(part)] = View(args[0], rearrange)

    def place(self, tensor: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the tensor whose memory a tensor shares, and which of its entries it has; None for all as they are."""
        steps: list[Rearrange] = []
        root = tensor
        while id(root) in self.views:
            view = self.views[id(root)]
            steps, root = [view.rearrange, *steps], view.parent
        numbers = torch.arange(root.numel()).reshape(root.shape)
        for rearrange in steps:
            numbers = rearrange(numbers)
        return root, numbers.contiguous() if steps else None


def shares_memory(operation: Any) -> bool:
    """Return whether an operation of torch gives views of its first argument."""
    aliases = [given.alias_info for given in operation._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def writes(operation: Any) -> bool:
    """Return whether an operation of torch writes to any of its arguments."""
    return any(given.alias_info is not None and given.alias_info.is_write for given in operation._schema.arguments)


def without_writing(operation: Any) -> Callable[..., Tensor]:
    """Return the operation that gives what another one writes to its first argument.

    Raises:
        UnsupportedError: there is none.
    """
    name = operation.overloadpacket.__name__
    first = operation._schema.arguments[0].alias_info
    if first is None or not first.is_write or torch.Tag.inplace_view in operation.tags:
        raise UnsupportedError(f"{name} changes a tensor in a way that is not known")
    same: Callable[..., Tensor] | None = getattr(_aten, name.removesuffix("_"), None)
    if same is None or not name.endswith("_"):
        raise UnsupportedError(f"{name} changes a tensor in a way that is not known")
    return same
