"""Telling functions that they will be differentiated twice, for those that are faster when they will not."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WANTED: ContextVar[bool] = ContextVar("second_derivatives_wanted", default=False)


@contextmanager
def second_derivatives() -> Iterator[None]:
    """Run the block, in which a function is evaluated whose second derivatives are wanted."""
    token = _WANTED.set(True)
    try:
        yield
    finally:
        _WANTED.reset(token)


def second_derivatives_wanted() -> bool:
    """Return whether what is computed now will be differentiated twice."""
    return _WANTED.get()
