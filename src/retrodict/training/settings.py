"""What training may vary, and the rule that chooses it from budget and shapes."""

import math
from dataclasses import dataclass, replace


VECTOR_EMBEDDINGS = ("residual", "plain")
GRID_EMBEDDINGS = ("convolution", "local_average", "map_average")
SET_EMBEDDINGS = ("deep_set", "set_transformer")
SERIES_EMBEDDINGS = ("convolution", "gru", "transformer")
DENSITIES = (
    "spline_coupling",
    "autoregressive",
    "affine_autoregressive",
    "mixture_density",
    "flow_matching",
)
CHOICES = {
    "vector_embedding": VECTOR_EMBEDDINGS,
    "grid_embedding": GRID_EMBEDDINGS,
    "set_embedding": SET_EMBEDDINGS,
    "series_embedding": SERIES_EMBEDDINGS,
    "density": (*DENSITIES, "independent", "correlated"),
}
COUNTS = (
    "num_members",
    "num_layers",
    "num_bins",
    "epochs",
    "batch_size",
    "num_components",
)


@dataclass(frozen=True)
class Settings:
    """Architecture and schedule of one training.

    Attributes:
        num_members: Networks in the ensemble; a good half hold out the same rows.
        num_layers: Coupling layers.
        num_bins: Bins of each spline.
        flow_width: Width of the conditioners.
        embedding_width: Width of the embedding network.
        context_dim: Dimension of the embedded x.
        num_blocks: Residual blocks of the embedding, or layers of a plain one.
        feature_bins: Quantile bins of the piecewise-linear features.
        epochs: Passes over the training part.
        batch_size: Simulations per step.
        learning_rate: Peak of the schedule.
        weight_decay: Decoupled weight decay; a Gaussian prior on the weights.
        warmup_fraction: Part of the steps in which the rate rises to its peak.
        validation_fraction: Part of the simulations held out by each member.
        clip_norm: Gradients of a larger global norm are scaled down to it.
        linear_start: Whether training starts at a linear regression.
        constant_shape: Whether x moves the location of the density only, not its scale
            and shape.
        vector_embedding: How vectors are embedded: by a ``"residual"`` perceptron on
            piecewise-linear features, or by a ``"plain"`` one, which is smoother.
        grid_embedding: How series with more than one axis are embedded whose structure
            is not declared: ``"convolution"``, ``"local_average"`` or
            ``"map_average"``.
        set_embedding: How exchangeable rows are embedded: ``"deep_set"`` or
            ``"set_transformer"``.
        series_embedding: How declared series are embedded: ``"convolution"``,
            ``"gru"`` or ``"transformer"``.
        density: Family of the conditional density: ``"spline_coupling"``,
            ``"autoregressive"``, ``"affine_autoregressive"``, ``"mixture_density"`` or
            ``"flow_matching"``; ``"independent"`` and ``"correlated"`` are densities of
            x, for a learned likelihood.
        num_components: Gaussians of a mixture density.
        embedding_epochs: Epochs in which one network first learns to embed series with
            more than one axis; all members are then trained on what it has learned to
            see. 0 trains every member as a whole.
        fit_base_scale: Whether the base of a flow is widened or narrowed until held-out
            theta are most likely, which cures over-confidence; without it a network is
            what its training made of it.
    """

    num_members: int = 5
    num_layers: int = 4
    num_bins: int = 8
    flow_width: int = 48
    embedding_width: int = 128
    context_dim: int = 64
    num_blocks: int = 2
    feature_bins: int = 6
    epochs: int = 24
    batch_size: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 0.1
    warmup_fraction: float = 0.05
    validation_fraction: float = 0.1
    clip_norm: float = 5.0
    linear_start: bool = True
    constant_shape: bool = False
    vector_embedding: str = "residual"
    grid_embedding: str = "convolution"
    set_embedding: str = "deep_set"
    series_embedding: str = "convolution"
    density: str = "spline_coupling"
    num_components: int = 8
    embedding_epochs: int = 0
    fit_base_scale: bool = True

    def __post_init__(self) -> None:
        for name in ("validation_fraction", "warmup_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name}: Expected a number in (0, 1); got {value}.")
        for name, words in CHOICES.items():
            word = getattr(self, name)
            if word not in words:
                raise ValueError(
                    f"{name}: Expected one of {list(words)}; got {word!r}."
                )
        for name in COUNTS:
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}: Expected at least 1; got {value}.")
        if self.embedding_epochs < 0:
            raise ValueError(
                f"embedding_epochs: Expected 0 or more; got {self.embedding_epochs}."
            )
        if self.constant_shape and self.density != "spline_coupling":
            raise ValueError(
                "constant_shape: Expected density='spline_coupling' beside it; got "
                f"{self.density!r}."
            )


