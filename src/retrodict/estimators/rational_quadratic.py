r"""Monotonic rational-quadratic splines of one variable.

On ``num_bins`` bins of :math:`[-B, B]` the spline is a quotient of quadratics with
given widths, heights and slopes at the knots; outside it is the identity. Both
directions and the log-slope are closed forms.

Source: Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows,
arXiv:1906.04032, eqs. 4 to 8 and 29.
Deviations from the source: the bin is selected by a mask and a sum, not by a search and
a gather, which CPUs and GPUs vectorize; slopes at the ends are 1, as in their "linear
tails".
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


MIN_SIZE = 1e-3  # of a bin, as a fraction of the interval
MIN_SLOPE = 1e-3


def num_parameters(num_bins: int) -> int:
    """Return how many numbers describe a spline of ``num_bins`` bins."""
    return 3 * num_bins - 1


def spline_forward(
    value: Float[Array, ""], parameters: Float[Array, " size"], bound: float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Evaluate the spline; return its value and the log of its slope.

    All-zero parameters give the identity.
    """
    xs, ys, slopes = _knots(parameters, bound)
    inside = jnp.abs(value) < bound
    clipped = jnp.clip(value, -bound, bound)
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
    value: Float[Array, ""], parameters: Float[Array, " size"], bound: float
) -> Float[Array, ""]:
    """Evaluate the inverse of the spline."""
    xs, ys, slopes = _knots(parameters, bound)
    inside = jnp.abs(value) < bound
    clipped = jnp.clip(value, -bound, bound)
    x0, width, y0, height, d0, d1 = _bin(clipped, ys, xs, ys, slopes)
    mean_slope = height / width
    above = clipped - y0
    bend = above * (d1 + d0 - 2 * mean_slope)
    a = height * (mean_slope - d0) + bend
    b = height * d0 - bend
    c = -mean_slope * above
    root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0))
    fraction = 2 * c / (-b - root)  # the form of the root that does not cancel
    return jnp.where(inside, x0 + fraction * width, value)


def _knots(parameters, bound):
    """Return knot positions, knot values and slopes, each of num_bins + 1 entries."""
    num_bins = (parameters.size + 1) // 3
    widths, heights, slopes = jnp.split(parameters, [num_bins, 2 * num_bins])
    xs, ys = (_cumulative(part, num_bins, bound) for part in (widths, heights))
    # softplus(0.5413) = 1: zero parameters are slope 1
    inner = MIN_SLOPE + (1 - MIN_SLOPE) * jax.nn.softplus(slopes + 0.54132485)
    return xs, ys, jnp.pad(inner, 1, constant_values=1.0)


def _cumulative(logits, num_bins, bound):
    sizes = MIN_SIZE + (1 - MIN_SIZE * num_bins) * jax.nn.softmax(logits)
    inner = jnp.cumsum(sizes)[:-1]
    edges = jnp.pad(inner, (1, 1), constant_values=(0.0, 1.0))
    return bound * (2 * edges - 1)


def _bin(value, positions, xs, ys, slopes):
    """Pick the bin of ``value`` along ``positions`` by a one-hot mask."""
    low, high = positions[:-1], positions[1:]
    mask = (value >= low) & (value < high)
    mask = mask.at[-1].set(value >= low[-1])

    def pick(array):
        return jnp.sum(jnp.where(mask, array, 0.0))

    return (
        pick(xs[:-1]),
        pick(xs[1:] - xs[:-1]),
        pick(ys[:-1]),
        pick(ys[1:] - ys[:-1]),
        pick(slopes[:-1]),
        pick(slopes[1:]),
    )


def _log_slope(fraction, mean_slope, d0, d1, bottom):
    rest = fraction * (1 - fraction)
    top = d1 * fraction**2 + 2 * mean_slope * rest + d0 * (1 - fraction) ** 2
    return 2 * jnp.log(mean_slope) + jnp.log(top) - 2 * jnp.log(bottom)
