import pytest

from retrodict.bench.published import Column
from retrodict.bench.rows import Row
from retrodict.bench.summary import Line, summarize


def row(task, c2st, nlpd=1.0):
    return Row(task, "amortized", "auto", 1000, 0, 1, c2st, nlpd, 1.0, 1.0, 1.0)


COLUMNS = (Column("a", "", {"sir": 0.5, "slcp": 0.7}), Column("b", "", {"sir": 0.6}))


def test_observations_are_averaged_and_then_tasks():
    rows = [row("slcp", 0.9, -1.0), row("sir", 0.5), row("sir", 0.7, 2.0)]
    lines = summarize(rows, ["sir", "two_moons", "slcp"], COLUMNS)
    sir, slcp, mean = lines
    assert sir == Line("sir", 2, sir.c2st, 1.5, (0.5, 0.6))
    assert sir.c2st == pytest.approx(0.6)
    assert slcp == Line("slcp", 1, 0.9, -1.0, (0.7, None))
    assert (mean.task, mean.num_observations) == ("mean", 3)
    assert mean.c2st == pytest.approx(0.75)
    assert mean.nlpd == pytest.approx(0.25)
    assert mean.published == (pytest.approx(0.6), None)


def test_one_task_is_its_own_mean():
    assert [line.task for line in summarize([row("sir", 0.5)], ["sir"], ())] == ["sir"]


def test_a_density_of_zero_has_no_mean():
    lines = summarize([row("sir", 0.5, None), row("sir", 0.5)], ["sir"], ())
    assert lines[0].nlpd is None
