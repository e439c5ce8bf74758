"""From a robot's own log to control: a table of times, states and torques, a learned model, MPC on the system itself.

The robot is Gymnasium's pendulum, its log thirty seconds under random torques, some samples lost. The torque is too
weak to lift the pendulum at once: it has to swing, and the distance to data keeps plans to what the log has shown.
"""

from pathlib import Path

import gymnasium
import numpy as np
from torch import Tensor

from trajopt_sgp.data import read_recordings, transitions_from_recordings
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.learning import DynamicsSettings, train_dynamics
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.solvers import Ipopt
from trajopt_sgp.uncertainty import DataDistance, ExactSmoothedDistance
from trajopt_sgp.viz import plot_mpc, save_figure

LOG, NAMES, STEP, STEPS = Path("runs/examples/pendulum.csv"), ["cosine", "sine", "speed"], 0.05, 80


def record(runs: int = 6, samples: int = 100) -> None:
    """Log the pendulum under torques that change every few steps; one sample in two hundred is lost."""
    generator, environment = np.random.default_rng(0), gymnasium.make("Pendulum-v1")
    lines = ["run,time,cosine,sine,speed,torque,mode"]
    for run in range(runs):
        state, _ = environment.reset(seed=run)
        torques = generator.uniform(-2.0, 2.0, (samples // 4, 1)).astype(np.float32).repeat(4, axis=0)
        for sample, torque in enumerate(torques):
            if generator.random() > 0.005:
                numbers = ",".join(f"{value:.6f}" for value in (sample * STEP, *state, *torque))
                lines.append(f"{run},{numbers},manual")
            state, *_ = environment.step(torque)
    environment.close()
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text("\n".join(lines) + "\n", encoding="utf-8")


def away(state: Tensor) -> Tensor:
    """Return how far the pendulum is from standing still upright, where cosine is 1."""
    return 1.0 - state[..., 0] + 0.05 * state[..., 2].square()


def control(problem: OptimalControlProblem) -> tuple[np.ndarray, np.ndarray]:
    """Return states and torques of four seconds of MPC on the pendulum, from hanging still."""
    controller = MPC(problem, DirectTranscription(), Ipopt(tolerance=1e-4))
    environment = gymnasium.make("Pendulum-v1")
    environment.reset(seed=0)
    environment.unwrapped.state = np.array([np.pi, 0.0])
    states, torques = [problem.start], []
    for _ in range(STEPS):
        torques.append(np.asarray(controller.step(states[-1])))
        states.append(environment.step(torques[-1])[0])
    environment.close()
    return np.array(states), np.array(torques)


def main() -> None:
    """Record, import, learn, control, draw."""
    record()
    recordings = read_recordings(LOG, NAMES, ["torque"], time="time", run="run")
    data = transitions_from_recordings(recordings, "lab/pendulum-v0", control_bounds=(-2.0, 2.0))
    print(f"{len(recordings)} recordings, {len(data)} transitions in {data.dataset.episodes} stretches without a gap")
    problem = OptimalControlProblem(
        dynamics=train_dynamics(data, DynamicsSettings(hidden_sizes=(64, 64), steps=3000)).model,
        horizon=40,
        time_step=STEP,
        initial_state=[-1.0, 0.0, 0.0],
        stage_costs=[
            lambda x, u: away(x) + 1e-3 * u.square().sum(-1),
            DataDistance(ExactSmoothedDistance(data), weight=1.0, sigma=0.1),
        ],
        terminal_costs=[lambda x: 20.0 * away(x)],
        control_bounds=(-2.0, 2.0),
    )
    states, torques = control(problem)
    print("cosine every second:", *(f"{cosine:+.2f}" for cosine in states[::20, 0]))
    print(f"upright and still for the last second: {bool((states[-20:, 0] > 0.9).all())}")
    figure = plot_mpc(STEP * np.arange(STEPS + 1), states[None], torques[None], problem=problem)
    print(f"wrote {save_figure(figure, LOG.with_name('own_recordings.png'))}")


if __name__ == "__main__":
    main()
