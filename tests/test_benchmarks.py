"""The harness of the benchmarks: every case runs at its smallest, and errors and falls in speed are told."""

import itertools
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.compare import Contender, Peer, compare, relative_difference
from benchmarks.measure import interleave
from benchmarks.plots import draw
from benchmarks.published import Results, Run
from benchmarks.registry import all_cases, choose
from benchmarks.regression import committed, regressions
from benchmarks.report import page
from benchmarks.rows import Case, Row

# l4casadi exports through TorchScript, which torch has deprecated; do-mpc names features that it does without.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The TorchScript type system:UserWarning"),
]

ROW = Row(case="squares", ours_ms=2.0, peer="loop", peer_ms=6.0, bound_ms=1.0, agreement=1e-12, tolerance=1e-8)
OWN = ("exact_distance", "first_use", "horizon", "nlp", "shooting", "solves", "steps")


def squares(values: np.ndarray, tolerance: float = 1e-8) -> Contender:
    return Contender(lambda: values**2, lambda found: [found], tolerance)


def quick_cases() -> list[Case]:
    return [case for case in all_cases() if case.name.partition("/")[0] in OWN]


@pytest.mark.parametrize("case", quick_cases(), ids=lambda case: case.name)
def test_case_runs_and_agrees(case: Case) -> None:
    rows = [row for row in case.run(True) if isinstance(row, Row)]
    assert rows
    for row in rows:
        assert not row.error, row
        assert row.ours_ms is not None or row.note


def test_names_choose_cases() -> None:
    cases = all_cases()
    solves = {f"solves/{name}" for name in ("ipopt", "fatrop", "scipy", "guided")}
    assert {case.name for case in choose(cases, ["solves"])} == solves
    assert [case.name for case in choose(cases, ["nlp/sx"])] == ["nlp/sx"]
    assert not any(case.study for case in choose(cases, []))
    with pytest.raises(ValueError, match="no case 'slves'; there are: .*solves/ipopt"):
        choose(cases, ["slves"])


def test_list_and_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert "nlp/128x2" in capsys.readouterr().out
    assert main(["nothing"]) == 2
    assert "no case 'nothing'" in capsys.readouterr().out


def test_results_are_written_where_asked(tmp_path: Path) -> None:
    assert main(["nlp/sx", "--quick", "--json", str(tmp_path / "found.json")]) == 0
    document = json.loads((tmp_path / "found.json").read_text())
    keys = {"case", "ours_ms", "peer", "peer_ms", "ratio", "bound_ms", "agreement"}
    assert all(keys <= row.keys() for row in document["rows"])
    assert {row["benchmark"] for row in document["rows"]} == {"nlp/sx"}
    (run,) = document["runs"]
    assert "numpy" in run["machine"]
    assert "--quick" in run["command"]


