"""``retrodict simulate``: run, resume, watch, check, mend, divide, merge campaigns."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import steps
from .show import print_counts, print_status, talk


if TYPE_CHECKING:
    from ..simulations import Dask, Pool

simulate_app = typer.Typer(
    help="Simulate from the prior; resumable.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(help="Folder of the campaign.")]
Out = Annotated[Path, typer.Option(help="Folder of the campaign.")]
Name = Annotated[str, typer.Argument(help="A world's name, or path/to/model.py:name.")]
Num = Annotated[int, typer.Option(min=1, help="Number of simulations.")]
Seed = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Seed of every random number.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes for a Python simulator.")
]
Timeout = Annotated[
    float | None, typer.Option(help="Seconds a simulation of a worker may take.")
]
Memory = Annotated[
    float | None, typer.Option(help="Megabytes a simulation of a worker may use.")
]
MaxFailed = Annotated[
    float, typer.Option(help="Stop when a larger fraction of the last 200 failed.")
]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler, tcp://host:port.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@simulate_app.command("run")
def run(
    model: Name,
    out: Out,
    num: Num = 10_000,
    seed: Seed = 0,
    workers: Workers = None,
    timeout: Timeout = None,
    memory: Memory = None,
    max_failed: MaxFailed = 0.5,
    scheduler: Scheduler = None,
    shard: Annotated[
        int | None, typer.Option(min=0, help="Run this shard of a plan alone.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Simulate, or continue a campaign that was interrupted."""
    from ..simulations import remember

    study = steps.load(model)
    options = {
        "workers": workers,
        "timeout": timeout,
        "memory": memory,
        "max_failed": max_failed,
        "scheduler": scheduler,
    }
    if shard is not None:
        _run_shard(study.model, out, seed, shard, options, quiet)
        return
    executor = _executor(options)
    _check_campaign(study.model, out, seed)
    facts = {"model": _absolute(model), "num": num, "seed": seed, **options}
    remember(out, facts)
    _simulate(study.model, out, facts, executor, (quiet, as_json))


