"""Recordings from files: tables with what loggers leave in them, and archives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_data_recordings import TABLE
from trajopt_sgp.data import read_recordings, transitions_from_recordings
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, TrajoptError


def test_messages_name_columns_and_lines(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("t,q,dq,u\n0.0,1,1,0\n\n0.1,2,nan,0\n0.2,3,3,\n0.3,4,4,0\n")
    (recording,) = read_recordings(file, ["q", "dq"], ["u"], "t")
    hint = r"skip_missing=True, --skip-missing"
    with pytest.raises(NotFiniteError, match=rf"log.csv', sample 1 \(line 4\), dq is nan.*{hint}"):
        transitions_from_recordings([recording], "lab/log-v0")
    (recording,) = read_recordings(file, ["q"], ["u"], "t")
    with pytest.raises(NotFiniteError, match=r"sample 2 \(line 5\), u is nan"):
        transitions_from_recordings([recording], "lab/log-v0")
    np.savez(tmp_path / "log.npz", x=np.array([[0.0, 1.0], [0.0, np.nan]]), u=np.zeros(2))
    (recording,) = read_recordings(tmp_path / "log.npz", ["x"], ["u"])
    with pytest.raises(NotFiniteError, match=r"log.npz', sample 1, x\[1\] is nan"):
        transitions_from_recordings([recording], "lab/log-v0")


def test_lines_are_counted_in_the_file_also_in_a_later_run(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("q,u,run\n1,0,a\n2,0,a\n3,0,b\n4,0,b\n,0,b\n")
    with pytest.raises(NotFiniteError, match=r"log.csv, run b', sample 2 \(line 6\), q is nan"):
        transitions_from_recordings(read_recordings(file, ["q"], ["u"], run="run"), "lab/log-v0")


def test_table_is_read_run_by_run(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("\ufeff" + TABLE, encoding="utf-8")
    first, second = read_recordings(file, ["q*"], ["u"], "t", "trial")
    assert (first.name, second.name) == (f"{file}, trial a", f"{file}, trial b")
    np.testing.assert_array_equal(first.states, [[1, 10], [2, 20], [3, np.nan]])
    np.testing.assert_array_equal(second.controls, [[0.4], [0.5]])
    np.testing.assert_array_equal(second.times, [0.0, 0.1])


def test_runs_of_one_sample_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("x,u,run\n1,0,a\n2,0,b\n3,0,b\n4,0,c\n")
    with pytest.warns(UserWarning, match="2 runs of a single sample hold no transition and are left out: run a, c"):
        (recording,) = read_recordings(file, ["x"], ["u"], run="run")
    assert recording.states.ravel().tolist() == [2.0, 3.0]
    file.write_text("x,u,run\n1,0,a\n2,0,b\n")
    with pytest.raises(DatasetError, match="no run of two samples"):
        read_recordings(file, ["x"], ["u"], run="run")


def test_archive_is_read(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "q": np.arange(8.0).reshape(4, 2),
        "speed": np.arange(4),
        "u": np.ones(3),
        "note": np.array("by hand"),
    }
    np.savez(tmp_path / "log.npz", **arrays)
    (recording,) = read_recordings(tmp_path / "log.npz", ["speed", "q"], ["u"])
    np.testing.assert_array_equal(recording.states, np.hstack([arrays["speed"][:, None], arrays["q"]]))
    assert recording.controls.shape == (3, 1)


def test_arrays_that_are_no_rows_of_samples_are_refused_by_shape(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"q": np.zeros((4, 2, 3)), "u": np.zeros(4), "x": np.zeros(4)}
    np.savez(tmp_path / "log.npz", **arrays)
    with pytest.raises(OptionError, match=r"log.npz: q has shape \(4, 2, 3\); samples are rows"):
        read_recordings(tmp_path / "log.npz", ["q"], ["u"])
    assert read_recordings(tmp_path / "log.npz", ["[qx]"], ["u"])[0].state_names == ["x"]


@pytest.mark.parametrize(
    ("text", "columns", "kind", "sentence"),
    [
        (TABLE, (["q 3"], ["u"]), OptionError, "no 'q 3': choose from t, q 1, q 2, mode, u, trial"),
        (TABLE, (["q*", "q 1"], ["u"]), OptionError, "at most once"),
        (TABLE, (["q 1", "u"], ["u"]), OptionError, "u cannot be state and control at once"),
        ("t q u\n0 1 2\n1 2 3\n", (["q"], ["u"]), OptionError, "choose from t q u. Its first line has blanks alone"),
        (TABLE, (["mode"], ["u"]), DatasetError, "line 2: mode is .'idle'., no numbers"),
        (TABLE, (["q 1"], ["u"], "t"), OptionError, r"do not increase at sample 3 \(line 5\)"),
        (TABLE.replace("0.2;", ""), (["q 1"], ["u"]), DatasetError, "line 3 has 5 cells"),
        ("t;q;u\n[s];[m];[N]\n0;1;2\n", (["q"], ["u"]), DatasetError, r"line 2: q is .*holds units, delete it, or let"),
        ("t;q;u\n0,0;1,5;-2,5\n", (["q"], ["u"]), DatasetError, "line 2: q is .'1,5'.*need decimal points: replace"),
        ("q,u\n0,5,1,5\n", (["q"], ["u"]), DatasetError, "has 4 cells.*need decimal points, not commas"),
        ("", (["q"], ["u"]), DatasetError, "first line must name"),
        ("q,q\n1,2\n", (["q"], ["u"]), DatasetError, "each differently"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(
    tmp_path: Path, text: str, columns: tuple[Any, ...], kind: type[TrajoptError], sentence: str
) -> None:
    file = tmp_path / "log.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(kind, match=sentence):
        read_recordings(file, *columns)


@pytest.mark.parametrize(("name", "sentence"), [("absent.csv", "No such file"), ("log.bag", "no known kind")])
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        read_recordings(tmp_path / name, ["q"], ["u"])


def test_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_recordings(tmp_path / "log.npz", ["q"], ["u"])


def test_comments_and_a_last_line_that_breaks_off_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("# logger 3\nt,q,u\n0.0,1,0\n# paused\n0.1,nan,0\n0.2,3,0\n0.3,4")
    with pytest.warns(UserWarning, match="lines are left out: 2 that begin with # and the last, line 7, which"):
        (recording,) = read_recordings(file, ["q"], ["u"], "t")
    assert recording.states.shape == (3, 1)
    with pytest.raises(NotFiniteError, match=r"sample 1 \(line 5\), q is nan"):
        transitions_from_recordings([recording], "lab/log-v0")


def test_a_comment_of_names_above_numbers_names_them(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    np.savetxt(file, [[0.0, 1.0, 2.0], [0.1, 3.0, 4.0]], delimiter=",", header="made by NumPy\nt,q,u")
    with pytest.warns(UserWarning, match="lines are left out: 1 that begin with #"):
        (recording,) = read_recordings(file, ["q"], ["u"], "t")
    assert recording.states.ravel().tolist() == [1.0, 3.0]


def test_digits_that_are_missing_at_the_end_are_no_number(tmp_path: Path) -> None:
    file, rows = tmp_path / "log.csv", ["t,x,u", "0.0,1.0,11.500", "0.1,2.0,13.000", "0.2,3.0,14.500", "0.3,4.0,17"]
    file.write_text("\n".join(rows))
    with pytest.warns(UserWarning, match="the last, line 5, which is incomplete"):
        (cut,) = read_recordings(file, ["x"], ["u"], time="t")
    assert cut.states.ravel().tolist() == [1.0, 2.0, 3.0]
    longer = [*rows[:-1], "0.3,4.0,17.125"], [*rows, "0.4,5.0,18"]
    for text in ("\n".join(rows) + "\n", *("\n".join(lines) for lines in longer)):
        file.write_text(text)
        (whole,) = read_recordings(file, ["x"], ["u"], time="t")
        assert len(whole.states) == len(text.splitlines()) - 1


def test_arrays_that_nobody_asked_for_may_be_anything(tmp_path: Path) -> None:
    file, samples = tmp_path / "log.npz", np.arange(4.0)
    np.savez(
        file, x=samples, u=samples, events=np.zeros(0), notes=np.array([{"robot": 1}, None]), depth=np.zeros((4, 2, 2))
    )
    (recording,) = read_recordings(file, ["x"], ["u"])
    assert recording.states.ravel().tolist() == samples.tolist()
    with pytest.raises(OptionError, match="notes has no numbers"):
        read_recordings(file, ["x", "notes"], ["u"])
    with pytest.raises(OptionError, match=r"depth has shape \(4, 2, 2\)"):
        read_recordings(file, ["depth"], ["u"])
