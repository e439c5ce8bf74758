"""Reading Minari datasets of pictures."""

import minari
import numpy as np
from minari import MinariDataset

from trajopt_sgp.data.image_transitions import Bytes, ImageTransitions, make_image_transitions, to_bytes
from trajopt_sgp.data.minari_io import open_dataset
from trajopt_sgp.errors import DatasetError


def load_image_transitions(dataset_id: str) -> ImageTransitions:
    """Read every transition of a local Minari dataset of pictures, one episode at a time.

    Raises:
        DatasetError: the id is malformed or unknown, the files are damaged, or its spaces are not pictures `(p,)`.
        NotFiniteError: NaN or a pixel outside [0, 1].
    """
    dataset = open_dataset(dataset_id)
    shapes = dataset.observation_space.shape, dataset.action_space.shape
    if shapes[0] is None or shapes[0] != shapes[1] or len(shapes[0]) != 1:
        raise DatasetError(f"Dataset {dataset_id!r} has spaces of shapes {shapes}: pictures have one shape (p,).")
    parts = [_read(episode) for episode in dataset.iterate_episodes()]
    states, controls, after = (np.concatenate(part) for part in zip(*parts, strict=True))
    episodes = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    return make_image_transitions(
        states, controls, after, episodes, dataset_id, _environment(dataset), str(dataset.minari_version)
    )


def _read(episode: minari.EpisodeData) -> tuple[Bytes, Bytes, Bytes]:
    observations = to_bytes(episode.observations)
    return observations[:-1], to_bytes(episode.actions), observations[1:]


def _environment(dataset: MinariDataset) -> str | None:
    return dataset.env_spec.id if dataset.env_spec else None
