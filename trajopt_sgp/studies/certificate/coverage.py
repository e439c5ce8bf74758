"""How often certificates hold: plans of one system, half of them to calibrate, half to count."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.learning import DynamicsSettings, ScoreSettings, train_dynamics, train_score
from trajopt_sgp.models import LearnedDynamics, ScoreNetwork
from trajopt_sgp.problem import CertificateCheck, OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.solvers import GradientDescent, solve_batch
from trajopt_sgp.studies.certificate.systems import SYSTEMS, CertificateSystem, execute
from trajopt_sgp.studies.runner import CellContext, StudyCell
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule, ModelBiasCertificate
from trajopt_sgp.uncertainty.conformal import conformal_quantile

_AT_ONCE = 100
_FRESH = 5000


@dataclass(frozen=True)
class CoverageSettings:
    """One cell of the study; all plain values."""

    system: str
    """A name from `SYSTEMS`."""
    seed: int
    """Of data, training, problems and guesses."""
    transitions: int = 4000
    """That the models are trained on."""
    held_out: int = 2000
    """That the certificate rests on."""
    width: int = 64
    """Of the two hidden layers of dynamics and score."""
    dynamics_steps: int = 4000
    """Of the training of the dynamics."""
    score_steps: int = 1500
    """Of the training of the score."""
    calibration_plans: int = 500
    """Executed to calibrate."""
    test_plans: int = 500
    """Executed to count."""
    unguided_plans: int = 100
    """Made by another planner, without the distance to data, for which nothing is promised."""
    iterations: int = 200
    """Of gradient descent."""
    beta: float = 1.0
    """Weight of the distance to data, weighting σ²."""
    sigma_stop: float = 0.05
    """Where σ ends; it starts at 0.3."""
    confidence: float = 0.95
    """Of bounds and tubes."""


_FULL = (
    CoverageSettings(
        "cart-pole", 0, transitions=10_000, held_out=5_000, width=128, score_steps=3000, beta=5.0, sigma_stop=0.02
    ),
    CoverageSettings("pendulum", 0),
    CoverageSettings("drift", 0),
)
_REDUCED = CoverageSettings(
    "drift",
    0,
    transitions=400,
    held_out=200,
    width=16,
    dynamics_steps=200,
    score_steps=50,
    calibration_plans=20,
    test_plans=10,
    unguided_plans=5,
    iterations=15,
)
_SEEDS = (0, 1, 2)


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells: every system with three seeds."""
    chosen = [_REDUCED] if reduced else [replace(one, seed=seed) for one in _FULL for seed in _SEEDS]
    return [StudyCell(f"{one.system} seed={one.seed}", measure_coverage, asdict(one)) for one in chosen]


