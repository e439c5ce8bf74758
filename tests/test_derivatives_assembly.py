"""Assembled gradients, Jacobians and Hessians of whole programs, against finite differences and dense torch.func."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from tests.problems import cartpole_data, cartpole_swing_up, energy_network, score_network
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.generic import GenericBlocks
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    MultipleShooting,
    NonlinearProgram,
    SingleShooting,
)
from trajopt_sgp.problem import LeastSquaresCost, OptimalControlProblem, StageConstraint, TerminalConstraint
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

DATA = cartpole_data()
EXACT = ExactSmoothedDistance(DATA)
DATA_TERMS = {
    "exact": DataDistance(EXACT, weight=2.0, sigma=0.4),
    "exact-residual": DataDistance(EXACT, weight=2.0, sigma=0.4, form="residual"),
    "energy": DataDistance(energy_network(DATA), weight=2.0, schedule=GeometricSchedule(0.5, 0.1), weighting="none"),
    "score-residual": DataDistance(score_network(DATA), weight=2.0, sigma=0.3),
}
FORMULATIONS = [SingleShooting(), MultipleShooting(2), DirectTranscription()]
PROGRESS = 0.25


def stage_rows(state: Tensor, control: Tensor) -> Tensor:
    return torch.stack([state[..., 0] * control[..., 0], state[..., 1].sin() + state[..., 3] ** 2], dim=-1)


def terminal_rows(state: Tensor) -> Tensor:
    return (state[..., 1:3] ** 3).sum(-1, keepdim=True)


def everything(data_term: DataDistance) -> OptimalControlProblem:
    """A short swing-up with every kind of term."""
    problem = cartpole_swing_up(horizon=4)
    return problem.replaced(
        initial_state=[0.1, 0.2, -0.3, 0.4],
        stage_costs=[*problem.stage_costs, data_term],
        state_bounds=([-5.0, -4.0, -8.0, -np.inf], [5.0, 5.0, 8.0, 12.0]),
        constraints=[
            StageConstraint(stage_rows, lower=[-1.0, -np.inf], upper=[1.0, 2.0], name="stage"),
            TerminalConstraint(terminal_rows, lower=0.0, name="terminal"),
        ],
    ).to(torch.float64)


def parameters_of(program: NonlinearProgram) -> Parameters:
    return program.problem.values(progress=PROGRESS)


def dense(program: NonlinearProgram, pattern: Pattern, values: FloatArray, rows: int) -> FloatArray:
    matrix = np.zeros((rows, program.size))
    np.add.at(matrix, (pattern.rows, pattern.columns), values)
    return matrix


def central_difference(function: Callable[[FloatArray], Any], point: FloatArray, step: float = 1e-5) -> FloatArray:
    """Fourth-order central differences of a function by every variable, last axis."""
    columns = []
    for i in range(len(point)):
        e = step * np.eye(len(point))[i]
        near = np.asarray(function(point + e)) - np.asarray(function(point - e))
        far = np.asarray(function(point + 2.0 * e)) - np.asarray(function(point - 2.0 * e))
        columns.append((8.0 * near - far) / (12.0 * step))
    return np.stack(columns, axis=-1)


def assert_close(actual: FloatArray, expected: FloatArray, relative: float) -> None:
    scale = np.abs(expected).max()
    assert scale > 0.0
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=relative * max(1.0, scale))


@pytest.fixture(params=DATA_TERMS, scope="module")
def problem(request: pytest.FixtureRequest) -> OptimalControlProblem:
    return everything(DATA_TERMS[request.param])


@pytest.fixture(params=FORMULATIONS, ids=lambda f: f.name, scope="module")
def program(request: pytest.FixtureRequest, problem: OptimalControlProblem) -> NonlinearProgram:
    formulation: Formulation = request.param
    return formulation.transcribe(problem, needs_value=True)


@pytest.fixture(scope="module")
def point(program: NonlinearProgram) -> FloatArray:
    return np.random.default_rng(3).uniform(-0.4, 0.4, program.size)


@pytest.fixture(scope="module")
def multipliers(program: NonlinearProgram) -> FloatArray:
    return np.random.default_rng(4).normal(size=program.assembly.row_count)


def lagrangian_gradient(program: NonlinearProgram, w: FloatArray, factor: float, multipliers: FloatArray) -> FloatArray:
    assembly, parameters = program.assembly, parameters_of(program)
    jacobian = dense(program, assembly.jacobian_pattern, assembly.jacobian(w, parameters)[1], assembly.row_count)
    gradient: FloatArray = factor * assembly.gradient(w, parameters)[1] + multipliers @ jacobian
    return gradient


def symmetric(program: NonlinearProgram, values: FloatArray) -> FloatArray:
    upper = dense(program, program.assembly.hessian_pattern, values, program.size)
    return upper + np.triu(upper, 1).T


def test_gradient_is_that_of_the_objective(program: NonlinearProgram, point: FloatArray) -> None:
    assembly, parameters = program.assembly, parameters_of(program)
    value, gradient = assembly.gradient(point, parameters)
    assert value == assembly.objective(point, parameters)
    assert_close(gradient, central_difference(lambda w: assembly.objective(w, parameters), point), 1e-6)


def test_jacobian_is_that_of_the_rows(program: NonlinearProgram, point: FloatArray) -> None:
    assembly, parameters = program.assembly, parameters_of(program)
    rows, values = assembly.jacobian(point, parameters)
    np.testing.assert_array_equal(rows, assembly.rows(point, parameters))
    jacobian = dense(program, assembly.jacobian_pattern, values, assembly.row_count)
    assert_close(jacobian, central_difference(lambda w: assembly.rows(w, parameters), point), 1e-6)


def test_hessian_is_that_of_the_lagrangian(
    program: NonlinearProgram, point: FloatArray, multipliers: FloatArray
) -> None:
    values = program.assembly.hessian(point, 0.7, multipliers, parameters_of(program))
    expected = central_difference(lambda w: lagrangian_gradient(program, w, 0.7, multipliers), point)
    assert_close(symmetric(program, values), expected, 1e-6)


def dense_states(program: NonlinearProgram, values: Tensor, controls: Tensor) -> Tensor:
    """States at the knots: variables where they are decided, rolled out elsewhere."""
    index = program.layout.knot_states
    decided = [bool(np.isin(row, program.decided).all()) for row in index]
    states: list[Tensor] = []
    for knot, held in enumerate(decided):
        if held:
            states.append(values[torch.as_tensor(index[knot])])
        elif knot == 0:
            states.append(torch.tensor(program.problem.start))
        else:
            states.append(dynamics_of(program)(states[-1], controls[knot - 1]))
    return torch.stack(states)


def dynamics_of(program: NonlinearProgram) -> Callable[[Tensor, Tensor], Tensor]:
    dynamics = program.problem.dynamics
    assert dynamics is not None
    return dynamics


def dense_program(program: NonlinearProgram, w: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Objective and rows by name, written down knot by knot from the definition of the problem."""
    problem = program.problem
    values = torch.zeros(len(program.full_scale), dtype=w.dtype).index_copy(0, torch.as_tensor(program.decided), w)
    values = values * torch.tensor(program.full_scale)
    controls = values[torch.as_tensor(program.layout.controls[0.0])]
    states = dense_states(program, values, controls)
    parameters = parameters_of(program)
    objective = problem.terminal_terms[0].weighted(states[-1], parameters)
    for term in problem.stage_terms:
        cost = term.face(needs_value=True).function
        for state, control in zip(states[:-1], controls, strict=True):
            objective = objective + cost(state, control, parameters)
    after = torch.stack([dynamics_of(program)(x, u) for x, u in zip(states[:-1], controls, strict=True)])
    rows = {
        "defect": after - states[1:],
        "state_bounds": states[1:-1],
        "last": states[-1:],
        "stage": torch.stack([stage_rows(x, u) for x, u in zip(states[:-1], controls, strict=True)]),
        "terminal": terminal_rows(states[-1]),
    }
    return objective, rows


