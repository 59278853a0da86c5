"""What each command does: load, call the library, print.

The library is imported inside the commands: ``--help`` and wrong usage need none of it.
"""

import contextlib
import difflib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .._core.errors import ModelError
from .._core.progress import set_quiet
from .observation import read_observation
from .show import (
    print_answer,
    print_benchmark,
    print_checks,
    print_parameters,
    talk,
)


if TYPE_CHECKING:
    from ..model import Study
    from ..posterior import Posterior


def load(
    reference: str,
    *,
    data: Path | None = None,
    observation: Path | None = None,
    part: str | None = None,
) -> "Study":
    """Return the study that a word of the command line names, with its data.

    Raises:
        ModelError: If there is none, or it has no such part or reads no data.
        DataError: If the data cannot be read.
    """
    from ..model import as_study
    from ..worlds import WORLDS

    study = _named_study(reference, with_data=data is not None)
    if part is not None:
        if part not in study.parts:
            raise ModelError(
                f"--part: Expected one of {sorted(study.parts)} (the parts of "
                f"{reference}); got {part!r}."
            )
        study = as_study(study.parts[part](), f"part {part!r}")
    if data is not None:
        if study.load is None:
            raise ModelError(
                f"--data: {reference} reads no data folder; its data are part of it. "
                f"Leave the option out. Worlds: {', '.join(WORLDS)}."
            )
        study = with_data(study, study.load(data))
    if observation is not None:
        x_obs = read_observation(observation)
        study = replace(study, model=study.model.observing(x_obs))
    return study


def with_data(study: "Study", loaded: Any) -> "Study":
    """Put what a study read from a data folder in its place.

    Args:
        study: The study whose ``load`` was called.
        loaded: An observation, or a study that replaces it.
    """
    from ..model import Study

    if isinstance(loaded, Study):
        return loaded
    return replace(study, model=study.model.observing(loaded))


def _named_study(reference: str, *, with_data: bool) -> "Study":
    """Return a user's study, a world, or a task of the benchmark.

    Worlds come first where a task has the same name, unless data are given: only the
    task reads them.
    """
    from ..bench import TASKS, load_task
    from ..model import load_study
    from ..worlds import WORLDS, load_world

    if ".py" in reference or "/" in reference:
        return load_study(reference)
    # A word that is almost a task's name is refused with the names of tasks.
    nearest = difflib.get_close_matches(reference, [*WORLDS, *TASKS], n=1)
    name = nearest[0] if nearest else reference
    if name in TASKS and (with_data or name not in WORLDS):
        return load_task(reference)
    return load_world(reference)


def run(
    study: "Study",
    out: Path,
    *,
    strict: bool = False,
    quiet: bool = False,
    as_json: bool = False,
    **options: Any,
) -> None:
    """Run a study and print the answer."""
    from .. import workflow

    with silence(quiet):
        result = workflow.run(study, out, **options)
    if as_json:
        typer.echo(json.dumps(result.summary, indent=1, allow_nan=False))
    elif not quiet:
        print_answer(result.summary, result.verdict, result.at.warnings)
    if not quiet:
        talk(f"Report: {result.out / 'report.html'}")
    _exit_unless_trusted(strict, result.verdict.verdict)


def earlier(out: Path) -> "tuple[Posterior | None, int, int, int]":
    """Return the posterior of an earlier run, its seed, its budget and its rounds.

    After rounds there is none to return: the likelihood that weighed its draws is not
    kept, so that all is trained again on the simulations that are.

    Raises:
        ArtifactError: If there is none, or it is damaged.
    """
    from ..posterior import load as load_posterior

    posterior = load_posterior(out / "posterior.retrodict")
    record = posterior.record
    kept = posterior if record.num_rounds == 1 else None
    return kept, record.seed, record.budget, record.num_rounds


def command_line(model: str, **options: Any) -> str:
    """Return the command that repeats a run, defaults of today spelt out.

    Args:
        model: The word that names the study.
        **options: Values of the options of ``retrodict run``; None and False are those
            that were not given.
    """
    words = ["retrodict", "run", model]
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    return shlex.join(words)


