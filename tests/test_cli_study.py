"""`trajopt-sgp study` as users run it, and its parts."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import study_cells
from trajopt_sgp.cli.jobs.study import StudyRequest, choose_cells, run_study
from trajopt_sgp.errors import FileError, OptionError
from trajopt_sgp.studies import registry
from trajopt_sgp.studies.registry import STUDIES, find_study
from trajopt_sgp.studies.runner import CellStore, StudyCell
from trajopt_sgp.studies.study import Study

COMMAND = str(Path(sys.executable).with_name("trajopt-sgp"))


def request(**changes: object) -> StudyRequest:
    given = {
        "name": None,
        "list_studies": False,
        "reduced": True,
        "only": None,
        "restore": False,
        "publish_only": False,
        "workers": 0,
        "ray_address": None,
        "folder": None,
        "output": None,
        "json_output": True,
        **changes,
    }
    return StudyRequest(**given)  # type: ignore[arg-type]


def test_a_study_runs_resumes_and_writes_results_that_stand_alone(tmp_path: Path) -> None:
    command = [COMMAND, "study", "score-dimension", "--reduced", "--only", "exact", "--output", "out", "--json"]
    first = subprocess.run([*command, "--workers", "2"], cwd=tmp_path, capture_output=True, text=True, check=True)
    document = json.loads(first.stdout)
    assert (document["cells"], document["failed"]) == (2, {})
    results = (tmp_path / "out/results.json").read_text()
    report = run_study(
        request(name="score-dimension", only="exact", folder=tmp_path / "runs/studies/score-dimension", output=tmp_path)
    )
    assert report.exit_code == 0
    assert (tmp_path / "results.json").read_text() == results, "times included: nothing was computed again"
    written = json.loads(results)
    assert written["reduced"] and {"seed", "size"} <= set(written["cells"][0]["settings"])
    page = (tmp_path / "out/index.md").read_text()
    assert "2 of 6 cells finished" in page
    assert "Partial" in page
    assert all(
        (tmp_path / "out" / line[line.index("(") + 1 : -1]).exists() for line in page.split("\n") if line[:1] == "!"
    )


def test_a_failed_cell_gives_exit_code_1_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [StudyCell("good", study_cells.draw, {"seed": 1}), StudyCell("bad", study_cells.fail, {})]
    study = Study(
        "broken", "Broken", "Does it go on?", 1, lambda reduced: cells, lambda records: "", lambda records: {}
    )
    monkeypatch.setattr("trajopt_sgp.cli.jobs.study.find_study", lambda name: study)
    report = run_study(request(name="broken", workers=1, folder=tmp_path / "run", output=tmp_path / "out"))
    assert report.exit_code == 1
    assert report.document["failed"] == {"bad": "ArithmeticError: no such number"}
    assert "- bad failed: ArithmeticError: no such number" in (tmp_path / "out/index.md").read_text()


def test_unknown_names_are_refused_with_the_valid_ones(tmp_path: Path) -> None:
    names = ", ".join(STUDIES)
    with pytest.raises(OptionError, match=f"Unknown study 'cartpole'; choose from {names}"):
        find_study("cartpole")
    with pytest.raises(OptionError, match=f"Which study\\? Choose from {names}"):
        run_study(request())
    with pytest.raises(OptionError, match="No cell has 'd=3' in its label"):
        run_study(request(name="score-dimension", only="d=3", folder=tmp_path))


def test_every_study_is_found_and_listed_with_its_cells() -> None:
    listing = run_study(request(list_studies=True, reduced=False)).document
    assert set(listing) == set(registry.STUDIES)
    assert all(len(labels) == len(set(labels)) > 0 for labels in listing.values())


def test_cells_are_chosen_with_all_that_they_need() -> None:
    first = StudyCell("train", study_cells.draw, {"seed": 1})
    second = StudyCell("tune", study_cells.draw, {"seed": 2}, needs={"model": first})
    third = StudyCell("plan", study_cells.draw, {"seed": 3}, needs={"settings": second})
    other = StudyCell("other", study_cells.draw, {"seed": 4})
    chosen = choose_cells([other, first, second, third], "plan")
    assert [cell.label for cell in chosen] == ["train", "tune", "plan"]


def made_of(cells: list[StudyCell], monkeypatch: pytest.MonkeyPatch, version: int = 1) -> None:
    """Let the command find a study of these cells."""
    study = Study("made", "Made", "?", version, lambda reduced: cells, lambda records: "", lambda records: {})
    monkeypatch.setattr("trajopt_sgp.cli.jobs.study.find_study", lambda name: study)


def test_another_machine_goes_on_from_published_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = [StudyCell(f"draw {seed}", study_cells.draw, {"seed": seed}) for seed in (1, 2)]
    both = StudyCell("both", study_cells.combine, {}, needs={"left": draws[0], "right": draws[1]})
    made_of([*draws, both], monkeypatch)
    published = tmp_path / "docs"
    run_study(request(name="made", only="draw 1", folder=tmp_path / "here", output=published))
    assert "1 of 3 cells finished" in (published / "index.md").read_text()
    there = {"name": "made", "folder": tmp_path / "there", "output": published, "restore": True}
    run_study(request(**there, publish_only=True))
    assert len(json.loads((published / "results.json").read_text())["cells"]) == 1, "restored, and no more"
    report = run_study(request(**there))
    entries = {entry["label"]: entry for entry in json.loads((published / "results.json").read_text())["cells"]}
    assert (report.exit_code, [*entries]) == (0, ["draw 1", "draw 2", "both"])
    total = sum(entries[name]["result"]["eigenvalue"] for name in ("draw 1", "draw 2"))
    assert entries["both"]["result"] == {"sum": total, "notes": {"left": "1", "right": "2"}}, "draw 1 was drawn again"


def test_only_what_is_whole_takes_the_place_of_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [StudyCell(f"draw {seed}", study_cells.draw, {"seed": seed}) for seed in (1, 2)]
    made_of(cells, monkeypatch)
    published, aside = Path("docs/studies/made"), Path("runs/studies/made/page")
    in_part = {"name": "made", "reduced": False, "only": "draw 1"}
    assert run_study(request(**in_part)).document["files"]["results"] == aside / "results.json"
    assert not published.exists()
    assert run_study(request(name="made", reduced=False)).document["files"]["page"] == published / "index.md"
    whole = (published / "results.json").read_bytes()
    report = run_study(request(**in_part, folder=Path("other")))
    assert report.document["files"]["page"] == Path("other/page/index.md")
    assert run_study(request(name="made", reduced=True)).document["files"]["page"] == aside / "index.md"
    made_of(cells[:1], monkeypatch)
    run_study(request(name="made", reduced=False))
    with pytest.raises(OptionError, match=r"results.json has 2 finished cells, and these are 1: choose another output"):
        run_study(request(name="made", output=published))
    assert (published / "results.json").read_bytes() == whole


def test_cells_that_left_no_files_are_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = {"executions": str(tmp_path / "executions"), "number": 1, "seconds": 0.0}
    tuned = StudyCell("tune", study_cells.count_and_wait, counted)
    plan = StudyCell("plan", study_cells.double, {}, needs={"tuned": tuned})
    made_of([tuned, plan], monkeypatch)
    published = tmp_path / "docs"
    run_study(request(name="made", only="tune", folder=tmp_path / "here", output=published))
    run_study(request(name="made", folder=tmp_path / "there", output=published, restore=True))
    entries = json.loads((published / "results.json").read_text())["cells"]
    assert [entry["result"]["number"] for entry in entries] == [1, 2]
    assert (tmp_path / "executions").read_text() == "1\n"


def test_versions_stay_those_that_cells_were_computed_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [StudyCell(f"draw {seed}", study_cells.draw, {"seed": seed}) for seed in (1, 2, 3)]
    made_of(cells, monkeypatch)
    here, published = CellStore(tmp_path / "here"), tmp_path / "docs"
    run_study(request(name="made", folder=here.folder, output=published))
    now = json.loads((published / "results.json").read_text())["versions"][0]
    then = {"python": "3.8.1", "torch": "1.0.0"}
    for cell, versions in zip(cells, (then, None, now), strict=True):
        record = here.load(cell, cell.key("made", 1))
        assert record is not None
        here.save(cell, replace(record, versions=versions))
    run_study(request(name="made", folder=here.folder, output=published, publish_only=True))
    document = json.loads((published / "results.json").read_text())
    assert document["versions"] == [then, now]
    assert [entry["versions"] for entry in document["cells"]] == [0, None, 1]
    assert f"torch 1.0.0 or {now['torch']}" in (published / "index.md").read_text()
    there = CellStore(tmp_path / "there")
    run_study(request(name="made", folder=there.folder, output=published, restore=True, publish_only=True))
    restored = [there.load(cell, cell.key("made", 1)) for cell in cells]
    assert [record and record.versions for record in restored] == [then, None, now]


def test_results_of_before_cells_had_versions_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = StudyCell("draw", study_cells.draw, {"seed": 1})
    made_of([cell], monkeypatch)
    run_study(request(name="made", folder=tmp_path / "here", output=tmp_path))
    document = json.loads((tmp_path / "results.json").read_text())
    document["versions"] = {"python": "3.9.0"}
    del document["cells"][0]["versions"]
    (tmp_path / "results.json").write_text(json.dumps(document))
    there = CellStore(tmp_path / "there")
    run_study(request(name="made", folder=there.folder, output=tmp_path, restore=True, publish_only=True))
    record = there.load(cell, cell.key("made", 1))
    assert record is not None
    assert record.versions == {"python": "3.9.0"}


def test_what_cannot_be_restored_or_published_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [StudyCell("draw", study_cells.draw, {"seed": 1})]
    made_of(cells, monkeypatch)
    chosen = {"name": "made", "output": tmp_path / "docs", "folder": tmp_path / "run"}
    with pytest.raises(OptionError, match="no cells of study 'made' to publish"):
        run_study(request(**chosen, publish_only=True))
    with pytest.raises(FileError, match="There are no results"):
        run_study(request(**chosen, restore=True))
    run_study(request(**chosen))
    made_of(cells, monkeypatch, version=2)
    with pytest.raises(OptionError, match="in version 1, not of 'made' in 2"):
        run_study(request(**chosen, restore=True))
    (tmp_path / "docs/results.json").write_text("{")
    with pytest.raises(FileError, match="is damaged"):
        run_study(request(**chosen, restore=True))
    (tmp_path / "docs/results.json").write_text("{}")
    with pytest.raises(FileError, match="lacks cells, study, version, versions"):
        run_study(request(**chosen, restore=True))
