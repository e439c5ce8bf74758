"""Planning a swing-up and judging it on the true system."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.cli.jobs.models import ModelRequest, Models, check_beta, load_models
from trajopt_sgp.cli.jobs.plan_result import PlanResult, judge
from trajopt_sgp.cli.presets import PRESETS
from trajopt_sgp.cli.report import INTERRUPTED, Block, Report, make_table, working
from trajopt_sgp.cli.run_folder import RunFolder, open_run_folder
from trajopt_sgp.cli.solver_options import check_weights, make_solver
from trajopt_sgp.envs import CartPoleParameters
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.problem import Certificate, OptimalControlProblem, Status
from trajopt_sgp.solvers import PreparedSolve, prepare, random_guesses
from trajopt_sgp.studies.compare_choices import find_kind
from trajopt_sgp.studies.swing_up import SUCCESS_COST, Guidance, swing_up_problem
from trajopt_sgp.uncertainty import DataDistance, load_certificate


@dataclass(frozen=True, kw_only=True)
class PlanRequest(ModelRequest):
    """The arguments of the command."""

    certificate: Path | None
    formulation: str | None
    solver: str
    beta: float | None
    sigma_start: float | None
    sigma_stop: float | None
    effort: float | None
    limits: bool
    starts: int | None
    horizon: int
    time_limit: float | None
    option: list[str] | None
    plots: bool
    folder: Path
    seed: int
    json_output: bool


def run_plan(request: PlanRequest) -> Report:
    """Plan, judge, write plan.json and pictures, and report.

    Raises:
        ModelFileError: the file of a model or of the certificate is missing or damaged.
        IncompatibleError: the models come from different data, the certificate is about other dynamics, or formulation
            and solver do not work together.
        OptionError: an unknown setting, or a value out of range.
    """
    _check_numbers(request)
    models = load_models(request)
    certificate = None if request.certificate is None else load_certificate(request.certificate, models.dynamics)
    problem, prepared = _prepare(request, models)
    with open_run_folder(request.folder) as folder:
        return _plan(request, models, certificate, problem, prepared, folder)


def _plan(
    request: PlanRequest,
    models: Models,
    certificate: Certificate | None,
    problem: OptimalControlProblem,
    prepared: PreparedSolve,
    folder: RunFolder,
) -> Report:
    starts = request.starts or PRESETS[request.solver].starts
    with working(f"Planning from {starts} guesses", request.json_output):
        limit = CartPoleParameters().force_limit
        bounded = problem.replaced(control_bounds=(-limit, limit))
        guesses = random_guesses(bounded, starts, np.random.default_rng(request.seed))
        solution = prepared.solve(guesses, time_limit=request.time_limit)
        result = judge(solution if certificate is None else solution.with_certificate(certificate))
    folder.write_config("plan", asdict(request))
    plan_file = folder.write_json("plan.json", {**_document(request, models, result), **result.arrays()})
    files = {"plan": plan_file, **(_draw(folder.path, result, models) if request.plots else {})}
    document = {**_document(request, models, result), "files": files}
    return Report(document, _blocks(document), INTERRUPTED if _interrupted(document) else 0)


def _interrupted(document: Mapping[str, Any]) -> bool:
    return Status.INTERRUPTED.label in document["starts"]["status"]


def _guidance(request: PlanRequest, models: Models) -> Guidance:
    """Return the guidance asked for; none where there is no model that measures a distance."""
    preset = PRESETS[request.solver]
    check_beta(request.beta, models)
    if models.distance is None:
        return Guidance(beta=0.0)
    return Guidance(
        beta=preset.beta if request.beta is None else request.beta,
        sigma_start=preset.sigma_start if request.sigma_start is None else request.sigma_start,
        sigma_stop=preset.sigma_stop if request.sigma_stop is None else request.sigma_stop,
    )


def _check_numbers(request: PlanRequest) -> None:
    if request.starts is not None and request.starts < 1:
        raise OptionError(f"--starts {request.starts}: give at least 1 guess.")
    check_weights(beta=request.beta, effort=request.effort)
    if request.time_limit is not None and not request.time_limit > 0.0:
        raise OptionError(f"--time-limit {request.time_limit:g}: it must be positive [s].")


def _prepare(request: PlanRequest, models: Models) -> tuple[OptimalControlProblem, PreparedSolve]:
    preset = PRESETS[request.solver]
    solver = make_solver(request.solver, preset.settings, request.option or ())
    formulation = find_kind(Formulation, request.formulation or preset.formulation)()  # type: ignore[type-abstract]
    problem = swing_up_problem(
        models.dynamics,
        models.terms(_guidance(request, models)),
        horizon=request.horizon,
        effort_weight=preset.effort if request.effort is None else request.effort,
        force_limits=request.limits,
    )
    return problem, prepare(problem, formulation, solver)


def _document(request: PlanRequest, models: Models, result: PlanResult) -> dict[str, Any]:
    solution = result.solution
    terms = [term for term in solution.problem.stage_terms if isinstance(term, DataDistance)]
    return {
        "models": models.describe(),
        "formulation": solution.transcription.name,
        "solver": solution.solver,
        "guidance": [
            {"beta": term.weight, "weighting": term.weighting, "sigma": [term.sigma_at(0.0), term.sigma_at(1.0)]}
            for term in terms
        ],
        "horizon": request.horizon,
        "force_limits": request.limits,
        "seed": request.seed,
        **result.document(),
    }


def _draw(folder: Path, result: PlanResult, models: Models) -> dict[str, Path]:
    # drawing takes two seconds to import, and only those who draw shall wait
    from trajopt_sgp.cli.jobs.plan_plots import draw_plan

    return draw_plan(folder, result, models)


def _blocks(document: Mapping[str, Any]) -> list[Block]:
    guided = document["guidance"]
    costs = document["cost_terms"]
    blocks: list[Block] = [
        f"{document['solver']} on {document['formulation']}: {document['sentence']}",
        make_table(
            "Cost by term",
            ["term", "planned", "on the true system"],
            [[name, costs[name], document["true_cost_terms"][name]] for name in costs],
        ),
    ]
    if document["surrogates"]:
        blocks.append(f"Followed by a gradient field alone, cost indicative: {', '.join(document['surrogates'])}.")
    distance = _distance(document) if guided else []
    return [*blocks, _violations(document), *distance, *_certificate(document), *_verdict(document)]


def _violations(document: Mapping[str, Any]) -> Block:
    rows = document["violations"]
    if not rows:
        return "Violations: none."
    shown = [[row["name"], row["knot"], row["violation"]] for row in rows[:5]]
    return make_table(f"Violations ({len(rows)} in all)", ["row", "knot", "by"], shown)


def _distance(document: Mapping[str, Any]) -> list[Block]:
    distance = document["data_distance"]
    if distance is None:
        return []
    return [f"Distance to data [normalised units]: mean {distance['mean']:.3g}, largest {distance['max']:.3g}."]


def _certificate(document: Mapping[str, Any]) -> list[Block]:
    found = document["certificate"]
    if found is None:
        return []
    names = ("quantity", "promised", "realised", "ratio", "kept")
    head = ["in units of a typical step", "promised, median", "realised, median", "largest ratio", "kept"]
    rows = [[promise[name] for name in names] for promise in found["promises"]]
    return [make_table("Certificate of the model's error", head, rows), found["meaning"]]


def _verdict(document: Mapping[str, Any]) -> list[Block]:
    starts = document["starts"]
    reached = "reached" if document["true_success"] else "missed"
    lines: list[Block] = [
        f"Terminal cost: predicted {document['predicted_cost']:.4g}, true {document['true_cost']:.4g}; "
        f"upright {reached} (success: below {SUCCESS_COST})."
    ]
    if starts["count"] > 1:
        lines.append(
            f"All {starts['count']} starts: {100.0 * starts['success_rate']:.0f} % succeed on the true system, "
            f"median true cost {starts['true_cost_median']:.4g}."
        )
    lines.append(f"{document['iterations']} iterations, {document['seconds']['total']:.2f} s.")
    if _interrupted(document):
        lines.append("Interrupted: this is the best plan so far.")
    lines += [f"Wrote {path}" for path in document["files"].values()]
    return lines
