"""Time to solution of the cart-pole swing-up, transcribed, with learned dynamics: same program, same guess."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import casadi
import numpy as np

from benchmarks.compare import Contender, Peer, compare
from benchmarks.do_mpc_peer import DoMpcSolve
from benchmarks.networks import KNOT, STATES, StepNetwork, casadi_step, learned_cartpole
from benchmarks.rows import FLOAT32, FLOAT64, Case, Row
from benchmarks.trained import trained_models
from benchmarks.transcriptions import Step, casadi_bounds, casadi_program, flat, straight_guess, swing_up
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.problem import Solution, Trajectory
from trajopt_sgp.solvers import Fatrop, Ipopt, PreparedSolve, Scipy, prepare
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.swing_up import swing_up_problem
from trajopt_sgp.uncertainty import DataDistance

TOLERANCES = (1e-8, 1e-6, 1e-5, 1e-4)
"""From tight to loose, until single precision suffices."""

ROUGH = 1e-6
"""Agreement with SciPy's solvers, whose tolerances do not mean what Ipopt's does."""
ACROSS = 1e-7
"""Agreement of solvers that end at different points, each within a tolerance of 1e-8."""


def cases() -> list[Case]:
    """The unguided program beside every peer, and the guided one alone."""
    return [
        Case("solves/ipopt", "Ipopt, N = 50, 2×128 tanh, tolerance 1e-8; the others at the tolerance named.", _ipopt),
        Case("solves/fatrop", "Fatrop, N = 50, at the tolerances named; peers with Fatrop and with Ipopt.", _fatrop),
        Case("solves/scipy", "SciPy's solvers on this library's derivatives, near the solution, N = 50.", _scipy),
        Case("solves/guided", "Guided by an energy network, T = 60, exact Hessian, cold start, one σ.", _guided),
    ]


def _ipopt(quick: bool) -> Iterator[Row]:
    network, guess = _network(quick), straight_guess(8 if quick else 50)
    horizon, seconds = len(guess.controls), 0.1 if quick else 4.0
    ours = _ours(network, guess)
    with tempfile.TemporaryDirectory() as folder:
        build = _remembering(partial(_l4casadi_step, network, horizon, folder))
        yield from _down_to_success(f"swing-up, N={horizon}", lambda _: ours, build, guess, "ipopt", seconds)
    inlined = casadi_step(network)
    peers = [
        Peer("CasADi MX, batched", lambda: _casadi(inlined, guess, 1e-8, FLOAT64)),
        Peer("CasADi MX, mapped over knots", lambda: _casadi(_mapped(network, horizon), guess, 1e-8, FLOAT64)),
        Peer("do-mpc through ONNX", lambda: _do_mpc(network, guess)),
    ]
    yield from compare(f"swing-up, N={horizon}", ours, peers, seconds=seconds)


def _fatrop(quick: bool) -> Iterator[Row]:
    """Compare at the tightest tolerance of each peer, by the solver that suits stages, and by the common one."""
    network, guess = _network(quick), straight_guess(8 if quick else 50)
    horizon, seconds = len(guess.controls), 0.1 if quick else 4.0
    with tempfile.TemporaryDirectory() as folder:
        build = _remembering(partial(_l4casadi_step, network, horizon, folder))
        for solver in ("fatrop", "ipopt"):
            equal = partial(_by_fatrop, network, guess)
            yield from _down_to_success(f"swing-up by Fatrop, N={horizon}", equal, build, guess, solver, seconds)
    inlined = casadi_step(network)
    peers = [
        Peer(f"CasADi MX, batched, {solver}", partial(_casadi, inlined, guess, 1e-8, ACROSS, solver))
        for solver in ("fatrop", "ipopt")
    ]
    peers.append(Peer("do-mpc through ONNX, ipopt", lambda: _do_mpc(network, guess, ACROSS)))
    yield from compare(f"swing-up by Fatrop, N={horizon}", _by_fatrop(network, guess, 1e-8), peers, seconds=seconds)


def _by_fatrop(network: StepNetwork, guess: Trajectory, tolerance: float) -> Contender:
    return _ours(network, guess, Fatrop(tolerance=tolerance))


def _down_to_success(
    case: str,
    ours: Callable[[float], Contender],
    build: Callable[[], Step],
    guess: Trajectory,
    solver: str,
    seconds: float,
) -> Iterator[Row]:
    """Compare with l4casadi at the tightest tolerance at which it succeeds; its failures before are rows too."""
    for tolerance in TOLERANCES:
        by = "" if solver == "ipopt" else f", {solver}"
        name = f"l4casadi, batched, float32{by}, tolerance {tolerance:g}"
        peer = Peer(name, partial(_single, build, guess, tolerance, solver))
        rows = list(compare(case, ours(tolerance), [peer], seconds=seconds))
        yield from rows
        if not any("failed" in row.note for row in rows):
            return


def _scipy(quick: bool) -> Iterator[Row]:
    network, horizon = _network(quick), 8 if quick else 50
    guess = _near_solution(network, horizon)
    methods = [("trust-constr", 3000), ("SLSQP", 500)]
    peers = [
        Peer(f"scipy {method}", partial(_ours, network, guess, Scipy(method=method, max_iterations=most), ROUGH))  # type: ignore[arg-type]
        for method, most in methods
    ]
    case = f"swing-up from near its solution, N={horizon}"
    yield from compare(case, _ours(network, guess), peers, seconds=0.1)


def _near_solution(network: StepNetwork, horizon: int) -> Trajectory:
    """Return a disturbed solution: from farther away, SciPy's solvers end in other local minima."""
    prepared = prepare(swing_up(network, horizon), DirectTranscription(), Ipopt())
    plan, random = prepared.solve(straight_guess(horizon)).trajectory, np.random.default_rng(0)
    states = plan.states + 0.01 * random.normal(size=plan.states.shape)
    states[0] = plan.states[0]
    return Trajectory(states, plan.controls + 0.5 * random.normal(size=plan.controls.shape), plan.time_step)


