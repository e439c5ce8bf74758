"""Tables fit the terminal, and no word is broken but where it may be."""

import pytest

from trajopt_sgp.cli.report import Report, make_listing, make_table, print_report


def printed(block: object, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What is printed at a width of the terminal."""
    monkeypatch.setenv("COLUMNS", str(width))
    print_report(Report({}, [block]))  # type: ignore[list-item]
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= width
    return output


def test_headings_break_between_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ["plan", "from the goal", "predicted", "derivatives [s]"]
    table = make_table("Plans", columns, [["score transcription", 0.1234, 123.4, 2.0]])
    output = printed(table, 56, capsys, monkeypatch)
    assert output.count("Plans") == 1
    for word in ("predicted", "derivatives", "[s]", "from the", "goal", "score", "transcription"):
        assert word in output


def test_columns_that_do_not_fit_make_a_table_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = ["solver", *(f"iterations{k}" for k in range(6))]
    output = printed(make_table("All", columns, [["ipopt", *range(6)]]), 60, capsys, monkeypatch)
    assert output.count("ipopt") == output.count("All") == 2
    assert all(output.count(column) == 1 for column in columns[1:])


def test_long_words_break_at_punctuation_but_numbers_do_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [["orthogonal-collocation:degree=3,points=radau", "1e-08"]]
    output = printed(make_table("", ["formulation", "cost"], rows), 40, capsys, monkeypatch)
    assert all(piece in output for piece in ("orthogonal-", "collocation:", "radau", "1e-08"))


def test_a_hash_is_shown_whole_and_names_are_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "0123456789abcdef" * 4
    output = printed(make_listing("Dataset", {"transitions": 3, "hash": text}), 50, capsys, monkeypatch)
    assert "transitions" in output
    assert text in "".join(line.split("│")[2].strip() for line in output.splitlines() if "│" in line)
