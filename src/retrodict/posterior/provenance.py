"""What a posterior remembers of its simulations: which they were, and which failed."""

import platform
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from .._core.progress import say
from .._core.seeds import stream_key
from ..diagnostics import success_test
from ..simulations import Simulations


DEPENDS_LEVEL = 1e-3
MENTIONED = 0.01  # fewer failures are counted, not talked about


def provenance(simulations: Simulations) -> dict[str, Any]:
    """Return the facts about simulations that belong into a posterior's record."""
    return {
        "model_name": simulations.model.name,
        "num_simulations": len(simulations),
        "counts": simulations.counts,
        "simulation_seed": simulations.seed,
        "dataset": simulations.fingerprint(),
        "failures": failure_facts(simulations),
        "prior_text": simulations.model.prior.describe(),
        "versions": versions(),
    }


def failure_facts(simulations: Simulations) -> dict[str, float]:
    """Measure how many rows failed and whether that depends on theta.

    What is left is a sample of the prior *given success*: where success depends on
    theta the posterior is for another prior, silently but for this.

    Returns:
        ``fraction`` of rows that failed and, where at least ten rows failed and ten
        succeeded, ``auc`` and ``p_value`` of :func:`success_test`.
    """
    success = simulations.status == 0
    facts = {"fraction": float(1 - success.mean())}
    space = simulations.model.prior.space
    coordinates = space.unconstrain(space.flatten(simulations.theta))
    usable = np.isfinite(coordinates).all(axis=1)
    key = stream_key(simulations.seed, "failures")
    found = success_test(key, coordinates[usable], success[usable])
    return facts if found is None else facts | found._asdict()


def failure_words(counts: Mapping[str, int], failures: Mapping[str, float]) -> str:
    """Say what failed and what that means; empty if it is too little to mention."""
    fraction = failures.get("fraction", 0.0)
    if fraction <= MENTIONED:
        return ""
    kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items() if kind != "ok")
    text = f"{fraction:.1%} of the simulations failed ({kinds})"
    if "auc" not in failures:
        return f"{text}; they are too few to tell whether that depends on theta."
    auc = f"AUC {failures['auc']:.2f}, p = {failures['p_value']:.2g}"
    if failures["p_value"] >= DEPENDS_LEVEL:
        return f"{text}; no dependence on theta was found ({auc})."
    return (
        f"{text}, and that depends on theta ({auc}): the posterior is for the prior "
        "restricted to where the simulator runs."
    )


def say_failures(facts: Mapping[str, Any]) -> None:
    """Tell the person, so that nobody trains on a biased sample without knowing."""
    words = failure_words(facts["counts"], facts["failures"])
    if words:
        say(f"Warning W-failed-simulations: {words}")


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "jax": jax.__version__}
    for name in ("retrodict", "numpy", "equinox", "optax", "numpyro"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
