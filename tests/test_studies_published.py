"""What is published of studies is what their commands compute."""

import json
from pathlib import Path

import pytest

from benchmarks.d4rl.evaluate import STUDY as D4RL
from trajopt_sgp.studies.registry import STUDIES, find_study
from trajopt_sgp.studies.study import RESULTS

PUBLISHED = Path(__file__).parents[1] / "docs/studies"


@pytest.mark.parametrize("name", sorted({*STUDIES, D4RL.name}))
def test_published_cells_are_those_of_today(name: str) -> None:
    """Else a page says what no command computes any more, and no run can go on from it."""
    if not (PUBLISHED / name / RESULTS).exists():
        pytest.skip("nothing is published yet")
    study = D4RL if name == D4RL.name else find_study(name)
    keys = {cell.key(study.name, study.version) for cell in study.cells(False)}
    found = {cell["key"] for cell in json.loads((PUBLISHED / name / RESULTS).read_text())["cells"]}
    assert found
    assert found <= keys
