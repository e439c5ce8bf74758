"""The page and the figures of the study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.annealing.choices import ANNEALINGS, ARCHITECTURES, WEIGHTINGS
from trajopt_sgp.studies.annealing.systems import SYSTEMS, System
from trajopt_sgp.studies.runner import CellRecord
from trajopt_sgp.studies.statistics import Estimate, percent, success_rate
from trajopt_sgp.viz.style import INK, PALETTE, add_heading, legend_above, new_figure, styled

_SETTING = """Plans are made by single shooting and gradient descent over learned dynamics. Every combination of
schedule, network and weighting has its own β: the best of a list, chosen by the same search for all on data and models
of a seed that the table does not use. Beside it stand all β of that search with which at least 90 % of plans succeeded:
the more of them, the less the choice of β matters. β counts only with the weighting and the schedule beside it: with
`sigma2` the cost is β d_σ, with `none` it is β d_σ/σ². Intervals take all plans as independent; in brackets the range
over seeds, since plans of one seed share their models."""

_WORKING = 0.9

Key = tuple[str, str, str]
"""Schedule, architecture, weighting; empty without a distance to data."""


@dataclass(frozen=True)
class Pooled:
    """The plans of one combination over all seeds."""

    betas: tuple[float, ...]
    """β of each seed, all the same."""
    success: Estimate
    """Over all plans, with its Wilson interval."""
    by_seed: tuple[float, ...]
    """Success rate of each seed."""

    def text(self) -> str:
        """Return the success rate with its interval and its range over seeds."""
        span = f" [{percent(min(self.by_seed))} to {percent(max(self.by_seed))}]" if len(self.by_seed) > 1 else ""
        return self.success.text(percent) + span


def pool(records: Sequence[CellRecord], system: str) -> dict[Key, Pooled]:
    """Return the plans of one system by combination."""
    groups: dict[Key, list[CellRecord]] = {}
    for record in records:
        if record.function == "plan_and_judge" and record.settings["system"] == system:
            groups.setdefault(_key(record.settings), []).append(record)
    return {key: _pooled([record.result for record in group]) for key, group in groups.items()}


def _key(settings: Mapping[str, Any]) -> Key:
    annealing, architecture, weighting = (settings.get(k, "") for k in ("annealing", "architecture", "weighting"))
    return annealing, architecture, weighting


def _pooled(results: Sequence[Mapping[str, Any]]) -> Pooled:
    successes, plans = (sum(result[name] for result in results) for name in ("successes", "plans"))
    by_seed = tuple(result["successes"] / result["plans"] for result in results)
    return Pooled(tuple(result["beta"] for result in results), success_rate(successes, plans), by_seed)


def write_page(records: Sequence[CellRecord]) -> str:
    """Return the body of the page."""
    schedules = "\n".join(f"- `{name}`: {entry.summary}" for name, entry in ANNEALINGS.items())
    parts = [_SETTING, schedules]
    for name, system in SYSTEMS.items():
        if pooled := pool(records, name):
            searches = _searches(records, name)
            parts += [
                f"## {name.capitalize()}",
                _introduction(records, name, system),
                _table(pooled, searches),
                _search_table(searches),
            ]
    return "\n\n".join(part for part in parts if part)


def _introduction(records: Sequence[CellRecord], name: str, system: System) -> str:
    used = [record.settings for record in records if record.function == "plan_and_judge"]
    mine = [settings for settings in used if settings["system"] == name]
    sizes = ", ".join(f"{size:,}" for size in sorted({settings["size"] for settings in mine}))
    seeds = len({settings["seed"] for settings in mine})
    iterations = mine[0]["effort"]["iterations"]
    high, low = system.sigmas
    return (
        f"{sizes} draws of data, seeds: {seeds}, iterations: {iterations}, σ from {high:g} to {low:g}. "
        f"A plan succeeds when {system.success}."
    )


Trials = Sequence[Mapping[str, float]]
"""β, success rate and median cost of everything that a search has tried."""


def _searches(records: Sequence[CellRecord], system: str) -> dict[Key, Trials]:
    searches = (record for record in records if record.function == "search_beta")
    return {_key(found.settings): found.result["trials"] for found in searches if found.settings["system"] == system}


def _table(pooled: Mapping[Key, Pooled], searches: Mapping[Key, Trials]) -> str:
    rows = [["β = 0", "", "", "0", "", entry.text()] for key, entry in pooled.items() if not any(key)]
    rows += [
        [*key, f"{entry.betas[0]:g}", working_betas(searches.get(key, ())), entry.text()]
        for key, entry in pooled.items()
        if any(key)
    ]
    return markdown_table(["schedule", "network", "weighting", "β", "β with ≥ 90 %", "plans that succeed"], rows)


def working_betas(trials: Trials) -> str:
    """Return the β of a search with which at least 90 % of plans succeeded, as text."""
    working = [f"{trial['beta']:g}" for trial in trials if trial["rate"] >= _WORKING]
    return ", ".join(working) if working else "none"


def _search_table(searches: Mapping[Key, Trials]) -> str:
    def text(trials: Trials) -> str:
        return ", ".join(f"{trial['beta']:g}: {percent(trial['rate'])}" for trial in trials)

    columns = ["schedule", "network", "weighting", "β: success on the seed of the search"]
    rows = [[*key, text(trials)] for key, trials in searches.items()]
    return f"### Search for β\n\n{markdown_table(columns, rows)}" if rows else ""


def draw_figures(records: Sequence[CellRecord]) -> dict[str, Figure]:
    """Return one figure for each system."""
    pooled = {name: pool(records, name) for name in SYSTEMS}
    return {f"success-{name}": plot_rates(entries, name) for name, entries in pooled.items() if entries}


@styled
def plot_rates(pooled: Mapping[Key, Pooled], system: str) -> Figure:
    """Draw success over schedules, a panel for each weighting, a mark for each network."""
    figure = new_figure(10.5, 4.2)
    panels = figure.subplots(1, len(WEIGHTINGS), sharey=True)
    schedules = [name for name in ANNEALINGS if any(key[0] == name for key in pooled)]
    for weighting, axes in zip(WEIGHTINGS, panels, strict=True):
        for k, architecture in enumerate(ARCHITECTURES):
            chosen = {key[0]: entry for key, entry in pooled.items() if key[1:] == (architecture, weighting)}
            _draw(axes, schedules, chosen, 0.2 * (k - 1), PALETTE[k], architecture)
        if blind := pooled.get(("", "", "")):
            axes.axhline(blind.success.value, color=INK, linestyle=":", label="β = 0")
        axes.set_xticks(range(len(schedules)), schedules, rotation=30)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel(f"schedule, with weighting {weighting}")
    panels[0].set_ylabel("plans that succeed")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    legend_above(panels[0])
    add_heading(figure, f"{system.capitalize()}: success by schedule, network and weighting, 95 % intervals")
    return figure


def _draw(
    axes: Any, schedules: Sequence[str], chosen: Mapping[str, Pooled], shift: float, colour: str, label: str
) -> None:
    if not chosen:
        return
    places = [schedules.index(name) + shift for name in chosen]
    rates = [entry.success for entry in chosen.values()]
    bars = [[max(0.0, rate.value - rate.low) for rate in rates], [max(0.0, rate.high - rate.value) for rate in rates]]
    axes.errorbar(places, [rate.value for rate in rates], bars, fmt="o", color=colour, label=label, markersize=4.0)