@simulate_app.command("resume")
def resume(
    folder: Folder,
    changed_simulator: Annotated[
        bool,
        typer.Option(
            "--changed-simulator",
            help="Go on although the simulator's file has changed.",
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Continue a campaign with the options it was begun with."""
    from ..simulations import accept_source, recall

    facts = recall(folder)
    if changed_simulator:
        accept_source(folder)
    study = steps.load(facts["model"])
    _simulate(study.model, folder, facts, _executor(facts), (quiet, as_json))


@simulate_app.command("cancel")
def cancel(folder: Folder, as_json: Json = False) -> None:
    """Give up the rows that are still missing; what is there can be used."""
    from ..simulations import campaign_status, recall
    from ..simulations import cancel as give_up

    facts = recall(folder)
    study = steps.load(facts["model"])
    count = give_up(study.model, facts["num"], out=folder, seed=facts["seed"])
    if as_json:
        typer.echo(json.dumps(campaign_status(folder)["counts"]))
    else:
        talk(f"{count} rows cancelled.")


@simulate_app.command("status")
def status(folder: Folder, as_json: Json = False) -> None:
    """Count the simulations of a campaign by status, also while it runs."""
    from ..simulations import campaign_status

    facts = campaign_status(folder)
    if as_json:
        typer.echo(json.dumps(facts["counts"]))
    else:
        print_status(facts)


@simulate_app.command("verify")
def verify(folder: Folder, as_json: Json = False) -> None:
    """Read every byte of a campaign; exit with 65 if anything is damaged."""
    from .._core.errors import DataError
    from ..simulations import verify as find_damage

    found = find_damage(folder)
    _print_damage(found, as_json)
    if found:
        raise DataError(
            f"{folder}: {len(found)} damaged. Say `retrodict simulate repair {folder}`."
        )
    if not as_json:
        talk("Nothing is damaged.")


@simulate_app.command("repair")
def repair(folder: Folder, as_json: Json = False) -> None:
    """Take out what is damaged; `resume` simulates it anew."""
    from ..simulations import repair as mend

    found = mend(folder)
    _print_damage(found, as_json)
    if found:
        talk(f"Taken out. Now say `retrodict simulate resume {folder}`.")


@simulate_app.command("plan")
def plan(
    model: Name,
    out: Out,
    shards: Annotated[int, typer.Option(min=1, help="Number of shards.")],
    num: Num = 10_000,
    seed: Seed = 0,
) -> None:
    """Divide a campaign into shards that run anywhere, each alone."""
    from ..simulations import campaign_of
    from ..simulations import plan as divide

    study = steps.load(model)
    found = divide(out, campaign_of(study.model, seed), num, shards)
    for shard in found:
        typer.echo(f"{shard.number}\t{shard.rows.start}\t{shard.rows.stop}")
    talk(
        f"{len(found)} shards. Run each: retrodict simulate run {model} --out {out} "
        f"--seed {seed} --shard NUMBER; then: retrodict simulate merge {out}"
    )


@simulate_app.command("merge")
def merge(
    folder: Folder,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of shards; all in FOLDER/shards by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the rows of shards into a campaign; doing it twice changes nothing."""
    from ..simulations import merge as unite

    totals = unite(folder, sources or None)
    if as_json:
        typer.echo(json.dumps(totals))
    else:
        typer.echo(f"{totals['added']} rows added, {totals['present']} were there.")


@simulate_app.command("export")
def export(
    folder: Folder,
    to: Annotated[Path, typer.Option(help="File (.nc) or folder (.zarr) to write.")],
) -> None:
    """Write theta, x, status and index as an xarray DataTree."""
    from ..simulations import export as write

    count = write(folder, to)
    talk(f"{count} rows written to {to}.")


def _check_campaign(model: Any, out: Path, seed: int) -> None:
    """Refuse a folder of another campaign before anything is written there."""
    from ..simulations import Store, campaign_of

    Store(out, campaign_of(model, seed))


def _simulate(
    model: Any, out: Path, facts: dict, executor: "Pool | Dask", how: tuple[bool, bool]
) -> None:
    from ..simulations import simulate

    quiet, as_json = how
    with steps.silence(quiet):
        sims = simulate(
            model, facts["num"], seed=facts["seed"], out=out, executor=executor
        )
    if as_json:
        typer.echo(json.dumps(sims.counts))
    elif not quiet:
        print_counts(sims)


def _run_shard(
    model: Any, out: Path, seed: int, number: int, options: dict, quiet: bool
) -> None:
    from .._core.errors import ModelError
    from ..simulations import campaign_of, campaign_status, planned_shards, run_shard

    shards = planned_shards(out)
    if number >= len(shards):
        raise ModelError(
            f"--shard: Expected a number below {len(shards)}, as planned in {out}; got "
            f"{number}."
        )
    with steps.silence(quiet):
        run_shard(campaign_of(model, seed), shards[number], _executor(options))
    if not quiet:
        print_status(campaign_status(shards[number].folder))


def _executor(facts: dict[str, Any]) -> "Pool | Dask":
    from ..simulations import Dask, Pool

    limits = {key: facts[key] for key in ("timeout", "memory", "max_failed")}
    if facts["scheduler"] is not None:
        return Dask(facts["scheduler"], **limits)
    return Pool(facts["workers"], **limits)


def _absolute(model: str) -> str:
    """Make the path of a model file independent of the working folder."""
    path, mark, name = model.partition(".py")
    return f"{Path(path).absolute()}{mark}{name}" if mark else model


def _print_damage(found: list[Any], as_json: bool) -> None:
    if as_json:
        items = [
            {"file": d.file, "problem": d.problem, "rows": [d.rows.start, d.rows.stop]}
            for d in found
        ]
        typer.echo(json.dumps(items))
        return
    for damage in found:
        typer.echo(f"{damage.file}: {damage.problem}")
