"""What simulations look like to x, to the embedding and to the ensemble."""

from dataclasses import replace

import jax.random as jr
import numpy as np
import pytest

from retrodict.posterior.typical import LEVELS, Typical, _log_disagreement

from .conftest import DESIGN, MEAN, typical_xs


@pytest.fixture(scope="module")
def contexts(linear):
    def embed(xs):
        return linear.network.embed({"x": xs})

    return embed


@pytest.mark.stat
def test_false_alarms_of_all_three_together(linear):
    """Nominal 1.2 %; 4 % of 300 is 4.5 binomial sds above (false alarm 4e-5)."""
    found = [linear.at(x).warnings for x in typical_xs(300)]
    assert sum(map(bool, found)) <= 12, found


def test_what_is_far_is_odd_to_every_one(linear):
    usual = MEAN @ DESIGN
    oddity = linear.reference.check(linear.network, {"x": usual[None]})
    assert min(oddity.p_embedding, oddity.p_disagreement, oddity.x.p_value) > 0.01
    assert oddity.disagreement < 10 * oddity.usual_disagreement
    far = {"x": usual[None] * 1e4}
    oddity = linear.reference.check(linear.network, far)
    assert oddity.x.p_value < LEVELS["x"]
    assert oddity.p_embedding < LEVELS["embedding"]
    codes = [w.code for w in linear.at(usual * 1e4).warnings]
    assert codes[:2] == ["W-ood", "W-ood-embedding"]


@pytest.mark.stat
def test_disagreement_is_the_mean_divergence_of_pairs(linear, contexts):
    """64 draws against 4000 others, averaged over 60 x."""
    xs = typical_xs(60)
    network, context = linear.network, contexts(xs)
    found = np.exp(_log_disagreement(network, context))
    nats = np.zeros(len(xs))
    for one, other in ((0, 1), (1, 0)):
        member = replace(network, members=network.members[one : one + 1], _programs={})
        draws = member.sample(jr.key(one), context[one : one + 1], 4000)
        log_prob = network.member_log_prob(draws, context)
        nats += (log_prob[one] - log_prob[other]).mean(axis=1) / 2
    assert found.mean() == pytest.approx(nats.mean(), rel=0.2)
    same = replace(network, members=network.members[:1] * 2, _programs={})
    alone = np.exp(_log_disagreement(same, context[[0, 0]]))
    np.testing.assert_allclose(alone, 1e-6, rtol=1e-6)  # the floor: none


def test_arrays_and_back(linear):
    arrays = linear.reference.to_arrays()
    again = Typical.from_arrays(arrays)
    x = {"x": typical_xs(1)}
    assert again.check(linear.network, x) == linear.reference.check(linear.network, x)
    del arrays["disagreement"]
    with pytest.raises(ValueError, match=r"array disagreement; got \[\]"):
        Typical.from_arrays(arrays)


def test_a_single_network_disagrees_with_none(bounded, bounded_simulations):
    assert not len(bounded.reference.disagreement)
    x = {k: v[0] for k, v in bounded_simulations.x.items()}
    assert "W-disagreement" not in [w.code for w in bounded.at(x).warnings]
