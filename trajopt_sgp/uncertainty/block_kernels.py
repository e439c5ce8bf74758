"""Compiled loops over sorted blocks of points: the nearest of them, and weighted sums over those that count.

Points stand in columns `(d, N)`, sorted so that each block of neighbours is contiguous; blocks form groups. A block or
a group is left out where no point of its bounding box can count. They stand in one file, as the cache of compiled code
notices changes of this file alone. Letters: Q queries, d coordinates, n points of a block.

Weights are powers of two, relative to that of the nearest point: 2^t with t <= 0, split into 2^n 2^f, |f| <= 1/2, and
a polynomial through the Chebyshev points of degree 11, which is exact to 4e-16. Loops over n are vectorised; sums lose
by wide vectors.
"""

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.intrinsics import use_wide_vectors
from trajopt_sgp.derivatives.traced.kernels import compiled, entry, summing

Boxes = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""Lower and upper corners of the blocks, `(blocks, d)` each, then those of the groups."""

# added to a number of moderate size, it leaves the nearest integer in the last bits
_ROUNDING = 6755399441055744.0
# 2^-1000 is nothing beside the weight 1 of the nearest point, and no denormal number, which would be slow
_SMALLEST = -1000.0
_LOG_2 = 0.6931471805599453


@compiled
def _power_of_two(t: float) -> float:
    t = max(t, _SMALLEST)
    shifted = t + _ROUNDING
    f = t - (shifted - _ROUNDING)
    p = 4.4558179083360645e-10
    p = p * f + 7.074194297288521e-09
    p = p * f + 1.0178057087733941e-07
    p = p * f + 1.3215432535912375e-06
    p = p * f + 1.5252733841556773e-05
    p = p * f + 0.00015403530463724353
    p = p * f + 0.001333355814640647
    p = p * f + 0.009618129107587256
    p = p * f + 0.055504108664821625
    p = p * f + 0.24022650695910158
    p = p * f + 0.6931471805599453
    p = p * f + 1.0
    exponent = np.float64(shifted).view(np.int64) + 1023
    return p * np.int64(exponent << 52).view(np.float64)


@compiled
def _gap(z: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Return the squared distance of z to a box."""
    total = 0.0
    for k in range(len(z)):
        gap = max(low[k] - z[k], z[k] - high[k])
        gap = max(gap, 0.0)
        total += gap * gap
    return total


@compiled
def _squares(z: FloatArray, columns: FloatArray, start: int, n: int, excluded: int, squares: FloatArray) -> None:
    """Write |p - z|^2 to `squares[:n]`, infinite for the excluded point."""
    use_wide_vectors()
    for k in range(len(z)):
        center, points = z[k], columns[k, start : start + n]
        if k == 0:
            for j in range(n):
                difference = points[j] - center
                squares[j] = difference * difference
        else:
            for j in range(n):
                difference = points[j] - center
                squares[j] += difference * difference
    if start <= excluded < start + n:
        squares[excluded - start] = np.inf


@compiled
def _offsets(center: FloatArray, columns: FloatArray, start: int, n: int, offsets: FloatArray) -> None:
    """Write p - center to `offsets[:, :n]`."""
    for k in range(len(center)):
        shift, points, offset = center[k], columns[k, start : start + n], offsets[k]
        for j in range(n):
            offset[j] = points[j] - shift


@compiled
def _weights(n: int, squares: FloatArray, nearest: float, scale: float, weights: FloatArray) -> None:
    use_wide_vectors()
    for j in range(n):
        weights[j] = _power_of_two((nearest - squares[j]) * scale)


@summing
def _total(n: int, values: FloatArray) -> float:
    total = 0.0
    for j in range(n):
        total += values[j]
    return total


@summing
def _dot(n: int, first: FloatArray, second: FloatArray) -> float:
    total = 0.0
    for j in range(n):
        total += first[j] * second[j]
    return total


@compiled
def _times(n: int, first: FloatArray, second: FloatArray, product: FloatArray) -> None:
    for j in range(n):
        product[j] = first[j] * second[j]


