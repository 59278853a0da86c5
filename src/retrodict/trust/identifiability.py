r"""What the data inform and what they do not: parameters and their combinations.

Positive parameters are looked at in logarithms, so that combinations are products of
powers, except where draws pile up at zero. With the covariance of prior and posterior
in these coordinates t, directions v
of the generalized eigenproblem

.. math:: C_\text{posterior} v = \lambda \, C_\text{prior} v

are uncorrelated combinations :math:`v^\top t` whose spread the data reduce by
:math:`\sqrt\lambda`: near 0 known, near 1 untouched. The eigenvalues are free of units.
A ridge is a known combination beside an unknown one: each parameter alone is uncertain,
together they are not.

Source: Gutenkunst et al. (2007), Universally sloppy parameter sensitivities in systems
biology, PLoS Comput. Biol. 3; the comparison with the prior: Cui et al. (2014),
Likelihood-informed dimension reduction for nonlinear inverse problems.
Deviations from the source: covariances of draws stand in place of Fisher information,
so that bounds and curved posteriors count as they are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter1d


# Spread that is left, posterior sd over prior sd.
KNOWN, UNKNOWN = 0.3, 0.8
# A parameter as unknown as that in its logarithm, but known this many times better
# itself, is bounded from above.
BOUNDED = 2.0
# A pair of parameters correlated more strongly than this is a ridge.
RIDGE = 0.9
# A coefficient smaller than this, in units of the largest, is left out of a name.
NEGLIGIBLE = 0.15


@dataclass(frozen=True)
class Direction:
    """A combination of parameters and how much of its prior spread is left.

    Attributes:
        coefficients: One per parameter, of its logarithm where it is positive; the
            largest is 1.
        name: The combination in words, such as ``"sigma_8 · b"``.
        remaining: Posterior sd over prior sd.
        sd: Posterior sd of the combination; relative if all of it is logarithmic.
    """

    coefficients: tuple[float, ...]
    name: str
    remaining: float
    sd: float


@dataclass(frozen=True)
class Ridge:
    """Two parameters of which only a combination is known.

    Attributes:
        names: The two.
        correlation: Of their coordinates (logarithms where positive).
        combination: What is known of them, in words.
        slope: Change of the second coordinate with the first along the ridge.
        length: Sd along it, in coordinates.
        width: Sd across it.
    """

    names: tuple[str, str]
    correlation: float
    combination: str
    slope: float
    length: float
    width: float


@dataclass(frozen=True)
class Identifiability:
    """What draws of one posterior say about parameters and combinations.

    Attributes:
        names: The parameters.
        logarithmic: Which are looked at in logarithms.
        remaining: Posterior sd over prior sd of each, in these coordinates.
        directions: Uncorrelated combinations, best known first.
        ridges: Pairs of which only a combination is known, strongest first.
        modes: Number of modes of each marginal.
    """

    names: tuple[str, ...]
    logarithmic: tuple[bool, ...]
    remaining: tuple[float, ...]
    directions: tuple[Direction, ...]
    ridges: tuple[Ridge, ...]
    modes: tuple[int, ...]

    @property
    def contraction(self) -> tuple[float, ...]:
        """Share of prior variance removed, per parameter."""
        return tuple(1 - left**2 for left in self.remaining)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Say in plain words what is known and what is not."""
        found = [_parameters(self, KNOWN, below=True)]
        found.append(_parameters(self, UNKNOWN, below=False))
        found += [_ridge_words(ridge, self) for ridge in self.ridges]
        known = [d for d in self.directions if d.remaining < KNOWN and _mixed(d)]
        if known and not self.ridges:
            found.append(f"The best known combination is {_told(known[0], self)}.")
        worst = self.directions[-1]
        if worst.remaining > UNKNOWN:
            found.append(
                f"The data say next to nothing about {worst.name}: "
                f"{worst.remaining:.0%} of its prior spread remains."
            )
        several = [
            f"{name} ({count})"
            for name, count in zip(self.names, self.modes, strict=True)
            if count > 1
        ]
        if several:
            found.append(f"More than one mode: {', '.join(several)}.")
        return tuple(sentence for sentence in found if sentence)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        return {
            "parameters": {
                name: {"remaining": left, "logarithmic": log, "modes": count}
                for name, left, log, count in zip(
                    self.names,
                    self.remaining,
                    self.logarithmic,
                    self.modes,
                    strict=True,
                )
            },
            "directions": [vars(direction) for direction in self.directions],
            "ridges": [vars(ridge) for ridge in self.ridges],
            "sentences": list(self.sentences),
        }


