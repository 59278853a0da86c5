import jax
import jax.random as jr
import jaxtyping
import numpy as np
import pytest
import scipy.stats as stats

from retrodict._core.rows import row_generator
from retrodict._core.seeds import MAX_SEED, check_seed, numpy_generator, stream_key


GOLDEN_KEY = (3553582311, 3862284526)
GOLDEN_ROW = (-0.27448797471011555, -0.5580188599163479)


@pytest.fixture
def without_type_checks(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def _words(key):
    return tuple(np.asarray(jr.key_data(key)).tolist())


def test_every_seed_and_stream_has_a_key_of_its_own():
    """The upper half of a seed counts, though JAX itself would drop it."""
    seeds = [0, 1, 2, 2**31, 2**32, 2**32 + 1, 2**62, MAX_SEED]
    streams = ["simulate", "fit", "validate", "map", ""]
    keys = {_words(stream_key(seed, name)) for seed in seeds for name in streams}
    assert len(keys) == len(seeds) * len(streams)


def test_a_key_depends_on_no_setting():
    expected = _words(stream_key(2**40 + 3, "fit"))
    with jax.enable_x64(True):
        assert _words(stream_key(2**40 + 3, "fit")) == expected
    with jax.default_prng_impl("rbg"):
        assert _words(stream_key(2**40 + 3, "fit")) == expected


def test_keys_are_those_of_earlier_versions():
    """Stored runs can be continued: these numbers must never change."""
    assert _words(stream_key(0, "simulate")) == GOLDEN_KEY
    draws = row_generator(7, "simulate", 3).standard_normal(2)
    np.testing.assert_array_equal(draws, GOLDEN_ROW)


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        (-1, ValueError),
        (MAX_SEED + 1, ValueError),
        (1.0, TypeError),
        ("1", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_what_is_no_seed_is_refused(seed, error, without_type_checks):
    with pytest.raises(error, match=f"seed: Expected an integer.*got {seed!r}"):
        check_seed(seed)


def test_numpy_integers_are_seeds(without_type_checks):
    assert check_seed(np.int64(5)) == 5
    assert type(check_seed(np.uint8(5))) is int


@pytest.mark.stat
def test_rows_are_independent():
    """KS of the first draw of 5000 rows, and correlation of neighbours: 1e-6 each."""
    draws = [row_generator(0, "simulate", i).standard_normal(2) for i in range(5000)]
    first, second = np.transpose(draws)
    assert stats.kstest(first, stats.norm.cdf).pvalue > 1e-6
    for one, two in ((first[1:], first[:-1]), (first, second)):
        assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(5000)


def test_a_generator_of_a_key_is_a_function_of_it(getkey):
    key = getkey()
    one, two = numpy_generator(key), numpy_generator(key)
    np.testing.assert_array_equal(one.random(5), two.random(5))
    assert not np.isin(numpy_generator(getkey()).random(5), one.random(5)).any()
