"""Declared symmetries: the group they generate, and what of it is left."""

import numpy as np
import numpyro.distributions as dist
import pytest

import retrodict as rd
from retrodict._core.errors import ModelError
from retrodict.model import Region, Symmetries
from retrodict.model.symmetry import as_symmetries


EXCHANGE = {"a": "b", "b": "a"}
ROTATION = {"a": "b", "b": "c", "c": "a"}
THETA = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, -5.0]])


def _model(maps, names="abc"):
    prior = rd.Prior(**{name: dist.Normal(0, 1) for name in names})
    return _of(prior).with_symmetries(maps)


def _of(prior):
    return rd.Model(prior, lambda key, theta: theta["a"])


def test_the_group_holds_everything_that_the_maps_imply():
    """An exchange and a rotation of three are all six orders; two signs are four."""
    orders = as_symmetries("abc", [EXCHANGE, ROTATION])
    rows = {tuple(row) for row in orders.images(THETA[0])}
    assert rows == {(i, j, 6 - i - j) for i in (1, 2, 3) for j in {1, 2, 3} - {i}}
    assert orders.log_count == pytest.approx(np.log(6))
    signs = as_symmetries("abc", [{"b": "-b"}, {"c": "-c"}])
    assert {tuple(row) for row in signs.images(THETA[0])} == {
        (3, i, j) for i in (-1, 1) for j in (-2, 2)
    }


def test_a_map_says_what_takes_the_place_of_a_component():
    found = as_symmetries("abc", [{"a": "-b", "b": "-a"}])
    np.testing.assert_array_equal(found.images(THETA)[1], [[-1, -3, 2], [-1, -1, -5]])


def test_elements_are_told_in_words():
    signs = as_symmetries("abc", [{"b": "-b"}])
    assert signs.describe("abc") == ["b = -b"]
    assert as_symmetries("abc", [ROTATION]).describe("abc") == [
        "a = b, b = c, c = a",
        "a = c, b = a, c = b",
    ]
    assert as_symmetries("ab", [{"a": "-b", "b": "-a"}]).describe("ab") == [
        "a = -b, b = -a"
    ]
    assert Symmetries().describe("abc") == []


def test_all_images_are_folded_to_the_first():
    orders = as_symmetries("abc", [EXCHANGE, ROTATION])
    for image in orders.images(THETA):
        np.testing.assert_array_equal(orders.fold(image), np.sort(THETA))


def test_images_are_drawn_equally_often():
    """6000 draws of six: four standard errors of a count are 115."""
    orders = as_symmetries("abc", [EXCHANGE, ROTATION])
    drawn = orders.scatter(np.random.default_rng(0), np.tile(THETA[0], (6000, 1)))
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert counts.shape == (6,)
    assert np.abs(counts - 1000).max() < 115


def test_without_symmetries_theta_is_its_only_image():
    alone = Symmetries()
    assert alone.images(THETA).shape == (1, 2, 3)
    assert alone.log_count == 0
    for same in (alone.fold(THETA), alone.scatter(np.random.default_rng(0), THETA)):
        np.testing.assert_array_equal(same, THETA)


def test_targets_keep_the_symmetries_that_are_theirs():
    model = _model([EXCHANGE, {"c": "-c"}])
    assert len(model.target_symmetries.elements) == 3
    assert model.inferring(["a", "c"]).target_symmetries.elements == ((1, -2),)
    assert model.inferring(["b", "a"]).target_symmetries.elements == ((2, 1),)


def test_a_prior_that_is_cut_has_none():
    model = _model([EXCHANGE])
    scores = np.ones((10, 1))  # a constant, three lines, six products
    region = Region(model.targets, np.zeros(3), np.ones(3), scores)
    assert not model.restricted(region).target_symmetries.elements


def test_another_prior_must_have_them():
    prior = rd.Prior(a=dist.Normal(0, 1), b=dist.Normal(0, 2), c=dist.Normal(0, 1))
    assert len(_model([{"c": "-c"}]).with_prior(prior).target_symmetries.elements) == 1
    with pytest.raises(ModelError, match="same prior"):
        _model([EXCHANGE]).with_prior(prior)


@pytest.mark.parametrize(
    "one",
    [
        {"a": "b"},
        {"a": "b", "b": "b"},
        {"a": "d", "d": "a"},
        {"a": "--a"},
        {},
        "a",  # what comes of a map that is not in a list
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_what_is_no_exchange_of_components_is_refused(one):
    with pytest.raises(ModelError, match=r"symmetries\[0\].*Components are"):
        _model([one])


def test_more_images_than_can_be_evaluated_are_refused():
    names = "abcde"
    turned = dict(zip(names, "bcdea", strict=True))
    with pytest.raises(ModelError, match="at most 24"):
        _model([EXCHANGE, turned], names)


def test_a_symmetry_that_the_prior_has_not_is_refused():
    prior = rd.Prior(a=dist.Normal(0, 1), b=dist.Normal(0, 1.1))
    with pytest.raises(ModelError, match="Give both components the same prior"):
        _of(prior).with_symmetries([EXCHANGE])
    prior = rd.Prior(a=dist.Uniform(0, 1), b=dist.Normal(0, 1))
    with pytest.raises(ModelError, match="at its image"):
        _of(prior).with_symmetries([{"a": "-a"}])
