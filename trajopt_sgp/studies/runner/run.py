"""Running the cells of a study: in order of need, some at a time, each kept as soon as it is done."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trajopt_sgp.errors import OptionError
from trajopt_sgp.solvers.interruption import Interruption
from trajopt_sgp.studies.runner.backend import Backend
from trajopt_sgp.studies.runner.cell import CellContext, CellInput, StudyCell
from trajopt_sgp.studies.runner.claim import Claim
from trajopt_sgp.studies.runner.job import Died, Ending, Failed, Finished, Job
from trajopt_sgp.studies.runner.store import CellRecord, CellStore, package_versions

ATTEMPTS = 3
"""How many workers may die of a cell before it counts as failed."""

_POLL = 0.5

Progress = Callable[[int, int, str], None]
"""Called with the number of cells that have ended, the number of all, and a remark."""


def run_cells(
    study: str,
    version: int,
    cells: Sequence[StudyCell],
    store: CellStore,
    backend: Backend,
    *,
    attempts: int = ATTEMPTS,
    progress: Progress = lambda done, total, remark: None,
) -> list[CellRecord]:
    """Compute the cells that have no result in the store and return the records of all, in their order.

    A cell that failed in an earlier run is tried again. What another run with the same folder is computing is waited
    for. Ctrl-C, and whatever else is raised, ends the workers; what was
    finished is kept, and the next run goes on from there. The back end is closed at the end.

    Args:
        study: name, part of every key.
        version: part of every key: a higher one computes everything anew.
        cells: with all that they need among them.
        store: where records are, and go.
        backend: what computes.
        attempts: how many workers may die of a cell before it counts as failed.
        progress: told about every cell that ends.

    Raises:
        OptionError: two cells are the same or have one label, or a cell needs one that is not among them.
    """
    run = _Run(study, version, store, backend, attempts, progress)
    try:
        return run.all(cells)
    finally:
        run.give_up()
        backend.close()


@dataclass
class _Run:
    study: str
    version: int
    store: CellStore
    backend: Backend
    attempts: int
    progress: Progress
    records: dict[str, CellRecord] = field(default_factory=dict)
    running: dict[str, StudyCell] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    claims: dict[str, Claim] = field(default_factory=dict)

    def all(self, cells: Sequence[StudyCell]) -> list[CellRecord]:
        keyed = {self._key(cell): cell for cell in cells}
        names = Counter(name for cell in cells for name in (self._key(cell), cell.label))
        repeated = {cell.label: None for cell in cells if max(names[self._key(cell)], names[cell.label]) > 1}
        if repeated:
            raise OptionError(f"Study {self.study!r} has cells that are the same, or of one label: {[*repeated]}.")
        missing = [other.label for cell in cells for other in cell.needs.values() if self._key(other) not in keyed]
        if missing:
            raise OptionError(f"Study {self.study!r} lacks cells that others need: {missing}.")
        stored = {key: self.store.load(cell, key) for key, cell in keyed.items()}
        self.records = {key: record for key, record in stored.items() if record is not None and record.finished}
        waiting = {key: cell for key, cell in keyed.items() if key not in self.records}
        while gone := self._without_files(waiting):
            self.records = {key: record for key, record in self.records.items() if key not in gone}
            waiting = {key: cell for key, cell in keyed.items() if key not in self.records}
        self.progress(len(self.records), len(keyed), "")
        with Interruption() as interruption:
            while waiting or self.running:
                self._start(waiting, len(keyed))
                self._gather(_POLL, len(keyed))
                if interruption.requested:
                    raise KeyboardInterrupt
        return [self.records[key] for key in keyed]

    def give_up(self) -> None:
        """Let other runs have what has not ended."""
        while self.claims:
            self.claims.popitem()[1].give_up()

    def _key(self, cell: StudyCell) -> str:
        return cell.key(self.study, self.version)

    def _without_files(self, waiting: dict[str, StudyCell]) -> set[str]:
        """Return the finished cells whose files are gone although a cell that waits needs them."""
        needed = {self._key(other) for cell in waiting.values() for other in cell.needs.values()}
        left = {key for key in needed if key in self.records and self.records[key].left_files}
        return {key for key in left if not self.store.has_files(key)}

    def _start(self, waiting: dict[str, StudyCell], total: int) -> None:
        """Submit cells whose needs are met, and give up those whose needs failed."""
        for key, cell in [*waiting.items()]:
            needed = {role: self.records.get(self._key(other)) for role, other in cell.needs.items()}
            failed = [record.label for record in needed.values() if record is not None and not record.finished]
            if failed:
                del waiting[key]
                self._end(cell, key, Failed(f"not computed: {failed[0]!r}, which it needs, failed"))
            elif None not in needed.values() and len(self.running) < self.backend.capacity:
                self._take(waiting, key, total)

    def _take(self, waiting: dict[str, StudyCell], key: str, total: int) -> None:
        """Submit a cell, or take over its result where another run has finished it; it waits while one computes it."""
        claim, cell = self.store.claim(key), waiting[key]
        if claim is None:
            return
        del waiting[key]
        record = self.store.load(cell, key)
        if record is not None and record.finished and (self.store.has_files(key) or not record.left_files):
            claim.give_up()
            self.records[key] = record
            self.progress(len(self.records), total, cell.label)
            return
        self.claims[key] = claim
        self._submit(cell, key)

    def _submit(self, cell: StudyCell, key: str) -> None:
        inputs = {}
        for role, other in cell.needs.items():
            record = self.records[self._key(other)]
            inputs[role] = CellInput(record.result, self.store.files(record.key))
        self.running[key] = cell
        self.tries[key] += 1
        context = CellContext(self.store.files(key), inputs)
        self.backend.submit(Job(key, cell.function, cell.settings, context, cell.time_limit))

    def _gather(self, seconds: float, total: int) -> None:
        if not self.running:
            # others are computing what is left
            time.sleep(seconds)
            return
        for key, ending in self.backend.wait(seconds):
            cell = self.running.pop(key)
            if isinstance(ending, Died):
                if self.tries[key] < self.attempts:
                    self._submit(cell, key)
                    continue
                ending = Failed(f"{ending.reason}, in {self.tries[key]} attempts")
            self._end(cell, key, ending)
            self.progress(len(self.records), total, cell.label)

    def _end(self, cell: StudyCell, key: str, ending: Ending) -> None:
        record = CellRecord(
            study=self.study,
            version=self.version,
            key=key,
            label=cell.label,
            function=cell.function_name,
            settings=cell.settings,
            needs={role: self._key(other) for role, other in cell.needs.items()},
            attempts=self.tries[key],
            left_files=self.store.has_files(key),
            versions=package_versions(),
            **_entries(ending),
        )
        self.store.save(cell, record)
        self.records[key] = record
        if key in self.claims:
            self.claims.pop(key).give_up()


def _entries(ending: Ending) -> dict[str, Any]:
    """Return the entries of a record that an ending decides."""
    if isinstance(ending, Finished):
        entries = {"seconds": ending.seconds, "cpu_seconds": ending.cpu_seconds}
        return {"status": "finished", "result": ending.result, **entries}
    error, trace = (ending.error, ending.trace) if isinstance(ending, Failed) else (ending.reason, "")
    return {"status": "failed", "result": {}, "error": error, "trace": trace}
