"""Training curves of every member of the ensemble."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from . import style


@style.styled
def training_plot(
    train: np.ndarray, validation: np.ndarray, best_epoch: np.ndarray
) -> Figure:
    """Draw the loss of every member per epoch, with the epoch each was kept from.

    Args:
        train: Mean negative log-density of the training rows, nats,
            ``(num_epochs, num_members)``.
        validation: The same on held-out rows.
        best_epoch: Index of the epoch whose weights were kept, ``(num_members,)``.

    Returns:
        A figure: thin grey lines for training, one color per member for validation.
    """
    train, validation = (_columns(a) for a in (train, validation))
    best_epoch = np.atleast_1d(best_epoch).astype(int)
    epochs = np.arange(1, len(validation) + 1)
    figure, axes = style.new_axes(5.0, 3.1)
    axes.plot(epochs, train, color=style.PRIOR, lw=0.9)
    for member, best in enumerate(best_epoch):
        color = style.CYCLE[member % len(style.CYCLE)]
        losses = validation[:, member]
        axes.plot(epochs, losses, color=color, lw=1.3)
        if 0 <= best < len(epochs):
            axes.plot(
                epochs[best], losses[best], "o", ms=6, mfc="white", mec=color, mew=1.5
            )
    _zoom(axes, np.concatenate([train, validation], axis=1))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss: −log q(θ | x), nats")
    axes.grid(axis="y")
    _legend(figure)
    return figure


def _columns(losses: np.ndarray) -> np.ndarray:
    losses = np.asarray(losses, dtype=np.float64)
    return losses[:, None] if losses.ndim == 1 else losses


def _zoom(axes: Axes, losses: np.ndarray) -> None:
    """Leave the first steep epochs above the frame: the end is what matters."""
    good = losses[np.isfinite(losses)]
    if not good.size:
        return
    low, high = good.min(), np.quantile(good, 0.95)
    pad = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - pad, high + 2 * pad)


def _legend(figure: Figure) -> None:
    lines = [
        Line2D([], [], color=style.POSTERIOR, lw=1.3),
        Line2D([], [], color=style.PRIOR, lw=0.9),
        Line2D([], [], ls="", marker="o", mfc="white", mec=style.POSTERIOR, mew=1.5),
    ]
    words = ["held-out, one color per member", "training", "kept"]
    figure.legend(
        lines,
        words,
        loc="outside upper left",
        ncols=3,
        handlelength=1.3,
        columnspacing=1,
    )
