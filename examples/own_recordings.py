"""From a robot's own log to control: tables of times, states and controls, a learned model, MPC on the system itself.

The robot is Gymnasium's pendulum. Its runs, under random torques, are logged to a table as any logger would, some
samples lost. The torque is too weak to lift the pendulum at once: the plan swings it up, within the data.
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
from trajopt_sgp.viz import plot_solution, save_figure

FOLDER, STEP = Path("runs/examples"), 0.05


def record(file: Path, runs: int = 60, samples: int = 100) -> None:
    """Log the pendulum under torques that change every few steps; one sample in two hundred is lost."""
    generator, environment = np.random.default_rng(0), gymnasium.make("Pendulum-v1")
    lines = ["run,time,cosine,sine,speed,torque,mode"]
    for run in range(runs):
        state, _ = environment.reset(seed=run)
        for sample in range(samples):
            torque = generator.uniform(-2.0, 2.0, 1).astype(np.float32) if sample % 4 == 0 else torque
            if generator.random() > 0.005:
                lines.append(f"{run},{sample * STEP:.3f},{','.join(f'{x:.6f}' for x in (*state, *torque))},manual")
            state, *_ = environment.step(torque)
    environment.close()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def away(state: Tensor) -> Tensor:
    """Return how far the pendulum is from standing still upright, where cosine is 1."""
    return 1.0 - state[..., 0] + 0.05 * state[..., 2].square()


def main() -> None:
    """Record, import, learn, control, draw."""
    record(FOLDER / "pendulum.csv")
    recordings = read_recordings(FOLDER / "pendulum.csv", ["cosine", "sine", "speed"], ["torque"], "time", "run")
    data = transitions_from_recordings(recordings, "lab/pendulum-v0", control_bounds=(-2.0, 2.0))
    print(f"{len(recordings)} recordings, {len(data)} transitions in {data.dataset.episodes} stretches without a gap")
    dynamics = train_dynamics(data, DynamicsSettings(hidden_sizes=(64, 64), steps=5000)).model
    problem = OptimalControlProblem(
        dynamics=dynamics,
        horizon=40,
        time_step=STEP,
        initial_state=[-1.0, 0.0, 0.0],
        stage_costs=[
            lambda x, u: away(x) + 1e-3 * u.square().sum(-1),
            DataDistance(ExactSmoothedDistance(data), weight=0.1, sigma=0.2),
        ],
        terminal_costs=[lambda x: 20.0 * away(x)],
        control_bounds=(-2.0, 2.0),
        state_names=["cosine", "sine", "speed"],
        control_names=["torque"],
        name="pendulum, first plan",
    )
    controller = MPC(problem=problem, formulation=DirectTranscription(), solver=Ipopt(tolerance=1e-4))
    environment = gymnasium.make("Pendulum-v1")
    environment.reset(seed=0)
    environment.unwrapped.state = np.array([np.pi, 0.0])
    state = np.array([-1.0, 0.0, 0.0])
    for step in range(80):
        if step % 20 == 0:
            print(f"{STEP * step:.1f} s: cosine {state[0]:+.3f}, speed {state[2]:+.2f} rad/s")
        state, *_ = environment.step(np.asarray(controller.step(state)))
    environment.close()
    print(f"at the end: cosine {state[0]:+.3f}, speed {state[2]:+.2f} rad/s")
    print(f"step: median {controller.statistics()['step_ms_p50']:.0f} ms")
    print(f"wrote {save_figure(plot_solution(controller.solutions[0]), FOLDER / 'own_recordings.png')}")


if __name__ == "__main__":
    main()
