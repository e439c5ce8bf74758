"""Whether this library has become slower beside its peers than the committed results say."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

FALL = 1.0 / 3.0
"""Share by which a ratio may fall; times alone depend on the machine, ratios hardly do."""


def regressions(rows: Iterable[Row], before: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for every ratio that is lower by more than a third."""
    known = {(row["case"], row["peer"]): row.get("ratio") for row in before}
    found = []
    for row in rows:
        old, new = known.get((row.case, row.peer)), row.ratio
        if old is not None and new is not None and new < (1.0 - FALL) * old:
            found.append(f"{row.case}, {row.peer}: {new:.2f} times as fast, {old:.2f} in the committed results")
    return found


def committed(path: Path) -> list[dict[str, Any]]:
    """Return the rows of results as they are committed, or as they are on disk where there is no repository."""
    command = ["git", "show", f"HEAD:./{path.name}"]
    try:
        shown = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
        text = shown.stdout if shown.returncode == 0 else ""
    except FileNotFoundError:
        text = path.read_text() if path.exists() else ""
    return list(json.loads(text)["rows"]) if text else []
