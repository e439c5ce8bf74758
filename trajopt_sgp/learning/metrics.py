"""Metrics of a run: one JSON line per validation, and TensorBoard event files."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from trajopt_sgp.files import write_atomically
from trajopt_sgp.learning.state import Record


class MetricsLog:
    """Writes `metrics.jsonl` and `tensorboard/` in a folder; a context manager.

    Args:
        folder: exists.
        history: records of an interrupted run up to its checkpoint; lines written after it are dropped.
    """

    def __init__(self, folder: Path, history: Sequence[Record]) -> None:
        # TensorBoard is slow to import, and only runs with a folder need it
        from torch.utils.tensorboard import SummaryWriter

        path = folder / "metrics.jsonl"
        write_atomically(path, "".join(map(_line, history)).encode())
        self._file = path.open("a", encoding="utf-8")
        step = int(history[-1]["step"]) + 1 if history else 0
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, record: Record) -> None:
        """Add a record; its entry `step` is the horizontal axis. The line is on its way to the disk on return."""
        self._file.write(_line(record))
        self._file.flush()
        for name in record.keys() - {"step"}:
            self._writer.add_scalar(name, record[name], int(record["step"]))

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._writer.close()


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"
