"""Polynomials between the knots of a plan."""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial

from trajopt_sgp.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Curve:
    """A polynomial for each interval, in the fraction τ in [0, 1] of the interval that has passed."""

    coefficients: FloatArray
    """Of τ⁰, τ¹, ..., `(N, degree+1, size)`."""

    def at(self, interval: IntArray, fraction: FloatArray) -> FloatArray:
        """Return the values `(k, size)` at places `(k,)` within intervals `(k,)`."""
        powers = fraction[:, None] ** np.arange(self.coefficients.shape[1])
        values: FloatArray = np.einsum("kp,kpi->ki", powers, self.coefficients[interval])
        return values

    def slope(self) -> "Curve":
        """Return the derivative by τ."""
        degrees = np.arange(1, self.coefficients.shape[1])
        if not len(degrees):
            return Curve(np.zeros_like(self.coefficients))
        return Curve(self.coefficients[:, 1:] * degrees[:, None])


def lagrange_basis(nodes: FloatArray) -> FloatArray:
    """Return the coefficients `(k, k)` of the polynomials that are 1 at one of k nodes and 0 at the others."""
    rows = []
    for i, node in enumerate(nodes):
        others = np.delete(nodes, i)
        rows.append(polynomial.polyfromroots(others) / np.prod(node - others) if len(others) else np.ones(1))
    return np.stack(rows)


def interpolate(nodes: FloatArray, values: FloatArray) -> Curve:
    """Return the polynomials through values `(N, k, size)` at the nodes `(k,)` of every interval."""
    return Curve(np.einsum("kp,nki->npi", lagrange_basis(nodes), values))


def integrate_slopes(start: FloatArray, nodes: FloatArray, slopes: FloatArray) -> Curve:
    """Return the polynomials that begin at `start` `(N, size)` with slopes `(N, k, size)` by τ at the nodes `(k,)`."""
    basis = polynomial.polyint(lagrange_basis(nodes), axis=1)
    coefficients = np.einsum("kp,nki->npi", basis, slopes)
    coefficients[:, 0] += start
    return Curve(coefficients)
