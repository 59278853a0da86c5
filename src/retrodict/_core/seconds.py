"""What several trainings cost together."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Timed(Protocol):
    """What knows how long it took."""

    @property
    def train_s(self) -> float:
        """Seconds of training."""
        ...

    @property
    def compile_s(self) -> float:
        """Seconds of compilation."""
        ...


def total_seconds(costs: Iterable[Timed]) -> dict[str, float]:
    """Return the sums of ``train_s`` and of ``compile_s``."""
    costs = list(costs)
    return {
        "train_s": sum(cost.train_s for cost in costs),
        "compile_s": sum(cost.compile_s for cost in costs),
    }
