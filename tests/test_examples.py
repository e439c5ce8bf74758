"""Every example runs as a user would run it, prints something and draws its picture; none is left out or too long."""

import ast
import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
ONE_PAGE = 100


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert (tmp_path / f"runs/examples/{path.stem}.png").stat().st_size > 10_000
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert lines[-1] == f"wrote runs/examples/{path.stem}.png"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_have_one_shape(path: Path) -> None:
    """A docstring that says what is shown, imports, functions, and a main that runs."""
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert "main" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert text.rstrip().endswith('if __name__ == "__main__":\n    main()')
    assert len(text.splitlines()) <= ONE_PAGE