def fit(
    study: "Study",
    simulations: Path,
    out: Path,
    num: int,
    training: Mapping[str, Any],
    quiet: bool,
) -> None:
    """Train on a campaign and save the posterior; go on where a signal ended it."""
    from .._core.choices import check_choice
    from ..bench.methods import EFFORTS
    from ..posterior import fit as train
    from ..simulations import simulate as simulate_rows
    from ..training import checkpointing, forget_checkpoints

    kept = out.with_name(f"{out.name}.training")
    check_choice("--effort", training["effort"], EFFORTS)
    with silence(quiet):
        sims = simulate_rows(study.model, num, seed=training["seed"], out=simulations)
        with checkpointing(kept):
            posterior = train(sims, **training)
    posterior.save(out)
    forget_checkpoints(kept)
    if not quiet:
        best = posterior.record.validation.min(axis=0).mean()
        talk(f"Saved {out}: held-out -log q = {best:.3f} nats.")


def validate(
    study: "Study",
    path: Path,
    num: int,
    seed: int,
    strict: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Judge a saved posterior and print its checks."""
    from ..posterior import check_fits
    from ..posterior import load as load_posterior
    from ..workflow import judge

    posterior = load_posterior(path)
    check_fits(posterior, study.model)
    with silence(quiet):
        verdict = judge(replace(study, num_validation=num), posterior, seed)
    if as_json:
        typer.echo(json.dumps(verdict.to_dict(), indent=1))
    elif not quiet:
        print_checks(verdict)
    _exit_unless_trusted(strict, verdict.verdict)


def infer(
    path: Path,
    observation: Path,
    num_samples: int,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Condition a saved posterior on one observation; print or write draws."""
    from ..posterior import load as load_posterior

    at = load_posterior(path).at(read_observation(observation))
    summary = at.summary()
    codes = [warning.code for warning in at.warnings]
    if as_json:
        typer.echo(json.dumps({"warnings": codes, "parameters": summary}, indent=1))
    else:
        print_parameters(summary, {})
    for warning in at.warnings:
        talk(f"Warning {warning.code}: {warning.message} {warning.remedy}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        at.to_datatree(num_samples, seed=seed).to_netcdf(out, engine="h5netcdf")
        talk(f"Draws: {out}")


def bench_sbibm(
    folder: Path,
    out: Path,
    *,
    tasks: list[str],
    methods: list[str],
    quiet: bool,
    **setting: Any,
) -> None:
    """Measure methods on the tasks of sbibm; print a table beside published scores.

    Args:
        folder: Folder of ``<task>.npz`` files.
        out: File of results.
        tasks: Names of tasks; none for all.
        methods: Names of methods; a table for each.
        quiet: Say and print nothing.
        **setting: Effort, budget and seed.
    """
    from ..bench.published import published_columns
    from ..bench.rows import Setting
    from ..bench.sbibm import chosen_tasks, run_sbibm
    from ..bench.summary import summarize

    names = chosen_tasks(folder, tasks)
    columns = published_columns(folder, setting["budget"], names)
    settings = [Setting(name, **setting) for name in dict.fromkeys(methods)]
    with silence(quiet):
        rows = run_sbibm(folder, out, settings, tasks)
    if not quiet:
        for one in settings:
            own = [row for row in rows if row.measures(one)]
            print_benchmark(one.method, summarize(own, names, columns), columns)
        talk(f"Results: {out}")


def worlds(as_json: bool) -> None:
    """List the worlds and, apart, the tasks of the benchmark."""
    from ..bench import TASKS
    from ..worlds import gallery

    entries = gallery()
    if as_json:
        rows = {entry.name: asdict(entry) for entry in entries}
        typer.echo(json.dumps(rows, indent=1))
        return
    width = max(map(len, [*(entry.name for entry in entries), *TASKS]))
    for entry in entries:
        names = ", ".join(entry.parameters)
        parts = f"; parts: {', '.join(entry.parts)}" if entry.parts else ""
        typer.echo(
            f"{entry.name:<{width}}  {entry.about} [{entry.field}; data {entry.data}; "
            f"infers {names}; about {entry.minutes:g} min on one core{parts}]"
        )
    typer.echo("\nTasks of the benchmark sbibm, which need --data DIR:")
    for name, text in TASKS.items():
        typer.echo(f"{name:<{width}}  {text}")


@contextlib.contextmanager
def silence(quiet: bool) -> Iterator[None]:
    """Switch progress bars off for the body of a ``with`` statement."""
    set_quiet(quiet)
    try:
        yield
    finally:
        set_quiet(False)


def _exit_unless_trusted(strict: bool, verdict: str) -> None:
    if strict and verdict != "trusted":
        raise typer.Exit(1)
