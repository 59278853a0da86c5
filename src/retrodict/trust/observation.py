r"""Checks at one observation: the posterior that is going to be used.

Averages over the prior may hide that the posterior is wrong where it matters. Two tests
look at the neighborhood of x_obs.

*Local classifier* (L-C2ST): see `retrodict.diagnostics.local_ratio_test`.

*Posterior SBC*: draw :math:`\theta' \sim q(\cdot | x_o)`, simulate
:math:`y \sim p(y | \theta')`, and rank :math:`\theta'` among draws of
:math:`q(\cdot | x_o)` weighted by

.. math:: w_l \propto p(y | \theta_l) \propto q(\theta_l | y) / p(\theta_l).

Given y and all candidates, the truth is candidate l with probability :math:`w_l` if
:math:`q(\cdot | y)` is right; so the weighted rank is exactly uniform, for any number
of candidates, and tests the network on data like those that x_obs leads one to expect.

Source: Säilynoja, Schmitt, Bürkner, Vehtari (2025), Posterior SBC, arXiv:2502.03279.
Deviations from the source: the posterior given both x_obs and y is not computed anew;
weights update the one at x_obs, as an amortized network cannot take both.
"""

from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._core.seeds import numpy_generator
from ..diagnostics import (
    LocalRatio,
    candidate_features,
    central_levels,
    ecdf,
    local_ratio_test,
    nearness,
    normal_scores,
    num_context,
    uniformity_grid,
    uniformity_p_value,
)
from ..model import Model
from ..simulations import as_series, like_series, simulate_at
from . import thresholds, words
from .evidence import Evidence
from .family import Finding, Group


NUM_DRAWS = 1000
NUM_REPLICATES = 1000
NUM_CANDIDATES = 48
# A shift (in sds) or log width below this is not named: the error is of another kind.
NAMED = 0.1


@dataclass(frozen=True, eq=False)
class Observation:
    """Draws of the posterior at one observation, and how to ask it elsewhere.

    Attributes:
        posterior: What is judged.
        model: Its model.
        draws: Draws at the observation.
        log_prob: Their log-densities, nats.
        context: Features of the observation.
    """

    posterior: Any
    model: Model
    draws: Float[np.ndarray, "num_draws theta_dim"]
    log_prob: Float[np.ndarray, " num_draws"]
    context: Float[np.ndarray, " num_features"]


def ask_at(
    key: PRNGKeyArray,
    posterior: Any,
    model: Model,
    x_obs: Any,
    context: Float[np.ndarray, " num_features"],
) -> Observation:
    """Draw from the posterior at one observation."""
    series = {k: np.asarray(v)[None] for k, v in as_series(x_obs).items()}
    xs = like_series(series, not isinstance(x_obs, dict))
    draws = np.asarray(posterior.sample(key, xs, NUM_DRAWS), np.float64)
    log_prob = np.asarray(posterior.log_prob(draws, xs), np.float64)
    return Observation(posterior, model, draws[0], log_prob[0], context)


def observation_groups(
    key: PRNGKeyArray,
    names: tuple[str, ...],
    evidence: Evidence,
    features: Float[np.ndarray, "num_sims num_features"],
    here: Observation,
) -> list[Group]:
    """Test the posterior at one observation in the two ways above.

    Posterior SBC needs the density of the prior of the targets: it is left out where a
    target is derived, or the prior depends on what is not inferred.
    """
    key_local, key_sbc = jr.split(key)
    groups = [_local_group(key_local, names, evidence, features, here)]
    pit = posterior_sbc(key_sbc, here)
    return [*groups, _sbc_group(names, pit)] if pit is not None else groups


def _local_group(
    key: PRNGKeyArray,
    names: tuple[str, ...],
    evidence: Evidence,
    features: Float[np.ndarray, "num_sims num_features"],
    here: Observation,
) -> Group:
    key_waves, key_labels = jr.split(key)
    mean, sd = here.draws.mean(axis=0), here.draws.std(axis=0)
    standard = (here.draws - mean) / np.where(sd > 0, sd, 1.0)
    phi = candidate_features(
        key_waves,
        evidence.candidates,
        evidence.candidate_log_prob,
        features,
        num_context=num_context(features, len(names)),
    )
    # Of x_obs and of the simulations the same products must be formed.
    observed = candidate_features(
        key_waves,
        standard[None],
        here.log_prob[None],
        here.context[None],
        num_context=num_context(features, len(names)),
    )[0]
    found = local_ratio_test(
        key_labels,
        phi,
        observed,
        standard,
        nearness=nearness(features, here.context),
    )
    finding = Finding(
        subject="at x_obs",
        p_value=found.p_value,
        effect=found.error,
        warn_at=thresholds.LOCAL_WARN,
        fail_at=thresholds.LOCAL_FAIL,
        message=_local_words(names, found),
        remedy=words.OBSERVATION_REMEDY,
    )
    return Group(
        code="observation-classifier",
        findings=(finding,),
        statement="A classifier cannot tell truths from draws at x_obs",
        unit=words.density_error,
    )


