"""The problem and the plant of a comparison: built in, or made by a function in a file of the user."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.problem.solution import Plant
from trajopt_sgp.studies.problems import BUILT_IN, BuiltInProblem

# what mistakes in a user's file raise; errors of this library pass through as they are
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def find_problem(text: str) -> tuple[OptimalControlProblem, BuiltInProblem | None]:
    """Return a problem by its built-in name, with what is known of it, or from `file.py:function`.

    The file is run, as Python would run it.

    Raises:
        OptionError: there is no such name, file or function, or it does not return a problem; says what is valid.
    """
    if text in BUILT_IN:
        return BUILT_IN[text].make(), BUILT_IN[text]
    if not _names_function(text):
        raise OptionError(
            f"Unknown problem {text!r}; choose from {', '.join(BUILT_IN)}, or give file.py:function, a function that "
            "returns an OptimalControlProblem."
        )
    path, function = _function(text)
    with _importable(path.parent), _blamed(path):
        _check_arguments(text, function, (), "without arguments", "give each a default")
        problem: Any = function()
    if not isinstance(problem, OptimalControlProblem):
        raise OptionError(f"{text} returned {type(problem).__name__}; it must return an OptimalControlProblem.")
    return problem, None


def find_plant(text: str) -> Plant:
    """Return a step of a plant from `file.py:function`: state `(n,)` and control `(m,)` to the next state, as arrays.

    The file is run, as Python would run it. A mistake in the function, whenever it is called, is an `OptionError`.

    Raises:
        OptionError: there is no such file or function, or it does not take a state and a control.
    """
    if not _names_function(text):
        raise OptionError(f"--plant {text!r}: give file.py:function, a function of state and control.")
    path, function = _function(text)
    _check_arguments(text, function, (None, None), "with a state and a control", "let it take these two")

    def step(state: FloatArray, control: FloatArray) -> ArrayLike:
        with _importable(path.parent), _blamed(path):
            after: ArrayLike = function(state, control)
        return after

    return step


def _names_function(text: str) -> bool:
    return text.rpartition(":")[0].endswith(".py")


def _function(text: str) -> tuple[Path, Callable[..., Any]]:
    """Return the file and the function that `file.py:function` names."""
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise OptionError(f"There is no file {path}; give the path of a Python file, a colon and a function in it.")
    with _importable(path.parent), _blamed(path):
        module = _run(path)
    function = getattr(module, name, None)
    if not callable(function):
        raise OptionError(f"{path} has no function {name!r}; it has: {', '.join(_functions(module)) or 'none'}.")
    return path, function


def _check_arguments(text: str, function: Callable[..., Any], given: Sequence[object], how: str, remedy: str) -> None:
    signature = inspect.signature(function)
    try:
        signature.bind(*given)
    except TypeError as error:
        raise OptionError(
            f"{text} cannot be called {how}, its signature is {signature}: {remedy}, or write a function around it."
        ) from error


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"compared_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise OptionError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _functions(module: ModuleType) -> list[str]:
    found: list[tuple[str, Callable[..., Any]]] = inspect.getmembers(module, inspect.isfunction)
    return [name for name, function in found if function.__module__ == module.__name__ and not name.startswith("_")]


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a file import what stands beside it."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """Turn a mistake in a user's file into a sentence that names the line."""
    try:
        yield
    except _MISTAKES as error:
        raise OptionError(f"{path}, line {_line(error, path)}: {type(error).__name__}: {error}") from error


def _line(error: BaseException, path: Path) -> int | str:
    if isinstance(error, SyntaxError):
        return error.lineno or "?"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    frames = frames or [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == path.name]
    return (frames[-1].lineno or "?") if frames else "?"
