"""Bijections of the supports, against scipy, autodiff and numpyro."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats as stats
from numpyro.distributions import biject_to, constraints

from retrodict._core.errors import ModelError
from retrodict.model import Support
from retrodict.model.support import KINDS, from_constraint


SUPPORTS = {
    "real": Support("real", (2,)),
    "lower": Support("lower", (2,), lower=(-1.0, 3.0)),
    "upper": Support("upper", (2,), upper=(2.0, -5.0)),
    "half_line": Support("half_line", (2,), (-1.0, 3.0), scale=(2.0, 1e-3)),
    "interval": Support("interval", (2,), (-2.0, 1e-3), (5.0, 3e-3)),
    "log_interval": Support("log_interval", (2,), (1e-3, 1.0), (1e2, 2.0)),
    "simplex": Support("simplex", (4,)),
    "simplex rows": Support("simplex", (2, 3)),
    "ordered": Support("ordered", (3,)),
    "ordered rows": Support("ordered", (2, 2)),
}
CASES = pytest.mark.parametrize("support", SUPPORTS.values(), ids=SUPPORTS)


def _coordinates(support, rows=40, size=1.5):
    rng = np.random.default_rng(7)
    return size * rng.standard_normal((rows, support.unconstrained_size))


def test_every_kind_is_tested():
    assert {support.kind for support in SUPPORTS.values()} == set(KINDS)


@CASES
def test_inverse_undoes_forward(support):
    u = _coordinates(support)
    theta = support.constrain(u)
    assert theta.shape == (40, support.size)
    assert support.contains(theta).all()
    np.testing.assert_allclose(support.unconstrain(theta), u, rtol=1e-7, atol=1e-7)


@CASES
def test_numpy_and_jax_agree(support):
    u = _coordinates(support).astype(np.float32)
    for method in (support.constrain, support.log_det):
        exact = method(u.astype(np.float64))
        np.testing.assert_allclose(method(jnp.asarray(u)), exact, rtol=2e-5, atol=2e-5)


@CASES
def test_log_det_is_that_of_the_jacobian(support):
    u = _coordinates(support, rows=5)
    u[0] = 0.0  # where an interval changes its formula
    free = np.arange(support.size).reshape(-1, *(support.shape[-1:] or (1,)))
    if support.kind == "simplex":  # the last component follows from the others
        free = free[:, :-1]
    with jax.enable_x64(True):
        for row in u:
            jacobian = jax.jacfwd(support.constrain)(jnp.asarray(row))
            _, expected = np.linalg.slogdet(np.asarray(jacobian)[free.ravel()])
            np.testing.assert_allclose(support.log_det(row), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "density"),
    [
        ("lower", stats.lognorm(1.0, loc=-1.0)),
        ("half_line", stats.expon(-1.0, 2.0)),
        ("interval", stats.uniform(-2.0, 7.0)),
        ("log_interval", stats.loguniform(1e-3, 1e2)),
    ],
)
def test_a_standard_normal_becomes_the_known_density(kind, density):
    bounds = SUPPORTS[kind]
    support = Support(kind, (), bounds.lower[:1], bounds.upper[:1], bounds.scale[:1])
    u = np.linspace(-5, 5, 101)[:, None]
    theta = support.constrain(u)
    expected = density.logpdf(theta[:, 0])
    found = stats.norm.logpdf(u[:, 0]) - support.log_det(u)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_simplex_agrees_with_numpyro():
    support, transform = SUPPORTS["simplex"], biject_to(constraints.simplex)
    u = _coordinates(support)
    with jax.enable_x64(True):
        theta = transform(jnp.asarray(u))
        log_det = transform.log_abs_det_jacobian(jnp.asarray(u), theta)
        theta, log_det = np.asarray(theta), np.asarray(log_det)
    np.testing.assert_allclose(support.constrain(u), theta, atol=1e-12)
    np.testing.assert_allclose(support.log_det(u), log_det, atol=1e-9)


@CASES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [5.0, 20.0, 60.0, 2000.0])
def test_far_coordinates_stay_inside(support, dtype, distance):
    size = support.unconstrained_size
    signs = np.random.default_rng(3).choice([-1.0, 1.0], (64, size))
    theta = support.constrain((distance * signs).astype(dtype))
    assert theta.dtype == dtype
    # simulators see theta in float32, where e^2000 is no number
    for precision in {dtype, np.float32 if distance < 80 else dtype}:
        cast = theta.astype(precision)
        # the bounds, too, are those rounded to that precision
        low, high = (
            tuple(np.asarray(bounds, precision).astype(float).tolist())
            for bounds in (support.lower, support.upper)
        )
        rounded = dataclasses.replace(support, lower=low, upper=high)
        assert rounded.contains(cast.astype(np.float64)).all()
        assert np.isfinite(support.unconstrain(cast)).all()
    assert support.contains(support.constrain(distance * signs)).all()


@CASES
def test_the_edge_has_finite_coordinates(support):
    corner = np.zeros(support.shape)
    corner[..., 0] = 1.0
    edges = {
        "lower": support.lower,
        "upper": support.upper,
        "half_line": support.lower,
        "interval": support.lower[:1] + support.upper[1:],
        "log_interval": support.lower[:1] + support.upper[1:],
        "simplex": corner.ravel(),
        "ordered": np.zeros(support.size),
        "real": np.zeros(support.size),
    }
    theta = np.asarray(edges[support.kind], np.float64)[None]
    assert support.contains(theta).all()
    u = support.unconstrain(theta)
    assert np.isfinite(u).all()
    assert support.contains(support.constrain(u)).all()
    assert np.isfinite(support.log_det(u)).all()


def test_contains_refuses_what_is_outside():
    outside = {
        "lower": [-1.5, 4.0],
        "upper": [1.0, -4.0],
        "half_line": [-1.5, 4.0],
        "interval": [0.0, 4e-3],
        "log_interval": [1e-4, 1.5],
        "simplex": [0.5, 0.5, 0.5, 0.5],
        "ordered": [0.0, 2.0, 1.0],
        "real": [0.0, np.inf],
    }
    for kind, theta in outside.items():
        assert not SUPPORTS[kind].contains(np.array([theta])).any(), kind
        nan = np.full_like(np.array([theta], float), np.nan)
        assert not SUPPORTS[kind].contains(nan).any(), kind


@pytest.mark.parametrize(
    ("distribution", "kind"),
    [
        (dist.Normal(0, 1), "real"),
        (dist.HalfNormal(1), "lower"),
        (dist.Gamma(2, 1), "lower"),
        (dist.Beta(2, 2), "interval"),
        (dist.Uniform(-1, 1), "interval"),
        (dist.TruncatedNormal(0, 1, high=2.0), "upper"),
        (dist.TruncatedNormal(0, 1, low=-jnp.inf, high=2.0), "upper"),
        (dist.TruncatedNormal(0, 1, low=1.0, high=jnp.inf), "lower"),
        (dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), "real"),
        (dist.Dirichlet(jnp.ones(3)), "simplex"),
    ],
)
def test_constraints_are_recognized(distribution, kind):
    support = from_constraint(distribution.support, distribution.event_shape, "a")
    assert support.kind == kind


@pytest.mark.parametrize(
    ("distribution", "match"),
    [
        (dist.Uniform(1.0, 1.0), r"'a'.*lower.*1\.0"),
        (dist.Uniform(2.0, 1.0), r"'a'.*2\.0.*1\.0"),
        (dist.LKJCholesky(2, 1.0), "'a'.*no bijection"),
        (dist.Poisson(3.0), "'a' is discrete"),
        (dist.Bernoulli(0.5), "'a' is discrete"),
    ],
)
def test_impossible_supports_are_refused(distribution, match):
    shape = distribution.batch_shape + distribution.event_shape
    with pytest.raises(ModelError, match=match):
        from_constraint(distribution.support, shape, "a")
