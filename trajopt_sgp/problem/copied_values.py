"""Attributes of a copied module: whether they still are those of the original, and how they are copied anew."""

import copy
from collections import OrderedDict, deque
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

Memo = dict[int, Any]
"""What has been copied already, by identity of the original, as `copy.deepcopy` takes it."""

PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})
"""Types of values that never change."""
HOOKS = frozenset({dict, OrderedDict, set})
"""Types of which every layer has a dozen attributes, nearly always empty."""
_SEQUENCES, _MAPPINGS, _SETS = (list, tuple, deque), (dict,), (set, frozenset)


class Comparison:
    """Compares values of copies with those of originals, through containers and objects, however they refer.

    Args:
        memo: layers, weights and whatever else has been copied: what refers to one of them must refer to its copy.
    """

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        # pairs that are being compared, kept alive so that no identity is used twice
        self._begun: dict[tuple[int, int], tuple[object, object]] = {}

    def same(self, held: Any, now: Any) -> bool:
        """Return whether a value of a copy is that of the original; False where that cannot be told."""
        if held is now:
            return True
        kind = type(now)
        if type(held) is not kind:
            return False
        if kind in PLAIN:
            return bool(held == now)
        if kind in HOOKS and not now:
            return not held
        if id(now) in self._memo:
            return self._memo[id(now)] is held
        if isinstance(now, Tensor):
            return _same_tensor(held, now)
        if isinstance(now, np.generic):
            return bool(held == now)
        if kind is np.ndarray:
            return now.dtype == held.dtype and not now.dtype.hasobject and np.array_equal(held, now)
        if (id(held), id(now)) in self._begun:
            return True
        self._begun[id(held), id(now)] = held, now
        return self._same_parts(held, now)

    def _same_parts(self, held: Any, now: Any) -> bool:
        """Return the same of containers and objects of one type."""
        if isinstance(now, _SEQUENCES):
            return len(held) == len(now) and self._all(zip(held, now, strict=True)) and self._same_fields(held, now)
        if isinstance(now, _MAPPINGS):
            if held.keys() != now.keys() or not self._all((held[key], value) for key, value in now.items()):
                return False
            return self._same_fields(held, now)
        if isinstance(now, _SETS):
            return {type(value) for value in now} <= PLAIN and bool(held == now) and self._same_fields(held, now)
        if isinstance(now, SimpleNamespace):
            return self.same(held.__dict__, now.__dict__)
        return _reduces_to_fields(now) and self.same(held.__getstate__(), now.__getstate__())

    def _same_fields(self, held: Any, now: Any) -> bool:
        own: Any = getattr(now, "__dict__", None)
        return not own or self.same(held.__dict__, own)

    def _all(self, pairs: Iterable[tuple[Any, Any]]) -> bool:
        return all(self.same(held, now) for held, now in pairs)


def copy_value(held: Any, now: Any, memo: Memo) -> Any:
    """Return a copy of a value of the original; tensors take the precision of what is held in its place.

    What cannot be copied, such as a lock or an open file, is shared.
    """
    if type(now) in PLAIN:
        return now
    if id(now) not in memo:
        memo[id(now)] = _copy(held, now, memo)
    return memo[id(now)]


def _copy(held: Any, now: Any, memo: Memo) -> Any:
    if isinstance(now, Tensor):
        # without a graph, which deepcopy refuses
        own = now.detach().clone()
        return own.to(held.dtype) if isinstance(held, Tensor) and _both_floating(held, own) else own
    if type(now) in (list, tuple):
        places = held if type(held) is type(now) and len(held) == len(now) else [None] * len(now)
        return type(now)([copy_value(place, value, memo) for place, value in zip(places, now, strict=True)])
    if type(now) is dict:
        given = held if type(held) is dict else {}
        return {key: copy_value(given.get(key), value, memo) for key, value in now.items()}
    try:
        return copy.deepcopy(now, memo)
    except (TypeError, RuntimeError):
        return now


def _same_tensor(held: Tensor, now: Tensor) -> bool:
    if held.shape != now.shape or now.layout is not torch.strided:
        return False
    return (held.dtype == now.dtype or _both_floating(held, now)) and torch.equal(held, now.to(held.dtype))


def _both_floating(held: Tensor, now: Tensor) -> bool:
    return held.is_floating_point() and now.is_floating_point()


def _reduces_to_fields(value: Any) -> bool:
    """Return whether an object is no more than its fields, nothing that lives in compiled code."""
    kind: Any = type(value)
    if kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__:
        return False
    if hasattr(kind, "__deepcopy__"):
        return False
    try:
        value.__reduce_ex__(4)
    except TypeError:
        return False
    return True
