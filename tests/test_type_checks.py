"""What annotations say is checked under test: types in every layer, shapes where they are told."""

from typing import Any

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from tests import type_checks
from trajopt_sgp.envs import cartpole_swing_up_cost
from trajopt_sgp.errors import TrajoptError
from trajopt_sgp.formulations import DirectTranscription


def test_another_type_is_refused_unless_checks_are_suspended() -> None:
    settings: dict[str, Any] = {"integrator": "foo"}
    with type_checks.suspended(), pytest.raises(TrajoptError, match="foo"):
        DirectTranscription(**settings)
    with pytest.raises(BeartypeCallHintViolation):
        DirectTranscription(**settings)


def test_shapes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(TypeCheckError):
        cartpole_swing_up_cost(torch.tensor(0.0))