def dense_rows(program: NonlinearProgram, w: Tensor) -> Tensor:
    """The scaled rows in the order of the program."""
    rows = dense_program(program, w)[1]
    parts = []
    for term in program.constraints:
        found = rows[term.name]
        if term.name == "state_bounds":
            found = torch.cat([rows["state_bounds"], rows["last"]])[torch.as_tensor(term.knots) - 1]
        parts.append((found.reshape(term.instances, -1) * torch.tensor(term.row_scale)).reshape(-1))
    joined = torch.cat(parts)
    kept = getattr(program.assembly, "row_places", np.arange(len(joined)))
    return joined[torch.as_tensor(kept)]


def test_values_and_first_derivatives_agree_with_the_dense_program(
    program: NonlinearProgram, point: FloatArray
) -> None:
    assembly, parameters, w = program.assembly, parameters_of(program), torch.tensor(point)
    value, gradient = assembly.gradient(point, parameters)
    expected = torch.func.grad(lambda v: dense_program(program, v)[0])(w)
    assert value == pytest.approx(float(dense_program(program, w)[0].detach()), rel=1e-12)
    assert_close(gradient, expected.detach().numpy(), 1e-11)
    rows, values = assembly.jacobian(point, parameters)
    assert_close(rows, dense_rows(program, w).detach().numpy(), 1e-11)
    jacobian = torch.func.jacrev(lambda v: dense_rows(program, v))(w)
    assert_close(
        dense(program, assembly.jacobian_pattern, values, assembly.row_count), jacobian.detach().numpy(), 1e-11
    )


