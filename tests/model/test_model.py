import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints

from retrodict._core.errors import DataError, ModelError
from retrodict.model import (
    Axis,
    Derived,
    JaxSimulator,
    Model,
    Nuisance,
    Prior,
    PythonSimulator,
    clean_observation,
)


def simulator(key, theta):
    return theta["beta"] + theta["mu"].sum() + jr.normal(key, (4,))


def python_simulator(rng, theta):
    return np.array([theta["beta"], rng.normal()])


def _prior():
    return Prior(
        beta=dist.HalfNormal(1.0),
        mu=dist.Normal(jnp.zeros(2), 1.0),
        offset=Nuisance(dist.Normal(0.0, 1.0)),
        units={"beta": "1/day"},
    )


RATIO = Derived(
    lambda t: t["beta"] / (1 + t["mu"][0] ** 2), support="positive", unit="m"
)


def test_targets_are_all_but_the_nuisances():
    model = Model(_prior(), simulator)
    assert model.target_names == ("beta", "mu[0]", "mu[1]")
    named = Model(_prior(), simulator, infer=["offset", "beta"])
    assert named.target_names == ("offset", "beta")


def test_other_targets_can_be_asked_for():
    model = Model(_prior(), simulator)
    joint = model.inferring(model.prior.names)
    assert joint.target_names == ("beta", "mu[0]", "mu[1]", "offset")
    assert model.target_names == ("beta", "mu[0]", "mu[1]")
    with pytest.raises(ModelError, match=r"infer: Expected at least one target"):
        model.inferring([])
    with pytest.raises(ModelError, match="bta"):
        model.inferring(["bta"])


def test_flatten_follows_infer_and_unflatten_undoes_it():
    model = Model(_prior(), simulator, derive={"ratio": RATIO}, infer=["ratio", "mu"])
    assert model.target_names == ("ratio", "mu[0]", "mu[1]")
    values = {"ratio": np.array([5.0, 6.0]), "mu": np.array([[1.0, 2.0], [3.0, 4.0]])}
    flat = model.flatten({**values, "beta": np.zeros(2)})
    np.testing.assert_array_equal(flat, [[5, 1, 2], [6, 3, 4]])
    back = model.unflatten(flat)
    for name, value in values.items():
        np.testing.assert_array_equal(back[name], value)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"mu": np.zeros((2, 2))}, "Add 'beta'"),
        ({"beta": np.zeros(2), "mu": np.zeros((2, 3))}, r"theta\['mu'\].*\(2, 3\)"),
        ({"beta": 1.0, "mu": np.zeros((1, 2))}, r"theta\['beta'\].*\(\)"),
        ({"beta": np.zeros(3), "mu": np.zeros((2, 2))}, r"theta.*'beta': 3.*'mu': 2"),
    ],
)
def test_flatten_says_what_does_not_fit(values, match):
    with pytest.raises(ValueError, match=match):
        Model(_prior(), simulator).flatten(values)


@pytest.mark.parametrize("kind", [simulator, python_simulator])
def test_derived_quantities(kind, getkey):
    def numpy_or_jax(theta):
        return theta["beta"] * theta["mu"]

    derive = {"ratio": RATIO, "product": Derived(numpy_or_jax)}
    model = Model(_prior(), kind, derive=derive)
    theta = model.prior.sample(getkey(), 7)
    found = model.derived(theta)
    np.testing.assert_allclose(
        found["ratio"], theta["beta"] / (1 + theta["mu"][:, 0] ** 2)
    )
    np.testing.assert_allclose(found["product"], theta["beta"][:, None] * theta["mu"])
    assert found["product"].dtype == np.float64
    assert model.units["ratio"] == "m"
    assert model.labels["ratio"] == "ratio"
    # asked with fewer parameters, what cannot be computed is left out
    assert set(model.derived({"beta": theta["beta"]})) == set()


def test_derived_targets_declare_their_support():
    for support, kind in (
        ("positive", "lower"),
        ("unit_interval", "interval"),
        ("real", "real"),
        (constraints.interval(0.0, 3.0), "interval"),
    ):
        item = Derived(lambda t: t["beta"], support=support)
        model = Model(_prior(), simulator, derive={"r": item}, infer=["r"])
        assert model.targets.fields[0].support.kind == kind
    for support in (None, "postive"):
        item = Derived(lambda t: t["beta"], support=support)
        with pytest.raises(ModelError, match=f"'r'.*support.*got {support!r}"):
            Model(_prior(), simulator, derive={"r": item}, infer=["r"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"infer": ["bta"]}, "infer:.*'bta'.*mean 'beta'"),
        ({"infer": []}, "infer:.*at least one"),
        ({"infer": ["beta", "beta"]}, "infer:.*'beta'.*twice"),
        ({"derive": {"r": lambda t: 0.0}}, r"derive\['r'\].*Derived"),
        ({"derive": {"beta": RATIO}}, "derive: 'beta'.*sampled"),
        (
            {"derive": {"r": Derived(lambda t: t["bta"], "real")}, "infer": ["r"]},
            r"derive\['r'\].*'bta'.*mean 'beta'",
        ),
    ],
)
def test_names_that_do_not_fit_are_refused(arguments, match, without_type_checks):
    with pytest.raises(ModelError, match=match):
        Model(_prior(), simulator, **arguments)


def test_the_first_argument_tells_the_kind_of_simulator(without_type_checks):
    assert isinstance(Model(_prior(), simulator).simulator, JaxSimulator)
    assert isinstance(Model(_prior(), python_simulator).simulator, PythonSimulator)
    for bad in (lambda theta: 0, lambda key: 0, lambda k, theta: 0):
        with pytest.raises(ModelError, match="simulator: Expected the arguments"):
            Model(_prior(), bad)
    with pytest.raises(ModelError, match=r"simulator: Expected a function; got 3"):
        Model(_prior(), 3)
    with pytest.raises(ModelError, match=r"prior: Expected a retrodict\.Prior"):
        Model({"a": dist.Normal(0, 1)}, simulator)


def test_observing_leaves_the_first_model_alone():
    first = Model(_prior(), simulator, observed=np.zeros(4))
    second = first.observing(np.ones(4))
    assert (first.observed == 0).all()
    assert (second.observed == 1).all()


def test_an_observation_becomes_float64():
    clean = clean_observation({"a": [1, 2], 3: np.float32(0.5)})
    assert set(clean) == {"a", "3"}
    assert all(v.dtype == np.float64 for v in clean.values())
    assert clean_observation([[True, False]]).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ([1.0, np.nan, np.inf], r"x_obs:.*2 that are not.*nan at index \(1,\)"),
        ({"y": [[0.0, np.inf]]}, r"x_obs\['y'\].*inf at index \(0, 1\)"),
        ("abc", "x_obs:.*numbers; got 'abc'"),
        ([[1.0], [1.0, 2.0]], "x_obs:.*array of numbers"),
        ([1.0 + 2.0j], "x_obs:.*complex"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), r"x_obs:.*1 that are not"),
    ],
)
def test_observations_that_are_no_numbers_are_refused(value, match):
    with pytest.raises(DataError, match=match):
        clean_observation(value)
    with pytest.raises(DataError, match=match):
        Model(_prior(), simulator, observed=value)


def test_an_axis_has_a_name_of_each_entry_or_none():
    with pytest.raises(ValueError, match=r"names: Expected one of each of 3 values"):
        Axis(np.arange(3), "", "counts", ("mean", "variance"))
