"""Against the closed form of a linear model, and the laws of the interface."""

import dataclasses
import pathlib

import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.optimize as optimize
import scipy.stats as stats

import retrodict as rd
from retrodict.posterior.conditioned import SUMMARY_DRAWS
from retrodict.posterior.network import bucket

from .conftest import BOUNDED_SETTINGS, DESIGN, MEAN, NOISE, linear_model, typical_xs


# --- accuracy -------------------------------------------------------------------------


def test_mean_and_covariance_agree_with_the_closed_form(linear, exact, getkey):
    """Over 200 observations, 3000 simulations: tolerances of a small network.

    Measured with this seed: rms error of the mean 0.17 sd, sd within 2 % on average,
    correlation off by .05. A correlation known from 3000 pairs has a standard error of
    .018: the bound is three of them, before any error of the network.
    """
    xs = typical_xs(200)
    draws = linear.sample(getkey(), xs, 2000)
    sd = np.sqrt(np.diag(exact.covariance))
    error = (draws.mean(1) - exact.mean(xs)) / sd
    assert (np.sqrt((error**2).mean(0)) < 0.25).all()
    assert (np.abs(error.mean(0)) < 0.1).all()
    ratio = draws.std(1) / sd
    np.testing.assert_allclose(ratio.mean(0), 1, atol=0.08)
    correlation = np.mean([np.corrcoef(row.T)[0, 1] for row in draws])
    expected = exact.covariance[0, 1] / sd.prod()
    assert abs(correlation - expected) < 3.3 / np.sqrt(3000)


def test_log_prob_agrees_with_the_closed_form(linear, exact):
    """KL from the exact posterior: 0.05 nats measured; never below 0 by 5 errors."""
    xs = typical_xs(200)
    theta = exact.sample(np.random.default_rng(0), xs, 100)
    gap = exact.log_prob(theta, xs) - linear.log_prob(theta, xs)
    each = gap.mean(1)
    assert each.mean() < 0.1
    assert each.mean() > -5 * each.std() / np.sqrt(200)


def test_the_density_integrates_to_one(linear, exact):
    root = np.linalg.cholesky(exact.covariance)
    axis = np.linspace(-8, 8, 401)
    white = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    cell = np.linalg.det(root) * (axis[1] - axis[0]) ** 2
    for x in typical_xs(3):
        log_prob = linear.at(x).log_prob(exact.mean(x[None]) + white @ root.T)
        assert abs(np.exp(log_prob).sum() * cell - 1) < 2e-3


def test_the_density_integrates_to_one_on_a_bounded_support():
    """Support and interval Jacobian included: quadrature on the interval itself."""
    prior = rd.Prior(rate=dist.Uniform(0.0, 0.1))
    model = rd.Model(prior, lambda key, t: t["rate"] + 0.02 * jr.normal(key, (1,)))
    settings = dataclasses.replace(BOUNDED_SETTINGS, num_members=2)
    posterior = rd.fit(rd.simulate(model, 600, seed=3), seed=3, settings=settings)
    low, high = posterior.network.space.fields[0].support.lower + (
        posterior.network.space.fields[0].support.upper
    )
    grid = np.linspace(low, high, 200_001)
    at = posterior.at([0.03])
    density = np.exp(at.log_prob({"rate": grid}))
    assert abs(np.trapezoid(density, grid) - 1) < 2e-3
    draws = at.sample(jr.key(0), 20_000)["rate"]
    cdf = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    cdf *= grid[1] - grid[0]
    # draws follow the density: false alarms 1e-5
    assert stats.kstest(draws, lambda v: np.interp(v, grid, cdf)).pvalue > 1e-5


def test_the_loss_is_in_nats_of_theta(linear, exact):
    """Held-out loss of 300 rows around the entropy: sd of a mean 1/sqrt(300)."""
    best = linear.record.validation.min(0)
    assert (np.abs(best - exact.entropy) < 0.05 + 5 / np.sqrt(300)).all()
    assert linear.record.train.shape == (25, 2)
    best_epoch = linear.record.best_epoch
    np.testing.assert_array_equal(
        linear.record.validation[best_epoch, [0, 1]], linear.record.validation.min(0)
    )


