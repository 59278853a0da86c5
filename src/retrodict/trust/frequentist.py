r"""Credible and confidence: coverage averaged over the prior, and at fixed theta.

A 90 % credible interval holds the truth in 90 % of repetitions *in which the truth is
drawn from the prior*. A 90 % confidence interval would hold it in at least 90 % of
repetitions at *every* fixed truth. The first is what a posterior promises; the second
is measured here for the truths one asks about. Where they differ, it is the prior that
speaks: far from its center intervals cover less, near it they cover more.

Source: Hermans et al. (2022), arXiv:2110.06581 (expected coverage); Masserano et al.
(2023), Simulator-based inference with Waldo, arXiv:2205.15680 (the distinction).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._core.seeds import stream_key
from ..diagnostics import central_levels, hpd_levels, pit_values, sbc_ranks
from ..model import Model
from ..simulations import like_series, simulate, simulate_at
from .validate import Posterior


@dataclass(frozen=True, eq=False)
class CoverageTable:
    """Coverage at fixed parameters beside coverage over the prior.

    Attributes:
        names: Parameters.
        level: Nominal probability of the regions.
        theta: The fixed parameters, one row each.
        joint: Share of repetitions whose highest-density region holds that row.
        marginal: The same for the central interval of each parameter.
        bayesian_joint: Share over simulations from the prior, highest-density regions.
        bayesian_marginal: The same for central intervals.
        num_repetitions: Simulations per row, and from the prior; fewer where some fail.
    """

    names: tuple[str, ...]
    level: float
    theta: Float[np.ndarray, "num_rows theta_dim"]
    joint: Float[np.ndarray, " num_rows"]
    marginal: Float[np.ndarray, "num_rows theta_dim"]
    bayesian_joint: float
    bayesian_marginal: Float[np.ndarray, " theta_dim"]
    num_repetitions: int

    @property
    def standard_error(self) -> float:
        """Standard error of each share if it is nominal."""
        return float(np.sqrt(self.level * (1 - self.level) / self.num_repetitions))

    def to_markdown(self) -> str:
        """Write the table, fixed parameters first, the average over the prior last."""
        head = [f"theta = ({', '.join(self.names)})", "joint region", *self.names]
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for row, joint, marginal in zip(
            self.theta, self.joint, self.marginal, strict=True
        ):
            title = "(" + ", ".join(f"{value:.3g}" for value in row) + ")"
            lines.append(_line(title, joint, marginal))
        lines.append(
            _line("drawn from the prior", self.bayesian_joint, self.bayesian_marginal)
        )
        return "\n".join(lines)


def _line(title: str, joint: float, marginal: Float[np.ndarray, " theta_dim"]) -> str:
    return "| " + " | ".join([title, *(f"{v:.1%}" for v in (joint, *marginal))]) + " |"


def frequentist_coverage(
    posterior: Posterior,
    model: Model,
    theta: Mapping[str, Any],
    *,
    level: float = 0.9,
    num_repetitions: int = 500,
    seed: int = 0,
) -> CoverageTable:
    """Measure how often credible regions hold the truth when the truth is fixed.

    Args:
        posterior: Any object with ``sample(key, xs, num_samples)`` and
            ``log_prob(theta, xs)``.
        model: The model.
        theta: Fixed values, one array ``(num_rows, *shape)`` per sampled parameter;
            those left out (nuisances, say) are drawn from the prior in each repetition.
        level: Nominal probability.
        num_repetitions: Simulations of each row.
        seed: Seed of simulations and draws.

    Raises:
        ValueError: If ``level`` is not inside (0, 1) or a target is derived.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: Expected a number in (0, 1); got {level}.")
    if any(field.name in model.derive for field in model.targets.fields):
        raise ValueError(
            "model: Expected sampled targets; a derived target is not fixed by theta."
        )
    rows = model.flatten(theta)
    key = stream_key(seed, "frequentist")
    found = []
    for number, row in enumerate(rows):
        keys = jr.split(jr.fold_in(key, number), 3)
        parameters = model.prior.sample(keys[0], num_repetitions)
        fixed = {
            name: np.repeat(np.asarray(value)[number : number + 1], num_repetitions, 0)
            for name, value in theta.items()
        }
        series = simulate_at(keys[1], model, {**parameters, **fixed})
        count = len(next(iter(series.values())))
        xs = like_series(series, set(series) == {"x"})
        found.append(_inside(keys[2], posterior, np.tile(row, (count, 1)), xs, level))
    usual = simulate(model, num_repetitions, seed=seed, stream="frequentist").ok()
    bayesian = _inside(
        jr.fold_in(key, len(rows)), posterior, usual.targets, usual.x, level
    )
    return CoverageTable(
        names=tuple(model.target_names),
        level=level,
        theta=rows,
        joint=np.array([joint for joint, _ in found]),
        marginal=np.array([marginal for _, marginal in found]),
        bayesian_joint=bayesian[0],
        bayesian_marginal=bayesian[1],
        num_repetitions=num_repetitions,
    )


def _inside(
    key: PRNGKeyArray, posterior: Posterior, theta: np.ndarray, xs: Any, level: float
) -> tuple[float, Float[np.ndarray, " theta_dim"]]:
    """Return the share of truths inside joint and marginal regions."""
    keys = jr.split(key, 4)
    num_samples = 256
    draws = np.asarray(posterior.sample(keys[0], xs, num_samples), np.float64)
    points = np.concatenate([theta[:, None], draws], axis=1)
    log_prob = np.asarray(posterior.log_prob(points, xs), np.float64)
    joint = hpd_levels(keys[1], log_prob[:, 0], log_prob[:, 1:])
    ranks = sbc_ranks(keys[2], theta, draws)
    central = central_levels(pit_values(keys[3], ranks, num_samples))
    return float(np.mean(joint <= level)), np.mean(central <= level, axis=0)
