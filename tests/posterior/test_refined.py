"""Refinement and synthetic pairs, against a posterior in closed form."""

import dataclasses
import re
from importlib import import_module

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import multivariate_normal

import retrodict as rd
from retrodict.estimators import Affine, fit_scalers
from retrodict.posterior.refined import can_refine
from retrodict.posterior.synthetic import Pairs, learn_likelihood
from trainings import shorten_likelihoods

from .conftest import (
    BOUNDED_SETTINGS,
    LINEAR_SETTINGS,
    Exact,
    linear_model,
    linear_simulator,
    typical_xs,
)


FIT = import_module("retrodict.posterior.fit")


@pytest.fixture(scope="module")
def refined():
    """A posterior that saw 4 epochs only: the likelihood has something to correct."""
    simulations = rd.simulate(linear_model(), 600, seed=3)
    hasty = dataclasses.replace(
        LINEAR_SETTINGS, epochs=4, linear_start=False, learning_rate=1e-3
    )
    posterior = rd.fit(simulations, seed=0, settings=hasty)
    likely = dataclasses.replace(LINEAR_SETTINGS, constant_shape=True)
    return rd.refine(posterior, simulations, settings=likely)


def test_a_poor_posterior_is_corrected(refined):
    assert refined.weight > 0.5
    assert refined.scores["refined"] > refined.scores["q"] + 0.05


def _check_moments(refined):
    """Compare draws with the exact posterior: .25 sd and 20 %."""
    always = dataclasses.replace(refined, weight=1.0)
    x = typical_xs(2)
    draws = always.sample(jr.key(0), x, 4000)
    exact = Exact()
    for row, observed in enumerate(x):
        sd = np.sqrt(np.diag(exact.covariance))
        error = (draws[row].mean(0) - exact.mean(observed)) / sd
        assert np.abs(error).max() < 0.25
        np.testing.assert_allclose(draws[row].std(0), sd, rtol=0.2)


def test_refined_draws_have_the_exact_moments(refined):
    """Within .25 sd and 20 %: 600 simulations teach the likelihood."""
    _check_moments(refined)


def test_the_refined_density_is_normalized(refined):
    """Importance sampling from the exact posterior: the mean of r / p is one."""
    always = dataclasses.replace(refined, weight=1.0)
    exact, x = Exact(), typical_xs(1)
    rng = np.random.default_rng(0)
    mean, covariance = exact.mean(x[0]), exact.covariance * 1.5
    theta = rng.multivariate_normal(mean, covariance, 4000)
    log_p = multivariate_normal(mean, covariance).logpdf(theta)
    ratio = np.exp(always.log_prob(theta[None], x)[0] - log_p)
    assert abs(ratio.mean() - 1) < 0.1


def test_the_part_that_serves_held_out_theta_best_is_taken(monkeypatch):
    """Of one moved by a sd of x, which has nearly all weight, and a learned one."""
    simulations = rd.simulate(linear_model(), 600, seed=3)
    posterior = rd.fit(simulations, seed=0, settings=LINEAR_SETTINGS)
    likely = dataclasses.replace(LINEAR_SETTINGS, constant_shape=True)
    right = rd.refine(posterior, simulations, settings=likely).likelihood
    (part,) = right.parts
    scale = part.columns.scale
    moved = dataclasses.replace(scale, mean=scale.mean + scale.scale)
    columns = dataclasses.replace(part.columns, scale=moved)
    wrong = dataclasses.replace(part, columns=columns, weight=0.99)
    both = (wrong, dataclasses.replace(part, weight=0.01))
    monkeypatch.setattr(
        "retrodict.posterior.refined.learn_likelihood",
        lambda *_, **__: dataclasses.replace(right, parts=both),
    )
    found = rd.refine(posterior, simulations).likelihood
    assert [one.columns is part.columns for one in found.parts] == [True]


