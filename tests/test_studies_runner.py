"""The runner of studies with real processes: kills, limits, errors, and the same numbers everywhere."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests import study_cells
from trajopt_sgp.errors import FileError, OptionError
from trajopt_sgp.studies.runner import Backend, CellRecord, CellStore, ProcessPool, Serial, StudyCell, run_cells
from trajopt_sgp.studies.runner.job import Job
from trajopt_sgp.studies.runner.store import TIMINGS

ROOT = Path(__file__).parents[1]


def run(cells: Sequence[StudyCell], folder: Path, backend: Backend, **options: Any) -> list[CellRecord]:
    return run_cells("test", 1, cells, CellStore(folder), backend, **options)


def counting(folder: Path, numbers: int, seconds: float = 0.0) -> list[StudyCell]:
    settings = [{"executions": str(folder / "executions"), "number": k, "seconds": seconds} for k in range(numbers)]
    return [StudyCell(f"cell {k}", study_cells.count_and_wait, settings[k]) for k in range(numbers)]


def executions(folder: Path) -> list[int]:
    path = folder / "executions"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def drawing() -> list[StudyCell]:
    """Two cells that draw and one that needs both."""
    pair = [StudyCell(f"draw {seed}", study_cells.draw, {"seed": seed}) for seed in (3, 4)]
    both = StudyCell("combine", study_cells.combine, {}, needs={"left": pair[0], "right": pair[1]})
    return [both, *pair]  # what a cell needs may come after it


def kept(folder: Path) -> dict[str, Any]:
    """What is on disk, without what differs from run to run."""
    documents = [json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))]
    return {one["label"]: {name: value for name, value in one.items() if name not in TIMINGS} for one in documents}


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_pool_and_serial_keep_the_same_and_results_flow_along_needs(tmp_path: Path) -> None:
    records = run(drawing(), tmp_path / "serial", Serial())
    run(drawing(), tmp_path / "pool", ProcessPool(2))
    assert kept(tmp_path / "serial") == kept(tmp_path / "pool")
    combined, left, right = (record.result for record in records)
    assert combined["sum"] == left["eigenvalue"] + right["eigenvalue"]
    assert combined["notes"] == {"left": "3", "right": "4"}


def test_ray_keeps_the_same_as_the_pool(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    # in a process of its own: Ray leaves files open, which are warnings, which are errors here
    code = f"""
from pathlib import Path
from tests.test_studies_runner import drawing, run
from trajopt_sgp.studies.runner import RayCluster, StudyCell
from tests import study_cells
executions = {str(tmp_path / "executions")!r}
others = [
    StudyCell("fails", study_cells.fail, {{}}),
    StudyCell("dies once", study_cells.die_at_first, {{"executions": executions, "number": 7}}),
]
run(drawing() + others, Path({str(tmp_path / "ray")!r}), RayCluster("local", 2))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=120)
    run(drawing(), tmp_path / "pool", ProcessPool(2))
    found = kept(tmp_path / "ray")
    failed, retried = found.pop("fails"), found.pop("dies once")
    assert found == kept(tmp_path / "pool")
    assert (failed["status"], failed["error"]) == ("failed", "ArithmeticError: no such number")
    assert retried["result"] == {"number": 7}
    assert executions(tmp_path) == [7, 7]


def test_finished_cells_are_not_repeated_and_new_settings_are_new_cells(tmp_path: Path) -> None:
    run(counting(tmp_path, 2), tmp_path, Serial())
    run(counting(tmp_path, 3), tmp_path, Serial())
    assert executions(tmp_path) == [0, 1, 2]
    run_cells("test", 2, counting(tmp_path, 1), CellStore(tmp_path), Serial())
    assert executions(tmp_path) == [0, 1, 2, 0], "a higher version computes anew"


def test_functions_of_one_name_are_told_apart_by_their_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    cells = []
    for name in ("one", "two"):
        (tmp_path / f"module_{name}.py").write_text(f"def measure(settings, context):\n    return {{'is': {name!r}}}\n")
        cells.append(StudyCell("a", import_module(f"module_{name}").measure, {}))
    found = [run([cell], tmp_path, Serial())[0] for cell in [*cells, *cells]]
    assert [record.result["is"] for record in found] == ["one", "two"] * 2
    assert [record.function for record in found[:2]] == ["module_one.measure", "module_two.measure"]


def test_killed_worker_is_replaced_and_its_cell_computed_again(tmp_path: Path) -> None:
    pool = ProcessPool(2)
    cells = counting(tmp_path, 4, seconds=0.4)
    killed: list[int] = []

    class Killing:
        """The pool, one of whose workers is killed from outside in the middle of a cell."""

        capacity, submit, close = 2, pool.submit, pool.close

        def wait(self, seconds: float) -> Any:
            busy = [pid for pid in pool.process_ids.values() if executions(tmp_path)]
            if busy and not killed:
                killed.append(busy[0])
                os.kill(busy[0], signal.SIGKILL)
            return pool.wait(min(seconds, 0.05))

    records = run(cells, tmp_path, Killing())
    assert killed
    assert [record.result.get("number") for record in records] == [0, 1, 2, 3]
    assert sorted(record.attempts for record in records) == [1, 1, 1, 2]