def _guided(quick: bool) -> Iterator[Row]:
    models, horizon = trained_models(quick), 8 if quick else 60
    distance = DataDistance(models.energy, weight=1.0, sigma=0.3)
    problem = swing_up_problem(models.dynamics, [distance], horizon=horizon, effort_weight=0.01)
    prepared = prepare(problem, DirectTranscription(), Ipopt(stages=1))
    prepared.trace()
    ours = _contender(prepared, straight_guess(horizon), FLOAT64)
    yield from compare(f"guided swing-up, T={horizon}, σ=0.3, aim 400 ms", ours, [], seconds=0.1 if quick else 4.0)


def _network(quick: bool) -> StepNetwork:
    return learned_cartpole(16, 2, updates=300) if quick else learned_cartpole(128, 2)


def _ours(
    network: StepNetwork, guess: Trajectory, solver: Solver | None = None, tolerance: float = FLOAT64
) -> Contender:
    prepared = prepare(swing_up(network, len(guess.controls)), DirectTranscription(), solver or Ipopt())
    prepared.trace()
    return _contender(prepared, guess, tolerance)


def _contender(prepared: PreparedSolve, guess: Trajectory, tolerance: float) -> Contender:
    def remark(solution: Solution) -> str:
        solver, total = (1e3 * solution.seconds[name] for name in ("solver", "total"))
        return f"{solution.iterations} iterations, solver alone {solver:.0f} of {total:.0f} ms"

    def failure(solution: Solution) -> str:
        return "" if solution.status.name in ("SOLVED", "CONVERGED") else solution.status.name.lower()

    return Contender(lambda: prepared.solve(guess), lambda s: [np.array([s.cost])], tolerance, failure, remark)


def _casadi(step: Step, guess: Trajectory, tolerance: float, agreement: float, name: str = "ipopt") -> Contender:
    horizon = len(guess.controls)
    program = casadi_program(step, horizon)
    options: dict[str, Any] = {"print_time": False, "record_time": True, "show_eval_warnings": False}
    if name == "ipopt":
        options |= {"ipopt.tol": tolerance, "ipopt.print_level": 0, "ipopt.sb": "yes"}
    else:
        # CasADi finds the stages where a defect is the next state less the step
        program = {**program, "g": -program["g"]}
        options |= {"fatrop.tolerance": tolerance, "fatrop.print_level": 0, "structure_detection": "auto"}
        options["equality"] = [True] * (horizon * STATES)
    solver = casadi.nlpsol("peer", name, program, options)
    start, bounds = flat(guess), casadi_bounds(horizon)

    def run() -> tuple[float, Mapping[str, Any]]:
        objective = float(solver(x0=start, **bounds)["f"])
        return objective, solver.stats()

    return _statistics(run, agreement)


def _do_mpc(network: StepNetwork, guess: Trajectory, agreement: float = FLOAT64) -> Contender:
    return _statistics(DoMpcSolve(network, guess, 1e-8).run, agreement)


def _statistics(run: Callable[[], tuple[float, Mapping[str, Any]]], agreement: float) -> Contender:
    """Return a contender that gives the objective and the statistics of `nlpsol`."""

    def failure(result: tuple[float, Mapping[str, Any]]) -> str:
        status = result[1]["return_status"]
        # the words of Ipopt, which calls "acceptable" a success too, and the number of Fatrop
        return "" if status in ("Solve_Succeeded", 0) else str(status)

    def remark(result: tuple[float, Mapping[str, Any]]) -> str:
        statistics = result[1]
        functions = sum(value for name, value in statistics.items() if name.startswith("t_wall_nlp_"))
        total = float(statistics["t_wall_total"])
        alone = f"solver alone {1e3 * (total - functions):.0f} of {1e3 * total:.0f} ms"
        return f"{statistics['iter_count']} iterations, {alone}"

    return Contender(run, lambda result: [np.array([result[0]])], agreement, failure, remark)


def _single(build: Callable[[], Step], guess: Trajectory, tolerance: float, solver: str = "ipopt") -> Contender:
    return _casadi(build(), guess, tolerance, FLOAT32, solver)


def _l4casadi_step(network: StepNetwork, horizon: int, folder: str) -> Step:
    import l4casadi  # noqa: F401  # missing, it is told as any other peer

    from trajopt_sgp.derivatives.l4casadi_export import export_step

    step: Step = export_step(network, horizon, Path(folder)).step
    return step


def _remembering(build: Callable[[], Step]) -> Callable[[], Step]:
    held: list[Step] = []

    def once() -> Step:
        if not held:
            held.append(build())
        return held[0]

    return once


def _mapped(network: StepNetwork, horizon: int) -> Step:
    """Return the step as one CasADi function for a knot, mapped over all."""
    z = casadi.MX.sym("z", KNOT)
    knot = casadi.Function("knot", [z], [casadi_step(network)(z.T).T]).map(horizon)
    return lambda rows: knot(rows.T).T
