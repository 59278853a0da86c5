r"""Posterior contraction and z-score: how much was learned, and how far off.

.. math:: \mathrm{contraction}_j = 1 - \frac{\mathbb E_x \mathrm{Var}[\theta_j | x]}
    {\mathrm{Var}[\theta_j]}, \qquad z_{ij} = \frac{\mathbb E[\theta_j | x_i] -
    \theta^*_{ij}}{\mathrm{sd}[\theta_j | x_i]}

Contraction near 1 means the data pin the parameter down, near 0 that they do not speak
of it: a property of the model, not an error. For an exact posterior it lies in [0, 1].

Source: Schad, Betancourt, Vasishth (2021), Toward a principled Bayesian workflow in
cognitive science, arXiv:1904.12765, section "Model sensitivity".
Deviations from the source: the posterior variance is averaged over simulations before
the ratio is formed (law of total variance), rather than one ratio per simulation.
"""

import numpy as np
from jaxtyping import Float

from ._base import require_paired


def contraction(
    theta: Float[np.ndarray, "num_sims theta_dim"],
    posterior_samples: Float[np.ndarray, "num_sims num_samples theta_dim"],
) -> Float[np.ndarray, " theta_dim"]:
    """Measure the share of each parameter's prior variance that the data remove.

    Args:
        theta: Parameters drawn from the prior, whose variance is the prior's.
        posterior_samples: Draws at each simulation's own x.

    Returns:
        One number per parameter, at most 1; 0 if the data say nothing.

    Raises:
        ValueError: If shapes do not align.
    """
    require_paired(theta, posterior_samples)
    return contraction_from_variances(theta, posterior_samples.var(axis=1))


def contraction_from_variances(
    theta: Float[np.ndarray, "num_prior theta_dim"],
    variances: Float[np.ndarray, "num_sims theta_dim"],
) -> Float[np.ndarray, " theta_dim"]:
    """Measure contraction where posterior variances are already known.

    Args:
        theta: Draws of the prior, of any number.
        variances: Of the posterior, in every simulation.
    """
    prior = theta.var(axis=0)
    ratio = variances.mean(axis=0) / np.where(prior > 0, prior, 1.0)
    return np.where(prior > 0, 1 - ratio, 0.0)


def z_scores(
    theta: Float[np.ndarray, "num_sims theta_dim"],
    posterior_samples: Float[np.ndarray, "num_sims num_samples theta_dim"],
) -> Float[np.ndarray, "num_sims theta_dim"]:
    """Measure how far posterior means lie from the truth, in posterior sds.

    Raises:
        ValueError: If shapes do not align.
    """
    require_paired(theta, posterior_samples)
    sd = posterior_samples.std(axis=1)
    return (posterior_samples.mean(axis=1) - theta) / np.where(sd > 0, sd, 1.0)
