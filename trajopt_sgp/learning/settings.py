"""How each model is built and trained."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from trajopt_sgp.errors import OptionError
from trajopt_sgp.learning.noise import NOISES, WEIGHTINGS
from trajopt_sgp.models import ACTIVATIONS, ARCHITECTURES, IMAGE_ARCHITECTURES
from trajopt_sgp.models.preconditioning import check_sigma_range, noise_levels

Settings = TypeVar("Settings", bound="TrainingSettings")

SCHEDULES = ("constant", "cosine")
"""Learning-rate schedules by name."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What the settings of all models have in common. The budget is counted in steps, whatever the dataset's size."""

    needs_rewards: ClassVar[bool] = False
    """Whether the model is learned from rewards."""

    hidden_sizes: tuple[int, ...] = (128, 128, 128)
    """Width of each hidden layer."""
    activation: str = "silu"
    """A name from `trajopt_sgp.models.ACTIVATIONS`."""
    steps: int = 4000
    """Largest number of optimiser steps.

    A run in a folder goes on if it is called again with more of them. A `cosine` schedule and weight decay are then
    those of the larger number: the learning rate is higher again than at the end, and the result is not, bit for bit,
    that of a run which had so many steps from the start.
    """
    batch_size: int = 512
    """Transitions per step; the whole training set if that is smaller."""
    learning_rate: float = 2e-3
    """Of AdamW, at its largest."""
    schedule: str = "constant"
    """`constant`, or `cosine`: falls to zero over all steps."""
    weight_decay: float = 0.0
    """Times the learning rate, the share of every weight taken off per step (Loshchilov and Hutter 2019).

    It rises linearly from zero over the first half of the steps.
    """
    warmup_steps: int = 100
    """The learning rate rises linearly from zero over these first steps."""
    ema_decay: float = 0.999
    """Decay per step of the moving average of the weights; the average is what is validated and returned."""
    validation_fraction: float = 0.05
    """Share of the transitions held out for validation, by whole episodes; of a single episode, its end."""
    validate_every: int = 250
    """Steps between validations; metrics and checkpoints are written then, and only then can training stop."""
    patience: int = 0
    """Stop when no validation loss was as good as the lowest for so many steps; 0: never."""
    validation_tolerance: float = 0.0
    """Relative excess over the lowest validation loss that is as good; the last weights as good are returned."""
    threads: int = 1
    """PyTorch threads; another number may change the last digits."""

    def __post_init__(self) -> None:
        self._make_tuple("hidden_sizes", "a list of the widths of the layers, such as (128, 128)")
        self._require("hidden_sizes", all(size >= 1 for size in self.hidden_sizes), "widths of at least 1")
        self._require("activation", self.activation in ACTIVATIONS, f"one of {sorted(ACTIVATIONS)}")
        for name in ("steps", "batch_size", "validate_every", "threads"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_steps", "patience"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        self._require("learning_rate", 0.0 < self.learning_rate < float("inf"), "positive")
        self._require("weight_decay", 0.0 <= self.weight_decay < float("inf"), "finite and not negative")
        self._require("validation_tolerance", 0.0 <= self.validation_tolerance < 1.0, "in [0, 1)")
        self._require("ema_decay", 0.0 <= self.ema_decay < 1.0, "in [0, 1)")
        self._require("validation_fraction", 0.0 < self.validation_fraction < 1.0, "between 0 and 1")
        self._require("schedule", self.schedule in SCHEDULES, f"one of {list(SCHEDULES)}")

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def _make_tuple(self, name: str, rule: str) -> None:
        value = getattr(self, name)
        self._require(name, isinstance(value, Iterable) and not isinstance(value, str), rule)
        object.__setattr__(self, name, tuple(value))

    def _require(self, name: str, valid: bool, rule: str) -> None:
        if not valid:
            raise OptionError(f"{type(self).__name__}: {name} = {getattr(self, name)!r} must be {rule}.")


@dataclass(frozen=True, kw_only=True)
class DynamicsSettings(TrainingSettings):
    """Settings of `train_dynamics`."""

    steps: int = 12_000
    batch_size: int = 256
    learning_rate: float = 3e-3
    schedule: str = "cosine"
    ema_decay: float = 0.995
    validate_every: int = 500
    rollout_steps: int = 1
    """Steps of the rollouts whose error is the loss, fewer where an episode ends before; 1: single steps. A step of the
    optimiser takes as many times as long."""
    rollout_decay: float = 1.0
    """Weight of the error of a step in a rollout, as a share of that of the step before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("rollout_steps", self.rollout_steps >= 1, "at least 1")
        self._require("rollout_decay", 0.0 < self.rollout_decay <= 1.0, "above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class EnsembleSettings(DynamicsSettings):
    """Settings of `train_ensemble`."""

    members: int = 6
    """Number of members K."""
    bootstrap: bool = True
    """Whether each member learns from a sample of its own, drawn with replacement; else from all, in its own order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("members", self.members >= 2, "at least 2")


@dataclass(frozen=True, kw_only=True)
class LearnedDistanceSettings(TrainingSettings):
    """Settings of `train_learned_distance`. The recipe of Suh et al. 2023 is `sampling="uniform"`, `margin=0.0`."""

    steps: int = 8000
    learning_rate: float = 7e-3
    schedule: str = "cosine"
    ema_decay: float = 0.995
    validate_every: int = 500
    sigma: float = 0.1
    """Noise level of the distance that is learned, in normalised units."""
    sampling: str = "mixture"
    """Where it is learned: "uniform", in the box of the data, or "mixture", half there and half beside the data."""
    margin: float = 0.25
    """By how much the box is larger than the data on every side, in normalised units."""
    perturbations: tuple[float, float] = (0.02, 1.0)
    """Smallest and largest noise added to data in a mixture, in normalised units, its logarithm uniform."""
    pool: int = 65_536
    """How many points are drawn, with their exact distances, before training begins."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._make_tuple("perturbations", "two ascending positive numbers")
        self._require("sampling", self.sampling in ("mixture", "uniform"), 'one of "mixture", "uniform"')
        self._require("margin", 0.0 <= self.margin < float("inf"), "finite and not negative")
        self._require("pool", self.pool >= 2, "at least 2")
        self._require("sigma", 0.0 < self.sigma < float("inf"), "positive")
        low, high = self.perturbations
        self._require("perturbations", 0.0 < low <= high < float("inf"), "two ascending positive numbers")


@dataclass(frozen=True, kw_only=True)
class DenoiserSettings(TrainingSettings):
    """What the settings of score and energy networks have in common."""

    architectures: ClassVar[tuple[str, ...]] = ARCHITECTURES
    """Names from which `architecture` is chosen."""

    learning_rate: float = 5e-3
    schedule: str = "cosine"
    # few held-out episodes: smaller differences are chance, and the last weights generalise better
    validation_tolerance: float = 0.002
    sigma_range: tuple[float, float] = (0.02, 0.6)
    """Smallest and largest noise level, in normalised units; equal for a network of a single level."""
    architecture: str = "mlp"
    """A name from `trajopt_sgp.models.ARCHITECTURES`; all but `mlp` need hidden layers of one width."""
    noise: str = "log_uniform"
    """Distribution of sigma in training: `log_uniform`, `log_normal` (EDM), or of `levels` one for each data point
    (`sampled_level`) or all (`every_level`)."""
    weighting: str = "edm"
    """How errors at each sigma count: `edm`, all levels the same; `sigma2`, sigma^2 times the error of the score."""
    levels: tuple[float, ...] = ()
    """Noise levels of `level_embedding`, `sampled_level` and `every_level`; default: ten with equal ratios."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._make_tuple("sigma_range", "two noise levels, the same twice for a single one, such as (0.1, 0.1)")
        self._make_tuple("levels", "a list of noise levels, such as (0.02, 0.1, 0.3)")
        choices = {"architecture": self.architectures, "noise": NOISES, "weighting": WEIGHTINGS}
        for name, valid in choices.items():
            self._require(name, getattr(self, name) in valid, f"one of {list(valid)}")
        check_sigma_range(self.sigma_range)
        noise_levels(self.levels, self.sigma_range)


@dataclass(frozen=True, kw_only=True)
class ScoreSettings(DenoiserSettings):
    """Settings of `train_score`; the defaults suit 10,000 transitions. More data deserve more steps."""

    steps: int = 4000
    weight_decay: float = 0.2


@dataclass(frozen=True, kw_only=True)
class EnergySettings(DenoiserSettings):
    """Settings of `train_energy`; the defaults suit 10,000 transitions. More data deserve more steps."""

    steps: int = 2500
    weight_decay: float = 0.3


@dataclass(frozen=True, kw_only=True)
class ImageDynamicsSettings(DynamicsSettings):
    """Settings of `train_image_dynamics`; `hidden_sizes` are channels at each resolution."""

    hidden_sizes: tuple[int, ...] = (16, 32, 64)
    steps: int = 6000
    batch_size: int = 32
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("rollout_steps", self.rollout_steps == 1, "1: pictures are learned step by step")


@dataclass(frozen=True, kw_only=True)
class ImageEnsembleSettings(ImageDynamicsSettings):
    """Settings of `train_image_ensemble`: small members, for all of them are asked at every step of a plan."""

    hidden_sizes: tuple[int, ...] = (8, 16, 32)
    steps: int = 1500
    batch_size: int = 16
    learning_rate: float = 4e-3
    schedule: str = "cosine"
    ema_decay: float = 0.99
    validation_fraction: float = 0.01
    members: int = 4
    """Number of members K."""
    transitions: int = 12_000
    """How many transitions each member learns from, at most, drawn for itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("members", self.members >= 2, "at least 2")
        self._require("transitions", self.transitions >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class ImageScoreSettings(DenoiserSettings):
    """Settings of `train_image_score`; `hidden_sizes` are channels at each resolution.

    A pixel of a dark picture is 0 and noise levels are in units of its range, 1. Two discs apart differ by a length of
    about 3: above sigma 1.5 no one can tell which of them a picture holds.
    """

    architectures: ClassVar[tuple[str, ...]] = IMAGE_ARCHITECTURES

    hidden_sizes: tuple[int, ...] = (16, 32, 64)
    architecture: str = "unet"
    steps: int = 6000
    batch_size: int = 32
    learning_rate: float = 2e-3
    sigma_range: tuple[float, float] = (0.02, 2.0)
    validate_every: int = 500


@dataclass(frozen=True, kw_only=True)
class CoarseScoreSettings(ScoreSettings):
    """Settings of `train_coarse_score`; noise levels are in half sides of a picture."""

    steps: int = 4000
    batch_size: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    validation_fraction: float = 0.01
    sigma_range: tuple[float, float] = (0.02, 0.5)


def chosen(kind: type[Settings], settings: Settings | None) -> Settings:
    """Return the settings given, or the defaults of their kind.

    Raises:
        OptionError: they are of another kind.
    """
    if settings is None:
        return kind()
    if not isinstance(settings, kind):
        raise OptionError(f"settings = {settings!r}: this training takes {kind.__name__}(...).")
    return settings
