r"""Birth, death and immigration: three ways to simulate, one exact likelihood.

:math:`n \to n + 1` at rate :math:`\lambda n + \nu`, :math:`n \to n - 1` at rate
:math:`\mu n`. After a time :math:`t`, each of :math:`i` individuals has left
descendants or none, and immigrants have come and multiplied:

.. math::
    p(j \mid i) = \sum_k \binom{i}{k} (1 - \alpha)^k \alpha^{i - k}
        \; \mathrm{NB}(j - k;\; k + \nu / \lambda,\; \beta), \qquad
    \alpha = \frac{\mu \phi}{\lambda \phi + 1}, \quad
    \beta = \frac{\lambda \phi}{\lambda \phi + 1}, \quad
    \phi = \frac{e^{(\lambda - \mu) t} - 1}{\lambda - \mu},

where :math:`\mathrm{NB}(m; r, \beta) = \Gamma(m + r) / (m!\, \Gamma(r))\;
(1 - \beta)^r \beta^m`. The sum is over the families that survive, so the same formula
is an exact sampler: a binomial, then a negative binomial. Rates are per unit of time.

Source: Bailey (1964), *The Elements of Stochastic Processes*, section 8.6; Gillespie
(1977), doi:10.1021/j100540a008; Gillespie (2001), doi:10.1063/1.1378322 (tau-leaping).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import gammaln, logsumexp
from jaxtyping import Array, Float, Key


SMALLEST_RATE = 1e-6  # per unit of time: nu / lam stays finite
MOST = 1e5  # individuals: growth without end stops here
MOST_EVENTS = 10_000_000


class Rates(NamedTuple):
    """Rates per unit of time.

    Attributes:
        lam: Births per individual.
        mu: Deaths per individual.
        nu: Immigrants.
    """

    lam: Float[Array, ""]
    mu: Float[Array, ""]
    nu: Float[Array, ""]


def transition(rates: Rates, time: float) -> tuple[Array, Array]:
    """Return alpha, the chance that one has no descendants left, and beta."""
    lam, mu = rates.lam, rates.mu
    growth = (lam - mu) * time
    near = jnp.abs(growth) < 1e-4
    safe = jnp.where(near, 1.0, growth)
    phi = time * jnp.where(near, 1 + growth / 2, jnp.expm1(safe) / safe)
    return mu * phi / (lam * phi + 1), lam * phi / (lam * phi + 1)


def draw_later(
    key: Key[Array, ""], rates: Rates, count: Float[Array, ""], time: float
) -> Float[Array, ""]:
    """Draw the population after ``time``, exactly; it stops at :data:`MOST`."""
    key_families, key_gamma, key_poisson = jr.split(key, 3)
    alpha, beta = transition(rates, time)
    families = jr.binomial(key_families, count, 1 - alpha)
    shape = families + rates.nu / jnp.maximum(rates.lam, SMALLEST_RATE)
    mean = jr.gamma(key_gamma, shape) * beta / (1 - beta)
    more = jr.poisson(key_poisson, jnp.minimum(mean, MOST))
    return jnp.minimum(families + more, MOST)


def draw_by_events(
    key: Key[Array, ""], rates: Rates, count: Float[Array, ""], time: float
) -> Float[Array, ""]:
    """Draw the population after ``time``, one event after another (Gillespie)."""

    def rates_of(count: Array) -> tuple[Array, Array]:
        return rates.lam * count + rates.nu, rates.mu * count

    def go_on(state: tuple[Array, ...]) -> Array:
        _, now, count, events = state
        return (now < time) & (count < MOST) & (events < MOST_EVENTS)

    def event(state: tuple[Array, ...]) -> tuple[Array, ...]:
        key, now, count, events = state
        key, key_wait, key_which = jr.split(key, 3)
        up, down = rates_of(count)
        now = now + jr.exponential(key_wait) / (up + down)
        is_up = jr.uniform(key_which) * (up + down) < up
        moved = count + jnp.where(is_up, 1.0, -1.0)
        return key, now, jnp.where(now < time, moved, count), events + 1

    start = (key, jnp.zeros(()), jnp.asarray(count, float), jnp.zeros((), int))
    return jax.lax.while_loop(go_on, event, start)[2]


def draw_by_leaps(
    key: Key[Array, ""],
    rates: Rates,
    count: Float[Array, ""],
    *,
    time: float,
    leaps: int,
) -> Float[Array, ""]:
    """Draw the population after ``time`` with rates frozen within each leap.

    The bias falls in proportion to the length of a leap.
    """
    step = time / leaps

    def leap(count: Array, key: Key[Array, ""]) -> tuple[Array, None]:
        key_up, key_down = jr.split(key)
        up = jr.poisson(key_up, step * (rates.lam * count + rates.nu))
        down = jr.poisson(key_down, step * rates.mu * count)
        return jnp.clip(count + up - down, 0.0, MOST), None

    return jax.lax.scan(leap, jnp.asarray(count, float), jr.split(key, leaps))[0]


def log_pmf(
    rates: Rates,
    before: Float[np.ndarray, " n"],
    after: Float[np.ndarray, " n"],
    time: float,
) -> Float[Array, " n"]:
    """Return log p(after | before), exactly, for each pair of counts.

    Only Gamma(j + nu/lam) and Gamma(k + nu/lam) depend on the rates, so a table over k
    serves all pairs.
    """
    alpha, beta = transition(rates, time)
    shape = rates.nu / jnp.maximum(rates.lam, SMALLEST_RATE)
    i, j = before[:, None], after[:, None]
    k = np.arange(int(max(before.max(), 0)) + 1)[None, :]
    possible = (k <= i) & (k <= j)
    k_in = np.where(possible, k, 0)
    constant = (
        gammaln(i + 1.0)
        - gammaln(k_in + 1.0)
        - gammaln(i - k_in + 1.0)
        - gammaln(j - k_in + 1.0)
    )
    # alpha is 0 where nothing dies: its logarithm must not become 0 times infinity.
    log_alpha = jnp.log(jnp.maximum(alpha, 1e-30))
    terms = (
        constant
        + k_in * jnp.log1p(-alpha)
        + (i - k_in) * log_alpha
        + (k_in + shape) * jnp.log1p(-beta)
        + (j - k_in) * jnp.log(beta)
        - gammaln(k + shape)
    )
    terms = jnp.where(possible, terms, -jnp.inf)
    return logsumexp(terms, axis=1) + gammaln(after + shape)