def identifiability(
    prior_draws: Float[np.ndarray, "num_prior theta_dim"],
    draws: Float[np.ndarray, "*batch num_draws theta_dim"],
    *,
    names: tuple[str, ...] | None = None,
) -> Identifiability:
    """Report which parameters and combinations of them the data inform.

    Args:
        prior_draws: Draws from the prior, a few hundred or more.
        draws: Posterior draws: at one x, ``(num_draws, theta_dim)``, or at many,
            ``(num_x, num_draws, theta_dim)``, over which covariances are averaged.
        names: Parameter names; by default theta[0], theta[1], ...

    Raises:
        ValueError: If a parameter does not vary, under the prior or a posterior.
    """
    dim = draws.shape[-1]
    names = names or tuple(f"theta[{i}]" for i in range(dim))
    log = _in_logarithms(prior_draws, draws)
    after = coordinates(draws, log)
    prior_covariance = _covariance(coordinates(prior_draws, log))
    covariance = _covariance(after)
    for title, matrix in (("prior_draws", prior_covariance), ("draws", covariance)):
        if not (np.diag(matrix) > 0).all():
            stuck = names[int(np.argmin(np.diag(matrix)))]
            raise ValueError(
                f"{title}: Expected parameters that vary; {stuck} does not."
            )
    values, vectors = eigh(covariance, prior_covariance)
    directions = tuple(
        _direction(vector, value, covariance, names, log)
        for value, vector in zip(values, vectors.T, strict=True)
    )
    left = np.sqrt(np.diag(covariance) / np.diag(prior_covariance))
    one = after if after.ndim == 2 else after[0]
    return Identifiability(
        names=tuple(names),
        logarithmic=tuple(bool(flag) for flag in log),
        remaining=tuple(float(value) for value in left),
        directions=directions,
        ridges=_ridges(covariance, names, log, left),
        modes=tuple(count_modes(column) for column in one.T),
    )


def _in_logarithms(
    prior_draws: Float[np.ndarray, "num_prior theta_dim"],
    draws: Float[np.ndarray, "*batch num_draws theta_dim"],
) -> Bool[np.ndarray, " theta_dim"]:
    """Return which parameters are looked at in logarithms: the positive ones.

    But for those that the data bound from above: draws that pile up at zero are spread
    as widely in logarithms as the prior, though much has been learned.
    """
    dim = prior_draws.shape[-1]
    least = prior_draws.min(axis=0), draws.reshape(-1, dim).min(axis=0)
    positive = np.asarray(np.minimum(*least) > 0)

    def left(log: np.ndarray) -> np.ndarray:
        before, after = (
            np.diag(_covariance(coordinates(theta, log)))
            for theta in (prior_draws, draws)
        )
        return np.sqrt(after / np.maximum(before, 1e-300))

    plain, logarithmic = left(np.zeros(dim, bool)), left(positive)
    bounded = (logarithmic > UNKNOWN) & (plain < logarithmic / BOUNDED)
    return positive & ~bounded


def _covariance(
    theta: Float[np.ndarray, "*batch num_draws theta_dim"],
) -> Float[np.ndarray, "theta_dim theta_dim"]:
    """Return the covariance of draws, averaged over posteriors if there are many."""
    blocks = theta.reshape(-1, *theta.shape[-2:])
    return np.mean([np.atleast_2d(np.cov(block.T)) for block in blocks], axis=0)


def coordinates(
    theta: Float[np.ndarray, "..."], log: Bool[np.ndarray, " theta_dim"]
) -> Float[np.ndarray, "..."]:
    """Return logarithms of the columns that are looked at in logarithms."""
    return np.where(log, np.log(np.where(log, theta, 1.0)), theta)


def _direction(
    vector: np.ndarray,
    value: float,
    covariance: np.ndarray,
    names: tuple[str, ...],
    log: np.ndarray,
) -> Direction:
    # In sds: a parameter in small units has a large coefficient.
    importance = np.abs(vector) * np.sqrt(np.diag(covariance))
    top = int(np.argmax(importance))
    scaled = vector / vector[top]
    kept = np.where(importance >= NEGLIGIBLE * importance[top], scaled, 0.0)
    return Direction(
        coefficients=tuple(float(c) for c in kept),
        name=combination_name(kept, names, log),
        remaining=float(np.sqrt(max(value, 0.0))),
        sd=float(np.sqrt(scaled @ covariance @ scaled)),
    )


def combination_name(
    coefficients: Float[np.ndarray, " theta_dim"],
    names: tuple[str, ...],
    log: Bool[np.ndarray, " theta_dim"],
) -> str:
    """Write a combination: products of powers for logarithms, else a sum."""
    used = np.flatnonzero(coefficients)
    if log[used].all():
        powers = [(names[i], _rounded(coefficients[i])) for i in used]
        above = [_power(name, p) for name, p in powers if p > 0]
        below = [_power(name, -p) for name, p in powers if p < 0]
        top = " · ".join(above) or "1"
        return f"{top} / ({' · '.join(below)})" if below else top
    terms = []
    for i in used:
        term = f"log {names[i]}" if log[i] else names[i]
        size = _rounded(abs(coefficients[i]))
        sign = "-" if coefficients[i] < 0 else "+"
        terms.append(f"{sign} {term}" if size == 1 else f"{sign} {size:g} {term}")
    return " ".join(terms).removeprefix("+ ")


