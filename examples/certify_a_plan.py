"""A certificate of how wrong a learned model may be along a plan, checked on the true system.

A small model of a drifting point is learned from 2000 steps. From 1000 steps it has not seen follow bounds of its error
along any plan; 60 plans, executed, make them hold for nine plans in ten. A new plan, from a start
drawn like theirs, comes with its bounds and the tube in which the point will stay.
"""

from pathlib import Path

import numpy as np
import torch

from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.learning import DynamicsSettings, train_dynamics
from trajopt_sgp.solvers import GradientDescent, solve_batch
from trajopt_sgp.studies.certificate.systems import SYSTEMS
from trajopt_sgp.uncertainty import ModelBiasCertificate
from trajopt_sgp.viz import plot_certificate, save_figure

PLANNER = SingleShooting(), GradientDescent(iterations=60, step_size=0.3)


def main() -> None:
    """Learn, certify, calibrate, plan, execute, print and draw."""
    system, generator = SYSTEMS["drift"], np.random.default_rng(0)
    training, held_out = system.sample(2000, generator), system.sample(1000, generator)
    settings = DynamicsSettings(hidden_sizes=(48, 48), steps=2000, validate_every=500)
    dynamics = train_dynamics(training, settings, seed=0).model
    problem = system.problem(dynamics, [])

    def plant(state: np.ndarray, control: np.ndarray) -> np.ndarray:
        return system.step(torch.from_numpy(state), torch.from_numpy(control)).numpy()

    certificate = ModelBiasCertificate.fit(dynamics, held_out, generator)
    print(certificate.lipschitz)
    solutions = solve_batch(problem, system.initial_states(60, generator), *PLANNER, generator=generator)
    plans = [solution.trajectory for solution in solutions]
    runs = [solution.resimulate(plant).trajectory for solution in solutions]
    certificate = certificate.calibrate(plans, runs, confidence=0.9)
    print(f"factors from {len(plans)} plans: {certificate.calibration}")

    start = system.initial_states(1, generator)
    (solution,) = solve_batch(problem, start, *PLANNER, certificate=certificate, generator=generator)
    check = solution.resimulate(plant).certificate
    if check is None:
        raise SystemExit("The solution carries no certificate.")
    radius, gap = check.certificate.tube[-1], check.gap[-1]
    print(f"with 90 % confidence the point ends within ±{radius[0]:.3f}, ±{radius[1]:.3f} of the plan")
    print(f"it ended {gap[0]:+.3f}, {gap[1]:+.3f} from it; largest ratio of error to bound {check.error_ratio:.2f}")
    figure = plot_certificate(check)
    print(f"wrote {save_figure(figure, Path('runs/examples/certify_a_plan.png'))}")


if __name__ == "__main__":
    main()