def test_the_mode_is_near_that_of_the_closed_form(linear, exact):
    sd = np.sqrt(np.diag(exact.covariance))
    xs = typical_xs(4)
    for x, mean in zip(xs, exact.mean(xs), strict=True):
        at = linear.at(x)
        mode = at.map()
        assert {k: v.shape for k, v in mode.items()} == {"a": (), "b": (1,)}
        flat = np.array([mode["a"], mode["b"][0]])
        assert (np.abs(flat - mean) / sd < 0.75).all()
        # an independent search nearby finds nothing higher
        search = optimize.minimize(
            lambda t, at=at: -at.log_prob(t[None])[0], flat, method="Nelder-Mead"
        )
        assert at.log_prob(flat[None])[0] >= -search.fun - 1e-4


# --- laws of the interface ------------------------------------------------------------


def test_batches_equal_loops(linear):
    xs = typical_xs(7)
    theta = np.random.default_rng(0).normal(MEAN, 1, (7, 5, 2))
    together = linear.log_prob(theta, xs)
    assert together.shape == (7, 5)
    for x, rows, expected in zip(xs, theta, together, strict=True):
        at = linear.at(x)
        np.testing.assert_allclose(at.log_prob(rows), expected, rtol=1e-4, atol=1e-4)
        named = {"a": rows[:, 0], "b": rows[:, 1:]}
        np.testing.assert_array_equal(at.log_prob(named), at.log_prob(rows))


def test_one_observation_is_sampled_alike_in_both_forms(linear):
    x = typical_xs(1)
    one = linear.at(x[0]).sample_flat(jr.key(3), 100)
    np.testing.assert_array_equal(linear.sample(jr.key(3), x, 100)[0], one)


def test_equal_keys_give_equal_bits(linear):
    at = linear.at(typical_xs(1)[0])
    first, second = at.sample(jr.key(3), 1000), at.sample(jr.key(3), 1000)
    other = at.sample(jr.key(4), 1000)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        # two of a million pairs may round to the same float32: once in ten seeds
        assert np.isin(first[name], other[name]).sum() <= 2
    assert at.summary() == linear.at(typical_xs(1)[0]).summary()


def test_draws_of_observations_are_independent(linear):
    """Equal observations get different draws, also those of other tiles."""
    xs = np.repeat(typical_xs(1), 60, axis=0)
    draws = linear.sample(jr.key(0), xs, 1000).reshape(-1, 2)
    assert len(np.unique(draws, axis=0)) == 60_000


def test_equal_seeds_fit_equal_posteriors(bounded, bounded_simulations):
    again = rd.fit(bounded_simulations, seed=2, settings=BOUNDED_SETTINGS)
    other = rd.fit(bounded_simulations, seed=3, settings=BOUNDED_SETTINGS)
    np.testing.assert_array_equal(bounded.record.validation, again.record.validation)
    assert not np.array_equal(bounded.record.validation, other.record.validation)
    xs = {k: v[:3] for k, v in bounded_simulations.x.items()}
    draws = bounded.sample(jr.key(0), xs, 50)
    np.testing.assert_array_equal(draws, again.sample(jr.key(0), xs, 50))


def test_named_draws_have_the_shapes_of_the_prior(bounded, bounded_simulations):
    assert bounded.names == (
        "rate",
        "scale",
        *("share[0]", "share[1]", "share[2]"),
        *("size[0]", "size[1]"),
    )
    at = bounded.at({k: v[0] for k, v in bounded_simulations.x.items()})
    draws = at.sample(jr.key(0), 30)
    shapes = {k: v.shape for k, v in draws.items()}
    assert shapes == {"rate": (30,), "scale": (30,), "share": (30, 3), "size": (30, 2)}
    assert all(v.dtype == np.float64 for v in draws.values())
    mode = at.map()
    assert {k: v.shape for k, v in mode.items()} == {
        k: shape[1:] for k, shape in shapes.items()
    }


