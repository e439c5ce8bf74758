"""Normalisation onto a range, and back."""

import json
import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from trajopt_sgp.data import Normalizer
from trajopt_sgp.errors import DatasetError, ModelFileError, NotFiniteError, OptionError, ShapeError


@pytest.fixture
def data(rng: np.random.Generator) -> Any:
    return rng.normal(size=(200, 3)) * (1e-3, 1.0, 1e6) + (5.0, 0.0, -1e5)


@pytest.mark.parametrize(("fit", "limit"), [(Normalizer.half_range, 1.0), (Normalizer.full_range, 0.5)])
def test_data_fill_the_range(fit: Any, limit: float, data: Any) -> None:
    normalized = fit(data).normalize(data)
    np.testing.assert_allclose(normalized.min(axis=0), -limit, atol=1e-12)
    np.testing.assert_allclose(normalized.max(axis=0), limit, atol=1e-12)


def test_standard_data_have_mean_zero_and_deviation_one(data: Any) -> None:
    normalized = Normalizer.standard(np.column_stack([data, np.full(len(data), 7.0)])).normalize(
        np.column_stack([data, np.full(len(data), 7.0)])
    )
    np.testing.assert_allclose(normalized.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(normalized.std(axis=0), [1.0] * data.shape[1] + [0.0], atol=1e-12)


def test_denormalize_undoes_normalize(data: Any) -> None:
    normalizer = Normalizer.half_range(data)
    batch = data.reshape(10, 20, 3)
    np.testing.assert_allclose(normalizer.denormalize(normalizer.normalize(batch)), batch, rtol=1e-13)


@pytest.mark.parametrize("constant", [0.0, 7.0, 0.1 + 0.2, 1e300])
def test_constant_column_gets_scale_one_or_is_refused_by_name(constant: float) -> None:
    data = np.column_stack([np.arange(5.0), np.full(5, constant)])
    normalizer = Normalizer.half_range(data)
    assert normalizer.scale.tolist() == [2.0, 1.0]
    assert (normalizer.normalize(data)[:, 1] == 0.0).all()
    with pytest.raises(DatasetError, match=r"Column 1 \(speed\) is constant"):
        Normalizer.half_range(data, names=("place", "speed"), refuse_constant=True)


def test_rounding_error_is_no_range() -> None:
    data = np.array([[0.3], [0.1 + 0.2]])
    assert data[0] != data[1]
    assert Normalizer.full_range(data).scale.tolist() == [1.0]


def test_json_keeps_every_bit(data: Any) -> None:
    normalizer = Normalizer.half_range(data)
    again = Normalizer.from_json(json.loads(json.dumps(normalizer.to_json())))
    assert again == normalizer
    assert hash(again) == hash(normalizer)
    assert again != Normalizer(normalizer.center, np.nextafter(normalizer.scale, np.inf))


def test_numbers_cannot_be_changed(data: Any) -> None:
    normalizer = Normalizer.half_range(data)
    with pytest.raises(ValueError, match="read-only"):
        normalizer.center[0] = 1.0
    with pytest.raises(FrozenInstanceError):
        normalizer.center = np.zeros(3)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("center", "scale", "error"),
    [
        ([0.0], [0.0], OptionError),
        ([0.0], [-1.0], OptionError),
        ([math.nan], [1.0], NotFiniteError),
        ([0.0], [math.inf], NotFiniteError),
        ([0.0, 0.0], [1.0], ShapeError),
    ],
)
def test_impossible_numbers_are_refused(center: list[float], scale: list[float], error: type[Exception]) -> None:
    with pytest.raises(error):
        Normalizer(np.array(center), np.array(scale))


def test_bad_data_and_bad_files_are_refused() -> None:
    with pytest.raises(NotFiniteError, match="Column 1 holds NaN"):
        Normalizer.half_range([[0.0, 1.0], [1.0, math.nan]])
    with pytest.raises(ShapeError, match=r"\(k, d\)"):
        Normalizer.half_range(np.zeros((0, 3)))
    for document in (
        {"center": [0.0]},
        {"center": [0.0], "scale": ["wide"]},
        {"center": [0.0], "scale": [[1], [2, 3]]},
    ):
        with pytest.raises(ModelFileError, match="'center' and 'scale'"):
            Normalizer.from_json(document)


@pytest.mark.parametrize("fit", [Normalizer.half_range, Normalizer.full_range, Normalizer.standard])
def test_what_flickers_in_the_last_digit_of_single_precision_is_constant(fit: Any, rng: np.random.Generator) -> None:
    steady = np.float32(3.3)
    flicker = np.where(rng.random(100) < 0.5, steady, np.nextafter(steady, np.float32(4.0)))
    moving = rng.normal(size=100).astype(np.float32)
    scale = fit(np.column_stack([flicker, moving]).astype(np.float64)).scale
    assert scale[0] == 1.0
    assert scale[1] != 1.0
    # in double precision so small a change is one that was measured
    assert fit(np.column_stack([3.3 + 1e-8 * rng.normal(size=100)])).scale[0] < 1e-6
