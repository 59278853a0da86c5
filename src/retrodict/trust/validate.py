"""``validate``: simulate anew, ask the posterior about each simulation, judge."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .._core.errors import DataError
from .._core.progress import progress
from .._core.seeds import stream_key
from ..diagnostics import flatten_output
from ..diagnostics.contraction import contraction_from_variances
from ..model import Model
from ..simulations import Simulations, as_series, simulate, take_rows
from . import soundness
from .evidence import Evidence, Plan, join, make_plan, measure, rows_of, usable_rows
from .judge import (
    average_groups,
    calibrate,
    family_checks,
    features_of,
    require_rows,
)
from .nuisance import nuisance_coordinates, width_if_known
from .observation import ask_at, observation_groups
from .verdict import Verdict, word_for


# Posterior draws held at once, over all rows of a block: 16 MB for 32 parameters.
BLOCK_DRAWS = 65_536
NUM_PRIOR = 4000  # draws behind the spread of the prior
STREAM = "validation"

Output = np.ndarray | Mapping[str, np.ndarray]


@runtime_checkable
class Posterior(Protocol):
    """What is judged: anything that draws and evaluates for many x at once."""

    def sample(
        self, key: PRNGKeyArray, xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_sims num_samples theta_dim"]:
        """Draw ``num_samples`` parameters for each x."""
        ...

    def log_prob(
        self, theta: Float[np.ndarray, "num_sims num_samples theta_dim"], xs: Any
    ) -> Float[np.ndarray, "num_sims num_samples"]:
        """Evaluate the normalized log-density in nats."""
        ...


def validate(
    posterior: Posterior,
    model: Model,
    *,
    num_simulations: int = 1000,
    num_samples: int = 256,
    seed: int = 0,
    simulations: Simulations | None = None,
    x_obs: Any = None,
) -> Verdict:
    """Judge whether a posterior can be trusted, on simulations it has never seen.

    Args:
        posterior: Any object with ``sample(key, xs, num_samples)`` and
            ``log_prob(theta, xs)``.
        model: The model whose posterior it claims to be.
        num_simulations: Test simulations. With 1000 a width wrong by a fifth is found
            in more than 99 of 100 cases, with 200 in about four of five.
        num_samples: Posterior draws per test simulation. Tests are exact for any
            number; more resolve the ends of the rank distribution better.
        seed: Seed of the test simulations. They come from a stream of their own:
            training simulations never have the same numbers, whatever their seed.
        simulations: Test simulations at hand, not used in training, in place of new
            ones.
        x_obs: Also test the posterior at this observation, by a local classifier and
            by posterior SBC.

    Returns:
        The verdict, with every check and the curves behind them. An exact posterior
        meets an alarm with probability at most 2 %.

    Raises:
        DataError: If fewer than 20 test simulations succeed.
        ValueError: If the posterior's draws have the wrong shape or are not finite.

    Example:
        >>> verdict = validate(posterior, model, seed=0)
        >>> verdict.verdict
        'trusted'
    """
    given = simulations is not None
    if simulations is None:
        simulations = simulate(model, num_simulations, seed=seed, stream=STREAM)
    good = simulations.ok()
    if len(good) < 20:
        raise DataError(
            f"Expected at least 20 test simulations that succeed; got {len(good)} of "
            f"{len(simulations)}. Simulate more, or mend the simulator."
        )
    theta = model.flatten({**good.theta, **good.derived})
    key_plan, key_draws, key_checks, key_here = jr.split(
        stream_key(seed, "validate"), 4
    )
    features, context = _features(good.x, x_obs)
    plan = make_plan(key_plan, theta, features)
    evidence, rows = _collect(key_draws, posterior, (theta, good.x), plan, num_samples)
    names = tuple(model.target_names)
    calibration = calibrate(names, theta[rows], evidence, num_samples)
    if given:  # their parameters need not be draws of the prior
        prior = _prior_targets(stream_key(seed, "prior spread"), model)
        found = contraction_from_variances(prior, evidence.variance)
        calibration = replace(calibration, contraction=found)
    features = features[rows]
    hidden = nuisance_coordinates(model, good.theta)[rows]
    known = width_if_known(evidence.pit, features, hidden)
    calibration = replace(calibration, width_if_known=known)
    groups = average_groups(key_checks, calibration, evidence, plan, features)
    if x_obs is not None:
        key_ask, key_here = jr.split(key_here)
        here = ask_at(key_ask, posterior, model, x_obs, context)
        groups += observation_groups(key_here, names, evidence, features, here)
    checks = (
        *family_checks(groups),
        soundness.draws_check(int((~rows).sum()), len(rows)),
        soundness.simulations_check(len(simulations) - len(good), len(simulations)),
    )
    return Verdict(word_for(checks), checks, calibration, seed, len(evidence))


def _prior_targets(key: PRNGKeyArray, model: Model) -> np.ndarray:
    """Draw targets from the prior ``(num, theta_dim)``."""
    theta = model.prior.sample(key, NUM_PRIOR)
    return model.flatten({**theta, **model.derived(theta)})


def _features(x: Output, x_obs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Compress x, and x_obs alike if there is one."""
    flat = flatten_output(x)
    if x_obs is None:
        features = features_of(flat, len(flat))
        return features, np.zeros(0)
    one = {k: np.asarray(v)[None] for k, v in as_series(x_obs).items()}
    # In the order of the simulations' series, whatever that of the observation.
    ordered = {name: one[name] for name in as_series(x)}
    both = np.concatenate([flat, flatten_output(ordered)])
    features = features_of(both, len(both))
    return features[:-1], features[-1]


