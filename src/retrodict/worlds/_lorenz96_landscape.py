r"""Why gradients and likelihoods fail on long windows of a chaotic system.

With the initial state known and noise N(0, 1) every .1 units of time, the likelihood of
F is explicit. On a window of 2 units it has one maximum; on one of 10 it has hundreds,
and neither gradient ascent nor NUTS finds the one that is the truth. The network is
given six averages of the same long window and finds the neighborhood every time.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
import optax
from jaxtyping import Array, Float, Key

from ..model import Axis, Baseline, FigureInput, Model, Prior, Study
from ._lorenz96 import (
    SUMMARIES,
    integrate,
    integrate_numpy,
    summarize,
    truth_numpy,
)
from ._nuts import Budget, nuts


Theta = Mapping[str, Array]

TRUTH, LOW, HIGH = 8.0, 5.0, 11.0
INTERVAL = 0.1
WINDOWS = (2.0, 5.0, 10.0)
GRID = np.linspace(7.0, 9.0, 2001)
NUM_ADAM, ADAM_STEPS, ADAM_RATE, CLOSE = 20, 300, 0.05, 0.05
SEED = 196

DESCRIPTION = """A chaotic system whose initial state is known exactly, observed with
noise over 10 units of time. The likelihood of the forcing F is explicit, and useless:
it has hundreds of peaks, of which one is the truth. Gradient ascent (Adam) from random
starts and chains of NUTS end on other peaks. On a window of 2 units both work. The
network looks at averages over the long window instead of fitting its trajectory: its
answer is honest, though wider than that of a likelihood that could be climbed."""


@lru_cache(maxsize=1)
def truth() -> tuple[np.ndarray, np.ndarray]:
    """Return the known initial state and the noisy states of the longest window."""
    start = truth_numpy(TRUTH, SEED)
    count = round(max(WINDOWS) / INTERVAL)
    states = integrate_numpy(start, TRUTH, interval=INTERVAL, num_saves=count)
    return start, states + np.random.RandomState(SEED).standard_normal(states.shape)


def log_likelihood(F: Array, window: float) -> Float[Array, ""]:
    """Return the log-density of the observed window, in nats, up to a constant."""
    start, observed = truth()
    count = round(window / INTERVAL)
    first = jnp.asarray(start, jnp.result_type(F))
    states = integrate(first, F, interval=INTERVAL, num_saves=count)
    return -0.5 * jnp.sum((states - observed[:count]) ** 2)


@lru_cache(maxsize=4)
def landscape(window: float) -> Float[np.ndarray, " grid"]:
    """Return the log-likelihood on :data:`GRID`, in float64."""
    with jax.enable_x64(True):
        values = jax.jit(jax.vmap(lambda F: log_likelihood(F, window)))(GRID)
        return np.asarray(values)


def count_maxima(values: np.ndarray) -> int:
    """Count the points that are higher than both their neighbours."""
    middle = values[1:-1]
    return int(((middle > values[:-2]) & (middle > values[2:])).sum())


def adam_ends(key: Key[Array, ""], window: float) -> Float[np.ndarray, " starts"]:
    """Climb the likelihood with Adam from prior draws; return where each run ends."""
    optimizer = optax.adam(optax.cosine_decay_schedule(ADAM_RATE, ADAM_STEPS))

    def climb(F: Array) -> Array:
        def step(carry: Any, _: None) -> tuple[Any, None]:
            F, state = carry
            slope = jax.grad(lambda F: -log_likelihood(F, window))(F)
            update, state = optimizer.update(jnp.nan_to_num(slope), state)
            return (jnp.clip(F + update, LOW, HIGH), state), None

        start = (F, optimizer.init(F))
        return jax.lax.scan(step, start, None, length=ADAM_STEPS)[0][0]

    with jax.enable_x64(True):
        starts = jr.uniform(key, (NUM_ADAM,), float, LOW, HIGH)
        return np.asarray(jax.jit(jax.vmap(climb))(starts))


def chains(key: Key[Array, ""], model: Model, window: float) -> Baseline:
    """Run NUTS from prior draws as they are, on one window."""

    def of_theta(theta: Theta) -> Array:
        return log_likelihood(theta["F"], window)

    key_start, key_run = jr.split(key)
    starts = model.prior.sample(key_start, 4)
    budget = Budget(num_warmup=100, num_samples=100, max_tree_depth=5)
    return nuts(key_run, model, of_theta, budget, starts=starts)


def baseline(key: Key[Array, ""], model: Model) -> Baseline:
    """Make the table: local maxima, Adam and NUTS, against the length of the window."""
    numbers: dict[str, float] = {}
    found: dict[float, Baseline] = {}
    for index, window in enumerate(WINDOWS):
        key_adam, key_nuts = jr.split(jr.fold_in(key, index))
        ends = adam_ends(key_adam, window)
        found[window] = chains(key_nuts, model, window)
        numbers |= {
            f"T = {window:g}: local maxima": float(count_maxima(landscape(window))),
            f"T = {window:g}: Adam runs that succeed": float(
                (np.abs(ends - TRUTH) < CLOSE).sum()
            ),
            f"T = {window:g}: NUTS R-hat": found[window].diagnostics["largest R-hat"],
        }
    draws = found[max(WINDOWS)].draws
    return Baseline("NUTS, 10 units of time", draws, numbers)


def make_simulator(
    summarize: Callable[[Array], Array],
) -> Callable[[Key[Array, ""], Theta], dict[str, Array]]:
    """Return the simulator of the averages of the longest window."""

    def simulator(key: Key[Array, ""], theta: Theta) -> dict[str, Array]:
        start = jnp.asarray(truth()[0], jnp.result_type(theta["F"]))
        count = round(max(WINDOWS) / INTERVAL)
        field = integrate(start, theta["F"], interval=INTERVAL, num_saves=count)
        noise = jr.normal(key, field.shape, field.dtype)
        return {"averages": summarize(field + noise)}

    return simulator


def draw_landscape(inputs: FigureInput) -> tuple[str, Any]:
    """Draw the likelihood of each window, and the table in its titles."""
    from ..report.figures import style  # a world is simulated without matplotlib

    numbers = inputs.baseline.diagnostics if inputs.baseline is not None else {}
    with style.house_style():
        figure = style.new_figure(7.2, 6.0, layout="constrained")
        rows = figure.subplots(len(WINDOWS), 1, sharex=True)
        for axes, window in zip(rows, WINDOWS, strict=True):
            values = landscape(window)
            axes.plot(GRID, values / 1e3, color=style.POSTERIOR, lw=0.8)
            axes.axvline(TRUTH, color=style.MUTED, ls=":", lw=1)
            title = f"window T = {window:g}: local maxima {count_maxima(values)}"
            runs = numbers.get(f"T = {window:g}: Adam runs that succeed")
            if runs is not None:
                hat = numbers[f"T = {window:g}: NUTS R-hat"]
                told = f"{hat:.2f}" if hat < 100 else "over 100"
                title += f", Adam {runs:.0f} of {NUM_ADAM}, NUTS R-hat {told}"
            axes.set_title(title)
            axes.set_ylabel("log-likelihood\n(1000 nats)")
        rows[-1].set_xlabel("forcing F")
    caption = (
        "The log-likelihood of F for windows of 2, 5 and 10 units of time, with the "
        "true initial state (dotted: the true F). Titles: its local maxima among 2001 "
        "points, how many of 20 runs of gradient ascent (Adam) end within 0.05 of the "
        "truth, and whether four chains of NUTS agree (R-hat near 1)."
    )
    return caption, figure


def landscape_study() -> Study:
    """Build the study of the long window."""
    prior = Prior(F=dist.Uniform(LOW, HIGH), labels={"F": "$F$"})
    model = Model(
        prior,
        make_simulator(summarize),
        observed={"averages": summarize(truth()[1])},
        name="lorenz96_landscape",
    )
    return Study(
        model=model,
        title="Lorenz 96: why gradients and likelihoods fail",
        field="chaos",
        description=" ".join(DESCRIPTION.split()),
        source="Synthetic, made with F = 8; equations of Lorenz (1996).",
        budget=10_000,
        baseline=baseline,
        axes={
            "averages": Axis(np.arange(1, 7), "", "average (units of x, x²)", SUMMARIES)
        },
        figures=(draw_landscape,),
        minutes=5.0,
    )
