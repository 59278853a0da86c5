r"""SLCP with distractors: the eight numbers of SLCP among 92 that say nothing.

The 92 are one draw from a mixture of 20 Student distributions with two degrees of
freedom, :math:`\text{loc}_k + L_k z / \sqrt{g/2}` with :math:`z \sim N(0, I_{92})` and
:math:`g \sim \chi^2_2`; all 100 stand in a fixed, shuffled order. The constants were
drawn once by the authors, with a seed that they published, and are drawn again here.

Source: Greenberg et al. (2019), Automatic posterior transformation, arXiv:1905.07488;
Lueckmann et al. (2021), arXiv:2101.04653, appendix T.4, and the code of sbibm. Some
diagonal entries of L are negative, as in that code.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ...model import Model, Study
from . import slcp
from ._study import task_study


NUM_COMPONENTS, NUM_DISTRACTORS, DIM = 20, 92, 100
SEED = 42  # of sbibm


@dataclass(frozen=True)
class Constants:
    """The fixed numbers of the task.

    Attributes:
        loc: Centers of the components.
        scale_tril: Their lower triangular scales.
        order: Which of the eight numbers and 92 distractors stands where.
    """

    loc: Float[np.ndarray, "20 92"]
    scale_tril: Float[np.ndarray, "20 92 92"]
    order: Int[np.ndarray, "100"]


@functools.cache
def constants() -> Constants:
    """Draw the constants as sbibm did, in this order."""
    generator = np.random.RandomState(SEED)
    size = NUM_DISTRACTORS
    loc = np.stack([15 * generator.normal(size=size) for _ in range(NUM_COMPONENTS)])
    scales = []
    for _ in range(NUM_COMPONENTS):
        lower = np.tril(generator.normal(size=(size, size)))
        scales.append(3 * (lower + np.diag(np.exp(generator.normal(size=size)))))
    return Constants(loc, np.stack(scales), generator.permutation(DIM))


def distractors(key: Key[Array, ""]) -> Float[Array, "92"]:
    """Draw the numbers that say nothing."""
    key_component, key_normal, key_radius = jr.split(key, 3)
    fixed = constants()
    k = jr.randint(key_component, (), 0, NUM_COMPONENTS)
    loc, scale_tril = jnp.asarray(fixed.loc)[k], jnp.asarray(fixed.scale_tril)[k]
    z = jr.normal(key_normal, (NUM_DISTRACTORS,), loc.dtype)
    # Chi-squared with two degrees of freedom, halved: never zero in float32, which
    # the logarithm of a uniform draw may be.
    half_g = jnp.mean(jr.normal(key_radius, (2,), loc.dtype) ** 2)
    return loc + scale_tril @ z / jnp.sqrt(half_g)


def simulator(key: Key[Array, ""], theta: Mapping[str, Array]) -> Float[Array, "100"]:
    """Draw four points and the distractors, shuffled."""
    key_points, key_noise = jr.split(key)
    points = slcp.simulator(key_points, theta)
    noise = distractors(key_noise).astype(points.dtype)
    return jnp.concatenate([points, noise])[constants().order]


def study() -> Study:
    """Build the study of the task."""
    return task_study(
        Model(slcp.prior(), simulator, name="slcp_distractors"),
        "SLCP with distractors",
        """The eight numbers of the task slcp, hidden among 92 that have heavy tails and
        say nothing of the parameters. A method must find out which to listen to.""",
        axis=DIM,
    )