def default_settings(
    num_simulations: int, theta_dim: int, *, num_members: int | None = None
) -> Settings:
    """Choose settings from the budget and the dimension alone.

    The batch grows with the square root of the budget, so that a large budget buys both
    more steps and less noisy ones; the number of epochs falls from 40 to 12 as the
    budget grows from a thousand to a hundred thousand and more. Few simulations leave
    much to chance, which more members average out at little cost. Layers beyond four
    pay in five or six dimensions only, measured.

    Args:
        num_simulations: Simulations that can be used.
        theta_dim: Unconstrained dimension of the targets.
        num_members: Networks in the ensemble; 10 below 3000 simulations, else 5.
    """
    decades = math.log10(max(num_simulations, 100) / 1000)
    batch = 2 ** round(math.log2(50 * 10 ** (0.5 * max(decades, 0.0))))
    epochs = round(min(max(40 * 10 ** (-0.22 * decades), 12), 60))
    return Settings(
        num_members=num_members or (10 if num_simulations < 3000 else 5),
        num_layers=6 if 5 <= theta_dim <= 6 else 4,
        batch_size=int(min(batch, 512, max(num_simulations // 10, 8))),
        epochs=epochs,
        weight_decay=_decay(0.4, num_simulations, 1.0),
        flow_width=48 if num_simulations < 30_000 else 64,
    )


def candidate_settings(
    base: Settings, num_simulations: int, *, short_members: int | None = None
) -> tuple[Settings, ...]:
    """Return the trainings that are raced on held-out simulations.

    They differ in start, schedule and the number of members alone, so that one compiled
    program serves all. Short ones at a low rate suit posteriors that are nearly linear
    and Gaussian, where a long one learns the noise; long ones suit posteriors of
    intricate shape, with a firm prior on the weights or a loose one. A regression is a
    bad start where theta is far from linear in x. Of the long ones the loose one comes
    first: every race tries it.

    Args:
        base: The default for the budget and the dimension.
        num_simulations: Simulations that can be used.
        short_members: Networks of the short ones, by default as many as of the others.
    """
    firm = _decay(4.0, num_simulations, 0.5)
    loose = _decay(0.4, num_simulations, 1.0)
    peak = base.learning_rate
    long = replace(base, epochs=2 * base.epochs, learning_rate=0.6 * peak)
    short = replace(base, num_members=short_members or base.num_members)
    return (
        replace(
            short,
            epochs=max(base.epochs // 8, 3),
            learning_rate=0.2 * peak,
            weight_decay=firm,
        ),
        replace(
            short,
            epochs=max(base.epochs // 2, 3),
            learning_rate=0.4 * peak,
            weight_decay=firm,
        ),
        replace(long, weight_decay=loose),
        replace(long, weight_decay=firm),
        replace(long, weight_decay=0.25 * firm, linear_start=False),
    )


def normal_settings(
    num_simulations: int, num_members: int, *, correlated: bool
) -> Settings:
    """Return the training of entries that are normal given theta.

    Longer and held more loosely than others: what is learned are smooth curves. A decay
    of .1 costs .08 nats of theta with 1000 simulations of sir and .6 of lotka_volterra,
    one of 1 costs .1 nats of sir.

    Args:
        num_simulations: Simulations that can be used.
        num_members: Networks in the ensemble.
        correlated: Whether entries depend on each other.
    """
    decades = max(math.log10(max(num_simulations, 100) / 1000), 0.0)
    return Settings(
        num_members=num_members,
        density="correlated" if correlated else "independent",
        vector_embedding="plain",
        num_blocks=3,
        epochs=round(300 * 10 ** (-0.5 * decades)),
        batch_size=2 ** round(math.log2(64 * 10 ** (0.5 * decades))),
        learning_rate=3e-3,
        weight_decay=0.3,
        linear_start=False,
        fit_base_scale=False,
    )


def brief_settings(base: Settings, num_simulations: int) -> Settings:
    """Return one short training, as of networks that say where to simulate next.

    A network that no other is averaged with is held more firmly than the members of an
    ensemble, whose noise averages out. Measured with 10 000 simulations; the decay is
    constant up to there, and falls with the root of what is more.

    Args:
        base: The default for the budget and the dimension.
        num_simulations: Simulations that can be used.
    """
    firm = _decay(0.4, num_simulations // 10, 0.5)
    return replace(base, epochs=base.epochs * 4 // 3, weight_decay=firm)


def fast_settings(base: Settings, num_simulations: int, theta_dim: int) -> Settings:
    """Return the only training of ``effort="fast"``.

    From 5000 simulations of up to four parameters on it is half as long again as a
    brief one and held a quarter as firmly: with 10 000 sir and two_moons gain .05 nats;
    ten parameters lose .1. It has four layers in any dimension: six are worth .1 nats
    of slcp, and half as much time again for every draw.

    Args:
        base: The default for the budget and the dimension.
        num_simulations: Simulations that can be used.
        theta_dim: Unconstrained dimension of the targets.
    """
    brief = replace(brief_settings(base, num_simulations), num_layers=4)
    if num_simulations < 5000 or theta_dim > 4:
        return brief
    decay = brief.weight_decay / 4
    return replace(brief, epochs=brief.epochs * 3 // 2, weight_decay=decay)


def num_raced(num_held_out: int, num_members: int) -> int:
    """Return how many members of a training are compared with those of others.

    What counts is the score of the ensemble, and the fewer simulations are held out the
    noisier is that of a single member.
    """
    return min(num_members, 3 if num_held_out < 300 else 1)


def num_sharing(num_held_out: int, settings: Settings) -> int:
    """Return how many members hold out the same rows.

    Where a base is fitted it is more than half of an ensemble, which is nearly as good
    as all, at little cost: every row is still seen by as many members on average.
    """
    raced = num_raced(num_held_out, settings.num_members)
    half = -(-settings.num_members // 2)
    return max(raced, half) if settings.fit_base_scale else raced


def _decay(at_a_thousand: float, num_simulations: int, power: float) -> float:
    """Return a weight decay: the more simulations, the less a prior counts."""
    return at_a_thousand * (1000 / max(num_simulations, 1000)) ** power
