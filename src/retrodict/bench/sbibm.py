"""Run methods on the tasks of sbibm and score them by its observations.

A method sees the prior, the simulator up to the budget, and then x_obs; never the
true parameters, the reference posterior or which observations will come.
"""

import math
import time
from collections.abc import Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import numpy as np

from .._core.choices import check_choice
from .._core.errors import DataError, InterruptedRun
from .._core.progress import progress
from .._core.seeds import check_seed, stream_key
from ..diagnostics import c2st
from ..model import Model
from .methods import EFFORTS, METHODS, Answer, Problem
from .observations import Observations, read_observations
from .rows import Row, Setting, append_row, finished, make_file, read_rows
from .tasks import TASKS, check_task, load_task


def run_sbibm(
    folder: Path, out: Path, settings: Sequence[Setting], tasks: Sequence[str] = ()
) -> list[Row]:
    """Measure methods; rows that are in ``out`` already are not measured again.

    Methods that begin with the same `fit` share it.

    Args:
        folder: Folder of ``<task>.npz`` files.
        out: File of results, one JSON object a line; a row is appended when it is done.
        settings: Method, effort, budget and seed of each.
        tasks: Names of tasks; by default all that have a file.

    Returns:
        All rows of these settings and tasks.

    Raises:
        ModelError: If a task, method or effort is not known.
        DataError: If files of tasks are missing or wrong, or ``out`` holds something
            else.
        StorageError: If ``out`` cannot be written.
        InterruptedRun: On Ctrl-C, with the finished rows kept in ``out``.
    """
    for setting in settings:
        check_choice("--method", setting.method, METHODS)
        check_choice("--effort", setting.effort, EFFORTS)
        check_seed(setting.seed)
    names = chosen_tasks(folder, tasks)
    observations = {name: read_observations(folder, name) for name in names}
    models = {name: _model(folder, name, given) for name, given in observations.items()}
    read_rows(out)  # refuses a file of something else
    make_file(out)
    with _resumable(out):
        for name in names:
            problem = cache(partial(Problem, models[name]))
            for setting in settings:
                done = finished(read_rows(out), name, setting)
                todo = set(observations[name].observation.tolist()) - done
                if todo:
                    given = problem(setting.budget, setting.seed, setting.effort)
                    _measure(given, observations[name], todo, setting, out)
    return [
        row
        for row in read_rows(out)
        if row.task in names and any(row.measures(setting) for setting in settings)
    ]


def chosen_tasks(folder: Path, tasks: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks to run, in the order of the paper.

    Args:
        folder: Folder of ``<task>.npz`` files.
        tasks: Names that were asked for; none for all that have a file.

    Raises:
        ModelError: If a name is not known.
        DataError: If the folder is missing or holds no task.
    """
    wanted = {check_task(name) for name in tasks}
    if not folder.is_dir():
        raise DataError(f"--data: Expected a folder of <task>.npz files; got {folder}.")
    there = {name for name in TASKS if (folder / f"{name}.npz").is_file()}
    if not wanted and not there:
        raise DataError(
            f"--data: Expected files such as slcp.npz in {folder}; found none of "
            f"{list(TASKS)}."
        )
    return tuple(name for name in TASKS if name in (wanted or there))


def _model(folder: Path, name: str, given: Observations) -> Model:
    """Return the model of a task, and refuse data of another."""
    study = load_task(name)
    shapes = (len(study.model.target_names), *study.axes["x"].values.shape)
    found = (given.theta_true.shape[1], given.x_obs.shape[1])
    if shapes != found:
        raise DataError(
            f"{folder / name}.npz: Expected {shapes[0]} parameters and {shapes[1]} "
            f"numbers per observation; got {found[0]} and {found[1]}."
        )
    return study.model


def _measure(
    problem: Problem, given: Observations, todo: set[int], setting: Setting, out: Path
) -> None:
    """Train, draw for all observations in one call, and score those to do.

    As many draws as the reference has; 10 000 in the published files.
    """
    task = problem.model.name
    answer = METHODS[setting.method](problem)
    answer.train_at(given.x_obs)
    key = stream_key(setting.seed, f"bench {task}")
    begun = time.perf_counter()
    draws = answer.sample(key, given.x_obs, given.reference.shape[1])
    sample_s = (time.perf_counter() - begun) / len(given.x_obs)
    nlpd = -_log_prob(answer, given)
    with progress("Scoring", len(todo)) as bar:
        for i, number in enumerate(given.observation.tolist()):
            if number not in todo:
                continue
            row = Row(
                task=task,
                method=setting.method,
                effort=setting.effort,
                budget=setting.budget,
                seed=setting.seed,
                observation=number,
                c2st=c2st(given.reference[i], draws[i]),
                nlpd=float(nlpd[i]) if math.isfinite(nlpd[i]) else None,
                train_s=answer.train_s,
                compile_s=answer.compile_s,
                sample_s=sample_s,
            )
            append_row(out, row)
            bar.advance(note=f"{task} {number}: {row.c2st:.3f}")


def _log_prob(answer: Answer, given: Observations) -> np.ndarray:
    """Return log q(theta_true | x_obs) of every observation."""
    theta = given.theta_true[:, None, :]
    return np.asarray(answer.log_prob(theta, given.x_obs), np.float64)[:, 0]


@contextmanager
def _resumable(out: Path):
    """Say after Ctrl-C what is safe."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRun(
            f"Interrupted. {len(read_rows(out))} results are safe in {out}; the same "
            "command continues with the rest."
        ) from error
