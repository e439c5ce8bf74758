"""Which tensors a step depends on, so that no rollout uses weights of the past."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

Slot = tuple[Mapping[str, Any], str]
"""A dictionary and a key, where a module keeps a parameter or a buffer."""


class Watched:
    """Tensors that a traced step has read, and the modules that hold them.

    Args:
        tensors: that were read.
        modules: whose parameters and buffers may be replaced by others.
    """

    def __init__(self, tensors: list[Tensor], modules: list[nn.Module]) -> None:
        self._tensors = tensors
        self._modules = [part for module in modules for part in module.modules()]
        self._slots = [slot for module in self._modules for slot in _slots(module)]
        self._held = [group.get(name) for group, name in self._slots]
        self._seen = self._state()

    @property
    def changed(self) -> bool:
        """Whether any tensor has been written to or replaced, or a module went from training to use or back."""
        # every rollout asks
        for (group, name), held in zip(self._slots, self._held, strict=True):
            if group.get(name) is not held:
                return True
        return self._seen != self._state()

    def _state(self) -> list[object]:
        state: list[object] = [module.training for module in self._modules]
        for tensor in self._tensors:
            state += (tensor._version, tensor.data_ptr(), tensor.dtype)
        return state


def modules_of(function: object, depth: int = 6) -> list[nn.Module]:
    """Return the modules that a function is, is a method of, or holds in its closure or its fields."""
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    layer: list[object] = [function]
    for _ in range(depth):
        fresh = [part for part in layer if id(part) not in seen]
        seen.update(id(part) for part in fresh)
        found.update({id(part): part for part in fresh if isinstance(part, nn.Module)})
        layer = [inner for part in fresh if not isinstance(part, nn.Module) for inner in _parts(part)]
    return list(found.values())


def _parts(thing: object) -> Iterator[object]:
    """Yield what a function or an object with fields holds that can be called, or leads to a model."""
    inner: list[object] = [cell.cell_contents for cell in getattr(thing, "__closure__", None) or () if _filled(cell)]
    inner += [getattr(thing, "__self__", None), getattr(thing, "__wrapped__", None)]
    fields = getattr(thing, "__dict__", {})
    inner += list(fields.values()) if isinstance(fields, dict) else []
    for part in inner:
        if callable(part) or hasattr(part, "dynamics") or hasattr(part, "problem"):
            yield part


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _slots(module: nn.Module) -> Iterator[Slot]:
    groups: tuple[Any, ...] = module._parameters, module._buffers
    # a scripted module keeps them in compiled code
    for group in (group for group in groups if isinstance(group, dict)):
        for name in group:
            yield group, name
