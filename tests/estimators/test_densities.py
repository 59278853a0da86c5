"""Laws of every density: normalized, drawn from as it says, invertible if a flow."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats as stats

import retrodict.estimators
from densities import (
    COND_DIM,
    CONDITION,
    DENSITIES,
    DIRECT_DIM,
    draws,
    in_float64,
    log_probs,
    moved_density,
    new_density,
)
from retrodict.estimators import (
    AbstractDensity,
    AbstractFlow,
    AbstractLayeredFlow,
    Independent,
)


NAMES = pytest.mark.parametrize("name", sorted(DENSITIES))
DIMS = pytest.mark.parametrize("dim", [3])
FLOWS = [n for n in sorted(DENSITIES) if isinstance(new_density(n, 2), AbstractFlow)]
# the divergence is integrated by finite steps: exact to this many nats
TOLERANCE = {"flow_matching": 1e-4}


def test_every_density_is_under_the_laws():
    """Independent entries may be cells; test_independent.py has laws for them."""
    concrete = {
        value
        for value in vars(retrodict.estimators).values()
        if inspect.isclass(value)
        and issubclass(value, AbstractDensity)
        and not inspect.isabstract(value)
        and value not in (AbstractDensity, AbstractFlow, AbstractLayeredFlow)
    }
    under = {type(new_density(name, 2)) for name in DENSITIES}
    assert concrete == under | {Independent}


@NAMES
@DIMS
def test_a_new_density_starts_near_a_standard_normal(name, dim):
    values = np.random.default_rng(0).standard_normal((200, dim))
    expected = stats.norm.logpdf(values).sum(1)
    found = log_probs(new_density(name, dim), values)
    # components of a mixture start apart, half a standard deviation
    tolerance = 2.0 * dim if name == "mixture_density" else 2e-4
    np.testing.assert_allclose(found, expected, atol=tolerance)


@NAMES
def test_the_density_integrates_to_one_in_one_dimension(name, getkey):
    density = moved_density(name, 1)
    sample = draws(density, getkey(), 2000)
    reach = 8 * sample.std()
    grid = np.linspace(sample.min() - reach, sample.max() + reach, 40_001)
    total = np.trapezoid(np.exp(log_probs(density, grid[:, None])), grid)
    assert abs(total - 1) < 1e-3


@NAMES
def test_the_density_integrates_to_one_in_two_dimensions(name, getkey):
    density = moved_density(name, 2)
    sample = draws(density, getkey(), 4000)
    root = np.linalg.cholesky(np.cov(sample.T))
    axis = np.linspace(-9, 9, 401)
    white = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    log_prob = log_probs(density, sample.mean(0) + white @ root.T)
    cell = np.linalg.det(root) * (axis[1] - axis[0]) ** 2
    assert abs(np.exp(log_prob).sum() * cell - 1) < 3e-3


@NAMES
@pytest.mark.stat
def test_draws_follow_the_density_in_one_dimension(name, getkey):
    """KS against the distribution function by quadrature, at 1e-6."""
    density = moved_density(name, 1)
    sample = draws(density, getkey(), 10_000)[:, 0]
    grid = np.linspace(sample.min() - 1, sample.max() + 1, 40_001)
    values = np.exp(log_probs(density, grid[:, None]))
    masses = np.concatenate([[0], np.cumsum((values[1:] + values[:-1]) / 2)])
    cdf = masses * (grid[1] - grid[0])
    assert np.abs(values[:-1] - values[1:]).max() < 0.05 * values.max()  # fine enough
    found = stats.kstest(sample, lambda v: np.interp(v, grid, cdf))
    assert found.pvalue > 1e-6


@NAMES
@pytest.mark.stat
def test_draws_follow_the_density_in_two_dimensions(name, getkey):
    """Chi-squared over cells with ten draws or more, masses by quadrature, at 1e-6."""
    density = moved_density(name, 2)
    sample = draws(density, getkey(), 20_000)
    low, high = np.quantile(sample, [0.02, 0.98], axis=0)
    edges = [np.linspace(a, b, 9) for a, b in zip(low, high, strict=True)]
    fine, inner = 8 * 24, np.arange(8 * 24) + 0.5  # midpoints: 24 x 24 in every cell
    axes = [a + (b - a) * inner / fine for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    values = np.exp(log_probs(density, points)).reshape(8, 24, 8, 24)
    masses = (values.mean((1, 3)) * np.prod((high - low) / 8)).ravel()
    counts = np.histogram2d(*sample.T, bins=edges)[0].ravel()
    enough = masses * len(sample) >= 10
    assert enough.sum() > 15
    kept = np.append(counts[enough], len(sample) - counts[enough].sum())
    expected = np.append(masses[enough], 1 - masses[enough].sum()) * len(sample)
    assert stats.chisquare(kept, expected).pvalue > 1e-6


@pytest.mark.parametrize("name", FLOWS)
@DIMS
def test_from_base_undoes_to_base(name, dim):
    noise = np.random.default_rng(2).standard_normal((50, dim))
    with jax.enable_x64(True):
        flow, condition = in_float64(moved_density(name, dim)), CONDITION.astype(float)
        values = jax.jit(jax.vmap(flow.from_base, (0, None)))(noise, condition)
        back, _ = jax.jit(jax.vmap(flow.to_base, (0, None)))(values, condition)
        np.testing.assert_allclose(back, noise, atol=TOLERANCE.get(name, 1e-9))
    assert np.abs(np.asarray(values) - noise).max() > 0.1


@pytest.mark.parametrize("name", FLOWS)
@DIMS
def test_log_det_is_that_of_the_jacobian(name, dim):
    values = np.random.default_rng(1).standard_normal((20, dim))
    with jax.enable_x64(True):
        flow = in_float64(moved_density(name, dim))
        condition = jnp.asarray(CONDITION, float)
        log_det = jax.jit(jax.vmap(lambda v: flow.to_base(v, condition)[1]))(values)
        jacobians = jax.jit(
            jax.vmap(jax.jacfwd(lambda v: flow.to_base(v, condition)[0]))
        )
        _, expected = np.linalg.slogdet(np.asarray(jacobians(values)))
        np.testing.assert_allclose(log_det, expected, atol=TOLERANCE.get(name, 1e-8))


@NAMES
@DIMS
def test_gradients_stay_finite_far_away(name, dim):
    density = moved_density(name, dim)
    program = jax.jit(jax.grad(density.log_prob, argnums=(0, 1)))
    for scale in (1e2, 1e6):
        for far in (1.0, scale):  # values as far off as scalers let them be, or both
            value, condition = jnp.full(dim, scale), jnp.minimum(far, 10.0) * CONDITION
            for gradient in program(value, condition):
                assert np.isfinite(gradient).all()


@NAMES
@DIMS
def test_every_weight_learns(name, dim):
    density = moved_density(name, dim, 0.1)
    rng = np.random.default_rng(3)
    values = jnp.asarray(rng.standard_normal((64, dim)), jnp.float32)
    conditions = np.random.default_rng(4).standard_normal((64, COND_DIM))

    def loss(density):
        conditions_32 = jnp.asarray(conditions, jnp.float32)
        return density.loss_rows(jr.key(0), values, conditions_32).mean()

    for leaf in jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(loss))(density)):
        assert np.isfinite(leaf).all()
        assert (np.asarray(leaf) != 0).any()


@NAMES
def test_many_values_are_treated_as_one(name):
    """Batches, with one condition or one each, against one value at a time."""
    density = moved_density(name, 3)
    rng = np.random.default_rng(6)
    noise = jnp.asarray(rng.standard_normal((8, density.noise_dim)), jnp.float32)
    values = jnp.asarray(rng.standard_normal((8, 3)), jnp.float32)
    each = jnp.asarray(rng.standard_normal((8, COND_DIM)), jnp.float32)
    for conditions, axes in ((each, (0, 0)), (jnp.asarray(CONDITION), (0, None))):
        expected = jax.jit(jax.vmap(density.log_prob, axes))(values, conditions)
        found = eqx.filter_jit(density.log_prob_rows)(values, conditions)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        expected = jax.jit(jax.vmap(density.from_base, axes))(noise, conditions)
        found = eqx.filter_jit(density.from_base_rows)(noise, conditions)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(DENSITIES) - {"correlated"}))
def test_entries_of_x_move_the_mean_alone(name):
    """The last entries of the condition shift every draw by the same linear map."""
    density = moved_density(name, 2)
    noise = jr.normal(jr.key(1), (50, density.noise_dim))
    step = np.zeros(COND_DIM, np.float32)
    step[-DIRECT_DIM:] = [0.7, -0.3]
    program = jax.jit(jax.vmap(density.from_base, (0, None)))
    shift = program(noise, jnp.asarray(CONDITION + step)) - program(noise, CONDITION)
    expected = density.whitening.direct.weight @ step[-DIRECT_DIM:]
    np.testing.assert_allclose(shift, np.tile(expected, (50, 1)), atol=2e-5)
    assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_a_component_is_bent_by_those_before_it_alone(dim):
    flow = moved_density("autoregressive", dim)
    layer, hidden = flow.layers[0], jnp.ones(16)
    jacobian = jax.jacfwd(lambda v: layer.to_base(v, hidden)[0])(jnp.full(dim, 0.3))
    assert (np.triu(np.asarray(jacobian), 1) == 0).all()
    assert (np.asarray(jacobian)[np.tril_indices(dim)] != 0).all()


@pytest.mark.stat
def test_matching_the_flow_finds_the_density():
    """Trained on draws of two Gaussians, it gives them back: KS on 2000 draws at 1e-6.

    The loss alone is minimized; the density is never seen by the optimizer.
    """
    import optax

    density = DENSITIES["flow_matching"](jr.key(0), 1, COND_DIM)
    rng = np.random.default_rng(5)
    sides = rng.choice([-1.0, 1.0], (8192, 1))
    rows = jnp.asarray(sides + 0.3 * rng.standard_normal((8192, 1)), jnp.float32)
    weights, fixed = eqx.partition(density, eqx.is_inexact_array)
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, 1500))

    def loss(weights, key, batch):
        density = eqx.combine(weights, fixed)
        conditions = jnp.tile(CONDITION, (len(batch), 1))
        return density.loss_rows(key, batch, conditions).mean()

    def step(carry, key):
        weights, state = carry
        batch = jr.choice(jr.fold_in(key, 1), rows, (256,))
        gradient = jax.grad(loss)(weights, key, batch)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(weights, updates), state), None

    train = jax.jit(lambda carry: jax.lax.scan(step, carry, jr.split(jr.key(1), 1500)))
    (weights, _), _ = train((weights, optimizer.init(weights)))
    sample = draws(eqx.combine(weights, fixed), jr.key(2), 400)[:, 0]

    def cdf(v):
        return 0.5 * (stats.norm.cdf(v, -1, 0.3) + stats.norm.cdf(v, 1, 0.3))

    assert stats.kstest(sample, cdf).pvalue > 1e-6
    one = stats.norm.fit(sample)
    assert stats.kstest(sample, stats.norm(*one).cdf).pvalue < 1e-6  # is not the start