def test_draws_stay_in_the_support(bounded, bounded_simulations):
    """Also at observations far from any simulation."""
    rows = {k: v[:20] for k, v in bounded_simulations.x.items()}
    for size in (1.0, 1e3, -1e30):
        xs = {k: size * v for k, v in rows.items()}
        draws = bounded.sample(jr.key(0), xs, 500)
        assert np.isfinite(draws).all()
        assert bounded.network.space.contains(draws).all()
        rate, scale, share, wide = np.split(draws, [1, 2, 5], axis=-1)
        assert ((rate > 0) & (rate < 0.1 + 1e-8)).all()
        assert ((scale > 1e-3 * (1 - 1e-6)) & (scale < 1)).all()
        assert (share >= 0).all()
        np.testing.assert_allclose(share.sum(-1), 1, atol=1e-6)
        assert (wide > 0).all()
        assert np.isfinite(bounded.log_prob(draws, xs)).all()


def test_the_density_is_zero_outside_the_support(bounded, bounded_simulations):
    at = bounded.at({k: v[0] for k, v in bounded_simulations.x.items()})
    good = at.sample_flat(jr.key(0), 1)[0]
    assert np.isfinite(at.log_prob(good[None])).all()
    for column, value in ((0, -0.01), (0, 0.2), (1, 2.0), (2, 0.9), (5, -1.0)):
        bad = good.copy()
        bad[column] = value
        assert np.isneginf(at.log_prob(np.stack([bad, bad]))).all()
        mixed = at.log_prob(np.stack([bad, good]))
        assert np.isneginf(mixed[0])
        assert np.isfinite(mixed[1])


def test_a_summary_has_its_keys_and_numbers(linear, exact):
    x = typical_xs(1)
    summary = linear.at(x[0]).summary()
    assert list(summary) == ["a", "b[0]"]
    for numbers in summary.values():
        keys = ["mean", "sd", "q05", "q16", "median", "q84", "q95", "unit"]
        assert list(numbers) == keys
        levels = [numbers[k] for k in ("q05", "q16", "median", "q84", "q95")]
        assert levels == sorted(levels)
    assert [numbers["unit"] for numbers in summary.values()] == ["m", "s"]
    draws = linear.at(x[0]).sample_flat(jr.key(9), SUMMARY_DRAWS)
    # two independent sets of draws: 5 standard errors of a difference
    room = 5 * draws.std(0) * np.sqrt(2 / SUMMARY_DRAWS)
    found = np.array([numbers["mean"] for numbers in summary.values()])
    assert (np.abs(found - draws.mean(0)) < room).all()


def test_a_datatree_holds_draws_and_observation(bounded, bounded_simulations):
    x = {k: v[0] for k, v in bounded_simulations.x.items()}
    tree = bounded.at(x).to_datatree(50, seed=1)
    assert dict(tree.posterior.sizes)["draw"] == 50
    assert tree.posterior["share"].shape == (1, 50, 3)
    np.testing.assert_array_equal(tree.observed_data["shares"], x["shares"])
    assert tree.posterior.attrs["inference_library"] == "retrodict"
    again = bounded.at(x).to_datatree(50, seed=1)
    np.testing.assert_array_equal(tree.posterior["rate"], again.posterior["rate"])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 12, 13, 1000, 16384])
def test_buckets_are_few_and_large_enough(count):
    size = bucket(count)
    assert count <= size <= max(1.5 * count, 2)
    assert size in {2**k for k in range(20)} | {3 * 2**k for k in range(20)}


# --- observations ---------------------------------------------------------------------


def test_typical_observations_raise_few_warnings(linear):
    """Alarms have level 1 %: more than 12 of 300 have a probability below 1e-4."""
    assert stats.binom.sf(12, 300, 0.01) < 1e-4
    alarms = sum(bool(linear.at(x).warnings) for x in typical_xs(300, seed=5))
    assert alarms <= 12


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("side", [-10, 10])
def test_an_observation_ten_sd_off_raises_a_warning(linear, column, side):
    x = MEAN @ DESIGN
    spread = np.sqrt((DESIGN**2).T @ np.array([4.0, 0.25]) + NOISE**2)
    x[column] += side * spread[column]
    warnings = linear.at(x).warnings
    assert warnings[0].code == "W-ood"
    assert f"x[{column}]" in warnings[0].message
    assert "widen the prior" in warnings[0].remedy
    assert set(warnings[0].to_dict()) == {"code", "message", "remedy"}


