"""Learn a likelihood in several ways, mixed so that held-out x are likeliest.

As a density of any shape; as entries that are normal and independent given theta, which
is how measurements often scatter about a curve; and as normal entries that depend on
each other. Where x is made of rows of equal law, as repeated measurements are, the law
of one row is learned from all of them.

Source: Papamakarios, Sterratt, Murray (2019), Sequential neural likelihood,
arXiv:1805.07226 (any shape); Price, Drovandi, Lee, Nott (2018), Bayesian synthetic
likelihood, JCGS 27, 1 (normal entries). Deviations from the source: means and
covariances are learned for all theta at once, not estimated at one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._core.seconds import total_seconds
from .._core.seeds import numpy_generator
from .._core.stacking import best_weights
from ..estimators import Cells, Columns
from .ensemble import Race, race, shared_held_out
from .repeats import have_more_in_common, repeated_rows
from .settings import (
    Settings,
    candidate_settings,
    default_settings,
    normal_settings,
)
from .surrogate import Part, Surrogate, base_noise


NEGLIGIBLE = 0.05  # weight of a part that is not worth its evaluations
MAX_RACED = 3000  # theta up to which rows of equal law get a race of flows
MAX_CORRELATED = 32  # entries whose covariances can be learned


class _Rows(NamedTuple):
    """Rows of x, of which every theta has as many, one after the other."""

    value: Float[np.ndarray, "n dim"]
    x: Float[np.ndarray, "n columns"]
    per_theta: int = 1

    def split(self, per_theta: int) -> "_Rows":
        """Cut every row into as many."""
        value = np.repeat(self.value, per_theta, axis=0)
        return _Rows(value, self.x.reshape(len(value), -1), per_theta)

    def numbers(self, theta: Int[np.ndarray, " some"]) -> Int[np.ndarray, " rows"]:
        """Return the numbers of the rows of some theta."""
        return (self.per_theta * theta[:, None] + np.arange(self.per_theta)).ravel()


class _Way(NamedTuple):
    """One way to learn the likelihood, and what held-out x are worth to it, in nats."""

    race: Race
    columns: Columns | Cells
    per_theta: int
    held_out: Int[np.ndarray, " validation"]
    log_prob: Float[np.ndarray, " validation"]


def fit_surrogate(
    key: Key[Array, ""],
    value: Float[np.ndarray, "n dim"],
    x: Float[np.ndarray, "n columns"],
    settings: Settings | None = None,
    *,
    num_members: int,
) -> Surrogate:
    """Learn the likelihood from rows of standardized theta and of x.

    Args:
        key: PRNG key.
        value: Standardized, unconstrained theta.
        x: Entries of x, not standardized.
        settings: Architecture and schedule of the only part, instead of a race.
        num_members: Networks of a race's winner.
    """
    rows = _Rows(value, x)
    if settings is None:
        ways, lost = _all_ways(key, rows, num_members)
    else:
        ways, lost = [_enter(key, rows, Columns.fit(x), (settings,))], []
    parts = tuple(
        Part(way.race.finish().members, way.columns, weight, way.per_theta)
        for way, weight in zip(ways, _weights(ways), strict=True)
        if weight > 0
    )
    return Surrogate(parts, **total_seconds(way.race for way in [*ways, *lost]))


def _all_ways(
    key: Key[Array, ""], rows: _Rows, num_members: int
) -> tuple[list[_Way], list[_Way]]:
    """Learn flows and normal entries; return also what has lost.

    Of a row, where x is made of several. A flow of the whole x then stands beside that
    of a row only if rows have more in common than theta: otherwise it learns the same
    from fewer examples. Of flows one schedule is tried, and others only if it is worth
    something beside normal entries.
    """
    whole, held_out = rows, None
    per_theta = repeated_rows(rows.value, rows.x)
    if per_theta > 1:
        rows = rows.split(per_theta)
        first, *_ = _flows(rows, num_members)
        held_out = shared_held_out(jr.fold_in(key, 4), len(whole.value), first)
    begun = [_Flow.begin(key, rows, num_members, held_out)]
    held_out = begun[0].first.held_out
    if per_theta > 1 and have_more_in_common(_noise(key, begun[0].first, rows)):
        key_whole = jr.fold_in(key, 3)
        begun.append(_Flow.begin(key_whole, whole, num_members, held_out))
    normal, lost = _normal(jr.fold_in(key, 2), rows, num_members, held_out)
    weights = _weights([*(flow.first for flow in begun), *normal])
    flows = []
    for flow, weight in zip(begun, weights, strict=False):
        best, *worse = flow.raced() if weight > 0 else [flow.first]
        flows.append(best)
        lost.extend(worse)
    return [*flows, *normal], lost


class _Flow(NamedTuple):
    """A density of any shape, learned in the first of a few schedules."""

    key: Key[Array, ""]
    rows: _Rows
    held_out: Int[np.ndarray, " validation"] | None
    first: _Way
    others: tuple[Settings, ...]

    @staticmethod
    def begin(
        key: Key[Array, ""],
        rows: _Rows,
        num_members: int,
        held_out: Int[np.ndarray, " validation"] | None,
    ) -> "_Flow":
        """Learn it in the first."""
        first, *others = _flows(rows, num_members)
        way = _enter(key, rows, Columns.fit(rows.x), (first,), held_out)
        return _Flow(key, rows, held_out, way, tuple(others))

    def raced(self) -> list[_Way]:
        """Learn it in the others, too; return all, the best first."""
        if not self.others:
            return [self.first]
        columns = self.first.columns
        other = _enter(self.key, self.rows, columns, self.others, self.held_out)
        both = [self.first, other]
        return sorted(both, key=lambda way: -way.log_prob.mean())


def _noise(
    key: Key[Array, ""], way: _Way, rows: _Rows
) -> Float[np.ndarray, "validation rows dim"]:
    """Return the base noise of held-out rows: normal, and independent of theta."""
    numbers = rows.numbers(way.held_out)
    coordinates, _ = way.columns.apply(rows.x[numbers], numpy_generator(key))
    noise = base_noise(way.race.network(), coordinates, rows.value[numbers])
    return noise.reshape(len(way.held_out), rows.per_theta, -1)


def _normal(
    key: Key[Array, ""],
    rows: _Rows,
    num_members: int,
    held_out: Int[np.ndarray, " validation"],
) -> tuple[list[_Way], list[_Way]]:
    """Learn normal entries, without and with dependence; return also what has lost.

    Noise may be normal on the scale of x or on the bent one of :class:`.Columns`,
    whatever the shape that the prior gives to x: both are tried.
    """
    count, dim = rows.x.shape
    alone, joint = (
        (normal_settings(count, num_members, correlated=c),) for c in (False, True)
    )
    scales = [Cells.fit(rows.x)]
    if scales[0].columns.kinds.any():
        scales.append(Cells.fit(rows.x, bend=False))
    tried = [_enter(key, rows, scale, alone, held_out) for scale in scales]
    best = max(tried, key=lambda way: way.log_prob.mean())
    lost = [way for way in tried if way is not best]
    if not 1 < dim <= MAX_CORRELATED:
        return [best], lost
    columns = Columns.fit(rows.x, bend=best is tried[0])
    return [best, _enter(key, rows, columns, joint, held_out)], lost


def _enter(
    key: Key[Array, ""],
    rows: _Rows,
    columns: Columns | Cells,
    candidates: Sequence[Settings],
    held_out: Int[np.ndarray, " validation"] | None = None,
) -> _Way:
    """Race settings on the coordinates of rows; held-out theta are given by number."""
    key_noise, key_train = jr.split(key)
    coordinates, log_det = columns.apply(rows.x, numpy_generator(key_noise))
    numbers = None if held_out is None else rows.numbers(held_out)
    data = coordinates.astype(np.float32), {"theta": rows.value}
    found = race(key_train, *data, candidates, held_out=numbers)
    log_prob = log_det[found.held_out] - found.losses
    log_prob = log_prob.reshape(-1, rows.per_theta).sum(1)
    if held_out is None:
        held_out = found.held_out
    return _Way(found, columns, rows.per_theta, held_out, log_prob)


def _weights(ways: Sequence[_Way]) -> list[float]:
    """Return the weights of the parts; those that would be negligible get none."""
    weights = best_weights(np.array([way.log_prob for way in ways]))
    weights = np.where(weights < NEGLIGIBLE, 0.0, weights)
    return [float(weight) for weight in weights / weights.sum()]


def _flows(rows: _Rows, num_members: int) -> tuple[Settings, ...]:
    """Return schedules for a shape that theta changes, and one where it only moves.

    Only the first of them where many rows of equal law make a race dear.

    A likelihood keeps its base: where it was fitted, on 90 rows, the posterior learned
    from slcp's lost .05 nats and that from lotka_volterra won .06.
    """
    count, dim = rows.x.shape
    base = default_settings(count, dim, num_members=num_members)
    base = replace(base, fit_base_scale=False)
    _, _, loose, _, plain = candidate_settings(base, count)
    candidates = (loose, plain, replace(loose, constant_shape=True))
    raced = rows.per_theta == 1 or count <= MAX_RACED * rows.per_theta
    return candidates if raced else candidates[:1]
