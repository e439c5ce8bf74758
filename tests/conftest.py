"""Fixtures for all tests. No test reads or writes outside a temporary folder, and none uses a global generator."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from tests import type_checks

type_checks.install()

# The same examples on every run, and no deadline: times belong into the benchmarks.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SEED = 20240817


@pytest.fixture(scope="session", autouse=True)
def minari_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty Minari root for the whole run, so that the user's own datasets are neither seen nor touched."""
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        yield root


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors on few cores: more threads are slower, and sums then depend on how the work is split."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def unchecked_types() -> Iterator[None]:
    """Let through what the annotations refuse under pytest alone, to see what a user is told of it."""
    with type_checks.suspended():
        yield


@pytest.fixture
def generator() -> torch.Generator:
    """A fresh torch generator with a fixed seed."""
    return torch.Generator().manual_seed(SEED)


@pytest.fixture
def rng() -> np.random.Generator:
    """A fresh NumPy generator with a fixed seed."""
    return np.random.default_rng(SEED)
