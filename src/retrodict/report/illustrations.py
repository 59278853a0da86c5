"""Pictures of the answer, the data and the training; each caption can be read alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import figures
from .content import ReportContent
from .picture import Illustration, Picture, picture
from .text import listed, number, short


_MAX_TILES = 24
_MAX_PAIRED = 12
_MAX_SERIES = 12
_MAX_ROWS = 4
_NOTABLE_CORRELATION = 0.6


def pairs(content: ReportContent) -> Illustration:
    """Draw marginals and pairs of the inferred parameters."""
    names = content.names[:_MAX_PAIRED]
    alt = f"Pair plot of the posterior of {listed(names)}."

    def draw() -> Any:
        return figures.pair_plot(
            content.posterior,
            prior=content.prior or None,
            reference=content.baseline,
            labels={n: content.label(n) for n in names},
            units={n: content.unit(n) for n in names},
            names=names,
            legend={"reference": _method(content)},
        )

    return Illustration(
        (picture(alt, draw),),
        _pair_caption(content, names),
        layout="side" if len(names) <= 3 else "row",
        zoom=len(names) > 3,
    )


def marginals(content: ReportContent) -> Illustration | None:
    """Draw the density of each derived quantity."""
    names = [n for n in content.derived_names if np.ndim(content.posterior[n]) == 1]
    if not names:
        return None

    def draw(name: str) -> Any:
        return figures.marginal_plot(
            content.posterior[name],
            prior=content.prior.get(name),
            reference=(content.baseline or {}).get(name),
            label=content.label(name),
            unit=content.unit(name),
        )

    shown = tuple(
        picture(f"Posterior density of {short(n, 40)}.", lambda n=n: draw(n))
        for n in names[:_MAX_TILES]
    )
    caption = (
        "Quantities computed from the parameters. Blue: their posterior. Grey: what "
        "the prior says about them before any data."
    )
    if content.baseline:
        caption += f" Orange: {_method(content)}."
    return Illustration(shown, caption, layout="tiles")


def predictions(content: ReportContent) -> Illustration | None:
    """Draw every observed series against its posterior predictive."""
    return _against(content, content.predictive, _predictive_caption)


def prior_predictions(content: ReportContent) -> Illustration | None:
    """Draw every observed series against its prior predictive."""
    return _against(content, content.prior_predictive, _prior_caption)


def _against(
    content: ReportContent,
    predictive: Mapping[str, np.ndarray],
    caption: Callable[[int, int], str],
) -> Illustration | None:
    shown: list[Picture] = []
    inside = total = 0
    for name, observed in list(content.observed.items())[:_MAX_SERIES]:
        if name not in predictive:
            continue
        expected = np.asarray(predictive[name], dtype=np.float64)
        observed = np.asarray(observed, dtype=np.float64)
        shown += _series(content, name, expected, observed)
        seen = np.isfinite(observed)
        total += int(seen.sum())
        inside += int((seen & ~figures.outside(expected, observed)).sum())
    if not shown:
        return None
    layout = "side" if len(shown) == 1 else "row"
    return Illustration(tuple(shown), caption(inside, total), layout=layout)


def training(content: ReportContent) -> Illustration | None:
    """Draw the losses of all members."""
    train, validation = content.train, content.validation
    if train is None or validation is None:
        return None
    best = np.atleast_1d(content.best_epoch if content.best_epoch is not None else [])
    losses = np.atleast_2d(np.asarray(validation, dtype=np.float64).T).T
    members, epochs = losses.shape[1], losses.shape[0]
    noun = "network" if members == 1 else f"{members} networks of the ensemble"
    alt = f"Training and held-out loss of {members} networks over {epochs} epochs."
    caption = (
        f"How the {noun} learned, over {epochs} epochs: held-out loss in color, "
        "training loss in grey. Lower is better; the loss is the negative log-density, "
        "in nats, that the network gives to the true parameters of a simulation. "
        "Circles: the epoch whose weights were kept. A held-out loss that rises while "
        "the training loss falls means that more simulations would help."
    )
    drawn = picture(alt, lambda: figures.training_plot(train, validation, best))
    return Illustration((drawn,), caption)


def of_the_study(content: ReportContent) -> list[Illustration]:
    """Encode the figures that the study drew itself."""

    def draw(figure: Any) -> Any:
        if isinstance(figure, Exception):  # what the study's function raised
            raise figure
        return figure

    return [
        Illustration(
            (picture(short(caption, 400), lambda f=figure: draw(f)),), caption, "row"
        )
        for caption, figure in content.figures
    ]


def _method(content: ReportContent) -> str:
    return content.baseline_method or "classical method"


def _pair_caption(content: ReportContent, names: Sequence[str]) -> str:
    intro = (
        "What the data say about the parameters. On the diagonal, each posterior "
        "(blue) over its prior (grey), which may run beyond the frame: the narrower "
        "the blue, the more was learned."
    )
    parts = [intro]
    if len(names) > 1:
        parts.append(
            "Below, the regions that hold 50 % (dark) and 90 % (light) of the "
            "posterior of each pair; a slanted or bent region is a trade-off that the "
            "data leave open."
        )
        parts.append(_strongest(content, names))
    if content.baseline:
        parts.append(
            f"Orange: {_method(content)}, the same regions; where the two agree, the "
            "orange lines lie on the edges of the blue."
        )
    if len(content.names) > len(names):
        parts.append(
            f"Only the first {len(names)} of {len(content.names)} parameters are "
            "drawn; the table has all."
        )
    return " ".join(p for p in parts if p)


def _strongest(content: ReportContent, names: Sequence[str]) -> str:
    """Name the strongest correlation, if it is strong enough to be worth a sentence."""
    with np.errstate(all="ignore"):
        matrix = np.corrcoef(np.stack([content.posterior[n] for n in names]))
    matrix = np.nan_to_num(np.tril(matrix, -1))
    i, j = divmod(int(np.argmax(np.abs(matrix))), len(names))
    if abs(matrix[i, j]) < _NOTABLE_CORRELATION:
        return ""
    value = f"{matrix[i, j]:+.2f}".replace("-", "\N{MINUS SIGN}")
    one, two = short(names[j], 40), short(names[i], 40)
    return f"Strongest trade-off: {one} and {two}, correlation {value}."


def _series(
    content: ReportContent, name: str, expected: np.ndarray, observed: np.ndarray
) -> list[Picture]:
    """Draw one row as a curve, a few rows as curves each, more as images."""
    axis = content.axes.get(name)
    title = "" if getattr(axis, "ylabel", "") or name == "x" else name
    alt = f"Predictive bands and the observed points of {short(name, 40)}."
    options = {
        "values": getattr(axis, "values", None),
        "label": getattr(axis, "label", ""),
        "ylabel": getattr(axis, "ylabel", ""),
        "names": getattr(axis, "names", ()),
    }
    if observed.ndim <= 1:
        curve = (expected.reshape(len(expected), -1), observed.reshape(-1))
        return [
            picture(
                alt, lambda: figures.predictive_plot(*curve, title=title, **options)
            )
        ]
    columns = observed.shape[-1]
    expected = expected.reshape(len(expected), -1, columns)
    observed = observed.reshape(-1, columns)
    if len(observed) > _MAX_ROWS:
        alt = f"Observed and expected image of {short(name, 40)}, and the difference."
        words = {"label": options["label"], "ylabel": options["ylabel"]}
        images = expected, observed
        return [picture(alt, lambda: figures.field_plot(*images, title=title, **words))]
    return [
        picture(
            alt,
            lambda i=i: figures.predictive_plot(
                expected[:, i], observed[i], title=f"{name}[{i}]", **options
            ),
        )
        for i in range(len(observed))
    ]


def _prior_caption(inside: int, total: int) -> str:
    text = (
        "What the model expects before any data: simulations at parameters drawn from "
        "the prior (bands: 50 % and 90 %), and what was seen (dots). Dots outside "
        "(circled) are data the model seldom produces, whatever its parameters; bands "
        "much wider than the data mean that the prior allows almost anything."
    )
    if total:
        text += f" Here {number(inside)} of {number(total)} are inside the light band."
    return text


def _predictive_caption(inside: int, total: int) -> str:
    text = (
        "What the model, with parameters drawn from the posterior, expects to see "
        "again (bands: 50 % and 90 % of new simulations) and what was seen (dots). A "
        "model that explains the data has about nine of ten dots inside the light "
        "band, with no pattern in those outside (circled)."
    )
    if total:
        text += (
            f" Here {number(inside)} of {number(total)} are inside; about "
            f"{number(round(0.9 * total))} would be expected."
        )
    return text
