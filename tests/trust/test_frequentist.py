"""Frequentist coverage of an exact posterior, which is known in closed form."""

import numpy as np
import pytest
from scipy import stats

from retrodict.model import Derived
from retrodict.trust import frequentist_coverage
from trust.normal_pair import Gaussian, normal_pair


@pytest.mark.stat
def test_coverage_at_fixed_theta_is_the_closed_form():
    """q = N(x/2, 1/2): its interval holds t if |x/2 - t| < 1.645 / sqrt 2.

    Shares of 1000 repetitions have sd .016 or less; bounds are 5 of them (two-sided
    false alarm 6e-7 each, 6 shares).
    """
    truths = np.array([0.0, 1.0, 2.5])
    table = frequentist_coverage(
        Gaussian(), normal_pair(), {"theta": truths}, num_repetitions=1000
    )
    half = stats.norm.ppf(0.95) * np.sqrt(0.5)
    center = stats.norm(-truths / 2, 0.5)  # of x/2 - t
    exact = center.cdf(half) - center.cdf(-half)
    np.testing.assert_allclose(table.joint, exact, atol=0.08)
    np.testing.assert_allclose(table.marginal[:, 0], exact, atol=0.08)
    assert table.bayesian_joint == pytest.approx(0.9, abs=0.05)
    assert table.joint[0] > 0.95 > 0.6 > table.joint[2]
    assert "drawn from the prior" in table.to_markdown()
    assert table.standard_error == pytest.approx(0.0095, abs=1e-4)


def test_levels_and_derived_targets_are_refused():
    with pytest.raises(ValueError, match=r"level: .* got 1\.2"):
        frequentist_coverage(
            Gaussian(), normal_pair(), {"theta": np.zeros(1)}, level=1.2
        )
    twice = {"twice": Derived(lambda t: 2 * t["theta"], support="real")}
    model = normal_pair(derive=twice, infer=["twice"])
    with pytest.raises(ValueError, match="derived target is not fixed"):
        frequentist_coverage(Gaussian(), model, {"theta": np.zeros(1)})
