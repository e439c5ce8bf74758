"""Planning on D4RL's tasks by transcription: many steps of a robot as one nonlinear program for Ipopt."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.learning import MODEL_FILE
from trajopt_sgp.models import BehaviourClone, EnsembleDynamics, OutcomeModel, ScoreNetwork, load_model_as
from trajopt_sgp.problem import OptimalControlProblem, Solution, StageCost, Trajectory
from trajopt_sgp.solvers import Ipopt, solve
from trajopt_sgp.studies.d4rl.environments import make_environment
from trajopt_sgp.studies.d4rl.methods import clone_controller, load_clone
from trajopt_sgp.studies.d4rl.play import Controller
from trajopt_sgp.studies.runner import CellContext
from trajopt_sgp.uncertainty import DataDistance


class MeanStep(nn.Module):
    """The prediction of an ensemble, in operations that structured derivatives know."""

    def __init__(self, ensemble: EnsembleDynamics) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.state_size, self.control_size = ensemble.state_size, ensemble.control_size

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        """Return the next states `(..., n)`."""
        return self.ensemble.mean_step(state, control)


class Loss(nn.Module):
    """What is not earned: the negative reward of an outcome model."""

    def __init__(self, outcome: OutcomeModel) -> None:
        super().__init__()
        self.outcome = outcome

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        """Return costs `(...)`."""
        reward: Tensor = self.outcome(state, control)[0]
        return -reward


def transcribe(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Plan from one state as a nonlinear program; play plan and clone blindly, and the clone with sight."""
    folder, horizon = context.inputs["models"].folder, settings["horizon"]
    clone, step = load_clone(folder), MeanStep(load_model_as(EnsembleDynamics, folder / "ensemble" / MODEL_FILE))
    loss = Loss(load_model_as(OutcomeModel, folder / "outcome" / MODEL_FILE))
    score = load_model_as(ScoreNetwork, folder / "score" / MODEL_FILE)
    policy, robot = clone_controller(clone), Stage(settings["task"], settings["seed"])
    robot.warm_up(policy, settings["warm_up"])
    guess = imagine(step, clone, robot.start, horizon)
    problem = OptimalControlProblem(
        dynamics=step,
        horizon=horizon,
        initial_state=robot.start,
        stage_costs=[
            StageCost(loss, name="loss"),
            DataDistance(score, weight=settings["beta"], sigma=settings["sigma"]),
        ],
        control_bounds=(clone.control_low.numpy(), clone.control_high.numpy()),
    )
    options = {name: settings[name] for name in ("tolerance", "max_iterations", "hessian")}
    solution = solve(problem, DirectTranscription(), Ipopt(**options), guess)
    plan = solution.trajectory
    return {
        **_account(solution),
        "predicted": {"plan": _reward(loss, plan), "clone": _reward(loss, guess)},
        "true": {
            "plan": robot.play(plan.controls),
            "clone": robot.play(guess.controls),
            "clone with sight": robot.play_policy(policy, horizon),
        },
    }


@torch.no_grad()
def imagine(step: MeanStep, clone: BehaviourClone, start: FloatArray, horizon: int) -> Trajectory:
    """Return what the clone does in the model's eyes."""
    states, controls = [torch.as_tensor(start, dtype=torch.float32)], []
    for _ in range(horizon):
        controls.append(clone(states[-1]).clamp(clone.control_low, clone.control_high))
        states.append(step(states[-1], controls[-1]))
    return Trajectory(torch.stack(states).double().numpy(), torch.stack(controls).double().numpy())


class Stage:
    """An environment that can be played again and again from a state that a policy has led it to.

    Args:
        task: of D4RL.
        seed: of its reset.
    """

    def __init__(self, task: str, seed: int) -> None:
        self._task, self._seed = task, seed
        self._lead: list[FloatArray] = []
        self.start = self._reset()[1]

    def warm_up(self, policy: Controller, steps: int) -> None:
        """Let a policy act for so many steps more before every play."""
        environment, state = self._reset()
        for _ in range(steps):
            self._lead.append(policy(state[None])[0])
            state = environment.step(self._lead[-1])[0]
        self.start = state

    def play(self, controls: FloatArray) -> float:
        """Return what controls `(N, m)` earn, whatever they lead to."""
        environment, _ = self._reset()
        return sum(float(environment.step(control)[1]) for control in controls)

    def play_policy(self, policy: Controller, steps: int) -> float:
        """Return what a policy earns in so many steps."""
        environment, state = self._reset()
        earned = 0.0
        for _ in range(steps):
            state, reward, *_ = environment.step(policy(state[None])[0])
            earned += float(reward)
        return earned

    def _reset(self) -> tuple[gymnasium.Env[Any, Any], FloatArray]:
        environment = make_environment(self._task)
        state, _ = environment.reset(seed=self._seed)
        for control in self._lead:
            state = environment.step(control)[0]
        return environment, state


def _reward(loss: Loss, plan: Trajectory) -> float:
    dtype = next(loss.parameters()).dtype
    states, controls = (torch.as_tensor(part, dtype=dtype) for part in (plan.states[:-1], plan.controls))
    with torch.no_grad():
        return -float(loss(states, controls).sum())


def _account(solution: Solution) -> dict[str, Any]:
    knots = solution.trajectory
    sizes = knots.states.shape[-1], knots.controls.shape[-1]
    return {
        "status": solution.status.name,
        "variables": len(solution.variables),
        "equalities": knots.horizon * sizes[0],
        "iterations": solution.iterations,
        "times": dict(solution.seconds),
        "violation": solution.max_violation,
        "cost_terms": dict(solution.cost_terms),
        "backends": solution.transcription.describe_backends(),
    }
