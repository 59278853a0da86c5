"""Published scores: those typed in against the table, and the search for the best."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from retrodict._core.errors import DataError
from retrodict.bench import TASKS
from retrodict.bench.published import (
    BEST_AMORTIZED,
    BUDGETS,
    FILE,
    NPE,
    best_single,
    published_columns,
)


HEADER = "source,method,amortized,task,budget,c2st\n"


def test_every_task_has_numbers():
    assert list(NPE) == list(BEST_AMORTIZED) == list(TASKS)


def test_typed_numbers_are_those_of_the_table(sbibm_dir):
    """Best: of all that used the same C2ST and the same definitions."""
    best, npe = defaultdict(lambda: 1.0), {}
    with open(sbibm_dir / FILE, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at, value = (row["task"], row["budget"]), float(row["c2st"])
            if row["source"].startswith("Lueckmann2021") and row["method"] == "NPE":
                npe[at] = value
            if row["amortized"] == "1" and "RF c2st" not in row["source"]:
                best[at] = min(best[at], value)
    for task in TASKS:
        for i, budget in enumerate(BUDGETS.values()):
            assert NPE[task][i] == pytest.approx(npe[task, budget], abs=6e-4)
            found = best[task, budget]
            assert BEST_AMORTIZED[task][i] == pytest.approx(found, abs=6e-4)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / FILE
    path.write_text(
        HEADER + "A 2021,one,1,slcp,1k,0.7\nA 2021,one,1,sir,1k,0.9\n"
        "A 2021,sequential,0,slcp,1k,0.1\nA 2021,sequential,0,sir,1k,0.1\n"
        "B (sbi RF c2st),forest,1,slcp,1k,0.1\nB (sbi RF c2st),forest,1,sir,1k,0.1\n"
        "C 2023,two,1,slcp,1k,0.8\nC 2023,two,1,sir,1k,0.7\n"
        "C 2023,half,1,sir,1k,0.6\nC 2023,two,1,slcp,10k,0.1\n"
    )
    return path


def test_the_best_single_method_has_the_lowest_mean_of_the_tasks_shown(table: Path):
    both = best_single(table, "1k", ["slcp", "sir"])
    assert both is not None
    assert both.c2st == {"slcp": 0.8, "sir": 0.7}
    assert both.note.startswith("two, ")
    alone = best_single(table, "1k", ["slcp"])
    assert alone is not None
    assert alone.note.startswith("one, ")
    assert best_single(table, "1k", ["two_moons"]) is None
    assert best_single(table, "100k", ["slcp"]) is None


def test_columns_follow_the_budget_and_what_is_in_the_folder(table: Path):
    tasks = ["slcp", "sir"]
    titles = [c.title for c in published_columns(table.parent, 1000, tasks)]
    assert titles == ["best single", "best each", "NPE 2021"]
    typed = published_columns(table.parent / "nowhere", 10_000, tasks)
    assert [c.c2st["slcp"] for c in typed] == [0.761, 0.901]
    assert published_columns(table.parent, 2000, tasks) == ()


@pytest.mark.parametrize("body", ["a,b\n1,2\n", HEADER + "A,m,1,sir,1k,low\n"])
def test_another_table_is_refused(tmp_path: Path, body: str):
    (tmp_path / FILE).write_text(body)
    with pytest.raises(DataError, match=r"published_c2st\.csv: Expected the columns"):
        published_columns(tmp_path, 1000, ["sir"])
