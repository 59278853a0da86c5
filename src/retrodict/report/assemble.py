"""From the result of a run to the plain values of its page."""

from typing import Any

from .._core.progress import say
from ..model import FigureInput, Study
from ..simulations import Simulations, as_series
from .components import component_draws, component_words
from .content import ReportContent
from .result import Result


NUM_PRIOR = 500  # simulations that the prior predictive is drawn from


def report_content(result: Result) -> ReportContent:
    """Turn a result into the plain values of the page."""
    study, model, record = result.study, result.study.model, result.posterior.record
    baseline = result.baseline
    classical = None
    if baseline is not None:
        classical = component_draws({**baseline.draws, **model.derived(baseline.draws)})
    sims = result.simulations
    prior = {**sims.theta, **sims.derived}
    show = study.show or dict
    observed = show(as_series(model.observed))
    predictive = show(result.predictive) if result.predictive else {}
    draws = {**result.draws, **result.derived}
    shown = component_draws(draws)
    figure_input = FigureInput(
        observed,
        draws,
        predictive,
        baseline,
        result.measured,
        result.observations,
        result.posterior,
    )
    return ReportContent(
        title=study.title or model.name,
        field=study.field,
        description=study.description,
        source=study.source,
        model_name=model.name,
        seed=result.seed,
        budget=result.budget,
        summary=result.summary,
        verdict=result.verdict,
        informed=result.informed,
        names=model.target_names,
        labels=component_words(shown, model.labels),
        units=component_words(shown, model.units),
        posterior=shown,
        prior=component_draws(prior),
        baseline=classical,
        baseline_method=baseline.method if baseline else "",
        baseline_diagnostics=baseline.diagnostics if baseline else {},
        observed=observed,
        predictive=predictive,
        prior_predictive=show(as_series(sims[:NUM_PRIOR].ok().x)),
        axes=study.axes,
        train=record.train,
        validation=record.validation,
        best_epoch=record.best_epoch,
        simulations=_simulated(sims),
        rounds=record.rounds,
        warnings=tuple((w.code, w.message, w.remedy) for w in result.at.warnings),
        provenance=_provenance(result),
        figures=_own_figures(study, figure_input),
        scores=result.summary.get("baseline", {}).get("scores", {}),
        measured=result.measured,
    )


def _simulated(sims: Simulations) -> dict[str, Any]:
    return {
        "total": len(sims),
        "counts": sims.counts,
        "errors": list(sims.errors),
        "seconds": sims.seconds,
    }


def _own_figures(study: Study, shown: FigureInput) -> tuple[tuple[str, Any], ...]:
    """Draw the study's figures; for one that fails the page shows the error."""
    drawn = []
    for function in study.figures:
        name = f"The figure {getattr(function, '__name__', '')!r}"
        try:
            drawn.append(function(shown))
        except Exception as error:  # noqa: BLE001 (it is the user's code)
            say(f"{name} failed ({type(error).__name__}: {error}).")
            drawn.append((f"{name} of the study could not be drawn.", error))
    return tuple(drawn)


def _provenance(result: Result) -> dict[str, str]:
    record = result.posterior.record
    facts = {"command": result.command} if result.command else {}
    facts |= {f"{name} version": text for name, text in record.versions.items()}
    facts["seed of the simulations"] = str(record.simulation_seed)
    facts["simulations (SHA-256)"] = record.dataset
    facts["seed of the training"] = str(record.seed)
    for name, text in record.prior_text.items():
        facts[f"prior of {name}"] = text
    images = result.posterior.network.symmetries.describe(result.posterior.names)
    if images:
        facts["declared symmetries"] = "; ".join(images)
    for name, value in result.timings.items():
        facts[name] = f"{value:.1f}"
    return facts
