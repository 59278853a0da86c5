"""Train in a few ways, and finish the one that predicts held-out theta best.

On the simulations as they are; without entries of x that say nothing; and with pairs
from a learned likelihood. Only the winner's ensemble is trained whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax.random as jr
from jaxtyping import Array, Key

from .._core.seconds import Timed, total_seconds
from ..model import Model, Structure
from ..training import Race, Settings, Trained, is_staged, race, train_staged
from .packed import standardized
from .screened import screen
from .synthetic import Pairs, can_synthesize, learn_likelihood, race_synthetic


NUM_LEARNED = 3  # networks of the likelihood
NUM_OF_MANY = 2  # networks, from MANY simulations on; measured at 10 000
MANY = 3000


def train_best(
    key: Key[Array, ""],
    model: Model,
    pairs: Pairs,
    candidates: Settings | Sequence[Settings],
    structure: Mapping[str, Structure],
    *,
    search: bool,
    synthesize: bool,
) -> tuple[Trained, Pairs]:
    """Return the trained ensemble, and the simulations as its networks see them.

    Args:
        key: PRNG key.
        model: The prior that synthetic theta are drawn from.
        pairs: The simulations.
        candidates: Schedules to race, or the only one.
        structure: What the axes of the series mean.
        search: Whether other ways are tried than the plain one.
        synthesize: Whether synthetic pairs may be among them.
    """
    z = standardized(pairs.scalers, pairs.x)
    shapes = {name: values.shape[1:] for name, values in z.items()}
    if isinstance(candidates, Settings) and is_staged(candidates, shapes):
        staged = train_staged(key, pairs.value, z, candidates, structure=structure)
        return staged, pairs
    races = [race(key, pairs.value, z, candidates, structure=structure)]
    fewer = screen(pairs) if search else None
    if fewer is not None:
        z = standardized(fewer.scalers, pairs.x)
        races.append(race(key, pairs.value, z, candidates))
        if races[1].score < races[0].score:
            pairs = fewer
    parts: list[Timed] = [*races]
    first = _best(races)
    # many short trainings, averaged, do about as well in a quarter of the time
    if search and synthesize and not first.short and can_synthesize(pairs):
        key_likelihood, key_pairs = jr.fold_in(key, 1), jr.fold_in(key, 2)
        number = NUM_LEARNED if len(pairs.value) < MANY else NUM_OF_MANY
        likelihood = learn_likelihood(
            key_likelihood, pairs, first.held_out, num_members=number
        )
        races.append(race_synthetic(key_pairs, model, pairs, first, likelihood))
        parts += [likelihood, races[-1]]
    trained = _best(races).finish()
    return replace(trained, **total_seconds(parts)), pairs


def _best(races: Sequence[Race]) -> Race:
    return min(races, key=lambda one: one.score)
