r"""Refinement: weigh draws of a posterior by a learned likelihood.

The refined density is :math:`r(\theta|x) = p(\theta)\,\ell(x|\theta) / Z(x)` with a
likelihood learned from the same simulations; q proposes, importance weights
:math:`w = p\,\ell / q` resample, and their mean estimates :math:`Z(x)`. The answer is
the mixture of q and r whose log-density of theta is highest at simulations that neither
was trained on: q alone, r alone, or something between. Where the likelihood has several
parts, each alone is tried too.

Source: Papamakarios, Sterratt, Murray (2019), arXiv:1805.07226 (learned likelihood);
Dax et al. (2023), arXiv:2210.05686 (importance sampling with an amortized posterior);
Smyth, Wolpert (1999), Linearly combining density estimators via stacking, Machine
Learning 36, 59 (the weight). Deviations from the source: resampling instead of weighted
draws; one held-out part instead of cross-validation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.special import logsumexp

from .._core.errors import DataError, ModelError
from .._core.resampling import efficiency, resample
from .._core.seeds import numpy_generator, stream_key
from .._core.stacking import best_weight, log_mixture
from ..model import Model, Prior, complete_structures
from ..simulations import Simulations, as_series, like_series
from ..training import (
    Settings,
    num_sharing,
    shared_held_out,
)
from .posterior import Posterior, check_count
from .record import Record
from .synthetic import Likelihood, Pairs, informative_columns, learn_likelihood


NUM_LEARNED = 5  # networks of the likelihood
NUM_JUDGED = 400  # held-out simulations that decide
NUM_PROPOSALS = 2000  # draws of q behind every estimate of Z
OVERSAMPLING = 8  # proposals per refined draw
EVALUATIONS = 65_536  # of the likelihood in one block
MIN_EFFICIENCY = 0.05  # effective draws per proposal; below, a few proposals decide
HIGH_EFFICIENCY = 0.1  # below, draws come of more proposals
MORE = 4  # times as many


@dataclass(frozen=True)
class Refined:
    """A posterior with a learned likelihood.

    Attributes:
        posterior: The posterior q, which proposes.
        likelihood: The learned likelihood.
        prior: The prior.
        weight: Of the refined density in what is sampled, a mixture of it and q; 0 is q
            alone, 1 the refined density alone.
        scores: Mean held-out log-density of ``"q"``, of ``"refined"`` and of the
            ``"mixture"`` of that weight, in nats.
    """

    posterior: Posterior
    likelihood: Likelihood
    prior: Prior
    weight: float
    scores: Mapping[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components of theta, in flat order."""
        return self.posterior.names

    @property
    def record(self) -> Record:
        """How the posterior was made."""
        return self.posterior.record

    def sample(
        self, key: Key[Array, ""], xs: Any, num_samples: int
    ) -> Float[np.ndarray, "num_observations num_samples theta_dim"]:
        """Draw theta for every observation.

        Args:
            key: PRNG key.
            xs: Observations, as for :meth:`Posterior.sample`.
            num_samples: Draws per observation.

        Raises:
            DataError: If ``xs`` has another shape or holds values that are not finite.
            ValueError: If ``num_samples`` is less than 1.
        """
        check_count(num_samples)
        key_plain, key_draws, key_pick = jr.split(key, 3)
        plain = self.posterior.sample(key_plain, xs, num_samples)
        if self.weight == 0:
            return plain
        rng = numpy_generator(key_pick)
        wanted = max(OVERSAMPLING * num_samples, NUM_PROPOSALS)
        out = plain.copy()
        _, share = self._evidence(xs)
        times = np.where(share < HIGH_EFFICIENCY, MORE, 1) * (share >= MIN_EFFICIENCY)
        for each in (1, MORE):
            rows, count = np.flatnonzero(times == each), each * wanted
            for some, theta, log_w in self._weighted(key_draws, xs, rows, count):
                for row, pool, weights in zip(some, theta, log_w, strict=True):
                    out[row] = pool[resample(rng, weights, num_samples)]
        picked = rng.uniform(size=out.shape[:2]) < self.weight
        return np.where(picked[..., None], out, plain)

    def log_prob(
        self, theta: Any, xs: Any
    ) -> Float[np.ndarray, "num_observations num_samples"]:
        """Return the log-density of theta, in nats.

        Z is estimated with a fixed seed. Its error is about .1 nats where the proposals
        just suffice, and a hundredth where q and the likelihood agree.

        Args:
            theta: ``(num_observations, num_samples, theta_dim)``.
            xs: Observations, as in :meth:`sample`.
        """
        return log_mixture(*self.densities(theta, xs), self.weight)

    def usable(self, xs: Any) -> Bool[np.ndarray, " num_observations"]:
        """Say where q proposes well enough; elsewhere q itself is the answer.

        Args:
            xs: Observations, as in :meth:`sample`.
        """
        return self._evidence(xs)[1] >= MIN_EFFICIENCY

    def effective_sample_size(
        self, key: Key[Array, ""], xs: Any, num_proposals: int = NUM_PROPOSALS
    ) -> Float[np.ndarray, " num_observations"]:
        r"""Return :math:`1/\sum w^2` of normalized weights, over the number of draws.

        One where q and the learned likelihood agree; near zero where a few draws of q
        carry all the weight and the refined posterior should not be used.

        Args:
            key: PRNG key.
            xs: Observations, as in :meth:`sample`.
            num_proposals: Draws of q.
        """
        rows = np.arange(self._count(xs))
        proposals = self._weighted(key, xs, rows, num_proposals)
        return np.concatenate([efficiency(log_w) for _, _, log_w in proposals])

    def densities(
        self, theta: Any, xs: Any
    ) -> tuple[
        Float[np.ndarray, "num_observations num_samples"],
        Float[np.ndarray, "num_observations num_samples"],
    ]:
        """Return the log-density under q and under the refined posterior, in nats.

        Where q proposes too badly both are q.

        Args:
            theta: ``(num_observations, num_samples, theta_dim)``.
            xs: Observations, as in :meth:`sample`.
        """
        log_q = self.posterior.log_prob(theta, xs)
        log_z, share = self._evidence(xs)
        weighed = self.log_joint(theta, xs) - log_z[:, None]
        return log_q, np.where(share[:, None] >= MIN_EFFICIENCY, weighed, log_q)

    def _evidence(
        self, xs: Any
    ) -> tuple[
        Float[np.ndarray, " num_observations"], Float[np.ndarray, " num_observations"]
    ]:
        """Return log Z, in nats, and the efficiency of the proposals it is made of.

        The same for every call: a density is a function of theta and x.
        """
        rows, key = np.arange(self._count(xs)), stream_key(0, "evidence")
        blocks = [
            (logsumexp(log_w, axis=1) - np.log(NUM_PROPOSALS), efficiency(log_w))
            for *_, log_w in self._weighted(key, xs, rows, NUM_PROPOSALS)
        ]
        log_z, share = zip(*blocks, strict=True)
        return np.concatenate(log_z), np.concatenate(share)

    def log_joint(
        self, theta: Any, xs: Any
    ) -> Float[np.ndarray, "num_observations num_samples"]:
        """Return log p(theta) + log l(x | theta): the refined density but for Z.

        Args:
            theta: ``(num_observations, num_samples, theta_dim)``.
            xs: Observations, as in :meth:`sample`.
        """
        theta = np.asarray(theta, np.float64)
        coordinates = self._coordinates(xs)
        size = max(1, EVALUATIONS // theta.shape[1])
        rows = [slice(i, i + size) for i in range(0, len(theta), size)]
        pieces = math.ceil(theta.shape[1] / EVALUATIONS)
        return np.block(
            [
                [
                    self._joint(few, coordinates[some])
                    for few in np.array_split(theta[some], pieces, axis=1)
                ]
                for some in rows
            ]
        )

    def _count(self, xs):
        """Return the number of observations."""
        return len(next(iter(self.posterior.network.x_spec.rows(xs).values())))

    def _weighted(self, key, xs, rows, num_proposals):
        """Yield blocks of these observations: rows, proposals and their log-weights."""
        series = self.posterior.network.x_spec.rows(xs)
        single = self.posterior.network.x_spec.single
        size = max(1, EVALUATIONS // num_proposals)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            few = like_series({k: v[some] for k, v in series.items()}, single)
            theta = self.posterior.sample(jr.fold_in(key, start), few, num_proposals)
            log_q = self.posterior.log_prob(theta, few)
            yield some, theta, self.log_joint(theta, few) - log_q

    def _joint(self, theta, coordinates):
        """Return log p(theta) + log l(x | theta), all rows of theta at their own x."""
        network = self.posterior.network
        flat = theta.reshape(-1, theta.shape[-1])
        inside = network.space.contains(flat)
        safe = np.where(
            inside[:, None], flat, network.space.constrain(network.scale.mean)
        )
        value = network.coordinates(safe)
        log_prior = self.prior.log_prob(network.space.unflatten(flat))
        repeated = np.repeat(coordinates, theta.shape[1], axis=0)
        found = log_prior + self.likelihood.log_prob(repeated, value)
        return found.reshape(theta.shape[:2])

    def _coordinates(self, xs):
        """Return x as the likelihood sees it; whole numbers at the middle of a step."""
        network = self.posterior.network
        columns = informative_columns(network.x_spec.rows(xs), network.scalers)
        return self.likelihood.coordinates(columns)


def refine_by_likelihood(
    posterior: Posterior,
    simulations: Simulations,
    *,
    settings: Settings | None = None,
    num_judged: int = NUM_JUDGED,
) -> Refined:
    """Learn a likelihood; arguments as :func:`retrodict.refine`."""
    model, network, record = simulations.model, posterior.network, posterior.record
    good = simulations.ok()
    series = {k: np.asarray(v) for k, v in as_series(good.x).items()}
    _check(good)
    check_trained_on(posterior, simulations)
    value = network.coordinates(good.targets)
    pairs = Pairs(value, series, network.scale, network.scalers)
    key = stream_key(record.seed, "fit")
    held_out = shared_held_out(key, len(good), Settings(**record.settings))
    likelihood = learn_likelihood(
        jr.fold_in(key, 3), pairs, held_out, settings, num_members=NUM_LEARNED
    )
    judged = held_out[:num_judged]
    count = len(held_out)
    ways = [
        _judged(posterior, one, good, judged, count)
        for one in likelihood.alternatives()
    ]
    likelihood, log_q, refined, weight = max(ways, key=_score)
    each = {"q": 0.0, "refined": 1.0, "mixture": weight}
    scores = {n: float(log_mixture(log_q, refined, w).mean()) for n, w in each.items()}
    return Refined(posterior, likelihood, model.prior, weight, MappingProxyType(scores))


def check_trained_on(posterior: Posterior, simulations: Simulations) -> None:
    """Refuse simulations other than those that a posterior was trained on.

    Args:
        posterior: The posterior.
        simulations: Perhaps others.

    Raises:
        DataError: If they are others.
    """
    trained_on, given = posterior.record.dataset, simulations.fingerprint()
    if given != trained_on:
        raise DataError(
            "simulations: Expected those that the posterior was trained on (dataset "
            f"{trained_on}); got {given}."
        )


class _Way(NamedTuple):
    """A likelihood, and what held-out theta are worth without and with it, in nats."""

    likelihood: Likelihood
    log_q: Float[np.ndarray, " judged"]
    refined: Float[np.ndarray, " judged"]
    weight: float


def _judged(
    posterior: Posterior,
    likelihood: Likelihood,
    good: Simulations,
    judged: np.ndarray,
    num_held_out: int,
) -> _Way:
    """Return the log-density of held-out theta under q and refined, and the weight.

    Members of the ensemble that were trained on the rows are left out of q.
    """
    network = posterior.network
    settings = Settings(**posterior.record.settings)
    judges = min(num_sharing(num_held_out, settings), len(network.members))
    judge = Posterior(
        replace(network, members=network.members[:judges], _programs={}),
        posterior.reference,
        posterior.record,
        posterior.preview,
    )
    rows = {k: np.asarray(v)[judged] for k, v in as_series(good.x).items()}
    xs = next(iter(rows.values())) if network.x_spec.single else rows
    trial = Refined(judge, likelihood, good.model.prior, 1.0, {})
    log_q, refined = trial.densities(good.targets[judged][:, None], xs)
    weight = best_weight(log_q[:, 0], refined[:, 0])
    return _Way(likelihood, log_q[:, 0], refined[:, 0], weight)


def _score(way: _Way) -> float:
    return float(log_mixture(way.log_q, way.refined, way.weight).mean())


def can_refine(simulations: Simulations) -> bool:
    """Say whether draws may be weighed by a likelihood learned of these simulations."""
    return _all_sampled(simulations.model) and not _no_vectors(simulations)


def _all_sampled(model: Model) -> bool:
    return model.targets.names == model.prior.space.names


def _no_vectors(simulations: Simulations) -> list[str]:
    """Return the series that are no vectors, or whose entries may be missing."""
    shapes = {k: np.shape(v)[1:] for k, v in as_series(simulations.x).items()}
    structures = complete_structures(simulations.model.structure, shapes)
    return [
        f"{name!r} of shape {shapes[name]}, {item.kind}{', missing' * item.missing}"
        for name, item in structures.items()
        if item.kind != "vector" or item.missing or len(shapes[name]) != 1
    ]


def _check(simulations: Simulations) -> None:
    model = simulations.model
    if not _all_sampled(model):
        raise ModelError(
            "refine: Expected every sampled parameter to be a target and nothing else; "
            f"got targets {list(model.targets.names)} of parameters "
            f"{list(model.prior.space.names)}. The prior density of nuisances given "
            "targets is not known; use the posterior itself."
        )
    others = _no_vectors(simulations)
    if others:
        raise ModelError(
            "refine: Expected x to be made of vectors without missing entries; got "
            f"{', '.join(others)}. A likelihood is learned of such vectors only; "
            "summarize the series."
        )
