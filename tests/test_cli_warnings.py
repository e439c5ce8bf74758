"""Warnings on the command line: a sentence each, and what holds of many files once."""

import warnings
from pathlib import Path

import pytest

from trajopt_sgp.cli.main import run


def test_files_with_the_same_fault_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / f"log{k}.csv" for k in range(6)]
    for file in files:
        file.write_text("t,x,u\n" + "".join(f"{0.1 * k:.1f},{k}.5,{k % 3}\n" for k in range(9)))
    names = ["--dataset", "cli/warned-v0", "--states", "x", "--controls", "u", "--overwrite"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run(["import", *map(str, files), *names, "--folder", str(tmp_path / "run")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "column 't'" in line]
    assert line.startswith(f"Warning: {files[0]} has a column 't' that is not used")
    assert line.endswith(f"The same is true of {files[1]}, {files[2]}, {files[3]} and 2 more.")
