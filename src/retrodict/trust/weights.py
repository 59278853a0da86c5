r"""A distribution over networks: what the simulations leave open about the weights.

A trained network is one point; with few simulations many others fit as well, and each
claims another posterior. Bayes' rule for the weights w,

.. math:: p(w | D) \propto p(w) \prod_i q_w(\theta_i | x_i), \qquad
    q(\theta | x) = \int q_w(\theta | x)\, p(w | D)\, dw,

is approximated in three ways with one interface, `weight_posterior`:

- `Ensemble`: networks trained from other initial weights on parts of the simulations,
  under two priors of the weights;
- `Laplace`: a normal at the trained weights whose precision is that of the prior plus
  the empirical Fisher information, both diagonal;
- `Swag`: a normal with the moments of weights that stochastic gradient descent visits
  at a constant rate.

Laplace and SWAG leave one number open, how far to go from the center. It is chosen by
the score of the mixture on simulations that were left out. Weight decay
:math:`\tfrac{\lambda}{2} \lVert w \rVert^2` added to the mean loss of N simulations is
a normal prior with precision :math:`N \lambda`.

Source: Lakshminarayanan et al. (2017), arXiv:1612.01474; MacKay (1992), Neural
Computation 4; Maddox et al. (2019), SWAG, arXiv:1902.02476, eq. 1 to 4; Wenzel
et al. (2020), Hyperparameter ensembles, arXiv:2006.13570.
Deviations from the source: members of the ensemble see parts of the simulations; the
scale is chosen by held-out score, for which Laplace and SWAG leave a quarter out; SWAG
keeps the diagonal and 10 deviations.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .._core.seeds import numpy_generator, stream_key
from ..estimators import Estimator, Staged, apply_scalers, trainable
from ..posterior import Posterior, fit_typical
from ..simulations import Simulations, as_series
from ..training import Settings, train_ensemble


HELD_OUT = 0.25
SCALES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
RANK = 10
LOOSE = 1 / 400

Build = Callable[[Array], Estimator]


class Data(NamedTuple):
    """Simulations as the network sees them: standardized theta, standardized x."""

    value: Float[Array, "num_sims dim"]
    x: dict[str, Array]

    def rows(self, rows: np.ndarray) -> "Data":
        """Keep some rows."""
        return Data(self.value[rows], {k: v[rows] for k, v in self.x.items()})


class Moments(NamedTuple):
    """A normal over flat weights, up to one scale.

    Attributes:
        center: Mean of the weights.
        sd: Sd of each at scale 1.
        deviations: Directions in which weights vary together, rows; perhaps none.
    """

    center: Float[Array, " size"]
    sd: Float[Array, " size"]
    deviations: Float[Array, "rank size"]


@runtime_checkable
class Method(Protocol):
    """How a distribution over networks is found."""

    def members(
        self, key: PRNGKeyArray, posterior: Posterior, simulations: Simulations
    ) -> tuple[Estimator, ...]:
        """Draw networks, equal in structure to those of ``posterior``."""
        ...


@dataclass(frozen=True)
class Ensemble:
    """Networks trained anew, each on its own part of the simulations.

    Half of them under the weight decay of the posterior, half under one 400 times less,
    without its linear start: what width the prior of the weights should have is open
    too, and networks that differ in it disagree more where little is known.

    Attributes:
        num_networks: How many.
        left_out: Share of simulations that each does not learn from.
    """

    num_networks: int = 10
    left_out: float = 0.2

    def members(
        self, key: PRNGKeyArray, posterior: Posterior, simulations: Simulations
    ) -> tuple[Estimator, ...]:
        """Train the networks; see `Method`."""
        firm = dataclasses.replace(
            posterior.network.settings, validation_fraction=self.left_out
        )
        loose = dataclasses.replace(
            firm, weight_decay=LOOSE * firm.weight_decay, linear_start=False
        )
        data, found = _data(posterior, simulations), ()
        for part, settings in enumerate((firm, loose)):
            count = (self.num_networks + 1 - part) // 2
            if count:
                one = dataclasses.replace(settings, num_members=count)
                found += _train(jr.fold_in(key, part), data, one, posterior)
        return found


@dataclass(frozen=True)
class Laplace:
    """A normal at the trained weights, from the diagonal of the Fisher information.

    Attributes:
        num_networks: Draws.
        precision: Of the normal prior of every weight; 1 suits weights of order 1.
    """

    num_networks: int = 20
    precision: float = 1.0

    def members(
        self, key: PRNGKeyArray, posterior: Posterior, simulations: Simulations
    ) -> tuple[Estimator, ...]:
        """Draw networks; see `Method`."""
        key_center, key_draw = jr.split(key)
        (center, build), data, scored = _center(key_center, posterior, simulations)

        def square(total: Array, row: Any) -> tuple[Array, None]:
            gradient = jax.grad(lambda w: -build(w).log_prob(*row))(center)
            return total + gradient**2, None

        start = jnp.zeros_like(center)
        fisher, _ = jax.jit(lambda rows: jax.lax.scan(square, start, rows))(tuple(data))
        sd = 1 / jnp.sqrt(fisher + self.precision)
        moments = Moments(center, sd, jnp.zeros((0, len(center))))
        return _best_scale(key_draw, moments, build, scored, self.num_networks)


@dataclass(frozen=True)
class Swag:
    """A normal with the moments of weights visited at a constant learning rate.

    Attributes:
        num_networks: Draws.
        epochs: Passes over the simulations.
        learning_rate: Rate of plain gradient descent.
        batch_size: Simulations per step.
    """

    num_networks: int = 20
    epochs: int = 40
    learning_rate: float = 3e-3
    batch_size: int = 32

    def members(
        self, key: PRNGKeyArray, posterior: Posterior, simulations: Simulations
    ) -> tuple[Estimator, ...]:
        """Draw networks; see `Method`."""
        key_center, key_walk, key_draw = jr.split(key, 3)
        (center, build), data, scored = _center(key_center, posterior, simulations)
        size = min(self.batch_size, len(data.value))

        def loss(w: Array, value: Array, x: dict[str, Array]) -> Array:
            return -jnp.mean(jax.vmap(build(w).log_prob)(value, x))

        @jax.jit
        def step(w: Array, value: Array, x: dict[str, Array]) -> Array:
            gradient = jax.grad(loss)(w, value, x)
            norm = jnp.linalg.norm(gradient)
            bounded = gradient * jnp.minimum(1.0, 5.0 / (norm + 1e-12))
            return w - self.learning_rate * bounded

        rng, visited, w = numpy_generator(key_walk), [], center
        for _ in range(self.epochs):
            order = rng.permutation(len(data.value))
            for start in range(0, len(order) - size + 1, size):
                w = step(w, *data.rows(order[start : start + size]))
            visited.append(w)
        path = jnp.stack(visited[self.epochs // 4 :])
        mean = path.mean(axis=0)
        last = (path - mean)[-RANK:] / np.sqrt(2 * (min(RANK, len(path)) - 1))
        moments = Moments(mean, path.std(axis=0) / np.sqrt(2), last)
        return _best_scale(key_draw, moments, build, scored, self.num_networks)


def weight_posterior(
    posterior: Posterior,
    simulations: Simulations,
    method: Method | None = None,
    *,
    seed: int = 0,
) -> Posterior:
    """Replace one network by a distribution over networks.

    Args:
        posterior: A trained posterior, whose architecture and scales are kept.
        simulations: Those it was trained on.
        method: `Ensemble`, `Laplace` or `Swag`; by default an ensemble.
        seed: Seed of trainings and draws.

    Returns:
        The predictive posterior: the mixture over networks, a posterior like any other,
        that can be saved. `uncertainty` tells how far its networks disagree.

    Raises:
        ValueError: If all networks share an embedding that was learned first.
    """
    if isinstance(posterior.network.members[0].embedding, Staged):
        raise ValueError(
            "posterior: Expected networks that were trained as a whole; these share an "
            "embedding that was learned first, whose uncertainty nothing would show. "
            "Train with embedding_epochs=0."
        )
    chosen = method or Ensemble()
    key = stream_key(seed, "weights")
    members = chosen.members(key, posterior, simulations)
    settings = dataclasses.replace(posterior.network.settings, num_members=len(members))
    network = dataclasses.replace(
        posterior.network, members=members, settings=settings, _programs={}
    )
    # One history per network: that of the one they start from.
    history = {
        name: np.repeat(getattr(posterior.record, name)[:, :1], len(members), axis=1)
        for name in ("train", "validation")
    }
    record = dataclasses.replace(
        posterior.record,
        settings=dataclasses.asdict(settings),
        skipped=posterior.record.skipped[:1] * len(members),
        **history,
    )
    series = as_series(simulations.ok().x)
    held_out = np.arange(0, simulations.num_ok, 5)  # from the reference, not from all
    typical = fit_typical(stream_key(seed, "reference"), network, series, held_out)
    return Posterior(network, typical, record, posterior.preview)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Two parts of a posterior's width, in the units of theta, averaged over x.

    Attributes:
        names: Parameters.
        aleatoric: Rms sd of single networks: what the data leave open.
        epistemic: Rms spread of their means: what the simulations leave open.
    """

    names: tuple[str, ...]
    aleatoric: Float[np.ndarray, " theta_dim"]
    epistemic: Float[np.ndarray, " theta_dim"]

    @property
    def share(self) -> Float[np.ndarray, " theta_dim"]:
        """Epistemic share of the variance, per parameter."""
        total = self.aleatoric**2 + self.epistemic**2
        return self.epistemic**2 / np.maximum(total, 1e-300)


