"""The whole product on the cart-pole: collect, train, plan, control, and a report of what came out."""

import multiprocessing
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trajopt_sgp.data import Transitions
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.errors import OptionError
from trajopt_sgp.files import write_json
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.mpc import MPC
from trajopt_sgp.solvers import Ipopt
from trajopt_sgp.studies.demo_report import write_demo_report
from trajopt_sgp.studies.mpc_episodes import EpisodeResults, random_hanging_states, run_episodes
from trajopt_sgp.studies.planning import PlannedRow, planners, run_planner, single_plan_seconds, swing_up_guesses
from trajopt_sgp.studies.swing_up import Guidance, swing_up_problem
from trajopt_sgp.studies.training import Report, TrainedModels, TrainingPlan, collect_dataset, load_models, train_all

DATASET_ID = "trajopt_sgp/cartpole-demo-seed{seed}-v0"
"""Id under which the demo keeps its data, in Minari's root."""


@dataclass(frozen=True)
class DemoSettings:
    """What the demo does; the defaults fit into a few minutes on two cores."""

    folder: Path = Path("runs/demo")
    """Where everything is written."""
    seed: int = 0
    """Seed of data, training, guesses and episodes; `full` uses this and the two that follow."""
    full: bool = False
    """Three seeds, 16 guesses for transcription and 20 episodes instead of one, 4 and 5."""
    training: TrainingPlan = field(default_factory=TrainingPlan)
    """How much data and how many steps."""
    starts: int = 64
    """Guesses for shooting."""
    transcription_starts: int | None = None
    """Guesses for transcription; by default 4, with `full` 16."""
    episodes: int | None = None
    """MPC episodes per seed; by default 5, with `full` 20."""
    seconds: float = 10.0
    """Duration of an episode [s]."""

    def __post_init__(self) -> None:
        for name in ("starts", "transcription_guesses", "mpc_episodes"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} = {getattr(self, name)}: the demo needs at least one.")

    @property
    def transcription_guesses(self) -> int:
        """Guesses for transcription."""
        return self.transcription_starts if self.transcription_starts is not None else 16 if self.full else 4

    @property
    def mpc_episodes(self) -> int:
        """MPC episodes per seed."""
        return self.episodes if self.episodes is not None else 20 if self.full else 5

    @property
    def seeds(self) -> list[int]:
        """The training seeds."""
        return [self.seed + i for i in range(3 if self.full else 1)]


@dataclass(frozen=True)
class SeedResults:
    """Everything one seed gave."""

    seed: int
    """Which seed."""
    data: Transitions
    """What was collected."""
    models: TrainedModels
    """What was trained."""
    rows: Sequence[PlannedRow]
    """What was planned."""
    episodes: EpisodeResults
    """What the controller did."""


