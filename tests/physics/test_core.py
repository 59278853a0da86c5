"""The core against numpyro, ridge regression, normal conjugacy and quadrature."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

import retrodict as rd
from retrodict._core.errors import ModelError
from retrodict.physics import Problem, Term, map_fit


X = np.linspace(-1, 1, 30)
Y = np.sin(2 * X) + 0.1 * np.cos(17 * X)
SIGMA = 0.3


def features(x):
    return jnp.stack([x**0, x, x**2, jnp.sin(3 * x)], axis=-1)


def law(theta, weights, row):
    x, y = row
    return dist.Normal(features(x) @ weights, SIGMA), y


def linear(scale=2.0, **options):
    terms = [Term("data", law, (X, Y))]
    return Problem(
        terms,
        init=lambda key: jr.normal(key, (4,), float),
        **options,
        weight_scale=scale,
    )


def test_weight_decay_is_a_gaussian_prior():
    # Loss sum((f - y)^2)/(2N) + lam |w|^2 has the normal equations of ridge regression.
    scale = 2.0
    answer = map_fit(linear(scale))
    phi = np.asarray(features(X), dtype=np.float64)
    with jax.enable_x64(True):
        phi = np.asarray(features(jnp.asarray(X)))
    lam = SIGMA**2 / (2 * scale**2 * len(X))
    ridge = np.linalg.solve(
        phi.T @ phi / len(X) + 2 * lam * np.eye(4), phi.T @ Y / len(X)
    )
    np.testing.assert_allclose(answer.weights, ridge, rtol=0, atol=1e-8)
    assert answer.converged


def test_terms_are_numpyro_log_densities():
    prior = rd.Prior(sigma=dist.LogNormal(-1.0, 0.5), m=dist.Normal(0, 2))

    def noisy(theta, weights, row):
        return dist.Normal(
            features(row[0]) @ weights + theta["m"], theta["sigma"]
        ), row[1]

    def heavy(theta, weights, row):
        return dist.StudentT(3.0, theta["m"], 1.0), np.array([0.3, -2.0])

    problem = Problem(
        [Term("data", noisy, (X, Y)), Term("edge", heavy)],
        prior=prior,
        init=lambda key: jr.normal(key, (4,), float),
        weight_scale=0.7,
    )
    w = np.array([0.3, -1.0, 0.2, 0.9])
    with jax.enable_x64(True):
        found = problem.log_densities({"sigma": 0.4, "m": 0.1}, jnp.asarray(w))
        phi = np.asarray(features(jnp.asarray(X)))
    norm, lognormal = scipy.stats.norm, scipy.stats.lognorm
    expected = {
        "data": norm.logpdf(Y, phi @ w + 0.1, 0.4).sum(),
        "edge": scipy.stats.t.logpdf([0.3, -2.0], 3, 0.1, 1).sum(),
        "parameter prior": lognormal.logpdf(0.4, 0.5, scale=np.exp(-1))
        + norm.logpdf(0.1, 0, 2),
        "weight prior": norm.logpdf(w, 0, 0.7).sum(),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, abs=1e-10), name


def test_answer_reports_its_terms_and_their_sum():
    answer = map_fit(linear())
    residuals = (Y - np.asarray(features(X)) @ answer.weights) / SIGMA
    data = scipy.stats.norm.logpdf(residuals).sum() - len(X) * np.log(SIGMA)
    assert answer.terms["data"] == pytest.approx(data, abs=1e-4)
    assert answer.log_density == pytest.approx(sum(answer.terms.values()), abs=1e-12)


def conjugate(prior_sd=3.0):
    def normal(theta, weights, row):
        return dist.Normal(theta["a"] + theta["b"] * row[0], SIGMA), row[1]

    prior = rd.Prior(a=dist.Normal(0, prior_sd), b=dist.Normal(1, prior_sd))
    return Problem([Term("data", normal, (X, Y))], prior=prior)


def conjugate_posterior(prior_sd=3.0):
    phi = np.stack([np.ones_like(X), X], axis=1)
    covariance = np.linalg.inv(phi.T @ phi / SIGMA**2 + np.eye(2) / prior_sd**2)
    mean = covariance @ (phi.T @ Y / SIGMA**2 + np.array([0, 1]) / prior_sd**2)
    return mean, covariance


def test_laplace_is_exact_for_a_linear_gaussian_problem():
    answer = map_fit(conjugate())
    mean, covariance = conjugate_posterior()
    np.testing.assert_allclose([answer.theta["a"], answer.theta["b"]], mean, atol=1e-8)
    np.testing.assert_allclose(answer.normal.covariance, covariance, atol=1e-9)
    rows = np.array([[0.1, 1.2], [-0.3, 2.0]])
    expected = scipy.stats.multivariate_normal(mean, covariance).logpdf(rows)
    np.testing.assert_allclose(answer.log_prob(rows), expected, rtol=1e-6)


def test_weights_are_marginalized():
    # The same line with its slope as a weight: the intercept must know as little.
    def normal(theta, weights, row):
        return dist.Normal(
            theta["a"] + (1 + weights[0]) * row[0] + weights[0], SIGMA
        ), row[1]

    problem = Problem(
        [Term("data", normal, (X, Y))],
        prior=rd.Prior(a=dist.Normal(0, 3.0)),
        init=lambda key: jnp.zeros(1),
        weight_scale=3.0,
    )
    phi = np.stack([np.ones_like(X), X + 1], axis=1)
    covariance = np.linalg.inv(phi.T @ phi / SIGMA**2 + np.eye(2) / 9)
    answer = map_fit(problem)
    assert answer.normal.covariance[0, 0] == pytest.approx(covariance[0, 0], rel=1e-6)
    _, sd = answer.propagate(lambda theta, w: jnp.stack([theta["a"], w[0]]))
    np.testing.assert_allclose(sd, np.sqrt(np.diag(covariance)), rtol=1e-6)


@pytest.mark.stat
def test_ensemble_draws_from_the_posterior_of_a_linear_problem():
    """Mean within 4.5 standard errors, variance ratio in the chi-square range.

    False alarms: below 1e-4 (2 means, 2 variances, each tail 3e-6 and 1e-5).
    """
    count = 200
    answer = map_fit(conjugate(), members=count)
    mean, covariance = conjugate_posterior()
    sd = np.sqrt(np.diag(covariance))
    error = (answer.ensemble.mean(0) - mean) / sd * np.sqrt(count)
    assert np.abs(error).max() < 4.5
    ratio = answer.ensemble.var(0, ddof=1) / sd**2 * (count - 1)
    low, high = scipy.stats.chi2.ppf([1e-5, 1 - 1e-5], count - 1)
    assert (ratio > low).all()
    assert (ratio < high).all()


def test_inferred_noise_scale_matches_the_closed_form_mode():
    # y_i ~ N(0, s), log-normal prior: d/ds of the log-posterior is zero at the mode.
    def normal(theta, weights, row):
        return dist.Normal(0.0, theta["s"]), row

    y = 0.7 * np.random.RandomState(0).randn(50)
    prior = rd.Prior(s=dist.LogNormal(0.0, 0.5))
    answer = map_fit(Problem([Term("data", normal, y)], prior=prior))
    s = answer.theta["s"]
    slope = -50 / s + np.sum(y**2) / s**3 - 1 / s - np.log(s) / 0.25 / s
    assert abs(slope * s) < 1e-4
    mode = answer.normal.mean[0]  # of log s
    gradient = 50 - np.sum(y**2) * np.exp(-2 * mode) + 4 * mode
    assert abs(gradient) < 1e-4
    curvature = 2 * np.sum(y**2) * np.exp(-2 * mode) + 4
    assert answer.normal.covariance[0, 0] == pytest.approx(1 / curvature, rel=1e-4)
    assert answer.search.steps < 15


def test_curvature_of_many_unknowns_is_that_of_few(monkeypatch):
    """Where the residuals are linear in the weights the large way is exact, too.

    An equation ties the slope to the intercept; Gauss-Newton alone misses a tenth.
    """

    def tied(theta, weights, row):
        return dist.Normal(theta["a"] * weights[0] - weights[1], 1e-3), 0.0

    def measured(theta, weights, row):
        return dist.Normal(weights[0] + weights[1] * row[0], theta["s"]), row[1]

    prior = rd.Prior(a=dist.LogNormal(0.0, 1.0), s=dist.LogNormal(-1.0, 1.0))
    seen = 0.5 + 0.4 * X + 0.3 * np.cos(9 * X)
    problem = Problem(
        [Term("data", measured, (X, seen)), Term("equation", tied)],
        prior=prior,
        init=lambda key: jnp.ones(2),
        weight_scale=10.0,
    )
    few = map_fit(problem).normal
    monkeypatch.setattr("retrodict.physics.curvature.EXACT_UP_TO", 0)
    many = map_fit(problem).normal
    np.testing.assert_allclose(many.mean, few.mean, atol=1e-6)
    np.testing.assert_allclose(many.covariance, few.covariance, rtol=1e-4, atol=1e-7)


def test_terms_that_are_not_normal_use_bfgs():
    y = np.array([0.1, -0.4, 0.3, 8.0])

    def heavy(theta, weights, row):
        return dist.StudentT(2.0, theta["m"], 0.3), row

    prior = rd.Prior(m=dist.Normal(0, 10))
    answer = map_fit(Problem([Term("data", heavy, y)], prior=prior))
    m = np.linspace(-2, 2, 400_001)
    density = scipy.stats.t.logpdf((y - m[:, None]) / 0.3, 2).sum(1)
    density += scipy.stats.norm.logpdf(m, 0, 10)
    assert answer.theta["m"] == pytest.approx(m[np.argmax(density)], abs=2e-5)
    assert answer.converged


def test_unidentified_parameters_are_named():
    def normal(theta, weights, row):
        return dist.Normal(theta["a"] * theta["b"], 0.01), row

    prior = rd.Prior(
        a=dist.LogNormal(0, 1), b=dist.LogNormal(0, 1), c=dist.Normal(0, 1)
    )
    extra = Term("other", lambda theta, w, row: (dist.Normal(theta["c"], 0.01), 0.4))
    answer = map_fit(
        Problem([Term("data", normal, np.full(5, 1.2)), extra], prior=prior)
    )
    assert answer.identified.unidentified == ("a", "b")
    worst = np.abs(answer.identified.directions[-1])
    np.testing.assert_allclose(worst, [np.sqrt(0.5), np.sqrt(0.5), 0], atol=0.02)
    assert {w.code for w in answer.warnings} == {"unidentified"}
    # log a + log b is known: a ridge, of width sd(log a - log b)/2 = sqrt(1/2).
    assert answer.normal.covariance[0, 0] == pytest.approx(0.5, rel=1e-2)


def test_summary_and_tree_look_like_those_of_any_posterior():
    answer = map_fit(conjugate())
    summary = answer.summary()
    assert list(summary) == ["a", "b"]
    assert set(summary["a"]) == {
        "mean",
        "sd",
        "q05",
        "q16",
        "median",
        "q84",
        "q95",
        "unit",
    }
    assert answer.to_datatree(50)["posterior"]["a"].shape == (1, 50)


def test_a_start_that_is_not_finite_is_refused():
    def bad(theta, weights, row):
        return dist.Normal(jnp.log(theta["a"] - 10.0), 1.0), 0.0

    problem = Problem([Term("data", bad)], prior=rd.Prior(a=dist.LogNormal(0, 1)))
    with pytest.raises(ModelError, match=r"problem: .* 'data' is nan"):
        map_fit(problem)


def test_misuse_is_refused():
    term = Term("data", law, (X, Y))
    with pytest.raises(ModelError, match=r"terms: .*'data'"):
        Problem([term, term], init=lambda key: jnp.zeros(4))
    with pytest.raises(ModelError, match="Expected something unknown"):
        Problem([term])
    with pytest.raises(ModelError, match=r"start: .*'z'"):
        Problem([term], prior=rd.Prior(a=dist.Normal(0, 1)), start={"z": 1.0})
