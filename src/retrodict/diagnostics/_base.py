"""Argument checks that the diagnostics share."""

import numpy as np
from jaxtyping import Float


def require_finite(name: str, values: Float[np.ndarray, "..."]) -> None:
    """Refuse arrays with NaN or infinite entries, naming how many and the first.

    Raises:
        ValueError: If any entry is not finite.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"Expected finite {name}; got {int(bad.sum())} non-finite of {bad.size}, "
            f"the first at index {first}. Drop those rows, or repair what made them."
        )


def require_paired(
    theta: Float[np.ndarray, "..."], draws: Float[np.ndarray, "..."]
) -> None:
    """Refuse true parameters and draws whose rows or components do not align.

    Raises:
        ValueError: If the shapes are not ``(n, d)`` and ``(n, num_samples, d)``.
    """
    shapes_fit = (
        theta.ndim == 2
        and draws.ndim == 3
        and theta.shape == (draws.shape[0], draws.shape[2])
    )
    if not shapes_fit:
        raise ValueError(
            "Expected theta of shape (num_sims, theta_dim) and draws of shape "
            f"(num_sims, num_samples, theta_dim); got {theta.shape} and {draws.shape}. "
            "Row i of the draws must come from the posterior at simulation i."
        )
    if theta.shape[0] < 1 or draws.shape[1] < 1:
        raise ValueError(
            "Expected at least one simulation and one draw; got theta of shape "
            f"{theta.shape} and draws of shape {draws.shape}."
        )
