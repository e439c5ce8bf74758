"""Results of different files never share a table: learned policies, and the data they leave, differ by machine."""

from collections.abc import Iterable, Sequence

from benchmarks.d4rl.datasets import task_transitions
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.studies.runner import CellRecord


def check_data(tasks: Iterable[str], records: Sequence[CellRecord]) -> None:
    """Refuse to go on with finished cells that are of other data than those on this machine.

    Raises:
        IncompatibleError: names task, cells and hashes.
        DatasetError: the data of a task are missing.
    """
    for task in tasks:
        known = {record.label: record.result["hash"] for record in records if _is_of(record, task)}
        here = task_transitions(task).dataset.hash if known else ""
        others = {label: found[:12] for label, found in known.items() if found != here}
        if others:
            raise IncompatibleError(
                f"The data of {task} here have the hash {here[:12]}, finished cells are of others: {others}. Give "
                "another --folder, and an --output without their results, or use the data that they are of."
            )


def _is_of(record: CellRecord, task: str) -> bool:
    return record.finished and record.settings["task"] == task and "hash" in record.result
