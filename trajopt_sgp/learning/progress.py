"""Progress bars in the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trajopt_sgp.learning.state import Record

ProgressCallback = Callable[[Record], object]
"""Called after every validation with its record."""


@contextmanager
def progress_callback(progress: bool | ProgressCallback, title: str, steps: int) -> Iterator[ProgressCallback]:
    """Yield the callback that `progress` stands for: itself, a bar in the terminal (True), or nothing (False)."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield lambda _: None
    else:
        # where a bar is drawn, not by every import of the package
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("validation loss {task.fields[loss]}")) as bar:
            task = bar.add_task(title, total=steps, loss="...")
            yield lambda record: bar.update(
                task, completed=record["step"], loss=f"{record['validation_loss']:.3g}", refresh=True
            )
