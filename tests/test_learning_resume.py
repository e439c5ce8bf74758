"""Killed runs resume to the bytes of an undisturbed run; other runs are refused."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.synthetic import linear_transitions
from trajopt_sgp.errors import IncompatibleError, ModelFileError
from trajopt_sgp.learning import EnergySettings, train_energy, train_score
from trajopt_sgp.learning.state import Record
from trajopt_sgp.models.tensor_file import read_tensors, write_tensors

SETTINGS = EnergySettings(steps=400, hidden_sizes=(32, 32), batch_size=64, validate_every=7)
TRANSITIONS = linear_transitions(300, 0)

# The subprocess: this very file, run as a script with the folder as its argument.
_FILES = ("model.safetensors", "metrics.jsonl")


def train(folder: Path, settings: EnergySettings = SETTINGS, seed: int = 0) -> None:
    train_energy(TRANSITIONS, settings, seed, folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(folder)
    return folder


def train_until_validation(folder: Path, settings: EnergySettings) -> bool:
    """Train until the next validation, or to the end; return whether it was interrupted."""

    class Interrupt(Exception):
        pass

    def interrupt(record: Record) -> None:
        raise Interrupt

    try:
        train_energy(TRANSITIONS, settings, 0, folder, progress=interrupt)
    except Interrupt:
        return True
    return False


def start(folder: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[1]
    return subprocess.Popen([sys.executable, "-m", "tests.test_learning_resume", str(folder)], cwd=root)


def step_of(checkpoint: Path) -> int:
    return int(read_tensors(checkpoint)[0]["step"]) if checkpoint.exists() else 0


def test_killed_again_and_again_a_run_ends_with_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    steps = [0]
    # seconds from the first sign of progress to the kill: at any point of steps, validation and writing
    for delay in (0.0, 0.043, 0.111):
        process = start(tmp_path)
        while step_of(checkpoint) == steps[-1] and process.poll() is None:
            time.sleep(0.002)
        time.sleep(delay)
        process.kill()
        assert process.wait() == -9, "it ended before it was killed"
        steps.append(step_of(checkpoint))
        assert not (tmp_path / "model.safetensors").exists()
    assert 0 < steps[1] < steps[2] < steps[3] < SETTINGS.steps
    last = start(tmp_path)
    assert last.wait() == 0
    for name in _FILES:
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes(), name


@pytest.mark.parametrize("validate_every", [1, 4, 5, 9])
def test_resuming_is_exact_at_every_position_of_an_epoch(validate_every: int, tmp_path: Path) -> None:
    """285 training transitions make 4 batches of 64: an interrupt falls within an epoch, and between two."""
    settings = replace(SETTINGS, steps=18, validate_every=validate_every)
    train(tmp_path / "whole", settings)

    interrupts = 0
    while not (tmp_path / "parts" / "model.safetensors").exists():
        interrupts += train_until_validation(tmp_path / "parts", settings)
    assert interrupts == -(-18 // validate_every)
    for name in _FILES:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones(undisturbed: Path, tmp_path: Path) -> None:
    train(tmp_path / "again")
    train(tmp_path / "other", seed=1)
    expected = (undisturbed / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == expected
    assert (tmp_path / "other" / "model.safetensors").read_bytes() != expected


def test_a_finished_run_is_returned_as_it_is(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=20)
    first = train_energy(TRANSITIONS, settings, 0, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    metrics = (tmp_path / "metrics.jsonl").read_bytes()
    again = train_energy(TRANSITIONS, settings, 0, tmp_path)
    assert (first.history, first.seconds, first.best_step) == (again.history, again.seconds, again.best_step)
    assert (tmp_path / "model.safetensors").exists()
    assert (tmp_path / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.parametrize("interrupted", [True, False])
def test_more_steps_at_a_constant_learning_rate_are_those_of_a_run_that_had_them_from_the_start(
    interrupted: bool, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, steps=14, schedule="constant", weight_decay=0.0)
    longer = replace(settings, steps=28)
    train(tmp_path / "whole", longer)
    if interrupted:
        assert train_until_validation(tmp_path / "parts", settings)
    else:
        train(tmp_path / "parts", settings)
    train(tmp_path / "parts", longer)
    for name in _FILES:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_more_steps_stretch_a_schedule_and_come_to_the_same_bytes_again(tmp_path: Path) -> None:
    first, longer = replace(SETTINGS, steps=14), replace(SETTINGS, steps=28)
    for name in ("once", "again"):
        train(tmp_path / name, first)
    train(tmp_path / "once", longer)
    assert train_until_validation(tmp_path / "again", longer)
    result = train_energy(TRANSITIONS, longer, 0, tmp_path / "again")
    for name in _FILES:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "once" / name).read_bytes(), name
    rates = {record["step"]: record["learning_rate"] for record in result.history}
    assert list(rates) == [7, 14, 21, 28]
    # the schedule of 28 steps from step 14 on
    assert rates[21] == train_energy(TRANSITIONS, longer).history[2]["learning_rate"]
    with pytest.raises(IncompatibleError, match="steps = 28, not 14"):
        train(tmp_path / "once", first)


def test_runs_with_other_arguments_are_refused(undisturbed: Path) -> None:
    before = (undisturbed / "checkpoint.safetensors").read_bytes()
    with pytest.raises(IncompatibleError, match="steps = 400, not 399: it cannot be resumed"):
        train(undisturbed, replace(SETTINGS, steps=399))
    with pytest.raises(IncompatibleError, match="seed = 0, not 1"):
        train(undisturbed, seed=1)
    with pytest.raises(IncompatibleError, match="model = 'EnergyNetwork', not 'ScoreNetwork'"):
        train_score(TRANSITIONS, folder=undisturbed)
    other = linear_transitions(300, 1)
    named = replace(other, dataset=replace(other.dataset, id="lab/other-v0"))
    hashes = TRANSITIONS.dataset.hash[:12], other.dataset.hash[:12]
    ids = r"'test/synthetic-v0' \(hash {}\), not 'lab/other-v0' \(hash {}\): it".format(*hashes)
    with pytest.raises(IncompatibleError, match=f"dataset = {ids}"):
        train_energy(named, SETTINGS, 0, undisturbed)
    assert (undisturbed / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize("change", ["drop", "add"])
def test_runs_of_another_version_are_refused_as_such(change: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=7)
    train(tmp_path, settings)
    checkpoint = tmp_path / "checkpoint.safetensors"
    header, tensors = read_tensors(checkpoint)
    header.pop("checksum")
    if change == "drop":
        del header["identity"]["training_data"]
    else:
        header["identity"]["cooling"] = 3
    write_tensors(checkpoint, header, tensors)
    name = {"drop": "training_data", "add": "cooling"}[change]
    with pytest.raises(
        IncompatibleError, match=f"another version of this library; one of the two does not tell {name}"
    ):
        train(tmp_path, settings)
    with pytest.raises(IncompatibleError, match="seed = 0, not 1"):
        train(tmp_path, settings, seed=1)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=7)
    train(tmp_path, settings)
    checkpoint = tmp_path / "checkpoint.safetensors"
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(ModelFileError, match="checkpoint.safetensors is damaged"):
        train(tmp_path, settings)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
