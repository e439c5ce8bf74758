"""The page of the cart-pole study."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.cart_pole.methods import METHODS
from trajopt_sgp.studies.cart_pole.table import Choice, Pooled, beta_curve, choose_betas, pool, split_by_limits
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import percent

_REFERENCE = "sgp-shooting"
"""What the others are compared with."""

_TOLD = "where planners know the motor's limits"
_UNTOLD = "where planners do not know the motor's limits"

_WHAT_IS_UNTOLD = """In what follows the true motor ends at ±80 N all the same, and the data were collected within that;
planners are not told. The settings of every method were searched anew, in the same way."""

_SETTING = """A plan succeeds when the terminal cost of its controls in the true environment, open loop, is below 0.1.
Every cell plans from the same random guesses within the same wall time; methods that plan one after another are judged
by the plans that fitted in. Transcription and compilation are not counted. Data, models and their seeds are shared by
all methods. Settings of each method were searched with Optuna, the same number of trials each, on 10,000 transitions of
another seed; the first trial of each search is the method's defaults. Results depend on the speed of the machine where
a method is stopped by the clock."""


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    told, untold = split_by_limits(records)
    parts = [_SETTING, _methods(told), *_chapter(told, _TOLD)]
    if untold:
        parts += [_WHAT_IS_UNTOLD, *_chapter(untold, _UNTOLD)]
    return "\n\n".join(part for part in [*parts, _training(records)] if part)


def _chapter(records: Sequence[CellRecord], where: str) -> list[str]:
    pooled = pool(records)
    table = [entry for entry in pooled if not entry.varied]
    curve = pool(beta_curve(records))
    parts = [
        success_table(table),
        verdict(table),
        _details(table),
        _beta(curve, choose_betas(records), choose_betas(records, share=0.5)),
        _searches(records),
    ]
    return [_with_heading(part, where) for part in parts]


def _with_heading(part: str, where: str) -> str:
    """Return a part of the page whose headings say what it is of."""
    return re.sub(r"^(## .*)$", rf"\1 {where}", part, flags=re.MULTILINE)


def _methods(records: Sequence[CellRecord]) -> str:
    found = {record.settings["method"] for record in records if record.function == "plan_and_judge"}
    names = [name for name in METHODS if name in found]
    return "\n".join(f"- `{name}`: {METHODS[name].summary}" for name in names)


def success_table(table: Sequence[Pooled]) -> str:
    """Return success by method and number of transitions."""
    if not table:
        return ""
    sizes = sorted({entry.size for entry in table})
    found = {(entry.method, entry.size): entry for entry in table}
    rows = []
    for name in dict.fromkeys(entry.method for entry in table):
        entries = [found.get((name, size)) for size in sizes]
        rows.append([name, *("" if entry is None else rate(entry) for entry in entries)])
    columns = ["method", *(f"N = {size:,}" for size in sizes)]
    text = "Plans that succeed, with the Wilson interval over all plans; in brackets the range over seeds."
    return f"## Success\n\n{text}\n\n{markdown_table(columns, rows)}"


def verdict(table: Sequence[Pooled]) -> str:
    """Return, by number of transitions, which methods the guided one is above beyond the intervals, and which not."""
    lines = []
    for size in sorted({entry.size for entry in table}):
        entries = {entry.method: entry for entry in table if entry.size == size}
        reference = entries.pop(_REFERENCE, None)
        if reference is None or not entries:
            continue
        below = [name for name, entry in entries.items() if entry.success.high < reference.success.low]
        above = [name for name, entry in entries.items() if entry.success.low > reference.success.high]
        level = [name for name in entries if name not in (*below, *above)]
        parts = [("above", below), ("not told apart from", level), ("below", above)]
        told = "; ".join(f"{word} {', '.join(f'`{name}`' for name in names)}" for word, names in parts if names)
        lines.append(f"- N = {size:,}: {told}.")
    return "\n".join([f"By these intervals `{_REFERENCE}` is", "", *lines]) if lines else ""


def rate(entry: Pooled) -> str:
    """Return a success rate, its interval and its range over seeds."""
    seeds = f" [{percent(min(entry.by_seed))} to {percent(max(entry.by_seed))}]" if len(entry.by_seed) > 1 else ""
    return entry.success.text(percent) + seeds


def _details(table: Sequence[Pooled]) -> str:
    if not table:
        return ""
    columns = ["method", "N", "seeds", "plans", "median true cost", "outside", "farthest executed", "violation"]
    rows = [
        [
            entry.method,
            f"{entry.size:,}",
            ", ".join(map(str, entry.seeds)),
            f"{entry.plans:.0f}",
            entry.true_cost.text(_number),
            percent(entry.outside),
            _number(entry.nearest),
            _number(entry.violation),
        ]
        for entry in table
    ]
    text = """`plans`: made within the time, mean over seeds. `outside`: share of the knots of the median plan that lie
