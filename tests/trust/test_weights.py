"""A distribution over networks, on the smallest model there is."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

from retrodict.model import Model, Prior
from retrodict.posterior import fit, load
from retrodict.simulations import simulate
from retrodict.training import Settings
from retrodict.trust import Ensemble, Laplace, Swag, uncertainty, weight_posterior
from retrodict.trust.weights import Moments, _best_scale, _center


SMALL = Settings(
    num_members=1,
    num_layers=1,
    num_bins=4,
    flow_width=8,
    embedding_width=8,
    context_dim=4,
    num_blocks=1,
    epochs=4,
    batch_size=16,
)


@pytest.fixture(scope="module")
def simulations():
    prior = Prior(theta=dist.Normal(0.0, 1.0), other=dist.Normal(0.0, 1.0))
    model = Model(prior, lambda key, t: t["theta"] + jr.normal(key, (2,)), name="pair")
    return simulate(model, 120, seed=0)


@pytest.fixture(scope="module")
def single(simulations):
    return fit(simulations, settings=SMALL)


@pytest.mark.parametrize(
    "method",
    [Ensemble(3), Laplace(3), Swag(3, epochs=12)],
    ids=lambda m: type(m).__name__,
)
def test_every_method_gives_a_posterior_that_can_be_saved(
    method, simulations, single, tmp_path
):
    found = weight_posterior(single, simulations, method)
    assert len(found.network.members) == 3
    again = weight_posterior(single, simulations, method)
    xs = simulations.x[:5]
    draws = found.sample(jr.key(0), xs, 20)
    np.testing.assert_array_equal(draws, again.sample(jr.key(0), xs, 20))
    found.save(tmp_path / "networks.retrodict")
    loaded = load(tmp_path / "networks.retrodict")
    np.testing.assert_allclose(loaded.log_prob(draws, xs), found.log_prob(draws, xs))


def test_a_shared_embedding_is_refused():
    prior = Prior(theta=dist.Normal(0.0, 1.0))
    model = Model(prior, lambda key, t: t["theta"] + jr.normal(key, (4, 3)), name="map")
    rows = simulate(model, 200, seed=0)
    settings = dataclasses.replace(
        SMALL, embedding_epochs=1, epochs=30, grid_embedding="local_average"
    )
    with pytest.raises(ValueError, match=r"as a whole.*embedding_epochs=0"):
        weight_posterior(fit(rows, settings=settings), rows)


def test_mixture_of_different_networks_has_epistemic_width(simulations, single):
    networks = weight_posterior(single, simulations, Ensemble(3))
    parts = uncertainty(networks, simulations.x[:20])
    assert (parts.epistemic > 0).all()
    assert ((parts.share > 0) & (parts.share < 1)).all()
    # Given x, theta has sd 1 / sqrt 3 and other is a standard normal.
    assert parts.aleatoric[1] > parts.aleatoric[0] > 0.3
    same = dataclasses.replace(
        networks.network, members=networks.network.members[:1] * 3
    )
    networks.network = same
    agreed = uncertainty(networks, simulations.x[:20])
    # What is left is the noise of 200 draws, taken off on average.
    assert (agreed.epistemic < 0.1 * agreed.aleatoric).all()


def test_a_single_network_disagrees_with_none(simulations, single):
    with pytest.raises(ValueError, match=r"two networks or more; got 1"):
        uncertainty(single, simulations.x[:5])


def test_scale_is_the_one_that_scores_best(simulations, single):
    """Where the center is sharp and wrong, networks must spread; where not, never."""
    (center, build), _, scored = _center(jr.key(0), single, simulations)
    moments = Moments(center, 0.3 * jnp.ones_like(center), jnp.zeros((0, len(center))))

    def score(networks):
        each = [jax.vmap(network.log_prob)(*scored) for network in networks]
        return float(jnp.mean(jax.nn.logsumexp(jnp.stack(each), axis=0)))

    chosen = score(_best_scale(jr.key(1), moments, build, scored, 5))
    assert chosen >= score([build(center)] * 5) - 1e-4
    far = [build(center + 0.9 * jr.normal(jr.key(2), center.shape)) for _ in range(5)]
    assert chosen > score(far)
