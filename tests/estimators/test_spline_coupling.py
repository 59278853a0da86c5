"""Laws of the flow: normalized, invertible, and sampled from its own density."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats as stats

from retrodict.estimators import SplineCoupling, trainable
from retrodict.estimators.spline_coupling import layer_order


COND_DIM = 3
DIMS = pytest.mark.parametrize("dim", [1, 2, 3, 5])
CONDITION = np.array([0.3, -1.2, 0.8], np.float32)


@functools.cache
def _flow(dim, size=0.15, **options):
    """Return a flow well away from its initial state, which is a normal density."""
    options = {"num_layers": 3, "num_bins": 6, "width": 16, **options}
    with jax.enable_x64(False):  # it may be asked for inside a float64 test
        flow = SplineCoupling(jr.key(dim), dim, COND_DIM, **options)
        weights, fixed = eqx.partition(flow, trainable(flow))
        leaves, treedef = jax.tree.flatten(weights)
        rng = np.random.default_rng(17)
        moved = [leaf + size * rng.standard_normal(leaf.shape, "f4") for leaf in leaves]
        return eqx.combine(jax.tree.unflatten(treedef, moved), fixed)


def _in_float64(flow):
    """Call inside ``enable_x64``."""
    weights, fixed = eqx.partition(flow, trainable(flow))
    return eqx.combine(jax.tree.map(lambda leaf: leaf.astype(float), weights), fixed)


def _log_prob(flow, values, condition=CONDITION):
    program = jax.jit(jax.vmap(flow.log_prob, (0, None)))
    return np.asarray(program(jnp.asarray(values, jnp.float32), condition), float)


def _draws(flow, key, num):
    program = jax.jit(jax.vmap(flow.sample, (0, None)))
    return np.asarray(program(jr.split(key, num), CONDITION), float)


@DIMS
def test_a_new_flow_is_a_standard_normal(dim):
    flow = SplineCoupling(jr.key(0), dim, COND_DIM, width=16)
    values = np.random.default_rng(0).standard_normal((50, dim))
    expected = stats.norm.logpdf(values.astype(np.float32)).sum(1)
    np.testing.assert_allclose(_log_prob(flow, values), expected, atol=1e-4)


def test_the_density_integrates_to_one_in_one_dimension(getkey):
    flow = _flow(1)
    draws = _draws(flow, getkey(), 2000)
    low, high = draws.min() - 5 * draws.std(), draws.max() + 5 * draws.std()
    grid = np.linspace(low, high, 200_001)
    density = np.exp(_log_prob(flow, grid[:, None]))
    assert abs(np.trapezoid(density, grid) - 1) < 1e-3


def test_the_density_integrates_to_one_in_two_dimensions(getkey):
    flow = _flow(2)
    draws = _draws(flow, getkey(), 5000)
    root = np.linalg.cholesky(np.cov(draws.T))
    axis = np.linspace(-9, 9, 901)
    white = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    log_prob = _log_prob(flow, draws.mean(0) + white @ root.T)
    cell = np.linalg.det(root) * (axis[1] - axis[0]) ** 2
    assert abs(np.exp(log_prob).sum() * cell - 1) < 2e-3


@DIMS
def test_log_det_is_that_of_the_jacobian(dim):
    values = np.random.default_rng(1).standard_normal((20, dim))
    with jax.enable_x64(True):
        flow, condition = _in_float64(_flow(dim)), jnp.asarray(CONDITION, float)
        program = jax.jit(jax.vmap(lambda v: flow.to_base(v, condition)))
        jacobians = jax.jit(
            jax.vmap(jax.jacfwd(lambda v: flow.to_base(v, condition)[0]))
        )
        _, expected = np.linalg.slogdet(np.asarray(jacobians(values)))
        np.testing.assert_allclose(program(values)[1], expected, atol=1e-8)


@DIMS
def test_from_base_undoes_to_base(dim):
    noise = np.random.default_rng(2).standard_normal((200, dim))
    with jax.enable_x64(True):
        flow, condition = _in_float64(_flow(dim)), jnp.asarray(CONDITION, float)
        values = jax.jit(jax.vmap(flow.from_base, (0, None)))(noise, condition)
        back, _ = jax.jit(jax.vmap(flow.to_base, (0, None)))(values, condition)
        np.testing.assert_allclose(back, noise, atol=1e-9)
    assert np.abs(np.asarray(values) - noise).max() > 0.1


@DIMS
@pytest.mark.stat
def test_draws_come_from_the_density(dim, getkey):
    """Draws mapped to base are standard normal: KS per component, 1e-6 / 11 tests."""
    flow = _flow(dim)
    draws = _draws(flow, getkey(), 4000)
    base = jax.jit(jax.vmap(lambda v: flow.to_base(v, jnp.asarray(CONDITION))[0]))
    noise = np.asarray(base(jnp.asarray(draws, jnp.float32)))
    for component in noise.T:
        assert stats.kstest(component, stats.norm.cdf).pvalue > 1e-7


@pytest.mark.stat
def test_a_histogram_of_draws_follows_the_density(getkey):
    """Chi-squared over about 40 cells at 1e-5, cell masses by quadrature."""
    flow = _flow(1)
    draws = _draws(flow, getkey(), 20_000)[:, 0]
    grid = np.linspace(draws.min() - 1, draws.max() + 1, 400_001)
    density = np.exp(_log_prob(flow, grid[:, None]))
    cdf = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    cdf *= grid[1] - grid[0]
    edges = np.interp(np.linspace(0, 1, 41)[1:-1], cdf, grid)
    counts = np.bincount(np.digitize(draws, edges), minlength=40)
    assert stats.chisquare(counts).pvalue > 1e-5


@DIMS
def test_every_weight_learns(dim):
    flow = _flow(dim, size=0.1)
    values = np.random.default_rng(3).standard_normal((64, dim)).astype(np.float32)
    conditions = np.random.default_rng(4).standard_normal((64, COND_DIM))

    def loss(flow):
        terms = jax.vmap(flow.log_prob)(values, jnp.asarray(conditions, jnp.float32))
        return -terms.mean()

    for leaf in jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(loss))(flow)):
        assert np.isfinite(leaf).all()
        assert (np.asarray(leaf) != 0).any()


@DIMS
def test_gradients_stay_finite_far_away(dim):
    flow = _flow(dim)
    for scale in (1e2, 1e6):
        value = jnp.full(dim, scale)
        gradient = jax.jit(jax.grad(flow.log_prob))(value, jnp.asarray(CONDITION))
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dim", [2, 3, 5, 8])
def test_two_layers_bend_every_component(dim):
    names = np.arange(dim)
    bent = set()
    for layer in range(2):
        names = names[layer_order(dim, layer)]
        bent |= set(names[dim // 2 :].tolist())
    assert bent == set(range(dim))


def test_components_of_one_half_are_separated_later():
    """With six layers of five components every pair is once in different halves."""
    names, apart = np.arange(5), np.zeros((5, 5), bool)
    for layer in range(6):
        names = names[layer_order(5, layer)]
        first, second = names[:2], names[2:]
        apart[np.ix_(first, second)] = apart[np.ix_(second, first)] = True
    assert (apart | np.eye(5, dtype=bool)).all()
