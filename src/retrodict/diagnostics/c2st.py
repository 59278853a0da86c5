r"""Classifier two-sample test (C2ST), as the benchmark of the field computes it.

A neural classifier learns to tell reference samples from an algorithm's samples; its
cross-validated accuracy is 0.5 where they cannot be told apart and 1 where they are
disjoint. The best possible value is :math:`\tfrac12 + \tfrac12 \mathrm{TV}(p, q)`. Use
it where reference samples exist (benchmarks, a classical baseline).

Source: Lopez-Paz, Oquab (2017), arXiv:1610.06545; settings of Lueckmann et al. (2021),
Benchmarking simulation-based inference, arXiv:2101.04653, appendix, and its code.
Deviations from the source: none in the score, which equals that of scikit-learn to the
last bit (see :mod:`._classifier`; tested). The folds run side by side, and the numbers
of samples may be capped.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from threadpoolctl import threadpool_limits

from ._classifier import classify, fit_classifier


SEED = 1  # of the folds, in the benchmark's own code


def c2st(
    reference: Float[np.ndarray, "num_reference theta_dim"],
    samples: Float[np.ndarray, "num_samples theta_dim"],
    *,
    num_samples: int | None = None,
    num_folds: int = 5,
) -> float:
    """Score how well a classifier tells two sample sets apart; 0.5 is a perfect match.

    Both sets are standardized with the mean and standard deviation of the reference.
    Noise of a perfect match with 10 000 samples each is about 0.0035.

    Args:
        reference: Samples of the truth; they set the scale.
        samples: Samples of the approximation.
        num_samples: Use at most so many leading rows of each, for time; the published
            figures use 10 000.
        num_folds: Folds of the cross-validation; published figures use 5.

    Returns:
        Mean held-out accuracy in [0, 1].

    Raises:
        ValueError: If the number of columns differs, a column of the reference is
            constant, there are fewer rows than folds, an entry is not finite, or a
            sample lies too far from the reference for the arithmetic of a classifier.
    """
    reference, samples = reference[:num_samples], samples[:num_samples]
    _check(reference, samples, num_folds)
    center, scale = reference.mean(axis=0), reference.std(axis=0, ddof=1)
    inputs = np.concatenate([reference - center, samples - center]) / scale
    labels = np.arange(len(inputs)) >= len(reference)
    score = partial(_score, _narrow(inputs), labels)
    pool = ThreadPoolExecutor(min(num_folds, _num_cpus()))
    # Products this small are slower on two threads than on one.
    with threadpool_limits(1, "blas"):
        try:
            return float(np.mean(list(pool.map(score, _folds(len(inputs), num_folds)))))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait


def _score(
    inputs: Float[np.ndarray, "num_rows theta_dim"],
    labels: Bool[np.ndarray, " num_rows"],
    fold: Int[np.ndarray, " num_held_out"],
) -> float:
    """Train on all rows but those of ``fold`` and return the accuracy on them."""
    train = np.ones(len(inputs), dtype=bool)
    train[fold] = False
    layers = fit_classifier(inputs[train], labels[train])
    return float(np.mean(classify(layers, inputs[fold]) == labels[fold]))


def _folds(num_rows: int, num_folds: int) -> list[Int[np.ndarray, " num_held_out"]]:
    """Split shuffled rows into folds; not stratified, as in the benchmark's code."""
    rows = np.arange(num_rows)
    np.random.RandomState(SEED).shuffle(rows)
    return np.array_split(rows, num_folds)


def _narrow(inputs: np.ndarray) -> np.ndarray:
    """Return standardized rows in float32, refusing what is too large for it."""
    reach = float(np.abs(inputs).max())
    if reach > float(np.finfo(np.float32).max):
        raise ValueError(
            "Expected samples near the reference; got one that lies "
            f"{reach:.3g} standard deviations away."
        )
    return inputs.astype(np.float32)


def _num_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check(reference: np.ndarray, samples: np.ndarray, num_folds: int) -> None:
    if reference.shape[1] != samples.shape[1]:
        raise ValueError(
            "Expected reference and samples with equally many columns; got shapes "
            f"{reference.shape} and {samples.shape}."
        )
    if min(len(reference), len(samples)) < num_folds:
        raise ValueError(
            f"Expected at least num_folds={num_folds} rows in each sample; "
            f"got {len(reference)} and {len(samples)}."
        )
    for name, values in (("reference", reference), ("samples", samples)):
        if not np.isfinite(values).all():
            raise ValueError(f"Expected finite {name}; got NaN or infinite entries.")
    constant = np.flatnonzero(reference.std(axis=0) == 0)
    if constant.size:
        raise ValueError(
            f"Expected reference columns that vary; got constant columns "
            f"{constant.tolist()}. Leave them out of the comparison."
        )
