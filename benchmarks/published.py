"""The published results: each benchmark as it was measured last, with the command and the machine of that run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from benchmarks.rows import Row
from trajopt_sgp.files import write_json


@dataclass(frozen=True)
class Run:
    """What was measured by one command."""

    command: str
    machine: Mapping[str, Any]
    """Processor, load, versions."""
    found: dict[str, list[Row]] = field(default_factory=dict)
    """Rows by name of the benchmark."""


@dataclass(frozen=True)
class Results:
    """Runs of which every benchmark is in one at most."""

    runs: Sequence[Run] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what `write` has written, or nothing where there is no file."""
        if not path.exists():
            return cls()
        document = json.loads(path.read_text())
        runs = [Run(run["command"], run["machine"]) for run in document["runs"]]
        for row in document["rows"]:
            runs[row["run"]].found.setdefault(row["benchmark"], []).append(Row.from_dict(row))
        return cls(runs)

    def write(self, path: Path) -> None:
        """Write a flat list of rows, each of which says its benchmark and the number of its run."""
        runs = [{"command": run.command, "machine": run.machine} for run in self.runs]
        rows = [
            {**row.as_dict(), "benchmark": name, "run": number}
            for number, run in enumerate(self.runs)
            for name, found in run.found.items()
            for row in found
        ]
        write_json(path, {"runs": runs, "rows": rows})

    def with_run(self, run: Run) -> Self:
        """Return the results with those of another run, in place of older ones of the same benchmarks."""
        kept = self.only(name for older in self.runs for name in older.found if name not in run.found)
        return type(self)([*kept.runs, run])

    def only(self, names: Iterable[str]) -> Self:
        """Return the results of some benchmarks; a run of which nothing is left goes."""
        wanted = set(names)
        kept = (
            replace(run, found={name: run.found[name] for name in run.found if name in wanted}) for run in self.runs
        )
        return type(self)([run for run in kept if run.found])
