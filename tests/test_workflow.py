"""``run`` as a function: what it returns, refuses and leaves out."""

from functools import partial

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest

import retrodict as rd
from retrodict import workflow
from trainings import shorten_likelihoods


SETTINGS = rd.Settings(
    num_members=1,
    num_layers=2,
    num_bins=4,
    flow_width=16,
    embedding_width=16,
    context_dim=8,
    num_blocks=1,
    epochs=8,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Train one small network and judge it on few simulations."""
    monkeypatch.setattr(workflow, "fit", partial(rd.fit, settings=SETTINGS))
    judge = partial(rd.validate, num_simulations=60, num_samples=64)
    monkeypatch.setattr(workflow, "validate", judge)


def _length(theta):
    return jnp.linalg.norm(theta["mu"])


def vector_model(noise, observed):
    def simulator(key, theta):
        return theta["mu"] + theta["noise"] * jr.normal(key, (2,))

    prior = rd.Prior(
        mu=dist.Normal(0, 1).expand([2]).to_event(1),
        noise=noise,
        units={"mu": "m", "noise": "m"},
    )
    length = rd.Derived(_length, support="positive", unit="m")
    signal = rd.Derived(lambda theta: jnp.sum(theta["mu"] ** 2) / theta["noise"] ** 2)
    return rd.Model(
        prior,
        simulator,
        observed=observed,
        derive={"length": length, "signal": signal},
        name="vector",
    )


def test_observation_is_needed(tmp_path):
    study = rd.Study(model=vector_model(dist.HalfNormal(1.0), None))
    with pytest.raises(rd.ModelError, match=r"vector: .*observed=.*--observation"):
        rd.run(study, tmp_path)
    assert not list(tmp_path.iterdir())


def test_seed_is_checked_first(tmp_path):
    study = rd.Study(model=vector_model(dist.HalfNormal(1.0), np.zeros(2)))
    with pytest.raises(ValueError, match=r"seed: .*got -1"):
        rd.run(study, tmp_path, seed=-1)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_vectors_come_back_as_components(tmp_path):
    study = rd.Study(model=vector_model(dist.HalfNormal(1.0), np.zeros(2)))
    result = rd.run(study, tmp_path, budget=200)
    assert list(result.summary["parameters"]) == ["mu[0]", "mu[1]", "noise"]
    assert result.summary["parameters"]["mu[1]"]["unit"] == "m"
    assert list(result.summary["derived"]) == ["length", "signal"]
    assert result.draws["mu"].shape == (10_000, 2)
    length = np.linalg.norm(result.draws["mu"], axis=1)
    np.testing.assert_allclose(result.derived["length"], length, rtol=1e-12)
    assert result.predictive["x"].shape == (1000, 2)
    told = result.summary["parameters"]["mu[0]"]["mean"]
    assert told == pytest.approx(result.draws["mu"][:, 0].mean())
    assert not (tmp_path / "command.txt").exists()


@pytest.mark.slow
def test_nuisances_are_not_drawn_from_their_prior(tmp_path):
    """Predictions, and what needs the nuisance, are left out; the rest is there."""
    noise = rd.Nuisance(dist.HalfNormal(1.0))
    study = rd.Study(model=vector_model(noise, np.zeros(2)), title="Two numbers")
    result = rd.run(study, tmp_path, budget=200)
    assert list(result.summary["parameters"]) == ["mu[0]", "mu[1]"]
    assert list(result.summary["derived"]) == ["length"]
    assert result.predictive == {}
    told = result.summary["identifiability"]
    assert list(told["width_if_nuisances_known"]) == ["mu[0]", "mu[1]"]
    assert "noise" in told["nuisance_sentence"]
    page = (tmp_path / "report.html").read_text()
    assert "Two numbers" in page
    assert "What the data inform" in page
    assert "noise" in page.partition("Nuisances.")[2]
    assert "Does it explain the data?" not in page


@pytest.mark.slow
def test_earlier_posterior_is_used_and_checked(tmp_path):
    model = vector_model(dist.HalfNormal(1.0), np.zeros(2))
    first = rd.run(rd.Study(model=model), tmp_path / "a", budget=200)
    other = rd.Study(model=model.observing(np.ones(2)))
    second = rd.run(other, tmp_path / "a", budget=200, posterior=first.posterior)
    assert second.posterior is first.posterior
    assert second.summary["parameters"] != first.summary["parameters"]
    narrow = rd.Study(model=vector_model(rd.Nuisance(dist.HalfNormal(1.0)), np.ones(2)))
    with pytest.raises(rd.ModelError, match=r"Expected one of .*got one of .*'noise'"):
        rd.run(narrow, tmp_path / "b", posterior=first.posterior)


@pytest.fixture
def short_rounds(monkeypatch):
    """Train the same small network in every round, and one likelihood shortly."""
    shorten_likelihoods(monkeypatch, 4)
    monkeypatch.setattr("retrodict.posterior.rounds.NUM_LEARNED", 1)
    monkeypatch.setattr("retrodict.posterior.rounds.fit", _short_fit)
    monkeypatch.setattr(workflow, "fit", _short_fit)
    judge = partial(rd.trust.validate_at, num_samples=64)
    monkeypatch.setattr(workflow, "validate_at", judge)


def _short_fit(simulations, *, seed=0, **options):
    return rd.fit(simulations, seed=seed, settings=SETTINGS)


@pytest.mark.slow
def test_rounds_go_to_the_observation_and_stay_with_it(tmp_path, short_rounds):
    """Nearly all runs of the last round are nearer to x_obs than those of the first."""

    def simulator(key, theta):
        return theta["mu"] + 0.3 * jr.normal(key, (2,))

    prior = rd.Prior(mu=dist.Normal(0, 1).expand([2]).to_event(1))
    observed = np.array([1.5, -1.0])
    model = rd.Model(prior, simulator, observed=observed, name="rounds")
    study = rd.Study(model=model, num_validation=60, rounds=3)
    result = rd.run(study, tmp_path, budget=1000)
    told = result.summary["rounds"]
    assert told["number"] == 3
    assert told["budget"] == 1000
    assert 0 < told["mass"] < 0.7
    sizes = [len(rd.simulate(model, 200, out=tmp_path / "simulations"))]
    sizes += [int(folder.name) for folder in (tmp_path / "rounds").iterdir()]
    assert sorted(sizes) == [1, 2, 200]
    near = result.posterior.preview[1]
    assert np.linalg.norm(near - observed, axis=1).max() < 2.0
    exact, sd = observed / 1.09, np.sqrt(0.09 / 1.09)
    mean = result.draws["mu"].mean(0)
    assert np.abs((mean - exact) / sd).max() < 0.5  # 600 simulations, one network
    page = (tmp_path / "report.html").read_text()
    assert "the first of 3 rounds" in page
    assert "all of them like your data" in page
    again = rd.run(study, tmp_path, budget=1000)
    assert again.summary["parameters"] == result.summary["parameters"]
    assert again.summary["validation"] == result.summary["validation"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["mu", "length"])
def test_rounds_ask_for_a_part_or_for_derived_quantities(
    tmp_path, short_rounds, target
):
    """What is not asked about is not reported; the region is part of the prior."""
    model = vector_model(rd.Nuisance(dist.HalfNormal(0.3)), np.array([1.5, -1.0]))
    study = rd.Study(model=model.inferring([target]), num_validation=60, rounds=2)
    result = rd.run(study, tmp_path, budget=1000)
    assert 0 < result.summary["rounds"]["mass"] < 1.0
    truth = {"mu": [1.5, -1.0], "length": np.hypot(1.5, 1.0)}[target]
    assert np.abs(result.draws[target].mean(0) - truth).max() < 0.3
    assert set(result.draws) == {target}
    assert (tmp_path / "report.html").is_file()


def test_rounds_that_cannot_be_are_refused_before_anything_is_simulated(tmp_path):
    def in_python(rng, theta):
        raise AssertionError

    length = rd.Derived(lambda t: np.linalg.norm(t["mu"]), support="positive")
    prior = rd.Prior(mu=dist.Normal(0, 1).expand([2]).to_event(1))
    model = rd.Model(
        prior,
        in_python,
        observed=np.zeros(2),
        derive={"length": length},
        infer=["length"],
    )
    with pytest.raises(rd.ModelError, match=r"\['length'\], which Python computes"):
        rd.run(rd.Study(model=model, rounds=2), tmp_path)
    assert not list(tmp_path.iterdir())
