r"""Monotonic rational-quadratic splines of one variable.

On ``num_bins`` bins of :math:`[-B, B]` the spline is a quotient of quadratics with
given widths, heights and slopes at the knots; outside it is the identity. Both
directions and the log-slope are closed forms.

Source: Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows,
arXiv:1906.04032, eqs. 4 to 8 and 29.
Deviations from the source: the bin is selected knot by knot, not by a search and a
gather, and every bin is an array of its own, in which a batch stays the fastest axis:
on a CPU 4 to 8 times as fast as arrays with the bins last; slopes at the ends are 1, as
in their "linear tails".
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


MIN_SIZE = 1e-3  # of a bin, as a fraction of the interval
MIN_SLOPE = 1e-3
MAX_LOGIT = 30.0  # of a bin, so that exponentials need no maximum subtracted


def num_parameters(num_bins: int) -> int:
    """Return how many numbers describe a spline of ``num_bins`` bins."""
    return 3 * num_bins - 1


def spline_forward(
    value: Float[Array, "dim ..."],
    parameters: Float[Array, "size ..."],
    bound: float,
) -> tuple[Float[Array, "dim ..."], Float[Array, "dim ..."]]:
    """Evaluate a spline for each entry; return values and logs of slopes.

    All-zero parameters give the identity.

    Args:
        value: One argument per spline; more axes are a batch.
        parameters: ``num_parameters(num_bins)`` groups of ``dim`` numbers: the first
            number of every spline, then the second of every spline, and so on.
        bound: Splines act on [-bound, bound].
    """
    xs, ys, parameters = _knots(parameters, len(value), bound)
    inside = jnp.abs(value) < bound
    clipped = jnp.clip(value, -bound, bound)
    slopes = _with_ends(_slope(parameters), xs[0], 1.0)  # at all knots: compiles sooner
    x0, width, y0, height, d0, d1 = _bin(clipped, xs, xs, ys, slopes)
    fraction = (clipped - x0) / width
    mean_slope = height / width
    rest = fraction * (1 - fraction)
    bottom = mean_slope + (d1 + d0 - 2 * mean_slope) * rest
    top = height * (mean_slope * fraction**2 + d0 * rest)
    log_slope = _log_slope(fraction, mean_slope, d0, d1, bottom)
    out = jnp.where(inside, y0 + top / bottom, value)
    return out, jnp.where(inside, log_slope, 0.0)


def spline_inverse(
    value: Float[Array, "dim ..."],
    parameters: Float[Array, "size ..."],
    bound: float,
) -> Float[Array, "dim ..."]:
    """Evaluate the inverse of each spline; arguments as in :func:`spline_forward`."""
    xs, ys, parameters = _knots(parameters, len(value), bound)
    inside = jnp.abs(value) < bound
    clipped = jnp.clip(value, -bound, bound)
    knots = _with_ends(parameters, xs[0], 0.0)
    x0, width, y0, height, *ends = _bin(clipped, ys, xs, ys, knots)
    d0, d1 = map(_slope, ends)  # at two knots only: draws are a fifth faster
    mean_slope = height / width
    above = clipped - y0
    bend = above * (d1 + d0 - 2 * mean_slope)
    a = height * (mean_slope - d0) + bend
    b = height * d0 - bend
    c = -mean_slope * above
    root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0))
    fraction = 2 * c / (-b - root)  # the form of the root that does not cancel
    return jnp.where(inside, x0 + fraction * width, value)


def _knots(parameters, dim, bound):
    """Return knot positions and values, num_bins + 1 of each, and other parameters."""
    count = len(parameters) // dim
    num_bins = (count + 1) // 3
    logits, slopes = jnp.split(parameters, [2 * num_bins * dim])
    sizes = jnp.split(jnp.exp(jnp.clip(logits, -MAX_LOGIT, MAX_LOGIT)), 2 * num_bins)
    xs = _cumulative(sizes[:num_bins], bound)
    ys = _cumulative(sizes[num_bins:], bound)
    return xs, ys, slopes


def _slope(parameters):
    """Return slopes at knots; softplus(0.5413) = 1: zero is slope 1."""
    return MIN_SLOPE + (1 - MIN_SLOPE) * jax.nn.softplus(
        parameters + 0.5413248546129181
    )


def _with_ends(inner, like, end):
    """Cut what holds of inner knots into knots, with those at both ends."""
    num = len(inner) // len(like)
    ends = [jnp.full_like(like, end)]
    return [*ends, *(jnp.split(inner, num) if num else []), *ends]


def _cumulative(sizes, bound):
    """Return the edges of bins whose sizes are given up to a factor."""
    num_bins = len(sizes)
    scale = 2 * bound * (1 - MIN_SIZE * num_bins) / sum(sizes[1:], start=sizes[0])
    edges = [jnp.full_like(scale, -bound)]
    for size in sizes[:-1]:
        edges.append(edges[-1] + (2 * bound * MIN_SIZE + scale * size))
    return [*edges, jnp.full_like(scale, bound)]


def _bin(value, positions, xs, ys, slopes):
    """Pick the ends of the bin of ``value`` along ``positions``, knot by knot."""
    knots = list(zip(xs, ys, slopes, strict=True))
    low, high = knots[:2]
    for at in range(1, len(knots) - 1):
        beyond = value >= positions[at]
        low = [jnp.where(beyond, *pair) for pair in zip(knots[at], low, strict=True)]
        high = [
            jnp.where(beyond, *pair) for pair in zip(knots[at + 1], high, strict=True)
        ]
    (x0, y0, d0), (x1, y1, d1) = low, high
    return x0, x1 - x0, y0, y1 - y0, d0, d1


def _log_slope(fraction, mean_slope, d0, d1, bottom):
    rest = fraction * (1 - fraction)
    top = d1 * fraction**2 + 2 * mean_slope * rest + d0 * (1 - fraction) ** 2
    return 2 * jnp.log(mean_slope) + jnp.log(top) - 2 * jnp.log(bottom)
