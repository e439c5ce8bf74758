"""What is published of studies is what their commands compute."""

import json
from pathlib import Path

import pytest

from benchmarks.d4rl.evaluate import STUDY as D4RL
from trajopt_sgp.studies.registry import STUDIES, find_study
from trajopt_sgp.studies.study import RESULTS, Study

PUBLISHED = Path(__file__).parents[1] / "docs/studies"


NAMES = sorted({*STUDIES, D4RL.name})


def find(name: str) -> Study:
    return D4RL if name == D4RL.name else find_study(name)


@pytest.mark.parametrize("name", NAMES)
def test_published_cells_are_those_of_today(name: str) -> None:
    """Else a page says what no command computes any more, and no run can go on from it."""
    if not (PUBLISHED / name / RESULTS).exists():
        pytest.skip("nothing is published yet")
    study = find(name)
    keys = {cell.key(study.name, study.version) for cell in study.cells(False)}
    found = {cell["key"] for cell in json.loads((PUBLISHED / name / RESULTS).read_text())["cells"]}
    assert found
    assert found <= keys


@pytest.mark.parametrize("name", NAMES)
def test_bare_names_in_keys_are_those_of_one_function_each(name: str) -> None:
    functions = {cell.function for reduced in (False, True) for cell in find(name).cells(reduced)}
    assert len({function.__name__ for function in functions}) == len(functions)
