"""Annotations of the package hold when it runs: they are checked in every call under test.

Shapes are checked by jaxtyping, in the layers whose annotations tell any; it would double the time of the others, which
beartype checks alone.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import jaxtyping
import pytest
from beartype import BeartypeConf
from beartype.claw import beartype_packages

WITH_SHAPES = ("models", "learning", "uncertainty", "envs", "studies")
WITHOUT_SHAPES = ("data", "problem", "derivatives", "formulations", "solvers", "mpc", "hardware", "viz", "cli")
# three name types that exist for mypy alone, being defined further up; the others are compiled
LEFT_OUT = tuple(
    f"trajopt_sgp.{module}"
    for module in (
        "problem.probing",
        "formulations.base",
        "viz.animation",
        "derivatives.intrinsics",
        "derivatives.fused.kernels",
        "derivatives.traced.kernels",
    )
)


def install() -> None:
    """Have the layers checked; they must not have been imported yet."""
    jaxtyping.install_import_hook([f"trajopt_sgp.{layer}" for layer in WITH_SHAPES], "beartype.beartype")
    beartype_packages(
        [f"trajopt_sgp.{layer}" for layer in WITHOUT_SHAPES],
        conf=BeartypeConf(claw_is_pep526=False, claw_skip_package_names=LEFT_OUT),
    )


@contextmanager
def suspended() -> Iterator[None]:
    """Check nothing meanwhile."""

    def unchecked(*args: Any, __beartype_func: Any = None, **kwargs: Any) -> Any:
        return __beartype_func(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        for function in gc.get_objects():
            if type(function) is FunctionType and "__beartype_func" in (function.__kwdefaults__ or {}):
                patch.setattr(function, "__code__", unchecked.__code__)
        jaxtyping.config.update("jaxtyping_disable", True)
        yield
        jaxtyping.config.update("jaxtyping_disable", False)
