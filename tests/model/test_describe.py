"""Priors in words: what a report says of them, and what tells two campaigns apart."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest

import retrodict as rd
from retrodict.model.describe import describe_distribution


EXP = dist.transforms.ExpTransform()
AFFINE = dist.transforms.AffineTransform(1.0, 2.0)
TWO = dist.Normal(jnp.array([0.0, 3.0]), 1.0)
WORDS = [
    (dist.Normal(2, 1), "Normal(loc=2, scale=1)"),
    (dist.Normal(1e-21, 0.1), "Normal(loc=1e-21, scale=0.1)"),
    (
        dist.TruncatedNormal(2, 1, low=0),
        "Normal(loc=2, scale=1) truncated to [0, inf)",
    ),
    (
        dist.TruncatedNormal(0, 1, high=2.5),
        "Normal(loc=0, scale=1) truncated to (-inf, 2.5]",
    ),
    (
        dist.TruncatedCauchy(0, 1, low=-1, high=2),
        "Cauchy(loc=0, scale=1) truncated to [-1, 2]",
    ),
    (
        dist.TruncatedNormal(jnp.zeros(2), 1, low=0).to_event(1),
        "Normal(loc=0, scale=1) truncated to [0, inf), shape 2",
    ),
    (dist.LogNormal(0, 0.5), "LogNormal(loc=0, scale=0.5)"),
    (dist.LogUniform(1.0, 10.0), "LogUniform(low=1, high=10)"),
    (dist.Uniform(0, 1).expand([3]).to_event(1), "Uniform(low=0, high=1), shape 3"),
    (
        dist.Normal(jnp.arange(3.0), 1).to_event(1),
        "Normal(loc=[0, 1, 2], scale=1), shape 3",
    ),
    (
        dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)),
        "MultivariateNormal(loc=0, covariance_matrix=[[1, 0], [0, 1]]), shape 2",
    ),
    (
        dist.TransformedDistribution(dist.Normal(0, 1), [AFFINE, EXP]),
        "Normal(loc=0, scale=1) through Affine(loc=1, scale=2), then Exp",
    ),
    (
        dist.MixtureSameFamily(dist.Categorical(jnp.array([0.25, 0.75])), TWO),
        "mixture of Normal(loc=[0, 3], scale=1), weights [0.25, 0.75]",
    ),
]


@pytest.mark.parametrize(("site", "words"), WORDS, ids=[w for _, w in WORDS])
def test_words(site, words):
    assert describe_distribution(site) == words


def test_long_arrays_are_told_apart():
    one, other = (
        describe_distribution(dist.Normal(jnp.arange(50.0) + shift, 1).to_event(1))
        for shift in (0.0, 1e-3)
    )
    assert one != other
    assert "<50 array " in one
    assert len(one) < 60


def test_dependent_priors_do_not_show_one_accidental_draw():
    def function():
        center = numpyro.sample("center", dist.Normal(0, 1))
        numpyro.sample("level", dist.Normal(center, 1))

    assert rd.Prior(function).describe() == {
        "center": "Normal(loc=0, scale=1)",
        "level": "Normal, given other parameters",
    }


def test_a_prior_that_was_narrowed_is_another_campaign(tmp_path):
    def simulator(key, theta):
        del key
        return theta["a"] * jnp.ones(2)

    before, after = (
        rd.Model(rd.Prior(a=dist.TruncatedNormal(0, s, low=0)), simulator)
        for s in (1.0, 0.5)
    )
    rd.simulate(before, 10, out=tmp_path)
    with pytest.raises(rd.DataError, match=r"scale=0\.5"):
        rd.simulate(after, 10, out=tmp_path)
