"""Leave out entries of x that say nothing about theta, where most do not.

An entry that is independent of theta can only be over-read. Where a screen finds that
at least half of many entries are, a second ensemble is trained without them, and kept
if it predicts held-out theta better: entries may matter together that do not alone.

Source: Fan, Lv (2008), Sure independence screening for ultrahigh dimensional feature
space, arXiv:math/0612857, sec. 2.
Deviations from the source: an analysis of variance over bins of the entry, of theta and
of its squares, in place of correlations; a threshold of significance, not a number.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import f as f_distribution

from ..estimators import VectorScaler
from .synthetic import Pairs


MIN_ENTRIES = 20
MIN_SHARE = 0.5  # of entries that say nothing, to be worth a second training
NUM_BINS = 8
LEVEL = 0.05  # of an entry, all components of theta together
MAX_ROWS = 20_000


def screen(pairs: Pairs) -> Pairs | None:
    """Return the pairs with scalers that blank entries independent of theta.

    Args:
        pairs: Simulations as a network sees them.

    Returns:
        None where there are few entries, or few that could be left out.
    """
    if not all(
        isinstance(scaler, VectorScaler) and not scaler.missing
        for scaler in pairs.scalers.values()
    ):
        return None
    value = np.asarray(pairs.value[:MAX_ROWS], np.float64)
    blank, seen = {}, []
    for name, series in pairs.x.items():
        rows = np.asarray(series[:MAX_ROWS], np.float64).reshape(len(value), -1)
        blank[name] = uninformative(value, rows)
        seen.append(pairs.scalers[name].plain.scale > 0)  # others are blank already
    flags = np.concatenate(list(blank.values()))[np.concatenate(seen)]
    if len(flags) < MIN_ENTRIES or not MIN_SHARE <= flags.mean() < 1:
        return None
    scalers = {k: s.without(blank[k]) for k, s in pairs.scalers.items()}
    return replace(pairs, scalers=scalers)


def uninformative(
    value: Float[np.ndarray, "n dim"], columns: Float[np.ndarray, "n entries"]
) -> Bool[np.ndarray, " entries"]:
    """Say of which columns theta shows no dependence, in mean or in spread.

    Args:
        value: Standardized, unconstrained theta.
        columns: Entries of x.
    """
    ranks = value.argsort(0).argsort(0) / len(value) - 0.5
    responses = np.concatenate([ranks, ranks**2], axis=1)
    responses -= responses.mean(0)
    total = (responses**2).sum(0)
    smallest = np.array(
        [_p_values(responses, total, column).min() for column in columns.T]
    )
    return smallest * responses.shape[1] > LEVEL


def _p_values(responses, total, column):
    """Return p-values of an analysis of variance of responses over bins of a column."""
    edges = np.unique(np.quantile(column, np.arange(1, NUM_BINS) / NUM_BINS))
    group = np.searchsorted(edges, column, side="left")
    counts = np.bincount(group, minlength=len(edges) + 1)
    used = counts > 0
    if used.sum() < 2:
        return np.ones(responses.shape[1])
    sums = np.stack(
        [np.bincount(group, r, minlength=len(counts)) for r in responses.T], axis=1
    )
    between = (sums[used] ** 2 / counts[used, None]).sum(0)
    within = len(column) - used.sum()
    ratio = (between / (used.sum() - 1)) / ((total - between) / within)
    return f_distribution.sf(ratio, used.sum() - 1, within)
