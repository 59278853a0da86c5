r"""Two moons: a posterior of two crescents, each a hundredth as thick as it is far.

.. math::
    x = (r \cos a + \tfrac14,\; r \sin a)
        + \tfrac{1}{\sqrt 2} (-|\theta_1 + \theta_2|,\; \theta_2 - \theta_1),
    \quad a \sim U(-\tfrac{\pi}{2}, \tfrac{\pi}{2}), \; r \sim N(0.1, 0.01^2)

with :math:`\theta_1, \theta_2 \sim U(-1, 1)`. The absolute value makes two crescents,
the noise of r makes them thin. Given x, the map from :math:`(a, r, \pm)` to theta is a
rotation, so the posterior can be sampled exactly.

Source: Greenberg et al. (2019), Automatic posterior transformation, arXiv:1905.07488,
in the version of Lueckmann et al. (2021), Benchmarking simulation-based inference,
arXiv:2101.04653, appendix T.8.
"""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from .._core.errors import DataError
from ..model import Axis, Baseline, Model, Prior, Study


Theta = Mapping[str, Array]

MEAN_RADIUS, RADIUS_SD, SHIFT = 0.1, 0.01, 0.25
NUM_DRAWS = 10_000

DESCRIPTION = """A small problem with a known answer, used to compare methods of
simulation-based inference. The posterior of its two parameters is a pair of thin
crescents: a method that smooths too much, or that finds only one of them, is seen at a
glance. Exact draws are shown beside those of the network."""

SOURCE = (
    "Greenberg, Nonnenmacher and Macke (2019), arXiv:1905.07488; task two_moons of "
    "Lueckmann et al. (2021), arXiv:2101.04653."
)


def _crescent(key: Key[Array, ""]) -> Float[Array, "2"]:
    """Draw a point of the crescent that the noise alone would make."""
    key_angle, key_radius = jr.split(key)
    angle = jr.uniform(key_angle, minval=-jnp.pi / 2, maxval=jnp.pi / 2)
    radius = MEAN_RADIUS + RADIUS_SD * jr.normal(key_radius)
    return jnp.stack([radius * jnp.cos(angle) + SHIFT, radius * jnp.sin(angle)])


def simulator(key: Key[Array, ""], theta: Theta) -> Float[Array, "2"]:
    """Draw one point: a crescent moved by theta."""
    first, second = theta["theta_1"], theta["theta_2"]
    move = jnp.stack([-jnp.abs(first + second), second - first]) / jnp.sqrt(2.0)
    return _crescent(key).astype(move.dtype) + move


def exact_draws(
    key: Key[Array, ""], x_obs: Float[np.ndarray, "2"], num_samples: int
) -> Float[np.ndarray, "num_samples 2"]:
    """Draw from the exact posterior at ``x_obs``, in float64.

    Draw the noise and the sign of theta_1 + theta_2, solve for theta, and keep what
    lies in the prior's square.

    Raises:
        DataError: If no theta of the square can have made ``x_obs``.
    """
    with jax.enable_x64(True):
        kept = np.empty((0, 2))
        for key_round in jr.split(key, 20):
            theta = np.asarray(_propose(key_round, jnp.asarray(x_obs), num_samples))
            kept = np.concatenate([kept, theta[(np.abs(theta) <= 1).all(1)]])
            if len(kept) >= num_samples:
                return kept[:num_samples]
    raise DataError(
        f"x_obs: Expected a point that theta in [-1, 1]^2 can make; got {x_obs}, for "
        f"which {len(kept)} of {20 * num_samples} proposals lie in the square."
    )


@partial(jax.jit, static_argnames="num_samples")
def _propose(
    key: Key[Array, ""], x_obs: Float[Array, "2"], num_samples: int
) -> Float[Array, "num_samples 2"]:
    def propose(key: Key[Array, ""]) -> Float[Array, "2"]:
        key_noise, key_sign = jr.split(key)
        noise = _crescent(key_noise)
        # x_1 = p_1 - |s|, so p_1 < x_1 is impossible: leave the square to be rejected.
        length = jnp.where(noise[0] >= x_obs[0], noise[0] - x_obs[0], jnp.inf)
        total = length * jr.rademacher(key_sign, (), dtype=length.dtype)
        difference = x_obs[1] - noise[1]
        return jnp.stack([total - difference, total + difference]) / jnp.sqrt(2.0)

    return jax.vmap(propose)(jr.split(key, num_samples))


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Draw from the exact posterior at the model's observation."""
    theta = exact_draws(key, np.asarray(model.observed), NUM_DRAWS)
    draws = {"theta_1": theta[:, 0], "theta_2": theta[:, 1]}
    return Baseline("exact", draws, {"draws": float(NUM_DRAWS)})


def study() -> Study:
    """Build the two-moons study."""
    prior = Prior(
        theta_1=dist.Uniform(-1.0, 1.0),
        theta_2=dist.Uniform(-1.0, 1.0),
        labels={"theta_1": r"$\theta_1$", "theta_2": r"$\theta_2$"},
    )
    model = Model(prior, simulator, observed=np.zeros(2), name="two_moons")
    return Study(
        model=model,
        title="Two moons",
        field="benchmark",
        description=" ".join(DESCRIPTION.split()),
        source=SOURCE,
        budget=10_000,
        baseline=baseline,
        axes={"x": Axis(np.arange(1, 3), "component", "value")},
    )