def uncertainty(
    posterior: Posterior, xs: Any, *, num_samples: int = 200, seed: int = 0
) -> Uncertainty:
    """Split the variance of a mixture over networks, by the law of total variance.

    Args:
        posterior: With two networks or more.
        xs: Observations to average over.
        num_samples: Draws of each network at each x.
        seed: Seed of the draws.

    Raises:
        ValueError: If the posterior has a single network, which disagrees with none.
    """
    members = posterior.network.members
    if len(members) < 2:
        raise ValueError(
            "posterior: Expected two networks or more; got 1. Train an ensemble, or "
            "use weight_posterior."
        )
    key, draws = stream_key(seed, "uncertainty"), []
    for number, member in enumerate(members):
        network = dataclasses.replace(
            posterior.network, members=(member,), _programs=posterior.network._programs
        )
        context = network.embed(network.x_spec.rows(xs))
        draws.append(network.sample(jr.fold_in(key, number), context, num_samples))
    means = np.stack([draw.mean(axis=1) for draw in draws])
    variances = np.stack([draw.var(axis=1, ddof=1) for draw in draws])
    # The spread of means of finitely many draws is not disagreement.
    noise = variances.mean(axis=0) / num_samples
    between = np.maximum(means.var(axis=0, ddof=1) - noise, 0.0)
    return Uncertainty(
        posterior.names,
        np.sqrt(variances.mean(axis=(0, 1))),
        np.sqrt(between.mean(axis=0)),
    )


