import math

import numpy as np
import pytest

from retrodict.trust.family import FAMILY_LEVEL, Finding, Group, to_check
from retrodict.trust.soundness import draws_check, simulations_check
from retrodict.trust.verdict import Check, word_for
from retrodict.trust.words import bias_sentence, points, shape_words


def _finding(p_value, effect, subject="beta", fail_at=0.1):
    return Finding(
        subject, p_value, effect, 0.04, fail_at, f"{subject} is off.", "Mend."
    )


def _check(*findings, num_groups=4):
    return to_check(Group("code", findings, "All is well", points), num_groups)


def test_alarm_needs_significance_and_size():
    sure = FAMILY_LEVEL / 4
    assert _check(_finding(sure, 0.05)).status == "warn"
    assert _check(_finding(sure * 1.01, 0.05)).status == "pass"
    assert _check(_finding(1e-9, 0.039)).status == "pass"
    assert _check(_finding(1e-9, 0.10)).status == "fail"


def test_level_is_shared_by_the_findings_of_a_group():
    others = [_finding(1.0, 0.0)] * 9
    level = FAMILY_LEVEL / 40
    assert _check(_finding(level, 0.05), *others).status == "warn"
    assert _check(_finding(level * 1.01, 0.05), *others).status == "pass"


def test_check_tells_the_worst_and_names_the_others():
    check = _check(
        _finding(1e-9, 0.05, "mu"),
        _finding(1e-9, 0.30, "wide", fail_at=math.inf),
        _finding(1e-9, 0.12, "beta"),
        _finding(0.5, 0.50, "noise"),
    )
    assert check.status == "fail"
    assert (check.value, check.threshold) == (0.12, 0.1)
    assert check.message == (
        "beta is off. Off by 12.0 points, threshold 10.0 points. "
        "Also affected: mu, wide."
    )
    assert check.remedy == "Mend."


def test_pass_has_number_threshold_and_says_when_it_may_be_chance():
    check = _check(_finding(0.5, 0.02))
    assert check.message == (
        "All is well: off by 2.0 points (beta), threshold 4.0 points."
    )
    assert check.remedy == ""
    assert "chance" in _check(_finding(0.5, 0.2)).message


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        (["pass", "pass"], "trusted"),
        (["pass", "warn"], "caution"),
        (["warn", "fail"], "rejected"),
    ],
)
def test_worst_status_decides(statuses, word):
    checks = tuple(Check("c", status, 0.0, 0.0, "", "") for status in statuses)
    assert word_for(checks) == word


@pytest.mark.parametrize(
    ("bad", "status"), [(0, "pass"), (5, "warn"), (10, "warn"), (11, "fail")]
)
def test_unusable_draws_count(bad, status):
    check = draws_check(bad, 1000)
    assert check.status == status
    assert f"{bad} of 1000" in check.message
    assert bool(check.remedy) == (status != "pass")


@pytest.mark.parametrize(("failed", "status"), [(200, "pass"), (201, "warn")])
def test_failed_simulations_count(failed, status):
    check = simulations_check(failed, 1000)
    assert check.status == status
    assert f"{failed} of 1000" in check.message


@pytest.mark.parametrize(
    ("shift", "central", "expected"),
    [
        (0.3, lambda c: c, "sloped: the posterior lies too low"),
        (-0.3, lambda c: c, "sloped: the posterior lies too high"),
        (0.0, lambda c: c**1.5, "too narrow: over-confident (U-shaped ranks)"),
        (0.0, lambda c: c**0.7, "too wide: under-confident (∩-shaped ranks)"),
        (0.0, lambda c: c + 0.05 * np.sin(2 * np.pi * (c**1.3)), "light"),
        (0.0, lambda c: c - 0.05 * np.sin(2 * np.pi * (c**1.3)), "heavy"),
        (0.0, lambda c: c, "wrong shape"),
    ],
)
def test_shapes_have_names(shift, central, expected):
    grid = np.arange(1, 100) / 100
    assert expected in shape_words(shift, grid, central(grid))


@pytest.mark.parametrize(("shift", "side"), [(0.2, "low"), (-0.2, "high")])
def test_bias_has_a_direction(shift, side):
    """Truths that rank high mean a posterior that lies too low."""
    assert f"biased {side} (sloped ranks)" in bias_sentence("beta", shift)
    assert f"lies too {side}" in bias_sentence("beta", shift)