def test_hessian_agrees_with_the_dense_program(
    program: NonlinearProgram, point: FloatArray, multipliers: FloatArray
) -> None:
    def lagrangian(v: Tensor) -> Tensor:
        return 0.7 * dense_program(program, v)[0] + torch.tensor(multipliers) @ dense_rows(program, v)

    values = program.assembly.hessian(point, 0.7, multipliers, parameters_of(program))
    expected = torch.func.hessian(lagrangian)(torch.tensor(point))
    assert_close(symmetric(program, values), expected.detach().numpy(), 1e-10)


def test_patterns_hold_every_nonzero_once(program: NonlinearProgram, point: FloatArray) -> None:
    assembly, parameters = program.assembly, parameters_of(program)
    for pattern, height in ((assembly.jacobian_pattern, assembly.row_count), (assembly.hessian_pattern, program.size)):
        positions = pattern.columns * height + pattern.rows
        assert (np.diff(positions) > 0).all()
        assert pattern.rows.max() < height
        assert pattern.columns.max() < program.size
    assert (assembly.hessian_pattern.rows <= assembly.hessian_pattern.columns).all()
    finite = central_difference(lambda w: assembly.rows(w, parameters), point)
    held = dense(program, assembly.jacobian_pattern, np.ones(len(assembly.jacobian_pattern.rows)), assembly.row_count)
    assert not ((np.abs(finite) > 1e-8) & (held == 0.0)).any()


def test_direct_transcription_is_sparse() -> None:
    problem = cartpole_swing_up(horizon=30)
    assembly = DirectTranscription().transcribe(problem, needs_value=True).assembly
    # per knot: 4 defects, each of 5 variables and its own next state; upper triangle of a block of 5
    assert len(assembly.jacobian_pattern.rows) == 30 * 4 * 6
    assert len(assembly.hessian_pattern.rows) == 30 * 15 + 10


def test_rows_are_named_by_term_component_and_knot(program: NonlinearProgram) -> None:
    names = [program.assembly.row_name(i) for i in range(program.assembly.row_count)]
    assert len(set(names)) == len(names)
    assert names.count(("stage[1]", 2)) == 1
    assert names[-1] == ("terminal[0]", 4)
    first = {"SingleShooting": ("state_bounds[p]", 1), "MultipleShooting": ("defect[p]", 1)}
    assert names[0] == first.get(program.name, ("defect[p]", 0))


def test_repeated_entries_are_summed() -> None:
    pattern = Pattern.of(np.array([1, 0, 1]), np.array([2, 0, 2]))
    np.testing.assert_array_equal(pattern.assemble([np.array([1.0, 5.0]), np.array([2.0])]), [5.0, 3.0])
    assert list(zip(pattern.rows, pattern.columns, strict=True)) == [(0, 0), (1, 2)]


