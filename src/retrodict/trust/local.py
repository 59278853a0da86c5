"""Checks that the posterior is right for each x, not only on average over all x.

A posterior equal to the prior passes every check of averages. It is wrong exactly where
x still predicts the position of the truth within its posterior, so that is what is
tested, by a linear and by a learned regression; a model whose data are silent has
nothing to predict and passes.
"""

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ..diagnostics import (
    central_levels,
    dependence_test,
    normal_scores,
    prediction_test,
    standardize,
)
from . import thresholds, words
from .evidence import Evidence
from .family import Finding, Group


# Below this contraction a posterior that leaves information unused is called a prior.
IGNORES_DATA = 0.1


def local_features(
    evidence: Evidence, features: Float[np.ndarray, "num_sims num_features"]
) -> Float[np.ndarray, "num_sims num_all"]:
    """Join features of x with the center and width of the posterior itself.

    Center and width are those of truth and draws together: a symmetric function of both
    keeps the truth's rank independent of them, and the test exact.
    """
    own = standardize(np.concatenate([evidence.mean, evidence.log_sd], axis=1))
    # 20 rows per regressor: what the posterior says of itself must not crowd out x.
    room = len(evidence) // 20 - features.shape[1]
    own = own if own.shape[1] <= room else own[:, :0]
    return np.concatenate([features, own], axis=1)


def shift_group(
    names: tuple[str, ...],
    pit: Float[np.ndarray, "num_sims theta_dim"],
    features: Float[np.ndarray, "num_sims num_features"],
    contraction: Float[np.ndarray, " theta_dim"],
) -> Group:
    """Test whether x predicts on which side of its posterior the truth lies."""
    found = dependence_test(normal_scores(pit), features)
    rows = zip(names, found.p_value, found.strength, contraction, strict=True)
    least = int(np.argmin(contraction))
    return Group(
        code="information-used",
        findings=tuple(_shift(*row) for row in rows),
        statement=(
            "No information about the parameters is left unused in x (the data remove "
            f"at least {words.percent(max(contraction[least], 0.0))} of prior "
            f"variance, least for {names[least]})"
        ),
        unit=words.rms_sds,
    )


def _shift(name: str, p_value: float, strength: float, contraction: float) -> Finding:
    prior = " The posterior is nearly the prior." if contraction < IGNORES_DATA else ""
    return Finding(
        subject=name,
        p_value=float(p_value),
        effect=float(strength),
        warn_at=thresholds.LOCAL_WARN,
        fail_at=thresholds.LOCAL_FAIL,
        message=(
            f"The posterior of {name} is off-center in a way that x predicts: "
            f"information in the data is left unused.{prior}"
        ),
        remedy=words.INFORMATION_REMEDY,
    )


def waste_group(
    key: PRNGKeyArray,
    names: tuple[str, ...],
    pit: Float[np.ndarray, "num_sims theta_dim"],
    features: Float[np.ndarray, "num_sims num_features"],
) -> Group:
    """Test whether a learned regression predicts the truth better than the posterior.

    Intervals that are wider than the data allow claim nothing false: a reason for
    caution, never more.
    """
    found = prediction_test(key, normal_scores(pit), features)
    rows = zip(names, found.p_value, found.remaining, strict=True)
    return Group(
        code="width-needed",
        findings=tuple(_waste(*row) for row in rows),
        statement="No regression on x knows the parameters better than the posterior",
        unit=words.narrower,
    )


def _waste(name: str, p_value: float, remaining: float) -> Finding:
    return Finding(
        subject=name,
        p_value=float(p_value),
        effect=max(1 - float(remaining), 0.0),
        warn_at=thresholds.WASTE_WARN,
        fail_at=thresholds.TOO_WIDE_FAIL,
        message=(
            f"The posterior of {name} is wider than the data allow: a regression on x, "
            "fitted on half of the test simulations, predicts it better in the other "
            f"half, with errors {remaining:.2f} times as large."
        ),
        remedy=words.INFORMATION_REMEDY,
    )


def width_group(
    names: tuple[str, ...],
    pit: Float[np.ndarray, "num_sims theta_dim"],
    features: Float[np.ndarray, "num_sims num_features"],
) -> Group:
    """Test whether x predicts how far from the center the truth lies."""
    found = dependence_test(normal_scores(central_levels(pit)), features)
    rows = zip(names, found.p_value, found.strength, strict=True)
    return Group(
        code="local-width",
        findings=tuple(_width(*row) for row in rows),
        statement="Posterior widths are right for each x, not only on average",
        unit=words.rms_scores,
    )


def _width(name: str, p_value: float, strength: float) -> Finding:
    return Finding(
        subject=name,
        p_value=float(p_value),
        effect=float(strength),
        warn_at=thresholds.LOCAL_WARN,
        fail_at=thresholds.LOCAL_FAIL,
        message=(
            f"The posterior of {name} is too narrow for some x and too wide for others."
        ),
        remedy=words.LOCAL_WIDTH_REMEDY,
    )
