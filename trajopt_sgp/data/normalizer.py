"""Affine normalisation of each coordinate; all noise levels and distances to data are measured in its units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.errors import DatasetError, ModelFileError, NotFiniteError, OptionError, ShapeError

ROUNDING = 1e-12
"""Below this fraction of the magnitude of its numbers, the spread of a column is rounding error: it is constant."""

_SINGLE_ROUNDING = 4.0 * float(np.finfo(np.float32).eps)
"""The same where all numbers of a column are of single precision, as loggers keep them."""


@dataclass(frozen=True, eq=False)
class Normalizer:
    """The map (value - center) / scale, coordinate by coordinate, and its inverse.

    Arrays are float64 and read-only. Two normalizers are equal when their numbers are equal bit for bit.
    """

    center: FloatArray
    """Subtracted first, `(d,)`."""
    scale: FloatArray
    """Divided by, `(d,)`; positive."""

    def __post_init__(self) -> None:
        center, scale = _read_only(self.center), _read_only(self.scale)
        if center.ndim != 1 or center.shape != scale.shape:
            raise ShapeError(
                f"A normalizer needs center and scale of one shape (d,), not {center.shape}, {scale.shape}."
            )
        if not (np.isfinite(center).all() and np.isfinite(scale).all()):
            raise NotFiniteError(f"A normalizer must be finite: center {center}, scale {scale}.")
        if not (scale > 0.0).all():
            raise OptionError(f"The scale of a normalizer must be positive, not {scale}.")
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "scale", scale)

    @classmethod
    def half_range(
        cls, data: ArrayLike, names: Sequence[str] | None = None, refuse_constant: bool = False
    ) -> "Normalizer":
        """Fit the normalizer that maps `data` `(k, d)` onto [-1, 1] in each column.

        Args:
            data: at least one row, finite.
            names: names of the columns, for the error.
            refuse_constant: raise on a column that never varies. By default such a column gets scale 1: it maps to 0,
                and noise added to it is measured in its own units.

        Raises:
            ShapeError: `data` is not a matrix with at least one row.
            NotFiniteError: `data` holds NaN or infinity.
            DatasetError: a column is constant and `refuse_constant` is set; names the column.
        """
        return cls._fit(data, 0.5, names, refuse_constant)

    @classmethod
    def full_range(
        cls, data: ArrayLike, names: Sequence[str] | None = None, refuse_constant: bool = False
    ) -> "Normalizer":
        """Fit the normalizer that maps `data` `(k, d)` onto [-0.5, 0.5]; arguments and errors as in `half_range`."""
        return cls._fit(data, 1.0, names, refuse_constant)

    @classmethod
    def standard(cls, data: ArrayLike) -> "Normalizer":
        """Fit the normalizer that gives each column of `data` `(k, d)` mean 0 and standard deviation 1.

        Ranges follow the farthest outlier; this does not, as suits long-tailed data. A constant column gets scale 1.

        Raises:
            ShapeError: `data` is not a matrix with at least one row.
            NotFiniteError: `data` holds NaN or infinity.
        """
        units = cls._fit(data, 0.5, None, refuse=False)
        inner = units.normalize(data)
        spread = inner.std(axis=0)
        scale = units.scale * np.where((spread > ROUNDING) & ~_constant(np.asarray(data, np.float64)), spread, 1.0)
        return cls(units.denormalize(inner.mean(axis=0)), scale)

    @classmethod
    def _fit(cls, data: ArrayLike, fraction: float, names: Sequence[str] | None, refuse: bool) -> "Normalizer":
        matrix = np.asarray(data, dtype=np.float64)
        if matrix.ndim != 2 or len(matrix) == 0:
            raise ShapeError(f"A normalizer is fitted to a matrix (k, d) with k > 0, not to shape {matrix.shape}.")
        low, high = matrix.min(axis=0), matrix.max(axis=0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            column = int(np.argmin(np.isfinite(low) & np.isfinite(high)))
            raise NotFiniteError(f"{_column_name(column, names)} holds NaN or infinity: it cannot be normalised.")
        constant = _constant(matrix)
        if refuse and constant.any():
            column = int(np.argmax(constant))
            raise DatasetError(
                f"{_column_name(column, names)} is constant ({low[column]}): it cannot be scaled to a range. "
                "Drop the column, or allow scale 1 for it with refuse_constant=False."
            )
        return cls(center=low + 0.5 * (high - low), scale=np.where(constant, 1.0, fraction * (high - low)))

    @property
    def size(self) -> int:
        """Number of coordinates d."""
        return len(self.center)

    def normalize(self, values: ArrayLike) -> FloatArray:
        """Return (values - center) / scale for `values` `(..., d)`."""
        normalized: FloatArray = (np.asarray(values, dtype=np.float64) - self.center) / self.scale
        return normalized

    def denormalize(self, values: ArrayLike) -> FloatArray:
        """Return values * scale + center for `values` `(..., d)`."""
        denormalized: FloatArray = np.asarray(values, dtype=np.float64) * self.scale + self.center
        return denormalized

    def to_json(self) -> dict[str, list[float]]:
        """Return plain lists for JSON; `from_json` restores the same bits."""
        return {"center": self.center.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Normalizer":
        """Rebuild a normalizer from `to_json`.

        Raises:
            ModelFileError: an entry is missing or is not a list of numbers.
        """
        try:
            center = np.array(document["center"], dtype=np.float64)
            scale = np.array(document["scale"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"A stored normalizer needs number lists 'center' and 'scale': {error!r}.") from error
        return cls(center, scale)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Normalizer):
            return NotImplemented
        return np.array_equal(self.center, other.center) and np.array_equal(self.scale, other.scale)

    def __hash__(self) -> int:
        return hash((self.center.tobytes(), self.scale.tobytes()))


def _constant(matrix: FloatArray) -> BoolArray:
    """Return which columns of finite numbers `(k, d)` never vary but for rounding, `(d,)`."""
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    with np.errstate(over="ignore"):
        single = (matrix == matrix.astype(np.float32)).all(axis=0)
    rounding = np.where(single, _SINGLE_ROUNDING, ROUNDING)
    return np.asarray(high - low <= rounding * np.maximum(np.abs(low), np.abs(high)))


def _read_only(values: ArrayLike) -> FloatArray:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _column_name(column: int, names: Sequence[str] | None) -> str:
    return f"Column {column}" if names is None else f"Column {column} ({names[column]})"
