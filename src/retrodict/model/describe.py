"""Say in words how a parameter is distributed: ``Normal(loc=2, scale=1)``.

The words stand in reports, and they are part of a campaign's identity: two priors that
differ must not read alike.
"""

from hashlib import sha256
from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import truncated


_TRUNCATED = (
    truncated.LeftTruncatedDistribution,
    truncated.RightTruncatedDistribution,
    truncated.TwoSidedTruncatedDistribution,
)
# One way to give a scale is enough; numpyro keeps the others as well.
_REPEATED = {
    "MultivariateNormal": ("scale_tril", "precision_matrix"),
    "MultivariateStudentT": (),
}
_MAX_WRITTEN = 12


def describe_distribution(site: Any) -> str:
    """Return one line about a numpyro distribution, with all its arguments.

    Args:
        site: A distribution; batch axes, ``Independent``, truncation and transforms
            around it are said in words.

    Example:
        >>> import numpyro.distributions as dist
        >>> describe_distribution(dist.TruncatedNormal(2, 1, low=0))
        'Normal(loc=2, scale=1) truncated to [0, inf)'
    """
    shape = tuple(site.batch_shape) + tuple(site.event_shape)
    suffix = f", shape {'×'.join(map(str, shape))}" if shape else ""
    return _words(site) + suffix


def _words(site: Any) -> str:
    if isinstance(site, dist.Independent | dist.ExpandedDistribution):
        return _words(site.base_dist)
    if isinstance(site, _TRUNCATED):
        low, high = getattr(site, "low", -np.inf), getattr(site, "high", np.inf)
        return f"{_words(site.base_dist)} truncated to {_interval(low, high)}"
    if type(site) is dist.TransformedDistribution:
        steps = ", then ".join(map(_transform, site.transforms))
        return f"{_words(site.base_dist)} through {steps}"
    if isinstance(site, dist.MixtureSameFamily):
        weights = _value(site.mixing_distribution.probs)
        return f"mixture of {_words(site.component_distribution)}, weights {weights}"
    if isinstance(site, dist.MixtureGeneral):
        parts = ", ".join(map(_words, site.component_distributions))
        return f"mixture of {parts}, weights {_value(site.mixing_distribution.probs)}"
    return f"{type(site).__name__}({_arguments(site)})"


def _arguments(site: Any) -> str:
    """List the arguments that a distribution was given, in numpyro's order."""
    hidden = _REPEATED.get(type(site).__name__, ())
    given = {n: getattr(site, n, None) for n in site.arg_constraints if n not in hidden}
    return ", ".join(f"{n}={_value(v)}" for n, v in given.items() if v is not None)


def _transform(step: Any) -> str:
    """Name a transform and its numbers, if any: ``Affine(loc=1, scale=2)``."""
    name = type(step).__name__.removesuffix("Transform") or type(step).__name__
    values = {k: v for k, v in vars(step).items() if not k.startswith("_")}
    numbers = {k: v for k, v in values.items() if _is_numeric(v)}
    inside = ", ".join(f"{k}={_value(v)}" for k, v in numbers.items())
    return f"{name}({inside})" if inside else name


def _is_numeric(value: Any) -> bool:
    return hasattr(value, "dtype") or isinstance(value, int | float)


def _interval(low: Any, high: Any) -> str:
    left = "(" if np.all(np.isneginf(low)) else "["
    right = ")" if np.all(np.isposinf(high)) else "]"
    return f"{left}{_value(low)}, {_value(high)}{right}"


def _value(value: Any) -> str:
    """Write numbers shortly; an array too long to read by its shape and checksum."""
    array = np.asarray(value)
    if array.size and np.all(array == array.flat[0]):
        return f"{array.flat[0]:.6g}"  # numpyro broadcasts arguments; undo that
    if array.size > _MAX_WRITTEN:
        digest = sha256(np.ascontiguousarray(array, dtype=np.float64).tobytes())
        return f"<{'×'.join(map(str, array.shape))} array {digest.hexdigest()[:8]}>"
    text = np.array2string(
        array, separator=", ", formatter={"float_kind": lambda number: f"{number:.6g}"}
    )
    return " ".join(text.split())
