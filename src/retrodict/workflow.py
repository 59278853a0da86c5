"""From a study to a report: simulate, fit, validate, infer, report, as one function."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ._core.atomic import write_atomic
from ._core.errors import DataError, ModelError
from ._core.progress import say, stopwatch
from ._core.seconds import total_seconds
from ._core.seeds import check_seed, stream_key
from ._core.version import package_version
from .diagnostics import c2st
from .model import Baseline, Model, Study
from .posterior import (
    MIN_SIMULATIONS,
    Posterior,
    Refined,
    can_weigh,
    check_fits,
    explore,
    fit,
    one_row,
    refined_in_region,
    simulate_in_rounds,
)
from .report import Result, report_content, write_report, write_samples
from .simulations import (
    Simulations,
    as_series,
    check_shapes,
    simulate,
    simulate_at,
)
from .training import checkpointing, default_settings, forget_checkpoints
from .trust import Informed, Verdict, informed, replicates, validate, validate_at
from .trust.informed import NUM_AVERAGED


__all__ = ["Result", "package_version", "run"]

TRAINING = "training"  # the folder of checkpoints, until the report is written
NUM_DRAWS = 10_000
NUM_PREDICTIVE = 1000
NUM_C2ST = 2000
NUM_PER_OBSERVATION = 2000
PROPOSERS = 5  # of one whose draws a likelihood will weigh
LAST_SHARE = 0.6  # of a budget, spent in the last of several rounds


def run(
    study: Study,
    out: str | Path,
    *,
    seed: int = 0,
    budget: int | None = None,
    with_baseline: bool = True,
    workers: int | None = None,
    posterior: Posterior | None = None,
    command: str = "",
) -> Result:
    """Run a study to its report.

    Where the study has more than one round, the answer holds for its observation alone,
    and is judged for data like it.

    Args:
        study: Model, data and baseline.
        out: Folder for ``simulations/`` (and ``rounds/`` if there are several),
            ``posterior.retrodict``, ``samples.nc``, ``summary.json`` and
            ``report.html``. Simulations that are there already
            are used, and a training that was interrupted there goes on.
        seed: Seed of everything.
        budget: Number of training simulations; the study's own by default.
        with_baseline: Also compute the study's classical baseline.
        workers: Worker processes for a Python simulator.
        posterior: A posterior trained before, instead of training one.
        command: How the run was started, for the report's provenance.

    Returns:
        All results; the files are in ``out``.

    Raises:
        ModelError: If the study has no observation or its simulator cannot run; or if
            there are rounds and the prior cannot be cut to the posterior, as
            :func:`retrodict.refine`.
        DataError: If observation or simulations cannot be used.
        StorageError: If ``out`` cannot be written.
        InterruptedRun: On Ctrl-C; the same call continues.
    """
    model, out = study.model, Path(out)
    check_seed(seed)
    _check_observed(model)
    check_fits(posterior, model)
    budget = study.budget if budget is None else budget
    timings: dict[str, float] = {}
    begun = time.perf_counter()
    rounds = _num_rounds(study, posterior)
    count = spread_budget(budget, rounds)[0]
    with stopwatch(timings, "simulate_s"):
        sims = _simulated(model, count, seed, out, workers)
    answer = posterior or learn(study, sims, seed, out, budget=budget, workers=workers)
    posterior = answer.posterior if isinstance(answer, Refined) else answer
    timings |= {k: getattr(posterior.record, k) for k in ("train_s", "compile_s")}
    posterior.save(out / "posterior.retrodict")
    with stopwatch(timings, "validate_s"):
        verdict = judge(study, answer, seed)
    with stopwatch(timings, "infer_s"):
        at = posterior.at(model.observed)
        draws = model.unflatten(draw(answer, model.observed, seed))
    baseline = classical_answer(study, seed, timings) if with_baseline else None
    scores = compare(model, draws, baseline) if baseline is not None else {}
    with stopwatch(timings, "measure_s"):
        observations = observation_draws(study, posterior, seed)
        measured = measure(study, posterior, seed)
    timings["total_s"] = time.perf_counter() - begun
    result = Result(
        study=study,
        seed=seed,
        budget=budget,
        simulations=sims,
        posterior=posterior,
        verdict=verdict,
        informed=inform(posterior, sims, draws, verdict, seed),
        at=at,
        draws=draws,
        derived=derived_draws(model, draws),
        predictive=predictive_draws(model, draws, seed),
        baseline=baseline,
        scores=scores,
        measured=measured,
        observations=observations,
        timings=timings,
        command=command,
        out=out,
    )
    write_files(result)
    return result


def train(
    study: Study, sims: Simulations, seed: int, kept: Path | None = None
) -> Posterior:
    """Train with the settings of the study, which are the default ones if it has none.

    A study that names settings trains with exactly these: nothing is raced.

    Args:
        study: What is studied.
        sims: Its simulations.
        seed: Seed of the training.
        kept: Folder of the checkpoints.
    """
    default = default_settings(sims.num_ok, study.model.targets.unconstrained_dim)
    with checkpointing(kept):
        if not study.training:
            return fit(sims, seed=seed)
        return fit(sims, seed=seed, settings=replace(default, **study.training))


def _simulated(
    model: Model, count: int, seed: int, out: Path, workers: int | None
) -> Simulations:
    """Simulate into the folder of a run, and compare x with the observation."""
    folder = out / "simulations"
    sims = simulate(model, count, seed=seed, out=folder, workers=workers)
    check_shapes(model, {k: v.shape[1:] for k, v in as_series(sims.x).items()})
    return sims


def _num_rounds(study: Study, posterior: Posterior | None) -> int:
    """Return the number of rounds, which a posterior trained before remembers.

    Raises:
        ModelError: If the prior of the targets cannot be cut.
    """
    rounds = study.rounds if posterior is None else posterior.record.num_rounds
    if rounds > 1:
        study.model.check_restricted(study.model.targets)
    return rounds


def learn(
    study: Study,
    sims: Simulations,
    seed: int,
    out: Path,
    *,
    budget: int,
    workers: int | None = None,
) -> Posterior | Refined:
    """Train on the simulations, and first spend the rest of the budget in rounds.

    Args:
        study: What is studied.
        sims: Its simulations of the first round.
        seed: Seed of simulations and trainings.
        out: Folder of the run.
        budget: Simulations of all rounds.
        workers: Worker processes for a Python simulator.
    """
    counts = spread_budget(budget, study.rounds)[1:]
    if not counts:
        return train(study, sims, seed, out / TRAINING)
    return train_in_rounds(study, sims, counts, seed, out=out, workers=workers)


def draw(
    answer: Posterior | Refined, x_obs: Any, seed: int
) -> Float[np.ndarray, "num_draws theta_dim"]:
    """Draw from the answer at the observation."""
    return answer.sample(stream_key(seed, "infer"), one_row(x_obs), NUM_DRAWS)[0]


def train_in_rounds(
    study: Study,
    sims: Simulations,
    counts: Sequence[int],
    seed: int,
    *,
    out: Path,
    workers: int | None = None,
) -> Posterior | Refined:
    """Simulate in rounds, each nearer to the observation, and train on the last region.

    The answer is weighed by a likelihood learned there, where that is better.

    Args:
        study: What is studied.
        sims: Simulations from the whole prior.
        counts: Simulations of every further round.
        seed: Seed of simulations and trainings.
        out: Folder of the run.
        workers: Worker processes for a Python simulator.
    """
    model = study.model
    with checkpointing(out / TRAINING):
        first = explore(sims, seed)
        found = simulate_in_rounds(
            first,
            model,
            model.observed,
            counts,
            simulations=sims,
            seed=seed,
            out=out / "rounds",
            workers=workers,
        )
        data = found.simulations
        if can_weigh(data) and not study.training:  # it proposes; a mean of 5 will do
            posterior = fit(data, seed=seed, effort="fast", num_members=PROPOSERS)
        else:
            posterior = train(study, data, seed)
        answer = refined_in_region(posterior, data, model.observed)
    costs: list[Any] = [first.record, *found.records, posterior.record]
    rounds = {
        "asked": float(study.rounds),
        "number": 1.0 + len(found.regions),
        "budget": float(len(sims) + found.num_simulations),
        "mass": found.regions[-1].mass,
    }
    if isinstance(answer, Refined):
        costs.append(answer.likelihood)
        key, row = stream_key(seed, "efficiency"), one_row(model.observed)
        rounds["efficiency"] = float(answer.effective_sample_size(key, row)[0])
    posterior.record = replace(posterior.record, rounds=rounds, **total_seconds(costs))
    return answer


def spread_budget(budget: int, rounds: int) -> list[int]:
    """Return how many simulations each round is for: most for the last.

    Args:
        budget: Of all of them.
        rounds: Number of rounds.

    Raises:
        DataError: If a round would have too few to train on.
    """
    if rounds == 1:
        return [budget]
    early = int(budget * (1 - LAST_SHARE) / (rounds - 1))
    if early < MIN_SIMULATIONS:
        least = int(np.ceil(MIN_SIMULATIONS * (rounds - 1) / (1 - LAST_SHARE)))
        raise DataError(
            f"budget: Expected at least {least} simulations for {rounds} rounds, so "
            f"that each has {MIN_SIMULATIONS}; got {budget}. Simulate more, or in "
            "fewer rounds."
        )
    return [early] * (rounds - 1) + [budget - early * (rounds - 1)]


def judge(study: Study, posterior: Posterior | Refined, seed: int) -> Verdict:
    """Judge a posterior on average over the prior, or where its rounds have led."""
    model, num = study.model, study.num_validation
    if posterior.record.num_rounds == 1:
        return validate(posterior, model, num_simulations=num, seed=seed)
    _check_observed(model)
    return validate_at(posterior, model, model.observed, num_simulations=num, seed=seed)


def inform(
    posterior: Posterior,
    sims: Simulations,
    draws: Mapping[str, np.ndarray],
    verdict: Verdict,
    seed: int,
) -> Informed:
    """Report what the data inform, at the observation and on average."""
    key, flat = stream_key(seed, "informed"), sims.model.flatten(draws)
    known = verdict.calibration.width_if_known
    asked = None
    if posterior.record.num_rounds > 1:
        x_obs = sims.model.observed
        _, asked = replicates(posterior, sims.model, x_obs, NUM_AVERAGED, seed=seed)
    return informed(key, posterior, sims, flat, known, asked=asked)


def observation_draws(
    study: Study, posterior: Posterior, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Ask the posterior about every named observation of a study.

    Returns:
        Draws ``(n, *shape)`` of every target and derived quantity, by observation.
    """
    if not study.observations:
        return {}
    names, rows = zip(*study.observations.items(), strict=True)
    xs = {k: np.stack([row[k] for row in rows]) for k in rows[0]}
    key = stream_key(seed, "observations")
    theta = posterior.sample(key, xs, NUM_PER_OBSERVATION)
    model = study.model
    found = {}
    for name, values in zip(names, theta, strict=True):
        draws = model.unflatten(values)
        found[name] = draws | derived_draws(model, draws)
    return found


