"""The likelihood of binary entries, against the probabilities that made them."""

import jax
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from scipy.special import expit
from scipy.stats import bernoulli

import retrodict as rd
from retrodict.posterior.binary import BinaryLikelihood, fit_binary, is_binary


SLOPES = np.array([[1.0, -0.5, 0.3, 2.0], [0.2, 0.8, -1.0, 0.0]])
OFFSETS = np.array([0.0, -0.5, 1.0, 0.2])


def _rows(count, seed, bend=0.0):
    rng = np.random.default_rng(seed)
    value = rng.standard_normal((count, 2)).astype(np.float32)
    log_odds = value @ SLOPES + OFFSETS + bend * value[:, :1] ** 2
    bits = rng.uniform(size=log_odds.shape) < expit(log_odds)
    return value, 3.0 + 2.0 * bits, expit(log_odds)


def test_which_entries_are_binary():
    assert is_binary(np.array([[0.0, 5.0], [1.0, 7.0], [0.0, 5.0]]))
    assert not is_binary(np.array([[0.0], [1.0], [2.0]]))


def test_probabilities_are_found_in_either_shape():
    """4000 rows: each weight has an error of about .04."""
    for bend, columns in ((0.0, 3), (1.0, 6)):
        value, x, _ = _rows(4000, 0, bend)
        found = fit_binary(value, x)
        assert found.weights.shape == (columns, 4)
        fresh, x, chance = _rows(2000, 1, bend)
        exact = bernoulli(chance).logpmf(x == 5.0).sum(1)
        log_prob = found.log_prob(found.coordinates(x), fresh)
        assert abs((log_prob - exact).mean()) < 0.02


def test_draws_have_the_probabilities():
    """False-alarm rate below 1e-4: 40 000 draws of each of four entries, 4.5 sd."""
    found = fit_binary(*_rows(4000, 0)[:2])
    drawn = found.sample(jr.key(0), np.zeros((40_000, 2), np.float32))
    assert set(np.unique(drawn)) == {3.0, 5.0}
    expected = expit(found.weights[0])
    error = np.sqrt(expected * (1 - expected) / 40_000)
    assert (np.abs((drawn == 5.0).mean(0) - expected) < 4.5 * error).all()


def test_an_entry_that_never_changed_is_as_likely_as_what_was_learned():
    """What was the same in all rows is coded alike in training and afterwards."""
    value, x, _ = _rows(500, 0)
    x[:, 1] = 3.0
    found = fit_binary(value, x)
    assert (found.coordinates(x)[:, 1] == -1).all()
    usual, rare = x[:1], np.where(np.arange(4) == 1, 5.0, x[:1])
    log_prob = [
        found.log_prob(found.coordinates(r), value[:1])[0] for r in (usual, rare)
    ]
    assert log_prob[0] > -10
    assert log_prob[1] == log_prob[0]


def test_refinement_uses_it():
    prior = rd.Prior(w=dist.Normal(0, 1).expand([2]))

    def simulator(key, theta):
        chance = jax.nn.sigmoid(theta["w"] @ SLOPES + OFFSETS)
        return jr.bernoulli(key, chance).astype(float)

    sims = rd.simulate(rd.Model(prior, simulator), 1000, seed=0)
    hasty = rd.Settings(num_members=1, num_layers=2, epochs=1, linear_start=False)
    refined = rd.refine(rd.fit(sims, settings=hasty), sims)
    assert isinstance(refined.likelihood, BinaryLikelihood)
    assert refined.scores["refined"] > refined.scores["q"] + 0.05