def test_a_cell_that_kills_every_worker_fails_and_what_needs_it_is_not_computed(tmp_path: Path) -> None:
    settings = {"executions": str(tmp_path / "executions"), "number": 9}
    deadly = StudyCell("deadly", study_cells.die_always, settings)
    cells = [deadly, StudyCell("after", study_cells.combine, {}, needs={"left": deadly}), *counting(tmp_path, 1)]
    failed, after, good = run(cells, tmp_path, ProcessPool(2), attempts=2)
    assert failed.error == "its worker was killed by signal 9, in 2 attempts"
    assert after.error == "not computed: 'deadly', which it needs, failed"
    assert good.finished
    assert sorted(executions(tmp_path)) == [0, 9, 9]
    assert [record.attempts for record in (failed, after, good)] == [2, 0, 1]


def test_errors_and_time_limits_are_recorded_and_tried_again_in_the_next_run(tmp_path: Path) -> None:
    slow = StudyCell("slow", study_cells.count_and_wait, counting(tmp_path, 1, 60.0)[0].settings, time_limit=2.0)
    cells = [
        StudyCell("fails", study_cells.fail, {}),
        StudyCell("no JSON", study_cells.not_plain, {}),
        slow,
        StudyCell("draw", study_cells.draw, {"seed": 1}),
    ]
    for _ in range(2):
        failing, strange, late, good = run(cells, tmp_path, ProcessPool(2))
        assert failing.error == "ArithmeticError: no such number"
        assert "in fail" in failing.trace
        assert strange.error == "TypeError: Object of type Random is not JSON serializable"
        assert late.error == "TimeoutError: not done after 2 s"
        assert good.finished
    assert executions(tmp_path) == [0, 0]


def test_a_result_that_is_no_mapping_is_an_error_of_the_cell(tmp_path: Path) -> None:
    (record,) = run([StudyCell("nothing", study_cells.forget, {})], tmp_path, ProcessPool(1))
    assert not record.finished
    assert record.error.endswith("OptionError: forget returns NoneType instead of a mapping.")


def start_runner(folder: Path, numbers: int, seconds: float, name: str = "runner") -> subprocess.Popen[bytes]:
    """Run counting cells in a process of its own, one at a time."""
    script = folder / f"{name}.py"
    script.write_text(
        f"""
from pathlib import Path
from tests.test_studies_runner import counting, run
from trajopt_sgp.studies.runner import ProcessPool
if __name__ == "__main__":
    records = run(counting(Path({str(folder)!r}), {numbers}, {seconds}), Path({str(folder)!r}), ProcessPool(1))
    assert [record.result["number"] for record in records] == list(range({numbers}))
"""
    )
    return subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_two_runs_share_a_folder_and_compute_every_cell_once(tmp_path: Path) -> None:
    runners = [start_runner(tmp_path, 6, 0.4, f"runner{k}") for k in range(2)]
    assert [runner.wait(timeout=120.0) for runner in runners] == [0, 0]
    assert sorted(executions(tmp_path)) == list(range(6))
    assert len(set((tmp_path / "workers").read_text().split())) == 2


def test_a_cell_that_another_run_computes_is_waited_for(tmp_path: Path) -> None:
    held = CellStore(tmp_path).claim(counting(tmp_path, 2)[0].key("test", 1))
    assert held is not None
    runner = start_runner(tmp_path, 2, 0.0)
    wait_for(lambda: len(list(tmp_path.glob("cells/*.json"))) == 1)
    time.sleep(1.0)
    assert executions(tmp_path) == [1]
    assert runner.poll() is None
    held.give_up()
    assert runner.wait(timeout=60.0) == 0
    assert executions(tmp_path) == [1, 0]