@pytest.mark.parametrize("rows", [3, 20])
def test_blocks_of_few_and_of_many_rows(rows: int) -> None:
    """Few rows are differentiated one by one, many in one batch."""
    weights = torch.tensor(np.random.default_rng(0).normal(size=(rows, 3)))

    def function(z: Tensor, parameters: Parameters) -> Tensor:
        return (z @ weights.T).sin()

    parameters = Parameters(torch.zeros(1))
    z = torch.tensor(np.random.default_rng(1).normal(size=(5, 3)))
    value, jacobian = GenericBlocks(function).jacobian(z, parameters)
    torch.testing.assert_close(jacobian, (z @ weights.T).cos()[..., None] * weights)
    multipliers = torch.tensor(np.random.default_rng(2).normal(size=(5, rows)))
    hessian = GenericBlocks(function).hessian(z, multipliers, parameters)
    expected = -torch.einsum("kr,ri,rj->kij", multipliers * value, weights, weights)
    torch.testing.assert_close(hessian, expected)


def test_blocks_of_functions_without_dependence() -> None:
    """A constant and a linear function have derivatives too: zeros."""
    z, parameters = torch.ones(4, 2, dtype=torch.float64), Parameters(torch.zeros(1))
    constant = GenericBlocks(lambda z, parameters: torch.ones(4, dtype=torch.float64))
    linear = GenericBlocks(lambda z, parameters: z.sum(-1))
    assert not constant.jacobian(z, parameters)[1].any()
    assert not constant.hessian(z, torch.ones(4, dtype=torch.float64), parameters).any()
    assert (linear.jacobian(z, parameters)[1] == 1.0).all()
    assert not linear.hessian(z, torch.ones(4, dtype=torch.float64), parameters).any()


def test_threads_are_limited_inside_the_block_only() -> None:
    before = torch.get_num_threads()
    with limited_threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
    with pytest.raises(OptionError, match=r"threads = 0: it must be at least 1"), limited_threads(0):
        pass


def test_threads_that_overlap_leave_as_many_as_they_found() -> None:
    """The block that began last ends last: what it found was the limit of the other."""
    controller = ThreadpoolController()
    with controller.limit(limits=2, user_api="blas"):
        before = [library["num_threads"] for library in controller.info()]
        first, second = limited_threads(1), limited_threads(1)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert [library["num_threads"] for library in controller.info()] == before


@pytest.mark.parametrize("formulation", [SingleShooting(), MultipleShooting(2)], ids=lambda f: f.name)
def test_gradients_of_shooting_by_the_adjoint_and_by_tangents_agree(formulation: Formulation) -> None:
    problem = everything(DATA_TERMS["exact"])
    program, parameters = formulation.transcribe(problem, needs_value=True), problem.values(progress=PROGRESS)
    point = np.random.default_rng(4).normal(scale=0.3, size=program.size)
    by_adjoint = program.assembly.gradient(point, parameters)
    program.assembly.jacobian(point, parameters)
    by_tangents = program.assembly.gradient(point, parameters)
    assert by_adjoint[0] == by_tangents[0]
    np.testing.assert_allclose(by_adjoint[1], by_tangents[1], rtol=1e-10, atol=1e-12)


def test_residuals_are_differentiated_in_closed_form() -> None:
    problem = cartpole_swing_up(horizon=4).replaced(stage_costs=[LeastSquaresCost(stage_rows)])
    program, parameters = DirectTranscription().transcribe(problem, needs_value=True), problem.values()
    point = np.random.default_rng(5).normal(scale=0.3, size=program.size)
    program.assembly.hessian(point, 1.0, np.zeros(program.assembly.row_count), parameters, exact=False)
    (residual,) = program.full_assembly.residuals.values()
    assert residual.backend.startswith("closed form")


def test_a_function_without_second_derivatives_is_named() -> None:
    centres = torch.ones(3, 2, dtype=torch.float64)
    blocks = GenericBlocks(lambda z, parameters: torch.cdist(z, centres).sum(-1), "centres")
    z = torch.rand((4, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(IncompatibleError, match=r"'centres' has no second derivatives .*limited-memory"):
        blocks.hessian(z, torch.ones(4, dtype=torch.float64), Parameters(torch.zeros(1)))
