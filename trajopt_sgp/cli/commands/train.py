"""`trajopt-sgp train`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from trajopt_sgp.cli.parameters import JsonOutput, Seed, examples
from trajopt_sgp.cli.report import Report

EXAMPLES = examples(
    "trajopt-sgp train --dataset cartpole/random-v0 --folder runs/cartpole",
    "trajopt-sgp train --dataset cartpole/random-v0 --models energy --steps-energy 10000 --folder runs/longer",
    "trajopt-sgp train --dataset cartpole/random-v0 --models ensemble,learned-distance",
    "trajopt-sgp train --dataset sgp/hopper-medium-v0 --preset d4rl",
    "trajopt-sgp train --dataset D4RL/pointmaze/umaze-v2 --download",
)
_OPTIMISATION = "Network and optimisation (defaults are those of the preset)"


class TrainCommand(TyperCommand):
    """The command, whose help gives the defaults; they are read off the presets, and only when help is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from trajopt_sgp.cli.jobs.train_defaults import default_notes

        notes = default_notes()
        for option in self.params:
            told, end = getattr(option, "help", None) or "", notes.get(option.name or "", "")
            if not told.endswith(end):
                setattr(option, "help", told + end)  # noqa: B010
        super().format_help(ctx, formatter)


def _steps(of: str) -> Any:
    return _optimisation(f"Steps of {of}.")


def _optimisation(help_text: str) -> Any:
    return typer.Option(help=help_text, rich_help_panel=_OPTIMISATION)


def train(
    dataset: Annotated[str, typer.Option(help="Minari id of the dataset.")],
    download: Annotated[bool, typer.Option("--download", help="Fetch a missing dataset from the Minari hub.")] = False,
    preset: Annotated[
        str,
        typer.Option(
            help="Which models, how trained: default (dynamics, score and energy, as suit 10,000 transitions), or d4rl "
            "(ensemble, outcome, score, value and clone, as suit 100,000 of a robot with rewards)."
        ),
    ] = "default",
    models: Annotated[
        str | None,
        typer.Option(
            help="Which models, separated by commas: dynamics, score, energy, ensemble, learned-distance, outcome, "
            "value, clone.  [default: those of the preset]"
        ),
    ] = None,
    observation_key: Annotated[
        list[str] | None,
        typer.Option(help="For dict observations: an entry that belongs to the state; repeatable, in order."),
    ] = None,
    steps: Annotated[int | None, _steps("every model without an own option")] = None,
    steps_dynamics: Annotated[int | None, _steps("the dynamics")] = None,
    steps_score: Annotated[int | None, _steps("the score")] = None,
    steps_energy: Annotated[int | None, _steps("the energy")] = None,
    steps_ensemble: Annotated[int | None, _steps("the ensemble")] = None,
    steps_learned_distance: Annotated[int | None, _steps("the learned distance")] = None,
    rollout_steps: Annotated[
        int | None,
        _optimisation("Dynamics and ensemble learn from the error of rollouts of so many steps; 1: of single steps."),
    ] = None,
    rollout_decay: Annotated[
        float | None,
        _optimisation("Weight of a step of a rollout, as a share of that of the step before."),
    ] = None,
    hidden_sizes: Annotated[str | None, _optimisation("Layer widths, as 128,128,128.")] = None,
    batch_size: Annotated[int | None, _optimisation("Transitions per step.")] = None,
    learning_rate: Annotated[float | None, _optimisation("Of Adam, at its largest.")] = None,
    validate_every: Annotated[
        int | None,
        _optimisation("Steps between validations and checkpoints."),
    ] = None,
    patience: Annotated[
        int | None,
        _optimisation("Stop after so many steps without progress; 0: never."),
    ] = None,
    device: Annotated[str, _optimisation("PyTorch device.")] = "cpu",
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run: results and config.json; made if missing.  [default: runs/train/DATASET]"
        ),
    ] = None,
    seed: Seed = 0,
    json_output: JsonOutput = False,
) -> Report:
    """Train dynamics, score and energy networks on a Minari dataset, or other models by --preset and --models.

    Each model goes to its own subfolder, with checkpoint, metrics.jsonl and TensorBoard files. A run that was
    interrupted is resumed by the same command, to the same bytes, and with more steps a finished one goes on.
    """
    arguments = {**locals(), "folder": folder or Path("runs/train") / dataset}
    from trajopt_sgp.cli.jobs.train import TrainRequest, run_train

    return run_train(TrainRequest(**arguments))
