"""The report of a fit by ``map_fit``, which is that of any posterior."""

from .._core.errors import ModelError
from .._core.seeds import check_seed, stream_key
from ..model import Prior
from ..physics import MapAnswer
from ..trust import Verdict
from .components import component_draws, component_words
from .content import ReportContent
from .summary import strict_json


NUM_DRAWS = 10_000


def fit_content(
    answer: MapAnswer,
    *,
    title: str,
    description: str = "",
    verdict: Verdict | None = None,
    seed: int = 0,
) -> ReportContent:
    """Turn a fit into what :func:`write_report` shows.

    Args:
        answer: The fit.
        title: Headline of the page.
        description: A paragraph for the reader.
        verdict: What :func:`retrodict.validate` said about ``Refitted``.
        seed: Seed of the draws.

    Returns:
        Parameters with their uncertainty, warnings, and as provenance the most probable
        values, every log-density there and how the search ended.

    Raises:
        ModelError: If the problem has no parameters.
    """
    check_seed(seed)
    prior = answer.problem.prior
    if prior is None:
        raise ModelError(
            "answer: Expected a fit with parameters; got one of weights alone, about "
            "which a report has nothing to say."
        )
    draws = component_draws(answer.sample(stream_key(seed, "infer"), NUM_DRAWS))
    before = prior.sample(stream_key(seed, "prior"), NUM_DRAWS)
    fields = prior.space.fields
    return ReportContent(
        title=title,
        description=description,
        summary=strict_json({"parameters": answer.summary()}),
        names=prior.space.names,
        posterior=draws,
        prior=component_draws(before),
        labels=component_words(draws, {f.name: f.label for f in fields}),
        units=component_words(draws, {f.name: f.unit for f in fields}),
        verdict=verdict,
        seed=seed,
        warnings=tuple((w.code, w.message, w.remedy) for w in answer.warnings),
        provenance=_facts(answer, prior),
    )


def _facts(answer: MapAnswer, prior: Prior) -> dict[str, str]:
    best = component_draws({k: v[None] for k, v in answer.map().items()})
    facts = {f"most probable {k}": f"{v[0]:.6g}" for k, v in best.items()}
    facts |= {f"log-density of {k} (nats)": f"{v:.6g}" for k, v in answer.terms.items()}
    facts["search"] = f"{answer.search.steps} steps, " + (
        "converged" if answer.converged else "not converged"
    )
    facts["fit_s"] = f"{answer.seconds:.2f}"
    return facts | {f"prior of {k}": text for k, text in prior.describe().items()}
