"""Data: Minari datasets in and out, transitions, normalisers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trajopt_sgp.data.d4rl_score import D4RL_LEVELS as D4RL_LEVELS
from trajopt_sgp.data.d4rl_score import D4RL_TASKS as D4RL_TASKS
from trajopt_sgp.data.d4rl_score import d4rl_robot as d4rl_robot
from trajopt_sgp.data.d4rl_score import d4rl_score as d4rl_score
from trajopt_sgp.data.d4rl_score import is_d4rl_robot as is_d4rl_robot
from trajopt_sgp.data.dataset_info import DatasetInfo as DatasetInfo
from trajopt_sgp.data.dataset_info import describe_dataset as describe_dataset
from trajopt_sgp.data.dataset_info import hash_arrays as hash_arrays
from trajopt_sgp.data.normalizer import Normalizer as Normalizer
from trajopt_sgp.data.points import points_as_transitions as points_as_transitions
from trajopt_sgp.data.recordings import Recording as Recording
from trajopt_sgp.data.recordings import median_time_step as median_time_step
from trajopt_sgp.data.recordings import transitions_from_recordings as transitions_from_recordings
from trajopt_sgp.data.transitions import Transitions as Transitions
from trajopt_sgp.data.triples import as_triples as as_triples
from trajopt_sgp.data.triples import describe_triples as describe_triples
from trajopt_sgp.data.triples import triple_normalizer as triple_normalizer
from trajopt_sgp.data.wrapped_angles import nearest_turn as nearest_turn

if TYPE_CHECKING:
    from trajopt_sgp.data.collect import collect_random_transitions as collect_random_transitions
    from trajopt_sgp.data.d4rl_file import read_d4rl_file as read_d4rl_file
    from trajopt_sgp.data.image_transitions import ImageTransitions as ImageTransitions
    from trajopt_sgp.data.image_transitions import to_bytes as to_bytes
    from trajopt_sgp.data.minari_images import load_image_transitions as load_image_transitions
    from trajopt_sgp.data.minari_io import load_transitions as load_transitions
    from trajopt_sgp.data.minari_io import local_dataset_ids as local_dataset_ids
    from trajopt_sgp.data.minari_transitions import write_transitions as write_transitions
    from trajopt_sgp.data.minari_write import write_minari_dataset as write_minari_dataset
    from trajopt_sgp.data.recording_files import read_recordings as read_recordings

_FILES = {
    "collect_random_transitions": "collect",
    "read_d4rl_file": "d4rl_file",
    "ImageTransitions": "image_transitions",
    "load_image_transitions": "minari_images",
    "to_bytes": "image_transitions",
    "load_transitions": "minari_io",
    "local_dataset_ids": "minari_io",
    "write_minari_dataset": "minari_write",
    "write_transitions": "minari_transitions",
    "read_recordings": "recording_files",
}
"""Names by the module that has them, loaded when they are used: Minari, Gymnasium and HDF5 take a tenth of a second."""


def __dir__() -> list[str]:
    return sorted({*globals(), *_FILES})


def __getattr__(name: str) -> Any:
    if name == "__all__":  # asked for by `from trajopt_sgp.data import *`
        return [public for public in __dir__() if not public.startswith("_")]
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