def test_claims_end_with_their_process(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from trajopt_sgp.studies.runner.claim import claim
held = claim(Path({str(tmp_path / "claims/cell")!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    held = CellStore(tmp_path).claim("cell")
    assert held is not None
    assert CellStore(tmp_path).claim("cell") is None
    held.give_up()


def test_a_killed_runner_leaves_no_worker_and_its_next_run_repeats_nothing_finished(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from tests.test_studies_runner import counting, run
from trajopt_sgp.studies.runner import ProcessPool
if __name__ == "__main__":
    run(counting(Path({str(tmp_path)!r}), 6, 0.5), Path({str(tmp_path)!r}), ProcessPool(2))
"""
    script = tmp_path / "runner.py"
    script.write_text(code)
    runner = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    wait_for(lambda: len(list(tmp_path.glob("cells/*.json"))) >= 2)
    runner.kill()
    runner.wait()
    finished = set(kept(tmp_path))
    workers = (tmp_path / "workers").read_text().split()
    wait_for(lambda: not any(_alive(int(worker)) for worker in workers), 10.0)
    before = executions(tmp_path)
    records = run(counting(tmp_path, 6, 0.5), tmp_path, ProcessPool(2))
    repeated = executions(tmp_path)[len(before) :]
    assert 2 <= len(finished) < 6
    assert [record.result["number"] for record in records] == list(range(6))
    assert sorted([f"cell {number}" for number in repeated] + list(finished)) == sorted(r.label for r in records)


def _alive(process: int) -> bool:
    """Whether a thread of a process runs, which keeps its pipes open; one that only waits to be buried does not."""
    threads = Path(f"/proc/{process}/task")
    try:
        return any((thread / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z" for thread in threads.iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return threads.exists() and _alive(process)


def test_control_c_keeps_what_is_finished(tmp_path: Path) -> None:
    cells = counting(tmp_path, 4)

    def press(done: int, total: int, remark: str) -> None:
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(cells, tmp_path, Serial(), progress=press)
    assert len(kept(tmp_path)) == 2
    run(cells, tmp_path, Serial())
    assert executions(tmp_path) == [0, 1, 2, 3]


def test_a_cell_whose_files_are_gone_is_computed_again_only_where_they_are_needed(tmp_path: Path) -> None:
    both, left, right = drawing()
    run([both, left, right], tmp_path, Serial())
    shutil.rmtree(tmp_path / "files")
    run([both, left, right], tmp_path, Serial())
    assert not (tmp_path / "files").exists(), "nothing is to be computed that needs them"
    again = StudyCell("another", study_cells.combine, {"other": 1}, needs={"left": left})
    another = run([again, left, right], tmp_path, Serial())[0]
    assert another.result["notes"] == {"left": "3"}
    assert len(list((tmp_path / "files").iterdir())) == 2


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (["script.py"], "No worker can begin __main__.measure: it fails to import the script"),
        (["-"], "No worker can begin __main__.measure: it fails to import the script"),
        (["-c"], "__main__.measure was typed into Python and is in no file. Put functions of cells into a module"),
    ],
    ids=["no guard", "standard input", "typed"],
)
def test_what_workers_cannot_import_is_said_at_once(how: list[str], message: str, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from trajopt_sgp.studies.runner import CellStore, ProcessPool, StudyCell, run_cells
def measure(settings, context):
    return {{}}
run_cells("test", 1, [StudyCell("a", measure, {{}})], CellStore(Path({str(tmp_path)!r})), ProcessPool(1))
"""
    (tmp_path / "script.py").write_text(code)
    command = [sys.executable, *how, *([code] if how == ["-c"] else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, check=False, input=code, cwd=tmp_path, env=environment, text=True, capture_output=True
    )
    assert ended.returncode == 1
    assert message in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "cells").exists(), "nothing counts as failed"


def test_wrong_cells_are_refused_at_once(tmp_path: Path) -> None:
    pair = drawing()
    with pytest.raises(OptionError, match="lacks cells that others need: \\['draw 3'"):
        run(pair[:1], tmp_path, Serial())
    with pytest.raises(OptionError, match="the same, or of one label: \\['draw 3'\\]"):
        run([*pair, pair[1]], tmp_path, Serial())
    with pytest.raises(OptionError, match="the same, or of one label: \\['draw 4', 'again'\\]"):
        run([pair[2], StudyCell("again", pair[2].function, pair[2].settings)], tmp_path, Serial())
    with pytest.raises(OptionError, match="no function of a module"):
        StudyCell("local", lambda settings, context: {}, {})
    with pytest.raises(OptionError, match="plain JSON values"):
        StudyCell("path", study_cells.draw, {"folder": tmp_path})


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    cell = counting(tmp_path, 1)[0]
    run([cell], tmp_path, Serial())
    path = CellStore(tmp_path).record_path(cell, cell.key("test", 1))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(FileError, match=f"{path.name} is damaged; remove it"):
        run([cell], tmp_path, Serial())


def test_an_idle_worker_may_be_killed_too(tmp_path: Path) -> None:
    pool = ProcessPool(1)
    cells = counting(tmp_path, 2)
    jobs = [Job(str(k), cell.function, cell.settings, _context(tmp_path)) for k, cell in enumerate(cells)]
    try:
        pool.submit(jobs[0])
        process = pool.process_ids["0"]
        wait_for(lambda: bool(pool.wait(1.0)))
        os.kill(process, signal.SIGKILL)
        wait_for(lambda: not _alive(process))
        pool.submit(jobs[1])
        wait_for(lambda: bool(pool.wait(1.0)))
    finally:
        pool.close()
    assert executions(tmp_path) == [0, 1]


def _context(folder: Path) -> Any:
    from trajopt_sgp.studies.runner import CellContext

    return CellContext(folder / "files")
