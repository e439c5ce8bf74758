"""Recording what a torch function does, operation by operation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from trajopt_sgp.derivatives.traced.decompositions import DECOMPOSITIONS
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError
from trajopt_sgp.problem.casadi_operations import spelled_out

Function = Callable[..., Tensor]

# results that depend on the shapes of their arguments alone
_FILLED = ("zeros_like", "ones_like", "full_like")
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
        self._made: dict[int, Any] = {}
        self._called = ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operation, and note it where it takes something that is known."""
        options = kwargs or {}
        known = self._look_at((args, options))
        if not known:
            value = func(*args, **options)
            self._made[id(value)] = value
            return value
        name = func.overloadpacket.__name__
        parts = self._decomposed(name, func, args, options)
        if parts is not NotImplemented:
            return parts
        if name in _READ:
            raise UnsupportedError("Python reads the value of a tensor")
        value = func(*args, **options)
        if name not in _FILLED:
            look: Callable[[Any], Any] = lambda part: self.known.get(id(part), part)  # noqa: E731
            self._note(Node(name, value, func, _mapped(args, look), _mapped(options, look), self._called))
        return value

    def _decomposed(self, name: str, func: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Return what other operations make of the same arguments, where they are known to."""
        outer, self._called = self._called, self._called or name
        with self:
            parts = DECOMPOSITIONS[func](*args, **options) if func in DECOMPOSITIONS else NotImplemented
            # decompositions reach this place without PyTorch having taken their operations apart
            result = func.decompose(*args, **options) if parts is NotImplemented else parts
        self._called = outer
        return result

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
        if func in _READ_AT_ONCE and id(args[0]) in self._recorder.known:
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
