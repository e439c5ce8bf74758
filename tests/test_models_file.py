"""Model files: equal bytes for equal models, and a clear refusal of everything damaged or mismatched."""

import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.synthetic import linear_transitions
from trajopt_sgp.errors import ModelFileError, OptionError
from trajopt_sgp.files import write_atomically
from trajopt_sgp.learning import MODEL_FILE, DynamicsSettings, train_dynamics
from trajopt_sgp.models import (
    Calibration,
    EnergyNetwork,
    LearnedDynamics,
    ScoreNetwork,
    TransitionModel,
    fit_normalizer,
    load_model,
    load_model_as,
    save_model,
)
from trajopt_sgp.models.tensor_file import read_tensors, write_tensors
from trajopt_sgp.uncertainty import ModelBiasCertificate, save_certificate
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

TRANSITIONS = linear_transitions(60, 0)
KINDS: list[type[TransitionModel]] = [LearnedDynamics, ScoreNetwork, EnergyNetwork]

Header = dict[str, Any]


def make(kind: type[TransitionModel]) -> TransitionModel:
    options: dict[str, Any] = {"hidden_sizes": (4,), "generator": torch.Generator().manual_seed(7)}
    model = kind(TRANSITIONS.dataset, fit_normalizer(TRANSITIONS), **options)
    if isinstance(model, LearnedDynamics):
        model.set_step_statistics([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])
    if isinstance(model, EnergyNetwork):
        model.calibration = Calibration((0.02, 0.6), (1.0 / 3.0, -2.0))
    return model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(make(EnergyNetwork), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_comes_back_whole(kind: type[TransitionModel], dtype: torch.dtype, tmp_path: Path) -> None:
    model = make(kind).to(dtype)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_model(model, first)
    loaded = load_model_as(kind, first)
    save_model(loaded, second)
    assert second.read_bytes() == first.read_bytes()
    assert type(loaded) is kind
    assert (loaded.dataset, loaded.normalizer, loaded.architecture) == (
        model.dataset, model.normalizer, model.architecture
    )  # fmt: skip
    for (name, value), (other, back) in zip(model.named_buffers(), loaded.named_buffers(), strict=True):
        assert name == other
        assert torch.equal(value, back)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert getattr(loaded, "calibration", None) == getattr(model, "calibration", None)
    assert {path.name for path in tmp_path.iterdir()} == {"first.safetensors", "second.safetensors"}


def test_one_flipped_bit_anywhere_is_noticed(saved: Path, tmp_path: Path) -> None:
    content, damaged = saved.read_bytes(), tmp_path / "damaged"
    for position in range(len(content)):
        flipped = content[position] ^ (1 << position % 8)
        damaged.write_bytes(content[:position] + bytes([flipped]) + content[position + 1 :])
        with pytest.raises(ModelFileError, match="damaged"):
            load_model(damaged)


def test_a_file_cut_anywhere_is_noticed(saved: Path, tmp_path: Path) -> None:
    content, cut = saved.read_bytes(), tmp_path / "cut"
    for length in [*range(0, len(content), 7), len(content) - 1]:
        cut.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match="truncated"):
            load_model(cut)