def run_demo(settings: DemoSettings, report: Report = lambda text: None) -> dict[str, Any]:
    """Run the demo and return its summary, which is also written to `summary.json`.

    Everything is made anew: earlier results in the folder are removed first.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    for name in ("models", "plots", "summary.json", "report.html"):
        _remove(settings.folder / name)
    results = [_run_seed(settings, seed, report) for seed in settings.seeds]
    summary = summarise(settings, results)
    write_json(settings.folder / "summary.json", summary)
    report("drawing the pictures and the report")
    write_demo_report(
        settings.folder, summary, results[0].data, results[0].models, results[0].rows, results[0].episodes
    )
    return summary


def swing_up_controller(models: TrainedModels) -> MPC:
    """Return the guided controller of the demo: transcription over two seconds, warm-started, distance cost β = 0.1.

    The weighting of β is σ², σ is fixed at 0.1; a stage cost asks for the goal at every knot.
    """
    guidance = Guidance(beta=0.1, sigma_start=0.1, sigma_stop=0.1)
    problem = swing_up_problem(
        models.dynamics, guidance.term(models.energy), horizon=40, effort_weight=1e-3, tracking_weight=0.05
    )
    solver = Ipopt(stages=1, tolerance=1e-4, max_iterations=60, options={"mu_init": 1e-3})
    first = Ipopt(stages=1, tolerance=1e-4)
    return MPC(problem=problem, formulation=DirectTranscription(), solver=solver, first_solver=first)


def summarise(settings: DemoSettings, results: Sequence[SeedResults]) -> dict[str, Any]:
    """Return the document of `summary.json`: the default seed at the top, every seed under `seeds`."""
    each = [_summarise_seed(result) for result in results]
    summary = {"seed": settings.seed, "full": settings.full, **each[0], "versions": versions()}
    if len(each) > 1:
        summary["mean_of_seeds"] = _mean_of_seeds(each)
        summary["seeds"] = each
    return summary


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    packages = ("trajopt_sgp", "torch", "casadi", "numpy", "scipy", "gymnasium", "minari")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _run_seed(settings: DemoSettings, seed: int, report: Report) -> SeedResults:
    folder = settings.folder / "models" / f"seed{seed}"
    dataset_id = DATASET_ID.format(seed=seed)
    report(f"seed {seed}: collecting {settings.training.transitions:,} transitions in the environment")
    data = collect_dataset(dataset_id, settings.training.transitions, seed)
    report(f"seed {seed}: training dynamics, score and energy networks")
    models = train_all(dataset_id, folder, seed, settings.training, report)
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        steps = round(settings.seconds / 0.05)
        job = pool.submit(_control, folder, models.summary, settings.mpc_episodes, steps, seed)
        report(f"seed {seed}: {settings.mpc_episodes} episodes of MPC in a second process, and the plans here:")
        rows = _plan(settings, models, seed, report)
        episodes = _await(job, report)
    return SeedResults(seed, data, models, rows, episodes)


def _plan(settings: DemoSettings, models: TrainedModels, seed: int, report: Report) -> list[PlannedRow]:
    guesses = swing_up_guesses(models, max(settings.starts, settings.transcription_guesses), seed)
    rows = []
    for planner in planners():
        transcribed = isinstance(planner.formulation, DirectTranscription)
        count = settings.transcription_guesses if transcribed else settings.starts
        row = run_planner(planner, models, guesses.select(np.arange(count)))
        with limited_threads(1):
            row.summary["single_plan_seconds"] = single_plan_seconds(planner, models, guesses)  # type: ignore[index]
        report(
            f"{planner.name}: {row.summary['success_rate']:.0%} of {count} plans succeed, predicted cost "
            f"{row.summary['predicted_cost_median']:.4f}, true cost {row.summary['true_cost_median']:.4f}"
        )
        rows.append(row)
    return rows


def _control(
    folder: Path, summary: Mapping[str, Mapping[str, Any]], episodes: int, steps: int, seed: int
) -> EpisodeResults:
    torch.set_num_threads(1)
    controller = swing_up_controller(load_models(folder, summary))
    return run_episodes(controller, random_hanging_states(episodes, seed), steps)


def _await(job: "Future[EpisodeResults]", report: Callable[[str], None]) -> EpisodeResults:
    if not job.done():
        report("waiting for MPC to end its episodes")
    episodes = job.result()
    report(f"MPC: {episodes.success.sum()} of {len(episodes.success)} episodes end upright")
    return episodes


def _summarise_seed(result: SeedResults) -> dict[str, Any]:
    dataset, episodes = result.data.dataset, result.episodes
    return {
        "dataset": {"id": dataset.id, "transitions": dataset.transitions, "hash": dataset.hash},
        "training": result.models.summary,
        "plans": [row.summary for row in result.rows],
        "mpc": {
            "formulation": "DirectTranscription",
            "solver": "Ipopt",
            "beta": 0.1,
            "weighting": "sigma2",
            "sigma_schedule": [0.1, 0.1],
            "episodes": len(episodes.success),
            "success_rate": episodes.success_rate,
            "step_ms_p50": float(np.percentile(episodes.step_milliseconds, 50)),
            "step_ms_p99": float(np.percentile(episodes.step_milliseconds, 99)),
            "first_step_ms_p50": float(np.percentile(episodes.first_step_milliseconds, 50)),
        },
    }


def _mean_of_seeds(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean and 95 % interval over seeds of the success rates, by planner and for MPC."""
    names = [row["name"] for row in each[0]["plans"]]
    rates = {name: [seed["plans"][i]["success_rate"] for seed in each] for i, name in enumerate(names)}
    rates["mpc"] = [seed["mpc"]["success_rate"] for seed in each]
    return {name: _interval(values) for name, values in rates.items()}


def _interval(values: Sequence[float]) -> dict[str, float]:
    """Return the mean and the ends of its Student 95 % interval, cut to [0, 1]."""
    from scipy.stats import t

    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    half = float(t.ppf(0.975, len(values) - 1)) * error
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
