"""The report: one file that holds everything, says what it was told, and loads nothing."""

import base64
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trajopt_sgp.errors import FileError, OptionError
from trajopt_sgp.viz import Column, Picture, Section, Table, write_report
from trajopt_sgp.viz.report import Cell, format_cell

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Collects the text and the attributes of a page, and checks that its tags are nested."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.cells = "", list[str]()
        self.links: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("plan.png", "swing.gif", "photo.jpg")]
    for i, path in enumerate(paths):
        Image.new("RGB", (300, 20), (40 * i, 90, 120)).save(path, dpi=(150, 150))
    return paths


def test_report_holds_every_picture_and_loads_nothing(tmp_path: Path, pictures: list[Path]) -> None:
    sections = [
        Section("First", images=pictures[:2]),
        Section("Second", images=[Picture(pictures[2], "What <to> see")]),
    ]
    path = write_report(tmp_path / "run" / "report.html", "Demo", sections)
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    kinds = ("image/png", "image/gif", "image/jpeg")
    expected = [
        f"data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"
        for kind, picture in zip(kinds, pictures, strict=True)
    ]
    assert page.links == expected
    assert not re.search(r"https?:|<script|<link|@import|url\(", source)
    assert "What <to> see" in page.text
    assert "width: 192px" in source
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_report_fits_phones_and_dark_screens(tmp_path: Path) -> None:
    source = write_report(tmp_path / "report.html", "Demo", []).read_text()
    assert 'name="viewport" content="width=device-width' in source
    assert "prefers-color-scheme: dark" in source
    assert source.count("{") == source.count("}")


def test_everything_that_is_given_is_escaped_and_shown(tmp_path: Path) -> None:
    nasty = "<b>1 & 2</b> \"quoted\" <script>alert('x')</script>"
    table = Table([{nasty: nasty}], caption=nasty)
    section = Section(nasty, f"{nasty}\n\nsecond `f(x, u)`", table)
    path = write_report(tmp_path / "r.html", nasty, [section], nasty, {nasty: nasty}, nasty)
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert page.text.count(nasty) == 11
    assert "<script" not in source
    assert "<b>" not in source
    assert "<code>f(x, u)</code>" in source
    assert "<p>second " in source


def test_headline_stands_before_the_sections(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "T", [Section("Later")], "It works.", {"of 64 succeed": "63"})
    text = Page(path.read_text(encoding="utf-8")).text
    assert text.index("It works.") < text.index("63") < text.index("Later")


def test_table_shows_chosen_columns_with_units(tmp_path: Path) -> None:
    rows: list[dict[str, Cell]] = [
        {"planner": "naive", "rate": 0.0, "seconds": 7.96, "hidden": 1},
        {"planner": "guided", "rate": 0.984375, "seconds": None},
    ]
    columns: dict[str, Column | str] = {
        "planner": "planner",
        "rate": Column("success", "%", ".1f"),
        "seconds": Column(unit="s"),
    }
    path = write_report(tmp_path / "r.html", "T", [Section("S", table=Table(rows, columns, highlight=(1,)))])
    source = path.read_text(encoding="utf-8")
    assert Page(source).cells == [
        *("planner", "success [%]", "seconds [s]"),
        *("naive", "0.0", "7.96"),
        *("guided", "98.4", "–"),
    ]
    assert source.count('<tr class="highlight">') == 1
    assert '<td class="number">7.96</td>' in source


def test_bare_rows_make_a_table_of_the_first_rows_keys(tmp_path: Path) -> None:
    rows: list[dict[str, Cell]] = [{"step_time": 1.5, "solver": "Ipopt"}, {"step_time": 2.5}]
    path = write_report(tmp_path / "r.html", "T", [Section("S", table=rows), Section("Empty", table=[])])
    assert Page(path.read_text(encoding="utf-8")).cells == ["step time", "solver", "1.5", "Ipopt", "2.5", "–"]


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (None, Column(), "–"),
        (True, Column(), "yes"),
        (np.bool_(False), Column(), "no"),
        (10000, Column(), "10,000"),
        (np.int64(-3), Column(), "−3"),
        (0.012345, Column(), "0.0123"),
        (np.float32(0.5), Column(), "0.5"),
        (12345.6, Column(), "12,346"),
        (999.7, Column(), "1,000"),
        (6.4e-10, Column(), "6.4e−10"),
        (-1.5e12, Column(spec=".1e"), "−1.5e12"),
        (0.953, Column(unit="%", spec=".0f"), "95"),
        (1, Column(unit="%"), "100"),
        (math.nan, Column(), "not a number"),
        (-math.inf, Column(), "−∞"),
        ("a-b", Column(), "a-b"),
    ],
)
def test_cells_are_written_for_people(value: Cell, column: Column, text: str) -> None:
    assert format_cell(value, column) == text


def test_failure_keeps_the_old_report(tmp_path: Path, pictures: list[Path]) -> None:
    path = write_report(tmp_path / "out" / "report.html", "Old", [])
    before = path.read_bytes()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    for picture, message in (
        (tmp_path / "missing.png", r"missing\.png cannot be read"),
        (broken, r"broken\.png cannot be read"),
        (tmp_path / "plan.pdf", r"plan\.pdf is no picture of a known kind: \.png"),
    ):
        with pytest.raises(FileError, match=message):
            write_report(path, "New", [Section("S", images=[pictures[0], picture])])
    with pytest.raises(OptionError, match="'nonsense'"):
        write_report(path, "New", [Section("S", table=Table([{"x": 1.5}], {"x": Column(spec="nonsense")}))])
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
