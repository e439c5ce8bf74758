"""Model predictive control in the real environment."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trajopt_sgp.cli.jobs.models import ModelRequest, Models, check_beta, load_models
from trajopt_sgp.cli.report import Block, Report, make_table, progress_bar
from trajopt_sgp.cli.run_folder import RunFolder, open_run_folder
from trajopt_sgp.cli.solver_options import check_weights, make_solver
from trajopt_sgp.envs import CartPoleParameters
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.mpc import MPC
from trajopt_sgp.studies.mpc_episodes import (
    NEAR_ORIGIN,
    SETTLED_SECONDS,
    UPRIGHT_ANGLE,
    EpisodeResults,
    random_hanging_states,
    run_episodes,
)
from trajopt_sgp.studies.swing_up import Guidance, swing_up_problem

_BETA = 0.1
_SOLVER: Mapping[str, Any] = {
    "stages": 1,
    "tolerance": 1e-4,
    "max_iterations": 60,
    "options": {"mu_init": 1e-3},
}
# the first step has no earlier plan: it may take longer
_FIRST_SOLVER: Mapping[str, Any] = {"stages": 1, "tolerance": 1e-4}


@dataclass(frozen=True, kw_only=True)
class MpcRequest(ModelRequest):
    """The arguments of the command."""

    episodes: int
    seconds: float
    horizon: int
    beta: float | None
    sigma: float
    tracking: float
    effort: float
    time_limit: float | None
    fallback: Literal["shift", "hold"]
    latency: float
    compensate: bool
    option: list[str] | None
    plots: bool
    folder: Path
    seed: int
    json_output: bool


def run_mpc(request: MpcRequest) -> Report:
    """Run the episodes, write mpc.json and a picture, and report.

    Raises:
        ModelFileError: a model file is missing or damaged.
        IncompatibleError: the models come from different data.
        OptionError: an unknown setting, or a value out of range.
    """
    steps = _count_steps(request)
    models = load_models(request)
    controller = _controller(request, models)
    with open_run_folder(request.folder) as folder:
        return _run(request, models, controller, steps, folder)


def _run(request: MpcRequest, models: Models, controller: MPC, steps: int, folder: RunFolder) -> Report:
    starts = random_hanging_states(request.episodes, request.seed)
    with progress_bar("Steps", steps * request.episodes, request.json_output) as update:
        delay = math.ceil(request.latency / CartPoleParameters().time_step - 1e-9)
        results = run_episodes(controller, starts, steps, lambda done, total: update(done, ""), delay)
    folder.write_config("mpc", asdict(request))
    delay_facts = {"latency": request.latency, "compensated": request.compensate}
    facts = {"models": models.describe(), "horizon": request.horizon, "seed": request.seed, **delay_facts}
    document = {**facts, **_numbers(results)}
    arrays = {"time_step": results.time_step, "states": results.states, "controls": results.controls}
    files = {"mpc": folder.write_json("mpc.json", {**document, **arrays})}
    if request.plots:
        files["mpc_plot"] = _draw(folder.path / "mpc.png", results, controller)
    document["files"] = files
    return Report(document, _blocks(document))


def _count_steps(request: MpcRequest) -> int:
    if request.episodes < 1:
        raise OptionError(f"--episodes {request.episodes}: give at least 1.")
    if not 0.0 <= request.latency < request.seconds:
        raise OptionError(f"--latency {request.latency:g}: it must be a number of seconds below the length.")
    check_weights(beta=request.beta, effort=request.effort, tracking=request.tracking)
    if not SETTLED_SECONDS < request.seconds < float("inf"):
        raise OptionError(
            f"--seconds {request.seconds:g}: give more than {SETTLED_SECONDS:g}, for success is judged over the last "
            f"{SETTLED_SECONDS:g} s of an episode."
        )
    return round(request.seconds / CartPoleParameters().time_step)


def _controller(request: MpcRequest, models: Models) -> MPC:
    check_beta(request.beta, models)
    beta = _BETA if request.beta is None else request.beta
    problem = swing_up_problem(
        models.dynamics,
        models.terms(Guidance(beta, request.sigma, request.sigma)),
        horizon=request.horizon,
        effort_weight=request.effort,
        tracking_weight=request.tracking,
    )
    return MPC(
        problem=problem,
        formulation=DirectTranscription(),
        solver=make_solver("ipopt", _SOLVER, request.option or ()),
        first_solver=make_solver("ipopt", _FIRST_SOLVER, ()),
        time_limit=request.time_limit,
        fallback=request.fallback,
        latency=request.latency if request.compensate else 0.0,
        generator=np.random.default_rng(request.seed),
    )


def _numbers(results: EpisodeResults) -> dict[str, Any]:
    final = results.states[:, -1]
    return {
        "episodes": len(results.success),
        "seconds": results.time_step * results.controls.shape[1],
        "success_rate": results.success_rate,
        "success": results.success,
        "final_states": final,
        "step_ms_p50": float(np.percentile(results.step_milliseconds, 50)),
        "step_ms_p99": float(np.percentile(results.step_milliseconds, 99)),
        "first_step_ms_p50": float(np.percentile(results.first_step_milliseconds, 50)),
    }


def _draw(path: Path, results: EpisodeResults, controller: MPC) -> Path:
    # drawing takes two seconds to import, and only those who draw shall wait
    from trajopt_sgp.viz import CARTPOLE_UNITS, plot_mpc, save_figure

    problem, end = controller.problem, results.time_step * results.controls.shape[1]
    figure = plot_mpc(
        results.time_step * np.arange(results.states.shape[1]),
        results.states,
        results.controls,
        problem.state_labels,
        problem.control_labels,
        goal=(0.0, np.pi, 0.0, 0.0),
        tolerances={0: NEAR_ORIGIN, 1: UPRIGHT_ANGLE},
        judged_from=end - SETTLED_SECONDS,
        success=results.success,
        control_limits=(problem.control_box.lower, problem.control_box.upper),
        units=CARTPOLE_UNITS,
    )
    return save_figure(figure, path)


def _blocks(document: Mapping[str, Any]) -> list[Block]:
    rows = [
        [str(i + 1), bool(good), float(state[0]), float(state[1])]
        for i, (good, state) in enumerate(zip(document["success"], document["final_states"], strict=True))
    ]
    return [
        make_table("Episodes", ["episode", "success", "last p [m]", "last θ [rad]"], rows),
        f"Success: {100.0 * document['success_rate']:.0f} % of {document['episodes']} episodes.",
        *_latency(document),
        f"Step: median {document['step_ms_p50']:.1f} ms, 99 % within {document['step_ms_p99']:.1f} ms; "
        f"first step {document['first_step_ms_p50']:.0f} ms.",
        *(f"Wrote {path}" for path in document["files"].values()),
    ]


def _latency(document: Mapping[str, Any]) -> list[Block]:
    if not document["latency"]:
        return []
    known = "known to the controller" if document["compensated"] else "unknown to the controller"
    return [f"Latency: {1e3 * document['latency']:.0f} ms, {known}."]
