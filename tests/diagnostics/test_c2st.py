import time
from inspect import unwrap

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from retrodict.diagnostics import _classifier, c2st
from retrodict.diagnostics.c2st import _folds


@pytest.mark.stat
def test_equal_distributions_score_one_half():
    """Standard deviation of the score is .5/sqrt(1000) = .016; bound 4 of them."""
    rng = np.random.default_rng(0)
    score = c2st(rng.normal(size=(500, 2)), rng.normal(size=(500, 2)))
    assert abs(score - 0.5) < 0.064


@pytest.mark.stat
def test_shifted_distributions_score_the_bayes_value():
    """N(0,1) against N(1,1): Phi(1/2) = .691; 4 sd of the score are .064."""
    rng = np.random.default_rng(0)
    score = c2st(rng.normal(size=(500, 1)), rng.normal(1.0, 1.0, size=(500, 1)))
    assert abs(score - norm.cdf(0.5)) < 0.064


def test_disjoint_sets_score_one_and_scale_does_not_matter():
    rng = np.random.default_rng(0)
    reference, samples = rng.normal(size=(60, 1)), 100 + rng.normal(size=(60, 1))
    assert c2st(reference, samples) == 1.0
    assert c2st(1e-21 * reference, 1e-21 * samples) == 1.0


def test_cap_uses_leading_rows():
    rng = np.random.default_rng(0)
    reference, samples = rng.normal(size=(150, 1)), rng.normal(0.5, size=(150, 1))
    capped = c2st(reference, samples, num_samples=60)
    assert capped == c2st(reference[:60], samples[:60])


def test_errors_name_argument_and_value():
    rng = np.random.default_rng(0)
    good = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"\(20, 2\) and \(20, 1\)"):
        unwrap(c2st)(good, good[:, :1])
    with pytest.raises(ValueError, match=r"num_folds=5 rows .* got 20 and 3"):
        c2st(good, good[:3])
    with pytest.raises(ValueError, match="finite samples"):
        c2st(good, np.full((20, 2), np.nan))
    with pytest.raises(ValueError, match=r"constant columns \[1\]"):
        c2st(good * [1, 0], good)


# --- the classifier against scikit-learn's --------------------------------------------


def sklearn_classifier(dim, **options):
    return MLPClassifier((10 * dim, 10 * dim), random_state=1, **options)


def sklearn_c2st(reference, samples):
    """Return the score by scikit-learn's own cross-validation, as in sbibm's code."""
    center, scale = reference.mean(axis=0), reference.std(axis=0, ddof=1)
    inputs = np.concatenate([reference - center, samples - center]) / scale
    labels = np.concatenate([np.zeros(len(reference)), np.ones(len(samples))])
    with threadpool_limits(1, "blas"):  # much faster, and the same to the last bit
        return cross_val_score(
            sklearn_classifier(reference.shape[1], max_iter=10_000),
            inputs.astype(np.float32),
            labels,
            cv=KFold(n_splits=5, shuffle=True, random_state=1),
            scoring="accuracy",
        ).mean()


def labelled(dim, num_rows):
    """Return two overlapping clouds, half of the rows each."""
    rng = np.random.default_rng(dim)
    labels = np.arange(num_rows) % 2 == 1
    inputs = rng.normal(size=(num_rows, dim)) + labels[:, None] / np.sqrt(dim)
    return np.float32(inputs), labels


def assert_same_layers(ours, theirs):
    pairs = zip(ours, zip(theirs.coefs_, theirs.intercepts_, strict=True), strict=True)
    for layer, expected in pairs:
        for values, wanted in zip(layer, expected, strict=True):
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize("dim", [1, 2, 5, 10])
@pytest.mark.parametrize("num_rows", [90, 400, 730])
def test_weights_are_those_of_sklearn_to_the_last_bit(dim, num_rows):
    """Less than a batch, two whole ones, and a smaller last one."""
    inputs, labels = labelled(dim, num_rows)
    theirs = sklearn_classifier(dim, max_iter=10)
    with pytest.warns(ConvergenceWarning):
        theirs.fit(inputs, labels)
    generator, order = np.random.RandomState(1), np.arange(num_rows)
    training = _classifier.Training(generator, num_rows, dim)
    losses = []
    for _ in range(10):
        generator.shuffle(order)
        losses.append(training.run_epoch(inputs[order], labels[order, None]))
    np.testing.assert_allclose(losses, theirs.loss_curve_, rtol=1e-14)
    assert_same_layers(training.layers, theirs)