def test_a_combination_that_never_occurs_raises_a_warning(linear):
    """Every entry alone is ordinary; together they cannot come from any theta."""
    x = MEAN @ DESIGN
    spread = np.sqrt((DESIGN**2).T @ np.array([4.0, 0.25]) + NOISE**2)
    basis = np.linalg.svd(DESIGN)[2][2:]
    direction = basis[0] / np.abs(basis[0] / spread).max()
    warnings = linear.at(x + 3 * direction).warnings
    far = linear.at(x + 6 * direction).warnings
    assert not any(abs(v) > 6.5 for v in 6 * direction / spread)
    assert far[0].code == "W-ood"
    assert "W-ood" not in [w.code for w in warnings[1:]]


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.zeros(3), r"x_obs: Expected {'x': \(4,\)}.*got {'x': \(3,\)}"),
        (np.zeros((1, 4)), r"x_obs.*\(1, 4\)"),
        ({"y": np.zeros(4)}, r"x_obs.*'y'"),
        ([0, np.nan, 0, 0], r"x_obs.*1 that are not.*nan at index \(1,\)"),
        ("hello", "x_obs.*hello"),
        (None, "x_obs"),
    ],
)
def test_observations_that_do_not_fit_are_refused(linear, x, match):
    with pytest.raises(rd.DataError, match=match):
        linear.at(x)


def test_series_that_do_not_fit_are_refused(bounded, bounded_simulations):
    x = {k: v[0] for k, v in bounded_simulations.x.items()}
    missing = {k: v for k, v in x.items() if k != "number"}
    with pytest.raises(rd.DataError, match=r"'number': \(\)"):
        bounded.at(missing)
    with pytest.raises(rd.DataError, match=r"'extra'"):
        bounded.at({**x, "extra": 1.0})
    with pytest.raises(rd.DataError, match=r"x_obs\['series'\].*inf"):
        bounded.at({**x, "series": np.full((16, 1), np.inf)})
    rows = {k: v[:2] for k, v in bounded_simulations.x.items()}
    for bad in (
        {**rows, "number": rows["number"][:1]},
        {**rows, "number": np.float64(1.0)},
        {k: v[:0] for k, v in rows.items()},
    ):
        with pytest.raises(rd.DataError, match="xs: Expected"):
            bounded.sample(jr.key(0), bad, 3)


