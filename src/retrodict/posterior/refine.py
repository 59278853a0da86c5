"""``refine``: make a posterior better, with what is there or with new simulations."""

from typing import Any, Literal, overload

from .._core.errors import ModelError
from ..model import Model
from ..simulations import Simulations
from ..training import Settings
from .posterior import Posterior
from .refined import Refined, refine_by_likelihood
from .sequential import Sequential, refine_in_rounds


@overload
def refine(
    posterior: Posterior, given: Simulations, *, settings: Settings | None = ...
) -> Refined: ...
@overload
def refine(
    posterior: Posterior,
    given: Model,
    x_obs: Any = ...,
    *,
    rounds: int = ...,
    num_simulations: int = ...,
    simulations: Simulations | None = ...,
    seed: int = ...,
    effort: Literal["auto", "fast"] = ...,
) -> Sequential: ...
def refine(
    posterior: Posterior, given: Any, x_obs: Any = None, **options: Any
) -> Refined | Sequential:
    """Refine a posterior by a learned likelihood, or by simulating where it lies.

    With the simulations it was trained on, a likelihood is learned from them, and q,
    the refined posterior or their mixture is chosen by the log-density of theta at
    simulations that neither was trained on. No simulation is added, and the result is a
    posterior for every observation.

    With a model and an observation, rounds of new simulations are spent near the
    posterior at that observation (truncated proposals), and the result holds there
    only. This suits an expensive simulator and one observation.

    Args:
        posterior: From :func:`retrodict.fit`.
        given: The simulations it was trained on; or the model, to simulate anew.
        x_obs: The observation, with a model; by default the model's own.
        **options: With simulations, ``settings``: architecture and schedule of the
            likelihood, instead of a race. With a model, ``rounds`` (4 at most),
            ``num_simulations`` per round (1000; what a region that stops shrinking
            leaves over goes to the last round), ``simulations`` that the posterior was
            trained on, to be used again, ``seed`` (0), and ``effort`` of the last
            training, as for :func:`retrodict.fit`.

    Returns:
        :class:`Refined`, or :class:`Sequential`.

    Raises:
        ModelError: With simulations, if some parameters are nuisances or some targets
            are derived, whose prior density is not known, or if x is not made of
            vectors, of which alone a likelihood is learned. With a model, if there is
            no observation, the posterior is of other targets, the prior is cut already
            or Python computes a target; or if the density of the prior of the targets
            is not known (some are derived, or a part of a prior function) and their
            posterior fills less than a thousandth of the prior.
        DataError: If these are not the simulations that it was trained on.
        ValueError: If ``rounds`` or ``num_simulations`` is less than 1, or with
            simulations and ``x_obs``.
        TypeError: If ``given`` is neither simulations nor a model.
    """
    if isinstance(given, Simulations):
        if x_obs is not None:
            raise ValueError(
                "x_obs: Expected none with simulations, which refine the posterior of "
                "every x; got one. Give the model instead, to spend rounds on it."
            )
        return refine_by_likelihood(posterior, given, **options)
    if not isinstance(given, Model):
        raise TypeError(
            "given: Expected Simulations or a Model; got "
            f"{type(given).__name__}. Of a study, give its model."
        )
    x_obs = given.observed if x_obs is None else x_obs
    if x_obs is None:
        raise ModelError(
            "x_obs: Expected an observation; the model has none. Give one to refine."
        )
    return refine_in_rounds(posterior, given, x_obs, **options)