def _local_words(names: tuple[str, ...], found: LocalRatio) -> str:
    """Name the parameter that is farthest off, and how."""
    opening = "At x_obs a classifier tells truths from draws"
    width = int(np.argmax(np.abs(found.log_width)))
    shift = int(np.argmax(np.abs(found.shift)))
    if max(abs(found.log_width[width]), abs(found.shift[shift])) < NAMED:
        return f"{opening}: the joint posterior has the wrong shape."
    if abs(found.log_width[width]) > abs(found.shift[shift]):
        ratio = float(np.exp(found.log_width[width]))
        # Truths that spread farther than draws mean draws that are too narrow.
        kind = words.TOO_NARROW if ratio > 1 else words.TOO_WIDE
        return (
            f"{opening}: {names[width]} is {kind}, by a factor of about "
            f"{max(ratio, 1 / ratio):.2f}."
        )
    side = "low" if found.shift[shift] > 0 else "high"
    return (
        f"{opening}: {names[shift]} lies too {side}, by about "
        f"{abs(found.shift[shift]):.2f} posterior sd."
    )


def posterior_sbc(
    key: PRNGKeyArray, here: Observation
) -> Float[np.ndarray, "num_replicates theta_dim"] | None:
    """Compute PIT values of posterior SBC, or None if the prior density is unknown."""
    prior = here.model.target_prior()
    if prior is None:
        return None
    key_pick, key_rest, key_x = jr.split(key, 3)
    rng = numpy_generator(key_pick)
    shape = (NUM_REPLICATES, NUM_CANDIDATES)
    # Every replicate's own candidates, the first of which is its truth.
    everyone = np.tile(np.arange(len(here.draws)), (NUM_REPLICATES, 1))
    order = rng.permuted(everyone, axis=1)
    theta = here.draws[order[:, :NUM_CANDIDATES]]
    parameters = here.model.prior.sample(key_rest, NUM_REPLICATES)
    parameters |= here.model.unflatten(theta[:, 0])
    x = simulate_at(key_x, here.model, parameters)
    if len(next(iter(x.values()))) < NUM_REPLICATES:
        return None
    xs = like_series(x, set(x) == {"x"})
    posterior = np.asarray(here.posterior.log_prob(theta, xs), np.float64)
    flat = theta.reshape(-1, theta.shape[-1])
    log_weight = posterior - prior.log_prob(here.model.unflatten(flat)).reshape(shape)
    log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    top = log_weight.max(axis=1, keepdims=True)
    weight = np.exp(log_weight - np.where(np.isfinite(top), top, 0.0))
    weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    below = np.einsum("nk,nkd->nd", weight, theta < theta[:, :1])
    spread = rng.random(below.shape) * weight[:, :1]
    return np.clip(below + spread, 1e-12, 1 - 1e-12)


def _sbc_group(
    names: tuple[str, ...], pit: Float[np.ndarray, "num_replicates theta_dim"]
) -> Group:
    findings = []
    for name, column in zip(names, pit.T, strict=True):
        findings += [_sbc_shape(name, column), _sbc_width(name, column)]
    return Group(
        code="observation-sbc",
        findings=tuple(findings),
        statement="Ranks among draws at x_obs are uniform for data like x_obs",
        unit=words.points,
    )


def _sbc_shape(name: str, pit: Float[np.ndarray, " num_replicates"]) -> Finding:
    grid = uniformity_grid()
    shape = words.shape_words(
        float(np.mean(normal_scores(pit))), grid, ecdf(central_levels(pit), grid)
    )
    return _sbc_finding(name, pit, shape, wide=shape == words.TOO_WIDE)


def _sbc_width(name: str, pit: Float[np.ndarray, " num_replicates"]) -> Finding:
    levels, grid = central_levels(pit), uniformity_grid()
    deviation = ecdf(levels, grid) - grid
    worst = float(deviation[np.argmax(np.abs(deviation))])
    return _sbc_finding(name, levels, words.width_words(worst), wide=worst > 0)


def _sbc_finding(
    name: str, values: Float[np.ndarray, " num_replicates"], words_for: str, *, wide
) -> Finding:
    grid = uniformity_grid()
    return Finding(
        subject=name,
        p_value=uniformity_p_value(values),
        effect=float(np.max(np.abs(ecdf(values, grid) - grid))),
        warn_at=thresholds.COVERAGE_WARN,
        fail_at=thresholds.TOO_WIDE_FAIL if wide else thresholds.COVERAGE_FAIL,
        message=f"For data like x_obs the posterior of {name} is {words_for}.",
        remedy=words.OBSERVATION_REMEDY,
    )