def test_a_mixture_is_drawn_as_its_density_says(refined):
    """The share of draws outside the refined 90 % interval, .49 of q and .1 of refined.

    Of 4000 draws within 4 standard errors (.038); weights exchanged are .16 off.
    """
    x = typical_xs(1)
    parts = [dataclasses.replace(refined, weight=w) for w in (0.0, 1.0, 0.3)]
    plain, full, mixed = (p.sample(jr.key(1), x, 4000)[0, :, 0] for p in parts)
    low, high = np.quantile(full, (0.05, 0.95))
    of_q, of_refined, found = (
        np.mean((draws < low) | (draws > high)) for draws in (plain, full, mixed)
    )
    assert abs(found - (0.7 * of_q + 0.3 * of_refined)) < 0.038
    theta = full[:9, None] * np.ones((1, 9, refined.posterior.network.space.dim))
    densities = [np.exp(p.log_prob(theta, x)) for p in parts]
    np.testing.assert_allclose(
        densities[2], 0.7 * densities[0] + 0.3 * densities[1], rtol=1e-5
    )


def test_where_few_proposals_count_more_are_drawn(refined, monkeypatch):
    """Four times as many, where eight a draw are usual."""
    asked = []
    draw = type(refined.posterior).sample

    def counted(posterior, key, xs, num_samples):
        asked.append(num_samples)
        return draw(posterior, key, xs, num_samples)

    monkeypatch.setattr(type(refined.posterior), "sample", counted)
    monkeypatch.setattr("retrodict.posterior.refined.HIGH_EFFICIENCY", 1.1)
    refined.sample(jr.key(0), typical_xs(2), 1000)
    assert 32_000 in asked
    assert 8000 not in asked


def test_draws_of_more_proposals_have_the_exact_moments(refined, monkeypatch):
    monkeypatch.setattr("retrodict.posterior.refined.HIGH_EFFICIENCY", 1.1)
    _check_moments(refined)


def test_only_where_too_few_proposals_count_the_posterior_itself_answers(
    refined, monkeypatch
):
    always = dataclasses.replace(refined, weight=1.0)
    never = dataclasses.replace(refined, weight=0.0)
    x, key = typical_xs(3), jr.key(0)
    _, share = always._evidence(x)
    bound = np.sort(share)[1:].mean()  # two of three are below
    monkeypatch.setattr("retrodict.posterior.refined.MIN_EFFICIENCY", bound)
    theta = np.zeros((3, 1, len(refined.names)))
    for found, of_q in (
        (always.log_prob(theta, x), never.log_prob(theta, x)),
        (always.sample(key, x, 50), never.sample(key, x, 50)),
    ):
        same = (found == of_q).reshape(3, -1).all(1)
        np.testing.assert_array_equal(same, share < bound)
    np.testing.assert_array_equal(always.usable(x), share >= bound)


def test_a_long_row_of_theta_is_evaluated_in_pieces(refined, monkeypatch):
    """Sums of other shapes differ by rounding: float32, of logs near ten."""
    x = typical_xs(2)
    theta = np.random.default_rng(0).normal(size=(2, 20, len(refined.names)))
    expected = refined.log_joint(theta, x)
    monkeypatch.setattr("retrodict.posterior.refined.EVALUATIONS", 7)
    np.testing.assert_allclose(refined.log_joint(theta, x), expected, rtol=1e-4)


def test_effective_sample_size_is_a_fraction(refined):
    sizes = refined.effective_sample_size(jr.key(0), typical_xs(2), 500)
    assert ((sizes > 0) & (sizes <= 1)).all()


def test_nuisances_have_no_prior_density_to_weigh_with():
    prior = rd.Prior(a=dist.Normal(0, 1), b=rd.Nuisance(dist.Normal(0, 1)))
    model = rd.Model(prior, lambda key, t: t["a"] + t["b"] + jr.normal(key, (2,)))
    simulations = rd.simulate(model, 200, seed=0)
    posterior = rd.fit(simulations, settings=LINEAR_SETTINGS)
    with pytest.raises(rd.ModelError, match=r"refine: .*nuisances"):
        rd.refine(posterior, simulations)


class Reached(Exception):
    """Ends a call where a test has seen what it wanted."""