@compiled
def _add_means(n: int, weights: FloatArray, columns: FloatArray, start: int, sums: FloatArray) -> None:
    """Add the sums of w p_k."""
    for k in range(len(columns)):
        sums[1 + k] += _dot(n, weights, columns[k, start : start + n])


@compiled
def _add_moments(
    n: int, weights: FloatArray, offsets: FloatArray, order: int, scratch: FloatArray, sums: FloatArray
) -> None:
    """Add the sums of w o_k, w o_k o_l (l <= k) and, of order 3, w o_k o_l o_m (m <= l <= k), one after another."""
    d, at = len(offsets), 1
    for k in range(d):
        sums[at] += _dot(n, weights, offsets[k])
        at += 1
    for k in range(d):
        _times(n, weights, offsets[k], scratch[0])
        for m in range(k + 1):
            sums[at] += _dot(n, scratch[0], offsets[m])
            at += 1
    for k in range(d if order >= 3 else 0):
        _times(n, weights, offsets[k], scratch[0])
        for m in range(k + 1):
            _times(n, scratch[0], offsets[m], scratch[1])
            for i in range(m + 1):
                sums[at] += _dot(n, scratch[1], offsets[i])
                at += 1


@compiled
def _nearest_group(z: FloatArray, low: FloatArray, high: FloatArray, first: int, last: int) -> int:
    """Return which of the boxes from `first` to before `last` is the nearest."""
    found, smallest = first, np.inf
    for i in range(first, last):
        gap = _gap(z, low[i], high[i])
        if gap < smallest:
            found, smallest = i, gap
    return found


@compiled
def _search_block(
    z: FloatArray,
    columns: FloatArray,
    start: int,
    n: int,
    excluded: int,
    squares: FloatArray,
    best: float,
    place: int,
) -> tuple[float, int]:
    _squares(z, columns, start, n, excluded, squares)
    for j in range(n):
        if squares[j] < best:
            best, place = squares[j], start + j
    return best, place


@compiled
def _nearest(
    z: FloatArray, columns: FloatArray, boxes: Boxes, sizes: tuple[int, int], excluded: int, squares: FloatArray
) -> tuple[float, int]:
    """Return the square of the distance to the nearest point, and its place: first in the nearest box, then in all."""
    low, high, group_low, group_high = boxes
    size, group = sizes
    count = columns.shape[1]
    first = _nearest_group(z, group_low, group_high, 0, len(group_low)) * group
    first = _nearest_group(z, low, high, first, min(first + group, len(low)))
    start = first * size
    best, place = _search_block(z, columns, start, min(size, count - start), excluded, squares, np.inf, start)
    for g in range(len(group_low)):
        if _gap(z, group_low[g], group_high[g]) >= best:
            continue
        for b in range(g * group, min((g + 1) * group, len(low))):
            if b != first and _gap(z, low[b], high[b]) < best:
                start = b * size
                n = min(size, count - start)
                best, place = _search_block(z, columns, start, n, excluded, squares, best, place)
    return best, place


@entry
def nearest(
    queries: FloatArray,
    columns: FloatArray,
    boxes: Boxes,
    sizes: tuple[int, int],
    excluded: IntArray,
    work: FloatArray,
    squares: FloatArray,
    places: IntArray,
) -> None:
    """Write the squared distance of each query `(Q, d)` to the nearest point, and the place of that among the columns.

    `sizes` are the points of a block and the blocks of a group; `excluded` `(Q,)` is the place of a point that does not
    count, or -1; `work` has an entry for each point of a block.
    """
    for q in range(len(queries)):
        squares[q], places[q] = _nearest(queries[q], columns, boxes, sizes, excluded[q], work)


