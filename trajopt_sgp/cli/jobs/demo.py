"""The demo, and its table."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trajopt_sgp.cli.report import Block, Report, make_table, note
from trajopt_sgp.cli.run_folder import RunFolder, open_run_folder
from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.demo import DemoSettings, run_demo
from trajopt_sgp.studies.pixels.demo import PixelDemoSettings, run_pixel_demo

_COLUMNS = {
    "name": "planner",
    "beta": "β",
    "starts": "plans",
    "success_rate": "success",
    "predicted_cost_median": "predicted",
    "true_cost_median": "true",
    "left_data_rate": "left data",
    "seconds_per_plan": "s / plan",
}
_PIXEL_COLUMNS = {
    "goal_distance": "from the goal",
    "hole_depth": "into the hole",
    "predicted_cost": "predicted",
    "true_cost": "true",
    "disc_distance": "from a disc",
    "seconds": "s",
}
_FOLDERS = {"cart-pole": DemoSettings().folder, "pixels": PixelDemoSettings().folder}
_TITLE = "Plans, judged on the true system (median costs; success: true cost below 0.1)"
_RATES = {"success_rate", "left_data_rate"}


@dataclass(frozen=True, kw_only=True)
class DemoRequest:
    """The arguments of the command."""

    what: str
    full: bool
    folder: Path | None
    """None for one of the demo's own."""
    seed: int
    json_output: bool


def run_demo_job(request: DemoRequest) -> Report:
    """Run the demo, tell on standard error what goes on, and report its summary."""
    if request.what not in _FOLDERS:
        raise OptionError(f"Unknown demo {request.what!r}; choose from {', '.join(_FOLDERS)}.")
    with open_run_folder(request.folder or _FOLDERS[request.what]) as folder:
        folder.write_config("demo", asdict(request))
        return (_run_pixels if request.what == "pixels" else _run)(request, folder)


def _run(request: DemoRequest, folder: RunFolder) -> Report:
    settings = DemoSettings(seed=request.seed, full=request.full, folder=folder.path)
    summary = run_demo(settings, report=_teller(request))
    return Report(summary, [*summary_blocks(summary), f"Report: {folder.path / 'report.html'}"])


def _run_pixels(request: DemoRequest, folder: RunFolder) -> Report:
    summary = run_pixel_demo(PixelDemoSettings(folder.path, request.seed), _teller(request))
    rows = [[name, *(plan[column] for column in _PIXEL_COLUMNS)] for name, plan in summary["plans"].items()]
    table = make_table("Plans in pixels, judged by the true point", ["plan", *_PIXEL_COLUMNS.values()], rows)
    return Report(summary, [table, f"Film strips and animations: {folder.path}"])


def _teller(request: DemoRequest) -> Callable[[str], None]:
    begin = time.perf_counter()
    return lambda text: note(f"[{time.perf_counter() - begin:5.0f} s] {text}", request.json_output)


def summary_blocks(summary: Mapping[str, Any]) -> list[Block]:
    """Return the tables of a demo's summary.json."""
    rows = [[_cell(name, row.get(name)) for name in _COLUMNS] for row in summary["plans"]]
    mpc = summary["mpc"]
    return [
        make_table(_TITLE, [*_COLUMNS.values()], rows),
        *_intervals(summary.get("mean_of_seeds", {})),
        f"MPC: {100.0 * mpc['success_rate']:.0f} % of {mpc['episodes']} episodes succeed; step median "
        f"{mpc['step_ms_p50']:.1f} ms, 99 % within {mpc['step_ms_p99']:.1f} ms.",
    ]


def _intervals(means: Mapping[str, Mapping[str, float]]) -> list[Block]:
    if not means:
        return []
    rows = [[name, *(f"{100.0 * mean[end]:.0f} %" for end in ("mean", "low", "high"))] for name, mean in means.items()]
    return [make_table("Success over all seeds, with its 95 % interval", ["planner", "mean", "from", "to"], rows)]


def _cell(name: str, value: Any) -> Any:
    return f"{100.0 * value:.0f} %" if name in _RATES else value
