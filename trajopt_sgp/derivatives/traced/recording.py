"""Recording what a torch function does, operation by operation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from trajopt_sgp.derivatives.traced.decompositions import DECOMPOSITIONS
from trajopt_sgp.derivatives.traced.memory import Memory, shares_memory, without_writing, writes
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError
from trajopt_sgp.problem.casadi_operations import spelled_out

_aten: Any = torch.ops.aten

Function = Callable[..., Tensor]

# results that depend on the shapes of their arguments alone
_FILLED = (
    *("zeros_like", "ones_like", "full_like", "empty_like"),
    *("new_zeros", "new_ones", "new_full", "new_empty"),
)
_EMPTY = ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided")
_READ = ("_local_scalar_dense", "equal", "is_nonzero")
# these read memory without an operation
_READ_AT_ONCE = (Tensor.tolist, Tensor.numpy, Tensor.__array__)


@dataclass(eq=False)
class Node:
    """An operation that was called on something recorded, or an input."""

    name: str
    """Of the operation in torch."""
    value: Any
    """What it gave in the example: a tensor, or several."""
    target: Callable[..., Any] | None = None
    """The operation; None for an input."""
    args: tuple[Any, ...] = ()
    """Arguments, nodes in place of what was recorded."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """The same by name."""
    called: str = ""
    """The operation that was called, where this one is a part of it."""

    @property
    def title(self) -> str:
        """What it is called in reasons."""
        return f"{self.called} ({self.name})" if self.called not in ("", self.name) else self.name

    @property
    def sources(self) -> list["Node"]:
        """The nodes among its arguments, each once."""
        found: dict[Node, None] = {}
        substituted((self.args, self.kwargs), found.setdefault)
        return list(found)


@dataclass(frozen=True)
class Recording:
    """What a function did."""

    nodes: Sequence[Node]
    """In order, the inputs first."""
    result: Node
    """Which of them is the result."""
    sources: Sequence[Tensor]
    """Weights and constants that it read, themselves and not copies."""


def record(function: Function, inputs: Sequence[Tensor]) -> Recording:
    """Return what a function does with its inputs.

    Raises:
        UnsupportedError: the result is no tensor, or depends on none of the inputs; or Python reads a number.
    """
    recorder = _Recorder(inputs)
    with spelled_out(), recorder, _Unread(recorder):
        result = function(*inputs)
        result = recorder.memory.current(result)
    node = recorder.known.get(id(result))
    if node is None:
        raise UnsupportedError("the result is no tensor that was computed from the arguments")
    return Recording(recorder.nodes, node, list(recorder.sources.values()))


def decline_recording(reason: str) -> None:
    """Refuse to be recorded: for functions that are no operations of torch, and whose derivatives autograd knows.

    Raises:
        UnsupportedError: something is being recorded.
    """
    if isinstance(_get_current_dispatch_mode(), _Recorder):
        raise UnsupportedError(reason)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation on the inputs, and on what was computed from them."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes = [Node("input", value) for value in inputs]
        # nodes keep their tensors alive, so that no other tensor gets the same identity
        self.known = {id(node.value): node for node in self.nodes}
        self.sources: dict[int, Tensor] = {}
        self._inputs = set(self.known)
        self.memory = Memory()
        self._made: dict[int, Any] = {}
        self._used: set[int] = set()
        self._called = ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operation, and note it where it takes something that is known."""
        now, options = args, dict(kwargs or {})
        if self.memory.newer:
            with self:
                now, options = _mapped((args, options), self.memory.current)
        known = self._look_at((now, options))
        if writes(func) and func not in DECOMPOSITIONS and (known or not self._may_write(now[0])):
            return self._write(func, args[0], now, options)
        value = self._call(func, now, options) if known else self._make(func, now, options)
        if shares_memory(func):
            # PyTorch detaches what it has just made, which is no step of the function
            same = _aten.alias.default if func is _aten.detach.default and not known else func
            self.memory.share(value, same, now, options)
        return value

    def _make(self, func: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Call an operation on what is not known."""
        value = func(*args, **options)
        if func.overloadpacket.__name__ in _EMPTY:
            value.zero_()  # numbers of memory that nobody has written to would become constants
        parts = value if isinstance(value, tuple | list) else [value]
        self._made.update((id(part), part) for part in (value, *parts) if id(part) not in self.sources)
        return value

    def _call(self, func: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Call an operation on what is known."""
        name = func.overloadpacket.__name__
        parts = self._decomposed(name, func, args, options)
        if parts is not NotImplemented:
            return parts
        if name in _READ:
            raise UnsupportedError("Python reads the value of a tensor")
        if name in _FILLED:
            return self._make(func, args, options)
        value = func(*args, **options)
        self._note(Node(name, value, func, _mapped(args, self._node_of), _mapped(options, self._node_of), self._called))
        return value

    def _node_of(self, part: Any) -> Any:
        """Return the node of what is known; what is not may not be written to any more."""
        if isinstance(part, Tensor) and id(part) not in self.known:
            self._used.add(id(self.memory.root(part)))
        return self.known.get(id(part), part)

    def _may_write(self, tensor: Any) -> bool:
        """Return whether a tensor that is not known was there before, or is no part of what was recorded."""
        root = self.memory.root(tensor)
        return id(root) in self.sources or id(root) not in self._used

    def _write(self, func: Any, target: Tensor, args: tuple[Any, ...], options: Mapping[str, Any]) -> Tensor:
        """Call what gives the values that an operation would write, and let them take the place of the others."""
        name, function = func.overloadpacket.__name__, without_writing(func)
        root, index = self.memory.place(args[0])
        self._made[id(index)] = index
        if id(root) in self.sources or id(root) in self._inputs:
            raise UnsupportedError(f"{name} writes to a tensor that the function did not make")
        with self._inside(name):
            new = function(*args, **options)
            copied = args[1].dtype if name == "copy_" and args[1].is_floating_point() else target.dtype
            if not new.dtype == copied == target.dtype:
                raise UnsupportedError(f"{name}: a change of precision")
            self.memory.newer[id(root)] = new if index is None else _aten.put(root, index, new)
        return target

    def _decomposed(self, name: str, func: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Return what other operations make of the same arguments, where they are known to."""
        with self._inside(name):
            parts = DECOMPOSITIONS[func](*args, **options) if func in DECOMPOSITIONS else NotImplemented
            # decompositions reach this place without PyTorch having taken their operations apart
            return func.decompose(*args, **options) if parts is NotImplemented else parts

    @contextmanager
    def _inside(self, name: str) -> Iterator[None]:
        """Record the operations that an operation consists of."""
        outer, self._called = self._called, self._called or name
        try:
            with self:
                yield
        finally:
            self._called = outer

    def _look_at(self, arguments: Any) -> bool:
        """Return whether anything known is among the arguments, and remember tensors that come from outside."""
        if isinstance(arguments, tuple | list | dict):
            parts = arguments.values() if isinstance(arguments, dict) else arguments
            found = [self._look_at(part) for part in parts]
            return any(found)
        if isinstance(arguments, Tensor) and id(arguments) not in self.known:
            if id(arguments) not in self._made:
                self.sources[id(arguments)] = arguments
            return False
        return isinstance(arguments, Tensor)

    def is_known(self, tensor: Tensor) -> bool:
        """Return whether a tensor depends on what was recorded, or has been replaced."""
        return self.memory.current(tensor) is not tensor or id(tensor) in self.known

    def _note(self, node: Node) -> None:
        self.nodes.append(node)
        if isinstance(node.value, Tensor):
            self.known[id(node.value)] = node
            return
        for place, part in enumerate(node.value or ()):
            item = Node("getitem", part, None, (node, place))
            self.nodes.append(item)
            self.known[id(part)] = item


class _Unread(TorchFunctionMode):
    """Refuses what takes the values of recorded tensors out of torch."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _READ_AT_ONCE and self._recorder.is_known(args[0]):
            raise UnsupportedError("Python reads the values of a tensor")
        return func(*args, **(kwargs or {}))


def substituted(arguments: Any, look: Callable[[Node], Any]) -> Any:
    """Return arguments with something in place of each node."""
    return _mapped(arguments, lambda part: look(part) if isinstance(part, Node) else part)


def _mapped(arguments: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(arguments, tuple | list):
        return type(arguments)(_mapped(part, function) for part in arguments)
    if isinstance(arguments, dict):
        return {name: _mapped(part, function) for name, part in arguments.items()}
    return function(arguments)
