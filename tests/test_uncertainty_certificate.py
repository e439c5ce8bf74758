"""Tubes against worst cases, conformal factors against chance, certificates of plans, and their files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.synthetic import make_transitions
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.errors import (
    DatasetError,
    IncompatibleError,
    ModelFileError,
    NotFiniteError,
    OptionError,
    ShapeError,
)
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.models import ScoreNetwork, fit_normalizer
from trajopt_sgp.problem import (
    ContinuousDynamics,
    DiscreteDynamics,
    OptimalControlProblem,
    Solution,
    Trajectory,
    TrajectoryCost,
)
from trajopt_sgp.problem.certificate import CertificateCheck
from trajopt_sgp.solvers import LBFGS, GradientDescent, solve, solve_batch, solve_in_processes
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.guess import rollout
from trajopt_sgp.uncertainty import (
    ModelBiasCertificate,
    error_amplification,
    load_certificate,
    save_certificate,
)
from trajopt_sgp.uncertainty.conformal import conformal_quantile
from trajopt_sgp.uncertainty.error_tube import error_tube, state_jacobians


@dataclass
class Bend:
    """A plant that a linear model cannot follow: x' = x + 0.1 y, y' = y + 0.1 (u - sin x), and the model of it."""

    bend: float = 1.0
    state_size: int = 2
    control_size: int = 1

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        x, y = state[..., 0], state[..., 1]
        force = self.bend * x.sin() + (1.0 - self.bend) * x
        return torch.stack([x + 0.1 * y, y + 0.1 * (control[..., 0] - force)], dim=-1)


PLANT, MODEL = Bend(), Bend(bend=0.9)


def plant_step(state: FloatArray, control: FloatArray) -> FloatArray:
    return PLANT(torch.from_numpy(state), torch.from_numpy(control)).numpy()


def transitions(count: int, seed: int = 0) -> Transitions:
    generator = np.random.default_rng(seed)
    states, controls = generator.uniform(-2.0, 2.0, (count, 2)), generator.uniform(-1.0, 1.0, (count, 1))
    return make_transitions(states, controls, plant_step(states, controls))


def random_plans(count: int, seed: int, horizon: int = 12) -> tuple[list[Trajectory], list[Trajectory]]:
    """Plans of the model under random controls, and what the plant does."""
    generator = np.random.default_rng(seed)
    start = generator.uniform(-1.0, 1.0, (count, 2))
    controls = generator.uniform(-1.0, 1.0, (count, horizon, 1))
    planned, real = [start], [start]
    for t in range(horizon):
        planned.append(MODEL(torch.from_numpy(planned[-1]), torch.from_numpy(controls[:, t])).numpy())
        real.append(plant_step(real[-1], controls[:, t]))
    pair = (Trajectory(np.stack(part, axis=1), controls) for part in (planned, real))
    plans, runs = ([batch.select(i) for i in range(count)] for batch in pair)
    return plans, runs


@pytest.fixture(scope="module")
def certificate() -> ModelBiasCertificate:
    return ModelBiasCertificate.fit(MODEL, transitions(400), np.random.default_rng(0))


@pytest.fixture(scope="module")
def calibrated(certificate: ModelBiasCertificate) -> ModelBiasCertificate:
    return certificate.calibrate(*random_plans(60, seed=1), confidence=0.9)


def test_jacobians_are_those_of_finite_differences_and_differentiable(generator: torch.Generator) -> None:
    states = torch.randn((3, 5, 2), generator=generator, dtype=torch.float64)
    controls = torch.randn((3, 5, 1), generator=generator, dtype=torch.float64)
    with torch.no_grad():
        jacobians = state_jacobians(PLANT, states, controls)
    assert jacobians.shape == (3, 5, 2, 2) and not jacobians.requires_grad
    steps = 1e-6 * torch.eye(2, dtype=torch.float64)
    columns = [(PLANT(states + step, controls) - PLANT(states - step, controls)) / 2e-6 for step in steps]
    torch.testing.assert_close(jacobians, torch.stack(columns, dim=-1), rtol=1e-6, atol=1e-8)
    assert torch.autograd.gradcheck(lambda x: state_jacobians(PLANT, x, controls), (states.requires_grad_(),))


def test_the_tube_is_the_worst_case_of_a_linear_system(generator: torch.Generator) -> None:
    """No errors within the bounds leave it, and for every knot and state some reach its edge."""
    jacobians = torch.randn((6, 3, 3), generator=generator, dtype=torch.float64)
    bounds, scale = torch.rand(6, generator=generator, dtype=torch.float64), torch.tensor([1.0, 0.1, 3.0]).double()
    tube = error_tube(jacobians, bounds, scale)

    def propagate(errors: Tensor) -> Tensor:
        deviations = [torch.zeros(errors.shape[0], 3, dtype=torch.float64)]
        for t in range(6):
            deviations.append(deviations[-1] @ jacobians[t].T + errors[:, t] * scale)
        return torch.stack(deviations, dim=1)

    directions = torch.randn((2000, 6, 3), generator=generator, dtype=torch.float64)
    errors = bounds[:, None] * directions / directions.norm(dim=-1, keepdim=True)
    assert (propagate(errors).abs() <= tube + 1e-12).all()
    for knot in range(1, 7):
        for state in range(3):
            still = torch.zeros((1, 6, 3), dtype=torch.float64, requires_grad=True)
            (gradient,) = torch.autograd.grad(propagate(still)[0, knot, state], still)
            length = gradient.norm(dim=-1, keepdim=True)
            worst = bounds[:, None] * gradient / torch.where(length > 0.0, length, 1.0)
            assert float(propagate(worst)[0, knot, state]) == pytest.approx(float(tube[knot, state]))
    assert (tube[0] == 0.0).all()
    # independent errors: the root of the sum of squares of what every step contributes
    steps = [error_tube(jacobians, torch.where(torch.arange(6) == t, bounds, 0.0), scale) for t in range(6)]
    random = torch.stack(steps).square().sum(0).sqrt()
    torch.testing.assert_close(error_tube(jacobians, bounds, scale, "random"), random)


def test_first_order_tubes_hold_real_deviations_of_small_errors(certificate: ModelBiasCertificate) -> None:
    """What the plant does to plans stays in the tube, without any calibration, where the bound holds."""
    plans, runs = random_plans(40, seed=5)
    checks = [certificate.evaluate(plan).compare(run) for plan, run in zip(plans, runs, strict=True)]
    assert max(float(check.error_ratio) for check in checks) <= 1.0
    assert max(float(check.tube_ratio) for check in checks) <= 1.0
    assert checks[0].certificate.confidence is None


def test_what_is_infinite_is_beyond_every_bound(certificate: ModelBiasCertificate) -> None:
    """A plant that has blown up counts as lost, also where the bound itself is infinite; calibration goes on."""
    plans, runs = random_plans(1, seed=5)
    promised = certificate.evaluate(plans[0])
    bound, error = np.full(promised.bound.shape, np.inf), np.zeros(promised.bound.shape)
    check = CertificateCheck(replace(promised, bound=bound), runs[0], error, runs[0].states - plans[0].states)
    assert check.error_ratio == 0.0
    for worst in (np.inf, np.nan):
        assert replace(check, error=np.full_like(error, worst)).error_ratio == np.inf
    assert replace(check, error=error + 1.0).error_ratio == 0.0


def test_batches_of_plans_are_plans(calibrated: ModelBiasCertificate) -> None:
    plans, runs = random_plans(5, seed=6)
    together, executed = Trajectory.stack(plans), Trajectory.stack(runs)
    batch = calibrated.evaluate(together)
    check = batch.compare(executed)
    for i, (plan, run) in enumerate(zip(plans, runs, strict=True)):
        one = calibrated.evaluate(plan)
        np.testing.assert_allclose(batch.bound[i], one.bound)
        np.testing.assert_allclose(batch.tube[i], one.tube)
        assert check.error_ratio[i] == pytest.approx(float(one.compare(run).error_ratio))


def test_calibration_and_promises_take_batches(certificate: ModelBiasCertificate) -> None:
    plans, runs = random_plans(20, seed=6)
    planned, executed = Trajectory.stack(plans), Trajectory.stack(runs)
    one_by_one = certificate.calibrate(plans, runs, confidence=0.9)
    together = certificate.calibrate([planned], [executed], confidence=0.9)
    assert together.calibration == one_by_one.calibration
    assert certificate.calibrate(planned, executed, confidence=0.9).calibration == one_by_one.calibration
    checks = [one_by_one.evaluate(plan).compare(run) for plan, run in zip(plans, runs, strict=True)]
    for place, promise in enumerate(together.evaluate(planned).compare(executed).promises):
        alone = [check.promises[place] for check in checks]
        assert promise.ratio == pytest.approx(max(each.ratio for each in alone))
        assert min(each.promised for each in alone) <= promise.promised <= max(each.promised for each in alone)
    with pytest.raises(ShapeError, match="20 plans and 19 executions"):
        certificate.calibrate([planned], runs[1:])


def test_executions_begin_where_their_plans_do(certificate: ModelBiasCertificate) -> None:
    plans, runs = random_plans(20, seed=6)
    exchanged = [*runs[:4], runs[5], runs[4], *runs[6:]]
    with pytest.raises(OptionError, match=r"Execution 4 begins at \[.*\], its plan at .* order of their plans"):
        certificate.calibrate(plans, exchanged, confidence=0.9)
    rounded = [Trajectory(plan.states.astype(np.float32).astype(np.float64), plan.controls) for plan in plans]
    assert certificate.calibrate(rounded, runs, confidence=0.9).calibration is not None


def test_a_model_without_errors_is_named() -> None:
    perfect = ModelBiasCertificate.fit(PLANT, transitions(50), np.random.default_rng(0))
    runs = random_plans(20, seed=1)[1]
    with pytest.raises(DatasetError, match="All errors are zero"):
        perfect.calibrate(runs, runs, confidence=0.9)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_conformal_coverage_is_as_stated(confidence: float) -> None:
    """Over many draws the share of new scores below the quantile lies within [c, c + 1/(n+1)]."""
    generator = np.random.default_rng(0)
    scores = generator.exponential(size=(8_000, 40))
    holds = [row[-1] <= conformal_quantile(row[:-1], confidence) for row in scores]
    assert confidence - 0.01 < np.mean(holds) < confidence + 1.0 / 40.0 + 0.01


def test_conformal_quantile_needs_enough_plans() -> None:
    assert conformal_quantile(np.arange(19.0), 0.95) == 18.0
    with pytest.raises(DatasetError, match="18 plans cannot give a confidence of 95 %: at least 19"):
        conformal_quantile(np.arange(18.0), 0.95)
    with pytest.raises(DatasetError, match="NaN"):
        conformal_quantile([np.nan] * 40, 0.9)
    with pytest.raises(OptionError, match="confidence = 1.0"):
        conformal_quantile(np.arange(40.0), 1.0)


def test_calibrated_bounds_hold_on_new_plans_as_often_as_stated(calibrated: ModelBiasCertificate) -> None:
    plans, runs = random_plans(200, seed=2)
    checks = [calibrated.evaluate(plan).compare(run) for plan, run in zip(plans, runs, strict=True)]
    assert 0.8 < np.mean([check.error_ratio <= 1.0 for check in checks]) < 0.98
    assert 0.8 < np.mean([check.tube_ratio <= 1.0 for check in checks]) < 0.98
    assert checks[0].certificate.confidence == 0.9
    assert calibrated.calibration is not None and calibrated.calibration.plans == 60
    narrow = replace(calibrated, accumulation="random", calibration=None).calibrate(*random_plans(60, seed=1), 0.9)
    inside = [narrow.evaluate(plan).compare(run).tube_ratio <= 1.0 for plan, run in zip(plans, runs, strict=True)]
    assert 0.8 < np.mean(inside) < 0.98


def test_executions_that_follow_the_model_are_no_executions(certificate: ModelBiasCertificate) -> None:
    """As where plans and executions are swapped, or plans are given twice, also those with the errors of a solver."""
    plans, runs = random_plans(20, seed=1)
    noise = np.random.default_rng(0)
    rough = [Trajectory(p.states + 1e-9 * noise.normal(size=p.states.shape), p.controls) for p in plans]
    for kept in (plans, rough):
        with pytest.raises(DatasetError, match="follows the model, within .* of the bounds.*planned first"):
            certificate.calibrate(runs, kept, confidence=0.9)
        with pytest.raises(DatasetError, match="more closely than its plan"):
            certificate.calibrate(kept, kept, confidence=0.9)
        assert certificate.calibrate(kept, runs, confidence=0.9).calibration is not None


def make_problem(**changes: object) -> OptimalControlProblem:
    settings = {
        "dynamics": MODEL,
        "horizon": 12,
        "initial_state": np.array([1.0, 0.0]),
        "terminal_costs": [lambda x: x.square().sum(-1)],
        "control_bounds": (-1.0, 1.0),
        **changes,
    }
    return OptimalControlProblem(**settings)  # type: ignore[arg-type]


def test_solutions_carry_their_certificate(calibrated: ModelBiasCertificate) -> None:
    solver = GradientDescent(iterations=30)
    solution = solve(make_problem(), SingleShooting(), solver, certificate=calibrated)
    assert solution.certificate is not None
    assert solution.certificate.state_names == solution.problem.state_labels
    np.testing.assert_array_equal(solution.certificate.bound, calibrated.evaluate(solution.trajectory).bound)
    check = solution.resimulate(plant_step).certificate
    assert check is not None
    states, controls = (torch.from_numpy(part) for part in (check.executed.states, check.executed.controls))
    errors = (PLANT(states[:-1], controls) - MODEL(states[:-1], controls)).numpy() / calibrated.error_scale
    np.testing.assert_allclose(check.error, np.linalg.norm(errors, axis=-1), atol=1e-12)
    np.testing.assert_array_equal(check.gap, solution.resimulate(plant_step).gap)
    plain = solve(make_problem(), SingleShooting(), solver)
    assert plain.certificate is None and plain.resimulate(plant_step).certificate is None
    batch = solve_batch(make_problem(), np.eye(2), SingleShooting(), solver, certificate=calibrated)
    apart = solve_in_processes(make_problem(), np.eye(2), SingleShooting(), solver, certificate=calibrated)
    assert all(each.certificate is not None for each in [*batch, *apart])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_tube_size_is_a_cost(certificate: ModelBiasCertificate, dtype: torch.dtype) -> None:
    """Its gradient by controls, through the rollout, is that of finite differences; steps along it shrink the tube."""

    def size(controls: Tensor) -> Tensor:
        states = [controls.new_tensor([1.0, 0.5]).expand(*controls.shape[:-2], 2)]
        for t in range(controls.shape[-2]):
            states.append(MODEL(states[-1], controls[..., t, :]))
        return certificate.tube_size(torch.stack(states, dim=-2), controls)

    controls = torch.linspace(-0.9, 0.9, 16, dtype=dtype).reshape(2, 8, 1).requires_grad_()
    if dtype == torch.float64:
        assert torch.autograd.gradcheck(size, (controls,), atol=1e-4)
    before = size(controls)
    (gradient,) = torch.autograd.grad(before.sum(), controls)
    assert before.shape == (2,) and before.dtype == dtype
    assert (size(controls - 0.02 * gradient / gradient.norm()) < before).all()


@pytest.mark.parametrize("solver", [GradientDescent(iterations=60), LBFGS()], ids=lambda s: s.name)
def test_tube_size_in_shooting_makes_plans_with_smaller_tubes(solver: Solver) -> None:
    """Among data so dense that the bound varies along a plan, in spite of its kinks."""
    certificate = ModelBiasCertificate.fit(MODEL, transitions(2000), np.random.default_rng(0))
    cost = TrajectoryCost(certificate.tube_size, weight=30.0, name="tube")
    guess = rollout(make_problem(), np.zeros((12, 1)))

    def size(solution: Solution) -> float:
        states, controls = (torch.from_numpy(a) for a in (solution.trajectory.states, solution.trajectory.controls))
        return float(certificate.tube_size(states, controls))

    careless, careful = (
        solve(make_problem(trajectory_costs=costs), SingleShooting(), solver, guess) for costs in ([], [cost])
    )
    assert careful.cost_terms["tube"] == pytest.approx(30.0 * size(careful), rel=1e-6)
    assert size(careful) < 0.9 * size(careless)


def test_amplification_agrees_with_the_tube(certificate: ModelBiasCertificate) -> None:
    """With equal bounds b the tube of the last state is at least b * |x_N - x̂_N| / sqrt(sum of squared errors)."""
    plan = random_plans(1, seed=3)[0][0]
    jacobians = state_jacobians(MODEL, torch.from_numpy(plan.states[:-1]), torch.from_numpy(plan.controls))
    tube = error_tube(jacobians, torch.ones(12).double(), torch.ones(2).double())
    gain = error_amplification(MODEL, plan, np.ones(2))
    assert gain <= float(tube[-1].norm()) <= np.sqrt(12.0 * 2.0) * gain
    # a ratio of errors in one unit is the same in all
    assert error_amplification(MODEL, plan, 7.0) == pytest.approx(gain)


def test_amplification_is_of_one_plan_in_positive_units() -> None:
    plans, _ = random_plans(3, seed=3)
    with pytest.raises(ShapeError, match=r"of one plan, not of a batch \(3,\): take each of trajectory.members"):
        error_amplification(MODEL, Trajectory.stack(plans), 1.0)
    with pytest.raises(OptionError, match="state_scale must be positive"):
        error_amplification(MODEL, plans[0], [1.0, 0.0])
    with pytest.raises(ShapeError, match=r"state_scale has shape \(3,\)"):
        error_amplification(MODEL, plans[0], np.ones(3))


class Network(nn.Module):
    """A model with weights, in single precision."""

    state_size, control_size = 2, 1

    def __init__(self, seed: int) -> None:
        super().__init__()
        weight = torch.randn((2, 3), generator=torch.Generator().manual_seed(seed)) * 0.05
        self.weight = nn.Parameter(weight)

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        return state + torch.cat([state, control], dim=-1) @ self.weight.T


def test_certificates_survive_their_file(tmp_path: Path) -> None:
    network, plans = Network(0), random_plans(40, seed=1)
    original = ModelBiasCertificate.fit(network, transitions(100), np.random.default_rng(0)).calibrate(*plans)
    path = tmp_path / "certificate.safetensors"
    save_certificate(original, path)
    again = load_certificate(path, network)
    assert (again.calibration, again.lipschitz) == (original.calibration, original.lipschitz)
    ours, theirs = original.evaluate(plans[0][0]), again.evaluate(plans[0][0])
    np.testing.assert_array_equal(ours.bound, theirs.bound)
    np.testing.assert_array_equal(ours.tube, theirs.tube)
    first = path.read_bytes()
    save_certificate(again, path)
    assert path.read_bytes() == first
    with pytest.raises(IncompatibleError, match="another model"):
        load_certificate(path, Network(1))
    data = transitions(100)
    score = ScoreNetwork(data.dataset, fit_normalizer(data), (4,))
    with pytest.raises(OptionError, match="certificate of dynamics .* which a ScoreNetwork is not"):
        load_certificate(path, score)
    damaged = bytearray(first)
    damaged[-9] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ModelFileError, match="damaged"):
        load_certificate(path, network)


def test_what_does_not_fit_is_refused(certificate: ModelBiasCertificate) -> None:
    generator = np.random.default_rng(0)
    wrong = replace(MODEL, control_size=2)
    with pytest.raises(ShapeError, match="2 states and 2 controls"):
        ModelBiasCertificate.fit(wrong, transitions(50), generator)
    for model in (ContinuousDynamics(MODEL, 2, 1), DiscreteDynamics(MODEL, 2, 1, parameters=("mass",))):
        with pytest.raises(OptionError, match="discrete-time model"):
            ModelBiasCertificate.fit(model, transitions(50), generator)
    with pytest.raises(OptionError, match="error_scale"):
        ModelBiasCertificate.fit(MODEL, transitions(50), generator, error_scale=[1.0])
    with pytest.raises(NotFiniteError, match="transition 0"):
        ModelBiasCertificate.fit(Bend(bend=np.nan), transitions(50), generator)
    with pytest.raises(OptionError, match="choose from aligned, random"):
        ModelBiasCertificate.fit(MODEL, transitions(50), generator, accumulation="sideways")
    plans, runs = random_plans(20, seed=0)
    with pytest.raises(ShapeError, match="20 plans and 19 executions"):
        certificate.calibrate(plans, runs[1:])
    lost = [Trajectory(np.full_like(run.states, np.nan), run.controls) for run in runs]
    with pytest.raises(DatasetError, match="no finite error"):
        certificate.calibrate(plans, lost, confidence=0.9)
    with pytest.raises(ShapeError, match="not those of the plan"):
        certificate.evaluate(plans[0]).compare(random_plans(1, 0, horizon=3)[1][0])
    with pytest.raises(NotFiniteError):
        certificate.evaluate(Trajectory(np.full((3, 2), np.nan), np.zeros((2, 1))))


def test_certificates_of_other_models_and_plans_are_refused(certificate: ModelBiasCertificate) -> None:
    other = Bend(bend=0.5)
    solution = solve(make_problem(dynamics=other), SingleShooting(), GradientDescent(iterations=1))
    with pytest.raises(IncompatibleError, match="about another model than that of the problem"):
        solution.with_certificate(certificate)
    with pytest.raises(ShapeError, match="The plan has 1 states and 2 controls, the model of the certificate 2 and 1"):
        certificate.evaluate(Trajectory(np.zeros((3, 1)), np.zeros((2, 2))))


@pytest.mark.usefixtures("unchecked_types")
def test_solutions_in_place_of_trajectories_are_named(certificate: ModelBiasCertificate) -> None:
    solution: Any = solve(make_problem(), SingleShooting(), GradientDescent(iterations=1))
    with pytest.raises(OptionError, match=r"evaluates a Trajectory, as solution.trajectory is, not Solution"):
        certificate.evaluate(solution)


def test_a_model_is_a_plant_too() -> None:
    solution = solve(make_problem(), SingleShooting(), GradientDescent(iterations=5))
    np.testing.assert_allclose(solution.resimulate(MODEL).gap, 0.0, atol=1e-12)
    assert np.abs(solution.resimulate(PLANT).gap).max() > 1e-4
    with pytest.raises(OptionError, match="A plant must be discrete in time"):
        solution.resimulate(ContinuousDynamics(MODEL, 2, 1))