STRUCTURES = {
    "series": "x' of shape (4,), series",
    "exchangeable": "x' of shape (4,), exchangeable",
    "missing": "x' of shape (4,), vector, missing",
}


@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_likelihood_is_learned_of_vectors_only(kind):
    """One axis does not make a vector."""
    structure = rd.Structure("vector", missing=True) if kind == "missing" else kind
    model = linear_model()
    read = rd.Model(model.prior, linear_simulator, structure=structure)
    simulations = rd.simulate(read, 100, seed=0)
    posterior = rd.fit(simulations, settings=BOUNDED_SETTINGS)
    with pytest.raises(rd.ModelError, match=re.escape(STRUCTURES[kind])):
        rd.refine(posterior, simulations)
    assert not can_refine(simulations)


@pytest.mark.parametrize("number", [1, 3])
def test_what_fit_has_held_out_is_known_to_refine_and_kept_from_the_likelihood(
    monkeypatch, number
):
    """The weight of a likelihood is fitted on rows that neither was trained on."""
    trained = []
    train = FIT.train_best

    def train_best(*given, **options):
        trained.append(train(*given, **options))
        return trained[-1]

    def stop(key, pairs, held_out, settings, **_):
        raise Reached(held_out)

    monkeypatch.setattr(FIT, "train_best", train_best)
    simulations = rd.simulate(linear_model(), 300, seed=3)
    settings = dataclasses.replace(BOUNDED_SETTINGS, num_members=number)
    posterior = rd.fit(simulations, seed=4, settings=settings)
    monkeypatch.setattr("retrodict.posterior.refined.learn_likelihood", stop)
    with pytest.raises(Reached) as reached:
        rd.refine(posterior, simulations)
    (held_out,) = reached.value.args
    np.testing.assert_array_equal(held_out, trained[0][0].held_out[0])


def test_a_likelihood_does_not_see_what_is_held_out(monkeypatch):
    def stop(key, value, x, *_, **__):
        raise Reached(value, x)

    monkeypatch.setattr("retrodict.posterior.synthetic.fit_surrogate", stop)
    rng = np.random.default_rng(0)
    x = {"x": rng.standard_normal((50, 3))}
    value = rng.standard_normal((50, 2)).astype(np.float32)
    scalers = fit_scalers(x, {"x": rd.Structure("vector")})
    pairs = Pairs(value, x, Affine.fit(value), scalers)
    held_out = np.array([4, 40, 2])
    with pytest.raises(Reached) as reached:
        learn_likelihood(jr.key(0), pairs, held_out, num_members=1)
    for found, rows in zip(reached.value.args, (value, x["x"]), strict=True):
        np.testing.assert_array_equal(found, np.delete(rows, held_out, axis=0))


def test_synthetic_pairs_are_kept_when_they_help(monkeypatch):
    """x = theta + noise of two scales, 800 simulations: judged by fresh ones."""
    monkeypatch.setattr("retrodict.posterior.synthetic.NUM_SYNTHETIC", 5000)
    monkeypatch.setattr("retrodict.posterior.contest.NUM_LEARNED", 1)  # for time
    # A flow that moves must be in it; a quarter of its epochs was a toss-up.
    shorten_likelihoods(monkeypatch, 2, raced=True)
    prior = rd.Prior(a=dist.Uniform(-10.0, 10.0).expand([2]))

    def simulator(key, theta):
        key_scale, key_noise = jr.split(key)
        scale = jnp.where(jr.bernoulli(key_scale), 1.0, 0.1)
        return theta["a"] + scale * jr.normal(key_noise, (2,))

    model = rd.Model(prior, simulator)
    few, fresh = rd.simulate(model, 800, seed=0), rd.simulate(model, 2000, seed=1)
    both = rd.fit(few, num_members=1)
    monkeypatch.setattr("retrodict.posterior.synthetic.MAX_SIMULATIONS", 0)
    alone = rd.fit(few, num_members=1)
    scores = [
        posterior.log_prob(fresh.targets[:, None], fresh.x).mean()
        for posterior in (both, alone)
    ]
    assert scores[0] > scores[1] + 0.02
