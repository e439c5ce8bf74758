"""A pendulum seen through its tip, controlled without a model: the energy of (x, u, x') takes the place of dynamics.

An energy network is trained on 20,000 sampled steps. With both ends given it plans from hanging to upright; from an
initial state alone it controls the environment. What the energy does not know shows in the one-step errors of the plan
against the true pendulum, and in how far from upright the controller settles.
"""

from pathlib import Path

import gymnasium
import numpy as np

from trajopt_sgp.data import as_triples, triple_normalizer
from trajopt_sgp.envs import PENDULUM_KEYPOINTS_ID, sample_pendulum_transitions
from trajopt_sgp.learning import EnergySettings, train_energy
from trajopt_sgp.solvers import Ipopt
from trajopt_sgp.studies.pendulum.control import UP, ControlSettings, score_controller
from trajopt_sgp.studies.pendulum.planning import BoundaryPlan, judge, plan_boundary
from trajopt_sgp.viz import plot_keypoint_control, save_figure


def main() -> None:
    """Train, plan, control, print and draw."""
    triples = as_triples(sample_pendulum_transitions(20_000, np.random.default_rng(0)))
    settings = EnergySettings(steps=1500, hidden_sizes=(64, 64), sigma_range=(0.02, 0.6), weight_decay=0.05)
    energy = train_energy(triples, settings, normalizer=triple_normalizer(triples, stretch=4.0)).model
    plan = judge(plan_boundary(energy, BoundaryPlan(sigma_stop=0.02), Ipopt(stages=4)))
    median, largest = plan["rate_defect_median"], plan["rate_defect_max"]
    print(f"plan: {plan['status']}; a step misses the true rate by {median:.2f} rad/s, {largest:.2f} at most")
    controller = score_controller(energy, ControlSettings(triple_sigma=0.02))
    environment = gymnasium.make(PENDULUM_KEYPOINTS_ID)
    state, _ = environment.reset(seed=0, options={"state": [np.pi, 0.0]})
    states, torques = [state], []
    for _ in range(60):
        torques.append(controller.step(state))
        state, *_ = environment.step(torques[-1])
        states.append(state)
    environment.close()
    heights = np.array(states)[:, 0]
    print(f"the tip is first up after {0.05 * int(np.argmax(heights > UP)):.2f} s")
    print(f"in the last second its height is {heights[-20:].min():.3f} m or more, of 0.5 m")
    print(f"median step {controller.statistics()['step_ms_p50']:.0f} ms")
    episodes = {"energy of (x, u, x')": {"states": np.array(states), "torques": np.array(torques)}}
    figure = plot_keypoint_control(episodes, time_step=0.05, up=UP)
    print(f"wrote {save_figure(figure, Path('runs/examples/pendulum_keypoints.png'))}")


if __name__ == "__main__":
    main()