@compiled
def _left_out(
    z: FloatArray,
    low: FloatArray,
    high: FloatArray,
    square: float,
    scale: float,
    least: float,
    n: int,
    left: FloatArray,
) -> bool:
    """Return whether no point of a box weighs more than `least`; if so add what its n points may weigh.

    No point is nearer than the nearest. Weight times distance |p - z| falls with the distance beyond sigma.
    """
    gap = max(_gap(z, low, high), square)
    bound = _power_of_two((square - gap) * scale)
    if bound > least:
        return False
    left[0] += bound * n
    left[1] += bound * n * np.sqrt(max(gap, 0.5 / (scale * _LOG_2)))
    return True


@compiled
def _add_block(
    z: FloatArray,
    near: FloatArray,
    columns: FloatArray,
    start: int,
    n: int,
    excluded: int,
    order: int,
    square: float,
    scale: float,
    buffers: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    sums: FloatArray,
) -> None:
    """Add the moments of a block: of p, or above order 1 of p - near, whose squares do not cancel."""
    offsets, work, weights, scratch = buffers
    _squares(z, columns, start, n, excluded, work)
    _weights(n, work, square, scale, weights)
    sums[0] += _total(n, weights)
    if order == 1:
        _add_means(n, weights, columns, start, sums)
    if order >= 2:
        _offsets(near, columns, start, n, offsets)
        _add_moments(n, weights, offsets, order, scratch, sums)


@entry
def add_sums(
    queries: FloatArray,
    scales: FloatArray,
    shares: FloatArray,
    columns: FloatArray,
    boxes: Boxes,
    sizes: tuple[int, int],
    excluded: IntArray,
    order: int,
    squares: FloatArray,
    places: IntArray,
    buffers: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    sums: FloatArray,
    left: FloatArray,
) -> None:
    """Add the moments of weights 2^((squares - |p - z|^2) scales), up to an order, over the points p that count.

    A box is left out where even its nearest corner would weigh no more than `shares` `(Q,)` times the sum so far: its
    points together then weigh at most N times that. Groups are the outer loop, so that their points stay in the
    processor's cache while all queries pass.

    Args:
        queries: `(Q, d)`.
        scales: 1 / (2 sigma^2 ln 2), `(Q,)`.
        shares: of the sum that a point may be neglected for, `(Q,)`.
        columns: points, `(d, N)`.
        boxes: of blocks and groups.
        sizes: points of a block, blocks of a group.
        excluded: place of a point that does not count, or -1, `(Q,)`.
        order: of the moments, 0 to 3.
        squares: squared distance of the nearest point, `(Q,)`, from `nearest`.
        places: place of the nearest point, `(Q,)`, from `nearest`.
        buffers: work space, n the points of a block: `(d, n)`, `(n,)`, `(n,)` and `(2, n)`.
        sums: of w, and moments of p, or above order 1 of p - (nearest point), in the order of `_add_moments`; added to.
        left: bounds of the sum of the weights left out, and of these times |p - z|, `(Q, 2)`; added to.
    """
    low, high, group_low, group_high = boxes
    size, group = sizes
    count = columns.shape[1]
    # the block of the nearest point comes first, so that the sum has some size before others are judged by it
    for q in range(len(queries)):
        start = places[q] // size * size
        n = min(size, count - start)
        z, near = queries[q], columns[:, places[q]]
        _add_block(z, near, columns, start, n, excluded[q], order, squares[q], scales[q], buffers, sums[q])
    for g in range(len(group_low)):
        first, last = g * group, min((g + 1) * group, len(low))
        n = min(last * size, count) - first * size
        for q in range(len(queries)):
            z, near, own = queries[q], columns[:, places[q]], places[q] // size
            least = shares[q] * sums[q, 0]
            if _left_out(z, group_low[g], group_high[g], squares[q], scales[q], least, n, left[q]):
                continue
            for b in range(first, last):
                start = b * size
                m = min(size, count - start)
                least = shares[q] * sums[q, 0]
                if b != own and not _left_out(z, low[b], high[b], squares[q], scales[q], least, m, left[q]):
                    _add_block(z, near, columns, start, m, excluded[q], order, squares[q], scales[q], buffers, sums[q])
