r"""The objective of neural posterior estimation (NPE).

We want q(theta|x) close to p(theta|x) for every x the model can produce. Averaged over
x, the Kullback-Leibler divergence is

.. math::

   \mathbb{E}_{p(x)}\, \mathrm{KL}\big[p(\theta|x)\,\|\,q_w(\theta|x)\big]
   = \mathbb{E}_{p(\theta, x)}\big[\log p(\theta|x)\big]
   - \mathbb{E}_{p(\theta, x)}\big[\log q_w(\theta|x)\big].

The first term does not contain the weights w. Minimizing the divergence is therefore
maximizing the expected log-density that the network gives to the parameters which made
the data; its estimate is the mean over simulations :math:`(\theta_i, x_i)`:

.. math:: \mathcal{L}(w) = -\frac{1}{N} \sum_i \log q_w(\theta_i | x_i) .

Source: Papamakarios, Murray (2016), arXiv:1605.06376, proposition 1; Greenberg,
Nonnenmacher, Macke (2019), arXiv:1905.07488, eq. 2.
Deviations from the source: none (theta is unconstrained and standardized first, which
adds a constant).
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..estimators import Estimator


def npe_loss(
    estimator: Estimator,
    value: Float[Array, "batch dim"],
    x: Mapping[str, Array],
) -> Float[Array, ""]:
    """Return the mean negative log-density of a batch, in nats.

    Args:
        estimator: The network; value = theta, condition = x.
        value: Standardized, unconstrained theta.
        x: Standardized series, each ``(batch, ...)``.
    """
    return -jnp.mean(estimator.log_prob_rows(value, x))


def training_loss(
    key: Key[Array, ""],
    estimator: Estimator,
    value: Float[Array, "batch dim"],
    x: Mapping[str, Array],
) -> Float[Array, ""]:
    """Return what training minimizes: :func:`npe_loss`, or the density's own loss.

    Args:
        key: PRNG key, for a loss that is itself an average over random numbers.
        estimator: The network.
        value: Standardized, unconstrained theta.
        x: Standardized series, each ``(batch, ...)``.
    """
    return jnp.mean(estimator.loss_rows(key, value, x))