@pytest.mark.parametrize("num_rows", [150, 1000])
def test_training_stops_where_that_of_sklearn_stops(num_rows):
    inputs, labels = labelled(2, num_rows)
    theirs = sklearn_classifier(2, max_iter=10_000).fit(inputs, labels)
    ours = _classifier.fit_classifier(inputs, labels)
    assert_same_layers(ours, theirs)
    probe = np.float32(np.random.default_rng(0).normal(size=(500, 2)))
    np.testing.assert_array_equal(
        _classifier.classify(ours, probe), theirs.predict(probe)
    )


@pytest.mark.parametrize("num_rows", [50, 52])
def test_folds_are_those_of_sklearn(num_rows):
    folds = KFold(5, shuffle=True, random_state=1).split(np.zeros(num_rows))
    for ours, (_, theirs) in zip(_folds(num_rows, 5), folds, strict=True):
        np.testing.assert_array_equal(np.sort(ours), theirs)


def pair(level, dim, num_samples):
    """Return samples of N(0, I) and of a scaled or shifted one, at a level of C2ST."""
    scale, shift = {".5": (1, 0), ".6": (1.42, 0), ".85": (1, 2.0)}[level]
    rng = np.random.default_rng(dim)
    reference = rng.normal(size=(num_samples, dim))
    step = np.sqrt(dim)
    samples = rng.normal(size=(num_samples, dim)) * (1 + (scale - 1) / step)
    return reference, samples + shift / step


def assert_score_of_sklearn(level, dim, num_samples):
    reference, samples = pair(level, dim, num_samples)
    begun = time.process_time()
    ours = c2st(reference, samples)
    middle = time.process_time()
    theirs = sklearn_c2st(reference, samples)
    factor = (time.process_time() - middle) / (middle - begun)
    print(f"{ours:.5f}, scikit-learn {theirs:.5f}, {factor:.1f} times less work")
    # Equal but for another order of sums, should a processor choose one: trainings
    # that part by rounding end up to .01 apart.
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("level", [".5", ".6", ".85"])
@pytest.mark.parametrize(("dim", "num_samples"), [(2, 3000), (5, 60), (10, 100)])
def test_score_is_that_of_sklearn(level, dim, num_samples):
    assert_score_of_sklearn(level, dim, num_samples)


@pytest.mark.bench
@pytest.mark.parametrize("level", [".5", ".6", ".85"])
@pytest.mark.parametrize("dim", [2, 5, 10])
@pytest.mark.timeout(1800)
def test_score_is_that_of_sklearn_at_the_published_size(level, dim):
    assert_score_of_sklearn(level, dim, 10_000)


def test_sample_beyond_the_arithmetic_is_refused():
    rng = np.random.default_rng(0)
    reference, samples = rng.normal(size=(30, 1)), rng.normal(size=(30, 1))
    samples[3] = 1e39
    with pytest.raises(ValueError, match=r"lies \d\.\d+e\+3\d standard deviations"):
        c2st(reference, samples)
    inputs, labels = labelled(1, 60)
    inputs[3] = np.inf
    with pytest.raises(ValueError, match="lies inf standard deviations"):
        _classifier.fit_classifier(inputs, labels)


def test_threads_of_the_linear_algebra_are_given_back():
    before = [info["num_threads"] for info in threadpool_info()]
    reference, samples = pair(".6", 2, 60)
    first = c2st(reference, samples)
    assert [info["num_threads"] for info in threadpool_info()] == before
    with threadpool_limits(2, "blas"):
        assert c2st(reference, samples) == first
