"""Matrix products of compiled loops, whichever library multiplies, and how their matrices lie in memory."""

import numpy as np
import pytest
import torch

from trajopt_sgp.derivatives import blas
from trajopt_sgp.derivatives.fused import kernels
from trajopt_sgp.derivatives.memory_layout import aligned, aligned_zeros, next_line, row_length, with_row_length


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("columns", [1, 7, 64, 512, 1024, 3 * 512])
def test_rows_do_not_conflict(columns: int, itemsize: int) -> None:
    length = row_length(columns, itemsize)
    assert length * itemsize % 4096 != 0
    assert length - columns in (0, 64 // itemsize)
    matrix = torch.ones(3, columns)
    longer = with_row_length(matrix, itemsize)
    assert longer.shape == (3, length)
    assert torch.equal(longer[:, :columns], matrix)
    assert longer.sum() == matrix.sum()


@pytest.mark.parametrize("kind", ["f", "d"])
def test_arrays_begin_at_a_cache_line(kind: str) -> None:
    dtype = np.dtype(kind)
    parts = [np.arange(3.0), np.arange(5.0)]
    arrays = [aligned_zeros(size, dtype) for size in (1, 1000)] + [aligned(parts, dtype)]
    assert all(array.ctypes.data % 64 == 0 and array.dtype == dtype for array in arrays)
    assert arrays[-1].tolist() == [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    assert [next_line(offset, dtype.itemsize) * dtype.itemsize for offset in (0, 1, 16, 17)] == (
        [0, 64, 128, 192] if kind == "d" else [0, 64, 64, 128]
    )


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("library", [0, 1])
@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 5, 20), (4, 3, 16), (65, 128, 4), (33, 40, 512)])
def test_products_add_what_numpy_adds(rows: int, inner: int, columns: int, library: int, kind: str) -> None:
    """By the library for thin matrices and by that for others, which on some machines is another one."""
    addresses, sizes, factors = blas.product_arguments(np.dtype(kind))
    generator, itemsize = np.random.default_rng(0), np.dtype(kind).itemsize
    x, matrix, y = (generator.normal(size=s).astype(kind) for s in ((rows, inner), (inner, columns), (rows, columns)))
    expected = y + x @ matrix
    direct, transpose = (with_row_length(torch.from_numpy(m), itemsize).numpy() for m in (matrix, matrix.T.copy()))
    tables = direct.reshape(-1), direct.shape[1], transpose.reshape(-1), transpose.shape[1]
    both = np.full(2, addresses[library])
    kernels._add_products(rows, x.reshape(-1), *tables, y.reshape(-1), both, sizes, factors)
    np.testing.assert_allclose(y, expected, rtol=0.0, atol=(1e-4 if kind == "f" else 1e-12))


@pytest.mark.parametrize("kind", ["f", "d"])
def test_other_processors_than_those_of_intel_have_one_library(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_processor", lambda: "vendor_id : AuthenticAMD")
    thin, other = blas.gemm_addresses.__wrapped__(kind)
    assert thin == other
