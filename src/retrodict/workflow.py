"""From a study to a report: simulate, fit, validate, infer, report, as one function."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ._core.atomic import write_atomic
from ._core.errors import ModelError, StorageError
from ._core.progress import say, stopwatch
from ._core.seeds import check_seed, stream_key
from .diagnostics import c2st
from .model import Baseline, FigureInput, Model, Study
from .posterior import ConditionedPosterior, Posterior, fit
from .report import ReportContent, write_report
from .report.summary import build_summary, component_draws
from .simulations import Simulations, as_series, check_shapes, simulate, simulate_at
from .trust import Verdict, validate


NUM_DRAWS = 10_000
NUM_PREDICTIVE = 1000
NUM_C2ST = 2000


@dataclass(frozen=True)
class Result:
    """Everything a run produced.

    Attributes:
        study: What was run.
        simulations: The training simulations.
        posterior: The amortized posterior.
        verdict: Whether it can be trusted.
        at: The posterior at the observation.
        draws: Draws of the targets, ``(n, *shape)`` by name.
        derived: Draws of the derived quantities.
        baseline: The classical answer, if it was asked for and there is one.
        summary: What ``summary.json`` holds.
        out: The folder of the files.
    """

    study: Study
    simulations: Simulations
    posterior: Posterior
    verdict: Verdict
    at: ConditionedPosterior
    draws: Mapping[str, np.ndarray]
    derived: Mapping[str, np.ndarray]
    baseline: Baseline | None
    summary: Mapping[str, Any]
    out: Path


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

    Args:
        study: Model, data and baseline.
        out: Folder for ``simulations/``, ``posterior.retrodict``, ``samples.nc``,
            ``summary.json`` and ``report.html``. Simulations that are there already
            are used.
        seed: Seed of everything.
        budget: Number of training simulations; the study's own by default.
        with_baseline: Also compute the study's classical baseline.
        workers: Worker processes for a Python simulator.
        posterior: A posterior trained before, instead of training one.
        command: How the run was started, for the report's provenance.

    Returns:
        All results; the files are in ``out``.

    Raises:
        ModelError: If the study has no observation or its simulator cannot run.
        DataError: If observation or simulations cannot be used.
        StorageError: If ``out`` cannot be written.
    """
    model, out = study.model, Path(out)
    check_seed(seed)
    if model.observed is None:
        raise ModelError(
            f"{model.name}: the model has no observation. Give `observed=` to Model, "
            "or --observation FILE or --data DIR on the command line."
        )
    budget = study.budget if budget is None else budget
    timings: dict[str, float] = {}
    begun = time.perf_counter()
    _check_fits(posterior, model)
    with stopwatch(timings, "simulate_s"):
        sims = simulate(
            model, budget, seed=seed, out=out / "simulations", workers=workers
        )
        check_shapes(model, {k: v.shape[1:] for k, v in as_series(sims.x).items()})
    posterior = posterior or fit(sims, seed=seed)
    timings["train_s"] = posterior.record.train_s
    timings["compile_s"] = posterior.record.compile_s
    posterior.save(out / "posterior.retrodict")
    with stopwatch(timings, "validate_s"):
        verdict = validate(posterior, model, seed=seed)
    with stopwatch(timings, "infer_s"):
        at = posterior.at(model.observed)
        draws = at.sample(stream_key(seed, "infer"), NUM_DRAWS)
        derived = derived_draws(model, draws)
    baseline, scores = None, {}
    if with_baseline and study.baseline is not None:
        with stopwatch(timings, "baseline_s"):
            baseline = _attempt(
                "The baseline",
                lambda: study.baseline(stream_key(seed, "baseline"), model),
            )
        scores = compare(model, draws, baseline) if baseline is not None else {}
    timings["total_s"] = time.perf_counter() - begun
    summary = build_summary(
        model=model,
        version=package_version(),
        seed=seed,
        budget=budget,
        at=at,
        draws=draws,
        derived=derived,
        verdict=verdict,
        baseline=baseline,
        scores=scores,
        timings=timings,
    )
    result = Result(
        study, sims, posterior, verdict, at, draws, derived, baseline, summary, out
    )
    write_files(result, command)
    return result


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

    Drawing those from their prior would make the predictions too wide.
    """
    if any(name not in draws for name in model.prior.names):
        return {}
    some = {name: values[:NUM_PREDICTIVE] for name, values in draws.items()}
    return simulate_at(stream_key(seed, "predictive"), model, some)


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


def write_files(result: Result, command: str) -> None:
    """Write ``samples.nc``, ``summary.json`` and ``report.html``."""
    model, seed = result.study.model, result.summary["seed"]
    predictive = _attempt(
        "Simulating at posterior draws",
        lambda: predictive_draws(model, result.draws, seed),
    )
    predictive = {k: v for k, v in (predictive or {}).items() if len(v)}
    write_samples(result, predictive)
    body = json.dumps(result.summary, indent=1, allow_nan=False)
    write_atomic(result.out / "summary.json", (body + "\n").encode())
    content = report_content(result, predictive, command)
    write_report(result.out / "report.html", content)


def write_samples(result: Result, predictive: Mapping[str, np.ndarray]) -> None:
    """Write draws, predictions and the observation as an ArviZ DataTree."""
    import arviz_base

    groups = {
        "posterior": {k: v[None] for k, v in (result.draws | result.derived).items()},
        "observed_data": as_series(result.study.model.observed),
    }
    if predictive:
        groups["posterior_predictive"] = {k: v[None] for k, v in predictive.items()}
    if result.baseline is not None:
        groups["baseline"] = {k: v[None] for k, v in result.baseline.draws.items()}
    calibration = result.verdict.calibration
    groups["prior_sbc"] = {
        name: calibration.pit[None, :, i] for i, name in enumerate(calibration.names)
    }
    tree = arviz_base.from_dict(groups)
    path = result.out / "samples.nc"
    temporary = path.with_suffix(".tmp")
    try:
        tree.to_netcdf(temporary, engine="h5netcdf")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error}.") from error


def report_content(
    result: Result, predictive: Mapping[str, np.ndarray], command: str
) -> ReportContent:
    """Turn a result into the plain values of the page."""
    study, model, record = result.study, result.study.model, result.posterior.record
    baseline = result.baseline
    classical = None
    if baseline is not None:
        classical = component_draws({**baseline.draws, **model.derived(baseline.draws)})
    sims = result.simulations
    prior = {**sims.theta, **sims.derived}
    observed = as_series(model.observed)
    shown = component_draws({**result.draws, **result.derived})
    figure_input = FigureInput(
        observed, {**result.draws, **result.derived}, predictive, baseline
    )
    return ReportContent(
        title=study.title or model.name,
        field=study.field,
        description=study.description,
        source=study.source,
        model_name=model.name,
        seed=result.summary["seed"],
        budget=result.summary["budget"],
        summary=result.summary,
        verdict=result.verdict,
        names=model.target_names,
        labels=_component_labels(shown, model.labels),
        units=_component_labels(shown, model.units),
        posterior=shown,
        prior=component_draws(prior),
        baseline=classical,
        baseline_method=baseline.method if baseline else "",
        baseline_diagnostics=baseline.diagnostics if baseline else {},
        observed=observed,
        predictive=predictive,
        axes=study.axes,
        train=record.train,
        validation=record.validation,
        best_epoch=record.best_epoch,
        simulations={
            "total": len(sims),
            "counts": sims.counts,
            "errors": list(sims.errors),
            "seconds": sims.seconds,
        },
        warnings=tuple((w.code, w.message, w.remedy) for w in result.at.warnings),
        provenance=_provenance(result, command),
        figures=_own_figures(study, figure_input),
        scores=result.summary.get("baseline", {}).get("scores", {}),
    )


def package_version() -> str:
    """Return the installed version of retrodict."""
    try:
        return version("retrodict")
    except PackageNotFoundError:
        return "0+unknown"


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


def _own_figures(study: Study, shown: FigureInput) -> tuple[tuple[str, Any], ...]:
    """Draw the study's figures; for one that fails the page shows the error."""
    drawn = []
    for function in study.figures:
        name = f"The figure {getattr(function, '__name__', '')!r}"
        try:
            drawn.append(function(shown))
        except Exception as error:  # noqa: BLE001 (it is the user's code, see _attempt)
            say(f"{name} failed ({type(error).__name__}: {error}).")
            drawn.append((f"{name} of the study could not be drawn.", error))
    return tuple(drawn)


def _check_fits(posterior: Posterior | None, model: Model) -> None:
    """Refuse a posterior of another model than the study's."""
    if posterior is not None and tuple(posterior.names) != model.target_names:
        raise ModelError(
            f"posterior: Expected one of {list(model.target_names)}, the targets of "
            f"{model.name}; got one of {list(posterior.names)}. Train it anew."
        )


def _component_labels(
    names: Mapping[str, Any], labels: Mapping[str, str]
) -> dict[str, str]:
    """Give every component the label (or unit) of the quantity it belongs to."""
    found = {}
    for name in names:
        base, bracket, index = name.partition("[")
        label = labels.get(base, "")
        found[name] = f"{label}[{index}" if bracket and label == base else label
    return found


def _provenance(result: Result, command: str) -> dict[str, str]:
    record = result.posterior.record
    facts = {"command": command} if command else {}
    facts |= {f"{name} version": text for name, text in record.versions.items()}
    facts["seed of the simulations"] = str(record.simulation_seed)
    facts["seed of the training"] = str(record.seed)
    for name, text in record.prior_text.items():
        facts[f"prior of {name}"] = text
    for name, value in result.summary["timings"].items():
        facts[name] = f"{value:.1f}"
    return facts


__all__ = ["Result", "run"]
