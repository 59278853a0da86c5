"""Two small posteriors, trained once a session."""

from dataclasses import dataclass

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

import retrodict as rd
from trainings import shorten_likelihoods


MEAN = np.array([1.0, -1.0])
SD = np.array([2.0, 0.5])
DESIGN = np.array([[1.0, 0.5, 0.0, -0.3], [0.0, 1.0, 2.0, 0.4]])
NOISE = 0.8
LINEAR_SETTINGS = rd.Settings(
    num_members=2,
    num_layers=2,
    num_bins=6,
    flow_width=32,
    embedding_width=64,
    context_dim=16,
    epochs=25,
    batch_size=64,
)
BOUNDED_SETTINGS = rd.Settings(
    num_members=1,
    num_layers=2,
    num_bins=4,
    flow_width=16,
    embedding_width=32,
    context_dim=8,
    epochs=5,
    batch_size=64,
)


def linear_simulator(key, theta):
    mean = jnp.concatenate([theta["a"][None], theta["b"]]) @ DESIGN.astype(np.float32)
    return mean + NOISE * jr.normal(key, (4,))


def linear_model():
    """theta ~ N(MEAN, SD²), x ~ N(theta DESIGN, NOISE²); ``b`` is a vector of one."""
    prior = rd.Prior(
        a=dist.Normal(MEAN[0], SD[0]),
        b=dist.Normal(jnp.array(MEAN[1:]), SD[1]),
        units={"a": "m", "b": "s"},
    )
    return rd.Model(prior, linear_simulator, name="linear")


@dataclass(frozen=True)
class Exact:
    """The posterior of the linear model in closed form."""

    precision = np.diag(SD**-2) + DESIGN @ DESIGN.T / NOISE**2
    covariance = np.linalg.inv(precision)

    def mean(self, xs):
        shift = MEAN / SD**2 + xs @ DESIGN.T / NOISE**2
        return shift @ self.covariance

    def log_prob(self, theta, xs):
        """theta (n, s, 2) at xs (n, 4)."""
        root = np.linalg.inv(np.linalg.cholesky(self.covariance))
        white = (theta - self.mean(xs)[:, None]) @ root.T
        constant = np.log(np.diag(root)).sum() - np.log(2 * np.pi)
        return constant - 0.5 * (white**2).sum(-1)

    def sample(self, rng, xs, num):
        root = np.linalg.cholesky(self.covariance)
        return self.mean(xs)[:, None] + rng.standard_normal((len(xs), num, 2)) @ root.T

    @property
    def entropy(self):
        return 0.5 * np.linalg.slogdet(2 * np.pi * np.e * self.covariance)[1]


def typical_xs(num, seed=11):
    """Draw observations from the linear model, without the library."""
    rng = np.random.default_rng(seed)
    theta = MEAN + SD * rng.standard_normal((num, 2))
    return theta @ DESIGN + NOISE * rng.standard_normal((num, 4))


def bounded_simulator(key, theta):
    time = jnp.linspace(0.0, 1.0, 16)
    noise = jr.normal(key, (16,))
    series = theta["scale"] * noise + theta["rate"] * time
    return {
        "series": series[:, None],
        "shares": theta["share"] + 0.1 * noise[:3],
        "number": jnp.exp(5 * noise[3]) * theta["rate"],
    }


def bounded_model():
    """One parameter of every kind of support, every kind of series."""
    prior = rd.Prior(
        rate=dist.Uniform(0.0, 0.1),
        scale=dist.LogUniform(1e-3, 1.0),
        share=dist.Dirichlet(jnp.array([1.0, 2.0, 3.0])),
        size=dist.HalfNormal(jnp.ones(2)),
    )
    return rd.Model(prior, bounded_simulator, name="bounded")


@pytest.fixture(scope="module", autouse=True)
def _short_likelihoods():
    """One network and a quarter of the epochs are enough for what is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        shorten_likelihoods(patch, 4)
        patch.setattr("retrodict.posterior.refined.NUM_LEARNED", 1)
        patch.setattr("retrodict.posterior.rounds.NUM_LEARNED", 1)
        yield


@pytest.fixture(scope="session")
def exact():
    return Exact()


@pytest.fixture(scope="session")
def linear_simulations():
    return rd.simulate(linear_model(), 3000, seed=1)


@pytest.fixture(scope="session")
def linear(linear_simulations):
    return rd.fit(linear_simulations, seed=1, settings=LINEAR_SETTINGS)


@pytest.fixture(scope="session")
def bounded_simulations():
    return rd.simulate(bounded_model(), 600, seed=2)


@pytest.fixture(scope="session")
def bounded(bounded_simulations):
    return rd.fit(bounded_simulations, seed=2, settings=BOUNDED_SETTINGS)