def _rounded(value: float) -> float:
    """Round to a quarter where that is near: readers know powers of 1/2."""
    quarter = round(value * 4) / 4
    return quarter if quarter and abs(value - quarter) < 0.06 else round(value, 2)


def _power(name: str, power: float) -> str:
    return name if power == 1 else f"{name}^{power:g}"


def _ridges(
    covariance: np.ndarray, names: tuple[str, ...], log: np.ndarray, left: np.ndarray
) -> tuple[Ridge, ...]:
    sd = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sd, sd)
    found = []
    for i, j in zip(*np.triu_indices(len(sd), 1), strict=True):
        rho = float(correlation[i, j])
        if abs(rho) < RIDGE or max(left[i], left[j]) < KNOWN / 2:
            continue
        # What is known is orthogonal, in sds, to the direction in which both move.
        known = np.zeros(len(sd))
        known[i], known[j] = 1.0, -np.sign(rho) * sd[i] / sd[j]
        pair = np.ix_([i, j], [i, j])
        narrow, wide = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance[pair]), 0))
        found.append(
            Ridge(
                names=(names[i], names[j]),
                correlation=rho,
                combination=combination_name(known, names, log),
                slope=float(np.sign(rho) * sd[j] / sd[i]),
                length=float(wide),
                width=float(narrow),
            )
        )
    return tuple(sorted(found, key=lambda ridge: -abs(ridge.correlation)))


def count_modes(values: Float[np.ndarray, " num_draws"]) -> int:
    """Count the modes of draws: peaks that rise a quarter above the dip beside them.

    The density is a histogram smoothed by Silverman's width for the distance between
    quartiles; draws that pile up at a bound count as one mode.
    """
    low, q25, q75, high = np.quantile(values, [0.001, 0.25, 0.75, 0.999])
    spread = min((q75 - q25) / 1.349, values.std())
    if high <= low or spread <= 0:
        return 1
    counts, edges = np.histogram(values, bins=400, range=(low, high))
    width = 0.9 * spread * len(values) ** -0.2 / (edges[1] - edges[0])
    density = gaussian_filter1d(counts.astype(float), max(width, 1.0), mode="reflect")
    return _prominent_peaks(density)


def _prominent_peaks(density: np.ndarray) -> int:
    """Count maxima above a tenth of the highest, a quarter above the dip between."""
    count, peak, dip, rising = 0, 0.0, 0.0, True
    least = 0.1 * density.max()
    for value in np.append(density, 0.0):
        if rising:
            peak = max(peak, value)
            if peak >= least and value < 0.75 * peak:
                count, rising, dip = count + 1, False, value
        else:
            dip = min(dip, value)
            if value > max(dip / 0.75, least):
                rising, peak = True, value
    return count


def _mixed(direction: Direction) -> bool:
    return sum(c != 0 for c in direction.coefficients) > 1


def _parameters(report: Identifiability, limit: float, *, below: bool) -> str:
    """Name the parameters whose remaining spread is below (above) a limit."""
    rows = zip(report.names, report.remaining, strict=True)
    chosen = [(n, left) for n, left in rows if (left < limit) == below]
    if not chosen:
        return ""
    text = ", ".join(f"{name} ({left:.0%})" for name, left in chosen)
    if below:
        return f"Known from the data (prior spread that remains): {text}."
    return f"Hardly informed by the data (prior spread that remains): {text}."


def _ridge_words(ridge: Ridge, report: Identifiability) -> str:
    first, second = ridge.names
    log = dict(zip(report.names, report.logarithmic, strict=True))
    if log[first] and log[second]:
        size = f"known to {ridge.width:.1%} across the ridge, while along it both "
        size += (
            f"change by a factor of {np.exp(ridge.length / np.sqrt(2)):.2f} (one sd)"
        )
    else:
        size = f"{ridge.length / max(ridge.width, 1e-300):.0f} times longer than wide"
    return (
        f"Ridge: the data know the combination {ridge.combination}, not {first} and "
        f"{second} by themselves (correlation {ridge.correlation:+.3f}; {size})."
    )


def _told(direction: Direction, report: Identifiability) -> str:
    used = [
        log
        for log, c in zip(report.logarithmic, direction.coefficients, strict=True)
        if c
    ]
    size = f"{direction.sd:.1%}" if all(used) else f"{direction.sd:.3g}"
    return f"{direction.name}, to {size} (sd)"
