"""Which cases there are: those of every module `bench_NAME` beside this one."""

import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from types import ModuleType

import benchmarks
from benchmarks.measure import Measurement
from benchmarks.rows import Case, Row

STUDIES = ("grid", "latency")
"""Benchmarks that take hours or train models for long, and write pages of their own."""


def all_cases() -> list[Case]:
    """Return the cases of every module: its `cases()`, or one case made of its `measure()`."""
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name.startswith("bench_")]
    found: list[Case] = []
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        found += module.cases() if hasattr(module, "cases") else [_whole(name.removeprefix("bench_"), module)]
    return found


def choose(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """Return the cases that are named, by pattern or by the name of their benchmark; without names all but studies.

    Raises:
        ValueError: a name fits no case; lists those there are.
    """
    for name in names:
        if not any(_fits(case, name) for case in cases):
            raise ValueError(f"no case {name!r}; there are: {', '.join(case.name for case in cases)}")
    if names:
        return [case for case in cases if any(_fits(case, name) for name in names)]
    return [case for case in cases if not case.study]


def _fits(case: Case, name: str) -> bool:
    return case.name == name or case.name.startswith(f"{name}/") or fnmatchcase(case.name, name)


def _whole(name: str, module: ModuleType) -> Case:
    def run(quick: bool) -> Iterable[Row | Measurement]:
        found: Iterable[Row | Measurement] = module.measure()
        return found

    return Case(name, (module.__doc__ or "").partition("\n")[0], run, study=name in STUDIES)
