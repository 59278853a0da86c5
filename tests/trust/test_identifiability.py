"""Identifiability against covariances and modes that are known."""

import numpy as np
import pytest

from retrodict.trust import identifiability
from retrodict.trust.identifiability import combination_name, count_modes


RNG = np.random.default_rng(0)


def _ridge(num=4000):
    """Log-normal a and b of which a · b is known to 2 %."""
    log_a = 0.3 * RNG.standard_normal(num)
    log_b = -log_a + 0.02 * RNG.standard_normal(num)
    return np.exp(np.stack([log_a, log_b], 1))


def test_ridge_has_direction_length_width_and_a_name():
    prior = np.exp(0.4 * RNG.standard_normal((4000, 2)))
    found = identifiability(prior, _ridge(), names=("a", "b"))
    (ridge,) = found.ridges
    assert ridge.combination == "a · b"
    assert ridge.correlation < -0.99
    assert ridge.slope == pytest.approx(-1, abs=0.05)
    assert ridge.length == pytest.approx(0.3 * np.sqrt(2), rel=0.05)
    assert ridge.width == pytest.approx(0.02 / np.sqrt(2), rel=0.05)
    best, worst = found.directions
    assert best.name == "a · b"
    assert best.remaining == pytest.approx(0.02 / (0.4 * np.sqrt(2)), rel=0.05)
    assert best.sd == pytest.approx(0.02, rel=0.05)
    assert worst.remaining == pytest.approx(0.3 * np.sqrt(2) / 0.4, rel=0.05)
    assert any(
        s.startswith("Ridge: the data know the combination a · b, not a and b")
        for s in found.sentences
    )
    assert found.to_dict()["ridges"][0]["names"] == ("a", "b")


def test_positive_correlation_is_a_known_quotient():
    draws = _ridge()
    draws[:, 1] = 1 / draws[:, 1]
    prior = np.exp(0.4 * RNG.standard_normal((4000, 2)))
    found = identifiability(prior, draws, names=("k", "m"))
    assert found.ridges[0].combination == "k / (m)"


def test_known_and_unknown_parameters_are_named_and_no_ridge_is_invented():
    prior = RNG.standard_normal((4000, 2))
    draws = RNG.standard_normal((4000, 2)) * [0.1, 1.0]
    found = identifiability(prior, draws, names=("mu", "nuisance"))
    assert not found.logarithmic[0]
    assert found.ridges == ()
    assert found.contraction[0] == pytest.approx(0.99, abs=0.002)
    known, unknown, *_ = found.sentences
    assert "mu (10%)" in known
    assert unknown.startswith("Hardly informed by the data")
    assert "nuisance" in unknown


def test_a_bound_from_above_is_knowledge_in_spite_of_its_logarithm():
    prior = np.stack([RNG.uniform(0, 5, 4000), np.exp(RNG.standard_normal(4000))], 1)
    draws = np.stack([RNG.exponential(0.3, 4000), np.exp(RNG.standard_normal(4000))], 1)
    found = identifiability(prior, draws, names=("nu", "k"))
    assert found.logarithmic == (False, True)
    assert found.remaining[0] == pytest.approx(0.3 / (5 / np.sqrt(12)), rel=0.1)
    assert "Known from the data (prior spread that remains): nu" in found.sentences[0]


def test_units_do_not_matter():
    prior, draws = RNG.standard_normal((1000, 3)), RNG.standard_normal((1000, 3)) * 0.3
    unit = np.array([1e-21, 1.0, 1e12])
    plain, scaled = (
        identifiability(prior, draws),
        identifiability(prior * unit, draws * unit),
    )
    for first, second in zip(plain.directions, scaled.directions, strict=True):
        assert first.remaining == pytest.approx(second.remaining, rel=1e-6)


def test_covariances_are_averaged_over_x():
    prior = RNG.standard_normal((4000, 1))
    draws = np.stack(
        [0.1 * RNG.standard_normal((2000, 1)), RNG.standard_normal((2000, 1))]
    )
    left = identifiability(prior, draws).remaining[0]
    assert left == pytest.approx(np.sqrt((0.01 + 1) / 2), rel=0.05)


def test_modes_are_counted():
    normal = RNG.standard_normal(4000)
    assert count_modes(normal) == 1
    assert count_modes(RNG.random(4000)) == 1
    assert count_modes(RNG.exponential(size=4000)) == 1
    assert count_modes(np.concatenate([normal - 4, normal + 4])) == 2
    assert count_modes(np.concatenate([normal - 9, normal, normal + 9])) == 3
    both = np.stack([np.concatenate([normal - 4, normal + 4])] * 2, 1)
    found = identifiability(
        5 * RNG.standard_normal((500, 2)), both + 0.1 * RNG.random(both.shape)
    )
    assert any("More than one mode: theta[0] (2)" in s for s in found.sentences)


def test_combinations_are_written_as_powers_or_sums():
    names = ("a", "b", "c")
    log = np.array([True, True, True])
    assert combination_name(np.array([1, -0.48, 0.0]), names, log) == "a / (b^0.5)"
    assert combination_name(np.array([1, 0, 2.0]), names, log) == "a · c^2"
    mixed = np.array([True, False, False])
    assert combination_name(np.array([1.0, -1.0, 0.0]), names, mixed) == "log a - b"


def test_constant_parameters_are_refused():
    prior = RNG.standard_normal((100, 2))
    with pytest.raises(ValueError, match=r"draws: .*theta\[1\] does not"):
        identifiability(prior, prior * [1.0, 0.0])
