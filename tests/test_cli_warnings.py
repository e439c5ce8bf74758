"""Warnings on the command line: a sentence each, and what holds of many files once."""

import re
import warnings
from pathlib import Path

import pytest

from trajopt_sgp.cli.main import run
from trajopt_sgp.cli.report import plain_warnings


def test_files_with_the_same_fault_are_told_once(tmp_path: Path) -> None:
    files = [tmp_path / f"log{k}.csv" for k in range(6)]
    for file in files:
        file.write_text("t,x,u\n" + "".join(f"{0.1 * k:.1f},{k}.5,{k % 3}\n" for k in range(9)))
    names = ["--dataset", "cli/warned-v0", "--states", "x", "--controls", "u", "--overwrite"]
    first, second, third, fourth = (re.escape(str(file)) for file in files[:4])
    sentence = f"^{first} has a column 't' that is not used: .* is true of {second}, {third}, {fourth} and 2 more.$"
    with pytest.warns(UserWarning, match=sentence) as told:
        assert run(["import", *map(str, files), *names, "--folder", str(tmp_path / "run")]) == 0
    assert len(told) == 1


def test_a_warning_is_a_sentence_without_its_place() -> None:
    with plain_warnings():
        assert warnings.formatwarning("Beware.", UserWarning, "inside.py", 3) == "Warning: Beware.\n"
        assert "library.py:3" in warnings.formatwarning("Old.", DeprecationWarning, "library.py", 3)
    assert "inside.py:3" in warnings.formatwarning("Beware.", UserWarning, "inside.py", 3)
