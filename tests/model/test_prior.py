import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats as stats

from retrodict._core.errors import ModelError
from retrodict.model import Nuisance, Prior


COVARIANCE = np.array([[2.0, 0.6], [0.6, 0.5]])
SCALARS = {
    "normal": (dist.Normal(1.0, 2.0), stats.norm(1, 2)),
    "lognormal": (dist.LogNormal(0.5, 0.7), stats.lognorm(0.7, scale=np.exp(0.5))),
    "truncated": (
        dist.TruncatedNormal(2.0, 1.0, low=0.0),
        stats.truncnorm(-2.0, np.inf, loc=2.0),
    ),
    "uniform": (dist.Uniform(-3.0, 0.1), stats.uniform(-3.0, 3.1)),
    "loguniform": (dist.LogUniform(1e-3, 10.0), stats.loguniform(1e-3, 10.0)),
    "beta": (dist.Beta(2.0, 5.0), stats.beta(2, 5)),
    "gamma": (dist.Gamma(3.0, 2.0), stats.gamma(3, scale=0.5)),
    "cauchy": (dist.HalfCauchy(2.0), stats.halfcauchy(scale=2.0)),
}


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.stat
def test_scalars_agree_with_scipy(name, getkey):
    """Kolmogorov-Smirnov at 1e-6 for each of 8 priors: false alarms below 1e-5."""
    distribution, expected = SCALARS[name]
    prior = Prior(a=distribution)
    draws = prior.sample(getkey(), 4000)["a"]
    assert draws.shape == (4000,)
    assert draws.dtype == np.float64
    assert stats.kstest(draws, expected.cdf).pvalue > 1e-6
    np.testing.assert_allclose(
        prior.log_prob({"a": draws}), expected.logpdf(draws), rtol=1e-5, atol=1e-5
    )
    u = prior.space.unconstrain(draws[:, None])
    assert np.isfinite(u).all()


def test_log_prob_outside_the_support_is_minus_infinity():
    prior = Prior(a=dist.Uniform(0.0, 1.0), b=dist.Normal(0.0, 1.0))
    rows = {"a": np.array([-0.1, 0.5, 1.1]), "b": np.zeros(3)}
    expected = [-np.inf, stats.norm.logpdf(0.0), -np.inf]
    np.testing.assert_allclose(prior.log_prob(rows), expected, rtol=1e-6)
    nowhere = {"a": np.array([2.0]), "b": np.zeros(1)}
    assert np.isneginf(prior.log_prob(nowhere)).all()


def test_log_prob_refuses_nan():
    prior = Prior(a=dist.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match=r"theta.*1 NaN"):
        prior.log_prob({"a": np.array([0.0, np.nan])})


def _dependent():
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("items", 3):
        numpyro.sample("value", dist.Normal(0.0, scale))


JOINTS = {
    "vector": Prior(a=dist.Normal(jnp.arange(3.0), 1.0), b=dist.HalfNormal(2.0)),
    "normal": Prior(a=dist.MultivariateNormal(jnp.array([1.0, -1.0]), COVARIANCE)),
    "dirichlet": Prior(a=dist.Dirichlet(jnp.array([1.0, 2.0, 3.0]))),
    "function": Prior(_dependent),
}


def _expected_log_prob(name, rows):
    if name == "vector":
        centred = rows["a"] - np.arange(3.0)
        return stats.norm.logpdf(centred).sum(1) + stats.halfnorm.logpdf(
            rows["b"], scale=2.0
        )
    if name == "normal":
        return stats.multivariate_normal([1.0, -1.0], COVARIANCE).logpdf(rows["a"])
    if name == "dirichlet":
        return stats.dirichlet([1.0, 2.0, 3.0]).logpdf(rows["a"].T)
    values = stats.norm.logpdf(rows["value"], scale=rows["scale"][:, None]).sum(1)
    return values + stats.halfnorm.logpdf(rows["scale"])


@pytest.mark.parametrize("name", JOINTS)
def test_joint_priors_agree_with_scipy(name, getkey):
    prior = JOINTS[name]
    rows = prior.sample(getkey(), 50)
    flat = prior.space.flatten(rows)
    assert flat.dtype == np.float64
    assert prior.space.contains(flat).all()
    back = prior.space.unflatten(flat)
    for field in prior.space.fields:
        assert rows[field.name].shape == (50, *field.shape)
        np.testing.assert_array_equal(back[field.name], rows[field.name])
    expected = _expected_log_prob(name, rows)
    np.testing.assert_allclose(prior.log_prob(rows), expected, rtol=1e-5, atol=1e-5)
    u = prior.space.unconstrain(flat)
    assert u.shape == (50, prior.space.unconstrained_dim)
    np.testing.assert_allclose(prior.space.constrain(u), flat, rtol=1e-6, atol=1e-9)


@pytest.mark.stat
def test_a_dependent_prior_is_drawn_from_its_joint(getkey):
    """Kolmogorov-Smirnov of value/scale against a normal at 1e-6."""
    rows = JOINTS["function"].sample(getkey(), 2000)
    ratio = rows["value"] / rows["scale"][:, None]
    assert stats.kstest(ratio.ravel(), stats.norm.cdf).pvalue > 1e-6


