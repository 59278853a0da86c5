"""From arrays to a verdict: the pure core, which knows no model and no posterior."""

import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ..diagnostics import (
    central_levels,
    ecdf,
    ecdf_band,
    summary_features,
    uniformity_grid,
)
from ..diagnostics.contraction import contraction_from_variances
from . import joint, local, marginal, soundness
from .evidence import Evidence, Plan, make_plan, measure, rows_of, usable_rows
from .family import Group, to_check
from .verdict import Calibration, Check, Verdict, word_for


MIN_ROWS = 20


def judge(
    key: PRNGKeyArray,
    theta: Float[np.ndarray, "num_sims theta_dim"],
    draws: Float[np.ndarray, "num_sims num_samples theta_dim"],
    log_prob_true: Float[np.ndarray, " num_sims"],
    log_prob_draws: Float[np.ndarray, "num_sims num_samples"],
    *,
    names: tuple[str, ...] | None = None,
    x: Float[np.ndarray, "num_sims x_dim"] | None = None,
    seed: int = 0,
) -> Verdict:
    """Judge a posterior from test simulations and its draws for each of them.

    Args:
        key: PRNG key for ties and reference points.
        theta: True parameters, drawn from the prior.
        draws: Posterior draws at each simulation's own x.
        log_prob_true: log q(theta* | x), nats, up to a constant per simulation.
        log_prob_draws: log q of the draws, with the same constant.
        names: Parameter names; by default theta[0], theta[1], ...
        x: Flat simulator output. Without it, information that the posterior leaves
            unused is looked for in its own center and width only.
        seed: Recorded in the verdict: the seed behind the test simulations.

    Returns:
        The verdict. A calibrated posterior meets an alarm with probability at most 2 %.

    Raises:
        ValueError: If shapes do not align or fewer than 20 rows are usable.
    """
    names = names or tuple(f"theta[{i}]" for i in range(theta.shape[1]))
    key_plan, key_rows, key_checks = jr.split(key, 3)
    features = features_of(x, len(theta))
    plan = make_plan(key_plan, theta, features)
    rows = usable_rows(draws, log_prob_true, log_prob_draws)
    require_rows(int(rows.sum()), len(rows))
    evidence = measure(
        key_rows,
        theta[rows],
        draws[rows],
        (log_prob_true[rows], log_prob_draws[rows]),
        rows_of(plan, rows),
    )
    counts = (soundness.draws_check(int((~rows).sum()), len(rows)),)
    calibration = calibrate(names, theta[rows], evidence, draws.shape[1])
    groups = average_groups(key_checks, calibration, evidence, plan, features[rows])
    checks = family_checks(groups) + counts
    return Verdict(word_for(checks), checks, calibration, seed, len(evidence))


def features_of(
    x: Float[np.ndarray, "num_sims x_dim"] | None, num_sims: int
) -> Float[np.ndarray, "num_sims num_features"]:
    """Compress x for the checks that look at it; no x, no features."""
    return np.zeros((num_sims, 0)) if x is None else summary_features(x)


def require_rows(num_usable: int, num_rows: int) -> None:
    """Refuse to judge from too few rows.

    Raises:
        ValueError: If fewer than 20 rows are usable.
    """
    if num_usable < MIN_ROWS:
        raise ValueError(
            f"Expected at least {MIN_ROWS} test simulations with finite draws; got "
            f"{num_usable} of {num_rows}. Simulate more, or look why draws are not "
            "finite."
        )


def family_checks(groups: list[Group]) -> tuple[Check, ...]:
    """Decide all groups as one family with one level."""
    return tuple(to_check(group, len(groups)) for group in groups)


def average_groups(
    key: PRNGKeyArray,
    calibration: Calibration,
    evidence: Evidence,
    plan: Plan,
    features: Float[np.ndarray, "num_sims num_features"],
) -> list[Group]:
    """Put every test of averages over test simulations to the evidence."""
    # A new kind of test is one more entry here; the family's level stays what it is.
    names, pit = calibration.names, evidence.pit
    around = local.local_features(evidence, features)
    key_classifier, key_waste = jr.split(key)
    groups = [
        marginal.width_group(names, pit),
        marginal.bias_group(names, pit),
        marginal.shape_group(names, pit),
        joint.density_group(evidence.hpd),
        joint.tarp_group(evidence.tarp),
        local.shift_group(names, pit, around, calibration.contraction),
        local.width_group(names, pit, around),
        local.waste_group(key_waste, names, pit, around),
        joint.classifier_group(key_classifier, evidence, features),
    ]
    if len(plan.pairs):
        groups.append(joint.dependence_group(names, plan.pairs, evidence.direction))
    return groups


def calibrate(
    names: tuple[str, ...],
    theta: Float[np.ndarray, "num_sims theta_dim"],
    evidence: Evidence,
    num_samples: int,
) -> Calibration:
    """Compute the curves that a report draws."""
    grid, band = uniformity_grid(), ecdf_band(len(evidence))
    central = [ecdf(column, grid) for column in central_levels(evidence.pit).T]
    return Calibration(
        names=names,
        num_samples=num_samples,
        ranks=evidence.ranks,
        pit=evidence.pit,
        credible_levels=grid,
        coverage=ecdf(evidence.hpd, grid),
        coverage_low=band.low,
        coverage_high=band.high,
        central_coverage=np.stack(central, axis=1),
        tarp_coverage=ecdf(evidence.tarp, grid),
        ecdf_grid=grid,
        ecdf_low=band.low - grid,
        ecdf_high=band.high - grid,
        contraction=contraction_from_variances(theta, evidence.variance),
        z_scores=evidence.z_scores,
        log_score=float(np.mean(evidence.log_prob)),
    )