def measure_coverage(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train, certify, calibrate on executed plans and count on others; settings are those of `CoverageSettings`."""
    chosen = CoverageSettings(**settings)
    system, generator = SYSTEMS[chosen.system], np.random.default_rng(chosen.seed)
    training = system.sample(chosen.transitions, generator)
    held_out, fresh = system.sample(chosen.held_out, generator), system.sample(_FRESH, generator)
    planner = _Planner(system, chosen, generator, *_train(training, chosen))
    raw = ModelBiasCertificate.fit(planner.dynamics, held_out, generator)
    plans, runs = planner.plan_and_execute(chosen.calibration_plans)
    certificate = raw.calibrate([plans], [runs], chosen.confidence)
    narrow = replace(raw, accumulation="random").calibrate([plans], [runs], chosen.confidence)
    plans, runs = planner.plan_and_execute(chosen.test_plans)
    check, unscaled = certificate.evaluate(plans).compare(runs), raw.evaluate(plans).compare(runs)
    by_data = _factor_from_data(raw, fresh, chosen.confidence)
    return {
        "lipschitz": raw.lipschitz.to_json(),
        "error_factor": certificate.calibration.error_factor if certificate.calibration else None,
        "tube_factor": certificate.calibration.tube_factor if certificate.calibration else None,
        "error_ratios": check.error_ratio.round(5).tolist(),
        "tube_ratios": check.tube_ratio.round(5).tolist(),
        "raw_error_held": int((unscaled.error_ratio <= 1.0).sum()),
        "raw_tube_held": int((unscaled.tube_ratio <= 1.0).sum()),
        "data_factor": by_data,
        "data_calibrated_held": int((unscaled.error_ratio <= by_data).sum()),
        "median_bound": float(np.median(check.certificate.bound)),
        "median_error": float(np.median(check.error)),
        "fresh_data_coverage": float((_data_ratios(certificate, fresh) <= 1.0).mean()),
        "narrow": _narrow(narrow, plans, runs),
        "final_radius": np.median(check.certificate.tube[:, -1], axis=0).tolist(),
        "final_gap": np.median(np.abs(check.gap[:, -1]), axis=0).tolist(),
        "unguided": _unguided(certificate, planner, chosen),
        "example": _example(narrow.evaluate(plans).compare(runs), planner.problem([]).state_labels),
    }


@dataclass(frozen=True)
class _Planner:
    system: CertificateSystem
    settings: CoverageSettings
    generator: np.random.Generator
    dynamics: LearnedDynamics
    score: ScoreNetwork

    def problem(self, distances: list[DataDistance]) -> OptimalControlProblem:
        """Return the problem on the learned dynamics."""
        return self.system.problem(self.dynamics, distances)

    def plan_and_execute(self, count: int, guided: bool = True) -> tuple[Trajectory, Trajectory]:
        """Return plans from random initial states and random guesses, and what the plant does, as batches."""
        schedule = GeometricSchedule(0.3, self.settings.sigma_stop)
        distances = [DataDistance(self.score, self.settings.beta, schedule=schedule)] if guided else []
        problem = self.problem(distances)
        solver = GradientDescent(iterations=self.settings.iterations, step_size=0.3, annealing=0.6)
        starts = self.system.initial_states(count, self.generator)
        found: list[Solution] = []
        for part in np.split(starts, range(_AT_ONCE, count, _AT_ONCE)):
            found += solve_batch(problem, part, SingleShooting(), solver, generator=self.generator)
        plan = Trajectory.stack(found)
        # the first state of a plan has the precision of its model
        plan = replace(plan, states=np.concatenate([starts[:, None], plan.states[:, 1:]], axis=1))
        return plan, replace(plan, states=execute(self.system, starts, plan.controls))


def _train(training: Transitions, settings: CoverageSettings) -> tuple[LearnedDynamics, ScoreNetwork]:
    sizes = (settings.width, settings.width)
    steps, score_steps = settings.dynamics_steps, settings.score_steps
    dynamics = DynamicsSettings(hidden_sizes=sizes, steps=steps, validate_every=min(500, steps))
    score = ScoreSettings(hidden_sizes=sizes, steps=score_steps, validate_every=min(500, score_steps))
    return (
        train_dynamics(training, dynamics, settings.seed).model,
        train_score(training, score, settings.seed).model,
    )


def _data_ratios(certificate: ModelBiasCertificate, data: Transitions) -> FloatArray:
    """Return the ratio of error to bound of single transitions that are neither training nor held-out data."""
    steps = Trajectory(np.stack([data.states, data.next_states], axis=1), data.controls[:, None])
    return certificate.evaluate(steps).compare(steps).error_ratio


def _factor_from_data(raw: ModelBiasCertificate, fresh: Transitions, confidence: float) -> float:
    """Return the factor of someone who calibrates on single transitions, as if plans were drawn like data."""
    return conformal_quantile(_data_ratios(raw, fresh), confidence)


def _narrow(certificate: ModelBiasCertificate, plans: Trajectory, runs: Trajectory) -> dict[str, list[float]]:
    """Return what comes of tubes in which errors accumulate at random."""
    check = certificate.evaluate(plans).compare(runs)
    radius = np.median(check.certificate.tube[:, -1], axis=0)
    return {"tube_ratios": check.tube_ratio.round(5).tolist(), "final_radius": radius.tolist()}


def _unguided(certificate: ModelBiasCertificate, planner: _Planner, settings: CoverageSettings) -> dict[str, int]:
    if settings.unguided_plans == 0:
        return {"plans": 0, "error_held": 0, "tube_held": 0}
    plans, runs = planner.plan_and_execute(settings.unguided_plans, guided=False)
    check = certificate.evaluate(plans).compare(runs)
    error_held, tube_held = (int((ratio <= 1.0).sum()) for ratio in (check.error_ratio, check.tube_ratio))
    return {"plans": settings.unguided_plans, "error_held": error_held, "tube_held": tube_held}


def _example(check: CertificateCheck, names: Sequence[str]) -> dict[str, Any]:
    """Return the plan with the median ratio of gap to tube and its certificate, as plain lists."""
    index = int(np.argsort(check.tube_ratio)[len(check.tube_ratio) // 2])
    arrays = {
        "states": check.certificate.plan.states,
        "controls": check.certificate.plan.controls,
        "executed": check.executed.states,
        "bound": check.certificate.bound,
        "tube": check.certificate.tube,
        "error": check.error,
    }
    return {
        "names": list(names),
        "time_step": check.certificate.plan.time_step,
        **{name: array[index].round(6).tolist() for name, array in arrays.items()},
    }