def test_names_are_in_declared_order():
    prior = Prior(
        zeta=dist.Normal(0, 1),
        alpha=dist.Normal(jnp.zeros((2, 2)), 1),
        mid=dist.Normal(jnp.zeros(2), 1),
    )
    assert prior.names == ("zeta", "alpha", "mid")
    assert prior.space.names == (
        "zeta",
        *("alpha[0,0]", "alpha[0,1]", "alpha[1,0]", "alpha[1,1]"),
        *("mid[0]", "mid[1]"),
    )


def test_adding_a_parameter_does_not_change_the_draws_of_the_others(getkey):
    key = getkey()
    one = Prior(a=dist.Normal(0, 1)).sample(key, 5)
    two = Prior(b=dist.Normal(0, 1), a=dist.Normal(0, 1)).sample(key, 5)
    np.testing.assert_array_equal(one["a"], two["a"])
    assert not np.array_equal(two["a"], two["b"])


def test_draw_can_be_compiled(getkey):
    key = getkey()
    for prior in JOINTS.values():
        eager, compiled = prior.draw(key), jax.jit(prior.draw)(key)
        for name, value in eager.items():
            np.testing.assert_allclose(value, compiled[name], rtol=1e-5, atol=1e-6)


def test_nuisances_units_and_labels():
    prior = Prior(
        beta=dist.HalfNormal(1.0),
        shift=Nuisance(dist.Normal(0, 0.1)),
        units={"beta": "1/day"},
        labels={"beta": r"$\beta$"},
    )
    assert prior.nuisances == ("shift",)
    beta, shift = prior.space.fields
    assert (beta.unit, beta.label) == ("1/day", r"$\beta$")
    assert (shift.unit, shift.label) == ("", "shift")
    assert prior.describe()["shift"].startswith("Normal(")


@pytest.mark.parametrize("argument", ["units", "labels"])
def test_a_typo_is_answered_by_a_suggestion(argument):
    with pytest.raises(ModelError, match=f"{argument}:.*'bta'.*mean 'beta'"):
        Prior(beta=dist.Normal(0, 1), **{argument: {"bta": "1"}})


def _dependent_support():
    low = numpyro.sample("low", dist.Uniform(0.0, 1.0))
    numpyro.sample("high", dist.Uniform(low, 2.0))


def _observed():
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.sample("data", dist.Normal(mean, 1.0), obs=1.0)


def _factor():
    numpyro.sample("mean", dist.Normal(0.0, 1.0))
    numpyro.factor("weight", -1.0)


def _discrete():
    numpyro.sample("count", dist.Poisson(3.0))


def _empty():
    pass


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (_dependent_support, "'high' depends on other parameters"),
        (_observed, "'data' is observed"),
        (_factor, "'weight' is observed"),
        (_discrete, "'count' is discrete"),
        (_empty, "no `numpyro.sample`"),
    ],
)
def test_model_functions_that_are_no_prior_are_refused(function, match):
    with pytest.raises(ModelError, match=match):
        Prior(function)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "neither"),
        ({"a": 1.0}, "'a'.*got 1.0"),
        ({"a": "Normal"}, "'a'.*got 'Normal'"),
        ({"a": dist.Poisson(2.0)}, "'a' is discrete"),
        ({"a": dist.DiscreteUniform(0, 3)}, "'a' is discrete"),
        ({"a": dist.Uniform(1.0, 0.0)}, "'a'"),
    ],
)
def test_what_is_no_prior_is_refused(arguments, match, without_type_checks):
    with pytest.raises(ModelError, match=match):
        Prior(**arguments)


def test_names_and_a_function_together_are_refused():
    with pytest.raises(ModelError, match="both"):
        Prior(_dependent, a=dist.Normal(0, 1))


def test_a_key_is_not_reused(getkey):
    first, second = jr.split(getkey())
    prior = Prior(a=dist.Normal(0, 1))
    assert not np.array_equal(prior.sample(first, 3)["a"], prior.sample(second, 3)["a"])


@pytest.mark.parametrize(
    ("distribution", "kind", "scale"),
    [
        (dist.Exponential(5.0), "half_line", (0.2,)),
        (dist.HalfNormal(2.0), "half_line", (2.0 * (2 / np.pi) ** 0.5,)),
        (dist.Gamma(3.0, 6.0), "half_line", (0.5,)),
        (dist.Gamma(0.5, 6.0), "lower", ()),
        (dist.LogNormal(0.0, 1.0), "lower", ()),
        (dist.HalfCauchy(1.0), "lower", ()),
    ],
)
def test_only_priors_with_light_tails_have_a_half_line(distribution, kind, scale):
    field = Prior(a=distribution).space.fields[0]
    assert field.support.kind == kind
    np.testing.assert_allclose(field.support.scale, scale, rtol=1e-6)


def test_a_scale_that_depends_on_another_parameter_is_none():
    def model():
        a = numpyro.sample("a", dist.HalfNormal(1.0))
        numpyro.sample("b", dist.Exponential(a))

    kinds = [field.support.kind for field in Prior(model).space.fields]
    assert kinds == ["lower", "lower"]
