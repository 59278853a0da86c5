"""Published scores to stand beside ours: C2ST by task and number of simulations.

Sources: NPE of Lueckmann et al. (2021), Benchmarking simulation-based inference,
arXiv:2101.04653, its file `main_paper.csv`. Best amortized: for each task the lowest of
that file, Miller et al. (2022), Contrastive neural ratio estimation, arXiv:2210.06170,
and Vetter et al. (2025), Effortless, simulation-efficient Bayesian inference using
tabular foundation models, arXiv:2504.17660. No single method attains all of these.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .._core.errors import DataError


FILE = "published_c2st.csv"
COLUMNS = ("source", "method", "amortized", "task", "budget", "c2st")
BUDGETS = {1000: "1k", 10_000: "10k", 100_000: "100k"}

# In the order of BUDGETS.
NPE = {
    "gaussian_linear": (0.695, 0.552, 0.506),
    "gaussian_linear_uniform": (0.696, 0.553, 0.509),
    "gaussian_mixture": (0.732, 0.660, 0.555),
    "two_moons": (0.725, 0.606, 0.542),
    "slcp": (0.975, 0.901, 0.832),
    "slcp_distractors": (0.982, 0.970, 0.863),
    "bernoulli_glm": (0.863, 0.678, 0.559),
    "bernoulli_glm_raw": (0.900, 0.765, 0.607),
    "sir": (0.815, 0.680, 0.585),
    "lotka_volterra": (0.999, 0.997, 0.981),
}
BEST_AMORTIZED = {
    "gaussian_linear": (0.545, 0.522, 0.506),
    "gaussian_linear_uniform": (0.555, 0.542, 0.506),
    "gaussian_mixture": (0.642, 0.529, 0.507),
    "two_moons": (0.655, 0.543, 0.515),
    "slcp": (0.895, 0.761, 0.602),
    "slcp_distractors": (0.912, 0.912, 0.789),
    "bernoulli_glm": (0.731, 0.605, 0.545),
    "bernoulli_glm_raw": (0.775, 0.680, 0.607),
    "sir": (0.583, 0.537, 0.513),
    "lotka_volterra": (0.931, 0.835, 0.695),
}


@dataclass(frozen=True)
class Column:
    """Published scores of one kind.

    Attributes:
        title: Heading of a table.
        note: What they are.
        c2st: Score by task.
    """

    title: str
    note: str
    c2st: Mapping[str, float]


def published_columns(
    folder: Path, budget: int, tasks: Sequence[str]
) -> tuple[Column, ...]:
    """Return what was published for a budget: none if it is not 1k, 10k or 100k.

    Args:
        folder: The best single method is looked up in its file ``published_c2st.csv``,
            if it is there.
        budget: Simulator calls.
        tasks: Tasks that the best single method must have been tried on.

    Raises:
        DataError: If the file has other columns.
    """
    if budget not in BUDGETS:
        return ()
    at = list(BUDGETS).index(budget)
    best = {task: scores[at] for task, scores in BEST_AMORTIZED.items()}
    npe = {task: scores[at] for task, scores in NPE.items()}
    typed = (
        Column("best each", "the best amortized method of each task", best),
        Column("NPE 2021", "NPE of Lueckmann et al. (2021)", npe),
    )
    single = best_single(folder / FILE, BUDGETS[budget], tasks)
    return (single, *typed) if single else typed


def best_single(path: Path, budget: str, tasks: Sequence[str]) -> Column | None:
    """Return the amortized method with the lowest mean over ``tasks``.

    Args:
        path: Table of published scores; may be absent.
        budget: Label of the budget in that table, such as ``"10k"``.
        tasks: Only methods with a score for each of them are compared.

    Raises:
        DataError: If the file has other columns.
    """
    scores: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in _rows(path):
        # Scores by a random forest are lower and cannot be compared.
        comparable = row["amortized"] == "1" and "RF c2st" not in row["source"]
        if comparable and row["budget"] == budget:
            scores[row["source"], row["method"]][row["task"]] = float(row["c2st"])
    complete = [
        (sum(found[task] for task in tasks), method, found)
        for (_, method), found in scores.items()
        if tasks and all(task in found for task in tasks)
    ]
    if not complete:
        return None
    _, method, found = min(complete, key=lambda item: item[0])
    note = f"{method}, of all amortized methods the lowest mean of these tasks"
    return Column("best single", note, found)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            float(row["c2st"])
            [row[column] for column in COLUMNS]
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise DataError(
            f"{path}: Expected the columns {list(COLUMNS)}, the last a number; "
            f"{error!r}. Mend it or take it away."
        ) from error
    return rows