def test_appended_bytes_are_noticed(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(ModelFileError, match="checksum"):
        load_model(saved)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file"):
        load_model(tmp_path / "nothing.safetensors")
    (tmp_path / "text").write_text("Not a model, and long enough to hold the length of a header.")
    with pytest.raises(ModelFileError, match="no file of this library: models and the like are safetensors files"):
        load_model(tmp_path / "text")
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_model(make(ScoreNetwork), tmp_path / "no folder" / "model.safetensors")


def test_the_folder_of_a_training_run_stands_for_its_model(saved: Path, tmp_path: Path) -> None:
    assert type(load_model(tmp_path)) is EnergyNetwork
    assert type(load_model_as(EnergyNetwork, str(tmp_path))) is EnergyNetwork
    above = tmp_path / "runs"
    for name in ("score", "dynamics", "logs"):
        (above / name).mkdir(parents=True)
    with pytest.raises(ModelFileError, match=r"runs is a folder without model.safetensors: a training run leaves it"):
        load_model(above)
    for name in ("score", "dynamics"):
        saved.with_name(MODEL_FILE).rename(above / name / MODEL_FILE)
        save_model(make(EnergyNetwork), saved)
    with pytest.raises(ModelFileError, match=r"give one of its folders dynamics, score\."):
        load_model(above)


def test_other_files_of_this_library_are_called_by_their_name(tmp_path: Path) -> None:
    dynamics = make(LearnedDynamics)
    assert isinstance(dynamics, LearnedDynamics)
    held_out = TRANSITIONS.select(np.arange(len(TRANSITIONS) - 1))
    certificate = ModelBiasCertificate.fit(dynamics, held_out, np.random.default_rng(0))
    save_certificate(certificate, tmp_path / "certificate.safetensors")
    with pytest.raises(ModelFileError, match="holds no model but the certificate of one: .*load_certificate"):
        load_model(tmp_path / "certificate.safetensors")
    train_dynamics(TRANSITIONS, DynamicsSettings(steps=2, hidden_sizes=(4,)), folder=tmp_path / "run")
    with pytest.raises(
        ModelFileError, match=r"checkpoint of a training run, whose model is model.safetensors beside it"
    ):
        load_model(tmp_path / "run/checkpoint.safetensors")


def _other_class(header: Header) -> None:
    header["class"] = "Oracle"


def _other_format(header: Header) -> None:
    header["format"] = 99


def _other_architecture(header: Header) -> None:
    header["architecture"]["hidden_sizes"] = [5]


def _unknown_option(header: Header) -> None:
    header["architecture"]["dropout"] = 0.1


def _no_dataset(header: Header) -> None:
    del header["dataset"]


def _other_normalizer(header: Header) -> None:
    header["normalizer"] |= fit_normalizer(linear_transitions(60, 1)).to_json()


def _other_dataset(header: Header) -> None:
    header["dataset"] = linear_transitions(60, 1).dataset.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_class, r"'Oracle'; known model classes are \['BehaviourClone'"),
        (_other_format, "format 99"),
        (_other_architecture, "size mismatch"),
        (_unknown_option, "dropout"),
        (_no_dataset, "dataset"),
        (_other_normalizer, "normalizer is not the one of dataset 'test/synthetic-v0'"),
        (_other_dataset, "normalizer is not the one of dataset"),
    ],
)
def test_headers_that_do_not_fit_are_refused(saved: Path, change: Callable[[Header], None], message: str) -> None:
    header, tensors = read_tensors(saved)
    change(header)
    header.pop("checksum")
    write_tensors(saved, header, tensors)
    with pytest.raises(ModelFileError, match=message):
        load_model(saved)


def test_a_model_of_another_class_is_refused(saved: Path) -> None:
    with pytest.raises(ModelFileError, match="holds a EnergyNetwork, not a ScoreNetwork"):
        load_model_as(ScoreNetwork, saved)


def test_a_device_that_is_not_there_is_no_fault_of_the_file(saved: Path) -> None:
    with pytest.raises(OptionError, match="device 'abacus' cannot be used: .*`trajopt-sgp info` lists devices"):
        load_model(saved, device="abacus")


def test_models_without_a_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="ExactSmoothedDistance cannot be saved"):
        save_model(ExactSmoothedDistance(TRANSITIONS), tmp_path / "exact")
    assert not any(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def disk_is_full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(ModelFileError, match="cannot be written: No space left"):
        save_model(make(ScoreNetwork), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    """Whoever reads finds one of the contents whole, and nothing is left beside."""
    path, contents = tmp_path / "shared", [bytes([i]) * 50_000 for i in range(2)]
    write_atomically(path, contents[0])

    def write(content: bytes) -> None:
        for _ in range(20):
            write_atomically(path, content)
            assert path.read_bytes() in contents

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, contents))
    assert [found.name for found in tmp_path.iterdir()] == ["shared"]


def test_what_a_killed_writer_left_is_removed_in_the_end(tmp_path: Path) -> None:
    for name, age in ((".file.1-aa.partial", 7200.0), (".file.2-bb.partial", 0.0)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    write_atomically(tmp_path / "file", b"whole")
    assert sorted(found.name for found in tmp_path.iterdir()) == [".file.2-bb.partial", "file"]


def test_numbers_of_numpy_are_kept_as_those_of_python(tmp_path: Path) -> None:
    write_tensors(tmp_path / "some.safetensors", {"width": np.int64(8), "rate": np.float32(0.5)}, {})
    header, _ = read_tensors(tmp_path / "some.safetensors")
    assert (header["width"], header["rate"]) == (8, 0.5)
    with pytest.raises(TypeError, match="has no place in JSON"):
        write_tensors(tmp_path / "other.safetensors", {"what": object()}, {})
    assert not (tmp_path / "other.safetensors").exists()
