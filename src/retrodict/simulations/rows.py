"""Collect the rows of a Python simulator into a block of one fixed shape."""

from typing import Any

import numpy as np

from .campaign import Campaign
from .dataset import STATUSES, Block, as_series, mark_nonfinite


class XShapes:
    """The shapes that every row of x must have.

    They come from the observation, from rows that are there already, or else from the
    first row that succeeds.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]] | None = None):
        self.shapes = shapes

    @classmethod
    def of(cls, campaign: Campaign) -> "XShapes":
        """Take the shapes of ``x_obs`` or of earlier rows, where there are any."""
        observed = campaign.model.observed
        if observed is not None:
            return cls({k: v.shape for k, v in as_series(observed).items()})
        return cls(dict(campaign.x_shapes) if campaign.x_shapes else None)

    def refusal(self, arrays: dict[str, np.ndarray]) -> str | None:
        """Say what is wrong with the shapes of one row, or ``None`` if they fit."""
        found = {k: v.shape for k, v in arrays.items()}
        if self.shapes is None:
            self.shapes = found
        if found == self.shapes:
            return None
        return f"bad shape: Expected {self.shapes}; got {found}"


class RowBuffer:
    """The rows of one block that have come back so far.

    Rows may arrive in any order; shapes are judged in index order when the block is
    complete, so that the outcome does not depend on which worker was faster.
    """

    def __init__(self, start: int, theta: dict[str, np.ndarray], shapes: XShapes):
        self.start = start
        self.theta = theta
        self.missing = len(next(iter(theta.values())))
        self._shapes = shapes
        self._rows: list[dict[str, np.ndarray]] = [{} for _ in range(self.missing)]
        self._status = np.zeros(self.missing, np.int8)
        self._errors: dict[int, str] = {}

    def theta_rows(self, indices: list[int]) -> dict[str, np.ndarray]:
        """Return the parameters of the rows with these indices."""
        rows = np.asarray(indices) - self.start
        return {name: values[rows] for name, values in self.theta.items()}

    def add(self, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Take the answer of a worker for one row."""
        if "error" in facts:
            self.fail(facts["index"], "exception", facts["error"])
        else:
            self._rows[facts["index"] - self.start] = arrays
            self.missing -= 1

    def fail(self, index: int, status: str, text: str) -> None:
        """Record that a row failed."""
        self._status[index - self.start] = STATUSES.index(status)
        self._errors[index] = text
        self.missing -= 1

    def block(self) -> Block:
        """Return the complete block; failed rows hold NaN."""
        for row, arrays in enumerate(self._rows):
            refusal = self._shapes.refusal(arrays) if self._status[row] == 0 else None
            if refusal:
                self._status[row] = STATUSES.index("bad_shape")
                self._errors[self.start + row] = refusal
                self._rows[row] = {}
        shapes = self._shapes.shapes or {"x": ()}
        x = {name: self._stack(name, shape) for name, shape in shapes.items()}
        status = mark_nonfinite(x, self._status)
        return Block(self.start, self.theta, x, status, self._errors)

    def _stack(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        empty = np.full(shape, np.nan)
        return np.stack([row.get(name, empty) for row in self._rows])
