"""Stop a campaign whose simulations fail, before it has wasted a month of computing."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .._core.errors import DataError, ModelError
from ..model import Model, unknown_parameter
from .dataset import Block
from .messages import STATUSES


FIRST = 20
WINDOW = 200


class Breaker:
    """Count failures; refuse when the first 20 or too many of the last 200 failed.

    Args:
        model: The model, for words about its parameters.
        num: Rows that will be simulated; when fewer than 20, all of them count.
        max_failed: Largest fraction of failures among the last 200; 1 never refuses.
    """

    def __init__(self, model: Model, num: int, max_failed: float):
        self.model = model
        self.first = min(FIRST, num)
        self.max_failed = max_failed
        self.seen = 0
        self.failed = 0
        self.texts: Counter[str] = Counter()
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._in_window = 0

    def add(self, status: str, error: str, theta: Mapping[str, Any]) -> None:
        """Count one row.

        Raises:
            DataError: If the campaign should not go on.
            ModelError: If the simulator asks for a parameter that the prior lacks.
        """
        bad = status != "ok"
        if len(self._last) == WINDOW:
            self._in_window -= self._last[0]
        self._last.append(bad)
        self._in_window += bad
        self.seen += 1
        if not bad:
            return
        self.failed += 1
        self.texts[error.split("\n", 1)[0] or f"x is {status}"] += 1
        if self.max_failed >= 1:
            return
        if self.failed == self.seen == self.first:
            raise self._all_failed(theta)
        if self._in_window > self.max_failed * WINDOW:
            raise DataError(
                f"simulator: {self._in_window} of the last {WINDOW} simulations "
                f"failed: {self._reasons()}. Expected at most {self.max_failed:.0%}. "
                "Mend the simulator, narrow the prior to where it runs, or allow more "
                "failures (max_failed, --max-failed)."
            )

    def add_block(self, block: Block) -> None:
        """Count the rows of a block."""
        for status, error, theta in _rows(block):
            self.add(status, error, theta)

    def _reasons(self) -> str:
        common = self.texts.most_common(3)
        return "; ".join(f"{text} ({count} times)" for text, count in common)

    def _all_failed(self, theta: Mapping[str, Any]) -> Exception:
        unknown = self._missing_parameter()
        if unknown is not None:
            return unknown
        reasons = "; ".join(text for text, _ in self.texts.most_common(3))
        reasons = reasons.replace("x is nonfinite", "the output holds NaN or infinity")
        place = {
            k: np.round(np.asarray(v, float), 4).tolist() for k, v in theta.items()
        }
        return DataError(
            f"simulator: all of the first {self.seen} simulations failed: {reasons}. "
            f"The last had theta = {place}. Run the simulator there and mend it."
        )

    def _missing_parameter(self) -> ModelError | None:
        """Recognize a simulator that asks, in every row, for a parameter not there."""
        if len(self.texts) != 1:
            return None
        kind, _, name = next(iter(self.texts)).partition(": ")
        if kind != "KeyError" or name.strip("'\"") in self.model.prior.names:
            return None
        return unknown_parameter("simulator", KeyError(name.strip("'\"")), self.model)


def _rows(block: Block) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for row, code in enumerate(block.status.tolist()):
        theta = {k: v[row] for k, v in block.theta.items()} if code else {}
        yield STATUSES[code], block.errors.get(block.start + row, ""), theta
