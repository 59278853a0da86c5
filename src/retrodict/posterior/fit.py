"""``fit``: from simulations to an amortized posterior."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .._core.compilation import use_compilation_cache
from .._core.errors import DataError
from .._core.seeds import check_seed, stream_key
from ..estimators import Affine, fit_scalers
from ..model import complete_structures
from ..simulations import Simulations, as_series
from ..training import (
    DENSITIES,
    Settings,
    Trained,
    candidate_settings,
    checkpointing,
    default_settings,
    fast_settings,
)
from .contest import train_best
from .network import Network
from .packed import leading
from .posterior import Posterior
from .provenance import provenance, say_failures
from .record import Record, XSpec
from .synthetic import Pairs
from .typical import fit_typical


MANY_MEMBERS = 10  # of trainings that are short
MAX_FAILED_FRACTION = 0.2
MIN_SIMULATIONS = 50  # fewer cannot be split into training and validation


def fit(
    simulations: Simulations,
    *,
    seed: int = 0,
    effort: Literal["auto", "fast"] = "auto",
    num_members: int | None = None,
    settings: Settings | None = None,
    checkpoint: str | Path | None = None,
) -> Posterior:
    """Train an ensemble of conditional normalizing flows on simulations.

    Rows that failed are left out and counted. Theta is mapped to unconstrained
    coordinates by the supports of the prior, so that no sample can leave them.

    Args:
        simulations: Pairs of theta and x, from :func:`retrodict.simulate`.
        seed: Seed of the training; equal seeds give equal posteriors.
        effort: ``"auto"`` races a few schedules on held-out simulations and trains an
            ensemble with the best, with synthetic pairs and without entries of x that
            say nothing where that helps; ``"fast"`` trains one network with the first
            choice.
        num_members: Networks in the ensemble; by default 5, or 10 of fewer than 3000
            simulations or where short trainings do best, or 1 if ``effort`` is
            ``"fast"``. A single one is often over-confident. Where synthetic pairs help
            it is half as many, but four if there are as many: more pairs leave less to
            chance.
        settings: Architecture and schedule, instead of those that ``effort`` and
            ``num_members`` stand for.
        checkpoint: Folder to keep the training in: the same call goes on from there, to
            the same bits, whatever ended the first. Delete it when you are done.

    Returns:
        The posterior for any observation of the same shape.

    Raises:
        DataError: If more than 20 % of the simulations failed, or too few are left.
        ValueError: If ``effort`` is neither of its two words, or if ``settings`` have a
            density of x.
        InterruptedRun: On Ctrl-C, with the training kept in ``checkpoint``. SIGTERM,
            unless the program handles it, ends the process likewise, with code 75.

    Example:
        >>> short = Settings(num_members=1, epochs=2)
        >>> posterior = fit(simulations, seed=0, settings=short)
        >>> posterior.names
        ('mu[0]', 'mu[1]')
    """
    use_compilation_cache()
    _check_density(settings)
    key = stream_key(check_seed(seed), "fit")
    good = simulations.ok()
    _check_usable(simulations)
    facts = provenance(simulations)
    say_failures(facts)
    model, space = simulations.model, simulations.model.targets
    symmetries = model.target_symmetries
    u = space.unconstrain(symmetries.fold(good.targets))
    scale = Affine.fit(u)
    _check_varying(scale, space.names)
    series = {k: np.asanyarray(v) for k, v in as_series(good.x).items()}
    shapes = {k: v.shape[1:] for k, v in series.items()}
    structure = complete_structures(model.structure, shapes)
    scalers = fit_scalers(leading(series), structure)
    candidates = settings or _candidates(len(good), u.shape[1], effort, num_members)
    pairs = Pairs(scale.apply(u).astype(np.float32), series, scale, scalers)
    with checkpointing(checkpoint):
        trained, pairs = train_best(
            key,
            model,
            pairs,
            candidates,
            structure,
            search=settings is None and effort == "auto",
            synthesize=len(good) == len(simulations),  # else they have another prior
        )
    volume = np.log(scale.scale).sum() + space.log_det(u).mean()
    shift = float(volume + symmetries.log_count)
    curves = _curves(trained, shift)
    record = Record(
        **facts,
        **curves,
        seed=seed,
        prior_mean=good.targets.mean(0),
        prior_sd=good.targets.std(0),
    )
    single = not isinstance(good.x, dict)
    x_spec = XSpec(shapes=shapes, single=single, structure=structure)
    architecture = trained.members, trained.settings
    standard = pairs.scalers, scale
    network = Network(*architecture, space, x_spec, *standard, symmetries)
    key = stream_key(seed, "reference")
    reference = fit_typical(key, network, leading(series), trained.held_out[0])
    preview = {k: v[:8].astype(np.float64) for k, v in series.items()}
    examples = (preview, good.targets[:8])
    return Posterior(network, reference, record, examples)


def _check_density(settings: Settings | None) -> None:
    if settings is not None and settings.density not in DENSITIES:
        raise ValueError(
            f"settings.density: Expected one of {list(DENSITIES)}; got "
            f"{settings.density!r}, which is a density of x."
        )


def _candidates(
    count: int, dim: int, effort: str, num_members: int | None
) -> tuple[Settings, ...]:
    if effort not in ("auto", "fast"):
        raise ValueError(f"effort: Expected 'auto' or 'fast'; got {effort!r}.")
    if effort == "fast":
        base = default_settings(count, dim, num_members=num_members or 1)
        return (fast_settings(base, count, dim),)
    base = default_settings(count, dim, num_members=num_members)
    return candidate_settings(base, count, short_members=num_members or MANY_MEMBERS)


def _curves(trained: Trained, shift: float) -> dict[str, Any]:
    """Return what a record keeps of a training, with losses in the units of theta."""
    settings = trained.settings
    return {
        "settings": dataclasses.asdict(settings),
        "train": np.nan * trained.train
        if not_nats(settings)
        else trained.train + shift,
        "validation": trained.validation + shift,
        "skipped": tuple(int(n) for n in trained.skipped),
        "compile_s": trained.compile_s,
        "train_s": trained.train_s,
    }


def not_nats(settings: Settings) -> bool:
    """Say whether training minimized something else than -log q."""
    return settings.density == "flow_matching"


def _check_usable(simulations: Simulations) -> None:
    failed = 1 - simulations.num_ok / len(simulations)
    if failed > MAX_FAILED_FRACTION:
        raise DataError(
            f"simulations: {failed:.0%} failed ({simulations.failures}); Expected at "
            f"most {MAX_FAILED_FRACTION:.0%}. What is left would describe another "
            "prior: mend the simulator, or narrow the prior to where it runs "
            "(retrodict.restrict)."
        )
    if simulations.num_ok < MIN_SIMULATIONS:
        raise DataError(
            f"simulations: Expected at least {MIN_SIMULATIONS} that can be used; got "
            f"{simulations.num_ok}. Simulate more."
        )


def _check_varying(scale: Affine, names: tuple[str, ...]) -> None:
    constant = np.flatnonzero(scale.scale == 0)
    if len(constant):
        raise DataError(
            f"simulations: the target coordinate {int(constant[0])} of {names} is the "
            "same in every row. Expected parameters that vary; give it a prior with "
            "some width, or leave it out of `infer`."
        )