def measure(study: Study, posterior: Posterior, seed: int) -> dict[str, float]:
    """Compute what the study claims about its posterior, if it claims anything."""
    if study.measure is None:
        return {}
    key, function = stream_key(seed, "measure"), study.measure
    found = _attempt("The measurement", lambda: function(key, study.model, posterior))
    return {name: float(value) for name, value in (found or {}).items()}


def classical_answer(
    study: Study, seed: int, timings: dict[str, float]
) -> Baseline | None:
    """Run the study's baseline, if it has one, and note its time in ``timings``."""
    baseline = study.baseline
    if baseline is None:
        return None
    key = stream_key(seed, "baseline")
    with stopwatch(timings, "baseline_s"):
        return _attempt("The baseline", lambda: baseline(key, study.model))


def derived_draws(
    model: Model, draws: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Compute the derived quantities that the targets alone determine."""
    names = {field.name for field in model.targets.fields}
    return {k: v for k, v in model.derived(draws).items() if k not in names}


def predictive_draws(
    model: Model, draws: Mapping[str, np.ndarray], seed: int
) -> dict[str, np.ndarray]:
    """Simulate at posterior draws; empty when nuisances were left out of the targets.

    Drawing those from their prior would make the predictions too wide. A simulator that
    fails there leaves the predictions empty too.
    """
    if any(name not in draws for name in model.prior.names):
        return {}
    some = {name: values[:NUM_PREDICTIVE] for name, values in draws.items()}
    key = stream_key(seed, "predictive")
    found = _attempt(
        "Simulating at posterior draws", lambda: simulate_at(key, model, some)
    )
    return {name: values for name, values in (found or {}).items() if len(values)}


def compare(
    model: Model, draws: Mapping[str, np.ndarray], baseline: Baseline
) -> dict[str, float]:
    """Return the distance of posterior draws from those of a baseline.

    ``c2st`` is on unconstrained coordinates, where skewed and bounded parameters do not
    hide behind a few extreme draws.
    """
    every = {**baseline.draws, **model.derived(baseline.draws)}
    space = model.targets
    reference, own = (space.unconstrain(model.flatten(d)) for d in (every, draws))
    rows = np.random.RandomState(0).permutation(len(reference))
    count = min(NUM_C2ST, len(reference), len(own))
    return {"c2st": c2st(reference[rows[:count]], own[:count])}


def write_files(result: Result) -> None:
    """Write ``samples.nc``, ``summary.json`` and ``report.html``; then all is safe."""
    write_samples(result)
    body = json.dumps(result.summary, indent=1, allow_nan=False)
    write_atomic(result.out / "summary.json", (body + "\n").encode())
    write_report(result.out / "report.html", report_content(result))
    forget_checkpoints(result.out / TRAINING)


def _attempt(what: str, action: Callable[[], Any]) -> Any:
    """Return what an action returns; if it raises, say so and return None.

    For the parts of a study that decorate an answer. They are the user's code and may
    raise anything, which must not cost the run that came before.
    """
    try:
        return action()
    except Exception as error:  # noqa: BLE001
        text = " ".join(str(error).split())[:300]
        say(f"{what} failed ({type(error).__name__}: {text}). The run goes on.")
        return None


def _check_observed(model: Model) -> None:
    if model.observed is None:
        raise ModelError(
            f"{model.name}: the model has no observation. Give `observed=` to Model, "
            "or --observation FILE or --data DIR on the command line."
        )