farther from the data than 95 % of unseen data do, by the exact smoothed distance at σ = 0.1 (5 % is as good as data).
`farthest executed`: largest distance of the executed motion to the nearest data point, normalised, 95th percentile over
plans. `violation`: of constraints, 95th percentile over plans."""
    return f"## Details\n\n{text}\n\n{markdown_table(columns, rows)}"


def _beta(curve: Sequence[Pooled], choices: Sequence[Choice], easier: Sequence[Choice]) -> str:
    if not curve:
        return ""
    ordered = sorted(curve, key=lambda entry: entry.factor)
    rows = [
        [f"{entry.factor:g}", rate(entry), percent(entry.outside), entry.true_cost.text(_number)] for entry in ordered
    ]
    picked = [
        [str(strict.seed), *_chosen(strict), *_chosen(easy), percent(strict.best)]
        for strict, easy in zip(choices, easier, strict=True)
    ]
    text = """The rule needs models and data alone: take the smallest β at which nineteen plans in twenty have no larger
share of their knots outside the data than unseen data have, 5 %. Beside it stands what the same question to half of the
plans chooses, much as the rule was before these plans were seen."""
    columns = ["seed", "chosen β / tuned β", "success there", "by half of the plans", "success there", "best success"]
    return "\n\n".join(
        [
            f"## Sensitivity to β ({ordered[0].method}, N = {ordered[0].size:,})",
            markdown_table(["β / tuned β", "success", "outside", "median true cost"], rows),
            "## Choosing β without the true system",
            text,
            markdown_table(columns, picked),
        ]
    )


def _chosen(choice: Choice) -> tuple[str, str]:
    """Return a β and the success there, as cells of a table."""
    if choice.chosen is None or choice.success is None:
        return "none", ""
    return f"{choice.chosen:g}", percent(choice.success)


def _searches(records: Sequence[CellRecord]) -> str:
    found = [record for record in records if record.function == "tune_method"]
    if not found:
        return ""
    rows = []
    for record in found:
        trials = record.result["trials"]
        best = max(trials, key=lambda trial: trial["worth"])
        first = trials[0]
        rows.append(
            [
                record.settings["method"],
                str(len(trials)),
                _trial(first),
                _trial(best),
                _listed(record.result["settings"]),
            ]
        )
    columns = ["method", "trials", "defaults", "best", "settings of the best"]
    text = "Successes of plans in the search; every trial is in results.json."
    return f"## Settings\n\n{text}\n\n{markdown_table(columns, rows)}"


def _trial(trial: Mapping[str, Any]) -> str:
    return f"{trial['successes']} of {trial['plans']}"


def _listed(settings: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:.3g}" for name, value in settings.items())


def _training(records: Sequence[CellRecord]) -> str:
    groups: dict[tuple[str, int], list[float]] = {}
    for record in records:
        if record.function == "train_model":
            key = record.settings["kind"], record.settings["size"]
            groups.setdefault(key, []).append(record.result["training_seconds"])
    rows = [[kind, f"{size:,}", f"{sum(times) / len(times):.0f}"] for (kind, size), times in sorted(groups.items())]
    return f"## Training\n\n{markdown_table(['model', 'N', 'seconds'], rows)}" if rows else ""


def _number(value: float) -> str:
    return f"{value:.3g}"