def _data(posterior: Posterior, simulations: Simulations) -> Data:
    network, good = posterior.network, simulations.ok()
    value = network.coordinates(good.targets)
    series = {k: np.asarray(v) for k, v in as_series(good.x).items()}
    z = apply_scalers(network.scalers, series)
    return Data(
        jnp.asarray(value, jnp.float32),
        {k: jnp.asarray(v, jnp.float32) for k, v in z.items()},
    )


def _train(
    key: PRNGKeyArray, pairs: Data, settings: Settings, posterior: Posterior
) -> tuple[Estimator, ...]:
    structure = posterior.network.x_spec.structure
    value, x = np.asarray(pairs.value), {k: np.asarray(v) for k, v in pairs.x.items()}
    return train_ensemble(key, value, x, settings, structure=structure).members


def _center(
    key: PRNGKeyArray, posterior: Posterior, simulations: Simulations
) -> tuple[tuple[Array, Build], Data, Data]:
    """Train one network on three quarters; return it flat, and both parts."""
    key_train, key_rows = jr.split(key)
    data = _data(posterior, simulations)
    order = numpy_generator(key_rows).permutation(len(data.value))
    cut = max(int(HELD_OUT * len(order)), 20)
    scored, fitted = data.rows(order[:cut]), data.rows(order[cut:])
    settings = dataclasses.replace(posterior.network.settings, num_members=1)
    (member,) = _train(key_train, fitted, settings, posterior)
    return _flat(member), fitted, scored


def _flat(estimator: Estimator) -> tuple[Array, Build]:
    weights, fixed = eqx.partition(estimator, trainable(estimator))
    flat, unravel = ravel_pytree(weights)
    return flat, lambda vector: eqx.combine(unravel(vector), fixed)


def _best_scale(
    key: PRNGKeyArray,
    moments: Moments,
    build: Build,
    scored: Data,
    num_networks: int,
) -> tuple[Estimator, ...]:
    """Draw networks at the scale whose mixture scores best where none was fitted."""
    size = len(moments.center)
    diagonal, common = (
        jr.normal(jr.fold_in(key, part), (num_networks, count))
        for part, count in enumerate((size, len(moments.deviations)))
    )
    step = diagonal * moments.sd + common @ moments.deviations

    @jax.jit
    def density(w: Array) -> Array:
        return jax.vmap(build(w).log_prob)(*scored)

    def score(scale: float) -> float:
        each = jnp.stack([density(moments.center + scale * one) for one in step])
        mixture = jax.nn.logsumexp(each, axis=0) - np.log(num_networks)
        return float(jnp.nan_to_num(jnp.mean(mixture), nan=-jnp.inf))

    best = max(SCALES, key=score)
    return tuple(build(moments.center + best * one) for one in step)