def _collect(
    key: PRNGKeyArray,
    posterior: Posterior,
    pairs: tuple[Float[np.ndarray, "num_sims theta_dim"], Output],
    plan: Plan,
    num_samples: int,
) -> tuple[Evidence, np.ndarray]:
    """Ask the posterior block by block; return evidence and the rows it covers."""
    num = len(pairs[0])
    num_blocks = -(-num * (num_samples + 1) // BLOCK_DRAWS)
    size = -(-num // num_blocks)
    blocks: list[Evidence] = []
    usable = np.zeros(num, dtype=bool)
    with progress("Validating", total=num) as bar:
        for start in range(0, num, size):
            rows = np.arange(start, min(start + size, num))
            # All blocks have one shape, so that a compiled posterior compiles once.
            padded = np.minimum(np.arange(start, start + size), num - 1)
            padded_pairs = pairs[0][padded], take_rows(pairs[1], padded)
            key_ask, key_measure = jr.split(jr.fold_in(key, start))
            answer = _ask(key_ask, posterior, padded_pairs, num_samples)
            draws, log_prob = (values[: len(rows)] for values in answer)
            good = usable_rows(draws, log_prob[:, 0], log_prob[:, 1:])
            usable[rows] = good
            log_probs = (log_prob[good, 0], log_prob[good, 1:])
            theta, part = pairs[0][rows[good]], rows_of(plan, rows[good])
            if good.any():
                blocks.append(measure(key_measure, theta, draws[good], log_probs, part))
            bar.advance(len(rows))
    require_rows(int(usable.sum()), num)
    return join(blocks), usable


def _ask(
    key: PRNGKeyArray,
    posterior: Posterior,
    pairs: tuple[np.ndarray, Output],
    num_samples: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw, and evaluate truth (first column) and draws in one call."""
    theta, x = pairs
    draws = np.asarray(posterior.sample(key, x, num_samples), dtype=np.float64)
    expected = (len(theta), num_samples, theta.shape[1])
    if draws.shape != expected:
        raise ValueError(
            f"posterior: Expected draws of shape {expected} (num_observations, "
            f"num_samples, theta_dim); got {draws.shape}. Is it a posterior of this "
            "model?"
        )
    candidates = np.concatenate([theta[:, None], draws], axis=1)
    log_prob = np.asarray(posterior.log_prob(candidates, x), dtype=np.float64)
    if log_prob.shape != candidates.shape[:2]:
        raise ValueError(
            f"posterior: Expected log_prob of shape {candidates.shape[:2]}; got "
            f"{log_prob.shape}."
        )
    return draws, log_prob
