"""Models of the pusher from files, whatever frame they were trained in."""

from pathlib import Path
from typing import Any, TypeVar

from trajopt_sgp.envs.pusher_dynamics import pusher_frame
from trajopt_sgp.envs.pusher_equations import CONTROL_SIZE, KEYPOINT_STATE_SIZE
from trajopt_sgp.errors import ModelFileError
from trajopt_sgp.models import FramedDenoiser, FramedDynamics, LearnedDynamics, ScoreNetwork
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.model_file import load_model_as
from trajopt_sgp.models.planar_frame import is_framed

Model = TypeVar("Model", bound=TransitionModel)


def load_push_models(dynamics: Path, score: Path | None) -> tuple[Any, Any | None]:
    """Return dynamics and score that take keypoints and pusher on the table; no score without a file.

    A model whose data were in the frame of the box is told by the name of its dataset, and wrapped.

    Raises:
        ModelFileError: a file is missing or damaged, holds another kind of model, or one of other sizes.
    """
    predict = _load(LearnedDynamics, dynamics)
    distance = None if score is None else _load(ScoreNetwork, score)
    return (
        FramedDynamics(predict, pusher_frame()) if is_framed(predict) else predict,
        FramedDenoiser(distance, pusher_frame()) if distance is not None and is_framed(distance) else distance,
    )


def _load(kind: type[Model], path: Path) -> Model:
    model = load_model_as(kind, path)
    sizes = model.state_size, model.control_size
    if sizes != (KEYPOINT_STATE_SIZE, CONTROL_SIZE):
        raise ModelFileError(
            f"{path} holds a model of {sizes[0]} coordinates and {sizes[1]} controls; the pusher has "
            f"{KEYPOINT_STATE_SIZE}, five keypoints and the pusher, and {CONTROL_SIZE}."
        )
    return model