def test_quick_results_are_not_published(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nlp/sx", "--quick", "--publish"])
    assert "not published" in capsys.readouterr().err


def test_a_run_of_some_benchmarks_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    newer = replace(ROW, ours_ms=1.0, sizes={"width": 64.0}, plot="width")
    whole = Run("whole", {"cores": 2}, {"first": [ROW], "second": [ROW, replace(ROW, peer="other")]})
    path = tmp_path / "latest.json"
    Results().with_run(whole).with_run(Run("part", {"cores": 4}, {"second": [newer]})).write(path)
    found = Results.read(path)
    assert [(run.command, dict(run.machine), run.found) for run in found.runs] == [
        ("whole", {"cores": 2}, {"first": [ROW]}),
        ("part", {"cores": 4}, {"second": [newer]}),
    ]
    assert [run.command for run in found.only(["second"]).runs] == ["part"]
    assert [run.command for run in found.with_run(whole).runs] == ["whole"]
    assert not Results.read(tmp_path / "none.json").runs


def test_disagreement_is_an_error() -> None:
    values = np.arange(1.0, 4.0)
    peers = [Peer("the same", lambda: squares(values)), Peer("another", lambda: squares(values + 1e-3))]
    good, bad = compare("squares", squares(values), peers, seconds=0.0)
    assert (good.agreement, good.error) == (0.0, "")
    assert bad.error.startswith("differs by")


def test_peer_that_fails_or_is_missing_gives_a_row() -> None:
    def missing() -> Contender:
        raise ModuleNotFoundError("No module named 'peer'", name="peer")

    def broken() -> Contender:
        raise RuntimeError("first\nInvalid_Number_Detected")

    stuck = replace(squares(np.ones(2)), failure=lambda found: "Solved_To_Acceptable_Level")
    peers = [Peer("absent", missing), Peer("broken", broken), Peer("stuck", lambda: stuck)]
    absent, crashed, unsolved = compare("squares", squares(np.ones(2)), peers, seconds=0.0)
    assert absent.note == "not installed: pip install 'trajopt_sgp[bench]' (peer)"
    assert crashed.note == "failed: Invalid_Number_Detected"
    assert unsolved.note == "failed: Solved_To_Acceptable_Level"
    assert unsolved.agreement is None
    assert unsolved.peer_ms is not None


def test_relative_difference_is_that_of_the_worst_array() -> None:
    first, second = np.array([1.0, 100.0]), np.array([2.0])
    assert relative_difference([first, second * 1.5], [first + 1.0, second]) == pytest.approx(0.5)
    with pytest.raises(AssertionError, match="shapes"):
        relative_difference([first], [second])


def test_functions_run_in_turn_and_short_ones_in_bursts() -> None:
    calls: list[str] = []

    def last() -> None:
        calls.append("long")
        time.sleep(0.006)

    found = interleave({"long": last, "short": lambda: calls.append("short")}, seconds=0.0)
    bursts = [(name, len(list(burst))) for name, burst in itertools.groupby(calls)]
    assert [name for name, _ in bursts] == ["long", "short"] * 5
    assert [count for name, count in bursts if name == "long"] == [2, 1, 1, 1, 1]
    assert min(count for name, count in bursts[3:] if name == "short") > 10
    assert found["short"] < 0.001 < 0.006 <= found["long"]


@pytest.mark.parametrize(("new_ms", "told"), [(2.0, False), (2.9, False), (3.1, True)])
def test_a_ratio_that_falls_by_a_third_is_told(new_ms: float, told: bool) -> None:
    before = [ROW.as_dict()]
    found = regressions([replace(ROW, ours_ms=new_ms)], before)
    assert bool(found) == told
    assert not regressions([replace(ROW, case="new", ours_ms=100.0)], before)


def test_committed_results_are_those_of_the_last_commit(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    path.write_text(json.dumps({"rows": [ROW.as_dict()]}))
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "results"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    path.write_text(json.dumps({"rows": []}))
    assert committed(path)[0]["ratio"] == 3.0
    assert committed(tmp_path / "other.json") == []


def test_page_shows_numbers_and_errors(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, peer="wrong", agreement=1.0, sizes={"width": 64.0}, plot="width")]
    plots = draw(rows, tmp_path)
    assert (tmp_path / "benchmark_width.png").stat().st_size > 5_000
    runs = [Run("python -m benchmarks", {"cores": 2}, {"demo": rows}), Run("other", {"cores": 4}, {"more": [ROW]})]
    text = page(Results(runs), {"more": "Cubes.", "demo": "Squares."}, plots)
    assert "| squares | 2 | loop | 6 | 3 | 1 | 2 | 1e-12 |  |" in text
    assert "**error: differs by 1.0e+00, allowed 1e-08**" in text
    assert "![Gradient of a rollout: time against width](images/benchmark_width.png)" in text
    head = "| run | command | load |\n|---|---|---|\n"
    assert "Measured on: cores 2.\n\n" + head + "| 1 | `python -m benchmarks` |  |" in text
    assert text.index("## more\n\nCubes. Run 2.") < text.index("## demo\n\nSquares. Run 1.")
    assert "Measured on: cores 4.\n\n" + head + "| 1 | `other` |  |" in page(Results(runs[1:]), {"more": "Cubes."}, {})
