"""Settings of models learned from data with rewards."""

from dataclasses import dataclass
from typing import ClassVar

from trajopt_sgp.learning.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class OfflineSettings(TrainingSettings):
    """What the settings of these models have in common."""

    hidden_sizes: tuple[int, ...] = (128, 128)
    steps: int = 8000
    batch_size: int = 256
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    ema_decay: float = 0.995
    validate_every: int = 500


@dataclass(frozen=True, kw_only=True)
class OutcomeSettings(OfflineSettings):
    """Settings of `train_outcome`."""

    needs_rewards: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class BehaviourCloneSettings(OfflineSettings):
    """Settings of `train_behaviour_clone`."""


@dataclass(frozen=True, kw_only=True)
class ValueSettings(OfflineSettings):
    """Settings of `train_value`."""

    needs_rewards: ClassVar[bool] = True
    discount: float = 0.99
    """gamma, per step."""
    expectile: float = 0.7
    """tau: 0.5 values the behaviour in the data, towards 1 the best of it."""
    target_rate: float = 0.05
    """Share by which the targets follow in each step; a tenth of it needs ten times the steps to look as far ahead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("discount", 0.0 <= self.discount < 1.0, "in [0, 1)")
        self._require("expectile", 0.5 <= self.expectile < 1.0, "in [0.5, 1)")
        self._require("target_rate", 0.0 < self.target_rate <= 1.0, "in (0, 1]")