@pytest.mark.parametrize(
    ("theta", "match"),
    [
        (np.zeros(2), r"theta: Expected shape \(num_samples, 2\); got \(2,\)"),
        (np.zeros((5, 3)), r"\(5, 3\)"),
        ({"a": np.zeros(5)}, "Add 'b'"),
        (np.array([[0.0, np.nan]]), r"theta.*1 NaN, the first at index \(0, 1\)"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(linear, theta, match):
    with pytest.raises(ValueError, match=match):
        linear.at(typical_xs(1)[0]).log_prob(theta)


def test_arguments_of_the_batched_forms_are_checked(linear):
    xs = typical_xs(2)
    for theta in (np.zeros((2, 2)), np.zeros((3, 1, 2)), np.zeros((2, 1, 3))):
        with pytest.raises(ValueError, match="theta: Expected shape"):
            linear.log_prob(theta, xs)
    with pytest.raises(ValueError, match=r"theta.*2 NaN"):
        linear.log_prob(np.array([[[0, np.nan]], [[np.nan, 0]]]), xs)
    with pytest.raises(ValueError, match=r"num_samples:.*got 0"):
        linear.sample(jr.key(0), xs, 0)
    with pytest.raises(ValueError, match=r"num_samples:.*got -1"):
        linear.at(xs[0]).sample(jr.key(0), -1)
    with pytest.raises(rd.DataError, match=r"xs: Expected .*'n', 4.*got .*\(4,\)"):
        linear.sample(jr.key(0), xs[0], 3)


# --- fit ------------------------------------------------------------------------------


def _with_status(simulations, bad):
    status = np.zeros(len(simulations), np.int8)
    status[:bad] = 1
    return dataclasses.replace(simulations, status=status)


def test_failed_simulations_are_left_out_counted_and_told(linear_simulations):
    part = _with_status(linear_simulations[:300], 45)
    x = part.x.copy()
    x[:45] = np.nan
    part = dataclasses.replace(part, x=x)
    posterior = rd.fit(part, settings=BOUNDED_SETTINGS)
    assert posterior.record.counts == {"ok": 255, "nonfinite": 45}
    codes = [w.code for w in posterior.at(MEAN @ DESIGN).warnings]
    assert codes == ["W-failed-simulations"]
    message = posterior.at(MEAN @ DESIGN).warnings[0].message
    assert "15.0% of the simulations failed (45 nonfinite)" in message
    assert "no dependence on theta was found" in message
    assert posterior.record.dataset == part.fingerprint()


def test_failures_that_depend_on_theta_are_said_and_remembered(
    linear_simulations, tmp_path, capfd
):
    part = linear_simulations[:300]
    bad = part.targets[:, 0] > np.quantile(part.targets[:, 0], 0.85)
    part = dataclasses.replace(part, status=bad.astype(np.int8))
    rd.fit(part, settings=BOUNDED_SETTINGS).save(tmp_path / "a.retrodict")
    said = capfd.readouterr().err
    assert "W-failed-simulations: 15.0%" in said
    assert "depends on theta (AUC 1.00" in said
    posterior = rd.load(tmp_path / "a.retrodict")
    assert posterior.record.failures["auc"] > 0.9
    warning = posterior.at(MEAN @ DESIGN).warnings[-1]
    assert warning.code == "W-failed-simulations"
    assert "the prior restricted to where the simulator runs" in warning.message


def test_too_many_failures_or_too_few_rows_are_refused(linear_simulations):
    with pytest.raises(rd.DataError, match=r"25% failed.*'nonfinite': 75"):
        rd.fit(_with_status(linear_simulations[:300], 75))
    with pytest.raises(rd.DataError, match=r"at least 50.*got 30"):
        rd.fit(linear_simulations[:30])


def test_a_target_that_never_varies_is_refused(linear_simulations):
    part = linear_simulations[:100]
    theta = {**part.theta, "b": np.full((100, 1), 0.3)}
    with pytest.raises(
        rd.DataError, match=r"coordinate 1 of .*'b.0.'.*same in every row"
    ):
        rd.fit(dataclasses.replace(part, theta=theta))


def test_data_of_any_scale_give_the_same_posterior(linear_simulations):
    """x in other units, 1e-21 or 1e20 times as large: equal up to rounding."""
    part = linear_simulations[:300]
    base = rd.fit(part, settings=BOUNDED_SETTINGS)
    theta = np.random.default_rng(0).normal(MEAN, 1, (1, 50, 2))
    xs = typical_xs(1)
    expected = base.log_prob(theta, xs)
    for scale in (2.0**-70, 2.0**60):
        other = rd.fit(
            dataclasses.replace(part, x=part.x * scale), settings=BOUNDED_SETTINGS
        )
        found = other.log_prob(theta, xs * scale)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


# --- memory ---------------------------------------------------------------------------


def _peak_mb():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.slow
def test_memory_stays_flat_for_a_million_draws(linear):
    """A tile has 16 384 draws; a million at once would take more than a gigabyte."""
    reset = pathlib.Path("/proc/self/clear_refs")
    if not reset.exists():
        pytest.skip("needs /proc (Linux) to measure memory")
    at = linear.at(typical_xs(1)[0])
    at.sample_flat(jr.key(0), 100_000)
    reset.write_text("5")
    before = _peak_mb()
    draws = at.sample_flat(jr.key(0), 1_000_000)
    log_prob = at.log_prob(draws)
    assert draws.shape == (1_000_000, 2)
    assert np.isfinite(log_prob).all()
    assert _peak_mb() - before < 200  # 24 MB are the result itself


def test_models_are_what_the_closed_form_says():
    """The two descriptions of the linear model, here and in JAX, are one: z < 5."""
    sims = rd.simulate(linear_model(), 2000, seed=7)
    theta = np.column_stack([sims.theta["a"], sims.theta["b"][:, 0]])
    z = (theta - MEAN).mean(0) / (np.array([2.0, 0.5]) / np.sqrt(2000))
    assert (np.abs(z) < 5).all()
    residual = (sims.x - theta @ DESIGN) / NOISE
    assert (np.abs(residual.mean(0)) < 5 / np.sqrt(2000)).all()
    np.testing.assert_allclose(np.cov(residual.T), np.eye(4), atol=0.17)
